//! The session cookie: an id and a secret that is not stored.
//!
//! The secret is an HMAC of the session's id and its generation under a key from the master secret (invariant 6). A
//! change of privilege adds one to the generation, so the old cookie is dead at once; and two answers to a double
//! submit carry the same cookie, so it does not matter which the browser keeps.

use uuid::Uuid;

use crate::jose::{Key256, base64url, from_base64url, sha256};

/// Makes and checks cookies; one for the server.
pub struct Cookies {
    key: Key256,
    secure: bool,
    name: String,
    device_name: String,
}

/// What a browser presented, not yet checked.
#[derive(Clone)]
pub struct PresentedCookie {
    pub session_id: Uuid,
    secret: Vec<u8>,
}

impl Cookies {
    /// `secure`: the issuer is https. `path`: the issuer's, or nothing.
    ///
    /// `__Host-` binds the cookie to this host over https, and then to `Path=/` (RFC 6265bis §4.1.3.2): so that issuers beside one
    /// another on a host leave each other's alone, the path is in the name.
    #[must_use]
    pub fn new(key: Key256, secure: bool, path: &str) -> Self {
        let prefix = if secure { "__Host-" } else { "" };
        let suffix = match path {
            "" => String::new(),
            path => format!("-{}", base64url(&sha256(&[path.as_bytes()])[..6])),
        };
        let named = |name: &str| format!("{prefix}{name}{suffix}");
        Self { key, secure, name: named("mooring_session"), device_name: named("mooring_device") }
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the device cookie.
    #[must_use]
    pub fn device_name(&self) -> &str {
        &self.device_name
    }

    /// Whether the cookie is for https only.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.secure
    }

    /// The cookie's value for a generation of a session.
    #[must_use]
    pub fn value(&self, session_id: Uuid, generation: i32) -> String {
        let mut octets = [0; 48];
        octets[..16].copy_from_slice(session_id.as_bytes());
        octets[16..].copy_from_slice(&self.secret(session_id, generation));
        base64url(&octets)
    }

    /// Reads a value; `None` when it has not the form of one.
    #[must_use]
    pub fn parse(value: &str) -> Option<PresentedCookie> {
        let octets = from_base64url(value)?;
        let (id, secret) = octets.split_at_checked(16)?;
        (secret.len() == 32).then_some(())?;
        Some(PresentedCookie { session_id: Uuid::from_slice(id).ok()?, secret: secret.to_vec() })
    }

    /// Whether the cookie is the one of this generation; in constant time.
    #[must_use]
    pub fn is_genuine(&self, cookie: &PresentedCookie, generation: i32) -> bool {
        self.key.verify(&[cookie.session_id.as_bytes(), &generation.to_be_bytes()], &cookie.secret)
    }

    fn secret(&self, session_id: Uuid, generation: i32) -> [u8; 32] {
        self.key.mac(&[session_id.as_bytes(), &generation.to_be_bytes()])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        jose::{MasterSecret, Purpose},
        oauth::hostile,
    };

    fn cookies() -> Cookies {
        let master = MasterSecret::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
        Cookies::new(master.derive(Purpose::Cookies), true, "")
    }

    #[test]
    fn issuers_on_one_host_have_a_name_each() {
        let named = |secure, path| {
            let master = MasterSecret::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
            Cookies::new(master.derive(Purpose::Cookies), secure, path).name().to_owned()
        };
        assert_eq!(named(true, ""), "__Host-mooring_session");
        assert_eq!(named(false, ""), "mooring_session");
        let (one, other) = (named(true, "/one"), named(true, "/other"));
        assert!(one != other && one.starts_with("__Host-mooring_session-"), "{one} {other}");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_nobodys(text in hostile::text(), octets in prop::collection::vec(any::<u8>(), 40..56)) {
            for value in [text, base64url(&octets)] {
                if let Some(read) = Cookies::parse(&value) {
                    prop_assert!(!cookies().is_genuine(&read, 0));
                }
            }
        }

        #[test]
        fn a_changed_one_is_not_genuine(id in any::<u128>(), generation in 0..9_i32, at in 0..48_usize, by in 1..=255_u8) {
            let (cookies, id) = (cookies(), Uuid::from_u128(id));
            let value = cookies.value(id, generation);
            let read = Cookies::parse(&value).unwrap();
            prop_assert!(read.session_id == id && cookies.is_genuine(&read, generation));
            prop_assert!(!cookies.is_genuine(&read, generation + 1));
            let mut octets = from_base64url(&value).unwrap();
            octets[at] ^= by;
            prop_assert!(!cookies.is_genuine(&Cookies::parse(&base64url(&octets)).unwrap(), generation));
        }
    }
}
