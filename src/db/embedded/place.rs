//! Where a cluster lives, and what the data directory remembers of it (`postgres.json`, mode 0600): the passwords, the
//! place, and whether the cluster was ever complete. It knows files, not processes.

use std::{
    fmt, fs,
    io::{self, Write as _},
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::account::Account;
use crate::failure::Stop;

/// The longest path of a socket that every system takes (macOS: 104 bytes with the terminator).
const LONGEST_SOCKET: usize = 100;
/// A log that has grown beyond this tells nothing new.
const LARGEST_LOG: u64 = 16 << 20;

/// What the data directory remembers.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct State {
    /// Where cluster and fetched binaries are; absent: in the data directory itself, which may then be moved.
    location: Option<PathBuf>,
    superuser_password: String,
    owner_password: String,
    server_password: String,
    /// Of the loopback, where the path is too long for a socket.
    port: Option<u16>,
    /// The cluster had its roles and database once: should it be gone, that is a loss and not a beginning.
    complete: bool,
}

/// How the cluster is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// The directory of the socket.
    Socket(PathBuf),
    /// A port of 127.0.0.1.
    Loopback(u16),
}

/// A data directory, with the cluster that belongs to it.
pub(super) struct Place {
    pub(super) data_dir: PathBuf,
    pub(super) root: PathBuf,
    pub(super) account: Account,
    state: State,
}

/// Makes the data directory if need be, and resolves its path.
pub(super) fn open(data_dir: &Path) -> Result<PathBuf, Stop> {
    let cannot = |error: io::Error| {
        Stop::new(format_args!("cannot use the data directory {}: {error}", data_dir.display()))
            .mend("set data_dir to a directory that this user may write")
    };
    // Root's is passed through by the account that runs the cluster; what is secret in it has mode 0600.
    let mode = if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 };
    fs::DirBuilder::new().recursive(true).mode(mode).create(data_dir).map_err(cannot)?;
    data_dir.canonicalize().map_err(cannot)
}

/// Whether a data directory remembers a complete cluster.
pub(super) fn is_complete(data_dir: &Path) -> bool {
    let text = fs::read(data_dir.join("postgres.json")).unwrap_or_default();
    serde_json::from_slice::<State>(&text).is_ok_and(|state| state.complete)
}

impl Place {
    /// Reads what the data directory remembers, or decides it. In one's turn.
    pub(super) fn of(data_dir: &Path) -> Result<Self, Stop> {
        let inside = data_dir.join("postgres");
        let path = data_dir.join("postgres.json");
        let remembered: Option<State> = match fs::read(&path) {
            Ok(text) => Some(serde_json::from_slice(&text).map_err(|error| cannot("read", &path, &error))?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(cannot("read", &path, &error)),
        };
        if remembered.is_none() && inside.join("cluster").exists() {
            let what = format!("{} is missing, and with it the passwords of the cluster beside it", path.display());
            return Err(Stop::new(what).mend("restore it, or move the cluster away to begin anew with an empty one"));
        }
        // Where nothing has come of what was decided, it is decided again: the obstacle may be gone.
        let begun = |state: &State| state.complete || state.root(data_dir).join("cluster").exists();
        let state = if let Some(state) = remembered.filter(begun) {
            state
        } else {
            let state = State::new(data_dir)?;
            save(data_dir, &state)?;
            state
        };
        let root = state.root(data_dir);
        let account = Account::of(&root.join("cluster"))?;
        let place = Self { data_dir: data_dir.to_owned(), root, account, state };
        if place.state.complete && !place.has_cluster() {
            return Err(Stop::new(format_args!(
                "the cluster of {} is gone from {}",
                data_dir.display(),
                place.root.display()
            ))
            .mend("restore it, or remove postgres.json to begin anew with an empty one"));
        }
        place.prepare()?;
        if !account.traverses(&place.root) {
            return Err(Stop::new(format_args!(
                "PostgreSQL, which refuses root, may not enter {}",
                place.root.display()
            ))
            .mend("let others pass (chmod o+x) through the directories above it"));
        }
        Ok(place)
    }

    fn prepare(&self) -> Result<(), Stop> {
        let made = |path: &Path, mode: u32| {
            fs::DirBuilder::new().recursive(true).mode(mode).create(path)?;
            // The umask may have taken away what others need to pass.
            fs::set_permissions(path, fs::Permissions::from_mode(mode))
        };
        let outer = if self.account.is_other() { 0o711 } else { 0o700 };
        self.state
            .location
            .as_ref()
            .and_then(|location| location.parent())
            .map_or(Ok(()), |parent| made(parent, outer))
            .and_then(|()| made(&self.root, outer))
            .and_then(|()| made(&self.sockets(), 0o700))
            .and_then(|()| self.account.own(&self.sockets()))
            .map_err(|error| {
                let stop = cannot("prepare", &self.root, &error);
                match self.state.location {
                    Some(_) => stop
                        .mend("let others pass (chmod o+x) to the data directory, or start as another user than root"),
                    None => stop,
                }
            })
    }

    /// PostgreSQL's own data directory.
    pub(super) fn cluster(&self) -> PathBuf {
        self.root.join("cluster")
    }

    fn sockets(&self) -> PathBuf {
        self.root.join("run")
    }

    /// Where PostgreSQL writes what goes wrong; begun anew at each start.
    pub(super) fn log(&self) -> PathBuf {
        self.root.join("postgres.log")
    }

    /// Forgets a log that grew without bounds.
    pub(super) fn bound_log(&self) {
        if fs::metadata(self.log()).is_ok_and(|found| found.len() > LARGEST_LOG)
            && let Err(error) = fs::OpenOptions::new().write(true).open(self.log()).and_then(|log| log.set_len(0))
        {
            tracing::warn!(%error, log = %self.log().display(), "PostgreSQL's log could not be cut");
        }
    }

    pub(super) fn has_cluster(&self) -> bool {
        self.cluster().join("PG_VERSION").exists()
    }

    /// The major version that made the cluster; none where there is no cluster yet.
    pub(super) fn major(&self) -> Result<Option<u32>, Stop> {
        if !self.has_cluster() {
            return Ok(None);
        }
        let path = self.cluster().join("PG_VERSION");
        let text = fs::read_to_string(&path).map_err(|error| cannot("read", &path, &error))?;
        text.trim().parse().map(Some).map_err(|error| cannot("read", &path, &error))
    }

    /// Whether roles and database are there.
    pub(super) fn is_complete(&self) -> bool {
        self.state.complete
    }

    /// From now on the cluster is one that may not be lost.
    pub(super) fn complete(&self) -> Result<(), Stop> {
        save(&self.data_dir, &State { complete: true, ..self.state.clone() })
    }

    pub(super) fn superuser_password(&self) -> &str {
        &self.state.superuser_password
    }

    pub(super) fn owner_password(&self) -> &str {
        &self.state.owner_password
    }

    pub(super) fn server_password(&self) -> &str {
        &self.state.server_password
    }

    /// A port that is free, where one is needed and the one of last time is not. While the cluster is down.
    pub(super) fn claim_port(&mut self) -> Result<(), Stop> {
        if self.fits_a_socket()
            || self.state.port.is_some_and(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok())
        {
            return Ok(());
        }
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|error| Stop::new(format_args!("no port of 127.0.0.1 is to be had: {error}")))?
            .port();
        self.state.port = Some(port);
        save(&self.data_dir, &self.state)
    }

