//! What becomes of an approval when a credential of whoever gave it dies, long after their own privileged session.

use chrono::TimeDelta;
use mooring::sessions;

use super::{Approver, CAROL, Requester, SCOPE, server_of, settings};
use crate::support::{ALICE, Server, agent::Page, process::Installation};

/// Alice goes on with what Carol approved, whose privileged session has ended by itself; meanwhile, this happens.
async fn after(meanwhile: impl AsyncFnOnce(&Server)) -> Page {
    let server = server_of(settings().set("privileged.idle", "1m")).await;
    let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("The gold is due", "5").await;
    Approver::arrive(&server, CAROL).await.decide("approve", "").await;
    server.advance(TimeDelta::minutes(2)).await;
    server.work(async |tx| sessions::end_dead(tx, 100).await).await;
    let ended = "SELECT string_agg(end_reason, ' ') FROM sessions WHERE kind = 'privileged'";
    assert_eq!(server.value(ended).await, "idle");
    meanwhile(&server).await;
    alice.look().await
}

fn is_no_code(page: &Page) {
    assert!(page.url.path().ends_with("/elevation"), "{}:\n{}", page.url, page.body);
}

#[tokio::test]
async fn the_end_of_the_approvers_session_takes_nothing_back() {
    let page = after(async |_| ()).await;
    page.code();
}

#[tokio::test]
async fn a_withdrawn_passkey_takes_its_approval_back() {
    let page = after(async |server| {
        let operator = Installation::on(server.app.config.database.url.as_deref().unwrap());
        operator.run(&["user", "forget-passkeys", CAROL, "--all"]).done();
    })
    .await;
    is_no_code(&page);
}

/// Any of theirs: which one was copied is not known.
#[tokio::test]
async fn a_suspended_passkey_takes_approvals_back() {
    let of_carol = "(SELECT id FROM users WHERE username = 'carol')";
    for another in [false, true] {
        let page = after(async |server| {
            if another {
                server.enrol(CAROL, "passkey").await;
            }
            let suspend = format!(
                "UPDATE credentials c SET suspended_at = now() + interval '1 hour' WHERE user_id = {of_carol} \
                 AND kind = 'passkey' AND EXISTS (SELECT FROM sessions s WHERE s.proved_with @> ARRAY[c.id]) <> {another}"
            );
            server.rows(&suspend).await;
        })
        .await;
        is_no_code(&page);
    }
}

/// Another passkey, withdrawn for any other reason, has approved nothing.
#[tokio::test]
async fn the_passkey_of_another_proof_takes_nothing_back() {
    let page = after(async |server| {
        server.enrol(CAROL, "passkey").await;
        let newest = "UPDATE credentials SET ended_at = now() WHERE id = (SELECT c.id FROM credentials c \
            JOIN users u ON u.id = c.user_id WHERE u.username = 'carol' AND c.kind = 'passkey' \
            AND NOT EXISTS (SELECT FROM sessions s WHERE s.proved_with @> ARRAY[c.id]))";
        server.rows(newest).await;
    })
    .await;
    page.code();
}
