//! Passkeys (WebAuthn): where they may be used, and whose word about their hardware counts.

use std::path::PathBuf;

use url::Url;

use super::{
    Issuer,
    given::Reader,
    key::{Key, Section},
};
use crate::failure::Stop;

static RELATED_ORIGINS: Key<Vec<String>> = Key::or(
    "related_origins",
    "",
    "Further origins whose pages may use the passkeys of this server; browsers ask for them at \
     `/.well-known/webauthn` (WebAuthn Level 3, related origins).",
);
static ATTESTATION_CA: Key<Vec<PathBuf>> = Key::or(
    "attestation_ca",
    "",
    "Files of certificate authorities, in PEM, that vouch for authenticators: what they attest, and cannot be backed \
     up, counts as `phrh`. Without, no attestation is asked for.",
);

pub static SECTION: Section = Section {
    name: "passkeys",
    doc: "Passkeys (WebAuthn). They belong to the issuer's host name: under another one nobody's passkey works any more.",
    repeated: false,
    keys: || vec![&RELATED_ORIGINS, &ATTESTATION_CA],
};

/// Where passkeys may be used, and who vouches for them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passkeys {
    /// As browsers write origins.
    pub related_origins: Vec<String>,
    pub attestation_ca: Vec<PathBuf>,
}

pub fn read(from: &Reader<'_>) -> Result<Passkeys, Stop> {
    let related_origins = from.get(&RELATED_ORIGINS)?.iter().map(|text| origin(text)).collect::<Option<_>>();
    Ok(Passkeys {
        related_origins: related_origins.ok_or_else(|| {
            from.wrong(&RELATED_ORIGINS, "write origins without a path, as in \"https://www.example\"")
        })?,
        attestation_ca: from.get(&ATTESTATION_CA)?,
    })
}

/// An origin that passes as an issuer, and has no path.
fn origin(text: &str) -> Option<String> {
    let issuer = Issuer::parse(text).ok()?;
    (issuer.path().is_empty() && Url::parse(issuer.as_str()).ok()?.domain().is_some())
        .then(|| issuer.origin().to_owned())
}
