//! Redeeming codes: who may, how often, and what a replay costs whom.

use chrono::TimeDelta;
use mooring::sessions::Proof;
use serde_json::json;

use crate::support::{
    ALICE, Method, PASSWORD, Server, Settings,
    agent::Agent,
    client::{Answer, Code},
    declared::{REDIRECT_URI, RESOURCE},
    proof::request_of,
    token,
};

/// OAuth 2.1 §7.5.3: only the authenticated client with the right verifier can do harm with a used code.
#[tokio::test]
async fn a_replay_by_the_client_itself_ends_the_family() {
    let server = Server::usual().await;
    for id in ["web", "spa", "jwt", "pkj"] {
        let client = server.client(id);
        let agent = server.agent();
        let code = client.code(&agent, "openid").await;
        let tokens = client.redeem(&code).await.tokens();
        let other = client.tokens(&agent, "openid").await;
        let refreshed = client.refresh(&tokens.refresh).await.tokens();
        client.redeem(&code).await.refused("invalid_grant");
        for access in [&tokens.access, &refreshed.access] {
            client.userinfo(access).await.token_refused();
        }
        client.refresh(&refreshed.refresh).await.refused("invalid_grant");
        // Another family of the same session is nobody's business.
        client.userinfo(&other.access).await.ok();
        // Once more is no more.
        client.redeem(&code).await.refused("invalid_grant");
    }
    assert_eq!(server.events("code.replayed", "refused").await, 4);
}

#[tokio::test]
async fn a_replay_by_anybody_else_changes_nothing() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let code = client.code(&agent, "openid").await;
    let tokens = client.redeem(&code).await.tokens();

    let with = |verifier: &str| Code { code: code.code.clone(), verifier: verifier.to_owned() };
    server.client("web2").redeem(&code).await.refused("invalid_grant");
    server.client("spa").redeem(&code).await.refused("invalid_grant");
    client.redeem(&with(&"v".repeat(43))).await.refused("invalid_grant");
    client.by(Method::Basic("another-secret-of-32-characters!".into())).redeem(&code).await.refused("invalid_client");
    client.by(Method::None).redeem(&code).await.refused("invalid_client");
    client.token(&code.form("http://127.0.0.1:9/other")).await.refused("invalid_grant");
    let without_verifier = [("grant_type", "authorization_code"), ("code", code.code.as_str())];
    assert_eq!(client.token(&without_verifier).await.status, 400);

    assert!(client.is_active(&tokens.access).await);
    client.refresh(&tokens.refresh).await.tokens();
    assert_eq!(server.events("code.replayed", "refused").await, 0);
}

async fn sign_out(server: &Server, agent: &Agent) {
    let account = agent.open(&server.at("/account")).await;
    agent.submit(&account.form_to("/sign-out")).await;
}

/// Offline access goes on without the session that the code hung on, and still ends by a replay.
#[tokio::test]
async fn a_replay_after_the_sign_out_ends_offline_access() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let code = client.code(&agent, "openid offline_access").await;
    let tokens = client.redeem(&code).await.tokens();
    sign_out(&server, &agent).await;

    let wrong = Code { verifier: "v".repeat(43), ..code.clone() };
    client.redeem(&wrong).await.refused("invalid_grant");
    server.client("web2").redeem(&code).await.refused("invalid_grant");
    client.token(&code.form("http://127.0.0.1:9/other")).await.refused("invalid_grant");
    let tokens = client.refresh(&tokens.refresh).await.tokens();
    assert_eq!(server.events("code.replayed", "refused").await, 0);

    client.redeem(&code).await.refused("invalid_grant");
    assert!(!client.is_active(&tokens.access).await);
    client.refresh(&tokens.refresh).await.refused("invalid_grant");
    client.redeem(&code).await.refused("invalid_grant");
    assert_eq!(server.events("code.replayed", "refused").await, 1);
}

/// So does what goes on after privileged work.
#[tokio::test]
async fn a_replay_after_privileged_work_ends_the_grant() {
    let server = Server::usual().await;
    server.enrol(ALICE, "passkey").await;
    let client = server.client("web");
    let agent = server.agent();
    let request = client.request("openid payments:write");
    let page = agent.walk(&request.url(), ALICE).await;
    server.prove(&page, ALICE, Proof::PASSKEY).await;
    let page = agent.walk(&server.at(&format!("/oauth/authorize/{}", request_of(&page))), ALICE).await;
    let code = Code { code: page.code(), verifier: request.verifier };
    let tokens = client.redeem(&code).await.tokens();
    server.advance(TimeDelta::minutes(20)).await;
    let tokens = client.refresh(&tokens.refresh).await.tokens();
    assert_eq!(tokens.all["scope"], "openid");

    client.redeem(&code).await.refused("invalid_grant");
    client.refresh(&tokens.refresh).await.refused("invalid_grant");
    assert_eq!(server.events("code.replayed", "refused").await, 1);
}

