//! Telling the server what was done with a token, so that whoever watches a privileged session sees the work.

use serde_json::json;

use super::{AccessToken, ResourceServer, Unavailable};

/// What was done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Work<'a> {
    /// Such as `payment.create`; at most 128 bytes.
    pub action: &'a str,
    /// To what; at most 512 bytes.
    pub object: Option<&'a str>,
    /// Such as `done` or `refused`; at most 64 bytes.
    pub outcome: Option<&'a str>,
    /// By which name one's own log knows it; at most 128 bytes.
    pub trace_id: Option<&'a str>,
}

impl ResourceServer {
    /// Reports what was done with a token that was validated here. What it was done for should not wait for this, nor fail
    /// with it, unless work that nobody sees must not be done.
    pub async fn report(&self, token: &AccessToken, work: &Work<'_>) -> Result<(), Unavailable> {
        let Some(credentials) = &self.credentials else {
            return Err(Unavailable("whoever reports must have shown who it is: use reporting_as".to_owned()));
        };
        let body = json!({
            "token": token.presented.0, "action": work.action, "object": work.object, "outcome": work.outcome,
            "trace_id": work.trace_id,
        });
        let url = format!("{}/hub/api/v1/sessions/events", self.issuer.trim_end_matches('/'));
        let request = credentials.authenticate(self.http.post(url)).json(&body);
        request.send().await?.error_for_status()?;
        Ok(())
    }
}
