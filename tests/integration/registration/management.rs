//! What a client that registered itself reads, changes and ends (RFC 7592).

use super::*;

#[tokio::test]
async fn a_client_reads_what_it_registered() {
    let server = open().await;
    let registered = Registered::with(&server, &json!({ "initiate_login_uri": "https://rp.example/start" })).await;
    let answer = registered.get().await;
    let mut expected = registered.all.clone();
    // What is stored is its hash.
    expected.as_object_mut().unwrap().retain(|name, _| !name.starts_with("client_secret"));
    assert_eq!(answer.ok(), expected);
    assert_eq!(answer.header("cache-control"), "no-store");
}

#[tokio::test]
async fn only_its_own_token_opens_a_registration() {
    let server = open().await;
    let one = Registered::with(&server, &json!({})).await;
    let other = Registered::with(&server, &json!({})).await;
    let access = one.client().tokens(&server.agent(), "openid").await.access;
    for token in [other.text("registration_access_token"), &access, "mo_ra_"] {
        for method in [reqwest::Method::GET, reqwest::Method::PUT, reqwest::Method::DELETE] {
            let body = (method == reqwest::Method::PUT).then(|| one.change(&json!({})));
            one.manage(method, token, body.as_ref()).await.token_refused();
        }
    }
    one.get().await.ok();
    // Without any, no error is told (RFC 6750 §3.1); a declared client has none.
    let answer = Answer::of(server.http().get(one.text("registration_client_uri"))).await;
    assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"));
    let declared = server.http().get(server.at("/oauth/register/web")).bearer_auth("mo_ra_");
    Answer::of(declared).await.token_refused();
    for path in ["%00", "%ff", "00000000-0000-0000-0000-000000000000"] {
        let nobodys = server.http().get(server.at(&format!("/oauth/register/{path}"))).bearer_auth("mo_ra_");
        assert!([401, 404].contains(&Answer::of(nobodys).await.status), "{path}");
    }
    assert!(server.events("client.registration_access", "refused").await >= 10);
}

#[tokio::test]
async fn guessing_at_registration_tokens_is_slowed_down() {
    let server = open().await;
    let one = Registered::with(&server, &json!({})).await;
    let guesses = join_all((0..30).map(|_| one.manage(reqwest::Method::GET, "mo_ra_guess", None))).await;
    let slowed = guesses.iter().filter(|answer| answer.status == 429 && !answer.header("retry-after").is_empty());
    assert_eq!(slowed.count(), 20);
    // Whoever has the token is not kept out by those who have not.
    one.get().await.ok();
    assert_eq!(server.events("client.registration_access", "refused").await, 10);
}

#[tokio::test]
async fn a_client_changes_what_it_registered() {
    let server = open().await;
    let mut registered = Registered::with(&server, &json!({ "logo_uri": "https://rp.example/logo.png" })).await;
    let client = registered.client();
    let tokens = client.tokens(&server.agent(), "openid").await;

    let wanted = json!({ "client_name": "Tide and Time", "client_secret": registered.text("client_secret") });
    let changed = registered.put(&registered.change(&wanted)).await.ok();
    assert_eq!((&changed["client_name"], changed.get("logo_uri")), (&json!("Tide and Time"), None), "{changed}");
    assert_eq!(changed["client_id_issued_at"], registered.all["client_id_issued_at"]);
    assert_eq!(changed.get("client_secret"), None, "the secret stays, and is not known any more");
    client.refresh(&tokens.refresh).await.tokens();

    // The token is another one; the old one is dead.
    assert_ne!(changed["registration_access_token"], registered.all["registration_access_token"]);
    registered.get().await.token_refused();
    registered.put(&registered.change(&json!({}))).await.token_refused();
    registered.all["registration_access_token"] = changed["registration_access_token"].clone();
    assert_eq!(registered.get().await.ok(), changed);

    // Another method of authentication: the secret goes, and a new one comes.
    let public = registered.put(&registered.change(&json!({ "token_endpoint_auth_method": "none" }))).await.ok();
    registered.all = public;
    assert_eq!(registered.all.get("client_secret"), None);
    client.refresh(&tokens.refresh).await.refused("invalid_client");
    registered.all = registered.put(&registered.change(&json!({}))).await.ok();
    assert_ne!(Method::Basic(registered.text("client_secret").to_owned()), client.method);
    registered.client().tokens(&server.agent(), "openid").await;
    assert_eq!(server.events("client.changed", "done").await, 3);
}

