//! Recovery codes: for people who lost their authenticator app. Ten of 80 bits, each good once.
//!
//! A set follows from a nonce, under a key, for one session: the page that shows it can be loaded again for some minutes, and
//! no code is kept anywhere. The nonce stands in the page's address only; without the session and the key it is worth nothing.

use chrono::TimeDelta;
use uuid::Uuid;

use crate::{
    db::{Tx, recovery_codes as rows},
    failure::Broken,
    jose::{Key256, base64url, from_base64url, random_bytes},
};

/// How many there are in a set.
pub const COUNT: u8 = 10;
/// Octets that a set follows from.
const NONCE: usize = 16;
/// Characters of a code, five bits each.
const LENGTH: usize = 16;
/// Crockford's base 32: no I, L, O and U, so that a code can be read from paper.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// How long a new set can be looked at.
const SHOWN_FOR: TimeDelta = TimeDelta::minutes(10);

/// Makes and checks.
pub struct RecoveryCodes(Key256);

impl RecoveryCodes {
    #[must_use]
    pub fn new(key: Key256) -> Self {
        Self(key)
    }

    /// Gives a person a new set; the codes before are dead. Returns the nonce by which [`Self::show`] shows it in this session.
    pub async fn renew(&self, tx: &mut Tx, user_id: Uuid, session_id: Uuid) -> Result<String, Broken> {
        let nonce = random_bytes::<NONCE>();
        let hashes: Vec<String> = self.set(session_id, &nonce).iter().map(|code| self.hash(user_id, code)).collect();
        rows::replace(tx, user_id, &hashes).await?;
        Ok(base64url(&nonce))
    }

    /// The codes of a set that are still good, in groups of four. Nothing for a set of another session, one that was replaced,
    /// and one that was made too long ago.
    pub async fn show(&self, tx: &mut Tx, user_id: Uuid, session_id: Uuid, nonce: &str) -> Result<Vec<String>, Broken> {
        let Some(nonce) = from_base64url(nonce).filter(|nonce| nonce.len() == NONCE) else { return Ok(Vec::new()) };
        let set = self.set(session_id, &nonce);
        let hashes: Vec<String> = set.iter().map(|code| self.hash(user_id, code)).collect();
        let good = rows::load_good(tx, user_id, &hashes, tx.now - SHOWN_FOR).await?;
        let shown = set.iter().zip(&hashes).filter(|(_, hash)| good.contains(hash));
        Ok(shown.map(|(code, _)| grouped(code)).collect())
    }

    fn set(&self, session_id: Uuid, nonce: &[u8]) -> Vec<String> {
        let code = |number: u8| self.0.mac(&[b"set", session_id.as_bytes(), nonce, &[number]]);
        (0..COUNT).map(|number| generate(&code(number))).collect()
    }

    /// Uses a code up: `Some` with its id and how many are left, when it was one of the person's.
    pub async fn take(&self, tx: &mut Tx, user_id: Uuid, typed: &str) -> Result<Option<(Uuid, usize)>, Broken> {
        let Some(code) = normalized(typed) else { return Ok(None) };
        let Some(id) = rows::consume(tx, user_id, &self.hash(user_id, &code)).await? else { return Ok(None) };
        Ok(Some((id, rows::count(tx, user_id).await?)))
    }

    /// With the person, so that the same code of two of them would not show it.
    fn hash(&self, user_id: Uuid, code: &str) -> String {
        base64url(&self.0.mac(&[user_id.as_bytes(), code.as_bytes()]))
    }
}

/// Five bits of each octet, for as many as a code has characters.
fn generate(octets: &[u8]) -> String {
    octets.iter().take(LENGTH).map(|octet| char::from(ALPHABET[usize::from(octet & 31)])).collect()
}

fn grouped(code: &str) -> String {
    let groups: Vec<&str> = code.as_bytes().chunks(4).filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join("-")
}

/// A code as it was made, however it was typed; `None`: it cannot be one.
fn normalized(typed: &str) -> Option<String> {
    let mut code = String::with_capacity(LENGTH);
    for c in typed.chars().filter(|c| !(c.is_whitespace() || matches!(c, '-' | '\u{2010}'..='\u{2015}'))) {
        let c = match c.to_ascii_uppercase() {
            'O' => '0',
            'I' | 'L' => '1',
            other => other,
        };
        if code.len() == LENGTH || !ALPHABET.iter().any(|known| char::from(*known) == c) {
            return None;
        }
        code.push(c);
    }
    (code.len() == LENGTH).then_some(code)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oauth::hostile;

    #[test]
    fn a_code_may_be_typed_as_people_type() {
        let code = generate(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 31, 18, 19, 20, 255]);
        assert_eq!((code.as_str(), grouped(&code).as_str()), ("0123456789AZJKMZ", "0123-4567-89AZ-JKMZ"));
        for typed in [
            "0123-4567-89AZ-JKMZ",
            "0123456789azjkmz",
            " o123 4567 89az jkmz\n",
            "oi23–4567—89az-jkmz",
            "0l23456789azjkmz",
        ] {
            assert_eq!(normalized(typed).as_deref(), Some(code.as_str()), "{typed}");
        }
        for wrong in ["", "0123-4567-89AZ-JKM", "0123-4567-89AZ-JKMZZ", "0123-4567-89AZ-JKMU", "123456"] {
            assert_eq!(normalized(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_typed_is_a_code_or_none(text in hostile::text()) {
            if let Some(code) = normalized(&text) {
                prop_assert!(code.len() == LENGTH && code.bytes().all(|c| ALPHABET.contains(&c)));
            }
        }

        #[test]
        fn what_was_made_is_read(octets in prop::array::uniform16(any::<u8>())) {
            let code = generate(&octets);
            prop_assert_eq!(normalized(&grouped(&code).to_lowercase()), Some(code));
        }
    }
}
