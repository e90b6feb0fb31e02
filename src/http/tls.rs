//! The server's own TLS: certificate and key, read once at the start.

use std::{path::Path, sync::Arc};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::{config, failure::Stop};

/// TLS 1.2 and 1.3 with the certificate of the configuration.
pub fn read_tls(settings: &config::Tls) -> Result<ServerConfig, Stop> {
    let unusable = |key: &str, file: &Path, error: &dyn std::fmt::Display| {
        Stop::new(format_args!("tls.{key} = {}: {error}", file.display()))
            .mend("name PEM files: the certificate with its chain, and its private key")
    };
    let certificate = |error: &dyn std::fmt::Display| unusable("certificate", &settings.certificate, error);
    let chain = CertificateDer::pem_file_iter(&settings.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| certificate(&error))?;
    if chain.is_empty() {
        return Err(certificate(&"there is no certificate in it"));
    }
    let key = PrivateKeyDer::from_pem_file(&settings.key).map_err(|error| unusable("key", &settings.key, &error))?;
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(Stop::new)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable("key", &settings.key, &error))
}
