//! How clients show that they are themselves: one mechanism, the registered one, and never twice the same assertion.

use chrono::TimeDelta;
use futures_util::future::join_all;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use mooring::jose;
use serde_json::{Value, json};

use crate::support::{
    Answer, Client, Method, Server, Settings,
    client::basic,
    declared::{CLIENT_KEY, REDIRECT_URI, SECRET},
};

/// The request of a machine, or what else proves that the client was believed.
async fn call(client: &Client<'_>, authorization: Option<String>, more: &[(&str, &str)]) -> Answer {
    let mut form = vec![("grant_type", "refresh_token"), ("refresh_token", "nobody's")];
    form.extend_from_slice(more);
    let request = client.server.http().post(client.server.endpoint("token_endpoint")).form(&form);
    let request = match authorization {
        Some(authorization) => request.header("authorization", authorization),
        None => request,
    };
    Answer::of(request).await
}

#[tokio::test]
async fn each_client_by_its_own_mechanism() {
    let server = Server::usual().await;
    let (web, post, spa, pkj) =
        (server.client("web"), server.client("post"), server.client("spa"), server.client("pkj"));
    for client in [&web, &post, &spa, &pkj] {
        // Believed, and then refused for the token.
        client.refresh("nobody's").await.refused("invalid_grant");
    }
    let secret = || SECRET.to_owned();
    // The right secret by the wrong method, for what would be good.
    web.by(Method::Post(secret())).revoke("x").await.refused("invalid_client");
    post.by(Method::Basic(secret())).revoke("x").await.refused("invalid_client");
    for wrong in [
        web.by(Method::None),
        web.by(Method::Assertion),
        web.by(Method::Basic("not-the-secret-of-this-client-at-all".into())),
        web.by(Method::Basic(String::new())),
        post.by(Method::None),
        post.by(Method::Post("not-the-secret-of-this-client-at-all".into())),
        spa.by(Method::Basic(secret())),
        spa.by(Method::Post(secret())),
        pkj.by(Method::None),
        pkj.by(Method::Basic(secret())),
    ] {
        let answer = wrong.refresh("nobody's").await;
        answer.refused("invalid_client");
        // RFC 6749 §5.2.
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Basic realm") && challenge.contains("error=\"invalid_client\""), "{answer:?}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    // Only who holds the secret is told how to send it.
    let told = post.by(Method::Basic(secret())).revoke("x").await.text;
    assert!(told.contains("registered to authenticate by client_secret_post"), "{told}");
    let guessed = post.by(Method::Basic("wrong".into())).refresh("x").await.text;
    assert!(!guessed.contains("client_secret_post"), "{guessed}");
    let stranger = Client { id: "nobody".into(), ..web.clone() };
    let (unknown, known) = (stranger.refresh("x").await, web.by(Method::Basic("wrong".into())).refresh("x").await);
    assert_eq!(
        unknown.refused("invalid_client").text,
        known.refused("invalid_client").text,
        "unknown or wrong: no telling"
    );
}

/// RFC 6749 §2.3: not more than one mechanism.
#[tokio::test]
async fn two_mechanisms_at_once_are_refused() {
    let server = Server::usual().await;
    let (web, pkj) = (server.client("web"), server.client("pkj"));
    let authorization = || Some(basic("web", SECRET));
    let assertion = pkj.assertion(&json!({}));
    let by_assertion =
        [("client_assertion_type", jose::CLIENT_ASSERTION_TYPE), ("client_assertion", assertion.as_str())];
    call(&web, authorization(), &[("client_secret", SECRET)]).await.refused("invalid_request");
    call(&web, authorization(), &[("client_id", "web"), ("client_secret", SECRET)]).await.refused("invalid_request");
    call(&web, authorization(), &by_assertion).await.refused("invalid_request");
    let mut secret_too = by_assertion.to_vec();
    secret_too.extend([("client_id", "pkj"), ("client_secret", SECRET)]);
    call(&web, None, &secret_too).await.refused("invalid_request");
    // The name beside the mechanism is none of its own, but it must be the same.
    call(&web, authorization(), &[("client_id", "web")]).await.refused("invalid_grant");
    let other = call(&web, authorization(), &[("client_id", "web2")]).await;
    assert!([400, 401].contains(&other.status) && other.json()["error"] != "invalid_grant", "{other:?}");
    // None of it used the assertion up.
    let mut with_name = by_assertion.to_vec();
    with_name.push(("client_id", "pkj"));
    call(&pkj, None, &with_name).await.refused("invalid_grant");
}

