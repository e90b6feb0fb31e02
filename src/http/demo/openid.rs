//! The relying party's side of OpenID Connect, small enough to be read: discovery, the code flow with PKCE, and every
//! check that a relying party owes its user. The demo application and the demo's walk both stand on it.
//!
//! Not for the server, and not a library: one client, confidential, `client_secret_basic`. Addresses come from the
//! discovery document only.

use std::fmt;

use serde::Deserialize;
use serde_json::{Map, Value};
use url::Url;

use super::challenge::StepUp;
use crate::{
    clock::Clock,
    jose::{Algorithm, at_hash, base64url, constant_time_eq, from_base64url, random_bytes, verify_own},
    oauth::pkce,
};

/// The members of the discovery document that are used (OIDC Discovery §3).
#[derive(Clone, Debug, Deserialize)]
pub struct Discovery {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub userinfo_endpoint: String,
    pub jwks_uri: String,
    pub introspection_endpoint: String,
    pub end_session_endpoint: String,
}

/// How the server knows the client.
#[derive(Clone)]
pub struct Credentials {
    pub client_id: String,
    pub client_secret: String,
}

/// A client of one server.
#[derive(Clone)]
pub struct Party {
    pub discovery: Discovery,
    http: reqwest::Client,
    clock: Clock,
    credentials: Credentials,
    redirect_uri: String,
    scope: &'static str,
}

/// A sign-in that was begun: what the answer must fit.
#[derive(Clone)]
pub struct Asked {
    /// Where the browser is sent.
    pub url: String,
    pub state: String,
    /// The person was to prove more, for what an API asked for.
    pub stepping_up: bool,
    nonce: String,
    verifier: String,
}

/// What came back to the redirect URI (RFC 6749 §4.1.2, RFC 9207).
#[derive(Clone, Default, Deserialize)]
pub struct Answer {
    pub code: Option<String>,
    pub state: Option<String>,
    pub iss: Option<String>,
    pub error: Option<String>,
    pub error_description: Option<String>,
}

/// What the token endpoint gave, verified.
#[derive(Clone)]
pub struct Tokens {
    pub access_token: String,
    pub refresh_token: Option<String>,
    pub id_token: String,
    pub id_claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct TokenAnswer {
    access_token: String,
    token_type: String,
    refresh_token: Option<String>,
    id_token: Option<String>,
}

/// Why something did not come out: an error of the protocol, which has a code, or an answer that must not be trusted.
#[derive(Clone, Debug)]
pub struct Trouble {
    pub code: Option<String>,
    what: String,
}

impl Trouble {
    pub fn new(what: impl fmt::Display) -> Self {
        Self { code: None, what: what.to_string() }
    }

    pub fn refused(code: &str, description: Option<&str>) -> Self {
        let what = description.map_or_else(|| code.to_owned(), |text| format!("{code}: {text}"));
        Self { code: Some(code.to_owned()), what }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        Self::new(format_args!("a request failed: {error}"))
    }
}

impl Party {
    /// Reads the discovery document of `issuer`.
    pub async fn discover(
        http: reqwest::Client,
        clock: Clock,
        issuer: &str,
        credentials: Credentials,
        redirect_uri: String,
        scope: &'static str,
    ) -> Result<Self, Trouble> {
        let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
        let answer = http.get(&address).send().await?.error_for_status()?;
        let discovery: Discovery = answer.json().await?;
        // OIDC Discovery §4.3.
        if discovery.issuer != issuer {
            return Err(Trouble::new(format_args!("{address} speaks for {}", discovery.issuer)));
        }
        Ok(Self { discovery, http, clock, credentials, redirect_uri, scope })
    }

    /// Begins a sign-in, with secrets of its own.
    #[must_use]
    pub fn begin(&self) -> Asked {
        self.begin_for(&StepUp::default())
    }

