//! What somebody tried, and what it came to. Each of these worked once.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use mooring::{audit::Actor, db::credentials, sessions};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use uuid::Uuid;

use crate::support::{ALICE, BOB, PASSWORD, Server, authenticator, client::Code, passkey::Passkey};

/// A code and its verifier in two hands, redeemed at once: the family is dead, the one for ever-lasting access too.
#[tokio::test]
async fn a_code_redeemed_twice_at_once_leaves_no_offline_access() {
    let server = Server::usual().await;
    let client = server.client("web");
    for round in 0..4 {
        let code = client.code(&server.agent(), "openid offline_access").await;
        let answers = join_all((0..4).map(|_| client.redeem(&code))).await;
        let given: Vec<_> =
            answers.iter().filter(|answer| answer.status == 200).map(|answer| answer.tokens()).collect();
        assert!(given.len() <= 1, "round {round}: {} redemptions", given.len());
        for tokens in given {
            assert!(!client.is_active(&tokens.access).await, "round {round}: the access token lives");
            client.refresh(&tokens.refresh).await.refused("invalid_grant");
        }
        let alive = "SELECT count(*) FROM sessions WHERE kind = 'offline' AND ended_at IS NULL";
        assert_eq!(server.value(alive).await, "0", "round {round}: an offline session is left");
    }
}

/// The consent page speaks to alice; bob signs in in another tab; what alice's page then sends is not bob's consent.
#[tokio::test]
async fn a_consent_form_shown_to_one_person_is_not_anothers_consent() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let consent = agent.sign_in(&agent.open(&client.request("openid email").url()).await, ALICE, PASSWORD).await;
    assert!(consent.offers("allow"));
    let other_tab = agent.open(&server.client("spa").request("openid").with("prompt", "login").url()).await;
    agent.sign_in(&other_tab, BOB, PASSWORD).await;
    agent.decide(&consent, "allow").await.is_error_page(400);
    assert_eq!(server.value("SELECT count(*) FROM consents").await, "0");
}

/// Without PKCE the redirect URI is what binds the code, so it has to be sent (RFC 6749 §4.1.3).
#[tokio::test]
async fn a_code_without_pkce_is_not_redeemed_without_its_redirect_uri() {
    let server = Server::usual().await;
    let client = server.client("lax");
    let agent = server.agent();
    let request = client.request("openid").without("code_challenge").without("code_challenge_method");
    let consent = agent.sign_in(&agent.open(&request.url()).await, ALICE, PASSWORD).await;
    let code = agent.decide(&consent, "allow").await.code();
    client.token(&[("grant_type", "authorization_code"), ("code", &code)]).await.refused("invalid_grant");
}

/// One person, eight devices behind one address, all at once, all with the right password.
#[tokio::test]
async fn right_sign_ins_at_once_do_not_trip_over_each_other() {
    let server = Server::usual().await;
    let client = server.client("web");
    for _ in 0..3 {
        let signed_in = join_all((0..8).map(async |_| {
            let agent = server.agent();
            let page = agent.open(&client.request("openid").url()).await;
            agent.sign_in(&page, ALICE, PASSWORD).await.status
        }))
        .await;
        assert!(signed_in.iter().all(|status| *status == 200), "{signed_in:?}");
    }
}

/// A form without a cookie is refused before anything is stored for its sender.
#[tokio::test]
async fn a_sign_in_form_without_a_cookie_begins_no_session() {
    let server = Server::usual().await;
    let form = [("username", ALICE), ("password", PASSWORD), ("csrf", "x")];
    let answer = server.http().post(server.at("/login")).form(&form).send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert_eq!(server.value("SELECT count(*) FROM sessions").await, "0");
}

/// What a request carries and nobody reads is not kept.
#[tokio::test]
async fn a_waiting_request_keeps_only_what_is_read() {
    let server = Server::usual().await;
    let request = server.client("web").request("openid").with("ballast", &"x".repeat(4000));
    server.agent().open(&request.url()).await;
    assert_eq!(
        server.value("SELECT count(*) FROM authorization_requests WHERE parameters LIKE '%ballast%'").await,
        "0"
    );
    assert_eq!(server.value("SELECT count(*) FROM authorization_requests").await, "1");
}

