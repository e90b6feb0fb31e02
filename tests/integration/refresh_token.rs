//! Refreshing: rotation, the race of honest clients, and the replay of a stolen token.

use std::time::Duration;

use chrono::TimeDelta;
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{
    Method, Server, Settings,
    client::{Answer, Tokens},
    token,
};

#[tokio::test]
async fn every_refresh_brings_another_refresh_token() {
    let server = Server::usual().await;
    for id in ["web", "spa", "post", "pkj"] {
        let client = server.client(id);
        let mut tokens = client.tokens(&server.agent(), "openid").await;
        let mut seen = vec![tokens.refresh.clone()];
        for _ in 0..4 {
            tokens = client.refresh(&tokens.refresh).await.tokens();
            assert!(!seen.contains(&tokens.refresh), "{id}");
            assert!(tokens.refresh.starts_with("mo_rt_"));
            client.userinfo(&tokens.access).await.ok();
            seen.push(tokens.refresh.clone());
        }
        assert_eq!(token::claims(&tokens.id)["aud"], id);
    }
}

/// The loudest complaint in this field: an honest client asks twice.
#[tokio::test]
async fn a_duplicate_gets_the_same_successor() {
    let server = Server::usual().await;
    for id in ["web", "spa"] {
        let client = server.client(id);
        let first = client.tokens(&server.agent(), "openid").await;
        let one = client.refresh(&first.refresh).await.tokens();
        server.advance(TimeDelta::seconds(5)).await;
        let other = client.refresh(&first.refresh).await.tokens();
        assert_eq!(one.refresh, other.refresh, "{id}");
        assert_ne!(one.access, other.access, "{id}");
        for tokens in [&first, &one, &other] {
            client.userinfo(&tokens.access).await.ok();
        }
        client.refresh(&one.refresh).await.tokens();
    }
    assert_eq!(server.events("refresh.replayed", "refused").await, 0);
}

#[tokio::test]
async fn duplicates_at_once_get_the_same_successor() {
    let server = Server::start(Settings::default().set("server.workers", "2").connections(8)).await;
    for id in ["web", "spa", "jwt"] {
        let client = server.client(id);
        for scope in ["openid", "openid offline_access"] {
            let mut tokens = client.tokens(&server.agent(), scope).await;
            for round in 0..5 {
                let answers = join_all((0..6).map(|_| client.refresh(&tokens.refresh))).await;
                let all: Vec<Tokens> = answers.iter().map(Answer::tokens).collect();
                assert!(all.iter().all(|it| it.refresh == all[0].refresh), "{id}, round {round}: one successor");
                for it in &all {
                    client.userinfo(&it.access).await.ok();
                }
                tokens = all.into_iter().next().unwrap();
            }
        }
    }
    assert_eq!(server.value("SELECT count(*) FROM grants WHERE ended_at IS NOT NULL").await, "0");
}

/// The window closes when the successor is first used: whoever has the predecessor after that has stolen it, or the
/// other one has.
#[tokio::test]
async fn once_the_successor_is_used_the_predecessor_ends_the_family() {
    let server = Server::usual().await;
    for id in ["web", "spa"] {
        let client = server.client(id);
        let agent = server.agent();
        let first = client.tokens(&agent, "openid").await;
        let unharmed = client.tokens(&agent, "openid").await;
        let second = client.refresh(&first.refresh).await.tokens();
        let third = client.refresh(&second.refresh).await.tokens();
        client.refresh(&first.refresh).await.refused("invalid_grant");
        for tokens in [&first, &second, &third] {
            client.userinfo(&tokens.access).await.token_refused();
            client.refresh(&tokens.refresh).await.refused("invalid_grant");
        }
        client.userinfo(&unharmed.access).await.ok();
        client.refresh(&unharmed.refresh).await.tokens();
    }
    // Of each the one that ended it, and the same once more when there was nothing left to end.
    assert_eq!(server.events("refresh.replayed", "refused").await, 4);
}