    /// Begins one for a person who is to prove more, for more than the usual scope: what an API asked for.
    #[must_use]
    pub fn begin_for(&self, step_up: &StepUp) -> Asked {
        let scope = [Some(self.scope), step_up.scope.as_deref()].into_iter().flatten().collect::<Vec<_>>().join(" ");
        let more = [("acr_values", &step_up.acr_values), ("max_age", &step_up.max_age)];
        let more = more.into_iter().filter_map(|(name, value)| Some((name, value.as_deref()?)));
        let [state, nonce, verifier] = [0; 3].map(|_| base64url(&random_bytes::<32>()));
        let challenge = pkce::challenge_of(&verifier);
        let parameters: Vec<(&str, &str)> = [
            ("response_type", "code"),
            ("client_id", &self.credentials.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("scope", &scope),
            ("state", &state),
            ("nonce", &nonce),
            ("code_challenge", &challenge),
            ("code_challenge_method", pkce::METHOD),
        ]
        .into_iter()
        .chain(more)
        .collect();
        let url = with_query(&self.discovery.authorization_endpoint, &parameters);
        Asked { url, state, stepping_up: *step_up != StepUp::default(), nonce, verifier }
    }

    /// Checks an answer against what was asked, and gives its code.
    pub fn check<'a>(&self, asked: &Asked, answer: &'a Answer) -> Result<&'a str, Trouble> {
        if !answer.state.as_ref().is_some_and(|state| constant_time_eq(state.as_bytes(), asked.state.as_bytes())) {
            return Err(Trouble::new("the answer does not belong to this request: its state is another"));
        }
        // RFC 9207 §2.4: before anything else of the answer is believed, errors included.
        if answer.iss.as_deref() != Some(self.discovery.issuer.as_str()) {
            return Err(Trouble::new("the answer does not come from the server that was asked: its iss is another"));
        }
        if let Some(error) = &answer.error {
            return Err(Trouble::refused(error, answer.error_description.as_deref()));
        }
        answer.code.as_deref().ok_or_else(|| Trouble::new("the answer has neither a code nor an error"))
    }

