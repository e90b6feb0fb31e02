//! A sign-out that leads to a client that registered itself: it takes an ID token, or the person's word (RP-Initiated Logout
//! §3, RFC 9700 §4.11.2).

use super::*;
use crate::support::{PASSWORD, agent::Page, declared::POST_LOGOUT_URI};

const BYE: &str = "https://bank.example/bye";
const NAME: &str = "Harbour Bank";

async fn bank(server: &Server) -> Registered<'_> {
    let bank = json!({ "client_name": NAME, "client_uri": "https://bank.example/sign-in",
        "post_logout_redirect_uris": [BYE], "logo_uri": "https://cdn.bank.example/logo.png" });
    Registered::with(server, &bank).await
}

fn logout(server: &Server, parameters: &[(&str, &str)]) -> String {
    url::Url::parse_with_params(&server.endpoint("end_session_endpoint"), parameters).unwrap().into()
}

/// It leads nowhere by itself, says who registered it, and where it would lead.
fn asks(page: &Page) {
    assert_eq!((page.status, page.location()), (200, None), "{}", page.body);
    for part in [
        "id=\"unverified\"",
        "This application registered itself.",
        "Nobody at Mooring has checked its name",
        "<bdi class=\"place\">bank.example</bdi>",
        "<bdi>cdn.bank.example</bdi>",
    ] {
        assert!(page.body.contains(part), "{part}:\n{}", page.body);
    }
}

#[tokio::test]
async fn without_a_hint_the_person_is_asked_before_they_are_sent_on() {
    let server = open().await;
    let bank = bank(&server).await;
    let named = [("client_id", bank.text("client_id")), ("post_logout_redirect_uri", BYE), ("state", "s&t")];
    let page = server.agent().open(&logout(&server, &named)).await;
    asks(&page);
    assert!(page.body.contains(&format!("href=\"{BYE}?state=s%26t\"")), "{}", page.body);
    // A form of its own, from elsewhere, is no better.
    let fields = named.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let agent = server.agent();
    let page = agent.submit_from_elsewhere(&server.endpoint("end_session_endpoint"), &fields).await;
    asks(&agent.follow(page).await);
    // A program that reads no pages is told that nothing ended.
    let request = server.http().get(logout(&server, &named)).header("accept", "application/json");
    assert_eq!(Answer::of(request).await.ok()["ended"], "nothing");
    // An anonymous visit is nobody's sign-in.
    let visitor = server.agent();
    visitor.open(&bank.client().request("openid").url()).await;
    asks(&visitor.open(&logout(&server, &named)).await);
    // What an operator declared leads on, as ever.
    let web = [("client_id", "web"), ("post_logout_redirect_uri", POST_LOGOUT_URI)];
    let page = server.agent().open(&logout(&server, &web)).await;
    assert_eq!(page.location().unwrap().as_str(), POST_LOGOUT_URI);
}

#[tokio::test]
async fn whoever_is_signed_in_is_asked_once() {
    let server = open().await;
    let bank = bank(&server).await;
    let named = [("client_id", bank.text("client_id")), ("post_logout_redirect_uri", BYE)];
    let agent = server.agent();
    let page = agent.open(&server.at("/login")).await;
    agent.sign_in(&page, ALICE, PASSWORD).await;
    let page = agent.open(&logout(&server, &named)).await;
    asks(&page);
    let page = agent.decide(&page, "sign-out").await;
    assert_eq!(page.location().unwrap().as_str(), BYE);
    // Without a place to go on to, the page at the end does not speak of it.
    let page = agent.open(&server.at("/login")).await;
    agent.sign_in(&page, ALICE, PASSWORD).await;
    let page = agent.open(&logout(&server, &named[..1])).await;
    assert!(page.offers("sign-out") && page.body.contains("registered itself"), "{}", page.body);
    let page = agent.decide(&page, "sign-out").await;
    assert!(page.body.contains("Your session has ended"), "{}", page.body);
    assert!(!page.body.contains(NAME) && !page.body.contains("bank.example"), "{}", page.body);
}

#[tokio::test]
async fn its_name_stands_beside_a_hint_alone() {
    let server = open().await;
    let bank = bank(&server).await;
    let page = server.agent().open(&logout(&server, &[("client_id", bank.text("client_id"))])).await;
    assert!(page.status == 200 && page.body.contains("You are signed out"), "{}", page.body);
    assert!(!page.body.contains(NAME) && !page.body.contains("bank.example"), "{}", page.body);
    // With one it is as with any other client, also when the session is over.
    let (client, agent) = (bank.client(), server.agent());
    let tokens = client.tokens(&agent, "openid").await;
    let hint = ("id_token_hint", tokens.id.as_str());
    let page = server.agent().open(&logout(&server, &[hint])).await;
    assert!(page.body.contains(NAME) && page.body.contains("https://bank.example/sign-in"), "{}", page.body);
    for agent in [&agent, &server.agent()] {
        let page = agent.open(&logout(&server, &[hint, ("post_logout_redirect_uri", BYE), ("state", "x")])).await;
        assert_eq!(page.location().unwrap().as_str(), format!("{BYE}?state=x"));
    }
    // A form from elsewhere keeps what the hint proved.
    let fields = [hint, ("post_logout_redirect_uri", BYE)].map(|(name, value)| (name.to_owned(), value.to_owned()));
    let agent = server.agent();
    let page = agent.submit_from_elsewhere(&server.endpoint("end_session_endpoint"), &fields).await;
    let page = agent.step(page.location().unwrap().as_str()).await;
    assert_eq!(page.location().unwrap().as_str(), BYE);
}
