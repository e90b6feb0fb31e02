//! What a refusal looks like to a client, a developer and an operator.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use serde_json::{Value, json};
use url::Url;

use crate::support::{
    ALICE, Answer, PASSWORD, Server, Settings,
    declared::{POST_LOGOUT_URI, REDIRECT_URI},
    page::unescape,
    process::{Installation, Running},
    token,
};

const NO_ISS: &str = r#"
[[client]]
client_id = "no-iss"
client_secret = "a-client-secret-of-the-integration-tests"
redirect_uris = ["http://127.0.0.1:9/callback"]
scope = "openid profile"
authorization_response_iss = false
"#;

/// RFC 9207: `iss` is in every authorization response, unless the operator left it out for a client.
#[tokio::test]
async fn an_operator_can_leave_iss_out_for_one_client() {
    let server = Server::start(Settings::default().declare(NO_ISS)).await;
    let (agent, client) = (server.agent(), server.client("no-iss"));
    let page = agent.open(&client.request("openid").url()).await;
    let consent = agent.sign_in(&page, ALICE, PASSWORD).await;
    let denied = agent.decide(&consent, "deny").await.answer();
    assert_eq!((denied["error"].as_str(), denied.get("iss")), ("access_denied", None), "{denied:?}");
    assert_eq!(denied["state"], "the state");
    let allowed = agent.walk(&client.request("openid").url(), ALICE).await.answer();
    assert!(allowed.contains_key("code") && !allowed.contains_key("iss"), "{allowed:?}");
    let posted = agent.open(&client.request("openid").with("response_mode", "form_post").url()).await;
    let form = &posted.forms()[0];
    assert!(form.field("code").is_some() && form.field("iss").is_none(), "{form:?}");
    let unknown = agent.step(&client.request("ships:burn payments:write").url()).await.answer();
    assert!(unknown.contains_key("error") && !unknown.contains_key("iss"), "{unknown:?}");
    // JARM §2.1 requires `iss` in the JWT.
    let sealed = agent.step(&client.request("openid").with("response_mode", "jwt").url()).await;
    let claims = token::verify(&server, &sealed.answer()["response"]).await.claims;
    assert_eq!(claims["iss"], server.issuer.as_str());
    // Every other client still gets it.
    let other = agent.step(&server.client("web").request("openid").with("prompt", "none").url()).await.answer();
    assert_eq!(other["iss"], server.issuer);
}

/// A developer who stands before the page sees what their program sent.
#[tokio::test]
async fn the_error_page_shows_the_redirect_uri_that_was_sent() {
    let server = Server::usual().await;
    let (agent, client) = (server.agent(), server.client("web"));
    let page = agent.open(&client.request("openid").with("redirect_uri", "https://rp.example/other?a=1").url()).await;
    page.is_error_page(400);
    assert!(unescape(&page.body).contains("<code>https://rp.example/other?a=1</code>"), "{}", page.body);
    assert!(!page.body.contains("href=\"https://rp.example"), "{}", page.body);
    let hostile = "javascript:alert(1)//\u{202e}<script>Call 555 now</script>";
    let page = agent.open(&client.request("openid").with("redirect_uri", hostile).url()).await;
    page.is_error_page(400);
    assert!(page.body.contains("%E2%80%AE&lt;script&gt;Call%20555%20now"), "{}", page.body);
    assert!(!page.body.contains("<script") && !page.body.contains("javascript:alert(1)\""), "{}", page.body);
    let long = format!("https://rp.example/{}", "x".repeat(3000));
    let page = agent.open(&client.request("openid").with("redirect_uri", &long).url()).await;
    assert!(page.is_error_page(400).body.len() < 4000 && page.body.contains("xxx…</code>"), "{}", page.body);
    let page = agent.open(&client.request("openid").with("client_id", "nobody").url()).await;
    assert!(page.is_error_page(400).body.contains("<code>nobody</code>"), "{}", page.body);
    let bye = Url::parse_with_params(
        &server.endpoint("end_session_endpoint"),
        [("client_id", "web"), ("post_logout_redirect_uri", "https://rp.example/elsewhere")],
    );
    let page = agent.open(bye.unwrap().as_str()).await;
    assert!(unescape(&page.is_error_page(400).body).contains("rp.example/elsewhere</code>"), "{}", page.body);
    let bye = Url::parse_with_params(
        &server.endpoint("end_session_endpoint"),
        [("post_logout_redirect_uri", POST_LOGOUT_URI)],
    );
    let page = agent.open(bye.unwrap().as_str()).await;
    assert!(page.is_error_page(400).body.contains("id_token_hint or client_id"), "{}", page.body);
}

