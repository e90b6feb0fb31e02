//! Where PostgreSQL is and how it is spoken to: a database URL, understood, and the connections made by it.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use diesel::ConnectionError;
use futures_util::future::BoxFuture;
use rustls::pki_types::{CertificateDer, pem::PemObject};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_postgres::{CancelToken, Client, Connection, NoTls, config::TargetSessionAttrs, error::SqlState};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::{
    cancel::{Canceller, Patient, PatientTls},
    connection::{Conn, Fleet, Prepares},
    pool::PATIENCE,
    session_settings::{self, Found},
    socket::Socket,
};
use crate::failure::Stop;

/// How long a connection is silent before the system asks whether the other side is still there, and how long what was sent
/// may go unacknowledged. The one used last is taken first, so others rest for long, and what stands between may forget them.
const QUIET: Duration = Duration::from_mins(1);

/// A database URL, understood.
pub(super) struct Target {
    /// With what each connection relies on.
    config: tokio_postgres::Config,
    /// Without, for a pooler that refuses it.
    plain: tokio_postgres::Config,
    /// Whether there is such a pooler.
    is_plain: AtomicBool,
    /// Whether a pooler stands in between that keeps nothing from one unit of work to the next.
    is_pooled: AtomicBool,
    tls: Option<MakeRustlsConnect>,
}

impl Target {
    /// Understands a `postgres://` URL. `sslmode` is `disable` or one of `require`, `verify-ca`, `verify-full`, which all
    /// verify chain and name; absent, it is `disable` on a socket or loopback and `verify-full` elsewhere.
    /// `sslrootcert` names a PEM file; absent, the system's authorities count.
    pub(super) fn parse(url: &str) -> Result<Self, Stop> {
        let (bare, sslmode, root_certificate) = split_tls_parameters(url);
        let mut config = tokio_postgres::Config::from_str(&bare)
            .map_err(|error| Stop::new(format_args!("the database URL is not understood: {error}")))?;
        let local = config.get_hosts().iter().all(|host| match host {
            tokio_postgres::config::Host::Unix(_) => true,
            tokio_postgres::config::Host::Tcp(name) => {
                matches!(name.as_str(), "localhost" | "127.0.0.1" | "::1" | "[::1]")
            }
        });
        let encrypted = match sslmode.as_deref() {
            Some("disable") => false,
            Some("require" | "verify-ca" | "verify-full") => true,
            None => !local,
            Some(other) => {
                return Err(Stop::new(format_args!("sslmode={other} in the database URL is not supported"))
                    .mend("use sslmode=verify-full, or sslmode=disable on a network you trust"));
            }
        };
        config.ssl_mode(if encrypted {
            tokio_postgres::config::SslMode::Require
        } else {
            tokio_postgres::config::SslMode::Disable
        });
        config.application_name("mooring");
        // A server that only reads is of no use, unless somebody asks for one.
        if !url.contains("target_session_attrs=") {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        config.connect_timeout(PATIENCE);
        if config.get_keepalives_idle() == tokio_postgres::Config::new().get_keepalives_idle() {
            config.keepalives_idle(QUIET);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(QUIET);
        }
        let tls = encrypted.then(|| tls(root_certificate.as_deref())).transpose()?;
        let plain = config.clone();
        config.options(session_settings::options(config.get_options()));
        Ok(Self { config, plain, is_plain: AtomicBool::new(false), is_pooled: AtomicBool::new(false), tls })
    }

    /// A connection for units of work.
    pub(super) async fn connect(self: &Arc<Self>, fleet: &Arc<Fleet>) -> Result<Conn, ConnectionError> {
        Ok(self.connect_raw().await?.for_units(self, fleet))
    }

    /// Sends a cancel request for what runs on a connection made here, the way that the connection was made. `Err` says why it
    /// could not be sent (PostgreSQL, Protocol, Canceling Requests in Progress).
    pub(super) async fn cancel(&self, token: &CancelToken) -> Result<(), String> {
        let sent = match (&self.tls, self.socket(), self.address()) {
            (Some(tls), ..) => token.cancel_query(PatientTls(tls.clone())).await,
            (None, Some(path), _) => {
                let stream = Socket::connect(&path).await.map_err(|error| error.to_string())?;
                token.cancel_query_raw(Patient(stream), NoTls).await
            }
            (None, None, Some(address)) => {
                let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
                token.cancel_query_raw(Patient(stream), NoTls).await
            }
            // PostgreSQL does not mind who closes first.
            (None, None, None) if !self.is_pooled() => token.cancel_query(NoTls).await,
            (None, None, None) => return Err("which of several poolers it is behind is not known".to_owned()),
        };
        sent.map_err(|error| Unconnected::from(error).why)
    }

    /// Where the URL names one host, and nothing else: that, and its port.
    fn address(&self) -> Option<(String, u16)> {
        let [tokio_postgres::config::Host::Tcp(name)] = self.config.get_hosts() else { return None };
        let name = match self.config.get_hostaddrs().first() {
            Some(address) => address.to_string(),
            None => name.trim_matches(['[', ']']).to_owned(),
        };
        Some((name, self.config.get_ports().first().copied().unwrap_or(5432)))
    }

    /// A connection that the driver alone knows, on which everything that the server relies on is set.
    ///
    /// Connecting is large and rare, so it is on the heap: each unit of work would have to make room for it.
    pub(super) fn connect_raw(&self) -> BoxFuture<'_, Result<Connected, ConnectionError>> {
        Box::pin(self.connect_and_check())
    }

