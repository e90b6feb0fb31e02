//! How many SQL statements each hot path sends, `BEGIN` and `COMMIT` included: round trips are the budget.
//!
//! A number here goes up only with a reason in the commit that raises it. Everything runs with a pool of one connection,
//! so a path that held one while waiting for another would stand still.

use chrono::TimeDelta;
use futures_util::future::join_all;

use crate::support::{ALICE, Answer, PASSWORD, Server, Settings, client::userinfo};

async fn narrow() -> Server {
    Server::start(Settings::default().connections(1)).await
}

/// What one more turn costs, when everything is warm.
async fn cost<T>(server: &Server, turn: impl AsyncFn() -> T) -> u64 {
    turn().await;
    let before = server.app.db.statements();
    turn().await;
    server.app.db.statements() - before
}

#[tokio::test]
async fn looking_at_tokens() {
    let server = narrow().await;
    for id in ["web", "jwt"] {
        let client = server.client(id);
        let tokens = client.tokens(&server.agent(), "openid").await;
        assert_eq!(
            cost(&server, async || assert!(client.is_active(&tokens.access).await)).await,
            1,
            "introspection ({id})"
        );
        assert_eq!(cost(&server, async || client.userinfo(&tokens.access).await.ok()).await, 1, "userinfo ({id})");
        let by_script = async || {
            let request = server.http().get(server.endpoint("userinfo_endpoint")).bearer_auth(&tokens.access);
            let answer = Answer::of(request.header("origin", "https://rp.example")).await;
            assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, "https://rp.example"));
        };
        assert_eq!(cost(&server, by_script).await, 1, "userinfo, by a script of the client ({id})");
        assert_eq!(
            cost(&server, async || client.introspect(&tokens.refresh).await.ok()).await,
            1,
            "of a refresh token"
        );
        assert_eq!(cost(&server, async || assert!(!client.is_active("nonsense").await)).await, 1, "of nonsense");
    }
    assert_eq!(cost(&server, async || userinfo(&server, "nonsense").await.token_refused().status).await, 0);
}

#[tokio::test]
async fn asking_for_tokens() {
    let server = narrow().await;
    for id in ["web", "spa", "jwt", "es256", "post"] {
        let client = server.client(id);
        let agent = server.agent();
        client.code(&agent, "openid").await;
        let authorize = cost(&server, async || agent.step(&client.request("openid").url()).await.code()).await;
        // One finds client, session, sid and consent; one founds the family, inserts the code and its event.
        assert_eq!(authorize, 2, "authorize with a live session ({id})");

        let first = client.code(&agent, "openid").await;
        client.redeem(&first).await.tokens();
        let code = client.code(&agent, "openid").await;
        let before = server.app.db.statements();
        let tokens = client.redeem(&code).await.tokens();
        // One finds client, code, family and session; one consumes, issues and tells.
        assert_eq!(server.app.db.statements() - before, 2, "code redemption ({id})");

        let before = server.app.db.statements();
        let tokens = client.refresh(&tokens.refresh).await.tokens();
        assert_eq!(server.app.db.statements() - before, 2, "refresh ({id})");
        let before = server.app.db.statements();
        client.refresh(&tokens.refresh).await.tokens();
        client.refresh(&tokens.refresh).await.tokens();
        assert_eq!(server.app.db.statements() - before, 4, "refresh and its duplicate ({id})");
    }
    let machine = server.client("machine");
    let client_credentials =
        cost(&server, async || machine.client_credentials("ships:read").await.tokens().access).await;
    assert_eq!(client_credentials, 2, "client_credentials");
}

/// A pushed request is kept before a browser comes, and found, taken and answered when it does.
#[tokio::test]
async fn pushing_requests() {
    let server = narrow().await;
    let client = server.client("web");
    let agent = server.agent();
    client.code(&agent, "openid").await;
    let request = client.request("openid");
    assert_eq!(cost(&server, async || client.push(&request).await.status).await, 5, "push");
    let brought = [client.pushed(&request).await, client.pushed(&request).await].map(|request| request.url());
    agent.step(&brought[0]).await.code();
    let before = server.app.db.statements();
    agent.step(&brought[1]).await.code();
    // Session, request, taking it, what a decision is made of, and the code.
    assert_eq!(server.app.db.statements() - before, 5, "a browser brings it");
}

#[tokio::test]
async fn documents_cost_nothing() {
    let server = narrow().await;
    for url in [server.at("/.well-known/openid-configuration"), server.endpoint("jwks_uri"), server.at("/healthz")] {
        let get = async || assert_eq!(Answer::of(server.http().get(&url)).await.status, 200, "{url}");
        assert_eq!(cost(&server, get).await, 0, "{url}");
    }
}

/// Anybody may ask: it is looked once a second.
#[tokio::test]
async fn readiness_costs_the_same_however_many_ask() {
    let server = narrow().await;
    let many = async || {
        let asked = (0..50).map(|_| async { Answer::of(server.http().get(server.at("/readyz"))).await.status });
        assert!(join_all(asked).await.iter().all(|status| *status == 200));
    };
    let took = cost(&server, many).await;
    assert!(took <= 12, "{took} statements");
}

/// The whole story over one connection, and many stories at once: nobody waits for a second one.
#[tokio::test]
async fn one_connection_is_enough() {
    let server = Server::start(Settings::default().connections(1).set("server.workers", "2")).await;
    let stories = ["web", "spa", "jwt", "pkj"].map(async |id: &str| {
        let client = server.client(id);
        let agent = server.agent();
        let page = agent.open(&client.request("openid offline_access").url()).await;
        agent.sign_in(&page, id, "a wrong guess at somebody who is not there").await;
        agent.sign_in(&page, ALICE, PASSWORD).await;
        let tokens = client.tokens(&agent, "openid offline_access").await;
        let tokens = client.refresh(&tokens.refresh).await.tokens();
        client.userinfo(&tokens.access).await.ok();
        client.revoke(&tokens.access).await;
        server.client("machine").client_credentials("").await.tokens();
        agent.open(&server.at("/account")).await.form_to("/sign-out");
        client.revoke(&tokens.refresh).await;
        client.refresh(&tokens.refresh).await.refused("invalid_grant");
    });
    join_all(stories).await;
    let ready = Answer::of(server.http().get(server.at("/readyz"))).await;
    assert_eq!(ready.status, 200, "{ready:?}");
}

/// The activity of a session is written at most once a minute, and never to its own row.
#[tokio::test]
async fn activity_is_written_once_a_minute() {
    let server = narrow().await;
    let client = server.client("web");
    let agent = server.agent();
    let mut tokens = client.tokens(&agent, "openid").await;
    let state = async || {
        let row = "SELECT a.last_seen_at || ' ' || a.xmin || '/' || s.xmin FROM session_activity a \
                   JOIN sessions s ON s.id = a.session_id WHERE s.kind = 'user'";
        server.value(row).await
    };
    let before = state().await;
    for _ in 0..5 {
        agent.step(&client.request("openid").url()).await.code();
        tokens = client.refresh(&tokens.refresh).await.tokens();
    }
    assert_eq!(state().await, before);
    server.advance(TimeDelta::seconds(61)).await;
    agent.step(&client.request("openid").url()).await.code();
    let after = state().await;
    assert_ne!(after, before);
    assert_eq!(after.rsplit('/').next(), before.rsplit('/').next(), "the session's own row was written");
    client.refresh(&tokens.refresh).await.tokens();
    assert_eq!(state().await, after);
}
