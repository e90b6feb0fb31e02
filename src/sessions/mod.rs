//! Sessions, the centre: how they start, how their secret changes, how they end.
//!
//! Every function here makes its change and its audit event in the caller's unit of work. What a session *is* lives in
//! the schema; whether it is live is `live_sessions`' to say. Not for what hangs on a session: that dies with it by
//! being looked up through it.

mod cookie;
mod device;
mod end;
mod lock;
mod offline;
mod privileged;
mod proof;
mod rights;
mod sign_in;
mod unproved;
mod visitor;

pub use cookie::{CookieNames, Cookies, PresentedCookie};
pub use device::{DeviceCookie, find_device, remember_device};
pub use end::{
    Offline, end, end_all_by_hand, end_all_of_user, end_by_client, end_by_hand, end_client, end_dead, end_family,
    end_others, end_privileged, sign_out,
};
pub use lock::{REASON_RULE, is_reason, lock, unlock};
pub use offline::start_offline;
pub use privileged::{Elevated, Elevation, elevate};
pub use proof::Proof;
pub use rights::{set_admin, set_groups};
pub use sign_in::{SignIn, SignedIn, sign_in};
pub use unproved::end_unproved;
pub use visitor::start_visitor;

use crate::{audit::Subject, db::sessions::LiveSession};

/// A live session as the subject of an event.
#[must_use]
pub fn subject(session: &LiveSession) -> Subject {
    Subject {
        session_id: Some(session.id),
        session_kind: Some(session.kind.clone()),
        user_id: session.user_id,
        client_id: None,
    }
}
