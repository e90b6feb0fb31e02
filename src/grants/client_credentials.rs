//! `client_credentials` (OAuth 2.1 §4.2): the client acts for itself, on a service session of its own.

use super::{
    Exchange, Grant, TokenResponse,
    response::{Origin, prepare},
};
use crate::{
    audit::{self, Action, Actor, Event, Subject},
    clients::{Client, scope},
    db::{
        Outcome, Tx, access_tokens,
        clients::ClientRow,
        service_sessions::{self, Ensured, ServiceSession},
    },
    engine::client_credentials::{ClientCredentialsFacts, negotiate},
    failure::Failure,
    oauth::{Acr, Error, ErrorCode, Scope},
};

pub struct ClientCredentials;

impl Grant for ClientCredentials {
    const NAME: &'static str = "client_credentials";
    type Found = Option<ServiceSession>;

    async fn find(_: &Exchange<'_>, tx: &mut Tx, client_id: &str) -> Outcome<Option<(ClientRow, Self::Found)>> {
        Ok(service_sessions::find_client_with_service(tx, client_id).await?)
    }

    fn check(exchange: &Exchange<'_>, client: &Client, _: Option<&Self::Found>) -> Result<(), Failure> {
        granted(exchange, client).map(drop)
    }

    async fn issue(
        exchange: &Exchange<'_>,
        client: Client,
        found: Option<Self::Found>,
    ) -> Outcome<(Client, TokenResponse)> {
        let granted = granted(exchange, &client)?;
        let service = match found.flatten() {
            Some(service) => service,
            None => begin(exchange, &client).await?,
        };
        // Nobody is asked what it may use: it authorizes what it names.
        let named: Vec<String> =
            exchange.audiences().named(exchange.parameters.all("resource"))?.into_iter().map(str::to_owned).collect();
        let origin = Origin {
            who: None,
            is_visitor: false,
            username: None,
            user_claims: None,
            groups: None,
            sid: service.sid,
            acr: Acr::Visitor.as_str(),
            amr: &[],
            auth_time: None,
            claims: None,
            resources: &named,
            is_privileged: false,
            session_expires_at: exchange.now + exchange.config.tokens.access,
        };
        let prepared = prepare(exchange, &client, &origin, &granted)?;
        exchange
            .db
            .change(exchange.now, exchange.trace, async |tx| {
                let event = Event::done(Action::TokenIssued, Actor::Client, subject(&client, &service));
                audit::record(
                    tx,
                    event.detail(serde_json::json!({ "scope": prepared.scope_text, "aud": prepared.audience })),
                );
                access_tokens::insert(tx, service.grant_id, service.session_id, &prepared.row())
                    .await
                    .map_err(Failure::from)
            })
            .await?;
        let response = prepared.respond(exchange, &client, &origin, None, None)?;
        Ok((client, response))
    }
}

/// The scope that the client gets.
fn granted(exchange: &Exchange<'_>, client: &Client) -> Result<Scope, Failure> {
    // OAuth 2.1 §4.2: confidential clients only.
    if client.metadata.is_public() {
        return Err(Error::new(ErrorCode::UnauthorizedClient, "a public client cannot act for itself").into());
    }
    let requested = exchange.parameters.get("scope");
    let granted = scope::negotiate(requested, client, &exchange.config.scopes, false)?;
    negotiate(&ClientCredentialsFacts {
        client_id: &client.id,
        scope: requested,
        negotiated_scope: &granted.to_string(),
    })?;
    Ok(granted)
}

/// The client's first token of a day begins its service session.
async fn begin(exchange: &Exchange<'_>, client: &Client) -> Outcome<ServiceSession> {
    exchange
        .db
        .work(exchange.now, exchange.trace, async |tx| {
            let tokens_live = exchange.config.tokens.access;
            match service_sessions::ensure_service(tx, &client.id, tokens_live, Acr::Visitor.as_str()).await? {
                Ensured::Begun(service) => {
                    audit::record(tx, Event::done(Action::SessionStarted, Actor::Client, subject(client, &service)));
                    Ok(service)
                }
                Ensured::Found(service) => Ok(service),
                Ensured::Locked => {
                    let error = Error::new(ErrorCode::UnauthorizedClient, "this client's session is locked");
                    Err(Failure::from(error.detail("session_locked")))
                }
                Ensured::Gone => {
                    Err(Error::invalid_client("client authentication failed").detail("disabled_client").into())
                }
            }
        })
        .await
}

fn subject(client: &Client, service: &ServiceSession) -> Subject {
    Subject {
        session_id: Some(service.session_id),
        session_kind: Some("service".into()),
        user_id: None,
        client_id: Some(client.id.clone()),
    }
}
