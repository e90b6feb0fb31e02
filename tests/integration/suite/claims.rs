//! What is told of a person: by scope, by name, and how sure we are.

use serde_json::{Value, json};

use super::{flow, party, request};
use crate::support::{Server, token};

/// A claim, and whether its value is of the right type.
type Expected = (&'static str, fn(&Value) -> bool);

/// OIDC Core §5.1: each claim of a scope is there, in its own type, and not in the ID token.
async fn gives(scope: &str, expected: &[Expected]) {
    let server = Server::usual().await;
    let client = party(&server);
    let tokens = flow(&client, &server.agent(), &request(&client, scope)).await;
    let told = client.userinfo(&tokens.access).await.ok();
    assert_eq!(told["sub"], token::claims(&tokens.id)["sub"]);
    for (name, is_right) in expected {
        assert!(is_right(&told[name]), "{name}: {told}");
    }
    assert_eq!(told.as_object().unwrap().len(), expected.len() + 1, "{told}");
}

fn text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.trim().is_empty())
}

const PROFILE: [Expected; 14] = [
    ("name", text),
    ("given_name", text),
    ("family_name", text),
    ("middle_name", text),
    ("nickname", text),
    ("preferred_username", text),
    ("profile", text),
    ("picture", text),
    ("website", text),
    ("gender", text),
    ("birthdate", text),
    ("zoneinfo", text),
    ("locale", text),
    ("updated_at", Value::is_u64),
];
const EMAIL: [Expected; 2] = [("email", text), ("email_verified", Value::is_boolean)];
const ADDRESS: [Expected; 1] = [("address", |value| value.as_object().is_some_and(|parts| parts.values().all(text)))];
const PHONE: [Expected; 2] = [("phone_number", text), ("phone_number_verified", Value::is_boolean)];

#[tokio::test]
async fn oidcc_scope_profile() {
    gives("openid profile", &PROFILE).await;
}

#[tokio::test]
async fn oidcc_scope_email() {
    gives("openid email", &EMAIL).await;
}

#[tokio::test]
async fn oidcc_scope_address() {
    gives("openid address", &ADDRESS).await;
}

#[tokio::test]
async fn oidcc_scope_phone() {
    gives("openid phone", &PHONE).await;
}

#[tokio::test]
async fn oidcc_scope_all() {
    let all = [&PROFILE[..], &EMAIL, &ADDRESS, &PHONE].concat();
    gives("openid address email phone profile", &all).await;
}

#[tokio::test]
async fn oidcc_claims_essential() {
    let server = Server::usual().await;
    let client = party(&server);
    let claims = json!({ "userinfo": { "name": { "essential": true } } }).to_string();
    let tokens = flow(&client, &server.agent(), &request(&client, "openid").with("claims", &claims)).await;
    let told = client.userinfo(&tokens.access).await.ok();
    assert_eq!(told["name"], "Alice Example");
    assert!(token::claims(&tokens.id).get("name").is_none());
}

#[tokio::test]
async fn oidcc_ensure_request_with_acr_values_succeeds() {
    let server = Server::usual().await;
    let client = party(&server);
    let discovered = server.http().get(server.at("/.well-known/openid-configuration")).send().await.unwrap();
    let document: Value = discovered.json().await.unwrap();
    let supported: Vec<&str> =
        document["acr_values_supported"].as_array().unwrap().iter().map(|value| value.as_str().unwrap()).collect();
    let tokens =
        flow(&client, &server.agent(), &request(&client, "openid").with("acr_values", &supported.join(" "))).await;
    let acr = token::claims(&tokens.id)["acr"].clone();
    assert!(supported.contains(&acr.as_str().unwrap()), "{acr}");
    // And what nobody here has is no more than a wish.
    flow(&client, &server.agent(), &request(&client, "openid").with("acr_values", "1 2")).await;
}

