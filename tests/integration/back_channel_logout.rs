//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): whoever took part in a session is told of its end, however
//! it ends, at least once, and by a token that nothing else can be taken for.

mod turns;

use std::time::{Duration, Instant};

use chrono::TimeDelta;
use mooring::{
    audit::Actor,
    db::{clients, notices, users},
    sessions,
};
use serde_json::{Value, json};
use url::{Url, form_urlencoded};
use uuid::Uuid;
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::path};

use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::Agent,
    client::Tokens,
    declared::{REDIRECT_URI, SECRET},
    token,
};

/// A client with a `backchannel_logout_uri` at `home`.
fn party(id: &str, home: &MockServer, more: &str) -> String {
    party_at(id, &home.uri(), more)
}

fn party_at(id: &str, home: &str, more: &str) -> String {
    format!(
        "[[client]]\nclient_id = \"{id}\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
         grant_types = [\"authorization_code\", \"refresh_token\"]\nscope = \"openid offline_access\"\n\
         backchannel_logout_uri = \"{home}/{id}\"\nbackchannel_logout_session_required = true\n{more}\n"
    )
}

fn allowing() -> Settings {
    Settings::default().set("outbound.allow", "127.0.0.1/32").jobs()
}

/// A home whose parties answer at once.
async fn home() -> MockServer {
    let home = MockServer::start().await;
    Mock::given(wiremock::matchers::any()).respond_with(ResponseTemplate::new(200)).mount(&home).await;
    home
}

/// What the party was sent, oldest first.
async fn calls(home: &MockServer, id: &str) -> Vec<Request> {
    let all = home.received_requests().await.unwrap();
    all.into_iter().filter(|request| request.url.path() == format!("/{id}")).collect()
}

fn logout_token(request: &Request) -> String {
    assert_eq!(request.method.as_str(), "POST");
    assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
    assert!(!request.headers.contains_key("cookie") && !request.headers.contains_key("authorization"));
    let form: Vec<_> = form_urlencoded::parse(&request.body).into_owned().collect();
    assert_eq!(form.len(), 1, "{form:?}");
    assert_eq!(form[0].0, "logout_token");
    form[0].1.clone()
}

/// Waits until it is so.
async fn until<T>(what: &str, look: impl AsyncFn() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it never came to this: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

async fn told(home: &MockServer, id: &str, times: usize) -> Vec<String> {
    let seen = until(&format!("{id} is told {times} times"), async || {
        Some(calls(home, id).await).filter(|calls| calls.len() >= times)
    })
    .await;
    assert_eq!(seen.len(), times);
    seen.iter().map(logout_token).collect()
}

async fn event(server: &Server, action: &str, outcome: &str, count: u32) {
    until(&format!("{count} {action} {outcome}"), async || {
        (server.events(action, outcome).await == count).then_some(())
    })
    .await;
}

async fn signed_in(server: &Server, id: &str) -> (Agent, Tokens) {
    let agent = server.agent();
    let tokens = server.client(id).tokens(&agent, "openid").await;
    (agent, tokens)
}

async fn session_of(server: &Server, tokens: &Tokens) -> Uuid {
    let sid = token::claims(&tokens.id)["sid"].as_str().unwrap().to_owned();
    server.value(&format!("SELECT session_id FROM session_clients WHERE sid = '{sid}'")).await.parse().unwrap()
}

async fn end(server: &Server, session: Uuid) -> bool {
    server.work(async |tx| sessions::end(tx, session, "ended_by_operator", Actor::Operator).await).await
}

async fn sign_out(server: &Server, agent: &Agent, tokens: &Tokens) {
    let hint = [("id_token_hint", tokens.id.as_str())];
    let url = Url::parse_with_params(&server.endpoint("end_session_endpoint"), hint).unwrap();
    let page = agent.open(url.as_str()).await;
    assert!(page.status < 400 && !page.offers("sign-out"), "{}", page.body);
}

/// `oidcc-backchannel-rp-initiated-logout`, with more than one party.
#[tokio::test]
async fn a_sign_out_tells_every_party_of_the_sessions_whole_life() {
    let home = home().await;
    let parties = [
        party("told", &home, ""),
        party("other", &home, "id_token_signed_response_alg = \"ES256\"\nsubject_type = \"pairwise\""),
        party("absent", &home, ""),
    ];
    let server = Server::start(allowing().declare(&parties.concat())).await;
    for supported in ["backchannel_logout_supported", "backchannel_logout_session_supported"] {
        assert_eq!(server.discovery()[supported], true);
    }
    let (agent, first) = signed_in(&server, "told").await;
    let second = server.client("other").tokens(&agent, "openid").await;
    let web = server.client("web").tokens(&agent, "openid").await;
    // All that the parties hold has expired, or is given up: they took part all the same.
    server.client("told").revoke(&first.refresh).await;
    server.advance(TimeDelta::minutes(20)).await;

    let begun = Instant::now();
    sign_out(&server, &agent, &web).await;
    let mut jtis = Vec::new();
    for (id, tokens, algorithm) in [("told", &first, "RS256"), ("other", &second, "ES256")] {
        let logout_token = &told(&home, id, 1).await[0];
        let jwt = token::verify(&server, logout_token).await;
        assert_eq!(jwt.header.typ.as_deref(), Some("logout+jwt"));
        assert_eq!(format!("{:?}", jwt.header.alg), algorithm);
        let (claims, known) = (&jwt.claims, token::claims(&tokens.id));
        for name in ["iss", "aud", "sub", "sid"] {
            assert_eq!(claims[name], known[name], "{name}");
        }
        assert_eq!(claims["events"], json!({ "http://schemas.openid.net/event/backchannel-logout": {} }));
        let lifetime = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert!(lifetime > 0 && lifetime <= 120);
        assert_eq!(claims.as_object().unwrap().len(), 8, "{claims}");
        jtis.push((claims["jti"].as_str().unwrap().to_owned(), claims["sid"].clone()));

        // It is good for nothing else.
        let hint = [("id_token_hint", logout_token.as_str())];
        let url = Url::parse_with_params(&server.endpoint("end_session_endpoint"), hint).unwrap();
        server.agent().open(url.as_str()).await.is_error_page(400);
        assert!(!server.client("api").is_active(logout_token).await);
        server.client("web").userinfo(logout_token).await.token_refused();
    }
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_ne!(jtis[0].0, jtis[1].0);
    assert_ne!(jtis[0].1, jtis[1].1, "each party knows the session under another name");
    event(&server, "notice.delivered", "done", 2).await;

    // Once is enough, and who was not there is not told.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    told(&home, "told", 1).await;
    told(&home, "other", 1).await;
    assert!(calls(&home, "absent").await.is_empty());
}

#[tokio::test]
async fn every_other_end_of_a_session_tells_too() {
    let home = home().await;
    let server = Server::start(allowing().declare(&party("told", &home, ""))).await;
    let alice: Uuid = server.user_id(ALICE).await.parse().unwrap();
    let mut times = 0;

    // By the operator; twice is once.
    let (_, tokens) = signed_in(&server, "told").await;
    let session = session_of(&server, &tokens).await;
    assert!(end(&server, session).await);
    assert!(!end(&server, session).await);
    times += 1;
    let sid = |logout_token: &String| token::claims(logout_token)["sid"].clone();
    assert_eq!(sid(&told(&home, "told", times).await[0]), token::claims(&tokens.id)["sid"]);

    // On the account page: the session at hand, then all the others.
    let (agent, _) = signed_in(&server, "told").await;
    let account = agent.open(&server.at("/account")).await;
    agent.submit(&account.form_to("/sign-out")).await;
    times += 1;
    told(&home, "told", times).await;
    let (_, _) = (signed_in(&server, "told").await, signed_in(&server, "told").await);
    let (agent, _) = signed_in(&server, "web").await;
    let account = agent.open(&server.at("/account")).await;
    agent.submit(&account.form_to("/end-others")).await;
    times += 2;
    told(&home, "told", times).await;

    // Somebody else signs in at the same browser.
    let (agent, _) = signed_in(&server, "told").await;
    let page = agent.open(&server.client("web").request("openid").with("prompt", "login").url()).await;
    agent.sign_in(&page, BOB, PASSWORD).await;
    times += 1;
    told(&home, "told", times).await;

    // Everything of a person.
    let (_, _) = (signed_in(&server, "told").await, signed_in(&server, "told").await);
    server.work(async |tx| sessions::end_all_of_user(tx, alice, "ended_by_operator", Actor::Operator).await).await;
    times += 2;
    told(&home, "told", times).await;

    // The end of a family is no end of the session; nor is that of offline access.
    let agent = server.agent();
    let client = server.client("told");
    let code = client.code(&agent, "openid offline_access").await;
    client.redeem(&code).await.tokens();
    client.redeem(&code).await.refused("invalid_grant");
    tokio::time::sleep(Duration::from_millis(1200)).await;
    told(&home, "told", times).await;

    // Disabled, and nothing else done: whoever looks after the dead finds it.
    assert!(server.work(async |tx| users::disable(tx, alice).await).await);
    server.clock.advance(TimeDelta::seconds(11));
    times += 1;
    told(&home, "told", times).await;
    let reasons = "SELECT string_agg(DISTINCT end_reason, ' ') FROM sessions WHERE end_reason LIKE '%disabled'";
    assert_eq!(server.value(reasons).await, "user_disabled");
    event(&server, "notice.delivered", "done", u32::try_from(times).unwrap()).await;
}

#[tokio::test]
async fn a_session_that_dies_by_itself_is_told() {
    let home = home().await;
    let settings = allowing().set("sessions.idle", "10m").set("sessions.absolute", "25m");
    let server = Server::start(settings.declare(&party("told", &home, ""))).await;
    let (_, idle) = signed_in(&server, "told").await;
    let (agent, busy) = signed_in(&server, "told").await;
    let silent = server.client("told").request("openid").with("prompt", "none").url();
    for _ in 0..2 {
        server.clock.advance(TimeDelta::minutes(6));
        agent.open(&silent).await.code();
    }
    // Dead without anybody looking; told by whoever looks after the dead.
    assert!(!server.client("told").is_active(&idle.access).await);
    let first = &told(&home, "told", 1).await[0];
    assert_eq!(token::claims(first)["sid"], token::claims(&idle.id)["sid"]);
    let reason = async |tokens: &Tokens| {
        let session = session_of(&server, tokens).await;
        server.value(&format!("SELECT coalesce(end_reason, '') FROM sessions WHERE id = '{session}'")).await
    };
    assert_eq!(reason(&idle).await, "idle");
    assert_eq!(reason(&busy).await, "", "one that is alive is left alone");

    server.clock.advance(TimeDelta::minutes(8));
    agent.open(&silent).await.code();
    server.clock.advance(TimeDelta::minutes(6));
    let second = &told(&home, "told", 2).await[1];
    assert_eq!(token::claims(second)["sid"], token::claims(&busy.id)["sid"]);
    assert_eq!(reason(&busy).await, "expired");
    let by_server =
        "SELECT count(*) FROM audit_events WHERE action = 'session.ended' AND actor = 'server' AND kind = 'user'";
    assert_eq!(server.value(by_server).await, "2");
    // Nobody is told of what only passed by.
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'visitor' AND end_reason = 'idle'").await, "0");
}

#[tokio::test]
async fn a_party_that_fails_is_asked_again() {
    let home = MockServer::start().await;
    let answers = [
        ResponseTemplate::new(503),
        ResponseTemplate::new(302).insert_header("location", format!("{}/elsewhere", home.uri())),
    ];
    for answer in answers {
        Mock::given(path("/told")).respond_with(answer).up_to_n_times(1).mount(&home).await;
    }
    Mock::given(path("/told")).respond_with(ResponseTemplate::new(204)).mount(&home).await;
    let server = Server::start(allowing().declare(&party("told", &home, ""))).await;
    let (agent, tokens) = signed_in(&server, "told").await;
    sign_out(&server, &agent, &tokens).await;
    let tokens = told(&home, "told", 3).await;
    let jti = |token: &String| token::claims(token)["jti"].clone();
    assert!(jti(&tokens[0]) != jti(&tokens[1]) && jti(&tokens[1]) != jti(&tokens[2]), "each try is a token of its own");
    event(&server, "notice.delivered", "done", 1).await;
    assert!(calls(&home, "elsewhere").await.is_empty(), "redirects are not followed");
    assert_eq!(server.value("SELECT attempts || ' ' || (failure LIKE '%302%') FROM notices").await, "3 true");
}

#[tokio::test]
async fn whoever_never_answers_holds_up_nobody() {
    let home = MockServer::start().await;
    let never = ResponseTemplate::new(200).set_delay(Duration::from_mins(5));
    Mock::given(path("/slow")).respond_with(never).mount(&home).await;
    Mock::given(path("/told")).respond_with(ResponseTemplate::new(200)).mount(&home).await;
    let server = Server::start(allowing().declare(&(party("slow", &home, "") + &party("told", &home, "")))).await;
    for _ in 0..20 {
        signed_in(&server, "slow").await;
    }
    let alice: Uuid = server.user_id(ALICE).await.parse().unwrap();
    server.work(async |tx| sessions::end_all_of_user(tx, alice, "ended_by_operator", Actor::Operator).await).await;
    until("the slow party is being asked", async || (!calls(&home, "slow").await.is_empty()).then_some(())).await;
    let (agent, tokens) = signed_in(&server, "told").await;
    let begun = Instant::now();
    sign_out(&server, &agent, &tokens).await;
    assert!(begun.elapsed() < Duration::from_secs(1), "the person waits for no party");
    told(&home, "told", 1).await;
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    // No more than its share at a time.
    assert!(calls(&home, "slow").await.len() <= 16);
}

#[tokio::test]
async fn two_replicas_tell_once() {
    let home = home().await;
    let settings = allowing().declare(&party("told", &home, ""));
    let server = Server::start(settings.clone()).await;
    let _replica = server.replica(settings).await;
    for _ in 0..12 {
        signed_in(&server, "told").await;
    }
    let alice: Uuid = server.user_id(ALICE).await.parse().unwrap();
    // By a process that delivers nothing: both find it by looking.
    server.work(async |tx| sessions::end_all_of_user(tx, alice, "ended_by_operator", Actor::Operator).await).await;
    event(&server, "notice.delivered", "done", 12).await;
    // Sessions that die are found by both, too.
    for _ in 0..5 {
        signed_in(&server, "told").await;
    }
    server.clock.advance(TimeDelta::minutes(31));
    event(&server, "notice.delivered", "done", 17).await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let tokens = told(&home, "told", 17).await;
    let mut sids: Vec<String> = tokens.iter().map(|token| token::claims(token)["sid"].to_string()).collect();
    sids.sort();
    sids.dedup();
    assert_eq!(sids.len(), 17);
    assert_eq!(server.value("SELECT max(attempts) FROM notices").await, "1");
}

/// The notice is claimed, its claimer gone: another replica takes over when the lease is over.
#[tokio::test]
async fn a_kill_in_between_loses_nothing() {
    let home = MockServer::start().await;
    let never = ResponseTemplate::new(200).set_delay(Duration::from_mins(5));
    Mock::given(path("/told")).respond_with(never).up_to_n_times(1).mount(&home).await;
    Mock::given(path("/told")).respond_with(ResponseTemplate::new(200)).mount(&home).await;
    let settings = Settings::default().set("outbound.allow", "127.0.0.1/32").declare(&party("told", &home, ""));
    let server = Server::start(settings.clone()).await;
    let (agent, tokens) = signed_in(&server, "told").await;
    {
        let killed = server.replica(settings.clone().jobs()).await;
        sign_out(&server, &agent, &tokens).await;
        told(&home, "told", 1).await;
        drop(killed);
    }
    assert_eq!(server.value("SELECT attempts || ' ' || (delivered_at IS NULL) FROM notices").await, "1 true");
    let _replica = server.replica(settings.jobs()).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(calls(&home, "told").await.len(), 1, "the lease is respected");
    server.clock.advance(TimeDelta::seconds(21));
    told(&home, "told", 2).await;
    event(&server, "notice.delivered", "done", 1).await;
}

#[tokio::test]
async fn what_is_not_delivered_is_in_the_trail() {
    let home = home().await;
    let known = party("blocked", &home, "")
        + &party("disabled", &home, "")
        + &party_at("named", &home.uri().replace("127.0.0.1", "localhost"), "");
    let server = Server::start(Settings::default().declare(&(known.clone() + &party("gone", &home, "")))).await;
    let agent = server.agent();
    let mut last = None;
    for id in ["blocked", "named", "disabled", "gone"] {
        last = Some(server.client(id).tokens(&agent, "openid").await);
    }
    let session = session_of(&server, &last.unwrap()).await;
    assert!(end(&server, session).await);
    // Between the end and the delivery two parties go away.
    assert_eq!(server.work(async |tx| clients::disable(tx, "disabled").await).await, Some(true));
    server.rows("UPDATE clients SET metadata = metadata - 'backchannel_logout_uri' WHERE client_id = 'gone'").await;
    // Nothing special may be reached, by address or by name.
    let _replica = server.replica(Settings::default().declare(&known).jobs()).await;
    event(&server, "notice.skipped", "refused", 4).await;
    let rows = server
        .rows("SELECT client_id, reason, kind, actor FROM audit_events WHERE action = 'notice.skipped' ORDER BY client_id")
        .await;
    let rows: Vec<String> =
        rows.into_iter().map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(
        rows,
        [
            "blocked address_blocked user server",
            "disabled client_disabled user server",
            "gone no_backchannel_logout_uri user server",
            "named address_blocked user server"
        ]
    );
    assert_eq!(home.received_requests().await.unwrap().len(), 0, "the server went where it may not");
    // They are not tried again.
    server.clock.advance(TimeDelta::hours(2));
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(server.events("notice.skipped", "refused").await, 4);
}

#[tokio::test]
async fn after_a_day_it_is_given_up_and_later_removed() {
    let home = MockServer::start().await;
    Mock::given(path("/told")).respond_with(ResponseTemplate::new(400)).mount(&home).await;
    let server = Server::start(allowing().declare(&party("told", &home, ""))).await;
    let (agent, tokens) = signed_in(&server, "told").await;
    sign_out(&server, &agent, &tokens).await;
    told(&home, "told", 1).await;
    server.advance(TimeDelta::hours(23)).await;
    until("it is tried again", async || (calls(&home, "told").await.len() >= 2).then_some(())).await;
    assert_eq!(server.events("notice.abandoned", "refused").await, 0);
    server.advance(TimeDelta::hours(2)).await;
    event(&server, "notice.abandoned", "refused", 1).await;
    let tries = calls(&home, "told").await.len();
    server.advance(TimeDelta::hours(24)).await;
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(calls(&home, "told").await.len(), tries);
    // Sessions stay while a notice is left, whoever would remove them; settled ones go after two days.
    let removal = "DELETE FROM session_activity; DELETE FROM session_clients; DELETE FROM sessions";
    assert_eq!(server.as_server(removal).await, Err("23503".to_owned()));
    assert_eq!(server.work(async |tx| notices::sweep(tx, 10).await).await, 0);
    server.advance(TimeDelta::hours(25)).await;
    assert_eq!(server.work(async |tx| notices::sweep(tx, 10).await).await, 1);
}

/// A party whose joining commits at the moment of the end is seen by a second look.
#[tokio::test]
async fn a_party_that_joins_at_the_last_moment_is_told() {
    let home = home().await;
    let server = Server::start(allowing().declare(&(party("told", &home, "") + &party("late", &home, "")))).await;
    let (agent, tokens) = signed_in(&server, "told").await;
    let session = session_of(&server, &tokens).await;
    sign_out(&server, &agent, &tokens).await;
    server
        .rows(&format!(
            "INSERT INTO session_clients (session_id, client_id, sid, joined_at) \
             SELECT '{session}', 'late', new_id(ended_at), ended_at FROM sessions WHERE id = '{session}'"
        ))
        .await;
    told(&home, "late", 1).await;
    told(&home, "told", 1).await;
}

/// Whatever hangs on it, its end is one UPDATE, and so are the notices.
#[tokio::test]
async fn the_end_costs_the_same_whatever_hangs_on_it() {
    let home = home().await;
    let parties: String = (0..5).map(|n| party(&format!("p{n}"), &home, "")).collect();
    let server = Server::start(Settings::default().connections(1).declare(&parties)).await;
    let agent = server.agent();
    let mut tokens = Vec::new();
    for n in 0..5 {
        tokens.push(server.client(&format!("p{n}")).tokens(&agent, "openid").await);
    }
    let session = session_of(&server, &tokens[0]).await;
    server
        .rows(&format!(
            "INSERT INTO access_tokens (id, grant_id, session_id, secret_hash, scope, audience, issued_at, expires_at) \
             SELECT new_id(t.issued_at), t.grant_id, t.session_id, t.secret_hash, t.scope, t.audience, t.issued_at, \
             t.expires_at FROM (SELECT * FROM access_tokens WHERE session_id = '{session}' LIMIT 1) t, \
             generate_series(1, 10000)"
        ))
        .await;
    let before = server.app.db.statements();
    let begun = Instant::now();
    let ended = server
        .app
        .db
        .work(server.clock.now(), &mooring::db::Trace::default(), async |tx| {
            sessions::end(tx, session, "ended_by_operator", Actor::Operator).await
        })
        .await;
    assert!(ended.unwrap());
    // BEGIN, the end with its notices, the event, COMMIT.
    assert_eq!(server.app.db.statements() - before, 4);
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
    assert_eq!(server.value("SELECT count(*) FROM notices").await, "5");
    let written = "SELECT count(*) FROM access_tokens WHERE revoked_at IS NOT NULL";
    assert_eq!(server.value(written).await, "0");
    for tokens in &tokens {
        assert!(!server.client("api").is_active(&tokens.access).await);
    }
    let ids: Vec<Value> = server
        .rows("SELECT id FROM notices")
        .await
        .into_iter()
        .map(|row| json!(Uuid::parse_str(row[0].as_deref().unwrap()).unwrap().get_version_num()))
        .collect();
    assert!(ids.iter().all(|version| *version == 7), "{ids:?}");
}
