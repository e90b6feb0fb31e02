//! Commands as an operator meets them: what they say when they cannot go on, and what they say of what they did.

use std::{fs, net::SocketAddr, os::unix::fs::PermissionsExt as _, time::Duration};

use mooring::db::embedded::{DATABASE, Embedded, Role};
use serde_json::Value;
use tokio_postgres::NoTls;

use crate::support::{
    process::{Installation, Ran},
    server::certificate,
};

/// A command fails in one line.
#[track_caller]
fn in_one_line(ran: &Ran) -> &str {
    let said = ran.failed(1);
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn a_command_says_what_is_wrong_and_what_mends_it_in_one_line() {
    let installation = Installation::new("");
    let elsewhere = Installation::new("").at("postgres://nobody@127.0.0.1:1/nothing");
    for command in [&["session", "list"][..], &["client", "list"], &["keys", "rotate"]] {
        assert!(in_one_line(&elsewhere.run(command)).contains("MOORING_SECRETS__MASTER"));
    }
    let away = Installation::on("postgres://nobody@127.0.0.1:1/nothing");
    for command in [&["session", "list"][..], &["migrate"]] {
        assert!(in_one_line(&away.run(command)).contains("check DATABASE_URL"));
    }
    installation.declare("[tokens]\nacess = \"5m\"\n");
    for command in [&["migrate"][..], &["audit", "export"]] {
        let ran = installation.run(command);
        let said = in_one_line(&ran);
        assert!(said.contains("acess") && said.contains("`mooring docs config` lists all"), "{said}");
    }
    installation.declare("[[user]]\nusername = [\n");
    assert!(in_one_line(&installation.run(&["migrate"])).contains("mooring.toml"));
}

#[test]
fn a_command_that_made_a_database_says_so() {
    let installation = Installation::new("");
    let made = installation.run(&["client", "list"]);
    assert!(made.json().is_array());
    let data = installation.data().canonicalize().unwrap();
    assert_eq!(made.stderr.trim(), format!("mooring: made a new embedded database in {}", data.display()));
    assert_eq!(installation.run(&["client", "list"]).stderr, "");
    // `migrate` is a way of making it.
    let installation = Installation::new("");
    assert!(installation.run(&["migrate"]).stderr.contains("made a new embedded database"));
}

/// What an event tells is in order: one that is written is held back while another before it may still be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_waits_for_what_is_under_way_and_says_what_it_holds_back() {
    let installation = Installation::new("");
    let server = installation.serve();
    let exported = || {
        let ran = installation.run(&["audit", "export"]);
        (ran.done().lines().count(), ran.stderr)
    };
    let (before, said) = exported();
    assert_eq!(said, "");

    let beside = Embedded::start(&installation.data(), Role::Command).await.unwrap_or_else(|stop| panic!("{stop}"));
    let (client, connection) = tokio_postgres::connect(&beside.server_url(DATABASE), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT pg_current_xact_id()").await.unwrap();
    server.ask().send().await.unwrap().error_for_status().unwrap();
    let (told, said) = exported();
    assert_eq!(told, before);
    assert!(said.starts_with("mooring: ") && said.lines().count() == 1 && said.contains("held back"), "{said}");
    let held_back: usize = said.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(held_back > 0, "{said}");

    let ending = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.batch_execute("COMMIT").await.unwrap();
    });
    assert_eq!(exported(), (before + held_back, String::new()));
    ending.await.unwrap();
    beside.stop().await.unwrap_or_else(|stop| panic!("{stop}"));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_rotation_is_the_operators() {
    let installation = Installation::new("");
    assert_eq!(installation.serve().stop(), Some(0));
    installation.run(&["keys", "rotate", "--algorithm", "ES256"]).done();
    let trail = installation.run(&["audit", "export"]);
    let events = trail.done().lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let made: Vec<Value> = events.filter(|event| event["action"] == "key.added").collect();
    let (last, first) = made.split_last().unwrap();
    assert_eq!(last["actor"], "operator", "{last}");
    assert!(!first.is_empty() && first.iter().all(|event| event["actor"] == "server"), "{first:?}");
}