#[tokio::test]
async fn the_window_closes_by_itself() {
    let server = Server::usual().await;
    let client = server.client("web");
    let first = client.tokens(&server.agent(), "openid").await;
    let second = client.refresh(&first.refresh).await.tokens();
    server.advance(TimeDelta::seconds(11)).await;
    client.refresh(&first.refresh).await.refused("invalid_grant");
    client.userinfo(&second.access).await.token_refused();
    client.refresh(&second.refresh).await.refused("invalid_grant");
}

/// A repetition does not prolong the window.
#[tokio::test]
async fn repeating_does_not_keep_the_window_open() {
    let server = Server::usual().await;
    let client = server.client("spa");
    let first = client.tokens(&server.agent(), "openid").await;
    client.refresh(&first.refresh).await.tokens();
    server.advance(TimeDelta::seconds(6)).await;
    client.refresh(&first.refresh).await.tokens();
    server.advance(TimeDelta::seconds(6)).await;
    client.refresh(&first.refresh).await.refused("invalid_grant");
}

#[tokio::test]
async fn the_window_can_be_switched_off() {
    let server = Server::start(Settings::default().set("tokens.refresh_grace", "0s")).await;
    let client = server.client("web");
    let first = client.tokens(&server.agent(), "openid").await;
    let second = client.refresh(&first.refresh).await.tokens();
    client.refresh(&first.refresh).await.refused("invalid_grant");
    client.refresh(&second.refresh).await.refused("invalid_grant");
}

/// Off is off: of any number that come at once one is a refresh, and the others are a replay, which ends the grant.
#[tokio::test]
async fn without_a_window_one_of_a_hundred_wins() {
    for id in ["web", "spa"] {
        let server = Server::start(Settings::default().set("tokens.refresh_grace", "0s")).await;
        let client = server.client(id);
        let first = client.tokens(&server.agent(), "openid").await;
        let answers = join_all((0..100).map(|_| client.refresh(&first.refresh))).await;
        let winners: Vec<_> = answers.iter().filter(|answer| answer.status == 200).collect();
        assert_eq!(winners.len(), 1, "{id}");
        for answer in answers.iter().filter(|answer| answer.status != 200) {
            answer.clone().refused("invalid_grant");
        }
        assert_eq!(server.events("token.refreshed", "done").await, 1);
        assert_eq!(server.events("refresh.replayed", "refused").await, 1);
        client.refresh(&winners[0].clone().tokens().refresh).await.refused("invalid_grant");
        client.userinfo(&first.access).await.token_refused();
    }
}

/// A request is as old as its last octet: a head that came before the rotation makes no duplicate of a replay.
#[tokio::test]
async fn a_body_that_comes_late_is_late() {
    for (grace, pause) in [("0s", 1), ("10s", 11)] {
        let server = Server::start(Settings::default().set("tokens.refresh_grace", grace)).await;
        let client = server.client("spa");
        let first = client.tokens(&server.agent(), "openid").await;
        let address = server.issuer.strip_prefix("http://").unwrap();
        let body = format!("grant_type=refresh_token&client_id=spa&refresh_token={}", first.refresh);
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST /oauth/token HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        tokio::time::sleep(Duration::from_millis(300)).await;
        let second = client.refresh(&first.refresh).await.tokens();
        server.clock.advance(TimeDelta::seconds(pause));
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("invalid_grant"), "{grace}: {answer}");
        assert_eq!(server.events("refresh.replayed", "refused").await, 1, "{grace}");
        client.refresh(&second.refresh).await.refused("invalid_grant");
    }
}

