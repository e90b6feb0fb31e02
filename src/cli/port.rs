//! `listen` with port 0: any that is free. The issuer has to name it before the server listens.

use std::net::TcpListener;

use crate::{
    config::{Config, Issuer},
    failure::Stop,
};

/// Chooses the port where it was left open.
pub(super) fn choose(config: &mut Config) -> Result<(), Stop> {
    if config.listen.port() != 0 {
        return Ok(());
    }
    let free = TcpListener::bind(config.listen).and_then(|listener| listener.local_addr());
    config.listen = free.map_err(|error| Stop::new(format_args!("there is no free port: {error}")))?;
    if let Some(base) = config.issuer.as_str().strip_suffix(":0") {
        config.issuer = Issuer::parse(&format!("{base}:{}", config.listen.port())).map_err(Stop::new)?;
    }
    Ok(())
}
