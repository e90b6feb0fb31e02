//! Recovery codes: in place of a code of the app, each once, ended as a set.

use chrono::TimeDelta;

use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    authenticator::{self, App},
    token,
};

async fn with_codes(server: &Server, username: &str) -> (Agent, App, Vec<String>) {
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    agent.sign_in(&page, username, PASSWORD).await;
    let (app, codes) = authenticator::add(server, &agent).await;
    (agent, app, codes)
}

/// Signs in with the password and this code.
async fn sign_in(server: &Server, username: &str, code: &str) -> (Agent, Page) {
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    let page = agent.sign_in(&page, username, PASSWORD).await;
    let page = agent.submit(&page.form_to("/second-factor").fill("code", code)).await;
    (agent, page)
}

fn is_in(page: &Page) -> bool {
    page.status == 200 && page.url.path().ends_with("/account")
}

#[tokio::test]
async fn each_signs_in_once() {
    let server = Server::start(Settings::default().jobs()).await;
    let (_, _, codes) = with_codes(&server, ALICE).await;
    assert!(codes.iter().all(|code| code.len() == 19 && code.split('-').count() == 4), "{codes:?}");
    let distinct: std::collections::BTreeSet<_> = codes.iter().collect();
    assert_eq!(distinct.len(), 10);
    let (_, page) = sign_in(&server, ALICE, &codes[0]).await;
    assert!(is_in(&page) && page.body.contains("9 recovery codes left"), "{}", page.body);
    let mail = server.mail("a recovery code was used").await;
    assert!(mail.text.contains("9 left") && !mail.text.contains(&codes[0]), "{}", mail.text);
    assert_eq!(sign_in(&server, ALICE, &codes[0]).await.1.status, 401);
    // However it is typed.
    let typed = [
        codes[1].to_lowercase(),
        codes[2].replace('-', ""),
        format!("  {} ", codes[3].replace('-', " ").to_lowercase()),
    ];
    for code in typed {
        assert!(is_in(&sign_in(&server, ALICE, &code).await.1), "{code}");
    }
    assert_eq!(server.events("recovery_code.used", "done").await, 4);
    assert_eq!(
        server.value("SELECT acr FROM sessions WHERE kind = 'user' ORDER BY id DESC LIMIT 1").await,
        "urn:mooring:acr:mfa"
    );
    // A second factor, and no one-time password (RFC 8176 §2): there is no word for what it is.
    let client = server.client("web");
    let (agent, _) = sign_in(&server, ALICE, &codes[4]).await;
    let claims = token::claims(&client.tokens(&agent, "openid").await.id);
    assert_eq!(claims["acr"], "urn:mooring:acr:mfa");
    assert_eq!(claims["amr"], serde_json::json!(["pwd", "mfa"]));
    // None of them can be read.
    let stored = server.rows("SELECT c::text FROM credentials c UNION ALL SELECT a::text FROM audit_events a").await;
    let bare: Vec<String> = codes.iter().map(|code| code.replace('-', "")).collect();
    for row in stored.iter().flatten().flatten() {
        assert!(codes.iter().chain(&bare).all(|code| !row.contains(code.as_str())), "{row}");
    }
}

#[tokio::test]
async fn racing_one_signs_in_one() {
    let server = Server::start(Settings::default().set("server.workers", "2").connections(8)).await;
    let (_, _, codes) = with_codes(&server, ALICE).await;
    for code in &codes[..3] {
        let answers = futures_util::future::join_all((0..3).map(|_| sign_in(&server, ALICE, code))).await;
        assert_eq!(answers.iter().filter(|(_, page)| is_in(page)).count(), 1, "{code}");
    }
}

#[tokio::test]
async fn they_are_their_persons() {
    let server = Server::usual().await;
    let (_, _, alices) = with_codes(&server, ALICE).await;
    let (_, _, bobs) = with_codes(&server, BOB).await;
    assert_eq!(sign_in(&server, BOB, &alices[0]).await.1.status, 401);
    assert!(is_in(&sign_in(&server, ALICE, &alices[0]).await.1));
    assert!(is_in(&sign_in(&server, BOB, &bobs[0]).await.1));
    // What is none is none.
    for wrong in ["0000-0000-0000-0000", "AAAA", "é", "' OR 1=1 --", "000000 "] {
        assert_eq!(sign_in(&server, ALICE, wrong).await.1.status, 401, "{wrong}");
    }
}

/// A new set ends the old one; making one takes a proof of now.
#[tokio::test]
async fn a_new_set_ends_the_old_one() {
    let server = Server::start(Settings::default().jobs()).await;
    let (_, app, old) = with_codes(&server, ALICE).await;
    let (agent, page) = sign_in(&server, ALICE, &app.code(&server)).await;
    let renew = page.form_to("/account/authenticator/codes");
    let new = authenticator::codes(&agent.submit(&renew).await);
    assert!(new.iter().all(|code| !old.contains(code)));
    server.mail("you have new recovery codes").await;
    assert_eq!(sign_in(&server, ALICE, &old[0]).await.1.status, 401);
    let (agent, page) = sign_in(&server, ALICE, &new[0]).await;
    assert!(is_in(&page), "{}", page.body);
    server.advance(TimeDelta::minutes(6)).await;
    let page = agent.open(&server.at("/account")).await;
    assert!(agent.submit(&page.form_to("/account/authenticator/codes")).await.asks_for_password());
    let ended = "SELECT count(*) FROM credentials WHERE kind = 'recovery' AND ended_at IS NOT NULL";
    assert_eq!(server.value(ended).await, "11");
}