#[tokio::test]
async fn a_replay_of_a_dead_grant_is_recorded() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let revoked = client.code(&agent, "openid").await;
    client.revoke(&client.redeem(&revoked).await.tokens().refresh).await;
    let signed_out = client.code(&agent, "openid").await;
    client.redeem(&signed_out).await.tokens();
    let unused = client.code(&agent, "openid").await;
    sign_out(&server, &agent).await;
    for code in [&revoked, &signed_out, &unused] {
        client.redeem(code).await.refused("invalid_grant");
    }
    let told = "SELECT string_agg(reason, ' ' ORDER BY id) FROM audit_events WHERE action = 'code.replayed'";
    assert_eq!(server.value(told).await, "grant_ended code_replayed");
}

/// Before the code is used the same attempts leave it good.
#[tokio::test]
async fn a_failed_attempt_does_not_consume_the_code() {
    let server = Server::usual().await;
    for id in ["web", "spa"] {
        let client = server.client(id);
        let code = client.code(&server.agent(), "openid").await;
        let with = |verifier: &str| Code { code: code.code.clone(), verifier: verifier.to_owned() };
        client.redeem(&with(&"v".repeat(43))).await.refused("invalid_grant");
        for malformed in ["short", &"v".repeat(129), &"ä".repeat(43)] {
            assert_eq!(client.redeem(&with(malformed)).await.status, 400);
        }
        server.client("web2").redeem(&code).await.refused("invalid_grant");
        client.token(&code.form("http://127.0.0.1:9/other")).await.refused("invalid_grant");
        client.token(&[("grant_type", "authorization_code"), ("code", &code.code)]).await.refused("invalid_grant");
        client.redeem(&code).await.tokens();
    }
}

#[tokio::test]
async fn what_is_not_a_code_is_refused() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let code = client.code(&agent, "openid").await;
    let other = client.code(&agent, "openid").await;
    let tokens = client.redeem(&other).await.tokens();
    let forged = format!("{}{}", &code.code[..28], &other.code[28..]);
    for wrong in ["nonsense", "mo_ac_", &forged, &format!("{}x", code.code), &tokens.access, &tokens.refresh] {
        let wrong = Code { code: wrong.to_owned(), verifier: code.verifier.clone() };
        client.redeem(&wrong).await.refused("invalid_grant");
    }
    let no_code = [("grant_type", "authorization_code"), ("code_verifier", code.verifier.as_str())];
    client.token(&no_code).await.refused("invalid_request");
    client.redeem(&code).await.tokens();
}

#[tokio::test]
async fn a_code_lives_for_a_minute() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let (in_time, late) = (client.code(&agent, "openid").await, client.code(&agent, "openid").await);
    server.advance(TimeDelta::seconds(50)).await;
    client.redeem(&in_time).await.tokens();
    server.advance(TimeDelta::seconds(11)).await;
    client.redeem(&late).await.refused("invalid_grant");
}

/// OAuth 2.1 §10.2: the redirect_uri need not be repeated; where it is, it is compared.
#[tokio::test]
async fn the_redirect_uri_need_not_be_sent_again() {
    let server = Server::usual().await;
    let client = server.client("web");
    let code = client.code(&server.agent(), "openid").await;
    let form =
        [("grant_type", "authorization_code"), ("code", code.code.as_str()), ("code_verifier", code.verifier.as_str())];
    client.token(&form).await.tokens();
}

/// Many redemptions of one code at once: at most one answer has tokens, and if it was a replay, they are dead.
#[tokio::test]
async fn a_code_is_good_once_however_many_try() {
    let server = Server::start(Settings::default().set("server.workers", "2")).await;
    for id in ["web", "spa"] {
        let client = server.client(id);
        for scope in ["openid", "openid offline_access"] {
            let code = client.code(&server.agent(), scope).await;
            let answers = futures_util::future::join_all((0..8).map(|_| client.redeem(&code))).await;
            let (good, bad): (Vec<&Answer>, Vec<&Answer>) = answers.iter().partition(|answer| answer.status == 200);
            assert_eq!((good.len(), bad.len()), (1, 7), "{answers:?}");
            for answer in bad {
                answer.refused("invalid_grant");
            }
            let count = "SELECT count(*) FROM access_tokens t JOIN grants g ON g.id = t.grant_id WHERE g.client_id";
            let issued = server.value(&format!("{count} = '{id}' AND g.scope = '{scope}'")).await;
            assert_eq!(issued, "1", "one code is one access token");
        }
    }
}

