//! The program as it is run: processes of the real binary on a data directory of their own, with the embedded database.
//!
//! For what a server within the test process cannot show: its end, its neighbours, what it prints and how it exits.
//! Nothing of it runs and nothing is left on the disk when an [`Installation`] is dropped.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use mooring::jose::random_bytes;
use reqwest::RequestBuilder;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::Value;

use super::{
    agent::Agent,
    client::{Answer, basic},
    cluster::{MASTER, hex},
};

/// Of a client that every installation declares: it gets tokens for itself, and may introspect every token.
const MACHINE: &str = "machine";
pub const SECRET: &str = "a-client-secret-of-a-process-under-test";
/// For a start that makes a cluster, on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(90);

/// A data directory and a configuration file.
pub struct Installation {
    directory: PathBuf,
    port: u16,
    environment: Vec<(&'static str, String)>,
}

/// A `mooring serve` that listens.
pub struct Running {
    child: Child,
    /// What it printed on stdout until it was ready.
    pub told: String,
    issuer: String,
    http: reqwest::Client,
}

/// How a command went.
#[derive(Debug)]
pub struct Ran {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Installation {
    /// An empty one that declares the machine and `tables`.
    pub fn new(tables: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("process-{}", hex(&random_bytes::<8>())));
        fs::create_dir_all(&directory).expect("a directory");
        let it = Self { directory, port: port(), environment: Vec::new() };
        it.declare(tables);
        it
    }

    /// On a database that is given to it.
    pub fn on(url: &str) -> Self {
        let mut it = Self::new("");
        it.environment.push(("MOORING_SECRETS__MASTER", MASTER.to_owned()));
        it.at(url)
    }

    /// On another database, or on the same one by another way.
    pub fn at(mut self, url: &str) -> Self {
        self.environment.retain(|(name, _)| *name != "DATABASE_URL");
        self.environment.push(("DATABASE_URL", url.to_owned()));
        self
    }

    /// With another variable in its environment.
    pub fn with(mut self, name: &'static str, value: &str) -> Self {
        self.environment.push((name, value.to_owned()));
        self
    }

    /// Another configuration for the next start.
    pub fn declare(&self, tables: &str) {
        let text = format!(
            "issuer = \"http://localhost:{port}\"\nlisten = \"127.0.0.1:{port}\"\ndata_dir = \"{data}\"\n\
             [metrics]\nlisten = \"off\"\n[passwords]\nmemory_kib = 64\niterations = 1\n\
             [server]\nworkers = 1\nshutdown_timeout = \"1s\"\n\
             [[scope]]\nname = \"ships:read\"\ndescription = \"See the ships\"\n\
             [[client]]\nclient_id = \"{MACHINE}\"\nclient_secret = \"{SECRET}\"\n\
             grant_types = [\"client_credentials\"]\nscope = \"ships:read\"\nintrospection = \"any\"\n{tables}",
            port = self.port,
            data = self.data().display(),
        );
        fs::write(self.configuration(), text).expect("a configuration file");
        // A client's secret is in it.
        fs::set_permissions(self.configuration(), fs::Permissions::from_mode(0o600)).expect("a mode");
    }

    /// Where its server listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.directory.join("mooring.toml")
    }

    pub fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mooring"));
        command.arg("--config").arg(self.configuration()).args(arguments);
        // What surrounds the tests must not reach the program under test.
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name == "DATABASE_URL" || (name.starts_with("MOORING_") && name != "MOORING_POSTGRES") {
                command.env_remove(name.as_ref());
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// A command, to its end.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "")
    }

