//! Resource indicators (RFC 8707): a token is for one API, for userinfo, or for both where the grant has `openid` and the
//! client named no resource; it opens nothing else.

mod without_scopes;

use serde_json::{Value, json};

use mooring::{http::resource_server::ResourceServer, sessions::Proof};

use crate::support::{
    ALICE, Answer, Client, Server, Settings,
    client::{Code, Request, Tokens, userinfo},
    declared::{REDIRECT_URI, RESOURCE as SHIPS, SECRET},
    proof::request_of,
    token,
};

/// Another API, which takes opaque tokens.
const CREWS: &str = "https://crews.example/v1";
const EVERYTHING: &str = "openid profile email ships:read ships:write crews:read logs:read";

/// Two APIs that introspect what is meant for them, a client that uses both, and a scope of no API.
fn settings() -> Settings {
    let api = |identifier: &str| {
        format!(
            "[[client]]\nclient_id = \"{identifier}\"\nclient_secret = \"{SECRET}\"\n\
             grant_types = [\"client_credentials\"]\nresponse_types = []\nscope = \"\"\n"
        )
    };
    let client = |id: &str, grants: &str, scope: &str| {
        format!(
            "[[client]]\nclient_id = \"{id}\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
             grant_types = [{grants}]\nscope = \"{scope}\"\n"
        )
    };
    let all = [
        "[[scope]]\nname = \"crews:read\"\n[[scope]]\nname = \"logs:read\"\n".to_owned(),
        format!(
            "[[resource]]\nidentifier = \"{CREWS}\"\nscopes = [\"crews:read\"]\naccess_token_format = \"opaque\"\n\
             [[resource]]\nidentifier = \"urn:open\"\n"
        ),
        api(SHIPS),
        api(CREWS),
        client("both", "\"authorization_code\", \"refresh_token\"", &format!("{EVERYTHING} offline_access")),
        client("robot", "\"client_credentials\"", "ships:read ships:write crews:read logs:read"),
    ];
    Settings::default().declare(&all.concat())
}

/// A code for what the request asks; alice signs in and consents where she is asked.
async fn code(client: &Client<'_>, request: Request) -> Code {
    let page = client.server.agent().walk(&request.url(), ALICE).await;
    Code { code: page.code(), verifier: request.verifier }
}

/// The request, naming these.
fn naming(client: &Client<'_>, scope: &str, resources: &[&str]) -> Request {
    resources.iter().fold(client.request(scope), |request, resource| request.repeat("resource", resource))
}

async fn redeem(client: &Client<'_>, code: &Code, resources: &[&str]) -> Answer {
    let mut form = code.form(&client.redirect_uri).to_vec();
    form.extend(resources.iter().map(|resource| ("resource", *resource)));
    client.token(&form).await
}

async fn refresh(client: &Client<'_>, tokens: &Tokens, more: &[(&str, &str)]) -> Answer {
    let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", tokens.refresh.as_str())];
    form.extend(more);
    client.token(&form).await
}

/// The token is for this one alone.
async fn is_for(server: &Server, client: &Client<'_>, tokens: &Tokens, audience: &str, scope: &str) {
    is_for_all(server, client, tokens, &[audience], scope).await;
}

/// The token is for these, allows this, and is good for nobody else.
async fn is_for_all(server: &Server, client: &Client<'_>, tokens: &Tokens, audience: &[&str], scope: &str) {
    // RFC 6749 §3.3: at least one token stands in a scope.
    assert_eq!(tokens.all["scope"].as_str().unwrap_or_default(), scope);
    // RFC 7519 §4.1.3: one is a string.
    let aud = if let [one] = audience { json!(one) } else { json!(audience) };
    let seen = client.introspect(&tokens.access).await.ok();
    assert_eq!((&seen["active"], &seen["aud"]), (&json!(true), &aud));
    assert_eq!(seen["scope"].as_str().unwrap_or_default(), scope);
    for api in [SHIPS, CREWS] {
        let told = server.client(api).introspect(&tokens.access).await.ok();
        if audience.contains(&api) {
            assert_eq!((&told["active"], &told["aud"], &told["scope"]), (&json!(true), &aud, &json!(scope)));
        } else {
            assert_eq!(told, json!({ "active": false }), "{api} is shown a token for {audience:?}");
        }
    }
    if audience.contains(&SHIPS) {
        let jwt = token::verify(server, &tokens.access).await;
        assert_eq!((&jwt.claims["aud"], &jwt.claims["scope"]), (&aud, &json!(scope)));
    } else {
        assert!(tokens.access.starts_with("mo_at_"), "the format is that of the resource, else of the client");
    }
    let answer = userinfo(server, &tokens.access).await;
    let is_ours = audience.contains(&server.issuer.as_str());
    if is_ours && scope.contains("openid") {
        answer.ok();
    } else if is_ours {
        assert_eq!(answer.status, 403, "{answer:?}");
    } else {
        answer.token_refused();
    }
}

