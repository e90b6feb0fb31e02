//! A request's circumstances: its one instant, where it comes from, the cookie it shows.

use std::{convert::Infallible, future::Ready, net::IpAddr, sync::Arc};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header, web::Data};
use chrono::{DateTime, Utc};

use super::{agent, source};
use crate::{
    app::App,
    db::{Trace, ids},
    sessions::{Cookies, DeviceCookie, PresentedCookie},
};

/// One request, seen from outside. Taken once: every part of the house sees the same instant and the same request id.
#[derive(Clone)]
pub struct Visit(Arc<Inner>);

pub struct Inner {
    pub now: DateTime<Utc>,
    pub trace: Trace,
    /// Where it comes from, as far as the proxies that are trusted tell. Never stored or logged.
    pub address: IpAddr,
    /// Whether that is where it comes from, and not only a proxy that did not tell.
    pub is_address_known: bool,
    /// The session cookie, if there is one of the right form.
    pub cookie: Option<PresentedCookie>,
    pub authorization: Option<String>,
    pub origin: Option<String>,
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
        let agent = text(header::USER_AGENT);
        let visit = Self(Arc::new(Inner {
            now,
            address,
            is_address_known: is_known,
            trace: Trace {
                request_id: ids::new_id(now).to_string(),
                source_hash: Some(app.sources.hash(&source::network(address))),
                neighbourhoods: source::neighbourhoods(address).iter().map(|wider| app.sources.hash(wider)).collect(),
                device_cookie: request.cookie(app.cookies.device_name()).and_then(|it| DeviceCookie::hash(it.value())),
                agent_hash: agent.map(|agent| app.sources.hash(agent)),
                place: Some(source::place(address)),
                device: agent.map(agent::describe),
                shown_source: Some(if app.config.log.sources { address.to_string() } else { source::place(address) }),
                shell: None,
            },
            cookie: request.cookie(app.cookies.name()).and_then(|cookie| Cookies::parse(cookie.value())),
            authorization: authorization(request),
            origin: text(header::ORIGIN).map(str::to_owned),
        }));
        request.extensions_mut().insert(visit.clone());
        visit
    }
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

impl FromRequest for Visit {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        #[expect(clippy::expect_used, reason = "routes::application puts it there")]
        let app = request.app_data::<Data<App>>().expect("the application");
        std::future::ready(Ok(Self::of(request, app)))
    }
}
