//! What an operator takes from people, and what becomes of the work that they do with it.

use std::time::Duration;

use mooring::{audit::Actor, sessions, sessions::Proof};
use uuid::Uuid;

use super::{CAROL, access::demanding, proved, request_of};
use crate::support::{
    Server,
    agent::{Agent, Page},
    client::{Code, Tokens},
};

const SCOPE: &str = "openid mast:climb";

/// Carol's tokens for privileged work.
async fn at_work(server: &Server, agent: &Agent) -> Tokens {
    let client = server.client("mast");
    let request = client.request(SCOPE);
    let page = proved(server, agent, CAROL, &request.url()).await;
    client.redeem(&Code { code: page.code(), verifier: request.verifier }).await.tokens()
}

async fn again(server: &Server, agent: &Agent) -> Page {
    proved(server, agent, CAROL, &server.client("mast").request(SCOPE).url()).await
}

async fn carol(server: &Server) -> Uuid {
    server.user_id(CAROL).await.parse().unwrap()
}

/// Puts her into these groups; how many sessions that ended.
async fn set_groups(server: &Server, groups: &[&str]) -> Option<usize> {
    let (id, groups) = (carol(server).await, groups.iter().map(|group| (*group).to_owned()).collect::<Vec<_>>());
    server.work(async |tx| sessions::set_groups(tx, id, &groups, Actor::Operator).await).await
}

#[tokio::test]
async fn whoever_leaves_a_group_leaves_privileged_work() {
    let server = demanding("groups = [\"ops\"]").await;
    let (agent, api) = (server.agent(), server.client("api"));
    let tokens = at_work(&server, &agent).await;
    // What is gained, or stays, ends nothing.
    assert_eq!(set_groups(&server, &["crew", "ops", "watch"]).await, Some(0));
    assert_eq!(set_groups(&server, &["crew", "ops", "watch"]).await, None);
    assert!(api.is_active(&tokens.access).await);

    assert_eq!(set_groups(&server, &["crew", "watch"]).await, Some(1));
    assert!(!api.is_active(&tokens.access).await);
    let ended = "SELECT string_agg(kind || ' ' || end_reason, ' ') FROM sessions WHERE ended_at IS NOT NULL \
                 AND kind <> 'visitor'";
    assert_eq!(server.value(ended).await, "privileged rights_lost");
    let told = "SELECT actor || ' ' || reason FROM audit_events WHERE action = 'session.ended' AND kind = 'privileged'";
    assert_eq!(server.value(told).await, "operator rights_lost");
    // She stays signed in, and is told why she may not.
    assert_eq!(agent.open(&server.at("/account")).await.heading(), CAROL);
    let page = again(&server, &agent).await;
    assert!(page.url.path().ends_with("/access") && page.body.contains("certain groups"), "{}", page.body);
    // Who is let in again proves herself again.
    assert_eq!(set_groups(&server, &["ops"]).await, Some(0), "nothing is left to end, though she left two groups");
    assert!(!api.is_active(&tokens.access).await);
    let tokens = at_work(&server, &agent).await;
    assert!(api.is_active(&tokens.access).await);
}

#[tokio::test]
async fn whoever_is_no_administrator_any_more_leaves_privileged_work() {
    let server = demanding("administrators = true").await;
    let (agent, api) = (server.agent(), server.client("api"));
    let tokens = at_work(&server, &agent).await;
    let set = async |admin| {
        let id = carol(&server).await;
        server.work(async |tx| sessions::set_admin(tx, id, admin, Actor::Operator).await).await
    };
    assert_eq!(set(true).await, None);
    assert!(api.is_active(&tokens.access).await);
    assert_eq!(set(false).await, Some(1));
    assert_eq!(set(false).await, None);
    assert!(!api.is_active(&tokens.access).await);
    assert!(again(&server, &agent).await.url.path().ends_with("/access"));
    assert_eq!(set(true).await, Some(0));
    assert!(api.is_active(&at_work(&server, &agent).await.access).await);
}

/// A watcher has stopped it; that an operator changes something else does not free it.
#[tokio::test]
async fn a_lock_outlasts_a_right() {
    let server = demanding("groups = [\"ops\"]").await;
    assert_eq!(set_groups(&server, &["crew", "ops", "watch"]).await, Some(0));
    let agent = server.agent();
    at_work(&server, &agent).await;
    server.rows("UPDATE sessions SET locked_at = now(), lock_reason = 'watched' WHERE kind = 'privileged'").await;
    assert_eq!(set_groups(&server, &["ops"]).await, Some(1));
    for agent in [agent, server.agent()] {
        let back = again(&server, &agent).await;
        assert_eq!(back.error(), "access_denied", "{}", back.url);
    }
}

/// The code is on its way, and has been judged, when the right goes.
#[tokio::test]
async fn no_work_begins_with_a_right_that_is_being_lost() {
    let server = demanding("groups = [\"ops\"]").await;
    let agent = server.agent();
    let step_up = agent.walk(&server.client("mast").request(SCOPE).url(), CAROL).await;
    server.prove(&step_up, CAROL, Proof::PASSKEY).await;
    let id = carol(&server).await;
    let back = server.at(&format!("/oauth/authorize/{}", request_of(&step_up)));
    let coming = server.work(async |tx| {
        sessions::set_groups(tx, id, &["crew".to_owned()], Actor::Operator).await?;
        let (agent, back) = (agent.clone(), back.clone());
        let coming = tokio::spawn(async move { agent.open(&back).await });
        // Time enough to be judged by what still holds, and to wait for the person.
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(!coming.is_finished(), "it waits");
        Ok(coming)
    });
    let page = coming.await.await.unwrap();
    assert!(page.url.path().ends_with("/access") && page.status == 403, "{}:\n{}", page.url, page.body);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'privileged'").await, "0");
    assert_eq!(server.value("SELECT count(*) FROM grants").await, "0");
}
