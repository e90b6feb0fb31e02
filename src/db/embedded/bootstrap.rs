//! Making a cluster: `initdb`, then the two roles and the database. What migrations do is not done here.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
};

use tokio_postgres::{Client, NoTls};

use super::{
    DATABASE, OWNER, SERVER, Settings,
    account::Account,
    binaries::Binaries,
    place::{Endpoint, Place, cannot},
};
use crate::failure::Stop;

const SUPERUSER: &str = "postgres";

/// Makes an empty cluster. It takes its place in one step, so that half a cluster is never found there.
pub(super) async fn initdb(place: &Place, binaries: &Binaries, settings: &Settings) -> Result<(), Stop> {
    tracing::info!(cluster = %place.cluster().display(), version = ?binaries.version, "making the embedded database");
    let draft = place.root.join("new");
    let maker = place.account.with_a_name()?;
    let broken = |error: io::Error| cannot("prepare", &draft, &error);
    clear(&draft).and_then(|()| prepare(place, maker, &draft)).map_err(broken)?;

    let mut command = maker.command(&binaries.program("initdb"), &draft);
    command.args(["--encoding=UTF8", "--no-locale", "--data-checksums", "--auth=scram-sha-256", "--no-instructions"]);
    command.arg(format!("--username={SUPERUSER}"));
    command.arg("--pwfile").arg(draft.join("password")).arg("-D").arg(draft.join("cluster"));
    if !settings.durable {
        command.arg("--no-sync");
    }
    let made = tokio::process::Command::from(command).kill_on_drop(true).output().await;
    let made = made.map_err(|error| cannot("run", &binaries.program("initdb"), &error))?;
    if !made.status.success() {
        return Err(refused(&String::from_utf8_lossy(&made.stderr)));
    }
    fs::remove_file(draft.join("password"))
        .and_then(|()| place.account.own_tree(&draft.join("cluster")))
        .and_then(|()| clear(&place.cluster()))
        .and_then(|()| fs::rename(draft.join("cluster"), place.cluster()))
        .and_then(|()| clear(&draft))
        .and_then(|()| fs::File::open(&place.root)?.sync_all())
        .map_err(broken)
}

fn clear(directory: &Path) -> io::Result<()> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A place that only the account's group enters, for `maker` may have its uid in common with others.
fn prepare(place: &Place, maker: Account, draft: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(0o700).create(draft)?;
    if maker.is_other() {
        maker.share(draft)?;
        fs::set_permissions(draft, fs::Permissions::from_mode(0o710))?;
    }
    fs::DirBuilder::new().mode(0o700).create(draft.join("cluster"))?;
    maker.own(&draft.join("cluster"))?;
    let password = draft.join("password");
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&password)?;
    file.write_all(place.superuser_password().as_bytes())?;
    maker.own(&password)
}

fn refused(said: &str) -> Stop {
    let line = said.lines().find(|line| line.contains("error:") || line.contains("FATAL")).or(said.lines().last());
    let stop = Stop::new(format_args!("initdb failed: {}", line.unwrap_or("it did not say why")));
    if said.contains("could not look up effective user ID") {
        return stop
            .mend("initdb insists on a name for the uid it runs as: add one to /etc/passwd, or set DATABASE_URL");
    }
    stop
}

/// Makes the roles and the database, or what of them a crash has left out.
pub(super) async fn roles(place: &Place) -> Result<(), Stop> {
    let failed = |error: tokio_postgres::Error| {
        let why = error.as_db_error().map_or_else(|| error.to_string(), |said| said.message().to_owned());
        Stop::new(format_args!("cannot make the roles and the database of the embedded PostgreSQL: {why}"))
    };
    let client = connect(place).await.map_err(failed)?;
    // The passwords are hexadecimal: nothing in them ends a literal.
    for (role, may, password) in [(OWNER, "CREATEDB", place.owner_password()), (SERVER, "", place.server_password())] {
        let known = client.query("SELECT FROM pg_roles WHERE rolname = $1", &[&role]).await.map_err(failed)?;
        let verb = if known.is_empty() { "CREATE" } else { "ALTER" };
        client.batch_execute(&format!("{verb} ROLE {role} LOGIN {may} PASSWORD '{password}'")).await.map_err(failed)?;
    }
    let known = client.query("SELECT FROM pg_database WHERE datname = $1", &[&DATABASE]).await.map_err(failed)?;
    if known.is_empty() {
        client.batch_execute(&format!("CREATE DATABASE {DATABASE} OWNER {OWNER}")).await.map_err(failed)?;
    }
    let rights =
        format!("REVOKE ALL ON DATABASE {DATABASE} FROM PUBLIC; GRANT CONNECT ON DATABASE {DATABASE} TO {SERVER}");
    client.batch_execute(&rights).await.map_err(failed)
}

async fn connect(place: &Place) -> Result<Client, tokio_postgres::Error> {
    let mut config = tokio_postgres::Config::new();
    config.user(SUPERUSER).password(place.superuser_password()).dbname("postgres");
    match place.endpoint() {
        Endpoint::Socket(directory) => config.host_path(directory),
        Endpoint::Loopback(port) => config.host("127.0.0.1").port(port),
    };
    let (client, connection) = config.connect(NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::warn!(%error, "the connection that made the roles broke");
        }
    });
    Ok(client)
}
