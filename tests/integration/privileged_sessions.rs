//! Privileged scopes: who gets them, for how long, and what ends them.

mod durations;

use chrono::TimeDelta;
use futures_util::future::join_all;
use mooring::sessions::Proof;
use serde_json::json;

use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    client::{Client, Code, Tokens},
    token,
};

const SCOPE: &str = "openid payments:write";

/// Clicks through to where a stronger proof is asked for.
async fn to_step_up(agent: &Agent, url: &str, username: &str) -> Page {
    let page = agent.walk(url, username).await;
    assert!(page.url.path().ends_with("/step-up"), "{}:\n{}", page.url, page.body);
    page
}

/// A code for privileged work, of somebody who proves themselves for it.
async fn elevated(server: &Server, client: &Client<'_>, agent: &Agent, username: &str, scope: &str) -> Code {
    let request = client.request(scope);
    let page = to_step_up(agent, &request.url(), username).await;
    server.prove(&page, username, Proof::PASSKEY).await;
    let back = agent.walk(&server.at(&format!("/oauth/authorize/{}", id(&page))), username).await;
    Code { code: back.code(), verifier: request.verifier }
}

fn id(page: &Page) -> String {
    crate::support::proof::request_of(page).to_string()
}

fn scope(tokens: &Tokens) -> &str {
    tokens.all["scope"].as_str().unwrap()
}

#[tokio::test]
async fn privileged_work_is_a_session_of_its_own() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let (client, agent) = (server.client("web"), server.agent());
    let before = client.tokens(&agent, "openid").await;
    let code = elevated(&server, &client, &agent, ALICE, SCOPE).await;
    let tokens = client.redeem(&code).await.tokens();
    assert_eq!(scope(&tokens), "openid payments:write");
    let id_token = token::claims(&tokens.id);
    assert_eq!((&id_token["acr"], &id_token["amr"]), (&json!("phr"), &json!(["pop", "user", "mfa"])));
    // The client knows the browser's session by the same name as before, and what it was given before is as it was.
    assert_eq!(id_token["sid"], token::claims(&before.id)["sid"]);
    let seen = client.introspect(&before.access).await.ok();
    assert_eq!((&seen["acr"], &seen["session"]["kind"]), (&json!("urn:mooring:acr:pwd"), &json!("user")));

    let seen = server.client("api").introspect(&tokens.access).await.ok();
    assert_eq!(seen["session"]["kind"], "privileged");
    assert_eq!(seen["privileged_until"], seen["session"]["expires_at"]);
    let minutes = (seen["privileged_until"].as_i64().unwrap() - seen["session"]["started_at"].as_i64().unwrap()) / 60;
    assert_eq!(minutes, 15);
    let parent = server.value("SELECT parent_id FROM sessions WHERE kind = 'privileged'").await;
    let ordinary = server.client("api").introspect(&before.access).await.ok();
    assert_eq!(ordinary["session"]["id"], parent);
    assert!(ordinary.get("privileged_until").is_none());

    // It ends by itself, and the person stays signed in.
    let session = seen["session"]["id"].as_str().unwrap().parse().unwrap();
    server.work(async |tx| mooring::sessions::end(tx, session, "test", mooring::audit::Actor::Operator).await).await;
    assert!(!client.is_active(&tokens.access).await);
    assert!(client.is_active(&before.access).await);
    let again = client.refresh(&tokens.refresh).await.tokens();
    assert_eq!(scope(&again), "openid");
    assert_eq!(server.client("api").introspect(&again.access).await.ok()["session"]["kind"], "user");
}

#[tokio::test]
async fn it_dies_with_the_session_that_it_belongs_to() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let (client, agent) = (server.client("web"), server.agent());
    let code = elevated(&server, &client, &agent, ALICE, SCOPE).await;
    let tokens = client.redeem(&code).await.tokens();
    let request = client.request(SCOPE);
    let unused = Code { code: agent.walk(&request.url(), ALICE).await.code(), verifier: request.verifier };
    let parent = server.value("SELECT parent_id FROM sessions WHERE kind = 'privileged'").await.parse().unwrap();
    server.work(async |tx| mooring::sessions::end(tx, parent, "test", mooring::audit::Actor::Operator).await).await;
    assert!(!client.is_active(&tokens.access).await);
    client.refresh(&tokens.refresh).await.refused("invalid_grant");
    client.redeem(&unused).await.refused("invalid_grant");
}

