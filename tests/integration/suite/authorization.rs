//! The authorization request: what must not matter, what must be said, and where it may be said.

use super::{code, error, finish, flow, parameter, party, redeem, request};
use crate::support::{
    Server,
    client::Request,
    declared::{REDIRECT_URI, WEB_REDIRECT_URI},
};

/// A parameter, or the want of one, that changes nothing.
async fn succeeds(change: impl Fn(Request) -> Request) {
    let server = Server::usual().await;
    let client = party(&server);
    flow(&client, &server.agent(), &change(request(&client, "openid"))).await;
}

#[tokio::test]
async fn oidcc_response_type_missing() {
    let server = Server::usual().await;
    let asked = request(&party(&server), "openid").without("response_type");
    let told = error(&server, &asked, &server.agent().step(&asked.url()).await);
    assert!(["invalid_request", "unsupported_response_type"].contains(&told.as_str()), "{told}");
}

#[tokio::test]
async fn oidcc_ensure_request_without_nonce_succeeds_for_code_flow() {
    succeeds(|request| request.without("nonce")).await;
}

#[tokio::test]
async fn oidcc_alternate_happy_flow() {
    let server = Server::usual().await;
    let client = party(&server);
    let mut asked = request(&client, "email openid");
    asked.parameters.reverse();
    let tokens = flow(&client, &server.agent(), &asked).await;
    assert_eq!(client.userinfo(&tokens.access).await.ok()["email"], "alice@example.com");
}

#[tokio::test]
async fn oidcc_display_page() {
    succeeds(|request| request.with("display", "page")).await;
}

#[tokio::test]
async fn oidcc_display_popup() {
    succeeds(|request| request.with("display", "popup")).await;
}

#[tokio::test]
async fn oidcc_ui_locales() {
    succeeds(|request| request.with("ui_locales", "se no-such-language-at-all")).await;
}

#[tokio::test]
async fn oidcc_claims_locales() {
    succeeds(|request| request.with("claims_locales", "se")).await;
}

#[tokio::test]
async fn oidcc_ensure_request_with_unknown_parameter_succeeds() {
    succeeds(|request| request.with("extra", "foobar")).await;
}

#[tokio::test]
async fn oidcc_ensure_post_request_succeeds() {
    let server = Server::usual().await;
    let client = party(&server);
    let agent = server.agent();
    flow(&client, &agent, &request(&client, "openid")).await;
    // A form on the suite's page: without the cookie, in a browser that has one and in one that has none.
    for agent in [agent, server.agent()] {
        let asked = request(&client, "openid");
        let page = agent.submit_from_elsewhere(asked.endpoint(), &asked.parameters).await;
        let mut page = agent.follow(page).await;
        if page.asks_for_password() {
            page = agent.sign_in(&page, "alice", crate::support::PASSWORD).await;
        }
        finish(&client, &asked, &page).await;
    }
}

