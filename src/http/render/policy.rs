//! The Content-Security-Policy of a page, and where the answers to its forms may lead.
//!
//! Nothing is allowed but what a page of ours needs: our own style sheet and pictures, the one logo it shows, our own script
//! on the pages that go on by themselves or ask for a passkey, and at a sign-out the parties that are told in frames.
//! Nothing inline runs anywhere, so a flaw in escaping is not yet a flaw in security.

use std::collections::BTreeSet;

use url::{Host, Url};

/// Where the answers to the forms on a page may lead.
///
/// Chromium and WebKit hold `form-action` against every redirect that follows a form, also against those of others: an
/// application's callback that goes on to another origin is blocked there, with the code spent. Nobody knows those origins
/// before, so the directive is left out where a form may lead to an application (docs/decisions, on forms that lead elsewhere).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum FormTargets {
    /// This server only.
    #[default]
    Own,
    /// An application, and wherever it goes on to.
    Elsewhere,
}

impl FormTargets {
    fn directive(self) -> &'static str {
        match self {
            Self::Own => "; form-action 'self'",
            Self::Elsewhere => "",
        }
    }
}

/// The origin of a URL on the web as a source of the policy, where it can be one.
///
/// A custom scheme (`com.example.app:/cb`) has no host; the grammar has no IPv6 literals (Chromium ignores such a
/// source); and by CSP Level 3, "host-part matches", no IPv4 literal but 127.0.0.1 ever matches.
#[must_use]
pub fn source(url: &Url) -> Option<String> {
    let writable = match url.host() {
        Some(Host::Ipv4(address)) => address.octets() == [127, 0, 0, 1],
        // WHATWG hosts may hold `;` and `,`, which would end a directive or the whole policy.
        Some(Host::Domain(name)) => name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.'),
        Some(Host::Ipv6(_)) | None => false,
    };
    (matches!(url.scheme(), "https" | "http") && writable).then(|| url.origin().ascii_serialization())
}

/// The source from which the browser loads a client's logo: its origin, where the policy can name it.
///
/// The browser fetches it, without a referrer, and not we: what a stranger names would have to be fetched, judged and kept
/// here, and served under our own origin. What its host learns by it, that somebody is at the door, it learns from the
/// client anyway.
pub fn picture_source(logo: &str) -> Option<String> {
    if logo.starts_with("data:image/") {
        return Some("data:".to_owned());
    }
    source(&Url::parse(logo).ok()?).filter(|origin| origin.starts_with("https://"))
}

/// What is told where a page's own forms and links lead: everything to ourselves, nothing to others. (`no-referrer` would
/// make the `Origin` of our own forms `null`.)
pub(super) const OWN_REFERRER: &str = "same-origin";

/// Of the page that posts an answer to the relying party: who sends it, without the address of the page. `same-origin` makes
/// the form's `Origin` `null` there, which many a framework takes for a forgery, and `strict-origin` does so for an
/// application on a developer's own machine, which has no TLS.
pub(super) const ISSUER_REFERRER: &str = "origin";

/// What the script of a page may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    /// There is none.
    None,
    Runs,
    /// It calls this server.
    Calls,
}

/// The policy of one page; `picture` is a source from [`picture_source`], each of `frames` one from [`source`]. Our own
/// style sheet carries its pictures inline.
pub(super) fn content_security_policy(
    script: Script,
    targets: FormTargets,
    picture: Option<&str>,
    frames: &BTreeSet<String>,
) -> String {
    let picture = picture.filter(|source| *source != "data:");
    let frames = frames.iter().fold(String::new(), |all, frame| all + " " + frame);
    format!(
        "default-src 'none'; style-src 'self'; img-src 'self' data:{}{}; font-src 'self'; script-src {}{}{}{frames}; \
         frame-ancestors 'none'; base-uri 'none'",
        if picture.is_some() { " " } else { "" },
        picture.unwrap_or_default(),
        match script {
            Script::None => "'none'",
            Script::Runs => "'self'",
            Script::Calls => "'self'; connect-src 'self'",
        },
        targets.directive(),
        if frames.is_empty() { "" } else { "; frame-src" },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_a_source_where_the_policy_can_name_it() {
        let named = |url: &str| source(&Url::parse(url).unwrap());
        for (url, origin) in [
            ("https://rp.example/callback?x=1", "https://rp.example"),
            ("https://RP.example:443/", "https://rp.example"),
            // Nothing in it can end a directive of the policy.
            ("https://rp.example/;script-src", "https://rp.example"),
            ("https://rp.example:8443/callback", "https://rp.example:8443"),
            ("http://127.0.0.1:49152/cb", "http://127.0.0.1:49152"),
            ("http://localhost:9000/cb", "http://localhost:9000"),
            ("https://bücher.example/", "https://xn--bcher-kva.example"),
        ] {
            assert_eq!(named(url).as_deref(), Some(origin));
        }
        for url in [
            "com.example.app:/callback",
            "com.example.app://host/cb",
            "https://10.0.0.1/cb",
            "http://[::1]:8080/cb",
            "https://a;script-src/cb",
            "https://a,b/cb",
        ] {
            assert_eq!(named(url), None, "{url}");
        }
    }

    #[test]
    fn a_logo_is_loaded_from_its_own_origin_or_not_at_all() {
        let from = |logo: &str| picture_source(logo);
        assert_eq!(from("https://cdn.example:8443/a.png?x").as_deref(), Some("https://cdn.example:8443"));
        assert_eq!(from("data:image/png;base64,AA").as_deref(), Some("data:"));
        for other in
            ["http://cdn.example/a.png", "https://a;script-src/", "https://[::1]/a.png", "data:text/html,x", ""]
        {
            assert_eq!(from(other), None, "{other}");
        }
    }

    #[test]
    fn our_own_style_sheet_may_show_what_it_carries() {
        let sheet = include_str!("../../../templates/assets/mooring.css");
        assert!(sheet.contains("url(\"data:image/"), "then the policy need not allow it");
        assert!(
            content_security_policy(Script::None, FormTargets::Own, None, &BTreeSet::new())
                .contains("img-src 'self' data:")
        );
    }

    #[test]
    fn variants() {
        let own = content_security_policy(Script::None, FormTargets::Own, None, &BTreeSet::new());
        assert_eq!(
            own,
            "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; script-src 'none'; \
             form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        let other = content_security_policy(
            Script::Runs,
            FormTargets::Elsewhere,
            Some("https://cdn.example"),
            &BTreeSet::new(),
        );
        assert!(!other.contains("form-action"));
        assert!(other.contains("script-src 'self';"));
        assert!(other.contains("; img-src 'self' data: https://cdn.example;"));
        assert_eq!(content_security_policy(Script::None, FormTargets::Own, Some("data:"), &BTreeSet::new()), own);
    }
}
