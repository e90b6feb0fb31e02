//! What a refusal looks like to a client, a developer and an operator.

use crate::support::{ALICE, PASSWORD, Server, Settings, token};

const NO_ISS: &str = r#"
[[client]]
client_id = "no-iss"
client_secret = "a-client-secret-of-the-integration-tests"
redirect_uris = ["http://127.0.0.1:9/callback"]
scope = "openid profile"
authorization_response_iss = false
"#;

/// RFC 9207: `iss` is in every authorization response, unless the operator left it out for a client.
#[tokio::test]
async fn an_operator_can_leave_iss_out_for_one_client() {
    let server = Server::start(Settings::default().declare(NO_ISS)).await;
    let (agent, client) = (server.agent(), server.client("no-iss"));
    let page = agent.open(&client.request("openid").url()).await;
    let consent = agent.sign_in(&page, ALICE, PASSWORD).await;
    let denied = agent.decide(&consent, "deny").await.answer();
    assert_eq!((denied["error"].as_str(), denied.get("iss")), ("access_denied", None), "{denied:?}");
    assert_eq!(denied["state"], "the state");
    let allowed = agent.walk(&client.request("openid").url(), ALICE).await.answer();
    assert!(allowed.contains_key("code") && !allowed.contains_key("iss"), "{allowed:?}");
    let posted = agent.open(&client.request("openid").with("response_mode", "form_post").url()).await;
    let form = &posted.forms()[0];
    assert!(form.field("code").is_some() && form.field("iss").is_none(), "{form:?}");
    let unknown = agent.step(&client.request("ships:burn payments:write").url()).await.answer();
    assert!(unknown.contains_key("error") && !unknown.contains_key("iss"), "{unknown:?}");
    // JARM §2.1 requires `iss` in the JWT.
    let sealed = agent.step(&client.request("openid").with("response_mode", "jwt").url()).await;
    let claims = token::verify(&server, &sealed.answer()["response"]).await.claims;
    assert_eq!(claims["iss"], server.issuer.as_str());
    // Every other client still gets it.
    let other = agent.step(&server.client("web").request("openid").with("prompt", "none").url()).await.answer();
    assert_eq!(other["iss"], server.issuer);
}
