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
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::form_decoded;

    #[test]
    fn id_and_secret_are_form_decoded() {
        assert_eq!(form_decoded("a%3Ab+c").as_deref(), Some("a:b c"));
        assert_eq!(form_decoded("a%3"), None);
        assert_eq!(form_decoded("a%zz"), None);
    }
}
