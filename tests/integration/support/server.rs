//! A server in this process, with a configuration, a clock and a database of its own.
//!
//! Stories talk to it over HTTP. Beside that there are the operator's hands ([`Server::work`], as a command of the
//! command line would), a look at what was stored ([`Server::rows`]) and the clock. It stops, and its database goes,
//! when it is dropped.

use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
    sync::{Arc, Once, mpsc},
    thread::{self, JoinHandle},
};

use chrono::TimeDelta;
use mooring::{
    app::App,
    clients,
    clock::Clock,
    config::{Config, Delivery, Sources},
    db::{Database, Trace, Tx, partitions, users},
    failure::Broken,
    http, jobs,
    jose::MasterSecret,
};
use serde_json::Value;
use tokio::sync::oneshot;
use tokio_postgres::SimpleQueryMessage;

use super::{
    agent::Agent,
    client::Client,
    cluster::{self, MASTER, TestDatabase},
    declared,
    passkey::Passkey,
};

/// How a server under test differs from the usual one.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    environment: Vec<(String, String)>,
    tables: String,
    connections: Option<usize>,
    path: &'static str,
    tls: bool,
    jobs: bool,
}

impl Settings {
    /// A key such as `tokens.refresh_grace`.
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.environment.push((format!("MOORING_{}", key.to_uppercase().replace('.', "__")), value.to_owned()));
        self
    }

    /// Further `[[client]]`, `[[user]]`, `[[scope]]` or `[[resource]]`.
    pub fn declare(mut self, tables: &str) -> Self {
        self.tables.push_str(tables);
        self
    }

    /// The tables that were declared, with something else in them.
    pub fn replace(mut self, what: &str, with: &str) -> Self {
        assert!(self.tables.contains(what), "{what} in {}", self.tables);
        self.tables = self.tables.replace(what, with);
        self
    }

    /// The size of the server's pool.
    pub fn connections(mut self, size: usize) -> Self {
        self.connections = Some(size);
        self
    }

    /// An issuer with a path.
    pub fn path(mut self, path: &'static str) -> Self {
        self.path = path;
        self
    }

    /// With the background jobs, as `serve` has them. Their SQL statements are counted with the server's.
    pub fn jobs(mut self) -> Self {
        self.jobs = true;
        self
    }

    /// It speaks TLS itself, with the certificate of the tests.
    pub fn tls(mut self) -> Self {
        self.tls = true;
        self.set("tls.certificate", &certificate("localhost.pem")).set("tls.key", &certificate("localhost.key"))
    }
}

/// The path of a file in `tests/integration/tls`.
pub fn certificate(name: &str) -> String {
    format!("{}/tests/integration/tls/{name}", env!("CARGO_MANIFEST_DIR"))
}

pub struct Server {
    pub issuer: String,
    pub app: Arc<App>,
    pub clock: Clock,
    /// Looks and changes beside the server, as a command would; its own connections, so that the server's are counted
    /// alone.
    operator: Database,
    http: reqwest::Client,
    owner_url: String,
    discovery: Value,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub async fn start(settings: Settings) -> Self {
        let database = TestDatabase::create().await;
        let urls = (database.owner_url.clone(), database.server_url.clone());
        Self::start_on(settings, urls, Clock::default(), Some(database)).await
    }

    /// Another replica: the same database, issuer and clock. It goes before the first one does.
    pub async fn replica(&self, settings: Settings) -> Self {
        let server_url = self.app.config.database.url.clone().expect("every server under test has one");
        let settings = settings.set("issuer", &self.issuer);
        Self::start_on(settings, (self.owner_url.clone(), server_url), self.clock.clone(), None).await
    }

    async fn start_on(
        settings: Settings,
        (owner_url, server_url): (String, String),
        clock: Clock,
        database: Option<TestDatabase>,
    ) -> Self {
        log();
        let operator = Database::new(&server_url, 2).unwrap_or_else(|stop| panic!("{stop}"));
        let (tell, told) = mpsc::channel();
        let (stop, stopped) = oneshot::channel();
        let (tls, is_replica) = (settings.tls, database.is_none());
        let serving = {
            let clock = clock.clone();
            move || serve(&settings, &server_url, &clock, &tell, stopped, database)
        };
        let thread = thread::Builder::new().name("server".into()).spawn(serving).expect("a thread");
        let (app, address): (Arc<App>, SocketAddr) = tokio::task::spawn_blocking(move || told.recv())
            .await
            .expect("not cancelled")
            .expect("the server starts; the panic above says why it did not");
        let authority = fs::read(certificate("ca.pem")).expect("the authority of the tests");
        let http = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tls_certs_only(reqwest::Certificate::from_pem(&authority))
            .resolve("localhost", address);
        // What is sent to the issuer of a replica goes to the replica, though the issuer's port is another server's.
        let http = if is_replica {
            http.proxy(reqwest::Proxy::http(format!("http://{address}")).expect("an address"))
        } else {
            http
        };
        let http = http.build().expect("an HTTP client");
        let issuer = app.config.issuer.as_str().to_owned();
        let mut server = Self {
            issuer,
            app,
            clock,
            operator,
            http,
            owner_url,
            discovery: Value::Null,
            stop: Some(stop),
            thread: Some(thread),
        };
        // Behind a proxy that speaks TLS the issuer is not where the server listens.
        let path = server.app.config.issuer.path();
        let (scheme, port) = (if tls { "https" } else { "http" }, address.port());
        let url = format!("{scheme}://localhost:{port}{path}/.well-known/openid-configuration");
        let answer = server.http.get(url).send().await.expect("the server answers");
        assert_eq!(answer.status(), 200, "discovery");
        server.discovery = answer.json().await.expect("the discovery document is JSON");
        server
    }