#[tokio::test]
async fn a_request_of_nobody_is_refused() {
    let server = Server::usual().await;
    let web = server.client("web");
    for (authorization, more) in [
        (None, vec![]),
        (Some("Basic".to_owned()), vec![]),
        (Some("Basic !!!".to_owned()), vec![]),
        (Some("Basic d2Vi".to_owned()), vec![]),
        (Some(basic("", SECRET)), vec![]),
        (Some("Bearer something".to_owned()), vec![]),
        (None, vec![("client_secret", SECRET)]),
        (None, vec![("client_id", "")]),
    ] {
        let answer = call(&web, authorization.clone(), &more).await;
        assert!([400, 401].contains(&answer.status), "{authorization:?} {more:?}: {answer:?}");
        let error = answer.json()["error"].clone();
        assert!(error == "invalid_client" || error == "invalid_request", "{answer:?}");
    }
}

#[tokio::test]
async fn an_assertion_is_good_once() {
    let server = Server::usual().await;
    let pkj = server.client("pkj");
    let assertion = pkj.assertion(&json!({}));
    let send = || by_assertion(&pkj, &assertion);
    send().await.refused("invalid_grant");
    send().await.refused("invalid_client");
    server.advance(TimeDelta::seconds(30)).await;
    send().await.refused("invalid_client");

    // At any endpoint, and for many at once.
    let fresh = pkj.assertion(&json!({}));
    let answers = join_all((0..6).map(|_| by_assertion(&pkj, &fresh))).await;
    let believed = answers.iter().filter(|answer| answer.json()["error"] == "invalid_grant").count();
    assert_eq!(believed, 1, "{answers:?}");
    let form = [
        ("token", "anything"),
        ("client_assertion_type", jose::CLIENT_ASSERTION_TYPE),
        ("client_assertion", fresh.as_str()),
    ];
    let at_revocation = server.http().post(server.endpoint("revocation_endpoint")).form(&form);
    Answer::of(at_revocation).await.refused("invalid_client");
}

async fn by_assertion(client: &Client<'_>, assertion: &str) -> Answer {
    let form = [("client_assertion_type", jose::CLIENT_ASSERTION_TYPE), ("client_assertion", assertion)];
    call(client, None, &form).await
}

#[tokio::test]
async fn an_assertion_says_for_whom_and_until_when() {
    let server = Server::usual().await;
    let pkj = server.client("pkj");
    let now = server.clock.now().timestamp();
    let token_endpoint = server.endpoint("token_endpoint");
    for good in [
        json!({}),
        json!({ "aud": [server.issuer] }),
        json!({ "exp": now + 3600 }),
        json!({ "iat": null }),
        json!({ "nbf": now - 5 }),
    ] {
        let answer = by_assertion(&pkj, &pkj.assertion(&good)).await;
        assert_eq!(answer.json()["error"], "invalid_grant", "{good}: {answer:?}");
    }
    for wrong in [
        json!({ "aud": token_endpoint }),
        json!({ "aud": [token_endpoint] }),
        json!({ "aud": [] }),
        json!({ "aud": [server.issuer, server.issuer] }),
        json!({ "aud": [server.issuer, token_endpoint] }),
        json!({ "aud": "https://other.example" }),
        json!({ "aud": server.endpoint("userinfo_endpoint") }),
        json!({ "aud": null }),
        json!({ "exp": now - 60 }),
        json!({ "exp": null }),
        json!({ "exp": "soon" }),
        json!({ "nbf": now + 120 }),
        json!({ "iat": now + 120 }),
        json!({ "jti": null }),
        json!({ "jti": "" }),
        json!({ "iss": "web" }),
        json!({ "sub": "web" }),
        json!({ "iss": "web", "sub": "web" }),
        json!({ "sub": null }),
    ] {
        let answer = by_assertion(&pkj, &pkj.assertion(&wrong)).await;
        let error = answer.json()["error"].clone();
        assert!(
            error == "invalid_client" || (error == "invalid_request" && answer.status == 400),
            "{wrong}: {answer:?}"
        );
    }
    // Where the second changed meanwhile, the life was a second shorter than meant.
    loop {
        let now = server.clock.now().timestamp();
        let answer = by_assertion(&pkj, &pkj.assertion(&json!({ "exp": now + 3611 }))).await;
        if server.clock.now().timestamp() == now {
            assert_eq!(answer.json()["error"], "invalid_client", "{answer:?}");
            break;
        }
    }
}

