//! Facts of oxide-auth that `engine/` routes around. Each says what the machine does; beside it stands what we answer.

use std::borrow::Cow;

use oxide_auth::{
    code_grant::{
        accesstoken::{self, AccessToken},
        authorization::{self, Authorization},
        extensions::Pkce,
        refresh::{self, Refresh},
        resource::{self, Resource},
    },
    primitives::{
        grant::{Extensions, Grant},
        registrar::{BoundClient, ExactUrl, RegisteredUrl},
        scope::Scope,
    },
};

#[derive(Clone, Default)]
struct Request {
    client_id: Option<&'static str>,
    redirect_uri: Option<&'static str>,
    response_type: Option<&'static str>,
    grant_type: Option<&'static str>,
    code: Option<&'static str>,
    basic: bool,
}

impl authorization::Request for Request {
    fn valid(&self) -> bool {
        true
    }
    fn client_id(&self) -> Option<Cow<'_, str>> {
        self.client_id.map(Into::into)
    }
    fn scope(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn redirect_uri(&self) -> Option<Cow<'_, str>> {
        self.redirect_uri.map(Into::into)
    }
    fn state(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn response_type(&self) -> Option<Cow<'_, str>> {
        self.response_type.map(Into::into)
    }
    fn extension(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

impl accesstoken::Request for Request {
    fn valid(&self) -> bool {
        true
    }
    fn code(&self) -> Option<Cow<'_, str>> {
        self.code.map(Into::into)
    }
    fn authorization(&self) -> accesstoken::Authorization<'_> {
        if self.basic {
            accesstoken::Authorization::UsernamePassword("c".into(), Cow::Borrowed(b"s"))
        } else {
            accesstoken::Authorization::Username("c".into())
        }
    }
    fn client_id(&self) -> Option<Cow<'_, str>> {
        self.client_id.map(Into::into)
    }
    fn redirect_uri(&self) -> Option<Cow<'_, str>> {
        self.redirect_uri.map(Into::into)
    }
    fn grant_type(&self) -> Option<Cow<'_, str>> {
        self.grant_type.map(Into::into)
    }
    fn extension(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

struct RefreshRequest;

impl refresh::Request for RefreshRequest {
    fn valid(&self) -> bool {
        true
    }
    fn refresh_token(&self) -> Option<Cow<'_, str>> {
        Some("r".into())
    }
    fn scope(&self) -> Option<Cow<'_, str>> {
        None
    }
    fn grant_type(&self) -> Option<Cow<'_, str>> {
        Some("refresh_token".into())
    }
    fn authorization(&self) -> Option<(Cow<'_, str>, Cow<'_, [u8]>)> {
        Some(("c".into(), Cow::Borrowed(b"s")))
    }
    fn extension(&self, _: &str) -> Option<Cow<'_, str>> {
        None
    }
}

fn grant(redirect_uri: &str) -> Box<Grant> {
    Box::new(Grant {
        owner_id: "o".into(),
        client_id: "c".into(),
        scope: "a b".parse().unwrap(),
        redirect_uri: redirect_uri.parse().unwrap(),
        until: chrono::DateTime::<chrono::Utc>::MAX_UTC,
        extensions: Extensions::new(),
    })
}

fn redeeming() -> Request {
    Request {
        redirect_uri: Some("https://rp.example/cb"),
        grant_type: Some("authorization_code"),
        code: Some("k"),
        ..Request::default()
    }
}

fn said(mut error: accesstoken::Error) -> String {
    error.description().map(|description| description.kind().to_string()).unwrap_or_default()
}

/// We answer from our own errors, in `http/render/json.rs`.
#[test]
fn an_error_is_described_as_description_rather_than_error_description() {
    let mut error = accesstoken::Error::invalid();
    error.description().unwrap().explain("why");
    let accesstoken::Error::Invalid(description) = error else { panic!("another error") };
    let json: serde_json::Value = serde_json::from_str(&description.to_json()).unwrap();
    assert_eq!(json["description"], "why");
    assert!(json.get("error_description").is_none());
}

/// We answer `invalid_grant` (RFC 6749 §5.2).
#[test]
fn an_unknown_code_is_invalid_request() {
    let mut machine = AccessToken::new(&redeeming());
    assert!(matches!(machine.advance(accesstoken::Input::None), accesstoken::Output::Authenticate { .. }));
    assert!(matches!(machine.advance(accesstoken::Input::Authenticated), accesstoken::Output::Recover { .. }));
    let accesstoken::Output::Err(error) = machine.advance(accesstoken::Input::Recovered(None)) else {
        panic!("no error")
    };
    assert_eq!(said(*error), "invalid_request");
}

/// We answer `invalid_request` (RFC 6749 §4.1.2.1).
#[test]
fn a_missing_response_type_is_unsupported_response_type() {
    let request = Request { client_id: Some("c"), redirect_uri: Some("https://rp.example/cb"), ..Request::default() };
    let mut machine = Authorization::new(&request);
    assert!(matches!(machine.advance(authorization::Input::None), authorization::Output::Bind { .. }));
    let bound_client = BoundClient {
        client_id: "c".into(),
        redirect_uri: Cow::Owned(RegisteredUrl::Exact(ExactUrl::new("https://rp.example/cb".into()).unwrap())),
    };
    let authorization::Output::Err(mut error) =
        machine.advance(authorization::Input::Bound { request: &request, bound_client })
    else {
        panic!("no error")
    };
    assert_eq!(error.description().unwrap().kind().to_string(), "unsupported_response_type");
}

