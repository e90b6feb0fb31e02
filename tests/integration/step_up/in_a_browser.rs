//! The same in a real Chromium with a virtual authenticator: what it signs is a proof of this person, on this origin, for this
//! request, and once.

use chrono::TimeDelta;
use mooring::jose::from_base64url;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::SCOPE;
use crate::support::{ALICE, BOB, Server, Settings, browser::Browser, client::Request, relying_party::RelyingParty};

/// What everybody is told, whatever is wrong with a passkey.
const REFUSED: &str = "That passkey could not be used here. Please try again, or use another one.";

/// Asks on the step-up page, and keeps the question to itself.
const ASK: &str = "const { options, finish, ...members } = document.getElementById('use-passkey').dataset; \
    const answer = await fetch(options, { method: 'POST', headers: { 'content-type': 'application/json' }, \
        body: JSON.stringify(members) }); \
    const { ceremony, publicKey } = await answer.json(); \
    return { finish, publicKey, body: { ...members, ceremony } };";

/// Sends an answer, as the page would: the status, and what is said.
const SEND: &str = "const [address, body] = arguments; \
    const answer = await fetch(address, { method: 'POST', headers: { 'content-type': 'application/json' }, \
        body: JSON.stringify(body) }); \
    return [answer.status, (await answer.json()).error_description];";

/// Has the page send every answer twice. What was sent, and what the second time came to, is kept for the pages after it.
const REPLAY: &str = "const send = window.fetch; \
    window.fetch = async (address, options) => { \
        const answer = await send(address, options); \
        if ('credential' in JSON.parse(options.body)) { \
            const again = await send(address, options); \
            const said = [again.status, (await again.json()).error_description]; \
            sessionStorage.setItem('sent', options.body); \
            sessionStorage.setItem('again', JSON.stringify(said)); \
        } \
        return answer; \
    };";

/// Asks the authenticator on a page that is not ours, and tries to send from there what it signed: as JSON, and as what a
/// page may send to anybody.
const LURE: &str = "const [asked] = arguments; \
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(asked.publicKey); \
    const credential = (await navigator.credentials.get({ publicKey })).toJSON(); \
    const body = JSON.stringify({ ...asked.body, credential }); \
    const sent = (more) => fetch(asked.finish, { method: 'POST', credentials: 'include', body, ...more }) \
        .then((answer) => answer.type, (error) => error.name); \
    const json = await sent({ headers: { 'content-type': 'application/json' } }); \
    const plain = await sent({ mode: 'no-cors', headers: { 'content-type': 'text/plain' } }); \
    return { credential, json, plain };";

/// Why the latest attempt was refused, as the trail says.
async fn reason(server: &Server) -> String {
    server.value("SELECT reason FROM audit_events WHERE outcome = 'refused' ORDER BY id DESC LIMIT 1").await
}

/// Goes to the step-up page with a new request; the first time the person is asked whether they allow it.
async fn ask_to_step_up(browser: &Browser, party: &RelyingParty<'_>, consented: bool) -> Request {
    let request = party.client.request(SCOPE);
    browser.client.goto(&request.url()).await.unwrap();
    if !consented {
        browser.wait_for("button[name=decision][value=allow]").await.click().await.unwrap();
    }
    browser.arrives_at("Confirm that it is you").await;
    request
}

/// Nothing came of what was tried: nobody proved anything, no passkey was used, no privileged session began.
async fn nothing_came_of_it(server: &Server) {
    for (what, count) in [
        ("authorization_requests WHERE proved_at IS NOT NULL", "0"),
        ("credentials WHERE kind = 'passkey' AND last_used_at IS NOT NULL", "0"),
        ("credentials WHERE suspended_at IS NOT NULL", "0"),
        ("sessions WHERE kind = 'privileged'", "0"),
    ] {
        assert_eq!(server.value(&format!("SELECT count(*) FROM {what}")).await, count, "{what}");
    }
}

