//! What a person has just shown, and what that is worth.

use crate::oauth::Acr;

/// A finished proof of who somebody is. It is worth its class at the instant it was given, to the request it was given
/// for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    pub acr: Acr,
    /// RFC 8176 §2.
    pub amr: &'static [&'static str],
}

impl Proof {
    pub const PASSWORD: Self = Self { acr: Acr::Pwd, amr: &["pwd"] };
    /// A password, and a one-time or a recovery code.
    pub const PASSWORD_AND_CODE: Self = Self { acr: Acr::Mfa, amr: &["pwd", "otp", "mfa"] };
    /// A passkey whose authenticator verified the person. Where the key lives is not known: possession is proved.
    pub const PASSKEY: Self = Self { acr: Acr::Phr, amr: &["pop", "user", "mfa"] };
    /// The same, and an attestation shows that the key cannot leave its hardware.
    pub const HARDWARE_PASSKEY: Self = Self { acr: Acr::Phrh, amr: &["hwk", "user", "mfa"] };
}
