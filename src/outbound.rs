//! What the server itself fetches or calls. Every such URL came from somebody else, so it is never trusted to lead where
//! it should: not into our own network, not elsewhere by a redirect, not for long, and not for much.
//!
//! Invariant: a connection is made only to an address that was checked; the name is not resolved again in between.

mod kept;
mod special;

use std::{
    fmt, fs,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use reqwest::{
    Certificate, Client, StatusCode, Url,
    dns::{Addrs, Name, Resolve, Resolving},
    redirect,
};
use serde_json::Value;
use tokio::sync::Semaphore;
use url::Host;

pub use self::kept::Kept;
use crate::{config, failure::Stop, jose::parse_bounded, unicode::octets_without_mark};

/// From the connection to the last octet.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest document that is read, in octets.
const LONGEST: usize = 64 << 10;
/// The most values, arrays and objects included, of a JSON document: a hundred keys with all their members.
const MOST_ELEMENTS: usize = 4096;
/// Names resolved at once. Each takes a thread of those on which passwords are checked, for as long as somebody's name
/// server lets it wait.
const LOOKUPS: usize = 64;

/// The one way out; cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    https: Client,
    /// For `http`, which only allowed networks are asked by.
    http: Client,
    allow: Arc<[IpNet]>,
}

/// Why a fetch did not succeed; for the log, never for the caller.
#[derive(Clone, Debug)]
pub struct Unfetched(pub String);

impl fmt::Display for Unfetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unfetched {}

/// Why a form was not taken.
#[derive(Clone, Debug)]
pub enum Unsent {
    /// It may not be sent there at all; trying again changes nothing.
    Blocked(Unfetched),
    /// Not this time.
    Failed(Unfetched),
}

impl Unfetched {
    fn because(why: impl fmt::Display) -> Self {
        Self(why.to_string())
    }

    /// With what it came of: the library's own words end where the cause begins.
    fn of(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut said = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            said = format!("{said}: {inner}");
            cause = inner.source();
        }
        Self(said)
    }
}

/// The further certificate authorities.
pub fn read_trust(settings: &config::Outbound) -> Result<Vec<Certificate>, Stop> {
    let mut trusted = Vec::new();
    for file in &settings.trust {
        let unusable = |error: &dyn fmt::Display| {
            Stop::new(format_args!("outbound.trust: {}: {error}", file.display()))
                .mend("name files of certificates in PEM that this user may read")
        };
        let pem = fs::read(file).map_err(|error| unusable(&error))?;
        let bundle = Certificate::from_pem_bundle(octets_without_mark(&pem)).map_err(|error| unusable(&error))?;
        if bundle.is_empty() {
            return Err(unusable(&"there is no certificate in it"));
        }
        trusted.extend(bundle);
    }
    Ok(trusted)
}

impl Outbound {
    pub fn new(settings: &config::Outbound) -> Result<Self, Stop> {
        let allow: Arc<[IpNet]> = settings.allow.as_slice().into();
        let trusted = read_trust(settings)?;
        let lookups = Arc::new(Semaphore::new(LOOKUPS));
        let client = |only_allowed| {
            Client::builder()
                .redirect(redirect::Policy::none())
                .no_proxy()
                .referer(false)
                .timeout(PATIENCE)
                .user_agent(concat!("mooring/", env!("CARGO_PKG_VERSION")))
                .dns_resolver(Checked { allow: allow.clone(), only_allowed, lookups: lookups.clone() })
        };
        let mut https = client(false).https_only(true);
        if !trusted.is_empty() {
            https = https.tls_certs_merge(trusted);
        }
        let failed = |error: reqwest::Error| Stop::new(format_args!("[outbound]: {}", Unfetched::of(error)));
        Ok(Self {
            https: https.build().map_err(failed)?,
            // It speaks no TLS, so it need not read the system's authorities.
            http: client(true).tls_certs_only([]).build().map_err(failed)?,
            allow,
        })
    }

    /// Fetches a JSON document of at most 64 KiB and 4,096 values.
    pub async fn get_json(&self, url: &str) -> Result<Value, Unfetched> {
        let body = self.get(url, "application/json").await?;
        parse_bounded(&body, MOST_ELEMENTS)
            .map_err(|error| Unfetched::because(format_args!("the answer is not JSON: {error}")))
    }

    /// Fetches a text of at most 64 KiB, of this media type or another.
    pub async fn get_text(&self, url: &str, media_type: &str) -> Result<String, Unfetched> {
        let body = self.get(url, media_type).await?;
        String::from_utf8(body).map_err(|_| Unfetched::because("the answer is not UTF-8"))
    }

