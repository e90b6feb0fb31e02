//! Which PostgreSQL, and how many connections to it.

use std::{borrow::Cow, fmt, num::NonZeroUsize};

use super::{
    given::Reader,
    key::{Key, Section},
    value::Value,
};
use crate::failure::Stop;

/// A connection URL: it may hold a password, so it is never repeated.
struct DatabaseUrl(String);

impl Value for DatabaseUrl {
    const SECRET: bool = true;
    fn kind() -> Cow<'static, str> {
        "URL".into()
    }
    fn expected() -> Cow<'static, str> {
        "a URL that begins with postgres:// or postgresql://".into()
    }
    fn of_text(text: &str) -> Option<Self> {
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        is_url.then(|| Self(text.to_owned()))
    }
}

static URL: Key<DatabaseUrl> = Key::optional(
    "url",
    "the embedded cluster in `data_dir`",
    "A PostgreSQL of version 15 or later; `?sslmode=verify-full` for TLS. Several hosts may stand in it: the one that takes writes \
     is used, unless `target_session_attrs` says otherwise. Behind PgBouncer in transaction mode it works, with less speed: statements \
     are not prepared.",
)
.also("DATABASE_URL");
static MIGRATE_URL: Key<DatabaseUrl> = Key::optional(
    "migrate_url",
    "`url`",
    "The same database as the role that owns it, for migrations; PostgreSQL itself, not a pooler.",
);
static MAX_CONNECTIONS: Key<NonZeroUsize> = Key::or(
    "max_connections",
    "16",
    "Connections of this server; all replicas together need fewer than PostgreSQL has.",
);

pub static SECTION: Section = Section {
    name: "database",
    doc: "Without `url` the server keeps a PostgreSQL of its own in `data_dir`.",
    repeated: false,
    keys: || vec![&URL, &MIGRATE_URL, &MAX_CONNECTIONS],
};

/// Which database.
#[derive(Clone, PartialEq, Eq)]
pub struct Database {
    /// Absent: the embedded cluster.
    pub url: Option<String>,
    /// Absent: migrations use `url`.
    pub migrate_url: Option<String>,
    pub max_connections: usize,
}

/// Says which are set, never what they are: the password can stand in more than one place of a URL.
impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("url", &self.url.as_ref().map(|_| "…"))
            .field("migrate_url", &self.migrate_url.as_ref().map(|_| "…"))
            .field("max_connections", &self.max_connections)
            .finish()
    }
}

pub fn read(from: &Reader<'_>) -> Result<Database, Stop> {
    let url = from.find(&URL)?.map(|url| url.0);
    let migrate_url = from.find(&MIGRATE_URL)?.map(|url| url.0);
    if migrate_url.is_some() && url.is_none() {
        return Err(
            from.wrong(&MIGRATE_URL, "it needs database.url (or DATABASE_URL), the same database for the server")
        );
    }
    Ok(Database { url, migrate_url, max_connections: from.get(&MAX_CONNECTIONS)?.get() })
}