#[tokio::test]
async fn the_id_token_says_who_when_and_how() {
    let server = Server::usual().await;
    for (id, algorithm) in [("web", "RS256"), ("es256", "ES256"), ("eddsa", "EdDSA")] {
        let client = server.client(id);
        let tokens = client.tokens(&server.agent(), "openid").await;
        let jwt = token::verify(&server, &tokens.id).await;
        assert_eq!(serde_json::to_value(jwt.header.alg).unwrap(), algorithm);
        let claims = jwt.claims;
        let now = server.clock.now().timestamp();
        assert_eq!((&claims["aud"], &claims["azp"], &claims["nonce"]), (&json!(id), &json!(id), &json!("the-nonce")));
        assert_eq!((&claims["acr"], &claims["amr"]), (&json!("urn:mooring:acr:pwd"), &json!(["pwd"])));
        assert!((now - claims["auth_time"].as_i64().unwrap()).abs() < 30);
        let names: Vec<&str> = claims.as_object().unwrap().keys().map(String::as_str).collect();
        let mut expected =
            ["iss", "sub", "aud", "azp", "exp", "iat", "sid", "acr", "amr", "auth_time", "at_hash", "nonce"];
        expected.sort_unstable();
        assert_eq!(names, expected, "claims of scopes are at userinfo (OIDC Core §5.4)");
        // Without openid there is none.
        let plain = client.tokens(&server.agent(), "email").await;
        assert!(plain.id.is_empty() && !plain.access.is_empty());
        // A refresh renews it without the nonce (OIDC Core §12.2).
        let renewed = token::verify(&server, &client.refresh(&tokens.refresh).await.tokens().id).await.claims;
        assert!(renewed.get("nonce").is_none(), "{renewed}");
        assert_eq!(renewed["auth_time"], claims["auth_time"]);
    }
}

/// The `claims` parameter (OIDC Core §5.5).
#[tokio::test]
async fn claims_can_be_asked_for_by_name() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let wanted = json!({
        "id_token": { "email": null, "auth_time": { "essential": true }, "sub": null, "unheard_of": null },
        "userinfo": { "phone_number": { "essential": true }, "nickname": null },
    });
    let request = client.request("openid").with("claims", &wanted.to_string());
    let code = Code { code: agent.walk(&request.url(), "alice").await.code(), verifier: request.verifier };
    let tokens = client.redeem(&code).await.tokens();
    let claims = token::claims(&tokens.id);
    assert_eq!(claims["email"], "alice@example.com");
    assert!(claims.get("phone_number").is_none() && claims.get("unheard_of").is_none(), "{claims}");
    assert_eq!(claims["sub"], server.user_id("alice").await);
    let userinfo = client.userinfo(&tokens.access).await.ok();
    assert_eq!(userinfo["phone_number"], "+47 22 00 00 00");
    assert_eq!(userinfo["nickname"], "Al");
    assert!(userinfo.get("email").is_none(), "{userinfo}");

    // A sub that is not the one signed in (OIDC Core §5.5.1).
    let bob = json!({ "id_token": { "sub": { "value": server.user_id("bob").await } } });
    let silent = client.request("openid").with("prompt", "none").with("claims", &bob.to_string());
    assert_eq!(agent.step(&silent.url()).await.error(), "login_required");
}

/// A client without the refresh grant gets no refresh token, whatever it asks for.
#[tokio::test]
async fn a_refresh_token_is_for_clients_registered_for_it() {
    let server = Server::usual().await;
    let client = server.client("coder");
    let tokens = client.tokens(&server.agent(), "openid offline_access").await;
    assert!(tokens.refresh.is_empty());
    assert_eq!(tokens.all["scope"], "openid", "offline_access without the means to use it is ignored");
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'offline'").await, "0");
    let others = server.client("web").tokens(&server.agent(), "openid").await.refresh;
    client.refresh(&others).await.refused("unauthorized_client");
}

/// Scopes of a resource server make a token for it, in its format (RFC 8707, RFC 9068).
#[tokio::test]
async fn scopes_of_a_resource_make_a_token_for_it() {
    let server = Server::usual().await;
    let client = server.client("web");
    let tokens = client.tokens(&server.agent(), "openid ships:read").await;
    let jwt = token::verify(&server, &tokens.access).await;
    assert_eq!(jwt.header.typ.as_deref(), Some("at+jwt"));
    let aud = json!([RESOURCE, server.issuer]);
    assert_eq!((&jwt.claims["aud"], &jwt.claims["scope"]), (&aud, &json!("openid ships:read")));
    assert_eq!(jwt.claims["sid"], token::claims(&tokens.id)["sid"]);
    assert!(client.is_active(&tokens.access).await);
}

