//! Which scope a client gets when it asks for one.

use super::Client;
use crate::{
    config::Scopes,
    db::{self, Tx},
    failure::Broken,
    oauth::{
        ClientMetadata, Error, Scope,
        scope::{GROUPS, OFFLINE_ACCESS, OPENID, STANDARD_SCOPES, is_standard},
    },
};

/// The scope to go on with. What the server does not know, or has withdrawn, is passed over (OIDC Core §3.1.2.1); what it
/// knows and the client is not registered for is `invalid_scope`. A privileged scope is for a person, who will have to prove
/// themselves: a client that acts for itself never gets one, whatever its registration says.
///
/// `for_person`: whether somebody will be signed in. A client that acts for itself has no use for identity scopes.
pub fn negotiate(
    requested: Option<&str>,
    client: &Client,
    declared: &Scopes,
    for_person: bool,
) -> Result<Scope, Error> {
    let is_privileged = |token: &str| declared.is_privileged(token);
    let is_known = |token: &str| is_standard(token) || declared.find(token).is_some();
    let registered = offered(&registered(&client.metadata), declared);
    let Some(requested) = requested else {
        // RFC 6749 §3.3: the default is what the client is registered for, without what must be asked for by name.
        return Ok(registered.filtered(|token| {
            let by_name = is_privileged(token) || [OPENID, OFFLINE_ACCESS, GROUPS].contains(&token);
            !by_name && (for_person || !is_standard(token))
        }));
    };
    let requested = Scope::parse(requested)?;
    if let Some(privileged) = requested.iter().find(|token| !for_person && is_privileged(token)) {
        return Err(Error::invalid_scope(format!("{privileged} needs a person, who proves that they are there")));
    }
    let can_refresh = client.metadata.has_grant("refresh_token");
    let is_ignored = |token: &str| match token {
        // OIDC Core §11: offline_access without the means to use it is ignored, registered or not.
        OFFLINE_ACCESS => for_person && !can_refresh,
        // RFC 6749 §3.3 allows to ignore a part. Many tools ask for it by default and work without.
        GROUPS => !for_person || !registered.contains(GROUPS),
        _ => false,
    };
    let foreign = requested.iter().find(|token| {
        !is_ignored(token) && ((is_known(token) && !registered.contains(token)) || (!for_person && is_standard(token)))
    });
    if let Some(foreign) = foreign {
        let mend = format!("add {foreign} to the client's scope");
        return Err(Error::invalid_scope(format!("this client may not ask for {foreign}")).mend(mend));
    }
    let granted = requested.filtered(|token| registered.contains(token) && !is_ignored(token));
    if granted.is_empty() && !requested.is_empty() {
        let error = Error::invalid_scope("none of the requested scopes can be given");
        return Err(error.mend(format!("declare {requested} with [[scope]], and add it to the client's scope")));
    }
    Ok(granted)
}

/// What of a scope is left where no privileged session is live.
#[must_use]
pub fn unprivileged(scope: &Scope, declared: &Scopes) -> Scope {
    scope.filtered(|token| !declared.is_privileged(token))
}

/// What of a scope is not withdrawn.
#[must_use]
pub fn offered(scope: &Scope, declared: &Scopes) -> Scope {
    scope.filtered(|token| !declared.is_withdrawn(token))
}

/// Remembers which scopes are declared, and looks which are not any more.
pub async fn apply_declared_scopes(tx: &mut Tx, declared: &Scopes) -> Result<(), Broken> {
    let said: Vec<_> = declared.iter().map(|scope| (scope.name.as_str(), scope.privileged.is_some())).collect();
    db::scopes::declare(tx, &said).await?;
    withdraw_undeclared(tx, declared).await
}

/// Looks which privileged scopes were declared, here before or by another replica, and are not declared here: they are
/// withdrawn.
pub async fn withdraw_undeclared(tx: &mut Tx, declared: &Scopes) -> Result<(), Broken> {
    let remembered = db::scopes::load_all(tx).await?.into_iter();
    for scope in declared.withdraw(remembered.filter_map(|(name, privileged)| privileged.then_some(name))) {
        tracing::warn!(
            scope,
            "a privileged scope is no longer declared: nobody is given it until it is declared again"
        );
    }
    Ok(())
}

/// What a client is registered for that no `[[scope]]` declares: it is not given, which is easily a misspelt name.
#[must_use]
pub fn undeclared(client: &ClientMetadata, declared: &Scopes) -> Vec<String> {
    let scope = client.scope.as_deref().unwrap_or_default();
    let tokens = scope.split(' ').filter(|token| !token.is_empty());
    tokens.filter(|token| !is_standard(token) && declared.find(token).is_none()).map(str::to_owned).collect()
}

/// Logs what [`undeclared`] finds of a client, for its operator.
pub fn warn_of_undeclared(client: &ClientMetadata, declared: &Scopes) {
    let client_id = client.client_id.as_deref();
    for scope in undeclared(client, declared) {
        tracing::warn!(client = client_id, scope, "the client is registered for a scope that no [[scope]] declares");
    }
}

/// What of a scope an anonymous visitor can give: nothing that speaks of a person, and nothing that outlives the visit.
#[must_use]
pub fn for_visitor(scope: &Scope) -> Scope {
    scope.filtered(|token| token == OPENID || !is_standard(token))
}

/// What a client is registered for. One that says nothing of scopes may ask for the standard ones (RFC 7591 §2).
pub fn registered(client: &ClientMetadata) -> Scope {
    if let Some(scope) = &client.scope {
        return Scope::parse(scope).unwrap_or_default();
    }
    let names: Vec<_> = STANDARD_SCOPES.iter().map(|scope| scope.name).collect();
    Scope::parse(&names.join(" ")).unwrap_or_default()
}
