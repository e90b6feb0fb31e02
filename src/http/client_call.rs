//! What the endpoints that clients call with their credentials have in common.

use crate::{
    app::App,
    clients::{
        Client,
        authenticate::{Authenticator, Credentials, Request, claimed, read},
    },
    db::clients,
    failure::Failure,
    http::extract::Visit,
    oauth::{Error, Parameters},
};

/// Reads the credentials of a call. A header that can be read as the credentials of several clients costs a look-up.
pub async fn credentials(app: &App, visit: &Visit, parameters: &Parameters) -> Result<Credentials, Failure> {
    let mut credentials = presented(visit, parameters)?;
    let ids = credentials.readings();
    if ids.len() > 1 {
        let found = app
            .db
            .read(visit.now, &visit.trace, async |tx| clients::load_secrets(tx, &ids).await.map_err(Failure::from))
            .await?;
        credentials.settle(&found);
    }
    Ok(credentials)
}

fn presented(visit: &Visit, parameters: &Parameters) -> Result<Credentials, Failure> {
    parameters.refuse_unusable()?;
    Ok(read(&Request { authorization: visit.authorization.as_deref(), parameters })?)
}

/// Who a call says to be from, whether or not it proves that.
pub fn named(visit: &Visit, parameters: &Parameters) -> Option<String> {
    let presented = presented(visit, parameters).ok().map(|credentials| credentials.client_id);
    presented.or_else(|| claimed(&Request { authorization: visit.authorization.as_deref(), parameters }))
}

/// What `aud` of a client assertion may be at this endpoint: the issuer, its URL, or that of the token endpoint.
pub fn audiences(app: &App, path: &str) -> [String; 3] {
    [app.config.issuer.as_str().to_owned(), app.config.issuer.url(path), app.config.issuer.url("/oauth/token")]
}

/// The authenticator for a call.
pub fn authenticator<'a>(app: &'a App, visit: &'a Visit, audiences: &'a [&'a str]) -> Authenticator<'a> {
    Authenticator {
        db: &app.db,
        sources: &app.sources,
        outbound: &app.outbound,
        jwks: &app.jwks,
        audiences,
        now: visit.now,
        trace: &visit.trace,
    }
}

/// RFC 7662 §2.1: whoever asks about tokens must have shown who it is, or they could be scanned for.
pub fn confidential(caller: Client) -> Result<Client, Failure> {
    if caller.metadata.is_public() {
        let error = Error::invalid_client("a public client may not introspect tokens");
        return Err(error.mend("introspect as a client that has a secret or keys").into());
    }
    Ok(caller)
}
