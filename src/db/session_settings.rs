//! What every connection relies on, whatever a database, a role or a server sets as its own default.
//!
//! It travels with the connection's start, so it costs nothing. A pooler that hands one server connection to many clients drops
//! it or refuses it: then the defaults of the database count, and those that must not differ are checked.

use tokio_postgres::{Client, SimpleQueryMessage, config::TargetSessionAttrs};

/// The schema of our tables. The functions that run with the owner's rights name it, so there is no other.
const SCHEMA: &str = "public";

/// The name of a setting that says that the others arrived.
const MARK: &str = "mooring.settings";

/// Each with its value.
///
/// Left to the operator: `synchronous_commit`, `default_transaction_read_only`, and what is about memory and logs.
const SETTINGS: &[(&str, &str)] = &[
    (MARK, "on"),
    // Plans are made once a connection and must not depend on how small the tables were then.
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("jit", "off"),
    ("from_collapse_limit", "16"),
    ("join_collapse_limit", "16"),
    ("geqo", "off"),
    // What is decided under a lock is read after the lock was had, which other levels refuse (SQLSTATE 40001).
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_deferrable", "off"),
    ("search_path", SCHEMA),
    ("row_security", "on"),
    // How values look where a statement or a function turns them into text.
    ("TimeZone", "UTC"),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "1"),
    ("bytea_output", "hex"),
    ("standard_conforming_strings", "on"),
    ("transform_null_equals", "off"),
    // How long a unit of work may take is said by the unit. Nothing waits for anything but the database within a
    // transaction: one that does was left behind by a machine that is gone, with its locks.
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("idle_in_transaction_session_timeout", "10s"),
];

/// As the startup parameter `options`; those of the URL come last and win.
pub(super) fn options(own: Option<&str>) -> String {
    let ours = SETTINGS.iter().map(|(name, value)| format!("-c {name}={}", value.replace(' ', "\\ ")));
    ours.chain(own.map(str::to_owned)).collect::<Vec<_>>().join(" ")
}

/// What a new connection found set.
pub(super) struct Found {
    /// Whether what we ask for arrived at PostgreSQL.
    pub(super) are_ours: bool,
    /// Absent: none that the role may use.
    schema: Option<String>,
    isolation: String,
    only_reads: bool,
    role: String,
}

impl Found {
    pub(super) async fn ask(client: &Client) -> Result<Self, tokio_postgres::Error> {
        let answer = client
            .simple_query(&format!(
                "SELECT current_setting('{MARK}', true), current_schema(), current_setting('default_transaction_isolation'), \
                 current_setting('transaction_read_only'), current_user"
            ))
            .await?;
        let row = answer.into_iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => Some(row),
            _ => None,
        });
        let text = |place| row.as_ref().and_then(|row| row.get(place)).map(str::to_owned);
        Ok(Self {
            are_ours: text(0).as_deref() == Some("on"),
            schema: text(1),
            isolation: text(2).unwrap_or_default(),
            only_reads: text(3).as_deref() == Some("on"),
            role: text(4).unwrap_or_default(),
        })
    }

    /// Refuses a connection that would not do what it is for, and says what to set.
    pub(super) fn check(&self, wanted: TargetSessionAttrs) -> Result<(), String> {
        if self.only_reads && wanted == TargetSessionAttrs::ReadWrite {
            return Err("the server only reads (it is a standby, or default_transaction_read_only is on)".to_owned());
        }
        let role = self.role.replace('"', "\"\"");
        match self.schema.as_deref() {
            Some(SCHEMA) => {}
            None => {
                return Err(format!(
                    "there is no schema {SCHEMA} that role {} may use; Mooring keeps its tables there",
                    self.role
                ));
            }
            Some(other) if self.are_ours => {
                return Err(format!(
                    "search_path in the database URL leads to schema {other}, and Mooring keeps its tables in schema \
                     {SCHEMA}; leave search_path out"
                ));
            }
            Some(other) => {
                return Err(format!(
                    "behind the pooler search_path leads to schema {other}; run ALTER ROLE \"{role}\" SET search_path = {SCHEMA}"
                ));
            }
        }
        if self.isolation != "read committed" {
            let cure = if self.are_ours {
                "leave default_transaction_isolation out of the database URL".to_owned()
            } else {
                format!(
                    "behind the pooler run ALTER ROLE \"{role}\" SET default_transaction_isolation = 'read committed'"
                )
            };
            return Err(format!("transactions are {} and have to be read committed; {cure}", self.isolation));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_of_the_url_come_last() {
        let options = options(Some("-c enable_seqscan=on"));
        assert!(options.starts_with("-c mooring.settings=on -c plan_cache_mode=force_generic_plan "));
        assert!(options.contains("-c default_transaction_isolation=read\\ committed "));
        assert!(options.ends_with(" -c enable_seqscan=on"));
    }

    #[test]
    fn what_must_be_set_is_said_in_one_sentence() {
        let found = |are_ours, schema: Option<&str>, isolation: &str, only_reads| Found {
            are_ours,
            schema: schema.map(str::to_owned),
            isolation: isolation.to_owned(),
            only_reads,
            role: "server".to_owned(),
        };
        let check = |found: Found| found.check(TargetSessionAttrs::ReadWrite);
        assert_eq!(check(found(true, Some("public"), "read committed", false)), Ok(()));
        assert_eq!(check(found(false, Some("public"), "read committed", false)), Ok(()));
        let refused = |found, word: &str| {
            let why = check(found).unwrap_err();
            assert!(why.contains(word) && !why.contains('\n'), "{why}");
        };
        refused(found(true, Some("public"), "read committed", true), "only reads");
        refused(found(true, Some("other"), "read committed", false), "leave search_path out");
        refused(found(true, None, "read committed", false), "no schema public");
        refused(found(false, Some("other"), "read committed", false), "ALTER ROLE \"server\" SET search_path");
        refused(found(false, Some("public"), "serializable", false), "SET default_transaction_isolation");
        let any = found(true, Some("public"), "read committed", true).check(TargetSessionAttrs::Any);
        assert_eq!(any, Ok(()));
    }
}
