//! The document behind `sector_identifier_uri`: whoever owns the sector says which redirect URIs are in it, so that
//! nobody enters another's sector and learns what its people are called there.
//!
//! It is asked when a client is registered. For a declared one it is not: the operator has written both sides, and a
//! start must not wait for somebody else's site.

use serde_json::Value;

use crate::{
    oauth::{ClientMetadata, Error, ErrorCode},
    outbound::Outbound,
};

/// OIDC Registration §5: the document is a JSON array of strings, and every redirect URI is one of them. What stood in
/// the way of fetching it is in the error's detail only.
pub async fn check_sector(outbound: &Outbound, client: &ClientMetadata) -> Result<(), Error> {
    let Some(uri) = &client.sector_identifier_uri else { return Ok(()) };
    let refused =
        |problem: &str| Error::new(ErrorCode::InvalidClientMetadata, format!("sector_identifier_uri: {problem}"));
    let document =
        outbound.get_json(uri).await.map_err(|why| refused("the document could not be fetched").detail(why.0))?;
    let listed = document.as_array().filter(|all| all.iter().all(Value::is_string));
    let listed = listed.ok_or_else(|| refused("the document is not a JSON array of strings"))?;
    if client.redirect_uris.iter().all(|uri| listed.iter().any(|one| one == uri.as_str())) {
        Ok(())
    } else {
        Err(refused("the document does not list every one of the redirect_uris"))
    }
}
