//! Which scripts of which origins may read what; never with credentials, never at the authorization endpoint.

use crate::support::{Answer, Server, Settings};

const SPA: &str = "https://spa.example";
const RP: &str = "https://rp.example";
const STRANGER: &str = "https://elsewhere.example";

fn allowed(answer: &Answer) -> &str {
    assert_eq!(answer.header("access-control-allow-credentials"), "", "never with credentials");
    answer.header("access-control-allow-origin")
}

async fn preflight(server: &Server, endpoint: &str, origin: &str) -> Answer {
    let request = server
        .http()
        .request(reqwest::Method::OPTIONS, server.endpoint(endpoint))
        .header("origin", origin)
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "authorization,content-type");
    Answer::of(request).await
}

#[tokio::test]
async fn documents_are_for_everybody() {
    let server = Server::usual().await;
    let documents = [
        server.at("/.well-known/openid-configuration"),
        server.at("/.well-known/oauth-authorization-server"),
        server.endpoint("jwks_uri"),
    ];
    for url in documents {
        let answer = Answer::of(server.http().get(&url).header("origin", STRANGER)).await;
        assert_eq!((answer.status, allowed(&answer)), (200, "*"), "{url}");
        // A script that adds a header of its own asks first.
        let preflight = server.http().request(reqwest::Method::OPTIONS, &url).header("origin", STRANGER);
        let preflight = preflight.header("access-control-request-method", "GET");
        let answer = Answer::of(preflight.header("access-control-request-headers", "x-requested-with")).await;
        let headers = answer.header("access-control-allow-headers");
        assert_eq!((answer.status, allowed(&answer), headers), (204, "*", "*"), "{url}");
    }
}

/// A developer is to read what was wrong, also where no client could be made out.
#[tokio::test]
async fn what_was_sent_wrongly_can_be_read() {
    let server = Server::usual().await;
    for endpoint in ["token_endpoint", "revocation_endpoint", "pushed_authorization_request_endpoint"] {
        let post = |origin: &str| server.http().post(server.endpoint(endpoint)).header("origin", origin);
        let json = Answer::of(post(SPA).header("content-type", "application/json").body("{}")).await;
        assert_eq!((json.status, allowed(&json)), (415, SPA), "{endpoint}");
        let long = Answer::of(post(SPA).form(&[("x", "x".repeat(1_000_000))])).await;
        assert_eq!((long.status, allowed(&long)), (413, SPA), "{endpoint}");
        let nobody = Answer::of(post(SPA).form(&[("token", "x"), ("grant_type", "refresh_token")])).await;
        assert_eq!((nobody.status, allowed(&nobody)), (401, SPA), "{endpoint}");
        let basic = crate::support::client::basic("spa", "x");
        let by_header = Answer::of(post(SPA).header("authorization", basic).form(&[("token", "x")])).await;
        assert_eq!(allowed(&by_header), SPA, "{endpoint}: {by_header:?}");
        let stranger = Answer::of(post(STRANGER).form(&[("token", "x")])).await;
        assert_eq!(allowed(&stranger), "", "{endpoint}");
    }
}

/// The preflight carries no credentials, so it is answered before client authentication.
#[tokio::test]
async fn preflights_are_answered_before_anybody_authenticates() {
    let server = Server::usual().await;
    for endpoint in ["token_endpoint", "userinfo_endpoint", "revocation_endpoint"] {
        for origin in [SPA, RP] {
            let answer = preflight(&server, endpoint, origin).await;
            assert!([200, 204].contains(&answer.status), "{endpoint}: {answer:?}");
            assert_eq!(allowed(&answer), origin, "{endpoint}");
            assert!(answer.header("access-control-allow-methods").contains("POST"), "{answer:?}");
            let headers = answer.header("access-control-allow-headers").to_lowercase();
            assert!(headers.contains("authorization") && headers.contains("content-type"), "{headers}");
            assert!(answer.header("vary").to_lowercase().contains("origin"), "{answer:?}");
        }
        for origin in [STRANGER, "null", "https://spa.example.evil.example", "http://spa.example"] {
            assert_eq!(allowed(&preflight(&server, endpoint, origin).await), "", "{endpoint} to {origin}");
        }
    }
    for endpoint in ["authorization_endpoint", "introspection_endpoint", "end_session_endpoint"] {
        assert_eq!(allowed(&preflight(&server, endpoint, SPA).await), "", "{endpoint}");
    }
}

