//! The closed list of events.

use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::audit_events::AuditEvent;

/// What was done. The names are stable: alerts and reports are written against them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    SessionStarted,
    SessionReauthenticated,
    SessionEnded,
    SessionLocked,
    SessionUnlocked,
    /// What a resource server says was done with a session's token.
    WorkReported,
    SignIn,
    /// A privileged scope is not for this person, place or time.
    AccessRefused,
    ElevationRequested,
    ElevationApproved,
    ElevationRefused,
    ElevationVoided,
    ElevationUsed,
    /// Somebody went on without a second person.
    ElevationBreakGlass,
    ElevationReviewed,
    /// A privileged scope was asked for.
    PrivilegeRequested,
    /// A person proved themselves for privileged work that goes on.
    PrivilegeProved,
    CodeIssued,
    CodeRedeemed,
    CodeReplayed,
    TokenIssued,
    TokenRefreshed,
    RefreshReplayed,
    TokenRevoked,
    GrantRevoked,
    /// A client signed somebody out without their browser.
    ClientSignedOut,
    /// A person left before they were asked for consent.
    AuthorizationCancelled,
    ConsentGranted,
    ConsentDenied,
    ConsentWithdrawn,
    ClientAuthentication,
    UserAdded,
    UserChanged,
    UserDisabled,
    CredentialAdded,
    CredentialRenamed,
    CredentialRemoved,
    CredentialSuspended,
    /// A passkey that was attested as hardware can be backed up by now.
    CredentialDowngraded,
    RecoveryCodesMade,
    RecoveryCodeUsed,
    PasswordChanged,
    PasswordResetAsked,
    PasswordReset,
    AdministratorSetUp,
    ClientAdded,
    ClientChanged,
    ClientDisabled,
    ClientRegistered,
    ClientDeleted,
    ClientRegistrationAccess,
    KeyAdded,
    KeyRetired,
    NoticeDelivered,
    NoticeSkipped,
    NoticeAbandoned,
}

impl Action {
    /// Whether it is part of what leads to privileged work, or keeps it from beginning: that is told in the privileged trail,
    /// though the session at hand is not a privileged one.
    fn leads_to_privilege(self) -> bool {
        matches!(
            self,
            Self::PrivilegeRequested
                | Self::PrivilegeProved
                | Self::AccessRefused
                | Self::ElevationRequested
                | Self::ElevationApproved
                | Self::ElevationRefused
                | Self::ElevationVoided
                | Self::ElevationUsed
                | Self::ElevationBreakGlass
                | Self::ElevationReviewed
        )
    }

    /// The name in the trail.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SessionStarted => "session.started",
            Self::SessionReauthenticated => "session.reauthenticated",
            Self::SessionEnded => "session.ended",
            Self::SessionLocked => "session.locked",
            Self::SessionUnlocked => "session.unlocked",
            Self::WorkReported => "work.reported",
            Self::SignIn => "sign_in",
            Self::AccessRefused => "access.refused",
            Self::ElevationRequested => "elevation.requested",
            Self::ElevationApproved => "elevation.approved",
            Self::ElevationRefused => "elevation.refused",
            Self::ElevationVoided => "elevation.voided",
            Self::ElevationUsed => "elevation.used",
            Self::ElevationBreakGlass => "elevation.break_glass",
            Self::ElevationReviewed => "elevation.reviewed",
            Self::PrivilegeRequested => "privilege.requested",
            Self::PrivilegeProved => "privilege.proved",
            Self::CodeIssued => "code.issued",
            Self::CodeRedeemed => "code.redeemed",
            Self::CodeReplayed => "code.replayed",
            Self::TokenIssued => "token.issued",
            Self::TokenRefreshed => "token.refreshed",
            Self::RefreshReplayed => "refresh.replayed",
            Self::TokenRevoked => "token.revoked",
            Self::ClientSignedOut => "client.signed_out",
            Self::GrantRevoked => "grant.revoked",
            Self::AuthorizationCancelled => "authorization.cancelled",
            Self::ConsentGranted => "consent.granted",
            Self::ConsentDenied => "consent.denied",
            Self::ConsentWithdrawn => "consent.withdrawn",
            Self::ClientAuthentication => "client.authentication",
            Self::UserAdded => "user.added",
            Self::UserChanged => "user.changed",
            Self::UserDisabled => "user.disabled",
            Self::CredentialAdded => "credential.added",
            Self::CredentialRenamed => "credential.renamed",
            Self::CredentialRemoved => "credential.removed",
            Self::CredentialSuspended => "credential.suspended",
            Self::CredentialDowngraded => "credential.downgraded",
            Self::RecoveryCodesMade => "recovery_codes.made",
            Self::RecoveryCodeUsed => "recovery_code.used",
            Self::PasswordChanged => "password.changed",
            Self::PasswordResetAsked => "password.reset_asked",
            Self::PasswordReset => "password.reset",
            Self::AdministratorSetUp => "administrator.set_up",
            Self::ClientAdded => "client.added",
            Self::ClientChanged => "client.changed",
            Self::ClientDisabled => "client.disabled",
            Self::ClientRegistered => "client.registered",
            Self::ClientDeleted => "client.deleted",
            Self::ClientRegistrationAccess => "client.registration_access",
            Self::KeyAdded => "key.added",
            Self::KeyRetired => "key.retired",
            Self::NoticeDelivered => "notice.delivered",
            Self::NoticeSkipped => "notice.skipped",
            Self::NoticeAbandoned => "notice.abandoned",
        }
    }
}

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    Visitor,
    User,
    Client,
    /// An administrator by the hub or the admin API; who, stands in the detail as `by`.
    Administrator(Uuid),
    /// Someone with a shell on this machine.
    Operator,
    Server,
}