/// A name alone is one in the data directory, where the secret is made with the database and never for one that is there.
#[test]
fn the_master_secret_of_an_embedded_database_is_made_beside_it_once() {
    let installation = Installation::new("[secrets]\nmaster_file = \"own.key\"\n");
    assert_eq!(installation.serve().stop(), Some(0));
    let file = installation.data().join("own.key");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!installation.data().join("master.key").exists());
    assert_eq!(installation.serve().stop(), Some(0));
    fs::remove_file(&file).unwrap();
    let refused = installation.run(&["serve"]);
    assert!(refused.failed(1).contains("own.key"), "{refused:?}");
    assert!(!file.exists());
}

#[test]
fn what_the_configuration_names_is_looked_at_before_anything_is_made() {
    let nowhere = |tables: &str| Installation::new(tables).with("MOORING_ISSUER", "https://localhost");
    let tls = "[tls]\ncertificate = \"/nowhere/cert.pem\"\nkey = \"/nowhere/key.pem\"\n";
    let templates = "[pages]\ntemplates = \"/nowhere/pages\"\n";
    let trust = "[outbound]\ntrust = [\"/nowhere/ca.pem\"]\n";
    let attestation = "[passkeys]\nattestation_ca = [\"/nowhere/attestation.pem\"]\n";
    let registration = "[registration]\npolicy = \"token\"\ninitial_access_token_file = \"/nowhere/iat.txt\"\n";
    let mail = "[mail]\nfrom = \"no address\"\n";
    let all = [tls, templates, trust, attestation, registration, mail];
    for (tables, named) in
        all.into_iter().zip(["cert.pem", "pages", "ca.pem", "attestation.pem", "iat.txt", "mail.from"])
    {
        let installation = nowhere(tables);
        let refused = installation.run(&["serve"]);
        assert!(refused.failed(1).contains(named) && refused.stderr.lines().count() == 2, "{refused:?}");
        assert!(!installation.data().exists(), "{named}");
    }

    // Each has a line of its own, and the database all the same.
    let installation = nowhere(&all.concat());
    let doctor = installation.run(&["doctor"]);
    assert!(doctor.stderr.contains("6 checks failed"), "{doctor:?}");
    for key in [
        "tls",
        "pages.templates",
        "outbound.trust",
        "passkeys.attestation_ca",
        "registration.initial_access_token_file",
        "mail",
    ] {
        let line = doctor.stdout.lines().find(|line| line.starts_with(&format!("FAILED  {key}: ")));
        assert!(line.is_some(), "{key}: {}", doctor.stdout);
    }
    assert!(doctor.stdout.contains("note    database: none yet"), "{doctor:?}");
    let whole = nowhere("").with("MOORING_TLS__CERTIFICATE", &certificate("localhost.pem"));
    let doctor = whole.with("MOORING_TLS__KEY", &certificate("localhost.key")).run(&["doctor"]);
    assert!(doctor.done().contains("ok      tls: can be used"), "{doctor:?}");
}

#[test]
fn tls_is_for_an_https_issuer() {
    let installation = Installation::new("[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n");
    let refused = installation.run(&["serve"]);
    assert!(refused.failed(1).contains("issuer") && refused.stderr.contains("https://"), "{refused:?}");
    assert!(!installation.data().exists());
}

