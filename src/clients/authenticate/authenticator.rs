//! The whole act of client authentication: verify, use up an assertion, slow down who guesses, tell the audit.

use chrono::{DateTime, Utc};

use super::{Credentials, Verified, hints, verify};
use crate::{
    audit::{self, Action, Actor, Event, Subject},
    clients::{
        Client,
        jwks::{self, JwksCache},
    },
    db::{Database, Trace, clients::ClientRow, used_jtis},
    failure::Failure,
    jose::sha256,
    oauth::{Error, client_metadata::AuthMethod},
    outbound::{Outbound, Unfetched},
    risk::{Attempt, Gate, Sources},
};

/// What authenticating a client takes, for one request.
#[derive(Clone, Copy)]
pub struct Authenticator<'a> {
    pub db: &'a Database,
    pub sources: &'a Sources,
    pub outbound: &'a Outbound,
    pub jwks: &'a JwksCache,
    /// What `aud` of an assertion may be: the issuer, the endpoint called, the token endpoint.
    pub audiences: &'a [&'a str],
    pub now: DateTime<Utc>,
    pub trace: &'a Trace,
}

impl Authenticator<'_> {
    /// The client that the credentials prove. Unknown, disabled and wrong get one answer.
    pub async fn authenticate(&self, credentials: &Credentials, row: Option<ClientRow>) -> Result<Client, Failure> {
        match self.identify(credentials, row).await? {
            (client, None) => Ok(client),
            (_, Some(error)) => Err(error.into()),
        }
    }

    /// The client that the credentials prove, and the error with which to refuse it where its right secret came by the wrong
    /// method. That is a mistake of its owner: it is no guess, so it is neither counted nor recorded.
    pub async fn identify(
        &self,
        credentials: &Credentials,
        row: Option<ClientRow>,
    ) -> Result<(Client, Option<Error>), Failure> {
        let client = row.map(Client::from_row).transpose()?;
        let fetched = self.fetched_keys(credentials, client.as_ref()).await.transpose();
        let keys = fetched.as_ref().ok().and_then(Option::as_deref);
        let verified = verify(credentials, client.as_ref(), keys, self.audiences, self.now);
        let verified = verified.map_err(|error| match &fetched {
            Err(why) => error.mend(jwks::unfetched(why)),
            Ok(_) => error,
        });
        match (verified, client) {
            (Ok(Verified::Done), Some(client)) => Ok((client, None)),
            (Ok(Verified::Elsewhere(error)), Some(client)) => Ok((client, Some(error))),
            (Ok(Verified::Assertion(assertion)), Some(client)) => {
                let jti = sha256(&[assertion.jti.as_bytes()]);
                // RFC 7523 §3 (7): good once. Its own statement: what comes of the request does not give it back.
                let fresh = self
                    .db
                    .single(self.now, self.trace, async |tx| {
                        used_jtis::consume(tx, &client.id, &jti).await.map_err(Failure::from)
                    })
                    .await?;
                if fresh { Ok((client, None)) } else { self.refuse(credentials, hints::replayed()).await }
            }
            (Ok(_), None) => self.refuse(credentials, hints::unknown_client()).await,
            (Err(error), _) => self.refuse(credentials, error).await,
        }
    }

    /// The keys behind the client's `jwks_uri`, where an assertion has to be verified with them.
    async fn fetched_keys(
        &self,
        credentials: &Credentials,
        client: Option<&Client>,
    ) -> Option<Result<std::sync::Arc<serde_json::Value>, Unfetched>> {
        let assertion = credentials.assertion()?;
        let metadata = &client?.metadata;
        // Only for a client that authenticates this way: an assertion is not a way to make us call somebody.
        (metadata.auth_method() == AuthMethod::PrivateKeyJwt).then_some(())?;
        let uri = metadata.jwks_uri.as_deref()?;
        Some(self.jwks.get_for(self.outbound, uri, assertion).await)
    }

    async fn refuse<T>(&self, credentials: &Credentials, error: Error) -> Result<T, Failure> {
        // A stable word; what was wrong with the claims of an assertion stands beside it.
        let reason = error.detail.as_deref().unwrap_or("refused_assertion");
        let gate = self
            .db
            .work(self.now, self.trace, async |tx| {
                let gate = self.sources.count(tx, Attempt::ClientSecret, &credentials.client_id, None).await?;
                if let Gate::Open(_) = gate {
                    let subject = Subject {
                        client_id: Some(credentials.client_id.chars().take(128).collect()),
                        ..Subject::default()
                    };
                    let event = Event::refused(Action::ClientAuthentication, Actor::Client, subject, reason);
                    audit::record(tx, event.detail(serde_json::json!({ "said": error.description })));
                }
                Ok::<_, Failure>(gate)
            })
            .await?;
        Err(match gate {
            Gate::Open(_) => error.into(),
            Gate::Closed(seconds) => {
                let description = "too many failed attempts to authenticate this client".into();
                Error { description, ..error }.retry_after(seconds).into()
            }
        })
    }
}
