//! The server under measurement: the release binary in a process of its own, with a configuration and a data directory
//! that are made for the run and go with it.

use std::{
    env,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::{Fallible, http::Connection};

/// Long enough to fetch PostgreSQL once and make a cluster.
const PATIENCE: Duration = Duration::from_mins(3);

pub const REDIRECT_URI: &str = "http://127.0.0.1:9/callback";
pub const USERNAME: &str = "alice";
pub const PASSWORD: &str = "correct horse battery staple";
/// Of a server whose database is given by URL; with the embedded one it makes its own.
pub const MASTER: &str = "a master secret for a database that lives as long as a measurement";
pub const SECRET: &str = "a-secret-of-the-benchmark-that-is-long-enough";

/// A folder that is removed with everything in it.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new() -> Fallible<Self> {
        let folder = env::temp_dir().join(format!("mooring-flows-{}", process::id()));
        fs::create_dir_all(&folder)?;
        let scratch = Self(folder);
        // A program that was installed lies in memory in a few large pieces; one that was linked just now in many small ones,
        // which costs it up to a tenth more.
        fs::copy(env!("CARGO_BIN_EXE_mooring"), scratch.program())?;
        Ok(scratch)
    }

    /// The server's program.
    fn program(&self) -> PathBuf {
        self.0.join("mooring")
    }

    pub fn data_dir(&self) -> PathBuf {
        self.0.join("data")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Where its state is.
pub enum Database<'a> {
    /// The cluster in the data directory.
    Embedded,
    /// `owner` migrates, `server` serves.
    At { owner: &'a str, server: &'a str },
}

pub struct Server {
    child: Child,
    pub port: u16,
    metrics_port: u16,
    log: PathBuf,
}

impl Server {
    /// Starts it and waits for its first answer; says how long that took.
    pub async fn start(scratch: &Scratch, database: &Database<'_>) -> Fallible<(Self, Duration)> {
        let (port, metrics_port) = (free_port()?, free_port()?);
        let config = scratch.0.join("mooring.toml");
        fs::write(&config, configuration(port, metrics_port, &scratch.data_dir(), database))?;
        let log = scratch.0.join("server.log");
        let mut command = Command::new(scratch.program());
        command.arg("serve").arg("--config").arg(&config).current_dir(&scratch.0);
        for (name, _) in env::vars_os() {
            // Whatever the surroundings configure is not what is measured.
            if name == "DATABASE_URL" || name.to_string_lossy().starts_with("MOORING_") {
                command.env_remove(name);
            }
        }
        let output = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let from = Instant::now();
        let mut server = Self { child: command.spawn()?, port, metrics_port, log };
        let mut connection = Connection::new(port);
        loop {
            let answer = connection.get("/.well-known/openid-configuration", "").await;
            if answer.is_ok_and(|answer| answer.status == 200) {
                return Ok((server, from.elapsed()));
            }
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("the server stopped ({status}):\n{}", server.last_words()).into());
            }
            if from.elapsed() > PATIENCE {
                return Err(format!("no answer after {PATIENCE:?}:\n{}", server.last_words()).into());
            }
            sleep(Duration::from_millis(1)).await;
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The sum over all labels of a counter that the metrics listener shows, if it does.
    pub async fn counter(&self, name: &str) -> Option<f64> {
        let mut connection = Connection::new(self.metrics_port);
        let answer = connection.get("/metrics", "").await.ok().filter(|answer| answer.status == 200)?;
        let values: Vec<f64> = answer
            .text()
            .lines()
            .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse().ok())
            .collect();
        (!values.is_empty()).then(|| values.iter().sum())
    }

    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// As an operator would: SIGTERM, then it finishes what it has.
    pub async fn stop(mut self) -> Fallible<()> {
        if let Some(id) = self.pid() {
            kill_process(id, Signal::TERM)?;
        }
        let from = Instant::now();
        while self.child.try_wait()?.is_none() {
            if from.elapsed() > PATIENCE {
                return Err("the server does not stop".into());
            }
            sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    fn pid(&self) -> Option<Pid> {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if !matches!(self.child.try_wait(), Ok(None)) {
            return;
        }
        // The embedded cluster stops with its server only if the server is asked.
        if let Some(id) = self.pid() {
            let _ = kill_process(id, Signal::TERM);
        }
        for _ in 0..1000 {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn free_port() -> Fallible<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn configuration(port: u16, metrics_port: u16, data_dir: &Path, database: &Database<'_>) -> String {
    let database = match database {
        Database::Embedded => String::new(),
        Database::At { owner, server } => format!(
            "[database]\nurl = {server:?}\nmigrate_url = {owner:?}\n\n[secrets]\nmaster_file = \"{}\"\n",
            data_dir.join("master.key").display()
        ),
    };
    let interactive = |id: &str, algorithm: &str| {
        format!(
            r#"
[[client]]
client_id = "{id}"
client_secret = "{SECRET}"
redirect_uris = ["{REDIRECT_URI}"]
grant_types = ["authorization_code", "refresh_token"]
token_endpoint_auth_method = "client_secret_basic"
scope = "openid profile email"
id_token_signed_response_alg = "{algorithm}"
"#
        )
    };
    let machine = |id: &str, format: &str| {
        format!(
            r#"
[[client]]
client_id = "{id}"
client_secret = "{SECRET}"
grant_types = ["client_credentials"]
token_endpoint_auth_method = "client_secret_basic"
scope = "ships:read"
access_token_format = "{format}"
"#
        )
    };
    format!(
        r#"issuer = "http://localhost:{port}"
listen = "127.0.0.1:{port}"
data_dir = "{}"

{database}
[metrics]
listen = "127.0.0.1:{metrics_port}"

# Sign-ins only prepare what is measured.
[passwords]
memory_kib = 64
iterations = 1

[[scope]]
name = "ships:read"
description = "See the ships"

[[user]]
username = "{USERNAME}"
password = "{PASSWORD}"
name = "Alice Example"
email = "alice@example.com"
{}{}{}{}"#,
        data_dir.display(),
        interactive("rs256", "RS256"),
        interactive("es256", "ES256"),
        machine("machine-opaque", "opaque"),
        machine("machine-jwt", "jwt"),
    )
}
