//! A real Chromium for the tests that need one, driven over WebDriver.
//!
//! Not for what plain HTTP can show. Each [`Browser`] is a driver and a browser of its own with an empty profile; nothing
//! of either is left when it is dropped, whatever became of the test.

mod passkeys;

use std::{
    env, fs,
    io::{BufRead, BufReader},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use fantoccini::{Client, ClientBuilder, Locator, elements::Element};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::{Map, Value, json};
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

/// How long a page may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// At once, in one test process: more would only wait for each other.
static SEATS: Semaphore = Semaphore::const_new(2);
static PROFILES: AtomicU32 = AtomicU32::new(0);

const CHROMIUM: &[&str] = &["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome"];
const FLAGS: &[&str] = &[
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--window-size=1100,900",
];

pub struct Browser {
    pub client: Client,
    driver: Driver,
    _seat: SemaphorePermit<'static>,
}

impl Browser {
    /// Nothing where this machine has no Chromium, which is printed; a panic there with `CI=true`.
    pub async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    /// Two of them, for a story of two people. Two such stories do not each hold a seat and wait for another.
    pub async fn start_two() -> Option<(Self, Self)> {
        static PAIRS: Mutex<()> = Mutex::const_new(());
        let _turn = PAIRS.lock().await;
        Some((Self::start().await?, Self::start().await?))
    }

    /// The same, with further flags for Chromium, such as `--force-dark-mode`.
    pub async fn start_with(flags: &[&str]) -> Option<Self> {
        let found = find(CHROMIUM).zip(find(&["chromedriver"]));
        let Some((chromium, chromedriver)) = found else {
            println!("browser test skipped: no Chromium");
            assert!(
                env::var("CI").as_deref() != Ok("true"),
                "with CI=true a browser test may not be skipped: install chromium and chromedriver"
            );
            return None;
        };
        let seat = SEATS.acquire().await.expect("never closed");
        let driver = Driver::start(&chromedriver);
        let profile = format!("--user-data-dir={}", driver.profile.display());
        let flags: Vec<&str> = FLAGS.iter().chain(flags).copied().chain([profile.as_str()]).collect();
        let mut wanted = Map::new();
        wanted.insert("goog:chromeOptions".to_owned(), json!({ "binary": chromium, "args": flags }));
        // The pages under test may be served with a certificate made for the test.
        wanted.insert("acceptInsecureCerts".to_owned(), Value::Bool(true));
        let client = ClientBuilder::rustls()
            .expect("a TLS configuration")
            .capabilities(wanted)
            .connect(&format!("http://127.0.0.1:{}", driver.port))
            .await
            .expect("a WebDriver session");
        Some(Self { client, driver, _seat: seat })
    }

    pub async fn wait_for(&self, css: &str) -> Element {
        match self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css)).await {
            Ok(found) => found,
            Err(error) => panic!("{css}: {error}:\n{}", self.client.source().await.unwrap_or_default()),
        }
    }

    /// Waits for a page with this heading.
    pub async fn arrives_at(&self, text: &str) {
        let path = format!("//h1[normalize-space(.)='{text}']");
        if let Err(error) = self.client.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await {
            panic!("{text}: {error}:\n{}", self.client.source().await.unwrap_or_default());
        }
    }

    /// Runs the body of an async function on this page, with these arguments, and waits for what it returns.
    pub async fn run(&self, body: &str, arguments: Vec<Value>) -> Value {
        let script = format!("return (async function () {{ {body} }}).apply(null, arguments);");
        self.client.execute(&script, arguments).await.unwrap_or_else(|error| panic!("{error}: {body}"))
    }

    /// Fills in the sign-in page that is there.
    pub async fn sign_in_as(&self, username: &str, password: &str) {
        self.wait_for("input[name=username]").await.send_keys(username).await.expect("typed");
        self.wait_for("input[name=password]").await.send_keys(password).await.expect("typed");
        self.wait_for("form button[type=submit]").await.click().await.expect("clicked");
    }

    /// Signs out on the account page.
    pub async fn sign_out(&self) {
        self.wait_for("form[action$='/sign-out'] button").await.click().await.expect("clicked");
        self.arrives_at("Sign-in, safely moored").await;
    }

    /// What a person sees now, as a PNG file; the folders above it are made.
    pub async fn screenshot(&self, path: impl AsRef<Path>) {
        let picture = self.client.screenshot().await.expect("a screenshot");
        if let Some(folder) = path.as_ref().parent() {
            fs::create_dir_all(folder).expect("a folder for the screenshot");
        }
        fs::write(path, picture).expect("a file for the screenshot");
    }
}

struct Driver {
    process: Child,
    port: u16,
    profile: PathBuf,
}

impl Driver {
    fn start(chromedriver: &Path) -> Self {
        let number = PROFILES.fetch_add(1, Ordering::Relaxed);
        let profile = env::temp_dir().join(format!("mooring-browser-{}-{number}", process::id()));
        // A killed test run with the same process id may have left one.
        let _ = fs::remove_dir_all(&profile);
        fs::create_dir_all(&profile).expect("a folder for the browser's profile");
        let mut process = Command::new(chromedriver)
            .arg("--port=0")
            // So that what they leave in the temporary folder goes with the profile.
            .env("TMPDIR", &profile)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("chromedriver starts");
        let output = process.stdout.take().expect("piped above");
        let port = BufReader::new(output)
            .lines()
            .map_while(Result::ok)
            .find_map(|line| {
                line.strip_prefix("ChromeDriver was started successfully on port ")?.trim_end_matches('.').parse().ok()
            })
            .expect("chromedriver says on which port it listens");
        Self { process, port, profile }
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Ok(id) = i32::try_from(self.process.id()).map(Pid::from_raw)
            && let Some(id) = id
        {
            let _ = kill_process_group(id, Signal::KILL);
        }
        let _ = self.process.wait();
        // Chromium leaves the driver's process group; its profile is on its command line.
        for _ in 0..100 {
            let left = running_with(&self.profile);
            for id in &left {
                let _ = kill_process(*id, Signal::KILL);
            }
            if left.is_empty() && fs::remove_dir_all(&self.profile).is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

fn running_with(profile: &Path) -> Vec<Pid> {
    let marker = profile.display().to_string();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse().ok()?, fs::read(entry.path().join("cmdline")).ok()?))
        })
        .filter(|(_, command)| String::from_utf8_lossy(command).contains(&marker))
        .filter_map(|(id, _)| Pid::from_raw(id))
        .collect()
}

/// The first of `names` on the path, or where Debian and Snap put them.
fn find(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).chain(["/usr/bin", "/snap/bin"].map(PathBuf::from)).collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}

/// A page of our own, so that a failure of the browser is not taken for one of the server.
#[tokio::test]
async fn a_browser_shows_a_page() {
    let Some(browser) = Browser::start().await else { return };
    let page = "data:text/html,<title>Moored</title><form action='data:text/html,<h1>sent</h1>'><input name=username><button>Go</button></form>";
    browser.client.goto(page).await.unwrap();
    assert_eq!(browser.client.title().await.unwrap(), "Moored");
    let picture = browser.driver.profile.join("shots/page.png");
    browser.screenshot(&picture).await;
    assert!(fs::read(&picture).unwrap().starts_with(b"\x89PNG"));

    let profile = browser.driver.profile.clone();
    assert!(!running_with(&profile).is_empty());
    drop(browser);
    assert!(!profile.exists() && running_with(&profile).is_empty(), "something of the browser is left");
}
