//! What strangers can store, and what a page loads of it.

use mooring::db::registrations;

use super::*;

async fn stored(server: &Server) -> (i64, i64) {
    let stored = server.work(async |tx| registrations::load_stored(tx).await).await;
    (stored.clients, stored.octets)
}

async fn sweep(server: &Server) {
    let before = server.clock.now() - server.app.config.registration.unused_kept;
    server.work(async |tx| clients::expire_unused(tx, before, 100).await).await;
}

#[tokio::test]
async fn the_metadata_of_one_client_are_bounded() {
    let server = open().await;
    let uris = |count: usize| {
        let uri = |n: usize| format!("https://rp.example/{n:04}/{}", "x".repeat(76));
        json!({ "redirect_uris": (0..count).map(uri).collect::<Vec<_>>() })
    };
    let registered = Registered::with(&server, &uris(60)).await;
    let answer = post(&server, None, &usual(&uris(90))).await;
    answer.refused("invalid_client_metadata");
    assert!(answer.text.contains("may take 8192"), "{answer:?}");
    let mut change = registered.change(&uris(90));
    registered.put(&change).await.refused("invalid_client_metadata");
    change["redirect_uris"] = json!([REDIRECT_URI]);
    registered.put(&change).await.ok();

    // Of keys what verifies is stored.
    let mut key = CLIENT_KEY.public_jwk().clone();
    key["x5c"] = json!(["M".repeat(9000)]);
    let keys = json!({ "token_endpoint_auth_method": "private_key_jwt", "jwks": { "keys": [key] } });
    let registered = Registered::with(&server, &keys).await;
    assert!(registered.all["jwks"]["keys"][0]["x5c"].is_null());
    registered.client().refresh("nobody's").await.refused("invalid_grant");
    let odd = json!({ "jwks": { "keys": [{ "kty": "RSA", "n": [[[]]], "e": "AQAB" }] } });
    post(&server, None, &usual(&odd)).await.refused("invalid_client_metadata");
    // Verifying with such a key costs the server more than it costs the client to send.
    for (n, e) in [("_".repeat(800), "AQAB"), ("_".repeat(171), "AQAB"), ("_".repeat(342), "Af____8")] {
        let odd = json!({ "jwks": { "keys": [{ "kty": "RSA", "n": n, "e": e }] } });
        let refused = post(&server, None, &usual(&odd)).await;
        assert!(refused.refused("invalid_client_metadata").text.contains("2048 to 4096 bits"));
    }
    // What is short as text and large in memory is not even read.
    let smallest = vec![json!({ "": 0 }); 5000];
    let answer = post(&server, None, &usual(&json!({ "software_id": smallest }))).await;
    answer.refused("invalid_client_metadata");
    assert!(answer.text.contains("too many elements"), "{answer:?}");
}

/// Clients, and octets of them; a server of the version before keeps the count, too, since the database does.
#[tokio::test]
async fn all_that_strangers_store_is_bounded() {
    let settings = Settings::default()
        .set("registration.policy", "open")
        .set("registration.limit", "4")
        .set("registration.limit_kib", "6");
    let server = Server::start(settings).await;
    assert_eq!(stored(&server).await, (0, 0));
    let one = Registered::with(&server, &json!({})).await;
    let each = stored(&server).await.1;
    assert!((500..2000).contains(&each), "{each}");
    for _ in 0..3 {
        Registered::with(&server, &json!({})).await;
    }
    assert_eq!(stored(&server).await, (4, 4 * each));
    let answers = join_all((0..3).map(|_| async { post(&server, None, &usual(&json!({}))).await })).await;
    for answer in &answers {
        answer.refused_with(429, "temporarily_unavailable");
    }
    assert_eq!(stored(&server).await, (4, 4 * each), "what is refused is not kept");

    // A registration that grows counts with what it is by then; one that shrinks always may.
    let long = |length: usize| json!({ "client_uri": format!("https://rp.example/{}", "x".repeat(length)) });
    let grown = one.put(&one.change(&long(1900))).await;
    assert_eq!(grown.status, 200, "{grown:?}");
    let one = Registered { server: &server, all: grown.json() };
    let mut uris = one.change(&long(1900));
    uris["redirect_uris"] =
        json!((0..40).map(|n| format!("https://rp.example/{n}/{}", "x".repeat(60))).collect::<Vec<_>>());
    one.put(&uris).await.refused_with(429, "temporarily_unavailable");
    let shrunk = Registered { server: &server, all: one.put(&one.change(&json!({}))).await.ok() };
    assert_eq!(stored(&server).await, (4, 4 * each));
    assert_eq!(shrunk.delete().await.status, 204);
    sweep(&server).await;
    assert_eq!(stored(&server).await, (3, 3 * each));
    Registered::with(&server, &json!({})).await;

    // Where used clients fill it nobody knows when there is room.
    server.rows("UPDATE clients SET used_at = now() WHERE registration_generation IS NOT NULL").await;
    let full = post(&server, None, &usual(&json!({}))).await;
    assert_eq!(full.refused_with(503, "temporarily_unavailable").header("retry-after"), "");
}

#[tokio::test]
async fn retry_after_is_when_there_is_room() {
    let settings = Settings::default()
        .set("registration.policy", "open")
        .set("registration.unused_limit", "20")
        .set("registration.unused_kept", "3d");
    let server = Server::start(settings).await;
    Registered::with(&server, &json!({})).await;
    server.advance(TimeDelta::hours(5)).await;
    Registered::with(&server, &json!({})).await;
    let full = post(&server, None, &usual(&json!({}))).await;
    let wait: i64 = full.refused_with(429, "temporarily_unavailable").header("retry-after").parse().unwrap();
    // The first goes after three days, at the next turn of the job.
    assert_eq!(wait, (3 * 24 - 5) * 3600 + 600);
    server.advance(TimeDelta::seconds(wait - 620)).await;
    sweep(&server).await;
    post(&server, None, &usual(&json!({}))).await.refused_with(429, "temporarily_unavailable");
    server.advance(TimeDelta::seconds(620)).await;
    sweep(&server).await;
    Registered::with(&server, &json!({})).await;
}

/// The account page names the clients that it shows, and loads no others.
#[tokio::test]
async fn an_account_page_loads_what_it_shows() {
    let server = open().await;
    let agent = server.agent();
    let registered = Registered::with(&server, &json!({ "initiate_login_uri": "https://rp.example/start" })).await;
    registered.client().tokens(&agent, "openid offline_access").await;
    server.client("web").tokens(&agent, "openid").await;
    server
        .rows(
            "INSERT INTO clients (client_id, metadata, created_at, updated_at, registration_generation) \
             SELECT 'stranger-' || n, jsonb_build_object('client_name', 'Stranger', 'contacts', repeat('x', 8000)), \
                 now(), now(), 0 FROM generate_series(1, 3000) n",
        )
        .await;
    // Metadata that cannot be read would be an error of the page, were they loaded.
    let started = std::time::Instant::now();
    let account = agent.open(&server.at("/account")).await;
    assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
    assert_eq!(account.status, 200);
    for part in ["Tide Tables", "Harbour Web", "https://rp.example/start?iss="] {
        assert!(account.body.contains(part), "{part}:\n{}", account.body);
    }
    assert!(!account.body.contains("Stranger"));
}
