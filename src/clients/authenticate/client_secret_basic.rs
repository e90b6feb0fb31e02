//! `client_secret_basic`: id and secret in the `Authorization` header (RFC 6749 §2.3.1).

use base64::{Engine, engine::general_purpose::STANDARD};

use super::{Credentials, Method, Proof, Request};
use crate::oauth::{Error, client_metadata::AuthMethod};

pub(super) const METHOD: Method = Method { method: AuthMethod::ClientSecretBasic, read };

fn read(request: &Request<'_>) -> Result<Option<Credentials>, Error> {
    let Some((scheme, value)) = request.authorization.and_then(|header| header.split_once(' ')) else {
        return Ok(None);
    };
    if !scheme.eq_ignore_ascii_case("basic") {
        return Ok(None);
    }
    let malformed = || Error::invalid_client("the Authorization header is malformed");
    let octets = STANDARD.decode(value.trim()).map_err(|_| malformed())?;
    let text = String::from_utf8(octets).map_err(|_| malformed())?;
    let (client_id, secret) = text.split_once(':').ok_or_else(malformed)?;
    let client_id = form_decoded(client_id).filter(|id| !id.contains(char::is_control)).ok_or_else(malformed)?;
    Ok(Some(Credentials {
        client_id,
        method: AuthMethod::ClientSecretBasic,
        proof: Proof::Secret(form_decoded(secret).ok_or_else(malformed)?),
    }))
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
            prop_assert!(matches!(read.proof, Proof::Secret(arrived) if arrived == secret));
        }
    }
}
