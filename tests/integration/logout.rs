//! RP-initiated logout (OpenID Connect RP-Initiated Logout 1.0).

mod elsewhere;

use chrono::TimeDelta;
use url::Url;

use mooring::{
    audit::Actor,
    db::clients,
    jose::{Algorithm, MasterSecret, Purpose},
    sessions, tokens as minted,
};

use crate::support::{
    Server, Settings, agent::Agent, client::Tokens, cluster::MASTER, declared::POST_LOGOUT_URI, token,
};

fn logout(server: &Server, parameters: &[(&str, &str)]) -> String {
    Url::parse_with_params(&server.endpoint("end_session_endpoint"), parameters).unwrap().into()
}

async fn signed_in(server: &Server) -> (Agent, Tokens) {
    let agent = server.agent();
    let tokens = server.client("web").tokens(&agent, "openid").await;
    (agent, tokens)
}

async fn is_signed_in(server: &Server, agent: &Agent) -> bool {
    let silent = server.client("web").request("openid").with("prompt", "none").url();
    agent.copy().open(&silent).await.answer().contains_key("code")
}

#[tokio::test]
async fn with_a_hint_it_leads_back_to_the_relying_party() {
    let server = Server::usual().await;
    let (agent, tokens) = signed_in(&server).await;
    let stolen = agent.copy();
    // Expired is good enough (§2).
    server.advance(TimeDelta::minutes(10)).await;
    let url = logout(
        &server,
        &[("id_token_hint", &tokens.id), ("post_logout_redirect_uri", POST_LOGOUT_URI), ("state", "s t/ä&x=1")],
    );
    let mut page = agent.open(&url).await;
    if page.offers("sign-out") {
        page = agent.decide(&page, "sign-out").await;
    }
    let location = page.location().expect("back to the relying party");
    assert!(location.as_str().starts_with(POST_LOGOUT_URI), "{location}");
    assert_eq!(page.answer()["state"], "s t/ä&x=1");
    assert!(!is_signed_in(&server, &stolen).await);
    assert!(agent.cookies().is_empty());
    server.client("web").refresh(&tokens.refresh).await.refused("invalid_grant");
    assert_eq!(server.value("SELECT end_reason FROM sessions WHERE kind = 'user'").await, "signed_out");
    // Already signed out, it leads back all the same.
    let again = agent.open(&url).await;
    assert!(again.location().is_some_and(|location| location.as_str().starts_with(POST_LOGOUT_URI)));
}

#[tokio::test]
async fn without_a_hint_the_person_is_asked() {
    let server = Server::usual().await;
    let (agent, _) = signed_in(&server).await;
    for parameters in
        [vec![], vec![("client_id", "web")], vec![("client_id", "web"), ("post_logout_redirect_uri", POST_LOGOUT_URI)]]
    {
        let page = agent.open(&logout(&server, &parameters)).await;
        assert!(page.offers("sign-out"), "{}", page.body);
        let stay = agent.decide(&page, "cancel").await;
        assert!(stay.status < 400, "{}", stay.body);
        assert!(is_signed_in(&server, &agent).await, "asked, not done");
    }
    // The hint of another session of hers names another browser: asked as well.
    let (_, elsewhere) = signed_in(&server).await;
    let page = agent.open(&logout(&server, &[("id_token_hint", &elsewhere.id)])).await;
    assert!(page.offers("sign-out"), "{}", page.body);
    let page = agent.decide(&page, "sign-out").await;
    assert_eq!((page.status, page.location()), (200, None));
    assert!(!page.heading().is_empty());
    assert!(!is_signed_in(&server, &agent).await);
    assert!(server.client("web").is_active(&elsewhere.access).await, "the other browser was not meant");
}

#[tokio::test]
async fn it_redirects_only_to_what_is_registered() {
    let server = Server::usual().await;
    let (agent, tokens) = signed_in(&server).await;
    for uri in [
        "https://evil.example/",
        "https://rp.example/bye?x=1",
        "https://rp.example/bye/",
        "https://rp.example/BYE",
        "https://rp.example/callback?at=home",
        "javascript:alert(1)",
    ] {
        let url = logout(&server, &[("id_token_hint", &tokens.id), ("post_logout_redirect_uri", uri)]);
        agent.open(&url).await.is_error_page(400);
        // Nor where nobody is signed in.
        server.agent().open(&url).await.is_error_page(400);
    }
    // Without any word on whose it is, it is nobody's (§3).
    agent.open(&logout(&server, &[("post_logout_redirect_uri", POST_LOGOUT_URI)])).await.is_error_page(400);
    assert!(is_signed_in(&server, &agent).await);
}

