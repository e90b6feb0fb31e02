//! What an operator reads when a client fails to authenticate: which client it says to be, what was wrong, and what would
//! mend it. The client itself learns none of it.

use mooring::{
    clock::Clock,
    jose::{Algorithm, CLIENT_ASSERTION_TYPE, SigningKey, base64url, random_bytes},
};
use serde_json::{Value, json};

use crate::support::{
    Answer,
    client::basic,
    cluster::TestDatabase,
    declared::{CLIENT_KEY, REDIRECT_URI, SECRET},
    process::{Installation, Running},
};

const GUESS: &str = "a-guess-at-the-secret-of-a-client";

fn declared() -> String {
    let jwk = CLIENT_KEY.public_jwk();
    let member = |name: &str| jwk[name].as_str().unwrap().to_owned();
    let (x, y) = (member("x"), member("y"));
    let client = |id: &str, more: &str| {
        format!(
            "[[client]]\nclient_id = \"{id}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\nscope = \"openid\"\n\
             grant_types = [\"authorization_code\", \"refresh_token\"]\n{more}\n"
        )
    };
    let secret = format!("client_secret = \"{SECRET}\"");
    let method = |name: &str| format!("token_endpoint_auth_method = \"{name}\"");
    let kid = CLIENT_KEY.kid();
    let keys =
        format!("jwks = {{ keys = [{{ kty = \"EC\", crv = \"P-256\", kid = \"{kid}\", x = \"{x}\", y = \"{y}\" }}] }}");
    let by_key = |more: &str| format!("{}\n{more}", method("private_key_jwt"));
    [
        client("header", &format!("{secret}\n{}", method("client_secret_basic"))),
        client("body", &format!("{secret}\n{}", method("client_secret_post"))),
        client("either", &secret),
        client("public", &method("none")),
        client("by-key", &by_key(&format!("{keys}\nassertion_audience = \"issuer\""))),
        client("by-key-at-endpoint", &by_key(&format!("{keys}\nassertion_audience = \"endpoint\""))),
        client("by-rsa-key", &by_key(&format!("{keys}\ntoken_endpoint_auth_signing_alg = \"RS256\""))),
        client("far-keys", &by_key("jwks_uri = \"https://keys.invalid/jwks\"")),
    ]
    .concat()
}

/// With these clients, on a database of its own.
async fn installed() -> (TestDatabase, Installation) {
    let database = TestDatabase::create().await;
    let installation = Installation::on(&database.server_url);
    installation.declare(&declared());
    (database, installation)
}

struct Asking<'a> {
    server: &'a Running,
    endpoint: &'static str,
}

impl Asking<'_> {
    async fn refused(&self, header: Option<String>, form: &[(&str, &str)]) -> Answer {
        let usual = [("grant_type", "refresh_token"), ("refresh_token", "x"), ("token", "x")];
        let form: Vec<_> = usual.iter().chain(form).collect();
        let request = self.server.http().post(self.server.at(self.endpoint)).form(&form);
        let request = header.into_iter().fold(request, |request, header| request.header("authorization", header));
        let answer = Answer::of(request).await;
        assert!(answer.status == 401 || answer.status == 400 || answer.status == 429, "{answer:?}");
        for hint in ["mooring client", "token_endpoint_auth_method =", "assertion_audience", "white space", "jwks"] {
            assert!(!answer.text.contains(hint), "the caller is told: {answer:?}");
        }
        answer
    }

    async fn secret(&self, id: &str, secret: &str) {
        self.refused(Some(basic(id, secret)), &[]).await;
    }

    async fn post(&self, form: &[(&str, &str)]) {
        self.refused(None, form).await;
    }

    async fn assertion(&self, assertion: &str) {
        self.post(&[("client_assertion_type", CLIENT_ASSERTION_TYPE), ("client_assertion", assertion)]).await;
    }
}

/// With `changes` to the usual claims; `null` takes one away.
fn claims(server: &Running, id: &str, changes: &Value) -> Value {
    let now = Clock::default().now().timestamp();
    let mut claims = json!({
        "iss": id, "sub": id, "aud": server.at(""), "jti": base64url(&random_bytes::<16>()), "exp": now + 60,
    });
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            Value::Number(seconds) => claims[name] = json!(now + seconds.as_i64().unwrap()),
            value => claims[name] = value.clone(),
        }
    }
    claims
}

