//! How many connections one source may hold open.
//!
//! A connection costs memory and a file descriptor before it has asked for anything, so a source has so many and no more: one
//! too many is answered 429 where it can be, and closed. How long the head and the body of a request may take is bounded
//! elsewhere (`http::server`, the extractors). Connections of trusted proxies are everybody's and are not counted.

use std::{
    any::Any,
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::{dev::Extensions, rt::net::TcpStream};
use ipnet::IpNet;

use super::extract::network;
use crate::metrics;

const TOO_MANY: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Counts the open connections of each source.
pub struct Connections {
    most: usize,
    exempt: Vec<IpNet>,
    open: Mutex<HashMap<String, usize>>,
}

/// An open connection; it is counted until this is dropped with it.
struct Counted {
    of: Arc<Connections>,
    source: Option<String>,
}

impl Connections {
    /// `most` from one source, but for these networks.
    #[must_use]
    pub fn new(most: usize, exempt: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self { most, exempt, open: Mutex::default() })
    }

    /// A connection was opened: counts it, or closes it.
    pub fn opened(self: &Arc<Self>, connection: &dyn Any, kept: &mut Extensions) {
        let plain = connection.downcast_ref::<TcpStream>();
        let Some(stream) = plain.or_else(|| Some(connection.downcast_ref::<TlsStream<TcpStream>>()?.get_ref().0))
        else {
            return;
        };
        let Ok(peer) = stream.peer_addr() else { return };
        if let Some(counted) = self.count(peer.ip().to_canonical()) {
            kept.insert(counted);
            return;
        }
        metrics::refused("too_many_connections");
        if plain.is_some()
            && let Err(error) = stream.try_write(TOO_MANY)
        {
            tracing::debug!(%error, "a connection too many");
        }
        if let Err(error) = rustix::net::shutdown(stream, rustix::net::Shutdown::Both) {
            tracing::debug!(%error, "a connection too many");
        }
    }

    fn count(self: &Arc<Self>, peer: IpAddr) -> Option<Counted> {
        let is_counted = !self.exempt.iter().any(|network| network.contains(&peer));
        let source = is_counted.then(|| network(peer));
        if let Some(source) = &source {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let held = open.entry(source.clone()).or_default();
            if *held >= self.most {
                return None;
            }
            *held += 1;
        }
        metrics::connection_opened();
        Some(Counted { of: self.clone(), source })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::connection_closed();
        let Some(source) = &self.source else { return };
        let mut open = self.of.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = open.get_mut(source) {
            *held -= 1;
            if *held == 0 {
                open.remove(source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_so_many_and_others_have_theirs() {
        let connections = Connections::new(2, vec!["10.0.0.0/8".parse().unwrap()]);
        let open = |address: &str| connections.count(address.parse().unwrap());
        let held = [open("2001:db8::1"), open("2001:db8::2")];
        assert!(held.iter().all(Option::is_some));
        assert!(open("2001:db8::3").is_none(), "one /64 is one source");
        assert!(open("2001:db8:0:1::3").is_some());
        let proxied: Vec<_> = (0..10).map(|_| open("10.1.2.3")).collect();
        assert!(proxied.iter().all(Option::is_some));
        drop(held);
        assert!(open("2001:db8::3").is_some());
        drop(proxied);
        assert!(connections.open.lock().unwrap().is_empty(), "nothing is left behind");
    }
}