/// `assertion_audience = "endpoint"`, for clients made for RFC 7523.
#[tokio::test]
async fn an_older_client_may_name_the_endpoint() {
    let jwk = CLIENT_KEY.public_jwk();
    let member = |name: &str| jwk[name].as_str().unwrap().to_owned();
    let older = format!(
        "[[client]]\nclient_id = \"older\"\ntoken_endpoint_auth_method = \"private_key_jwt\"\n\
         redirect_uris = [\"{REDIRECT_URI}\"]\ngrant_types = [\"authorization_code\", \"refresh_token\"]\n\
         jwks = {{ keys = [{{ kty = \"EC\", crv = \"P-256\", kid = \"{}\", x = \"{}\", y = \"{}\" }}] }}\n\
         assertion_audience = \"endpoint\"\n",
        CLIENT_KEY.kid(),
        member("x"),
        member("y")
    );
    let server = Server::start(Settings::default().declare(&older)).await;
    let client = Client { id: "older".into(), ..server.client("pkj") };
    let token_endpoint = server.endpoint("token_endpoint");
    for good in [json!(server.issuer), json!(token_endpoint), json!([token_endpoint])] {
        by_assertion(&client, &client.assertion(&json!({ "aud": good }))).await.refused("invalid_grant");
    }
    for wrong in [json!(server.endpoint("userinfo_endpoint")), json!([server.issuer, token_endpoint])] {
        by_assertion(&client, &client.assertion(&json!({ "aud": wrong }))).await.refused("invalid_client");
    }
    let claims = crate::support::token::claims(&client.assertion(&json!({})));
    let typed = CLIENT_KEY.sign("client-authentication+jwt", &claims).unwrap();
    by_assertion(&client, &typed).await.refused("invalid_grant");
}

/// A declaration that does not say stays as the client has it, and a row of the version before says nothing.
#[tokio::test]
async fn clients_made_before_keep_their_audience() {
    let server = Server::usual().await;
    let audience = "SELECT metadata ->> 'assertion_audience' FROM clients WHERE client_id = 'pkj'";
    assert_eq!(server.value(audience).await, "issuer");
    server.rows("UPDATE clients SET metadata = metadata - 'assertion_audience'").await;
    let pkj = server.client("pkj");
    let at_endpoint = || pkj.assertion(&json!({ "aud": server.endpoint("token_endpoint") }));
    by_assertion(&pkj, &at_endpoint()).await.refused("invalid_grant");
    let declared = server.app.config.clients.iter().find(|it| it.client_id.as_deref() == Some("pkj")).unwrap();
    server.work(async |tx| mooring::clients::apply_declared(tx, declared).await).await;
    assert_eq!(server.value(audience).await, "endpoint");
    by_assertion(&pkj, &at_endpoint()).await.refused("invalid_grant");
}

