//! How many connections one source may hold open, and all of them together.
//!
//! A connection costs memory and a file descriptor before it has asked for anything, and before its TLS handshake. So each is
//! counted when it is accepted: by address, by /64, and by the wider networks that one customer may have (a /56, a /48). A source
//! has `server.connections_per_source`, and never more than a quarter of what is left: a few cannot take all. One too many is answered 429 where it can be, and closed. How long a handshake, the head and the body of a request
//! may take is bounded elsewhere (`http::listener`, the extractors). Connections of trusted proxies are everybody's; no source is
//! charged with them.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::rt::net::TcpStream;
use ipnet::IpNet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use super::extract::{neighbourhoods, network};
use crate::{metrics, risk::WIDENING};

const TOO_MANY: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// More connections than this are too much for the memory of one server.
const MOST: u64 = 20_000;

/// More files than this are of no use.
const FILES: u64 = 65_536;

/// How many are told at once that they are too many, and for how long it is tried.
const TOLD_AT_ONCE: usize = 32;
const TELLING: Duration = Duration::from_millis(500);

/// Counts the open connections of each source.
pub struct Connections {
    most: usize,
    in_all: usize,
    exempt: Vec<IpNet>,
    open: Mutex<Open>,
    told: AtomicUsize,
}

#[derive(Default)]
struct Open {
    in_all: usize,
    of: HashMap<String, usize>,
}

/// An open connection; it is counted until this is dropped with it.
pub struct Counted {
    by: Arc<Connections>,
    networks: Vec<String>,
}

/// How many connections this process may have: three of four files that it may open, after it raised that number as far as it may. The
/// rest is for the database, for what is fetched, and for files.
pub fn most_in_all() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(FILES).min(FILES);
    let mut files = limit.current.unwrap_or(FILES);
    if files < wanted {
        match setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), ..limit }) {
            Ok(()) => files = wanted,
            Err(error) => tracing::warn!(%error, files, "the number of open files cannot be raised"),
        }
    }
    usize::try_from((files - files / 4).min(MOST)).unwrap_or(usize::MAX)
}

impl Connections {
    /// `most` from one source, but for the `exempt` networks; `in_all` together.
    #[must_use]
    pub fn new(most: usize, in_all: usize, exempt: Vec<IpNet>) -> Arc<Self> {
        Arc::new(Self { most, in_all, exempt, open: Mutex::default(), told: AtomicUsize::new(0) })
    }

    /// Counts a connection of this peer. `None`: it has too many, or there are too many.
    pub fn count(self: &Arc<Self>, peer: IpAddr) -> Option<Counted> {
        let is_exempt = self.exempt.iter().any(|network| network.contains(&peer));
        let mut networks = Vec::new();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_exempt {
            networks.push(network(peer));
            networks.extend(neighbourhoods(peer));
            let share = self.in_all.saturating_sub(open.in_all).div_ceil(4);
            let is_full = networks.iter().zip(WIDENING).any(|(network, factor)| {
                open.of.get(network).copied().unwrap_or_default()
                    >= self.most.saturating_mul(usize::from(factor)).min(share)
            });
            if is_full {
                return None;
            }
            for network in &networks {
                *open.of.entry(network.clone()).or_default() += 1;
            }
        }
        open.in_all += 1;
        drop(open);
        metrics::connection_opened();
        Some(Counted { by: self.clone(), networks })
    }

    /// Says that it is one too many, if it can be said in the clear, and closes it.
    pub async fn refuse(&self, mut stream: TcpStream, is_tls: bool) {
        metrics::refused("too_many_connections");
        if is_tls {
            return;
        }
        if self.told.fetch_add(1, Ordering::Relaxed) < TOLD_AT_ONCE {
            let telling = async {
                stream.write_all(TOO_MANY).await?;
                stream.shutdown().await?;
                // What is not read makes the end a reset, and the peer would not see the answer.
                let mut sent = [0; 512];
                while stream.read(&mut sent).await? > 0 {}
                Ok::<_, std::io::Error>(())
            };
            if let Ok(Err(error)) = timeout(TELLING, telling).await {
                tracing::debug!(%error, "a connection too many");
            }
        }
        self.told.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        metrics::connection_closed();
        let mut open = self.by.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.in_all -= 1;
        for network in &self.networks {
            if let Some(held) = open.of.get_mut(network) {
                *held -= 1;
                if *held == 0 {
                    open.of.remove(network);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_so_many_and_others_have_theirs() {
        let connections = Connections::new(2, 1000, vec!["10.0.0.0/8".parse().unwrap()]);
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
        let open = connections.open.lock().unwrap();
        assert!(open.of.is_empty() && open.in_all == 0, "nothing is left behind");
    }

    #[test]
    fn a_wide_network_has_few_times_as_many() {
        let connections = Connections::new(2, 1000, Vec::new());
        let fill = |addresses: &mut dyn Iterator<Item = String>| -> Vec<Counted> {
            addresses.filter_map(|address| connections.count(address.parse().unwrap())).collect()
        };
        let of_56 = fill(&mut (0..50).map(|n| format!("2001:db8:0:{n:x}::1")));
        assert_eq!(of_56.len(), 4, "one /56");
        let of_48 = fill(&mut (1..50).map(|n| format!("2001:db8:0:{n:x}00::1")));
        assert_eq!(of_56.len() + of_48.len(), 12, "one /48");
        assert!(connections.count("2001:db8:1::1".parse().unwrap()).is_some());
    }

    #[test]
    fn a_few_sources_cannot_take_all() {
        let connections = Connections::new(512, 768, Vec::new());
        let mut held = Vec::new();
        for source in 1..=20 {
            let peer: IpAddr = format!("192.0.2.{source}").parse().unwrap();
            let before = held.len();
            held.extend(std::iter::from_fn(|| connections.count(peer)));
            assert!(held.len() > before, "{source}");
        }
        assert!(held.len() < 768);
    }
}
