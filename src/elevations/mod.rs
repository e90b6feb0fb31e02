//! Four eyes: privileged work that a second person has to agree to before it begins.
//!
//! Somebody asks, for the authorization request at hand; another person decides, or whoever asks breaks the glass and
//! somebody reviews that; the approval is used once, by the transaction that issues the code. Each of these is a change of
//! one row and an event. Not for how strongly anybody proves who they are, and not for which pages ask for it.
//!
//! Invariants: whoever decides or reviews is another person than whoever asked, by the schema too; an approval counts only
//! while whoever gave it may approve, and a broken glass while it can be broken.

use chrono::TimeDelta;
use serde_json::{Value, json};
use uuid::Uuid;

pub use crate::db::{
    elevation_approvals::{Approval, Approvers, Need},
    elevation_requests::{Elevation, NewElevation, Verdict},
};
use crate::{
    audit::{self, Action, Actor, Event, Subject},
    config::{self, builtin::HUB_ELEVATIONS},
    db::{Tx, clients, elevation_approvals, elevation_lists, elevation_requests, sessions::LiveSession},
    failure::Broken,
    notices::mail::{self, Message},
};

/// A person asks for no more than this at once: nobody is to bury a request under others.
const MOST_OPEN: i64 = 10;
/// Of so many requests of a person within half an hour others are written to.
const MOST_MAILED: i64 = 5;

impl Approvers {
    /// Whether a person may decide.
    #[must_use]
    pub fn include(&self, is_administrator: bool, groups: &[String]) -> bool {
        (is_administrator || !self.administrators)
            && (self.groups.is_empty() || self.groups.iter().any(|group| groups.contains(group)))
    }

    /// Whoever may have the scope for deciding may decide; and nobody does without them but where the configuration says so.
    #[must_use]
    pub fn of(scopes: &[config::Scope]) -> Self {
        let privileged = scopes.iter().filter_map(|scope| Some((scope, scope.privileged.as_ref()?)));
        let never_alone = privileged
            .clone()
            .filter(|(_, demands)| demands.approval == config::Approval::FourEyes && !demands.break_glass)
            .map(|(scope, _)| scope.name.clone());
        let access = privileged.clone().find(|(scope, _)| scope.name == HUB_ELEVATIONS).map(|(_, it)| &it.access);
        Self {
            administrators: access.is_none_or(|access| access.administrators),
            groups: access.map(|access| access.groups.clone()).unwrap_or_default(),
            indispensable_for: never_alone.collect(),
        }
    }
}

/// Who of those that decide, or are told, can be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    All,
    /// Some have no address.
    Some,
    Nobody,
}

impl Reach {
    /// Whoever may approve, but for this person.
    pub async fn of_approvers(tx: &mut Tx, approvers: &Approvers, but: Uuid) -> Result<Self, Broken> {
        let found = elevation_lists::find_reach(tx, approvers.administrators, &approvers.groups, but).await?;
        Ok(Self::of(found))
    }

    /// Every administrator, but for this person.
    pub async fn of_administrators(tx: &mut Tx, but: Uuid) -> Result<Self, Broken> {
        Ok(Self::of(elevation_lists::find_reach(tx, true, &[], but).await?))
    }

    fn of((with, without): (bool, bool)) -> Self {
        match (with, without) {
            (true, false) => Self::All,
            (true, true) => Self::Some,
            (false, _) => Self::Nobody,
        }
    }

    /// For a template.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Some => "some",
            Self::Nobody => "nobody",
        }
    }
}

/// What mends that nobody can be written to.
pub const MEND_UNREACHED: &str = "give them one: mooring user set NAME --email ADDRESS";

/// What pages promise and nobody would hear of, in sentences for the operator: nobody who may approve, or no administrator, has
/// an address. Nothing where no scope asks for a second person.
pub async fn find_unreached(tx: &mut Tx, scopes: &[config::Scope]) -> Result<Vec<&'static str>, Broken> {
    let asks = |scope: &config::Scope| {
        scope.privileged.as_ref().is_some_and(|demands| demands.approval == config::Approval::FourEyes)
    };
    if !scopes.iter().any(asks) {
        return Ok(Vec::new());
    }
    let approvers = Reach::of_approvers(tx, &Approvers::of(scopes), Uuid::nil()).await?;
    let administrators = Reach::of_administrators(tx, Uuid::nil()).await?;
    let approvers = (approvers == Reach::Nobody).then_some("nobody who may approve privileged work has a mail address");
    let administrators = (administrators == Reach::Nobody)
        .then_some("no administrator has a mail address: nobody would be told of an emergency");
    Ok(approvers.into_iter().chain(administrators).collect())
}

