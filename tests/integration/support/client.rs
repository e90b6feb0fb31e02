//! A relying party, step by step: it asks for authorization, redeems, refreshes, introspects, revokes.
//!
//! It finds the endpoints by discovery, and authenticates by the method it is declared with.

use std::collections::HashMap;

use base64::{Engine, engine::general_purpose::STANDARD};
use mooring::jose::{base64url, random_bytes, sha256};
use reqwest::{
    RequestBuilder,
    header::{HeaderMap, WWW_AUTHENTICATE},
};
use serde_json::{Value, json};
use url::{
    Url,
    form_urlencoded::{byte_serialize, parse},
};

use super::{
    Server,
    agent::{Agent, Page},
    declared::{ALICE, CLIENT_KEY, NATIVE_REDIRECT_URIS, REDIRECT_URI, SECRET},
};

#[derive(Clone)]
pub struct Client<'s> {
    pub server: &'s Server,
    pub id: String,
    pub method: Method,
    pub redirect_uri: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    None,
    Basic(String),
    Post(String),
    Assertion,
}

/// An authorization request, and what has to be kept for its answer.
#[derive(Clone, Debug)]
pub struct Request {
    endpoint: String,
    pub parameters: Vec<(String, String)>,
    pub verifier: String,
}

/// What a JSON endpoint answered.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
}

/// What came of a code or a refresh token.
#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    pub id: String,
    pub all: Value,
}

/// A code, and what it takes to redeem it.
#[derive(Clone, Debug)]
pub struct Code {
    pub code: String,
    pub verifier: String,
}

impl<'s> Client<'s> {
    pub fn declared(server: &'s Server, id: &str) -> Self {
        let secret = SECRET.to_owned();
        let method = match id {
            "spa" | "native" => Method::None,
            "post" => Method::Post(secret),
            "pkj" => Method::Assertion,
            _ => Method::Basic(secret),
        };
        let redirect_uri = if id == "native" { NATIVE_REDIRECT_URIS[0] } else { REDIRECT_URI };
        Self { server, id: id.to_owned(), method, redirect_uri: redirect_uri.to_owned() }
    }

    /// The same client, authenticating otherwise than it is registered.
    pub fn by(&self, method: Method) -> Self {
        Self { method, ..self.clone() }
    }

    /// A usual request for `scope`.
    pub fn request(&self, scope: &str) -> Request {
        let verifier = base64url(&random_bytes::<32>());
        let challenge = base64url(&sha256(&[verifier.as_bytes()]));
        let parameters = [
            ("response_type", "code"),
            ("client_id", &self.id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", scope),
            ("state", "the state"),
            ("nonce", "the-nonce"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        Request {
            endpoint: self.server.endpoint("authorization_endpoint"),
            parameters: parameters.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            verifier,
        }
    }

    /// A code for `alice`, who signs in and consents where she is asked.
    pub async fn code(&self, agent: &Agent, scope: &str) -> Code {
        self.code_for(agent, ALICE, scope).await
    }

    pub async fn code_for(&self, agent: &Agent, username: &str, scope: &str) -> Code {
        let request = self.request(scope);
        let page = agent.walk(&request.url(), username).await;
        Code { code: page.code(), verifier: request.verifier }
    }

    /// A code and its tokens.
    pub async fn tokens(&self, agent: &Agent, scope: &str) -> Tokens {
        let code = self.code(agent, scope).await;
        self.redeem(&code).await.tokens()
    }

    pub async fn redeem(&self, code: &Code) -> Answer {
        self.token(&code.form(&self.redirect_uri)).await
    }

    pub async fn refresh(&self, refresh_token: &str) -> Answer {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token)]).await
    }

    pub async fn client_credentials(&self, scope: &str) -> Answer {
        let mut form = vec![("grant_type", "client_credentials")];
        if !scope.is_empty() {
            form.push(("scope", scope));
        }
        self.token(&form).await
    }

    /// A request to the token endpoint.
    pub async fn token(&self, form: &[(&str, &str)]) -> Answer {
        self.call("token_endpoint", form).await
    }

    pub async fn introspect(&self, token: &str) -> Answer {
        self.call("introspection_endpoint", &[("token", token)]).await
    }

