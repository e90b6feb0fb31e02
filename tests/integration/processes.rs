//! The program as it is run: what it prints, how it ends, what survives a kill, and what works beside a server.

use std::{
    fs,
    time::{Duration, Instant},
};

use reqwest::RequestBuilder;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::support::{
    ALICE, Answer, BOB, PASSWORD,
    process::{Installation, Running, SECRET, eventually},
    server::certificate,
};

/// How long PostgreSQL may take to come back.
const RECOVERY: Duration = Duration::from_secs(20);

fn declared(username: &str, password: &str) -> String {
    format!("[[user]]\nusername = \"{username}\"\npassword = \"{password}\"\n")
}

/// Whether somebody is let in.
async fn signs_in(server: &Running, username: &str, password: &str) -> bool {
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    let page = agent.sign_in(&page, username, password).await;
    assert!(page.status < 500, "{}", page.body);
    !page.asks_for_password() && page.heading() == username
}

#[tokio::test]
async fn a_server_says_where_it_is_and_leaves_nothing_running() {
    let installation = Installation::new("");
    let server = installation.serve();
    let told: Vec<&str> = server.told.lines().collect();
    let [version, configuration, issuer, data, listening, set_up] = told[..] else { panic!("{told:?}") };
    assert_eq!(version, concat!("version: mooring ", env!("CARGO_PKG_VERSION")));
    assert!(
        configuration.starts_with("configuration: /") && configuration.ends_with("/mooring.toml"),
        "{configuration}"
    );
    assert_eq!(issuer, format!("issuer: {}", server.at("")));
    assert_eq!(data, format!("data: {}", installation.data().canonicalize().unwrap().display()));
    assert!(listening.starts_with("listening: 127.0.0.1:"), "{listening}");
    let link = set_up.strip_prefix("set up: ").expect("a link, while there is no administrator");

    // The link that is printed is one that works.
    let agent = server.agent();
    let page = agent.open(link).await;
    let form = page.form_to("/set-up").fill("username", "root");
    agent.submit(&form.fill("password", PASSWORD).fill("password_again", PASSWORD)).await;
    assert!(signs_in(&server, "root", PASSWORD).await);

    assert!(installation.postmaster().is_some());
    assert_eq!(server.stop(), Some(0));
    assert!(installation.postmaster().is_none(), "PostgreSQL is left");

    let server = installation.serve();
    assert!(!server.told.contains("set up"), "there is an administrator: {}", server.told);
    assert!(signs_in(&server, "root", PASSWORD).await);
    // SIGHUP asks a server to read its certificate again; it never stops it.
    kill_process(server.pid(), Signal::HUP).unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(signs_in(&server, "root", PASSWORD).await);
    assert_eq!(server.stop(), Some(0));
    assert!(installation.postmaster().is_none(), "PostgreSQL is left");
}

/// What is wanted of the log is one thing, what may be in it another.
#[tokio::test]
async fn no_filter_gets_a_secret_into_the_log() {
    let installation = Installation::new(&declared(ALICE, PASSWORD));
    let server = installation.serve_logging("trace");
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    assert_eq!(agent.sign_in(&page, ALICE, PASSWORD).await.heading(), ALICE);
    let cookie = agent.cookie().value;
    let token = Answer::of(server.ask()).await.tokens().access;
    assert!(server.is_active(&token).await);
    assert_eq!(server.stop(), Some(0));
    let log = installation.log();
    assert!(log.contains("DEBUG") && log.contains("answered"), "it says more than usually: {log}");
    let secrets =
        [PASSWORD, &cookie, &token, "mo_at_", SECRET, "PASSWORD '", "$argon2id$", "CREATE ROLE", "INSERT INTO"];
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(secret));
        assert!(line.is_none(), "{secret} in {line:?}");
    }
}

