//! What libraries send that register clients: every member they know, schemes of their own, and demands.

use super::*;

#[tokio::test]
async fn empty_members_count_as_left_out() {
    let server = open().await;
    let blank = json!({ "scope": "", "client_uri": "", "logo_uri": "", "tos_uri": null, "policy_uri": "", "jwks_uri": "",
        "software_id": "", "software_version": "", "contacts": [], "response_types": [], "post_logout_redirect_uris": [""],
        "token_endpoint_auth_method": "", "default_max_age": null, "request_uris": null, "application_type": "" });
    let registered = Registered::with(&server, &blank).await;
    assert_eq!(registered.text("scope"), "openid profile email address phone offline_access");
    assert_eq!(registered.text("token_endpoint_auth_method"), "client_secret_basic");
    for member in ["client_uri", "logo_uri", "jwks_uri", "contacts", "post_logout_redirect_uris"] {
        assert!(registered.all.get(member).is_none(), "{}", registered.all);
    }
    registered.client().tokens(&server.agent(), "openid").await;
    // The same for a change.
    let mut change = registered.change(&blank);
    change["client_secret"] = json!("");
    registered.put(&change).await.ok();
    // What is required is still missed.
    for nothing in [json!(""), json!([]), json!([""]), json!(null)] {
        post(&server, None, &usual(&json!({ "redirect_uris": nothing }))).await.refused("invalid_redirect_uri");
    }
}

/// Cursor, VS Code and others (RFC 8252 §7.1 would have a dot).
#[tokio::test]
async fn a_private_scheme_without_a_dot_is_native() {
    let server = open().await;
    let uri = "cursor://anysphere.cursor-retrieval/oauth/user-mcp/callback";
    let public = |uri: &str| json!({ "token_endpoint_auth_method": "none", "redirect_uris": [uri] });
    let registered = Registered::with(&server, &public(uri)).await;
    assert_eq!(registered.text("application_type"), "native");
    let client = Client { redirect_uri: uri.to_owned(), ..registered.client() };
    let tokens = client.tokens(&server.agent(), "openid").await;
    client.refresh(&tokens.refresh).await.tokens();
    for wrong in [
        "javascript:alert(1)",
        "file:///etc/passwd",
        "ms-msdt:/id",
        "ms-word:ofe",
        "search:query=x",
        "microsoft-edge:https://e.example/",
        "x-safari-https://e.example/cb",
        "jnlp://e.example/x",
        "git:x",
        "dav://e.example/x",
        "android-app://x/y",
        "http://rp.example/cb",
        "cursor:",
    ] {
        post(&server, None, &usual(&public(wrong))).await.refused("invalid_redirect_uri");
    }
    // A client that can keep a secret is not on a person's machine.
    post(&server, None, &usual(&json!({ "redirect_uris": [uri] }))).await.refused("invalid_redirect_uri");
}

#[tokio::test]
async fn demands_that_are_not_met_are_refused() {
    let server = open().await;
    for (member, value) in [
        ("dpop_bound_access_tokens", json!(true)),
        ("tls_client_certificate_bound_access_tokens", json!(true)),
        ("id_token_encrypted_response_alg", json!("RSA-OAEP")),
        ("userinfo_encrypted_response_enc", json!("A128GCM")),
        ("request_object_encryption_alg", json!("RSA-OAEP")),
        ("authorization_encrypted_response_alg", json!("ECDH-ES")),
        ("introspection_encrypted_response_alg", json!("ECDH-ES")),
    ] {
        let answer = post(&server, None, &usual(&json!({ member: value }))).await;
        answer.refused("invalid_client_metadata");
        assert!(answer.text.contains(member), "{answer:?}");
    }
    let none = json!({ "dpop_bound_access_tokens": false, "id_token_encrypted_response_alg": null,
        "tls_client_certificate_bound_access_tokens": false, "userinfo_encrypted_response_alg": "" });
    let registered = Registered::with(&server, &none).await;
    let change = registered.change(&json!({ "dpop_bound_access_tokens": true }));
    registered.put(&change).await.refused("invalid_client_metadata");
}

#[tokio::test]
async fn registration_that_is_off_says_so_in_json() {
    let server = Server::usual().await;
    let managed = server.http().get(server.at("/oauth/register/web")).bearer_auth("x");
    for request in [
        server.http().post(server.at("/oauth/register")).json(&usual(&json!({}))),
        server.http().post(server.at("/oauth/register")).header("accept", "text/html"),
        server.http().get(server.at("/oauth/register")),
        managed,
    ] {
        let answer = Answer::of(request).await;
        answer.refused_with(404, "registration_not_supported");
        assert!(answer.text.contains("turned off"), "{answer:?}");
    }
}