    /// The usual one.
    pub async fn usual() -> Self {
        Self::start(Settings::default()).await
    }

    /// The URL that discovery gives for an endpoint, such as `token_endpoint`.
    pub fn endpoint(&self, name: &str) -> String {
        self.discovery[name].as_str().unwrap_or_else(|| panic!("discovery has no {name}")).to_owned()
    }

    /// The discovery document.
    pub fn discovery(&self) -> &Value {
        &self.discovery
    }

    /// The URL of a path that the contract names.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.issuer.trim_end_matches('/'))
    }

    /// Does not follow redirects and keeps no cookies.
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    /// A browser that has not been here before.
    pub fn agent(&self) -> Agent {
        Agent::new(self)
    }

    /// Somebody who has just signed in with their password and added a passkey; on their account page.
    pub async fn with_passkey(&self, username: &str) -> (Agent, Passkey) {
        let (agent, mut passkey) = (self.agent(), Passkey::new());
        let account = agent.walk(&self.at("/account"), username).await;
        agent.enrol_passkey(&account, &mut passkey).await;
        (agent, passkey)
    }

    /// One of the declared clients.
    pub fn client(&self, id: &str) -> Client<'_> {
        Client::declared(self, id)
    }

    /// Does what an operator's command would, in one transaction, at the server's time.
    pub async fn work<T>(&self, work: impl AsyncFnOnce(&mut Tx) -> Result<T, Broken> + Clone) -> T {
        self.operator.work(self.clock.now(), &Trace::default(), work).await.expect("the operator's work")
    }

    /// Lets time pass for everyone; the partitions follow, as the server's job would have them.
    pub async fn advance(&self, by: TimeDelta) {
        self.clock.advance(by);
        partitions::maintain(&self.operator, self.clock.now()).await.expect("partitions");
    }

    /// One turn of a job, as the server would have it in time.
    pub async fn turn(&self, job: &str) {
        let job = jobs::JOBS.iter().find(|it| it.name == job).unwrap_or_else(|| panic!("no job {job}"));
        job.turn(&self.app).await.unwrap_or_else(|broken| panic!("{}: {broken}", job.name));
    }

    /// What is stored, as the owner sees it: every value as text.
    pub async fn rows(&self, query: &str) -> Vec<Vec<Option<String>>> {
        let messages =
            cluster::query(&self.owner_url, query).await.unwrap_or_else(|error| panic!("{query}: {error:?}"));
        messages
            .iter()
            .filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|column| row.get(column).map(str::to_owned)).collect())
                }
                _ => None,
            })
            .collect()
    }

    /// The first value of the first row; `""` for null.
    pub async fn value(&self, query: &str) -> String {
        let row = self.rows(query).await.into_iter().next().unwrap_or_else(|| panic!("no row: {query}"));
        row.into_iter().next().flatten().unwrap_or_default()
    }

    /// The id of a person.
    pub async fn user_id(&self, username: &str) -> String {
        self.value(&format!("SELECT id FROM users WHERE username = '{username}'")).await
    }

    /// How many events of an action and outcome the trail has.
    pub async fn events(&self, action: &str, outcome: &str) -> u32 {
        let count = format!("SELECT count(*) FROM audit_events WHERE action = '{action}' AND outcome = '{outcome}'");
        self.value(&count).await.parse().expect("a count")
    }

    /// Runs statements as the role that the server has; `Err` is the SQLSTATE.
    pub async fn as_server(&self, statements: &str) -> Result<(), String> {
        let url = self.app.config.database.url.as_deref().expect("every server under test has one");
        let answer = cluster::query(url, statements).await;
        answer.map(drop).map_err(|error| error.code().map_or_else(|| error.to_string(), |code| code.code().to_owned()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.operator.close();
        if let Delivery::Folder(folder) = self.app.config.mail_delivery() {
            // There is none where nobody was written to.
            let _ = fs::remove_dir_all(folder);
        }
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What breaks in a server is shown; more of it with `MOORING_TEST_LOG=debug` or another filter.
fn log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter = std::env::var("MOORING_TEST_LOG").unwrap_or_else(|_| "error".to_owned());
        tracing_subscriber::fmt().with_env_filter(filter).with_ansi(false).with_writer(std::io::stderr).init();
    });
}

