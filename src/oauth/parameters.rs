//! The parameters of a request, from a query or an `application/x-www-form-urlencoded` body (RFC 6749 appendix B).
//!
//! What was sent is kept in its order. Repetition is not an error here but a fact to ask for: whoever answers a
//! repeated `scope` must still be able to say so to the `redirect_uri`. A repeated parameter has no value, so nobody
//! can pick the first while another picks the last. The same holds for a value that is too long.

use std::fmt;

use super::Error;

/// All names and values together, decoded, in octets.
pub const MAX_TOTAL: usize = 48 * 1024;
/// One value, decoded, in octets. Clients keep where they were in `state`, so many are of some KiB.
pub const MAX_VALUE: usize = 8 * 1024;
/// The same for a JWT, which may hold several such values.
pub const MAX_JWT: usize = 28 * 1024;
/// Parameters that are JWTs: a request object has `state` and `nonce`, an ID token `nonce`.
const JWTS: [&str; 3] = ["request", "id_token_hint", "client_assertion"];
/// Parameters with a value.
pub const MAX_COUNT: usize = 64;
/// The text, encoded: what [`Parameters::to_query`] makes of the largest that is accepted (three characters an octet,
/// and two separators a parameter).
pub const MAX_ENCODED: usize = 3 * MAX_TOTAL + 2 * MAX_COUNT;

/// RFC 8707 §2: the only parameter that may be sent more than once.
const MAY_REPEAT: &str = "resource";

/// The parameters of one request. No `Debug` shows a value: among them are codes, secrets and passwords.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Parameters {
    pairs: Vec<(String, String)>,
    repeated: Vec<String>,
}

impl Parameters {
    /// Decodes strictly: an incomplete percent-encoding and text that is not UTF-8 are errors. Parameters without a value count as omitted (RFC 6749 §3.1).
    pub fn parse(encoded: &[u8]) -> Result<Self, Error> {
        if encoded.len() > MAX_ENCODED {
            return Err(too_large());
        }
        let mut pairs = Vec::new();
        for pair in encoded.split(|&octet| octet == b'&') {
            let (name, value) = match pair.iter().position(|&octet| octet == b'=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => (pair, &[][..]),
            };
            pairs.push((decode(name)?, decode(value)?));
        }
        Self::from_pairs(pairs)
    }

    /// From pairs that are decoded already (a request object, a form of ours); the same limits hold, and NUL (which
    /// PostgreSQL cannot hold) is an error.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Result<Self, Error> {
        let mut parameters = Self::default();
        let mut total = 0;
        for (name, value) in pairs {
            if name.is_empty() || value.is_empty() {
                continue;
            }
            if name.contains('\0') || value.contains('\0') {
                return Err(malformed());
            }
            total += name.len() + value.len();
            if total > MAX_TOTAL || parameters.pairs.len() == MAX_COUNT {
                return Err(too_large());
            }
            if name != MAY_REPEAT && parameters.all(&name).next().is_some() && !parameters.repeated.contains(&name) {
                parameters.repeated.push(name.clone());
            }
            parameters.pairs.push((name, value));
        }
        Ok(parameters)
    }

    /// The value; none if it was omitted, sent empty, sent more than once or is too long. For `resource`, the first.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_of_any_length(name).filter(|value| value.len() <= longest(name))
    }

    /// As [`Self::get`], however long: to send it back, not to keep it.
    pub fn get_of_any_length(&self, name: &str) -> Option<&str> {
        if self.repeated.iter().any(|repeated| repeated == name) { None } else { self.all(name).next() }
    }

    /// Every value of a parameter that may be repeated.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.pairs.iter().filter(move |pair| pair.0 == name).map(|pair| pair.1.as_str())
    }

    /// The value, or the refusal that it is missing or repeated.
    pub fn require(&self, name: &str) -> Result<&str, Error> {
        self.get(name).ok_or_else(|| {
            if self.repeated.iter().any(|repeated| repeated == name) {
                repeats(name)
            } else if self.get_of_any_length(name).is_some() {
                too_long(name)
            } else {
                Error::invalid_request(format!("the parameter {} is missing", printable(name)))
            }
        })
    }

    /// The names that were sent more than once though they must not (RFC 6749 §3.1), in order of appearance.
    pub fn repeated(&self) -> &[String] {
        &self.repeated
    }

    /// Refuses repetition (RFC 6749 §3.1 and §3.2) and values that are too long, once the caller knows where to say so.
    pub fn refuse_unusable(&self) -> Result<(), Error> {
        if let Some(name) = self.repeated.first() {
            return Err(repeats(name));
        }
        match self.pairs.iter().find(|(name, value)| value.len() > longest(name)) {
            Some((name, _)) => Err(too_long(name)),
            None => Ok(()),
        }
    }

    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Encoded again: `parse` of it gives the same parameters.
    pub fn to_query(&self) -> String {
        url::form_urlencoded::Serializer::new(String::new()).extend_pairs(self.pairs()).finish()
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.pairs.iter().map(|pair| &pair.0)).finish()
    }
}

