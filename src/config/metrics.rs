//! Where the server tells Prometheus how it is.

use std::net::SocketAddr;

use super::{
    given::Reader,
    key::{Key, Section},
    value::OrOff,
};
use crate::failure::Stop;

static LISTEN: Key<OrOff<SocketAddr>> =
    Key::or("listen", "127.0.0.1:9464", "A listener of its own for `/metrics`, which needs no sign-in.");

pub static SECTION: Section =
    Section { name: "metrics", doc: "Figures for Prometheus.", repeated: false, keys: || vec![&LISTEN] };

/// Where figures are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Absent: nowhere.
    pub listen: Option<SocketAddr>,
}

pub fn read(from: &Reader<'_>) -> Result<Metrics, Stop> {
    Ok(Metrics { listen: from.get(&LISTEN)?.0 })
}
