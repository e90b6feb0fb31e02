//! The token in a request (RFC 6750 §2.1): an extractor, so that a handler that names [`AccessToken`] cannot be reached
//! without one.

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header, web};
use futures_util::future::{FutureExt, LocalBoxFuture};

use super::{AccessToken, Refusal, ResourceServer};

impl FromRequest for AccessToken {
    type Error = Refusal;
    type Future = LocalBoxFuture<'static, Result<Self, Refusal>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        // The middleware has looked at it.
        let seen = request.extensions().get::<Self>().cloned();
        let server = request.app_data::<web::Data<ResourceServer>>().cloned();
        let token = presented(request);
        async move {
            if let Some(seen) = seen {
                return Ok(seen);
            }
            let Some(server) = server else {
                tracing::error!("the application has no web::Data<ResourceServer>");
                return Err(Refusal::Unavailable);
            };
            server.validate(&token?).await?.ok_or(Refusal::InvalidToken)
        }
        .boxed_local()
    }
}

fn presented(request: &HttpRequest) -> Result<String, Refusal> {
    let mut headers = request.headers().get_all(header::AUTHORIZATION);
    let Some(header) = headers.next() else { return Err(Refusal::NoToken) };
    if headers.next().is_some() {
        return Err(Refusal::InvalidRequest);
    }
    let header = header.to_str().map_err(|_| Refusal::InvalidRequest)?;
    let (scheme, token) = header.split_once(' ').unwrap_or((header, ""));
    if !scheme.eq_ignore_ascii_case("Bearer") {
        return Err(Refusal::NoToken);
    }
    let token = token.trim_matches(' ');
    // RFC 6750 §2.1: b64token.
    let within = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    if token.is_empty() || !token.bytes().all(within) { Err(Refusal::InvalidRequest) } else { Ok(token.to_owned()) }
}

