//! What only requests for more than a sign-in have to know; an ordinary one pays nothing for it.

use crate::{
    app::App,
    authentication::Refusal,
    authorize::AuthorizationRequest,
    db::{
        Outcome, authorization_requests, elevation_approvals,
        privileged_sessions::{self, Privilege},
    },
    elevations::{Approval, Approvers, Need},
    http::{access, extract::Visit, pending::Known},
    oauth::Acr,
};

/// Of the person who is there.
#[derive(Default)]
pub struct Facts {
    pub privilege: Option<Privilege>,
    /// Why they may not have what is asked for, here and now.
    pub refusal: Option<Refusal>,
    /// What a second person agreed to.
    pub approval: Option<Approval>,
}

impl Facts {
    pub async fn load(
        app: &App,
        visit: &Visit,
        known: &Known,
        request: &AuthorizationRequest,
        stored: Option<&authorization_requests::AuthorizationRequest>,
    ) -> Outcome<Self> {
        let Some((session, user_id)) = known.session.as_ref().and_then(|session| Some((session, session.user_id?)))
        else {
            return Ok(Self::default());
        };
        if !request.asks_for_more_than(session.acr.parse().unwrap_or(Acr::Visitor)) {
            return Ok(Self::default());
        }
        let client_id = known.client.id.as_str();
        let demand = request.demand.as_ref();
        let need = demand.filter(|demand| demand.four_eyes).map(|demand| Need {
            request_id: stored.map(|stored| stored.id),
            user_id,
            session_id: session.root_id,
            client_id,
            scope: &demand.scope,
        });
        let approvers = Approvers::of(&app.config.scopes);
        let (privilege, approval) = app
            .db
            .read(visit.now, &visit.trace, async |tx| {
                let privilege = privileged_sessions::find_privilege(tx, client_id, user_id, session.root_id).await?;
                let approval = match &need {
                    Some(need) => elevation_approvals::find_approval(tx, &approvers, need).await?,
                    None => None,
                };
                Ok::<_, crate::failure::Failure>((privilege, approval))
            })
            .await?;
        let refusal = demand.and_then(|demand| access::judge(visit, &privilege.who, demand).err());
        Ok(Self { privilege: Some(privilege), refusal, approval })
    }
}