/// What is not a genuine token of this client changes nothing.
#[tokio::test]
async fn a_forged_or_foreign_token_changes_nothing() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let old = client.tokens(&agent, "openid").await;
    let other = client.tokens(&agent, "openid").await;
    let tokens = client.refresh(&old.refresh).await.tokens();
    let tokens = client.refresh(&tokens.refresh).await.tokens();
    let flipped = |token: &str| {
        let (head, tail) = token.split_at(token.len() - 10);
        format!("{head}{}", if tail.starts_with('A') { tail.replacen('A', "B", 1) } else { format!("A{}", &tail[1..]) })
    };
    let forged = [
        flipped(&tokens.refresh),
        flipped(&old.refresh),
        // The id of one family, the secret of another.
        format!("{}{}", &tokens.refresh[..40], &other.refresh[40..]),
        "mo_rt_".to_owned(),
        "nonsense".to_owned(),
        tokens.access.clone(),
        tokens.id.clone(),
    ];
    for wrong in &forged {
        client.refresh(wrong).await.refused("invalid_grant");
    }
    // Genuine, old ones included, but not this client's, or of somebody who cannot prove to be it.
    for stolen in [&old.refresh, &tokens.refresh] {
        for thief in ["web2", "spa", "pkj"] {
            server.client(thief).refresh(stolen).await.refused("invalid_grant");
        }
        client.by(Method::None).refresh(stolen).await.refused("invalid_client");
        client
            .by(Method::Basic("a-guess-of-at-least-32-characters".into()))
            .refresh(stolen)
            .await
            .refused("invalid_client");
    }
    assert_eq!(server.value("SELECT count(*) FROM grants WHERE ended_at IS NOT NULL").await, "0");
    client.refresh(&tokens.refresh).await.tokens();
}

/// OAuth 2.1 §4.3.1: narrower for this token, never wider, and the grant keeps what it has.
#[tokio::test]
async fn scope_can_be_narrowed_and_never_widened() {
    let server = Server::usual().await;
    let client = server.client("web");
    let tokens = client.tokens(&server.agent(), "openid email profile").await;
    let with_scope = async |refresh_token: &str, scope: &str| {
        client.token(&[("grant_type", "refresh_token"), ("refresh_token", refresh_token), ("scope", scope)]).await
    };
    for wider in ["openid email phone", "openid offline_access", "openid unheard-of"] {
        with_scope(&tokens.refresh, wider).await.refused("invalid_scope");
    }
    let narrow = with_scope(&tokens.refresh, "openid email").await.tokens();
    assert_eq!(narrow.all["scope"], "openid email");
    let userinfo = client.userinfo(&narrow.access).await.ok();
    assert!(userinfo.get("email").is_some() && userinfo.get("name").is_none(), "{userinfo}");
    let full = client.refresh(&narrow.refresh).await.tokens();
    let mut scope: Vec<&str> = full.all["scope"].as_str().unwrap().split(' ').collect();
    scope.sort_unstable();
    assert_eq!(scope, ["email", "openid", "profile"]);
    // Without openid there is no ID token.
    assert!(with_scope(&full.refresh, "email").await.tokens().id.is_empty());
}

/// A refresh counts as activity: the session goes on while its client works, up to its absolute end.
#[tokio::test]
async fn refreshing_keeps_the_session_from_going_idle() {
    let server = Server::start(Settings::default().set("sessions.idle", "10m").set("sessions.absolute", "1h")).await;
    let client = server.client("web");
    let mut tokens = client.tokens(&server.agent(), "openid").await;
    for _ in 0..7 {
        server.advance(TimeDelta::minutes(8)).await;
        tokens = client.refresh(&tokens.refresh).await.tokens();
    }
    server.advance(TimeDelta::minutes(8)).await;
    client.refresh(&tokens.refresh).await.refused("invalid_grant");
}

#[tokio::test]
async fn without_refreshing_it_goes_idle() {
    let server = Server::start(Settings::default().set("sessions.idle", "10m")).await;
    let client = server.client("web");
    let tokens = client.tokens(&server.agent(), "openid").await;
    // Introspection and userinfo are the resource server's activity, not the person's.
    server.advance(TimeDelta::minutes(4)).await;
    assert!(client.is_active(&tokens.access).await);
    server.advance(TimeDelta::minutes(7)).await;
    client.refresh(&tokens.refresh).await.refused("invalid_grant");
}

/// The new tokens tell of the same authentication, whatever happened since.
#[tokio::test]
async fn a_later_sign_in_does_not_upgrade_old_tokens() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let tokens = client.tokens(&agent, "openid").await;
    server.advance(TimeDelta::minutes(3)).await;
    let page = agent.open(&client.request("openid").with("prompt", "login").url()).await;
    agent.sign_in(&page, "alice", crate::support::PASSWORD).await.code();
    let refreshed = client.refresh(&tokens.refresh).await.tokens();
    assert_eq!(token::claims(&refreshed.id)["auth_time"], token::claims(&tokens.id)["auth_time"]);
}
