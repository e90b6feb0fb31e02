//! A client that registered itself, as a person meets it (RFC 7591 §5): marked, with its host, and not by a reserved name.

use super::*;
use crate::support::PASSWORD;

async fn consent_page(server: &Server, client: &Client<'_>) -> crate::support::agent::Page {
    let agent = server.agent();
    let login = agent.open(&client.request("openid").url()).await;
    let consent = agent.sign_in(&login, ALICE, PASSWORD).await;
    assert!(consent.offers("allow"), "{}", consent.body);
    consent
}

#[tokio::test]
async fn it_is_marked_with_the_host_that_it_answers_at() {
    let server = open().await;
    let bank = json!({ "client_name": "Harbour Bank", "client_uri": "https://bank.example/", "redirect_uris": [REDIRECT_URI],
        "policy_uri": "https://bank.example/privacy", "logo_uri": "https://cdn.bank.example/logo.png" });
    let registered = Registered::with(&server, &bank).await;
    let page = consent_page(&server, &registered.client()).await;
    for part in [
        "id=\"unverified\"",
        "This application registered itself.",
        "Nobody at Mooring has checked its name",
        "Your answer goes to a program on this device (<bdi class=\"place\">127.0.0.1</bdi>)",
        "<bdi>bank.example</bdi>, <bdi>cdn.bank.example</bdi>",
    ] {
        assert!(page.body.contains(part), "{part}:\n{}", page.body);
    }
    // What an operator declared or added is not.
    let page = consent_page(&server, &server.client("web")).await;
    assert!(!page.body.contains("unverified") && !page.body.contains("registered itself"), "{}", page.body);
}

/// A program on the person's device gets the answer, whatever host stands in the address: it is not shown as a place.
#[tokio::test]
async fn a_custom_scheme_is_not_shown_as_a_host() {
    let server = open().await;
    let uri = "evil://bank.example/cb";
    let app = json!({ "client_name": "Harbour Bank", "client_uri": "https://bank.example/", "redirect_uris": [uri],
        "application_type": "native", "token_endpoint_auth_method": "none" });
    let registered = Registered::with(&server, &app).await;
    let agent = server.agent();
    let login = agent.open(&registered.client().request("openid").with("redirect_uri", uri).url()).await;
    let page = agent.sign_in(&login, ALICE, PASSWORD).await;
    for part in [
        "Your answer goes to the program on this device that opens <bdi class=\"place\">evil:</bdi> links",
        "Its links lead elsewhere, to <bdi>bank.example</bdi>",
    ] {
        assert!(page.body.contains(part), "{part}:\n{}", page.body);
    }
    assert!(!page.body.contains("class=\"place\">bank.example"), "{}", page.body);
}

/// Names of this service, as they look: without case, spaces, and with characters that look like others.
#[tokio::test]
async fn names_of_this_service_are_reserved() {
    let settings = Settings::default()
        .set("registration.policy", "open")
        .set("registration.reserved_names", "Harbour Bank")
        .set("pages.name", "Quay Accounts");
    let server = Server::start(settings).await;
    for name in [
        "Identity Hub",
        "IDENTITY HUB",
        " identity   hub ",
        "IdentityHub",
        "\u{406}d\u{435}ntity Hub",
        "ldentity Hub",
        "Identity\u{a0}Hub",
        "Identity Hub (sign in)",
        "Mooring",
        "Quay Accounts",
        "QUAY-ACCOUNTS",
        "Harbour B\u{430}nk",
        "localhost",
    ] {
        let answer = post(&server, None, &usual(&json!({ "client_name": name }))).await;
        answer.refused("invalid_client_metadata");
        assert!(answer.text.contains("client_name: is reserved"), "{name}: {answer:?}");
    }
    let registered = Registered::with(&server, &json!({ "client_name": "Quay Accounts Exporter" })).await;
    let renamed = registered.change(&json!({ "client_name": "Identity Hub" }));
    registered.put(&renamed).await.refused("invalid_client_metadata");
}
