//! Whom a token says that it is for (RFC 7519 §4.1.3).

use serde_json::Value;

/// Whether a token with this `aud`, one value or several, is for the API that is `own`. A token that its client may also show
/// to userinfo names the API and the issuer. An empty path is the same as `/` (RFC 3986 §6.2.3).
///
/// An API that expects the issuer itself gets tokens for the issuer alone: one that names another API, too, has been given to
/// that API, which could use it here.
pub(super) fn is_meant(aud: Option<&Value>, own: &str, issuer: &str) -> bool {
    let is_own = |one: &Value| one.as_str().is_some_and(|one| is_same(one, own));
    match aud {
        Some(Value::Array(all)) if is_same(own, issuer) => !all.is_empty() && all.iter().all(is_own),
        Some(Value::Array(all)) => all.iter().any(is_own),
        Some(one) => is_own(one),
        None => false,
    }
}

fn is_same(one: &str, other: &str) -> bool {
    without_root(one) == without_root(other)
}

fn without_root(uri: &str) -> &str {
    let is_origin = |rest: &&str| rest.split_once("://").is_some_and(|(_, host)| !host.contains(['/', '?', '#']));
    uri.strip_suffix('/').filter(is_origin).unwrap_or(uri)
}
