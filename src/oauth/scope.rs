//! Scopes: sets of tokens that keep the order in which they were asked for, and what the standard ones mean.
//!
//! Which scopes exist and who may have them is not known here.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Error;

/// More than any request needs; it bounds the work on what a stranger sends.
const MAX_TOKENS: usize = 64;

pub const OPENID: &str = "openid";
pub const OFFLINE_ACCESS: &str = "offline_access";
/// No specification gives `groups` a scope; this name is what relying parties ask for. The claim is that of RFC 9068 §2.2.3.1.
pub const GROUPS: &str = "groups";

/// A standard scope and the claims it asks for.
#[derive(Debug)]
pub struct StandardScope {
    pub name: &'static str,
    pub claims: &'static [&'static str],
}

/// OIDC Core §3.1.2.1, §5.4 and §11, and [`GROUPS`].
pub const STANDARD_SCOPES: [StandardScope; 7] = [
    StandardScope { name: OPENID, claims: &["sub"] },
    StandardScope {
        name: "profile",
        claims: &[
            "name",
            "family_name",
            "given_name",
            "middle_name",
            "nickname",
            "preferred_username",
            "profile",
            "picture",
            "website",
            "gender",
            "birthdate",
            "zoneinfo",
            "locale",
            "updated_at",
        ],
    },
    StandardScope { name: "email", claims: &["email", "email_verified"] },
    StandardScope { name: "address", claims: &["address"] },
    StandardScope { name: "phone", claims: &["phone_number", "phone_number_verified"] },
    StandardScope { name: GROUPS, claims: &["groups"] },
    StandardScope { name: OFFLINE_ACCESS, claims: &[] },
];

/// Whether a scope is about a person, and so belongs to this server and not to an API.
pub fn is_standard(token: &str) -> bool {
    STANDARD_SCOPES.iter().any(|standard| standard.name == token)
}

/// A set of scope tokens in order of first appearance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scope(Vec<String>);

impl Scope {
    /// RFC 6749 §3.3: tokens of %x21 / %x23-5B / %x5D-7E, separated by spaces. More spaces than one are borne with.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let mut tokens: Vec<String> = Vec::new();
        for token in text.split(' ').filter(|token| !token.is_empty()) {
            if !is_token(token) {
                return Err(Error::invalid_scope("the scope has a character that RFC 6749 section 3.3 does not allow"));
            }
            if tokens.iter().any(|known| known == token) {
                continue;
            }
            if tokens.len() == MAX_TOKENS {
                return Err(Error::invalid_scope(format!("the scope has more than {MAX_TOKENS} tokens")));
            }
            tokens.push(token.to_owned());
        }
        Ok(Self(tokens))
    }

    pub fn contains(&self, token: &str) -> bool {
        self.0.iter().any(|own| own == token)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub fn is_subset_of(&self, other: &Self) -> bool {
        self.iter().all(|token| other.contains(token))
    }

    /// What is in both, in the order of this one.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        self.filtered(|token| other.contains(token))
    }

    /// What is in this one only.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        self.filtered(|token| !other.contains(token))
    }

    /// This one, then what only the other has.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(self.0.iter().cloned().chain(other.difference(self).0).collect())
    }

    /// The tokens that satisfy the predicate, in order.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        Self(self.0.iter().filter(|token| keep(token)).cloned().collect())
    }

    /// The claims that the standard scopes among these ask for (OIDC Core §5.4).
    pub fn claims(&self) -> impl Iterator<Item = &'static str> {
        STANDARD_SCOPES
            .iter()
            .filter(|standard| self.contains(standard.name))
            .flat_map(|standard| standard.claims)
            .copied()
    }
}

/// Whether it may be the name of a scope.
pub fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|octet| matches!(octet, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}

/// The standard scope that asks for this claim.
pub fn standard_scope_of(claim: &str) -> Option<&'static StandardScope> {
    STANDARD_SCOPES.iter().find(|standard| standard.claims.contains(&claim))
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, token) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(" ")?;
            }
            f.write_str(token)?;
        }
        Ok(())
    }
}

impl FromStr for Scope {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        Self::parse(text)
    }
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(|error| de::Error::custom(error.description))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scope(text: &str) -> Scope {
        Scope::parse(text).unwrap()
    }

    #[test]
    fn order_is_kept_and_repetition_is_not() {
        assert_eq!(scope("b a b  c a ").to_string(), "b a c");
        assert_eq!(scope("").to_string(), "");
        assert!(scope(" ").is_empty());
        assert_eq!(scope("b a c").len(), 3);
    }

    #[test]
    fn characters_outside_the_syntax_are_refused() {
        for bad in ["a\"b", "a\\b", "a\tb", "a\nb", "é", "\u{7f}", "a\0", "a\u{a0}b"] {
            assert!(Scope::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(scope("https://api.example/x!#[]~ payments:write").len(), 2);
    }

    #[test]
    fn too_many_tokens_are_refused() {
        let many = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(scope(&many(MAX_TOKENS)).len(), MAX_TOKENS);
        assert!(Scope::parse(&many(MAX_TOKENS + 1)).is_err());
        assert_eq!(scope(&"a ".repeat(1000)).len(), 1);
    }

    #[test]
    fn set_operations_keep_the_order() {
        let (a, b) = (scope("a b c"), scope("c a d"));
        assert_eq!(a.intersection(&b).to_string(), "a c");
        assert_eq!(a.difference(&b).to_string(), "b");
        assert_eq!(a.union(&b).to_string(), "a b c d");
        assert!(scope("c a").is_subset_of(&a));
        assert!(!b.is_subset_of(&a));
        assert!(Scope::default().is_subset_of(&a));
    }

    #[test]
    fn tokens_are_compared_exactly() {
        assert!(!scope("openid2 Openid").contains("openid"));
        assert!(scope("a openid").contains("openid"));
    }

    #[test]
    fn standard_claims() {
        assert_eq!(scope("openid email other").claims().collect::<Vec<_>>(), ["sub", "email", "email_verified"]);
        assert_eq!(standard_scope_of("nickname").unwrap().name, "profile");
        assert!(standard_scope_of("password").is_none());
    }

    #[test]
    fn in_json_it_is_a_string() {
        assert_eq!(serde_json::to_string(&scope("b a")).unwrap(), "\"b a\"");
        assert_eq!(serde_json::from_str::<Scope>("\"b a\"").unwrap(), scope("b a"));
        assert!(serde_json::from_str::<Scope>("\"\\\\\"").is_err());
    }

    proptest! {
        #[test]
        fn printed_it_parses_to_the_same(text in "[a-d !#~]{0,30}") {
            let scope = scope(&text);
            prop_assert_eq!(Scope::parse(&scope.to_string()).unwrap(), scope);
        }
    }
}
