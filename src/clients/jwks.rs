//! Keys of clients, fetched from their `jwks_uri` and kept for a while.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::future::Cache;
use serde_json::Value;

use crate::{
    jose::names_known_key,
    outbound::{Outbound, Unfetched},
};

/// How long a set is good.
const GOOD: Duration = Duration::from_mins(5);
/// How soon an unknown key may ask for a fresh set.
const FRESH: Duration = Duration::from_mins(1);
/// How soon a set that could not be fetched is tried again: assertions are not a way to make us call somebody often.
const FAILED: Duration = Duration::from_secs(10);

type Entry = Arc<(Instant, Result<Arc<Value>, Unfetched>)>;

/// JWK Sets by URL; can be dropped at any time.
pub struct JwksCache(Cache<String, Entry>);

impl Default for JwksCache {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(1000).time_to_live(GOOD).build())
    }
}

impl JwksCache {
    /// The set at `uri`. `fresh`: fetch it again, unless that was done within the last minute. Callers at the same time
    /// share one fetch.
    pub async fn get(&self, outbound: &Outbound, uri: &str, fresh: bool) -> Result<Arc<Value>, Unfetched> {
        let fetch = async || Arc::new((Instant::now(), outbound.get_json(uri).await.map(Arc::new)));
        let mut entry = self.0.get_with_by_ref(uri, fetch()).await;
        let outdated = match &entry.1 {
            Ok(_) => fresh && entry.0.elapsed() > FRESH,
            Err(_) => entry.0.elapsed() > FAILED,
        };
        if outdated {
            self.0.invalidate(uri).await;
            entry = self.0.get_with_by_ref(uri, fetch()).await;
        }
        entry.1.clone()
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
