//! Signing in with a passkey: what is taken, and the many things that are not.

mod backup;
mod crowded;
mod hardware;
mod in_a_browser;
mod suspended;
mod weakened;
mod withdrawn;

use chrono::TimeDelta;
use serde_json::json;

use crate::support::{
    ALICE, Answer, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    client::Code,
    cluster::hex,
    passkey::Passkey,
    token,
};

/// Why the latest attempt was refused, as the trail says.
async fn reason(server: &Server) -> String {
    server.value("SELECT reason FROM audit_events WHERE outcome = 'refused' ORDER BY id DESC LIMIT 1").await
}

/// A page that asks somebody new to sign in, and what its button asked for.
async fn asked(server: &Server, agent: &Agent) -> crate::support::passkey::Asked {
    let page = agent.open(&server.at("/login")).await;
    agent.ask(&page, "use-passkey", &[]).await.unwrap_or_else(|page| panic!("{}", page.body))
}

#[tokio::test]
async fn a_passkey_alone_signs_in() {
    let server = Server::usual().await;
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    assert_eq!(server.events("credential.added", "done").await, 1);
    let (client, agent) = (server.client("web"), server.agent());
    let request = client.request("openid");
    let page = agent.open(&request.url()).await;
    assert!(page.body.contains("autocomplete=\"username webauthn\""), "{}", page.body);
    let consent = agent.use_passkey(&page, &mut passkey).await;
    let code = agent.decide(&consent, "allow").await.code();
    let tokens = client.redeem(&Code { code, verifier: request.verifier }).await.tokens();
    let claims = token::claims(&tokens.id);
    assert_eq!(claims["sub"], server.user_id(ALICE).await);
    assert_eq!(claims["acr"], "phr");
    assert_eq!(claims["amr"], json!(["pop", "user", "mfa"]));
    // The account page tells of it.
    let account = agent.open(&server.at("/account")).await;
    assert!(account.body.contains("A soft passkey") && account.body.contains("last used"), "{}", account.body);
}

#[tokio::test]
async fn without_user_verification_nothing_is_taken() {
    let server = Server::usual().await;
    let (alice, mut passkey) = server.with_passkey(ALICE).await;
    passkey.verifies = false;
    let agent = server.agent();
    let asked = asked(&server, &agent).await;
    let signed = passkey.sign(asked.page(), &asked.options);
    let answer = agent.answer(&asked, &signed).await;
    assert_eq!((answer.status, reason(&server).await.as_str()), (403, "user_not_verified"));
    assert!(answer.headers.get("set-cookie").is_none());
    // Nor is a new one.
    let mut other = Passkey::new();
    other.verifies = false;
    passkey.verifies = true;
    let page = alice.open(&server.at("/login?confirm=account")).await;
    let account = alice.use_passkey(&page, &mut passkey).await;
    let asked = alice.ask(&account, "add-passkey", &[]).await.unwrap();
    let made = other.create(asked.page(), &asked.options);
    assert_eq!(alice.answer(&asked, &made).await.status, 403);
    assert_eq!(reason(&server).await, "user_not_verified");
}

#[tokio::test]
async fn another_origin_is_refused() {
    let server = Server::usual().await;
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    let agent = server.agent();
    for origin in ["https://evil.example", "http://localhost:1", "http://sub.localhost"] {
        let asked = asked(&server, &agent).await;
        passkey.origin = Some(origin.to_owned());
        let signed = passkey.sign(asked.page(), &asked.options);
        assert_eq!(agent.answer(&asked, &signed).await.status, 403, "{origin}");
        assert_eq!(reason(&server).await, "wrong_origin", "{origin}");
    }
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE acr = 'phr'").await, "0");
}

