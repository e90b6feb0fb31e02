//! Codes of an authenticator app (RFC 6238): six digits, thirty seconds, SHA-1, which is what every app can.
//!
//! Invariants: a shared secret is stored sealed, and only once a code of it was shown; a time step's code is good once.

use totp_rs::{Builder, Totp};
use url::form_urlencoded::byte_serialize;
use uuid::Uuid;

use crate::{
    db::{
        Tx,
        totp::{self as rows, Authenticator},
    },
    failure::Broken,
    jose::{Key256, base64url, from_base64url, random_bytes},
};

/// Octets of a shared secret (RFC 4226 §4, R6: 160 bits recommended).
const LENGTH: usize = 20;
const STEP: i64 = 30;

/// Makes, seals and checks.
pub struct Authenticators {
    key: Key256,
    /// What the service is called in an app.
    issuer: String,
}

/// A secret that somebody is about to put into their app. Nothing is stored yet: it follows from the nonce.
pub struct Offer {
    /// Comes back with the code that confirms it.
    pub nonce: String,
    /// Base32, in groups of four.
    pub secret: String,
    /// `otpauth:` for an app on the same device.
    pub link: String,
}

impl Authenticators {
    #[must_use]
    pub fn new(key: Key256, issuer: &str) -> Self {
        Self { key, issuer: issuer.replace(':', " ") }
    }

    /// Offers a new secret to a person in a session.
    #[must_use]
    pub fn offer(&self, session_id: Uuid, user_id: Uuid, username: &str) -> Offer {
        self.offer_again(session_id, user_id, username, base64url(&random_bytes::<16>()))
    }

    /// The offer of this nonce once more.
    #[must_use]
    pub fn offer_again(&self, session_id: Uuid, user_id: Uuid, username: &str, nonce: String) -> Offer {
        let secret = base32(&self.secret(session_id, user_id, &nonce));
        let escaped = |text: &str| byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20");
        let (issuer, account) = (escaped(&self.issuer), escaped(username));
        let link = format!("otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}");
        let groups: Vec<&str> =
            secret.as_bytes().chunks(4).filter_map(|group| std::str::from_utf8(group).ok()).collect();
        Offer { nonce, secret: groups.join(" "), link }
    }

    /// Adds the authenticator of an offer, once a code shows that the app has its secret. `false`: the code does not fit, or
    /// the person has one.
    pub async fn confirm(
        &self,
        tx: &mut Tx,
        session_id: Uuid,
        user_id: Uuid,
        nonce: &str,
        code: &str,
    ) -> Result<bool, Broken> {
        let secret = self.secret(session_id, user_id, nonce);
        let (Some(_), Some(step)) = (from_base64url(nonce), step_of(&secret, code, tx.now.timestamp())) else {
            return Ok(false);
        };
        let id = tx.new_id();
        rows::insert(tx, id, user_id, &self.key.seal(id.as_bytes(), &secret)?, step).await
    }

    /// Takes a code of the person's app, and uses its step up.
    pub async fn take(&self, tx: &mut Tx, authenticator: &Authenticator, code: &str) -> Result<Taken, Broken> {
        let secret = self.key.open(authenticator.id.as_bytes(), &authenticator.sealed)?;
        let Some(step) = step_of(&secret, code, tx.now.timestamp()) else { return Ok(Taken::No) };
        Ok(if rows::use_step(tx, authenticator.id, step).await? { Taken::Yes } else { Taken::Again })
    }

    fn secret(&self, session_id: Uuid, user_id: Uuid, nonce: &str) -> [u8; LENGTH] {
        let mac = self.key.mac(&[b"offer", session_id.as_bytes(), user_id.as_bytes(), nonce.as_bytes()]);
        let mut secret = [0; LENGTH];
        secret.copy_from_slice(&mac[..LENGTH]);
        secret
    }
}

/// What came of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    Yes,
    No,
    /// It was right once, and has been used.
    Again,
}

/// Whether a text may be a code of an app at all: six digits, however they are grouped.
#[must_use]
pub fn is_code(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !(c.is_whitespace() || *c == '-')).collect();
    (digits.len() == 6 && digits.bytes().all(|digit| digit.is_ascii_digit())).then_some(digits)
}

/// The time step of a code that fits at `now`, in seconds, or one step before or after (RFC 6238 §5.2).
fn step_of(secret: &[u8], code: &str, now: i64) -> Option<i64> {
    let digits = is_code(code)?;
    let step = generator(secret).check(&digits, u64::try_from(now).ok()?)?;
    i64::try_from(step).ok()
}

fn generator(secret: &[u8]) -> Totp {
    Builder::new()
        .with_secret(secret.to_vec())
        .with_skew(1)
        .with_step_duration(STEP.unsigned_abs())
        .build_noncompliant()
}

/// RFC 4648 §6, without padding.
fn base32(octets: &[u8]) -> String {
    totp_rs::Secret::new(octets.into()).to_base32()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{MasterSecret, Purpose};

    fn authenticators() -> Authenticators {
        let master = MasterSecret::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
        Authenticators::new(master.derive(Purpose::TotpSecrets), "Harbour: the quay")
    }

    /// RFC 6238 appendix B, the last six digits.
    #[test]
    fn the_codes_of_the_rfc() {
        let secret = b"12345678901234567890";
        for (at, code) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (2_000_000_000, "279037")]
        {
            for (off, fits) in [(0, true), (30, true), (-30, true), (90, false), (-90, false)] {
                assert_eq!(step_of(secret, code, at + off), (fits && at + off >= 0).then_some(at / 30), "{at} {off}");
            }
        }
        assert_eq!(step_of(secret, " 287 082 ", 59), Some(1));
        for wrong in ["", "28708", "2870820", "28708a", "٢٨٧٠٨٢"] {
            assert_eq!(step_of(secret, wrong, 59), None, "{wrong}");
        }
    }

    #[test]
    fn an_offer_is_the_same_for_its_nonce_and_for_nobody_else() {
        let (all, session, person) = (authenticators(), Uuid::from_u128(1), Uuid::from_u128(2));
        let offer = all.offer(session, person, "al ice");
        let again = all.offer_again(session, person, "al ice", offer.nonce.clone());
        assert_eq!(offer.secret, again.secret);
        assert_eq!((offer.secret.len(), offer.secret.split(' ').count()), (39, 8));
        let plain = offer.secret.replace(' ', "");
        let link =
            format!("otpauth://totp/Harbour%20%20the%20quay:al%20ice?secret={plain}&issuer=Harbour%20%20the%20quay");
        assert_eq!(offer.link, link);
        assert_ne!(all.offer(session, person, "al ice").secret, offer.secret);
        assert_ne!(all.offer_again(person, session, "al ice", offer.nonce).secret, offer.secret);
    }
}
