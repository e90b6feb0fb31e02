//! In an emergency somebody goes on alone: possible where the operator allows it, loud, and reviewed by another person.

use crate::support::Server;

use super::{ALICE, Approver, CAROL, Requester, SCOPE, proved, server, trail};

const DRILL: &str = "openid vault:drill";

#[tokio::test]
async fn somebody_goes_on_alone_and_another_reviews_it() {
    let server = server().await;
    let carol = Requester::arrive(&server, CAROL, DRILL).await;
    let form = carol.emergency().await.decision("break-glass").fill("reason", "Fire in the vault").fill("minutes", "5");
    let code = carol.agent.submit(&form).await;
    let tokens = carol.tokens_of(&code).await;
    assert_eq!(tokens["scope"], DRILL);
    assert_eq!(trail(&server).await, ["elevation.break_glass", "elevation.used"]);

    // Not by whoever did it: the page says so, and the table does.
    let own = proved(&server, &carol.agent, CAROL, &server.at("/hub")).await;
    assert!(
        own.body.contains("Fire in the vault") && own.body.contains("somebody else has to review it"),
        "{}",
        own.body
    );
    assert!(!own.offers("review"));
    let cheat = "UPDATE elevation_requests SET reviewed_at = now(), reviewer_id = user_id";
    assert_eq!(server.as_server(cheat).await, Err("23514".to_owned()));

    let mut dave = Approver::arrive(&server, super::DAVE).await;
    assert!(dave.page.offers("review"), "{}", dave.page.body);
    let silent = dave.decide("review", "").await;
    assert!(silent.status == 409 && silent.offers("review"), "a review says something: {}", silent.body);
    let closed = dave.decide("review", "There was smoke").await;
    assert!(closed.status == 200 && !closed.offers("review"), "{}", closed.body);
    assert!(closed.body.contains("There was smoke") && closed.body.contains("Reviewed"), "{}", closed.body);
    assert_eq!(dave.decide("review", "Again").await.status, 409);
    dave.look(&server).await;
    assert_eq!(server.value("SELECT review_note FROM elevation_requests").await, "There was smoke");
    assert_eq!(server.events("elevation.reviewed", "done").await, 1);
}

/// It takes two looks: a page of its own says what it means, and only there is the button.
#[tokio::test]
async fn going_on_alone_takes_a_second_look() {
    let server = server().await;
    let alice = Requester::arrive(&server, ALICE, DRILL).await;
    assert!(!alice.page.offers("break-glass"), "{}", alice.page.body);
    assert!(alice.page.body.contains("emergency=yes"), "{}", alice.page.body);
    let look = alice.emergency().await;
    assert_eq!((look.heading().as_str(), look.offers("break-glass")), ("Go on alone?", true), "{}", look.body);
    assert!(trail(&server).await.is_empty(), "looking does nothing");
    // Without a reason it says so, and stays the same page.
    let silent = alice.agent.submit(&look.decision("break-glass").fill("reason", " ").fill("minutes", "5")).await;
    assert_eq!((silent.status, silent.heading().as_str()), (400, "Go on alone?"), "{}", silent.body);
    assert!(trail(&server).await.is_empty());
    let alice = alice.ask("Smoke", "5").await;
    assert!(!alice.page.offers("break-glass"), "{}", alice.page.body);
    assert!(alice.emergency().await.body.contains("Smoke"));
}

/// Every administrator is written to, but for whoever did it.
#[tokio::test]
async fn every_administrator_is_told() {
    let server = Server::start(super::settings().jobs()).await;
    server.enrol(CAROL, "passkey").await;
    let carol = Requester::arrive(&server, CAROL, DRILL).await;
    let form = carol.emergency().await.decision("break-glass").fill("reason", "Fire in the vault").fill("minutes", "5");
    carol.agent.submit(&form).await.code();
    let mail = server.mail("without a second person").await;
    assert_eq!(mail.to, "dave@example.com");
    for told in ["carol", "vault:drill", "Fire in the vault", "/hub/elevations"] {
        assert!(mail.text.contains(told), "{told}: {}", mail.text);
    }
    assert_eq!(server.mails().len(), 1);
}

