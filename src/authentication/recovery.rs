//! Recovery codes: for whoever lost their authenticator app. Ten of 80 bits, shown once, each good once.

use uuid::Uuid;

use crate::{
    db::{Tx, recovery_codes as rows},
    failure::Broken,
    jose::{Key256, base64url, random_bytes},
};

/// How many there are in a set.
pub const COUNT: usize = 10;
/// Characters of a code, five bits each.
const LENGTH: usize = 16;
/// Crockford's base 32: no I, L, O and U, so that a code can be read from paper.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// Makes and checks.
pub struct RecoveryCodes(Key256);

impl RecoveryCodes {
    #[must_use]
    pub fn new(key: Key256) -> Self {
        Self(key)
    }

    /// Gives a person a new set, in groups of four; the codes before are dead.
    pub async fn renew(&self, tx: &mut Tx, user_id: Uuid) -> Result<Vec<String>, Broken> {
        let codes: Vec<String> = (0..COUNT).map(|_| generate(&random_bytes::<LENGTH>())).collect();
        let hashes: Vec<String> = codes.iter().map(|code| self.hash(user_id, code)).collect();
        rows::replace(tx, user_id, &hashes).await?;
        Ok(codes.iter().map(|code| grouped(code)).collect())
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

/// Five bits of each octet.
fn generate(octets: &[u8; LENGTH]) -> String {
    octets.iter().map(|octet| char::from(ALPHABET[usize::from(octet & 31)])).collect()
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