#[tokio::test]
async fn oidcc_ensure_registered_redirect_uri() {
    let server = Server::usual().await;
    let asked = request(&party(&server), "openid").with("redirect_uri", &format!("{REDIRECT_URI}/x7Fq2"));
    let page = server.agent().step(&asked.url()).await;
    page.is_error_page(400);
    // What a person is asked to look at: the address that was sent, as text and never as a link.
    assert!(page.body.contains("redirect_uri") && page.body.contains("x7Fq2"), "{}", page.body);
    assert!(
        !page.body.split("href=").skip(1).any(|rest| rest.starts_with(&format!("\"{REDIRECT_URI}"))),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn oidcc_ensure_redirect_uri_in_authorization_request() {
    let server = Server::usual().await;
    let page = server.agent().step(&request(&party(&server), "openid").without("redirect_uri").url()).await;
    page.is_error_page(400);
    assert!(page.body.contains("redirect_uri"), "{}", page.body);
}

#[tokio::test]
async fn oidcc_redirect_uri_query_ok() {
    let server = Server::usual().await;
    let mut client = party(&server);
    WEB_REDIRECT_URI.clone_into(&mut client.redirect_uri);
    let asked = request(&client, "openid");
    let page = server.agent().walk(&asked.url(), "alice").await;
    assert_eq!(page.answer()["at"], "home", "what was there stays there");
    redeem(&client, &code(&server, &asked, &page)).await.tokens();
}

#[tokio::test]
async fn oidcc_redirect_uri_query_mismatch() {
    let server = Server::usual().await;
    let asked = request(&party(&server), "openid");
    for other in ["https://rp.example/callback?at=work", "https://rp.example/callback"] {
        server.agent().step(&asked.clone().with("redirect_uri", other).url()).await.is_error_page(400);
    }
}

#[tokio::test]
async fn oidcc_redirect_uri_query_added() {
    let server = Server::usual().await;
    let asked = request(&party(&server), "openid").with("redirect_uri", &format!("{REDIRECT_URI}?foo=bar"));
    server.agent().step(&asked.url()).await.is_error_page(400);
}

/// The form-post plans: the answer, errors too, comes as a form that sends itself to the client, and nothing of it in a URL.
#[tokio::test]
async fn oidcc_formpost() {
    let server = Server::usual().await;
    let client = party(&server);
    let agent = server.agent();
    flow(&client, &agent, &request(&client, "openid")).await;
    let asked = request(&client, "openid").with("response_mode", "form_post");
    let page = agent.open(&asked.url()).await;
    assert_eq!((page.status, page.header("cache-control")), (200, "no-store"));
    assert!(page.body.contains("<script"), "it sends itself");
    let form = page.forms().remove(0);
    assert_eq!((form.action.as_str(), form.is_post), (REDIRECT_URI, true));
    assert_eq!(form.field("state"), parameter(&asked, "state"));
    assert_eq!(form.field("iss"), Some(server.issuer.as_str()));
    redeem(&client, form.field("code").expect("a code")).await.tokens();

    let silent = asked.clone().with("prompt", "none");
    let form = server.agent().step(&silent.url()).await.forms().remove(0);
    assert_eq!((form.field("error"), form.field("code")), (Some("login_required"), None));
    let missing = server.agent().step(&asked.without("response_type").url()).await.forms().remove(0);
    assert_eq!(missing.field("error"), Some("invalid_request"));
}

/// No implicit and no hybrid flow: whoever asks for a token is told so where they listen, and gets nothing.
#[tokio::test]
async fn tokens_are_not_sent_by_the_front_channel() {
    let server = Server::usual().await;
    let client = party(&server);
    let agent = server.agent();
    flow(&client, &agent, &request(&client, "openid")).await;
    for response_type in ["token", "id_token", "id_token token", "code id_token", "code token", "code id_token token"] {
        let asked = request(&client, "openid").with("response_type", response_type);
        let page = agent.step(&asked.url()).await;
        assert_eq!(error(&server, &asked, &page), "unsupported_response_type", "{response_type}");
        let location = page.location().unwrap();
        assert!(location.query().is_none() && location.fragment().is_some(), "{location}");
        // Where they say otherwise, there.
        let asked = asked.with("response_mode", "query");
        let location = agent.step(&asked.url()).await.location().unwrap();
        assert!(location.query().is_some() && location.fragment().is_none(), "{location}");
    }
    let asked = request(&client, "openid").with("response_mode", "fragment");
    let page = agent.step(&asked.url()).await;
    assert_eq!(error(&server, &asked, &page), "invalid_request");
    assert!(page.location().unwrap().fragment().is_some());
    for neither in ["none", "CODE", "code code", "device"] {
        let asked = request(&client, "openid").with("response_type", neither);
        let page = agent.step(&asked.url()).await;
        assert_eq!(error(&server, &asked, &page), "unsupported_response_type", "{neither}");
        assert!(page.location().unwrap().query().is_some());
    }
}