/// What waits can still be done without an answer, but not after one.
#[tokio::test]
async fn the_glass_is_broken_while_one_waits() {
    let server = server().await;
    let alice = Requester::arrive(&server, ALICE, DRILL).await.ask("Smoke", "5").await;
    let carol = Approver::arrive(&server, CAROL).await;
    alice.agent.decide(&alice.emergency().await, "break-glass").await.code();
    assert_eq!(carol.decide("approve", "").await.status, 409, "nobody approves what went on alone");
    assert_eq!(
        server.value("SELECT count(*) FROM elevation_requests WHERE approver_id IS NULL AND used_at IS NOT NULL").await,
        "1"
    );

    let server = super::server().await;
    let alice = Requester::arrive(&server, ALICE, DRILL).await.ask("Smoke", "5").await;
    let emergency = alice.emergency().await;
    Approver::arrive(&server, CAROL).await.decide("refuse", "That is the kitchen").await;
    let page = alice.agent.decide(&emergency, "break-glass").await;
    assert_eq!(page.heading(), "Not approved", "a refusal is not got round");
    assert_eq!(server.events("elevation.break_glass", "done").await, 0);
}

#[tokio::test]
async fn it_is_there_only_where_the_operator_allows_it() {
    let server = server().await;
    for scope in [SCOPE, "openid vault:open vault:drill"] {
        let alice = Requester::arrive(&server, ALICE, scope).await;
        assert!(!alice.page.body.contains("emergency") && !alice.page.offers("break-glass"), "{scope}");
        assert_eq!(alice.emergency().await.heading(), "Ask for approval", "{scope}");
        let mut form = alice.page.decision("ask").fill("reason", "Fire").fill("minutes", "5");
        form.fields.retain(|(name, _)| name != "decision");
        form.fields.push(("decision".to_owned(), "break-glass".to_owned()));
        alice.agent.submit(&form).await.is_error_page(400);
    }
    assert!(trail(&server).await.is_empty());
}

/// A broken glass is as good as the rules of when it is used: they may have changed, and the server been started again.
#[tokio::test]
async fn what_was_had_alone_and_cannot_be_any_more_is_void() {
    let server = server().await;
    let carol = Requester::arrive(&server, CAROL, DRILL).await;
    let form = carol.emergency().await.decision("break-glass").fill("reason", "Fire in the vault").fill("minutes", "5");
    // It is broken, and not used yet.
    carol.agent.submit_step(&form).await;
    assert_eq!(trail(&server).await, ["elevation.break_glass"]);
    let strict = super::settings().replace("break_glass = true", "");
    let replica = server.replica(strict).await;
    let there = carol.agent.at(&replica);
    let id = super::request_of(&carol.page);
    let page = there.open(&server.at(&format!("/oauth/authorize/{id}"))).await;
    assert_eq!(page.heading(), "Ask for approval", "{}", page.body);
    assert!(page.body.contains("without a second person any more") && !page.offers("break-glass"), "{}", page.body);
    assert_eq!(server.value("SELECT void_reason FROM elevation_requests").await, "break_glass_off");
    // Another person may agree to it; what was done stays to be reviewed.
    let ask = page.decision("ask").fill("reason", "Fire, still").fill("minutes", "5");
    assert_eq!(there.submit(&ask).await.heading(), "Waiting for approval");
    let dave = Approver::arrive(&server, super::DAVE).await;
    assert!(dave.page.offers("review") && dave.page.offers("approve"), "{}", dave.page.body);
    dave.decide("approve", "").await;
    there.open(&server.at(&format!("/oauth/authorize/{id}"))).await.code();

    // Nor is one that was used good for more of the same, though its session goes on.
    let server = super::server().await;
    let alice = Requester::arrive(&server, ALICE, DRILL).await;
    let form = alice.emergency().await.decision("break-glass").fill("reason", "Fire in the vault").fill("minutes", "5");
    alice.agent.submit(&form).await.code();
    let again = alice.client.request(DRILL);
    alice.agent.walk(&again.url(), ALICE).await.code();
    let replica = server.replica(super::settings().replace("break_glass = true", "")).await;
    let page = alice.agent.at(&replica).walk(&again.url(), ALICE).await;
    assert_eq!(page.heading(), "Ask for approval", "{}", page.body);
}

/// A review stays open however long nobody looks.
#[tokio::test]
async fn a_review_outlives_what_it_is_about() {
    let server = server().await;
    let alice = Requester::arrive(&server, ALICE, DRILL).await;
    let form = alice.emergency().await.decision("break-glass").fill("reason", "Fire in the vault").fill("minutes", "5");
    alice.agent.submit(&form).await.code();
    let waits = Requester::arrive(&server, super::BOB, DRILL).await.ask("Later", "5").await;
    server.advance(chrono::TimeDelta::days(200)).await;
    let swept = server.work(async |tx| mooring::db::elevation_requests::sweep(tx, 100).await).await;
    assert_eq!((swept, waits.username), (1, super::BOB), "the one that came to nothing");
    assert!(Approver::arrive(&server, CAROL).await.page.offers("review"));
}
