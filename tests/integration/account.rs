//! The account page: one's own sessions and what one has allowed, and the ways to end each.

use mooring::audit::Actor;

use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    client::Code,
    declared::{REDIRECT_URI, SECRET},
    page::Form,
};

/// Somebody signed in on the account page itself, without any relying party.
async fn signed_in(server: &Server, username: &str) -> (Agent, Page) {
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    let page = agent.sign_in(&page, username, PASSWORD).await;
    assert!(page.url.path().ends_with("/account"), "{}", page.url);
    (agent, page)
}

fn ends(page: &Page) -> Vec<Form> {
    page.forms().into_iter().filter(|form| form.action.path().ends_with("/account/end")).collect()
}

#[tokio::test]
async fn one_sees_ones_own_sessions() {
    let server = Server::usual().await;
    let stranger = server.agent().open(&server.at("/account")).await;
    assert!(stranger.asks_for_password(), "{}", stranger.body);

    let (first, page) = signed_in(&server, ALICE).await;
    assert_eq!(page.heading(), "Alice Example");
    assert!(page.body.contains("Firefox on Linux"), "{}", page.body);
    assert!(!page.body.contains("127.0.0.1") && page.body.contains("this computer"), "{}", page.body);
    assert!(ends(&page).is_empty(), "one's own is ended by signing out");
    let (_, theirs) = signed_in(&server, BOB).await;
    assert_eq!(theirs.heading(), "Bob Example");

    let (second, page) = signed_in(&server, ALICE).await;
    assert_eq!(ends(&page).len(), 1, "bob's is not among them");
    let page = first.open(&server.at("/account")).await;
    assert_eq!(ends(&page).len(), 1);
    let ended = first.submit(&page.with_button("session", &button_value(&page))).await;
    assert!(ends(&ended).is_empty());
    assert!(second.open(&server.at("/account")).await.asks_for_password());
    assert_eq!(first.open(&server.at("/account")).await.heading(), "Alice Example");
}

/// The value of the only `session` button.
fn button_value(page: &Page) -> String {
    let (_, rest) = page.body.split_once("name=\"session\" value=\"").expect("a button");
    rest.split('"').next().expect("a value").to_owned()
}

/// Where, but coarsely; and only a trusted proxy is believed.
#[tokio::test]
async fn a_session_says_where_it_is_used() {
    for (proxies, said) in [("127.0.0.1/32", "203.0.x.x"), ("192.0.2.1/32", "this computer")] {
        let server = Server::start(Settings::default().set("trusted_proxies", proxies)).await;
        let agent = server.agent().forwarded_for("203.0.113.9");
        let page = agent.open(&server.at("/account")).await;
        let page = agent.sign_in(&page, ALICE, PASSWORD).await;
        assert!(page.body.contains(said) && !page.body.contains("203.0.113.9"), "{proxies}: {}", page.body);
        let stored = "SELECT count(*) FROM session_activity a, audit_events e WHERE a::text LIKE '%203.0.113.9%' OR e::text LIKE '%203.0.113.9%'";
        assert_eq!(server.value(stored).await, "0", "addresses are stored as keyed hashes only");
    }
}

#[tokio::test]
async fn all_others_end_at_once_and_offline_access_stays() {
    let server = Server::usual().await;
    let client = server.client("web");
    let offline = client.tokens(&server.agent(), "openid offline_access").await;
    let others = [signed_in(&server, ALICE).await.0, signed_in(&server, ALICE).await.0];
    let (bob, _) = signed_in(&server, BOB).await;
    let (agent, page) = signed_in(&server, ALICE).await;
    assert_eq!(ends(&page).len(), 4, "three sessions and the offline access");
    assert!(page.body.contains("Harbour Web"));
    let page = agent.submit(&page.form_to("/end-others")).await;
    assert_eq!(ends(&page).len(), 1, "the offline access");
    for other in others {
        assert!(other.open(&server.at("/account")).await.asks_for_password());
    }
    assert_eq!(bob.open(&server.at("/account")).await.heading(), "Bob Example");
    client.refresh(&offline.refresh).await.tokens();
}

