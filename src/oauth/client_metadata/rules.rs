//! What metadata must fulfil before anything is done with it. The order is that of reading: first what the client
//! is, then where it may be answered, then the rest.

use std::net::Ipv4Addr;

use serde_json::Value;
use url::{Host, Url};

use super::{ApplicationType, AuthMethod, ClientMetadata, Fault, GRANT_TYPES, Introspection, requests, sector};

/// What a client may sign assertions and request objects with (RFC 7523 §3, RFC 9101 §6.2). Symmetric algorithms are
/// absent on purpose: a shared secret is stored hashed here and could not verify anything. Request objects that are not
/// signed at all are a matter of policy.
pub const CLIENT_SIGNATURES: &[&str] =
    &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// A declared secret is as strong as one of ours only if it is long: it is stored under a fast hash.
const SECRET_LENGTH: usize = 32;

/// Longer URIs than this cannot be sent in a request either.
const URI_LENGTH: usize = 2048;

/// Names and contacts.
const TEXT_LENGTH: usize = 255;

/// Schemes that are not an application's own: they run something, reach a file, or belong to the browser. Those that begin so
/// are in [`FOREIGN_BEGINNINGS`].
const FOREIGN_SCHEMES: &[&str] = &[
    "about",
    "afp",
    "android-app",
    "blob",
    "brave",
    "callto",
    "chrome",
    "cid",
    "cifs",
    "content",
    "data",
    "dav",
    "davs",
    "devtools",
    "edge",
    "facetime",
    "file",
    "filesystem",
    "ftp",
    "ftps",
    "git",
    "intent",
    "jar",
    "javascript",
    "ldap",
    "ldaps",
    "livescript",
    "mailto",
    "market",
    "mid",
    "moz-extension",
    "news",
    "nfs",
    "nntp",
    "opera",
    "rdp",
    "resource",
    "sftp",
    "shell",
    "sip",
    "sips",
    "smb",
    "sms",
    "ssh",
    "tel",
    "telnet",
    "urn",
    "vbscript",
    "view-source",
    "vnc",
    "ws",
    "wss",
];

/// How schemes of operating systems, browsers and version control begin.
const FOREIGN_BEGINNINGS: &[&str] = &[
    "chrome",
    "firefox",
    "git+",
    "googlechrome",
    "itms",
    "jnlp",
    "microsoft-",
    "ms-",
    "search",
    "svn",
    "web+",
    "webcal",
    "windows",
    "x-apple",
    "x-help",
    "x-safari",
];

/// Members of a JWK that no public key has (RFC 7518 §6.2.2, §6.3.2, §6.4).
const PRIVATE_MEMBERS: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

pub(super) fn check(client: &ClientMetadata) -> Result<(), Fault> {
    identity(client)?;
    flows(client)?;
    keys(client)?;
    redirects(client)?;
    links(client)?;
    sector::check(client)?;
    requests::check(client)?;
    if let Some(scope) = &client.scope
        && let Some(wrong) = scope.split(' ').find(|token| !token.is_empty() && !is_scope_token(token))
    {
        return Err(Fault::new("scope", format!("{wrong} is not a scope (RFC 6749 section 3.3)")));
    }
    if client.introspection == Introspection::Any && client.is_public() {
        return Err(Fault::new("introspection", "any is only for a client that authenticates"));
    }
    Ok(())
}

fn identity(client: &ClientMetadata) -> Result<(), Fault> {
    // RFC 6749 appendix A.1 and A.2: both are of the printable ASCII characters.
    let printable = |text: &str| text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if let Some(id) = &client.client_id
        && (id.is_empty() || id.len() > 255 || !printable(id))
    {
        return Err(Fault::new("client_id", "must be 1 to 255 printable ASCII characters"));
    }
    for (member, text) in client
        .client_name
        .iter()
        .map(|name| ("client_name", name))
        .chain(client.contacts.iter().map(|it| ("contacts", it)))
    {
        // They are shown to people: a line break or a page of text is no name.
        if text.chars().count() > TEXT_LENGTH || text.chars().any(|c| c.is_control() || turns(c)) {
            return Err(Fault::new(
                member,
                format!("must be at most {TEXT_LENGTH} characters, none of them a control"),
            ));
        }
    }
    let method = client.auth_method();
    match &client.client_secret {
        Some(_) if !method.uses_secret() => {
            let problem = format!("has no use with token_endpoint_auth_method {}: leave it out", method.as_str());
            Err(Fault::new("client_secret", problem))
        }
        Some(secret) if secret.len() < SECRET_LENGTH || !printable(secret) => {
            Err(Fault::new("client_secret", format!("must be at least {SECRET_LENGTH} printable ASCII characters")))
        }
        _ => Ok(()),
    }
}

