//! The URIs that name resource servers (RFC 8707 §2).

/// Whether two URIs name the same resource: character by character, but that an empty path is the path `/`.
///
/// RFC 3986 §6.2.3: with an authority, an empty path and `/` are equivalent. Clients that take a URI apart and put it together
/// again (those of the Model Context Protocol do) always write the slash. Nothing else is normalized: a declared identifier is
/// text that the operator chose.
#[must_use]
pub fn is_same(one: &str, other: &str) -> bool {
    without_root(one) == without_root(other)
}

/// What a person's consent to the use of a resource is remembered as, where no scope says it. It has the syntax of a scope.
const CONSENT: &str = "resource=";

/// The entry among consented scopes for a resource that needs no scope.
#[must_use]
pub fn consent_to(identifier: &str) -> String {
    format!("{CONSENT}{identifier}")
}

/// The resource that such an entry is about.
#[must_use]
pub fn consented(entry: &str) -> Option<&str> {
    entry.strip_prefix(CONSENT)
}

/// The URI without a path that is only `/`.
fn without_root(uri: &str) -> &str {
    let is_root = |authority: &str| !authority.is_empty() && !authority.contains(['/', '?', '#']);
    match uri.strip_suffix('/') {
        Some(rest) if rest.split_once("://").is_some_and(|(_, authority)| is_root(authority)) => rest,
        _ => uri,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_path_is_the_root() {
        for (one, other) in [
            ("https://api.example", "https://api.example/"),
            ("https://api.example:8443/", "https://api.example:8443"),
            ("http://[::1]:9000", "http://[::1]:9000/"),
            ("https://api.example/v1", "https://api.example/v1"),
            ("urn:mute", "urn:mute"),
        ] {
            assert!(is_same(one, other) && is_same(other, one), "{one} {other}");
        }
    }

    #[test]
    fn any_other_difference_counts() {
        for (one, other) in [
            ("https://api.example", "https://api.example//"),
            ("https://api.example/v1", "https://api.example/v1/"),
            ("https://api.example", "https://api.example/?"),
            ("https://api.example?x=", "https://api.example?x=/"),
            ("https://api.example", "https://API.example"),
            ("https://api.example", "http://api.example"),
            ("https://api.example", "api.example/"),
            ("https://", "https:///"),
            ("urn:mute", "urn:mute/"),
            ("https://api.example#x", "https://api.example#x/"),
            ("", "/"),
        ] {
            assert!(!is_same(one, other) && !is_same(other, one), "{one} {other}");
        }
    }
}