/// PostgreSQL is there and does not answer: as behind a network that drops what is sent, or on a disk that hangs.
#[tokio::test]
async fn a_database_that_does_not_answer_holds_up_nobody_for_long() {
    let installation = Installation::new("");
    let server = installation.serve();
    let token = Answer::of(server.ask()).await.tokens().access;
    let stopped = Stopped::all_of(installation.postmaster().expect("a postmaster"));
    let patient = |request: RequestBuilder| async {
        let since = Instant::now();
        let answer = request.timeout(Duration::from_secs(30)).send().await.expect("an answer");
        (answer.status().as_u16(), since.elapsed())
    };
    let introspect = || server.as_machine("/oauth/introspect", &[("token", &token)]);
    for _ in 0..2 {
        let (ready, first, second, third) = tokio::join!(
            patient(server.http().get(server.at("/readyz"))),
            patient(introspect()),
            patient(introspect()),
            patient(server.ask()),
        );
        assert!(ready.0 == 503 && ready.1 < Duration::from_secs(5), "{ready:?}");
        for (status, took) in [first, second, third] {
            assert!(status == 503 && took < Duration::from_secs(14), "{status} after {took:?}");
        }
    }
    drop(stopped);
    // What was asked in vain is in nobody's way.
    for _ in 0..8 {
        assert!(server.is_active(&token).await);
        Answer::of(server.ask()).await.ok();
    }
    assert_eq!(server.http().get(server.at("/readyz")).send().await.unwrap().status(), 200);
    assert_eq!(server.stop(), Some(0));
}

/// A postmaster and its children, who go on when this is dropped.
struct Stopped(Vec<Pid>);

impl Stopped {
    fn all_of(postmaster: Pid) -> Self {
        let mut all = vec![postmaster];
        for entry in fs::read_dir("/proc").expect("processes").flatten() {
            let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
            // The name, in brackets, may hold anything.
            let parent = stat.rsplit(')').next().and_then(|rest| rest.split(' ').nth(2));
            if parent == Some(&postmaster.as_raw_pid().to_string()) {
                all.extend(entry.file_name().to_str().and_then(|pid| Pid::from_raw(pid.parse().ok()?)));
            }
        }
        assert!(all.len() > 3, "it has children: {all:?}");
        for pid in &all {
            kill_process(*pid, Signal::STOP).unwrap();
        }
        Self(all)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        for pid in &self.0 {
            let _ = kill_process(*pid, Signal::CONT);
        }
    }
}

/// Asks for tokens one after another, for as long as they are given; what is not given is to be asked for again.
async fn run_of_tokens(server: &Running, acknowledged: &tokio::sync::watch::Sender<Vec<String>>) {
    while let Ok(answer) = server.ask().send().await {
        let status = answer.status();
        let Ok(body) = answer.json::<Value>().await else { return };
        let Some(token) = body["access_token"].as_str() else {
            assert_eq!(status, 503, "{body}");
            return;
        };
        acknowledged.send_modify(|all| all.push(token.to_owned()));
    }
}