/// A ceremony is answered once, rightly or wrongly, and by nobody but the browser that was asked.
#[tokio::test]
async fn an_answer_is_good_once_and_for_one_browser() {
    let server = Server::usual().await;
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    let agent = server.agent();
    let first = asked(&server, &agent).await;
    let signed = passkey.sign(first.page(), &first.options);
    // Another browser has it, with a page of its own.
    let thief = server.agent();
    let theirs = asked(&server, &thief).await;
    let stolen = theirs.clone().with("ceremony", first.member("ceremony"));
    assert_eq!(thief.answer(&stolen, &signed).await.status, 403);
    assert_eq!(reason(&server).await, "no_ceremony");
    // As the answer to a question of its own.
    assert_eq!(thief.answer(&theirs, &signed).await.status, 403);
    assert_eq!(reason(&server).await, "wrong_challenge");
    // The thief's tries took nothing away.
    assert_eq!(agent.answer(&first, &signed).await.status, 200);
    // Replayed: by the same browser on a page of its own, and with the cookies of then.
    let again = asked(&server, &agent).await;
    let replayed = again.with("ceremony", first.member("ceremony"));
    assert_eq!(agent.answer(&replayed, &signed).await.status, 403);
    assert_eq!(reason(&server).await, "no_ceremony");
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE acr = 'phr'").await, "1");
}

#[tokio::test]
async fn a_ceremony_is_for_its_request_and_takes_five_minutes() {
    let server = Server::usual().await;
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    let (client, agent) = (server.client("web"), server.agent());
    let one = agent.open(&client.request("openid").url()).await;
    let other = agent.open(&client.request("openid email").url()).await;
    let asked_by_one = agent.ask(&one, "use-passkey", &[]).await.unwrap();
    let asked_by_other = agent.ask(&other, "use-passkey", &[]).await.unwrap();
    let signed = passkey.sign(asked_by_one.page(), &asked_by_one.options);
    let mixed = asked_by_other.with("ceremony", asked_by_one.member("ceremony"));
    assert_eq!(agent.answer(&mixed, &signed).await.status, 403);
    assert_eq!(reason(&server).await, "no_ceremony");
    assert_eq!(server.value("SELECT count(*) FROM authorization_requests WHERE proved_at IS NOT NULL").await, "0");

    let late = asked(&server, &agent).await;
    let signed = passkey.sign(late.page(), &late.options);
    server.advance(TimeDelta::seconds(301)).await;
    assert_eq!(agent.answer(&late, &signed).await.status, 403);
    assert_eq!(reason(&server).await, "no_ceremony");
}

/// There may be a copy: nobody uses it any more.
#[tokio::test]
async fn a_counter_that_goes_back_suspends_the_passkey() {
    let server = Server::start(Settings::default().jobs()).await;
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    server
        .rows("UPDATE credentials SET passkey = jsonb_set(passkey, '{cred,counter}', '1000') WHERE kind = 'passkey'")
        .await;
    let agent = server.agent();
    for expected in ["counter_went_back", "suspended_passkey"] {
        let asked = asked(&server, &agent).await;
        let signed = passkey.sign(asked.page(), &asked.options);
        let answer = agent.answer(&asked, &signed).await;
        assert_eq!(answer.status, 403);
        assert!(!answer.body.contains("counter") && !answer.body.contains("suspended"), "{}", answer.body);
        assert_eq!(reason(&server).await, expected);
    }
    assert_eq!(server.events("credential.suspended", "done").await, 1);
    assert_eq!(
        server.value("SELECT suspend_reason FROM credentials WHERE kind = 'passkey'").await,
        "counter_went_back"
    );
    assert!(server.mail("suspended").await.text.contains("somebody\nhas a copy"));
    // Its person signs in another way and sees it.
    let account = agent.walk(&server.at("/account"), ALICE).await;
    assert!(account.body.contains("there may be a copy"), "{}", account.body);
    server.mail("passkey was added").await;
}

