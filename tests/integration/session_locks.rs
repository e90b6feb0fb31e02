//! A watcher locks a session, lets it go on, or ends it: at the next use, on every replica, and whoever holds its cookie
//! does not get round it by signing in again.

use chrono::TimeDelta;
use mooring::{
    audit::Actor,
    sessions::{self, Proof},
};
use uuid::Uuid;

use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    client::Tokens,
    proof::request_of,
};

const LOCKED: &str = "Your session is locked";

async fn session_of(server: &Server, kind: &str) -> Uuid {
    let newest = format!("SELECT id FROM sessions WHERE kind = '{kind}' ORDER BY id DESC LIMIT 1");
    server.value(&newest).await.parse().unwrap()
}

async fn lock(server: &Server, id: Uuid, reason: &str) -> bool {
    server.work(async |tx| sessions::lock(tx, id, reason, Actor::Operator).await).await
}

async fn unlock(server: &Server, id: Uuid) -> bool {
    server.work(async |tx| sessions::unlock(tx, id, "looked into", Actor::Operator).await).await
}

/// Whether all that hangs on the session is refused, here as there.
async fn is_refused(servers: &[&Server], tokens: &Tokens) -> bool {
    let mut refused = Vec::new();
    for server in servers {
        let client = server.client("web");
        let inactive = !client.is_active(&tokens.access).await;
        assert_eq!(client.userinfo(&tokens.access).await.status == 401, inactive);
        assert_eq!(client.introspect(&tokens.refresh).await.ok()["active"] == false, inactive);
        refused.push(inactive);
    }
    assert!(refused.iter().all(|it| *it == refused[0]), "the replicas disagree: {refused:?}");
    refused[0]
}

/// The person is told that it is locked and why, and nothing begins in its place.
#[track_caller]
fn is_locked_page(page: &Page, agent: &Agent, cookie: &str) {
    page.is_error_page(403);
    assert_eq!(page.heading(), LOCKED);
    assert!(page.body.contains("a suspicious payment &lt;b&gt;"), "{}", page.body);
    assert_eq!(agent.cookie().value, cookie, "another session has begun");
}

#[tokio::test]
async fn a_lock_bites_at_the_next_use_on_every_replica_and_its_end_restores_everything() {
    let server = Server::usual().await;
    let replica = server.replica(Settings::default()).await;
    let both = [&server, &replica];
    let (client, agent) = (server.client("web"), server.agent());
    let tokens = client.tokens(&agent, "openid").await;
    let waiting = client.code(&agent, "openid").await;
    let id = session_of(&server, "user").await;
    assert!(!is_refused(&both, &tokens).await);

    assert!(lock(&server, id, "odd").await);
    assert!(!lock(&server, id, "odd again").await, "once");
    assert!(is_refused(&both, &tokens).await);
    for server in both {
        server.client("web").refresh(&tokens.refresh).await.refused("invalid_grant");
        server.client("web").redeem(&waiting).await.refused("invalid_grant");
    }
    assert!(unlock(&server, id).await);
    assert!(!unlock(&server, id).await, "once");
    assert!(!is_refused(&both, &tokens).await);
    // Nothing was used up by what was refused.
    client.redeem(&waiting).await.tokens();
    let tokens = client.refresh(&tokens.refresh).await.tokens();

    assert!(lock(&server, id, "odd").await);
    assert!(server.work(async |tx| sessions::end(tx, id, "ended_by_operator", Actor::Operator).await).await);
    assert!(is_refused(&both, &tokens).await);
    assert!(!unlock(&server, id).await, "what has ended is not unlocked");
    assert!(!lock(&server, id, "odd").await, "nor locked");
    let said = "SELECT string_agg(action || coalesce(' ' || reason, ''), ', ' ORDER BY id) FROM audit_events WHERE action LIKE 'session.%' \
                AND kind = 'user'";
    assert_eq!(
        server.value(said).await,
        "session.started, session.locked odd, session.unlocked looked into, session.locked odd, session.ended ended_by_operator"
    );
}

