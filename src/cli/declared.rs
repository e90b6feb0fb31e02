//! Declared clients, users, scopes and resources: made to be there, as declared, once.
//!
//! Invariant: applying never enables what was disabled, never overwrites a password changed since, never deletes: what is
//! declared no longer is warned about.

use serde_json::{Value, json};

use crate::{
    app::App,
    audit::{self, Action, Actor, Event, Subject},
    authentication::password_rules::{self, Context},
    clients,
    config::{Config, User},
    db::{self, Trace, Tx, declarations, resources, scopes, users},
    failure::{Broken, Stop},
    jose::{Key256, MasterSecret, Purpose},
    oauth::resource_uri::is_same,
    sessions,
};

/// Applies what the configuration declares, all of it or nothing.
pub(super) async fn apply(app: &App, master: &MasterSecret) -> Result<(), Stop> {
    let config = &app.config;
    let key = master.derive(Purpose::DeclaredPasswords);
    let left_over = app
        .db
        .work(app.clock.now(), &Trace::default(), async |tx| -> Result<_, Broken> {
            declarations::lock(tx).await?;
            clients::apply_declared_scopes(tx, &config.scopes).await?;
            clients::apply_hub(tx, config.issuer.as_str()).await?;
            for client in &config.clients {
                clients::apply_declared(tx, client).await?;
            }
            for user in &config.users {
                apply_user(tx, app, &key, user).await?;
            }
            warn_of_unknown_clients(tx, config).await?;
            LeftOver::find(tx, config).await
        })
        .await?;
    left_over.tell();
    for client in &config.clients {
        clients::scope::warn_of_undeclared(client, &config.scopes);
    }
    Ok(())
}

/// A client that a resource names may be added later; until then nobody introspects the tokens of that resource by it.
async fn warn_of_unknown_clients(tx: &mut Tx, config: &Config) -> Result<(), Broken> {
    for resource in &config.resources {
        let Some(client) = &resource.client else { continue };
        if db::clients::find(tx, client).await?.is_none() {
            let identifier = &resource.identifier;
            tracing::warn!(client, resource = identifier, "a resource names a client that does not exist: add it");
        }
    }
    Ok(())
}

/// What was declared once and is no longer.
struct LeftOver {
    clients: Vec<String>,
    users: Vec<String>,
    scopes: Vec<String>,
    resources: Vec<String>,
}

impl LeftOver {
    /// Remembers what is declared, and finds what is no longer.
    async fn find(tx: &mut Tx, config: &Config) -> Result<Self, Broken> {
        let clients: Vec<_> = config.clients.iter().filter_map(|client| client.client_id.as_deref()).collect();
        let users: Vec<_> = config.users.iter().map(|user| user.username.as_str()).collect();
        let resources: Vec<_> = config.resources.iter().map(|resource| resource.identifier.as_str()).collect();
        resources::declare(tx, &resources).await?;
        let beside = resources::load_beside(tx, &resources).await?;
        let remembered = scopes::load_all(tx).await?.into_iter();
        Ok(Self {
            clients: declarations::mark_clients(tx, &clients).await?,
            users: declarations::mark_users(tx, &users).await?,
            scopes: remembered
                .filter_map(|(name, privileged)| (!privileged && config.scopes.find(&name).is_none()).then_some(name))
                .collect(),
            resources: beside.into_iter().filter(|old| !resources.iter().any(|new| is_same(old, new))).collect(),
        })
    }

    /// Privileged scopes are told of where they are withdrawn.
    fn tell(&self) {
        for client in &self.clients {
            tracing::warn!(client, "no longer declared, but still registered: `mooring client disable` ends that");
        }
        for username in &self.users {
            tracing::warn!(username, "no longer declared, but may still sign in: `mooring user disable` ends that");
        }
        for scope in &self.scopes {
            tracing::warn!(scope, "no longer declared, but clients that are registered for it are still given it");
        }
        for resource in &self.resources {
            tracing::warn!(resource, "no longer declared: tokens are not made for it any more");
        }
    }
}

async fn apply_user(tx: &mut Tx, app: &App, key: &Key256, declared: &User) -> Result<(), Broken> {
    let claims = Value::Object(declared.claims.clone());
    let Some(found) = users::find_by_username(tx, &declared.username).await? else {
        let Some(user) = users::insert(tx, &declared.username, &claims, declared.admin).await? else {
            // Added by hand at this very moment: what is there goes before what is declared, until the next start.
            return Ok(());
        };
        set_password(tx, app, key, &user, declared).await?;
        users::set_groups(tx, user.id, &declared.groups).await?;
        tell(tx, Action::UserAdded, &user, json!({ "declared": true, "admin": declared.admin }));
        return Ok(());
    };
    // First, because it locks the password: whoever resets theirs locks that, and then the person, as what follows does.
    let may_set = match users::find_declared_password(tx, found.id).await? {
        None => true,
        // The person has chosen another since, or somebody for them.
        Some(None) => false,
        Some(Some(made_from)) => !key.verify(&password_parts(&found, declared), &made_from),
    };
    let mut changed = Vec::new();
    if found.claims != claims {
        users::set_claims(tx, found.id, &claims).await?;
        changed.push("claims");
    }
    if declared.admin && found.admin_at.is_none() {
        sessions::set_admin(tx, found.id, true, Actor::Server).await?;
        changed.push("admin");
    }
    // Whoever is no longer declared to be in a group has their privileged sessions ended.
    if sessions::set_groups(tx, found.id, &declared.groups, Actor::Server).await?.is_some() {
        changed.push("groups");
    }
    if may_set {
        set_password(tx, app, key, &found, declared).await?;
        sessions::end_unproved(tx, found.id, Actor::Server).await?;
        changed.push("password");
    }
    if !changed.is_empty() {
        tell(tx, Action::UserChanged, &found, json!({ "declared": true, "changed": changed }));
    }
    Ok(())
}

async fn set_password(tx: &mut Tx, app: &App, key: &Key256, user: &users::User, declared: &User) -> Result<(), Broken> {
    let service = [app.config.pages.name.as_str(), app.config.issuer.host()];
    let context = Context { username: &declared.username, email: None, name: None, service };
    if let Err(unfit) =
        password_rules::judge(&crate::unicode::nfc(declared.password.expose()), &context, password_rules::BESIDE)
    {
        tracing::warn!(username = declared.username, "a weak declared password: {}", unfit.said());
    }
    let phc = app.passwords.hash(declared.password.expose().to_owned()).await?;
    users::set_password(tx, user.id, &phc, Some(&key.mac(&password_parts(user, declared)))).await
}

/// With the person, so that two who are declared with the same password do not show it.
fn password_parts<'a>(user: &'a users::User, declared: &'a User) -> [&'a [u8]; 2] {
    [user.id.as_bytes(), declared.password.expose().as_bytes()]
}

fn tell(tx: &mut Tx, action: Action, user: &users::User, detail: Value) {
    let subject = Subject { user_id: Some(user.id), ..Subject::default() };
    audit::record(tx, Event::done(action, Actor::Server, subject).detail(detail));
}
