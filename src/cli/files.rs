//! What a server is built from beside its database: files that the configuration names, each read here as the server reads
//! it, so that one that cannot be used stops the start before anything is opened, and `doctor` tells of each by itself.
//!
//! The master secret is not among them: whether it is the right one, only the database can tell.

use std::path::PathBuf;

use crate::{
    authentication::Passkeys,
    clients::read_initial_access_token,
    config::Config,
    failure::Stop,
    http::{
        Certificate,
        render::{self, Site, Templates},
    },
    jose::{MasterSecret, Purpose},
    notices::{Mailer, mail::Letters},
    outbound,
    tokens::ResetLinks,
};

/// What a key of the configuration names.
pub(super) struct Named {
    pub key: &'static str,
    pub is_there: fn(&Config) -> bool,
    pub read: fn(&Config) -> Result<(), Stop>,
    /// Goes on as if it were not named.
    pub leave_out: fn(&mut Config),
}

pub(super) static NAMED: [Named; 6] = [
    Named {
        key: "tls",
        is_there: |config| config.tls.is_some(),
        read: |config| config.tls.as_ref().map_or(Ok(()), |tls| Certificate::read(tls).map(drop)),
        leave_out: |config| config.tls = None,
    },
    Named {
        key: "pages.templates",
        is_there: |config| config.pages.templates.is_some(),
        read: |config| {
            let folder = config.pages.templates.as_deref();
            Templates::new(folder, Site::of(config))?;
            Letters::new(folder).map(drop)
        },
        leave_out: |config| config.pages.templates = None,
    },
    Named {
        key: "outbound.trust",
        is_there: |config| !config.outbound.trust.is_empty(),
        read: |config| outbound::read_trust(&config.outbound).map(drop),
        leave_out: |config| config.outbound.trust.clear(),
    },
    Named {
        key: "passkeys.attestation_ca",
        is_there: |config| !config.passkeys.attestation_ca.is_empty(),
        read: |config| Passkeys::new(&config.issuer, &config.pages.name, &config.passkeys).map(drop),
        leave_out: |config| config.passkeys.attestation_ca.clear(),
    },
    Named {
        key: "registration.initial_access_token_file",
        is_there: |config| config.registration.initial_access_token_file.is_some(),
        read: |config| read_initial_access_token(&config.registration).map(drop),
        leave_out: |config| config.registration.initial_access_token_file = None,
    },
    Named {
        key: "mail",
        is_there: |config| config.mail.from.is_some() || config.mail.url.is_some(),
        read: |config| mailer(config).map(drop),
        leave_out: |config| {
            config.mail.from = None;
            config.mail.url = None;
        },
    },
];

/// A mailer whose one-time links open nothing: for looking at the configuration, and for mail without a link.
pub(super) fn mailer(config: &Config) -> Result<Mailer, Stop> {
    let throwaway = MasterSecret::from_bytes(MasterSecret::generate().as_bytes())?;
    Mailer::new(config, ResetLinks::new(throwaway.derive(Purpose::PasswordResets)))
}

/// What lies among the templates and replaces none of them.
pub(super) fn strangers(config: &Config) -> Result<Vec<PathBuf>, Stop> {
    config.pages.templates.as_deref().map_or(Ok(Vec::new()), render::strangers)
}

/// Reads everything; the first that cannot be used is the answer.
pub(super) fn read_all(config: &Config) -> Result<(), Stop> {
    NAMED.iter().filter(|named| (named.is_there)(config)).try_for_each(|named| (named.read)(config))?;
    for file in strangers(config)? {
        tracing::warn!(file = %file.display(), "replaces no template: is its name misspelt?");
    }
    Ok(())
}
