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
    /// A password, and the code of an authenticator app.
    pub const PASSWORD_AND_CODE: Self = Self { acr: Acr::Mfa, amr: &["pwd", "otp", "mfa"] };
    /// A password, and a recovery code in place of the app's. RFC 8176 §2 has no value for that: `otp` is what a generator
    /// shows (RFC 4226, RFC 6238), and this lay in a drawer; `kba` is a question about the person. So it says what has a name,
    /// and that there was a second factor.
    pub const PASSWORD_AND_RECOVERY_CODE: Self = Self { acr: Acr::Mfa, amr: &["pwd", "mfa"] };
    /// A passkey whose authenticator verified the person. Where the key lives is not known: possession is proved.
    pub const PASSKEY: Self = Self { acr: Acr::Phr, amr: &["pop", "user", "mfa"] };
    /// The same, and an attestation shows that the key cannot leave its hardware.
    pub const HARDWARE_PASSKEY: Self = Self { acr: Acr::Phrh, amr: &["hwk", "user", "mfa"] };

    /// Whether a session that keeps this was proved so.
    #[must_use]
    pub fn is_of(self, acr: &str, amr: &[String]) -> bool {
        acr == self.acr.as_str() && amr == self.amr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_session_keeps_tells_one_proof_from_another() {
        let all = [
            Proof::PASSWORD,
            Proof::PASSWORD_AND_CODE,
            Proof::PASSWORD_AND_RECOVERY_CODE,
            Proof::PASSKEY,
            Proof::HARDWARE_PASSKEY,
        ];
        for one in all {
            let amr: Vec<String> = one.amr.iter().map(ToString::to_string).collect();
            let so: Vec<Proof> = all.into_iter().filter(|proof| proof.is_of(one.acr.as_str(), &amr)).collect();
            assert_eq!(so, [one]);
        }
    }
}
