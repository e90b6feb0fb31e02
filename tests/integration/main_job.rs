//! The product's sentence, told once from end to end: a person signs in at a relying party, everything that comes of it
//! hangs on one session, and ending the session ends all of it.

use mooring::{audit::Actor, sessions};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{ALICE, PASSWORD, Server, client::Code, declared::REDIRECT_URI, token};

/// From discovery to the end of the session, for a client with opaque and one with JWT access tokens.
#[tokio::test]
async fn a_session_carries_everything_and_takes_it_down() {
    for id in ["web", "jwt"] {
        walk(id).await;
    }
}

async fn walk(id: &str) {
    let server = Server::usual().await;
    let client = server.client(id);
    let agent = server.agent();

    // A visitor session begins with the first interactive request.
    let request = client.request("openid profile email");
    let page = agent.open(&request.url()).await;
    assert!(page.asks_for_password(), "{}", page.body);
    let visitor = agent.cookie();
    assert_eq!(server.value("SELECT string_agg(kind, ' ') FROM sessions").await, "visitor");

    // Sign-in makes a user session with another secret; the visitor's is over, its lineage kept.
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    assert_ne!(agent.cookie().value, visitor.value);
    assert_eq!(
        server.rows("SELECT s.kind, s.ended_at IS NULL, v.kind, v.end_reason FROM sessions s JOIN sessions v ON v.id = s.visitor_id").await,
        [["user", "t", "visitor", "signed_in"].map(|it| Some(it.to_owned()))]
    );

    // Consent, then a code, with the state and the issuer beside it (RFC 9207).
    assert!(page.offers("allow") && page.offers("deny"), "{}", page.body);
    let page = agent.decide(&page, "allow").await;
    assert!(page.location().unwrap().as_str().starts_with(REDIRECT_URI));
    let answer = page.answer();
    assert_eq!((answer["state"].as_str(), answer["iss"].as_str()), ("the state", server.issuer.as_str()));
    assert!(answer["code"].starts_with("mo_ac_"));

    // Tokens that say the same session.
    let code = Code { code: page.code(), verifier: request.verifier.clone() };
    let tokens = client.redeem(&code).await.tokens();
    assert!(tokens.refresh.starts_with("mo_rt_"));
    assert_eq!(tokens.all["scope"], "openid profile email");
    let id_token = token::verify(&server, &tokens.id).await.claims;
    let sub = server.user_id(ALICE).await;
    assert_eq!((id_token["sub"].as_str(), id_token["aud"].as_str()), (Some(sub.as_str()), Some(id)));
    assert_eq!(
        (id_token["nonce"].as_str(), id_token["acr"].as_str()),
        (Some("the-nonce"), Some("urn:mooring:acr:pwd"))
    );
    assert_eq!(id_token["amr"], serde_json::json!(["pwd"]));
    assert!(id_token["auth_time"].is_i64() && id_token["at_hash"].is_string(), "{id_token}");
    let sid = id_token["sid"].as_str().expect("a sid");

    let introspection = client.introspect(&tokens.access).await.ok();
    assert_eq!(introspection["active"], true);
    assert_eq!((introspection["sid"].as_str(), introspection["sub"].as_str()), (Some(sid), Some(sub.as_str())));
    assert_eq!(introspection["client_id"], id);
    assert_eq!(
        (introspection["session"]["kind"].as_str(), introspection["session"]["id"].as_str()),
        (Some("user"), Some(sid))
    );
    assert!(introspection["session"]["started_at"].is_i64() || introspection["session"]["started_at"].is_string());

    if id == "jwt" {
        let access = token::verify(&server, &tokens.access).await;
        assert_eq!(access.header.typ.as_deref(), Some("at+jwt"));
        assert_eq!((access.claims["sid"].as_str(), access.claims["client_id"].as_str()), (Some(sid), Some("jwt")));
        assert_eq!(
            (access.claims["aud"].as_str(), access.claims["sub"].as_str()),
            (Some(server.issuer.as_str()), Some(sub.as_str()))
        );
    } else {
        assert!(tokens.access.starts_with("mo_at_"));
    }

    let userinfo = client.userinfo(&tokens.access).await.ok();
    assert_eq!((userinfo["sub"].as_str(), userinfo["name"].as_str()), (Some(sub.as_str()), Some("Alice Example")));
    assert_eq!(userinfo["email"], "alice@example.com");

    // A refresh stays in the session and its sid.
    let refreshed = client.refresh(&tokens.refresh).await.tokens();
    assert_ne!(refreshed.refresh, tokens.refresh);
    assert_ne!(refreshed.access, tokens.access);
    let renewed = token::verify(&server, &refreshed.id).await.claims;
    for claim in ["sid", "sub", "auth_time"] {
        assert_eq!(renewed[claim], id_token[claim], "{claim}");
    }

    // Another code of the live session, without asking again, that nobody has redeemed yet.
    let waiting = client.code(&agent, "openid").await;

    // The operator ends the session, by the sid that the relying party reports.
    let ended = server
        .work(async |tx| {
            let sid: Uuid = sid.parse().expect("a UUID");
            let session = mooring::db::sessions::resolve(tx, sid).await?[0];
            sessions::end(tx, session, "ended_by_operator", Actor::Operator).await
        })
        .await;
    assert!(ended);

    client.redeem(&waiting).await.refused("invalid_grant");
    for access in [&tokens.access, &refreshed.access] {
        assert!(!client.is_active(access).await);
        client.userinfo(access).await.token_refused();
    }
    client.refresh(&refreshed.refresh).await.refused("invalid_grant");
    let silent = agent.open(&client.request("openid").with("prompt", "none").url()).await;
    assert_eq!(silent.error(), "login_required");
    assert_eq!(server.events("session.ended", "done").await, 2, "the visitor's and the user's");
}

/// Two relying parties cannot tell by `sid` that they see the same session, and each always sees its own.
#[tokio::test]
async fn each_relying_party_knows_the_session_by_a_sid_of_its_own() {
    let server = Server::usual().await;
    let agent = server.agent();
    let sid = async |id: &str| -> Value {
        let tokens = server.client(id).tokens(&agent, "openid").await;
        let claims = token::verify(&server, &tokens.id).await.claims;
        let seen_by_all = server.client("api").introspect(&tokens.access).await.ok();
        assert_eq!(seen_by_all["sid"], claims["sid"], "whoever asks, a token's sid is that of its own client");
        assert_ne!(seen_by_all["session"]["id"], claims["sid"], "for introspection = any it is the session's own id");
        assert!(
            !server
                .rows(&format!(
                    "SELECT 1 FROM sessions WHERE id = '{}'",
                    seen_by_all["session"]["id"].as_str().unwrap()
                ))
                .await
                .is_empty()
        );
        claims["sid"].clone()
    };
    let (web, web2, spa) = (sid("web").await, sid("web2").await, sid("spa").await);
    assert!(web != web2 && web2 != spa && web != spa);
    assert_eq!(sid("web").await, web);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user'").await, "1");
}

/// Another browser, or another person, is another session.
#[tokio::test]
async fn every_sign_in_is_a_session_of_its_own() {
    let server = Server::usual().await;
    let client = server.client("web");
    let mut seen = Vec::new();
    for _ in 0..2 {
        let tokens = client.tokens(&server.agent(), "openid").await;
        seen.push(token::claims(&tokens.id)["sid"].clone());
    }
    assert_ne!(seen[0], seen[1]);
}
