//! What a person is called (OIDC Core §8): everywhere the same to one client, and to clients of different sectors names
//! that cannot be compared.

use mooring::{
    clients,
    oauth::{ClientMetadata, Error},
};
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

use crate::support::{
    ALICE, Client, Server, Settings,
    client::Code,
    declared::{BOB, PASSWORD, RESOURCE, SECRET},
    token,
};

/// Clients with pairwise subjects: two of one sector, one of another, and one whose sector is behind a URI.
fn clients() -> Settings {
    let client = |id: &str, redirect_uri: &str, more: &str| {
        format!(
            "[[client]]\nclient_id = \"{id}\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{redirect_uri}\"]\n\
             grant_types = [\"authorization_code\", \"refresh_token\"]\nsubject_type = \"pairwise\"\n\
             scope = \"openid profile email ships:read\"\n{more}\n"
        )
    };
    let reader = format!(
        "[[client]]\nclient_id = \"{RESOURCE}\"\nclient_secret = \"{SECRET}\"\n\
         grant_types = [\"client_credentials\"]\nscope = \"ships:read\"\n"
    );
    let all = [
        client("here", "https://here.example/cb", ""),
        client("here too", "https://here.example:8443/other", "access_token_format = \"jwt\""),
        client("there", "https://there.example/cb", ""),
        client("joined", "https://joined.example/cb", "sector_identifier_uri = \"https://here.example/sector.json\""),
        reader,
    ];
    Settings::default().declare(&all.concat())
}

fn client<'s>(server: &'s Server, id: &str) -> Client<'s> {
    let redirect_uri = match id {
        "here" => "https://here.example/cb",
        "here too" => "https://here.example:8443/other",
        "there" => "https://there.example/cb",
        _ => "https://joined.example/cb",
    };
    Client { redirect_uri: redirect_uri.to_owned(), ..server.client(id) }
}

fn sub(claims: &Value) -> String {
    claims["sub"].as_str().unwrap_or_else(|| panic!("no sub: {claims}")).to_owned()
}

/// The name of a person, the same wherever the client can read it.
async fn name(client: &Client<'_>, username: &str) -> String {
    let code = client.code_for(&client.server.agent(), username, "openid").await;
    let tokens = client.redeem(&code).await.tokens();
    let name = sub(&token::claims(&tokens.id));
    assert_eq!(sub(&client.userinfo(&tokens.access).await.ok()), name);
    assert_eq!(sub(&client.introspect(&tokens.access).await.ok()), name);
    assert_eq!(sub(&client.introspect(&tokens.refresh).await.ok()), name);
    if tokens.access.starts_with("ey") {
        assert_eq!(sub(&token::claims(&tokens.access)), name);
    }
    let refreshed = client.refresh(&tokens.refresh).await.tokens();
    assert_eq!(sub(&token::claims(&refreshed.id)), name);
    assert_eq!(sub(&client.userinfo(&refreshed.access).await.ok()), name);
    name
}

#[tokio::test]
async fn a_sector_knows_a_person_under_one_name_of_its_own() {
    let server = Server::start(clients()).await;
    let alice = name(&client(&server, "here"), ALICE).await;
    assert_eq!(name(&client(&server, "here too"), ALICE).await, alice);
    assert_eq!(name(&client(&server, "joined"), ALICE).await, alice);
    let there = name(&client(&server, "there"), ALICE).await;
    let bob = name(&client(&server, "here"), BOB).await;
    let public = name(&server.client("web"), ALICE).await;
    assert_eq!(public, server.user_id(ALICE).await);
    let names = [&alice, &there, &bob, &public];
    let different: std::collections::HashSet<_> = names.iter().collect();
    assert_eq!(different.len(), names.len(), "{names:?}");
    let stored = server.value("SELECT string_agg(t::text, ' ') FROM audit_events t").await;
    assert!(!stored.contains(&alice), "the name is derived, not kept");
}

