//! A `resource` without `scope` asks for what the client may do there, and a resource may need no scope at all.

use super::*;
use crate::support::{
    PASSWORD,
    agent::{Agent, Page},
    declared::CLIENT_KEY,
};

const OPEN: &str = "urn:open";
const CONSENT: &str = "Use urn:open on your behalf";

/// The consent page, where alice is asked.
async fn to_consent(agent: &Agent, request: &Request) -> Page {
    let page = agent.open(&request.url()).await;
    let page = if page.asks_for_password() { agent.sign_in(&page, ALICE, PASSWORD).await } else { page };
    assert!(page.offers("allow"), "{}:\n{}", page.url, page.body);
    page
}

/// A request that names these and no scope.
fn silent(client: &Client<'_>, resources: &[&str]) -> Request {
    naming(client, "openid", resources).without("scope")
}

#[tokio::test]
async fn a_resource_gives_the_scopes_the_client_may_have_there() {
    let bank = "[[resource]]\nidentifier = \"https://bank.example\"\nscopes = [\"payments:write\", \"logs:read\"]\n";
    let server = Server::start(settings().declare(bank)).await;
    for (id, resources, audience, allowed) in [
        ("both", vec![SHIPS], SHIPS, "ships:read ships:write"),
        ("both", vec!["https://api.example/"], SHIPS, "ships:read ships:write"),
        ("both", vec![CREWS], CREWS, "crews:read"),
        ("web", vec![SHIPS], SHIPS, "ships:read ships:write"),
        // A privileged scope is asked for by name.
        ("both", vec!["https://bank.example"], "https://bank.example", "logs:read"),
    ] {
        let client = server.client(id);
        let tokens = redeem(&client, &code(&client, silent(&client, &resources)).await, &[]).await.tokens();
        is_for(&server, &client, &tokens, audience, allowed).await;
        assert!(tokens.id.is_empty(), "nobody asked for an ID token");
        let next = refresh(&client, &tokens, &[]).await.tokens();
        is_for(&server, &client, &next, audience, allowed).await;
    }
    let both = server.client("both");
    let first = code(&both, silent(&both, &[SHIPS, CREWS])).await;
    let ships = redeem(&both, &first, &[SHIPS]).await.tokens();
    is_for(&server, &both, &ships, SHIPS, "ships:read ships:write").await;
    let crews = refresh(&both, &ships, &[("resource", CREWS)]).await.tokens();
    is_for(&server, &both, &crews, CREWS, "crews:read").await;
    // At the token endpoint alone, where the request asked for the default.
    let second = code(&both, client_default(&both)).await;
    let ships = redeem(&both, &second, &[SHIPS]).await.tokens();
    is_for(&server, &both, &ships, SHIPS, "ships:read ships:write").await;
    // People are asked for that, and for nothing beside.
    let page = to_consent(&server.agent(), &silent(&both, &[CREWS]).with("prompt", "consent")).await;
    assert!(page.body.contains("crews:read") && !page.body.contains("email") && !page.body.contains("ships:"));
    // What the client may not have does not come by the name of the API.
    let web = server.client("web");
    for resource in [CREWS, "https://bank.example"] {
        assert_eq!(server.agent().step(&silent(&web, &[resource]).url()).await.error(), "invalid_target");
    }
    web.push(&silent(&web, &[CREWS])).await.refused("invalid_target");
}

fn client_default(client: &Client<'_>) -> Request {
    client.request("openid").without("scope")
}

#[tokio::test]
async fn pushed_and_signed_requests_leave_the_scope_out_too() {
    let server = Server::start(settings()).await;
    let both = server.client("both");
    let request = silent(&both, &["https://api.example/"]);
    let page = server.agent().walk(&both.pushed(&request).await.url(), ALICE).await;
    let tokens = redeem(&both, &Code { code: page.code(), verifier: request.verifier }, &[]).await.tokens();
    is_for(&server, &both, &tokens, SHIPS, "ships:read ships:write").await;

    let client = server.client("pkj");
    for resource in [json!("https://api.example/"), json!([SHIPS, "https://api.example/"])] {
        let request = silent(&client, &[]);
        let mut claims = request.claims();
        let now = server.clock.now().timestamp();
        for (name, value) in [("iss", json!("pkj")), ("aud", json!(server.issuer)), ("exp", json!(now + 60))] {
            claims[name] = value;
        }
        claims["resource"] = resource;
        let object = CLIENT_KEY.sign("oauth-authz-req+jwt", &claims).unwrap();
        let sent = request.only(&[("client_id", "pkj"), ("response_type", "code"), ("request", &object)]);
        let page = server.agent().walk(&sent.url(), ALICE).await;
        let code = Code { code: page.code(), verifier: request.verifier };
        let tokens = redeem(&client, &code, &[]).await.tokens();
        is_for(&server, &client, &tokens, SHIPS, "ships:read ships:write").await;
    }
}