/// Who is to prove again who they are is the only one who can.
#[tokio::test]
async fn another_persons_passkey_is_refused() {
    let server = Server::usual().await;
    let (alice, _alices) = server.with_passkey(ALICE).await;
    let (_, mut bobs) = server.with_passkey(BOB).await;
    let page = alice.open(&server.at("/login?confirm=account")).await;
    assert_eq!(page.heading(), "Confirm it is you");
    let asked = alice.ask(&page, "use-passkey", &[]).await.unwrap();
    assert_eq!(asked.options["allowCredentials"].as_array().unwrap().len(), 1);
    let signed = bobs.sign_anyway(asked.page(), &asked.options);
    assert_eq!(alice.answer(&asked, &signed).await.status, 403);
    assert_eq!(reason(&server).await, "another_persons_passkey");
    // Nor does it help to say that it is Alice's.
    let asked = alice.ask(&page, "use-passkey", &[]).await.unwrap();
    let mut signed = bobs.sign_anyway(asked.page(), &asked.options);
    signed["response"]["userHandle"] = asked.options["user"]["id"].clone();
    assert_eq!(alice.answer(&asked, &signed).await.status, 403);
    assert_eq!(alice.open(&server.at("/account")).await.heading(), "Alice Example");
    // Without saying whose it is, a passkey that nobody was asked for is nobody's.
    let stranger = server.agent();
    let asked = self::asked(&server, &stranger).await;
    let mut signed = bobs.sign(asked.page(), &asked.options);
    signed["response"]["userHandle"] = json!(null);
    assert_eq!(stranger.answer(&asked, &signed).await.status, 403);
}

#[tokio::test]
async fn calls_need_the_token_of_their_page() {
    let server = Server::usual().await;
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    let (agent, other) = (server.agent(), server.agent());
    let asked = asked(&server, &agent).await;
    let foreign = self::asked(&server, &other).await.member("csrf").clone();
    let signed = passkey.sign(asked.page(), &asked.options);
    for wrong in [json!(null), json!(""), json!("x"), foreign] {
        assert_eq!(agent.answer(&asked.clone().with("csrf", &wrong), &signed).await.status, 409, "{wrong}");
    }
    assert_eq!(agent.answer(&asked, &signed).await.status, 200);
    for nonsense in [json!(null), json!([]), json!({ "id": 1 }), json!("x")] {
        let asked = self::asked(&server, &other).await;
        assert_eq!(other.answer(&asked, &nonsense).await.status, 403, "{nonsense}");
        assert_eq!(reason(&server).await, "malformed_answer");
    }
}

/// What is no JSON is a bad request, and nobody's client metadata.
#[tokio::test]
async fn a_body_that_cannot_be_read_is_called_what_it_is() {
    let server = Server::usual().await;
    for path in
        ["/passkeys/sign-in/options", "/passkeys/sign-in", "/passkeys/enrol/options", "/hub/api/v1/sessions/events"]
    {
        for body in ["{", "", "{\"csrf\": 1"] {
            let call = server.http().post(server.at(path)).header("content-type", "application/json").body(body);
            Answer::of(call).await.refused_with(400, "invalid_request");
        }
    }
}

/// Whoever finds a browser signed in, or knows the password, does not add a passkey beside the one that is there.
#[tokio::test]
async fn a_weaker_or_older_proof_changes_nothing() {
    let server = Server::usual().await;
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    // The password alone.
    let agent = server.agent();
    let account = agent.walk(&server.at("/account"), ALICE).await;
    let sent_away = agent.ask(&account, "add-passkey", &[]).await.unwrap_err();
    let confirm = agent.go_on(&sent_away).await;
    assert_eq!(confirm.heading(), "Confirm it is you");
    for form in ["/passkeys/remove", "/passkeys/rename"] {
        let form = account.form_to(form);
        let form = if form.field("credential").is_some() { form.fill("label", "Mine") } else { form.press_first() };
        assert_eq!(agent.submit(&form).await.heading(), "Confirm it is you");
    }
    // One can go back, and it is as it was.
    assert!(confirm.body.contains("/account\">Back to your account<"), "{}", confirm.body);
    assert!(!agent.open(&server.at("/account")).await.body.contains("do it again"));
    // The passkey, and it goes on; what was wanted has to be wanted again, and that is said.
    let account = agent.use_passkey(&confirm, &mut passkey).await;
    assert_eq!(account.heading(), "Alice Example");
    assert!(account.body.contains("Please do it again: nothing has been changed yet."), "{}", account.body);
    let renamed = agent.submit(&account.form_to("/passkeys/rename").fill("label", "<b>Mine</b>")).await;
    assert!(renamed.body.contains("&lt;b&gt;Mine") && !renamed.body.contains("do it again"), "{}", renamed.body);
    // Five minutes later it is too old.
    server.advance(TimeDelta::seconds(301)).await;
    let late = agent.submit(&renamed.form_to("/passkeys/remove").press_first()).await;
    assert_eq!(late.heading(), "Confirm it is you");
    let account = agent.use_passkey(&late, &mut passkey).await;
    let removed = agent.submit(&account.form_to("/passkeys/remove").press_first()).await;
    assert!(removed.body.contains("is removed"), "{}", removed.body);
    assert_eq!(server.events("credential.removed", "done").await, 1);
    // And signs nobody in any more.
    let stranger = server.agent();
    let asked = asked(&server, &stranger).await;
    let signed = passkey.sign(asked.page(), &asked.options);
    assert_eq!(stranger.answer(&asked, &signed).await.status, 403);
    assert_eq!(reason(&server).await, "unknown_passkey");
}

