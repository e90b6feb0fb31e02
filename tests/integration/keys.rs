//! Rotation of the signing keys: a new key is published before it signs, and an old one is good for as long as anything
//! that it signed.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use mooring::{
    jose::{Algorithm, MasterSecret, Purpose},
    tokens,
};
use serde_json::Value;
use url::Url;

use crate::support::{
    Server,
    agent::Agent,
    cluster::MASTER,
    declared::POST_LOGOUT_URI,
    token::{self, Jwt},
};

/// How long a new key is published before it signs; what verifiers are told to keep the JWKS for is less.
const OVERLAP: TimeDelta = TimeDelta::minutes(6);

/// `mooring keys rotate`: the ids of the new keys.
async fn rotate(server: &Server) -> Vec<String> {
    rotate_only(server, &Algorithm::ALL).await
}

/// `mooring keys rotate --algorithm …`
async fn rotate_only(server: &Server, algorithms: &[Algorithm]) -> Vec<String> {
    let seal = MasterSecret::from_bytes(MASTER.as_bytes()).unwrap().derive(Purpose::SealSigningKeys);
    server.work(async |tx| tokens::rotate(tx, &seal, algorithms).await).await.0
}

/// What the server's job does every few seconds.
async fn reload(server: &Server) {
    server.work(async |tx| server.app.mint.keys.reload(tx).await).await;
}