/// It says nothing of what can be done there, so the person is asked about the API itself.
#[tokio::test]
async fn a_resource_without_scopes_needs_consent_and_no_scope() {
    let server = Server::start(settings()).await;
    let (client, agent) = (server.client("both"), server.agent());
    let request = silent(&client, &[OPEN]);
    let page = to_consent(&agent, &request).await;
    assert!(page.body.contains(CONSENT), "{}", page.body);
    let page = agent.decide(&page, "allow").await;
    let tokens = redeem(&client, &Code { code: page.code(), verifier: request.verifier }, &[]).await.tokens();
    is_for(&server, &client, &tokens, OPEN, "").await;
    let next = refresh(&client, &tokens, &[]).await.tokens();
    is_for(&server, &client, &next, OPEN, "").await;
    for other in [SHIPS, CREWS, &server.issuer] {
        refresh(&client, &next, &[("resource", other)]).await.refused("invalid_target");
    }
    // It is remembered, for this client and this resource.
    let quiet = |client: &Client<'_>| silent(client, &[OPEN]).with("prompt", "none");
    agent.step(&quiet(&client).url()).await.code();
    assert_eq!(agent.step(&quiet(&server.client("web")).url()).await.error(), "consent_required");
    let account = agent.open(&server.at("/account")).await;
    assert!(account.body.contains(CONSENT), "{}", account.body);

    // With OpenID Connect beside it: an ID token, and a token for the API alone.
    let request = naming(&client, "openid profile", &[OPEN]);
    let page = agent.walk(&request.url(), ALICE).await;
    let tokens = redeem(&client, &Code { code: page.code(), verifier: request.verifier }, &[]).await.tokens();
    is_for(&server, &client, &tokens, OPEN, "").await;
    assert!(!tokens.id.is_empty());
    let own = refresh(&client, &tokens, &[("resource", &server.issuer)]).await.tokens();
    is_for(&server, &client, &own, &server.issuer, "openid profile").await;

    // The person takes it back; a code that is on its way is good for nothing.
    let request = quiet(&client);
    let code = Code { code: agent.step(&request.url()).await.code(), verifier: request.verifier.clone() };
    let account = agent.open(&server.at("/account")).await;
    let done = agent.submit(&account.with_button("client_id", "both")).await;
    assert!(done.body.contains("has been withdrawn"), "{}", done.body);
    redeem(&client, &code, &[]).await.refused("invalid_grant");
    refresh(&client, &own, &[]).await.refused("invalid_grant");
    // One that was issued at that very moment, too.
    let page = agent.decide(&to_consent(&agent, &silent(&client, &[OPEN])).await, "allow").await;
    assert!(!page.code().is_empty());
    let request = quiet(&client);
    let code = Code { code: agent.step(&request.url()).await.code(), verifier: request.verifier };
    server.rows("UPDATE consents SET withdrawn_at = now()").await;
    redeem(&client, &code, &[]).await.refused("invalid_grant");
    assert_eq!(agent.step(&quiet(&client).url()).await.error(), "consent_required");
}

/// No token request reaches an API that nobody was asked about.
#[tokio::test]
async fn a_resource_without_scopes_is_named_to_the_person() {
    let server = Server::start(settings()).await;
    let client = server.client("both");
    for scope in ["openid", "ships:read", "openid ships:read"] {
        let code = code(&client, client.request(scope)).await;
        redeem(&client, &code, &[OPEN]).await.refused("invalid_target");
        let tokens = redeem(&client, &code, &[]).await.tokens();
        refresh(&client, &tokens, &[("resource", OPEN)]).await.refused("invalid_target");
    }
    // Beside another API the token request says which.
    let code = code(&client, naming(&client, "ships:read", &[SHIPS, OPEN])).await;
    redeem(&client, &code, &[]).await.refused("invalid_target");
    let open = redeem(&client, &code, &[OPEN]).await.tokens();
    is_for(&server, &client, &open, OPEN, "").await;
    let ships = refresh(&client, &open, &[("resource", SHIPS)]).await.tokens();
    is_for(&server, &client, &ships, SHIPS, "ships:read").await;
}
