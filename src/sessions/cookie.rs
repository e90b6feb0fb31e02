//! The session cookie: an id and a secret that is not stored.
//!
//! The secret is an HMAC of the session's id and its generation under a key from the master secret (invariant 6). A
//! change of privilege adds one to the generation, so the old cookie is dead at once; and two answers to a double
//! submit carry the same cookie, so it does not matter which the browser keeps.

use uuid::Uuid;

use crate::jose::{Key256, base64url, from_base64url, sha256};

/// Browsers send a cookie to every port of its host (RFC 6265 §8.5), and `__Host-` needs `Path=/`. So the name of each cookie
/// says what the browser does not tell apart: the issuer's port and path.
#[derive(Clone, Debug)]
pub struct CookieNames {
    is_secure: bool,
    port: String,
    path: String,
}

impl CookieNames {
    /// `is_secure`: the issuer is https. `port`: the issuer's, `None` for the scheme's own. `path`: the issuer's, or nothing.
    #[must_use]
    pub fn new(is_secure: bool, port: Option<u16>, path: &str) -> Self {
        let port = port.map(|port| format!("-{port}")).unwrap_or_default();
        let path = match path {
            "" => String::new(),
            path => format!("-{}", base64url(&sha256(&[path.as_bytes()])[..6])),
        };
        Self { is_secure, port, path }
    }

    /// The full name of one of this server's cookies. `__Host-` binds it to this host over https (RFC 6265bis §4.1.3.2).
    #[must_use]
    pub fn name(&self, base: &str) -> String {
        format!("{}{base}{}{}", self.prefix(), self.port, self.path)
    }

    /// The name before the port was part of it.
    fn without_port(&self, base: &str) -> Option<String> {
        (!self.port.is_empty()).then(|| format!("{}{base}{}", self.prefix(), self.path))
    }

    fn prefix(&self) -> &'static str {
        if self.is_secure { "__Host-" } else { "" }
    }
}

/// Makes and checks cookies; one for the server.
pub struct Cookies {
    key: Key256,
    names: CookieNames,
    name: String,
    device_name: String,
    former_name: Option<String>,
}

/// What a browser presented, not yet checked.
#[derive(Clone, PartialEq, Eq)]
pub struct PresentedCookie {
    pub session_id: Uuid,
    secret: Vec<u8>,
}

impl Cookies {
    #[must_use]
    pub fn new(key: Key256, names: CookieNames) -> Self {
        const BASE: &str = "mooring_session";
        let device_name = names.name("mooring_device");
        Self { key, name: names.name(BASE), device_name, former_name: names.without_port(BASE), names }
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

    /// The name that the release before gave this cookie. It is read beside the present name, so that an upgrade signs nobody
    /// out, and never written; where both are good the present name counts. To be removed with the release after this one.
    #[must_use]
    pub fn former_name(&self) -> Option<&str> {
        self.former_name.as_deref()
    }

    /// The names of this server's other cookies.
    #[must_use]
    pub fn names(&self) -> &CookieNames {
        &self.names
    }

    /// Whether the cookie is for https only.
    #[must_use]
    pub fn is_secure(&self) -> bool {
        self.names.is_secure
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

    /// Whether the cookie is the one of this generation, or of one of the seven before.
    #[must_use]
    pub fn was_genuine(&self, cookie: &PresentedCookie, generation: i32) -> bool {
        (0..=generation).rev().take(8).any(|generation| self.is_genuine(cookie, generation))
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
        named(true, None, "")
    }

    fn named(is_secure: bool, port: Option<u16>, path: &str) -> Cookies {
        let master = MasterSecret::from_bytes(b"0123456789abcdef0123456789abcdef").unwrap();
        Cookies::new(master.derive(Purpose::Cookies), CookieNames::new(is_secure, port, path))
    }

    #[test]
    fn issuers_on_one_host_have_a_name_each() {
        assert_eq!(named(true, None, "").name(), "__Host-mooring_session");
        assert_eq!(named(false, None, "").name(), "mooring_session");
        assert_eq!(named(false, Some(8080), "").name(), "mooring_session-8080");
        assert_eq!(named(true, Some(8443), "").name(), "__Host-mooring_session-8443");
        let (one, other) = (named(true, None, "/one"), named(true, None, "/other"));
        assert!(one.name() != other.name() && one.name().starts_with("__Host-mooring_session-"));
        assert_ne!(named(true, Some(8443), "/one").name(), one.name());
    }

    #[test]
    fn the_former_name_is_known_where_it_was_another() {
        assert_eq!(named(true, None, "").former_name(), None);
        assert_eq!(named(true, None, "/one").former_name(), None);
        assert_eq!(named(false, Some(8080), "").former_name(), Some("mooring_session"));
        assert_eq!(named(true, Some(8443), "/one").former_name(), Some(named(true, None, "/one").name()));
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