    fn fits_a_socket(&self) -> bool {
        self.sockets().join(".s.PGSQL.5432").as_os_str().len() < LONGEST_SOCKET
    }

    pub(super) fn endpoint(&self) -> Endpoint {
        match self.state.port {
            Some(port) if !self.fits_a_socket() => Endpoint::Loopback(port),
            _ => Endpoint::Socket(self.sockets()),
        }
    }

    /// The URL of `database` for `role`.
    pub(super) fn url(&self, role: &str, password: &str, database: &str) -> String {
        let database = escape(database.as_bytes());
        match self.endpoint() {
            Endpoint::Socket(directory) => {
                let host = escape(directory.as_os_str().as_encoded_bytes());
                format!("postgres://{role}:{password}@{host}/{database}")
            }
            Endpoint::Loopback(port) => format!("postgres://{role}:{password}@127.0.0.1:{port}/{database}"),
        }
    }
}

impl fmt::Debug for Place {
    /// Without the passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("data_dir", &self.data_dir).field("root", &self.root).finish_non_exhaustive()
    }
}

impl State {
    fn root(&self, data_dir: &Path) -> PathBuf {
        self.location.clone().unwrap_or_else(|| data_dir.join("postgres"))
    }

    fn new(data_dir: &Path) -> Result<Self, Stop> {
        let account = Account::of(&data_dir.join("postgres/cluster"))?;
        let location = if account.traverses(data_dir) {
            None
        } else {
            // Not of the path alone: a data directory made anew in the same place must not meet the former's cluster.
            let of = [data_dir.as_os_str().as_encoded_bytes(), random()?.as_bytes()].concat();
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &of);
            Some(Path::new("/var/lib/mooring").join(hex(&digest.as_ref()[..8])))
        };
        Ok(Self {
            location,
            superuser_password: random()?,
            owner_password: random()?,
            server_password: random()?,
            port: None,
            complete: false,
        })
    }
}

/// 256 random bits, in characters that need no escaping in SQL or a URL.
fn random() -> Result<String, Stop> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| Stop::new("the system gives no random numbers"))?;
    Ok(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// RFC 3986 §2.1: percent-encodes everything that is not unreserved.
fn escape(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|&byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Replaces `postgres.json` as a whole: a crash leaves the old one or the new one.
fn save(data_dir: &Path, state: &State) -> Result<(), Stop> {
    let path = data_dir.join("postgres.json");
    let draft = data_dir.join("postgres.json.new");
    let text = serde_json::to_vec_pretty(state).map_err(|error| cannot("write", &path, &error))?;
    let written = || {
        let _ = fs::remove_file(&draft);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&draft, &path)?;
        fs::File::open(data_dir)?.sync_all()
    };
    written().map_err(|error| cannot("write", &path, &error))
}

/// Something could not be done with a file.
pub(super) fn cannot(what: &str, path: &Path, error: &dyn fmt::Display) -> Stop {
    Stop::new(format_args!("cannot {what} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_survives_any_path() {
        let url = format!("postgres://a:b@{}/{}", escape("/a b/ü,x/run".as_bytes()), escape(b"d?b"));
        let config: tokio_postgres::Config = url.parse().unwrap();
        assert_eq!(config.get_hosts(), [tokio_postgres::config::Host::Unix("/a b/ü,x/run".into())]);
        assert_eq!(config.get_dbname(), Some("d?b"));
    }

    #[test]
    fn every_password_has_256_bits_of_its_own() {
        let (one, other) = (random().unwrap(), random().unwrap());
        assert_eq!(one.len(), 64);
        assert_ne!(one, other);
    }
}
