//! Where an answer may go.
//!
//! A [`TrustedRedirectUri`] exists only once the requested URI was found among those registered, and it is the only
//! thing an answer can be sent to: an error met before that goes to a page, never to a redirect. URIs are compared as
//! text and kept as text, because a parser that sees another host than the browser does is how codes get stolen.

use url::form_urlencoded;

use super::Error;

/// Longer ones break browsers and logs before they are of use to anyone.
pub const MAX_LENGTH: usize = 2048;

/// RFC 8252 §7.3: loopback by literal address. Not `localhost`, which need not be the loopback interface (§8.3).
const LOOPBACK: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];

/// Whether a requested redirect URI is the registered one: the same text (RFC 9700 §2.1, OAuth 2.1 §2.3.1), or the
/// same text but for the port where the registered one is on a loopback address (RFC 8252 §7.3, OAuth 2.1 §8.4.2).
pub fn matches(registered: &str, requested: &str) -> bool {
    if !is_plain(requested) {
        return false;
    }
    registered == requested
        || match (without_loopback_port(registered), without_loopback_port(requested)) {
            (Some(registered), Some(requested)) => registered == requested,
            _ => false,
        }
}

/// A URI with parameters added to its query; what was there stays as it was (RFC 6749 §3.1.2).
pub fn with_query(uri: &str, parameters: &[(&str, &str)]) -> String {
    if parameters.is_empty() {
        return uri.to_owned();
    }
    let separator = match uri.split_once('?') {
        None => "?",
        Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
        Some(_) => "&",
    };
    let added = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    format!("{uri}{separator}{added}")
}

/// What no redirect URI may be, whatever is registered: too long, with a fragment (RFC 6749 §3.1.2), with characters
/// that no URI has or that parsers disagree on, or with user information in front of its host.
fn is_plain(uri: &str) -> bool {
    let allowed = |octet: u8| octet.is_ascii_graphic() && !matches!(octet, b'#' | b'\\' | b'"' | b'<' | b'>' | b'`');
    let authority = uri.split_once("://").map(|(_, rest)| rest.split(['/', '?']).next().unwrap_or_default());
    !uri.is_empty()
        && uri.len() <= MAX_LENGTH
        && uri.bytes().all(allowed)
        && authority.is_none_or(|authority| !authority.contains('@'))
}

/// A loopback URI as its host and what follows the port.
fn without_loopback_port(uri: &str) -> Option<(&'static str, &str)> {
    LOOPBACK.into_iter().find_map(|host| {
        let rest = uri.strip_prefix(host)?;
        let rest = match rest.strip_prefix(':') {
            None => rest,
            Some(rest) => {
                let (port, rest) = rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len()));
                let canonical = !port.starts_with('0') && port.parse::<u16>().is_ok();
                canonical.then_some(rest)?
            }
        };
        // Anything else would be more of the host ("http://127.0.0.1.evil.example") or user information.
        (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest))
    })
}

/// A redirect URI of this client: the place where answers and errors may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedRedirectUri(String);

