//! An authenticator app as people use it: it takes the key from the page and shows codes by the server's clock.

use chrono::TimeDelta;
use totp_rs::{Builder, Secret, Totp};

use super::{
    Server,
    agent::{Agent, Page},
};

#[derive(Clone)]
pub struct App(Totp);

impl App {
    /// Takes the key that a page shows.
    pub fn scan(page: &Page) -> Self {
        let (_, rest) = page.body.split_once("<p class=\"key\"><code>").expect("a key on the page");
        let key = rest.split('<').next().expect("its text").replace(' ', "");
        assert!(page.body.contains(&format!("secret={key}")), "the link has the same key: {}", page.body);
        let secret = Secret::try_from_base32(&key).expect("base32");
        Self(Builder::new().with_secret(secret).build_noncompliant())
    }

    /// The code that it shows now.
    pub fn code(&self, server: &Server) -> String {
        let now = server.clock.now().timestamp();
        self.0.generate(u64::try_from(now).expect("after 1970")).to_string()
    }

    /// One that it does not show, nor a step before or after.
    pub fn wrong_code(&self, server: &Server) -> String {
        let now = server.clock.now().timestamp();
        (0..10)
            .map(|number| format!("{number:06}"))
            .find(|code| self.0.check(code, now.unsigned_abs()).is_none())
            .expect("one")
    }
}

/// Adds an app to whoever has just signed in, and returns it with the recovery codes. The code that was shown is used up: time
/// passes.
pub async fn add(server: &Server, agent: &Agent) -> (App, Vec<String>) {
    let page = agent.open(&server.at("/account/authenticator")).await;
    let app = App::scan(&page);
    let page = agent.submit(&page.form_to("/account/authenticator/add").fill("code", &app.code(server))).await;
    assert_eq!(page.heading(), "Your recovery codes", "{}", page.body);
    server.advance(TimeDelta::seconds(31)).await;
    (app, codes(&page))
}

/// The recovery codes on a page.
pub fn codes(page: &Page) -> Vec<String> {
    let found: Vec<String> = page
        .body
        .split("<li><code>")
        .skip(1)
        .map(|rest| rest.split('<').next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(found.len(), 10, "{}", page.body);
    found
}
