//! The authorization endpoint: what is asked of a person and when, what is refused, and where that is said.

use chrono::TimeDelta;
use serde_json::json;

use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::Agent,
    client::Code,
    declared::{NATIVE_REDIRECT_URIS, REDIRECT_URI, WEB_REDIRECT_URI},
    token,
};

/// Alice, signed in and having consented to `web`.
async fn signed_in(server: &Server) -> Agent {
    let agent = server.agent();
    server.client("web").code(&agent, "openid email").await;
    agent
}

#[tokio::test]
async fn prompt_none_never_asks() {
    let server = Server::usual().await;
    let client = server.client("web");
    let silent = client.request("openid").with("prompt", "none");
    let stranger = server.agent();
    let answer = stranger.step(&silent.url()).await.answer();
    assert_eq!((answer["error"].as_str(), answer["state"].as_str()), ("login_required", "the state"));
    assert_eq!(answer["iss"], server.issuer);

    let agent = signed_in(&server).await;
    let other = server.client("web2").request("openid").with("prompt", "none");
    assert_eq!(agent.step(&other.url()).await.error(), "consent_required");
    let more = client.request("openid phone").with("prompt", "none");
    assert_eq!(agent.step(&more.url()).await.error(), "consent_required");
    agent.step(&silent.url()).await.code();
    // With anything else it contradicts itself (OIDC Core §3.1.2.1).
    let both = client.request("openid").with("prompt", "none login");
    assert_eq!(agent.step(&both.url()).await.error(), "invalid_request");
}

#[tokio::test]
async fn prompt_login_re_authenticates_and_keeps_the_sid() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let before = token::claims(&client.tokens(&agent, "openid").await.id);
    server.advance(TimeDelta::minutes(2)).await;
    let request = client.request("openid").with("prompt", "login");
    let page = agent.open(&request.url()).await;
    assert!(page.asks_for_password(), "{}", page.body);
    let old = agent.cookie().value;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    assert_ne!(agent.cookie().value, old, "a new secret");
    let after =
        token::claims(&client.redeem(&Code { code: page.code(), verifier: request.verifier }).await.tokens().id);
    assert_eq!(before["sid"], after["sid"]);
    assert!(after["auth_time"].as_i64().unwrap() - before["auth_time"].as_i64().unwrap() >= 120);
}

/// The request is stored by one replica and the sign-in made by another, whose clock is behind; then one whose clock is ahead.
#[tokio::test]
async fn a_sign_in_counts_whatever_the_clock_says() {
    for (parameter, value) in [("prompt", "login"), ("max_age", "0"), ("max_age", "1")] {
        for skew in [-5, 5] {
            let server = Server::usual().await;
            let client = server.client("web");
            let agent = server.agent();
            client.tokens(&agent, "openid").await;
            server.clock.advance(TimeDelta::minutes(2));
            let page = agent.open(&client.request("openid").with(parameter, value).url()).await;
            assert!(page.asks_for_password(), "{parameter}={value}: {}", page.body);
            server.clock.advance(TimeDelta::seconds(skew));
            agent.sign_in(&page, ALICE, PASSWORD).await.code();
            // What was proved for one request is nothing to another.
            let page = agent.open(&client.request("openid").with("prompt", "login").url()).await;
            assert!(page.asks_for_password(), "{parameter}={value}: {}", page.body);
        }
    }
}

#[tokio::test]
async fn prompt_login_with_another_person_is_another_session() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let alice = client.tokens(&agent, "openid").await;
    let request = client.request("openid").with("prompt", "login");
    let page = agent.open(&request.url()).await;
    let page = agent.sign_in(&page, BOB, PASSWORD).await;
    let page = agent.decide(&page, "allow").await;
    let bob = client.redeem(&Code { code: page.code(), verifier: request.verifier }).await.tokens();
    assert_ne!(token::claims(&alice.id)["sid"], token::claims(&bob.id)["sid"]);
    assert_eq!(token::claims(&bob.id)["sub"], server.user_id(BOB).await);
    assert!(!client.is_active(&alice.access).await, "the other person's session ended first");
}

