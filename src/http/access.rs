//! Who may ask for a privileged scope, from where and when, asked of the browser at hand.

use serde_json::json;

use super::extract::Visit;
use crate::{
    app::App,
    audit::{self, Action, Actor, Event},
    authentication::{self, Circumstances, Demand, Refusal},
    db::{Tx, privileged_sessions::Who, sessions::LiveSession},
    failure::Broken,
    sessions,
};

/// Judges every rule of the demand.
pub fn judge(visit: &Visit, of: &Who, demand: &Demand) -> Result<(), Refusal> {
    let circumstances = Circumstances {
        administrator: of.is_administrator,
        groups: &of.groups,
        address: Some(visit.address).filter(|_| visit.is_address_known),
        known_device: of.knows_device,
        now: visit.now,
    };
    demand.access.iter().try_for_each(|rule| authentication::judge(rule, &circumstances))
}

/// Notes that somebody was refused: for the same reason once a minute, whatever they open again.
pub async fn note(
    app: &App,
    tx: &mut Tx,
    session: Option<&LiveSession>,
    client_id: &str,
    demand: Option<&Demand>,
    refusal: &Refusal,
) -> Result<(), Broken> {
    let scope = demand.map(|demand| &demand.scope);
    if let Some(session) = session {
        let scopes = scope.map(|scope| scope.join(" ")).unwrap_or_default();
        let about = [b"access".as_slice(), client_id.as_bytes(), scopes.as_bytes(), refusal.as_str().as_bytes()];
        if !app.sources.may_record(tx, session.root_id, &about).await? {
            return Ok(());
        }
    }
    let subject = session.map(sessions::subject).unwrap_or_default().with_client(client_id);
    let event = Event::refused(Action::AccessRefused, Actor::User, subject, refusal.as_str());
    audit::record(tx, event.detail(json!({ "scope": scope })));
    Ok(())
}
