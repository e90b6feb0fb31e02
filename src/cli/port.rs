//! `listen` with port 0: any that is free. The issuer has to name it before the server listens.

use std::net::TcpListener;

use crate::{
    config::{Config, Issuer},
    db::embedded::Embedded,
    failure::Stop,
    http::cannot_listen,
};

/// Chooses the port where it was left open.
pub(super) fn choose(config: &mut Config) -> Result<(), Stop> {
    if config.listen.port() != 0 {
        return Ok(());
    }
    let free = TcpListener::bind(config.listen).and_then(|listener| listener.local_addr());
    config.listen = free.map_err(|error| Stop::new(format_args!("there is no free port: {error}")))?;
    let issuer = config.issuer.as_str();
    let (address, slash) = issuer.strip_suffix('/').map_or((issuer, ""), |address| (address, "/"));
    if let Some(base) = address.strip_suffix(":0") {
        config.issuer = Issuer::parse(&format!("{base}:{}{slash}", config.listen.port())).map_err(Stop::new)?;
    }
    Ok(())
}

/// Refuses a port that is taken before anything is made: a database that was made or migrated for a server that cannot listen
/// puzzles its operator. Where there is an embedded cluster nothing new is made, and its own lock says more than the port.
pub(super) fn check(config: &Config) -> Result<(), Stop> {
    if config.database.url.is_none() && Embedded::exists(&config.data_dir) {
        return Ok(());
    }
    TcpListener::bind(config.listen).map(drop).map_err(|error| cannot_listen(config.listen, &error))
}