#[tokio::test]
async fn consent_is_asked_once_and_remembered() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = signed_in(&server).await;
    agent.step(&client.request("openid email").url()).await.code();
    agent.step(&client.request("openid").url()).await.code();

    // More than was allowed is asked for; refusing it is said to the client, and asking again is possible.
    let page = agent.open(&client.request("openid email phone").url()).await;
    assert!(page.offers("allow"), "{}", page.body);
    let denied = agent.decide(&page, "deny").await.answer();
    assert_eq!((denied["error"].as_str(), denied["state"].as_str()), ("access_denied", "the state"));
    assert_eq!(denied["iss"], server.issuer);
    let page = agent.open(&client.request("openid email phone").url()).await;
    agent.decide(&page, "allow").await.code();
    agent.step(&client.request("openid phone").url()).await.code();

    // prompt=consent asks all the same.
    let page = agent.open(&client.request("openid").with("prompt", "consent").url()).await;
    assert!(page.offers("allow"), "{}", page.body);
    agent.decide(&page, "allow").await.code();

    // Remembered for the person, not for the browser.
    let elsewhere = server.agent();
    let page = elsewhere.open(&client.request("openid email phone").url()).await;
    elsewhere.sign_in(&page, ALICE, PASSWORD).await.code();
    // And not for anybody else.
    let bob = server.agent();
    let page = bob.open(&client.request("openid").url()).await;
    assert!(bob.sign_in(&page, BOB, PASSWORD).await.offers("allow"));
}

#[tokio::test]
async fn select_account_lets_one_go_on_or_become_somebody_else() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = signed_in(&server).await;
    let request = client.request("openid").with("prompt", "select_account");
    let page = agent.open(&request.url()).await;
    assert!(page.offers("continue") && page.offers("another"), "{}", page.body);
    agent.decide(&page, "continue").await.code();

    let page = agent.open(&request.url()).await;
    let page = agent.decide(&page, "another").await;
    assert!(page.asks_for_password(), "{}", page.body);
    let page = agent.sign_in(&page, BOB, PASSWORD).await;
    let code = Code { code: agent.decide(&page, "allow").await.code(), verifier: request.verifier };
    assert_eq!(token::claims(&client.redeem(&code).await.tokens().id)["sub"], server.user_id(BOB).await);
}

#[tokio::test]
async fn max_age_asks_who_signed_in_too_long_ago() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = signed_in(&server).await;
    server.advance(TimeDelta::seconds(100)).await;
    agent.step(&client.request("openid").with("max_age", "200").url()).await.code();
    let silent = client.request("openid").with("max_age", "50").with("prompt", "none");
    assert_eq!(agent.step(&silent.url()).await.error(), "login_required");
    for max_age in ["50", "0"] {
        let request = client.request("openid").with("max_age", max_age);
        let page = agent.open(&request.url()).await;
        assert!(page.asks_for_password(), "max_age={max_age}: {}", page.body);
        let code = agent.sign_in(&page, ALICE, PASSWORD).await.code();
        let claims = token::claims(&client.redeem(&Code { code, verifier: request.verifier }).await.tokens().id);
        let age = server.clock.now().timestamp() - claims["auth_time"].as_i64().unwrap();
        assert!(age < 10, "max_age={max_age}: auth_time is {age} s ago");
    }
    for wrong in ["-1", "soon", "1.5", "99999999999"] {
        let request = client.request("openid").with("max_age", wrong);
        assert_eq!(agent.step(&request.url()).await.error(), "invalid_request", "{wrong}");
    }
}

