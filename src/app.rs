//! The application: what every request needs, built once and shared.

use std::sync::{Arc, OnceLock};

use actix_web::web::Bytes;

use crate::{
    authentication::{
        Passkeys, Passwords, StatelessCeremonies, recovery::RecoveryCodes, second_factor::Codes, totp::Authenticators,
    },
    authorize::ObjectCache,
    clients::{Registrar, jwks::JwksCache},
    clock::Clock,
    config::Config,
    db::Database,
    failure::Stop,
    http::{
        Certificate,
        own_address::Warned,
        readiness::Readiness,
        render::{Site, Templates},
    },
    jose::{Key256, MasterSecret, Purpose},
    notices::Mailer,
    outbound::Outbound,
    risk::Sources,
    sessions::{CookieNames, Cookies},
    tokens::{Mint, ResetLinks},
};

/// Configuration, clock, database and the things made of the master secret.
pub struct App {
    pub config: Config,
    pub clock: Clock,
    pub db: Database,
    pub mint: Mint,
    pub cookies: Cookies,
    /// CSRF tokens.
    pub csrf: Key256,
    /// Keyed hashes of addresses and agents, and the buckets of throttling.
    pub sources: Arc<Sources>,
    pub passwords: Passwords,
    /// One-time codes, and what stands in for them.
    pub codes: Codes,
    /// Links for forgotten passwords.
    pub resets: ResetLinks,
    /// `None`: the issuer is no place for passkeys.
    pub passkeys: Option<Passkeys>,
    /// Sign-ins with a passkey where nothing may be stored.
    pub stateless: StatelessCeremonies,
    pub templates: Templates,
    /// Set by the listener: commands read no TLS key. Empty: plain HTTP.
    pub certificate: OnceLock<Arc<Certificate>>,
    pub outbound: Outbound,
    pub jwks: JwksCache,
    /// What becomes of clients that register themselves.
    pub registrar: Registrar,
    pub objects: ObjectCache,
    pub mailer: Mailer,
    /// Addresses that are not the issuer's.
    pub warned: Warned,
    /// The description of the admin API, once somebody asked for it.
    pub description: OnceLock<Bytes>,
    /// What `/readyz` found.
    pub readiness: Readiness,
}

impl App {
    pub fn new(config: Config, clock: Clock, db: Database, master: &MasterSecret) -> Result<Arc<Self>, Stop> {
        let site = Site::of(&config);
        Ok(Arc::new(Self {
            clock,
            db,
            mint: Mint::new(config.issuer.as_str(), master),
            cookies: Cookies::new(
                master.derive(Purpose::Cookies),
                CookieNames::new(config.issuer.is_https(), config.issuer.port(), config.issuer.path()),
            ),
            csrf: master.derive(Purpose::CsrfTokens),
            sources: Arc::new(Sources::new(master.derive(Purpose::SourceHashes))),
            passwords: Passwords::new(&config.passwords)?,
            codes: Codes {
                authenticators: Authenticators::new(master.derive(Purpose::TotpSecrets), &config.pages.name),
                recovery: RecoveryCodes::new(master.derive(Purpose::RecoveryCodes)),
            },
            resets: ResetLinks::new(master.derive(Purpose::PasswordResets)),
            passkeys: Passkeys::new(&config.issuer, &config.pages.name, &config.passkeys)?,
            stateless: StatelessCeremonies::new(master.derive(Purpose::PasskeyQuestions), config.issuer.as_str()),
            templates: Templates::new(config.pages.templates.as_deref(), site)?,
            certificate: OnceLock::new(),
            outbound: Outbound::new(&config.outbound)?,
            jwks: JwksCache::default(),
            registrar: Registrar::new(
                &config.registration,
                &config.request_objects,
                &config.scopes,
                [&config.pages.name, config.issuer.host()],
                master.derive(Purpose::RegistrationTokens),
            )?,
            objects: ObjectCache::default(),
            mailer: Mailer::new(&config, ResetLinks::new(master.derive(Purpose::PasswordResets)))?,
            warned: Warned::default(),
            description: OnceLock::new(),
            readiness: Readiness::default(),
            config,
        }))
    }
}