/// A verifier that was never promised is a downgrade (RFC 9700 §2.1.1): kept here beside its cousins.
#[tokio::test]
async fn a_verifier_without_a_challenge_is_refused() {
    let server = Server::usual().await;
    let client = server.client("lax");
    let agent = server.agent();
    let request = client.request("openid").without("code_challenge").without("code_challenge_method");
    let consent = agent.sign_in(&agent.open(&request.url()).await, ALICE, PASSWORD).await;
    let code = Code { code: agent.decide(&consent, "allow").await.code(), verifier: request.verifier.clone() };
    client.redeem(&code).await.refused("invalid_grant");
}

/// Strangers are remembered, but not without end: whoever asks and asks without a cookie is told to wait.
#[tokio::test]
async fn strangers_of_one_source_are_remembered_within_bounds() {
    let server = Server::usual().await;
    let url = server.client("web").request("openid").url();
    let mut waits = 0;
    for _ in 0..11 {
        let answers = join_all((0..100).map(|_| server.http().get(&url).send())).await;
        for answer in answers {
            let answer = answer.unwrap();
            match answer.status().as_u16() {
                303 => {}
                429 => waits += usize::from(answer.headers().contains_key("retry-after")),
                other => panic!("{other}"),
            }
        }
    }
    let kept: usize = server.value("SELECT count(*) FROM authorization_requests").await.parse().unwrap();
    assert!(waits > 0 && kept + waits == 1100, "{kept} kept, {waits} told to wait");
}

/// A family without a refresh token is named by one that was made up: no such token, and nothing breaks.
#[tokio::test]
async fn a_made_up_refresh_token_of_a_family_that_has_none_is_refused() {
    let server = Server::usual().await;
    let client = server.client("web");
    let code = client.code(&server.agent(), "openid").await;
    let family: Uuid = server.value("SELECT id FROM grants").await.parse().unwrap();
    let octets = [family.as_bytes().as_slice(), &1_i32.to_be_bytes(), &[0; 32]].concat();
    let token = format!("mo_rt_{}", mooring::jose::base64url(&octets));
    client.refresh(&token).await.refused("invalid_grant");
    assert!(!client.is_active(&token).await);
    assert_eq!(client.revoke(&token).await.status, 200);
    client.redeem(&code).await.tokens();
}

/// Who is at the browser is nothing for a client to find out that they never allowed anything, not by guessing either.
#[tokio::test]
async fn a_client_without_consent_does_not_learn_who_is_there() {
    let server = Server::usual().await;
    let agent = server.agent();
    server.client("web").code(&agent, "openid").await;
    let mut answers = Vec::new();
    for username in [ALICE, BOB] {
        let claims = json!({ "id_token": { "sub": { "value": server.user_id(username).await } } }).to_string();
        for age in ["0", "100000"] {
            let request = server.client("jwt").request("openid").with("prompt", "none").with("claims", &claims);
            let mut answer = agent.step(&request.with("max_age", age).url()).await.answer();
            assert_eq!(answer.remove("error").as_deref(), Some("login_required"));
            answers.push(answer);
        }
    }
    assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
}

/// Begun while the password was all there was, finished when there is an app: it takes a code by now.
#[tokio::test]
async fn a_passkey_asked_for_before_there_was_an_app_is_not_added_after() {
    let server = Server::usual().await;
    let (thief, alice) = (server.agent(), server.agent());
    let account = thief.walk(&server.at("/account"), ALICE).await;
    let asked = thief.ask(&account, "add-passkey", &[]).await.unwrap();
    let made = Passkey::new().create(asked.page(), &asked.options);
    alice.walk(&server.at("/account"), ALICE).await;
    authenticator::add(&server, &alice).await;
    let answer = thief.answer(&asked, &made).await;
    assert_eq!(thief.go_on(&answer).await.heading(), "Confirm it is you", "{}", answer.body);
    assert_eq!(server.value("SELECT count(*) FROM credentials WHERE kind = 'passkey'").await, "0");
}

/// Holds what a person's change writes for as long as whatever else is begun meanwhile takes to get there.
fn slowly(change: &str) -> String {
    format!("WITH changed AS ({change}) SELECT pg_sleep(3) FROM (SELECT count(*) FROM changed) c")
}

const PASSWORDS: &str = "kind = 'password' AND user_id = (SELECT id FROM users WHERE username = 'alice')";

/// The old password fits, and is changed while it is hashed: what it begins then would outlive what the change has ended.
#[tokio::test]
async fn a_password_that_is_being_changed_signs_nobody_in() {
    let server = Server::usual().await;
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    let change = slowly(&format!("UPDATE credentials SET ended_at = now() WHERE {PASSWORDS} RETURNING id"));
    let (_, page) = tokio::join!(server.rows(&change), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        agent.sign_in(&page, ALICE, PASSWORD).await
    });
    assert_eq!(page.status, 401, "{}", page.body);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user'").await, "0");
}