#[cfg(test)]
mod tests {
    use actix_web::{App, HttpResponse, dev::ServiceResponse, http::StatusCode, test};
    use serde_json::{Value, json};
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{body_string_contains, header as has_header, method, path},
    };

    use super::{
        super::{Protect, Requirement, Work},
        *,
    };

    /// A server whose introspection knows the token `live`.
    async fn authorization_server() -> MockServer {
        let server = MockServer::start().await;
        let metadata = json!({ "issuer": server.uri(), "introspection_endpoint": format!("{}/i", server.uri()) });
        let answers = |json: Value| ResponseTemplate::new(200).set_body_json(json);
        Mock::given(path("/.well-known/openid-configuration")).respond_with(answers(metadata)).mount(&server).await;
        let live = json!({ "active": true, "token_type": "Bearer", "sub": "alice", "scope": "hello:read" });
        Mock::given(method("POST"))
            .and(path("/i"))
            // "a%20pi" would be a name with a percent sign: the parts are form-encoded.
            .and(has_header("authorization", "Basic YStwaTpzJTNBZWNyZXQ="))
            .and(body_string_contains("token=live"))
            .respond_with(answers(live))
            .mount(&server)
            .await;
        Mock::given(body_string_contains("token=broken")).respond_with(ResponseTemplate::new(500)).mount(&server).await;
        Mock::given(path("/i")).respond_with(answers(json!({ "active": false }))).with_priority(9).mount(&server).await;
        server
    }

    async fn call(headers: &[&str], scope: &'static str) -> ServiceResponse {
        let server = authorization_server().await;
        let guard = ResourceServer::discover(reqwest::Client::new(), &server.uri(), "a pi", "s:ecret").await.unwrap();
        let hello = move |token: AccessToken| async move {
            token.require(scope)?;
            Ok::<_, Refusal>(HttpResponse::Ok().body(token.subject.unwrap_or_default()))
        };
        let app = App::new().app_data(web::Data::new(guard)).route("/", web::get().to(hello));
        let app = test::init_service(app).await;
        let request = headers
            .iter()
            .fold(test::TestRequest::get(), |request, header| request.append_header((header::AUTHORIZATION, *header)));
        test::call_service(&app, request.to_request()).await
    }

    fn challenge(answer: &ServiceResponse) -> &str {
        answer.headers().get(header::WWW_AUTHENTICATE).map_or("", |value| value.to_str().unwrap())
    }

    #[actix_web::test]
    async fn a_live_token_opens_and_no_other_does() {
        let cases: &[(&[&str], StatusCode, &str)] = &[
            (&["Bearer live"], StatusCode::OK, ""),
            (&["bearer live"], StatusCode::OK, ""),
            (&["Bearer dead"], StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\""),
            (&[], StatusCode::UNAUTHORIZED, "Bearer"),
            (&["Basic YTpi"], StatusCode::UNAUTHORIZED, "Bearer"),
            (&["Bearer"], StatusCode::BAD_REQUEST, "Bearer error=\"invalid_request\""),
            (&["Bearer live live"], StatusCode::BAD_REQUEST, "Bearer error=\"invalid_request\""),
            (&["Bearer live", "Bearer live"], StatusCode::BAD_REQUEST, "Bearer error=\"invalid_request\""),
            (&["Bearer broken"], StatusCode::SERVICE_UNAVAILABLE, ""),
        ];
        for (headers, status, expected) in cases {
            let answer = call(headers, "hello:read").await;
            assert_eq!((answer.status(), challenge(&answer)), (*status, *expected), "{headers:?}");
        }
    }

    #[actix_web::test]
    async fn a_scope_that_was_not_granted_is_forbidden() {
        let answer = call(&["Bearer live"], "hello:write").await;
        assert_eq!(answer.status(), StatusCode::FORBIDDEN);
        assert_eq!(challenge(&answer), "Bearer error=\"insufficient_scope\", scope=\"hello:write\"");
    }

    /// A middleware in front of a handler that takes the token and reports.
    #[actix_web::test]
    async fn what_a_route_asks_for_is_challenged_and_asked_for_once() {
        const PAYMENT: Requirement = Requirement::scope("payments:write").acr("phr").max_age(300);
        let server = authorization_server().await;
        let now = crate::clock::Clock::default().now().timestamp();
        let payer = |acr: &str, age: i64| json!({ "active": true, "token_type": "Bearer", "scope": "payments:write", "acr": acr, "auth_time": now - age });
        for (token, answer) in [("fresh", payer("phrh", 10)), ("old", payer("phr", 400)), ("weak", payer("pwd", 1))] {
            Mock::given(body_string_contains(format!("token={token}")))
                .respond_with(ResponseTemplate::new(200).set_body_json(answer))
                .expect(1)
                .mount(&server)
                .await;
        }
        Mock::given(path("/hub/api/v1/sessions/events"))
            .and(has_header("authorization", "Basic YStwaTpzJTNBZWNyZXQ="))
            .and(wiremock::matchers::body_json(json!({
                "token": "fresh", "action": "payment.create", "object": "42", "outcome": null, "trace_id": null,
            })))
            .respond_with(ResponseTemplate::new(202))
            .expect(1)
            .with_priority(1)
            .mount(&server)
            .await;
        let guard = ResourceServer::discover(reqwest::Client::new(), &server.uri(), "a pi", "s:ecret").await.unwrap();
        let pay = |token: AccessToken, server: web::Data<ResourceServer>| async move {
            assert!(!format!("{token:?}").contains("fresh"));
            let work = Work { action: "payment.create", object: Some("42"), ..Work::default() };
            server.report(&token, &work).await?;
            Ok::<_, Refusal>(HttpResponse::Created().finish())
        };
        let payments = web::resource("/").wrap(Protect(PAYMENT)).route(web::post().to(pay));
        let app = test::init_service(App::new().app_data(web::Data::new(guard)).service(payments)).await;
        let asked = "acr_values=\"phr\", max_age=\"300\"";
        let insufficient = "Bearer error=\"insufficient_user_authentication\", error_description=\"A";
        for (token, status, expected) in [
            (Some("fresh"), StatusCode::CREATED, String::new()),
            (
                Some("old"),
                StatusCode::UNAUTHORIZED,
                format!("{insufficient} more recent authentication is required\", {asked}"),
            ),
            (
                Some("weak"),
                StatusCode::UNAUTHORIZED,
                format!("{insufficient} stronger authentication is required\", {asked}"),
            ),
            (
                Some("live"),
                StatusCode::UNAUTHORIZED,
                format!("{insufficient} stronger authentication is required\", {asked}, scope=\"payments:write\""),
            ),
            (Some("dead"), StatusCode::UNAUTHORIZED, "Bearer error=\"invalid_token\"".to_owned()),
            (None, StatusCode::UNAUTHORIZED, "Bearer".to_owned()),
        ] {
            let mut request = test::TestRequest::post();
            if let Some(token) = token {
                request = request.append_header((header::AUTHORIZATION, format!("Bearer {token}")));
            }
            let answer = test::call_service(&app, request.to_request()).await;
            assert_eq!((answer.status(), challenge(&answer)), (status, expected.as_str()), "{token:?}");
        }
    }

    #[actix_web::test]
    async fn another_issuers_document_is_not_used() {
        let server = authorization_server().await;
        let other = server.uri().replace("127.0.0.1", "localhost");
        assert!(ResourceServer::discover(reqwest::Client::new(), &other, "a pi", "s:ecret").await.is_err());
    }
}
