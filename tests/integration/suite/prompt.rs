//! Whom the person is asked to be, and when.

use chrono::TimeDelta;

use super::{error, finish, flow, party, request};
use crate::support::{
    ALICE, PASSWORD, Server, Settings,
    declared::{REDIRECT_URI, SECRET},
    token,
};

#[tokio::test]
async fn oidcc_prompt_login() {
    let server = Server::usual().await;
    let client = party(&server);
    let agent = server.agent();
    let first = token::claims(&flow(&client, &agent, &request(&client, "openid")).await.id);
    server.advance(TimeDelta::seconds(2)).await;
    let asked = request(&client, "openid").with("prompt", "login");
    let page = agent.open(&asked.url()).await;
    assert!(page.asks_for_password(), "{}", page.body);
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    let second = token::claims(&finish(&client, &asked, &page).await.id);
    assert_eq!(second["sub"], first["sub"]);
    assert!(second["auth_time"].as_i64() > first["auth_time"].as_i64());
}

#[tokio::test]
async fn oidcc_prompt_none_not_logged_in() {
    let server = Server::usual().await;
    let asked = request(&party(&server), "openid").with("prompt", "none");
    assert_eq!(error(&server, &asked, &server.agent().step(&asked.url()).await), "login_required");
}

#[tokio::test]
async fn oidcc_prompt_none_logged_in() {
    let server = Server::usual().await;
    let client = party(&server);
    let agent = server.agent();
    let first = token::claims(&flow(&client, &agent, &request(&client, "openid")).await.id);
    server.advance(TimeDelta::seconds(2)).await;
    let asked = request(&client, "openid").with("prompt", "none");
    let page = agent.step(&asked.url()).await;
    let second = token::claims(&finish(&client, &asked, &page).await.id);
    for same in ["sub", "auth_time"] {
        assert_eq!(second[same], first[same], "{same}");
    }
}

#[tokio::test]
async fn oidcc_max_age_1() {
    let server = Server::usual().await;
    let client = party(&server);
    let agent = server.agent();
    let first = token::claims(&flow(&client, &agent, &request(&client, "openid")).await.id);
    server.advance(TimeDelta::seconds(2)).await;
    let asked = request(&client, "openid").with("max_age", "1");
    let page = agent.open(&asked.url()).await;
    assert!(page.asks_for_password(), "{}", page.body);
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    let second = token::claims(&finish(&client, &asked, &page).await.id);
    assert_eq!(second["sub"], first["sub"]);
    assert!(second["auth_time"].as_i64() > first["auth_time"].as_i64());
    assert!(server.clock.now().timestamp() - second["auth_time"].as_i64().unwrap() <= 2);
}

#[tokio::test]
async fn oidcc_max_age_10000() {
    let server = Server::usual().await;
    let client = party(&server);
    let agent = server.agent();
    let asked = request(&client, "openid").with("max_age", "15000");
    let first = token::claims(&flow(&client, &agent, &asked).await.id);
    server.advance(TimeDelta::seconds(2)).await;
    let asked = request(&client, "openid").with("max_age", "10000");
    let page = agent.step(&asked.url()).await;
    let second = token::claims(&finish(&client, &asked, &page).await.id);
    for same in ["sub", "auth_time"] {
        assert_eq!(second[same], first[same], "{same}");
    }
}

#[tokio::test]
async fn oidcc_id_token_hint() {
    let server = Server::usual().await;
    let client = party(&server);
    let agent = server.agent();
    let first = flow(&client, &agent, &request(&client, "openid")).await.id;
    let asked = request(&client, "openid").with("prompt", "none").with("id_token_hint", &first);
    let page = agent.step(&asked.url()).await;
    let second = token::claims(&finish(&client, &asked, &page).await.id);
    let first = token::claims(&first);
    for same in ["sub", "auth_time"] {
        assert_eq!(second[same], first[same], "{same}");
    }
}

#[tokio::test]
async fn oidcc_login_hint() {
    let server = Server::usual().await;
    let client = party(&server);
    let agent = server.agent();
    let asked = request(&client, "openid").with("login_hint", "buffy@\"<op.example>");
    let page = agent.open(&asked.url()).await;
    // Filled in, and nothing else: whoever is there may be somebody else.
    assert!(page.body.contains("value=\"buffy@&quot;&lt;op.example&gt;\""), "{}", page.body);
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    let page = agent.decide(&page, "allow").await;
    finish(&client, &asked, &page).await;
}

/// OIDC Registration §2: the client's own `default_max_age` counts where a request says none, and yields where it does.
#[tokio::test]
async fn a_client_may_have_a_max_age_of_its_own() {
    let server = Server::start(Settings::default().declare(&format!(
        "[[client]]\nclient_id = \"bank\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
         scope = \"openid\"\ndefault_max_age = 100\nrequire_auth_time = true\n"
    )))
    .await;
    let bank = server.client("bank");
    let agent = server.agent();
    let first = token::claims(&bank.tokens(&agent, "openid").await.id);
    server.advance(TimeDelta::seconds(101)).await;
    agent.step(&bank.request("openid").with("max_age", "200").url()).await.code();
    let silent = bank.request("openid").with("prompt", "none");
    assert_eq!(agent.step(&silent.url()).await.error(), "login_required");
    let second = token::claims(&bank.tokens(&agent, "openid").await.id);
    assert!(second["auth_time"].as_i64() > first["auth_time"].as_i64(), "{first} {second}");
    agent.step(&silent.url()).await.code();
    for wrong in ["", "+5", "-0", "5 ", "0x5", "4294967296"] {
        let asked = bank.request("openid").with("max_age", wrong);
        let page = agent.step(&asked.url()).await;
        // Sent without a value it counts as omitted (RFC 6749 §3.1).
        if wrong.is_empty() {
            page.code()
        } else {
            page.error()
        };
    }
}

/// Each of several prompts is honoured, in the order in which a person meets them.
#[tokio::test]
async fn prompts_add_up() {
    let server = Server::usual().await;
    let client = party(&server);
    let agent = server.agent();
    flow(&client, &agent, &request(&client, "openid")).await;
    let asked = request(&client, "openid").with("prompt", "consent select_account login");
    let page = agent.open(&asked.url()).await;
    assert!(page.asks_for_password(), "{}", page.body);
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    // Whoever has just said who they are has chosen who to be.
    assert!(page.offers("allow"), "{}", page.body);
    let page = agent.decide(&page, "allow").await;
    finish(&client, &asked, &page).await;
    for wrong in ["none login", "login none", "none consent", "none select_account", "create", "LOGIN", "login,consent"]
    {
        let asked = request(&client, "openid").with("prompt", wrong);
        assert_eq!(error(&server, &asked, &agent.step(&asked.url()).await), "invalid_request", "{wrong}");
    }
}