#[tokio::test]
async fn a_machine_does_not_get_round_it_by_asking_again() {
    let server = Server::usual().await;
    let client = server.client("machine");
    let held = client.client_credentials("ships:read").await.ok()["access_token"].as_str().unwrap().to_owned();
    let id = session_of(&server, "service").await;
    assert!(lock(&server, id, "odd").await);
    assert!(!client.is_active(&held).await);
    client.client_credentials("ships:read").await.refused("unauthorized_client");
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'service'").await, "1");
    assert!(unlock(&server, id).await);
    assert!(client.is_active(&held).await);
    client.client_credentials("ships:read").await.ok();

    // An end is an end: the next call begins another, and no lock is left of it.
    assert!(lock(&server, id, "odd").await);
    assert!(server.work(async |tx| sessions::end(tx, id, "ended_by_operator", Actor::Operator).await).await);
    client.client_credentials("ships:read").await.ok();
    assert_ne!(session_of(&server, "service").await, id);
}

#[tokio::test]
async fn a_person_is_told_and_does_not_get_round_it_by_signing_in_again() {
    let server = Server::usual().await;
    let (client, agent) = (server.client("web"), server.agent());
    let begun = agent.open(&client.request("openid").url()).await;
    client.tokens(&agent, "openid").await;
    let waiting = agent.open(&client.request("openid").with("prompt", "login").url()).await;
    let consent = agent.open(&server.client("web2").request("openid").url()).await;
    let id = session_of(&server, "user").await;
    assert!(lock(&server, id, "a suspicious payment <b>").await);

    let cookie = agent.cookie().value;
    let sessions = async || server.value("SELECT count(*) FROM sessions").await;
    let before = sessions().await;
    for url in [
        client.request("openid").url(),
        client.request("openid").with("prompt", "login").url(),
        client.request("openid").with("prompt", "select_account").url(),
        client.request("openid").with("acr_values", "urn:mooring:acr:visitor").url(),
        client.pushed(&client.request("openid")).await.url(),
        server.at("/account"),
        server.at("/login"),
        waiting.url.to_string(),
        consent.url.to_string(),
    ] {
        is_locked_page(&agent.open(&url).await, &agent, &cookie);
    }
    // Forms that were shown before, as the same person and as somebody else.
    for form in [
        waiting.sign_in_form(ALICE, PASSWORD),
        waiting.sign_in_form(BOB, PASSWORD),
        begun.sign_in_form(ALICE, PASSWORD),
        consent.decision("allow"),
    ] {
        is_locked_page(&agent.submit(&form).await, &agent, &cookie);
    }
    assert_eq!(sessions().await, before);
    // A relying party that may not show a page is told what it would be told of anybody who is not signed in.
    let silent = agent.open(&client.request("openid").with("prompt", "none").url()).await;
    assert_eq!(silent.error(), "login_required");
    // By a cookie that was not the newest even then, the same; by a forged one nobody learns of it.
    let mut forged = cookie.clone();
    forged.replace_range(40..44, "AAAA");
    let asked = server.http().get(server.at("/login")).header("cookie", format!("{}={forged}", agent.cookie().name));
    assert!(!asked.send().await.unwrap().text().await.unwrap().contains(LOCKED));
    // It is the session that is locked, not the person.
    client.tokens(&server.agent(), "openid").await;

    assert!(unlock(&server, id).await);
    assert!(agent.open(&server.at("/account")).await.body.contains("Alice Example"));
    agent.step(&client.request("openid").url()).await.code();
}

/// A question that was asked before the lock is not answered after it.
#[tokio::test]
async fn a_passkey_does_not_get_round_it_either() {
    let server = Server::usual().await;
    let (agent, mut passkey) = server.with_passkey(ALICE).await;
    let page = agent.open(&server.at("/login?confirm=account")).await;
    let asked = agent.ask(&page, "use-passkey", &[]).await.unwrap_or_else(|page| panic!("{}", page.body));
    let signed = passkey.sign(asked.page(), &asked.options);
    assert!(lock(&server, session_of(&server, "user").await, "a suspicious payment <b>").await);
    let cookie = agent.cookie().value;
    let answer = agent.answer(&asked, &signed).await;
    assert!(answer.status >= 400, "{} {}", answer.status, answer.body);
    assert!(agent.ask(&page, "use-passkey", &[]).await.is_err());
    assert_eq!(agent.cookie().value, cookie);
    is_locked_page(&agent.open(&server.at("/login")).await, &agent, &cookie);
}

