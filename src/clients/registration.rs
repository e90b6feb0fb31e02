//! Adding clients: declared ones at start, others by the operator. Those that register themselves are not its business.

use serde_json::{Value, json};

use super::{Client, secret};
use crate::{
    audit::{self, Action, Actor, Event, Subject},
    db::{self, Tx},
    failure::{Broken, Failure},
    oauth::{ClientMetadata, Error, client_metadata::AssertionAudience},
};

/// A client that was just registered; the only moment at which its secret is known.
pub struct Registered {
    pub client_id: String,
    pub client_secret: Option<String>,
    pub metadata: ClientMetadata,
}

/// Registers a client (RFC 7591 §3.2.1), generating what it did not bring: an id, and a secret where its method rests on
/// one.
pub async fn register(tx: &mut Tx, mut metadata: ClientMetadata, actor: Actor) -> Result<Registered, Failure> {
    metadata.validate()?;
    metadata.assertion_audience.get_or_insert(AssertionAudience::Issuer);
    let client_id = metadata.client_id.clone().unwrap_or_else(|| tx.new_id().to_string());
    metadata.client_id = Some(client_id.clone());
    let secret = metadata.client_secret.take().or_else(|| metadata.auth_method().uses_secret().then(secret::generate));
    let hash = secret.as_deref().map(secret::hash);
    let stored = stored(&metadata)?;
    if !db::clients::insert(tx, &client_id, &stored, hash.as_deref()).await? {
        return Err(Error::invalid_request(format!("there is a client {client_id} already")).into());
    }
    tell(tx, Action::ClientAdded, &client_id, actor);
    Ok(Registered { client_id, client_secret: secret, metadata })
}

/// Applies a declared client: adds it, or makes it what is declared. Never enables a disabled one.
pub async fn apply_declared(tx: &mut Tx, declared: &ClientMetadata) -> Result<(), Broken> {
    let Some(client_id) = declared.client_id.clone() else {
        return Err(Broken::new("a declared client has no client_id"));
    };
    let mut metadata = declared.clone();
    let hash = metadata.client_secret.take().as_deref().map(secret::hash);
    let hash = hash.as_deref();
    let found = db::clients::find(tx, &client_id).await?;
    // What a declaration does not say stays as the client has it.
    let audience = match &found {
        Some(row) => {
            row.metadata.get().ok().and_then(|it| it.assertion_audience).unwrap_or(AssertionAudience::Endpoint)
        }
        None => AssertionAudience::Issuer,
    };
    metadata.assertion_audience.get_or_insert(audience);
    let stored = stored(&metadata)?;
    match found {
        None => {
            db::clients::insert(tx, &client_id, &stored, hash).await?;
            tell(tx, Action::ClientAdded, &client_id, Actor::Server);
        }
        Some(row) if row.metadata.get().ok() != Some(&metadata) || row.secret_hash.as_deref() != hash => {
            db::clients::update(tx, &client_id, &stored, hash).await?;
            tell(tx, Action::ClientChanged, &client_id, Actor::Server);
        }
        Some(_) => {}
    }
    Ok(())
}

pub(super) fn stored(metadata: &ClientMetadata) -> Result<Value, Broken> {
    serde_json::to_value(metadata).map_err(Broken::new)
}

pub(super) fn tell(tx: &mut Tx, action: Action, client_id: &str, actor: Actor) {
    let subject = Subject { client_id: Some(client_id.to_owned()), ..Subject::default() };
    audit::record(tx, Event::done(action, actor, subject));
}

impl Client {
    /// RFC 7591 metadata for the operator: without secret, with what is ours beside it.
    #[must_use]
    pub fn describe(&self, self_registered: bool) -> Value {
        let mut described = serde_json::to_value(self.metadata.with_defaults()).unwrap_or_default();
        if let Value::Object(members) = &mut described {
            members.insert("client_id".into(), json!(self.id));
            members.insert("disabled".into(), json!(self.is_disabled));
            members.insert("self_registered".into(), json!(self_registered));
        }
        described
    }
}