impl TrustedRedirectUri {
    /// Finds the requested URI among the client's registered ones.
    ///
    /// `may_omit`: a request without `redirect_uri` gets the client's only one (OAuth 2.1 §4.1.1); false for OpenID
    /// Connect, which requires the parameter (OIDC Core §3.1.2.1). A parameter that was sent twice was not omitted:
    /// the caller refuses repetition of it before.
    pub fn trust(requested: Option<&str>, registered: &[String], may_omit: bool) -> Result<Self, Error> {
        match (requested, registered) {
            (Some(requested), _) if registered.iter().any(|registered| matches(registered, requested)) => {
                Ok(Self(requested.to_owned()))
            }
            (Some(requested), _) => {
                let refused = Error::invalid_request("the redirect_uri is not one registered for this client");
                Err(refused
                    .detail(format!("{requested:?} is none of {registered:?}"))
                    .mend("add it to the client's redirect_uris, character by character")
                    .sent("redirect_uri", requested))
            }
            (None, [only]) if may_omit && is_plain(only) => Ok(Self(only.clone())),
            (None, _) => Err(Error::invalid_request("the parameter redirect_uri is missing")),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The URI with response parameters added to its query.
    pub fn with_query(&self, parameters: &[(&str, &str)]) -> String {
        with_query(&self.0, parameters)
    }

    /// The URI with response parameters in its fragment, which it has none of by itself (RFC 6749 §4.2.2.1).
    pub fn with_fragment(&self, parameters: &[(&str, &str)]) -> String {
        format!("{}#{}", self.0, form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;
    use crate::oauth::{ClientMetadata, hostile};

    fn trusted(uri: &str) -> TrustedRedirectUri {
        TrustedRedirectUri::trust(Some(uri), &[uri.to_owned()], false).unwrap()
    }

    #[test]
    fn the_same_text_and_nothing_else() {
        let registered = "https://rp.example/callback";
        assert!(matches(registered, registered));
        for other in [
            "https://rp.example/callback/",
            "https://rp.example/callback?",
            "https://rp.example/callback?x=1",
            "https://rp.example/callback#",
            "https://rp.example/callback#x",
            "https://rp.example/Callback",
            "https://RP.example/callback",
            "https://rp.example:443/callback",
            "http://rp.example/callback",
            "https://rp.example/call%62ack",
            "https://rp.example/x/../callback",
            "https://rp.example.evil.example/callback",
            "https://rp.example@evil.example/callback",
            "https://evil.example/callback",
            " https://rp.example/callback",
            "https://rp.example/callback\n",
            "",
        ] {
            assert!(!matches(registered, other), "{other:?}");
        }
        assert!(matches("com.example.app:/callback", "com.example.app:/callback"));
        assert!(!matches("com.example.app:/callback", "com.example.app://callback"));
    }

    #[test]
    fn the_log_says_what_was_asked_for_and_the_caller_is_not_told_what_is_registered() {
        let registered = ["https://rp.example/callback".to_owned()];
        let refused = TrustedRedirectUri::trust(Some("https://rp.example/callback/"), &registered, false).unwrap_err();
        let detail = refused.detail.expect("a detail");
        assert_eq!(detail, r#""https://rp.example/callback/" is none of ["https://rp.example/callback"]"#);
        assert!(!refused.description.contains("https://"));
    }

    #[test]
    fn some_never_match_even_if_registered() {
        let long = format!("https://rp.example/{}", "a".repeat(MAX_LENGTH));
        for bad in ["https://rp/#f", "https://a@rp/cb", "https://rp\\@evil/cb", "https://rp/é", "https://rp/ ", &long]
        {
            assert!(!matches(bad, bad), "{bad:?}");
        }
        assert!(matches("https://rp/@me?a@b", "https://rp/@me?a@b"));
    }

    #[test]
    fn loopback_addresses_vary_in_their_port_only() {
        for registered in ["http://127.0.0.1/cb", "http://127.0.0.1:8000/cb"] {
            for requested in ["http://127.0.0.1/cb", "http://127.0.0.1:1/cb", "http://127.0.0.1:65535/cb"] {
                assert!(matches(registered, requested), "{registered} {requested}");
            }
            for requested in [
                "http://127.0.0.1:9/other",
                "http://127.0.0.1:9/cb?x",
                "http://127.0.0.1:9",
                "http://127.0.0.1:/cb",
                "http://127.0.0.1:0/cb",
                "http://127.0.0.1:09/cb",
                "http://127.0.0.1:65536/cb",
                "http://127.0.0.1:9@evil.example/cb",
                "http://127.0.0.1:9.evil.example/cb",
                "http://127.0.0.1.evil.example/cb",
                "http://127.0.0.1@evil.example/cb",
                "http://127.0.0.2/cb",
                "http://[::1]/cb",
                "http://localhost:9/cb",
                "https://127.0.0.1:9/cb",
                "HTTP://127.0.0.1:9/cb",
            ] {
                assert!(!matches(registered, requested), "{registered} {requested}");
            }
        }
        assert!(matches("http://[::1]/cb", "http://[::1]:5000/cb"));
        assert!(!matches("http://[::1]/cb", "http://[::2]:5000/cb"));
        assert!(matches("http://127.0.0.1?a", "http://127.0.0.1:5?a"));
    }

    #[test]
    fn localhost_and_https_do_not_vary_in_their_port() {
        assert!(!matches("http://localhost/cb", "http://localhost:5000/cb"));
        assert!(!matches("https://127.0.0.1/cb", "https://127.0.0.1:5000/cb"));
        assert!(matches("http://localhost:5000/cb", "http://localhost:5000/cb"));
    }

    #[test]
    fn it_may_be_omitted_only_where_there_is_no_choice_and_no_openid() {
        let one = ["https://rp.example/cb".to_owned()];
        let two = ["https://rp.example/cb".to_owned(), "https://rp.example/other".to_owned()];
        assert_eq!(TrustedRedirectUri::trust(None, &one, true).unwrap().as_str(), "https://rp.example/cb");
        assert!(TrustedRedirectUri::trust(None, &one, false).is_err());
        assert!(TrustedRedirectUri::trust(None, &two, true).is_err());
        assert!(TrustedRedirectUri::trust(None, &[], true).is_err());
        assert!(TrustedRedirectUri::trust(Some("https://rp.example/other"), &two, false).is_ok());
        assert!(TrustedRedirectUri::trust(Some("https://evil.example/cb"), &two, true).is_err());
    }

    #[test]
    fn the_port_that_was_asked_for_is_answered() {
        let uri = TrustedRedirectUri::trust(Some("http://127.0.0.1:5000/cb"), &["http://127.0.0.1/cb".into()], false);
        assert_eq!(uri.unwrap().with_query(&[("code", "c")]), "http://127.0.0.1:5000/cb?code=c");
    }

    #[test]
    fn parameters_are_added_and_the_rest_is_untouched() {
        let parameters = [("code", "a b&c"), ("iss", "https://op.example")];
        let added = "code=a+b%26c&iss=https%3A%2F%2Fop.example";
        for (uri, expected) in [
            ("https://rp/cb", format!("https://rp/cb?{added}")),
            ("https://rp", format!("https://rp?{added}")),
            ("https://rp/cb?", format!("https://rp/cb?{added}")),
            ("https://rp/cb?x=%2f+&", format!("https://rp/cb?x=%2f+&{added}")),
            ("https://RP:443/a/../cb?x=%2f", format!("https://RP:443/a/../cb?x=%2f&{added}")),
            ("com.example:/cb", format!("com.example:/cb?{added}")),
        ] {
            assert_eq!(trusted(uri).with_query(&parameters), expected);
        }
        assert_eq!(trusted("https://rp/cb").with_query(&[]), "https://rp/cb");
    }

    proptest! {
        /// What can be registered can be asked for, and carries an answer that arrives whole.
        #[test]
        fn whatever_is_registered_can_be_answered(text in hostile::text(), tail in "[!-~]{0,30}") {
            for uri in [text, format!("https://rp.example{tail}"), format!("http://localhost/{tail}"), format!("a.b:{tail}")] {
                let metadata = serde_json::json!({ "redirect_uris": [uri] });
                if ClientMetadata::from_json(&metadata).is_err() {
                    continue;
                }
                let trusted = TrustedRedirectUri::trust(Some(&uri), std::slice::from_ref(&uri), false);
                let answered = trusted.unwrap().with_query(&[("code", "a&b=c#d é"), ("iss", "https://op.example")]);
                prop_assert!(answered.bytes().all(|octet| octet.is_ascii_graphic() && octet != b'#'), "{answered}");
                let pairs: Vec<_> = Url::parse(&answered).unwrap().query_pairs().into_owned().collect();
                prop_assert!(pairs.ends_with(&[("code".into(), "a&b=c#d é".into()), ("iss".into(), "https://op.example".into())]));
            }
        }

        /// Whatever varies in a loopback URI, a browser still goes to the loopback address.
        #[test]
        fn a_match_of_loopback_is_loopback(tail in "[:@./?\\[\\]0-9a-z]{0,20}") {
            let requested = format!("http://127.0.0.1{tail}");
            if matches("http://127.0.0.1/cb", &requested) {
                let url = Url::parse(&requested).unwrap();
                prop_assert_eq!(url.host_str(), Some("127.0.0.1"));
                prop_assert_eq!(url.path(), "/cb");
            }
        }
    }
}
