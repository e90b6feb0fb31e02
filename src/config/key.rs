//! Keys and sections as data: reading, the search for unknown keys, and the reference all derive from them.

use std::{borrow::Cow, marker::PhantomData};

use super::value::Value;
use crate::oauth::client_metadata::Member;

/// One key, and the type of its value.
#[derive(Debug)]
pub struct Key<V> {
    pub name: &'static str,
    pub doc: &'static str,
    pub absent: Absent,
    /// A variable by which others know it too; `MOORING_…` wins over it.
    pub alias: Option<&'static str>,
    value: PhantomData<fn() -> V>,
}

/// What it means that a key was not given.
#[derive(Clone, Copy, Debug)]
pub enum Absent {
    /// The start is refused.
    Refused,
    /// This value, written as in a variable.
    Means(&'static str),
    /// Said in words for the reference; the section knows what it comes to.
    Special(&'static str),
}

impl<V: Value> Key<V> {
    pub const fn required(name: &'static str, doc: &'static str) -> Self {
        Self { name, doc, absent: Absent::Refused, alias: None, value: PhantomData }
    }

    pub const fn or(name: &'static str, default: &'static str, doc: &'static str) -> Self {
        Self { name, doc, absent: Absent::Means(default), alias: None, value: PhantomData }
    }

    pub const fn optional(name: &'static str, otherwise: &'static str, doc: &'static str) -> Self {
        Self { name, doc, absent: Absent::Special(otherwise), alias: None, value: PhantomData }
    }

    pub const fn also(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }
}

/// What people are told about a key.
pub trait Described: Sync {
    fn name(&self) -> &'static str;
    fn kind(&self) -> Cow<'static, str>;
    fn default(&self) -> Cow<'static, str>;
    fn doc(&self) -> &'static str;
    fn alias(&self) -> Option<&'static str> {
        None
    }
    /// Whether `name#language` may stand beside it.
    fn is_localised(&self) -> bool {
        false
    }
}

impl<V: Value> Described for Key<V> {
    fn name(&self) -> &'static str {
        self.name
    }
    fn kind(&self) -> Cow<'static, str> {
        V::kind()
    }
    fn default(&self) -> Cow<'static, str> {
        match self.absent {
            Absent::Refused => "required".into(),
            Absent::Means("") => "`[]`".into(),
            Absent::Means(text) => format!("`{text}`").into(),
            Absent::Special(words) => words.into(),
        }
    }
    fn doc(&self) -> &'static str {
        self.doc
    }
    fn alias(&self) -> Option<&'static str> {
        self.alias
    }
}

impl Described for Member {
    fn name(&self) -> &'static str {
        self.name
    }
    fn kind(&self) -> Cow<'static, str> {
        self.kind.into()
    }
    fn default(&self) -> Cow<'static, str> {
        if self.default.is_empty() { "".into() } else { format!("`{}`", self.default).into() }
    }
    fn doc(&self) -> &'static str {
        self.doc
    }
    fn is_localised(&self) -> bool {
        self.localised
    }
}

/// A table of the file: `[name]`, or `[[name]]` when it is repeated, or what stands before the first table.
#[derive(Debug)]
pub struct Section {
    /// Empty for what stands before the first table.
    pub name: &'static str,
    pub doc: &'static str,
    /// `[[name]]`: comes from the file only.
    pub repeated: bool,
    pub keys: fn() -> Vec<&'static dyn Described>,
}

impl Section {
    /// The header as it stands in the file.
    pub fn header(&self) -> String {
        match self {
            Self { repeated: true, name, .. } => format!("[[{name}]]"),
            Self { name, .. } => format!("[{name}]"),
        }
    }

    /// `sessions.idle`, or `issuer`.
    pub fn path(&self, key: &str) -> String {
        if self.name.is_empty() { key.to_owned() } else { format!("{}.{key}", self.name) }
    }

    /// `MOORING_SESSIONS__IDLE`, or `MOORING_ISSUER`.
    pub fn variable(&self, key: &str) -> String {
        let name = if self.name.is_empty() { key.to_owned() } else { format!("{}__{key}", self.name) };
        format!("MOORING_{}", name.to_ascii_uppercase())
    }
}