#[tokio::test]
async fn refreshed_tokens_keep_to_its_end() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let (client, agent) = (server.client("jwt"), server.agent());
    let code = elevated(&server, &client, &agent, ALICE, SCOPE).await;
    let mut tokens = client.redeem(&code).await.tokens();
    let until = server.client("api").introspect(&tokens.access).await.ok()["privileged_until"].clone();
    for _ in 0..3 {
        server.advance(TimeDelta::minutes(4)).await;
        tokens = client.refresh(&tokens.refresh).await.tokens();
        assert_eq!(scope(&tokens), "openid payments:write");
        let seen = server.client("api").introspect(&tokens.access).await.ok();
        assert_eq!((&seen["privileged_until"], &seen["acr"]), (&until, &json!("phr")));
        assert!(token::claims(&tokens.access)["exp"].as_i64() <= until.as_i64());
        assert_eq!(client.introspect(&tokens.refresh).await.ok()["scope"], "openid payments:write");
    }
    server.advance(TimeDelta::minutes(4)).await;
    assert!(!client.is_active(&tokens.access).await);
    assert_eq!(client.introspect(&tokens.refresh).await.ok()["scope"], "openid");
    let tokens = client.refresh(&tokens.refresh).await.tokens();
    assert_eq!(scope(&tokens), "openid");
    // Who asks for it by name is not given it either.
    let form = [("grant_type", "refresh_token"), ("refresh_token", &*tokens.refresh), ("scope", SCOPE)];
    assert_eq!(scope(&client.token(&form).await.tokens()), "openid");
}

/// Introspection of its tokens is activity; nothing else is, and after a quarter of an hour without it is over.
#[tokio::test]
async fn work_that_pauses_is_over() {
    let scope = "[[scope]]\nname = \"long\"\nprivileged = true\nduration = \"2h\"\n\
        [[client]]\nclient_id = \"long\"\nclient_secret = \"a-client-secret-of-the-integration-tests\"\n\
        redirect_uris = [\"http://127.0.0.1:9/callback\"]\ngrant_types = [\"authorization_code\"]\nscope = \"openid long\"\n";
    let settings = Settings::default().declare(scope).set("TOKENS__ACCESS", "2h").set("SESSIONS__IDLE", "3h");
    let server = Server::start(settings).await;
    server.enrol(ALICE, "passkey").await;
    let (client, agent) = (server.client("long"), server.agent());
    let code = elevated(&server, &client, &agent, ALICE, "openid long").await;
    let tokens = client.redeem(&code).await.tokens();
    for _ in 0..5 {
        server.advance(TimeDelta::minutes(12)).await;
        assert!(server.client("api").is_active(&tokens.access).await);
    }
    server.advance(TimeDelta::minutes(16)).await;
    assert!(!server.client("api").is_active(&tokens.access).await);
}

#[tokio::test]
async fn a_proof_counts_for_the_request_that_it_was_asked_for() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let (client, agent) = (server.client("web"), server.agent());
    let first = to_step_up(&agent, &client.request(SCOPE).url(), ALICE).await;
    let second = to_step_up(&agent, &server.client("web2").request(SCOPE).url(), ALICE).await;
    server.prove(&first, ALICE, Proof::PASSKEY).await;
    let back = agent.walk(&server.at(&format!("/oauth/authorize/{}", id(&second))), ALICE).await;
    assert!(back.url.path().ends_with("/step-up"), "{}", back.url);
    let back = agent.walk(&server.at(&format!("/oauth/authorize/{}", id(&first))), ALICE).await;
    back.code();
    // The same client and scopes need no other while it is fresh; another client, and more scopes, do.
    let again = agent.walk(&client.request(SCOPE).url(), ALICE).await;
    again.code();
    to_step_up(&agent, &server.client("web2").request(SCOPE).url(), ALICE).await;
    for (name, value) in [("prompt", "login"), ("max_age", "0")] {
        let page = agent.open(&client.request(SCOPE).with(name, value).url()).await;
        assert!(page.asks_for_password(), "{name}: {}", page.url);
    }
    server.advance(TimeDelta::minutes(2)).await;
    let page = agent.walk(&client.request(SCOPE).with("max_age", "60").url(), ALICE).await;
    assert!(page.url.path().ends_with("/step-up"), "a password is new, the proof is not: {}", page.url);
    server.advance(TimeDelta::minutes(4)).await;
    to_step_up(&agent, &client.request(SCOPE).url(), ALICE).await;
}

