//! Scopes that last for different times in one privileged session: none of them lasts longer than it may, and none ends
//! another party's work.

use chrono::TimeDelta;
use mooring::sessions::Proof;
use serde_json::Value;

use super::{elevated, id, scope, to_step_up};
use crate::support::{
    ALICE, Server, Settings,
    client::{Code, Tokens},
    declared::{REDIRECT_URI, SECRET},
};

const SCOPES: &str = "openid dock valve";

/// `dock` may be worked at for an hour, `valve` for five minutes; a proof is good for twenty. Each has its party.
async fn server() -> Server {
    let scope = |name: &str, duration: &str| {
        format!("[[scope]]\nname = \"{name}\"\nprivileged = true\nmax_age = \"20m\"\nduration = \"{duration}\"\n")
    };
    let client = |name: &str| {
        format!(
            "[[client]]\nclient_id = \"{name}\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
             grant_types = [\"authorization_code\", \"refresh_token\"]\nscope = \"openid {name}\"\n"
        )
    };
    let both = client("valve").replace("client_id = \"valve\"", "client_id = \"both\"").replace("openid valve", SCOPES);
    let declared = [scope("dock", "1h"), scope("valve", "5m"), client("dock"), client("valve"), both].concat();
    let server = Server::start(Settings::default().declare(&declared)).await;
    server.enrol(ALICE, "passkey").await;
    server
}

/// What introspection says of a token, and for how many minutes from now it may be privileged.
async fn seen(server: &Server, tokens: &Tokens) -> (Value, Option<i64>) {
    let seen = server.client("api").introspect(&tokens.access).await.ok();
    let until = seen["privileged_until"].as_i64();
    assert!(until.is_none() || seen["exp"].as_i64() <= until, "{seen}");
    let minutes = until.map(|until| (until - server.clock.now().timestamp() + 30) / 60);
    (seen, minutes)
}

#[tokio::test]
async fn a_scope_that_joins_lasts_no_longer_than_it_may() {
    let server = server().await;
    let (dock, valve, agent) = (server.client("dock"), server.client("valve"), server.agent());
    let code = elevated(&server, &dock, &agent, ALICE, "openid dock").await;
    let mut work = dock.redeem(&code).await.tokens();
    server.advance(TimeDelta::minutes(10)).await;
    let code = elevated(&server, &valve, &agent, ALICE, "openid valve").await;
    let mut turn = valve.redeem(&code).await.tokens();
    let (joined, left) = seen(&server, &turn).await;
    assert_eq!((joined["session"]["kind"].as_str(), left), (Some("privileged"), Some(5)));
    work = dock.refresh(&work.refresh).await.tokens();
    let (own, left) = seen(&server, &work).await;
    assert_eq!((&own["session"], left), (&joined["session"], Some(50)), "one session, and its end has not moved");

    // Refreshing it, and asking for it again by the same proof, keeps to the same end.
    server.advance(TimeDelta::minutes(3)).await;
    turn = valve.refresh(&turn.refresh).await.tokens();
    assert_eq!((scope(&turn), seen(&server, &turn).await.1), ("openid valve", Some(2)));
    let silent = valve.request("openid valve").with("prompt", "none");
    let code = Code { code: agent.walk(&silent.url(), ALICE).await.code(), verifier: silent.verifier.clone() };
    let again = valve.redeem(&code).await.tokens();
    assert_eq!((scope(&again), seen(&server, &again).await.1), ("openid valve", Some(2)));
    assert_eq!(valve.introspect(&turn.refresh).await.ok()["scope"], "openid valve");
    server.advance(TimeDelta::seconds(95)).await;
    let late = valve.request("openid valve").with("prompt", "none");
    let late = Code { code: agent.walk(&late.url(), ALICE).await.code(), verifier: late.verifier };

    // Then it goes on without, as after the session's end; the other party works on.
    server.advance(TimeDelta::seconds(30)).await;
    assert!(!valve.is_active(&turn.access).await && !valve.is_active(&again.access).await);
    valve.redeem(&late).await.refused("invalid_grant");
    assert_eq!(valve.introspect(&turn.refresh).await.ok()["scope"], "openid");
    turn = valve.refresh(&turn.refresh).await.tokens();
    let (ordinary, left) = seen(&server, &turn).await;
    assert_eq!((scope(&turn), ordinary["session"]["kind"].as_str(), left), ("openid", Some("user"), None));
    work = dock.refresh(&work.refresh).await.tokens();
    assert_eq!((scope(&work), seen(&server, &work).await.1), ("openid dock", Some(45)));
    let named = [("grant_type", "refresh_token"), ("refresh_token", &*turn.refresh), ("scope", "openid valve")];
    assert_eq!(scope(&valve.token(&named).await.tokens()), "openid");

    // The proof is fresh still, and was good for what it gave: for more there has to be another.
    assert_eq!(agent.walk(&silent.url(), ALICE).await.error(), "login_required");
    let request = valve.request("openid valve");
    let page = to_step_up(&agent, &request.url(), ALICE).await;
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    let back = agent.walk(&server.at(&format!("/oauth/authorize/{}", id(&page))), ALICE).await;
    let turn = valve.redeem(&Code { code: back.code(), verifier: request.verifier }).await.tokens();
    let (joined, left) = seen(&server, &turn).await;
    assert_eq!((&joined["session"]["id"], left), (&own["session"]["id"], Some(5)));
}

/// The other way round nothing is lengthened: who joins ends with the session.
#[tokio::test]
async fn a_scope_that_may_last_longer_ends_with_the_session() {
    let server = server().await;
    let (dock, valve, agent) = (server.client("dock"), server.client("valve"), server.agent());
    elevated(&server, &valve, &agent, ALICE, "openid valve").await;
    server.advance(TimeDelta::minutes(2)).await;
    let code = elevated(&server, &dock, &agent, ALICE, "openid dock").await;
    let work = dock.redeem(&code).await.tokens();
    assert_eq!(seen(&server, &work).await.1, Some(3));
    server.advance(TimeDelta::minutes(3)).await;
    assert!(!dock.is_active(&work.access).await);
    assert_eq!(scope(&dock.refresh(&work.refresh).await.tokens()), "openid");
}

/// Asked for together they last for as long as the one that lasts less, however little of them is taken in between, and
/// whatever is sent again.
#[tokio::test]
async fn of_scopes_that_are_had_together_the_shortest_counts() {
    let server = server().await;
    let (both, agent) = (server.client("both"), server.agent());
    let code = elevated(&server, &both, &agent, ALICE, SCOPES).await;
    let first = both.redeem(&code).await.tokens();
    assert_eq!((scope(&first), seen(&server, &first).await.1), (SCOPES, Some(5)));
    let less = [("grant_type", "refresh_token"), ("refresh_token", &*first.refresh), ("scope", "openid dock")];
    let less = both.token(&less).await.tokens();
    assert_eq!((scope(&less), seen(&server, &less).await.1), ("openid dock", Some(5)));
    let more = both.refresh(&less.refresh).await.tokens();
    assert_eq!((scope(&more), seen(&server, &more).await.1), (SCOPES, Some(5)));
    // One of them alone, by the proof for both.
    let request = both.request("openid dock").with("prompt", "none");
    let code = Code { code: agent.walk(&request.url(), ALICE).await.code(), verifier: request.verifier.clone() };
    let alone = both.redeem(&code).await.tokens();
    assert_eq!((scope(&alone), seen(&server, &alone).await.1), ("openid dock", Some(5)));

    server.advance(TimeDelta::seconds(295)).await;
    let last = both.refresh(&more.refresh).await.tokens();
    assert_eq!(scope(&last), SCOPES);
    server.advance(TimeDelta::seconds(6)).await;
    for (refresh, was) in [(&more.refresh, &last), (&alone.refresh, &alone)] {
        assert!(!both.is_active(&was.access).await);
        let again = both.refresh(refresh).await.tokens();
        assert_eq!((scope(&again), seen(&server, &again).await.1), ("openid", None));
    }
    let named = [("grant_type", "refresh_token"), ("refresh_token", &*last.refresh), ("scope", "openid dock")];
    assert_eq!(scope(&both.token(&named).await.tokens()), "openid");
    assert_eq!(agent.walk(&request.url(), ALICE).await.error(), "login_required");
}

/// A page of the Identity Hub is open for as long as its own scope allows, whatever else goes on in that session.
#[tokio::test]
async fn a_page_of_the_hub_closes_by_its_own_scope() {
    let declared = format!(
        "[[scope]]\nname = \"dock\"\nprivileged = true\nduration = \"1h\"\n\
         [[scope]]\nname = \"hub:elevations\"\nprivileged = true\nadministrators = true\nduration = \"5m\"\n\
         [[client]]\nclient_id = \"dock\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
         scope = \"openid dock\"\n"
    );
    let server = Server::start(Settings::default().declare(&declared)).await;
    server.enrol(ALICE, "passkey").await;
    server.rows("UPDATE users SET admin_at = now() WHERE username = 'alice'").await;
    let agent = server.agent();
    elevated(&server, &server.client("dock"), &agent, ALICE, "openid dock").await;
    let page = to_step_up(&agent, &server.at("/hub"), ALICE).await;
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    let hub = agent.walk(&server.at(&format!("/oauth/authorize/{}", id(&page))), ALICE).await;
    assert_eq!((hub.status, hub.url.path()), (200, "/hub/elevations"), "{}", hub.body);
    server.advance(TimeDelta::minutes(4)).await;
    assert_eq!(agent.open(&server.at("/hub/elevations")).await.url.path(), "/hub/elevations");
    server.advance(TimeDelta::minutes(2)).await;
    to_step_up(&agent, &server.at("/hub/elevations"), ALICE).await;
}