/// Two clients meet at an API: it is told of each what that client knows, so nobody can put them together.
#[tokio::test]
async fn an_api_learns_no_more_than_the_token_s_client_knows() {
    let server = Server::start(clients()).await;
    let agent = server.agent();
    let (api, any) = (server.client(RESOURCE), server.client("api"));
    let mut seen = Vec::new();
    for id in ["here", "there"] {
        let client = client(&server, id);
        let tokens = client.tokens(&agent, "openid ships:read").await;
        let name = sub(&token::claims(&tokens.id));
        let answer = api.introspect(&tokens.access).await.ok();
        assert_eq!(sub(&answer), name);
        // What the token is, if the API reads it itself, says the same.
        assert_eq!(sub(&token::claims(&tokens.access)), name);
        let text = answer.to_string();
        assert!(!text.contains(ALICE) && !text.contains(&server.user_id(ALICE).await), "{text}");
        let own = client.introspect(&tokens.access).await.ok();
        assert!(own.get("username").is_none(), "a name to compare by is not given away beside: {own}");
        // Who may see every token is trusted with the person, too.
        for token in [&tokens.access, &tokens.refresh] {
            let answer = any.introspect(token).await.ok();
            assert_eq!((sub(&answer), &answer["username"]), (name.clone(), &json!(ALICE)));
        }
        seen.push(answer);
    }
    for member in ["sub", "sid", "jti"] {
        assert_ne!(seen[0][member], seen[1][member]);
    }
    assert_ne!(seen[0]["session"]["id"], seen[1]["session"]["id"]);
}

/// OIDC Core §3.1.2.1 and §5.5.1: a hint, and a sub asked for, are in the client's own words.
#[tokio::test]
async fn a_hint_names_the_person_as_the_client_knows_them() {
    let server = Server::start(clients()).await;
    for id in ["here", "web"] {
        let client = client(&server, id);
        let client = if id == "web" { server.client("web") } else { client };
        let agent = server.agent();
        let alice = client.tokens(&agent, "openid").await.id;
        let bob_s = server.agent();
        let code = client.code_for(&bob_s, BOB, "openid").await;
        let bob = client.redeem(&code).await.tokens().id;
        let asking = |name: &str| json!({ "id_token": { "sub": { "value": name } } }).to_string();
        let silent =
            |parameter: &str, value: &str| client.request("openid").with("prompt", "none").with(parameter, value).url();
        let alice_s = sub(&token::claims(&alice));
        agent.step(&silent("id_token_hint", &alice)).await.code();
        agent.step(&silent("claims", &asking(&alice_s))).await.code();
        for (parameter, value) in [
            ("id_token_hint", bob.as_str()),
            ("claims", &asking(&sub(&token::claims(&bob)))),
            ("claims", &asking("nobody")),
            ("claims", &asking(&alice_s.to_uppercase())),
        ] {
            assert_eq!(agent.step(&silent(parameter, value)).await.error(), "login_required", "{id}: {value}");
        }
        // The two must not name different persons, in whichever order.
        let both = client.request("openid").with("prompt", "none").with("id_token_hint", &alice);
        let both = both.with("claims", &asking(&sub(&token::claims(&bob))));
        assert_eq!(agent.step(&both.url()).await.error(), "login_required");
        let twice =
            json!({ "id_token": { "sub": { "value": "nobody" } }, "userinfo": { "sub": { "value": alice_s } } });
        assert_eq!(agent.step(&silent("claims", &twice.to_string())).await.error(), "login_required");

        // Somebody else has to sign in, and then it goes on.
        let request = client.request("openid").with("id_token_hint", &bob);
        let page = agent.open(&request.url()).await;
        assert!(page.asks_for_password(), "{}", page.body);
        let page = agent.sign_in(&page, BOB, PASSWORD).await;
        let page = if page.offers("allow") { agent.decide(&page, "allow").await } else { page };
        let code = Code { code: page.code(), verifier: request.verifier };
        assert_eq!(sub(&token::claims(&client.redeem(&code).await.tokens().id)), sub(&token::claims(&bob)));
    }
    // The id itself means nothing to a client that never learned it.
    let here = client(&server, "here");
    let agent = server.agent();
    here.code(&agent, "openid").await;
    let id = json!({ "id_token": { "sub": { "value": server.user_id(ALICE).await } } });
    let request = here.request("openid").with("prompt", "none").with("claims", &id.to_string());
    assert_eq!(agent.step(&request.url()).await.error(), "login_required");
    // Nor does another client's token serve as a hint.
    let others = server.client("web").tokens(&agent, "openid").await.id;
    let request = here.request("openid").with("prompt", "none").with("id_token_hint", &others);
    assert_eq!(agent.step(&request.url()).await.error(), "invalid_request");
}

