//! What a browser and a relying party do before there is anything to measure: discovery, sign-in through the form,
//! consent, a code and its tokens. By hand, because every request is on the bill.

use std::{fmt::Write, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use url::{Url, form_urlencoded::byte_serialize};

use crate::{
    Fallible,
    http::{Answer, Connection},
    server::{PASSWORD, REDIRECT_URI, SECRET, USERNAME},
};

/// Any valid verifier will do: what is measured does not depend on its randomness.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const STEPS: usize = 12;

/// The paths of the endpoints, as discovery names them.
#[derive(Debug, Default)]
pub struct Endpoints {
    pub port: u16,
    pub authorize: String,
    pub token: String,
    pub introspect: String,
    pub userinfo: String,
    pub jwks: String,
    pub end_session: String,
    issuer: String,
}

impl Endpoints {
    /// Of something that is no authorization server.
    pub fn none(port: u16) -> Arc<Self> {
        Arc::new(Self { port, ..Self::default() })
    }

    pub async fn discover(port: u16) -> Fallible<Arc<Self>> {
        let mut connection = Connection::new(port);
        let answer = connection.get("/.well-known/openid-configuration", "").await?;
        let document: serde_json::Value = serde_json::from_slice(answer.body)?;
        let text = |name: &str| -> Fallible<String> {
            Ok(document[name].as_str().ok_or_else(|| format!("discovery has no {name}"))?.to_owned())
        };
        let path = |name: &str| -> Fallible<String> { Ok(Url::parse(&text(name)?)?.path().to_owned()) };
        Ok(Arc::new(Self {
            port,
            authorize: path("authorization_endpoint")?,
            token: path("token_endpoint")?,
            introspect: path("introspection_endpoint")?,
            userinfo: path("userinfo_endpoint")?,
            jwks: path("jwks_uri")?,
            end_session: path("end_session_endpoint")?,
            issuer: text("issuer")?,
        }))
    }
}

/// A browser with a live session, and the relying party it is signed in at.
pub struct Visitor {
    pub connection: Connection,
    endpoints: Arc<Endpoints>,
    cookies: Vec<(String, String)>,
    cookie_header: String,
    /// The authorization request, path and query.
    authorize: String,
    basic: String,
    code_form: String,
}

#[derive(Clone, Debug)]
pub struct Tokens {
    pub access: String,
    pub refresh: String,
    pub id: String,
}

/// The `Authorization` line of a client (RFC 6749 §2.3.1).
pub fn basic(client: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(format!("{client}:{SECRET}")))
}

pub fn encode(text: &str) -> String {
    byte_serialize(text.as_bytes()).collect()
}

impl Visitor {
    /// Signs in at `client`, and consents where that is asked.
    pub async fn sign_in(endpoints: &Arc<Endpoints>, client: &str) -> Fallible<Self> {
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, VERIFIER.as_bytes()));
        let redirect_uri = encode(REDIRECT_URI);
        let authorize = format!(
            "{}?response_type=code&client_id={client}&redirect_uri={redirect_uri}&scope=openid%20profile%20email\
             &state=s&nonce=n&code_challenge={challenge}&code_challenge_method=S256",
            endpoints.authorize
        );
        let mut visitor = Self {
            connection: Connection::new(endpoints.port),
            endpoints: Arc::clone(endpoints),
            cookies: Vec::new(),
            cookie_header: String::new(),
            authorize,
            basic: basic(client),
            code_form: format!(
                "grant_type=authorization_code&redirect_uri={redirect_uri}&code_verifier={VERIFIER}&code="
            ),
        };
        let start = visitor.authorize.clone();
        visitor.walk(&start).await?.ok_or("signing in ended without a code")?;
        Ok(visitor)
    }

    /// Follows redirects and fills in forms until a code comes, or a page that has nothing to fill in (nothing then).
    async fn walk(&mut self, start: &str) -> Fallible<Option<String>> {
        let mut at = self.resolve("/", start)?;
        let mut form: Option<String> = None;
        for _ in 0..STEPS {
            let headers = format!("{}Origin: {}\r\n", self.cookie_header, self.origin());
            let answer = match &form {
                Some(form) => self.connection.post(&at, &headers, form).await?,
                None => self.connection.get(&at, &self.cookie_header).await?,
            };
            let (status, summary) = (answer.status, answer.summary());
            let location = answer.header("location").map(str::to_owned);
            let page = answer.text().to_owned();
            let set: Vec<String> = answer.cookies().map(str::to_owned).collect();
            self.keep(&set);
            match (status, location) {
                (302 | 303, Some(location)) if location.starts_with(REDIRECT_URI) => {
                    return Ok(Some(code_of(&location).ok_or(location)?));
                }
                (302 | 303, Some(location)) => {
                    at = self.resolve(&at, &location)?;
                    form = None;
                }
                (200, _) => match Form::of(&page) {
                    Some(found) => {
                        at = self.resolve(&at, if found.action.is_empty() { &at } else { &found.action })?;
                        form = Some(found.filled);
                    }
                    None => return Ok(None),
                },
                _ => return Err(format!("{at}: {summary}").into()),
            }
        }
        Err(format!("no end after {STEPS} steps, the last at {at}").into())
    }

    /// One code flow on the live session: an authorization request and the redemption of its code.
    pub async fn code_flow(&mut self) -> Fallible<Answer<'_>> {
        let answer = self.connection.get(&self.authorize, &self.cookie_header).await?;
        let code = answer
            .header("location")
            .filter(|location| location.starts_with(REDIRECT_URI))
            .and_then(code_of)
            .ok_or_else(|| format!("authorize: {}", answer.summary()))?;
        let form = format!("{}{code}", self.code_form);
        let answer = self.connection.post(&self.endpoints.token, &self.basic, &form).await?;
        expect(answer, 200, "token")
    }

    /// Goes on as the browser with this `Cookie` line.
    pub fn with_cookie(&mut self, line: String) {
        self.cookie_header = line;
    }

    pub async fn tokens(&mut self) -> Fallible<Tokens> {
        Tokens::of(&self.code_flow().await?)
    }

    /// Ends the session as a relying party asks for it, confirming where the server wants that.
    pub async fn sign_out(&mut self, id_token: &str) -> Fallible<()> {
        let path = format!("{}?id_token_hint={id_token}", self.endpoints.end_session);
        self.walk(&path).await.map(drop)
    }

    fn keep(&mut self, set: &[String]) {
        for cookie in set {
            let Some((name, value)) = cookie.split_once('=') else { continue };
            self.cookies.retain(|(it, _)| it != name);
            if !value.is_empty() {
                self.cookies.push((name.to_owned(), value.to_owned()));
            }
        }
        if !set.is_empty() {
            let all: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
            self.cookie_header = if all.is_empty() { String::new() } else { format!("Cookie: {}\r\n", all.join("; ")) };
        }
    }

    fn origin(&self) -> String {
        Url::parse(&self.endpoints.issuer).map(|it| it.origin().ascii_serialization()).unwrap_or_default()
    }

    /// Path and query of `reference` as seen from the page at `from`.
    fn resolve(&self, from: &str, reference: &str) -> Fallible<String> {
        let url = Url::parse(&self.origin())?.join(from)?.join(reference)?;
        Ok(url[url::Position::BeforePath..url::Position::AfterQuery].to_owned())
    }
}

