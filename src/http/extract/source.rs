//! Where a request comes from: only trusted proxies may say it comes from somewhere else.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::atomic::{AtomicI64, Ordering},
};

use actix_web::HttpRequest;
use chrono::{DateTime, Utc};
use ipnet::IpNet;

/// The address of the client: the peer's, or the nearest one behind our own proxies.
#[derive(Clone, Copy, Debug)]
pub struct Source {
    pub address: IpAddr,
    /// Whether that is the client's. Else it is the nearest that is known, one of our own proxies', and says nothing of
    /// where the client is.
    pub is_known: bool,
}

/// Looks where a request comes from.
pub fn find(request: &HttpRequest, trusted: &[IpNet]) -> Source {
    let known = |address| Source { address, is_known: true };
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| canonical(peer.ip()));
    let is_trusted = |address: &IpAddr| is_trusted(*address, trusted);
    if !is_trusted(&peer) {
        return known(peer);
    }
    // From the nearest hop outwards: the first that is not ours is whom our own proxy saw, and what stands further out
    // was written by whoever sent the request. A hop that cannot be read (RFC 7239 §6.3) ends the walk: nothing beyond
    // it can be believed.
    let mut nearest = Source { address: peer, is_known: true };
    let Some(hops) = forwarded(request) else { return Source { is_known: false, ..nearest } };
    for hop in hops.into_iter().rev() {
        match hop {
            Some(hop) if is_trusted(&hop) => nearest = known(hop),
            Some(hop) => return known(hop),
            None => return Source { is_known: false, ..nearest },
        }
    }
    nearest
}

/// Warns, at most once an hour, that a peer that is no trusted proxy says for whom it asks. Behind a proxy that the
/// configuration forgot all visitors are one source, and throttled as one.
pub fn warn_of_unbelieved(request: &HttpRequest, trusted: &[IpNet], now: DateTime<Utc>) {
    static LAST: AtomicI64 = AtomicI64::new(i64::MIN);
    const PAUSE: i64 = 3600;
    let Some(header) = ["forwarded", "x-forwarded-for"].into_iter().find(|name| request.headers().contains_key(*name))
    else {
        return;
    };
    let Some(peer) = request.peer_addr().map(|peer| canonical(peer.ip())) else { return };
    let (now, last) = (now.timestamp(), LAST.load(Ordering::Relaxed));
    if trusted.iter().any(|network| network.contains(&peer)) || now.saturating_sub(last) < PAUSE {
        return;
    }
    if LAST.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
        // A proxy's own address is the operator's; a visitor's is shown as coarse as everywhere.
        let peer = if is_own_network(peer) { peer.to_string() } else { place(peer) };
        let hint =
            "if it is your proxy, name it in trusted_proxies: until then all visitors behind it count as one source";
        tracing::warn!(
            header,
            peer,
            hint,
            "a peer that is not a trusted proxy sent a forwarding header; it was ignored"
        );
    }
}

/// Whether an address is of a loopback or private network (RFC 1918, RFC 4193).
fn is_own_network(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local(),
    }
}

/// Whether this is one of our own proxies.
pub fn is_trusted(address: IpAddr, trusted: &[IpNet]) -> bool {
    trusted.iter().any(|network| network.contains(&address))
}

/// The hops that `Forwarded` (RFC 7239 §4) or `X-Forwarded-For` tells, outermost first. A proxy writes one of them and
/// passes the other on as it came, so where both are there neither can be told from a forgery: `None`.
fn forwarded(request: &HttpRequest) -> Option<Vec<Option<IpAddr>>> {
    let lines = |name: &str| -> Vec<String> {
        let values = request.headers().get_all(name);
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
    };
    match (lines("forwarded"), lines("x-forwarded-for")) {
        (standard, usual) if standard.is_empty() => {
            Some(usual.iter().flat_map(|line| line.split(',')).map(|hop| parse(hop.trim())).collect())
        }
        (standard, usual) if usual.is_empty() => {
            Some(standard.iter().flat_map(|line| line.split(',')).map(forwarded_for).collect())
        }
        _ => None,
    }
}

/// The `for` of one element of `Forwarded`.
fn forwarded_for(element: &str) -> Option<IpAddr> {
    element.split(';').find_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        name.eq_ignore_ascii_case("for").then(|| parse(value.trim_matches('"')))?
    })
}

/// An address with or without port and brackets.
fn parse(text: &str) -> Option<IpAddr> {
    if let Ok(address) = text.parse() {
        return Some(canonical(address));
    }
    if let Ok(socket) = text.parse::<std::net::SocketAddr>() {
        return Some(canonical(socket.ip()));
    }
    text.trim_start_matches('[').trim_end_matches(']').parse().ok().map(canonical)
}

fn canonical(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// What counts as one source: an IPv6 customer has a whole /64 (RFC 6177 §2).
pub fn network(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::from([a, b, c, d, 0, 0, 0, 0]).to_string()
        }
    }
}