async fn published(server: &Server) -> Vec<String> {
    let answer = server.http().get(server.endpoint("jwks_uri")).send().await.unwrap();
    let jwks: Value = answer.json().await.unwrap();
    jwks["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

/// Signs in where need be, and verifies the tokens by the published keys: their signatures' key ids, and the ID token.
async fn tokens_of(server: &Server, agent: &Agent) -> (Vec<String>, String) {
    let (mut kids, mut id_token) = (Vec::new(), String::new());
    for id in ["web", "es256", "eddsa", "jwt"] {
        let tokens = server.client(id).tokens(agent, "openid").await;
        let kid = |jwt: Jwt| jwt.header.kid.unwrap();
        kids.push(kid(token::verify(server, &tokens.id).await));
        if id == "jwt" {
            kids.push(kid(token::verify(server, &tokens.access).await));
        }
        if id == "web" {
            id_token = tokens.id;
        }
    }
    (kids, id_token)
}

#[tokio::test]
async fn one_algorithm_can_have_a_new_key_alone() {
    let server = Server::usual().await;
    let agent = server.agent();
    let first = published(&server).await;
    let new = rotate_only(&server, &[Algorithm::Rs256]).await;
    assert_eq!(new.len(), 1);
    server.advance(OVERLAP).await;
    reload(&server).await;
    let (kids, _) = tokens_of(&server, &agent).await;
    // Of `web`, `es256`, `eddsa`, and `jwt` twice.
    let signed_by_new: Vec<bool> = kids.iter().map(|kid| new.contains(kid)).collect();
    assert_eq!(signed_by_new, [true, false, false, true, true], "{kids:?}");
    assert!(kids.iter().all(|kid| new.contains(kid) || first.contains(kid)));
}

/// The replica that made the first keys has a clock that is ahead of ours.
#[tokio::test]
async fn a_first_key_from_another_clocks_future_signs() {
    let server = Server::usual().await;
    server
        .rows("UPDATE signing_keys SET created_at = now() + interval '5 s', signs_from = now() + interval '5 s'")
        .await;
    reload(&server).await;
    let ready = server.http().get(server.at("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 200);
    let first = tokens_of(&server, &server.agent()).await.0;
    // A second one waits for its time all the same.
    rotate(&server).await;
    assert_eq!(tokens_of(&server, &server.agent()).await.0, first);
}

#[tokio::test]
async fn a_new_key_is_published_before_it_signs() {
    let server = Server::usual().await;
    let agent = server.agent();
    let first = published(&server).await;
    let new = rotate(&server).await;
    assert_eq!(new.len(), first.len(), "one of each algorithm");
    reload(&server).await;

    // Everybody can fetch the new ones, nobody needs them yet.
    let both = published(&server).await;
    assert!(first.iter().chain(&new).all(|kid| both.contains(kid)), "{first:?} and {new:?}: {both:?}");
    let (kids, hint) = tokens_of(&server, &agent).await;
    assert!(kids.iter().all(|kid| first.contains(kid)), "{kids:?}");
    server.advance(OVERLAP - TimeDelta::minutes(1)).await;
    reload(&server).await;
    let (kids, _) = tokens_of(&server, &agent).await;
    assert!(kids.iter().all(|kid| first.contains(kid)), "{kids:?} before the overlap is over");

    // Then all that is signed is signed by them.
    server.advance(TimeDelta::minutes(1)).await;
    reload(&server).await;
    let (kids, _) = tokens_of(&server, &agent).await;
    assert!(kids.iter().all(|kid| new.contains(kid)), "{kids:?} after it");

    // The old one still says who signed in.
    let url = server.client("web").request("openid").with("prompt", "none").with("id_token_hint", &hint).url();
    assert!(agent.open(&url).await.answer().contains_key("code"));
    let parameters = [("id_token_hint", hint.as_str()), ("post_logout_redirect_uri", POST_LOGOUT_URI)];
    let url = Url::parse_with_params(&server.endpoint("end_session_endpoint"), parameters).unwrap();
    let mut page = agent.open(url.as_str()).await;
    if page.offers("sign-out") {
        page = agent.decide(&page, "sign-out").await;
    }
    let location = page.location().expect("back to the relying party");
    assert!(location.as_str().starts_with(POST_LOGOUT_URI), "{location}");
}

#[tokio::test]
async fn an_old_key_leaves_when_nothing_it_signed_is_alive() {
    let server = Server::usual().await;
    let (_, hint) = tokens_of(&server, &server.agent()).await;
    let first = published(&server).await;
    let new = rotate(&server).await;
    server.advance(OVERLAP).await;
    reload(&server).await;
    // The last that it could have signed.
    let last = TimeDelta::hours(12);
    server.advance(last).await;
    reload(&server).await;
    let both = published(&server).await;
    assert!(first.iter().all(|kid| both.contains(kid)), "{both:?}");
    server.advance(TimeDelta::hours(2)).await;
    reload(&server).await;
    let mut left = published(&server).await;
    left.sort();
    let mut expected = new;
    expected.sort();
    assert_eq!(left, expected);

    // What it signed proves nothing any more, and still says whom a relying party means.
    let client = server.client("web");
    let agent = server.agent();
    client.code(&agent, "openid").await;
    let silent = client.request("openid").with("prompt", "none").with("id_token_hint", &hint);
    agent.step(&silent.url()).await.code();
}

#[tokio::test]
async fn two_rotations_in_a_row_leave_a_key_that_signs() {
    let server = Server::usual().await;
    let first = published(&server).await;
    rotate(&server).await;
    server.advance(TimeDelta::minutes(1)).await;
    let newest = rotate(&server).await;
    reload(&server).await;
    for _ in 0..8 {
        let (kids, _) = tokens_of(&server, &server.agent()).await;
        let all = published(&server).await;
        assert!(kids.iter().all(|kid| all.contains(kid)));
        server.advance(TimeDelta::minutes(1)).await;
        reload(&server).await;
    }
    let (kids, _) = tokens_of(&server, &server.agent()).await;
    assert!(kids.iter().all(|kid| newest.contains(kid) && !first.contains(kid)), "{kids:?}");
}

/// Two rotations, minute by minute, while people sign in: a verifier that fetches the keys no sooner than it is told it may
/// knows every key that it meets.
#[tokio::test]
async fn a_verifier_that_keeps_the_keys_never_meets_an_unknown_one() {
    let server = Server::usual().await;
    let answer = server.http().get(server.endpoint("jwks_uri")).send().await.unwrap();
    let told = answer.headers()["cache-control"].to_str().unwrap().to_owned();
    let seconds = told.strip_prefix("public, max-age=").expect("how long the keys may be kept").parse().unwrap();
    let keeps = TimeDelta::seconds(seconds);
    let (first, second) = (server.agent(), server.agent());
    let (mut kept, mut age, mut met) = (published(&server).await, TimeDelta::zero(), BTreeSet::new());
    for minute in 0..16 {
        let turn = async {
            if minute % 7 == 1 {
                rotate(&server).await;
            }
            reload(&server).await;
        };
        let ((), (one, _), (other, _)) = tokio::join!(turn, tokens_of(&server, &first), tokens_of(&server, &second));
        for kid in one.into_iter().chain(other) {
            assert!(kept.contains(&kid), "{kid} in minute {minute}, with keys of {age} before");
            met.insert(kid);
        }
        server.advance(TimeDelta::minutes(1)).await;
        age += TimeDelta::minutes(1);
        if age >= keeps {
            (kept, age) = (published(&server).await, TimeDelta::zero());
        }
    }
    assert_eq!(met.len(), 3 * Algorithm::ALL.len(), "those of the start, and of two rotations");
}

/// Others may have it: whatever it signed is void at once, and another signs from that moment.
#[tokio::test]
async fn a_key_retired_at_once_vouches_for_nothing() {
    let server = Server::usual().await;
    let (client, agent) = (server.client("jwt"), server.agent());
    let tokens = client.tokens(&agent, "openid").await;
    assert!(client.is_active(&tokens.access).await);
    let kid = token::verify(&server, &tokens.access).await.header.kid.unwrap();
    assert_eq!(token::verify(&server, &tokens.id).await.header.kid.as_ref(), Some(&kid));
    let hinted = client.request("openid").with("prompt", "none").with("id_token_hint", &tokens.id);
    agent.step(&hinted.url()).await.code();

    let seal = MasterSecret::from_bytes(MASTER.as_bytes()).unwrap().derive(Purpose::SealSigningKeys);
    let retired = server.work(async |tx| tokens::retire(tx, &seal, &kid).await).await;
    let tokens::Retirement::Done { successor } = retired else { panic!("{retired:?}") };
    reload(&server).await;
    assert!(!published(&server).await.contains(&kid));
    assert!(!client.is_active(&tokens.access).await, "the token of a stolen key");
    assert_eq!(agent.step(&hinted.url()).await.error(), "invalid_request", "a hint of a stolen key");
    let after = client.tokens(&agent, "openid").await;
    assert_eq!(token::verify(&server, &after.access).await.header.kid, Some(successor));
    assert!(client.is_active(&after.access).await);
}

/// Only what verifiers have had time to fetch signs, unless there is nothing else.
#[tokio::test]
async fn retiring_a_key_that_does_not_sign_changes_no_signer() {
    let server = Server::usual().await;
    let agent = server.agent();
    let first = published(&server).await;
    let signing = tokens_of(&server, &agent).await.0[0].clone();
    let algorithm = [Algorithm::ALL[0]];
    let second = rotate_only(&server, &algorithm).await.remove(0);
    server.advance(TimeDelta::minutes(2)).await;
    let third = rotate_only(&server, &algorithm).await.remove(0);
    let seal = MasterSecret::from_bytes(MASTER.as_bytes()).unwrap().derive(Purpose::SealSigningKeys);
    let retire = async |kid: &str| {
        let retired = server.work(async |tx| tokens::retire(tx, &seal, kid).await).await;
        reload(&server).await;
        retired
    };
    let signer = async || {
        server
            .value(&format!(
                "SELECT kid FROM signing_keys WHERE algorithm = '{}' AND signs_from <= '{}' AND withdrawn_at IS NULL \
             ORDER BY signs_from DESC LIMIT 1",
                algorithm[0],
                server.clock.now().to_rfc3339()
            ))
            .await
    };
    let signs = signer().await;
    assert!(first.contains(&signs) && first.contains(&signing));
    assert_eq!(retire(&second).await, tokens::Retirement::Spare { signs: signs.clone() });
    assert_eq!(signer().await, signs, "the third has been published for seconds");
    // Without another that is to sign next, one is made, and it waits for its time.
    assert_eq!(retire(&third).await, tokens::Retirement::Spare { signs: signs.clone() });
    assert_eq!(signer().await, signs);
    server.advance(OVERLAP).await;
    let fourth = signer().await;
    assert!(![&signs, &second, &third].contains(&&fourth));
    // The one that signs is retired: of two that wait, the one that verifiers have known for longer signs.
    let fifth = rotate_only(&server, &algorithm).await.remove(0);
    server.advance(TimeDelta::minutes(2)).await;
    rotate_only(&server, &algorithm).await;
    assert_eq!(retire(&fourth).await, tokens::Retirement::Done { successor: fifth.clone() });
    assert_eq!(signer().await, fifth);
}
