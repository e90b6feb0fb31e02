//! Which clients find the claims of scopes in their ID tokens, beside userinfo.

use serde_json::{Value, json};

use crate::support::{
    ALICE, Answer, Client, Server, Settings,
    client::{Code, Method, Tokens},
    declared::{REDIRECT_URI, SECRET},
    token,
};

const MIGRATION: &str = include_str!("../../migrations/2026-12-01-000100_id_token_claims/up.sql");

async fn tokens(client: &Client<'_>, scope: &str, claims: &Value) -> Tokens {
    let request = client.request(scope).with("claims", &claims.to_string());
    let code = client.server.agent().walk(&request.url(), ALICE).await.code();
    client.redeem(&Code { code, verifier: request.verifier }).await.tokens()
}

/// The claims about alice in the ID token.
fn about_her(tokens: &Tokens) -> Value {
    let of_the_token = ["iss", "sub", "aud", "azp", "exp", "iat", "sid", "acr", "amr", "at_hash", "auth_time", "nonce"];
    let Value::Object(mut claims) = token::claims(&tokens.id) else { panic!("claims") };
    claims.retain(|name, _| !of_the_token.contains(&name.as_str()));
    Value::Object(claims)
}

#[tokio::test]
async fn an_operators_client_reads_people_in_the_id_token() {
    let server = Server::usual().await;
    let email = json!({ "email": "alice@example.com", "email_verified": true });
    for id in ["web", "spa", "jwt", "es256", "pkj"] {
        let client = server.client(id);
        let tokens = tokens(&client, "openid email", &json!({})).await;
        token::verify(&server, &tokens.id).await;
        assert_eq!(about_her(&tokens), email, "{id}");
        assert_eq!(about_her(&client.refresh(&tokens.refresh).await.tokens()), email, "{id}");
    }
    let web = server.client("web");
    let all = tokens(&web, "openid profile email address phone", &json!({})).await;
    let mut userinfo = web.userinfo(&all.access).await.ok();
    userinfo.as_object_mut().unwrap().remove("sub");
    assert_eq!(about_her(&all), userinfo, "the two say the same");
    // The claims parameter adds to it; a narrowed refresh takes away.
    let named = json!({ "id_token": { "nickname": null, "phone_number": { "value": "another" } } });
    let tokens = tokens(&web, "openid email", &named).await;
    let with = json!({ "email": "alice@example.com", "email_verified": true, "nickname": "Al" });
    assert_eq!(about_her(&tokens), with);
    let form = [("grant_type", "refresh_token"), ("refresh_token", &tokens.refresh), ("scope", "openid")];
    assert_eq!(about_her(&web.token(&form).await.tokens()), json!({ "nickname": "Al" }));
    // For an API alone the ID token is as ever.
    let request = web.request("openid email ships:read").with("resource", "https://api.example");
    let code = server.agent().walk(&request.url(), ALICE).await.code();
    let strict = web.redeem(&Code { code, verifier: request.verifier }).await.tokens();
    assert_eq!(about_her(&strict), email);
}

#[tokio::test]
async fn a_client_that_is_set_so_reads_them_at_userinfo_only() {
    let server = Server::usual().await;
    let lax = server.client("lax");
    assert_eq!(about_her(&tokens(&lax, "openid profile email", &json!({})).await), json!({}));
    let named = json!({ "id_token": { "nickname": null } });
    let tokens = tokens(&lax, "openid profile email", &named).await;
    assert_eq!(about_her(&tokens), json!({ "nickname": "Al" }));
    assert_eq!(lax.userinfo(&tokens.access).await.ok()["email"], "alice@example.com");
}