#[tokio::test]
async fn answers_are_for_the_clients_own_origins() {
    let server = Server::usual().await;
    let client = server.client("spa");
    let agent = server.agent();
    let from = async |endpoint: &str, origin: &str, form: &[(&str, &str)]| {
        Answer::of(server.http().post(server.endpoint(endpoint)).header("origin", origin).form(form)).await
    };
    let code = client.code(&agent, "openid").await;
    let form = [&code.form(&client.redirect_uri)[..], &[("client_id", "spa")]].concat();
    let redeemed = from("token_endpoint", SPA, &form).await;
    assert_eq!((redeemed.status, allowed(&redeemed)), (200, SPA));
    assert!(redeemed.header("vary").to_lowercase().contains("origin"), "{redeemed:?}");
    // Why it was refused must be readable, too.
    let refused = from("token_endpoint", SPA, &form).await;
    assert_eq!((refused.status, allowed(&refused)), (400, SPA));
    let bad = [("grant_type", "refresh_token"), ("refresh_token", "x"), ("client_id", "spa")];
    for stranger in [STRANGER, "null"] {
        assert_eq!(allowed(&from("token_endpoint", stranger, &bad).await), "");
    }
    // Another client's origin is a stranger here.
    let other = [("grant_type", "refresh_token"), ("refresh_token", "x"), ("client_id", "native")];
    assert_eq!(allowed(&from("token_endpoint", SPA, &other).await), "");

    let userinfo = |origin: &str, token: &str| {
        server.http().get(server.endpoint("userinfo_endpoint")).header("origin", origin).bearer_auth(token)
    };
    let told = Answer::of(userinfo(SPA, &redeemed.tokens().access)).await;
    assert_eq!((told.status, allowed(&told)), (401, SPA), "the family ended with the replay above, which is readable");
    let fresh = client.tokens(&agent, "openid").await;
    let told = Answer::of(userinfo(SPA, &fresh.access)).await;
    assert_eq!((told.status, allowed(&told)), (200, SPA));
    assert_eq!(allowed(&Answer::of(userinfo(STRANGER, &fresh.access)).await), "");
    assert!(told.header("access-control-expose-headers").to_lowercase().contains("www-authenticate"));

    let revoked = from("revocation_endpoint", SPA, &[("token", &fresh.refresh), ("client_id", "spa")]).await;
    assert_eq!((revoked.status, allowed(&revoked)), (200, SPA));
    let authorize = server.http().get(client.request("openid").url()).header("origin", SPA);
    assert_eq!(allowed(&Answer::of(authorize).await), "");
}

/// A preflight comes without credentials: it must not mean to look at every client there is.
#[tokio::test]
async fn an_origin_is_found_by_an_index() {
    let server = Server::usual().await;
    let plan = server
        .rows(
            "SET enable_seqscan = off; EXPLAIN SELECT FROM clients \
             WHERE client_origins(metadata) @> ARRAY['https://spa.example'] AND disabled_at IS NULL",
        )
        .await;
    assert!(plan.iter().flatten().flatten().any(|line| line.contains("clients_origins")), "{plan:?}");
}

/// An application in a web view or a browser extension has an origin with a scheme of its own.
#[tokio::test]
async fn origins_of_web_views_and_extensions_can_be_allowed() {
    const ORIGINS: [&str; 4] = [
        "capacitor://localhost",
        "tauri://localhost",
        "ionic://localhost",
        "moz-extension://0c9e4d2a-8d5f-4b7e-9a5e-2f1d3c4b5a69",
    ];
    let server = Server::start(Settings::default().declare(&format!(
        "[[client]]\nclient_id = \"app\"\nredirect_uris = [\"com.example.app:/callback\"]\n\
         token_endpoint_auth_method = \"none\"\nallowed_origins = {ORIGINS:?}\n"
    )))
    .await;
    for origin in ORIGINS {
        assert_eq!(allowed(&preflight(&server, "token_endpoint", origin).await), origin);
        let bad = [("grant_type", "authorization_code"), ("code", "x"), ("client_id", "app")];
        let request = server.http().post(server.endpoint("token_endpoint")).header("origin", origin).form(&bad);
        let refused = Answer::of(request).await;
        assert_eq!((refused.status, allowed(&refused)), (400, origin), "{refused:?}");
    }
    for other in ["capacitor://elsewhere", "capacitor://localhost:80", "tauri://LOCALHOST", "chrome-extension://abc"] {
        assert_eq!(allowed(&preflight(&server, "token_endpoint", other).await), "", "{other}");
    }
}
