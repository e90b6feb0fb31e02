//! What stands before the first table: who the server is and where it listens.

use std::{net::SocketAddr, path::PathBuf};

use ipnet::IpNet;

use super::{
    Issuer,
    given::Reader,
    key::{Key, Section},
};
use crate::failure::Stop;

static ISSUER: Key<String> = Key::optional(
    "issuer",
    "`http://localhost:8080` (the port is that of `listen`)",
    "The public URL; a path is allowed. `http` only on a loopback name.",
);
static LISTEN: Key<SocketAddr> =
    Key::or("listen", "127.0.0.1:8080", "Where the server listens; `0.0.0.0:8080` is every IPv4 interface.");
static DATA_DIR: Key<PathBuf> =
    Key::or("data_dir", "./.mooring", "Where the embedded database, its master secret and its port are kept.");
static TRUSTED_PROXIES: Key<Vec<IpNet>> =
    Key::or("trusted_proxies", "", "Only these may set `Forwarded` and `X-Forwarded-For`.");

pub static SECTION: Section = Section {
    name: "",
    doc: "These stand before the first table.",
    repeated: false,
    keys: || vec![&ISSUER, &LISTEN, &DATA_DIR, &TRUSTED_PROXIES],
};

/// The keys before the first table.
pub struct General {
    pub issuer: Issuer,
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub trusted_proxies: Vec<IpNet>,
}

/// `tls`: whether the server itself speaks it, which decides what an issuer that was not given is.
pub fn read(from: &Reader<'_>, tls: bool) -> Result<General, Stop> {
    let listen = from.get(&LISTEN)?;
    let scheme = if tls { "https" } else { "http" };
    let issuer = match from.find(&ISSUER)? {
        Some(issuer) => issuer,
        None => format!("{scheme}://localhost:{}", listen.port()),
    };
    let issuer = Issuer::parse(&issuer).map_err(|mend| from.wrong(&ISSUER, mend))?;
    if tls && !issuer.is_https() {
        return Err(
            from.wrong(&ISSUER, "with [tls] the server speaks nothing but https: write https://, or leave out [tls]")
        );
    }
    Ok(General { issuer, listen, data_dir: from.get(&DATA_DIR)?, trusted_proxies: from.get(&TRUSTED_PROXIES)? })
}
