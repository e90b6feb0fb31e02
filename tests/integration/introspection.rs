//! Introspection (RFC 7662): who may see whose tokens, and what is said of them.

use chrono::TimeDelta;
use serde_json::json;

use crate::support::{ALICE, Answer, Method, Server, Settings, client::Code, declared::RESOURCE, token};

#[tokio::test]
async fn a_client_sees_its_own_tokens() {
    let server = Server::usual().await;
    for id in ["web", "jwt", "post", "pkj"] {
        let client = server.client(id);
        let tokens = client.tokens(&server.agent(), "openid email").await;
        let answer = client.introspect(&tokens.access).await;
        assert_eq!(answer.header("cache-control"), "no-store");
        let seen = answer.ok();
        let now = server.clock.now().timestamp();
        assert_eq!(
            (&seen["active"], &seen["token_type"], &seen["client_id"]),
            (&json!(true), &json!("Bearer"), &json!(id))
        );
        assert_eq!(
            (&seen["scope"], &seen["username"], &seen["iss"]),
            (&json!("openid email"), &json!(ALICE), &json!(server.issuer))
        );
        assert_eq!((&seen["sub"], &seen["aud"]), (&json!(server.user_id(ALICE).await), &json!(server.issuer)));
        assert_eq!((&seen["acr"], &seen["amr"]), (&json!("urn:mooring:acr:pwd"), &json!(["pwd"])));
        assert_eq!(seen["sid"], token::claims(&tokens.id)["sid"]);
        let (issued, expires) = (seen["iat"].as_i64().unwrap(), seen["exp"].as_i64().unwrap());
        assert!((now - issued).abs() < 10 && (expires - issued - 300).abs() <= 1, "{seen}");
        let session = &seen["session"];
        assert_eq!(
            (&session["kind"], &session["id"]),
            (&json!("user"), &seen["sid"]),
            "another name than its own would let clients compare"
        );
        assert!(!session["started_at"].is_null() && !session["expires_at"].is_null());

        let refresh = client.introspect(&tokens.refresh).await.ok();
        assert_eq!(
            (&refresh["active"], &refresh["sid"], &refresh["client_id"]),
            (&json!(true), &seen["sid"], &json!(id))
        );
        let next = client.refresh(&tokens.refresh).await.tokens();
        assert!(client.is_active(&next.refresh).await);
    }
}

#[tokio::test]
async fn others_see_nothing() {
    let server = Server::usual().await;
    let tokens = server.client("web").tokens(&server.agent(), "openid").await;
    let jwt = server.client("jwt").tokens(&server.agent(), "openid").await;
    for id in ["web2", "post", "pkj", "machine"] {
        for token in [&tokens.access, &tokens.refresh, &jwt.access] {
            assert!(!server.client(id).is_active(token).await, "{id}");
        }
    }
    // Only a client that is registered for it sees any.
    let api = server.client("api");
    for token in [&tokens.access, &tokens.refresh, &jwt.access] {
        assert!(api.is_active(token).await);
    }
    let session = api.introspect(&tokens.access).await.ok()["session"]["id"].clone();
    let known = format!("SELECT count(*) FROM sessions WHERE id = '{}'", session.as_str().unwrap());
    assert_eq!(server.value(&known).await, "1", "the session's own id is for those who may see every token");
}

#[tokio::test]
async fn whom_a_token_is_meant_for_may_see_it() {
    let declared = format!(
        "[[client]]\nclient_id = \"{RESOURCE}\"\nclient_secret = \"{}\"\ngrant_types = [\"client_credentials\"]\nscope = \"ships:read\"\n",
        crate::support::declared::SECRET
    );
    let server = Server::start(Settings::default().declare(&declared)).await;
    let resource_server = server.client(RESOURCE);
    let tokens = server.client("web").tokens(&server.agent(), "openid ships:read").await;
    let seen = resource_server.introspect(&tokens.access).await.ok();
    let aud = json!([RESOURCE, server.issuer]);
    assert_eq!((&seen["active"], &seen["aud"], &seen["client_id"]), (&json!(true), &aud, &json!("web")));
    assert_eq!(seen["sid"], token::claims(&tokens.id)["sid"], "whoever asks, the sid is that of the token's client");
    let plain = server.client("web").tokens(&server.agent(), "openid").await;
    assert!(!resource_server.is_active(&plain.access).await);
}