/// Whether the character makes what stands around it read in another order (Unicode Standard Annex 9, §2.1 to §2.4): a
/// name with one of them is not the one that is seen.
fn turns(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn flows(client: &ClientMetadata) -> Result<(), Fault> {
    if client.grant_types.is_empty() {
        return Err(Fault::new("grant_types", "must not be empty"));
    }
    if let Some(other) = client.grant_types.iter().find(|grant| !GRANT_TYPES.contains(&grant.as_str())) {
        return Err(Fault::new("grant_types", format!("{other} is not one of {}", GRANT_TYPES.join(", "))));
    }
    if let Some(other) = client.response_types.iter().find(|response| *response != "code") {
        return Err(Fault::new("response_types", format!("{other} is not supported, only code is")));
    }
    if client.has_grant("authorization_code") && client.response_types.is_empty() {
        // RFC 7591 §2.1: the two go together.
        return Err(Fault::new("response_types", "must be code with the grant type authorization_code"));
    }
    // RFC 6749 §4.4: this grant is for confidential clients only.
    if client.is_public() && client.has_grant("client_credentials") {
        return Err(Fault::new("grant_types", "client_credentials needs a token_endpoint_auth_method other than none"));
    }
    // RFC 9700 §2.1.1: public clients must use PKCE.
    if client.is_public() && !client.require_pkce {
        return Err(Fault::new("require_pkce", "false is only for a client that authenticates"));
    }
    Ok(())
}

fn keys(client: &ClientMetadata) -> Result<(), Fault> {
    // RFC 7591 §2: they MUST NOT both be present.
    if client.jwks.is_some() && client.jwks_uri.is_some() {
        return Err(Fault::new("jwks", "stands instead of jwks_uri, not beside it"));
    }
    if client.auth_method() == AuthMethod::PrivateKeyJwt && client.jwks.is_none() && client.jwks_uri.is_none() {
        return Err(Fault::new("jwks", "or jwks_uri is required with private_key_jwt"));
    }
    if let Some(algorithm) = &client.token_endpoint_auth_signing_alg
        && !CLIENT_SIGNATURES.contains(&algorithm.as_str())
    {
        let problem = format!("{algorithm} is not one of {}", CLIENT_SIGNATURES.join(", "));
        return Err(Fault::new("token_endpoint_auth_signing_alg", problem));
    }
    client.jwks.as_ref().map_or(Ok(()), |jwks| public_keys(jwks).map_err(|problem| Fault::new("jwks", problem)))
}

fn public_keys(jwks: &Value) -> Result<(), &'static str> {
    let keys = jwks
        .get("keys")
        .and_then(Value::as_array)
        .ok_or("must be an object with an array keys (RFC 7517 section 5)")?;
    if keys.is_empty() {
        return Err("must hold at least one key");
    }
    for key in keys {
        let kind = key.get("kty").and_then(Value::as_str).ok_or("has a key without kty")?;
        if kind == "oct" || PRIVATE_MEMBERS.iter().any(|member| key.get(member).is_some()) {
            return Err("must hold public keys only; treat the one sent as compromised");
        }
        if !["RSA", "EC", "OKP"].contains(&kind) {
            return Err("has a key whose kty is not RSA, EC or OKP");
        }
    }
    Ok(())
}

