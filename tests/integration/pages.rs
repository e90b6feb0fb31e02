//! What holds of every page: its headers, its shape, its cookies; and the documents beside them.

use crate::support::{ALICE, Answer, PASSWORD, Server, Settings, agent::Page};

/// One of each page that a person meets.
async fn every_page(server: &Server) -> Vec<(&'static str, Page)> {
    let client = server.client("web");
    let agent = server.agent();
    let login = agent.open(&client.request("openid").url()).await;
    let wrong = agent.sign_in(&login, ALICE, "wrong").await;
    let consent = agent.sign_in(&login, ALICE, PASSWORD).await;
    let form_post = client.request("openid").with("response_mode", "form_post");
    let form_post = agent.walk(&form_post.url(), ALICE).await;
    let select = agent.open(&client.request("openid").with("prompt", "select_account").url()).await;
    let account = agent.open(&server.at("/account")).await;
    let sign_out = agent.open(&server.endpoint("end_session_endpoint")).await;
    let signed_out = server.agent().open(&server.endpoint("end_session_endpoint")).await;
    let error = agent.open(&client.request("openid").with("client_id", "nobody").url()).await;
    let nothing = agent.open(&server.at("/there-is-nothing-here")).await;
    let welcome = agent.open(&server.at("/")).await;
    vec![
        ("sign-in", login),
        ("sign-in, refused", wrong),
        ("consent", consent),
        ("form post", form_post),
        ("select account", select),
        ("account", account),
        ("sign out", sign_out),
        ("signed out", signed_out),
        ("error", error),
        ("nothing", nothing),
        ("welcome", welcome),
    ]
}

#[tokio::test]
async fn error_pages_speak_in_sentences_and_lead_on() {
    let server = Server::usual().await;
    let agent = server.agent();
    let unknown = agent.open(&server.client("web").request("openid").with("client_id", "nobody").url()).await;
    assert!(unknown.body.contains("<p>There is no client of this client_id.</p>"), "{}", unknown.body);
    let home = format!("href=\"{}\" rel=\"noreferrer\">Go to the start page</a>", server.at("/"));
    let nothing = agent.open(&server.at("/there-is-nothing-here")).await;
    assert!(nothing.is_error_page(404).body.contains(&home), "{}", nothing.body);
    let dead = agent.open(&server.at("/reset-password?token=old")).await;
    assert!(
        dead.is_error_page(404).body.contains("/reset-password\" rel=\"noreferrer\">Ask for a new link</a>"),
        "{}",
        dead.body
    );
}

#[tokio::test]
async fn every_page_is_strict_and_well_formed() {
    let server = Server::usual().await;
    for (name, page) in every_page(&server).await {
        let policy = page.header("content-security-policy");
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "style-src 'self'"] {
            assert!(policy.contains(part), "{name}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{name}: {policy}");
        // Passkeys are asked for by a script that calls the server.
        let calls = ["sign-in", "sign-in, refused", "account"].contains(&name);
        assert_eq!(policy.contains("script-src 'self'"), calls || name == "form post", "{name}: {policy}");
        assert_eq!(policy.contains("connect-src 'self'"), calls, "{name}: {policy}");
        assert_eq!(page.header("cache-control"), "no-store", "{name}");
        // A relying party that is posted to sees who posts.
        let referrer = if name == "form post" { "origin" } else { "same-origin" };
        assert_eq!(page.header("referrer-policy"), referrer, "{name}");
        assert_eq!(page.header("x-content-type-options"), "nosniff", "{name}");
        assert_eq!(page.header("strict-transport-security"), "", "{name}: not on plain HTTP");
        assert!(page.header("content-type").starts_with("text/html"), "{name}");

        assert!(!page.heading().is_empty(), "{name}");
        assert_eq!(page.body.matches("<main").count(), 1, "{name}");
        for inline in ["<style", " style=", " onclick=", " onload=", "javascript:"] {
            assert!(!page.body.contains(inline), "{name} has {inline}");
        }
        assert!(!page.body.replace("<script src=", "").contains("<script"), "{name} has an inline script");
        for form in page.forms().iter().filter(|form| form.is_post && name != "form post") {
            assert!(form.field("csrf").is_some_and(|token| token.len() >= 40), "{name}: {form:?}");
        }
        for (at, _) in page.body.match_indices("<input ") {
            let tag = page.body[at..].split('>').next().unwrap();
            let id = tag.split("id=\"").nth(1).and_then(|rest| rest.split('"').next());
            let labelled = id.is_some_and(|id| page.body.contains(&format!("<label for=\"{id}\"")));
            assert!(tag.contains("type=\"hidden\"") || labelled, "{name}: {tag} has no label");
        }
        assert!(page.body.contains("<html lang=\""), "{name}");
    }
}

