//! Where a request comes from: only trusted proxies may say it comes from somewhere else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use actix_web::HttpRequest;
use ipnet::IpNet;

/// The address of the client: the peer's, or the nearest one behind our own proxies.
pub fn address(request: &HttpRequest, trusted: &[IpNet]) -> IpAddr {
    let peer = request.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| canonical(peer.ip()));
    let is_trusted = |address: &IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(&peer) {
        return peer;
    }
    // From the nearest hop outwards; the first that is not ours is whom our own proxy saw. What stands further out was
    // written by whoever sent the request.
    let hops = forwarded(request);
    hops.into_iter().rev().find(|hop| !is_trusted(hop)).unwrap_or(peer)
}

/// The hops that `Forwarded` (RFC 7239 §4), else `X-Forwarded-For`, tells, outermost first.
fn forwarded(request: &HttpRequest) -> Vec<IpAddr> {
    let lines = |name: &str| -> Vec<String> {
        request.headers().get_all(name).filter_map(|value| value.to_str().ok()).map(str::to_owned).collect()
    };
    let standard = lines("forwarded");
    if !standard.is_empty() {
        return standard
            .iter()
            .flat_map(|line| line.split(','))
            .filter_map(|element| {
                element.split(';').find_map(|pair| {
                    let (name, value) = pair.trim().split_once('=')?;
                    name.eq_ignore_ascii_case("for").then(|| parse(value.trim_matches('"')))?
                })
            })
            .collect();
    }
    lines("x-forwarded-for").iter().flat_map(|line| line.split(',')).filter_map(|hop| parse(hop.trim())).collect()
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

    use super::*;

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
    fn places_are_coarse() {
        assert_eq!(place("203.0.113.9".parse().unwrap()), "203.0.x.x");
        assert_eq!(place("2001:db8:1:2::3".parse().unwrap()), "2001:db8::");
        assert_eq!(place("::1".parse().unwrap()), "this computer");
    }
}
