//! The server under test: a process of this same program, with `server.toml`, on a data directory that goes with the run.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    time::{Duration, Instant},
};

use reqwest::{Certificate, Client};
use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::{Arguments, Fallible, here, plans::Places};

/// In the environment of a process that is to be the server.
pub const AS_SERVER: &str = "CONFORMANCE_SERVER_UNDER_TEST";
/// Long enough to fetch PostgreSQL once and make a cluster.
const PATIENCE: Duration = Duration::from_mins(3);

pub struct Server {
    child: Child,
    http: Client,
    jwks: String,
    folder: PathBuf,
    log: PathBuf,
}

impl Server {
    /// Starts it and waits until it answers.
    pub async fn start(arguments: &Arguments, places: &Places) -> Fallible<Self> {
        let folder = env::temp_dir().join(format!("mooring-conformance-{}", process::id()));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("mooring.toml"), configuration(arguments, places, &folder)?)?;
        let log = arguments.results.join("server.log");
        let output = File::create(&log)?;
        let mut command = program(&folder, &["serve"])?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
        let http = Client::builder()
            .no_proxy()
            .tls_certs_only([Certificate::from_pem(&fs::read(certificates().join("ca.pem"))?)?])
            .tls_danger_accept_invalid_hostnames(true)
            .build()?;
        let jwks = format!("{}/oauth/jwks", places.issuer);
        let mut server = Self { child: command.spawn()?, http, jwks, folder, log };
        let url = format!("{}/.well-known/openid-configuration", places.issuer);
        let from = Instant::now();
        loop {
            let last = match server.http.get(&url).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(server),
                Ok(answer) => answer.status().to_string(),
                Err(error) => error.to_string(),
            };
            if let Some(status) = server.child.try_wait()? {
                return Err(format!("the server stopped ({status}):\n{}", server.last_words()).into());
            }
            if from.elapsed() > PATIENCE {
                return Err(format!("{url}: {last} after {PATIENCE:?}:\n{}", server.last_words()).into());
            }
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// As an operator would; done when the server publishes the new key. Only RS256: the suite compares RSA and EC keys, and
    /// calls a new key of any other type an error.
    pub async fn rotate_keys(&self) -> Fallible<()> {
        let before = self.published().await?;
        let mut command = program(&self.folder, &["keys", "rotate", "--algorithm", "RS256"])?;
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        if !output.status.success() {
            return Err(format!("keys rotate: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let from = Instant::now();
        while self.published().await? == before {
            if from.elapsed() > PATIENCE {
                return Err("the server does not publish its new key".into());
            }
            sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    async fn published(&self) -> Fallible<String> {
        Ok(self.http.get(&self.jwks).send().await?.error_for_status()?.text().await?)
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    pub async fn stop(mut self) -> Fallible<()> {
        self.ask_to_stop();
        let from = Instant::now();
        while self.child.try_wait()?.is_none() {
            if from.elapsed() > PATIENCE {
                return Err("the server does not stop".into());
            }
            sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    fn ask_to_stop(&self) {
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            let _ = kill_process(id, Signal::TERM);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            // The embedded cluster stops with its server only if the server is asked.
            self.ask_to_stop();
            let _ = self.child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// This program as `mooring` with that configuration, and nothing of what surrounds it.
fn program(folder: &Path, arguments: &[&str]) -> Fallible<Command> {
    let mut command = Command::new(env::current_exe()?);
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name == "DATABASE_URL" || (name.starts_with("MOORING_") && name != "MOORING_POSTGRES") {
            command.env_remove(name.as_ref());
        }
    }
    command.env(AS_SERVER, "1").args(arguments).arg("--config").arg(folder.join("mooring.toml")).current_dir(folder);
    Ok(command)
}

fn certificates() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/tls")
}

/// `server.toml` with the places of this run.
fn configuration(arguments: &Arguments, places: &Places, folder: &Path) -> Fallible<String> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    let list = |values: Vec<String>| values.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>().join(", ");
    let trust = match &arguments.ca {
        Some(file) => vec![text(fs::canonicalize(file)?)],
        None => Vec::new(),
    };
    let given = [
        ("{listen}", arguments.listen.clone()),
        ("{data}", text(folder.join("data"))),
        ("{certificate}", text(certificates().join("localhost.pem"))),
        ("{key}", text(certificates().join("localhost.key"))),
        ("\"{trust}\"", list(trust)),
        ("\"{allow}\"", list(arguments.allow.clone())),
    ];
    let mut configuration = places.put(&fs::read_to_string(here().join("server.toml"))?);
    for (place, value) in given {
        configuration = configuration.replace(place, &value);
    }
    // `allow` may be empty: no lonely comma.
    Ok(configuration.replace(", ]", "]"))
}