/// What came of asking.
pub enum Asked {
    New(Box<Elevation>),
    /// Something is open for this authorization request, or it cannot go on any more: look again.
    Already,
    /// The person has too many open.
    TooMany,
}

/// Asks, in the session at hand, and writes to those who may approve.
pub async fn ask(tx: &mut Tx, approvers: &Approvers, new: &NewElevation<'_>) -> Result<Asked, Broken> {
    if elevation_requests::count_open(tx, new.user_id).await? >= MOST_OPEN {
        return Ok(Asked::TooMany);
    }
    let Some(elevation) = elevation_requests::insert(tx, new).await? else { return Ok(Asked::Already) };
    if new.break_glass {
        tell_break_glass(tx, &elevation).await?;
    } else {
        record(tx, &elevation, Action::ElevationRequested, Actor::User, json!({}));
        tell_approvers(tx, approvers, &elevation).await?;
    }
    Ok(Asked::New(Box::new(elevation)))
}

/// By mail; the account page of each says it, too. Who asks again and again does not fill their mailboxes.
async fn tell_approvers(tx: &mut Tx, approvers: &Approvers, elevation: &Elevation) -> Result<(), Broken> {
    let since = tx.now - TimeDelta::minutes(30);
    if elevation_requests::count_since(tx, elevation.user_id, since).await? > MOST_MAILED {
        return Ok(());
    }
    let client = client_name(tx, elevation).await?;
    let message = Message::ApprovalWanted {
        who: &elevation.username,
        scope: &elevation.scope.join(" "),
        client: &client,
        reason: &elevation.reason,
        minutes: elevation.minutes,
    };
    let (administrators, groups) = (approvers.administrators, &approvers.groups);
    for approver in elevation_lists::load_deciding(tx, administrators, groups, elevation.user_id).await? {
        mail::tell(tx, approver, &message).await?;
    }
    Ok(())
}

/// The client in which the work is done, as people know it, with its id.
async fn client_name(tx: &mut Tx, elevation: &Elevation) -> Result<String, Broken> {
    let shown = clients::load_shown(tx, &[elevation.client_id.as_str()]).await?;
    let id = &elevation.client_id;
    let name = shown.into_iter().find_map(|client| client.client_name);
    Ok(name.map_or_else(|| id.clone(), |name| format!("{name} ({id})")))
}

/// Whoever asked goes on alone. `None`: somebody has decided meanwhile, or it is over.
pub async fn break_glass(tx: &mut Tx, id: Uuid, user_id: Uuid) -> Result<Option<Elevation>, Broken> {
    let elevation = elevation_requests::break_glass(tx, id, user_id).await?;
    if let Some(elevation) = &elevation {
        tell_break_glass(tx, elevation).await?;
    }
    Ok(elevation)
}

/// Loud: in the log, in the trail, and by mail to every administrator.
async fn tell_break_glass(tx: &mut Tx, elevation: &Elevation) -> Result<(), Broken> {
    tracing::warn!(elevation = %elevation.id, user = %elevation.user_id, client = elevation.client_id,
        scope = elevation.scope.join(" "), reason = elevation.reason, "somebody broke the glass: a review is open");
    record(tx, elevation, Action::ElevationBreakGlass, Actor::User, json!({}));
    let client = client_name(tx, elevation).await?;
    let message = Message::GlassBroken {
        who: &elevation.username,
        scope: &elevation.scope.join(" "),
        client: &client,
        reason: &elevation.reason,
    };
    for administrator in elevation_lists::load_administrators(tx, elevation.user_id).await? {
        mail::tell(tx, administrator, &message).await?;
    }
    Ok(())
}

/// Whoever asked takes it back. `false`: it was used or over before.
pub async fn withdraw(tx: &mut Tx, id: Uuid, user_id: Uuid) -> Result<bool, Broken> {
    let Some(elevation) = elevation_requests::withdraw(tx, id, user_id).await? else { return Ok(false) };
    record(tx, &elevation, Action::ElevationVoided, Actor::User, json!({ "why": "withdrawn" }));
    Ok(true)
}

