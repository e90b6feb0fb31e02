//! OpenID Connect Back-Channel Logout 1.0: a signed logout token, posted to the relying party.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{
    clients::Client,
    db::notices::DueNotice,
    outbound::{Outbound, Unsent},
    tokens::{LogoutTokenFacts, Mint},
};

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The party took it (§2.8).
    Delivered,
    /// Not this time; why.
    Failed(String),
    /// It is not to be delivered at all: a stable reason for the audit, and why in words.
    Skipped { reason: &'static str, why: String },
}

fn skipped(reason: &'static str, why: impl Into<String>) -> Attempt {
    Attempt::Skipped { reason, why: why.into() }
}

/// Tells the party that the session has ended. `jti` names this try's token: one that comes again is a new token with a
/// new name, which a party that remembers names does not take for a replay.
pub async fn attempt(mint: &Mint, outbound: &Outbound, notice: &DueNotice, jti: Uuid, now: DateTime<Utc>) -> Attempt {
    let client = match Client::from_row(notice.client.clone()) {
        Ok(client) => client,
        Err(broken) => return Attempt::Failed(broken.to_string()),
    };
    if client.is_disabled {
        return skipped("client_disabled", "the client was disabled");
    }
    let Some(uri) = &client.metadata.backchannel_logout_uri else {
        return skipped("no_backchannel_logout_uri", "the client has no backchannel_logout_uri any more");
    };
    let who = mint.subjects.who(notice.user_id, &notice.session_kind, notice.session_id);
    let subject = who.map(|who| mint.subjects.of(&client.metadata, who));
    let facts =
        LogoutTokenFacts { client_id: &client.id, subject: subject.as_deref(), sid: notice.sid, jti, issued_at: now };
    // §2.4: the algorithm of the party's ID tokens.
    let token = match mint.logout_token(client.signing_algorithm(), &facts) {
        Ok(token) => token,
        Err(broken) => return Attempt::Failed(broken.to_string()),
    };
    match outbound.post_form(uri, &[("logout_token", &token)]).await {
        Ok(()) => Attempt::Delivered,
        Err(Unsent::Blocked(why)) => skipped("address_blocked", why.to_string()),
        Err(Unsent::Failed(why)) => Attempt::Failed(why.to_string()),
    }
}
