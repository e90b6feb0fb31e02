//! Pages are for the issuer's own address: their forms lead there, their cookie and passkeys belong to it. Under another
//! address (127.0.0.1 for localhost, a machine's address in its network, a mapped port, a tunnel) a page would open and each
//! of its buttons would be dead.
//!
//! Invariants: a browser is sent to the issuer and nowhere else; a page that a proxy brings under a name of its own is not
//! sent round in circles; probes and the endpoints that clients call do not come here.

use std::{
    net::Ipv4Addr,
    sync::atomic::{AtomicBool, Ordering},
};

use actix_web::{
    HttpRequest, HttpResponse,
    cookie::{Cookie, SameSite, time::Duration},
    dev::RequestHead,
    guard::GuardContext,
    http::{
        StatusCode, Version,
        header::{self, HeaderMap},
    },
    web::Data,
};
use url::{Host, Url};

use super::{
    extract::{Visit, cookies, is_trusted},
    render::{Page, PageName, answer, views},
};
use crate::{app::App, config::Config, oauth::client_metadata::is_loopback};

/// The cookie of a browser that has just been sent to the issuer's address.
const SENT: &str = "mooring_sent";
/// Long enough for one redirect.
const SENT_FOR: Duration = Duration::seconds(10);

/// Which of the two has been warned about: once each for as long as the server runs.
#[derive(Default)]
pub struct Warned {
    sent: AtomicBool,
    shown: AtomicBool,
}

/// Whether a page may be shown: for all that is known, the browser came by the issuer's address.
pub fn is_own(context: &GuardContext<'_>) -> bool {
    context.app_data::<Data<App>>().is_none_or(|app| other_address(app, context.head()).is_none())
}

/// Answers a page's request that came by another address.
pub async fn elsewhere(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let issuer = &app.config.issuer;
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let here = format!("{}{path}", issuer.origin());
    let seen = other_address(&app, request.head()).unwrap_or_default();
    let seen: String = seen.chars().filter(|c| !c.is_control()).take(255).collect();
    let helps = parse(&seen, issuer.is_https()).is_some_and(|seen| can_reach(&app.config, &seen));
    let warned = if helps { &app.warned.sent } else { &app.warned.shown };
    if !warned.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            address = seen,
            issuer = issuer.as_str(),
            "a page was opened under another address than the issuer's, where no form of it works: open the issuer's, set \
             `issuer` to the address that people use, or let the proxy send X-Forwarded-Host and name it in `trusted_proxies`"
        );
    }
    if helps {
        let mut response = answer::see_other(&here);
        let sent = Cookie::build(app.cookies.names().name(SENT), "1").path("/").http_only(true);
        let sent = sent.same_site(SameSite::Lax).secure(app.cookies.is_secure()).max_age(SENT_FOR).finish();
        if let Err(error) = response.add_cookie(&sent) {
            tracing::error!(%error, "the cookie of a browser that was sent on");
        }
        return response;
    }
    let context = views::OtherAddress { seen, issuer: issuer.as_str().to_owned(), here };
    // RFC 9110 §15.5.20: this server does not answer for that address.
    answer::page(&app, &visit, Page::new(PageName::OtherAddress).status(StatusCode::MISDIRECTED_REQUEST), &context)
}

/// The address by which the browser came, where it is known and not the issuer's.
fn other_address(app: &App, head: &RequestHead) -> Option<String> {
    let config = &app.config;
    // No browser speaks HTTP/1.0: a proxy does, which says nothing of the address that it was reached by.
    if head.version < Version::HTTP_11 {
        return None;
    }
    let peer = head.peer_addr.map(|peer| peer.ip().to_canonical());
    let claimed = claimed(head.headers());
    let is_named = claimed.iter().any(|host| is_issuers(config, host, true));
    let host = head.uri.authority().map(|it| it.as_str().to_owned()).or_else(|| text(head.headers(), "host"));
    // A trusted proxy says what it was called. Of another one that counts only where it says the right thing: it has no say
    // in where a browser is sent, and a lie deceives nobody but its author.
    let seen = match claimed.first() {
        Some(_) if is_named => return None,
        Some(first) if peer.is_some_and(|peer| is_trusted(peer, &config.trusted_proxies)) => first.clone(),
        _ => host.filter(|host| !is_issuers(config, host, false))?,
    };
    (!is_brought_by_proxy(app, head, &seen)).then_some(seen)
}

/// Whether a proxy may stand between, that calls this server by a name of its own and does not say what it was called.
fn is_brought_by_proxy(app: &App, head: &RequestHead, seen: &str) -> bool {
    // It was sent to the issuer's address, and comes back under the same other name.
    let name = app.cookies.names().name(SENT);
    if cookies::values(head.headers(), name.as_bytes()).next().is_some() {
        return true;
    }
    // TLS ends at a proxy on this machine (nginx sends its own `Host` where nothing else is set). A browser says that it
    // navigates (Fetch Metadata §2.2): then it has been sent on at most once.
    let config = &app.config;
    let navigates = text(head.headers(), "sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    config.issuer.is_https()
        && config.tls.is_none()
        && !navigates
        && parse(seen, true).is_some_and(|seen| is_this_machine(&seen))
}

/// Whether a browser that came by `seen` can reach the issuer's address: it is public, or on the same machine as the browser
/// and not behind another port than ours.
fn can_reach(config: &Config, seen: &Url) -> bool {
    let Ok(issuer) = Url::parse(config.issuer.origin()) else { return false };
    if !is_this_machine(&issuer) {
        return true;
    }
    let port = seen.port_or_known_default();
    is_this_machine(seen) && (port == issuer.port_or_known_default() || port == Some(config.listen.port()))
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(Ipv4Addr::UNSPECIFIED)) => true,
        Some(Host::Domain(name)) => is_loopback(&Host::Domain(name.trim_end_matches('.'))),
        Some(address) => is_loopback(&address),
        None => false,
    }
}

/// Whether this is the issuer's host; `claimed` by a proxy, which may leave the port out.
fn is_issuers(config: &Config, host: &str, claimed: bool) -> bool {
    let issuer = &config.issuer;
    parse(host, issuer.is_https()).is_some_and(|url| {
        let has_port = url.port().is_some();
        url.host_str() == Some(issuer.host()) && (url.port() == issuer.port() || claimed && !has_port)
    })
}

/// `host[:port]` as a URL of the issuer's scheme, if it is one.
fn parse(host: &str, is_https: bool) -> Option<Url> {
    let url = Url::parse(&format!("{}://{host}/", if is_https { "https" } else { "http" })).ok()?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    is_bare.then_some(url)
}

/// The hosts that proxies say they were called: `Forwarded` (RFC 7239 §5.3), or `X-Forwarded-Host`.
fn claimed(headers: &HeaderMap) -> Vec<String> {
    let elements = |name: &str| -> Vec<String> {
        let lines = headers.get_all(name).map(|line| String::from_utf8_lossy(line.as_bytes()).into_owned());
        lines.flat_map(|line| line.split(',').map(|one| one.trim().to_owned()).collect::<Vec<_>>()).collect()
    };
    let standard = elements("forwarded").into_iter().filter_map(|element| {
        element.split(';').find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            name.trim().eq_ignore_ascii_case("host").then(|| value.trim().trim_matches('"').to_owned())
        })
    });
    standard.chain(elements("x-forwarded-host")).filter(|host| !host.is_empty()).collect()
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(header::HeaderName::from_bytes(name.as_bytes()).ok()?)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}