/// Another person decides, in the privileged session `deciding`. `None`: it is not open any more, or is their own.
pub async fn decide(
    tx: &mut Tx,
    id: Uuid,
    deciding: &LiveSession,
    verdict: &Verdict<'_>,
) -> Result<Option<Elevation>, Broken> {
    let Some(elevation) = elevation_requests::decide(tx, id, verdict).await? else { return Ok(None) };
    let action = if verdict.approve { Action::ElevationApproved } else { Action::ElevationRefused };
    record_in(tx, &elevation, action, deciding, json!({ "note": verdict.note, "approver": verdict.approver_id }));
    Ok(Some(elevation))
}

/// Another person has looked at a break-glass, in the privileged session `deciding`. `None`: it was reviewed, or is their
/// own.
pub async fn review(
    tx: &mut Tx,
    id: Uuid,
    deciding: &LiveSession,
    reviewer_id: Uuid,
    note: Option<&str>,
) -> Result<Option<Elevation>, Broken> {
    let Some(elevation) = elevation_requests::review(tx, id, reviewer_id, note).await? else { return Ok(None) };
    record_in(tx, &elevation, Action::ElevationReviewed, deciding, json!({ "note": note, "reviewer": reviewer_id }));
    Ok(Some(elevation))
}

/// Uses the approval for the privileged session that begins or goes on with it, inside the transaction that issues the
/// code. Returns for how many minutes at most. `None`: there is none that stands, so nothing may be issued.
pub async fn consume(
    tx: &mut Tx,
    approvers: &Approvers,
    need: &Need<'_>,
    privileged_session_id: Uuid,
) -> Result<Option<i32>, Broken> {
    let Some(elevation) = elevation_approvals::consume(tx, approvers, need, privileged_session_id).await? else {
        return Ok(None);
    };
    let subject = Subject {
        session_id: Some(privileged_session_id),
        session_kind: Some("privileged".into()),
        user_id: Some(elevation.user_id),
        client_id: Some(elevation.client_id.clone()),
    };
    let event = Event::done(Action::ElevationUsed, Actor::User, subject);
    audit::record(tx, event.detail(facts(&elevation, json!({}))));
    Ok(Some(elevation.minutes))
}

/// Voids what can come to nothing any more, of one authorization request or of all. Returns how many, at most `limit`.
pub async fn void_fallen(
    tx: &mut Tx,
    approvers: &Approvers,
    request_id: Option<Uuid>,
    limit: i64,
) -> Result<usize, Broken> {
    let fallen = elevation_approvals::void_fallen(tx, approvers, request_id, limit).await?;
    for elevation in &fallen {
        record(tx, elevation, Action::ElevationVoided, Actor::Server, json!({ "why": elevation.void_reason }));
    }
    Ok(fallen.len())
}

/// An event about whoever asked, in the user session they asked in.
fn record(tx: &mut Tx, elevation: &Elevation, action: Action, actor: Actor, more: Value) {
    let subject = Subject {
        session_id: Some(elevation.session_id),
        session_kind: Some("user".into()),
        user_id: Some(elevation.user_id),
        client_id: Some(elevation.client_id.clone()),
    };
    audit::record(tx, Event::done(action, actor, subject).detail(facts(elevation, more)));
}

/// An event in the privileged session of whoever decided; whom it is about is in its detail.
fn record_in(tx: &mut Tx, elevation: &Elevation, action: Action, deciding: &LiveSession, more: Value) {
    let subject = Subject {
        session_id: Some(deciding.id),
        session_kind: Some(deciding.kind.clone()),
        user_id: deciding.user_id,
        client_id: Some(elevation.client_id.clone()),
    };
    audit::record(tx, Event::done(action, Actor::User, subject).detail(facts(elevation, more)));
}

/// What every event of an elevation says of it.
fn facts(elevation: &Elevation, more: Value) -> Value {
    let mut facts = json!({
        "elevation": elevation.id, "requester": elevation.user_id, "requester_session": elevation.session_id,
        "scope": elevation.scope, "reason": elevation.reason, "minutes": elevation.minutes,
    });
    if let (Value::Object(facts), Value::Object(more)) = (&mut facts, more) {
        let known = [
            ("approver", elevation.approver_id.map(|id| json!(id))),
            ("break_glass", elevation.break_glass_at.map(|_| json!(true))),
        ];
        facts.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        facts.extend(more.into_iter().filter(|(_, value)| !value.is_null()));
    }
    facts
}
