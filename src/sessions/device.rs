//! The device cookie: by it a browser is known in which a person has signed in before.
//!
//! It is random, kept as a hash, renewed at each sign-in, and one for all people who share the browser; each of them has a list
//! of their own (`db::devices`). Not for who is signed in: it proves nobody and opens nothing. It only says that this browser is
//! no stranger to that person, so that what strangers do does not count against it.

use uuid::Uuid;

use crate::{
    db::{
        Tx,
        devices::{self, KnownBy},
    },
    failure::Broken,
    jose::{base64url, from_base64url, random_bytes, sha256},
};

/// What a browser is given; it is not stored.
#[derive(Clone)]
pub struct DeviceCookie(String);

impl DeviceCookie {
    /// How long a browser keeps it: as long as browsers keep anything (RFC 6265bis §5.5), and as long as the device is kept.
    pub const DAYS: i64 = 400;

    fn new(secret: [u8; 32]) -> Self {
        Self(base64url(&secret))
    }

    #[must_use]
    pub fn value(&self) -> &str {
        &self.0
    }

    /// Under which hash a presented cookie is kept; `None`: it is none of ours.
    #[must_use]
    pub fn hash(value: &str) -> Option<Vec<u8>> {
        let secret = from_base64url(value)?;
        (secret.len() == 32).then(|| sha256(&[&secret]).to_vec())
    }
}

/// The person has signed in in this browser, or chosen a new password in it: it is known to them from now on. Returns the cookie that it is to keep;
/// `None`: it has just been given one.
pub async fn remember_device(tx: &mut Tx, user_id: Uuid, by: KnownBy) -> Result<Option<DeviceCookie>, Broken> {
    let secret = random_bytes::<32>();
    let new = sha256(&[&secret]);
    if let Some(shown) = tx.trace.device_cookie.clone()
        && !devices::rotate(tx, &shown, &new).await?
        && let Some(present) = devices::find_present(tx, &shown).await?
    {
        devices::note(tx, user_id, &present, by).await?;
        return Ok(None);
    }
    devices::note(tx, user_id, &new, by).await?;
    Ok(Some(DeviceCookie::new(secret)))
}

/// The person's device that the browser at hand is, if they have signed in there before.
pub async fn find_device(tx: &mut Tx, user_id: Uuid) -> Result<Option<Uuid>, Broken> {
    match tx.trace.device_cookie.clone() {
        Some(shown) => devices::find(tx, user_id, &shown).await,
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oauth::hostile;

    proptest! {
        #[test]
        fn only_32_octets_are_a_device_cookie(text in hostile::text(), octets in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert_eq!(DeviceCookie::hash(&base64url(&octets)).is_some(), octets.len() == 32);
            if let Some(hash) = DeviceCookie::hash(&text) {
                prop_assert_eq!(hash.len(), 32);
            }
        }
    }
}
