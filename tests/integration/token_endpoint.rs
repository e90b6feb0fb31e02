//! The token endpoint's manners: methods, bodies, parameters.

use crate::support::{Answer, Server, Settings, client::basic, declared::SECRET};

async fn post(server: &Server, content_type: Option<&str>, body: &str) -> Answer {
    let mut request =
        server.http().post(server.endpoint("token_endpoint")).header("authorization", basic("machine", SECRET));
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    Answer::of(request.body(body.to_owned())).await
}

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

#[tokio::test]
async fn only_a_form_by_post_is_a_request() {
    let server = Server::usual().await;
    let body = "grant_type=client_credentials";
    for good in [
        "application/x-www-form-urlencoded",
        "application/x-www-form-urlencoded;charset=UTF-8",
        "Application/X-WWW-Form-URLEncoded",
    ] {
        post(&server, Some(good), body).await.tokens();
    }
    for wrong in [None, Some("application/json"), Some("text/plain"), Some("multipart/form-data; boundary=x")] {
        assert_eq!(post(&server, wrong, body).await.status, 415, "{wrong:?}");
    }
    for method in ["GET", "PUT", "DELETE", "PATCH", "HEAD"] {
        let request = server.http().request(method.parse().unwrap(), server.endpoint("token_endpoint"));
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.header("allow").contains("POST") && !answer.header("allow").contains("GET"), "{answer:?}");
    }
    for endpoint in ["introspection_endpoint", "revocation_endpoint"] {
        let answer = Answer::of(server.http().get(server.endpoint(endpoint))).await;
        assert_eq!((answer.status, answer.header("allow").contains("POST")), (405, true), "{endpoint}");
        let json = server.http().post(server.endpoint(endpoint)).header("content-type", "application/json").body("{}");
        assert_eq!(Answer::of(json).await.status, 415, "{endpoint}");
    }
}

#[tokio::test]
async fn too_much_is_too_much() {
    let server = Server::usual().await;
    let big = format!("grant_type=client_credentials&x={}", "x".repeat(1_000_000));
    assert_eq!(post(&server, FORM, &big).await.status, 413);
    let value = format!("grant_type=client_credentials&x={}", "x".repeat(9_000));
    post(&server, FORM, &value).await.refused("invalid_request");
    let many = format!("grant_type=client_credentials{}", "&x=1".repeat(500));
    post(&server, FORM, &many).await.refused("invalid_request");
}

#[tokio::test]
async fn what_is_missing_repeated_or_unknown_is_refused() {
    let server = Server::usual().await;
    for (body, error) in [
        ("", "invalid_request"),
        ("scope=ships:read", "invalid_request"),
        ("grant_type=", "invalid_request"),
        ("grant_type=password&username=alice&password=x", "unsupported_grant_type"),
        ("grant_type=implicit", "unsupported_grant_type"),
        ("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer", "unsupported_grant_type"),
        ("grant_type=authorization_code&code=x", "unauthorized_client"),
        ("grant_type=refresh_token&refresh_token=x", "unauthorized_client"),
        ("grant_type=client_credentials&grant_type=client_credentials", "invalid_request"),
        ("grant_type=client_credentials&scope=ships:read&scope=ships:write", "invalid_request"),
        ("grant_type=client_credentials&x=%zz", "invalid_request"),
        ("grant_type=client_credentials&x=%00", "invalid_request"),
        ("grant_type=client_credentials&x=%ff", "invalid_request"),
    ] {
        post(&server, FORM, body).await.refused(error);
    }
    // Sent empty is omitted (RFC 6749 §3.2); what is unheard of is ignored.
    post(&server, FORM, "grant_type=client_credentials&scope=&unheard-of=1").await.tokens();
    // Parameters of the address are not those of the request.
    let url = format!("{}?grant_type=client_credentials", server.endpoint("token_endpoint"));
    let request =
        server.http().post(url).header("authorization", basic("machine", SECRET)).header("content-type", FORM.unwrap());
    Answer::of(request).await.refused("invalid_request");
}

/// An error tells the caller what to change, and nothing about us.
#[tokio::test]
async fn no_answer_shows_the_works() {
    let server = Server::usual().await;
    for body in ["grant_type=authorization_code&code='; DROP TABLE users; --", "grant_type=%F0%9F%A6%80", "\u{0}", "%"]
    {
        let answer = post(&server, FORM, body).await;
        assert!((400..500).contains(&answer.status), "{body:?}: {answer:?}");
        for word in ["panicked", "diesel", "postgres", "src/", ".rs:", "SELECT"] {
            assert!(!answer.text.contains(word), "{body:?}: {}", answer.text);
        }
    }
}

/// HEAD is GET without the body (RFC 9110 §9.3.2): monitors and load balancers ask so.
#[tokio::test]
async fn whatever_is_got_can_be_asked_for_its_head() {
    let server = Server::usual().await;
    for path in ["/healthz", "/readyz", "/.well-known/openid-configuration", "/oauth/jwks", "/login", "/", "/nowhere"] {
        let (get, head) = (server.http().get(server.at(path)), server.http().head(server.at(path)));
        let (get, head) = (Answer::of(get).await, Answer::of(head).await);
        assert_eq!((head.status, head.text.as_str()), (get.status, ""), "{path}");
        assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
    }
    let post = Answer::of(server.http().post(server.at("/healthz"))).await;
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD"));
}

/// A word that is not there has no value: `scope` names at least one (RFC 6749 §3.3).
#[tokio::test]
async fn no_scope_is_not_an_empty_one() {
    let declared = format!(
        "[[client]]\nclient_id = \"plain\"\nclient_secret = \"{SECRET}\"\ngrant_types = [\"client_credentials\"]\n\
         redirect_uris = []\nscope = \"\"\n"
    );
    let server = Server::start(Settings::default().declare(&declared)).await;
    let client = server.client("plain");
    let answer = client.client_credentials("").await.ok();
    assert!(answer.get("scope").is_none(), "{answer}");
    let seen = client.introspect(answer["access_token"].as_str().unwrap()).await.ok();
    assert!(seen["active"] == true && seen.get("scope").is_none(), "{seen}");
}