/// Chromium holds `form-action` against every redirect after a form, so it stands only where a form stays with us.
#[tokio::test]
async fn forms_stay_here_unless_they_lead_to_an_application() {
    let server = Server::usual().await;
    let mut client = server.client("web");
    client.redirect_uri = crate::support::declared::WEB_REDIRECT_URI.to_owned();
    let agent = server.agent();
    let login = agent.open(&client.request("openid").url()).await;
    let consent = agent.sign_in(&login, ALICE, PASSWORD).await;
    for page in [&login, &consent] {
        let policy = page.header("content-security-policy");
        assert!(!policy.contains("form-action"), "{policy}");
        // What else keeps a flaw in escaping harmless.
        for rest in ["default-src 'none'", "script-src 'self'", "base-uri 'none'", "frame-ancestors 'none'"] {
            let script = rest.starts_with("script") && policy.contains("script-src 'none'");
            assert!(policy.contains(rest) || script, "{rest}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    for own in ["/account", "/account/password", "/login", "/reset-password", "/", "/login?confirm=password"] {
        let page = agent.open(&server.at(own)).await;
        assert!(page.header("content-security-policy").contains("form-action 'self';"), "{own}");
    }
}

#[tokio::test]
async fn the_cookie_is_for_this_server_only() {
    let server = Server::usual().await;
    let agent = server.agent();
    let page = agent.open(&server.client("web").request("openid").url()).await;
    agent.sign_in(&page, ALICE, PASSWORD).await;
    let cookie = agent.cookie();
    let has = |wanted: &str| cookie.attributes.iter().any(|attribute| attribute.eq_ignore_ascii_case(wanted));
    assert!(has("HttpOnly") && has("SameSite=Lax") && has("Path=/"), "{cookie:?}");
    assert!(
        !has("Secure") && !cookie.name.starts_with("__Host-"),
        "on plain HTTP browsers would not keep it: {cookie:?}"
    );
    assert!(!cookie.attributes.iter().any(|attribute| attribute.to_lowercase().starts_with("domain")), "{cookie:?}");
    assert!(cookie.value.len() >= 43, "{cookie:?}");
}

#[tokio::test]
async fn behind_https_the_cookie_is_bound_to_host_and_tls() {
    let server = Server::start(Settings::default().set("issuer", "https://id.example")).await;
    let http = server.http();
    let port = server.app.config.listen.port();
    let request = server.client("web").request("openid").url();
    let local = request.replace("https://id.example", &format!("http://localhost:{port}"));
    let answer = Answer::of(http.get(&local)).await;
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("__Host-"), "{answer:?}");
    for attribute in ["Secure", "HttpOnly", "SameSite=Lax", "Path=/"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    let year = answer.header("strict-transport-security");
    assert!(year.starts_with("max-age=") && year != "max-age=0", "{year}");
}

/// A form without its token is refused, whoever sends it.
#[tokio::test]
async fn forms_need_their_token() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let login = agent.open(&client.request("openid").url()).await.sign_in_form(ALICE, PASSWORD);
    let other = server.agent().open(&client.request("openid").url()).await;
    let foreign = other.sign_in_form(ALICE, PASSWORD).field("csrf").unwrap().to_owned();
    for forged in [None, Some(""), Some("x"), Some(foreign.as_str())] {
        agent.submit(&login.clone().forge("csrf", forged)).await.is_error_page(400);
    }
    // Sign-in CSRF: the attacker's own pending request in the victim's browser.
    let theirs = other.sign_in_form(ALICE, PASSWORD);
    agent.submit_from_elsewhere(theirs.action.as_str(), &theirs.fields).await.is_error_page(400);
    agent.submit_from_nowhere(&theirs).await.is_error_page(400);
    agent.submit_from_elsewhere(login.action.as_str(), &login.fields).await.is_error_page(400);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user'").await, "0");

    let consent = agent.submit(&login).await.decision("allow");
    for forged in [None, Some("x"), Some(foreign.as_str())] {
        agent.submit(&consent.clone().forge("csrf", forged)).await.is_error_page(400);
    }
    assert!(agent.submit_from_elsewhere(consent.action.as_str(), &consent.fields).await.status >= 400);
    assert_eq!(server.value("SELECT count(*) FROM consents").await, "0");
    agent.submit(&consent).await.code();
}

/// What people and clients write is shown as text.
#[tokio::test]
async fn nothing_that_is_written_becomes_markup() {
    let evil = "<script>alert(1)</script>\"'><img src=x>";
    let declared = format!(
        "[[client]]\nclient_id = \"evil\"\nclient_secret = \"{}\"\nredirect_uris = [\"https://evil.example/cb\"]\n\
         client_name = '''{evil}'''\nscope = \"openid\"\n",
        crate::support::declared::SECRET
    );
    let server = Server::start(Settings::default().declare(&declared)).await;
    let agent = server.agent();
    let mut client = server.client("evil");
    client.redirect_uri = "https://evil.example/cb".to_owned();
    let login = agent.open(&client.request("openid").with("login_hint", evil).url()).await;
    let refused = agent.sign_in(&login, evil, "wrong").await;
    let consent = agent.sign_in(&login, ALICE, PASSWORD).await;
    let error = agent.open(&client.request("openid").with("client_id", evil).url()).await;
    let form_post =
        client.request("openid").with("response_mode", "form_post").with("state", evil).with("prompt", "none");
    let form_post = server.agent().open(&form_post.url()).await;
    for page in [&login, &refused, &consent, &error, &form_post] {
        assert!(!page.body.contains("<script>alert") && !page.body.contains("<img src=x"), "{}", page.body);
    }
    assert!(consent.heading().contains("alert(1)"), "it is shown, as text: {}", consent.heading());
    assert_eq!(form_post.forms()[0].field("state"), Some(evil));
}

#[tokio::test]
async fn a_wrong_method_is_told_the_right_ones() {
    let server = Server::usual().await;
    for (path, allowed) in [("/account", "GET, HEAD"), ("/login", "GET, HEAD, POST"), ("/healthz", "GET, HEAD")] {
        let answer = Answer::of(server.http().delete(server.at(path))).await;
        assert_eq!((answer.status, answer.header("allow"), answer.text.as_str()), (405, allowed, ""), "{path}");
    }
    // The API answers in JSON, whoever asks.
    let answer = Answer::of(server.http().delete(server.at("/oauth/jwks"))).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "GET, HEAD, OPTIONS"));
    assert_eq!(answer.json()["error"], "method_not_allowed");
    // Whoever has an address of a form in their history is told so, and not shown the browser's own error page.
    for path in ["/account/end", "/account/passkeys/rename", "/passkeys/sign-in"] {
        let page = server.agent().open(&server.at(path)).await;
        assert_eq!(page.is_error_page(405).header("allow"), "POST", "{path}");
    }
}