#[tokio::test]
async fn a_grant_for_several_gives_a_token_for_each() {
    let server = Server::start(settings()).await;
    let client = server.client("both");
    for scope in ["openid profile ships:read crews:read", "openid profile ships:read crews:read offline_access"] {
        let code = code(&client, naming(&client, scope, &[SHIPS, CREWS])).await;
        let ships = redeem(&client, &code, &[SHIPS]).await.tokens();
        is_for(&server, &client, &ships, SHIPS, "ships:read").await;
        assert_eq!(
            token::claims(&ships.id)["aud"],
            "both",
            "the ID token is for the client, whatever the other is for"
        );
        let crews = refresh(&client, &ships, &[("resource", CREWS)]).await.tokens();
        is_for(&server, &client, &crews, CREWS, "crews:read").await;
        // Userinfo goes with openid.
        let own = refresh(&client, &crews, &[("resource", &server.issuer)]).await.tokens();
        let scope = if scope.contains("offline") { "openid profile offline_access" } else { "openid profile" };
        is_for(&server, &client, &own, &server.issuer, scope).await;
        assert_eq!(client.userinfo(&own.access).await.ok()["name"], "Alice Example");
        let again = refresh(&client, &own, &[("resource", SHIPS)]).await.tokens();
        is_for(&server, &client, &again, SHIPS, "ships:read").await;
        // All of them hang on the same family.
        client.revoke(&again.refresh).await;
        for tokens in [&ships, &crews, &own, &again] {
            assert!(!client.is_active(&tokens.access).await);
        }
    }
}

#[tokio::test]
async fn without_resource_the_scope_says_whom_it_is_for() {
    let server = Server::start(settings()).await;
    let client = server.client("both");
    let issuer = server.issuer.as_str();
    for (scope, audience, allowed) in [
        ("openid profile", &[issuer][..], "openid profile"),
        ("openid logs:read", &[issuer], "openid logs:read"),
        ("ships:read", &[SHIPS], "ships:read"),
        ("email ships:read", &[SHIPS], "ships:read"),
        // OIDC Core §5.3.1: what comes of an OpenID Connect request opens userinfo.
        ("openid email ships:read ships:write", &[SHIPS, issuer], "openid email ships:read ships:write"),
        ("openid crews:read", &[CREWS, issuer], "openid crews:read"),
        ("crews:read profile openid offline_access", &[CREWS, issuer], "crews:read profile openid offline_access"),
    ] {
        let code = code(&client, client.request(scope)).await;
        let tokens = redeem(&client, &code, &[]).await.tokens();
        is_for_all(&server, &client, &tokens, audience, allowed).await;
        assert_eq!(tokens.id.is_empty(), !scope.contains("openid"));
        let next = refresh(&client, &tokens, &[]).await.tokens();
        is_for_all(&server, &client, &next, audience, allowed).await;
        if scope.contains("openid") {
            // A narrower scope says something else.
            let own = refresh(&client, &next, &[("scope", "openid")]).await.tokens();
            is_for(&server, &client, &own, &server.issuer, "openid").await;
        }
    }
}

