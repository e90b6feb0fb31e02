//! What the server may reach by itself.

use std::path::PathBuf;

use ipnet::IpNet;

use super::{
    given::Reader,
    key::{Key, Section},
};
use crate::failure::Stop;

static TRUST: Key<Vec<PathBuf>> = Key::or("trust", "", "Files of further certificate authorities, in PEM.");
static ALLOW: Key<Vec<IpNet>> =
    Key::or("allow", "", "Special-use networks (loopback, private, link-local, …) that may be reached all the same.");

pub static SECTION: Section = Section {
    name: "outbound",
    doc: "What the server itself fetches or calls at addresses that clients name: `jwks_uri`, `request_uri`, logout.",
    repeated: false,
    keys: || vec![&TRUST, &ALLOW],
};

/// What the server may reach by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outbound {
    pub trust: Vec<PathBuf>,
    pub allow: Vec<IpNet>,
}

pub fn read(from: &Reader<'_>) -> Result<Outbound, Stop> {
    Ok(Outbound { trust: from.get(&TRUST)?, allow: from.get(&ALLOW)? })
}
