//! Documents that were fetched, kept for a while by their URL; can be dropped at any time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use moka::future::Cache;
use serde_json::Value;

use super::Unfetched;

/// How long a document is kept.
const GOOD: Duration = Duration::from_mins(5);

/// What came of a fetch. A text is kept as a JSON string.
pub struct Fetched {
    pub at: Instant,
    pub document: Result<Arc<Value>, Unfetched>,
}

/// One type of documents, and of what fetches them, serves all: the cache's code is large, and each type has its own.
pub struct Kept(Cache<String, Arc<Fetched>>);

impl Kept {
    /// Keeps at most so many.
    pub fn new(documents: u64) -> Self {
        Self(Cache::builder().max_capacity(documents).time_to_live(GOOD).build())
    }

    /// The document at `url`, fetched unless it is kept. Callers at the same time share one fetch.
    pub async fn get(&self, url: &str, fetch: impl Future<Output = Result<Value, Unfetched>> + Send) -> Arc<Fetched> {
        let fetch: BoxFuture<'_, _> =
            async { Arc::new(Fetched { at: Instant::now(), document: fetch.await.map(Arc::new) }) }.boxed();
        self.0.get_with_by_ref(url, fetch).await
    }

    pub async fn forget(&self, url: &str) {
        self.0.invalidate(url).await;
    }
}