#[tokio::test]
async fn a_locked_visitor_does_not_become_another() {
    let server = Server::start(Settings::default().declare(
        "[[client]]\nclient_id = \"open\"\nclient_secret = \"a-client-secret-of-the-integration-tests\"\n\
             redirect_uris = [\"http://127.0.0.1:9/callback\"]\nscope = \"openid\"\nvisitors = true\n",
    ))
    .await;
    let (client, agent) = (server.client("open"), server.agent());
    let visit = client.request("openid").with("acr_values", "urn:mooring:acr:visitor");
    agent.open(&visit.url()).await.code();
    assert!(lock(&server, session_of(&server, "visitor").await, "a suspicious payment <b>").await);
    let cookie = agent.cookie().value;
    is_locked_page(&agent.open(&visit.url()).await, &agent, &cookie);
}

/// The time that a session is locked does not count as idle; its absolute end stays.
#[tokio::test]
async fn the_idle_clock_stands_still_and_the_absolute_end_does_not() {
    let server = Server::start(Settings::default().set("sessions.absolute", "3h").set("tokens.access", "4h")).await;
    let end_dead = async || server.work(async |tx| sessions::end_dead(tx, 100).await).await;
    let (client, agent) = (server.client("web"), server.agent());
    let tokens = client.tokens(&agent, "openid").await;
    let id = session_of(&server, "user").await;
    server.advance(TimeDelta::minutes(20)).await;
    assert!(lock(&server, id, "a suspicious payment <b>").await);
    server.advance(TimeDelta::hours(1)).await;
    end_dead().await;
    is_locked_page(&agent.open(&server.at("/account")).await, &agent, &agent.cookie().value);
    assert!(unlock(&server, id).await);
    assert!(client.is_active(&tokens.access).await);
    server.advance(TimeDelta::minutes(11)).await;
    assert!(!client.is_active(&tokens.access).await, "20 and 11 minutes without anybody");

    let tokens = client.tokens(&agent, "openid").await;
    let id = session_of(&server, "user").await;
    assert!(lock(&server, id, "odd").await);
    server.advance(TimeDelta::minutes(181)).await;
    assert!(agent.open(&server.at("/account")).await.asks_for_password(), "it is over, locked or not");
    end_dead().await;
    assert_eq!(server.value(&format!("SELECT end_reason FROM sessions WHERE id = '{id}'")).await, "expired");
    assert!(!unlock(&server, id).await);
    assert!(!client.is_active(&tokens.access).await);
}

/// Privileged work that a watcher stopped does not begin anew in another browser: not beside the locked session, not in
/// place of it, and not after the person has ended it.
#[tokio::test]
async fn privileged_work_does_not_get_round_it_in_another_browser() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let first = server.agent();
    privileged(&server, &first).await.code();
    let (id, child) = (session_of(&server, "user").await, session_of(&server, "privileged").await);
    assert!(lock(&server, id, "odd").await);
    let other = server.agent();
    assert_eq!(privileged(&server, &other).await.error(), "access_denied");
    assert!(unlock(&server, id).await);
    assert!(lock(&server, child, "odd").await);
    assert_eq!(privileged(&server, &other).await.error(), "access_denied");

    let account = other.open(&server.at("/account")).await;
    other.submit(&account.form_to("/end-others")).await;
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'privileged' AND ended_at IS NULL").await, "0");
    assert_eq!(privileged(&server, &other).await.error(), "access_denied");
    // For as long as it would have lived.
    server.advance(TimeDelta::minutes(16)).await;
    privileged(&server, &other).await.code();
}

/// Asks for a privileged scope and proves what it takes.
async fn privileged(server: &Server, agent: &Agent) -> Page {
    let page = agent.walk(&server.client("web").request("openid payments:write").url(), ALICE).await;
    assert!(page.url.path().ends_with("/step-up"), "{}:\n{}", page.url, page.body);
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    let id = request_of(&page);
    agent.walk(&server.at(&format!("/oauth/authorize/{id}")), ALICE).await
}
