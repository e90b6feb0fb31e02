//! Documents that were fetched, kept for a while by their URL; can be dropped at any time.
//!
//! The bound is a weight in octets, not a number of documents: others choose how large each one is.

use std::{
    mem::size_of,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{FutureExt, future::BoxFuture};
use moka::future::Cache;
use serde_json::Value;

use super::Unfetched;

/// How long a document is kept.
const GOOD: Duration = Duration::from_mins(5);

/// What an entry takes beside its document: the cache's own nodes, and what is shared.
const ENTRY: usize = 512;

/// What came of a fetch. A text is kept as a JSON string.
pub struct Fetched {
    pub at: Instant,
    pub document: Result<Arc<Value>, Unfetched>,
    weight: u32,
}

/// One type of documents, and of what fetches them, serves all: the cache's code is large, and each type has its own.
pub struct Kept(Cache<String, Arc<Fetched>>);

impl Kept {
    /// Keeps at most about so many octets.
    pub fn new(octets: u64) -> Self {
        let weight = |_: &String, fetched: &Arc<Fetched>| fetched.weight;
        Self(Cache::builder().weigher(weight).max_capacity(octets).time_to_live(GOOD).build())
    }

    /// The document at `url`, fetched unless it is kept. Callers at the same time share one fetch.
    pub async fn get(&self, url: &str, fetch: impl Future<Output = Result<Value, Unfetched>> + Send) -> Arc<Fetched> {
        let url_length = url.len();
        let fetch: BoxFuture<'_, _> = async move {
            let document = fetch.await;
            let own = document.as_ref().map_or_else(|unfetched| unfetched.0.len(), octets);
            let weight = u32::try_from(ENTRY + url_length + own).unwrap_or(u32::MAX);
            Arc::new(Fetched { at: Instant::now(), document: document.map(Arc::new), weight })
        }
        .boxed();
        self.0.get_with_by_ref(url, fetch).await
    }

    pub async fn forget(&self, url: &str) {
        self.0.invalidate(url).await;
    }
}

/// How many octets of memory a value takes, not less than it does.
fn octets(value: &Value) -> usize {
    /// Members that fit into a node of a map; a node is at least half full, but for the only one.
    const NODE: usize = 11;
    let own = size_of::<Value>();
    own + match value {
        Value::String(text) => text.capacity(),
        Value::Array(list) => (list.capacity() - list.len()) * own + list.iter().map(octets).sum::<usize>(),
        Value::Object(members) => {
            let nodes = members.len().div_ceil(NODE / 2);
            let names = members.iter().map(|(name, value)| name.capacity() + octets(value)).sum::<usize>();
            names + nodes * NODE * (size_of::<String>() + own)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn documents_are_bounded_by_their_weight() {
        let kept = Kept::new(1 << 20);
        for n in 0..400 {
            let document = json!({ "keys": vec![json!({ "kty": "EC" }); 50] });
            let fetched = kept.get(&format!("https://{n}.example/jwks"), async { Ok(document) }).await;
            assert!(fetched.weight > 50 * 600, "{}", fetched.weight);
        }
        kept.0.run_pending_tasks().await;
        assert!(kept.0.weighted_size() <= 1 << 20, "{}", kept.0.weighted_size());
        assert!((1..400).contains(&kept.0.entry_count()), "{}", kept.0.entry_count());
    }

    #[test]
    fn a_value_weighs_what_it_takes() {
        assert!(octets(&json!("x".repeat(1000))) >= 1000);
        assert!(octets(&json!([[0], [0]])) >= 5 * size_of::<Value>());
        // The smallest object with a member takes a whole node.
        assert!(octets(&json!({ "": 0 })) > 500);
    }
}