impl Tokens {
    pub fn of(answer: &Answer<'_>) -> Fallible<Self> {
        let member = |name: &str| answer.member(name).map(str::to_owned);
        Ok(Self {
            access: member("access_token").ok_or_else(|| answer.summary())?,
            refresh: member("refresh_token").unwrap_or_default(),
            id: member("id_token").unwrap_or_default(),
        })
    }
}

pub fn expect<'a>(answer: Answer<'a>, status: u16, what: &str) -> Fallible<Answer<'a>> {
    if answer.status == status { Ok(answer) } else { Err(format!("{what}: {}", answer.summary()).into()) }
}

fn code_of(location: &str) -> Option<String> {
    let start = location.find("?code=").or_else(|| location.find("&code="))? + "?code=".len();
    location[start..].split(['&', '#']).next().map(str::to_owned)
}

/// The first form of a page that this visitor can fill in.
struct Form {
    action: String,
    filled: String,
}

impl Form {
    fn of(page: &str) -> Option<Self> {
        page.split("<form").skip(1).find_map(|rest| {
            let form = rest.split("</form>").next()?;
            let (mut filled, mut known) = (String::new(), false);
            for tag in form.split('<').filter(|it| it.starts_with("input") || it.starts_with("button")) {
                let Some(name) = attribute(tag, "name") else { continue };
                let given = attribute(tag, "value").unwrap_or_default();
                let value = match (name.as_str(), given.as_str()) {
                    ("username", _) => USERNAME.to_owned(),
                    ("password", _) => PASSWORD.to_owned(),
                    ("decision", "allow" | "sign-out") => given,
                    ("decision", _) => continue,
                    _ if attribute(tag, "type").as_deref() == Some("hidden") => given,
                    _ => continue,
                };
                known |= name == "decision" || name == "username";
                let separator = if filled.is_empty() { "" } else { "&" };
                let _ = write!(filled, "{separator}{}={}", encode(&name), encode(&value));
            }
            let tag = form.split('>').next()?;
            known.then(|| Self { action: attribute(tag, "action").unwrap_or_default(), filled })
        })
    }
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let tag = tag.split('>').next()?;
    let rest = tag.match_indices(name).find_map(|(at, _)| {
        let begins = tag[..at].ends_with(char::is_whitespace);
        tag[at + name.len()..].strip_prefix('=').filter(|_| begins)
    })?;
    let value = match rest.chars().next()? {
        quote @ ('"' | '\'') => rest[1..].split(quote).next()?,
        _ => rest.split(char::is_whitespace).next()?,
    };
    Some(
        value
            .replace("&quot;", "\"")
            .replace("&#34;", "\"")
            .replace("&#39;", "'")
            .replace("&#x27;", "'")
            .replace("&#x2f;", "/")
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&amp;", "&"),
    )
}