#[tokio::test]
async fn an_id_token_hint_names_who_must_be_signed_in() {
    let server = Server::usual().await;
    let client = server.client("web");
    let (alice, bob) = (server.agent(), server.agent());
    let hint = client.tokens(&alice, "openid").await.id;
    let code = client.code_for(&bob, BOB, "openid").await;
    let bobs = client.redeem(&code).await.tokens().id;

    let silent = client.request("openid").with("prompt", "none").with("id_token_hint", &hint);
    alice.step(&silent.url()).await.code();
    assert_eq!(bob.step(&silent.url()).await.error(), "login_required");
    // With the means to ask, the person is asked; whoever insists on being another gets no code.
    let asked = client.request("openid").with("id_token_hint", &hint);
    let page = bob.open(&asked.url()).await;
    assert!(page.asks_for_password(), "{}", page.body);
    assert_eq!(bob.sign_in(&page, BOB, PASSWORD).await.error(), "login_required");

    // Expired is good enough; forged, or another client's, is not.
    server.advance(TimeDelta::minutes(20)).await;
    alice.step(&silent.url()).await.code();
    let (body, _) = hint.rsplit_once('.').unwrap();
    let (_, signature) = bobs.rsplit_once('.').unwrap();
    let theirs = server.client("web2").tokens(&server.agent(), "openid").await.id;
    for wrong in [format!("{body}.{signature}"), theirs, "nonsense".to_owned()] {
        let request = client.request("openid").with("prompt", "none").with("id_token_hint", &wrong);
        assert_eq!(alice.step(&request.url()).await.error(), "invalid_request", "{wrong}");
    }
}

#[tokio::test]
async fn where_no_redirect_uri_can_be_trusted_there_is_a_page() {
    let server = Server::usual().await;
    let web = server.client("web");
    let agent = signed_in(&server).await;
    let usual = web.request("openid");
    let long = format!("{REDIRECT_URI}?{}", "x".repeat(3000));
    let mut requests = vec![
        usual.clone().with("client_id", "nobody"),
        usual.clone().with("client_id", ""),
        usual.clone().without("client_id"),
        usual.clone().without("redirect_uri"),
        usual.clone().repeat("client_id", "web2"),
        usual.clone().repeat("redirect_uri", REDIRECT_URI),
        usual.clone().with("client_id", "machine"),
    ];
    for uri in [
        "https://evil.example/callback",
        "https://rp.example/callback",
        "https://rp.example/callback?at=home&more=1",
        "https://rp.example/callback?at=home#",
        "https://rp.example:443/callback?at=home",
        "https://RP.example/callback?at=home",
        "https://rp.example/callback/?at=home",
        "https://rp.example@evil.example/callback?at=home",
        "http://127.0.0.1:9/callback/",
        "http://127.0.0.1:9/callback#fragment",
        "http://127.0.0.1.evil.example:9/callback",
        "http://localhost:9/callback",
        "http://127.0.0.1:9/%63allback",
        "javascript:alert(1)",
        "//127.0.0.1:9/callback",
        "/callback",
        &long,
    ] {
        requests.push(usual.clone().with("redirect_uri", uri));
    }
    for request in requests {
        let page = agent.step(&request.url()).await;
        page.is_error_page(400);
        assert!(!page.body.contains("evil.example\"") && !page.body.contains("href=\"javascript"), "{}", page.body);
    }
    server.rows("UPDATE clients SET disabled_at = now() WHERE client_id = 'web'").await;
    agent.step(&usual.url()).await.is_error_page(400);
}