#[tokio::test]
async fn a_proof_that_is_weak_old_or_somebody_elses_is_none() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let (client, agent) = (server.client("web"), server.agent());
    let page = to_step_up(&agent, &client.request(SCOPE).url(), ALICE).await;
    let resume = server.at(&format!("/oauth/authorize/{}", id(&page)));
    server.prove(&page, ALICE, Proof::PASSWORD_AND_CODE).await;
    assert!(agent.walk(&resume, ALICE).await.url.path().ends_with("/step-up"));
    server.prove(&page, BOB, Proof::PASSKEY).await;
    assert!(agent.walk(&resume, ALICE).await.url.path().ends_with("/step-up"));
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    server.advance(TimeDelta::minutes(6)).await;
    assert!(agent.walk(&resume, ALICE).await.url.path().ends_with("/step-up"));
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    // Somebody else takes the browser over: nothing of it is theirs.
    let login = agent.open(&server.at(&format!("/login?request={}&as=another", id(&page)))).await;
    let back = agent.sign_in(&login, BOB, PASSWORD).await;
    let back = if back.offers("allow") { agent.decide(&back, "allow").await } else { back };
    assert_eq!(back.error(), "unmet_authentication_requirements", "{}", back.url);
}

#[tokio::test]
async fn who_cannot_prove_it_is_told_so() {
    let server = Server::usual().await;
    let (client, agent) = (server.client("web"), server.agent());
    // The person before they answer, who can still do something about it; the client afterwards.
    let login = agent.open(&client.request(SCOPE).url()).await;
    let consent = agent.sign_in(&login, ALICE, PASSWORD).await;
    assert!(consent.body.contains("This takes a passkey, and you have none"), "{}", consent.body);
    assert!(consent.body.contains("/account\" target=\"_blank\""), "{}", consent.body);
    let refused = agent.decide(&consent, "allow").await;
    assert_eq!(refused.error(), "unmet_authentication_requirements");
    let ordinary = agent.open(&client.request("openid email").url()).await;
    assert!(ordinary.offers("allow") && !ordinary.body.contains("This takes"), "{}", ordinary.body);
    server.enrol(ALICE, "passkey").await;
    let more = agent.open(&client.request(&format!("{SCOPE} email")).url()).await;
    assert!(more.offers("allow") && !more.body.contains("This takes"), "{}", more.body);
    let silent = agent.walk(&client.request(SCOPE).with("prompt", "none").url(), ALICE).await;
    assert_eq!(silent.error(), "login_required");
    let page = to_step_up(&agent, &client.request(SCOPE).url(), ALICE).await;
    assert!(!page.offers("decline"));
    assert_eq!(agent.decide(&page, "deny").await.error(), "access_denied");
    // A suspended passkey proves nothing.
    server.rows("UPDATE credentials SET suspended_at = now() WHERE kind = 'passkey'").await;
    let refused = agent.walk(&client.request(SCOPE).url(), ALICE).await;
    assert_eq!(refused.error(), "unmet_authentication_requirements");
}

/// `acr_values` is a wish: what the person can do is tried, and then it goes on with what there is.
#[tokio::test]
async fn a_wish_may_be_declined() {
    let server = Server::usual().await;
    let (client, agent) = (server.client("web"), server.agent());
    let wish = |value: &str| client.request("openid").with("acr_values", value);
    let acr = async |page: Page, verifier: String| {
        let tokens = client.redeem(&Code { code: page.code(), verifier }).await.tokens();
        token::claims(&tokens.id)["acr"].as_str().unwrap().to_owned()
    };
    let request = wish("phr");
    let cannot = agent.walk(&request.url(), ALICE).await;
    assert_eq!(acr(cannot, request.verifier).await, "urn:mooring:acr:pwd");
    server.enrol(ALICE, "passkey").await;
    for met in ["urn:mooring:acr:pwd", "phr urn:mooring:acr:pwd", "urn:mooring:acr:visitor", "other"] {
        agent.walk(&wish(met).url(), ALICE).await.code();
    }
    agent.walk(&wish("phr").with("prompt", "none").url(), ALICE).await.code();
    let request = wish("phr");
    let page = to_step_up(&agent, &request.url(), ALICE).await;
    assert_eq!(acr(agent.decide(&page, "decline").await, request.verifier).await, "urn:mooring:acr:pwd");
    let request = wish("phrh phr");
    let page = to_step_up(&agent, &request.url(), ALICE).await;
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    let back = agent.walk(&server.at(&format!("/oauth/authorize/{}", id(&page))), ALICE).await;
    assert_eq!(acr(back, request.verifier).await, "phr");
    // OIDC Core §5.5.1.1: of an essential acr one of the values is told.
    let essential = json!({ "id_token": { "acr": { "essential": true, "values": ["urn:mooring:acr:pwd"] } } });
    let request = client.request("openid").with("claims", &essential.to_string());
    let back = agent.walk(&request.url(), ALICE).await;
    assert_eq!(acr(back, request.verifier).await, "urn:mooring:acr:pwd");
}

