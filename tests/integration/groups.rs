//! The scope `groups`: which groups a person is in, for clients that may ask and people who agreed.

use std::path::Path;

use mooring::{audit::Actor, sessions};
use serde_json::{Value, json};

use crate::support::{
    ALICE, Client, PASSWORD, Server, Settings,
    client::{Code, Tokens},
    declared::{REDIRECT_URI, RESOURCE, SECRET},
    token,
};

const KARI: &str = "kari";

/// Kari is in two groups, alice in none. `team` may ask for groups, and so may `silent`, which says nothing of scopes.
fn settings() -> Settings {
    let client = |id: &str, more: &str| {
        format!(
            "[[client]]\nclient_id = \"{id}\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
             grant_types = [\"authorization_code\", \"refresh_token\"]\n{more}\n"
        )
    };
    let scope = "scope = \"openid profile groups offline_access ships:read\"\n";
    let tables = [
        client("team", scope),
        client("team-jwt", &format!("{scope}access_token_format = \"jwt\"\n")),
        client("plain", &format!("{scope}id_token_claims = false\n")),
        client("silent", ""),
        format!(
            "[[user]]\nusername = \"{KARI}\"\npassword = \"{PASSWORD}\"\ngroups = [\"crew\", \"harbour masters\"]\n"
        ),
        "[[resource]]\nidentifier = \"urn:docks\"\nscopes = [\"groups\"]\n".to_owned(),
    ];
    Settings::default().declare(&tables.concat())
}

async fn tokens(client: &Client<'_>, username: &str, scope: &str) -> Tokens {
    let code = client.code_for(&client.server.agent(), username, scope).await;
    client.redeem(&code).await.tokens()
}

/// What each place says of the person's groups: ID token, userinfo, introspection.
async fn said(client: &Client<'_>, tokens: &Tokens) -> [Value; 3] {
    let id = token::verify(client.server, &tokens.id).await.claims;
    let userinfo = client.userinfo(&tokens.access).await.ok();
    let introspected = client.introspect(&tokens.access).await.ok();
    [id, userinfo, introspected].map(|claims| claims.get("groups").cloned().unwrap_or(json!("left out")))
}

#[tokio::test]
async fn granted_groups_are_told_everywhere() {
    let server = Server::start(settings()).await;
    for (username, groups) in [(KARI, json!(["crew", "harbour masters"])), (ALICE, json!([]))] {
        for id in ["team", "team-jwt", "silent"] {
            let client = server.client(id);
            let scope = if id == "silent" { "openid groups" } else { "openid groups offline_access" };
            let tokens = tokens(&client, username, scope).await;
            assert_eq!(said(&client, &tokens).await, [groups.clone(), groups.clone(), groups.clone()], "{id}");
            let next = client.refresh(&tokens.refresh).await.tokens();
            assert_eq!(said(&client, &next).await, [groups.clone(), groups.clone(), groups.clone()], "{id}");
            if id == "team-jwt" {
                for access in [&tokens.access, &next.access] {
                    assert_eq!(token::verify(&server, access).await.claims["groups"], groups);
                }
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_told_that_was_not_granted() {
    let server = Server::start(settings()).await;
    let left_out = || json!("left out");
    let jwt = server.client("team-jwt");
    let plain = tokens(&jwt, KARI, "openid profile").await;
    assert_eq!(said(&jwt, &plain).await, [left_out(), left_out(), left_out()]);
    assert!(token::claims(&plain.access).get("groups").is_none());
    // A refresh with less has less.
    let all = tokens(&jwt, KARI, "openid groups").await;
    let form = [("grant_type", "refresh_token"), ("refresh_token", &all.refresh), ("scope", "openid")];
    let less = jwt.token(&form).await.tokens();
    assert_eq!(said(&jwt, &less).await, [left_out(), left_out(), left_out()]);
    assert!(token::claims(&less.access).get("groups").is_none());
    // A scope that has the word in its name is another scope.
    let server = Server::start(
        settings().declare("[[scope]]\nname = \"groups:write\"\n").replace("groups off", "groups:write off"),
    )
    .await;
    let client = server.client("team-jwt");
    let tokens = tokens(&client, KARI, "openid groups:write").await;
    assert_eq!(said(&client, &tokens).await, [left_out(), left_out(), left_out()]);
    assert!(token::claims(&tokens.access).get("groups").is_none());
}

/// Many tools ask for it by default: they sign people in without it, as they did before it existed.
#[tokio::test]
async fn a_client_that_may_not_have_it_goes_without() {
    let server = Server::start(settings()).await;
    let web = server.client("web");
    let tokens = tokens(&web, KARI, "openid profile groups").await;
    assert_eq!(tokens.all["scope"], "openid profile");
    assert_eq!(said(&web, &tokens).await, [json!("left out"), json!("left out"), json!("left out")]);
    let claims = json!({ "userinfo": { "groups": null }, "id_token": { "groups": { "essential": true } } }).to_string();
    let request = web.request("openid").with("claims", &claims);
    let code = server.agent().walk(&request.url(), KARI).await.code();
    let tokens = web.redeem(&Code { code, verifier: request.verifier }).await.tokens();
    assert_eq!(said(&web, &tokens).await, [json!("left out"), json!("left out"), json!("left out")]);
    // Nobody asks for it without saying so, and a machine is in no group.
    let silent = server.client("silent");
    let default = silent.request("openid").without("scope");
    let code = server.agent().walk(&default.url(), KARI).await.code();
    let tokens = silent.redeem(&Code { code, verifier: default.verifier }).await.tokens();
    assert_eq!(tokens.all["scope"], "profile email address phone");
    let machine = server.client("machine").client_credentials("groups ships:read").await.tokens();
    assert_eq!(machine.all["scope"], "ships:read");
    server.client("machine").client_credentials("groups").await.refused("invalid_scope");
}

#[tokio::test]
async fn the_person_is_asked_and_groups_are_those_of_now() {
    let server = Server::start(settings()).await;
    let (client, agent) = (server.client("team"), server.agent());
    client.code_for(&agent, KARI, "openid").await;
    let request = client.request("openid groups");
    let page = agent.open(&request.url()).await;
    assert!(page.offers("allow") && page.body.contains("See which groups you are in"), "{}", page.body);
    let code = agent.decide(&page, "allow").await.code();
    let tokens = client.redeem(&Code { code, verifier: request.verifier }).await.tokens();
    let account = agent.open(&server.at("/account")).await;
    assert!(account.body.contains("See which groups you are in"));

    let kari = server.user_id(KARI).await.parse().unwrap();
    let moved = ["night watch".to_owned()];
    server.work(async |tx| sessions::set_groups(tx, kari, &moved, Actor::Operator).await).await;
    assert_eq!(client.userinfo(&tokens.access).await.ok()["groups"], json!(moved));
    assert_eq!(client.introspect(&tokens.access).await.ok()["groups"], json!(moved));
    let next = client.refresh(&tokens.refresh).await.tokens();
    assert_eq!(said(&client, &next).await, [json!(moved), json!(moved), json!(moved)]);
    // What the record of claims says does not count.
    server.rows("UPDATE users SET claims = claims || '{\"groups\": [\"admins\"]}'").await;
    assert_eq!(client.userinfo(&tokens.access).await.ok()["groups"], json!(moved));
}

#[tokio::test]
async fn it_can_be_asked_for_by_claims_and_by_an_api() {
    let server = Server::start(settings()).await;
    let client = server.client("plain");
    let agent = server.agent();
    let groups = json!(["crew", "harbour masters"]);
    for (member, expected) in [
        ("id_token", [groups.clone(), json!("left out"), json!("left out")]),
        ("userinfo", [json!("left out"), groups.clone(), json!("left out")]),
    ] {
        let claims = json!({ member: { "groups": null } }).to_string();
        let request = client.request("openid").with("claims", &claims);
        let code = agent.walk(&request.url(), KARI).await.code();
        let tokens = client.redeem(&Code { code, verifier: request.verifier }).await.tokens();
        assert_eq!(said(&client, &tokens).await, expected, "{member}");
        let next = client.refresh(&tokens.refresh).await.tokens();
        assert_eq!(said(&client, &next).await, expected, "{member}");
    }
    // The API's own token has what the API asks for; another API's has not.
    let jwt = server.client("team-jwt");
    for (resource, expected) in [("urn:docks", &groups), (RESOURCE, &Value::Null)] {
        let request = jwt.request("openid groups ships:read").with("resource", resource);
        let code = server.agent().walk(&request.url(), KARI).await.code();
        let tokens = jwt.redeem(&Code { code, verifier: request.verifier }).await.tokens();
        let access = token::verify(&server, &tokens.access).await.claims;
        assert_eq!((access["aud"].as_str(), &access["groups"]), (Some(resource), expected));
        assert_eq!(token::claims(&tokens.id)["groups"], groups, "the ID token is for the client");
    }
    // One that opens userinfo tells it, too.
    let both = tokens(&jwt, KARI, "openid groups ships:read").await;
    let access = token::verify(&server, &both.access).await.claims;
    assert_eq!((&access["aud"], &access["groups"]), (&json!([RESOURCE, server.issuer]), &groups));
}

#[tokio::test]
async fn discovery_announces_it_once() {
    let server =
        Server::start(Settings::default().declare("[[scope]]\nname = \"groups\"\ndescription = \"Crews\"\n")).await;
    for list in ["scopes_supported", "claims_supported"] {
        let listed = server.discovery()[list].as_array().unwrap();
        assert_eq!(listed.iter().filter(|it| *it == "groups").count(), 1, "{list}");
    }
}

/// Strangers' clients don't learn how people are organised; those with an initial access token may ask by name.
#[tokio::test]
async fn clients_that_register_themselves_ask_by_name() {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("iat-{}", std::process::id()));
    let token = "an-initial-access-token-of-the-integration-tests";
    std::fs::write(&file, token).unwrap();
    let path = file.display().to_string();
    for (policy, given) in [("open", "openid"), ("token", "openid groups")] {
        let settings = Settings::default().set("registration.policy", policy);
        let server = Server::start(settings.set("registration.initial_access_token_file", &path)).await;
        for (scope, registered) in
            [(json!("openid groups"), given), (Value::Null, "openid profile email address phone")]
        {
            let body = json!({ "redirect_uris": ["https://rp.example/cb"], "scope": scope });
            let url = server.endpoint("registration_endpoint");
            let answer = server.http().post(url).bearer_auth(token).json(&body).send().await.unwrap();
            assert_eq!(answer.status(), 201, "{policy}");
            assert_eq!(answer.json::<Value>().await.unwrap()["scope"], registered, "{policy}");
        }
    }
    std::fs::remove_file(file).unwrap();
}