fn decode(encoded: &[u8]) -> Result<String, Error> {
    let mut octets = Vec::with_capacity(encoded.len());
    let mut rest = encoded;
    while let [first, tail @ ..] = rest {
        rest = tail;
        octets.push(match first {
            b'+' => b' ',
            b'%' => {
                let [high, low, tail @ ..] = tail else { return Err(malformed()) };
                rest = tail;
                hex_digit(*high)? << 4 | hex_digit(*low)?
            }
            other => *other,
        });
    }
    match String::from_utf8(octets) {
        Ok(text) => Ok(text),
        Err(_) => Err(malformed()),
    }
}

fn hex_digit(digit: u8) -> Result<u8, Error> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        b'A'..=b'F' => Ok(digit - b'A' + 10),
        _ => Err(malformed()),
    }
}

fn malformed() -> Error {
    Error::invalid_request("the parameters are not valid application/x-www-form-urlencoded in UTF-8")
}

fn too_large() -> Error {
    Error::invalid_request(format!("more than {MAX_COUNT} parameters or {MAX_TOTAL} bytes of them"))
}

fn longest(name: &str) -> usize {
    if JWTS.contains(&name) { MAX_JWT } else { MAX_VALUE }
}

fn too_long(name: &str) -> Error {
    Error::invalid_request(format!("the parameter {} is longer than {} bytes", printable(name), longest(name)))
}

fn repeats(name: &str) -> Error {
    Error::invalid_request(format!("the parameter {} is sent more than once", printable(name)))
}