/// An issuer with a path: discovery answers where OpenID Connect and where RFC 8414 look for it.
#[tokio::test]
async fn an_issuer_may_have_a_path() {
    let server = Server::start(Settings::default().path("/tenant/one")).await;
    assert!(server.issuer.ends_with("/tenant/one"));
    let root = server.issuer.strip_suffix("/tenant/one").unwrap();
    for url in [
        format!("{root}/tenant/one/.well-known/openid-configuration"),
        format!("{root}/.well-known/oauth-authorization-server/tenant/one"),
    ] {
        assert_eq!(Answer::of(server.http().get(&url)).await.ok()["issuer"], server.issuer.as_str(), "{url}");
    }
    let client = server.client("web");
    let agent = server.agent();
    let tokens = client.tokens(&agent, "openid").await;
    assert_eq!(crate::support::token::verify(&server, &tokens.id).await.claims["iss"], server.issuer.as_str());
    let account = agent.open(&server.at("/account")).await;
    agent.submit(&account.form_to("/sign-out")).await;
    assert!(!client.is_active(&tokens.access).await);
}

#[tokio::test]
async fn discovery_tells_what_there_is() {
    let server = Server::usual().await;
    let openid = Answer::of(server.http().get(server.at("/.well-known/openid-configuration"))).await.ok();
    let oauth = Answer::of(server.http().get(server.at("/.well-known/oauth-authorization-server"))).await.ok();
    assert_eq!(openid, oauth);
    let list = |name: &str| -> Vec<String> {
        openid[name]
            .as_array()
            .unwrap_or_else(|| panic!("no {name}"))
            .iter()
            .map(|it| it.as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(list("response_types_supported"), ["code"]);
    assert_eq!(list("code_challenge_methods_supported"), ["S256"]);
    assert_eq!(list("grant_types_supported"), ["authorization_code", "refresh_token", "client_credentials"]);
    assert_eq!(openid["authorization_response_iss_parameter_supported"], true);
    for scope in ["openid", "profile", "email", "address", "phone", "offline_access", "ships:read"] {
        assert!(list("scopes_supported").iter().any(|it| it == scope), "{scope}");
    }
    for method in ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"] {
        assert!(list("token_endpoint_auth_methods_supported").iter().any(|it| it == method), "{method}");
    }
    for algorithm in ["RS256", "ES256", "EdDSA"] {
        assert!(list("id_token_signing_alg_values_supported").iter().any(|it| it == algorithm), "{algorithm}");
    }
    // Every endpoint that is named is there.
    for (name, url) in
        openid.as_object().unwrap().iter().filter(|(name, _)| name.ends_with("_endpoint") || *name == "jwks_uri")
    {
        let answer = Answer::of(server.http().get(url.as_str().unwrap())).await;
        assert_ne!(answer.status, 404, "{name}");
    }
    let jwks = Answer::of(server.http().get(server.endpoint("jwks_uri"))).await;
    assert!(jwks.header("cache-control").contains("max-age="), "{jwks:?}");
    let keys: serde_json::Value = serde_json::from_str(&jwks.text).unwrap();
    for key in keys["keys"].as_array().unwrap() {
        for private in ["d", "p", "q", "dp", "dq", "qi", "k"] {
            assert!(key.get(private).is_none(), "{key}");
        }
        assert!(key["kid"].is_string() && key["alg"].is_string() && key["use"] == "sig", "{key}");
    }
}
