//! Revocation (RFC 7009): a refresh token ends its family, an access token only itself.

use crate::support::{Answer, Method, Server};

#[tokio::test]
async fn an_access_token_ends_alone() {
    let server = Server::usual().await;
    for id in ["web", "spa", "jwt"] {
        let client = server.client(id);
        let tokens = client.tokens(&server.agent(), "openid").await;
        let second = client.refresh(&tokens.refresh).await.tokens();
        assert_eq!(client.revoke(&tokens.access).await.status, 200);
        client.userinfo(&tokens.access).await.token_refused();
        client.userinfo(&second.access).await.ok();
        client.refresh(&second.refresh).await.tokens();
        // Once more is no error.
        assert_eq!(client.revoke(&tokens.access).await.status, 200);
    }
    assert_eq!(server.events("token.revoked", "done").await, 3);
}

#[tokio::test]
async fn a_refresh_token_ends_its_family() {
    let server = Server::usual().await;
    for id in ["web", "spa", "pkj"] {
        let client = server.client(id);
        let agent = server.agent();
        let tokens = client.tokens(&agent, "openid offline_access").await;
        let other = client.tokens(&agent, "openid").await;
        let second = client.refresh(&tokens.refresh).await.tokens();
        let third = client.refresh(&second.refresh).await.tokens();
        // An old one of the family does it, too: whoever has it wants it over.
        assert_eq!(client.revoke(&tokens.refresh).await.status, 200);
        for access in [&tokens.access, &second.access, &third.access] {
            client.userinfo(access).await.token_refused();
        }
        for refresh in [&tokens.refresh, &second.refresh, &third.refresh] {
            client.refresh(refresh).await.refused("invalid_grant");
        }
        client.userinfo(&other.access).await.ok();
        assert_eq!(client.revoke(&third.refresh).await.status, 200);
    }
    assert_eq!(server.events("grant.revoked", "done").await, 3);
}

/// RFC 7009 §2.2: what is not there is as revoked as can be; what is another's is left alone.
#[tokio::test]
async fn only_ones_own_and_no_questions_asked() {
    let server = Server::usual().await;
    let client = server.client("web");
    let tokens = client.tokens(&server.agent(), "openid").await;
    let forged = format!("{}AAAA", &tokens.refresh[..tokens.refresh.len() - 4]);
    for wrong in ["nonsense", "mo_at_", "mo_rt_", &forged, &tokens.id, &"x".repeat(5000)] {
        let answer = client.revoke(wrong).await;
        assert_eq!(answer.status, 200, "{wrong}: {answer:?}");
    }
    for thief in ["web2", "spa", "api", "machine"] {
        for token in [&tokens.access, &tokens.refresh] {
            let answer = server.client(thief).revoke(token).await;
            assert!([200, 400].contains(&answer.status), "{answer:?}");
        }
    }
    assert!(client.is_active(&tokens.access).await);
    let tokens = client.refresh(&tokens.refresh).await.tokens();

    client.by(Method::None).revoke(&tokens.refresh).await.refused("invalid_client");
    client.by(Method::Basic("x".repeat(40))).revoke(&tokens.refresh).await.refused("invalid_client");
    let anonymous = server.http().post(server.endpoint("revocation_endpoint")).form(&[("token", &tokens.refresh)]);
    Answer::of(anonymous).await.refused("invalid_client");
    client.call("revocation_endpoint", &[]).await.refused("invalid_request");
    for hint in ["access_token", "unheard-of"] {
        let form = [("token", tokens.refresh.as_str()), ("token_type_hint", hint)];
        assert_eq!(client.call("revocation_endpoint", &form).await.status, 200, "{hint}");
    }
    client.refresh(&tokens.refresh).await.refused("invalid_grant");
}