/// The wider networks that one customer may have (RFC 6177 §2): a /56 and a /48. Whoever has one goes from /64 to /64.
pub fn neighbourhoods(address: IpAddr) -> Vec<String> {
    let IpAddr::V6(v6) = address else { return Vec::new() };
    let [a, b, c, d, ..] = v6.segments();
    let prefix = |d: u16, length: u8| format!("{}/{length}", Ipv6Addr::from([a, b, c, d, 0, 0, 0, 0]));
    vec![prefix(d & 0xff00, 56), prefix(0, 48)]
}

/// The network of an address in words for people, too coarse to point at anybody.
pub fn place(address: IpAddr) -> String {
    match address {
        address if address.is_loopback() => "this computer".to_owned(),
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            format!("{a}.{b}.x.x")
        }
        IpAddr::V6(v6) => {
            let [a, b, ..] = v6.segments();
            format!("{:x}:{b:x}::", Ipv6Addr::from([a, 0, 0, 0, 0, 0, 0, 0]).segments()[0])
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;
    use crate::oauth::hostile;

    fn address(request: &HttpRequest, trusted: &[IpNet]) -> IpAddr {
        find(request, trusted).address
    }

    fn seen(peer: &str, header: (&str, &str), trusted: &[&str]) -> String {
        let request = TestRequest::default().peer_addr(peer.parse().unwrap()).insert_header(header).to_http_request();
        let trusted: Vec<IpNet> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        address(&request, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        let forged = ("x-forwarded-for", "6.6.6.6");
        assert_eq!(seen("203.0.113.9:1", forged, &[]), "203.0.113.9");
        assert_eq!(seen("203.0.113.9:1", forged, &["127.0.0.0/8"]), "203.0.113.9");
        assert_eq!(seen("127.0.0.1:1", ("x-forwarded-for", "6.6.6.6, 198.51.100.7"), &["127.0.0.0/8"]), "198.51.100.7");
        assert_eq!(
            seen("127.0.0.1:1", ("forwarded", "for=\"[2001:db8::1]:4711\";proto=https"), &["127.0.0.0/8"]),
            "2001:db8::1"
        );
    }

    #[test]
    fn what_cannot_be_told_from_a_forgery_is_not_believed() {
        let trusted = ["127.0.0.0/8"];
        // The nearest hop is obfuscated: nothing further out counts.
        assert_eq!(seen("127.0.0.1:1", ("forwarded", "for=6.6.6.6, for=_hidden"), &trusted), "127.0.0.1");
        assert_eq!(seen("127.0.0.1:1", ("x-forwarded-for", "6.6.6.6, unknown"), &trusted), "127.0.0.1");
        let request = TestRequest::default()
            .peer_addr("127.0.0.1:1".parse().unwrap())
            .insert_header(("x-forwarded-for", "198.51.100.7"))
            .insert_header(("forwarded", "for=6.6.6.6"))
            .to_http_request();
        let source = find(&request, &["127.0.0.0/8".parse().unwrap()]);
        assert_eq!((source.address.to_string().as_str(), source.is_known), ("127.0.0.1", false));
    }

    #[test]
    fn an_ipv6_network_is_one_source() {
        assert_eq!(network("2001:db8:1:2::3".parse().unwrap()), network("2001:db8:1:2:ffff::9".parse().unwrap()));
        assert_ne!(network("2001:db8:1:2::3".parse().unwrap()), network("2001:db8:1:3::3".parse().unwrap()));
    }

    #[test]
    fn neighbours_share_the_wider_networks() {
        let of = |text: &str| neighbourhoods(text.parse().unwrap());
        assert_eq!(of("2001:db8:1:2f03::3"), ["2001:db8:1:2f00::/56", "2001:db8:1::/48"]);
        assert_eq!(of("2001:db8:1:2f03::3"), of("2001:db8:1:2fff:1::"));
        assert_ne!(of("2001:db8:1:2f03::3")[0], of("2001:db8:1:3003::3")[0]);
        assert!(of("203.0.113.9").is_empty());
    }

    #[test]
    fn places_are_coarse() {
        assert_eq!(place("203.0.113.9".parse().unwrap()), "203.0.x.x");
        assert_eq!(place("2001:db8:1:2::3".parse().unwrap()), "2001:db8::");
        assert_eq!(place("::1".parse().unwrap()), "this computer");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_an_address(name in "(forwarded|x-forwarded-for)", value in hostile::text(), hop in "for=\"?\\[?[0-9a-f:.]{0,20}\\]?\"?(:[0-9]{1,6})?") {
            for value in [value, hop.clone(), format!("{hop}, {hop};proto=http"), hop.replace("for=", "")] {
                let Ok(value) = actix_web::http::header::HeaderValue::from_bytes(value.as_bytes()) else { continue };
                let request = |peer: &str| {
                    let header = (actix_web::http::header::HeaderName::from_bytes(name.as_bytes()).unwrap(), value.clone());
                    TestRequest::default().peer_addr(peer.parse().unwrap()).insert_header(header).to_http_request()
                };
                let trusted: Vec<IpNet> = vec!["127.0.0.0/8".parse().unwrap()];
                prop_assert_eq!(address(&request("203.0.113.9:1"), &trusted).to_string(), "203.0.113.9");
                let seen = address(&request("127.0.0.1:1"), &trusted);
                prop_assert!(!place(seen).is_empty() && !network(seen).is_empty());
            }
        }
    }
}
