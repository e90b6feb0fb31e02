//! Who a token speaks of, and what they are called: `sub` (OIDC Core §8).
//!
//! Invariant: whatever tells a client about somebody (ID token, userinfo, access token, introspection, logout token)
//! calls them what [`Subjects::of`] says, so that a client knows one person under one name.

use uuid::Uuid;

use crate::{
    jose::{Key256, base64url},
    oauth::{ClientMetadata, client_metadata::SubjectType},
};

/// Names people for clients. Nothing of it is stored.
pub struct Subjects(Key256);

impl Subjects {
    #[must_use]
    pub fn new(key: Key256) -> Self {
        Self(key)
    }

    /// Who a session is of: its person, or the anonymous visitor that it is itself. `None`: a client that acts for itself.
    ///
    /// A visitor's id is the session's for its whole life and nobody's ever again (OIDC Core §2). It is derived, so that it
    /// does not tell the session's own.
    #[must_use]
    pub fn who(&self, user_id: Option<Uuid>, session_kind: &str, session_id: Uuid) -> Option<Uuid> {
        let visitor = || {
            let mut octets = [0; 16];
            octets.copy_from_slice(&self.0.mac(&[b"visitor", session_id.as_bytes()])[..16]);
            uuid::Builder::from_custom_bytes(octets).into_uuid()
        };
        user_id.or_else(|| (session_kind == "visitor").then(visitor))
    }

    /// The `sub` under which this client knows this person or visitor: their id, or a name that only clients of the same sector
    /// share. A pairwise one is a keyed hash: without the key nobody can go back, or from one to another (§8.1).
    #[must_use]
    pub fn of(&self, client: &ClientMetadata, who: Uuid) -> String {
        match client.subject_type {
            SubjectType::Public => who.to_string(),
            SubjectType::Pairwise => {
                // Registration refuses a client without a sector; should there be one, it is alone in its own.
                let alone = || format!("client {}", client.client_id.as_deref().unwrap_or_default());
                let sector = client.sector().unwrap_or_else(alone);
                base64url(&self.0.mac(&[b"pairwise", sector.as_bytes(), who.as_bytes()]))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::{MasterSecret, Purpose};

    fn subjects(secret: &[u8]) -> Subjects {
        Subjects::new(MasterSecret::from_bytes(secret).unwrap().derive(Purpose::SubjectIdentifiers))
    }

    fn client(uri: &str) -> ClientMetadata {
        ClientMetadata {
            redirect_uris: vec![uri.to_owned()],
            subject_type: SubjectType::Pairwise,
            ..ClientMetadata::default()
        }
    }

    /// Computed with another implementation (Python). The names must outlive every version: relying parties keep them as
    /// the keys of their accounts.
    #[test]
    fn they_stay_as_they_are() {
        let subjects = subjects(b"0123456789abcdef0123456789abcdef");
        let alice = Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001);
        assert_eq!(subjects.of(&client("https://rp.example/cb"), alice), "zs87XYgDBYddrwzrOORRQsn1xebIkD7_RaTC5ivEzj8");
        assert_eq!(subjects.of(&ClientMetadata::default(), alice), alice.to_string());
    }

    #[test]
    fn a_visitor_is_told_from_every_other_and_from_a_person() {
        let subjects = subjects(b"0123456789abcdef0123456789abcdef");
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let visitor = subjects.who(None, "visitor", one);
        assert!(visitor.is_some() && visitor == subjects.who(None, "visitor", one) && visitor != Some(one));
        assert_ne!(subjects.who(None, "visitor", other), visitor);
        assert_eq!(subjects.who(Some(other), "user", one), Some(other));
        assert_eq!(subjects.who(None, "service", one), None);
    }

    #[test]
    fn each_sector_has_its_own() {
        let one = subjects(b"0123456789abcdef0123456789abcdef");
        let (alice, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (here, there) = (client("https://rp.example/cb"), client("https://other.example/cb"));
        let same_sector = ClientMetadata {
            redirect_uris: vec!["https://elsewhere.example/cb".to_owned()],
            sector_identifier_uri: Some("https://rp.example/uris".to_owned()),
            ..here.clone()
        };
        assert_eq!(one.of(&here, alice), one.of(&same_sector, alice));
        let names = [
            one.of(&here, alice),
            one.of(&here, bob),
            one.of(&there, alice),
            one.of(&there, bob),
            subjects(b"another master secret, as long as it").of(&here, alice),
            one.of(&ClientMetadata { client_id: Some("a".to_owned()), ..client("app:/cb") }, alice),
            one.of(&ClientMetadata { client_id: Some("b".to_owned()), ..client("app:/cb") }, alice),
        ];
        let different: std::collections::HashSet<_> = names.iter().collect();
        assert_eq!(different.len(), names.len());
        // OIDC Core §2: at most 255 ASCII characters.
        assert!(names.iter().all(|name| name.len() == 43 && name.is_ascii()));
    }
}
