//! Sessions that nobody signed in to, made in the database: for what depends on how many there are, such as the first flow of
//! a session in a minute, which people's flows are.

use std::{fs, path::Path, sync::OnceLock};

use mooring::{
    jose::{MasterSecret, Purpose},
    sessions::{CookieNames, Cookies},
};
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

use crate::{Fallible, server::USERNAME};

static SOURCE: OnceLock<(String, Cookies)> = OnceLock::new();

/// Where sessions are made: the owner's URL of the database, and the data directory with the master secret; and the port of the
/// server that they are for.
pub fn from(url: &str, data_dir: &Path, port: u16) -> Fallible<()> {
    let master = MasterSecret::from_bytes(&fs::read(data_dir.join("master.key"))?).map_err(|stop| stop.to_string())?;
    let cookies = Cookies::new(master.derive(Purpose::Cookies), CookieNames::new(false, Some(port), ""));
    SOURCE.set((url.to_owned(), cookies)).map_err(|_| "sessions come from one database")?;
    Ok(())
}

async fn connect(url: &str) -> Fallible<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            eprintln!("the connection to PostgreSQL ended: {error}");
        }
    });
    Ok(client)
}

/// The `Cookie` line of a session.
pub fn cookie(id: Uuid) -> Fallible<String> {
    let (_, cookies) = SOURCE.get().ok_or("nobody said where sessions are made")?;
    Ok(format!("Cookie: {}={}\r\n", cookies.name(), cookies.value(id, 0)))
}

/// So many sessions of the person, each of which the client knows and was last seen two minutes ago.
pub async fn sessions(client: &str, count: usize) -> Fallible<Vec<Uuid>> {
    let (url, _) = SOURCE.get().ok_or("nobody said where sessions are made")?;
    let database = connect(url).await?;
    let count = i64::try_from(count)?;
    let rows = database
        .query(
            "WITH s AS (INSERT INTO sessions (id, kind, user_id, acr, amr, auth_time, epoch, idle_timeout, expires_at, created_at, \
                 look_at) SELECT new_id(now()), 'user', u.id, 'urn:mooring:acr:pwd', '{pwd}', now(), u.session_epoch, \
                 interval '30 minutes', now() + interval '12 hours', now(), now() + interval '28 minutes' \
                 FROM users u, generate_series(1, $2::bigint) WHERE u.username = $3 RETURNING id), \
             a AS (INSERT INTO session_activity (session_id, last_seen_at) SELECT id, now() - interval '2 minutes' FROM s), \
             k AS (INSERT INTO session_clients SELECT id, $1, gen_random_uuid(), now() FROM s) SELECT id::text FROM s",
            &[&client, &count, &USERNAME],
        )
        .await?;
    rows.iter().map(|row| Ok(row.get::<_, String>(0).parse()?)).collect()
}
