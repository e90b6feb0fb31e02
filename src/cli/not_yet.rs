//! Settings that are understood and not honoured yet: refused where ignoring them would be unsafe, told where it is not.

use crate::{config::Config, failure::Stop, oauth::ClientMetadata};

/// Stops a start that relies on what is not there.
pub fn check(config: &Config) -> Result<(), Stop> {
    let relied_on = [
        (config.request_objects.by_reference, "request_objects.by_reference", "false"),
        (config.request_objects.unsigned, "request_objects.unsigned", "false"),
    ];
    if let Some((_, key, only)) = relied_on.iter().find(|(set, ..)| *set) {
        return Err(Stop::new(format_args!("{key}: this version has only {only}")).mend("leave it out"));
    }
    for client in &config.clients {
        tell(client);
    }
    Ok(())
}

/// Warns of members of a registration that nothing acts on.
pub fn tell(client: &ClientMetadata) {
    let members = [(client.frontchannel_logout_uri.is_some(), "frontchannel_logout_uri")];
    for (_, member) in members.iter().filter(|(set, _)| *set) {
        tracing::warn!(client = client.client_id.as_deref(), member, "this version does not act on it yet");
    }
}