    /// Whether the server says to this client that the token is active.
    pub async fn is_active(&self, token: &str) -> bool {
        let answer = self.introspect(token).await;
        let body = answer.ok();
        let active = body["active"].as_bool().unwrap_or_else(|| panic!("no active: {answer:?}"));
        // RFC 7662 §2.2: about an inactive token nothing else is said.
        assert!(active || body == json!({ "active": false }), "{body}");
        active
    }

    pub async fn revoke(&self, token: &str) -> Answer {
        self.call("revocation_endpoint", &[("token", token)]).await
    }

    pub async fn userinfo(&self, access_token: &str) -> Answer {
        userinfo(self.server, access_token).await
    }

    /// Pushes a request (RFC 9126).
    pub async fn push(&self, request: &Request) -> Answer {
        let parameters: Vec<_> =
            request.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        // Public clients and secrets in the body bring the client_id themselves.
        let brings_id = matches!(self.method, Method::None | Method::Post(_));
        let form: Vec<_> = parameters.into_iter().filter(|(name, _)| !(brings_id && *name == "client_id")).collect();
        self.call("pushed_authorization_request_endpoint", &form).await
    }

    /// The request with which a browser comes once `request` has been pushed.
    pub async fn pushed(&self, request: &Request) -> Request {
        let answer = self.push(request).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let request_uri = answer.json()["request_uri"].as_str().expect("a request_uri").to_owned();
        request.only(&[("client_id", &self.id), ("request_uri", &request_uri)])
    }

    /// Reports what was done with a token, as a resource server; `null` takes a member away.
    pub async fn report(&self, changes: &Value) -> Answer {
        let mut body =
            json!({ "action": "payment.create", "object": "payment/42", "outcome": "done", "trace_id": "t-1" });
        let mut form = Vec::new();
        let request = self.server.http().post(self.server.at("/hub/api/v1/sessions/events"));
        let request = self.authenticate(request, &mut form);
        let members = changes.as_object().expect("an object").iter();
        let more = form.into_iter().map(|(name, value)| (name, Value::String(value)));
        for (name, value) in members.map(|(name, value)| (name.clone(), value.clone())).chain(more) {
            body[name.as_str()] = value;
        }
        body.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
        Answer::of(request.json(&body)).await
    }

    /// A form, with the client's authentication, to an endpoint that discovery names.
    pub async fn call(&self, endpoint: &str, form: &[(&str, &str)]) -> Answer {
        let url = self.server.endpoint(endpoint);
        let mut form: Vec<(String, String)> =
            form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let request = self.authenticate(self.server.http().post(&url), &mut form);
        Answer::of(request.form(&form)).await
    }

    fn authenticate(&self, request: RequestBuilder, form: &mut Vec<(String, String)>) -> RequestBuilder {
        let mut add = |name: &str, value: &str| form.push((name.to_owned(), value.to_owned()));
        match &self.method {
            Method::None => add("client_id", &self.id),
            Method::Post(secret) => {
                add("client_id", &self.id);
                add("client_secret", secret);
            }
            Method::Basic(secret) => return request.header("authorization", basic(&self.id, secret)),
            Method::Assertion => {
                add("client_assertion_type", mooring::jose::CLIENT_ASSERTION_TYPE);
                add("client_assertion", &self.assertion(&json!({})));
            }
        }
        request
    }

    /// A client assertion, with `changes` to its usual claims; `null` takes one away.
    pub fn assertion(&self, changes: &Value) -> String {
        let now = self.server.clock.now().timestamp();
        let mut claims = json!({
            "iss": self.id, "sub": self.id, "aud": self.server.issuer, "jti": base64url(&random_bytes::<16>()),
            "iat": now, "exp": now + 60,
        });
        for (name, value) in changes.as_object().expect("an object") {
            if value.is_null() {
                claims.as_object_mut().expect("an object").remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        CLIENT_KEY.sign("JWT", &claims).expect("a signature")
    }
}

/// An `Authorization` header (RFC 6749 §2.3.1).
pub fn basic(id: &str, secret: &str) -> String {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(id), encode(secret))))
}

pub async fn userinfo(server: &Server, access_token: &str) -> Answer {
    let url = server.endpoint("userinfo_endpoint");
    Answer::of(server.http().get(url).bearer_auth(access_token)).await
}

impl Code {
    pub fn form<'a>(&'a self, redirect_uri: &'a str) -> [(&'a str, &'a str); 4] {
        [
            ("grant_type", "authorization_code"),
            ("code", &self.code),
            ("code_verifier", &self.verifier),
            ("redirect_uri", redirect_uri),
        ]
    }
}

