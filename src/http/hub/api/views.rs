//! What the admin API says of sessions and events. Apart from the rows of the database, so that a column more there is no
//! change here.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::{audit::ExportedEvent, db::session_lists::ListedSession};

/// A session.
#[derive(Serialize, ToSchema)]
pub struct Session {
    id: Uuid,
    /// `visitor`, `user`, `privileged`, `service`, `offline` or `device`.
    kind: String,
    /// The user session that a privileged one belongs to and dies with.
    parent_id: Option<Uuid>,
    user_id: Option<Uuid>,
    username: Option<String>,
    /// The client of a service or offline session.
    client_id: Option<String>,
    acr: String,
    auth_time: Option<DateTime<Utc>>,
    started_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    /// Nothing has ended it, and it is not locked.
    live: bool,
    locked_at: Option<DateTime<Utc>>,
    lock_reason: Option<String>,
    ended_at: Option<DateTime<Utc>>,
    /// A code, such as `signed_out`, `expired` or `ended_by_operator`.
    end_reason: Option<String>,
    /// What was said where it was ended by hand.
    end_note: Option<String>,
    /// Coarse, such as `203.0.x.x`.
    place: Option<String>,
    /// Coarse, such as `Firefox on Linux`.
    device: Option<String>,
    /// The clients that took part.
    clients: Vec<Party>,
}

/// A client that took part in a session.
#[derive(Serialize, ToSchema)]
pub struct Party {
    client_id: String,
    /// Under which name it knows the session.
    sid: Uuid,
}

/// Sessions, newest first.
#[derive(Serialize, ToSchema)]
pub struct Sessions {
    pub sessions: Vec<Session>,
    /// There may be more: they are before this one.
    pub next: Option<Uuid>,
}

/// A session and what happened in it.
#[derive(Serialize, ToSchema)]
pub struct SessionWithTimeline {
    #[serde(flatten)]
    pub session: Session,
    /// In order; of a very long story the newest thousand events.
    pub timeline: Vec<Event>,
}

/// Something that happened.
#[derive(Serialize, ToSchema)]
pub struct Event {
    id: Uuid,
    at: DateTime<Utc>,
    /// The kind of the session.
    kind: String,
    /// `user`, `visitor`, `client`, `administrator`, `operator` or `server`.
    actor: String,
    /// The person concerned.
    user: Option<Uuid>,
    /// The client concerned; of `work.reported`, the one that reports.
    client: Option<String>,
    /// Such as `session.started`, `token.issued`, `work.reported`.
    action: String,
    /// `done` or `refused`.
    outcome: String,
    reason: Option<String>,
    /// Facts of the action; of `work.reported`, what was reported.
    #[schema(value_type = Option<Object>)]
    detail: Option<Value>,
    /// The request.
    trace: Option<String>,
    /// A keyed hash: the same for the same network.
    source: Option<String>,
    /// A keyed hash: the same for the same user agent.
    agent: Option<String>,
}

/// Why something was refused (RFC 6749 §5.2).
#[derive(Serialize, ToSchema)]
pub struct Refusal {
    error: String,
    error_description: String,
}

impl Session {
    pub fn id(&self) -> Uuid {
        self.id
    }
}

impl From<ListedSession> for Session {
    fn from(row: ListedSession) -> Self {
        let parties = row.clients.into_iter().zip(row.sids);
        Self {
            id: row.id,
            kind: row.kind,
            parent_id: row.parent_id,
            user_id: row.user_id,
            username: row.username,
            client_id: row.client_id,
            acr: row.acr,
            auth_time: row.auth_time,
            started_at: row.created_at,
            last_seen_at: row.last_seen_at,
            expires_at: row.expires_at,
            live: row.live,
            locked_at: row.locked_at,
            lock_reason: row.lock_reason,
            ended_at: row.ended_at,
            end_reason: row.end_reason,
            end_note: row.end_note,
            place: row.place,
            device: row.device,
            clients: parties.map(|(client_id, sid)| Party { client_id, sid }).collect(),
        }
    }
}

impl From<ExportedEvent> for Event {
    fn from(row: ExportedEvent) -> Self {
        Self {
            id: row.id,
            at: row.at,
            kind: row.kind,
            actor: row.actor,
            user: row.user,
            client: row.client,
            action: row.action,
            outcome: row.outcome,
            reason: row.reason,
            detail: row.detail,
            trace: row.trace,
            source: row.source,
            agent: row.agent,
        }
    }
}