/// The server's thread: prepares as `serve` does, serves, and takes the database away again.
fn serve(
    settings: &Settings,
    url: &str,
    clock: &Clock,
    tell: &mpsc::Sender<(Arc<App>, SocketAddr)>,
    stopped: oneshot::Receiver<()>,
    database: Option<TestDatabase>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (server, app) = bind(settings, url, clock).await;
        let jobs = settings.jobs.then(|| jobs::start(&app));
        tell.send((app.clone(), server.address())).expect("somebody waits for the server");
        let stopped = async {
            let _ = stopped.await;
        };
        server.run(stopped).await.unwrap_or_else(|stop| panic!("{stop}"));
        if let Some(jobs) = jobs {
            jobs.stop().await;
        }
        app.db.close();
        if let Some(database) = database {
            database.drop_now().await;
        }
    });
}

async fn bind(settings: &Settings, url: &str, clock: &Clock) -> (http::Server, Arc<App>) {
    for attempt in 0.. {
        // The issuer names the port, so it is chosen before it is bound; somebody else may be quicker.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
        let config = configuration(settings, url, port);
        let size = config.database.max_connections;
        let master = MasterSecret::from_bytes(MASTER.as_bytes()).expect("long enough");
        let db = Database::new(url, size).unwrap_or_else(|stop| panic!("{stop}"));
        let app = App::new(config, clock.clone(), db, &master).unwrap_or_else(|stop| panic!("{stop}"));
        prepare(&app).await.expect("what is declared is applied");
        match http::Server::bind(app.clone()) {
            Ok(server) => return (server, app),
            Err(stop) if attempt == 10 => panic!("{stop}"),
            Err(_) => {}
        }
    }
    unreachable!("the tenth attempt panics")
}

fn configuration(settings: &Settings, url: &str, port: u16) -> Config {
    let file = Scratch::new(port);
    let text = format!(
        "issuer = \"{}://localhost:{port}{}\"\nlisten = \"127.0.0.1:{port}\"\n{}{}",
        if settings.tls { "https" } else { "http" },
        settings.path,
        declared::toml(),
        settings.tables
    );
    fs::write(&file.0, text).expect("a configuration file");
    let usual = [
        ("DATABASE_URL", url),
        ("MOORING_SECRETS__MASTER", MASTER),
        ("MOORING_DATABASE__MAX_CONNECTIONS", &settings.connections.unwrap_or(4).to_string()),
        ("MOORING_SERVER__WORKERS", "1"),
        ("MOORING_SERVER__SHUTDOWN_TIMEOUT", "0s"),
        ("MOORING_METRICS__LISTEN", "off"),
        ("MOORING_PASSWORDS__MEMORY_KIB", "64"),
        ("MOORING_PASSWORDS__ITERATIONS", "1"),
        ("MOORING_MAIL__FILE", &mail_folder(port).display().to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let overridden = |name: &str| {
        let given = |wanted: &str| settings.environment.iter().any(|(other, _)| other == wanted);
        given(name) || name == "MOORING_MAIL__FILE" && given("MOORING_MAIL__URL")
    };
    let mut environment: Vec<_> = usual.into_iter().filter(|(name, _)| !overridden(name)).collect();
    environment.extend(settings.environment.iter().cloned());
    Config::load(Sources { file: Some(file.0.clone()), environment }).unwrap_or_else(|stop| panic!("{stop}"))
}

/// Where the mail of the server at this port goes.
fn mail_folder(port: u16) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mail-{}-{port}", std::process::id()))
}

async fn prepare(app: &App) -> Result<(), Broken> {
    app.db
        .work(app.clock.now(), &Trace::default(), async |tx| {
            clients::apply_declared_scopes(tx, &app.config.scopes).await?;
            clients::apply_hub(tx, app.config.issuer.as_str()).await?;
            for client in &app.config.clients {
                clients::apply_declared(tx, client).await?;
            }
            for user in &app.config.users {
                let claims = Value::Object(user.claims.clone());
                if let Some(added) = users::insert(tx, &user.username, &claims, user.admin).await? {
                    let hash = app.passwords.hash(user.password.expose().to_owned()).await?;
                    users::set_password(tx, added.id, &hash, None).await?;
                    users::set_groups(tx, added.id, &user.groups).await?;
                }
            }
            app.mint.keys.reload(tx).await
        })
        .await
}

/// A file that goes again.
struct Scratch(PathBuf);

impl Scratch {
    fn new(port: u16) -> Self {
        Self(Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("configuration-{}-{port}.toml", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