/// What is wrong is said to the relying party, with its state and our name (RFC 9207).
#[tokio::test]
async fn other_errors_go_to_the_relying_party() {
    let server = Server::usual().await;
    let agent = signed_in(&server).await;
    let usual = server.client("web").request("openid");
    let spa = server.client("spa").request("openid");
    let long = "x".repeat(9000);
    for (request, error) in [
        (usual.clone().without("response_type"), "invalid_request"),
        (usual.clone().with("response_type", "token"), "unsupported_response_type"),
        (usual.clone().with("response_type", "code id_token"), "unsupported_response_type"),
        (usual.clone().repeat("scope", "openid"), "invalid_request"),
        (usual.clone().repeat("code_challenge", "x"), "invalid_request"),
        (usual.clone().repeat("unheard-of", "1").repeat("unheard-of", "2"), "invalid_request"),
        (usual.clone().with("code_challenge_method", "plain"), "invalid_request"),
        (usual.clone().without("code_challenge_method"), "invalid_request"),
        (usual.clone().with("code_challenge_method", "S512"), "invalid_request"),
        (usual.clone().with("code_challenge", "short"), "invalid_request"),
        (usual.clone().with("code_challenge", &"+".repeat(43)), "invalid_request"),
        (usual.clone().without("code_challenge").without("code_challenge_method"), "invalid_request"),
        (spa.without("code_challenge").without("code_challenge_method"), "invalid_request"),
        (usual.clone().with("response_mode", "fragment"), "invalid_request"),
        (usual.clone().with("prompt", "dance"), "invalid_request"),
        (usual.clone().with("scope", "unheard-of"), "invalid_scope"),
        (usual.clone().with("scope", "openid \"quoted\""), "invalid_scope"),
        (usual.clone().with("request", "a.b.c"), "invalid_request_object"),
        (usual.clone().with("request_uri", "https://rp.example/request"), "request_uri_not_supported"),
        (usual.clone().with("registration", "{}"), "registration_not_supported"),
        (usual.clone().with("claims", "[]"), "invalid_request"),
        (usual.clone().with("nonce", &long), "invalid_request"),
        (
            usual
                .clone()
                .with("claims", &json!({ "id_token": { "acr": { "essential": true, "value": "phr" } } }).to_string()),
            "unmet_authentication_requirements",
        ),
    ] {
        let answer = agent.step(&request.url()).await.answer();
        assert_eq!(answer.get("error").map(String::as_str), Some(error), "{:?}: {answer:?}", request.parameters);
        assert_eq!((answer["state"].as_str(), answer["iss"].as_str()), ("the state", server.issuer.as_str()));
        assert!(!answer.contains_key("code"));
    }
    // What is too long to be read is told to nobody; a state that is too long to be kept, with it.
    let longest = "x".repeat(50_000);
    agent.step(&usual.clone().with("nonce", &longest).url()).await.is_error_page(400);
    let answer = agent.step(&usual.with("state", &long).url()).await.answer();
    assert_eq!((answer["error"].as_str(), &answer["state"]), ("invalid_request", &long));
}

#[tokio::test]
async fn a_repeated_state_is_not_sent_back() {
    let server = Server::usual().await;
    let agent = server.agent();
    let answer = agent.step(&server.client("web").request("openid").repeat("state", "other").url()).await.answer();
    assert_eq!(answer["error"], "invalid_request");
    assert!(!answer.contains_key("state"), "{answer:?}");
}

/// `require_pkce = false` is a deviation that a confidential client may be registered with.
#[tokio::test]
async fn a_client_may_be_excused_from_pkce_but_a_sent_challenge_counts() {
    let server = Server::usual().await;
    let client = server.client("lax");
    let agent = server.agent();
    let request = client.request("openid").without("code_challenge").without("code_challenge_method");
    let code = agent.walk(&request.url(), ALICE).await.code();
    let form = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", REDIRECT_URI)];
    // A verifier for a code without challenge is a downgrade in the making (OAuth 2.1 §7.5.1 / RFC 9700 §4.8.2).
    let mut with_verifier = form.to_vec();
    with_verifier.push(("code_verifier", &request.verifier));
    client.token(&with_verifier).await.refused("invalid_grant");
    client.token(&form).await.tokens();

    let code = client.code(&agent, "openid").await;
    let form = [("grant_type", "authorization_code"), ("code", code.code.as_str()), ("redirect_uri", REDIRECT_URI)];
    let refused = client.token(&form).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    client.redeem(&code).await.tokens();
}

#[tokio::test]
async fn form_post_brings_the_answer_in_a_form() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = signed_in(&server).await;
    let request = client.request("openid").with("response_mode", "form_post");
    let page = agent.open(&request.url()).await;
    assert_eq!((page.status, page.heading().is_empty()), (200, false));
    assert_eq!(page.header("cache-control"), "no-store");
    let form = &page.forms()[0];
    assert_eq!(form.action.as_str(), REDIRECT_URI);
    assert!(form.is_post);
    assert_eq!((form.field("state"), form.field("iss")), (Some("the state"), Some(server.issuer.as_str())));
    assert!(page.body.contains("<button"), "a visible button, for those without scripts");
    let code = form.field("code").expect("a code").to_owned();
    client.redeem(&Code { code, verifier: request.verifier }).await.tokens();

    // Errors come the same way.
    let request = client.request("openid").with("response_mode", "form_post").with("prompt", "none");
    let page = server.agent().open(&request.url()).await;
    assert_eq!(page.forms()[0].field("error"), Some("login_required"), "{}", page.body);
    assert_eq!(page.forms()[0].field("state"), Some("the state"));
}

