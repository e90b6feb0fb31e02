//! What the token endpoint exchanges for tokens.
//!
//! A grant type fills two hooks: one look-up that finds the client together with what the grant is about, and the issue.
//! The phases between them are shared and cannot be forgotten: the client is authenticated, and it is registered for
//! this grant type. [`GRANTS`] is the list; adding a grant type is a file here and a line there.

mod authorization_code;
mod client_credentials;
mod refresh_token;
mod refused;
mod response;

use chrono::{DateTime, Utc};
use futures_util::future::LocalBoxFuture;
pub use response::TokenResponse;

use crate::{
    clients::{
        Client,
        authenticate::{Authenticator, Credentials},
    },
    config::Config,
    db::{Database, Outcome, Trace, Tx, clients::ClientRow},
    failure::Failure,
    oauth::{Error, ErrorCode, Parameters},
    tokens::{Audiences, Mint},
};

/// What an exchange needs, for one request.
#[derive(Clone, Copy)]
pub struct Exchange<'a> {
    pub db: &'a Database,
    pub mint: &'a Mint,
    pub config: &'a Config,
    pub now: DateTime<Utc>,
    pub trace: &'a Trace,
    pub parameters: &'a Parameters,
}

impl<'a> Exchange<'a> {
    /// Everybody whom tokens can be for.
    fn audiences(&self) -> Audiences<'a> {
        Audiences { issuer: self.config.issuer.as_str(), resources: &self.config.resources }
    }
}

/// A grant type.
trait Grant: 'static {
    /// The value of `grant_type`.
    const NAME: &'static str;
    /// What the look-up finds beside the client.
    type Found;

    /// Finds the client and what the grant is about, in one statement.
    async fn find(exchange: &Exchange<'_>, tx: &mut Tx, client_id: &str) -> Outcome<Option<(ClientRow, Self::Found)>>;

    /// Whether this could be issued to the client. It changes nothing and records nothing.
    fn check(exchange: &Exchange<'_>, client: &Client, found: Option<&Self::Found>) -> Result<(), Failure>;

    /// Issues, for an authenticated client that may use this grant type.
    async fn issue(
        exchange: &Exchange<'_>,
        client: Client,
        found: Option<Self::Found>,
    ) -> Outcome<(Client, TokenResponse)>;
}

type Run = for<'a> fn(
    &'a Exchange<'a>,
    &'a Authenticator<'a>,
    &'a Credentials,
) -> LocalBoxFuture<'a, Outcome<(Client, TokenResponse)>>;

/// A line of the list.
pub struct Entry {
    pub name: &'static str,
    run: Run,
}

/// Every grant type, in the order in which discovery lists them.
pub static GRANTS: [Entry; 3] = [
    entry::<authorization_code::AuthorizationCode>(),
    entry::<refresh_token::RefreshToken>(),
    entry::<client_credentials::ClientCredentials>(),
];

const fn entry<G: Grant>() -> Entry {
    Entry {
        name: G::NAME,
        run: |exchange, authenticator, credentials| Box::pin(run::<G>(exchange, authenticator, credentials)),
    }
}

/// The phases that every grant type shares.
async fn run<G: Grant>(
    exchange: &Exchange<'_>,
    authenticator: &Authenticator<'_>,
    credentials: &Credentials,
) -> Outcome<(Client, TokenResponse)> {
    let found = exchange
        .db
        .read(exchange.now, exchange.trace, async |tx| G::find(exchange, tx, &credentials.client_id).await)
        .await?;
    let (row, found) = found.map_or((None, None), |(row, found)| (Some(row), Some(found)));
    let (client, elsewhere) = authenticator.identify(credentials, row).await?;
    if !client.metadata.has_grant(G::NAME) {
        let description = format!("this client is not registered for {}", G::NAME);
        let mend = format!("add {} to the client's grant_types", G::NAME);
        return Err(Error::new(ErrorCode::UnauthorizedClient, description).mend(mend).into());
    }
    if let Some(error) = elsewhere {
        // Libraries try the header first, and after any refusal the body, and report the second answer. So what is wrong with
        // the grant goes before the method.
        return Err(G::check(exchange, &client, found.as_ref()).err().unwrap_or_else(|| error.into()));
    }
    G::issue(exchange, client, found).await
}

/// Exchanges what the request brings for tokens (OAuth 2.1 §3.2). Returns the client with the answer: its origins may
/// read it.
pub async fn exchange(
    exchange: &Exchange<'_>,
    authenticator: &Authenticator<'_>,
    credentials: &Credentials,
) -> Outcome<(Client, TokenResponse)> {
    let name = exchange.parameters.require("grant_type")?;
    let entry = GRANTS.iter().find(|entry| entry.name == name).ok_or_else(|| {
        Failure::from(Error::new(ErrorCode::UnsupportedGrantType, "grant_type is none that this server supports"))
    })?;
    (entry.run)(exchange, authenticator, credentials).await
}