impl Actor {
    fn as_str(self) -> &'static str {
        match self {
            Self::Visitor => "visitor",
            Self::User => "user",
            Self::Client => "client",
            Self::Administrator(_) => "administrator",
            Self::Operator => "operator",
            Self::Server => "server",
        }
    }
}

/// The session, person and client that an event is about.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    pub session_id: Option<Uuid>,
    /// Kind of that session.
    pub session_kind: Option<String>,
    pub user_id: Option<Uuid>,
    pub client_id: Option<String>,
}

impl Subject {
    /// The same, where a client takes part.
    #[must_use]
    pub fn with_client(self, client_id: &str) -> Self {
        Self { client_id: Some(client_id.to_owned()), ..self }
    }
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Event {
    action: Action,
    actor: Actor,
    subject: Subject,
    refused: bool,
    reason: Option<String>,
    detail: Option<Value>,
}

impl Event {
    /// Something that was done.
    pub fn done(action: Action, actor: Actor, subject: Subject) -> Self {
        Self { action, actor, subject, refused: false, reason: None, detail: None }
    }

    /// Something that was attempted and refused, with a stable reason.
    pub fn refused(action: Action, actor: Actor, subject: Subject, reason: impl Into<String>) -> Self {
        Self { action, actor, subject, refused: true, reason: Some(reason.into()), detail: None }
    }

    /// Adds why.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// Adds facts; never a secret, never an address.
    #[must_use]
    pub fn detail(mut self, detail: Value) -> Self {
        self.detail = Some(detail);
        self
    }

    pub(super) fn into_row(self) -> AuditEvent {
        let detail = match (self.actor, self.detail) {
            (Actor::Administrator(by), Some(Value::Object(mut facts))) => {
                facts.insert("by".to_owned(), by.to_string().into());
                Some(Value::Object(facts))
            }
            (Actor::Administrator(by), None) => Some(json!({ "by": by })),
            (_, detail) => detail,
        };
        AuditEvent {
            kind: if self.action.leads_to_privilege() {
                "privileged"
            } else {
                kind(self.subject.session_kind.as_deref())
            },
            session_id: self.subject.session_id,
            actor: self.actor.as_str(),
            user_id: self.subject.user_id,
            client_id: self.subject.client_id,
            action: self.action.as_str(),
            outcome: if self.refused { "refused" } else { "done" },
            reason: self.reason,
            detail,
        }
    }
}

/// Which trail it belongs to: that of a kind of session, or the server's own.
fn kind(session_kind: Option<&str>) -> &'static str {
    match session_kind {
        Some("visitor") => "visitor",
        Some("user") => "user",
        Some("privileged") => "privileged",
        Some("service") => "service",
        Some("offline") => "offline",
        Some("device") => "device",
        _ => "server",
    }
}