    /// Exchanges a code for tokens and verifies the ID token.
    pub async fn redeem(&self, asked: &Asked, code: &str) -> Result<Tokens, Trouble> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code_verifier", asked.verifier.as_str()),
        ];
        let answer = self.tokens(&fields).await?;
        let id_token = answer.id_token.ok_or_else(|| Trouble::new("no ID token came with the access token"))?;
        let id_claims = self.verify(&id_token, &answer.access_token).await?;
        if id_claims.get("nonce").and_then(Value::as_str) != Some(asked.nonce.as_str()) {
            return Err(Trouble::new("the ID token belongs to another sign-in: its nonce is another"));
        }
        Ok(Tokens { access_token: answer.access_token, refresh_token: answer.refresh_token, id_token, id_claims })
    }

    /// New tokens for old ones. The code of the [`Trouble`] is `invalid_grant` when the session has ended.
    pub async fn refresh(&self, held: &Tokens) -> Result<Tokens, Trouble> {
        let Some(refresh_token) = &held.refresh_token else { return Err(Trouble::new("there is no refresh token")) };
        let fields = [("grant_type", "refresh_token"), ("refresh_token", refresh_token.as_str())];
        let answer = self.tokens(&fields).await?;
        let (id_token, id_claims) = match answer.id_token {
            None => (held.id_token.clone(), held.id_claims.clone()),
            Some(id_token) => {
                let claims = self.verify(&id_token, &answer.access_token).await?;
                // OIDC Core §12.2: nobody else may come out of a refresh.
                if claims.get("sub") != held.id_claims.get("sub") {
                    return Err(Trouble::new("the refreshed ID token is about somebody else"));
                }
                (id_token, claims)
            }
        };
        let refresh_token = answer.refresh_token.or_else(|| held.refresh_token.clone());
        Ok(Tokens { access_token: answer.access_token, refresh_token, id_token, id_claims })
    }

    /// The claims that the access token opens; the code of the [`Trouble`] is `invalid_token` when it is dead.
    pub async fn userinfo(&self, access_token: &str) -> Result<Map<String, Value>, Trouble> {
        let request = self.http.get(&self.discovery.userinfo_endpoint).bearer_auth(access_token);
        let answer = request.send().await?;
        if answer.status().is_success() { Ok(answer.json().await?) } else { Err(refusal(answer).await) }
    }

    /// What the server says of a token now (RFC 7662).
    pub async fn introspect(&self, token: &str) -> Result<Map<String, Value>, Trouble> {
        self.post(&self.discovery.introspection_endpoint, &[("token", token)]).await
    }

    /// Where a browser is sent to end the session (OIDC RP-Initiated Logout §2).
    #[must_use]
    pub fn end_session_url(&self, id_token: &str, return_to: &str) -> String {
        with_query(
            &self.discovery.end_session_endpoint,
            &[("id_token_hint", id_token), ("post_logout_redirect_uri", return_to)],
        )
    }

    async fn tokens(&self, fields: &[(&str, &str)]) -> Result<TokenAnswer, Trouble> {
        let answer: TokenAnswer = self.post(&self.discovery.token_endpoint, fields).await?;
        // RFC 6749 §7.1: a token of a kind that one does not know must not be used.
        if answer.token_type.eq_ignore_ascii_case("Bearer") {
            Ok(answer)
        } else {
            Err(Trouble::new(format_args!("tokens of type {} are not known here", answer.token_type)))
        }
    }

    async fn post<T: serde::de::DeserializeOwned>(&self, url: &str, fields: &[(&str, &str)]) -> Result<T, Trouble> {
        let encoded = |text: &str| url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let Credentials { client_id, client_secret } = &self.credentials;
        // RFC 6749 §2.3.1: both are form-encoded before they are joined.
        let request = self.http.post(url).basic_auth(encoded(client_id), Some(encoded(client_secret))).form(fields);
        let answer = request.send().await?;
        if answer.status().is_success() { Ok(answer.json().await?) } else { Err(refusal(answer).await) }
    }

    /// OIDC Core §3.1.3.7. The keys are fetched each time: a demo has no need to keep them.
    async fn verify(&self, id_token: &str, access_token: &str) -> Result<Map<String, Value>, Trouble> {
        let jwks: Value = self.http.get(&self.discovery.jwks_uri).send().await?.error_for_status()?.json().await?;
        let keys = jwks["keys"].as_array().ok_or_else(|| Trouble::new("the key set has no keys"))?;
        let claims = verify_own(id_token, keys, None)
            .ok_or_else(|| Trouble::new("the ID token is signed by none of the server's keys"))?;
        let is = |name: &str, expected: &str| claims.get(name).and_then(Value::as_str) == Some(expected);
        let expected_hash = algorithm(id_token).map(|algorithm| at_hash(algorithm, access_token));
        let own = self.credentials.client_id.as_str();
        let wrong = if !is("iss", &self.discovery.issuer) {
            "comes from another issuer"
        } else if !is("aud", own) {
            "is for another client"
        } else if claims.get("exp").and_then(Value::as_i64).is_none_or(|exp| exp <= self.clock.now().timestamp()) {
            "has expired"
        } else if !expected_hash.is_some_and(|hash| is("at_hash", &hash)) {
            "belongs to another access token"
        } else {
            return Ok(claims);
        };
        Err(Trouble::new(format_args!("the ID token {wrong}")))
    }
}

/// What the header says; only to be asked once the signature is verified.
fn algorithm(token: &str) -> Option<Algorithm> {
    let header: Value = serde_json::from_slice(&from_base64url(token.split('.').next()?)?).ok()?;
    header["alg"].as_str()?.parse().ok()
}

fn with_query(address: &str, parameters: &[(&str, &str)]) -> String {
    match Url::parse_with_params(address, parameters) {
        Ok(url) => url.into(),
        // Whoever follows it will say that it is no address.
        Err(_) => address.to_owned(),
    }
}