/// Nobody locks themselves out, also not by two clicks at once.
#[tokio::test]
async fn the_last_way_to_sign_in_stays() {
    let server = Server::usual().await;
    let (agent, mut passkey) = server.with_passkey(ALICE).await;
    let page = agent.open(&server.at("/login?confirm=account")).await;
    let account = agent.use_passkey(&page, &mut passkey).await;
    let account = agent.enrol_passkey(&account, &mut passkey).await;
    server.rows("UPDATE credentials SET ended_at = now() WHERE kind = 'password'").await;
    let forms: Vec<_> =
        account.forms().into_iter().filter(|form| form.action.path().ends_with("/passkeys/remove")).collect();
    let [one, other] = [&forms[0], &forms[1]].map(|form| form.clone().press_first());
    let (one, other) = tokio::join!(agent.submit(&one), agent.submit(&other));
    // Or the first was the one that allowed the other: then that takes a new proof.
    let is_kept = |page: &&Page| page.body.contains("your only way") || page.heading() == "Confirm it is you";
    assert_eq!([&one, &other].into_iter().filter(is_kept).count(), 1, "{}\n{}", one.body, other.body);
    assert_eq!(server.value("SELECT count(*) FROM credentials WHERE kind = 'passkey' AND ended_at IS NULL").await, "1");
}

/// Where it takes a passkey, none but that is offered, and a form of before is not looked at.
#[tokio::test]
async fn a_password_does_not_confirm_whoever_has_a_passkey() {
    let server = Server::usual().await;
    let (agent, mut passkey) = (server.agent(), Passkey::new());
    let account = agent.walk(&server.at("/account"), ALICE).await;
    let before = agent.open(&server.at("/login?confirm=account")).await;
    assert!(before.asks_for_password() && before.heading() == "Confirm it is you", "{}", before.body);
    agent.enrol_passkey(&account, &mut passkey).await;
    let cookie = agent.cookie().value;
    let page = agent.open(&server.at("/login?confirm=account")).await;
    assert!(!page.asks_for_password() && page.body.contains("id=\"use-passkey\""), "{}", page.body);
    for password in [PASSWORD, "a wrong one"] {
        let refused = agent.submit(&before.sign_in_form(ALICE, password)).await;
        assert_eq!((refused.status, refused.heading().as_str()), (403, "Confirm it is you"), "{}", refused.body);
        assert!(refused.body.contains("Please use your passkey") && !refused.asks_for_password(), "{}", refused.body);
    }
    // Neither was the password tried, nor did anything begin with it.
    assert_eq!((server.events("sign_in", "refused").await, agent.cookie().value), (0, cookie));
    let account = agent.use_passkey(&page, &mut passkey).await;
    assert!(account.url.path().ends_with("/account") && account.heading() == "Alice Example", "{}", account.body);
}