#[tokio::test]
async fn an_assertion_is_signed_by_a_key_of_the_client() {
    let server = Server::usual().await;
    let pkj = server.client("pkj");
    let good = pkj.assertion(&json!({}));
    let claims: Value = crate::support::token::claims(&good);
    let (stranger, _) = jose::SigningKey::generate(jose::Algorithm::Es256).unwrap();
    let symmetric =
        encode(&Header::new(Algorithm::HS256), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
    let unsigned = format!("{}.{}.", jose::base64url(br#"{"alg":"none"}"#), good.split('.').nth(1).unwrap());
    let (head, signature) = good.rsplit_once('.').unwrap();
    let tampered = format!("{head}.{}", signature.chars().rev().collect::<String>());
    for wrong in [stranger.sign("JWT", &claims).unwrap(), symmetric, unsigned, tampered, "nonsense".to_owned()] {
        let answer = by_assertion(&pkj, &wrong).await;
        let error = answer.json()["error"].clone();
        assert!(error == "invalid_client" || error == "invalid_request", "{wrong}: {answer:?}");
    }
    // An ID token of ours for this client is no assertion, whatever its aud.
    by_assertion(&pkj, &good).await.refused("invalid_grant");
    let form = [("client_assertion_type", "urn:other"), ("client_assertion", pkj.assertion(&json!({})).as_str())]
        .map(|(name, value)| (name, value.to_owned()));
    let answer = call(&pkj, None, &form.each_ref().map(|(name, value)| (*name, value.as_str()))).await;
    assert!([400, 401].contains(&answer.status) && answer.json()["error"] != "invalid_grant", "{answer:?}");
}

/// An identifier is good once, whatever else the assertion says; the trail tells it in words that do not change.
#[tokio::test]
async fn a_jti_is_good_once() {
    let server = Server::usual().await;
    let pkj = server.client("pkj");
    let now = server.clock.now().timestamp();
    let with = |exp: i64| pkj.assertion(&json!({ "jti": "the same", "exp": exp }));
    by_assertion(&pkj, &with(now + 60)).await.refused("invalid_grant");
    for exp in [now + 60, now + 61, now + 299] {
        by_assertion(&pkj, &with(exp)).await.refused("invalid_client");
    }
    let long = pkj.assertion(&json!({ "jti": "for an hour", "exp": now + 3600 }));
    by_assertion(&pkj, &long).await.refused("invalid_grant");
    for minutes in [4, 20, 35] {
        server.advance(TimeDelta::minutes(minutes)).await;
        by_assertion(&pkj, &with(now + 3600)).await.refused("invalid_client");
        by_assertion(&pkj, &long).await.refused("invalid_client");
    }
    server.advance(TimeDelta::seconds(60)).await;
    by_assertion(&pkj, &long).await.refused("invalid_client");
    by_assertion(&pkj, &pkj.assertion(&json!({ "jti": "another" }))).await.refused("invalid_grant");
    by_assertion(&pkj, &pkj.assertion(&json!({ "exp": null }))).await.refused("invalid_client");
    let told = "SELECT string_agg(reason || ': ' || (detail ->> 'said'), '; ' ORDER BY id) FROM audit_events \
                WHERE action = 'client.authentication'";
    let told = server.value(told).await;
    assert!(
        told.starts_with("assertion_replayed: ")
            && !told.contains("has expired")
            && told.ends_with("; refused_assertion: the client assertion has no exp"),
        "{told}"
    );
}

/// Two `Authorization` headers are two claims to be somebody, and whoever reads only one of them is fooled.
#[tokio::test]
async fn two_headers_authenticate_nobody() {
    let server = Server::usual().await;
    let (good, bad) = (basic("web", SECRET), basic("web", "a-guess-at-the-secret-of-this-client"));
    for (first, second) in [(&good, &bad), (&bad, &good), (&good, &good)] {
        let request = server.http().post(server.endpoint("token_endpoint")).form(&[("grant_type", "refresh_token")]);
        let answer = Answer::of(request.header("authorization", first).header("authorization", second)).await;
        assert!([400, 401].contains(&answer.status) && answer.json()["error"] != "invalid_grant", "{answer:?}");
    }
}

/// Guessing secrets is slowed per client and source; another client at the same address is not kept out.
#[tokio::test]
async fn guessing_a_secret_is_throttled() {
    let server = Server::usual().await;
    let wrong = server.client("web").by(Method::Basic("a-guess-at-the-secret-of-this-client".into()));
    let mut last = None;
    for _ in 0..14 {
        last = Some(wrong.refresh("x").await);
    }
    let last = last.unwrap();
    assert_eq!(last.status, 429, "{last:?}");
    assert!(last.header("retry-after").parse::<u32>().is_ok_and(|seconds| (1..=60).contains(&seconds)), "{last:?}");
    server.client("web2").refresh("x").await.refused("invalid_grant");
    server.advance(TimeDelta::minutes(3)).await;
    server.client("web").refresh("x").await.refused("invalid_grant");
    wrong.refresh("x").await.refused("invalid_client");
    assert!(server.events("client.authentication", "refused").await >= 10);
}
