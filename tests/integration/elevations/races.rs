//! Two at once: of every change there is one.

use futures_util::future::{join, join_all};

use super::{ALICE, Approver, CAROL, DAVE, Requester, SCOPE, request_of, server, trail};

#[tokio::test]
async fn two_decide_at_once() {
    for (first, second) in [("approve", "approve"), ("approve", "refuse"), ("refuse", "refuse")] {
        let server = server().await;
        let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("The gold is due", "5").await;
        let (carol, dave) = (Approver::arrive(&server, CAROL).await, Approver::arrive(&server, DAVE).await);
        let (one, other) = join(carol.decide(first, "from carol"), dave.decide(second, "from dave")).await;
        let mut statuses = [one.status, other.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409], "{first} and {second}");
        let events = trail(&server).await;
        assert_eq!(events.len(), 2, "{events:?}");
        let approved = events[1] == "elevation.approved";
        let page = alice.look().await;
        if approved {
            page.code();
        } else {
            assert_eq!(page.heading(), "Not approved");
        }
    }
}

/// The same form sent twice by one person.
#[tokio::test]
async fn one_decides_twice() {
    let server = server().await;
    let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("The gold is due", "5").await;
    let carol = Approver::arrive(&server, CAROL).await;
    let pages = join_all((0..4).map(|_| carol.decide("approve", ""))).await;
    assert_eq!(pages.iter().filter(|page| page.status == 200).count(), 1);
    alice.look().await.code();
    assert_eq!(trail(&server).await, ["elevation.requested", "elevation.approved", "elevation.used"]);
}

/// A form sent from two tabs asks once; two requests of one person are two, each approved for itself.
#[tokio::test]
async fn two_tabs_ask() {
    let server = server().await;
    let alice = Requester::arrive(&server, ALICE, SCOPE).await;
    let form = alice.page.decision("ask").fill("reason", "The gold is due").fill("minutes", "5");
    let pages = join_all((0..4).map(|_| alice.agent.submit(&form))).await;
    assert!(pages.iter().all(|page| page.heading() == "Waiting for approval"));
    assert_eq!(server.value("SELECT count(*) FROM elevation_requests").await, "1");

    let other =
        Requester::arrive_by(&server, alice.agent.clone(), ALICE, SCOPE).await.ask("The silver, too", "5").await;
    let mut carol = Approver::arrive(&server, CAROL).await;
    assert_eq!(carol.page.body.matches("value=\"approve\"").count(), 2);
    let silver = server.value("SELECT id FROM elevation_requests WHERE reason = 'The silver, too'").await;
    carol.page = carol.agent.submit(&carol.page.decision("approve").forge("elevation", Some(&silver))).await;
    other.look().await.code();
    assert!(carol.page.offers("approve"), "the other one waits still");
}

/// Whoever is approved and comes twice at once gets one code, and the approval is used once.
#[tokio::test]
async fn an_approval_is_used_once() {
    let server = server().await;
    let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("The gold is due", "5").await;
    Approver::arrive(&server, CAROL).await.decide("approve", "").await;
    let url = server.at(&format!("/oauth/authorize/{}", request_of(&alice.page)));
    let pages = join_all((0..5).map(|_| alice.agent.open(&url))).await;
    let mut codes: Vec<String> = pages.iter().map(|page| page.code()).collect();
    codes.sort();
    codes.dedup();
    assert_eq!(codes.len(), 1);
    assert_eq!(trail(&server).await, ["elevation.requested", "elevation.approved", "elevation.used"]);
    assert_eq!(server.value("SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.kind = 'privileged' AND u.username = 'alice'").await, "1");
}

/// Taken back and approved at once: one of them.
#[tokio::test]
async fn taken_back_and_approved_at_once() {
    let server = server().await;
    let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("The gold is due", "5").await;
    let carol = Approver::arrive(&server, CAROL).await;
    let form = alice.page.decision("leave");
    let (left, decided) = join(alice.agent.submit(&form), carol.decide("approve", "")).await;
    assert_eq!(left.error(), "access_denied");
    assert!([200, 409].contains(&decided.status));
    assert_eq!(
        server.value("SELECT count(*) FROM elevation_requests WHERE voided_at IS NOT NULL AND used_at IS NULL").await,
        "1"
    );
}