/// The lines of the log that have all of these.
fn lines<'a>(log: &'a str, parts: &[&str]) -> Vec<&'a str> {
    log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).collect()
}

#[track_caller]
fn line(log: &str, parts: &[&str]) {
    assert!(!lines(log, parts).is_empty(), "no line with {parts:?} in\n{log}");
}

#[track_caller]
fn nothing_is_given_away(log: &str) {
    for secret in [SECRET, GUESS, "eyJ"] {
        assert!(!log.contains(secret), "{secret} in\n{log}");
    }
    // A fetch is logged, and there is one in ten seconds at most.
    let mut lines = log.lines().filter(|line| !line.contains("jwks_uri not fetched"));
    assert!(lines.all(|line| !line.contains(" ERROR ") && !line.contains(" WARN ")), "{log}");
}

#[tokio::test]
async fn the_log_says_what_is_wrong_with_a_secret() {
    for endpoint in ["/oauth/token", "/oauth/introspect", "/oauth/revoke", "/oauth/par"] {
        let (database, installation) = installed().await;
        let server = installation.serve_logging("info");
        let asking = Asking { server: &server, endpoint };
        asking.secret("nobody", GUESS).await;
        asking.post(&[("client_id", "no\u{1b}[31m\nbody"), ("client_secret", GUESS)]).await;
        asking.secret("header", GUESS).await;
        asking.secret("either", &format!("{SECRET}\n")).await;
        asking.secret("body", SECRET).await;
        asking.secret("body", GUESS).await;
        asking.post(&[("client_id", "header"), ("client_secret", SECRET)]).await;
        asking.post(&[("client_id", "either")]).await;
        asking.secret("public", GUESS).await;
        asking.secret("by-key", GUESS).await;
        asking.refused(Some(basic("header", SECRET)), &[("client_id", "header"), ("client_secret", SECRET)]).await;
        asking.refused(Some(basic("header", SECRET)), &[("client_id", "body")]).await;
        asking.refused(Some("Basic ???".to_owned()), &[("client_id", "either")]).await;
        asking.post(&[]).await;
        server.stop();
        let log = installation.log();
        database.drop_now().await;
        line(&log, &["client=\"nobody\"", "unknown_client", "`mooring client list`"]);
        line(&log, &["client=\"no\u{fffd}[31m\u{fffd}body\"", "unknown_client"]);
        line(&log, &["client=\"header\"", "wrong_secret", "client_secret of its [[client]]"]);
        line(&log, &["client=\"either\"", "wrong_secret", "white space or a line break"]);
        let wrong = "the request has client_secret_basic, and the client is registered for client_secret_post";
        // Whoever has the right secret is told first what is wrong with the grant: many libraries try both methods.
        let (told, is_grant) = if endpoint == "/oauth/token" { (1, true) } else { (2, false) };
        assert_eq!(lines(&log, &["client=\"body\"", "wrong_method", wrong]).len(), told, "{log}");
        assert_eq!(!lines(&log, &["client=\"body\"", "invalid_grant"]).is_empty(), is_grant, "{log}");
        let none = "no credentials, and the client is registered for client_secret_basic or client_secret_post";
        line(&log, &["client=\"either\"", "wrong_method", none, "token_endpoint_auth_method = \\\"none\\\""]);
        line(&log, &["client=\"public\"", "wrong_method", "the client is public: have it send none"]);
        line(&log, &["client=\"by-key\"", "wrong_method", "registered for private_key_jwt"]);
        let twice = "client_secret_basic and client_secret_post: have the client send one of them";
        line(&log, &["client=\"header\"", "in more than one way", twice]);
        line(&log, &["client=\"body\"", "client_id is not the client that authenticates", "mend="]);
        line(
            &log,
            &["client=\"either\"", "the Authorization header is malformed", "base64 of client_id:client_secret"],
        );
        line(&log, &["does not say which client it is from", "a proxy may remove the Authorization header"]);
        nothing_is_given_away(&log);
    }
}

