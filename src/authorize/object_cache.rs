//! Request objects by reference (OIDC Core §6.2, RFC 9101 §5.2), fetched and, where their URI allows it, kept for a while.

use std::{sync::Arc, time::Duration};

use moka::future::Cache;

use crate::outbound::{Outbound, Unfetched};

/// RFC 9101 §5.2.3, and what OpenID Connect has.
const MEDIA_TYPES: &str = "application/oauth-authz-req+jwt, application/jwt";
const GOOD: Duration = Duration::from_mins(5);

type Entry = Arc<Result<String, Unfetched>>;

/// Objects by URI; can be dropped at any time.
pub struct ObjectCache(Cache<String, Entry>);

impl Default for ObjectCache {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(500).time_to_live(GOOD).build())
    }
}

impl ObjectCache {
    /// The object at `uri`. OIDC Core §6.2: a fragment changes with the contents, so what has one may be kept; what has
    /// none may change at any time. Callers at the same time share one fetch.
    pub async fn get(&self, outbound: &Outbound, uri: &str) -> Result<String, Unfetched> {
        let fetch = async || {
            let fetched = outbound.get_text(uri, MEDIA_TYPES).await;
            Arc::new(fetched.map(|text| text.trim_ascii().to_owned()))
        };
        let entry = self.0.get_with_by_ref(uri, fetch()).await;
        if entry.is_err() || !uri.contains('#') {
            self.0.invalidate(uri).await;
        }
        Result::clone(&entry)
    }
}