/// A client id that is a URI breaks Basic authentication in tools that do not encode its colon.
#[tokio::test]
async fn a_resource_names_the_client_that_introspects_for_it() {
    let declared = |id: &str, more: &str| {
        format!(
            "[[client]]\nclient_id = \"{id}\"\nclient_secret = \"{}\"\ngrant_types = [\"client_credentials\"]\n\
             scope = \"\"\n{more}\n",
            crate::support::declared::SECRET
        )
    };
    let tables = [
        declared("ships-api", ""),
        declared("other-api", ""),
        "[[resource]]\nidentifier = \"https://docks.example/\"\nclient = \"ships-api\"\n".to_owned(),
        "[[resource]]\nidentifier = \"urn:other\"\nclient = \"other-api\"\n".to_owned(),
        "[[resource]]\nidentifier = \"urn:nobody\"\nclient = \"not-there\"\n".to_owned(),
    ];
    let server = Server::start(Settings::default().declare(&tables.concat())).await;
    let (api, other, web) = (server.client("ships-api"), server.client("other-api"), server.client("web"));
    let agent = server.agent();
    for (resource, may) in [("https://docks.example", true), ("urn:other", false), ("urn:nobody", false)] {
        let request = web.request("openid").with("resource", resource);
        let code = agent.walk(&request.url(), ALICE).await.code();
        let tokens = web.redeem(&Code { code, verifier: request.verifier }).await.tokens();
        assert_eq!(api.is_active(&tokens.access).await, may, "{resource}");
        assert_eq!(other.is_active(&tokens.access).await, resource == "urn:other");
        assert!(!api.is_active(&tokens.refresh).await, "a refresh token is meant for no API");
        // What it may introspect it may report.
        let report = api.report(&json!({ "token": tokens.access })).await;
        assert_eq!(report.status, if may { 202 } else { 403 }, "{report:?}");
    }
    let plain = web.tokens(&agent, "openid").await;
    assert!(!api.is_active(&plain.access).await && !other.is_active(&plain.access).await);
}

#[tokio::test]
async fn whoever_asks_says_who_they_are() {
    let server = Server::usual().await;
    let web = server.client("web");
    let tokens = web.tokens(&server.agent(), "openid").await;
    let own = server.client("spa").tokens(&server.agent(), "openid").await;
    server.client("spa").introspect(&own.access).await.refused("invalid_client");
    web.by(Method::None).introspect(&tokens.access).await.refused("invalid_client");
    web.by(Method::Basic("x".repeat(40))).introspect(&tokens.access).await.refused("invalid_client");
    let anonymous = server.http().post(server.endpoint("introspection_endpoint")).form(&[("token", &tokens.access)]);
    Answer::of(anonymous).await.refused("invalid_client");
    let bearer = server.http().post(server.endpoint("introspection_endpoint")).bearer_auth(&tokens.access);
    Answer::of(bearer.form(&[("token", &tokens.access)])).await.refused("invalid_client");
    web.call("introspection_endpoint", &[]).await.refused("invalid_request");
    web.call("introspection_endpoint", &[("token", "a"), ("token", "b")]).await.refused("invalid_request");
}

#[tokio::test]
async fn what_is_no_live_token_is_inactive() {
    let server = Server::usual().await;
    for id in ["web", "jwt"] {
        let client = server.client(id);
        let agent = server.agent();
        let tokens = client.tokens(&agent, "openid").await;
        let code = client.code(&agent, "openid").await;
        let cut = &tokens.access[..tokens.access.len() - 3];
        for wrong in ["nonsense", "mo_at_", "mo_rt_x", cut, &tokens.id, &code.code, "a.b.c", &"x".repeat(5000)] {
            assert!(!client.is_active(wrong).await, "{id}: {wrong}");
        }
        // The hint helps nobody to anything (RFC 7662 §2.1).
        for hint in ["access_token", "refresh_token", "unheard-of"] {
            let answer =
                client.call("introspection_endpoint", &[("token", &tokens.access), ("token_type_hint", hint)]).await;
            assert_eq!(answer.ok()["active"], true, "{hint}");
        }
        server.advance(TimeDelta::seconds(299)).await;
        assert!(client.is_active(&tokens.access).await);
        server.advance(TimeDelta::seconds(2)).await;
        assert!(!client.is_active(&tokens.access).await);
        client.userinfo(&tokens.access).await.token_refused();
        client.refresh(&tokens.refresh).await.tokens();
    }
}

/// A JWT is only as good as its row, and only if it is ours and of this kind.
#[tokio::test]
async fn a_jwt_is_looked_up_like_any_other() {
    let server = Server::usual().await;
    let client = server.client("jwt");
    let tokens = client.tokens(&server.agent(), "openid").await;
    let claims = token::claims(&tokens.access);
    let (stranger, _) = mooring::jose::SigningKey::generate(mooring::jose::Algorithm::Rs256).unwrap();
    let forged = stranger.sign("at+jwt", &claims).unwrap();
    let unsigned = format!(
        "{}.{}.",
        mooring::jose::base64url(br#"{"alg":"none","typ":"at+jwt"}"#),
        tokens.access.split('.').nth(1).unwrap()
    );
    for wrong in [&forged, &unsigned] {
        assert!(!client.is_active(wrong).await);
        client.userinfo(wrong).await.token_refused();
    }
    // The id of an opaque token's row in a JWT's place, and the other way round.
    let opaque = server.client("web").tokens(&server.agent(), "openid").await;
    assert!(server.client("web").is_active(&opaque.access).await);
    server.rows("DELETE FROM access_tokens WHERE secret_hash IS NULL").await;
    assert!(!client.is_active(&tokens.access).await, "without its row it is nothing");
    client.userinfo(&tokens.access).await.token_refused();
}
