//! What a SQLSTATE says about a statement that failed (PostgreSQL, appendix A).
//!
//! The code decides, never the words: those are in the language of the server, and poolers have their own.

use std::{error::Error, fmt, io};

use tokio_postgres::error::Severity;

use crate::failure::Broken;

/// Why a statement failed.
#[derive(Debug)]
pub(super) struct Trouble {
    meaning: Meaning,
    text: String,
}

/// What a failed statement asks for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Meaning {
    /// The connection is of no more use. The statement was refused or undone, so it may be sent again.
    Undone,
    /// The connection is of no more use. Whether the statement was carried out is not known.
    Lost,
    /// It may succeed later.
    Busy,
    /// A lock was not to be had in time.
    Locked,
    /// It will not succeed.
    Wrong,
}

impl Meaning {
    /// `ends`: PostgreSQL closes the connection with it.
    fn of(code: &str, ends: bool) -> Self {
        match code {
            // A server that only reads, that stops, or that is not ready yet; a transaction that was left alone for too long; what
            // was prepared is no more, for another release changed a table or a pooler stands in between.
            "25006" | "25P03" | "25P04" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "0A000" | "26000"
            | "42P05" => Self::Undone,
            _ => match code.get(..2) {
                // A pooler says so, too, when it loses its server in the middle of something.
                Some("08") => Self::Lost,
                // Who may connect, to what, and whether there is room: said before anything is carried out. Another end of the connection
                // may come from a pooler whose server was lost in the middle of something.
                Some("28" | "3D" | "53") if ends => Self::Undone,
                _ if ends => Self::Lost,
                // 40 is a conflict with another transaction, 53 no room, 57 an operator's doing, 58 an error of the system.
                Some("40" | "53" | "57" | "58") => Self::Busy,
                _ if code == "55P03" => Self::Locked,
                _ => Self::Wrong,
            },
        }
    }
}

impl Trouble {
    pub(super) fn of(error: &tokio_postgres::Error) -> Self {
        if let Some(answer) = error.as_db_error() {
            let ends = matches!(answer.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
            let code = answer.code().code();
            // Not its detail, which quotes what is stored.
            return Self { meaning: Meaning::of(code, ends), text: format!("{code}: {}", answer.message()) };
        }
        let cause = error.source();
        let is_cut = error.is_closed() || cause.is_some_and(<dyn Error>::is::<io::Error>);
        let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        Self { meaning: if is_cut { Meaning::Lost } else { Meaning::Wrong }, text: format!("{error}{cause}") }
    }

    /// Whether the connection is of no more use.
    pub(super) fn is_lost(&self) -> bool {
        matches!(self.meaning, Meaning::Undone | Meaning::Lost)
    }

    /// As what a request breaks.
    #[track_caller]
    pub(super) fn broken(&self, what: impl fmt::Display) -> Broken {
        let what = format_args!("{what}: {self}");
        match self.meaning {
            Meaning::Undone => Broken::undone(what),
            Meaning::Lost => Broken::lost(what),
            Meaning::Busy => Broken::unavailable(what),
            Meaning::Locked => Broken::locked(what),
            Meaning::Wrong => Broken::new(what),
        }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Trouble {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_says_what_becomes_of_the_connection() {
        for (code, ends, meaning) in [
            ("25006", false, Meaning::Undone),
            ("57P01", true, Meaning::Undone),
            ("57P02", true, Meaning::Undone),
            ("57P03", true, Meaning::Undone),
            ("26000", false, Meaning::Undone),
            ("08006", true, Meaning::Lost),
            ("08P01", true, Meaning::Lost),
            ("40001", false, Meaning::Busy),
            ("40P01", false, Meaning::Busy),
            ("53100", false, Meaning::Busy),
            ("53200", true, Meaning::Undone),
            ("28P01", true, Meaning::Undone),
            ("58000", true, Meaning::Lost),
            ("XX000", true, Meaning::Lost),
            ("53300", false, Meaning::Busy),
            ("55P03", false, Meaning::Locked),
            ("57014", false, Meaning::Busy),
            ("58030", false, Meaning::Busy),
            ("23505", false, Meaning::Wrong),
            ("42601", false, Meaning::Wrong),
            ("XX000", false, Meaning::Wrong),
        ] {
            assert_eq!(Meaning::of(code, ends), meaning, "{code}");
        }
    }
}
