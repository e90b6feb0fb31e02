//! Userinfo (OIDC Core §5.3): what a scope tells, and to whom.

use serde_json::{Value, json};

use crate::support::{Answer, Server, client::Code, declared::SECRET, token};

/// OIDC Core §5.4: which claims each scope gives.
#[tokio::test]
async fn scopes_give_claims() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    for (scope, expected) in [
        ("openid", vec![]),
        (
            "openid profile",
            vec![
                "name",
                "given_name",
                "family_name",
                "middle_name",
                "nickname",
                "preferred_username",
                "profile",
                "picture",
                "website",
                "gender",
                "birthdate",
                "zoneinfo",
                "locale",
                "updated_at",
            ],
        ),
        ("openid email", vec!["email", "email_verified"]),
        ("openid address", vec!["address"]),
        ("openid phone", vec!["phone_number", "phone_number_verified"]),
    ] {
        let tokens = client.tokens(&agent, scope).await;
        let answer = client.userinfo(&tokens.access).await;
        assert_eq!(answer.header("cache-control"), "no-store");
        let claims = answer.ok();
        let mut names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected = [expected, vec!["sub"]].concat();
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected, "{scope}");
        assert_eq!(claims["sub"], server.user_id("alice").await);
        assert_eq!(claims["sub"], token::claims(&tokens.id)["sub"]);
    }
    let all = client.tokens(&agent, "openid profile email address phone").await;
    let claims = client.userinfo(&all.access).await.ok();
    assert_eq!((&claims["email_verified"], &claims["phone_number_verified"]), (&json!(true), &json!(false)));
    assert_eq!(claims["address"], json!({ "street_address": "Quay 1", "locality": "Bergen", "country": "NO" }));
    assert_eq!((&claims["updated_at"], &claims["birthdate"]), (&json!(1_700_000_000), &json!("1990-04-01")));
}

/// Somebody of whom no more is known than what they sign in with, and where to write to.
#[tokio::test]
async fn a_username_is_a_preferred_one() {
    let server = Server::usual().await;
    server.rows("UPDATE users SET claims = '{\"email\": \"a@example.com\"}' WHERE username = 'alice'").await;
    let client = server.client("lax");
    let scope = "openid profile email";
    let claims = client.userinfo(&client.tokens(&server.agent(), scope).await.access).await.ok();
    let sub = server.user_id("alice").await;
    let expected = json!({
        "sub": sub, "preferred_username": "alice", "email": "a@example.com", "email_verified": false,
    });
    assert_eq!(claims, expected);

    // In the ID token, too, when it is asked for there, and when it is renewed.
    let asked = json!({ "id_token": { "preferred_username": null, "email_verified": null } }).to_string();
    let request = client.request(scope).with("claims", &asked);
    let code = server.agent().walk(&request.url(), "alice").await.code();
    let tokens = client.redeem(&Code { code, verifier: request.verifier }).await.tokens();
    let refreshed = client.refresh(&tokens.refresh).await.tokens();
    for id_token in [&tokens.id, &refreshed.id] {
        let claims = token::claims(id_token);
        assert_eq!((&claims["preferred_username"], &claims["email_verified"]), (&json!("alice"), &json!(false)));
        assert_eq!(claims.get("email"), None);
    }
}

/// RFC 6750 §2: in the header, or in the body of a form; not in the address, not twice.
#[tokio::test]
async fn the_token_comes_by_header_or_form() {
    let server = Server::usual().await;
    let access = server.client("web").tokens(&server.agent(), "openid").await.access;
    let url = server.endpoint("userinfo_endpoint");
    let http = server.http();
    let form = [("access_token", access.as_str())];
    for good in [
        http.get(&url).bearer_auth(&access),
        http.get(&url).header("authorization", format!("bearer {access}")),
        http.post(&url).bearer_auth(&access),
        http.post(&url).form(&form),
    ] {
        Answer::of(good).await.ok();
    }
    let twice = Answer::of(http.post(&url).bearer_auth(&access).form(&form)).await;
    assert_eq!((twice.status, &twice.json()["error"]), (400, &Value::from("invalid_request")));
    for second in [format!("Bearer {access}"), "Basic eDp5".to_owned()] {
        let twice = Answer::of(http.get(&url).bearer_auth(&access).header("authorization", second)).await;
        assert_eq!((twice.status, &twice.json()["error"]), (400, &Value::from("invalid_request")));
    }
    for missing in [
        http.get(&url),
        http.get(format!("{url}?access_token={access}")),
        http.post(&url),
        http.get(&url).header("authorization", format!("Basic {access}")),
        http.get(&url).header("authorization", "Bearer"),
        http.post(&url).header("content-type", "application/json").body(format!("{{\"access_token\":\"{access}\"}}")),
    ] {
        let answer = Answer::of(missing).await;
        assert_eq!(answer.status, 401, "{answer:?}");
        // RFC 6750 §3.1: whoever brings nothing is told no error.
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Bearer") && !challenge.contains("error"), "{challenge}");
        assert_eq!(answer.json(), json!({}));
    }
    let put = Answer::of(http.put(&url).bearer_auth(&access)).await;
    assert_eq!((put.status, put.header("allow").contains("GET")), (405, true));
}

#[tokio::test]
async fn only_tokens_for_it_are_good() {
    let server = Server::usual().await;
    let web = server.client("web");
    let agent = server.agent();
    let tokens = web.tokens(&agent, "openid").await;
    let code = web.code(&agent, "openid").await.code;
    for wrong in ["nonsense", "mo_at_", &tokens.refresh, &tokens.id, &code, SECRET, &tokens.access[..60]] {
        web.userinfo(wrong).await.token_refused();
    }
    // RFC 6750 §3.1: the token is good, but not for this.
    let plain = web.tokens(&agent, "email").await;
    let answer = web.userinfo(&plain.access).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    let challenge = answer.header("www-authenticate");
    assert!(challenge.contains("error=\"insufficient_scope\""), "{challenge}");
}

/// What was asked for cannot be read any more: nothing is told, rather than something else.
#[tokio::test]
async fn a_stored_request_that_cannot_be_read_is_no_answer() {
    let server = Server::usual().await;
    let client = server.client("web");
    let access = client.tokens(&server.agent(), "openid").await.access;
    client.userinfo(&access).await.ok();
    server.rows("UPDATE grants SET claims = '{\"userinfo\": 1}'").await;
    let answer = client.userinfo(&access).await;
    assert_eq!(answer.status, 500, "{answer:?}");
    assert!(!answer.text.contains("sub"), "{answer:?}");
}