#[tokio::test]
async fn both_kinds_are_announced() {
    let server = Server::usual().await;
    let url = server.at("/.well-known/openid-configuration");
    let document: Value = server.http().get(url).send().await.unwrap().json().await.unwrap();
    assert_eq!(document["subject_types_supported"], json!(["public", "pairwise"]));
}

/// What registration says to a client whose sector is behind `uri` (OIDC Registration §5).
async fn checked(server: &Server, uri: &str, redirect_uris: &[&str]) -> Result<(), Error> {
    let metadata = ClientMetadata::from_json(&json!({
        "redirect_uris": redirect_uris, "subject_type": "pairwise", "sector_identifier_uri": uri,
    }))?;
    clients::check_sector(&server.app.outbound, &metadata).await
}

#[tokio::test]
async fn the_owner_of_a_sector_says_who_is_in_it() {
    let home = MockServer::start().await;
    let (ours, other) = ("https://a.example/cb", "https://b.example/cb");
    let long: Vec<String> = (0..9000).map(|n| format!("https://{n}.example")).chain([ours.to_owned()]).collect();
    let moved = ResponseTemplate::new(302).insert_header("location", format!("{}/both", home.uri()));
    for (at, answer) in [
        ("/both", ResponseTemplate::new(200).set_body_json(json!([ours, other]))),
        ("/one", ResponseTemplate::new(200).set_body_json(json!([ours]))),
        ("/none", ResponseTemplate::new(200).set_body_json(json!([]))),
        ("/object", ResponseTemplate::new(200).set_body_json(json!({ "redirect_uris": [ours, other] }))),
        ("/mixed", ResponseTemplate::new(200).set_body_json(json!([ours, other, 7]))),
        ("/text", ResponseTemplate::new(200).set_body_string(ours)),
        ("/gone", ResponseTemplate::new(404).set_body_json(json!([ours, other]))),
        ("/long", ResponseTemplate::new(200).set_body_json(long)),
        ("/moved", moved),
    ] {
        Mock::given(path(at)).respond_with(answer).mount(&home).await;
    }
    let server = Server::start(Settings::default().set("outbound.allow", "127.0.0.1/32")).await;
    let at = |path: &str| format!("{}{path}", home.uri());
    checked(&server, &at("/both"), &[ours, other]).await.unwrap();
    checked(&server, &at("/one"), &[ours]).await.unwrap();
    for (path, uris) in [
        ("/one", vec![ours, other]),
        ("/one", vec!["https://a.example/cb/"]),
        ("/none", vec![ours]),
        ("/object", vec![ours]),
        ("/mixed", vec![ours]),
        ("/text", vec![ours]),
        ("/gone", vec![ours]),
        ("/long", vec![ours]),
        ("/moved", vec![ours]),
    ] {
        let error = checked(&server, &at(path), &uris).await.unwrap_err();
        assert_eq!(error.code.as_str(), "invalid_client_metadata", "{path}");
        assert!(error.description.starts_with("sector_identifier_uri: "), "{}", error.description);
    }

    // Where we may not go nothing is asked, and the caller does not learn why.
    let before = home.received_requests().await.unwrap().len();
    let server = Server::usual().await;
    let error = checked(&server, &at("/both"), &[ours]).await.unwrap_err();
    assert_eq!(error.description, "sector_identifier_uri: the document could not be fetched");
    assert_eq!(home.received_requests().await.unwrap().len(), before);
    for uri in ["http://a.example/x", "https://a.example/x#y", "ftp://a.example/x", "a.example"] {
        assert_eq!(checked(&server, uri, &[ours]).await.unwrap_err().code.as_str(), "invalid_client_metadata");
    }
}
