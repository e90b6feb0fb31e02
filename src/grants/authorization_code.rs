//! `authorization_code` (OAuth 2.1 §4.1.3).
//!
//! One statement finds client, code, family and session; the machine judges; one statement consumes the code and issues
//! the token. Ending the session between the two leaves a token that hangs on an ended session: dead on arrival.

use super::{
    Exchange, Grant, TokenResponse,
    refused::tell_refused,
    response::{Origin, Prepared, earlier, prepare},
};
use crate::{
    audit::{self, Action, Actor, Event, Subject},
    clients::Client,
    db::{
        Outcome, Tx,
        authorization_codes::{self, Code},
        clients::ClientRow,
        grants::{self, RedeemedGrant},
    },
    engine::access_token::{RedemptionFacts, redeem},
    failure::Failure,
    jose::random_bytes,
    oauth::{Error, Scope, scope::OFFLINE_ACCESS},
    sessions::{self, start_offline},
};

pub struct AuthorizationCode;

/// What became of an attempt to redeem.
enum Redeemed {
    Yes,
    /// Somebody else was faster, or the family ended meanwhile.
    No,
}

impl Grant for AuthorizationCode {
    const NAME: &'static str = "authorization_code";
    type Found = Option<Code>;

    async fn find(exchange: &Exchange<'_>, tx: &mut Tx, client_id: &str) -> Outcome<Option<(ClientRow, Self::Found)>> {
        let grant_id = exchange.parameters.get("code").and_then(|code| exchange.mint.codes.verify(code));
        Ok(authorization_codes::find_with_client(tx, client_id, grant_id).await?)
    }

    fn check(exchange: &Exchange<'_>, client: &Client, found: Option<&Self::Found>) -> Result<(), Failure> {
        exchange.parameters.require("code")?;
        let code = found.and_then(Option::as_ref).ok_or_else(not_live)?;
        judge(exchange, client, &code.into())?;
        if code.redeemed_at.is_some() {
            return Err(used_already());
        }
        if code.expires_at <= exchange.now {
            return Err(expired());
        }
        Ok(())
    }

    async fn issue(
        exchange: &Exchange<'_>,
        client: Client,
        found: Option<Self::Found>,
    ) -> Outcome<(Client, TokenResponse)> {
        exchange.parameters.require("code")?;
        let Some(code) = found.flatten() else { return replay_after_the_end(exchange, &client).await };
        // Judged before anything is changed: a failed attempt does not consume the code.
        if let Err(failure) = judge(exchange, &client, &(&code).into()) {
            tell_refused(exchange, Action::CodeRedeemed, subject(&code), &client, &failure).await?;
            return Err(failure);
        }
        if code.redeemed_at.is_some() {
            return end_family(exchange, &code).await;
        }
        if code.expires_at <= exchange.now {
            return Err(expired());
        }
        let scope = Scope::parse(&code.scope)?;
        let refreshes = client.metadata.has_grant("refresh_token");
        let offline = refreshes && code.user_id.is_some() && scope.contains(OFFLINE_ACCESS);
        let origin = Origin {
            who: exchange.mint.subjects.who(code.user_id, &code.session_kind, code.session_id),
            is_visitor: code.user_id.is_none(),
            username: code.username.as_deref(),
            user_claims: code.user_claims.as_ref(),
            groups: code.groups.as_deref(),
            sid: code.sid,
            acr: &code.acr,
            amr: &code.amr,
            auth_time: code.auth_time,
            claims: code.claims.as_ref(),
            resources: &code.resources,
            is_privileged: code.session_kind == "privileged",
            session_expires_at: earlier(code.session_expires_at, code.privileged_until),
        };
        let prepared = prepare(exchange, &client, &origin, &scope)?;
        let seed = refreshes.then(random_bytes::<32>);
        match store(exchange, &code, &prepared, seed.as_ref().map(<[u8; 32]>::as_slice), offline).await? {
            Redeemed::Yes => {
                let refresh_token = seed.map(|seed| exchange.mint.refresh.token(code.grant_id, 1, &seed).into_text());
                let response = prepared.respond(exchange, &client, &origin, code.nonce.as_deref(), refresh_token)?;
                Ok((client, response))
            }
            // It was good a moment ago. Consumed since: redeemed twice at once, which is a replay. Ended since: nothing is left
            // to end.
            Redeemed::No => end_family(exchange, &code).await,
        }
    }
}

/// What a code was issued for.
struct IssuedCode<'a> {
    client_id: &'a str,
    redirect_uri: &'a str,
    code_challenge: Option<&'a str>,
    scope: &'a str,
}

impl<'a> From<&'a Code> for IssuedCode<'a> {
    fn from(code: &'a Code) -> Self {
        let Code { client_id, redirect_uri, code_challenge, scope, .. } = code;
        Self { client_id, redirect_uri, code_challenge: code_challenge.as_deref(), scope }
    }
}