    async fn connect_and_check(&self) -> Result<Connected, ConnectionError> {
        let connected = if self.is_plain.load(Ordering::Relaxed) {
            self.connect_with(&self.plain).await
        } else {
            match self.connect_with(&self.config).await {
                // PgBouncer refuses parameters that it cannot keep apart for each client: 08P01, "unsupported startup parameter".
                Err(Unconnected { code: Some(code), .. }) if code == SqlState::PROTOCOL_VIOLATION => {
                    let connected = self.connect_with(&self.plain).await;
                    self.is_plain.store(connected.is_ok(), Ordering::Relaxed);
                    connected
                }
                connected => connected,
            }
        };
        let mut connected = connected.map_err(|Unconnected { why, .. }| ConnectionError::BadConnection(why))?;
        let found = Found::ask(&connected.client).await;
        let found = found.map_err(|error| ConnectionError::BadConnection(Unconnected::from(error).why))?;
        found.check(self.config.get_target_session_attrs()).map_err(ConnectionError::BadConnection)?;
        connected.prepares = if found.are_ours { Prepares::Once } else { Prepares::Never };
        self.is_pooled.store(!found.are_ours, Ordering::Relaxed);
        Ok(connected)
    }

    /// Whether a pooler stands in between that keeps nothing from one unit of work to the next, as the latest connection shows.
    pub(super) fn is_pooled(&self) -> bool {
        self.is_pooled.load(Ordering::Relaxed)
    }

    async fn connect_with(&self, config: &tokio_postgres::Config) -> Result<Connected, Unconnected> {
        if let Some(tls) = &self.tls {
            return Ok(Connected::new(config.connect(tls.clone()).await?));
        }
        let Some(path) = self.socket() else {
            return Ok(Connected::new(config.connect(NoTls).await?));
        };
        let connecting = async {
            let socket = Socket::connect(&path).await.map_err(|error| Unconnected::because(error.to_string()))?;
            config.connect_raw(socket, NoTls).await.map_err(Unconnected::from)
        };
        let connected = tokio::time::timeout(PATIENCE, connecting).await;
        let connected = connected.unwrap_or_else(|_| Err(Unconnected::because("it does not answer".to_owned())));
        let connected = connected.map_err(|Unconnected { code, why }| {
            let why = format!("connecting to {}: {why}", path.display());
            Unconnected { code, why }
        })?;
        Ok(Connected::new(connected))
    }

    /// The socket of a server on this machine, where the URL names one and nothing else.
    fn socket(&self) -> Option<PathBuf> {
        let [tokio_postgres::config::Host::Unix(directory)] = self.config.get_hosts() else { return None };
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        Some(directory.join(format!(".s.PGSQL.{port}")))
    }

    /// The role this URL signs in as.
    pub(super) fn role(&self) -> Option<&str> {
        self.config.get_user()
    }
}

/// A connection that was made.
pub(super) struct Connected {
    pub(super) client: Client,
    /// Set when the connection is lost.
    lost: Arc<AtomicBool>,
    /// The major version of PostgreSQL, as it says itself without being asked.
    pub(super) version: Option<u32>,
    pub(super) prepares: Prepares,
}

impl Connected {
    /// Drives the connection of `client`, for as long as there is one.
    fn new<S, T>((client, connection): (Client, Connection<S, T>)) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let version = connection.parameter("server_version").and_then(major);
        let lost = Arc::new(AtomicBool::new(false));
        tokio::spawn(watch(connection, lost.clone()));
        Self { client, lost, version, prepares: Prepares::Never }
    }

    pub(super) fn for_units(self, target: &Arc<Target>, fleet: &Arc<Fleet>) -> Conn {
        let canceller = Canceller::new(target.clone(), self.client.cancel_token(), self.lost.clone());
        Conn::new(self.client, self.prepares, self.lost, canceller, fleet.clone())
    }
}

/// A connection that was not made.
struct Unconnected {
    /// What PostgreSQL or a pooler answered, if they did.
    code: Option<SqlState>,
    why: String,
}

impl Unconnected {
    fn because(why: String) -> Self {
        Self { code: None, why }
    }
}

impl From<tokio_postgres::Error> for Unconnected {
    fn from(error: tokio_postgres::Error) -> Self {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        Self { code: error.code().cloned(), why: format!("{error}{cause}") }
    }
}

/// Of `15.4 (Debian 15.4-1)`, and of `19beta1`.
fn major(version: &str) -> Option<u32> {
    let digits = version.find(|c: char| !c.is_ascii_digit()).map_or(version, |end| &version[..end]);
    digits.parse().ok()
}

