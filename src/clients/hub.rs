//! The Identity Hub as a client of this server: whoever wants its pages asks at the authorization endpoint like everybody.
//!
//! Invariant: no token is ever issued to it. Its secret is made of random bits that are thrown away, so a code for it can
//! be redeemed by nobody; what opens the pages is the privileged session that came of the request.

use serde_json::json;

use super::{registration, secret};
use crate::{
    audit::{Action, Actor},
    config::builtin::{HUB_CLIENT, HUB_SCOPES},
    db::{self, Tx},
    failure::Broken,
    oauth::ClientMetadata,
};

/// Adds the client, or makes its metadata what they are to be. Never enables it once it was disabled.
pub async fn apply_hub(tx: &mut Tx, issuer: &str) -> Result<(), Broken> {
    let metadata = metadata(issuer)?;
    let nobody_knows = secret::hash(&secret::generate());
    match db::clients::find(tx, HUB_CLIENT).await? {
        None => {
            if db::clients::insert(tx, HUB_CLIENT, &registration::stored(&metadata)?, Some(&nobody_knows)).await? {
                registration::tell(tx, Action::ClientAdded, HUB_CLIENT, Actor::Server);
            }
        }
        Some(row) if row.metadata.get().ok() != Some(&metadata) => {
            // It may have been somebody's who knows a secret of it.
            db::clients::update(tx, HUB_CLIENT, &registration::stored(&metadata)?, Some(&nobody_knows)).await?;
            registration::tell(tx, Action::ClientChanged, HUB_CLIENT, Actor::Server);
        }
        Some(_) => {}
    }
    Ok(())
}

fn metadata(issuer: &str) -> Result<ClientMetadata, Broken> {
    let scope = HUB_SCOPES.map(|(name, _)| name).join(" ");
    let said = json!({
        "client_id": HUB_CLIENT,
        "client_name": "Identity Hub",
        "redirect_uris": [format!("{}/hub/callback", issuer.trim_end_matches('/'))],
        "grant_types": ["authorization_code"],
        "token_endpoint_auth_method": "client_secret_basic",
        "scope": scope,
    });
    serde_json::from_value(said).map_err(Broken::new)
}
