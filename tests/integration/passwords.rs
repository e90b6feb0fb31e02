//! Passwords that people choose: what is asked of one, changing it, and what goes with a change.

use chrono::TimeDelta;
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{method, path},
};

use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    authenticator,
    page::Form,
    process::Installation,
};

const NEW: &str = "nine gulls over the quay";

async fn signed_in(server: &Server, username: &str, password: &str) -> (Agent, Page) {
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    let page = agent.sign_in(&page, username, password).await;
    (agent, page)
}

async fn form(server: &Server, agent: &Agent) -> Form {
    agent.open(&server.at("/account/password")).await.form_to("/account/password")
}

fn filled(form: &Form, password: &str) -> Form {
    form.clone().fill("password", password).fill("password_again", password)
}

#[tokio::test]
async fn a_password_is_changed_and_its_person_told() {
    let server = Server::start(Settings::default().jobs()).await;
    let (agent, page) = signed_in(&server, ALICE, PASSWORD).await;
    let (other, _) = signed_in(&server, ALICE, PASSWORD).await;
    let client = server.client("web");
    let away = client.tokens(&other, "openid offline_access").await;
    assert!(page.body.contains("/account/password"), "{}", page.body);
    let shown = agent.open(&server.at("/account/password")).await.body;
    assert!(shown.contains("name=\"end_others\" type=\"checkbox\" value=\"yes\" checked"), "{shown}");
    // What password managers look for.
    for part in ["autocomplete=\"username\" readonly", "value=\"alice\"", "autocomplete=\"new-password\""] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let change = filled(&form(&server, &agent).await, NEW);
    let page = agent.submit(&change.fill("end_others", "yes")).await;
    assert!(page.body.contains("Your password is changed. It is a good one"), "{}", page.body);
    let mail = server.mail("your password was changed").await;
    assert!(mail.text.contains("Firefox on Linux") && !mail.text.contains(NEW), "{}", mail.text);
    assert_eq!(server.events("password.changed", "done").await, 1);
    assert!(!client.is_active(&away.refresh).await, "access while away ends with it");
    // The browser at hand goes on, the other one does not.
    assert_eq!(agent.open(&server.at("/account")).await.heading(), "Alice Example");
    assert!(other.open(&server.at("/account")).await.asks_for_password());
    assert_eq!(signed_in(&server, ALICE, PASSWORD).await.1.status, 401);
    let (third, page) = signed_in(&server, ALICE, NEW).await;
    assert_eq!(page.heading(), "Alice Example");
    // Whoever takes the tick away keeps the others.
    let away = client.tokens(&agent, "openid offline_access").await;
    third.submit(&filled(&form(&server, &third).await, PASSWORD)).await;
    assert!(client.is_active(&away.refresh).await);
    assert_eq!(agent.open(&server.at("/account")).await.heading(), "Alice Example");
}

/// Who has forgotten it and has no address asks whoever runs the service.
#[tokio::test]
async fn an_operator_gives_somebody_another_one() {
    let server = Server::start(Settings::default().jobs()).await;
    let (agent, _) = signed_in(&server, ALICE, PASSWORD).await;
    let (bob, _) = signed_in(&server, BOB, PASSWORD).await;
    let operator = Installation::on(server.app.config.database.url.as_deref().unwrap());
    operator.run(&["user", "password", ALICE]).failed(2);
    operator.run_with(&["user", "password", "nobody", "--password-stdin"], NEW).failed(1);
    operator.run_with(&["user", "password", ALICE, "--password-stdin"], "7 chars").failed(1);
    operator.run_with(&["user", "password", ALICE, "--password-stdin"], "").failed(1);
    assert_eq!(agent.open(&server.at("/account")).await.heading(), "Alice Example");

    let run = operator.run_with(&["user", "password", ALICE, "--password-stdin"], NEW);
    assert_eq!(run.done().trim(), "alice has another password; sessions ended: 1");
    assert!(agent.open(&server.at("/account")).await.asks_for_password());
    assert_eq!(bob.open(&server.at("/account")).await.heading(), "Bob Example");
    assert_eq!(signed_in(&server, ALICE, PASSWORD).await.1.status, 401);
    assert_eq!(signed_in(&server, ALICE, NEW).await.1.heading(), "Alice Example");
    let told =
        "SELECT actor || ' ' || (detail ->> 'sessions_ended') FROM audit_events WHERE action = 'password.changed'";
    assert_eq!(server.value(told).await, "operator 1");
    assert!(!server.mail("your password was changed").await.text.contains(NEW));
}

