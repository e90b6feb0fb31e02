//! `mooring demo` as a person runs it: a process of its own, on an empty directory.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::Duration,
};

use fantoccini::Locator;

use crate::support::{
    agent::Agent,
    browser::{Browser, PATIENCE},
    passkey::Passkey,
};

/// A newcomer clicks through it, on a device that keeps passkeys: sign in, call the API, find that a payment takes more than a
/// password, add a passkey and use it, end the session, and see the same token refused.
async fn click_through(home: &str) {
    let Some(browser) = Browser::start().await else { return };
    let _device = browser.add_authenticator(true).await;
    let press = async |selector: &str| browser.wait_for(selector).await.click().await.unwrap();
    let shows = async |text: &str| {
        let path = format!("//main[contains(., '{text}')]");
        let shown = browser.client.wait().at_most(PATIENCE).for_element(Locator::XPath(&path)).await;
        let page = browser.client.source().await.unwrap();
        assert!(shown.is_ok(), "it does not show {text}:\n{page}");
        page
    };
    browser.client.goto(home).await.unwrap();
    press("a[href$='/sign-in']").await;
    browser.sign_in_as("bob", "slow tide quiet harbour").await;
    press("button[name=decision][value=allow]").await;
    press("form[action$='/call'] button").await;
    shows("The API answered 200").await;

    // A payment takes more than a password, and the API says what.
    press("form[action$='/pay'] button").await;
    let challenge = shows("The API answered 401").await;
    assert!(challenge.contains("insufficient_user_authentication") && challenge.contains("acr_values"), "{challenge}");
    press("a[href$='/step-up']").await;
    press("button[name=decision][value=allow]").await;
    shows("That takes a passkey").await;
    press("main a[href$='/account']").await;
    browser.add_passkey("My laptop").await;

    browser.client.goto(home).await.unwrap();
    press("form[action$='/pay'] button").await;
    press("a[href$='/step-up']").await;
    browser.arrives_at("Confirm that it is you").await;
    shows("Move money at the demo API").await;
    browser.use_passkey().await;
    shows("It was you").await;
    press("form[action$='/pay'] button").await;
    let receipt = shows("The API answered 201").await;
    assert!(receipt.contains("\"paid\"") && receipt.contains("privileged_until"), "{receipt}");

    // The privileged work alone is ended: the session lives on.
    press("main a[href$='/account']").await;
    press("button[name=session]").await;
    browser.client.goto(home).await.unwrap();
    shows("or the privileged work that it was for has ended").await;
    press("form[action$='/refresh'] button").await;
    shows("New tokens came").await;

    press("form[action$='/end'] button").await;
    let page = shows("The session has ended").await;
    assert!(!page.contains("role=\"region\""), "every section is one, and has a name: {page}");
    press("form[action$='/refresh'] button").await;
    let alert = browser.wait_for("[role=alert]").await.text().await.unwrap();
    assert!(alert.contains("The refresh token was refused"), "{alert}");
    for call in ["/pay", "/call"] {
        press(&format!("form[action$='{call}'] button")).await;
        let refused = shows("The API answered 401").await;
        assert!(refused.contains("invalid_token") && !refused.contains("/step-up"), "{refused}");
        browser.client.goto(home).await.unwrap();
    }
}

/// Somebody else makes a payment: 401, the passkey that the API asks for, 201.
async fn pay(home: &str, issuer: &str) {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).no_proxy().build().unwrap();
    let (application, server) = (Agent::of(http.clone(), home), Agent::of(http, issuer));
    // Where the application sends the browser, and where the server sends it back.
    let leaves = async |path: &str| application.step(&format!("{home}{path}")).await.location().unwrap();
    let pays = async || {
        let page = application.open(&format!("{home}/")).await;
        application.submit(&page.form_to("/pay")).await
    };
    let page = server.open(leaves("/sign-in").await.as_str()).await;
    let page = server.submit(&page.sign_in_form("alice", "correct horse battery staple")).await;
    // The walk has consented for her.
    application.open(page.location().unwrap().as_str()).await;
    let page = pays().await;
    assert!(
        page.body.contains("The API answered 401") && page.body.contains("max_age=&quot;300&quot;"),
        "{}",
        page.body
    );

    // Without a passkey she is told what it takes.
    let page = server.open(leaves("/step-up").await.as_str()).await;
    let back = if page.offers("allow") { server.decide(&page, "allow").await } else { page };
    let page = application.open(back.location().unwrap().as_str()).await;
    assert!(page.body.contains("That takes a passkey"), "{}", page.body);
    let mut passkey = Passkey::new();
    let account = server.open(&format!("{issuer}/account")).await;
    server.enrol_passkey(&account, &mut passkey).await;

    pays().await;
    let page = server.open(leaves("/step-up").await.as_str()).await;
    assert!(page.url.path().ends_with("/step-up"), "{}", page.body);
    let page = server.use_passkey(&page, &mut passkey).await;
    let page = if page.offers("allow") { server.decide(&page, "allow").await } else { page };
    application.open(page.location().unwrap().as_str()).await;
    let page = pays().await;
    assert!(page.body.contains("The API answered 201"), "{}", page.body);
    assert!(page.body.contains("privileged_until"), "{}", page.body);
}

/// It walks one flow to its end, stays up, and stops when asked, leaving nothing running.
#[tokio::test]
async fn the_demo_walks_one_flow_and_stays_up_until_it_is_told_to_stop() {
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("demo-{}", std::process::id()));
    let mut demo = Command::new(env!("CARGO_BIN_EXE_mooring"))
        .args(["demo", "--rp-listen", "127.0.0.1:0", "--api-listen", "127.0.0.1:0"])
        .env("MOORING_DATA_DIR", &directory)
        .env("MOORING_LISTEN", "127.0.0.1:0")
        .env("MOORING_METRICS__LISTEN", "off")
        .env_remove("DATABASE_URL")
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut told = Vec::new();
    for line in BufReader::new(demo.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        let ready = line.starts_with("open ");
        told.push(line);
        if ready {
            break;
        }
    }
    let told = told.join("\n");
    for word in ["visitor", "sid", "introspect", "max_age=300", "invalid_grant", "open http://127.0.0.1:"] {
        assert!(told.contains(word), "the walk does not speak of {word}:\n{told}");
    }
    let home = told.lines().find_map(|line| line.strip_prefix("open ")).unwrap();
    let home = home.split(' ').next().unwrap();
    click_through(home).await;
    let issuer = told.lines().find_map(|line| line.strip_prefix("issuer: ")).unwrap();
    pay(home, issuer).await;
    let told_to_stop = Command::new("kill").args(["-TERM", &demo.id().to_string()]).status().unwrap();
    assert!(told_to_stop.success());
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let status = loop {
        if let Some(status) = demo.try_wait().unwrap() {
            break status;
        }
        if std::time::Instant::now() > deadline {
            demo.kill().unwrap();
            panic!("the demo did not stop within 30 s");
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    assert!(status.success(), "{status}");
    // Bob was written to, in the demo's own directory: the server's is not touched.
    let own = directory.with_file_name(format!("demo-{}-demo", std::process::id()));
    assert!(!directory.exists() && std::fs::read_dir(own.join("mail")).unwrap().count() > 0);
    for entry in std::fs::read_dir(directory.parent().unwrap()).unwrap() {
        let path = entry.unwrap().path();
        if path.to_string_lossy().contains(&format!("demo-{}", std::process::id())) {
            std::fs::remove_dir_all(path).unwrap();
        }
    }
}