#[tokio::test]
async fn a_missing_code_verifier_is_named() {
    let server = Server::usual().await;
    let (agent, client) = (server.agent(), server.client("web"));
    let code = client.code(&agent, "openid").await;
    let form = [("grant_type", "authorization_code"), ("code", code.code.as_str()), ("redirect_uri", REDIRECT_URI)];
    let answer = client.token(&form).await;
    let said = answer.refused("invalid_grant").json()["error_description"].as_str().unwrap().to_owned();
    assert!(said.starts_with("code_verifier is missing"), "{said}");
    client.redeem(&code).await.tokens();
}

fn declared() -> String {
    format!(
        "[[client]]\nclient_id = \"web\"\nclient_secret = \"a-client-secret-of-the-integration-tests\"\n\
         redirect_uris = [\"{REDIRECT_URI}\"]\nscope = \"openid\"\n\
         [[client]]\nclient_id = \"spa\"\ntoken_endpoint_auth_method = \"none\"\n\
         redirect_uris = [\"{REDIRECT_URI}\"]\nscope = \"openid\"\n"
    )
}

async fn authorize(server: &Running, parameters: &[(&str, &str)]) {
    let url = Url::parse_with_params(&server.at("/oauth/authorize"), parameters).unwrap();
    server.http().get(url).send().await.unwrap();
}

/// The line of the log that has all of these.
#[track_caller]
fn line(log: &str, parts: &[&str]) -> String {
    let found = log.lines().find(|line| parts.iter().all(|part| line.contains(part)));
    found.unwrap_or_else(|| panic!("no line with {parts:?} in\n{log}")).to_owned()
}

#[tokio::test]
async fn the_log_says_who_was_refused_and_what_would_mend_it() {
    let installation = Installation::new(&declared());
    let server = installation.serve_logging("info");
    let usual = [("response_type", "code"), ("client_id", "web"), ("scope", "openid"), ("redirect_uri", REDIRECT_URI)];
    let with = |name: &'static str, value: &'static str| {
        let others = usual.iter().copied().filter(move |(other, _)| *other != name);
        others.chain([(name, value)]).collect::<Vec<_>>()
    };
    authorize(&server, &usual).await;
    authorize(&server, &with("client_id", "spa")).await;
    authorize(&server, &with("client_id", "no\nbody")).await;
    authorize(&server, &with("redirect_uri", "https://rp.example/cb")).await;
    let mut scope = with("scope", "ships:read");
    scope
        .extend([("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"), ("code_challenge_method", "S256")]);
    authorize(&server, &scope).await;
    authorize(&server, &with("response_type", "token")).await;
    let token = |form: &[(&str, &str)]| server.as_machine("/oauth/token", form).send();
    token(&[("grant_type", "authorization_code"), ("code", "x")]).await.unwrap();
    let foreign = [("origin", "https://app.example"), ("accept", "*/*")];
    let script = foreign.iter().fold(server.ask(), |request, (name, value)| request.header(*name, *value));
    script.send().await.unwrap();
    let preflight = server.http().request(reqwest::Method::OPTIONS, server.at("/oauth/token"));
    let preflight =
        preflight.header("origin", "https://preflight.example").header("access-control-request-method", "POST");
    preflight.send().await.unwrap();
    server.stop();
    let log = installation.log();
    line(&log, &["client=\"web\"", "code_challenge is missing", "require_pkce = false"]);
    let public = line(&log, &["client=\"spa\"", "code_challenge is missing", "PKCE"]);
    assert!(!public.contains("require_pkce = false"), "a public client cannot be declared so: {public}");
    line(&log, &["client_id=no\u{fffd}body", "there is no client of this client_id", "mend="]);
    line(&log, &["client=\"web\"", "redirect_uri=https://rp.example/cb", REDIRECT_URI, "redirect_uris"]);
    line(&log, &["client=\"web\"", "invalid_scope", "add ships:read to the client's scope"]);
    line(&log, &["client=\"web\"", "unsupported_response_type", "authorization code flow"]);
    line(&log, &["client=\"machine\"", "unauthorized_client", "add authorization_code to the client's grant_types"]);
    line(&log, &["client=\"machine\"", "https://app.example", "allowed_origins"]);
    line(&log, &["https://preflight.example", "allowed_origins"]);
    assert!(log.lines().all(|line| !line.contains(" ERROR ") && !line.contains(" WARN ")), "{log}");
}