/// It stands for the password, and for nothing else.
#[tokio::test]
async fn an_operator_bypasses_no_other_factor() {
    let server = Server::usual().await;
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    let operator = Installation::on(server.app.config.database.url.as_deref().unwrap());
    operator.run_with(&["user", "password", ALICE, "--password-stdin"], NEW).done();
    let (agent, _) = signed_in(&server, ALICE, NEW).await;
    let confirm = agent.open(&server.at("/login?confirm=account")).await;
    assert!(!confirm.asks_for_password() && confirm.data("use-passkey").is_some(), "{}", confirm.body);
    let account = agent.use_passkey(&confirm, &mut passkey).await;
    assert_eq!(account.heading(), "Alice Example");
}

/// Length, and not what everybody has; nothing else.
#[tokio::test]
async fn what_cannot_be_chosen_is_said() {
    let server = Server::usual().await;
    let (agent, _) = signed_in(&server, ALICE, PASSWORD).await;
    let form = form(&server, &agent).await;
    for (password, says) in [
        ("fourteen chars", "at least 15 characters"),
        ("password1234", "Add another word or two."),
        ("passwordpassword", "Many people have this password"),
        ("123456789012345", "Many people have this password"),
        ("qwertyuiopqwertyuiop", "Many people have this password"),
        ("alice@example.com", "not your name or address"),
        ("Mooring-Mooring-1", "not your name or address"),
    ] {
        let page = agent.submit(&filled(&form, password)).await;
        assert_eq!(page.status, 400, "{password}");
        assert!(page.body.contains(says) && !page.body.contains(password), "{password}: {}", page.body);
    }
    let page = agent.submit(&form.clone().fill("password", NEW).fill("password_again", "another")).await;
    assert!(page.status == 400 && page.body.contains("not the same"), "{}", page.body);
    agent.submit(&filled(&form, NEW).forge("csrf", Some("AAAA"))).await.is_error_page(400);
    assert_eq!(server.events("password.changed", "done").await, 0);
    // Long ones, spaces at the end, other scripts: as they are, none of it cut off.
    let long = format!("{} end ", "långt lösenord ".repeat(12));
    for password in [long.as_str(), "  only lower case  ", "пятнадцать букв тут"] {
        let page = agent.submit(&filled(&form, password)).await;
        assert!(page.body.contains("Your password is changed"), "{password}: {}", page.body);
        assert_eq!(signed_in(&server, ALICE, password).await.1.heading(), "Alice Example", "{password}");
        let cut: String = password.chars().take(password.chars().count() - 1).collect();
        assert_eq!(signed_in(&server, ALICE, &cut).await.1.status, 401, "{password}");
    }
}

/// Eight characters are enough beside a code; the proof is the strongest that there is, and of now.
#[tokio::test]
async fn changing_it_takes_the_strongest_proof() {
    let server = Server::usual().await;
    let (agent, _) = signed_in(&server, ALICE, PASSWORD).await;
    let early = form(&server, &agent).await;
    let (app, _) = authenticator::add(&server, &agent).await;
    // Signed in by the password alone, before there was an app: not any more.
    assert!(agent.submit(&filled(&early, NEW)).await.asks_for_password());
    let page = agent.open(&server.at("/account/password")).await;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    let page = agent.submit(&page.form_to("/second-factor").fill("code", &app.code(&server))).await;
    assert!(page.url.path().ends_with("/account/password"), "back to what was asked for: {}", page.url);
    let form = page.form_to("/account/password");
    assert!(page.body.contains("At least 8 characters"), "{}", page.body);
    assert_eq!(agent.submit(&filled(&form, "7 chars")).await.status, 400);
    assert!(agent.submit(&filled(&form, "kelpgull")).await.body.contains("Your password is changed"));
    server.advance(TimeDelta::minutes(6)).await;
    assert!(agent.submit(&filled(&form, NEW)).await.asks_for_password(), "an old proof is none");
    assert_eq!(server.events("password.changed", "done").await, 1);
    // Nobody else's.
    let (bob, _) = signed_in(&server, BOB, PASSWORD).await;
    bob.submit(&filled(&form, NEW)).await.is_error_page(400);
    assert!(server.agent().submit(&filled(&form, NEW)).await.asks_for_password());
}

