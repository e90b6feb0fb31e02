//! Who calls the admin API: the same rules as where its tokens are issued, asked at each call.

use uuid::Uuid;

use crate::{
    app::App,
    audit::Actor,
    authentication::{self, Demand},
    config::Access,
    db::{Outcome, access_tokens, sessions, users},
    engine::resource,
    failure::Failure,
    http::{access, extract::Visit},
    oauth::{Error, ErrorCode, Scope},
    tokens::Presented,
};

/// Somebody who may, with a live token for what they want to do.
pub struct Watcher {
    user_id: Uuid,
}

impl Watcher {
    /// No token, or a dead one, is 401; one that does not do is 403. Whether the person may have the scope, as it is declared
    /// by now, is judged each time: a token outlives that by nothing. What is asked of browsers was asked of theirs.
    pub async fn find(app: &App, visit: &Visit, scope: &str) -> Outcome<Self> {
        // RFC 6750 §3.1: no token, no error code.
        let token = visit.bearer().ok_or_else(|| Error::invalid_token(""))?;
        let invalid = || Error::invalid_token("the access token is not valid (any more)");
        let presented = Presented::read(token, &app.mint.keys).ok_or_else(invalid)?;
        let found = app
            .db
            .read(visit.now, &visit.trace, async |tx| {
                let live = access_tokens::find_live(tx, presented.id).await?.filter(|row| presented.is_genuine(row));
                let Some(live) = live else { return Ok(None) };
                let Some(session) = sessions::find_live(tx, live.session_id).await? else { return Ok(None) };
                let groups = match session.user_id {
                    Some(user_id) => users::find_groups(tx, user_id).await?,
                    None => Vec::new(),
                };
                Ok::<_, Failure>(Some((live, session, groups)))
            })
            .await?;
        let (live, session, groups) = found.ok_or_else(invalid)?;
        // RFC 9068 §4, RFC 8707 §2: an API that was given a token must not be able to use it here.
        if !live.audience.iter().any(|audience| audience == app.config.issuer.as_str()) {
            return Err(Error::invalid_token("the access token is not for this server").into());
        }
        resource::admit(scope, &live.scope)?;
        let refused = |why| Error::new(ErrorCode::InsufficientScope, why);
        if session.kind != "privileged" {
            return Err(refused("the access token does not hang on a privileged session").into());
        }
        let person = session.user_id.zip(Demand::of(&Scope::parse(scope)?, &app.config.scopes));
        let (user_id, demand) =
            person.ok_or_else(|| refused("only people may do this, and only what is privileged"))?;
        let is_administrator = session.admin_at.is_some();
        let judge = |rule: &Access| authentication::judge_person(rule, is_administrator, &groups, visit.now);
        let Err(refusal) = demand.access.iter().try_for_each(judge) else { return Ok(Self { user_id }) };
        app.db
            .work(visit.now, &visit.trace, async |tx| {
                access::note(app, tx, Some(&session), &live.token_client_id, Some(&demand), &refusal)
                    .await
                    .map_err(Failure::from)
            })
            .await?;
        Err(refused("this is not for the person of the token, or not now").detail(refusal.as_str()).into())
    }

    /// As whom their deeds are told.
    pub fn actor(&self) -> Actor {
        Actor::Administrator(self.user_id)
    }
}