/// Another hash of the same password, as two sign-ins at once make where it is an old one: the person is let in.
#[tokio::test]
async fn a_password_that_is_being_rehashed_signs_in() {
    let server = Server::usual().await;
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    let change = slowly(&format!(
        "UPDATE credentials SET secret_hash = (SELECT secret_hash FROM credentials WHERE kind = 'password' AND user_id = \
         (SELECT id FROM users WHERE username = 'bob')) WHERE {PASSWORDS} RETURNING id"
    ));
    let (_, page) = tokio::join!(server.rows(&change), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        agent.sign_in(&page, ALICE, PASSWORD).await
    });
    assert_eq!(page.heading(), "Alice Example", "{}", page.body);
}

/// A session that is ended while the password that it chose is hashed has chosen nothing.
#[tokio::test]
async fn a_session_that_ends_changes_no_password() {
    let server = Server::usual().await;
    let agent = server.agent();
    agent.walk(&server.at("/account"), ALICE).await;
    let form = agent.open(&server.at("/account/password")).await.form_to("/account/password");
    let form = form.fill("password", "nine gulls over the quay").fill("password_again", "nine gulls over the quay");
    let end = slowly(&format!(
        "UPDATE credentials SET last_used_at = now() WHERE {PASSWORDS} RETURNING id), \
         ended AS (UPDATE sessions SET ended_at = now(), end_reason = 'test' WHERE kind = 'user'"
    ));
    let (_, page) = tokio::join!(server.rows(&end), async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        agent.submit(&form).await
    });
    assert_eq!(page.status, 400, "{}", page.body);
    assert_eq!(server.events("password.changed", "done").await, 0);
    assert_eq!(server.agent().walk(&server.at("/account"), ALICE).await.heading(), "Alice Example");
}

/// Consent is withdrawn between the look-up of a code and its redemption: nothing comes of the code, no session either.
#[tokio::test]
async fn a_code_whose_family_ends_while_it_is_redeemed_is_worth_nothing() {
    let server = Server::usual().await;
    let client = server.client("web");
    let code = client.code(&server.agent(), "openid offline_access").await;
    let grant: Uuid = server.value("SELECT id FROM grants").await.parse().unwrap();
    let ended = Notify::new();
    let ending = server.work(async |tx| {
        sessions::end_family(tx, grant, "consent_withdrawn", Actor::Operator).await?;
        ended.notify_one();
        let waits = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_locks WHERE database = \
                     (SELECT oid FROM pg_database WHERE datname = current_database()))";
        until(async || server.value(waits).await == "1").await;
        Ok(())
    });
    let redeeming = async {
        ended.notified().await;
        client.redeem(&code).await
    };
    tokio::join!(ending, redeeming).1.refused("invalid_grant");
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'offline'").await, "0");
    assert_eq!(server.value("SELECT count(*) FROM access_tokens").await, "0");
    assert_eq!(server.events("code.redeemed", "done").await, 0);
}

/// Whoever goes away in the middle takes the locks along.
#[tokio::test]
async fn what_was_begun_for_somebody_who_went_away_is_undone_at_once() {
    let server = Server::usual().await;
    let bob: Uuid = server.user_id(BOB).await.parse().unwrap();
    let begun = Notify::new();
    let leaving = server.work(async |tx| {
        credentials::lock_person(tx, bob).await?;
        begun.notify_one();
        std::future::pending::<Result<(), _>>().await
    });
    tokio::select! {
        () = leaving => unreachable!(),
        () = begun.notified() => {}
    }
    let wanted = format!("SET lock_timeout = '5s'; UPDATE users SET session_epoch = session_epoch WHERE id = '{bob}'");
    server.as_server(&wanted).await.unwrap();
}

/// A request is judged as of its head: one that keeps its body back until what it sends has expired gets nothing for it.
#[tokio::test]
async fn a_body_that_is_kept_back_is_not_waited_for() {
    let server = Server::usual().await;
    let address = server.issuer.strip_prefix("http://").unwrap();
    let begun = Instant::now();
    let answers = ["/oauth/token", "/oauth/userinfo", "/login"].map(async |path| {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: 40\r\nConnection: close\r\n\r\ngrant_type="
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    });
    for answer in join_all(answers).await {
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
}

async fn until(look: impl AsyncFn() -> bool) {
    let begun = Instant::now();
    while !look().await {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never came to this");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