#[tokio::test]
async fn a_permission_can_be_withdrawn() {
    let server = Server::usual().await;
    let client = server.client("web");
    let (agent, _) = signed_in(&server, ALICE).await;
    let tokens = client.tokens(&agent, "openid email offline_access").await;
    let page = agent.open(&server.at("/account")).await;
    assert!(page.body.contains("See your email address") && !page.body.contains(">email<"), "{}", page.body);
    let page = agent.submit(&page.with_button("client_id", "web")).await;
    assert!(!page.body.contains("value=\"web\""), "{}", page.body);
    assert!(ends(&page).is_empty(), "access that was withdrawn is not listed: {}", page.body);
    assert!(!client.is_active(&tokens.access).await);
    client.refresh(&tokens.refresh).await.refused("invalid_grant");
    assert!(agent.open(&client.request("openid").url()).await.offers("allow"), "it has to ask again");
    assert_eq!(server.events("consent.withdrawn", "done").await, 1);
}

/// A form sent twice, or with whatever somebody writes into it: the trail tells what was withdrawn, and once.
#[tokio::test]
async fn only_what_was_allowed_is_withdrawn() {
    let server = Server::usual().await;
    let (agent, _) = signed_in(&server, ALICE).await;
    server.client("web").code(&agent, "openid").await;
    let form = agent.open(&server.at("/account")).await.with_button("client_id", "web");
    let mut forged = form.clone();
    forged.fields.retain(|(name, _)| name != "client_id");
    forged.fields.push(("client_id".to_owned(), "x\n2026-01-01 INFO made up".to_owned()));
    for form in [&form, &form, &forged] {
        assert_eq!(agent.submit(form).await.status, 200);
    }
    assert_eq!(server.events("consent.withdrawn", "done").await, 1);
}

/// Consent is taken back while a code is being issued: the family was founded too late to be ended with the others, and its code
/// is worth nothing, until the person allows it again.
#[tokio::test]
async fn a_code_that_was_on_its_way_is_not_redeemed() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    for scope in ["openid", "openid offline_access"] {
        let code = client.code(&agent, scope).await;
        server.rows("UPDATE consents SET withdrawn_at = now()").await;
        client.redeem(&code).await.refused("invalid_grant");
    }
    assert_eq!(server.value("SELECT count(*) FROM access_tokens").await, "0");
    client.tokens(&agent, "openid").await;
}

/// What needs no consent cannot be withdrawn: else the client could never be signed in to again.
#[tokio::test]
async fn a_code_that_takes_no_consent_is_redeemed_after_a_withdrawal() {
    let client = format!(
        "[[client]]\nclient_id = \"door\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\nscope = \"openid\"\n"
    );
    let server = Server::start(Settings::default().declare(&client)).await;
    let client = server.client("door");
    let agent = server.agent();
    client.tokens(&agent, "openid").await;
    server.rows("UPDATE consents SET withdrawn_at = now()").await;
    let request = client.request("openid").without("scope");
    let code = Code { code: agent.open(&request.url()).await.code(), verifier: request.verifier };
    client.redeem(&code).await.ok();
    let request = client.request("openid").without("scope").with("resource", &server.issuer);
    let code = Code { code: agent.open(&request.url()).await.code(), verifier: request.verifier };
    client.redeem(&code).await.ok();
    client.redeem(&client.code(&agent, "openid").await).await.tokens();
}

#[tokio::test]
async fn signing_out_ends_the_session_and_the_cookie() {
    let server = Server::usual().await;
    let (agent, page) = signed_in(&server, ALICE).await;
    let stolen = agent.copy();
    // Only whoever was signed out is told so.
    let told = "You are signed out.";
    assert!(!agent.open(&server.at("/?done=sign-out")).await.body.contains(told));
    let page = agent.submit(&page.form_to("/sign-out")).await;
    assert!(page.status == 200 && page.body.contains(told), "{}", page.body);
    assert!(!agent.open(&server.at("/")).await.body.contains(told));
    assert!(agent.cookies().is_empty(), "{:?}", agent.cookies());
    assert!(stolen.open(&server.at("/account")).await.asks_for_password());
}