/// Whoever fills the log hides what matters in it.
#[tokio::test]
async fn strangers_do_not_fill_the_log() {
    let installation = Installation::new(&declared());
    let server = installation.serve_logging("info");
    for n in 0..400 {
        authorize(&server, &[("response_type", "code"), ("client_id", &format!("nobody-{n}-{}", "x".repeat(2000)))])
            .await;
    }
    server.stop();
    let log = installation.log();
    let lines = log.lines().filter(|line| line.contains("nobody-")).count();
    assert!((1..=120).contains(&lines), "{lines} lines");
    assert!(log.len() < 200_000, "{}", log.len());
}

/// An ERROR is for the operator to mend; nothing that comes from outside is one.
#[tokio::test]
async fn strangers_write_no_error_lines() {
    let installation = Installation::new(&declared());
    let server = installation.serve_logging("info");
    let address = Url::parse(&server.at("/")).unwrap();
    let address = (address.host_str().unwrap().to_owned(), address.port().unwrap());
    let raw = |parts: &[&[u8]]| {
        let mut stream = TcpStream::connect((address.0.as_str(), address.1)).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(2))).unwrap();
        for part in parts {
            if stream.write_all(part).is_err() {
                break;
            }
        }
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let _ = stream.read_to_end(&mut Vec::new());
    };
    let endless = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(400_000));
    for bytes in [
        endless.as_bytes(),
        b"\x16\x03\x01\x02\x00garbage",
        b"POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\ncontent-type: application/x-www-form-urlencoded\r\n\r\nabc",
        b"POST /oauth/token HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\nGET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00",
        b"POST /login HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nhost: \xff\r\ncookie: \xff=\xfe\r\norigin: \xff\r\n\r\n",
    ] {
        raw(&[bytes]);
    }
    let unsigned = |claims: &Value| {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        format!("{}.{}.AAAA", part(&json!({ "alg": "ES256" })), part(claims))
    };
    let nul = unsigned(&json!({ "iss": "a\0b", "sub": "a\0b", "aud": "x", "jti": "\0", "exp": 9_999_999_999_u64 }));
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    for endpoint in ["token", "par", "introspect", "revoke"] {
        for form in [
            vec![("client_assertion", nul.as_str()), ("client_assertion_type", kind), ("token", "x")],
            vec![("client_id", "a\0b"), ("client_secret", "x")],
            vec![("client_id", "\u{10ffff}"), ("client_secret", "x"), ("token", "\u{7f}")],
        ] {
            let request = server.http().post(server.at(&format!("/oauth/{endpoint}"))).form(&form);
            let answer = Answer::of(request).await;
            assert!((400..500).contains(&answer.status), "{endpoint} {form:?}: {answer:?}");
        }
        let basic = "Basic AGE6Yg=="; // "\0a:b"
        let request = server.http().post(server.at(&format!("/oauth/{endpoint}"))).header("authorization", basic);
        assert!((400..500).contains(&Answer::of(request.form(&[("token", "x")])).await.status));
    }
    for path in [
        "/oauth/register/a%00b",
        "/oauth/authorize/%00",
        "/assets/%00",
        "/account/%00",
        "/login?request=%00&confirm=%00",
        "/set-up?token=%00",
        "/oauth/end_session?id_token_hint=%00",
        "/oauth/end_session?client_id=web&sid=x&proof=x",
        "/oauth/authorize?client_id=%00",
        "/oauth/authorize?client_id=web&claims=%7B%22a%22%3A%22%5Cu0000%22%7D",
        "/reset-password?token=%00",
        "/second-factor?ceremony=%00",
        "/hub/api/v1/sessions/%00",
        "/healthz/%00",
    ] {
        let answer = Answer::of(server.http().get(server.at(path)).bearer_auth("a.b.c")).await;
        assert!(answer.status < 500, "{path}: {answer:?}");
    }
    for (path, body) in [
        ("/passkeys/sign-in/options", json!({ "request": "\0", "csrf": "\0" })),
        ("/passkeys/sign-in", json!({ "id": "\0", "rawId": "\0", "type": "\0", "response": {} })),
        ("/set-up/passkey/options", json!({ "token": "\0", "username": "\0", "label": "\0" })),
        (
            "/hub/api/v1/sessions/events",
            json!({ "token": "\0", "action": "\0", "outcome": "\0", "client_id": "a\0b", "client_secret": "\0" }),
        ),
    ] {
        let answer = Answer::of(server.http().post(server.at(path)).json(&body)).await;
        assert!((400..500).contains(&answer.status), "{path}: {answer:?}");
    }
    assert_eq!(Answer::of(server.http().get(server.at("/readyz"))).await.status, 200);
    server.stop();
    let log = installation.log();
    let errors: Vec<&str> = log.lines().filter(|line| line.contains("ERROR") || line.contains("panicked")).collect();
    assert!(errors.is_empty(), "{}", errors.join("\n"));
}

