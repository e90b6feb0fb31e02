//! Userinfo by each way in which the token may come (RFC 6750 §2).

use reqwest::RequestBuilder;

use super::{flow, party, request};
use crate::support::{Answer, Server, token};

async fn by(call: impl Fn(&reqwest::Client, &str, &str) -> RequestBuilder) {
    let server = Server::usual().await;
    let client = party(&server);
    let tokens = flow(&client, &server.agent(), &request(&client, "openid")).await;
    let answer = Answer::of(call(server.http(), &server.endpoint("userinfo_endpoint"), &tokens.access)).await;
    // A person's data is nobody else's to keep.
    assert_eq!(answer.header("cache-control"), "no-store");
    let told = answer.ok();
    assert_eq!(told["sub"], token::claims(&tokens.id)["sub"]);
    assert!(told.get("_claim_names").is_none() && told.get("_claim_sources").is_none());
}

#[tokio::test]
async fn oidcc_userinfo_get() {
    by(|http, url, token| http.get(url).bearer_auth(token)).await;
}

#[tokio::test]
async fn oidcc_userinfo_post_header() {
    by(|http, url, token| http.post(url).bearer_auth(token)).await;
}

#[tokio::test]
async fn oidcc_userinfo_post_body() {
    by(|http, url, token| http.post(url).form(&[("access_token", token)])).await;
}
