//! `refresh_token` with rotation (OAuth 2.1 §4.3, RFC 9700 §4.14.2).
//!
//! The newest generation rotates. The one before it gets the same successor again while the window is open: that is a
//! client that lost the answer or asked twice at once, not a thief. The window closes when the successor is used, for
//! then the generation has moved on; from there every genuine older token is a replay and ends the family.

use chrono::TimeDelta;

use super::{
    Exchange, Grant, TokenResponse,
    refused::tell_refused,
    response::{Origin, Prepared, earlier, prepare},
};
use crate::{
    audit::{self, Action, Actor, Event, Subject},
    clients::Client,
    db::{
        Outcome, Tx, access_tokens,
        clients::ClientRow,
        grants::{self, RefreshState},
        sessions::{find_live, touch},
    },
    engine::refresh::{RefreshFacts, refresh},
    failure::Failure,
    oauth::{Error, Scope},
    sessions,
    tokens::{self, RefreshSecrets},
};

pub struct RefreshToken;

impl Grant for RefreshToken {
    const NAME: &'static str = "refresh_token";
    type Found = (tokens::RefreshToken, Option<RefreshState>);

    async fn find(exchange: &Exchange<'_>, tx: &mut Tx, client_id: &str) -> Outcome<Option<(ClientRow, Self::Found)>> {
        let presented = exchange.parameters.get("refresh_token").and_then(RefreshSecrets::parse);
        let grant_id = presented.as_ref().map(|presented| presented.grant_id);
        let Some((client, state)) = grants::find_refresh_with_client(tx, client_id, grant_id).await? else {
            return Ok(None);
        };
        let presented = presented.unwrap_or_else(tokens::RefreshToken::nobodys);
        Ok(Some((client, (presented, state))))
    }

    fn check(exchange: &Exchange<'_>, client: &Client, found: Option<&Self::Found>) -> Result<(), Failure> {
        exchange.parameters.require("refresh_token")?;
        let (presented, state) = found.ok_or_else(|| invalid("client_without_row"))?;
        let state = state.as_ref().ok_or_else(|| invalid("family_not_live"))?;
        if !exchange.mint.refresh.is_genuine(presented, &state.seed) {
            return Err(invalid("forged").into());
        }
        judge(exchange, client, state)
    }

    async fn issue(
        exchange: &Exchange<'_>,
        client: Client,
        found: Option<Self::Found>,
    ) -> Outcome<(Client, TokenResponse)> {
        exchange.parameters.require("refresh_token")?;
        let (presented, state) = found.ok_or_else(|| invalid("client_without_row"))?;
        let Some(state) = state else {
            tell_late_replay(exchange, &client, &presented).await?;
            return Err(invalid("family_not_live").into());
        };
        // A forged token changes nothing.
        if !exchange.mint.refresh.is_genuine(&presented, &state.seed) {
            return Err(invalid("forged").into());
        }
        if let Err(failure) = judge(exchange, &client, &state) {
            tell_refused(exchange, Action::TokenRefreshed, subject(&state), &client, &failure).await?;
            return Err(failure);
        }
        let state = on_privileged(exchange, state).await?;
        let scope = exchange.parameters.get("scope").unwrap_or(&state.scope);
        let origin = Origin {
            who: exchange.mint.subjects.who(state.user_id, &state.session_kind, state.session_id),
            is_visitor: state.user_id.is_none(),
            username: state.username.as_deref(),
            user_claims: state.user_claims.as_ref(),
            groups: state.groups.as_deref(),
            sid: state.sid,
            acr: &state.acr,
            amr: &state.amr,
            auth_time: state.auth_time,
            claims: state.claims.as_ref(),
            resources: &state.resources,
            is_privileged: state.session_kind == "privileged",
            session_expires_at: state.session_expires_at,
        };
        let prepared = prepare(exchange, &client, &origin, &Scope::parse(scope)?)?;
        if !store(exchange, &state, presented.generation, &prepared).await? {
            return end_family(exchange, &state).await;
        }
        let successor = exchange.mint.refresh.token(state.grant_id, presented.generation + 1, &state.seed).into_text();
        // OIDC Core §12.2: an ID token of a refresh should not carry the nonce.
        let response = prepared.respond(exchange, &client, &origin, None, Some(successor))?;
        Ok((client, response))
    }
}

fn judge(exchange: &Exchange<'_>, client: &Client, state: &RefreshState) -> Result<(), Failure> {
    refresh(&RefreshFacts {
        client_id: &client.id,
        requested_scope: exchange.parameters.get("scope"),
        issued_to: &state.client_id,
        granted_scope: &state.scope,
    })
}

