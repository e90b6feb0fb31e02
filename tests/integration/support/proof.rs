//! A proof without an authenticator: a person has a factor, and has just used it for a request. How factors themselves
//! are verified is told elsewhere; here the session keeps its cookie, as no browser was there to be given another.

use mooring::{
    db::authorization_requests::{self, Proved},
    sessions::Proof,
};
use uuid::Uuid;

use super::{Server, agent::Page};

/// The stored request that a page is about.
pub fn request_of(page: &Page) -> Uuid {
    let form = page.forms().into_iter().find(|form| form.field("request").is_some());
    let form = form.unwrap_or_else(|| panic!("no form of a request at {}:\n{}", page.url, page.body));
    form.field("request").unwrap().parse().expect("an id")
}

impl Server {
    /// Has somebody enrol a factor, nobody asks how.
    pub async fn enrol(&self, username: &str, kind: &str) {
        let statement = format!(
            "INSERT INTO credentials (id, user_id, kind, label, created_at, changed_at) \
             SELECT gen_random_uuid(), id, '{kind}', 'test', created_at, created_at FROM users WHERE username = '{username}'"
        );
        self.rows(&statement).await;
    }

    /// The person proves themselves for the request of this page.
    pub async fn prove(&self, page: &Page, username: &str, proof: Proof) {
        let request_id = request_of(page);
        let user_id: Uuid = self.user_id(username).await.parse().expect("an id");
        // The newest of each kind that it takes.
        let kinds = if proof.amr.contains(&"pwd") { "'password', 'totp'" } else { "'passkey'" };
        let with = self
            .rows(&format!(
                "SELECT DISTINCT ON (kind) id FROM credentials WHERE user_id = '{user_id}' AND kind IN ({kinds}) \
                 AND ended_at IS NULL AND suspended_at IS NULL ORDER BY kind, created_at DESC, id DESC"
            ))
            .await;
        let with: Vec<Uuid> = with.into_iter().filter_map(|row| row[0].as_deref()?.parse().ok()).collect();
        let proved = Proved { acr: proof.acr.as_str(), amr: proof.amr, with: &with };
        self.work(async |tx| authorization_requests::note_proof(tx, request_id, user_id, &proved).await).await;
        let amr = proof.amr.join(",");
        self.rows(&format!(
            "UPDATE sessions s SET acr = '{}', amr = '{{{amr}}}', auth_time = r.proved_at, proved_with = r.proved_with, \
             proof_lost_at = NULL FROM authorization_requests r \
             WHERE r.id = '{request_id}' AND s.id = r.session_id",
            proof.acr
        ))
        .await;
    }
}