#[tokio::test]
async fn an_essential_acr_is_stepped_up_to_or_refused() {
    let server = Server::usual().await;
    let (client, agent) = (server.client("web"), server.agent());
    let essential = json!({ "id_token": { "acr": { "essential": true, "value": "phr" } } }).to_string();
    let request = client.request("openid").with("claims", &essential);
    assert_eq!(agent.walk(&request.url(), ALICE).await.error(), "unmet_authentication_requirements");
    server.enrol(ALICE, "passkey").await;
    let page = to_step_up(&agent, &request.url(), ALICE).await;
    assert!(!page.offers("decline"));
    agent.submit(&page.decision("deny").forge("decision", Some("decline"))).await.is_error_page(400);
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    agent.walk(&server.at(&format!("/oauth/authorize/{}", id(&page))), ALICE).await.code();
    let none = request.clone().with("prompt", "none");
    agent.walk(&none.url(), ALICE).await.code();
}

/// Two relying parties of one browser work in the same privileged session; what the second proves does not lengthen it.
#[tokio::test]
async fn a_second_party_joins() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let agent = server.agent();
    let (one, two) = (server.client("web"), server.client("web2"));
    let code = elevated(&server, &one, &agent, ALICE, SCOPE).await;
    let first = one.redeem(&code).await.tokens();
    server.advance(TimeDelta::minutes(3)).await;
    let code = elevated(&server, &two, &agent, ALICE, SCOPE).await;
    let second = two.redeem(&code).await.tokens();
    let api = server.client("api");
    let (first, second) = (api.introspect(&first.access).await.ok(), api.introspect(&second.access).await.ok());
    assert_eq!(first["session"], second["session"]);
    assert!(first["auth_time"].as_i64() < second["auth_time"].as_i64());
    assert_ne!(first["sid"], second["sid"]);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'privileged'").await, "1");
    assert_eq!(server.events("privilege.proved", "done").await, 2);
}

#[tokio::test]
async fn one_browser_at_a_time() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let (client, here, there) = (server.client("web"), server.agent(), server.agent());
    let code = elevated(&server, &client, &there, ALICE, SCOPE).await;
    let old = client.redeem(&code).await.tokens();

    let request = client.request(SCOPE);
    let page = to_step_up(&here, &request.url(), ALICE).await;
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    let resume = server.at(&format!("/oauth/authorize/{}", id(&page)));
    let asked = here.walk(&resume, ALICE).await;
    assert!(asked.url.path().ends_with("/privileged-elsewhere"), "{}", asked.url);
    assert!(asked.body.contains("Firefox on Linux"));
    assert!(client.is_active(&old.access).await);
    let code = Code { code: here.decide(&asked, "end-other").await.code(), verifier: request.verifier };
    let new = client.redeem(&code).await.tokens();
    assert!(!client.is_active(&old.access).await);
    assert!(client.is_active(&new.access).await);
    assert_eq!(
        server.value("SELECT end_reason FROM sessions WHERE kind = 'privileged' AND ended_at IS NOT NULL").await,
        "superseded"
    );

    // Refusing leaves it as it is. Nobody is asked about one that is over.
    let page = to_step_up(&there, &client.request(SCOPE).url(), ALICE).await;
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    let asked = there.walk(&server.at(&format!("/oauth/authorize/{}", id(&page))), ALICE).await;
    assert_eq!(there.decide(&asked, "deny").await.error(), "access_denied");
    assert_eq!(server.events("privilege.requested", "refused").await, 1);
    assert!(client.is_active(&new.access).await);
    server.advance(TimeDelta::minutes(16)).await;
    elevated(&server, &client, &there, ALICE, SCOPE).await;
}

