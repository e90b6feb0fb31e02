//! Who calls the admin API.

use uuid::Uuid;

use crate::{
    app::App,
    audit::Actor,
    db::{Outcome, access_tokens, sessions},
    engine::resource,
    failure::Failure,
    http::extract::Visit,
    oauth::{Error, ErrorCode},
    tokens::Presented,
};

/// An administrator with a live token for what they want to do.
pub struct Watcher {
    user_id: Uuid,
}

impl Watcher {
    /// No token, or a dead one, is 401; one that does not do is 403. That somebody is an administrator is looked up each
    /// time: a token outlives being one by nothing.
    pub async fn find(app: &App, visit: &Visit, scope: &str) -> Outcome<Self> {
        // RFC 6750 §3.1: no token, no error code.
        let token = visit.bearer().ok_or_else(|| Error::invalid_token(""))?;
        let invalid = || Error::invalid_token("the access token is not valid (any more)");
        let presented = Presented::read(token, &app.mint.keys).ok_or_else(invalid)?;
        let (live, session) = app
            .db
            .read(visit.now, &visit.trace, async |tx| {
                let live = access_tokens::find_live(tx, presented.id).await?.filter(|row| presented.is_genuine(row));
                let session = match &live {
                    Some(live) => sessions::find_live(tx, live.session_id).await?,
                    None => None,
                };
                Ok::<_, Failure>((live, session))
            })
            .await?;
        let (live, session) = live.zip(session).ok_or_else(invalid)?;
        // RFC 9068 §4, RFC 8707 §2: an API that was given a token must not be able to use it here.
        if !live.audience.iter().any(|audience| audience == app.config.issuer.as_str()) {
            return Err(Error::invalid_token("the access token is not for this server").into());
        }
        resource::admit(scope, &live.scope)?;
        let refused = |why| Error::new(ErrorCode::InsufficientScope, why);
        if session.kind != "privileged" {
            return Err(refused("the access token does not hang on a privileged session").into());
        }
        match (session.user_id, session.admin_at) {
            (Some(user_id), Some(_)) => Ok(Self { user_id }),
            _ => Err(refused("only administrators may do this").into()),
        }
    }

    /// As whom their deeds are told.
    pub fn actor(&self) -> Actor {
        Actor::Administrator(self.user_id)
    }
}
