//! What the endpoints that clients call with their credentials have in common.

use crate::{
    app::App,
    clients::authenticate::{Authenticator, Credentials, Request, read},
    failure::Failure,
    http::extract::Visit,
    oauth::Parameters,
};

/// Reads the credentials of a call.
pub fn credentials(visit: &Visit, parameters: &Parameters) -> Result<Credentials, Failure> {
    parameters.refuse_repeated()?;
    Ok(read(&Request { authorization: visit.authorization.as_deref(), parameters })?)
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