/// The same passkey for two people, and twice at once.
#[tokio::test]
async fn a_passkey_is_one_persons() {
    let server = Server::usual().await;
    let (alice, mut passkey) = server.with_passkey(ALICE).await;
    let bob = server.agent();
    let account = bob.walk(&server.at("/account"), BOB).await;
    let asked = bob.ask(&account, "add-passkey", &[]).await.unwrap();
    let made = passkey.create(asked.page(), &asked.options);
    // Alice's handle is put in the place of what was made for Bob.
    let taken = server.value("SELECT encode(handle, 'hex') FROM credentials WHERE kind = 'passkey'").await;
    let id = mooring::jose::from_base64url(made["id"].as_str().unwrap()).unwrap();
    let hex = hex(&id);
    server.rows(&format!("UPDATE credentials SET handle = '\\x{hex}' WHERE handle = '\\x{taken}'")).await;
    assert_eq!(bob.answer(&asked, &made).await.status, 403);
    assert_eq!(reason(&server).await, "enrolled_already");

    // Of two answers to two questions with the same passkey, one is kept.
    let account = bob.open(&server.at("/account")).await;
    let one = bob.ask(&account, "add-passkey", &[]).await.unwrap();
    let made = Passkey::new().create(one.page(), &one.options);
    let (first, second) = tokio::join!(bob.answer(&one, &made), bob.answer(&one, &made));
    let mut statuses = [first.status, second.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 403]);
    let bobs = server.user_id(BOB).await;
    assert_eq!(
        server.value(&format!("SELECT count(*) FROM credentials WHERE user_id = '{bobs}' AND kind = 'passkey'")).await,
        "1"
    );
    drop(alice);
}

/// A disabled person's passkey signs nobody in.
#[tokio::test]
async fn a_disabled_person_stays_out() {
    let server = Server::usual().await;
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    let alice = server.user_id(ALICE).await.parse().unwrap();
    server.work(async |tx| mooring::db::users::disable(tx, alice).await.map(drop)).await;
    let agent = server.agent();
    let asked = asked(&server, &agent).await;
    let signed = passkey.sign(asked.page(), &asked.options);
    assert_eq!(agent.answer(&asked, &signed).await.status, 403);
    assert_eq!(reason(&server).await, "disabled_user");
    assert!(agent.sign_in(&agent.open(&server.at("/login")).await, ALICE, PASSWORD).await.status >= 400);
}

/// Pages of other origins that the configuration names may use the same passkeys.
#[tokio::test]
async fn related_origins() {
    let settings = Settings::default().path("/tenant").set("passkeys.related_origins", "https://www.example");
    let server = Server::start(settings).await;
    let root = server.issuer.strip_suffix("/tenant").unwrap();
    let published = server.http().get(format!("{root}/.well-known/webauthn")).send().await.unwrap();
    assert_eq!(published.headers()["content-type"], "application/json");
    assert_eq!(published.text().await.unwrap(), "{\"origins\":[\"https://www.example\"]}");
    let (_, mut passkey) = server.with_passkey(ALICE).await;
    let agent = server.agent();
    passkey.origin = Some("https://www.example".to_owned());
    let page = agent.open(&server.at("/login")).await;
    assert_eq!(agent.use_passkey(&page, &mut passkey).await.heading(), "Alice Example");

    let plain = Server::usual().await;
    plain.agent().open(&plain.at("/.well-known/webauthn")).await.is_error_page(404);
}

/// An address is no name: there are no passkeys, and nothing speaks of them.
#[tokio::test]
async fn an_issuer_on_an_address_has_none() {
    let server = Server::start(Settings::default().set("issuer", "https://127.0.0.1")).await;
    let port = server.app.config.listen.port();
    let login = server.http().get(format!("http://localhost:{port}/login")).send().await.unwrap();
    let body = login.text().await.unwrap();
    assert!(body.contains("name=\"password\"") && !body.contains("passkey"), "{body}");
    let call = server.http().post(format!("http://localhost:{port}/passkeys/sign-in/options")).json(&json!({}));
    assert_eq!(call.send().await.unwrap().status(), 404);
}
