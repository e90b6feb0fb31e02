//! Resource indicators (RFC 8707): a token is for one API or for userinfo, and opens nothing else.

use serde_json::{Value, json};

use crate::support::{
    ALICE, Answer, Client, Server, Settings,
    client::{Code, Request, Tokens, userinfo},
    declared::{REDIRECT_URI, RESOURCE as SHIPS, SECRET},
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
             [[resource]]\nidentifier = \"urn:mute\"\n"
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

/// The token is for this one, allows this, and whoever else it is shown to learns nothing and lets nobody in.
async fn is_for(server: &Server, client: &Client<'_>, tokens: &Tokens, audience: &str, scope: &str) {
    assert_eq!(tokens.all["scope"], scope);
    let seen = client.introspect(&tokens.access).await.ok();
    assert_eq!((&seen["active"], &seen["aud"], &seen["scope"]), (&json!(true), &json!(audience), &json!(scope)));
    for api in [SHIPS, CREWS] {
        let told = server.client(api).introspect(&tokens.access).await.ok();
        if api == audience {
            assert_eq!((&told["active"], &told["aud"], &told["scope"]), (&json!(true), &json!(api), &json!(scope)));
        } else {
            assert_eq!(told, json!({ "active": false }), "{api} is shown a token for {audience}");
        }
    }
    if audience == SHIPS {
        let jwt = token::verify(server, &tokens.access).await;
        assert_eq!((&jwt.claims["aud"], &jwt.claims["scope"]), (&json!(audience), &json!(scope)));
    } else {
        assert!(tokens.access.starts_with("mo_at_"), "the format is that of the resource, else of the client");
    }
    let answer = userinfo(server, &tokens.access).await;
    if audience == server.issuer && scope.contains("openid") {
        answer.ok();
    } else if audience == server.issuer {
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
    for (scope, audience, allowed) in [
        ("openid profile", server.issuer.as_str(), "openid profile"),
        ("openid logs:read", &server.issuer, "openid logs:read"),
        ("openid email ships:read ships:write", SHIPS, "ships:read ships:write"),
        ("ships:read", SHIPS, "ships:read"),
        ("openid crews:read", CREWS, "crews:read"),
    ] {
        let code = code(&client, client.request(scope)).await;
        let tokens = redeem(&client, &code, &[]).await.tokens();
        is_for(&server, &client, &tokens, audience, allowed).await;
        assert_eq!(tokens.id.is_empty(), !scope.contains("openid"));
        let next = refresh(&client, &tokens, &[]).await.tokens();
        is_for(&server, &client, &next, audience, allowed).await;
        if scope.contains("openid") {
            // A narrower scope says something else.
            let own = refresh(&client, &next, &[("scope", "openid")]).await.tokens();
            is_for(&server, &client, &own, &server.issuer, "openid").await;
        }
    }
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
        vec![("resource", "urn:mute")],
        vec![("resource", "https://other.example")],
        vec![("resource", "https://api.example/")],
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
        ("openid ships:read", vec!["https://api.example/"]),
        ("openid ships:read", vec!["https://api.example#part"]),
        ("openid ships:read", vec!["/api"]),
        ("openid ships:read", vec!["api"]),
        // Nothing is asked there.
        ("openid ships:read", vec![CREWS]),
        ("openid ships:read", vec![SHIPS, CREWS]),
        ("openid ships:read", vec!["urn:mute"]),
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
    ] {
        let tokens = ask(scope, &resources).await.tokens();
        is_for(&server, &robot, &tokens, audience, allowed).await;
    }
    for (scope, resources) in [
        ("", vec![]),
        ("ships:read crews:read", vec![]),
        ("ships:read crews:read", vec![SHIPS, CREWS]),
        ("ships:read", vec![CREWS]),
        ("", vec!["urn:mute"]),
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