/// Only the first five digits of a hash leave the house; whoever keeps the list may be away.
#[tokio::test]
async fn stolen_passwords_are_refused() {
    let list = MockServer::start().await;
    let stolen = mooring::jose::sha1_hex(NEW.as_bytes());
    let (prefix, suffix) = stolen.split_at(5);
    let padded = mooring::jose::sha1_hex(b"a padded one of nobody");
    let body = format!("0018A45C4D1DEF81644B54AB7F969B88D65:10\r\n{suffix}:3\r\n");
    Mock::given(method("GET"))
        .and(path(format!("/range/{prefix}")))
        .respond_with(ResponseTemplate::new(200).set_body_string(body))
        .expect(1)
        .mount(&list)
        .await;
    let padding = format!("{}:0\r\n", &padded[5..]);
    Mock::given(method("GET"))
        .and(path(format!("/range/{}", &padded[..5])))
        .respond_with(ResponseTemplate::new(200).set_body_string(padding))
        .mount(&list)
        .await;
    let url = format!("{}/range/", list.uri());
    let settings = Settings::default().set("passwords.breach_check_url", &url).set("outbound.allow", "127.0.0.1/32");
    let server = Server::start(settings).await;
    let (agent, _) = signed_in(&server, ALICE, PASSWORD).await;
    let form = form(&server, &agent).await;
    let page = agent.submit(&filled(&form, NEW)).await;
    assert!(page.status == 400 && page.body.contains("list of stolen ones"), "{}", page.body);
    assert!(agent.submit(&filled(&form, "a padded one of nobody")).await.body.contains("Your password is changed"));
    // Any other is answered 404 here: no answer is no objection.
    assert!(agent.submit(&filled(&form, "kelp on the old pier")).await.body.contains("Your password is changed"));
    let asked: Vec<String> =
        list.received_requests().await.unwrap().iter().map(|request| request.url.path().to_owned()).collect();
    assert!(asked.iter().all(|path| path.len() == "/range/".len() + 5), "{asked:?}");
}

/// An estimate, a look-up and a hash for each try: one person gets so many.
#[tokio::test]
async fn trying_passwords_is_throttled() {
    let server = Server::usual().await;
    let (alice, _) = signed_in(&server, ALICE, PASSWORD).await;
    let change = form(&server, &alice).await;
    let dear = "4@8({[<";
    let mut tries = 0;
    let refused = loop {
        let answer = alice.submit(&filled(&change, dear)).await;
        if answer.status != 400 {
            break answer;
        }
        tries += 1;
        assert!(tries < 100);
    };
    assert_eq!(refused.status, 429, "{}", refused.body);
    assert!((10..=40).contains(&tries), "{tries}");
    assert!(refused.header("retry-after").parse::<u32>().is_ok());
    // It is nobody's fault but the person's own haste, and it passes.
    assert_eq!(refused.heading(), "Please wait a moment");
    assert!(refused.body.contains("Too many passwords were tried; please wait a moment."), "{}", refused.body);
    assert!(refused.body.contains("try again in") && !refused.body.contains("developers"), "{}", refused.body);
    // Nobody else is kept from theirs.
    let (bob, _) = signed_in(&server, BOB, PASSWORD).await;
    let page = bob.submit(&filled(&form(&server, &bob).await, NEW)).await;
    assert!(page.body.contains("Your password is changed"), "{}", page.body);
}
