//! Settings that are understood and not honoured yet: told, so that nobody relies on them.

use crate::{config::Config, oauth::ClientMetadata};

/// Warns of what nothing acts on.
pub fn check(config: &Config) {
    for client in &config.clients {
        tell(client);
    }
}

/// Warns of members of a registration that nothing acts on.
fn tell(client: &ClientMetadata) {
    let members = [(client.frontchannel_logout_uri.is_some(), "frontchannel_logout_uri")];
    for (_, member) in members.iter().filter(|(set, _)| *set) {
        tracing::warn!(client = client.client_id.as_deref(), member, "this version does not act on it yet");
    }
}
