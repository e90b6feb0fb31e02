//! A stored request comes back: whose browser is it, and did it really send this form?

use chrono::TimeDelta;
use uuid::Uuid;

use crate::{
    db::{authorization_requests::AuthorizationRequest, sessions::LiveSession},
    jose::{Key256, base64url, from_base64url},
};

/// How long a person may take over a stored request.
pub const PATIENCE: TimeDelta = TimeDelta::hours(1);

/// Whose a stored request is, seen from the browser that shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// This browser's: its session holds it.
    This,
    /// This browser's visitor session held it, and signed in meanwhile: a second tab, a form sent twice.
    Successor,
    /// Nobody's yet: it came by a cross-site POST, without a cookie.
    Nobody,
    /// Another visit's, in which nobody has signed in. Tabs that begin at once without a cookie begin a visit each, and the
    /// browser keeps the cookie of one.
    AnotherVisit,
    /// Another browser's.
    Another,
}

/// Says whose the request is. `outdated`: the session that a genuine but outdated cookie names, if there is one.
/// `holder`: the live session that holds the request, where it is not the browser's.
pub fn owner(
    request: &AuthorizationRequest,
    session: Option<&LiveSession>,
    outdated: Option<Uuid>,
    holder: Option<&LiveSession>,
) -> Owner {
    let Some(held_by) = request.session_id else { return Owner::Nobody };
    if session.is_some_and(|session| session.root_id == held_by) {
        return Owner::This;
    }
    // A visitor session may have been succeeded since it was looked up.
    let before = outdated.or(session.filter(|session| session.user_id.is_none()).map(|session| session.id));
    if before.is_some_and(|before| before == held_by || holder.is_some_and(|held| held.visitor_id == Some(before))) {
        return Owner::Successor;
    }
    // The person left in one tab while they signed in in another: the refusal stayed with the visit.
    if request.denied_at.is_some() && session.is_some_and(|session| session.visitor_id == Some(held_by)) {
        return Owner::Successor;
    }
    match holder {
        Some(held) if held.user_id.is_none() && request.completed_at.is_none() => Owner::AnotherVisit,
        _ => Owner::Another,
    }
}

/// The CSRF token of a request's forms. It belongs to the request, not to the session's secret, so that a second tab's
/// form is still good after the first has signed in; a form that speaks to somebody belongs to that person too.
pub fn csrf(key: &Key256, request_id: Uuid, person: Option<Uuid>) -> String {
    base64url(&key.mac(&[b"authorization-request", request_id.as_bytes(), person.unwrap_or_default().as_bytes()]))
}

/// Whether a form carries the request's token; in constant time.
pub fn csrf_fits(key: &Key256, request_id: Uuid, person: Option<Uuid>, presented: &str) -> bool {
    from_base64url(presented).is_some_and(|tag| {
        key.verify(&[b"authorization-request", request_id.as_bytes(), person.unwrap_or_default().as_bytes()], &tag)
    })
}
