//! A user agent without JavaScript: cookies as browsers keep them, forms as people fill them in.
//!
//! It goes step by step and knows nothing of the server but what is on its pages.

use std::sync::{Arc, Mutex};

use reqwest::{
    Method,
    header::{HeaderMap, LOCATION, ORIGIN, SET_COOKIE, USER_AGENT},
};
use serde_json::Value;
use url::Url;

use super::{Server, declared::PASSWORD, page::Form};

const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:146.0) Gecko/20100101 Firefox/146.0";
/// Redirects in a row before it is a circle.
const STEPS: usize = 10;

/// A cookie as the server set it.
#[derive(Clone, Debug)]
pub struct Cookie {
    pub name: String,
    pub value: String,
    /// `HttpOnly`, `SameSite=Lax`, `Path=/` and so on, as they were sent.
    pub attributes: Vec<String>,
}

impl Cookie {
    fn is_device(&self) -> bool {
        self.name.contains("mooring_device")
    }
}

/// Clones share cookies, as tabs do.
#[derive(Clone)]
pub struct Agent {
    http: reqwest::Client,
    home: Url,
    jar: Arc<Mutex<Vec<Cookie>>>,
    forwarded_for: Option<String>,
}

/// What the agent stands before: a page, or a redirect that leaves the server.
#[derive(Clone, Debug)]
pub struct Page {
    pub url: Url,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Agent {
    pub fn new(server: &Server) -> Self {
        Self::of(server.http().clone(), &server.issuer)
    }

    /// Of a server that is not in this process.
    pub fn of(http: reqwest::Client, issuer: &str) -> Self {
        let home = Url::parse(issuer).expect("an issuer is a URL");
        Self { http, home, jar: Arc::default(), forwarded_for: None }
    }

    /// The cookies of now, in a browser of their own: what a thief has, or a test keeps for later.
    pub fn copy(&self) -> Self {
        let jar = Arc::new(Mutex::new(self.kept()));
        Self { jar, ..self.clone() }
    }

    /// The same browser, answered by another replica.
    pub fn at(&self, replica: &Server) -> Self {
        self.over(replica.http())
    }

    /// The same browser, once another process answers.
    pub fn over(&self, http: &reqwest::Client) -> Self {
        Self { http: http.clone(), ..self.clone() }
    }

    /// Behind a proxy that says so.
    pub fn forwarded_for(mut self, address: &str) -> Self {
        self.forwarded_for = Some(address.to_owned());
        self
    }

    /// The cookies that stand for sessions.
    pub fn cookies(&self) -> Vec<Cookie> {
        self.kept().into_iter().filter(|cookie| !cookie.is_device()).collect()
    }

    /// All that the browser keeps.
    fn kept(&self) -> Vec<Cookie> {
        self.jar.lock().expect("not poisoned").clone()
    }

    /// The only cookie that stands for a session.
    pub fn cookie(&self) -> Cookie {
        let cookies = self.cookies();
        assert_eq!(cookies.len(), 1, "{cookies:?}");
        cookies.into_iter().next().expect("counted")
    }

    /// The cookie by which the browser is known.
    pub fn device(&self) -> Option<Cookie> {
        self.kept().into_iter().find(Cookie::is_device)
    }

    /// Goes to an address and follows redirects for as long as they stay at the server.
    pub async fn open(&self, url: &str) -> Page {
        let page = self.step(url).await;
        self.follow(page).await
    }

    /// One request, nothing followed.
    pub async fn step(&self, url: &str) -> Page {
        self.request(Method::GET, url, None, Site::None).await
    }

    /// Submits a form of a page of the server.
    pub async fn submit(&self, form: &Form) -> Page {
        let page = self.submit_step(form).await;
        self.follow(page).await
    }

    /// Submits, and follows nothing.
    pub async fn submit_step(&self, form: &Form) -> Page {
        let method = if form.is_post { Method::POST } else { Method::GET };
        self.request(method, form.action.as_str(), Some(&form.fields), Site::Same).await
    }

    /// A form on somebody else's page: no cookie goes with it (`SameSite=Lax`).
    pub async fn submit_from_elsewhere(&self, url: &str, fields: &[(String, String)]) -> Page {
        self.request(Method::POST, url, Some(fields), Site::Cross).await
    }

    /// A form of which the browser does not say on whose page it was.
    pub async fn submit_from_nowhere(&self, form: &Form) -> Page {
        let page = self.request(Method::POST, form.action.as_str(), Some(&form.fields), Site::None).await;
        self.follow(page).await
    }

    /// Follows redirects at the server; browsers go on by GET after 302 and 303.
    pub async fn follow(&self, mut page: Page) -> Page {
        for _ in 0..STEPS {
            let Some(next) = page.location().filter(|next| next.origin() == self.home.origin()) else { return page };
            assert!(matches!(page.status, 302 | 303), "{} by {}", page.url, page.status);
            page = self.step(next.as_str()).await;
        }
        panic!("a circle of redirects at {}", page.url);
    }

    /// Fills in the sign-in form of this page.
    pub async fn sign_in(&self, page: &Page, username: &str, password: &str) -> Page {
        self.submit(&page.sign_in_form(username, password)).await
    }

    /// Presses a button of this page by its `decision`.
    pub async fn decide(&self, page: &Page, decision: &str) -> Page {
        self.submit(&page.decision(decision)).await
    }

    /// Does what a willing person does, as `username`, until it leads out of the server (or to an error page).
    pub async fn walk(&self, url: &str, username: &str) -> Page {
        let mut page = self.open(url).await;
        for _ in 0..STEPS {
            page = if page.asks_for_password() {
                self.sign_in(&page, username, PASSWORD).await
            } else if page.offers("allow") {
                self.decide(&page, "allow").await
            } else if page.offers("continue") {
                self.decide(&page, "continue").await
            } else {
                return page;
            };
        }
        panic!("no end of pages, the last {}:\n{}", page.url, page.body);
    }

    async fn request(&self, method: Method, url: &str, fields: Option<&[(String, String)]>, site: Site) -> Page {
        let url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let mut request = self
            .http
            .request(method.clone(), url.clone())
            .header(USER_AGENT, FIREFOX)
            .header("accept", "text/html,application/xhtml+xml,*/*;q=0.8")
            .header("sec-fetch-mode", "navigate")
            .header("sec-fetch-dest", "document")
            .header("sec-fetch-site", site.as_str());
        if let Some(address) = &self.forwarded_for {
            request = request.header("x-forwarded-for", address);
        }
        // A top-level GET from elsewhere carries Lax cookies, a POST does not.
        if site != Site::Cross && url.host_str() == self.home.host_str() {
            let sent: Vec<String> =
                self.kept().iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
            if !sent.is_empty() {
                request = request.header("cookie", sent.join("; "));
            }
        }
        if method == Method::POST && site != Site::None {
            let own = url.origin().ascii_serialization();
            request = request.header(ORIGIN, if site == Site::Cross { "https://elsewhere.example" } else { &own });
        }
        request = match fields {
            Some(fields) if method == Method::POST => request.form(fields),
            Some(fields) => request.query(fields),
            None => request,
        };
        let answer = request.send().await.unwrap_or_else(|error| panic!("{method} {url}: {error:?}"));
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        self.keep(&headers);
        let body = answer.text().await.expect("a body");
        Page { url, status, headers, body }
    }

    /// What a script of one of the server's pages sends with `fetch`.
    pub async fn call(&self, url: &str, body: &Value) -> Page {
        let url = Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"));
        let cookies: Vec<String> =
            self.kept().iter().map(|cookie| format!("{}={}", cookie.name, cookie.value)).collect();
        let request = self.http.post(url.clone()).header(USER_AGENT, FIREFOX).header("cookie", cookies.join("; "));
        let mut request = request.header(ORIGIN, url.origin().ascii_serialization()).header("sec-fetch-mode", "cors");
        if let Some(address) = &self.forwarded_for {
            request = request.header("x-forwarded-for", address);
        }
        let answer = request.json(body).send().await.unwrap_or_else(|error| panic!("{url}: {error:?}"));
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        self.keep(&headers);
        Page { url, status, headers, body: answer.text().await.expect("a body") }
    }

    fn keep(&self, headers: &HeaderMap) {
        let mut jar = self.jar.lock().expect("not poisoned");
        for set in headers.get_all(SET_COOKIE) {
            let text = set.to_str().expect("a cookie in ASCII");
            let mut parts = text.split(';').map(str::trim);
            let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("name=value");
            let attributes: Vec<String> = parts.map(str::to_owned).collect();
            let gone = attributes.iter().any(|attribute| attribute.eq_ignore_ascii_case("max-age=0"));
            jar.retain(|cookie| cookie.name != name);
            if !gone {
                jar.push(Cookie { name: name.to_owned(), value: value.to_owned(), attributes });
            }
        }
    }
}

/// From where a request comes, as browsers say it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Site {
    /// Typed, or a bookmark; of a form: not said.
    None,
    Same,
    Cross,
}

impl Site {
    fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Same => "same-origin",
            Self::Cross => "cross-site",
        }
    }
}

impl Page {
    /// Where it sends the browser.
    pub fn location(&self) -> Option<Url> {
        let location = self.headers.get(LOCATION)?.to_str().expect("a location in ASCII");
        Some(self.url.join(location).unwrap_or_else(|error| panic!("Location: {location}: {error}")))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }
}
