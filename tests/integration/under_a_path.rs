//! An issuer with a path: everything a browser meets stays below it, and works there.

use url::Url;

use crate::support::{
    ALICE, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    declared::POST_LOGOUT_URI,
    token::claims,
};

const PATH: &str = "/tenant/one";

/// Every address on the page, as the browser understands it.
fn addresses(page: &Page) -> Vec<Url> {
    ["href=\"", "src=\"", "action=\""]
        .iter()
        .flat_map(|attribute| page.body.split(attribute).skip(1))
        .map(|rest| page.url.join(rest.split('"').next().unwrap()).unwrap())
        .collect()
}

/// What the page loads is there, and nothing of it leads out of the issuer.
async fn stays_below(server: &Server, page: &Page) {
    assert!(page.status < 500, "{}", page.body);
    assert!(page.url.path().starts_with(PATH), "{}", page.url);
    let issuer = Url::parse(&server.issuer).unwrap();
    for address in addresses(page) {
        if address.origin() == issuer.origin() {
            assert!(address.path().starts_with(PATH), "{address} on {}", page.url);
        }
        if address.path().contains("/assets/") {
            let answer = server.http().get(address.clone()).send().await.unwrap();
            assert_eq!(answer.status(), 200, "{address}");
        }
    }
}

async fn below() -> Server {
    Server::start(Settings::default().path(PATH)).await
}

async fn account(server: &Server) -> (Agent, Page) {
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    stays_below(server, &page).await;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    (agent, page)
}

#[tokio::test]
async fn the_pages_of_a_sign_in_work_there() {
    let server = below().await;
    let (agent, client) = (server.agent(), server.client("web"));
    let page = agent.open(&client.request("openid profile").url()).await;
    assert!(page.asks_for_password());
    stays_below(&server, &page).await;
    let page = agent.sign_in(&page, ALICE, "a wrong password").await;
    assert!(page.asks_for_password());
    stays_below(&server, &page).await;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    assert!(page.offers("allow"), "{}", page.body);
    stays_below(&server, &page).await;
    let page = agent.decide(&page, "allow").await;
    assert_eq!(page.answer()["iss"], server.issuer);
    // The session is known again.
    agent.open(&client.request("openid").with("prompt", "none").url()).await.code();
    let choice = agent.open(&client.request("openid").with("prompt", "select_account").url()).await;
    assert!(choice.offers("continue"), "{}", choice.body);
    stays_below(&server, &choice).await;
    agent.decide(&choice, "continue").await.code();
    let error = agent.open(&client.request("openid").with("redirect_uri", "https://elsewhere.example/").url()).await;
    error.is_error_page(400);
    stays_below(&server, &error).await;
}

#[tokio::test]
async fn the_account_and_its_end_work_there() {
    let server = below().await;
    let (agent, page) = account(&server).await;
    assert_eq!(page.heading(), "Alice Example");
    stays_below(&server, &page).await;
    // The issuer itself, as relying parties show it, is an address, too.
    for address in [server.at("/"), server.issuer.clone()] {
        let welcome = agent.open(&address).await;
        assert_eq!((welcome.status, welcome.heading().as_str()), (200, "Sign-in, safely moored"), "{address}");
        stays_below(&server, &welcome).await;
    }

    let tokens = server.client("web").tokens(&agent, "openid").await;
    let end = server.endpoint("end_session_endpoint");
    let page = agent.open(&end).await;
    assert!(page.offers("sign-out"), "{}", page.body);
    stays_below(&server, &page).await;
    let hint = [("id_token_hint", tokens.id.as_str()), ("post_logout_redirect_uri", POST_LOGOUT_URI)];
    let mut page = agent.open(Url::parse_with_params(&end, hint).unwrap().as_str()).await;
    if page.offers("sign-out") {
        page = agent.decide(&page, "sign-out").await;
    }
    assert!(page.location().is_some_and(|location| location.as_str().starts_with(POST_LOGOUT_URI)), "{}", page.body);
    assert!(agent.cookies().is_empty());
    let (agent, _) = account(&server).await;
    let page = agent.open(&end).await;
    let gone = agent.decide(&page, "sign-out").await;
    stays_below(&server, &gone).await;
    assert!(agent.cookies().is_empty());
}

/// Who watches the server knows where it listens, not what its issuer is called.
#[tokio::test]
async fn its_health_is_where_every_servers_is() {
    let server = below().await;
    let root = server.issuer.strip_suffix(PATH).unwrap();
    for path in ["/healthz", "/readyz"] {
        for url in [format!("{root}{path}"), server.at(path)] {
            assert_eq!(server.http().get(&url).send().await.unwrap().status(), 200, "{url}");
        }
    }
}

/// OIDC Discovery §4.3: clients compare the issuer as text, so it is served as the operator wrote it.
#[tokio::test]
async fn an_issuer_keeps_its_trailing_slash() {
    for path in ["/", "/tenant/"] {
        let server = Server::start(Settings::default().path(path)).await;
        assert!(server.issuer.ends_with(path), "{}", server.issuer);
        assert_eq!(server.discovery()["issuer"], server.issuer);
        let base = server.issuer.trim_end_matches('/');
        assert_eq!(server.discovery()["token_endpoint"], format!("{base}/oauth/token"));
        let (agent, client) = (server.agent(), server.client("web"));
        let page = agent.open(&client.request("openid").url()).await;
        let page = agent.sign_in(&page, ALICE, PASSWORD).await;
        assert!(!page.url.path().contains("//"), "{}", page.url);
        let tokens = client.tokens(&agent, "openid").await;
        assert_eq!(claims(&tokens.id)["iss"], server.issuer);
        assert!(client.is_active(&tokens.access).await);
        assert_eq!(client.introspect(&tokens.access).await.ok()["iss"], server.issuer);
    }
}