/// Kills something in the middle of a run of requests, and returns what was acknowledged until then.
async fn killed_in_the_middle(server: &Running, kill: impl FnOnce()) -> Vec<String> {
    let (acknowledged, mut seen) = tokio::sync::watch::channel(Vec::new());
    let run = || run_of_tokens(server, &acknowledged);
    let killing = async {
        seen.wait_for(|all: &Vec<String>| all.len() >= 40).await.unwrap();
        kill();
    };
    tokio::time::timeout(Duration::from_mins(1), async { tokio::join!(run(), run(), run(), run(), killing) })
        .await
        .expect("the run ends when what it needs is gone");
    acknowledged.borrow().clone()
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_of_the_server() {
    let installation = Installation::new("");
    let server = installation.serve();
    let acknowledged = killed_in_the_middle(&server, || kill_process(server.pid(), Signal::KILL).unwrap()).await;
    server.kill();
    let server = installation.serve();
    for token in &acknowledged {
        assert!(server.is_active(token).await, "one of {} acknowledged tokens is lost", acknowledged.len());
    }
    assert_eq!(server.stop(), Some(0));
    assert!(installation.postmaster().is_none(), "PostgreSQL is left");
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_of_postgresql() {
    let installation = Installation::new("");
    let server = installation.serve();
    let postmaster = installation.postmaster().expect("a postmaster");
    let acknowledged = killed_in_the_middle(&server, || kill_process(postmaster, Signal::KILL).unwrap()).await;
    let answers = async {
        loop {
            let answer = server.ask().send().await.expect("the server itself stays up");
            if answer.status() == 200 {
                return;
            }
            // Until then it says so: it neither hangs nor drops the connection.
            assert_eq!(answer.status(), 503, "{answer:?}");
            assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(RECOVERY, answers).await.expect("it answers again");
    assert_ne!(installation.postmaster(), Some(postmaster));
    for token in &acknowledged {
        assert!(server.is_active(token).await, "one of {} acknowledged tokens is lost", acknowledged.len());
    }
    assert_eq!(server.stop(), Some(0));
    assert!(eventually(RECOVERY, || installation.postmaster().is_none()), "PostgreSQL is left");
}

async fn people_are_added(installation: &Installation, server: &Running) {
    let added = installation.run_with(
        &[
            &["user", "add", BOB, "--name", "Bob of the Quay", "--email", "bob@example.com", "--email-verified"],
            &["--group", "ops", "--group", "duty", "--password-stdin"][..],
        ]
        .concat(),
        &format!("{PASSWORD}\n"),
    );
    assert!(added.done().contains(BOB));
    let told = installation.run(&["audit", "export"]);
    assert!(told.done().contains(r#""groups":["ops","duty"]"#), "{}", told.done());
    let twice = installation.run_with(&["user", "add", BOB, "--password-stdin"], PASSWORD);
    assert!(twice.failed(1).contains(BOB));
    let agent = server.agent();
    let page = agent.sign_in(&agent.open(&server.at("/account")).await, BOB, PASSWORD).await;
    assert_eq!(page.heading(), "Bob of the Quay");
    let addressless = installation.run_with(&["user", "add", "eve", "--email-verified", "--password-stdin"], PASSWORD);
    assert!(addressless.failed(2).contains("--email"));
    let short = installation.run_with(&["user", "add", "carol", "--password-stdin"], "7 chars");
    assert!(short.failed(1).contains("shorter than 8 characters"));
    let weak = installation.run_with(&["user", "add", "carol", "--password-stdin"], "password1234");
    assert!(weak.stderr.contains("a weak password") && weak.done().contains("carol"), "{}", weak.stderr);
}

#[tokio::test]
async fn commands_work_beside_a_server_and_a_second_server_does_not() {
    let tables = format!("{}\n[registration]\npolicy = \"open\"\n", declared(ALICE, PASSWORD));
    let installation = Installation::new(&tables);
    let server = installation.serve();

    let second = installation.run(&["serve"]);
    let said = second.failed(1);
    assert!(said.contains(installation.data().file_name().unwrap().to_str().unwrap()), "where? {said}");
    assert_eq!(second.stdout, "");

    people_are_added(&installation, &server).await;
    what_people_may(&installation);

    // Sessions: seen from outside, and ended under the person who is signed in.
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    assert_eq!(agent.sign_in(&page, ALICE, PASSWORD).await.heading(), ALICE);
    let sessions = installation.run(&["session", "list", "--user", ALICE, "--live", "--json"]).json();
    let [session] = &sessions.as_array().unwrap()[..] else { panic!("{sessions}") };
    assert_eq!((session["kind"].as_str(), session["username"].as_str()), (Some("user"), Some(ALICE)), "{session}");
    let id = session["id"].as_str().unwrap();
    assert!(installation.run(&["session", "lock", id, "--reason", "looks odd"]).done().contains("locked"));
    assert!(agent.open(&server.at("/account")).await.body.contains("looks odd"), "the person is told at once");
    let shown = installation.run(&["session", "show", id]).json();
    assert_eq!((shown["lock_reason"].as_str(), shown["live"].as_bool()), (Some("looks odd"), Some(false)), "{shown}");
    assert!(installation.run(&["session", "list"]).done().contains("locked: looks odd"));
    assert!(installation.run(&["session", "lock", id, "--reason", "again"]).done().contains("already"));
    installation.run(&["session", "lock", id]).failed(2);
    installation.run(&["session", "unlock", id, "--reason", "it was a test"]).done();
    assert_eq!(agent.open(&server.at("/account")).await.heading(), ALICE, "and it goes on as before");
    let shown = installation.run(&["session", "show", id]).json();
    let timeline = shown["timeline"].as_array().unwrap().iter().map(|event| event["action"].as_str().unwrap());
    let timeline: Vec<&str> = timeline.collect();
    assert_eq!(timeline, ["session.started", "session.locked", "session.unlocked"], "{shown}");
    assert!(installation.run(&["session", "end", id, "--reason", "stolen laptop"]).done().contains(id));
    assert!(agent.open(&server.at("/account")).await.asks_for_password(), "the session is over at once");
    let ended = installation.run(&["session", "show", id]).json();
    assert_eq!((&ended["end_reason"], &ended["end_note"]), (&json!("ended_by_operator"), &json!("stolen laptop")));
    let unknown = "00000000-0000-7000-8000-000000000000";
    assert!(installation.run(&["session", "end", unknown]).failed(1).contains(unknown));

    // The trail tells it, as lines of JSON.
    let trail = installation.run(&["audit", "export", "--session", id]);
    let events: Vec<Value> = trail.done().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for name in ["id", "at", "kind", "session", "actor", "client", "action", "outcome"] {
        assert!(events.iter().all(|event| event.get(name).is_some()), "{name}: {events:?}");
    }
    assert!(events.iter().any(|event| event["action"] == "session.ended" && event["actor"] != "server"), "{events:?}");

    keys_rotate(&installation, &server).await;

    // Clients: registered, good at once, listed without their secret.
    let metadata = json!({ "client_id": "robot", "grant_types": ["client_credentials"], "scope": "ships:read" });
    let client = installation.run_with(&["client", "add", "--file", "-"], &metadata.to_string()).json();
    let secret = client["client_secret"].as_str().expect("shown once");
    let ask = || {
        let form = [("grant_type", "client_credentials")];
        server.http().post(server.at("/oauth/token")).basic_auth("robot", Some(secret)).form(&form)
    };
    let token = Answer::of(ask()).await.tokens().access;
    let listed = installation.run(&["client", "list"]);
    assert!(listed.json().as_array().unwrap().iter().any(|client| client["client_id"] == "robot"));
    assert!(!listed.stdout.contains(secret));
    installation.run(&["client", "disable", "robot"]).done();
    Answer::of(ask()).await.refused("invalid_client");
    assert!(!server.is_active(&token).await);

    // One that registers itself is listed beside them, and can be disabled like them.
    let registering = json!({ "redirect_uris": ["https://rp.example/cb"] });
    let registered = server.http().post(server.at("/oauth/register")).json(&registering);
    let registered = Answer::of(registered).await.json();
    let listed = installation.run(&["client", "list"]).json();
    let found = listed.as_array().unwrap().iter().find(|client| client["client_id"] == registered["client_id"]);
    assert_eq!(found.expect("it is listed")["self_registered"], true);
    installation.run(&["client", "disable", registered["client_id"].as_str().unwrap()]).done();
    let own = server.http().get(registered["registration_client_uri"].as_str().unwrap());
    Answer::of(own.bearer_auth(registered["registration_access_token"].as_str().unwrap())).await.token_refused();

    // The owner of a sector is asked, and the operator is told what stood in the way.
    let stranger =
        json!({ "redirect_uris": ["https://rp.example/cb"], "sector_identifier_uri": "https://127.0.0.1:9/" });
    let refused = installation.run_with(&["client", "add", "--file", "-"], &stranger.to_string());
    assert!(refused.failed(1).contains("sector_identifier_uri") && refused.stderr.contains("outbound.allow"));

    assert!(installation.run(&["user", "disable", BOB]).done().contains(BOB));
    assert!(!signs_in(&server, BOB, PASSWORD).await);

    let doctor = installation.run(&["doctor"]);
    assert!(doctor.done().lines().all(|line| !line.starts_with("FAILED")), "{doctor:?}");
    assert!(doctor.stdout.contains(" answers"), "it asks the server itself: {doctor:?}");

    // They left the database to the server, and the server to its own end.
    assert!(server.is_active(&Answer::of(server.ask()).await.tokens().access).await);
    assert_eq!(server.stop(), Some(0));
    // And do without it.
    assert!(!installation.run(&["session", "list", "--json"]).json().as_array().unwrap().is_empty());
    assert!(installation.postmaster().is_none(), "PostgreSQL is left");
}

/// The keys as the commands and the running server have them: a new one is published at once, and signs later.
async fn keys_rotate(installation: &Installation, server: &Running) {
    let keys = installation.run(&["keys", "list", "--json"]).json();
    let published =
        async || -> Value { server.http().get(server.at("/oauth/jwks")).send().await.unwrap().json().await.unwrap() };
    let kids = |keys: &Value| -> Vec<String> {
        keys.as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(kids(&keys), kids(&published().await["keys"]));
    installation.run(&["keys", "rotate"]).done();
    let after = published().await;
    let rotated = installation.run(&["keys", "list", "--json"]).json();
    assert_eq!(kids(&rotated), kids(&after["keys"]), "published at once");
    let in_state = |state: &str| rotated.as_array().unwrap().iter().filter(|key| key["state"] == state).count();
    assert_eq!((in_state("signs"), in_state("next")), (kids(&keys).len(), kids(&keys).len()), "{rotated}");
}

/// Groups and administrators; of whoever is declared, only the declaration says what they may.
/// A key that others may have: out of the JWKS at once, and what it signed is void.
#[tokio::test]
async fn an_operator_retires_a_key_at_once() {
    let installation = Installation::new("");
    let server = installation.serve();
    installation.run(&["keys", "rotate", "--algorithm", "RS256"]).done();
    let listed = installation.run(&["keys", "list", "--json"]).json();
    let kids = |alg: &str, state: &str| -> Vec<String> {
        let keys = listed.as_array().unwrap().iter().filter(|key| key["alg"] == alg && key["state"] == state);
        keys.map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    };
    let (stolen, next) = (&kids("RS256", "signs")[0], &kids("RS256", "next")[0]);
    let said = installation.run(&["keys", "retire", stolen]);
    assert_eq!(said.done().trim(), format!("retired {stolen}; {next} signs in its place"));
    let jwks = server.http().get(server.at("/oauth/jwks")).send().await.unwrap().text().await.unwrap();
    assert!(!jwks.contains(stolen.as_str()) && jwks.contains(next.as_str()), "{jwks}");
    let listed = installation.run(&["keys", "list", "--json"]).json();
    let now = listed.as_array().unwrap().iter().find(|key| key["kid"] == next.as_str()).unwrap();
    assert_eq!(now["state"], "signs", "{listed}");
    // The last one of an algorithm leaves another behind.
    let said = installation.run(&["keys", "retire", next]).done().to_owned();
    let made =
        said.trim().strip_prefix(&format!("retired {next}; ")).unwrap().strip_suffix(" signs in its place").unwrap();
    assert_ne!(made, stolen);
    assert!(installation.run(&["keys", "retire", next]).done().contains("was retired before"));
    assert!(installation.run(&["keys", "retire", "nothing"]).failed(1).contains("keys list"));
    let trail = installation.run(&["audit", "export"]);
    let events = trail.done().lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let retired: Vec<Value> = events.filter(|event| event["action"] == "key.retired").collect();
    assert_eq!(retired.len(), 2, "{retired:?}");
    for event in retired {
        assert_eq!(event["actor"], "operator", "{event}");
        assert_eq!(event["detail"]["shell"]["uid"], rustix::process::getuid().as_raw(), "{event}");
    }
    assert_eq!(server.stop(), Some(0));
}

fn what_people_may(installation: &Installation) {
    let groups = |arguments: &[&str]| installation.run(&[&["user", "groups"], arguments].concat());
    assert_eq!(groups(&[BOB]).done().trim(), "groups of bob: ops, duty");
    let changed = groups(&[BOB, "--add", "watch", "--add", "ops", "--remove", "duty", "--remove", "dury"]);
    assert_eq!(changed.done().trim(), "groups of bob: ops, watch; privileged sessions ended: 0");
    assert_eq!(changed.stderr.trim(), "mooring: bob was not in dury");
    assert_eq!(groups(&[BOB, "--add", "ops"]).done().trim(), "groups of bob: ops, watch");
    assert_eq!(groups(&[ALICE]).done().trim(), "groups of alice: none");
    assert!(groups(&[ALICE, "--add", "ops"]).failed(1).contains("alice is declared in the configuration"));
    assert!(groups(&["nobody"]).failed(1).contains("no user nobody"));
    for wrong in [&[BOB, "--add", "x", "--remove", "x"][..], &[BOB, "--add", ""], &[]] {
        groups(wrong).failed(2);
    }
    let admin = |name: &str, how: &str| installation.run(&["user", "admin", name, how]);
    assert_eq!(admin(BOB, "--grant").done().trim(), "bob is an administrator now");
    assert_eq!(admin(BOB, "--grant").done().trim(), "bob was an administrator already");
    let revoked = admin(BOB, "--revoke");
    assert_eq!(revoked.done().trim(), "bob is no administrator any more; privileged sessions ended: 0");
    assert!(revoked.stderr.contains("no administrator left"), "{}", revoked.stderr);
    assert!(admin(ALICE, "--grant").failed(1).contains("alice is declared"));
    installation.run(&["user", "admin", BOB]).failed(2);
    installation.run(&["user", "admin", BOB, "--grant", "--revoke"]).failed(2);
    let told = installation.run(&["audit", "export"]);
    assert!(told.done().contains(r#""changed":["groups"],"groups":["ops","watch"]"#), "{}", told.done());
    assert!(told.done().contains(r#""admin":false,"changed":["admin"]"#), "{}", told.done());
}

#[tokio::test]
async fn a_restart_enables_nobody_and_keeps_passwords_set_by_hand() {
    let secret = "a-secret-of-the-robot-that-is-long-enough";
    let client = format!(
        "[[client]]\nclient_id = \"robot\"\nclient_secret = \"{secret}\"\n\
         grant_types = [\"client_credentials\"]\nscope = \"ships:read\"\n"
    );
    let by_hand = "chosen by hand, and longer";
    let installation = Installation::new(&format!("{client}{}", declared(ALICE, PASSWORD)));
    let server = installation.serve();
    let robot = async |server: &Running| {
        let form = [("grant_type", "client_credentials")];
        let url = server.at("/oauth/token");
        Answer::of(server.http().post(url).basic_auth("robot", Some(secret)).form(&form)).await
    };
    robot(&server).await.ok();
    assert!(signs_in(&server, ALICE, PASSWORD).await);
    installation.run(&["user", "disable", ALICE]).done();
    installation.run(&["client", "disable", "robot"]).done();
    installation.run_with(&["user", "add", BOB, "--password-stdin"], by_hand).done();
    assert_eq!(server.stop(), Some(0));

    let both = [declared(ALICE, "another password for alice"), declared(BOB, PASSWORD)].concat();
    installation.declare(&format!("{client}{both}"));
    let server = installation.serve();
    robot(&server).await.refused("invalid_client");
    for password in [PASSWORD, "another password for alice"] {
        assert!(!signs_in(&server, ALICE, password).await);
    }
    assert!(signs_in(&server, BOB, by_hand).await);
    assert!(!signs_in(&server, BOB, PASSWORD).await, "what is declared has not overwritten it");
    assert_eq!(server.stop(), Some(0));

    // What is declared no longer is not deleted.
    installation.declare("");
    let server = installation.serve();
    assert!(signs_in(&server, BOB, by_hand).await);
}

#[test]
fn wrong_usage_and_wrong_configuration_are_told_apart() {
    let installation = Installation::new("");
    for wrong in [
        &["sail"][..],
        &["serve", "--fast"],
        &["user", "add", "eve"],
        &["user", "add", "eve", "--password", "in sight of everybody"],
        &["session", "end"],
        &["session", "list", "--kind", "ghost"],
        &["client", "add"],
    ] {
        installation.run(wrong).failed(2);
    }
    // Nothing was made for it.
    assert!(!installation.data().exists());

    installation.declare("[tokens]\nacess = \"5m\"\n");
    let refused = installation.run(&["serve"]);
    let said = refused.failed(1);
    for word in ["acess", "access", "mooring.toml"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    installation.declare("[tokens]\naccess = \"a while\"\n");
    assert!(installation.run(&["serve"]).failed(1).contains("access"));
    assert!(!installation.data().exists());

    let elsewhere = installation.run(&["--config", "/nowhere/mooring.toml", "serve"]);
    assert!(elsewhere.code == Some(2) || elsewhere.failed(1).contains("/nowhere/mooring.toml"), "{elsewhere:?}");
}

/// Whether a new connection is shown a certificate of this authority.
async fn is_vouched_for_by(installation: &Installation, authority: &str) -> bool {
    let pem = fs::read(certificate(authority)).unwrap();
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(&pem).unwrap()])
        .no_proxy()
        .resolve("localhost", installation.address())
        .build()
        .unwrap();
    let url = format!("https://localhost:{}/healthz", installation.address().port());
    client.get(url).send().await.is_ok_and(|answer| answer.status() == 200)
}

#[tokio::test]
async fn a_renewed_certificate_needs_no_restart() {
    let folder = Installation::new("");
    let (pem, key) =
        (folder.configuration().with_file_name("cert.pem"), folder.configuration().with_file_name("key.pem"));
    let install = |name: &str| {
        fs::copy(certificate(&format!("{name}.key")), &key).unwrap();
        fs::copy(certificate(&format!("{name}.pem")), &pem).unwrap();
    };
    install("localhost");
    let issuer = format!("https://localhost:{}", folder.address().port());
    let installation = folder
        .with("MOORING_ISSUER", &issuer)
        .with("MOORING_TLS__CERTIFICATE", pem.to_str().unwrap())
        .with("MOORING_TLS__KEY", key.to_str().unwrap());
    let server = installation.serve_logging("info");
    assert!(is_vouched_for_by(&installation, "ca.pem").await);

    // Without being asked: its file changed.
    install("renewed");
    let deadline = Instant::now() + Duration::from_secs(15);
    while !is_vouched_for_by(&installation, "renewed-ca.pem").await {
        assert!(Instant::now() < deadline, "{}", installation.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // What cannot be used replaces nothing, and SIGHUP stops nothing.
    fs::write(&pem, "no certificate").unwrap();
    kill_process(server.pid(), Signal::HUP).unwrap();
    assert!(eventually(Duration::from_secs(5), || installation.log().contains("the one before goes on")));
    assert!(is_vouched_for_by(&installation, "renewed-ca.pem").await);
    install("localhost");
    kill_process(server.pid(), Signal::HUP).unwrap();
    assert!(eventually(Duration::from_secs(5), || installation.log().matches("was read again").count() == 2));
    assert!(
        is_vouched_for_by(&installation, "ca.pem").await && !is_vouched_for_by(&installation, "renewed-ca.pem").await
    );
    assert_eq!(server.stop(), Some(0));
}

/// Failed sign-ins are in the log, with the address only where the operator chose so; a throttled source is one line a minute.
#[tokio::test]
async fn failed_sign_ins_are_seen_in_the_log() {
    for (sources, shown) in [("false", "this computer"), ("true", "127.0.0.1")] {
        let installation = Installation::new(&declared(ALICE, PASSWORD)).with("MOORING_LOG__SOURCES", sources);
        let server = installation.serve_logging("info");
        let agent = server.agent();
        let mut page = agent.open(&server.at("/account")).await;
        for _ in 0..13 {
            page = agent.sign_in(&page, ALICE, "a wrong password").await;
        }
        assert_eq!(page.status, 429);
        let passed_on = server.http().get(server.at("/login")).header("x-forwarded-for", "203.0.113.9");
        for request in [passed_on.try_clone().unwrap(), passed_on] {
            assert_eq!(request.send().await.unwrap().status(), 200);
        }
        assert_eq!(server.stop(), Some(0));
        let log = installation.log();
        let lines = |text: &str| log.lines().filter(|line| line.contains(text)).collect::<Vec<_>>();
        let refused = lines("a sign-in was refused");
        assert!(refused.len() >= 10, "{log}");
        for line in &refused {
            assert!(line.contains("wrong_credentials") && line.contains("password") && line.contains(shown), "{line}");
        }
        let throttled = lines("a source is throttled");
        assert!(throttled.len() == 1 && throttled[0].contains("WARN") && throttled[0].contains(shown), "{throttled:?}");

        let unbelieved = lines("not a trusted proxy sent a forwarding header");
        assert!(unbelieved.len() == 1 && unbelieved[0].contains("trusted_proxies"), "{log}");
        assert!(!log.contains("203.0.113.9") && !log.contains(ALICE), "{log}");
    }
}