/// Whoever comes first has it; the others are asked, and nobody has two.
#[tokio::test]
async fn racing_browsers_get_one() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let client = server.client("web");
    let mut waiting = Vec::new();
    for _ in 0..6 {
        let agent = server.agent();
        let page = to_step_up(&agent, &client.request(SCOPE).url(), ALICE).await;
        server.prove(&page, ALICE, Proof::PASSKEY).await;
        waiting.push((agent, server.at(&format!("/oauth/authorize/{}", id(&page)))));
    }
    let came = join_all(waiting.iter().map(|(agent, resume)| agent.open(resume))).await;
    let asked = came.iter().filter(|page| page.url.path().ends_with("/privileged-elsewhere")).count();
    assert_eq!(asked, 5, "{:?}", came.iter().map(|page| page.url.as_str()).collect::<Vec<_>>());
    let open = "SELECT count(*) FROM sessions WHERE kind = 'privileged' AND ended_at IS NULL";
    assert_eq!(server.value(open).await, "1");
    // All of them insist at once: each ends the one before it.
    let pressed = join_all(
        waiting
            .iter()
            .zip(&came)
            .filter(|(_, page)| page.offers("end-other"))
            .map(|((agent, _), page)| agent.decide(page, "end-other")),
    )
    .await;
    assert!(pressed.iter().all(|page| !page.code().is_empty()));
    assert_eq!(server.value(open).await, "1");
}

/// A lock is not got round by proving who one is.
#[tokio::test]
async fn a_locked_one_stays_locked() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let (client, agent) = (server.client("web"), server.agent());
    let code = elevated(&server, &client, &agent, ALICE, SCOPE).await;
    let tokens = client.redeem(&code).await.tokens();
    server.rows("UPDATE sessions SET locked_at = now(), lock_reason = 'looked odd' WHERE kind = 'privileged'").await;
    assert!(!client.is_active(&tokens.access).await);
    for agent in [&agent, &server.agent()] {
        let page = to_step_up(agent, &client.request(SCOPE).url(), ALICE).await;
        server.prove(&page, ALICE, Proof::PASSKEY).await;
        let back = agent.walk(&server.at(&format!("/oauth/authorize/{}", id(&page))), ALICE).await;
        assert_eq!(back.error(), "access_denied");
    }
    server.rows("UPDATE sessions SET locked_at = NULL, lock_reason = NULL WHERE kind = 'privileged'").await;
    assert!(client.is_active(&tokens.access).await);
}

/// What is granted for when nobody is there has nothing privileged in it.
#[tokio::test]
async fn offline_access_has_none() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let (client, agent) = (server.client("web"), server.agent());
    let code = elevated(&server, &client, &agent, ALICE, "openid offline_access payments:write").await;
    let tokens = client.redeem(&code).await.tokens();
    assert!(scope(&tokens).contains("payments:write"));
    let refreshed = client.refresh(&tokens.refresh).await.tokens();
    assert!(!scope(&refreshed).contains("payments:write"), "{}", scope(&refreshed));
    let seen = server.client("api").introspect(&refreshed.access).await.ok();
    assert_eq!(seen["session"]["kind"], "offline");
    let parent = server.value("SELECT parent_id FROM sessions WHERE kind = 'privileged'").await;
    assert_eq!(server.value("SELECT visitor_id FROM sessions WHERE kind = 'offline'").await, parent);
}

/// Nobody has looked at a client that registered itself.
#[tokio::test]
async fn not_for_clients_that_registered_themselves() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    server.rows("UPDATE clients SET registration_generation = 1 WHERE client_id = 'web'").await;
    let refused = server.agent().walk(&server.client("web").request(SCOPE).url(), ALICE).await;
    assert_eq!(refused.error(), "invalid_scope");
}

/// The answer that got lost is given again; a code is not.
#[tokio::test]
async fn a_double_submit_gets_one_code() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let (client, agent) = (server.client("web"), server.agent());
    let request = client.request(SCOPE);
    let page = to_step_up(&agent, &request.url(), ALICE).await;
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    let resume = server.at(&format!("/oauth/authorize/{}", id(&page)));
    let both = join_all([agent.open(&resume), agent.open(&resume), agent.open(&resume)]).await;
    let codes: Vec<String> = both.iter().map(Page::code).collect();
    assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?}");
    assert_eq!(server.events("code.issued", "done").await, 1);
    client.redeem(&Code { code: codes[0].clone(), verifier: request.verifier }).await.tokens();
}