#[tokio::test]
async fn what_a_change_must_bring_and_must_not() {
    let server = open().await;
    let one = Registered::with(&server, &json!({})).await;
    let other = Registered::with(&server, &json!({})).await;
    let mut without_id = one.change(&json!({}));
    without_id.as_object_mut().unwrap().remove("client_id");
    for body in [
        without_id,
        one.change(&json!({ "client_id": other.all["client_id"] })),
        one.change(&json!({ "client_secret": "chosen-by-the-client-0123456789-0123456789" })),
        one.change(&json!({ "client_secret": other.all["client_secret"] })),
        one.change(&json!({ "client_secret_expires_at": 0 })),
        one.change(&json!({ "client_id_issued_at": 0 })),
        one.change(&json!({ "registration_access_token": one.all["registration_access_token"] })),
        one.change(&json!({ "registration_client_uri": one.all["registration_client_uri"] })),
        one.change(&json!({ "response_types": ["token"] })),
        json!([]),
    ] {
        one.put(&body).await.refused("invalid_client_metadata");
    }
    one.put(&one.change(&json!({ "redirect_uris": ["http://evil.example/"] }))).await.refused("invalid_redirect_uri");
    // Nothing of it was done.
    one.get().await.ok();
}

#[tokio::test]
async fn changed_twice_at_once_it_is_changed_once() {
    let server = open().await;
    let one = Registered::with(&server, &json!({})).await;
    let bodies: Vec<Value> = (0..4).map(|n| one.change(&json!({ "client_name": format!("name {n}") }))).collect();
    let answers = join_all(bodies.iter().map(|body| one.put(body))).await;
    let done: Vec<&Answer> = answers.iter().filter(|answer| answer.status == 200).collect();
    assert_eq!(done.len(), 1, "{answers:?}");
    assert!(answers.iter().filter(|answer| answer.status != 200).all(|answer| answer.status == 401));
    assert_eq!(server.events("client.changed", "done").await, 1);
}

/// RFC 7592 §2.3: code, tokens, refresh, session and registration go at once.
#[tokio::test]
async fn a_deleted_client_holds_nothing() {
    let server = open().await;
    let registered = Registered::with(&server, &json!({})).await;
    let client = registered.client();
    let agent = server.agent();
    let tokens = client.tokens(&agent, "openid").await;
    let offline = client.tokens(&agent, "openid offline_access").await;
    let waiting = client.code(&agent, "openid").await;
    let witness = server.client("api");
    assert!(witness.is_active(&tokens.access).await && witness.is_active(&offline.access).await);

    let answer = registered.delete().await;
    assert_eq!((answer.status, answer.text.as_str(), answer.header("cache-control")), (204, "", "no-store"));
    for tokens in [&tokens, &offline] {
        assert!(!witness.is_active(&tokens.access).await && !witness.is_active(&tokens.refresh).await);
        userinfo(&server, &tokens.access).await.token_refused();
        client.refresh(&tokens.refresh).await.refused("invalid_client");
    }
    client.redeem(&waiting).await.refused("invalid_client");
    assert_eq!(server.agent().open(&client.request("openid").url()).await.status, 400);
    registered.get().await.token_refused();
    registered.put(&registered.change(&json!({}))).await.token_refused();
    registered.delete().await.token_refused();
    assert_eq!(server.events("client.deleted", "done").await, 1);

    // The session is the person's, not the client's.
    server.client("web").code_for(&agent, ALICE, "openid").await;
}

/// `client disable` ends the registration with the client.
#[tokio::test]
async fn a_client_that_the_operator_disabled_cannot_come_back() {
    let server = open().await;
    let registered = Registered::with(&server, &json!({})).await;
    let id = registered.text("client_id").to_owned();
    assert_eq!(server.work(async |tx| mooring::db::clients::disable(tx, &id).await).await, Some(true));
    registered.get().await.token_refused();
    registered.put(&registered.change(&json!({}))).await.token_refused();
    assert_eq!(server.value(&format!("SELECT disabled_at IS NULL FROM clients WHERE client_id = '{id}'")).await, "f");
}
