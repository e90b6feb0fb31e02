//! The configuration: read once, from a file and the environment, complete and checked before anything starts.
//!
//! Each section is one file: its keys as data, its type, and how the one becomes the other. A new one is a file, a line
//! in [`SECTIONS`] and a field of [`Config`]; the search for unknown keys and [`Config::reference`] follow from that.
//!
//! Not for what is decided per request, and not for reading the files it names (certificates, secrets, templates):
//! that is done by whoever needs them.
//!
//! Invariant: a [`Config`] exists only if every value in it is valid. Relative paths are relative to the working
//! directory; that of the embedded database's master secret to its data directory.

mod access;
pub mod builtin;
mod client;
mod database;
mod general;
mod given;
mod hours;
mod issuer;
mod key;
mod log;
mod mail;
mod metrics;
mod outbound;
mod pages;
mod passkeys;
mod passwords;
mod privileged;
mod reference;
mod registration;
mod request_objects;
mod resource;
mod retention;
mod scope;
mod secret;
mod secrets;
mod server;
mod sessions;
#[cfg(test)]
mod tests;
mod tls;
mod tokens;
mod unknown;
mod user;
mod value;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use ipnet::IpNet;

pub use self::{
    access::Access,
    database::Database,
    given::Sources,
    hours::Hours,
    issuer::Issuer,
    log::{Log, LogFormat},
    mail::{Delivery, Mail},
    metrics::Metrics,
    outbound::Outbound,
    pages::Pages,
    passkeys::Passkeys,
    passwords::Passwords,
    privileged::PrivilegedSessions,
    registration::{Policy, Registration},
    request_objects::RequestObjects,
    resource::Resource,
    retention::Retention,
    scope::{Approval, Privileged, Scope, Scopes, StepUpAcr},
    secret::Secret,
    secrets::{MASTER_LENGTH, MasterSource, Secrets},
    server::Server,
    sessions::Sessions,
    tls::Tls,
    tokens::Tokens,
    user::{User, is_username},
};
use self::{given::Given, key::Section};
use crate::{failure::Stop, oauth::client_metadata::ClientMetadata};

/// Every section, in the order of the reference; the first is what stands before the first table.
static SECTIONS: &[&Section] = &[
    &general::SECTION,
    &database::SECTION,
    &secrets::SECTION,
    &sessions::SECTION,
    &tokens::SECTION,
    &registration::SECTION,
    &request_objects::SECTION,
    &tls::SECTION,
    &outbound::SECTION,
    &passkeys::SECTION,
    &passwords::SECTION,
    &privileged::SECTION,
    &mail::SECTION,
    &metrics::SECTION,
    &log::SECTION,
    &pages::SECTION,
    &retention::SECTION,
    &server::SECTION,
    &scope::SECTION,
    &resource::SECTION,
    &client::SECTION,
    &user::SECTION,
];

/// `MOORING_` variables that are not keys, and what they are for.
static ELSEWHERE: &[(&str, &str)] = &[
    ("MOORING_CONFIG", "The configuration file, unless `--config` names one."),
    ("MOORING_POSTGRES", "The folder of the PostgreSQL programs that the embedded cluster is to use."),
];

/// The configuration of a process.
#[derive(Clone, Debug)]
pub struct Config {
    pub issuer: Issuer,
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    /// Only these may say for whom they ask.
    pub trusted_proxies: Vec<IpNet>,
    pub database: Database,
    pub secrets: Secrets,
    pub sessions: Sessions,
    pub tokens: Tokens,
    pub registration: Registration,
    pub request_objects: RequestObjects,
    /// Absent: plain HTTP.
    pub tls: Option<Tls>,
    pub outbound: Outbound,
    pub passkeys: Passkeys,
    pub passwords: Passwords,
    pub privileged: PrivilegedSessions,
    pub mail: Mail,
    pub metrics: Metrics,
    pub log: Log,
    pub pages: Pages,
    pub retention: Retention,
    pub server: Server,
    pub scopes: Scopes,
    pub resources: Vec<Resource>,
    pub clients: Vec<ClientMetadata>,
    pub users: Vec<User>,
}

impl Config {
    /// Reads and checks everything; what is wrong is said with its place and what mends it.
    pub fn load(sources: Sources) -> Result<Self, Stop> {
        Self::read(&Given::gather(sources)?)
    }

    fn read(given: &Given) -> Result<Self, Stop> {
        let tls = tls::read(&given.section(&tls::SECTION))?;
        let general = general::read(&given.section(&general::SECTION), tls.is_some())?;
        Ok(Self {
            issuer: general.issuer,
            listen: general.listen,
            data_dir: general.data_dir,
            trusted_proxies: general.trusted_proxies,
            database: database::read(&given.section(&database::SECTION))?,
            secrets: secrets::read(&given.section(&secrets::SECTION))?,
            sessions: sessions::read(&given.section(&sessions::SECTION))?,
            tokens: tokens::read(&given.section(&tokens::SECTION))?,
            registration: registration::read(&given.section(&registration::SECTION))?,
            request_objects: request_objects::read(&given.section(&request_objects::SECTION))?,
            tls,
            outbound: outbound::read(&given.section(&outbound::SECTION))?,
            passkeys: passkeys::read(&given.section(&passkeys::SECTION))?,
            passwords: passwords::read(&given.section(&passwords::SECTION))?,
            privileged: privileged::read(&given.section(&privileged::SECTION))?,
            mail: mail::read(&given.section(&mail::SECTION))?,
            metrics: metrics::read(&given.section(&metrics::SECTION))?,
            log: log::read(&given.section(&log::SECTION))?,
            pages: pages::read(&given.section(&pages::SECTION))?,
            retention: retention::read(&given.section(&retention::SECTION))?,
            server: server::read(&given.section(&server::SECTION))?,
            scopes: scope::read(&given.rows(&scope::SECTION))?,
            resources: resource::read(&given.rows(&resource::SECTION))?,
            clients: client::read(&given.rows(&client::SECTION))?,
            users: user::read(&given.rows(&user::SECTION))?,
        })
    }

    /// What lies in `data_dir` unless something else is said. Worked out where it is used and kept nowhere, so that it moves
    /// with the directory: the demo has one of its own.
    fn in_data_dir(&self, name: impl AsRef<Path>) -> PathBuf {
        self.data_dir.join(name)
    }
}