fn redirects(client: &ClientMetadata) -> Result<(), Fault> {
    if client.has_grant("authorization_code") && client.redirect_uris.is_empty() {
        return Err(Fault::new("redirect_uris", "must not be empty with the grant type authorization_code"));
    }
    for (member, uris) in
        [("redirect_uris", &client.redirect_uris), ("post_logout_redirect_uris", &client.post_logout_redirect_uris)]
    {
        for uri in uris {
            redirect(uri, client.application_type)
                .map_err(|problem| Fault::new(member, format!("{}: {problem}", shortened(uri))))?;
        }
    }
    Ok(())
}

/// A place to which a browser may be sent with an answer.
fn redirect(uri: &str, application: ApplicationType) -> Result<(), &'static str> {
    // RFC 9700 §2.1: compared as text, so it would match nothing but itself.
    if uri.contains('*') {
        return Err("has a *, which stands for nothing here: write out each URI");
    }
    let url = absolute(uri)?;
    match url.scheme() {
        "https" => Ok(()),
        // RFC 8252 §7.3 and §8.3; OAuth 2.1 allows plain HTTP nowhere else.
        "http" if url.host().is_some_and(|host| is_loopback(&host)) => Ok(()),
        "http" => Err("http is only for localhost and loopback addresses; write https"),
        scheme if is_foreign(scheme) => Err("this scheme cannot lead back to an application"),
        _ if url.path().is_empty() && !url.has_host() => Err("names nothing after the scheme"),
        // RFC 8252 §7.1: a private-use scheme is a domain name in reverse, so it has a dot.
        scheme if scheme.contains('.') || application == ApplicationType::Native => Ok(()),
        _ => Err("a custom scheme without a dot is only for application_type native"),
    }
}

/// Whether the scheme leads to the system or the browser. A scheme with a dot is a domain name in reverse, and its owner's.
fn is_foreign(scheme: &str) -> bool {
    FOREIGN_SCHEMES.contains(&scheme)
        || !scheme.contains('.') && FOREIGN_BEGINNINGS.iter().any(|beginning| scheme.starts_with(beginning))
}

fn links(client: &ClientMetadata) -> Result<(), Fault> {
    let shown = [
        ("client_uri", &client.client_uri),
        ("logo_uri", &client.logo_uri),
        ("policy_uri", &client.policy_uri),
        ("tos_uri", &client.tos_uri),
    ];
    for (member, uri) in shown {
        let Some(uri) = uri else { continue };
        let url = absolute_or_web(uri).map_err(|problem| Fault::new(member, problem))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Fault::new(member, "must be an https or http URL"));
        }
    }
    let called = [
        ("jwks_uri", &client.jwks_uri),
        ("sector_identifier_uri", &client.sector_identifier_uri),
        ("backchannel_logout_uri", &client.backchannel_logout_uri),
        ("frontchannel_logout_uri", &client.frontchannel_logout_uri),
    ];
    for (member, uri) in called {
        if let Some(uri) = uri {
            secure(uri).map_err(|problem| Fault::new(member, problem))?;
        }
    }
    // OIDC Registration §2: it MUST use the https scheme, on this machine too.
    if let Some(uri) = &client.initiate_login_uri
        && absolute(uri).map_err(|problem| Fault::new("initiate_login_uri", problem))?.scheme() != "https"
    {
        return Err(Fault::new("initiate_login_uri", "must be an https URL"));
    }
    // OIDC Front-Channel Logout 1.0 §2: same scheme, host and port as a redirection URI.
    if let Some(uri) = &client.frontchannel_logout_uri
        && !client.redirect_uris.iter().any(|redirect| origin(redirect).is_some_and(|of| Some(of) == origin(uri)))
    {
        return Err(Fault::new("frontchannel_logout_uri", "must have the origin of one of the redirect_uris"));
    }
    // CSP Level 3, "host-part matches": no page can be allowed to frame other addresses.
    if let Some(uri) = &client.frontchannel_logout_uri
        && !absolute(uri).is_ok_and(|url| match url.host() {
            Some(Host::Domain(_)) => true,
            Some(Host::Ipv4(address)) => address == Ipv4Addr::LOCALHOST,
            _ => false,
        })
    {
        return Err(Fault::new(
            "frontchannel_logout_uri",
            "must name its host, or 127.0.0.1: no page can frame others",
        ));
    }
    for allowed in &client.allowed_origins {
        web_origin(allowed).map_err(|problem| Fault::new("allowed_origins", problem))?;
    }
    Ok(())
}

