//! Which parameters of an authorization request are read, wherever they stand.

use serde_json::{Map, Value};

use crate::oauth::{Error, ErrorCode, Parameters};

/// What is read, and so what is kept of a request that has to wait.
const READ: [&str; 18] = [
    "client_id",
    "redirect_uri",
    "response_type",
    "response_mode",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "prompt",
    "max_age",
    "login_hint",
    "id_token_hint",
    "claims",
    "acr_values",
    "ui_locales",
    "display",
    "resource",
];

/// Members of a request object that are about the JWT (RFC 7519 §4.1).
const OF_THE_JWT: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// The request as it is kept, as a query: what is not read is not stored.
pub fn kept(parameters: &Parameters) -> String {
    let read = parameters.pairs().filter(|(name, _)| READ.contains(name));
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(read).finish()
}

/// The parameters that a request object of this client says (RFC 9101 §4: numbers and objects may stand as JSON).
pub(super) fn from_claims(claims: &Map<String, Value>, client_id: &str) -> Result<Parameters, Error> {
    let malformed = |name: &str| {
        let problem = format!("{name} of the request object is not of the form of the parameter");
        Error::new(ErrorCode::InvalidRequestObject, problem)
    };
    let mut pairs = vec![("client_id".to_owned(), client_id.to_owned())];
    for (name, value) in claims {
        if name == "client_id" || OF_THE_JWT.contains(&name.as_str()) {
            continue;
        }
        match value {
            Value::String(text) => pairs.push((name.clone(), text.clone())),
            Value::Number(_) | Value::Bool(_) | Value::Object(_) => pairs.push((name.clone(), value.to_string())),
            // RFC 8707 §2: the only one that there may be several of.
            Value::Array(several) if name == "resource" => {
                for one in several {
                    let text = one.as_str().ok_or_else(|| malformed(name))?;
                    pairs.push((name.clone(), text.to_owned()));
                }
            }
            Value::Array(_) | Value::Null if READ.contains(&name.as_str()) => return Err(malformed(name)),
            Value::Array(_) | Value::Null => {}
        }
    }
    Parameters::from_pairs(pairs).map_err(|error| Error { code: ErrorCode::InvalidRequestObject, ..error })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(claims: &Value) -> Result<Vec<(String, String)>, Error> {
        let parameters = from_claims(claims.as_object().unwrap(), "rp")?;
        Ok(parameters.pairs().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    #[test]
    fn members_become_parameters() {
        let claims = json!({
            "iss": "rp", "aud": "op", "exp": 1, "client_id": "another", "max_age": 60, "scope": "openid",
            "claims": { "userinfo": { "name": null } }, "resource": ["https://a", "https://b"], "unknown": [1],
        });
        let pairs = read(&claims).unwrap();
        let expected = [
            ("client_id", "rp"),
            ("claims", r#"{"userinfo":{"name":null}}"#),
            ("max_age", "60"),
            ("resource", "https://a"),
            ("resource", "https://b"),
            ("scope", "openid"),
        ];
        assert_eq!(pairs, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }

    #[test]
    fn what_is_no_parameter_is_refused() {
        for wrong in [
            json!({ "scope": ["openid"] }),
            json!({ "state": null }),
            json!({ "resource": [7] }),
            json!({ "nonce": "a\0b" }),
        ] {
            assert_eq!(read(&wrong).unwrap_err().code, ErrorCode::InvalidRequestObject, "{wrong}");
        }
    }

    #[test]
    fn only_what_is_read_is_kept() {
        let parameters = Parameters::parse(b"scope=openid&request=x&client_secret=hush&state=a%26b").unwrap();
        assert_eq!(kept(&parameters), "scope=openid&state=a%26b");
    }
}