impl<'a> From<&'a RedeemedGrant> for IssuedCode<'a> {
    fn from(grant: &'a RedeemedGrant) -> Self {
        let RedeemedGrant { client_id, redirect_uri, code_challenge, scope, .. } = grant;
        Self { client_id, redirect_uri, code_challenge: code_challenge.as_deref(), scope }
    }
}

fn judge(exchange: &Exchange<'_>, client: &Client, code: &IssuedCode<'_>) -> Result<(), Failure> {
    let verifier = exchange.parameters.get("code_verifier");
    if let Some(verifier) = verifier {
        crate::oauth::pkce::check_verifier(verifier)?;
    }
    redeem(&RedemptionFacts {
        client_id: &client.id,
        code_verifier: verifier,
        redirect_uri: exchange.parameters.get("redirect_uri"),
        issued_to: code.client_id,
        issued_for: code.redirect_uri,
        code_challenge: code.code_challenge,
        scope: code.scope,
    })
}

async fn store(
    exchange: &Exchange<'_>,
    code: &Code,
    prepared: &Prepared,
    seed: Option<&[u8]>,
    offline: bool,
) -> Outcome<Redeemed> {
    let redeemed = if offline {
        exchange
            .db
            .work(exchange.now, exchange.trace, async |tx| {
                audit::record(tx, redeemed_event(code, prepared));
                if !authorization_codes::redeem(tx, code, &prepared.row(), seed).await? {
                    return Ok(false);
                }
                let Some(session_id) = start_offline(tx, code, &exchange.config.sessions).await? else {
                    return Err(Failure::from(Error::invalid_grant("the code is not valid").detail("session_ended")));
                };
                grants::hang_on_offline(tx, code.grant_id, session_id).await?;
                Ok(true)
            })
            .await?
    } else {
        exchange
            .db
            .change(exchange.now, exchange.trace, async |tx| {
                audit::record(tx, redeemed_event(code, prepared));
                authorization_codes::redeem(tx, code, &prepared.row(), seed).await.map_err(Failure::from)
            })
            .await?
    };
    Ok(if redeemed { Redeemed::Yes } else { Redeemed::No })
}

fn redeemed_event(code: &Code, prepared: &Prepared) -> Event {
    let detail = serde_json::json!({ "scope": code.scope, "aud": prepared.audience });
    Event::done(Action::CodeRedeemed, Actor::Client, subject(code)).detail(detail)
}

/// OAuth 2.1 §7.5.3: a replay by the authenticated client with the right verifier ends what came of the code; any other
/// has been refused before. The end is committed, the answer is a refusal.
async fn end_family(exchange: &Exchange<'_>, code: &Code) -> Outcome<(Client, TokenResponse)> {
    exchange
        .db
        .work(exchange.now, exchange.trace, async |tx| {
            if sessions::end_family(tx, code.grant_id, "code_replayed", Actor::Client).await? {
                audit::record(tx, Event::refused(Action::CodeReplayed, Actor::Client, subject(code), "code_replayed"));
            }
            Ok::<_, Failure>(())
        })
        .await?;
    Err(used_already())
}

/// The session that the code hung on has ended. A grant that goes on without it, with offline access or without its privileged
/// scopes, is ended by a replay all the same (RFC 6749 §4.1.2); the replay of one that has ended is recorded, as a late replay
/// of a refresh token is.
async fn replay_after_the_end(exchange: &Exchange<'_>, client: &Client) -> Outcome<(Client, TokenResponse)> {
    let Some(id) = exchange.parameters.get("code").and_then(|code| exchange.mint.codes.verify(code)) else {
        return Err(not_live());
    };
    let found = exchange.db.single(exchange.now, exchange.trace, async |tx| grants::find_redeemed(tx, id).await);
    let Some(grant) = found.await? else { return Err(not_live()) };
    if judge(exchange, client, &(&grant).into()).is_err() {
        return Err(not_live());
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
            let reason = match grant.end_reason.as_deref() {
                // Recorded when the replay ended it.
                Some("code_replayed") => return Ok(()),
                Some(_) => "grant_ended",
                None if sessions::end_family(tx, grant.id, "code_replayed", Actor::Client).await? => "code_replayed",
                None => return Ok(()),
            };
            audit::record(tx, Event::refused(Action::CodeReplayed, Actor::Client, subject, reason));
            Ok::<_, Failure>(())
        })
        .await?;
    Err(used_already())
}

fn not_live() -> Failure {
    let mend = "a code is good for the client it was issued to, while its session lives: sign in again";
    Error::invalid_grant("the code is not valid").detail("code_not_live").mend(mend).into()
}

fn used_already() -> Failure {
    Error::invalid_grant("the code was used already").detail("code_replayed").into()
}

fn expired() -> Failure {
    let mend = "redeem it at once, or set tokens.code to more; compare the clocks of replicas";
    Error::invalid_grant("the code has expired").mend(mend).into()
}

fn subject(code: &Code) -> Subject {
    Subject {
        session_id: Some(code.session_id),
        session_kind: Some(code.session_kind.clone()),
        user_id: code.user_id,
        client_id: Some(code.client_id.clone()),
    }
}