fn invalid(detail: &'static str) -> Error {
    Error::invalid_grant("the refresh token is not valid").detail(detail)
}

/// While the privileged session of a family lives, and its scopes allow, refreshed tokens hang on it and keep them; its end
/// never moves. Afterwards they hang on the user session, without them. Only such families pay for the look-up.
async fn on_privileged(exchange: &Exchange<'_>, state: RefreshState) -> Outcome<RefreshState> {
    let Some(id) = state.privileged_session_id else { return Ok(state) };
    let live = exchange
        .db
        .single(exchange.now, exchange.trace, async |tx| {
            let live = find_live(tx, id).await?;
            if live.is_some() {
                // The refresh itself is noted on the privileged session; it is activity of the browser's, too.
                touch(tx, state.session_id).await?;
            }
            Ok::<_, Failure>(live)
        })
        .await?;
    let Some(live) = live else { return Ok(state) };
    Ok(RefreshState {
        session_id: live.id,
        session_kind: live.kind,
        session_started_at: live.created_at,
        acr: state.granted_acr.clone(),
        amr: state.granted_amr.clone(),
        session_expires_at: earlier(live.expires_at, state.privileged_until),
        ..state
    })
}

/// Rotates, or hands the same successor out again. `false`: it was neither the newest nor within the window.
async fn store(exchange: &Exchange<'_>, state: &RefreshState, generation: i32, prepared: &Prepared) -> Outcome<bool> {
    let grace_from = exchange.now - exchange.config.tokens.refresh_grace;
    // Without a window a duplicate is a replay, however close it comes (RFC 9700 §4.14.2): no comparison of instants, for
    // those of two requests or of two replicas may stand in the wrong order.
    let has_window = exchange.config.tokens.refresh_grace > TimeDelta::zero();
    // Two at once: the second finds the generation moved on, and is then the duplicate of the first.
    for rotate in [true, false] {
        if if rotate { generation != state.generation } else { !has_window } {
            continue;
        }
        let stored = exchange
            .db
            .change(exchange.now, exchange.trace, async |tx| {
                let event = Event::done(Action::TokenRefreshed, Actor::Client, subject(state));
                audit::record(
                    tx,
                    event.detail(
                        serde_json::json!({ "scope": prepared.scope_text, "aud": prepared.audience, "again": !rotate }),
                    ),
                );
                let row = prepared.row();
                access_tokens::refresh(tx, state.grant_id, state.session_id, generation, rotate, grace_from, &row)
                    .await
                    .map_err(Failure::from)
            })
            .await?;
        if stored {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A genuine token that is too old: a replay by the authenticated client. The end is committed, the answer a refusal.
async fn end_family(exchange: &Exchange<'_>, state: &RefreshState) -> Outcome<(Client, TokenResponse)> {
    exchange
        .db
        .work(exchange.now, exchange.trace, async |tx| {
            if sessions::end_family(tx, state.grant_id, "refresh_replayed", Actor::Client).await? {
                audit::record(
                    tx,
                    Event::refused(Action::RefreshReplayed, Actor::Client, subject(state), "refresh_replayed"),
                );
            }
            Ok::<_, Failure>(())
        })
        .await?;
    Err(Error::invalid_grant("the refresh token was used already").detail("refresh_replayed").into())
}

/// A genuine token that was long replaced, of a grant that has ended since: nothing is left to end, but whoever looks into a theft
/// wants to know. The newest one, and the one before it, may be those of a client that has not heard of the end.
async fn tell_late_replay(exchange: &Exchange<'_>, client: &Client, presented: &tokens::RefreshToken) -> Outcome<()> {
    let found =
        exchange.db.single(exchange.now, exchange.trace, async |tx| grants::find_dead(tx, presented.grant_id).await);
    let Some(grant) = found.await? else { return Ok(()) };
    let is_replaced = presented.generation + 1 < grant.generation && grant.client_id == client.id;
    if !is_replaced || !exchange.mint.refresh.is_genuine(presented, &grant.seed) {
        return Ok(());
    }
    let subject = Subject {
        session_id: Some(grant.session_id),
        session_kind: Some(grant.session_kind),
        user_id: grant.user_id,
        client_id: Some(grant.client_id),
    };
    exchange
        .db
        .work(exchange.now, exchange.trace, async |tx| {
            audit::record(tx, Event::refused(Action::RefreshReplayed, Actor::Client, subject, "grant_ended"));
            Ok::<_, Failure>(())
        })
        .await
}

fn subject(state: &RefreshState) -> Subject {
    Subject {
        session_id: Some(state.session_id),
        session_kind: Some(state.session_kind.clone()),
        user_id: state.user_id,
        client_id: Some(state.client_id.clone()),
    }
}