/// Somebody signed in who comes to the sign-in page by themselves is told, and may go on, or be somebody else.
#[tokio::test]
async fn who_is_signed_in_is_told_on_the_sign_in_page() {
    let server = Server::usual().await;
    let (agent, _) = signed_in(&server, ALICE).await;
    let page = agent.open(&server.at("/login")).await;
    assert!(page.body.contains("You are signed in as <bdi><strong>Alice Example<"), "{}", page.body);
    assert!(page.body.contains("/account\">Go on to your account<"), "{}", page.body);
    assert_eq!(agent.sign_in(&page, BOB, PASSWORD).await.heading(), "Bob Example");
    let asked = server.client("web").request("openid").with("prompt", "login");
    for url in [asked.url(), server.at("/login?confirm=account")] {
        assert!(!agent.open(&url).await.body.contains("Go on to your account"), "{url}");
    }
    assert!(!server.agent().open(&server.at("/login")).await.body.contains("signed in as"));
}

/// Nobody ends somebody else's session, whatever they send.
#[tokio::test]
async fn only_ones_own_can_be_ended() {
    let server = Server::usual().await;
    let (alice, _) = signed_in(&server, ALICE).await;
    let (bob, page) = signed_in(&server, BOB).await;
    let (_second, _) = signed_in(&server, BOB).await;
    let theirs = server.value("SELECT id FROM sessions WHERE kind = 'user' ORDER BY id LIMIT 1").await;
    let page = bob.open(page.url.as_str()).await;
    let mut form = page.with_button("session", &button_value(&page));
    for wrong in [theirs.as_str(), "nonsense", "", "00000000-0000-0000-0000-000000000000"] {
        form = form.forge("session", Some(wrong));
        let answer = bob.submit(&form).await;
        assert!((400..500).contains(&answer.status), "{wrong}: {}", answer.body);
    }
    assert_eq!(alice.open(&server.at("/account")).await.heading(), "Alice Example");
    let mut unknown = page.form_to("/sign-out");
    unknown.action = page.url.join("account/destroy").unwrap();
    assert!((400..500).contains(&bob.submit(&unknown).await.status));
    assert_eq!(bob.open(&server.at("/account")).await.heading(), "Bob Example");
}

/// A form counts only with the token of the session that it was shown in.
#[tokio::test]
async fn a_foreign_form_does_nothing() {
    let server = Server::usual().await;
    let (alice, page) = signed_in(&server, ALICE).await;
    let (_bob, bobs) = signed_in(&server, BOB).await;
    let stolen = bobs.form_to("/sign-out").field("csrf").unwrap().to_owned();
    let form = page.form_to("/sign-out");
    for forged in [None, Some(""), Some("x"), Some(stolen.as_str())] {
        assert_eq!(alice.submit(&form.clone().forge("csrf", forged)).await.status, 400, "{forged:?}");
    }
    let elsewhere = alice.submit_from_elsewhere(form.action.as_str(), &form.fields).await;
    assert!(elsewhere.location().is_none_or(|next| next.path().ends_with("/login")), "{:?}", elsewhere.headers);
    assert_eq!(alice.open(&server.at("/account")).await.heading(), "Alice Example");
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user' AND ended_at IS NULL").await, "2");
}

