//! Who gets into the hub, and who may decide there about whom.

use chrono::TimeDelta;
use mooring::{audit::Actor, elevations::Approvers, sessions, sessions::Proof};

use super::{ALICE, Approver, BOB, CAROL, DAVE, Requester, SCOPE, proved, request_of, server, trail};
use crate::support::{
    Server,
    agent::Page,
    client::{Answer, basic},
};

#[tokio::test]
async fn nothing_is_shown_without_a_privileged_session() {
    let server = server().await;
    Requester::arrive(&server, ALICE, SCOPE).await.ask("The gold is due", "5").await;
    // Signed in is not enough.
    let agent = server.agent();
    let page = agent.walk(&server.at("/hub/elevations"), CAROL).await;
    assert!(page.url.path().ends_with("/step-up") && !page.body.contains("The gold"), "{}:\n{}", page.url, page.body);
    assert!(page.body.contains("Decide who may do privileged work"), "{}", page.body);
    // Nor is a step-up for something else.
    let other = server.client("vault").request("openid payments:write");
    proved(&server, &agent, CAROL, &other.url()).await.code();
    let page = agent.open(&server.at("/hub/elevations")).await;
    assert!(page.url.path().ends_with("/step-up"), "{}:\n{}", page.url, page.body);
    // Going back is told, with a way in; nothing goes round in circles.
    let closed = agent.decide(&page, "deny").await;
    assert!(closed.url.path().ends_with("/hub/callback") && closed.status == 403, "{}", closed.url);
    assert!(closed.body.contains("/hub/elevations\""), "{}", closed.body);
    assert!(closed.body.contains("/account\">Your account<"), "{}", closed.body);
    let circle = agent.open(&server.at("/hub/elevations?proved=1")).await;
    assert_eq!(circle.status, 403);

    // And it ends: the person is still signed in, the page is closed.
    let mut carol = Approver { agent, page: closed };
    carol.page = proved(&server, &carol.agent, CAROL, &server.at("/hub")).await;
    assert!(carol.page.offers("approve"));
    server.advance(TimeDelta::minutes(16)).await;
    let late = carol.decide("approve", "").await;
    assert_eq!(late.status, 403, "{}", late.body);
    assert_eq!(trail(&server).await, ["elevation.requested"]);
}

#[tokio::test]
async fn it_is_for_administrators() {
    let server = server().await;
    let agent = server.agent();
    let page = agent.walk(&server.at("/hub"), BOB).await;
    assert!(page.url.path().ends_with("/access") && page.status == 403, "{}:\n{}", page.url, page.body);
    assert!(page.body.contains("Only administrators"), "{}", page.body);
    let back = agent.decide(&page, "leave").await;
    assert!(back.url.path().ends_with("/hub/callback") && back.status == 403, "{}", back.url);
    assert_eq!(server.events("access.refused", "refused").await, 1);

    // Whoever is not one any more is out at the next click.
    let carol = Approver::arrive(&server, CAROL).await;
    server.rows("UPDATE users SET admin_at = NULL WHERE username = 'carol'").await;
    let out = carol.agent.open(&server.at("/hub/elevations")).await;
    assert!(out.status == 403 && out.body.contains("Only administrators"), "{}", out.body);
}

#[tokio::test]
async fn groups_may_decide_where_the_operator_says_so() {
    let approvers = "[[scope]]\nname = \"hub:elevations\"\nprivileged = true\ngroups = [\"approvers\"]\n\
                     [[user]]\nusername = \"erin\"\npassword = \"correct horse battery staple\"\ngroups = [\"approvers\"]\n";
    let server = Server::start(super::settings().declare(approvers)).await;
    for name in [ALICE, CAROL, "erin"] {
        server.enrol(name, "passkey").await;
    }
    let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("The gold is due", "5").await;
    // An administrator is not in the group.
    let carol = server.agent().walk(&server.at("/hub"), CAROL).await;
    assert!(carol.url.path().ends_with("/access") && carol.body.contains("approvers"), "{}", carol.body);
    Approver::arrive(&server, "erin").await.decide("approve", "").await;
    // It counts while they are in it.
    server.rows("UPDATE users SET groups = '{other}' WHERE username = 'erin'").await;
    let told = alice.look().await;
    assert!(told.body.contains("may not decide any more"), "{}", told.body);
}