/// No token outlives its session.
#[tokio::test]
async fn tokens_end_with_the_session_at_the_latest() {
    let settings =
        Settings::default().set("sessions.absolute", "3m").set("sessions.idle", "3m").set("tokens.code", "5m");
    let server = Server::start(settings).await;
    let client = server.client("jwt");
    let tokens = client.tokens(&server.agent(), "openid").await;
    assert!(tokens.all["expires_in"].as_i64().unwrap() <= 180, "{}", tokens.all);
    let introspection = client.introspect(&tokens.access).await.ok();
    let (end, session) = (introspection["exp"].as_i64(), introspection["session"]["expires_at"].as_i64());
    assert!(end.is_some() && end <= session, "{introspection}");
    assert_eq!(token::claims(&tokens.access)["exp"].as_i64(), end);
}

/// Not by default, not to a script, and not any more where a scope was made privileged after it was granted.
#[tokio::test]
async fn privileged_scopes_come_of_a_proof_alone() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let by_default = client.request("openid").without("scope");
    let page = agent.walk(&by_default.url(), "alice").await;
    let code = Code { code: page.code(), verifier: by_default.verifier };
    let tokens = client.redeem(&code).await.tokens();
    assert!(!tokens.all["scope"].as_str().unwrap().contains("payments:write"), "{}", tokens.all);
    client
        .token(&[("grant_type", "refresh_token"), ("refresh_token", &tokens.refresh), ("scope", "payments:write")])
        .await
        .refused("invalid_scope");
    server.client("machine").client_credentials("payments:write").await.refused("invalid_scope");
    let machine = server.client("machine").client_credentials("").await.tokens();
    assert!(!machine.all["scope"].as_str().unwrap().contains("payments:write"), "{}", machine.all);

    // As if it had been granted before the operator declared it privileged.
    let waiting = client.code(&agent, "openid").await;
    server.rows("UPDATE grants SET scope = scope || ' payments:write'").await;
    for answer in [client.refresh(&tokens.refresh).await, client.redeem(&waiting).await] {
        assert!(
            answer.status == 400 || !answer.ok()["scope"].as_str().unwrap().contains("payments:write"),
            "{answer:?}"
        );
    }
}

/// Tokens go where the client's secret is, never into an address or a page.
#[tokio::test]
async fn nothing_secret_is_in_an_address() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let mut page = agent.step(&client.request("openid").url()).await;
    let mut seen = vec![page.url.clone()];
    while let Some(next) = page.location().filter(|next| next.as_str().starts_with(&server.issuer)) {
        page = agent.step(next.as_str()).await;
        seen.push(page.url.clone());
    }
    let cookie = agent.cookie().value;
    page = agent.submit_step(&page.sign_in_form("alice", PASSWORD)).await;
    for url in seen.iter().chain(page.location().iter()).skip(1) {
        for secret in [PASSWORD, cookie.as_str(), agent.cookie().value.as_str(), "mo_ac_", REDIRECT_URI, "the%20state"]
        {
            assert!(!url.as_str().contains(secret), "{url}");
        }
    }
}

/// Somebody has a code and not what belongs to it: a thief's first try. The trail of the session tells who tried.
#[tokio::test]
async fn a_genuine_code_in_the_wrong_hands_is_told() {
    let server = Server::usual().await;
    let client = server.client("web");
    let code = client.code(&server.agent(), "openid").await;
    let wrong = Code { verifier: "a".repeat(43), ..code.clone() };
    client.redeem(&wrong).await.refused("invalid_grant");
    server.client("web2").redeem(&code).await.refused("invalid_grant");
    let forged = Code { code: format!("{}x", &code.code[..code.code.len() - 1]), ..code.clone() };
    client.redeem(&forged).await.refused("invalid_grant");
    let tokens = client.redeem(&code).await.tokens();
    server.client("web2").refresh(&tokens.refresh).await.refused("invalid_grant");
    let told = "SELECT string_agg(action || ' ' || reason || ' by ' || (detail ->> 'by'), ', ' ORDER BY id) FROM audit_events \
                WHERE outcome = 'refused' AND session_id = (SELECT id FROM sessions WHERE kind = 'user')";
    assert_eq!(
        server.value(told).await,
        "code.redeemed wrong_verifier by web, code.redeemed other_client by web2, token.refreshed other_client by web2"
    );
}
