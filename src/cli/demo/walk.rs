//! One complete flow, walked over real HTTP and told step by step: from a visitor without a cookie to tokens that are
//! dead because their session has ended.
//!
//! Invariant: a step is told only after what it says was seen. The first one that comes out otherwise ends the walk.

use std::fmt::Display;

use serde_json::{Map, Value};

use super::{
    browser::{Browser, Seen},
    form,
};
use crate::{
    cli::output,
    failure::Stop,
    http::demo::{
        challenge::StepUp,
        openid::{Answer, Party, Tokens, Trouble},
    },
};

/// What the walk needs to know.
pub struct Walk {
    pub http: reqwest::Client,
    pub party: Party,
    /// The application's `redirect_uri`.
    pub callback: String,
    /// The application's `post_logout_redirect_uri`.
    pub signed_out: String,
    /// The resource of the API.
    pub api: String,
    /// Its privileged resource.
    pub payments: String,
    pub username: String,
    pub password: String,
}

/// Goes it.
pub async fn go(walk: &Walk) -> Result<(), Stop> {
    output::line("one complete flow, over HTTP, as a browser, an application and an API see it:\n")?;
    let mut story = Story { told: 0, step: "visitor session" };
    walk.steps(&mut story).await.map_err(|trouble| {
        Stop::new(format_args!("the demo failed at step {} ({}): {trouble}", story.told + 1, story.step))
            .mend("the log on stderr says more; the demo's data directory may be deleted, to begin anew")
    })
}

/// Tells the steps.
struct Story {
    told: usize,
    step: &'static str,
}

impl Story {
    fn begin(&mut self, step: &'static str) {
        self.step = step;
    }

    fn tell(&mut self, text: impl Display) -> Result<(), Trouble> {
        self.told += 1;
        output::line(&format!("{:>2}  {:<16} {text}", self.told, self.step)).map_err(Trouble::new)
    }
}

impl Walk {
    async fn steps(&self, story: &mut Story) -> Result<(), Trouble> {
        let mut browser = Browser::new(self.http.clone());
        let asked = self.party.begin();

        let page = self.arrive(&mut browser, &asked.url, story).await?;
        let seen = self.sign_in(&mut browser, page, story).await?;

        story.begin("code + PKCE");
        let back = seen.location.as_ref().ok_or_else(|| unexpected("the way back to the application", &seen))?;
        let answer: Answer = serde_urlencoded::from_str(back.query().unwrap_or_default()).map_err(Trouble::new)?;
        let code = self.party.check(&asked, &answer)?;
        let issuer = &self.party.discovery.issuer;
        story.tell(format_args!("code {} came back with the state that was sent and iss = {issuer}", cut(code)))?;

        let tokens = self.redeem(&asked, code, story).await?;
        let refreshed = self.use_them(tokens.clone(), story).await?;

        story.begin("session ended");
        self.end(&mut browser, &refreshed).await?;
        story.tell(format_args!("{} signed out at the server; no token was touched", self.username))?;

        self.see_them_dead(&[&tokens, &refreshed], story).await
    }

    async fn arrive(&self, browser: &mut Browser, url: &str, story: &mut Story) -> Result<Seen, Trouble> {
        story.begin("visitor session");
        let seen = browser.get(url).await?;
        let seen = browser.follow(seen, &self.callback).await?;
        if form::find(&seen, |form| form.has_input("password")).is_none() {
            return Err(unexpected("the sign-in page", &seen));
        }
        let cookies = browser.cookies(&seen.url);
        let name = cookies.keys().next().ok_or_else(|| Trouble::new("no session cookie was set"))?;
        story.tell(format_args!("a browser without a cookie asked: a visitor session began (cookie {name})"))?;
        Ok(seen)
    }

