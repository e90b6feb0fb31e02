//! Members that nobody knows, in metadata that an operator wrote: a misspelt name must not silently mean its default. What
//! clients say of themselves is read otherwise: there unknown members are ignored (RFC 7591 §2).

use serde_json::Value;

use super::{MEMBERS, demands::unmet};

/// Known members that say nothing to this server, and what it puts into its own answers: a file may be one of those.
const PASSED_OVER: &[&str] = &[
    "software_id",
    "software_version",
    "software_statement",
    "client_id_issued_at",
    "client_secret_expires_at",
    "registration_access_token",
    "registration_client_uri",
    "disabled",
    "self_registered",
];

/// A member that is not known, and the known one that it may have been meant to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    pub name: String,
    pub nearest: Option<&'static str>,
}

/// The first member that is not known.
#[must_use]
pub fn unknown_member(json: &Value) -> Option<Unknown> {
    let name = json.as_object()?.keys().find(|name| !is_known(name))?;
    Some(Unknown { name: name.clone(), nearest: nearest(name) })
}

fn is_known(name: &str) -> bool {
    // RFC 7591 §2.2: client_name#de.
    let (base, is_tagged) = name.split_once('#').map_or((name, false), |(base, _)| (base, true));
    MEMBERS.iter().any(|member| member.name == base && (!is_tagged || member.localised))
        || PASSED_OVER.contains(&name)
        || unmet(name).is_some()
}

/// The known member that is spelt most like it, if any is spelt like it at all.
fn nearest(name: &str) -> Option<&'static str> {
    let plain = |name: &str| name.to_lowercase().replace(['-', '_', ' '], "");
    let given = plain(name);
    let distance = |member: &str| strsim::damerau_levenshtein(&given, &plain(member));
    let (away, nearest) = MEMBERS.iter().map(|member| (distance(member.name), member.name)).min()?;
    (away <= (given.chars().count() / 3).max(1)).then_some(nearest)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_misspelt_member_is_named_with_the_nearest() {
        for (name, nearest) in [
            ("redirect_uri", Some("redirect_uris")),
            ("redirectUris", Some("redirect_uris")),
            ("grant_type", Some("grant_types")),
            ("scopes", Some("scope")),
            ("token_endpoint_authmethod", Some("token_endpoint_auth_method")),
            ("client-name", Some("client_name")),
            ("scope#de", None),
            ("enabled", None),
            ("x", None),
        ] {
            let unknown = unknown_member(&json!({ "client_id": "a", name: 1 })).unwrap();
            assert_eq!((unknown.name.as_str(), unknown.nearest), (name, nearest), "{name}");
        }
    }

    #[test]
    fn what_is_known_passes() {
        let known = json!({ "client_id": "a", "client_name#de": "A", "software_id": "x", "client_id_issued_at": 1,
            "disabled": false, "dpop_bound_access_tokens": false });
        assert_eq!(unknown_member(&known), None);
        assert_eq!(unknown_member(&json!([])), None);
    }
}
