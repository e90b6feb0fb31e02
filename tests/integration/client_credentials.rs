//! Machines: a service session of their own, and nothing of a person.

use chrono::TimeDelta;
use futures_util::future::join_all;

use crate::support::{Server, Settings, token};

#[tokio::test]
async fn a_machine_gets_what_it_is_registered_for() {
    let server = Server::usual().await;
    let machine = server.client("machine");
    let tokens = machine.client_credentials("").await.tokens();
    assert_eq!(tokens.all["scope"], "ships:read ships:write");
    assert!(tokens.refresh.is_empty() && tokens.id.is_empty(), "{}", tokens.all);
    assert_eq!(machine.client_credentials("ships:read").await.tokens().all["scope"], "ships:read");
    for wrong in [
        "openid",
        "ships:read openid",
        "email",
        "offline_access",
        "payments:write",
        "unheard-of",
        "ships:read payments:write",
    ] {
        machine.client_credentials(wrong).await.refused("invalid_scope");
    }
    let seen = machine.introspect(&tokens.access).await.ok();
    assert_eq!((seen["sub"].as_str(), seen["client_id"].as_str()), (Some("machine"), Some("machine")));
    assert_eq!(seen["session"]["kind"], "service");
    assert!(seen.get("username").is_none() && seen.get("auth_time").is_none(), "{seen}");
    // It speaks of nobody.
    assert!([401, 403].contains(&machine.userinfo(&tokens.access).await.status));
}

#[tokio::test]
async fn its_tokens_share_a_service_session_for_a_day() {
    let server = Server::usual().await;
    let machine = server.client("machine");
    let sid = async || {
        let access = machine.client_credentials("ships:read").await.tokens().access;
        machine.introspect(&access).await.ok()["sid"].clone()
    };
    let first = sid().await;
    assert_eq!(sid().await, first);
    server.advance(TimeDelta::hours(23)).await;
    assert_eq!(sid().await, first);
    let last = machine.client_credentials("").await.tokens().access;
    server.advance(TimeDelta::minutes(62)).await;
    assert!(!machine.is_active(&last).await, "tokens live for minutes");
    assert_ne!(sid().await, first);
    // A token of the last minute of a day lives on into the next.
    server.advance(TimeDelta::hours(23) + TimeDelta::minutes(57)).await;
    let late = machine.client_credentials("").await.tokens().access;
    server.advance(TimeDelta::minutes(4)).await;
    sid().await;
    assert!(machine.is_active(&late).await);
    let other = server.client("machine2").client_credentials("").await.tokens().access;
    assert_ne!(token::claims(&other)["sid"], first, "each machine has its own");
}

#[tokio::test]
async fn many_at_once_begin_one_session() {
    let server = Server::start(Settings::default().set("server.workers", "2").connections(8)).await;
    let machine = server.client("machine");
    let answers = join_all((0..12).map(|_| machine.client_credentials(""))).await;
    for answer in &answers {
        assert!(machine.is_active(&answer.tokens().access).await);
    }
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'service'").await, "1");
    assert_eq!(server.value("SELECT count(*) FROM audit_events WHERE action = 'session.started'").await, "1");
}

#[tokio::test]
async fn a_jwt_of_a_machine_names_the_machine() {
    let server = Server::usual().await;
    let tokens = server.client("machine2").client_credentials("").await.tokens();
    let jwt = token::verify(&server, &tokens.access).await;
    assert_eq!(jwt.header.typ.as_deref(), Some("at+jwt"));
    assert_eq!((jwt.claims["sub"].as_str(), jwt.claims["client_id"].as_str()), (Some("machine2"), Some("machine2")));
    assert!(jwt.claims["sid"].is_string() && jwt.claims.get("auth_time").is_none() && jwt.claims.get("acr").is_none());
}

#[tokio::test]
async fn others_cannot_act_for_themselves() {
    let server = Server::usual().await;
    for id in ["web", "spa", "coder"] {
        server.client(id).client_credentials("").await.refused("unauthorized_client");
    }
    assert_eq!(server.value("SELECT count(*) FROM sessions").await, "0");
}
