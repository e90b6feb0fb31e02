//! What was given, by the file and by the environment, and the one way to read it.
//!
//! Invariant: whatever is wrong is said with the place where it was given, and never with a secret.

use std::{env, fs, path::PathBuf};

use chrono::TimeDelta;
use toml::de::{DeTable, DeValue};

use super::{
    key::{Absent, Key, Section},
    unknown,
    value::Value,
};
use crate::{failure::Stop, unicode::without_mark};

/// Where the configuration comes from. The environment is passed in, so that tests need not touch the process's.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    pub file: Option<PathBuf>,
    pub environment: Vec<(String, String)>,
}

impl Sources {
    /// The process's environment, and `file` or else the one that `MOORING_CONFIG` names.
    #[must_use]
    pub fn process(file: Option<PathBuf>) -> Self {
        let file = file.or_else(|| env::var_os("MOORING_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
        let environment = env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
            .filter(|(name, _)| name.starts_with("MOORING_") || name == "DATABASE_URL")
            .collect();
        Self { file, environment }
    }
}

/// Everything that was given, known to have no unknown key.
#[derive(Debug)]
pub struct Given {
    pub file: Option<File>,
    pub environment: Vec<(String, String)>,
}

/// The configuration file.
#[derive(Debug)]
pub struct File {
    pub path: PathBuf,
    pub table: toml::Table,
    text: String,
}

impl File {
    fn read(path: PathBuf) -> Result<Self, Stop> {
        let text = fs::read_to_string(&path).map_err(|error| {
            Stop::new(format!("cannot read the configuration file {}: {error}", path.display()))
                .mend("give --config or MOORING_CONFIG the path of a TOML file in UTF-8 that may be read")
        })?;
        Self::parse(path, without_mark(&text).to_owned())
    }

    /// `path` is only for what is said to people.
    pub fn parse(path: PathBuf, text: String) -> Result<Self, Stop> {
        let table = text.parse::<toml::Table>().map_err(|error| {
            let line = error.span().map_or(1, |span| line_at(&text, span.start));
            let message = error.message().replace('\n', "; ");
            Stop::new(format!("{}:{line}: not valid TOML: {message}", path.display()))
                .mend("mend that line; strings stand in quotes, tables begin with [name]")
        })?;
        Ok(Self { path, table, text })
    }

    /// `mooring.toml:12`, as near to the key as can be told.
    pub fn place(&self, section: &Section, row: Option<usize>, key: Option<&str>) -> String {
        match self.line(section.name, row, key) {
            Some(line) => format!("{}:{line}", self.path.display()),
            None => self.path.display().to_string(),
        }
    }

    fn line(&self, section: &str, row: Option<usize>, key: Option<&str>) -> Option<usize> {
        // The file is read once more, now with positions: this happens only on the way out.
        let root = DeTable::parse(&self.text).ok()?;
        let (mut at, mut table) = (0, Some(root.get_ref()));
        if !section.is_empty() {
            let (start, value) = entry(root.get_ref(), section)?;
            let row = row.and_then(|row| value.as_array()?.get(row));
            (at, table) = match row {
                Some(row) => (row.span().start, row.get_ref().as_table()),
                None => (start, value.as_table()),
            };
        }
        if let Some((start, _)) = key.and_then(|key| entry(table?, key)) {
            at = start;
        }
        Some(line_at(&self.text, at))
    }
}

fn entry<'t, 'i>(table: &'t DeTable<'i>, name: &str) -> Option<(usize, &'t DeValue<'i>)> {
    let (key, value) = table.iter().find(|(key, _)| key.get_ref() == name)?;
    Some((key.span().start, value.get_ref()))
}

fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

impl Given {
    /// Reads the file.
    pub fn gather(sources: Sources) -> Result<Self, Stop> {
        Self::checked(sources.file.map(File::read).transpose()?, sources.environment)
    }

    /// Refuses what nobody will ask for.
    pub fn checked(file: Option<File>, environment: Vec<(String, String)>) -> Result<Self, Stop> {
        let given = Self { file, environment };
        unknown::refuse(&given)?;
        Ok(given)
    }

    /// A section that stands once.
    pub fn section(&self, section: &'static Section) -> Reader<'_> {
        let root = self.file.as_ref().map(|file| &file.table);
        let table = match section.name {
            "" => root,
            name => root.and_then(|table| table.get(name)).and_then(toml::Value::as_table),
        };
        Reader { given: self, section, table, row: None }
    }

    /// The tables of a repeated section, in the order of the file.
    pub fn rows(&self, section: &'static Section) -> Vec<Reader<'_>> {
        let rows = self.file.as_ref().and_then(|file| file.table.get(section.name)).and_then(toml::Value::as_array);
        let tables = rows.into_iter().flatten().filter_map(toml::Value::as_table);
        tables
            .enumerate()
            .map(|(row, table)| Reader { given: self, section, table: Some(table), row: Some(row) })
            .collect()
    }

    fn variable(&self, name: &str) -> Option<&str> {
        self.environment.iter().find(|(given, _)| given == name).map(|(_, text)| text.as_str())
    }
}

/// Reads the keys of one section or row.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    given: &'a Given,
    section: &'static Section,
    table: Option<&'a toml::Table>,
    row: Option<usize>,
}

/// Where a value was found: the environment goes before the file.
enum Found<'a> {
    Variable(String, &'a str),
    Entry(&'a toml::Value),
}

impl<'a> Reader<'a> {
    /// The value, or its default, or a [`Stop`] that says it is required.
    pub fn get<V: Value>(&self, key: &Key<V>) -> Result<V, Stop> {
        if let Some(value) = self.find(key)? {
            return Ok(value);
        }
        match key.absent {
            Absent::Means(default) => V::of_text(default).ok_or_else(|| self.wrong(key, V::expected())),
            Absent::Refused | Absent::Special(_) => Err(self.missing(key.name, &V::expected())),
        }
    }

    /// The value, if it was given.
    pub fn find<V: Value>(&self, key: &Key<V>) -> Result<Option<V>, Stop> {
        let value = match self.look_up(key) {
            None => return Ok(None),
            // A variable that is not UTF-8 arrives with replacement characters (`Sources::process`).
            Some(Found::Variable(_, text)) if text.contains('\u{fffd}') => None,
            Some(Found::Variable(_, text)) => V::of_text(text),
            Some(Found::Entry(value)) => V::of_toml(value),
        };
        value.map(Some).ok_or_else(|| self.wrong(key, format!("expected {}", V::expected())))
    }

    /// [`Self::get`] for what must be longer than nothing.
    pub fn positive(&self, key: &Key<TimeDelta>) -> Result<TimeDelta, Stop> {
        let duration = self.get(key)?;
        if duration.is_zero() { Err(self.wrong(key, "it must be longer than 0s")) } else { Ok(duration) }
    }

    fn look_up<V: Value>(&self, key: &Key<V>) -> Option<Found<'a>> {
        let variables = [Some(self.section.variable(key.name)), key.alias.map(ToOwned::to_owned)];
        for name in variables.into_iter().flatten().filter(|_| !self.section.repeated) {
            // Compose files and the like set what they do not know to the empty text.
            if let Some(text) = self.given.variable(&name).filter(|text| V::LIST || !text.is_empty()) {
                return Some(Found::Variable(name, text));
            }
        }
        self.table.and_then(|table| table.get(key.name)).map(Found::Entry)
    }

    /// A refusal of what this key was given; `mend` says what would do.
    pub fn wrong<V: Value>(&self, key: &Key<V>, mend: impl std::fmt::Display) -> Stop {
        let path = self.section.path(key.name);
        let what = match self.look_up(key) {
            Some(Found::Variable(name, text)) => {
                format!("the variable {name}{} is not valid", shown(V::SECRET, &toml::Value::from(text)))
            }
            Some(Found::Entry(value)) => {
                format!("{}: {path}{} is not valid", self.place(Some(key.name)), shown(V::SECRET, value))
            }
            None => match key.absent {
                Absent::Means(default) => format!("{path} = {default} (its default) does not do here"),
                Absent::Refused | Absent::Special(_) => format!("{path} is not set"),
            },
        };
        Stop::new(what).mend(mend)
    }

    /// A refusal of an entry that is not described by a [`Key`]; `secret`: do not repeat its value.
    pub fn wrong_entry(&self, name: &str, secret: bool, mend: impl std::fmt::Display) -> Stop {
        let (place, path) = (self.place(Some(name)), self.section.path(name));
        match self.table.and_then(|table| table.get(name)) {
            Some(value) => Stop::new(format!("{place}: {path}{} is not valid", shown(secret, value))),
            None => Stop::new(format!("{place}: {path} is not set")),
        }
        .mend(mend)
    }

    /// A refusal because a key is not there.
    pub fn missing(&self, name: &str, expected: &str) -> Stop {
        let stop = if self.section.repeated {
            Stop::new(format!("{}: this {} has no {name}", self.place(None), self.section.header()))
        } else {
            Stop::new(format!("{} is not set", self.section.path(name)))
        };
        let variable = self.section.variable(name);
        let also = if self.section.repeated { String::new() } else { format!(" (or the variable {variable})") };
        stop.mend(format!("set {}{also}: {expected}", self.section.path(name)))
    }

    /// The entries of this row as they stand in the file.
    pub fn entries(&self) -> impl Iterator<Item = (&'a String, &'a toml::Value)> {
        self.table.into_iter().flatten()
    }

    fn place(&self, key: Option<&str>) -> String {
        let file = self.given.file.as_ref();
        file.map_or_else(String::new, |file| file.place(self.section, self.row, key))
    }
}

fn shown(secret: bool, value: &toml::Value) -> String {
    if secret {
        return String::new();
    }
    // One line, whatever was written.
    let text = match value {
        toml::Value::String(text) => format!("{text:?}"),
        other => other.to_string().replace('\n', " "),
    };
    let cut =
        if text.chars().count() > 80 { format!("{}…", text.chars().take(80).collect::<String>()) } else { text };
    format!(" = {cut}")
}