/// A program is answered in JSON, whatever is wrong.
#[tokio::test]
async fn programs_are_answered_in_json() {
    let server = Server::usual().await;
    let http = server.http();
    let ask = async |method: reqwest::Method, path: &str, accept: Option<&str>| {
        let request = http.request(method, server.at(path));
        Answer::of(accept.into_iter().fold(request, |request, accept| request.header("accept", accept))).await
    };
    let json = Some("application/json");
    let (get, put) = (reqwest::Method::GET, reqwest::Method::PUT);
    for accept in [json, Some("application/json, text/plain, */*"), Some("application/problem+json")] {
        for path in ["/nowhere", "/oauth/nowhere", "/hub/api/v1/nowhere", "/.well-known/nothing"] {
            let answer = ask(get.clone(), path, accept).await;
            assert_eq!((answer.status, answer.json()["error"].as_str()), (404, Some("not_found")), "{path} {accept:?}");
        }
        for path in ["/oauth/token", "/oauth/userinfo", "/login", "/hub/api/v1/sessions", "/oauth/jwks"] {
            let answer = ask(put.clone(), path, accept).await;
            assert_eq!(answer.status, 405, "{path}");
            assert!(answer.header("allow").contains("GET") || answer.header("allow").contains("POST"), "{answer:?}");
            assert_eq!(answer.json()["error"], "method_not_allowed", "{path}");
        }
        let answer = ask(get.clone(), "/oauth/authorize?client_id=nobody", accept).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_request")));
        let answer = ask(get.clone(), "/oauth/end_session?id_token_hint=x", accept).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_request")));
    }
    // The API says so to whoever says nothing; a browser is shown a page.
    for accept in [None, Some("*/*")] {
        for path in ["/oauth/nowhere", "/hub/api/v1/nowhere"] {
            assert_eq!(ask(get.clone(), path, accept).await.json()["error"], "not_found", "{path}");
        }
        assert_eq!(ask(get.clone(), "/oauth/token", accept).await.json()["error"], "method_not_allowed");
    }
    let browser = Some("text/html,application/xhtml+xml,application/json;q=0.9,*/*;q=0.8");
    for (method, path) in [(get.clone(), "/oauth/nowhere"), (get.clone(), "/nowhere"), (get.clone(), "/oauth/token")] {
        let answer = ask(method, path, browser).await;
        assert!(answer.header("content-type").starts_with("text/html"), "{path}: {answer:?}");
    }
    assert!(ask(get, "/nowhere", None).await.header("content-type").starts_with("text/html"));
    // What is sent wrongly.
    for path in ["/oauth/token", "/oauth/introspect", "/oauth/revoke", "/oauth/par", "/oauth/end_session", "/login"] {
        let request = http.post(server.at(path)).header("accept", "application/json");
        let answer = Answer::of(request.header("content-type", "text/plain").body("x")).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (415, Some("invalid_request")), "{path}");
        let request = http.post(server.at(path)).header("accept", "application/json");
        let answer = Answer::of(request.form(&[("x", "x".repeat(1_000_000))])).await;
        assert_eq!((answer.status, answer.json()["error"].as_str()), (413, Some("invalid_request")), "{path}");
    }
    // The database is gone.
    server.app.db.close();
    for path in ["/oauth/userinfo", "/oauth/authorize?client_id=web", "/account", "/login"] {
        let request = http.get(server.at(path)).header("accept", "application/json");
        let request = request.bearer_auth("mo_at_AaI0gAAAcACAAAAAAAAAAQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        let cookie = format!("{}={}", server.app.cookies.name(), server.app.cookies.value(uuid::Uuid::nil(), 0));
        let answer = Answer::of(request.header("cookie", cookie)).await;
        if answer.status >= 500 {
            let error = answer.json()["error"].as_str().unwrap().to_owned();
            assert!(["server_error", "temporarily_unavailable"].contains(&error.as_str()), "{path}: {answer:?}");
        } else {
            assert!(path == "/oauth/userinfo", "{path}: {answer:?}");
        }
    }
}