async fn register(server: &Server, changes: &Value) -> Value {
    let mut body = json!({ "redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none" });
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    let answer = Answer::of(server.http().post(server.endpoint("registration_endpoint")).json(&body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

#[tokio::test]
async fn a_client_that_registers_itself_asks_for_them() {
    let server = Server::start(Settings::default().set("registration.policy", "open")).await;
    let email = json!({ "email": "alice@example.com", "email_verified": true });
    for (changes, given, expected) in [
        (json!({}), false, json!({})),
        (json!({ "id_token_claims": false }), false, json!({})),
        (json!({ "id_token_claims": true }), true, email.clone()),
    ] {
        let registered = register(&server, &changes).await;
        assert_eq!(registered["id_token_claims"], given, "{registered}");
        let id = registered["client_id"].as_str().unwrap().to_owned();
        let client = Client { id: id.clone(), method: Method::None, ..server.client("spa") };
        assert_eq!(about_her(&tokens(&client, "openid email", &json!({})).await), expected);
        // A change is a registration anew (RFC 7592 §2.2).
        let mut body =
            json!({ "client_id": id, "redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none" });
        body["id_token_claims"] = registered["id_token_claims"].clone();
        let uri = registered["registration_client_uri"].as_str().unwrap();
        let bearer = registered["registration_access_token"].as_str().unwrap();
        let answer = Answer::of(server.http().put(uri).bearer_auth(bearer).json(&body)).await;
        assert_eq!(answer.ok()["id_token_claims"], given);
    }
}

/// Clients of before keep what they were promised: an operator's get the default, the others stay without.
#[tokio::test]
async fn clients_of_before_have_the_default_of_their_kind() {
    let server = Server::start(Settings::default().set("registration.policy", "open")).await;
    let asked = register(&server, &json!({ "id_token_claims": true })).await;
    let silent = register(&server, &json!({})).await;
    let forget = format!(
        "UPDATE clients SET metadata = metadata - 'id_token_claims' WHERE client_id IN ('web', '{}')",
        silent["client_id"].as_str().unwrap()
    );
    server.rows(&forget).await;
    server.rows(MIGRATION).await;
    for (id, has) in
        [("web", true), (silent["client_id"].as_str().unwrap(), false), (asked["client_id"].as_str().unwrap(), true)]
    {
        let client = if id == "web" {
            server.client(id)
        } else {
            Client { id: id.to_owned(), method: Method::None, ..server.client("spa") }
        };
        let tokens = tokens(&client, "openid email", &json!({})).await;
        assert_eq!(about_her(&tokens).get("email").is_some(), has, "{id}");
    }
}

/// What was taken out of a client's registration is released no more, whoever asked for it by name when it might.
#[tokio::test]
async fn a_narrower_registration_narrows_the_claims_of_a_grant() {
    let wide = format!(
        "[[client]]\nclient_id = \"wide\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
         grant_types = [\"authorization_code\", \"refresh_token\"]\nscope = \"openid email groups offline_access\"\n"
    );
    let server = Server::start(Settings::default().declare(&wide)).await;
    let client = server.client("wide");
    let both = json!({ "email": null, "groups": null });
    let by_name = json!({ "id_token": both.clone(), "userinfo": both });
    let mut grants = Vec::new();
    for (scope, claims) in [("openid offline_access", by_name), ("openid email groups offline_access", json!({}))] {
        let tokens = tokens(&client, scope, &claims).await;
        for said in [about_her(&tokens), client.userinfo(&tokens.access).await.ok()] {
            assert!(said["email"] == "alice@example.com" && said["groups"] == json!([]), "{said}");
        }
        let told = client.introspect(&tokens.access).await.ok();
        assert_eq!(told.get("groups").is_some(), scope.contains("groups"), "{told}");
        grants.push(tokens);
    }
    let narrow = server.replica(Settings::default().declare(&wide.replace(" email groups", ""))).await;
    let client = narrow.client("wide");
    for before in grants {
        let after = client.refresh(&before.refresh).await.tokens();
        assert_eq!(after.all["scope"], "openid offline_access");
        for access in [&before.access, &after.access] {
            let told = client.userinfo(access).await.ok();
            assert_eq!(told.as_object().unwrap().keys().collect::<Vec<_>>(), ["sub"], "{told}");
            assert_eq!(client.introspect(access).await.ok().get("groups"), None);
        }
        assert_eq!(about_her(&after), json!({}));
    }
}

/// The same for a client that registered itself, and for a code in flight.
#[tokio::test]
async fn a_client_that_registers_less_is_given_less() {
    let server = Server::start(Settings::default().set("registration.policy", "open")).await;
    let wide = json!({ "scope": "openid email", "grant_types": ["authorization_code", "refresh_token"] });
    let registered = register(&server, &wide).await;
    let id = registered["client_id"].as_str().unwrap().to_owned();
    let client = Client { id: id.clone(), method: Method::None, ..server.client("spa") };
    let claims = json!({ "id_token": { "email": null }, "userinfo": { "email": null } });
    let before = tokens(&client, "openid", &claims).await;
    assert_eq!(about_her(&before), json!({ "email": "alice@example.com" }));
    let request = client.request("openid").with("claims", &claims.to_string());
    let code = server.agent().walk(&request.url(), ALICE).await.code();
    let mut body = json!({ "client_id": id, "redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "none" });
    for (name, value) in [("scope", json!("openid")), ("grant_types", wide["grant_types"].clone())] {
        body[name] = value;
    }
    let uri = registered["registration_client_uri"].as_str().unwrap();
    let bearer = registered["registration_access_token"].as_str().unwrap();
    Answer::of(server.http().put(uri).bearer_auth(bearer).json(&body)).await.ok();
    let redeemed = client.redeem(&Code { code, verifier: request.verifier }).await.tokens();
    let refreshed = client.refresh(&before.refresh).await.tokens();
    for after in [redeemed, refreshed] {
        assert_eq!(about_her(&after), json!({}));
        assert_eq!(client.userinfo(&after.access).await.ok().get("email"), None);
    }
}
