//! `session_clients`: which relying parties took part in a session, for its whole life.

use diesel::{QueryableByName, sql_types as sql};
use diesel_async::RunQueryDsl;
use uuid::Uuid;

use super::{Tx, statement::Cached, work::OrBroken};
use crate::failure::Broken;

/// A party that wants to be told in the browser (OpenID Connect Front-Channel Logout 1.0).
#[derive(Clone, Debug, QueryableByName)]
pub struct FrontChannelParty {
    /// As registered.
    #[diesel(sql_type = sql::Text)]
    pub frontchannel_logout_uri: String,
    /// The name under which it knows the session.
    #[diesel(sql_type = sql::Uuid)]
    pub sid: Uuid,
}

/// The parties of a session that want to be told in the browser, in the order in which they joined; not the disabled ones.
pub async fn load_front_channel(tx: &mut Tx, session_id: Uuid) -> Result<Vec<FrontChannelParty>, Broken> {
    Cached(
        diesel::sql_query(
            "SELECT c.frontchannel_logout_uri, k.sid FROM session_clients k JOIN LATERAL (SELECT disabled_at, \
                 metadata->>'frontchannel_logout_uri' AS frontchannel_logout_uri FROM clients \
                 WHERE client_id = k.client_id OFFSET 0) c ON true WHERE k.session_id = $1 AND c.disabled_at IS NULL \
             AND c.frontchannel_logout_uri IS NOT NULL ORDER BY k.joined_at, k.client_id",
        )
        .bind::<sql::Uuid, _>(session_id),
    )
    .load(&mut tx.conn())
    .await
    .or_broken("load front-channel parties")
}
