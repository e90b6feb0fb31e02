//! Authentication context class references: how sure we are of who is there.
//!
//! The classes are ordered; a stronger one satisfies a request for a weaker one. What a person did to reach a class
//! is known to `authentication`, not here.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// From weakest to strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Acr {
    /// Nobody signed in.
    #[serde(rename = "urn:mooring:acr:visitor")]
    Visitor,
    /// One factor, a password.
    #[serde(rename = "urn:mooring:acr:pwd")]
    Pwd,
    /// Two factors.
    #[serde(rename = "urn:mooring:acr:mfa")]
    Mfa,
    /// Phishing resistant: a passkey with user verification (OpenID EAP ACR Values §2).
    #[serde(rename = "phr")]
    Phr,
    /// The same, hardware-bound.
    #[serde(rename = "phrh")]
    Phrh,
}

impl Acr {
    pub const ALL: [Self; 5] = [Self::Visitor, Self::Pwd, Self::Mfa, Self::Phr, Self::Phrh];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Visitor => "urn:mooring:acr:visitor",
            Self::Pwd => "urn:mooring:acr:pwd",
            Self::Mfa => "urn:mooring:acr:mfa",
            Self::Phr => "phr",
            Self::Phrh => "phrh",
        }
    }

    /// Whether this class is enough where `required` is asked for.
    pub fn satisfies(self, required: Self) -> bool {
        self >= required
    }

    /// The classes in an `acr_values` parameter, in order of preference. Values we do not know are passed over: the
    /// parameter is a wish, not a condition (OIDC Core §3.1.2.1).
    pub fn preferences(acr_values: &str) -> Vec<Self> {
        acr_values.split(' ').filter_map(|value| value.parse().ok()).collect()
    }

    /// Whether an `acr_values` parameter asks for an anonymous visitor: it must be exactly that value, so that nobody
    /// gets one by listing it as a last resort.
    pub fn asks_for_visitor(acr_values: Option<&str>) -> bool {
        acr_values == Some(Self::Visitor.as_str())
    }
}

impl fmt::Display for Acr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The value is none of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAcr;

impl fmt::Display for UnknownAcr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the acr is none of {}", Acr::ALL.map(Acr::as_str).join(", "))
    }
}

impl std::error::Error for UnknownAcr {}

impl FromStr for Acr {
    type Err = UnknownAcr;

    fn from_str(value: &str) -> Result<Self, UnknownAcr> {
        Self::ALL.into_iter().find(|acr| acr.as_str() == value).ok_or(UnknownAcr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_that_of_strength() {
        assert!(Acr::ALL.is_sorted());
        assert!(Acr::Phrh.satisfies(Acr::Phr) && Acr::Phr.satisfies(Acr::Mfa) && Acr::Pwd.satisfies(Acr::Pwd));
        assert!(!Acr::Visitor.satisfies(Acr::Pwd) && !Acr::Mfa.satisfies(Acr::Phr));
    }

    #[test]
    fn values_round_trip() {
        for acr in Acr::ALL {
            assert_eq!(acr.to_string().parse(), Ok(acr));
            assert_eq!(serde_json::to_value(acr).unwrap(), acr.as_str());
        }
        assert_eq!("PHR".parse::<Acr>(), Err(UnknownAcr));
    }

    #[test]
    fn unknown_preferences_are_passed_over() {
        assert_eq!(Acr::preferences("phrh 0 urn:mooring:acr:pwd  x"), [Acr::Phrh, Acr::Pwd]);
        assert!(Acr::preferences("").is_empty());
    }

    #[test]
    fn a_visitor_is_asked_for_by_that_value_alone() {
        assert!(Acr::asks_for_visitor(Some("urn:mooring:acr:visitor")));
        for other in [None, Some(""), Some("urn:mooring:acr:visitor urn:mooring:acr:pwd"), Some("urn:mooring:acr:pwd")]
        {
            assert!(!Acr::asks_for_visitor(other), "{other:?}");
        }
    }
}