/// The relying parties that a session was used for are named.
#[tokio::test]
async fn a_session_says_what_it_was_used_for() {
    let server = Server::usual().await;
    let (agent, page) = signed_in(&server, ALICE).await;
    assert!(!page.body.contains("Harbour Web"));
    server.client("web").code(&agent, "openid").await;
    let page = agent.open(&server.at("/account")).await;
    assert!(page.body.contains("Harbour Web"), "{}", page.body);
    let id = server.value("SELECT id FROM sessions WHERE kind = 'user'").await.parse().unwrap();
    server.work(async |tx| mooring::sessions::end(tx, id, "ended_by_operator", Actor::Operator).await).await;
    assert!(agent.open(&server.at("/account")).await.asks_for_password());
}

/// OIDC Core §4: a person begins here, and the client asks for its sign-in by a request of its own.
#[tokio::test]
async fn an_application_can_be_opened_from_here() {
    let server = Server::start(Settings::default().declare(&format!(
        "[[client]]\nclient_id = \"notes\"\nclient_name = \"Notes\"\nclient_secret = \"{SECRET}\"\nscope = \"openid\"\n\
         redirect_uris = [\"{REDIRECT_URI}\"]\ninitiate_login_uri = \"https://notes.example/begin?tenant=a%26b\"\n",
    )))
    .await;
    let (agent, page) = signed_in(&server, ALICE).await;
    assert!(!page.body.contains("notes.example"), "not before one has allowed it anything");
    server.client("notes").code(&agent, "openid").await;
    server.client("web").code(&agent, "openid").await;
    let page = agent.open(&server.at("/account")).await;
    let links = page.body.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    let links = links.map(|link| link.replace("&#x2f;", "/").replace("&amp;", "&"));
    let links: Vec<String> = links.filter(|link| link.starts_with("https://")).collect();
    assert_eq!(links.len(), 1, "{}", page.body);
    let link = url::Url::parse(&links[0]).unwrap();
    assert_eq!((link.host_str(), link.path()), (Some("notes.example"), "/begin"));
    let query: Vec<(String, String)> = link.query_pairs().into_owned().collect();
    assert_eq!(query, [("tenant", "a&b"), ("iss", &server.issuer)].map(|(name, value)| (name.into(), value.into())));
}

/// Somebody with more sessions than a page shows is told so, and finds every one of them.
#[tokio::test]
async fn all_of_many_sessions_can_be_found() {
    let server = Server::usual().await;
    let (agent, _) = signed_in(&server, ALICE).await;
    let id = server.user_id(ALICE).await;
    let more = format!(
        "INSERT INTO sessions (id, kind, user_id, client_id, acr, expires_at, created_at) \
             SELECT new_id(now() - n * interval '1 minute'), k.kind, '{id}', k.client_id, '', now() + interval '1 day', \
             now() - n * interval '1 minute' FROM generate_series(1, 250) n, (VALUES ('user', NULL), ('offline', 'web')) k (kind, client_id); \
         INSERT INTO session_activity (session_id, last_seen_at) SELECT id, now() FROM sessions WHERE acr = ''"
    );
    server.rows(&more).await;
    let mut page = agent.open(&server.at("/account")).await;
    let mut found = std::collections::HashSet::new();
    for (shown, older) in [(99, true), (100, true), (51, false)] {
        let (_, sessions) = page.body.split_once("id=\"sessions\"").unwrap();
        let (sessions, _) = sessions.split_once("id=\"offline\"").unwrap();
        let ids: Vec<&str> = sessions.split("name=\"session\" value=\"").skip(1).map(|it| &it[..36]).collect();
        assert_eq!(ids.len(), shown);
        found.extend(ids.into_iter().map(str::to_owned));
        let link = sessions.split_once("sessions_before=").map(|(_, rest)| rest[..36].to_owned());
        assert_eq!((link.is_some(), sessions.contains("and there are more")), (older, older));
        let Some(link) = link else { break };
        page = agent.open(&server.at(&format!("/account?sessions_before={link}"))).await;
    }
    assert_eq!(found.len(), 250);
    let page = agent.open(&server.at("/account?sessions_before=nonsense")).await;
    assert_eq!(page.heading(), "Alice Example");
    assert!(page.body.contains("offline_before="), "as for offline access");
}