#[tokio::test]
async fn the_log_says_what_is_wrong_with_an_assertion() {
    let (database, installation) = installed().await;
    let server = installation.serve_logging("info");
    let asking = Asking { server: &server, endpoint: "/oauth/token" };
    let by_key = |changes: Value| CLIENT_KEY.sign("JWT", &claims(&server, "by-key", &changes)).unwrap();
    let endpoint = server.at("/oauth/token");
    asking.assertion(&by_key(json!({ "aud": endpoint }))).await;
    let elsewhere = claims(&server, "by-key-at-endpoint", &json!({ "aud": "https://other.example" }));
    asking.assertion(&CLIENT_KEY.sign("JWT", &elsewhere).unwrap()).await;
    asking.assertion(&by_key(json!({ "exp": -600 }))).await;
    asking.assertion(&by_key(json!({ "exp": 7200 }))).await;
    asking.assertion(&by_key(json!({ "exp": null }))).await;
    asking.assertion(&by_key(json!({ "jti": null }))).await;
    let usual = |id: &str| claims(&server, id, &json!({}));
    asking.assertion(&CLIENT_KEY.sign("at+jwt", &usual("by-key")).unwrap()).await;
    asking.assertion(&CLIENT_KEY.sign("JWT", &usual("by-rsa-key")).unwrap()).await;
    let (stranger, _) = SigningKey::generate(Algorithm::Es256).unwrap();
    asking.assertion(&stranger.sign("JWT", &usual("by-key-at-endpoint")).unwrap()).await;
    asking.assertion(&CLIENT_KEY.sign("JWT", &usual("far-keys")).unwrap()).await;
    asking.assertion(&CLIENT_KEY.sign("JWT", &usual("nobody-has-keys")).unwrap()).await;
    // The first use is good: what is refused then is the refresh token.
    let once = CLIENT_KEY.sign("JWT", &usual("by-key")).unwrap();
    asking.assertion(&once).await;
    asking.assertion(&once).await;
    server.stop();
    let log = installation.log();
    database.drop_now().await;
    let issuer = format!("have it set aud to {}", endpoint.strip_suffix("/oauth/token").unwrap());
    line(
        &log,
        &["client=\"by-key\"", &format!("aud=\\\"{endpoint}\\\""), &issuer, "assertion_audience = \\\"endpoint\\\""],
    );
    line(&log, &["client=\"by-key-at-endpoint\"", "https://other.example", "have the client set aud to http"]);
    line(&log, &["client=\"by-key\"", "has expired", "sent=\"exp=", "compare its clock"]);
    line(&log, &["client=\"by-key\"", "more than 60 minutes ahead", "good for a minute"]);
    line(&log, &["client=\"by-key\"", "has no exp", "exp=none"]);
    line(&log, &["client=\"by-key\"", "needs a jti", "another one for each request"]);
    line(&log, &["client=\"by-key\"", "typ=at+jwt", "set typ to client-authentication+jwt"]);
    line(
        &log,
        &["client=\"by-rsa-key\"", "alg=ES256", "sign with RS256, or change its token_endpoint_auth_signing_alg"],
    );
    line(
        &log,
        &["client=\"by-key-at-endpoint\"", "bad_assertion", &format!("kid={}", stranger.kid()), "no key of the client"],
    );
    line(&log, &["client=\"far-keys\"", "no_keys", "jwks_uri cannot be fetched"]);
    line(&log, &["client=\"nobody-has-keys\"", "unknown_client"]);
    line(&log, &["client=\"by-key\"", "invalid_grant"]);
    line(&log, &["client=\"by-key\"", "assertion_replayed", "another jti for each request"]);
    nothing_is_given_away(&log);
}

/// Whoever guesses is slowed down; the log goes on saying what the guesses were, and no more than it does of others.
#[tokio::test]
async fn strangers_who_guess_do_not_fill_the_log() {
    let (database, installation) = installed().await;
    let server = installation.serve_logging("info");
    let asking = Asking { server: &server, endpoint: "/oauth/token" };
    for _ in 0..20 {
        asking.secret("header", GUESS).await;
    }
    for n in 0..200 {
        asking.secret(&format!("nobody-{n}"), GUESS).await;
        asking.assertion(&CLIENT_KEY.sign("JWT", &claims(&server, "far-keys", &json!({}))).unwrap()).await;
    }
    server.stop();
    let log = installation.log();
    database.drop_now().await;
    line(&log, &["client=\"header\"", "too many failed attempts", "wrong_secret", "client_secret of its [[client]]"]);
    let written = log.lines().filter(|line| line.contains("invalid_client")).count();
    assert!((20..=120).contains(&written), "{written} lines");
    let warned = log.lines().filter(|line| line.contains(" WARN ") || line.contains(" ERROR ")).count();
    assert!(warned <= 6, "{warned} warnings in\n{log}");
}