/// Userinfo answers as it would have without the API; and a client that wants a token for the API alone names it.
#[tokio::test]
async fn openid_opens_userinfo_unless_an_api_is_named() {
    let server = Server::start(settings()).await;
    let client = server.client("both");
    let issuer = server.issuer.as_str();
    let scope = "openid profile ships:read";
    let first = code(&client, client.request(scope)).await;
    let tokens = redeem(&client, &first, &[]).await.tokens();
    is_for_all(&server, &client, &tokens, &[SHIPS, issuer], scope).await;
    let told = client.userinfo(&tokens.access).await.ok();
    assert_eq!((&told["name"], &told["sub"]), (&json!("Alice Example"), &token::claims(&tokens.id)["sub"]));
    // A narrower scope keeps what it names; a resource keeps itself.
    let allowed = "openid ships:read";
    let narrowed = refresh(&client, &tokens, &[("scope", allowed)]).await.tokens();
    is_for_all(&server, &client, &narrowed, &[SHIPS, issuer], allowed).await;
    assert_eq!(client.userinfo(&narrowed.access).await.ok().get("name"), None);
    let api = refresh(&client, &narrowed, &[("scope", "ships:read")]).await.tokens();
    is_for(&server, &client, &api, SHIPS, "ships:read").await;
    let own = refresh(&client, &api, &[("scope", "openid")]).await.tokens();
    is_for(&server, &client, &own, issuer, "openid").await;
    let named = refresh(&client, &own, &[("resource", SHIPS)]).await.tokens();
    is_for(&server, &client, &named, SHIPS, "ships:read").await;
    let refused = client.userinfo(&named.access).await;
    assert!(refused.token_refused().header("www-authenticate").contains("resource"), "{refused:?}");
    let own = refresh(&client, &named, &[("resource", issuer)]).await.tokens();
    is_for(&server, &client, &own, issuer, "openid profile").await;
    let again = refresh(&client, &own, &[]).await.tokens();
    is_for_all(&server, &client, &again, &[SHIPS, issuer], scope).await;

    // At the token endpoint alone.
    let second = code(&client, client.request(scope)).await;
    let strict = redeem(&client, &second, &[SHIPS]).await.tokens();
    is_for(&server, &client, &strict, SHIPS, "ships:read").await;
    let both = refresh(&client, &strict, &[]).await.tokens();
    is_for_all(&server, &client, &both, &[SHIPS, issuer], scope).await;
    // In the authorization request it holds for all tokens of the grant; both named are both.
    let third = code(&client, naming(&client, scope, &[SHIPS])).await;
    let strict = redeem(&client, &third, &[]).await.tokens();
    is_for(&server, &client, &strict, SHIPS, "ships:read").await;
    let strict = refresh(&client, &strict, &[]).await.tokens();
    is_for(&server, &client, &strict, SHIPS, "ships:read").await;
    let fourth = code(&client, naming(&client, scope, &[issuer, SHIPS])).await;
    let both = redeem(&client, &fourth, &[]).await.tokens();
    is_for_all(&server, &client, &both, &[SHIPS, issuer], scope).await;
}

/// An API that expects the issuer takes no token that another API was given, whichever way it validates.
#[tokio::test]
async fn an_api_that_expects_the_issuer_takes_what_names_no_other() {
    let server = Server::start(
        settings().replace("client_id = \"both\"\n", "client_id = \"both\"\naccess_token_format = \"jwt\"\n"),
    )
    .await;
    let (client, issuer, http) = (server.client("both"), server.issuer.as_str(), || server.http().clone());
    let of_ships = client.redeem(&code(&client, client.request("openid ships:read")).await).await.tokens();
    assert_eq!(token::claims(&of_ships.access)["aud"], json!([SHIPS, issuer]));
    let own = client.redeem(&code(&client, client.request("openid logs:read")).await).await.tokens();
    let asking = ResourceServer::discover(http(), issuer, "api", SECRET).await.unwrap();
    let with_keys = async |audience: &str| ResourceServer::with_keys(http(), issuer, audience).await.unwrap();
    for (audience, ships, logs) in [(issuer, false, true), (SHIPS, true, false)] {
        for api in [asking.clone().expecting_audience(audience), with_keys(audience).await] {
            let api = api.at(server.clock.clone());
            let is_taken = async |tokens: &Tokens| api.validate(&tokens.access).await.unwrap().is_some();
            assert_eq!((is_taken(&of_ships).await, is_taken(&own).await), (ships, logs), "{audience}");
        }
    }
}