#[tokio::test]
async fn what_is_no_proof() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::usual().await;
    let authenticator = browser.add_authenticator(true).await;
    browser.enrol(&server, BOB).await;
    let bobs = authenticator.credentials().await.remove(0);
    authenticator.forget().await;
    browser.sign_out().await;
    browser.enrol(&server, ALICE).await;
    let alices = authenticator.credentials().await.remove(0);
    let party = RelyingParty::start(&server, "web").await;
    let request = ask_to_step_up(&browser, &party, false).await;
    let page = browser.client.current_url().await.unwrap();

    // Bob's passkey, on a page that asks for anybody's.
    authenticator.hold(&bobs).await;
    browser.tamper("asked.publicKey.allowCredentials = []").await;
    browser.use_passkey().await;
    browser.says_of_passkey(REFUSED).await;
    assert_eq!(reason(&server).await, "another_persons_passkey");

    // Alice's, from an authenticator that does not know who touches it, on a page that does not mind.
    authenticator.hold(&alices).await;
    authenticator.verifies(false).await;
    browser.client.refresh().await.unwrap();
    browser.tamper("asked.publicKey.userVerification = 'discouraged'").await;
    browser.use_passkey().await;
    browser.says_of_passkey(REFUSED).await;
    assert_eq!(reason(&server).await, "user_not_verified");
    // Our page minds.
    browser.client.refresh().await.unwrap();
    browser.use_passkey().await;
    browser.says_of_passkey("No passkey was used").await;
    authenticator.verifies(true).await;

    // On another origin of the same RP ID, with the question of this very request. Cookies do not tell ports apart, so that
    // page could even send it in Alice's session, were it allowed to.
    let asked = browser.run(ASK, vec![]).await;
    let elsewhere = MockServer::start().await;
    let lure = ResponseTemplate::new(200).set_body_raw("<title>A lure</title><h1>You have won</h1>", "text/html");
    Mock::given(any()).respond_with(lure).mount(&elsewhere).await;
    let origin = format!("http://localhost:{}", elsewhere.address().port());
    browser.client.goto(&origin).await.unwrap();
    browser.arrives_at("You have won").await;
    let lured = browser.run(LURE, vec![asked.clone()]).await;
    assert_eq!((&lured["json"], &lured["plain"]), (&json!("TypeError"), &json!("opaque")), "{lured}");
    let said = lured["credential"]["response"]["clientDataJSON"].as_str().unwrap();
    let said: Value = serde_json::from_slice(&from_base64url(said).unwrap()).unwrap();
    assert_eq!((&said["origin"], &said["challenge"]), (&json!(origin), &asked["publicKey"]["challenge"]));
    assert_eq!(reason(&server).await, "user_not_verified", "what was sent from there was not even looked at");
    // Whoever got it here all the same.
    browser.client.goto(page.as_str()).await.unwrap();
    let mut body = asked["body"].clone();
    body["credential"] = lured["credential"].clone();
    let answer = browser.run(SEND, vec![asked["finish"].clone(), body.clone()]).await;
    assert_eq!(answer, json!([403, REFUSED]));
    assert_eq!(reason(&server).await, "wrong_origin");
    let answer = browser.run(SEND, vec![asked["finish"].clone(), body]).await;
    assert_eq!(answer, json!([403, REFUSED]));
    assert_eq!(reason(&server).await, "no_ceremony", "one answer, right or wrong");
    nothing_came_of_it(&server).await;
    assert_eq!(server.events("sign_in", "refused").await, 4);

    // And here it is one.
    browser.use_passkey().await;
    browser.arrives_at("Arrived").await;
    let tokens = party.client.redeem(&party.code(request).await).await.tokens();
    assert_eq!(tokens.all["scope"], SCOPE);
}

#[tokio::test]
async fn a_proof_is_good_once_and_a_copy_is_found_out() {
    let Some(browser) = Browser::start().await else { return };
    let server = Server::start(Settings::default().jobs()).await;
    let authenticator = browser.add_authenticator(true).await;
    browser.enrol(&server, ALICE).await;
    let party = RelyingParty::start(&server, "web").await;
    let request = ask_to_step_up(&browser, &party, false).await;
    browser.run(REPLAY, vec![]).await;
    browser.use_passkey().await;
    browser.arrives_at("Arrived").await;
    party.client.redeem(&party.code(request).await).await.tokens();
    assert_eq!(reason(&server).await, "no_ceremony", "the same browser, page and answer, a moment later");

    // Later, when it takes a new proof: the old one, in the place of what another page asks for.
    server.advance(TimeDelta::seconds(301)).await;
    ask_to_step_up(&browser, &party, true).await;
    let kept = "return ['sent', 'again'].map((name) => JSON.parse(sessionStorage.getItem(name)));";
    let kept = browser.run(kept, vec![]).await;
    let (sent, again) = (&kept[0], &kept[1]);
    assert_eq!(again, &json!([403, REFUSED]));
    let asked = browser.run(ASK, vec![]).await;
    for (ceremony, expected) in [(&sent["ceremony"], "no_ceremony"), (&asked["body"]["ceremony"], "wrong_challenge")] {
        let mut body = asked["body"].clone();
        (body["ceremony"], body["credential"]) = (ceremony.clone(), sent["credential"].clone());
        let answer = browser.run(SEND, vec![asked["finish"].clone(), body]).await;
        assert_eq!(answer, json!([403, REFUSED]), "{expected}");
        assert_eq!(reason(&server).await, expected);
    }
    assert_eq!(server.events("privilege.proved", "done").await, 1);

    // What somebody copied when it was new.
    let mut copy = authenticator.credentials().await.remove(0);
    assert!(copy["signCount"].as_u64().unwrap() > 1, "{copy}");
    copy["signCount"] = json!(0);
    authenticator.hold(&copy).await;
    browser.use_passkey().await;
    browser.says_of_passkey(REFUSED).await;
    assert_eq!(reason(&server).await, "counter_went_back");
    assert_eq!(server.events("credential.suspended", "done").await, 1);
    assert!(server.mail("suspended").await.text.contains("somebody\nhas a copy"));
    assert_eq!(server.events("privilege.proved", "done").await, 1);
    // There is nothing left to prove it with: the page says so, and the next time the relying party is told.
    browser.client.refresh().await.unwrap();
    let said = browser.wait_for("main > .alert").await.text().await.unwrap();
    assert!(said.contains("no passkey any more"), "{said}");
    browser.wait_for("button[name=decision][value=deny]").await.click().await.unwrap();
    browser.arrives_at("Arrived").await;
    assert_eq!(party.error().await, "access_denied");
    browser.client.goto(&party.client.request(SCOPE).url()).await.unwrap();
    browser.arrives_at("Arrived").await;
    assert_eq!(party.error().await, "unmet_authentication_requirements");
}
