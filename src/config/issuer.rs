//! The public URL of the server, by which relying parties know it.
//!
//! Invariant: `https`, or on a loopback name; no query, no fragment (RFC 8414 §2, OIDC Discovery §3), and a path that
//! every router and browser reads the same way. Clients compare the issuer as text, so a trailing slash that the operator
//! wrote is part of it (people who come from Auth0 or authentik have one); other addresses are built without it.

use std::fmt;

use url::Url;

use crate::oauth::client_metadata::is_loopback;

/// The issuer identifier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// The identifier, with its trailing slash if the operator wrote one.
    text: String,
    /// The same without a trailing slash: what other addresses begin with.
    base: String,
    origin: String,
    host: String,
    is_loopback: bool,
    port: Option<u16>,
}

impl Issuer {
    /// Takes a URL as a person writes it; the error says what would do instead.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text).map_err(|_| "write an absolute URL, as in https://id.example")?;
        let Some(host) = url.host() else { return Err("write an https URL with a host, as in https://id.example") };
        if text.contains(['?', '#']) {
            return Err("leave out the query and the fragment");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("leave out the user name and password");
        }
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&host) => {}
            "http" => return Err("http is only for localhost and loopback addresses: write https"),
            _ => return Err("write an https URL, as in https://id.example"),
        }
        let base = url.as_str().strip_suffix('/').unwrap_or(url.as_str()).to_owned();
        check_path(url.path())?;
        Ok(Self {
            text: if text.ends_with('/') { format!("{base}/") } else { base.clone() },
            base,
            origin: url.origin().ascii_serialization(),
            host: host.to_string(),
            is_loopback: is_loopback(&host),
            port: url.port(),
        })
    }

    /// As relying parties compare it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The public address of a path that begins with a slash.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// `""`, or `"/tenant"`: never with a trailing slash.
    #[must_use]
    pub fn path(&self) -> &str {
        self.base.get(self.origin.len()..).unwrap_or_default()
    }

    #[must_use]
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https:")
    }

    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.is_loopback
    }

    /// `https://host[:port]`, as browsers write it.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// `None`: the scheme's own.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// Without port; an IPv6 address in brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// Refuses a path that a router, a proxy or a cookie could read in two ways.
fn check_path(path: &str) -> Result<(), &'static str> {
    if path.contains("//") {
        return Err("leave out the empty segment (//) of the path");
    }
    let plain = |octet: u8| octet.is_ascii_alphanumeric() || b"/-._~".contains(&octet);
    if path.bytes().all(plain) { Ok(()) } else { Err("write the path with letters, digits and - . _ ~ only") }
}

impl fmt::Display for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_taken_apart() {
        let issuer = Issuer::parse("https://ID.example:8443/tenant").unwrap();
        assert_eq!(issuer.as_str(), "https://id.example:8443/tenant");
        assert_eq!(issuer.url("/oauth/token"), "https://id.example:8443/tenant/oauth/token");
        assert_eq!((issuer.path(), issuer.host()), ("/tenant", "id.example"));
        assert_eq!(issuer.origin(), "https://id.example:8443");
        assert!(issuer.is_https());
        assert_eq!(issuer.port(), Some(8443));
        assert_eq!(Issuer::parse("https://id.example:443/").unwrap().port(), None);

        let issuer = Issuer::parse("http://[::1]:8080").unwrap();
        assert_eq!((issuer.as_str(), issuer.path(), issuer.host()), ("http://[::1]:8080", "", "[::1]"));
        assert!(!issuer.is_https());
        assert_eq!(Issuer::parse("https://id.example:443").unwrap().as_str(), "https://id.example");
    }

    #[test]
    fn a_trailing_slash_is_part_of_the_issuer_alone() {
        for (written, path) in [("https://id.example/", ""), ("https://id.example/tenant/", "/tenant")] {
            let issuer = Issuer::parse(written).unwrap();
            assert_eq!((issuer.as_str(), issuer.path()), (written, path));
            assert_eq!(issuer.url("/oauth/token"), format!("https://id.example{path}/oauth/token"));
        }
    }

    #[test]
    fn plain_http_is_for_loopback_names_only() {
        for local in
            ["http://localhost:8080", "http://id.localhost", "http://127.0.0.1", "http://127.9.9.9", "http://[::1]"]
        {
            assert!(Issuer::parse(local).is_ok(), "{local}");
        }
        for public in
            ["http://id.example", "http://localhost.example", "http://10.0.0.1", "http://0.0.0.0", "http://[::2]"]
        {
            assert!(Issuer::parse(public).unwrap_err().contains("write https"), "{public}");
        }
    }

    #[test]
    fn what_is_no_issuer_is_refused() {
        for wrong in [
            "",
            "id.example",
            "https://",
            "ftp://id.example",
            "https://id.example?",
            "https://id.example/#x",
            "https://a@b.example",
            "https://id.example/te%20nant",
            "https://id.example/größe",
            "https://id.example/{tenant}",
            "https://id.example//",
            "https://id.example/a//b",
            "https://id.example/a;b",
        ] {
            assert!(Issuer::parse(wrong).is_err(), "{wrong}");
        }
    }
}