    pub fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        // It need not read what it is given: then the pipe is closed.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        child.wait_with_output().expect("the program ends").into()
    }

    /// A server, once it is ready.
    pub fn serve(&self) -> Running {
        self.ready(self.command(&["serve"]).env("MOORING_LOG__FILTER", "error"))
    }

    /// The same, with a log of its own that [`Installation::log`] reads.
    pub fn serve_logging(&self, filter: &str) -> Running {
        let log = fs::File::create(self.directory.join("log")).expect("a log");
        self.ready(self.command(&["serve"]).env("MOORING_LOG__FILTER", filter).stderr(log))
    }

    /// What the latest server that was told to has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.join("log")).expect("a log in UTF-8")
    }

    fn ready(&self, command: &mut Command) -> Running {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
        let lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let (tell, heard) = mpsc::channel();
        thread::spawn(move || lines.map_while(Result::ok).for_each(|line| drop(tell.send(line))));
        let mut told = Vec::new();
        // The set-up link, where there is one, is the last line: a moment tells whether there is.
        let mut patience = PATIENCE;
        while let Ok(line) = heard.recv_timeout(patience) {
            if line.starts_with("listening: ") {
                patience = Duration::from_millis(200);
            }
            told.push(line);
        }
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_certs_only([])
            .resolve("localhost", address)
            .timeout(Duration::from_secs(10))
            .build()
            .expect("an HTTP client");
        let issuer = format!("http://localhost:{}", self.port);
        let running = Running { child, told: told.join("\n"), issuer, http };
        assert!(running.told.contains("listening: "), "the server does not listen; it said: {}", running.told);
        running
    }

    /// The postmaster of the embedded cluster, if there is one.
    pub fn postmaster(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.root().join("cluster/postmaster.pid")).ok()?;
        let pid = Pid::from_raw(text.lines().next()?.trim().parse().ok()?)?;
        test_kill_process(pid).is_ok().then_some(pid)
    }

    /// Where the cluster is: elsewhere when root runs the tests in a directory that others may not enter.
    fn root(&self) -> PathBuf {
        let state = fs::read(self.data().join("postgres.json")).unwrap_or_default();
        let state: Value = serde_json::from_slice(&state).unwrap_or_default();
        state["location"].as_str().map_or_else(|| self.data().join("postgres"), PathBuf::from)
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        // Only a test that failed half-way has left one.
        if let Some(postmaster) = self.postmaster() {
            let _ = kill_process(postmaster, Signal::QUIT);
            let _ = eventually(Duration::from_secs(5), || self.postmaster().is_none());
        }
        let _ = fs::remove_dir_all(self.root());
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// A port that stays the same from one start to the next: below those that systems give out for port 0.
fn port() -> u16 {
    let free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    let ports = std::iter::repeat_with(|| 15_000 + u16::from_be_bytes(random_bytes::<2>()) % 15_000);
    ports.take(100).find(free).expect("a free port")
}

/// Looks until it is so, or until time is up.
pub fn eventually(patience: Duration, mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + patience;
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
    true
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |octets| String::from_utf8(octets).expect("UTF-8");
        Self { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

impl Ran {
    /// What it printed; it did what it was asked to.
    #[track_caller]
    pub fn done(&self) -> &str {
        assert_eq!(self.code, Some(0), "{self:?}");
        &self.stdout
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(self.done()).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What it said when it refused: one to three lines, and no trace of how it is built.
    #[track_caller]
    pub fn failed(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{self:?}");
        let lines = self.stderr.lines().count();
        assert!((1..=3).contains(&lines) && self.stderr.starts_with("mooring: "), "{self:?}");
        assert!(!self.stderr.contains("panicked") && !self.stderr.contains(".rs:"), "{self:?}");
        &self.stderr
    }
}

impl Running {
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }

    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// A browser that has not been here before.
    pub fn agent(&self) -> Agent {
        Agent::of(self.http.clone(), &self.issuer)
    }

    /// A request of the machine's.
    pub fn as_machine(&self, path: &str, form: &[(&str, &str)]) -> RequestBuilder {
        self.http.post(self.at(path)).header("authorization", basic(MACHINE, SECRET)).form(form)
    }

    /// A request for a token of the machine's own.
    pub fn ask(&self) -> RequestBuilder {
        self.as_machine("/oauth/token", &[("grant_type", "client_credentials")])
    }

    pub async fn is_active(&self, token: &str) -> bool {
        let answer = Answer::of(self.as_machine("/oauth/introspect", &[("token", token)])).await;
        answer.ok()["active"] == true
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Pulls the plug.
    pub fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop, and says with what it exited.
    pub fn stop(self) -> Option<i32> {
        self.stop_by(Signal::TERM)
    }

    pub fn stop_by(mut self, signal: Signal) -> Option<i32> {
        kill_process(self.pid(), signal).expect("it runs");
        let ended = eventually(Duration::from_secs(30), || matches!(self.child.try_wait(), Ok(Some(_))));
        assert!(ended, "it did not stop within 30 s");
        self.child.wait().expect("it ended").code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
