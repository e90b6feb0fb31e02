//! The server's own TLS. The certificate is read at the start, again when its file changes, and at SIGHUP: certificates are
//! renewed every few weeks, and a restart would end requests in flight.
//!
//! Invariant: a certificate that cannot be used replaces none; the one before goes on, and the log says so.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::SystemTime,
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{config, failure::Stop, unicode::octets_without_mark};

/// The certificate that new connections are shown.
#[derive(Debug)]
pub struct Certificate {
    settings: config::Tls,
    current: RwLock<Arc<CertifiedKey>>,
    /// The files as they were when they were read last, whether they could be used or not.
    seen: Mutex<Stamp>,
}

/// Length and time of change of the certificate's file and of its key's.
type Stamp = [Option<(u64, SystemTime)>; 2];

impl Certificate {
    pub fn read(settings: &config::Tls) -> Result<Arc<Self>, Stop> {
        let seen = stamp(settings);
        let current = RwLock::new(Arc::new(certified(settings)?));
        Ok(Arc::new(Self { settings: settings.clone(), current, seen: Mutex::new(seen) }))
    }

    /// Reads the files again if they changed since. Returns whether they were read.
    pub fn reload_if_changed(&self) -> bool {
        let is_changed = *self.seen.lock().unwrap_or_else(PoisonError::into_inner) != stamp(&self.settings);
        if is_changed {
            self.reload();
        }
        is_changed
    }

    /// Reads the files again, and logs how that went.
    pub fn reload(&self) {
        let seen = stamp(&self.settings);
        let file = self.settings.certificate.display();
        match certified(&self.settings) {
            Ok(key) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(key);
                tracing::info!(%file, "the TLS certificate was read again");
            }
            Err(stop) => tracing::error!(%stop, %file, "the TLS certificate cannot be used; the one before goes on"),
        }
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// TLS 1.2 and 1.3 with this certificate.
pub(super) fn server_config(certificate: Arc<Certificate>) -> Result<ServerConfig, Stop> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Stop::new)?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn stamp(settings: &config::Tls) -> Stamp {
    [&settings.certificate, &settings.key].map(|file| {
        let found = fs::metadata(file).ok()?;
        Some((found.len(), found.modified().ok()?))
    })
}

/// The certificate with its chain and key, which must belong together.
fn certified(settings: &config::Tls) -> Result<CertifiedKey, Stop> {
    let unusable = |key: &str, file: &Path, error: &dyn std::fmt::Display| {
        Stop::new(format_args!("tls.{key} = {}: {error}", file.display()))
            .mend("name PEM files: the certificate with its chain, and its private key")
    };
    let certificate = |error: &dyn std::fmt::Display| unusable("certificate", &settings.certificate, error);
    let pem = fs::read(&settings.certificate).map_err(|error| certificate(&error))?;
    let chain = CertificateDer::pem_slice_iter(octets_without_mark(&pem))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| certificate(&error))?;
    if chain.is_empty() {
        return Err(certificate(&"there is no certificate in it"));
    }
    let pem = fs::read(&settings.key).map_err(|error| unusable("key", &settings.key, &error))?;
    let key = PrivateKeyDer::from_pem_slice(octets_without_mark(&pem))
        .map_err(|error| unusable("key", &settings.key, &error))?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| unusable("key", &settings.key, &error))
}