/// Approver ≠ requester: the page says so, the statement does, and so does the table.
#[tokio::test]
async fn nobody_decides_about_themselves() {
    let server = server().await;
    let agent = server.agent();
    let carol = Requester::arrive_by(&server, agent.clone(), CAROL, SCOPE).await.ask("Mine", "5").await;
    let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("Hers", "5").await;
    let hub = proved(&server, &agent, CAROL, &server.at("/hub")).await;
    assert!(hub.body.contains("This is yours"), "{}", hub.body);
    assert_eq!(hub.body.matches("value=\"approve\"").count(), 1, "only the other one's");
    let own = server.value("SELECT id FROM elevation_requests WHERE reason = 'Mine'").await;
    let refused = agent.submit(&hub.decision("approve").forge("elevation", Some(&own))).await;
    assert_eq!(refused.status, 409, "{}", refused.body);
    let cheat = format!(
        "UPDATE elevation_requests SET approver_id = user_id, approver_session_id = session_id, approved_at = now() WHERE id = '{own}'"
    );
    assert_eq!(server.as_server(&cheat).await, Err("23514".to_owned()));
    let used =
        format!("UPDATE elevation_requests SET used_at = now(), privileged_session_id = session_id WHERE id = '{own}'");
    assert_eq!(server.as_server(&used).await, Err("23514".to_owned()), "nothing is used that nobody agreed to");
    assert_eq!(carol.look().await.heading(), "Waiting for approval");

    // The form is for this session alone.
    for forged in [None, Some("x")] {
        agent.submit(&hub.decision("approve").forge("csrf", forged)).await.is_error_page(400);
    }
    assert_eq!(alice.look().await.heading(), "Waiting for approval");
    agent.submit(&hub.decision("approve")).await;
    alice.look().await.code();
}

/// What takes an approver's rights takes back what they approved and nobody has used.
#[tokio::test]
async fn an_approver_who_lost_their_rights_has_approved_nothing() {
    let server = server().await;
    let carols = "SELECT id FROM users WHERE username = 'carol'";
    let lock = format!(
        "UPDATE sessions SET locked_at = now() WHERE kind = 'user' AND user_id = ({carols}) AND ended_at IS NULL"
    );
    let demote = "UPDATE users SET admin_at = NULL WHERE username = 'carol'".to_owned();
    let disable = "UPDATE users SET disabled_at = now() WHERE username = 'carol'".to_owned();
    let everything = "UPDATE users SET session_epoch = session_epoch + 1 WHERE username = 'carol'".to_owned();
    for taken in [lock, demote, everything, disable] {
        let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("The gold is due", "5").await;
        Approver::arrive(&server, CAROL).await.decide("approve", "").await;
        server.rows(&taken).await;
        let id = request_of(&alice.page);
        let instead = alice.agent.open(&server.at(&format!("/oauth/authorize/{id}"))).await;
        assert!(instead.url.path().ends_with("/elevation"), "{taken}: {}", instead.url);
        assert!(instead.body.contains("may not decide any more") && instead.offers("ask"), "{taken}: {}", instead.body);
        let voided = "SELECT void_reason FROM elevation_requests ORDER BY id DESC LIMIT 1";
        assert_eq!(server.value(voided).await, "approver_lost_rights", "{taken}");
        // Another one may agree to it.
        let alice = Requester { page: instead, ..alice }.ask("The gold is due", "5").await;
        Approver::arrive(&server, DAVE).await.decide("approve", "").await;
        alice.look().await.code();
        server.rows("UPDATE users SET admin_at = now(), disabled_at = NULL WHERE username = 'carol'; UPDATE sessions SET locked_at = NULL").await;
        end_of(&server, ALICE).await;
        end_of(&server, DAVE).await;
        end_of(&server, CAROL).await;
    }
    // Signing out takes nothing back.
    let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("The gold is due", "5").await;
    let carol = Approver::arrive(&server, CAROL).await;
    carol.decide("approve", "").await;
    let account = carol.agent.open(&server.at("/account")).await;
    carol.agent.submit(&account.form_to("/sign-out")).await;
    alice.look().await.code();
}