/// Privileged scopes of an API go with userinfo, too, and leave it when the privileged session ends.
#[tokio::test]
async fn a_privileged_token_opens_userinfo() {
    const BANK: &str = "https://bank.example";
    let resource =
        format!("[[resource]]\nidentifier = \"{BANK}\"\nscopes = [\"payments:write\"]\nclient = \"robot\"\n");
    let server = Server::start(settings().declare(&resource)).await;
    server.enrol(ALICE, "passkey").await;
    let (client, agent) = (server.client("web"), server.agent());
    let scope = "openid email payments:write";
    let request = client.request(scope);
    let page = agent.walk(&request.url(), ALICE).await;
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    let page = agent.walk(&server.at(&format!("/oauth/authorize/{}", request_of(&page))), ALICE).await;
    let mut tokens = client.redeem(&Code { code: page.code(), verifier: request.verifier }).await.tokens();
    for _ in 0..2 {
        is_for_all(&server, &client, &tokens, &[BANK, server.issuer.as_str()], scope).await;
        assert_eq!(client.userinfo(&tokens.access).await.ok()["email"], "alice@example.com");
        let told = server.client("robot").introspect(&tokens.access).await.ok();
        assert_eq!((&told["acr"], &told["session"]["kind"]), (&json!("phr"), &json!("privileged")));
        tokens = client.refresh(&tokens.refresh).await.tokens();
    }
    let session = server.value("SELECT id FROM sessions WHERE kind = 'privileged'").await.parse().unwrap();
    server.work(async |tx| mooring::sessions::end(tx, session, "test", mooring::audit::Actor::Operator).await).await;
    client.userinfo(&tokens.access).await.token_refused();
    let after = client.refresh(&tokens.refresh).await.tokens();
    is_for(&server, &client, &after, &server.issuer, "openid email").await;
}

/// Clients that take a URI apart write an empty path as a slash; the token has the identifier that was declared.
#[tokio::test]
async fn a_slash_for_an_empty_path_is_the_same_resource() {
    let slashed = "https://docks.example/";
    let more = format!(
        "[[resource]]\nidentifier = \"{slashed}\"\nscopes = [\"docks:read\"]\n[[scope]]\nname = \"docks:read\"\n"
    );
    let scope = "openid ships:read docks:read";
    let server =
        Server::start(settings().declare(&more).replace(EVERYTHING, &format!("{EVERYTHING} docks:read"))).await;
    let client = server.client("both");
    let (ships, docks, own) = (format!("{SHIPS}/"), slashed.trim_end_matches('/'), format!("{}/", server.issuer));
    let code = code(&client, naming(&client, scope, &[&ships, docks])).await;
    let tokens = redeem(&client, &code, &[&ships]).await.tokens();
    is_for(&server, &client, &tokens, SHIPS, "ships:read").await;
    for (named, declared, allowed) in [
        (docks, slashed, "docks:read"),
        (slashed, slashed, "docks:read"),
        (SHIPS, SHIPS, "ships:read"),
        (&own, &server.issuer, "openid"),
    ] {
        let tokens = refresh(&client, &tokens, &[("resource", named)]).await.tokens();
        is_for(&server, &client, &tokens, declared, allowed).await;
    }
    // Twice the same is one.
    let both = refresh(&client, &tokens, &[("resource", docks), ("resource", slashed)]).await.tokens();
    is_for(&server, &client, &both, slashed, "docks:read").await;
    for other in
        ["https://docks.example//", "https://docks.example/x", "https://crews.example/v1/", "https://DOCKS.example"]
    {
        refresh(&client, &tokens, &[("resource", other)]).await.refused("invalid_target");
    }
    let form = [("grant_type", "client_credentials"), ("resource", ships.as_str())];
    let machine = server.client("robot").token(&form).await.tokens();
    is_for(&server, &server.client("robot"), &machine, SHIPS, "ships:read ships:write").await;
    let pushed = client.pushed(&naming(&client, scope, &[&ships])).await;
    server.agent().walk(&pushed.url(), ALICE).await.code();
}

