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
    retryable: bool,
}

impl Broken {
    /// `what` is for the log: the operation and the cause, never a secret.
    #[track_caller]
    pub fn new(what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), at: Location::caller(), retryable: false }
    }

    /// The database could not be reached: the caller may try again (503 rather than 500).
    #[track_caller]
    pub fn unavailable(what: impl fmt::Display) -> Self {
        Self { what: what.to_string(), at: Location::caller(), retryable: true }
    }

    /// Whether trying the same thing again may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.retryable
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
        if broken.retryable { stop.mend("check DATABASE_URL, and that PostgreSQL is running") } else { stop }
    }
}
