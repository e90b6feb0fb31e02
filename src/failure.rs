//! What can go wrong, told apart by who has to do something about it.
//!
//! A request ends in a [`Failure`]: either it was *refused* (the caller's doing, said in the words of a
//! specification) or something *broke* (ours; the caller learns nothing of the cause). A program that cannot start
//! or a command that cannot do its work ends in a [`Stop`].
//!
//! There is no blanket `From`: whoever meets an error of a library says what it means here.

use std::{fmt, panic::Location};

use crate::oauth;

/// Why a request did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The caller may not, or asked wrongly.
    Refused(oauth::Error),
    /// Something of ours did not work. The caller sees `server_error` and a request id.
    Broken(Broken),
}

impl From<oauth::Error> for Failure {
    fn from(error: oauth::Error) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    /// The failure of ours, unless the caller was refused.
    #[must_use]
    pub fn broken(&self) -> Option<&Broken> {
        match self {
            Self::Broken(broken) => Some(broken),
            Self::Refused(_) => None,
        }
    }
}

impl From<Broken> for Failure {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}

/// A defect or a dependency that failed; it goes to the log with the place where it was met.
#[derive(Clone, Debug)]
pub struct Broken {
    what: String,
    at: &'static Location<'static>,
    kind: Kind,
}

/// What a failure says about a second try.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    /// It would fail again.
    Defect,
    /// It may succeed later.
    Busy,
    /// A lock was not to be had in time.
    Locked,
    /// The connection to the database was lost; whether the last statement was carried out is not known.
    Lost,
    /// The connection to the database is of no more use; the last statement was not carried out.
    Undone,
}

impl Broken {
    /// `what` is for the log: the operation and the cause, never a secret.
    #[track_caller]
    pub fn new(what: impl fmt::Display) -> Self {
        Self::of(Kind::Defect, what)
    }

    /// Something is not to be had just now: the caller may try again (503 rather than 500).
    #[track_caller]
    pub fn unavailable(what: impl fmt::Display) -> Self {
        Self::of(Kind::Busy, what)
    }

    /// A lock of the database was not to be had in time (503).
    #[track_caller]
    pub fn locked(what: impl fmt::Display) -> Self {
        Self::of(Kind::Locked, what)
    }

    /// The database went away with a statement under way (503). What only reads, and what was not committed, may be done again.
    #[track_caller]
    pub fn lost(what: impl fmt::Display) -> Self {
        Self::of(Kind::Lost, what)
    }

    /// The database refused to go on with this connection (503). The statement may be sent again on another.
    #[track_caller]
    pub fn undone(what: impl fmt::Display) -> Self {
        Self::of(Kind::Undone, what)
    }

    #[track_caller]
    fn of(kind: Kind, what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), at: Location::caller(), kind }
    }

    /// The same, of a transaction that was not committed: losing its connection undid it.
    #[must_use]
    pub fn before_commit(mut self) -> Self {
        if self.kind == Kind::Lost {
            self.kind = Kind::Undone;
        }
        self
    }

    /// Whether trying the same thing again may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.kind != Kind::Defect
    }

    /// Whether a lock of the database was not to be had in time.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.kind == Kind::Locked
    }

    /// Whether the connection to the database is of no more use.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        matches!(self.kind, Kind::Lost | Kind::Undone)
    }

    /// Whether the connection is of no more use, and the last statement was surely not carried out.
    #[must_use]
    pub fn is_undone(&self) -> bool {
        self.kind == Kind::Undone
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (at {}:{})", self.what, self.at.file(), self.at.line())
    }
}

impl std::error::Error for Broken {}

/// Why the program stops: what is wrong, and what mends it. Each of them is one line, whatever a library said.
#[derive(Debug)]
pub struct Stop {
    what: String,
    mend: Option<String>,
    usage: bool,
}

impl Stop {
    /// The work cannot be done (exit code 1).
    pub fn new(what: impl fmt::Display) -> Self {
        Self { what: one_line(what), mend: None, usage: false }
    }

    /// The command was called wrongly (exit code 2).
    pub fn usage(what: impl fmt::Display) -> Self {
        Self { what: one_line(what), mend: None, usage: true }
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn mend(mut self, mend: impl fmt::Display) -> Self {
        self.mend = Some(one_line(mend));
        self
    }

    /// All of it on one line.
    #[must_use]
    pub fn line(&self) -> String {
        match &self.mend {
            Some(mend) => format!("mooring: {}; {mend}", self.what),
            None => format!("mooring: {}", self.what),
        }
    }

    /// The process's exit code: 1 failed, 2 wrong usage.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        if self.usage { 2 } else { 1 }
    }
}

fn one_line(text: impl fmt::Display) -> String {
    let text = text.to_string();
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "mooring: {}", self.what)?;
        if let Some(mend) = &self.mend {
            write!(f, "\n  {mend}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Stop {}

impl From<Broken> for Stop {
    /// Where in the source it was met is for the log, not for whoever called a command.
    fn from(broken: Broken) -> Self {
        let stop = Self::new(&broken.what);
        if broken.is_retryable() { stop.mend("check DATABASE_URL, and that PostgreSQL is running") } else { stop }
    }
}
