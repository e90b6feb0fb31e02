//! What a configuration declares, and what becomes of it when a later one, or that of another replica, does not.

use mooring::{clients, sessions::Proof};

use crate::support::{
    ALICE, PASSWORD, Server, Settings,
    agent::Agent,
    client::{Client, Code, Tokens},
    declared::SECRET,
    process::Installation,
};

const PRIVILEGED: &str = "[[scope]]\nname = \"crane:move\"\nprivileged = true\n";
const ORDINARY: &str = "[[scope]]\nname = \"crane:move\"\n";

/// Clients that are registered for a scope, whether or not it is declared.
fn clients() -> Settings {
    let of = |id: &str, grants: &str| {
        format!(
            "[[client]]\nclient_id = \"{id}\"\nclient_secret = \"{SECRET}\"\ngrant_types = [{grants}]\n\
             redirect_uris = [\"http://127.0.0.1:9/callback\"]\nscope = \"openid ships:read crane:move\"\n"
        )
    };
    Settings::default()
        .declare(&of("crane", r#""authorization_code", "refresh_token""#))
        .declare(&of("crane-machine", r#""client_credentials""#))
}

fn scope(tokens: &Tokens) -> &str {
    tokens.all["scope"].as_str().unwrap()
}

/// A code for privileged work, of somebody who proves themselves for it.
async fn elevated(server: &Server, client: &Client<'_>, agent: &Agent) -> Code {
    let request = client.request("openid crane:move");
    let page = agent.walk(&request.url(), ALICE).await;
    assert!(page.url.path().ends_with("/step-up"), "{}:\n{}", page.url, page.body);
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    let resumed = format!("/oauth/authorize/{}", crate::support::proof::request_of(&page));
    Code { code: agent.walk(&server.at(&resumed), ALICE).await.code(), verifier: request.verifier }
}

/// What the job does every few seconds.
async fn look_again(server: &Server) {
    server.work(async |tx| clients::withdraw_undeclared(tx, &server.app.config.scopes).await).await;
}

/// By nobody who has a password and no more, by no machine, and not by default.
async fn is_given_to_nobody(server: &Server) {
    let client = server.client("crane");
    let tokens = client.tokens(&server.agent(), "openid crane:move").await;
    assert_eq!(scope(&tokens), "openid");
    assert_eq!(scope(&client.refresh(&tokens.refresh).await.tokens()), "openid");
    let machine = server.client("crane-machine");
    machine.client_credentials("crane:move").await.refused("invalid_scope");
    assert_eq!(scope(&machine.client_credentials("").await.tokens()), "ships:read");
    let advertised = server.discovery()["scopes_supported"].as_array().unwrap().clone();
    assert!(!advertised.iter().any(|scope| scope == "crane:move"), "{advertised:?}");
}

#[tokio::test]
async fn a_privileged_scope_that_is_no_longer_declared_is_given_by_no_grant() {
    let before = Server::start(clients().declare(PRIVILEGED)).await;
    before.enrol(ALICE, "passkey").await;
    let (client, agent) = (before.client("crane"), before.agent());
    let code = elevated(&before, &client, &agent).await;
    let tokens = client.redeem(&code).await.tokens();
    assert_eq!(scope(&tokens), "openid crane:move");
    let request = client.request("openid crane:move");
    let unused = Code { code: agent.walk(&request.url(), ALICE).await.code(), verifier: request.verifier };

    let after = before.replica(clients()).await;
    is_given_to_nobody(&after).await;
    // Neither for what was agreed to before, while the privileged session lives.
    let client = after.client("crane");
    assert_eq!(scope(&client.redeem(&unused).await.tokens()), "openid");
    let refreshed = client.refresh(&tokens.refresh).await.tokens();
    assert_eq!(scope(&refreshed), "openid");

    // Where it is declared it is what it was.
    assert_eq!(scope(&before.client("crane").refresh(&refreshed.refresh).await.tokens()), "openid crane:move");
    // Declared to be an ordinary one it is an ordinary one.
    let ordinary = before.replica(clients().declare(ORDINARY)).await;
    let tokens = ordinary.client("crane-machine").client_credentials("crane:move").await.tokens();
    assert_eq!(scope(&tokens), "crane:move");
    look_again(&after).await;
    let tokens = after.client("crane-machine").client_credentials("crane:move").await.tokens();
    assert_eq!(scope(&tokens), "crane:move");
}

/// During a rolling update replicas of both configurations run.
#[tokio::test]
async fn what_another_replica_declares_to_be_privileged_is_so_for_those_that_were_there_before() {
    let old = Server::start(clients()).await;
    assert_eq!(scope(&old.client("crane-machine").client_credentials("crane:move").await.tokens()), "crane:move");
    let new = old.replica(clients().declare(PRIVILEGED)).await;
    new.client("crane-machine").client_credentials("crane:move").await.refused("invalid_scope");
    look_again(&old).await;
    is_given_to_nobody(&old).await;
}

/// A client that introspects for a resource may be added later, but a mistyped id must not stay unseen.
#[test]
fn a_resource_whose_client_does_not_exist_is_named() {
    let tables = format!(
        "[[client]]\nclient_id = \"quay-api\"\nclient_secret = \"{SECRET}\"\ngrant_types = [\"client_credentials\"]\n\
         [[resource]]\nidentifier = \"https://quay.example\"\nclient = \"quay-api\"\n\
         [[resource]]\nidentifier = \"urn:crane\"\nclient = \"crane-api\"\n"
    );
    let installation = Installation::new(&tables);
    assert_eq!(installation.serve_logging("warn").stop(), Some(0));
    let log = installation.log();
    let warnings: Vec<&str> = log.lines().filter(|line| line.contains("a client that does not exist")).collect();
    let [warning] = warnings[..] else { panic!("one warning: {log}") };
    assert!(warning.contains("crane-api") && warning.contains("urn:crane"), "{warning}");
}

#[test]
fn what_is_no_longer_declared_is_named_and_left_as_it_is() {
    let user = |name: &str| format!("[[user]]\nusername = \"{name}\"\npassword = \"{PASSWORD}\"\n");
    let client = |id: &str| {
        format!(
            "[[client]]\nclient_id = \"{id}\"\nclient_secret = \"{SECRET}\"\ngrant_types = [\"client_credentials\"]\n\
             scope = \"ships:read\"\n"
        )
    };
    let kept = [user("Dora"), client("stays")].concat();
    let gone = [
        user("Anna"),
        user("Bert"),
        user("Carl"),
        client("goes"),
        client("disabled"),
        "[[scope]]\nname = \"hulls:paint\"\n".to_owned(),
        PRIVILEGED.to_owned(),
        "[[resource]]\nidentifier = \"https://quay.example\"\nscopes = [\"hulls:paint\"]\n".to_owned(),
    ];
    let installation = Installation::new(&format!("{kept}{}", gone.concat()));
    assert_eq!(installation.serve_logging("warn").stop(), Some(0));
    assert!(!installation.log().contains("no longer declared"), "{}", installation.log());
    // Whatever becomes of the password, they were declared.
    installation.run_with(&["user", "password", "anna", "--password-stdin"], "another one that was chosen").done();
    installation.run(&["user", "disable", "carl"]).done();
    installation.run(&["client", "disable", "disabled"]).done();
    installation.run_with(&["user", "add", "byhand", "--password-stdin"], PASSWORD).done();

    installation.declare(&kept);
    for _ in 0..2 {
        assert_eq!(installation.serve_logging("warn").stop(), Some(0));
        let log = installation.log();
        let told: Vec<&str> = log.lines().filter(|line| line.contains("no longer declared")).collect();
        assert_eq!(told.len(), 6, "{log}");
        for name in [
            "username=\"Anna\"",
            "username=\"Bert\"",
            "client=\"goes\"",
            "scope=\"hulls:paint\"",
            "scope=\"crane:move\"",
            "resource=\"https://quay.example\"",
        ] {
            assert_eq!(told.iter().filter(|line| line.contains(name)).count(), 1, "{name}: {log}");
        }
    }
    assert!(installation.run(&["client", "list"]).done().contains("\"goes\""));
}
