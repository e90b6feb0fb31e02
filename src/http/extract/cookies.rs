//! The session cookies that a request shows.
//!
//! Applications on the same host, on other ports or below other paths, set cookies of their own, and the browser sends them
//! all in one line. So the line is read as octets, names are compared as octets (a name that is decoded first could pass for
//! one with `__Host-`), and a cookie that is not ours, or not good, costs nobody their session.

use actix_web::{
    HttpRequest,
    http::header::{COOKIE, HeaderMap},
};

use super::Visit;
use crate::{
    app::App,
    db::session_locks::{self, NamedSession},
    sessions::{Cookies, PresentedCookie},
};

/// Every session cookie of the right form, each once, in the order in which they came; those of the former name after those of
/// the present one.
pub fn presented(headers: &HeaderMap, cookies: &Cookies) -> Vec<PresentedCookie> {
    let names = std::iter::once(cookies.name()).chain(cookies.former_name());
    let values = names.flat_map(|name| values(headers, name.as_bytes()));
    let mut found = Vec::new();
    for cookie in values.filter_map(|value| Cookies::parse(std::str::from_utf8(value).ok()?)) {
        if !found.contains(&cookie) {
            found.push(cookie);
        }
    }
    found
}

/// The values of all cookies of this name (RFC 6265 §5.4: pairs, separated by `;`; HTTP/2 may send several lines).
pub fn values<'h>(headers: &'h HeaderMap, name: &'h [u8]) -> impl Iterator<Item = &'h [u8]> {
    let pairs = headers.get_all(COOKIE).flat_map(|line| line.as_bytes().split(|octet| *octet == b';'));
    pairs.filter_map(move |pair| {
        let at = pair.iter().position(|octet| *octet == b'=')?;
        let (of, value) = pair.split_at(at);
        (of.trim_ascii() == name).then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

/// Chooses among several session cookies, before anything else looks at the visit. Where there is one at most, which is
/// nearly always, this asks nobody.
pub async fn settle(app: &App, request: &HttpRequest) {
    let presented = presented(request.headers(), &app.cookies);
    if presented.len() < 2 {
        return;
    }
    let visit = Visit::of(request, app);
    let ids: Vec<_> = presented.iter().map(|cookie| cookie.session_id).collect();
    let named = app.db.single(visit.now, &visit.trace, async |tx| session_locks::load_named(tx, &ids).await).await;
    match named {
        Ok(named) => {
            let best = presented.into_iter().rev().max_by_key(|cookie| standing(app, cookie, &named));
            if let Some(best) = best {
                visit.settle(request, best);
            }
        }
        // The handler is about to ask the same database, and answers for it.
        Err(broken) => {
            tracing::warn!(request_id = %visit.trace.request_id, %broken, "could not choose among several session cookies");
        }
    }
}

/// How good a cookie is: of a live session before one of a locked session, and that before one that was ours once.
fn standing(app: &App, cookie: &PresentedCookie, named: &[NamedSession]) -> u8 {
    let Some(session) = named.iter().find(|session| session.id == cookie.session_id) else { return 0 };
    match (session.is_live, session.is_locked) {
        (true, _) if app.cookies.is_genuine(cookie, session.secret_generation) => 3,
        _ if !app.cookies.was_genuine(cookie, session.secret_generation) => 0,
        (_, true) => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(lines: &[&[u8]], name: &str) -> Vec<Vec<u8>> {
        let mut request = TestRequest::default();
        for line in lines {
            request = request.append_header((COOKIE, actix_web::http::header::HeaderValue::from_bytes(line).unwrap()));
        }
        let request = request.to_http_request();
        values(request.headers(), name.as_bytes()).map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn octets_of_others_hide_nothing() {
        assert_eq!(read(&[b"a=\xff\xfe; ours=1; b=\x80"], "ours"), [b"1"]);
        assert_eq!(read(&[b"a=1;ours=2", b"ours=3;; =; \xff ;ours"], "ours"), [b"2", b"3"]);
        assert_eq!(read(&[b"\tours =  4 "], "ours"), [b"4"]);
        assert_eq!(read(&[b"ours=a=b"], "ours"), [b"a=b"]);
    }

    #[test]
    fn names_are_compared_as_they_are() {
        assert!(read(&[b"OURS=1; xours=2; ours.=3; o%75rs=4; \"ours\"=5"], "ours").is_empty());
        assert!(read(&[b"__%48ost-ours=1; __host-ours=2"], "__Host-ours").is_empty());
    }
}