/// An operator's words are words: that they read like a reason of ours makes nothing of them.
#[tokio::test]
async fn a_session_ended_by_hand_takes_its_approval_along() {
    let server = server().await;
    for note in
        [Some("expired"), Some("signed_out"), Some("idle"), Some("superseded"), Some("the laptop is gone"), None]
    {
        let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("The gold is due", "5").await;
        Approver::arrive(&server, CAROL).await.decide("approve", "").await;
        let approver = "SELECT approver_session_id FROM elevation_requests ORDER BY id DESC LIMIT 1";
        let session = server.value(approver).await.parse().unwrap();
        assert!(server.work(async |tx| sessions::end_by_hand(tx, session, note, Actor::Operator).await).await);
        let id = request_of(&alice.page);
        let instead = alice.agent.open(&server.at(&format!("/oauth/authorize/{id}"))).await;
        assert!(instead.url.path().ends_with("/elevation"), "{note:?}: {}", instead.url);
        let voided = "SELECT void_reason FROM elevation_requests ORDER BY id DESC LIMIT 1";
        assert_eq!(server.value(voided).await, "approver_lost_rights", "{note:?}");
        let stored =
            format!("SELECT end_reason || ' ' || coalesce(end_note, '-') FROM sessions WHERE id = '{session}'");
        assert_eq!(server.value(&stored).await, format!("ended_by_operator {}", note.unwrap_or("-")));
        let recorded = "SELECT coalesce(detail->>'end_reason', reason) || ' ' || CASE WHEN detail IS NULL THEN '-' ELSE reason END \
                        FROM audit_events WHERE action = 'session.ended' ORDER BY id DESC LIMIT 1";
        assert_eq!(server.value(recorded).await, format!("ended_by_operator {}", note.unwrap_or("-")));
        end_of(&server, ALICE).await;
    }
}

pub async fn end_of(server: &Server, username: &str) {
    let rows = format!(
        "SELECT s.id FROM sessions s JOIN users u ON u.id = s.user_id WHERE u.username = '{username}' \
         AND s.kind = 'privileged' AND s.ended_at IS NULL"
    );
    for id in server.rows(&rows).await.into_iter().flatten().flatten() {
        let id = id.parse().unwrap();
        server.work(async |tx| sessions::end(tx, id, "test", Actor::Operator).await).await;
    }
}

/// Whoever asked and has gone is not there to be decided about.
#[tokio::test]
async fn the_session_of_whoever_asked_has_to_live() {
    let server = server().await;
    let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("The gold is due", "5").await;
    let mut carol = Approver::arrive(&server, CAROL).await;
    let account = alice.agent.open(&server.at("/account")).await;
    alice.agent.submit(&account.form_to("/sign-out")).await;
    assert_eq!(carol.decide("approve", "").await.status, 409);
    carol.look(&server).await;
    assert!(!carol.page.offers("approve"));
    let approvers = Approvers::of(&server.app.config.scopes);
    assert_eq!(server.work(async |tx| mooring::elevations::void_fallen(tx, &approvers, None, 10).await).await, 1);
    assert_eq!(server.value("SELECT void_reason FROM elevation_requests").await, "session_ended");
}

/// The hub asks for a code like everybody, and nobody can redeem it.
#[tokio::test]
async fn the_codes_of_the_hub_are_good_for_nobody() {
    let server = server().await;
    let agent = server.agent();
    let mut client = server.client("mooring-hub");
    client.redirect_uri = server.at("/hub/callback");
    let request = client.request("hub:elevations");
    let step_up = agent.walk(&request.url(), CAROL).await;
    server.prove(&step_up, CAROL, Proof::PASSKEY).await;
    // An attacker who began it knows the verifier, and reads the code, and still is not the hub.
    let answered: Page = agent.step(&server.at(&format!("/oauth/authorize/{}", request_of(&step_up)))).await;
    let code = answered.code();
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("code_verifier", request.verifier.as_str()),
        ("redirect_uri", client.redirect_uri.as_str()),
    ];
    let endpoint = server.endpoint("token_endpoint");
    for secret in ["", "mooring-hub", "a-client-secret-of-the-integration-tests"] {
        let call = server.http().post(&endpoint).header("authorization", basic("mooring-hub", secret)).form(&form);
        Answer::of(call).await.refused("invalid_client");
    }
    let mut public = form.to_vec();
    public.push(("client_id", "mooring-hub"));
    Answer::of(server.http().post(&endpoint).form(&public)).await.refused("invalid_client");
    assert_eq!(server.value("SELECT count(*) FROM access_tokens").await, "0");
    // A second start leaves it as it is, its secret included.
    let before =
        server.value("SELECT secret_hash::text || metadata::text FROM clients WHERE client_id = 'mooring-hub'").await;
    let issuer = server.issuer.clone();
    server.work(async |tx| mooring::clients::apply_hub(tx, &issuer).await).await;
    assert_eq!(
        server.value("SELECT secret_hash::text || metadata::text FROM clients WHERE client_id = 'mooring-hub'").await,
        before
    );
}
