//! Keys of clients, fetched from their `jwks_uri` and kept for a while.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;
use serde_json::Value;

use crate::outbound::{Outbound, Unfetched};

/// JWK Sets by URL; can be dropped at any time.
pub struct JwksCache {
    sets: Cache<String, Arc<Value>>,
    /// URLs fetched within the last minute: an unknown key asks for a fresh set, but not more often than that.
    recent: Cache<String, ()>,
}

impl Default for JwksCache {
    fn default() -> Self {
        Self {
            sets: Cache::builder().max_capacity(1000).time_to_live(Duration::from_mins(5)).build(),
            recent: Cache::builder().max_capacity(1000).time_to_live(Duration::from_mins(1)).build(),
        }
    }
}

impl JwksCache {
    /// The set at `uri`. `fresh`: fetch it again, unless that was done within the last minute.
    pub async fn get(&self, outbound: &Outbound, uri: &str, fresh: bool) -> Result<Arc<Value>, Unfetched> {
        if let Some(held) = self.sets.get(uri).await
            && (!fresh || self.recent.contains_key(uri))
        {
            return Ok(held);
        }
        let set = Arc::new(outbound.get_json(uri).await?);
        self.recent.insert(uri.to_owned(), ()).await;
        self.sets.insert(uri.to_owned(), set.clone()).await;
        Ok(set)
    }
}
