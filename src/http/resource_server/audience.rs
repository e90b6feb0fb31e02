//! Whom a token says that it is for (RFC 7519 §4.1.3).

use serde_json::Value;

/// Whether `aud`, one value or several, names this API. A token that its client may also show to userinfo names both. An
/// empty path is the same as `/` (RFC 3986 §6.2.3).
pub(super) fn names(aud: Option<&Value>, own: &str) -> bool {
    let is_own = |one: &Value| one.as_str().is_some_and(|one| without_root(one) == without_root(own));
    match aud {
        Some(Value::Array(all)) => all.iter().any(is_own),
        Some(one) => is_own(one),
        None => false,
    }
}

fn without_root(uri: &str) -> &str {
    let is_origin = |rest: &&str| rest.split_once("://").is_some_and(|(_, host)| !host.contains(['/', '?', '#']));
    uri.strip_suffix('/').filter(is_origin).unwrap_or(uri)
}