/// OAuth 2.1 §4.1.3 no longer sends it: we hand the machine the one of the authorization request.
#[test]
fn a_token_request_without_redirect_uri_is_refused() {
    let mut machine = AccessToken::new(&Request { redirect_uri: None, ..redeeming() });
    assert!(matches!(machine.advance(accesstoken::Input::None), accesstoken::Output::Err(_)));
}

/// We compare the text before the machine does.
#[test]
fn redirect_uris_are_compared_as_parsed() {
    let request = Request { redirect_uri: Some("https://RP.example:443/cb"), ..redeeming() };
    let mut machine = AccessToken::new(&request);
    machine.advance(accesstoken::Input::Authenticated);
    let recovered = accesstoken::Input::Recovered(Some(grant("https://rp.example/cb")));
    assert!(matches!(machine.advance(recovered), accesstoken::Output::Extend { .. }));
}

/// `oauth::redirect_uri` refuses them.
#[test]
fn a_fragment_in_a_redirect_uri_is_accepted() {
    assert!(ExactUrl::new("https://rp.example/cb#fragment".into()).is_ok());
}

/// Ours keeps the order in which it was asked for.
#[test]
fn a_scope_prints_in_any_order() {
    let scope: Scope = "c a b".parse().unwrap();
    let mut printed: Vec<_> = scope.to_string().split(' ').map(str::to_owned).collect();
    printed.sort();
    assert_eq!(printed, ["a", "b", "c"]);
}

/// `oauth::pkce` checks 43 to 128 characters (RFC 7636 §4.1).
#[test]
fn the_length_of_a_verifier_is_not_checked() {
    let pkce = Pkce::required();
    let challenge = mooring::oauth::pkce::challenge_of("short");
    let kept = pkce.challenge(Some("S256".into()), Some(challenge.into())).unwrap();
    assert!(pkce.verify(kept, Some("short".into())).is_ok());
}

/// RFC 6749 §2.3.1 does not forbid it: we hand the machine one of them only.
#[test]
fn basic_beside_a_client_id_in_the_body_is_refused() {
    let mut machine = AccessToken::new(&Request { client_id: Some("c"), basic: true, ..redeeming() });
    assert!(matches!(machine.advance(accesstoken::Input::None), accesstoken::Output::Err(_)));
}

/// `engine/refresh.rs` sends it only as the first input.
#[test]
fn refresh_loses_its_state_when_it_is_advanced_with_nothing() {
    let mut machine = Refresh::new(&RefreshRequest);
    machine.advance(refresh::Input::None);
    machine.advance(refresh::Input::Authenticated { scope: None });
    let recovered = refresh::Input::Recovered { scope: None, grant: Some(grant("https://rp.example/cb")) };
    assert!(matches!(machine.advance(recovered), refresh::Output::Refresh { .. }));
    assert!(matches!(machine.advance(refresh::Input::None), refresh::Output::Err(refresh::Error::Primitive)));
}

/// Expiry is ours: the grant handed in never expires, and what comes out is not looked at.
#[test]
fn refresh_sets_the_expiry_to_an_hour_from_the_systems_now() {
    let mut machine = Refresh::new(&RefreshRequest);
    machine.advance(refresh::Input::None);
    machine.advance(refresh::Input::Authenticated { scope: None });
    let recovered = refresh::Input::Recovered { scope: None, grant: Some(grant("https://rp.example/cb")) };
    let refresh::Output::Refresh { grant, .. } = machine.advance(recovered) else { panic!("no refresh") };
    assert!(grant.until < chrono::DateTime::<chrono::Utc>::MAX_UTC);
}

struct Bearer(&'static str);

impl resource::Request for Bearer {
    fn valid(&self) -> bool {
        true
    }
    fn token(&self) -> Option<Cow<'_, str>> {
        Some(self.0.into())
    }
}

/// We answer `invalid_token` (RFC 6750 §3.1), from our own look-up.
#[test]
fn an_unknown_token_is_invalid_request_and_only_bearer_is_known() {
    let mut machine = Resource::new();
    machine.advance(resource::Input::Request { request: &Bearer("Bearer t") });
    machine.advance(resource::Input::Scopes(&["a".parse().unwrap()]));
    let resource::Output::Err(resource::Error::AccessDenied { failure, .. }) =
        machine.advance(resource::Input::Recovered(None))
    else {
        panic!("no refusal")
    };
    assert!(matches!(failure.code, Some(resource::ErrorCode::InvalidRequest)));
    let mut machine = Resource::new();
    let refused = machine.advance(resource::Input::Request { request: &Bearer("DPoP t") });
    assert!(matches!(refused, resource::Output::Err(resource::Error::InvalidRequest { .. })));
}