/// A page that is loaded again shows them again, for a few minutes, to the session that made them; and as a file.
#[tokio::test]
async fn they_can_be_looked_at_again_for_a_while() {
    let server = Server::usual().await;
    let (_, app, _) = with_codes(&server, ALICE).await;
    let (agent, page) = sign_in(&server, ALICE, &app.code(&server)).await;
    let shown = agent.submit(&page.form_to("/account/authenticator/codes")).await;
    let codes = authenticator::codes(&shown);
    assert_eq!(shown.url.path(), "/account/authenticator/codes");
    let again = agent.open(shown.url.as_str()).await;
    assert_eq!(authenticator::codes(&again), codes);
    // A printed sheet says whose they are, and where.
    assert!(again.body.contains("For the account <bdi><strong>alice</strong></bdi> at Mooring"), "{}", again.body);
    assert!(again.header("cache-control").contains("no-store"));
    let file = shown.url.as_str().replace("/codes?", "/codes.txt?");
    let text = agent.open(&file).await;
    assert!(text.header("content-type").starts_with("text/plain"), "{:?}", text.headers);
    assert!(text.header("content-disposition").contains("attachment"), "{:?}", text.headers);
    assert_eq!(text.body.lines().collect::<Vec<_>>(), codes);

    // Nobody else: not in another session of hers, nor without one, nor by another address.
    server.advance(TimeDelta::seconds(31)).await;
    let (elsewhere, _) = sign_in(&server, ALICE, &app.code(&server)).await;
    for address in [shown.url.as_str(), file.as_str()] {
        let hidden = elsewhere.open(address).await;
        assert!(hidden.url.path().ends_with("/account") && !hidden.body.contains(&codes[0]), "{}", hidden.body);
        assert!(server.agent().open(address).await.asks_for_password());
    }
    for set in ["", "x", "AAAAAAAAAAAAAAAAAAAAAA", "%ff"] {
        let page = agent.open(&server.at(&format!("/account/authenticator/codes?set={set}"))).await;
        assert!(page.body.contains("not shown any more"), "{}", page.body);
    }
    // A used one is left out; a set that was replaced is not shown.
    assert!(is_in(&sign_in(&server, ALICE, &codes[0]).await.1));
    let left = agent.open(shown.url.as_str()).await;
    assert!(!left.body.contains(&codes[0]) && left.body.contains(&codes[1]), "{}", left.body);
    let account = agent.open(&server.at("/account")).await;
    agent.submit(&account.form_to("/account/authenticator/codes")).await;
    assert!(agent.open(shown.url.as_str()).await.body.contains("not shown any more"));
    // Ten minutes later nobody can show them.
    let account = agent.open(&server.at("/account")).await;
    let shown = agent.submit(&account.form_to("/account/authenticator/codes")).await;
    server.advance(TimeDelta::minutes(9)).await;
    authenticator::codes(&agent.open(shown.url.as_str()).await);
    server.advance(TimeDelta::minutes(2)).await;
    assert!(agent.open(shown.url.as_str()).await.body.contains("not shown any more"));
}

/// The page has a field for six digits, and one for a recovery code behind a link.
#[tokio::test]
async fn a_recovery_code_has_a_field_of_its_own() {
    let server = Server::usual().await;
    let (_, app, codes) = with_codes(&server, ALICE).await;
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    let field = |page: &Page| {
        let (_, rest) = page.body.split_once("<input id=\"code\"").expect("a field");
        rest.split('>').next().unwrap().to_owned()
    };
    let digits = field(&page);
    for part in ["inputmode=\"numeric\"", "autocomplete=\"one-time-code\"", "pattern=", "maxlength=\"7\""] {
        assert!(digits.contains(part), "{part}: {digits}");
    }
    let recovery = agent.open(&format!("{}&by=recovery", page.url)).await;
    assert_eq!(recovery.heading(), "Enter a recovery code");
    assert!(!field(&recovery).contains("numeric"), "{}", recovery.body);
    // A wrong one leaves the person on the same page, with the way to the other and the way out.
    let wrong = agent.submit(&recovery.form_to("/second-factor").fill("code", "0000-0000-0000-0000")).await;
    assert_eq!((wrong.status, wrong.heading().as_str()), (401, "Enter a recovery code"), "{}", wrong.body);
    assert!(wrong.body.contains("Use your authenticator app instead") && wrong.body.contains(">Cancel</a>"));
    assert!(is_in(&agent.submit(&wrong.form_to("/second-factor").fill("code", &codes[1])).await));
    // An app's code is split in two by some apps.
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    let code = app.code(&server);
    let split = format!("{} {}", &code[..3], &code[3..]);
    assert!(is_in(&agent.submit(&page.form_to("/second-factor").fill("code", &split)).await));
}