/// `https`, or `http` on this machine.
pub(super) fn secure(uri: &str) -> Result<(), &'static str> {
    let url = absolute(uri)?;
    let loopback = url.host().is_some_and(|host| is_loopback(&host));
    if url.scheme() == "https" || (url.scheme() == "http" && loopback) {
        Ok(())
    } else {
        Err("must be an https URL (http only on localhost and loopback addresses)")
    }
}

/// An absolute URI in the characters of RFC 3986, without fragment and without credentials.
fn absolute(uri: &str) -> Result<Url, &'static str> {
    // RFC 6749 §3.1.2: the endpoint URI must not include a fragment component.
    if uri.contains('#') {
        return Err("must not have a fragment");
    }
    absolute_or_web(uri)
}

pub(super) fn absolute_or_web(uri: &str) -> Result<Url, &'static str> {
    if uri.len() > URI_LENGTH {
        return Err("is longer than 2048 characters");
    }
    // The parser would drop or rewrite these, and what is compared later is the text, not the parsed form.
    if !uri.bytes().all(|byte| byte.is_ascii_graphic() && !br#""<>\^`{|}"#.contains(&byte)) {
        return Err("has characters that no URI has (RFC 3986); percent-encode them");
    }
    let url = Url::parse(uri).map_err(|_| "is not an absolute URI")?;
    if matches!(url.scheme(), "http" | "https") {
        let rest = uri.get(url.scheme().len()..).unwrap_or_default();
        if !rest.starts_with("://") || rest.starts_with(":///") {
            return Err("must have a host after ://");
        }
        if url.host_str().is_none_or(|host| host.contains('*')) {
            return Err("must name one host, without wildcards");
        }
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not carry a user name or password");
    }
    Ok(url)
}

/// An origin as the `Origin` header names it (RFC 6454 §6.2): of a page on the web, or of a web view or browser extension,
/// whose pages have a scheme of their own (`capacitor://localhost`, `chrome-extension://…`).
fn web_origin(allowed: &str) -> Result<(), String> {
    // Fetch: their pages have the origin `null`, which any page can have; or they are no pages.
    const WITHOUT_ORIGIN: &[&str] = &["about", "blob", "data", "file", "filesystem", "ftp", "javascript", "ws", "wss"];
    let url = absolute(allowed)?;
    if matches!(url.scheme(), "http" | "https") {
        secure(allowed)?;
    } else if WITHOUT_ORIGIN.contains(&url.scheme()) {
        return Err(format!("{}: pages have no origin of their own there", shortened(allowed)));
    }
    match origin(allowed).or_else(|| own_scheme_origin(&url)) {
        Some(origin) if origin == allowed => Ok(()),
        Some(origin) => Err(format!("{} is not an origin: write {origin}", shortened(allowed))),
        None => Err(format!("{} is not an origin: write it as in https://app.example", shortened(allowed))),
    }
}

/// The origin of a page with a scheme of its own: browsers do not change the letters of its host.
fn own_scheme_origin(url: &Url) -> Option<String> {
    let host = url.host_str()?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.is_empty() || !host.chars().all(is_plain) {
        return None;
    }
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{host}{port}", url.scheme()))
}

fn origin(uri: &str) -> Option<String> {
    let origin = Url::parse(uri).ok()?.origin();
    origin.is_tuple().then(|| origin.ascii_serialization())
}

pub(super) fn shortened(uri: &str) -> &str {
    uri.get(..120).unwrap_or(uri)
}

/// Whether a host can only be this machine: `localhost`, a name under it (RFC 6761 §6.3), or a loopback address.
#[must_use]
pub fn is_loopback(host: &Host<&str>) -> bool {
    match host {
        Host::Domain(name) => *name == "localhost" || name.ends_with(".localhost"),
        Host::Ipv4(address) => address.is_loopback(),
        Host::Ipv6(address) => address.is_loopback(),
    }
}

/// `scope-token` of RFC 6749 §3.3.
#[must_use]
pub fn is_scope_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e))
}
