//! A request's circumstances: its one instant, where it comes from, the cookie it shows.

use std::{convert::Infallible, future::Ready, net::IpAddr, sync::Arc};

use actix_web::{
    FromRequest, HttpMessage, HttpRequest,
    dev::Payload,
    http::{Method, Uri, header},
    web::Data,
};
use chrono::{DateTime, Utc};

use super::{agent, cookies, source};
use crate::{
    app::App,
    db::{Trace, ids},
    sessions::{DeviceCookie, PresentedCookie},
};

/// One request, seen from outside. Taken once: every part of the house sees the same instant and the same request id.
#[derive(Clone)]
pub struct Visit(Arc<Inner>);

#[derive(Clone)]
pub struct Inner {
    pub now: DateTime<Utc>,
    pub trace: Trace,
    /// Where it comes from, as far as the proxies that are trusted tell. Never stored or logged.
    pub address: IpAddr,
    /// Whether that is where it comes from, and not only a proxy that did not tell.
    pub is_address_known: bool,
    /// The session cookie, if there is one of the right form. Of several the one that [`cookies::settle`] has chosen.
    pub cookie: Option<PresentedCookie>,
    pub authorization: Option<String>,
    pub origin: Option<String>,
    /// How the site that caused the request stands to this one (Fetch Metadata, `Sec-Fetch-Site`).
    pub fetch_site: Option<String>,
    pub accepts: Accepts,
    /// The address of the page that a browser opens, under the issuer's origin.
    pub here: Option<String>,
}

/// What the caller says it reads (RFC 9110 §12.5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accepts {
    pub pages: bool,
    pub json: bool,
}

impl Accepts {
    fn of(request: &HttpRequest) -> Self {
        let mut accepts = Self::default();
        let lines = request.headers().get_all(header::ACCEPT).filter_map(|line| line.to_str().ok());
        for range in lines.flat_map(|line| line.split(',')) {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            if parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000")) {
                continue;
            }
            accepts.pages |= matches!(name.as_str(), "text/html" | "application/xhtml+xml");
            accepts.json |= name == "application/json" || name.starts_with("application/") && name.ends_with("+json");
        }
        accepts
    }

    /// Whether it is a program that reads JSON and no pages.
    pub fn only_json(self) -> bool {
        self.json && !self.pages
    }
}

impl std::ops::Deref for Visit {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Visit {
    /// The visit of this request; the same one each time.
    pub fn of(request: &HttpRequest, app: &App) -> Self {
        if let Some(visit) = request.extensions().get::<Self>() {
            return visit.clone();
        }
        let now = app.clock.now();
        let source::Source { address, is_known } = source::find(request, &app.config.trusted_proxies);
        source::warn_of_unbelieved(request, &app.config.trusted_proxies, now);
        let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        // It may hold octets that are no text, such as the name of a device.
        let agent = request.headers().get(header::USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
        let agent = agent.as_deref();
        let accepts = Accepts::of(request);
        let visit = Self(Arc::new(Inner {
            now,
            address,
            is_address_known: is_known,
            trace: Trace {
                request_id: ids::new_id(now).to_string(),
                source_hash: Some(app.sources.hash(&source::network(address))),
                neighbourhoods: source::neighbourhoods(address).iter().map(|wider| app.sources.hash(wider)).collect(),
                device_cookie: cookies::values(request.headers(), app.cookies.device_name().as_bytes())
                    .find_map(|value| DeviceCookie::hash(std::str::from_utf8(value).ok()?)),
                agent_hash: agent.map(|agent| app.sources.hash(agent)),
                place: Some(source::place(address)),
                device: agent.map(agent::describe),
                address: app.config.log.sources.then(|| address.to_string()),
                shell: None,
            },
            cookie: cookies::presented(request.headers(), &app.cookies).into_iter().next(),
            authorization: authorization(request),
            origin: text(header::ORIGIN).map(str::to_owned),
            fetch_site: text(header::HeaderName::from_static("sec-fetch-site")).map(str::to_owned),
            accepts,
            here: (accepts.pages && request.method() == Method::GET).then(|| own_address(app, request.uri())),
        }));
        request.extensions_mut().insert(visit.clone());
        visit
    }

    /// The same visit, of a browser that opens the page at this path and query below the issuer.
    #[must_use]
    pub fn opened_as(&self, app: &App, path: impl FnOnce() -> String) -> Self {
        let here = self.accepts.pages.then(|| app.config.issuer.url(&path()));
        Self(Arc::new(Inner { here, ..Inner::clone(&self.0) }))
    }

    /// The same visit with another of the cookies that it shows.
    pub(super) fn settle(&self, request: &HttpRequest, cookie: PresentedCookie) {
        let settled = Inner { cookie: Some(cookie), ..Inner::clone(&self.0) };
        request.extensions_mut().insert(Self(Arc::new(settled)));
    }
}

/// A path and query under the issuer's origin, whatever host the request names.
fn own_address(app: &App, uri: &Uri) -> String {
    format!("{}{}", app.config.issuer.origin(), uri.path_and_query().map_or("/", |path| path.as_str()))
}

/// The `Authorization` header. It is no list (RFC 9110 §11.6.2): sent twice it is, as §5.3 puts lines together, a value
/// that is neither of the two. What is not text was sent all the same, and fits nothing.
fn authorization(request: &HttpRequest) -> Option<String> {
    let mut lines =
        request.headers().get_all(header::AUTHORIZATION).map(|line| String::from_utf8_lossy(line.as_bytes()));
    let first = lines.next()?.into_owned();
    Some(lines.fold(first, |joined, line| format!("{joined}, {line}")))
}

impl Inner {
    /// The token in the `Authorization` header (RFC 6750 §2.1), if there is one.
    pub fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.authorization.as_deref()?.split_once(' ')?;
        Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
    }
}

impl Inner {
    /// Whether the request says that a page caused it which is not of `origin`. Programs say nothing.
    pub fn is_of_another_site(&self, origin: &str) -> bool {
        match self.fetch_site.as_deref() {
            Some("same-origin" | "none") => false,
            Some("cross-site") => true,
            _ => self.origin.as_deref().is_some_and(|it| it != origin),
        }
    }
}

impl FromRequest for Visit {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        #[expect(clippy::expect_used, reason = "routes::application puts it there")]
        let app = request.app_data::<Data<App>>().expect("the application");
        std::future::ready(Ok(Self::of(request, app)))
    }
}