/// Host and database of a URL, for people: never a role, never a password.
#[must_use]
pub fn place(url: &str) -> String {
    use tokio_postgres::config::Host;
    let parsed = tokio_postgres::Config::from_str(&split_tls_parameters(url).0).ok();
    let Some(config) = parsed else { return "the database of database.url".to_owned() };
    let hosts: Vec<String> = config
        .get_hosts()
        .iter()
        .enumerate()
        .map(|(n, host)| {
            let host = match host {
                Host::Tcp(name) => name.clone(),
                Host::Unix(directory) => directory.display().to_string(),
            };
            // One port may stand for all hosts.
            match config.get_ports().get(n).or(config.get_ports().first()) {
                Some(port) => format!("{host}:{port}"),
                None => host,
            }
        })
        .collect();
    format!("{}/{}", hosts.join(","), config.get_dbname().or(config.get_user()).unwrap_or_default())
}

/// Drives a connection to its end.
async fn watch(connection: impl Future<Output = Result<(), tokio_postgres::Error>>, lost: Arc<AtomicBool>) {
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a database connection was lost");
    }
    lost.store(true, Ordering::Relaxed);
}

/// Takes `sslmode` and `sslrootcert` out of the query: the driver knows fewer modes than libpq.
fn split_tls_parameters(url: &str) -> (String, Option<String>, Option<String>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None, None) };
    let (mut sslmode, mut root, mut rest) = (None, None, Vec::new());
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        match name {
            "sslmode" => sslmode = Some(value.to_owned()),
            "sslrootcert" => {
                let decoded = url::form_urlencoded::parse(pair.as_bytes()).next().map(|(_, value)| value.into_owned());
                root = decoded;
            }
            _ => rest.push(pair),
        }
    }
    let stripped = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
    (stripped, sslmode, root)
}

fn tls(root_certificate: Option<&str>) -> Result<MakeRustlsConnect, Stop> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(Stop::new)?;
    let config = match root_certificate {
        None => builder.with_platform_verifier().map_err(Stop::new)?.with_no_client_auth(),
        Some(file) => {
            let unusable = |error: &dyn std::fmt::Display| {
                Stop::new(format_args!("sslrootcert={file} in the database URL: {error}"))
                    .mend("name a file of certificates in PEM that this user may read")
            };
            let mut roots = rustls::RootCertStore::empty();
            for certificate in CertificateDer::pem_file_iter(Path::new(file)).map_err(|error| unusable(&error))? {
                let certificate = certificate.map_err(|error| unusable(&error))?;
                roots.add(certificate).map_err(|error| unusable(&error))?;
            }
            if roots.is_empty() {
                return Err(unusable(&"there is no certificate in it"));
            }
            builder.with_root_certificates(roots).with_no_client_auth()
        }
    };
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_database_never_tells_the_password() {
        assert_eq!(place("postgres://u:hunter2@db.example:5433/m?sslmode=disable"), "db.example:5433/m");
        assert_eq!(place("postgres://u:hunter2@/m?host=/run/pg&password=hunter2"), "/run/pg/m");
        assert_eq!(place("postgres://u:hunter2@a,b:5433/m"), "a:5432,b:5433/m");
        assert!(!place("postgres://u:hunt#er2@b/m").contains("er2"));
        assert!(!place("postgres://u:hunt/er2@b/m").contains("er2"));
    }

    #[test]
    fn a_silent_connection_is_asked_after_unless_told_otherwise() {
        let idle = |url| Target::parse(url).unwrap().config.get_keepalives_idle();
        assert_eq!(idle("postgres://u:p@db.example/m"), QUIET);
        assert_eq!(idle("postgres://u:p@db.example/m?keepalives_idle=300"), Duration::from_mins(5));
        let unacknowledged = |url| Target::parse(url).unwrap().config.get_tcp_user_timeout().copied();
        assert_eq!(unacknowledged("postgres://u:p@db.example/m"), Some(QUIET));
        assert_eq!(unacknowledged("postgres://u:p@db.example/m?tcp_user_timeout=5"), Some(Duration::from_secs(5)));
    }

    #[test]
    fn the_version_is_its_first_number() {
        assert_eq!(major("15.4 (Debian 15.4-1)"), Some(15));
        assert_eq!(major("9.6.24"), Some(9));
        assert_eq!(major("19beta1"), Some(19));
        assert_eq!(major("20"), Some(20));
        assert_eq!(major("unheard of"), None);
    }

    #[test]
    fn a_remote_database_is_verified_unless_told_otherwise() {
        assert!(Target::parse("postgres://u:p@db.example/m").unwrap().tls.is_some());
        assert!(Target::parse("postgres://u:p@db.example/m?sslmode=disable").unwrap().tls.is_none());
        assert!(Target::parse("postgres://u:p@localhost/m").unwrap().tls.is_none());
        assert!(Target::parse("postgres://u:p@localhost/m?sslmode=verify-full").unwrap().tls.is_some());
        assert!(Target::parse("postgres://u@/m?host=%2Ftmp%2Fx").unwrap().tls.is_none());
        assert!(Target::parse("postgres://u:p@db.example/m?sslmode=prefer").is_err());
    }
}