/// A name as an `error_description` may carry it (RFC 6749 §5.2: %x20-21, %x23-5B, %x5D-7E) and a person may read it.
fn printable(name: &str) -> String {
    name.chars().take(40).map(|c| if matches!(c, ' '..='~') && c != '"' && c != '\\' { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Parameters {
        Parameters::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_and_values_are_decoded() {
        let parameters = parse("scope=openid+profile&state=a%2Bb%3D%26%C3%A9&x%20y=z&flag&=v&&k=a=b");
        assert_eq!(parameters.get("scope"), Some("openid profile"));
        assert_eq!(parameters.get("state"), Some("a+b=&é"));
        assert_eq!(parameters.get("x y"), Some("z"));
        assert_eq!(parameters.get("k"), Some("a=b"));
        assert_eq!(parameters.pairs().count(), 4);
    }

    #[test]
    fn without_a_value_is_omitted() {
        let parameters = parse("scope=&state&scope=openid&scope=");
        assert_eq!(parameters.get("scope"), Some("openid"));
        assert_eq!(parameters.get("state"), None);
        assert!(parameters.repeated().is_empty());
        assert_eq!(parameters.require("state").unwrap_err().description, "the parameter state is missing");
    }

    #[test]
    fn what_is_repeated_has_no_value_and_the_rest_has() {
        let parameters = parse("client_id=rp&scope=a&scope=b&state=x&scope=c&state=x");
        assert_eq!(parameters.repeated(), ["scope", "state"]);
        assert_eq!(parameters.get("scope"), None);
        assert_eq!(parameters.get("client_id"), Some("rp"));
        let error = parameters.refuse_unusable().unwrap_err();
        assert_eq!(error.description, "the parameter scope is sent more than once");
        assert_eq!(parameters.require("scope").unwrap_err(), error);
        assert_eq!(parse("client_id=rp").refuse_unusable(), Ok(()));
    }

    #[test]
    fn encoding_does_not_hide_repetition() {
        assert_eq!(parse("state=a&%73tate=b").repeated(), ["state"]);
    }

    #[test]
    fn resources_may_be_repeated() {
        let parameters = parse("resource=https://a&resource=https://b");
        assert!(parameters.repeated().is_empty());
        assert_eq!(parameters.all("resource").collect::<Vec<_>>(), ["https://a", "https://b"]);
        assert_eq!(parameters.get("resource"), Some("https://a"));
    }

    #[test]
    fn malformed_encodings_are_refused() {
        for bad in ["a=%", "a=%4", "a=%zz", "a=%+1", "%=a", "a=%ff", "a=%C3", "a=%00", "%00=a"] {
            assert!(Parameters::parse(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(Parameters::parse(b"a=\xff").is_err());
        assert_eq!(Parameters::parse(b"a=\xc3\xa9").unwrap().get("a"), Some("é"));
    }

    #[test]
    fn too_much_is_refused() {
        let value = "v".repeat(MAX_VALUE);
        assert!(Parameters::parse(format!("a={value}").as_bytes()).is_ok());
        let jwt = "v".repeat(MAX_JWT);
        assert_eq!(parse(&format!("request={jwt}&state={value}")).refuse_unusable(), Ok(()));
        let long = ["a", "b", "c", "d", "e", "f"].map(|name| format!("{name}={value}")).join("&");
        assert!(Parameters::parse(long.as_bytes()).is_err());
        let many = |count: usize| (0..count).map(|n| format!("p{n}=v")).collect::<Vec<_>>().join("&");
        assert!(Parameters::parse(many(MAX_COUNT).as_bytes()).is_ok());
        assert!(Parameters::parse(many(MAX_COUNT + 1).as_bytes()).is_err());
        assert!(Parameters::parse("&".repeat(MAX_ENCODED + 1).as_bytes()).is_err());
    }

    #[test]
    fn what_is_too_long_has_no_value_but_can_be_sent_back() {
        for (name, longest) in [("state", MAX_VALUE), ("nonce", MAX_VALUE), ("request", MAX_JWT)] {
            let parameters = parse(&format!("scope=a&{name}={}", "v".repeat(longest + 1)));
            assert_eq!(parameters.get(name), None);
            assert_eq!(parameters.get_of_any_length(name).map(str::len), Some(longest + 1));
            let error = parameters.refuse_unusable().unwrap_err();
            assert_eq!(error.description, format!("the parameter {name} is longer than {longest} bytes"));
            assert_eq!(parameters.require(name).unwrap_err(), error);
            assert_eq!(parameters.get("scope"), Some("a"));
        }
    }

    #[test]
    fn values_are_not_shown() {
        assert_eq!(format!("{:?}", parse("client_secret=hush")), "[\"client_secret\"]");
    }

    #[test]
    fn descriptions_stay_within_the_characters_of_the_specification() {
        let description = parse("%22%5C%0A%C3%A9=1&%22%5C%0A%C3%A9=2").refuse_unusable().unwrap_err().description;
        assert_eq!(description, "the parameter ???? is sent more than once");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(octets in any::<Vec<u8>>()) {
            let _ = Parameters::parse(&octets);
        }

        #[test]
        fn encoded_again_it_is_the_same(pairs in prop::collection::vec(("[^\0]{0,4}", "[^\0]{0,40}"), 0..20)) {
            let parameters = Parameters::from_pairs(pairs).unwrap();
            let query = parameters.to_query();
            prop_assert!(query.len() <= MAX_ENCODED);
            prop_assert_eq!(Parameters::parse(query.as_bytes()).unwrap(), parameters);
        }
    }
}
