//! Keys of clients, fetched from their `jwks_uri` and kept for a while.

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use crate::{
    jose::{keys_alone, names_known_key},
    outbound::{Kept, Outbound, Unfetched},
};

/// How soon an unknown key may ask for a fresh set.
const FRESH: Duration = Duration::from_mins(1);
/// How soon a set that could not be fetched is tried again: assertions are not a way to make us call somebody often.
const FAILED: Duration = Duration::from_secs(10);

/// What all sets may take, in octets: about 8,000 sets of two keys.
const MEMORY: u64 = 16 << 20;

/// What would mend it, for the operator who reads the log.
#[must_use]
pub fn unfetched(why: &Unfetched) -> String {
    format!("the client's jwks_uri cannot be fetched ({why}): make it reachable from this server")
}

/// JWK Sets by URL; can be dropped at any time.
pub struct JwksCache(Kept);

impl Default for JwksCache {
    fn default() -> Self {
        Self(Kept::new(MEMORY))
    }
}

impl JwksCache {
    /// The set at `uri`. `fresh`: fetch it again, unless that was done within the last minute. Callers at the same time
    /// share one fetch.
    pub async fn get(&self, outbound: &Outbound, uri: &str, fresh: bool) -> Result<Arc<Value>, Unfetched> {
        // Logged where somebody is called, which is rare, and not at each look at what came of it.
        let fetch = async || {
            let fetched = outbound.get_json(uri).await.map(|document| keys_alone(&document));
            fetched.inspect_err(|error| tracing::warn!(%error, uri, "jwks_uri not fetched"))
        };
        let mut kept = self.0.get(uri, fetch()).await;
        let outdated = match &kept.document {
            Ok(_) => fresh && kept.at.elapsed() > FRESH,
            Err(_) => kept.at.elapsed() > FAILED,
        };
        if outdated {
            self.0.forget(uri).await;
            kept = self.0.get(uri, fetch()).await;
        }
        kept.document.clone()
    }

    /// The set at `uri` in which to look for the key that signed `jws`: fetched again where the kept one has none that
    /// fits.
    pub async fn get_for(&self, outbound: &Outbound, uri: &str, jws: &str) -> Result<Arc<Value>, Unfetched> {
        let kept = self.get(outbound, uri, false).await;
        if kept.as_ref().is_ok_and(|keys| !names_known_key(jws, keys)) {
            return self.get(outbound, uri, true).await;
        }
        kept
    }
}