    async fn get(&self, url: &str, media_type: &str) -> Result<Vec<u8>, Unfetched> {
        let url = Url::parse(url).map_err(|error| Unfetched::because(format_args!("not a URL: {error}")))?;
        let client = self.client_for(&url)?;
        let mut answer =
            client.get(url).header(reqwest::header::ACCEPT, media_type).send().await.map_err(Unfetched::of)?;
        if answer.status() != StatusCode::OK {
            return Err(Unfetched::because(format_args!("the answer is {}", answer.status())));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(Unfetched::of)? {
            if body.len() + chunk.len() > LONGEST {
                return Err(Unfetched::because(format_args!("the answer is longer than {LONGEST} octets")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// Posts a form; done when the answer is 200 or 204. Nothing else of the answer is read.
    pub async fn post_form(&self, url: &str, form: &[(&str, &str)]) -> Result<(), Unsent> {
        let not_a_url = |error| Unsent::Blocked(Unfetched::because(format_args!("not a URL: {error}")));
        let url = Url::parse(url).map_err(not_a_url)?;
        let client = self.client_for(&url).map_err(Unsent::Blocked)?;
        let answer = client.post(url).form(form).send().await.map_err(|error| {
            let blocked = Unreachable::is_behind(&error);
            let why = Unfetched::of(error);
            if blocked { Unsent::Blocked(why) } else { Unsent::Failed(why) }
        })?;
        match answer.status() {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(()),
            other => Err(Unsent::Failed(Unfetched::because(format_args!("the answer is {other}")))),
        }
    }

    /// Who may ask this URL, if anybody. Names are checked when they are resolved; an address that stands in the URL
    /// is not resolved, so it is checked here.
    fn client_for(&self, url: &Url) -> Result<&Client, Unfetched> {
        let (client, only_allowed) = match url.scheme() {
            "https" => (&self.https, false),
            "http" => (&self.http, true),
            other => return Err(Unfetched::because(format_args!("the scheme {other} is not for us"))),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Unfetched::because("a URL with a password is not for us"));
        }
        let literal = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            Some(Host::Domain(_)) => None,
            None => return Err(Unfetched::because("the URL has no host")),
        };
        match literal {
            Some(address) if !may_reach(address, &self.allow, only_allowed) => {
                Err(Unfetched::because(format_args!("{address} may not be reached: see outbound.allow")))
            }
            _ => Ok(client),
        }
    }
}

/// Whether a connection may go there: into the allowed networks always, elsewhere only to ordinary addresses, and with
/// `only_allowed` not at all.
fn may_reach(address: IpAddr, allow: &[IpNet], only_allowed: bool) -> bool {
    // `::ffff:10.0.0.1` is 10.0.0.1 to the kernel.
    let address = address.to_canonical();
    allow.iter().any(|net| net.contains(&address)) || !(only_allowed || special::is_special(address))
}

/// A name with no address that may be reached.
#[derive(Debug)]
struct Unreachable(String);

impl fmt::Display for Unreachable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} has no address that may be reached: see outbound.allow", self.0)
    }
}

impl std::error::Error for Unreachable {}

impl Unreachable {
    fn is_behind(error: &reqwest::Error) -> bool {
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            if inner.is::<Self>() {
                return true;
            }
            cause = inner.source();
        }
        false
    }
}

/// Resolves names to the addresses that may be reached.
struct Checked {
    allow: Arc<[IpNet]>,
    only_allowed: bool,
    lookups: Arc<Semaphore>,
}

impl Resolve for Checked {
    fn resolve(&self, name: Name) -> Resolving {
        let (allow, only_allowed, lookups) = (self.allow.clone(), self.only_allowed, self.lookups.clone());
        Box::pin(async move {
            let permit = lookups.acquire_owned().await?;
            let host = name.as_str().to_owned();
            // A task: it ends when the resolver does, not when nobody waits any more, and keeps its permit until then.
            let lookup = tokio::spawn(async move {
                // The port is the URL's: the connector puts it in.
                let found = tokio::net::lookup_host((name.as_str(), 0)).await.map(Vec::from_iter);
                drop(permit);
                found
            });
            let reachable: Vec<SocketAddr> =
                lookup.await??.into_iter().filter(|address| may_reach(address.ip(), &allow, only_allowed)).collect();
            if reachable.is_empty() {
                return Err(Box::<dyn std::error::Error + Send + Sync>::from(Unreachable(host)));
            }
            Ok(Box::new(reachable.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