/// OIDC Core §5.5.1 beyond the suite: a `sub` with values is a condition, in either member and in every spelling.
#[tokio::test]
async fn a_sub_asked_for_by_value_is_a_condition() {
    let server = Server::usual().await;
    let client = party(&server);
    let agent = server.agent();
    let tokens = flow(&client, &agent, &request(&client, "openid")).await;
    let (alice, bob) = (server.user_id("alice").await, server.user_id("bob").await);
    let silent = request(&client, "openid").with("prompt", "none");
    let with = |claims: &Value| silent.clone().with("claims", &claims.to_string());
    for good in [
        json!({ "id_token": { "sub": { "value": alice } } }),
        json!({ "userinfo": { "sub": { "value": alice } } }),
        json!({ "id_token": { "sub": { "values": [bob, alice] } } }),
        json!({ "id_token": { "sub": { "values": [bob, alice] } }, "userinfo": { "sub": { "values": [alice, 7] } } }),
        json!({ "id_token": { "sub": null }, "userinfo": { "sub": { "essential": true } } }),
    ] {
        agent.step(&with(&good).url()).await.code();
    }
    for bad in [
        json!({ "id_token": { "sub": { "value": bob } } }),
        json!({ "userinfo": { "sub": { "value": bob } } }),
        json!({ "id_token": { "sub": { "values": [bob] } } }),
        json!({ "id_token": { "sub": { "values": [] } } }),
        json!({ "id_token": { "sub": { "value": 7 } } }),
        json!({ "id_token": { "sub": { "value": alice, "values": [bob] } } }),
        json!({ "id_token": { "sub": { "value": alice } }, "userinfo": { "sub": { "value": bob } } }),
        json!({ "id_token": { "sub": { "value": alice.to_uppercase() } } }),
    ] {
        assert_eq!(agent.step(&with(&bad).url()).await.error(), "login_required", "{bad}");
        // The hint says otherwise; and both must hold.
        let hinted = with(&bad).with("id_token_hint", &tokens.id);
        assert_eq!(agent.step(&hinted.url()).await.error(), "login_required", "{bad}");
    }
}

/// An essential `acr` is met or refused (§5.5.1.1); asked for otherwise it is a wish.
#[tokio::test]
async fn an_essential_acr_is_met_or_refused() {
    let server = Server::usual().await;
    let client = party(&server);
    let agent = server.agent();
    flow(&client, &agent, &request(&client, "openid")).await;
    let pwd = "urn:mooring:acr:pwd";
    let asking = |acr: Value| {
        let claims = json!({ "id_token": { "acr": acr } }).to_string();
        request(&client, "openid").with("prompt", "none").with("claims", &claims)
    };
    for good in [
        json!({ "essential": true }),
        json!({ "essential": true, "value": pwd }),
        json!({ "essential": true, "values": ["phr", pwd] }),
        json!({ "values": ["phr"] }),
        json!({ "value": "unheard-of" }),
        json!(null),
    ] {
        let asked = asking(good);
        super::finish(&client, &asked, &agent.step(&asked.url()).await).await;
    }
    // Who has no passkey cannot; of a stranger that is not known yet.
    for bad in
        [json!({ "essential": true, "value": "phr" }), json!({ "essential": true, "values": ["phr", "unheard-of"] })]
    {
        assert_eq!(agent.step(&asking(bad.clone()).url()).await.error(), "unmet_authentication_requirements", "{bad}");
        assert_eq!(server.agent().step(&asking(bad).url()).await.error(), "login_required");
    }
    for bad in [
        json!({ "essential": true, "values": [] }),
        json!({ "essential": true, "values": [1] }),
        json!({ "essential": true, "value": pwd, "values": ["phr"] }),
    ] {
        for browser in [agent.clone(), server.agent()] {
            let told = browser.step(&asking(bad.clone()).url()).await.error();
            assert_eq!(told, "unmet_authentication_requirements", "{bad}");
        }
    }
}

/// By name in either member, by language where there is one, and only as far as the client may ask.
#[tokio::test]
async fn claims_are_given_where_they_were_asked_for() {
    let server = Server::start(crate::support::Settings::default().declare(
        "[[user]]\nusername = \"kari\"\npassword = \"correct horse battery staple\"\nname = \"Kari\"\n\"name#ja-Kana-JP\" = \"カリ\"\n",
    ))
    .await;
    let client = party(&server);
    let agent = server.agent();
    let claims = json!({
        "id_token": { "name": { "essential": true }, "name#ja-Kana-JP": null, "email": { "value": "another@example.com" } },
        "userinfo": { "name#ja-Kana-JP": null, "http://example.info/claims/groups": null },
        "elsewhere": { "name": null },
    });
    let asked = request(&client, "openid").with("claims", &claims.to_string());
    let page = agent.open(&asked.url()).await;
    let page = agent.sign_in(&page, "kari", crate::support::PASSWORD).await;
    assert!(page.body.contains("name and profile"), "the person is asked: {}", page.body);
    let code = agent.decide(&page, "allow").await.code();
    let tokens = super::redeem(&client, &code).await.tokens();
    let told = token::claims(&tokens.id);
    assert_eq!((&told["name"], &told["name#ja-Kana-JP"]), (&json!("Kari"), &json!("カリ")));
    assert!(told.get("email").is_none());
    let told = client.userinfo(&tokens.access).await.ok();
    assert_eq!((told.get("name"), &told["name#ja-Kana-JP"]), (None, &json!("カリ")));
}