#[tokio::test]
async fn a_hint_that_is_none_is_refused() {
    let server = Server::usual().await;
    let (agent, tokens) = signed_in(&server).await;
    let jwt = server.client("jwt").tokens(&server.agent(), "openid").await.access;
    let (head, _) = tokens.id.rsplit_once('.').unwrap();
    for hint in ["nonsense", &format!("{head}.AAAA"), &jwt] {
        agent.open(&logout(&server, &[("id_token_hint", hint)])).await.is_error_page(400);
    }
    let mismatch = logout(&server, &[("id_token_hint", &tokens.id), ("client_id", "web2")]);
    agent.open(&mismatch).await.is_error_page(400);
    agent
        .open(&format!("{}&id_token_hint=x", logout(&server, &[("id_token_hint", &tokens.id)])))
        .await
        .is_error_page(400);
    assert!(is_signed_in(&server, &agent).await);
}

/// A POST from elsewhere carries no cookie: it is answered with a GET that does (OpenID Connect asks for both methods).
#[tokio::test]
async fn a_cross_site_post_is_answered_with_a_get() {
    let server = Server::usual().await;
    let (agent, tokens) = signed_in(&server).await;
    let fields = [("id_token_hint", tokens.id.as_str()), ("post_logout_redirect_uri", POST_LOGOUT_URI), ("state", "x")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let page = agent.submit_from_elsewhere(&server.endpoint("end_session_endpoint"), &fields).await;
    assert_eq!(page.status, 303, "{}", page.body);
    let kept = page.location().unwrap();
    assert!(!kept.as_str().contains(&tokens.id), "the ID token is not for histories and logs: {kept}");
    // What stands in its place is good for this very client and session only.
    let (_, elsewhere) = signed_in(&server).await;
    let other = token::claims(&elsewhere.id)["sid"].as_str().unwrap().to_owned();
    let change = |name: &str, value: &str| {
        let pairs: Vec<(String, String)> = kept.query_pairs().into_owned().collect();
        let pairs = pairs.iter().map(|(n, v)| (n.as_str(), if n == name { value } else { v.as_str() }));
        Url::parse_with_params(&server.endpoint("end_session_endpoint"), pairs).unwrap()
    };
    for forged in [change("sid", &other), change("client_id", "web2"), change("proof", "AAAA"), change("sid", "x")] {
        assert_ne!(forged, kept);
        agent.open(forged.as_str()).await.is_error_page(400);
    }
    assert!(is_signed_in(&server, &agent).await);
    let mut page = agent.follow(page).await;
    if page.offers("sign-out") {
        page = agent.decide(&page, "sign-out").await;
    }
    assert_eq!(page.answer()["state"], "x");
    assert!(!is_signed_in(&server, &agent).await);
}

/// The browser has lost its cookie, or never had it: nothing ends, and nothing is said to have.
#[tokio::test]
async fn where_nobody_is_signed_in_nothing_is_said_to_have_ended() {
    let server = Server::usual().await;
    let (agent, tokens) = signed_in(&server).await;
    let page = server.agent().open(&logout(&server, &[("id_token_hint", &tokens.id)])).await;
    assert_eq!(page.status, 200);
    assert!(!page.body.contains("has ended") && page.body.contains("/account\""), "{}", page.body);
    assert!(is_signed_in(&server, &agent).await);
    let page = agent.open(&logout(&server, &[("id_token_hint", &tokens.id)])).await;
    assert!(page.body.contains("has ended"), "{}", page.body);
}

/// Nobody signs out of what was locked, and the relying party is not told so.
#[tokio::test]
async fn a_locked_session_is_not_said_to_have_ended() {
    let server = Server::usual().await;
    let (agent, tokens) = signed_in(&server).await;
    let id = server.value("SELECT id FROM sessions WHERE kind = 'user'").await.parse().unwrap();
    assert!(server.work(async |tx| sessions::lock(tx, id, "looks odd", Actor::Operator).await).await);
    for parameters in
        [vec![], vec![("id_token_hint", tokens.id.as_str()), ("post_logout_redirect_uri", POST_LOGOUT_URI)]]
    {
        let page = agent.open(&logout(&server, &parameters)).await;
        assert!(page.status == 403 && page.body.contains("looks odd"), "{} {}", page.status, page.body);
    }
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE ended_at IS NOT NULL AND kind = 'user'").await, "0");
}

/// The confirmation counts only from our own page.
#[tokio::test]
async fn the_confirmation_cannot_be_forged() {
    let server = Server::usual().await;
    let (agent, _) = signed_in(&server).await;
    let form = agent.open(&logout(&server, &[])).await.decision("sign-out");
    for forged in [None, Some("x")] {
        assert_eq!(agent.submit(&form.clone().forge("csrf", forged)).await.status, 400);
    }
    agent.submit_from_elsewhere(form.action.as_str(), &form.fields).await;
    assert!(is_signed_in(&server, &agent).await);
    agent.submit(&form).await;
    assert!(!is_signed_in(&server, &agent).await);
}

#[tokio::test]
async fn offline_access_survives_a_sign_out() {
    let server = Server::usual().await;
    let agent = server.agent();
    let client = server.client("web");
    let tokens = client.tokens(&agent, "openid offline_access").await;
    agent.open(&logout(&server, &[("id_token_hint", &tokens.id)])).await;
    assert!(!is_signed_in(&server, &agent).await);
    client.refresh(&tokens.refresh).await.tokens();
}

/// A cross-site POST that proves nothing asks, like any other.
#[tokio::test]
async fn a_cross_site_post_without_a_hint_asks() {
    let server = Server::usual().await;
    let (agent, tokens) = signed_in(&server).await;
    let endpoint = server.endpoint("end_session_endpoint");
    for fields in
        [vec![], vec![("client_id", "web"), ("state", "x"), ("logout_hint", "alice"), ("ui_locales", "en nb")]]
    {
        let fields: Vec<_> = fields.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let page = agent.submit_from_elsewhere(&endpoint, &fields).await;
        let page = agent.follow(page).await;
        assert!(page.offers("sign-out"), "{}", page.body);
    }
    let bad = [("id_token_hint".to_owned(), format!("{}x", tokens.id))];
    agent.submit_from_elsewhere(&endpoint, &bad).await.is_error_page(400);
    assert!(is_signed_in(&server, &agent).await);
}

/// The key may have left the JWKS long before the session ends.
#[tokio::test]
async fn a_hint_by_a_retired_key_is_a_hint() {
    let settings = Settings::default().set("sessions.absolute", "10d").set("sessions.idle", "10d");
    let server = Server::start(settings).await;
    let (agent, tokens) = signed_in(&server).await;
    let seal = MasterSecret::from_bytes(MASTER.as_bytes()).unwrap().derive(Purpose::SealSigningKeys);
    server.work(async |tx| minted::rotate(tx, &seal, &Algorithm::ALL).await).await;
    server.advance(TimeDelta::hours(20)).await;
    server.work(async |tx| server.app.mint.keys.reload(tx).await).await;
    let url = server.endpoint("jwks_uri");
    let jwks = server.http().get(url).send().await.unwrap().text().await.unwrap();
    let kid = jsonwebtoken::decode_header(&tokens.id).unwrap().kid.unwrap();
    assert!(!jwks.contains(&kid), "{jwks}");
    let page = agent.open(&logout(&server, &[("id_token_hint", &tokens.id)])).await;
    assert!(!page.offers("sign-out"), "{}", page.body);
    assert!(!is_signed_in(&server, &agent).await);
}

/// `client_id` beside a hint says the same as the hint; alone it says where to go on to.
#[tokio::test]
async fn every_parameter_has_its_place() {
    let server = Server::usual().await;
    let (agent, tokens) = signed_in(&server).await;
    let all = [
        ("id_token_hint", tokens.id.as_str()),
        ("client_id", "web"),
        ("post_logout_redirect_uri", POST_LOGOUT_URI),
        ("logout_hint", "somebody"),
        ("ui_locales", "nb en"),
        ("state", "st"),
    ];
    for (n, (name, value)) in all.iter().enumerate() {
        let mut twice = all.to_vec();
        twice.insert(n, (name, value));
        agent.open(&logout(&server, &twice)).await.is_error_page(400);
    }
    assert!(is_signed_in(&server, &agent).await);
    let page = agent.open(&logout(&server, &all)).await;
    assert_eq!(page.location().unwrap().as_str(), format!("{POST_LOGOUT_URI}?state=st"));
    // A client that may do nothing leads nobody anywhere.
    assert_eq!(server.work(async |tx| clients::disable(tx, "web").await).await, Some(true));
    server.agent().open(&logout(&server, &all)).await.is_error_page(400);
}

/// A visitor's session ends at the wish of the party that it was begun for, and asks nobody.
#[tokio::test]
async fn a_visit_is_ended_too() {
    let shop = format!(
        "[[client]]\nclient_id = \"shop\"\nclient_secret = \"{}\"\nredirect_uris = [\"{}\"]\nscope = \"openid\"\n\
         visitors = true\npost_logout_redirect_uris = [\"{POST_LOGOUT_URI}\"]\n",
        crate::support::declared::SECRET,
        crate::support::declared::REDIRECT_URI
    );
    let server = Server::start(Settings::default().declare(&shop)).await;
    let (agent, client) = (server.agent(), server.client("shop"));
    let request = client.request("openid").with("acr_values", "urn:mooring:acr:visitor");
    let code = agent.step(&request.url()).await.code();
    let tokens = client.redeem(&crate::support::client::Code { code, verifier: request.verifier }).await.tokens();
    assert!(client.is_active(&tokens.access).await);
    // Without the hint there is nobody signed in, and nothing is ended.
    agent.open(&logout(&server, &[])).await;
    assert!(client.is_active(&tokens.access).await);
    let page = agent
        .open(&logout(&server, &[("id_token_hint", &tokens.id), ("post_logout_redirect_uri", POST_LOGOUT_URI)]))
        .await;
    assert_eq!(page.location().unwrap().as_str(), POST_LOGOUT_URI);
    assert!(!client.is_active(&tokens.access).await);
    assert!(agent.cookies().is_empty());
}
