//! Proof Key for Code Exchange (RFC 7636): the syntax of its parameters, and S256 only.
//!
//! Who must send a challenge is policy and not decided here; a challenge that is sent always counts.

use super::Error;
use aws_lc_rs::{
    constant_time::verify_slices_are_equal,
    digest::{SHA256, digest},
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

/// The only method (OAuth 2.1 §7.5.2: plain hands the verifier to whoever reads the request).
pub const METHOD: &str = "S256";

/// A challenge of the right form: the base64url of a SHA-256.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge(String);

impl Challenge {
    /// Reads `code_challenge` and `code_challenge_method`; none where neither was sent.
    pub fn parse(challenge: Option<&str>, method: Option<&str>) -> Result<Option<Self>, Error> {
        match (challenge, method) {
            (None, None) => Ok(None),
            (None, Some(_)) => Err(Error::invalid_request("code_challenge_method is sent without code_challenge")),
            // RFC 7636 §4.3: without a method it is plain.
            (Some(_), None) => Err(Error::invalid_request("code_challenge_method is missing; it must be S256")),
            (Some(challenge), Some(METHOD)) if is_challenge(challenge) => Ok(Some(Self(challenge.to_owned()))),
            (Some(_), Some(METHOD)) => {
                Err(Error::invalid_request("code_challenge must be 43 characters of base64url, without padding"))
            }
            (Some(_), Some(_)) => Err(Error::invalid_request("code_challenge_method must be S256")),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_challenge(challenge: &str) -> bool {
    challenge.len() == 43
        && challenge.bytes().all(|octet| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'_'))
}

/// RFC 7636 §4.1: 43 to 128 unreserved characters. Anything else cannot have been the verifier of a challenge, so the
/// answer is that of a wrong one (§4.6: `invalid_grant`).
pub fn check_verifier(verifier: &str) -> Result<(), Error> {
    let unreserved = |octet: u8| octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~');
    if (43..=128).contains(&verifier.len()) && verifier.bytes().all(unreserved) {
        Ok(())
    } else {
        let error =
            Error::invalid_grant("code_verifier must be 43 to 128 unreserved characters (RFC 7636 section 4.1)");
        Err(error.detail("wrong_verifier"))
    }
}

/// The S256 challenge of a verifier (RFC 7636 §4.2).
pub fn challenge_of(verifier: &str) -> String {
    URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()))
}

/// Whether the verifier belongs to a stored challenge (RFC 7636 §4.6).
pub fn verifies(verifier: &str, challenge: &str) -> bool {
    check_verifier(verifier).is_ok()
        && verify_slices_are_equal(challenge_of(verifier).as_bytes(), challenge.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_example_of_the_specification() {
        assert_eq!(challenge_of(VERIFIER), CHALLENGE);
        assert!(verifies(VERIFIER, CHALLENGE));
        assert!(!verifies(&VERIFIER.replace('d', "e"), CHALLENGE));
        assert!(!verifies("", ""));
        assert!(!verifies(CHALLENGE, CHALLENGE));
    }

    #[test]
    fn only_s256() {
        let parsed = Challenge::parse(Some(CHALLENGE), Some("S256")).unwrap().unwrap();
        assert_eq!(parsed.as_str(), CHALLENGE);
        assert_eq!(Challenge::parse(None, None), Ok(None));
        for method in [None, Some("plain"), Some("s256"), Some("S512")] {
            assert!(Challenge::parse(Some(CHALLENGE), method).is_err(), "{method:?}");
        }
        assert!(Challenge::parse(None, Some("S256")).is_err());
    }

    #[test]
    fn only_the_form_of_a_sha256() {
        let padded = format!("{CHALLENGE}=");
        for bad in [&CHALLENGE[1..], &padded, &CHALLENGE.replace('-', "+"), &CHALLENGE.replace('c', "é"), "abc"] {
            assert!(Challenge::parse(Some(bad), Some("S256")).is_err(), "{bad}");
        }
    }

    #[test]
    fn verifiers_are_43_to_128_unreserved_characters() {
        for (verifier, good) in [
            ("a".repeat(42), false),
            ("a".repeat(43), true),
            ("~".repeat(128), true),
            ("a".repeat(129), false),
            (format!("{}+", "a".repeat(43)), false),
            (format!("{} ", "a".repeat(43)), false),
            ("é".repeat(43), false),
        ] {
            assert_eq!(check_verifier(&verifier).is_ok(), good, "{verifier}");
        }
    }
}
