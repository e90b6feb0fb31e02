//! Whether the server itself speaks TLS.

use std::path::PathBuf;

use super::{
    given::Reader,
    key::{Key, Section},
};
use crate::failure::Stop;

static CERTIFICATE: Key<PathBuf> = Key::optional("certificate", "plain HTTP", "The certificate and its chain, in PEM.");
static KEY: Key<PathBuf> = Key::optional("key", "", "Its private key, in PEM.");

pub static SECTION: Section = Section {
    name: "tls",
    doc: "Both or neither. Without, the server speaks plain HTTP: for localhost, or behind a proxy that speaks TLS.",
    repeated: false,
    keys: || vec![&CERTIFICATE, &KEY],
};

/// The server's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

pub fn read(from: &Reader<'_>) -> Result<Option<Tls>, Stop> {
    match (from.find(&CERTIFICATE)?, from.find(&KEY)?) {
        (Some(certificate), Some(key)) => Ok(Some(Tls { certificate, key })),
        (None, None) => Ok(None),
        (Some(_), None) => Err(from.wrong(&CERTIFICATE, "it needs tls.key, the file of its private key")),
        (None, Some(_)) => Err(from.wrong(&KEY, "it needs tls.certificate, the file of its certificate")),
    }
}
