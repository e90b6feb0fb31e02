//! Which scope a client gets when it asks for one.

use super::Client;
use crate::{
    config,
    oauth::{
        Error, Scope,
        scope::{OFFLINE_ACCESS, OPENID, STANDARD_SCOPES},
    },
};

/// Scopes that speak of a person.
fn is_standard(token: &str) -> bool {
    STANDARD_SCOPES.iter().any(|scope| scope.name == token)
}

/// The scope to go on with. What the server does not know is passed over (OIDC Core §3.1.2.1); what it knows and the
/// client is not registered for is `invalid_scope`. A privileged scope is for a person, who will have to prove themselves:
/// a client that acts for itself never gets one, whatever its registration says.
///
/// `for_person`: whether somebody will be signed in. A client that acts for itself has no use for identity scopes.
pub fn negotiate(
    requested: Option<&str>,
    client: &Client,
    declared: &[config::Scope],
    for_person: bool,
) -> Result<Scope, Error> {
    let is_privileged = |token: &str| is_privileged(token, declared);
    let is_known = |token: &str| is_standard(token) || declared.iter().any(|scope| scope.name == token);
    let registered = registered(client);
    let Some(requested) = requested else {
        // RFC 6749 §3.3: the default is what the client is registered for, without what must be asked for by name.
        return Ok(registered.filtered(|token| {
            !is_privileged(token) && !matches!(token, OPENID | OFFLINE_ACCESS) && (for_person || !is_standard(token))
        }));
    };
    let requested = Scope::parse(requested)?;
    if let Some(privileged) = requested.iter().find(|token| !for_person && is_privileged(token)) {
        return Err(Error::invalid_scope(format!("{privileged} needs a person, who proves that they are there")));
    }
    let can_refresh = client.metadata.has_grant("refresh_token");
    // OIDC Core §11: offline_access without the means to use it is ignored, registered or not.
    let is_idle = |token: &str| for_person && token == OFFLINE_ACCESS && !can_refresh;
    let foreign = requested.iter().find(|token| {
        !is_idle(token) && ((is_known(token) && !registered.contains(token)) || (!for_person && is_standard(token)))
    });
    if let Some(foreign) = foreign {
        return Err(Error::invalid_scope(format!("this client may not ask for {foreign}")));
    }
    let granted = requested.filtered(|token| registered.contains(token) && !is_idle(token));
    if granted.is_empty() && !requested.is_empty() {
        return Err(Error::invalid_scope("none of the requested scopes can be given"));
    }
    Ok(granted)
}

/// What of a scope is left where no privileged session is live.
#[must_use]
pub fn unprivileged(scope: &Scope, declared: &[config::Scope]) -> Scope {
    scope.filtered(|token| !is_privileged(token, declared))
}

fn is_privileged(token: &str, declared: &[config::Scope]) -> bool {
    declared.iter().any(|scope| scope.name == token && scope.privileged.is_some())
}

/// What of a scope an anonymous visitor can give: nothing that speaks of a person, and nothing that outlives the visit.
#[must_use]
pub fn for_visitor(scope: &Scope) -> Scope {
    scope.filtered(|token| token == OPENID || !is_standard(token))
}

/// What a client is registered for. One that says nothing of scopes may ask for the standard ones (RFC 7591 §2).
pub fn registered(client: &Client) -> Scope {
    if client.metadata.scope.is_some() {
        return client.scope();
    }
    let names: Vec<_> = STANDARD_SCOPES.iter().map(|scope| scope.name).collect();
    Scope::parse(&names.join(" ")).unwrap_or_default()
}
