//! The reference of the configuration, in Markdown, made from the same lists that reading uses.

use std::fmt::{self, Write};

use super::{Config, ELSEWHERE, SECTIONS, key::Section};

const PREFACE: &str = "\
# Configuration

`--config FILE` (or `MOORING_CONFIG`) names a TOML file. Every key is also a variable of the environment, which goes
before the file: `MOORING_KEY`, or `MOORING_SECTION__KEY` with two underscores. Lists are separated by commas there, and
an empty variable counts as not set (for a list: as empty). Repeated tables (`[[…]]`) come from the file only.

A key or a `MOORING_` variable that is not known stops the start, and so does a value that is not valid. Durations are
a number and a unit: `500ms`, `60s`, `30m`, `12h`, `90d`, `7y` (of 365 days). Relative paths start at the working directory.
";

impl Config {
    /// The reference in Markdown.
    #[must_use]
    pub fn reference() -> String {
        let mut text = String::from(PREFACE);
        // Writing to a `String` does not fail.
        let _ = SECTIONS.iter().try_for_each(|section| describe(&mut text, section));
        let _ = others(&mut text);
        text
    }
}

fn describe(text: &mut String, section: &Section) -> fmt::Result {
    let header = if section.name.is_empty() { "General".to_owned() } else { format!("`{}`", section.header()) };
    writeln!(text, "\n## {header}\n\n{}\n", section.doc)?;
    let (variable, rule) = if section.repeated { ("", "") } else { (" Variable |", " --- |") };
    writeln!(text, "| Key | Type | Default | What it is |{variable}\n| --- | --- | --- | --- |{rule}")?;
    for key in (section.keys)() {
        write!(text, "| `{}` | {} | {} | {} |", key.name(), cell(&key.kind()), cell(&key.default()), cell(key.doc()))?;
        if !section.repeated {
            write!(text, " `{}`", section.variable(key.name()))?;
            if let Some(alias) = key.alias() {
                write!(text, ", else `{alias}`")?;
            }
            write!(text, " |")?;
        }
        writeln!(text)?;
    }
    Ok(())
}

fn others(text: &mut String) -> fmt::Result {
    writeln!(text, "\n## Other variables\n\n| Variable | What it is |\n| --- | --- |")?;
    ELSEWHERE.iter().try_for_each(|(name, doc)| writeln!(text, "| `{name}` | {} |", cell(doc)))
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