#[tokio::test]
async fn a_port_that_was_left_open_is_told() {
    let installation =
        Installation::new("").with("MOORING_LISTEN", "127.0.0.1:0").with("MOORING_ISSUER", "http://localhost:0");
    let server = installation.serve();
    let said = |name: &str| server.told.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let address: SocketAddr = said("listening: ").parse().unwrap();
    assert_ne!(address.port(), 0);
    assert_eq!(said("issuer: "), format!("http://localhost:{}", address.port()));
    assert!(said("set up: ").starts_with(&said("issuer: ")), "{}", server.told);
    let answer = server.http().get(format!("http://{address}/healthz")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
}

/// Of a machine without a PostgreSQL and without a network.
#[test]
fn whoever_has_no_postgresql_reads_what_would_do() {
    let nothing = Installation::new("").with("MOORING_POSTGRES", "fetch").with("HTTPS_PROXY", "http://127.0.0.1:1");
    let refused = nothing.run(&["serve"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.lines().count() <= 3 && refused.stderr.len() < 1000, "{}", refused.stderr);
    assert!(refused.stderr.contains("install PostgreSQL 15 or newer"), "{}", refused.stderr);
}

#[test]
fn the_doctor_changes_nothing() {
    let installation = Installation::new("");
    let doctor = installation.run(&["doctor"]);
    assert!(doctor.done().contains("note    database: none yet in"), "{doctor:?}");
    assert!(!installation.data().exists(), "it made a data directory");
    let printed = installation.run(&["doctor", "--json"]).json();
    let found =
        printed.as_array().unwrap().iter().find(|found| found["what"].as_str().unwrap().starts_with("database: "));
    assert_eq!(found.unwrap()["outcome"], "note", "{printed}");

    assert_eq!(installation.serve().stop(), Some(0));
    fs::remove_file(installation.data().join("master.key")).unwrap();
    let doctor = installation.run(&["doctor"]);
    assert!(doctor.failed(1).contains("1 check failed"), "{doctor:?}");
    assert!(doctor.stdout.contains("FAILED  master secret: cannot read"), "{doctor:?}");
    assert!(!installation.data().join("master.key").exists(), "it made a master secret");
}

#[test]
fn the_doctor_sees_who_may_read_secrets() {
    let installation = Installation::new("");
    assert_eq!(installation.serve().stop(), Some(0));
    let configuration = installation.configuration();
    fs::set_permissions(&configuration, fs::Permissions::from_mode(0o600)).unwrap();
    installation.run(&["doctor"]).done();
    let master = installation.data().join("master.key");
    for (file, named, code) in [(&master, "FAILED  master secret", 1), (&configuration, "note    configuration", 0)] {
        fs::set_permissions(file, fs::Permissions::from_mode(0o644)).unwrap();
        let doctor = installation.run(&["doctor"]);
        assert_eq!(doctor.code, Some(code), "{doctor:?}");
        assert!(doctor.stdout.contains(&format!("{named}: {} has mode 0644", file.display())), "{doctor:?}");
        fs::set_permissions(file, fs::Permissions::from_mode(0o640)).unwrap();
        installation.run(&["doctor"]).done();
    }
}

/// Two servers may call themselves by one name: the keys tell which of them answers.
#[tokio::test]
async fn the_doctor_tells_another_server_by_its_keys() {
    let one = Installation::new("");
    let other = Installation::new("");
    assert_eq!(other.serve().stop(), Some(0));
    let server = one.serve();
    let doctor = one.run(&["doctor"]);
    assert!(doctor.stdout.contains("answers, with the keys of this database"), "{doctor:?}");
    let other = other.with("MOORING_ISSUER", &server.at(""));
    let doctor = other.run(&["doctor"]);
    assert!(doctor.stdout.contains("answered by a server with other signing keys"), "{doctor:?}");
    assert_eq!(doctor.code, Some(1));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_taken_port_is_found_before_a_database_is_made() {
    let installation = Installation::new("");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let installation = installation.with("MOORING_LISTEN", &address);
    for command in [&["serve"][..], &["demo", "--rp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"]] {
        let refused = installation.run(command);
        assert!(refused.failed(1).contains(&format!("cannot listen on {address}")), "{refused:?}");
        assert!(!installation.data().exists(), "it made a data directory");
        let own = format!("{}-demo", installation.data().display());
        assert!(!std::path::Path::new(&own).exists(), "it made a data directory for the demo");
    }
}

#[test]
fn a_start_says_what_its_configuration_lacks() {
    let installation = Installation::new("").with("MOORING_ISSUER", "https://id.example");
    let server = installation.serve_logging("warn");
    assert_eq!(server.stop(), Some(0));
    let log = installation.log();
    assert!(log.contains("neither [tls] nor a trusted proxy") && log.contains("set mail.url"), "{log}");
    let doctor = installation.run(&["doctor"]);
    assert!(doctor.stdout.contains("note    there is no mail server"), "{doctor:?}");

    let local = Installation::new("");
    let server = local.serve_logging("warn");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(local.log(), "", "a local server has nothing to warn of");
}

#[test]
fn a_test_mail_says_where_it_went() {
    let installation = Installation::new("");
    let sent = installation.run(&["mail", "test", "root@bücher.example"]);
    assert!(sent.done().contains("the mail is a file in"), "{sent:?}");
    let folder = installation.data().join("mail");
    let mail = fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(mail).unwrap();
    assert!(text.contains("To: root@xn--bcher-kva.example") && text.contains("Subject: Test mail from"), "{text}");
    assert!(!installation.data().join("postgres.json").exists(), "it needs no database");
    let refused = installation.run(&["mail", "test", "nobody"]);
    assert!(in_one_line(&refused).contains("not a mail address"), "{refused:?}");

    let silent = Installation::new("[mail]\nurl = \"smtp://127.0.0.1:1\"\n");
    let refused = silent.run(&["mail", "test", "root@example.com"]);
    assert!(in_one_line(&refused).contains("the mail was not sent"), "{refused:?}");
    let doctor = silent.run(&["doctor"]);
    assert!(doctor.stdout.contains("FAILED  mail server: "), "{doctor:?}");
}

/// Editors of some systems begin a file with a byte order mark.
#[test]
fn a_byte_order_mark_is_no_part_of_a_file() {
    let installation = Installation::new("");
    let marked = |text: &str| format!("\u{feff}{text}");
    let configuration = fs::read_to_string(installation.configuration()).unwrap();
    fs::write(installation.configuration(), marked(&configuration)).unwrap();
    let metadata = r#"{ "client_id": "robot", "grant_types": ["client_credentials"], "scope": "ships:read" }"#;
    let added = installation.run_with(&["client", "add", "--file", "-"], &marked(metadata));
    assert_eq!(added.json()["client_id"], "robot");

    let pem = |name: &str| {
        let file = installation.configuration().with_file_name(name);
        fs::write(&file, marked(&fs::read_to_string(certificate(name)).unwrap())).unwrap();
        file
    };
    let (chain, key) = (pem("localhost.pem"), pem("localhost.key"));
    let doctor = Installation::new("")
        .with("MOORING_ISSUER", "https://localhost")
        .with("MOORING_TLS__CERTIFICATE", chain.to_str().unwrap())
        .with("MOORING_TLS__KEY", key.to_str().unwrap())
        .with("MOORING_OUTBOUND__TRUST", pem("ca.pem").to_str().unwrap())
        .run(&["doctor"]);
    assert!(doctor.stdout.contains("ok      tls: can be used"), "{doctor:?}");
    assert!(doctor.stdout.contains("ok      outbound.trust: can be used"), "{doctor:?}");
}

/// Whose account was tried, from where, and what else came from there.
#[tokio::test]
async fn an_operator_finds_failed_sign_ins() {
    let tables = "[[user]]\nusername = \"alice\"\npassword = \"a password of alice\"\n";
    let installation = Installation::new(tables);
    let server = installation.serve();
    let agent = server.agent();
    let mut page = agent.open(&server.at("/account")).await;
    for name in ["alice", "ALICE", "mallory"] {
        page = agent.sign_in(&page, name, "a wrong password").await;
        assert_eq!(page.status, 401, "{name}");
    }
    let export = |arguments: &[&str]| -> Vec<Value> {
        let ran = installation.run(&[&["audit", "export"], arguments].concat());
        ran.done().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let tried = export(&["--user", "alice", "--action", "sign_in"]);
    assert_eq!(tried.len(), 2, "{tried:?}");
    assert!(tried.iter().all(|event| event["user_name"] == "alice" && event["outcome"] == "refused"), "{tried:?}");
    let nobodys = export(&["--user", "mallory"]);
    assert!(nobodys.len() == 1 && nobodys[0]["user_name"].is_null(), "{nobodys:?}");
    let there = export(&["--like-source", tried[0]["id"].as_str().unwrap(), "--action", "sign_in"]);
    assert_eq!(there.len(), 3, "{there:?}");
    assert!(export(&["--user", "alice"]).len() > 2, "other events of alice");
    assert!(export(&["--action", "no.such"]).is_empty());
    let unknown = installation.run(&["audit", "export", "--like-source", "00000000-0000-7000-8000-000000000000"]);
    assert!(in_one_line(&unknown).contains("there is no event"), "{unknown:?}");
    assert_eq!(server.stop(), Some(0));
}
