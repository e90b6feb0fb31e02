//! `client_secret_basic`: id and secret in the `Authorization` header (RFC 6749 §2.3.1).
//!
//! Both are to be form-encoded before they are put together, which curl and many libraries leave out. So a header has two
//! readings, and a plain id with a colon makes more of them. The client that exists, and the secret that fits, decide.

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Credentials, Method, Proof, Request};
use crate::oauth::{Error, client_metadata::AuthMethod};

/// As long as a client's id can be.
const LONGEST_ID: usize = 255;
/// As many colons as a plain id is looked for in front of: a URI with a port has two, a URN a few.
const MOST_COLONS: usize = 8;

pub(super) const METHOD: Method = Method { method: AuthMethod::ClientSecretBasic, read };

fn read(request: &Request<'_>) -> Result<Option<Credentials>, Error> {
    let Some((scheme, value)) = request.authorization.and_then(|header| header.split_once(' ')) else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let malformed = || {
        let error = Error::invalid_client("the Authorization header is malformed");
        error.mend("have the client send Basic with the base64 of client_id:client_secret")
    };
    let octets = STANDARD.decode(value.trim()).map_err(|_| malformed())?;
    let text = String::from_utf8(octets).map_err(|_| malformed())?;
    let mut readings = readings(&text).into_iter();
    let (client_id, secrets) = readings.next().ok_or_else(malformed)?;
    let credentials = Credentials::new(&client_id, AuthMethod::ClientSecretBasic, Proof::Secret(secrets));
    Ok(Some(Credentials { others: readings.collect(), ..credentials }))
}

/// Ids with the secrets that each may have, the reading of the specification first.
fn readings(text: &str) -> Vec<(String, Vec<String>)> {
    let mut readings: Vec<(String, Vec<String>)> = Vec::new();
    let mut add = |client_id: String, secret: String| {
        if client_id.len() > LONGEST_ID || client_id.contains(char::is_control) {
            return;
        }
        match readings.iter_mut().find(|(id, _)| *id == client_id) {
            None => readings.push((client_id, vec![secret])),
            Some((_, secrets)) if !secrets.contains(&secret) => secrets.push(secret),
            Some(_) => {}
        }
    };
    if let Some((client_id, secret)) = text.split_once(':')
        && let Some((client_id, secret)) = form_decoded(client_id).zip(form_decoded(secret))
    {
        add(client_id, secret);
    }
    for (colon, _) in text.match_indices(':').take(MOST_COLONS) {
        add(text[..colon].to_owned(), text[colon + 1..].to_owned());
    }
    readings
}

/// RFC 6749 §2.3.1: both are form-urlencoded before they are put together.
fn form_decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                // The parser would take a sign, too.
                let hex = std::str::from_utf8(&digits).ok().filter(|_| digits.iter().all(u8::is_ascii_hexdigit))?;
                u8::from_str_radix(hex, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::form_urlencoded::byte_serialize;

    use super::*;
    use crate::oauth::{ErrorCode, Parameters, hostile};

    fn presented(header: &str) -> Result<Option<Credentials>, Error> {
        read(&Request { authorization: Some(header), parameters: &Parameters::default() })
    }

    #[test]
    fn id_and_secret_are_form_decoded() {
        assert_eq!(form_decoded("a%3Ab+c").as_deref(), Some("a:b c"));
        assert_eq!(form_decoded("a%3"), None);
        assert_eq!(form_decoded("a%zz"), None);
        assert_eq!(form_decoded("a%+5"), None);
    }

    #[test]
    fn plain_text_is_another_reading_of_the_same_header() {
        let read = |text: &str| {
            readings(text)
                .into_iter()
                .map(|(id, secrets)| format!("{id} = {}", secrets.join(" or ")))
                .collect::<Vec<_>>()
        };
        assert_eq!(read("web:plain"), ["web = plain"]);
        assert_eq!(read("web:a+b%25"), ["web = a b% or a+b%25"]);
        // It cannot have been encoded.
        assert_eq!(read("web:100%"), ["web = 100%"]);
        assert_eq!(read("a%3Ab:s"), ["a:b = s", "a%3Ab = s"]);
        assert_eq!(read("web:a:b"), ["web = a:b", "web:a = b"]);
        assert_eq!(read("https://api.example:s"), ["https = //api.example:s", "https://api.example = s"]);
        assert_eq!(read("web:"), ["web = "]);
        assert!(read("no colon").is_empty());
        assert!(readings(&":".repeat(5000)).len() <= MOST_COLONS + 1);
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(scheme in "(Basic|basic|Bearer|)", value in hostile::text()) {
            for header in [format!("{scheme} {value}"), format!("{scheme} {}", STANDARD.encode(&value)), value] {
                match presented(&header) {
                    Ok(Some(read)) => prop_assert!(!read.client_id.contains(char::is_control)),
                    Ok(None) => {}
                    Err(error) => prop_assert_eq!(error.code, ErrorCode::InvalidClient),
                }
            }
        }

        #[test]
        fn what_is_encoded_as_it_should_be_arrives(id in "[^\\p{Cc}]{0,20}", secret in any::<String>()) {
            let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
            let header = format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(&id), encode(&secret))));
            let read = presented(&header).unwrap().unwrap();
            prop_assert_eq!(read.client_id, id);
            prop_assert!(matches!(read.proof, Proof::Secret(arrived) if arrived[0] == secret));
        }
    }
}
