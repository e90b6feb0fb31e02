//! The product's sentence, told once from end to end: a person signs in at a relying party, everything that comes of it
//! hangs on one session, and ending the session ends all of it.

use mooring::{audit::Actor, sessions};
use openidconnect::{
    AccessToken, AsyncHttpClient, AuthorizationCode, ClientContactEmail, ClientId, ClientSecret, CsrfToken,
    HttpRequest, HttpResponse, IssuerUrl, Nonce, OAuth2TokenResponse, PkceCodeChallenge, RedirectUrl, Scope,
    TokenResponse,
    core::{
        CoreAuthenticationFlow, CoreClient, CoreClientRegistrationRequest, CoreGrantType, CoreProviderMetadata,
        CoreUserInfoClaims,
    },
    registration::EmptyAdditionalClientMetadata,
};
use serde_json::Value;
use uuid::Uuid;

use crate::support::{
    ALICE, PASSWORD, Server, Settings,
    client::Code,
    declared::{REDIRECT_URI, SECRET},
    token,
};

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
            let session = mooring::db::sessions::resolve(tx, sid).await?.expect("the session of this sid");
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

/// The same with a relying party that nobody here wrote.
#[tokio::test]
async fn a_foreign_relying_party_signs_a_person_in() {
    let server = Server::usual().await;
    let http = Http(server.http().clone());
    let issuer = IssuerUrl::new(server.issuer.clone()).unwrap();
    let metadata = CoreProviderMetadata::discover_async(issuer, &http).await.unwrap();
    for (id, secret) in [("web", Some(SECRET)), ("spa", None), ("es256", Some(SECRET)), ("eddsa", Some(SECRET))] {
        foreign_sign_in(
            &server,
            &http,
            &metadata,
            ClientId::new(id.into()),
            secret.map(|secret| ClientSecret::new(secret.into())),
        )
        .await;
    }
}

/// It registers itself first (RFC 7591).
#[tokio::test]
async fn a_foreign_relying_party_registers_itself() {
    let server = Server::start(Settings::default().set("registration.policy", "open")).await;
    let http = Http(server.http().clone());
    let issuer = IssuerUrl::new(server.issuer.clone()).unwrap();
    let metadata = CoreProviderMetadata::discover_async(issuer, &http).await.unwrap();
    let redirect_uris = vec![RedirectUrl::new(REDIRECT_URI.into()).unwrap()];
    let request = CoreClientRegistrationRequest::new(redirect_uris, EmptyAdditionalClientMetadata {})
        .set_grant_types(Some(vec![CoreGrantType::AuthorizationCode, CoreGrantType::RefreshToken]))
        .set_contacts(Some(vec![ClientContactEmail::new("harbour@rp.example".into())]));
    let endpoint = metadata.registration_endpoint().expect("announced").clone();
    let registered = request.register_async(&endpoint, &http).await.unwrap();
    assert!(registered.registration_client_uri().is_some() && registered.registration_access_token().is_some());
    let (id, secret) = (registered.client_id().clone(), registered.client_secret().cloned());
    foreign_sign_in(&server, &http, &metadata, id, secret).await;
}

async fn foreign_sign_in(
    server: &Server,
    http: &Http,
    metadata: &CoreProviderMetadata,
    id: ClientId,
    secret: Option<ClientSecret>,
) {
    let agent = server.agent();
    let client = CoreClient::from_provider_metadata(metadata.clone(), id.clone(), secret)
        .set_redirect_uri(RedirectUrl::new(REDIRECT_URI.into()).unwrap());
    let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
    let (url, state, nonce) = client
        .authorize_url(CoreAuthenticationFlow::AuthorizationCode, CsrfToken::new_random, Nonce::new_random)
        .add_scope(Scope::new("profile".into()))
        .set_pkce_challenge(challenge)
        .url();

    let answer = agent.walk(url.as_str(), ALICE).await.answer();
    assert_eq!(answer["state"].as_str(), state.secret().as_str());
    let tokens = client
        .exchange_code(AuthorizationCode::new(answer["code"].clone()))
        .unwrap()
        .set_pkce_verifier(verifier)
        .request_async(http)
        .await
        .unwrap();

    let id_token = tokens.id_token().expect("an ID token");
    // Checks signature, issuer, audience, times and nonce.
    let verifier = client.id_token_verifier();
    let claims = id_token.claims(&verifier, &nonce).unwrap();
    let at_hash = claims.access_token_hash().expect("at_hash");
    let alg = id_token.signing_alg().unwrap();
    assert_eq!(
        *at_hash,
        openidconnect::AccessTokenHash::from_token(
            tokens.access_token(),
            alg,
            id_token.signing_key(&verifier).unwrap()
        )
        .unwrap(),
        "{id:?}"
    );
    assert_eq!(claims.subject().as_str(), server.user_id(ALICE).await);

    // Checks that the subject is that of the ID token.
    let userinfo: CoreUserInfoClaims = client
        .user_info(tokens.access_token().clone(), Some(claims.subject().clone()))
        .unwrap()
        .request_async(http)
        .await
        .unwrap();
    let name = userinfo.name().and_then(|name| name.get(None)).map(|name| name.as_str().to_owned());
    assert_eq!(name.as_deref(), Some("Alice Example"));

    let refresh_token = tokens.refresh_token().expect("a refresh token").clone();
    let refreshed = client.exchange_refresh_token(&refresh_token).unwrap().request_async(http).await.unwrap();
    let again: &AccessToken = refreshed.access_token();
    assert_ne!(again.secret(), tokens.access_token().secret());
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

struct Http(reqwest::Client);

impl<'c> AsyncHttpClient<'c> for Http {
    type Error = reqwest::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<HttpResponse, reqwest::Error>> + Send + 'c>>;

    fn call(&'c self, request: HttpRequest) -> Self::Future {
        Box::pin(async move {
            let answer = self.0.execute(request.try_into()?).await?;
            let mut response = HttpResponse::new(Vec::new());
            *response.status_mut() = answer.status();
            response.headers_mut().clone_from(answer.headers());
            *response.body_mut() = answer.bytes().await?.to_vec();
            Ok(response)
        })
    }
}