/// One token for two APIs would let each act at the other.
#[tokio::test]
async fn no_token_is_for_two() {
    let server = Server::start(settings()).await;
    let client = server.client("both");
    for (scope, authorized) in [
        ("openid ships:read crews:read", vec![]),
        ("openid ships:read crews:read", vec![SHIPS, CREWS]),
        ("ships:read logs:read", vec![]),
        ("openid ships:read logs:read", vec![]),
        (EVERYTHING, vec![]),
    ] {
        let code = code(&client, naming(&client, scope, &authorized)).await;
        redeem(&client, &code, &[]).await.refused("invalid_target");
        redeem(&client, &code, &[SHIPS, CREWS]).await.refused("invalid_target");
        redeem(&client, &code, &[SHIPS, &server.issuer]).await.refused("invalid_target");
        // A refusal consumes nothing.
        let tokens = redeem(&client, &code, &[SHIPS]).await.tokens();
        for more in [vec![], vec![("resource", SHIPS), ("resource", CREWS)]] {
            refresh(&client, &tokens, &more).await.refused("invalid_target");
        }
        // Twice the same is but one; nothing is nothing.
        let named = [("resource", SHIPS), ("resource", SHIPS), ("resource", "")];
        let next = refresh(&client, &tokens, &named).await.tokens();
        assert_eq!(token::claims(&next.access)["aud"], SHIPS);
    }
}

#[tokio::test]
async fn a_token_request_never_widens_the_grant() {
    let server = Server::start(settings()).await;
    let client = server.client("both");
    // What is for others is not granted with it.
    let request = naming(&client, EVERYTHING, &[SHIPS]);
    let first = code(&client, request).await;
    redeem(&client, &first, &[CREWS]).await.refused("invalid_target");
    let tokens = redeem(&client, &first, &[]).await.tokens();
    is_for(&server, &client, &tokens, SHIPS, "ships:read ships:write").await;
    for more in [
        vec![("resource", CREWS)],
        vec![("resource", CREWS), ("scope", "openid")],
        vec![("resource", SHIPS), ("scope", "openid")],
        vec![("resource", "urn:open")],
        vec![("resource", "https://other.example")],
        vec![("resource", "https://api.example//")],
        vec![("resource", "https://api.example#x")],
        vec![("resource", "api.example")],
    ] {
        refresh(&client, &tokens, &more).await.refused("invalid_target");
    }
    for scope in ["crews:read", "ships:read crews:read", "logs:read"] {
        for resource in [SHIPS, CREWS] {
            let more = [("scope", scope), ("resource", resource)];
            refresh(&client, &tokens, &more).await.refused("invalid_scope");
        }
    }
    // None of it used up the refresh token.
    let narrowed = refresh(&client, &tokens, &[("scope", "ships:write openid"), ("resource", SHIPS)]).await.tokens();
    is_for(&server, &client, &narrowed, SHIPS, "ships:write").await;
    assert!(server.events("refresh.replayed", "refused").await == 0);

    // Without openid there is no userinfo to ask for.
    let plain = code(&client, naming(&client, "email ships:read", &[SHIPS])).await;
    redeem(&client, &plain, &[&server.issuer]).await.refused("invalid_target");
    redeem(&client, &plain, &[SHIPS]).await.tokens();
}

#[tokio::test]
async fn an_authorization_request_names_what_there_is() {
    let server = Server::start(settings()).await;
    let client = server.client("both");
    let agent = server.agent();
    client.code(&agent, "openid ships:read crews:read").await;
    for (scope, resources) in [
        ("openid ships:read", vec!["https://other.example"]),
        ("openid ships:read", vec![SHIPS, "https://other.example"]),
        ("openid ships:read", vec!["https://api.example//"]),
        ("openid ships:read", vec!["https://api.example#part"]),
        ("openid ships:read", vec!["/api"]),
        ("openid ships:read", vec!["api"]),
        // Nothing is asked there.
        ("openid ships:read", vec![CREWS]),
        ("openid ships:read", vec![SHIPS, CREWS]),
        ("openid ships:read", vec!["urn:open", CREWS]),
        ("openid", vec![SHIPS]),
    ] {
        let answer = agent.step(&naming(&client, scope, &resources).url()).await.answer();
        assert_eq!(
            answer.get("error").map(String::as_str),
            Some("invalid_target"),
            "{scope} {resources:?}: {answer:?}"
        );
        assert_eq!((answer["state"].as_str(), answer["iss"].as_str()), ("the state", server.issuer.as_str()));
        assert!(!answer.contains_key("code"));
    }
    // Before anybody is asked for anything.
    let page = server.agent().step(&naming(&client, "openid", &["https://other.example"]).url()).await;
    assert_eq!(page.error(), "invalid_target");

    // People are asked for what it comes to, and for nothing beside.
    let request = naming(&client, EVERYTHING, &[CREWS]).with("prompt", "consent");
    let page = agent.open(&request.url()).await;
    assert!(page.body.contains("crews:read") && !page.body.contains("ships:") && !page.body.contains("logs:"));
    let answered = agent.decide(&page, "allow").await;
    let tokens = redeem(&client, &Code { code: answered.code(), verifier: request.verifier }, &[]).await.tokens();
    is_for(&server, &client, &tokens, CREWS, "crews:read").await;
}