#[tokio::test]
async fn the_redirect_uri_keeps_its_query_and_loopback_its_port() {
    let server = Server::usual().await;
    let agent = signed_in(&server).await;
    let mut web = server.client("web");
    web.redirect_uri = WEB_REDIRECT_URI.to_owned();
    let page = agent.open(&web.request("openid").url()).await;
    assert!(page.header("location").starts_with("https://rp.example/callback?at=home&"), "{:?}", page.headers);

    let mut native = server.client("native");
    for uri in [
        NATIVE_REDIRECT_URIS[0],
        "http://127.0.0.1/callback",
        "http://127.0.0.1:51234/callback",
        "http://[::1]:61234/callback",
        "http://localhost:7777/callback",
    ] {
        uri.clone_into(&mut native.redirect_uri);
        let code = native.code(&agent, "openid").await;
        // OAuth 2.1 no longer sends redirect_uri with the code; where it is sent it must be the same.
        let port = uri.replace("51234", "51235").replace("61234", "61235");
        if port != uri {
            native.token(&code.form(&port)).await.refused("invalid_grant");
        }
        native.redeem(&code).await.tokens();
    }
    for uri in [
        "http://localhost:7778/callback",
        "http://127.0.0.2:7777/callback",
        "com.example.app:/other",
        "com.example.app://callback",
    ] {
        uri.clone_into(&mut native.redirect_uri);
        agent.step(&native.request("openid").url()).await.is_error_page(400);
    }
}

/// The browser sends no cookie with a POST from elsewhere; the request is kept and shown again by GET.
#[tokio::test]
async fn a_cross_site_post_is_kept_and_answered_with_a_get() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = signed_in(&server).await;
    let before = agent.cookie().value;
    let request = client.request("openid");
    let page = agent.submit_from_elsewhere(request.endpoint(), &request.parameters).await;
    assert_eq!(page.status, 303, "{}", page.body);
    let next = page.location().unwrap();
    assert!(next.as_str().starts_with(&server.issuer));
    assert!(next.as_str().len() < 500, "what was asked does not travel in the URL");
    assert_eq!(agent.cookie().value, before, "it is not a new visit");
    let page = agent.follow(page).await;
    client.redeem(&Code { code: page.code(), verifier: request.verifier }).await.tokens();

    // Whoever took it up has it: another browser cannot.
    let stranger = server.agent();
    let page = stranger.open(next.as_str()).await;
    assert!(page.location().is_none_or(|location| !location.as_str().contains("code=")), "{:?}", page.headers);

    // The same for somebody who is not signed in.
    let visitor = server.agent();
    let request = client.request("openid");
    let page = visitor.submit_from_elsewhere(request.endpoint(), &request.parameters).await;
    let page = visitor.follow(page).await;
    assert!(page.asks_for_password(), "{}", page.body);
    let code = visitor.sign_in(&page, ALICE, PASSWORD).await.code();
    client.redeem(&Code { code, verifier: request.verifier }).await.tokens();
}

#[tokio::test]
async fn a_post_of_the_request_is_as_good_as_a_get() {
    let server = Server::usual().await;
    let client = server.client("web");
    let wrong = client.request("openid").with("redirect_uri", "https://evil.example/");
    let agent = server.agent();
    let page = agent.submit_from_elsewhere(wrong.endpoint(), &wrong.parameters).await;
    agent.follow(page).await.is_error_page(400);
}

/// Whoever shows their cookie is there, also where the answer is no.
#[tokio::test]
async fn a_refused_request_is_activity() {
    let server = Server::start(Settings::default().set("sessions.idle", "10m")).await;
    let (web, spa) = (server.client("web"), server.client("spa"));
    let agent = server.agent();
    web.code(&agent, "openid").await;
    for _ in 0..4 {
        server.advance(TimeDelta::minutes(6)).await;
        let page = agent.step(&spa.request("openid").with("prompt", "none").url()).await;
        assert_eq!(page.error(), "consent_required");
    }
    agent.step(&web.request("openid").with("prompt", "none").url()).await.code();
}