    /// Signs in and consents; gives what the browser was shown then, which should send it back to the application.
    async fn sign_in(&self, browser: &mut Browser, page: Seen, story: &mut Story) -> Result<Seen, Trouble> {
        story.begin("sign-in");
        let before = browser.cookies(&page.url);
        let Some(form) = form::find(&page, |form| form.has_input("password")) else {
            return Err(unexpected("the sign-in page", &page));
        };
        let filled = [("username", self.username.as_str()), ("password", self.password.as_str())];
        let seen = browser.submit(&page, &form, &filled).await?;
        let mut seen = browser.follow(seen, &self.callback).await?;
        if seen.location.is_none() && form::find(&seen, |form| form.has_input("password")).is_some() {
            return Err(Trouble::new(format_args!("{} is disabled, or has another password by now", self.username)));
        }
        let after = browser.cookies(&page.url);
        if before.iter().any(|(name, value)| after.get(name) == Some(value)) {
            return Err(Trouble::new("the visitor's cookie was kept through the sign-in"));
        }
        story.tell(format_args!("{} signed in: a user session, under a cookie of its own", self.username))?;

        story.begin("consent");
        let allows = |form: &form::Form| form.has_button("decision", "allow");
        if let Some(form) = form::find(&seen, allows).filter(|_| seen.location.is_none()) {
            seen = browser.submit(&seen, &form, &[("decision", "allow")]).await?;
            seen = browser.follow(seen, &self.callback).await?;
            story.tell("asked and given")?;
        } else {
            story.tell("given at an earlier start, and remembered")?;
        }
        Ok(seen)
    }

    async fn redeem(
        &self,
        asked: &crate::http::demo::openid::Asked,
        code: &str,
        story: &mut Story,
    ) -> Result<Tokens, Trouble> {
        story.begin("tokens");
        let tokens = self.party.redeem(asked, code).await?;
        let refresh_token = tokens.refresh_token.as_deref().ok_or_else(|| Trouble::new("no refresh token came"))?;
        let sid = claim(&tokens.id_claims, "sid")?;
        story.tell(format_args!(
            "access {}, refresh {}, ID token: its signature, iss, aud, nonce and at_hash hold; sid {sid}",
            cut(&tokens.access_token),
            cut(refresh_token),
        ))?;
        Ok(tokens)
    }

    /// Shows that they work and carry one `sid`; gives their successors.
    async fn use_them(&self, tokens: Tokens, story: &mut Story) -> Result<Tokens, Trouble> {
        let sid = claim(&tokens.id_claims, "sid")?;
        let same = |place: &str, claims: &Map<String, Value>, name: &str, expected: &str| match claim(claims, name) {
            Ok(value) if value == expected => Ok(()),
            Ok(value) => Err(Trouble::new(format_args!("{place} says {name} {value}, the ID token {expected}"))),
            Err(trouble) => Err(trouble),
        };

        story.begin("introspection");
        let answer = self.party.introspect(&tokens.access_token).await?;
        if answer.get("active") != Some(&Value::Bool(true)) {
            return Err(Trouble::new("a new access token is not active"));
        }
        same("introspection", &answer, "sid", sid)?;
        story.tell("active: true, the same sid")?;

        story.begin("userinfo");
        let answer = self.party.userinfo(&tokens.access_token).await?;
        same("userinfo", &answer, "sub", claim(&tokens.id_claims, "sub")?)?;
        story.tell(format_args!("the same sub, {}", claim(&answer, "name").unwrap_or("no name")))?;

        story.begin("demo API");
        let (status, body, _) = self.call(self.http.get(&self.api), &tokens).await?;
        if status != 200 {
            return Err(Trouble::new(format_args!("the API answered {status} to a live token")));
        }
        same("the API", &body, "sid", sid)?;
        story.tell(format_args!("GET {}: 200, the same sid", self.api))?;

        story.begin("step-up wanted");
        let (status, _, challenge) = self.call(self.http.post(&self.payments), &tokens).await?;
        let asked = StepUp::asked(&challenge).filter(|_| status == 401);
        let asked = asked.ok_or_else(|| Trouble::new(format_args!("a password was enough for a payment: {status}")))?;
        story.tell(format_args!(
            "POST {}: 401 insufficient_user_authentication, acr_values={} max_age={}; that takes a passkey, see below",
            self.payments,
            asked.acr_values.unwrap_or_default(),
            asked.max_age.unwrap_or_default(),
        ))?;

        story.begin("refresh");
        let refreshed = self.party.refresh(&tokens).await?;
        same("the refreshed ID token", &refreshed.id_claims, "sid", sid)?;
        if refreshed.refresh_token == tokens.refresh_token || refreshed.access_token == tokens.access_token {
            return Err(Trouble::new("the refresh brought a token that was there before"));
        }
        story.tell("new tokens, the same sid")?;
        Ok(refreshed)
    }