#[tokio::test]
async fn a_machine_names_one_too() {
    let server = Server::start(settings()).await;
    let robot = server.client("robot");
    let ask = async |scope: &str, resources: &[&str]| {
        let mut form = vec![("grant_type", "client_credentials"), ("scope", scope)];
        form.extend(resources.iter().map(|resource| ("resource", *resource)));
        robot.token(&form).await
    };
    for (scope, resources, audience, allowed) in [
        ("ships:read", vec![], SHIPS, "ships:read"),
        ("ships:read crews:read", vec![SHIPS], SHIPS, "ships:read"),
        ("", vec![SHIPS], SHIPS, "ships:read ships:write"),
        ("", vec![CREWS], CREWS, "crews:read"),
        ("", vec![server.issuer.as_str()], &server.issuer, "logs:read"),
        ("ships:read", vec!["urn:open"], "urn:open", ""),
        ("", vec!["urn:open"], "urn:open", ""),
    ] {
        let tokens = ask(scope, &resources).await.tokens();
        is_for(&server, &robot, &tokens, audience, allowed).await;
    }
    for (scope, resources) in [
        ("", vec![]),
        ("ships:read crews:read", vec![]),
        ("ships:read crews:read", vec![SHIPS, CREWS]),
        ("ships:read", vec![CREWS]),
        ("ships:read", vec!["urn:open", SHIPS]),
        ("", vec!["https://other.example"]),
    ] {
        ask(scope, &resources).await.refused("invalid_target");
    }
    // What it is not registered for does not come by the name of the API.
    let machine = server.client("machine");
    let form = [("grant_type", "client_credentials"), ("resource", CREWS)];
    machine.token(&form).await.refused("invalid_target");
    let form = [("grant_type", "client_credentials"), ("resource", CREWS), ("scope", "crews:read")];
    machine.token(&form).await.refused("invalid_scope");
}

/// RFC 9126: what is pushed is looked at when it is pushed, and kept.
#[tokio::test]
async fn a_pushed_request_names_them_too() {
    let server = Server::start(settings()).await;
    let client = server.client("both");
    let scope = "openid ships:read crews:read";
    client.push(&naming(&client, scope, &["https://other.example"])).await.refused("invalid_target");
    client.push(&naming(&client, "openid", &[SHIPS])).await.refused("invalid_target");
    let request = naming(&client, scope, &[SHIPS, CREWS]);
    // Beside what was pushed nothing counts.
    let brought = client.pushed(&request).await.repeat("resource", "https://other.example");
    let page = server.agent().walk(&brought.url(), ALICE).await;
    let code = Code { code: page.code(), verifier: request.verifier };
    redeem(&client, &code, &[]).await.refused("invalid_target");
    let ships = redeem(&client, &code, &[SHIPS]).await.tokens();
    is_for(&server, &client, &ships, SHIPS, "ships:read").await;
    let crews = refresh(&client, &ships, &[("resource", CREWS)]).await.tokens();
    is_for(&server, &client, &crews, CREWS, "crews:read").await;
}

/// The trail says for whom.
#[tokio::test]
async fn the_audience_is_in_the_trail() {
    let server = Server::start(settings()).await;
    let client = server.client("both");
    let code = code(&client, naming(&client, "openid ships:read crews:read", &[SHIPS, CREWS])).await;
    let tokens = redeem(&client, &code, &[SHIPS]).await.tokens();
    refresh(&client, &tokens, &[("resource", CREWS)]).await.tokens();
    let trail =
        "SELECT detail->'aud' FROM audit_events WHERE action IN ('code.redeemed', 'token.refreshed') ORDER BY id";
    let told: Vec<Value> = server
        .rows(trail)
        .await
        .into_iter()
        .map(|row| serde_json::from_str(row[0].as_deref().unwrap_or("null")).unwrap())
        .collect();
    assert_eq!(told, [json!([SHIPS]), json!([CREWS])]);
}
