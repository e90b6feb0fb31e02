//! Request objects by reference (OIDC Core §6.2, RFC 9101 §5.2), fetched and, where their URI allows it, kept for a while.

use crate::outbound::{Kept, Outbound, Unfetched};

/// RFC 9101 §5.2.3, and what OpenID Connect has.
const MEDIA_TYPES: &str = "application/oauth-authz-req+jwt, application/jwt";

/// What all objects may take, in octets.
const MEMORY: u64 = 16 << 20;

/// Objects by URI; can be dropped at any time.
pub struct ObjectCache(Kept);

impl Default for ObjectCache {
    fn default() -> Self {
        Self(Kept::new(MEMORY))
    }
}

impl ObjectCache {
    /// The object at `uri`. OIDC Core §6.2: a fragment changes with the contents, so what has one may be kept; what has
    /// none may change at any time. Callers at the same time share one fetch.
    pub async fn get(&self, outbound: &Outbound, uri: &str) -> Result<String, Unfetched> {
        let fetch = async || outbound.get_text(uri, MEDIA_TYPES).await.map(|text| text.trim_ascii().into());
        let found = self.0.get(uri, fetch()).await.document.clone();
        if found.is_err() || !uri.contains('#') {
            self.0.forget(uri).await;
        }
        // Only texts are put in above.
        Ok(found?.as_str().unwrap_or_default().to_owned())
    }
}