/// RFC 6749 §5.2 has the error in the body, RFC 6750 §3 in the challenge.
async fn refusal(answer: reqwest::Response) -> Trouble {
    let status = answer.status();
    let challenge = answer.headers().get("www-authenticate").and_then(|value| value.to_str().ok());
    let code = challenge
        .and_then(|challenge| challenge.split_once("error=\""))
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(code, _)| code.to_owned());
    let body: Value = answer.json().await.unwrap_or_default();
    match body["error"].as_str().map(ToOwned::to_owned).or(code) {
        Some(code) => Trouble::refused(&code, body["error_description"].as_str()),
        None => Trouble::new(format_args!("the server answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jose::SigningKey;

    const ISSUER: &str = "http://localhost:8080";

    fn party(jwks_uri: String) -> Party {
        let at = |path: &str| format!("{ISSUER}{path}");
        Party {
            discovery: Discovery {
                issuer: ISSUER.into(),
                authorization_endpoint: at("/authorize"),
                token_endpoint: at("/token"),
                userinfo_endpoint: at("/userinfo"),
                jwks_uri,
                introspection_endpoint: at("/introspect"),
                end_session_endpoint: at("/end"),
            },
            http: reqwest::Client::new(),
            clock: Clock::default(),
            credentials: Credentials { client_id: "rp".into(), client_secret: "s".into() },
            redirect_uri: "http://127.0.0.1:8081/callback".into(),
            scope: "openid",
        }
    }

    #[test]
    fn an_answer_must_fit_what_was_asked() {
        let party = party(String::new());
        let asked = party.begin();
        let right = Answer {
            code: Some("c".into()),
            state: Some(asked.state.clone()),
            iss: Some(ISSUER.into()),
            ..Answer::default()
        };
        assert_eq!(party.check(&asked, &right).unwrap(), "c");
        let other = |answer: Answer| party.check(&asked, &answer).unwrap_err().to_string();
        assert!(other(Answer { state: Some(party.begin().state), ..right.clone() }).contains("state"));
        assert!(other(Answer { state: None, ..right.clone() }).contains("state"));
        assert!(other(Answer { iss: Some("https://evil.example".into()), ..right.clone() }).contains("iss"));
        assert!(other(Answer { iss: None, error: Some("access_denied".into()), ..right.clone() }).contains("iss"));
        assert_eq!(other(Answer { error: Some("access_denied".into()), ..right }), "access_denied");
    }

    #[test]
    fn every_sign_in_has_secrets_of_its_own() {
        let party = party(String::new());
        let (one, two) = (party.begin(), party.begin());
        assert!(one.state != two.state && one.nonce != two.nonce && one.verifier != two.verifier);
        assert!(one.url.contains(&format!("code_challenge={}", pkce::challenge_of(&one.verifier))));
        assert!(!one.url.contains(&one.verifier));
        let asked = StepUp { acr_values: Some("phr".into()), max_age: Some("300".into()), scope: Some("pay".into()) };
        let url = party.begin_for(&asked).url;
        assert!(url.contains("scope=openid+pay&") && url.contains("acr_values=phr&max_age=300"), "{url}");
    }

    #[tokio::test]
    async fn an_id_token_is_for_this_client_of_this_server_and_beside_this_access_token() {
        let key = SigningKey::generate(Algorithm::Es256).unwrap().0;
        let server = wiremock::MockServer::start().await;
        let jwks = wiremock::ResponseTemplate::new(200).set_body_json(json!({ "keys": [key.public_jwk()] }));
        wiremock::Mock::given(wiremock::matchers::any()).respond_with(jwks).mount(&server).await;
        let party = party(server.uri());
        let right = json!({
            "iss": ISSUER, "aud": "rp", "exp": party.clock.now().timestamp() + 60, "at_hash": at_hash(Algorithm::Es256, "at"),
        });
        let verify = async |claims: &Value| party.verify(&key.sign("JWT", claims).unwrap(), "at").await;
        assert!(verify(&right).await.is_ok());
        for (name, value, expected) in [
            ("iss", json!("https://evil.example"), "issuer"),
            ("aud", json!("other"), "client"),
            ("exp", json!(1), "expired"),
            ("at_hash", json!("x"), "access token"),
        ] {
            let mut claims = right.clone();
            claims[name] = value;
            assert!(verify(&claims).await.unwrap_err().to_string().contains(expected), "{name}");
        }
        let other = SigningKey::generate(Algorithm::Es256).unwrap().0;
        assert!(party.verify(&other.sign("JWT", &right).unwrap(), "at").await.is_err());
    }
}