    async fn end(&self, browser: &mut Browser, tokens: &Tokens) -> Result<(), Trouble> {
        let seen = browser.get(&self.party.end_session_url(&tokens.id_token, &self.signed_out)).await?;
        let mut seen = browser.follow(seen, &self.signed_out).await?;
        let confirms = |form: &form::Form| form.has_button("decision", "sign-out");
        if let Some(form) = form::find(&seen, confirms).filter(|_| seen.location.is_none()) {
            seen = browser.submit(&seen, &form, &[("decision", "sign-out")]).await?;
            seen = browser.follow(seen, &self.signed_out).await?;
        }
        if seen.location.is_some() { Ok(()) } else { Err(unexpected("the way back to the application", &seen)) }
    }

    async fn see_them_dead(&self, all: &[&Tokens], story: &mut Story) -> Result<(), Trouble> {
        story.begin("dead: API");
        for tokens in all {
            let (status, _, challenge) = self.call(self.http.get(&self.api), tokens).await?;
            if status != 401 || !challenge.contains("invalid_token") {
                return Err(Trouble::new(format_args!("the API answered {status} to a token of an ended session")));
            }
        }
        story.tell("the same call: 401, WWW-Authenticate: Bearer error=\"invalid_token\"")?;

        story.begin("dead: server");
        for tokens in all {
            let answer = self.party.introspect(&tokens.access_token).await?;
            // RFC 7662 §2.2: and nothing else, so that nobody learns why.
            if answer.len() != 1 || answer.get("active") != Some(&Value::Bool(false)) {
                return Err(Trouble::new("introspection does not say of a dead token that it is not active"));
            }
            refused_with("invalid_token", "userinfo", self.party.userinfo(&tokens.access_token).await)?;
        }
        story.tell("introspection: active: false; userinfo: invalid_token")?;

        story.begin("dead: refresh");
        for tokens in all {
            refused_with("invalid_grant", "the token endpoint", self.party.refresh(tokens).await)?;
        }
        story.tell("invalid_grant")
    }

    /// Status, body and challenge of the API's answer.
    async fn call(
        &self,
        call: reqwest::RequestBuilder,
        tokens: &Tokens,
    ) -> Result<(u16, Map<String, Value>, String), Trouble> {
        let answer = call.bearer_auth(&tokens.access_token).send().await?;
        let challenge = answer.headers().get(reqwest::header::WWW_AUTHENTICATE);
        let challenge = challenge.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        Ok((answer.status().as_u16(), answer.json().await?, challenge))
    }
}

fn refused_with<T>(code: &str, place: &str, outcome: Result<T, Trouble>) -> Result<(), Trouble> {
    match outcome {
        Err(trouble) if trouble.code.as_deref() == Some(code) => Ok(()),
        Err(trouble) => Err(Trouble::new(format_args!("{place} says {trouble} instead of {code}"))),
        Ok(_) => Err(Trouble::new(format_args!("{place} still accepts a token of an ended session"))),
    }
}

fn unexpected(expected: &str, seen: &Seen) -> Trouble {
    let title = seen.body.split_once("<title>").and_then(|(_, rest)| rest.split_once("</title>"));
    let title = title.map_or("no title", |(title, _)| title);
    Trouble::new(format_args!("{expected} was expected, {} answered {} ({title})", seen.url.path(), seen.status))
}

fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<&'a str, Trouble> {
    claims.get(name).and_then(Value::as_str).ok_or_else(|| Trouble::new(format_args!("there is no {name}")))
}

/// Enough of a secret to recognise it by.
fn cut(secret: &str) -> String {
    format!("{}…", secret.get(..14).unwrap_or_default())
}