impl Request {
    /// With another value, or one more parameter.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        match self.parameters.iter_mut().find(|(other, _)| other == name) {
            Some(pair) => value.clone_into(&mut pair.1),
            None => self.parameters.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    pub fn without(mut self, name: &str) -> Self {
        let before = self.parameters.len();
        self.parameters.retain(|(other, _)| other != name);
        assert!(self.parameters.len() < before, "there is no {name}");
        self
    }

    /// The parameter once more.
    pub fn repeat(mut self, name: &str, value: &str) -> Self {
        self.parameters.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The parameters of the request, in one object: what a request object says.
    pub fn claims(&self) -> Value {
        Value::Object(self.parameters.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect())
    }

    /// Another request with only these parameters; its verifier is this one's.
    pub fn only(&self, parameters: &[(&str, &str)]) -> Self {
        let parameters = parameters.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { parameters, ..self.clone() }
    }

    pub fn url(&self) -> String {
        Url::parse_with_params(&self.endpoint, &self.parameters).expect("a URL").into()
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let answer = request.send().await.unwrap_or_else(|error| panic!("{error:?}"));
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Self { status, headers, text: answer.text().await.expect("a body") }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        assert!(self.header("content-type").starts_with("application/json"), "{self:?}");
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The body of a success.
    #[track_caller]
    pub fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    #[track_caller]
    pub fn tokens(&self) -> Tokens {
        let all = self.ok();
        // RFC 6749 §5.1.
        assert_eq!(self.header("cache-control"), "no-store", "{self:?}");
        assert_eq!(all["token_type"], "Bearer", "{all}");
        assert!(all["expires_in"].as_i64().is_some_and(|seconds| seconds > 0), "{all}");
        let member = |name: &str| all[name].as_str().unwrap_or_default().to_owned();
        assert!(!member("access_token").is_empty(), "{all}");
        Tokens { access: member("access_token"), refresh: member("refresh_token"), id: member("id_token"), all }
    }

    /// The error is this one, in the form of RFC 6749 §5.2.
    #[track_caller]
    pub fn refused(&self, error: &str) -> &Self {
        let status = match error {
            "invalid_client" => 401,
            _ => 400,
        };
        self.refused_with(status, error)
    }

    #[track_caller]
    pub fn refused_with(&self, status: u16, error: &str) -> &Self {
        assert_eq!(self.status, status, "{error} expected: {self:?}");
        let body = self.json();
        assert_eq!(body["error"], error, "{self:?}");
        let known = ["error", "error_description", "error_uri"];
        assert!(body.as_object().is_some_and(|all| all.keys().all(|name| known.contains(&name.as_str()))), "{body}");
        self
    }

    /// RFC 6750 §3: the token is good for nothing.
    #[track_caller]
    pub fn token_refused(&self) -> &Self {
        assert_eq!(self.status, 401, "{self:?}");
        let challenge = self.headers.get(WWW_AUTHENTICATE).map_or("", |value| value.to_str().expect("ASCII"));
        assert!(challenge.starts_with("Bearer") && challenge.contains("error=\"invalid_token\""), "{self:?}");
        self
    }
}

impl Page {
    /// The parameters with which the browser leaves the server.
    #[track_caller]
    pub fn answer(&self) -> HashMap<String, String> {
        assert!(
            matches!(self.status, 302 | 303),
            "no answer to the client: {} {}\n{}",
            self.status,
            self.url,
            self.body
        );
        let location = self.location().expect("a redirect has a location");
        // An error for a client that asked for a token listens in the fragment.
        let pairs = location.fragment().map_or_else(|| location.query_pairs(), |it| parse(it.as_bytes()));
        pairs.into_owned().collect()
    }

    #[track_caller]
    pub fn code(&self) -> String {
        let answer = self.answer();
        answer.get("code").unwrap_or_else(|| panic!("no code: {answer:?}")).clone()
    }

    /// The error with which the browser is sent back to the client.
    #[track_caller]
    pub fn error(&self) -> String {
        let answer = self.answer();
        assert!(!answer.contains_key("code"), "{answer:?}");
        answer.get("error").unwrap_or_else(|| panic!("no error: {answer:?}")).clone()
    }
}
