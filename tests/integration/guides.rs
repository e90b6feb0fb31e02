//! What the guides say: the Rust one runs here; of the others, that they show the files that run and can be declared.

use std::{fs, path::PathBuf};

use futures_util::future::join_all;
use mooring::{
    audit::Actor,
    config::{Config, Sources},
    sessions,
};
use openidconnect::{
    AccessToken, ClientContactEmail, IssuerUrl, RedirectUrl,
    core::{CoreClientRegistrationRequest, CoreGrantType, CoreProviderMetadata},
    registration::EmptyAdditionalClientMetadata,
};
use uuid::Uuid;

use self::relying_party::{RelyingParty, Visit};
use crate::support::{
    ALICE, PASSWORD, Server, Settings,
    agent::Agent,
    declared::{POST_LOGOUT_URI, REDIRECT_URI, RESOURCE, SECRET},
    token,
};

#[path = "../../docs/guides/rust/relying_party.rs"]
mod relying_party;

/// The guide's relying party, which nobody here wrote the most of, from sign-in to the end of the session.
#[tokio::test]
async fn a_foreign_relying_party_signs_a_person_in() {
    let server = Server::usual().await;
    for (id, secret) in [("web", Some(SECRET)), ("spa", None), ("es256", Some(SECRET)), ("eddsa", Some(SECRET))] {
        let party = RelyingParty::discover(server.http().clone(), &server.issuer, id, secret, REDIRECT_URI)
            .await
            .unwrap_or_else(|refused| panic!("{id}: {refused}"));
        let agent = server.agent();
        // A refusal arrives as one, and not as an answer to another question.
        let (url, attempt) = party.begin();
        let consent = agent.sign_in(&agent.open(url.as_str()).await, ALICE, PASSWORD).await;
        let denied = agent.decide(&consent, "deny").await.answer();
        let refused = party.finish(attempt, &denied).await.err().expect("a refusal");
        assert_eq!(refused.to_string(), "access_denied", "{id}");
        let mut visit = sign_in(&server, &party, &agent).await;
        let name = |visit: &Visit| visit.person.name().and_then(|name| name.get(None)).map(|name| name.to_string());
        assert_eq!(name(&visit).as_deref(), Some("Alice Example"), "{id}");

        let before: AccessToken = visit.access_token.clone();
        party.refresh(&mut visit).await.unwrap();
        assert_ne!(visit.access_token.secret(), before.secret());
        assert_eq!(party.userinfo(&visit).await.unwrap().subject(), visit.person.subject());

        // The operator ends the session: the next use of either token is refused.
        end(&server, &visit).await;
        assert!(party.userinfo(&visit).await.is_err());
        assert!(party.refresh(&mut visit).await.is_err());

        // Signed in again, and out: the hint names the very session, so nobody is asked.
        let visit = sign_in(&server, &party, &agent).await;
        let left = agent.open(party.sign_out(&visit, POST_LOGOUT_URI).unwrap().as_str()).await;
        assert_eq!(left.location().map(|at| at.to_string()).as_deref(), Some(POST_LOGOUT_URI));
        assert!(party.userinfo(&visit).await.is_err());
    }
}

/// With the scope of an API beside `openid` it still reads userinfo: libraries show it the token that they have.
#[tokio::test]
async fn a_foreign_relying_party_uses_an_api_as_well() {
    let server = Server::usual().await;
    for (id, secret) in [("web", Some(SECRET)), ("spa", None), ("jwt", Some(SECRET))] {
        let party =
            RelyingParty::discover(server.http().clone(), &server.issuer, id, secret, REDIRECT_URI).await.unwrap();
        let (mut url, attempt) = party.begin();
        let asked: Vec<_> = url.query_pairs().into_owned().collect();
        url.query_pairs_mut().clear().extend_pairs(asked.iter().map(|(name, value)| {
            let more = if name == "scope" { " ships:read" } else { "" };
            (name, format!("{value}{more}"))
        }));
        let answer = server.agent().walk(url.as_str(), ALICE).await.answer();
        let mut visit = party.finish(attempt, &answer).await.unwrap();
        let name = visit.person.name().and_then(|name| name.get(None)).map(|name| name.to_string());
        assert_eq!(name.as_deref(), Some("Alice Example"), "{id}");
        party.refresh(&mut visit).await.unwrap();
        assert_eq!(party.userinfo(&visit).await.unwrap().subject(), visit.person.subject());
        let access = token::verify(&server, visit.access_token.secret()).await.claims;
        assert_eq!(access["aud"], serde_json::json!([RESOURCE, server.issuer]), "{id}");
    }
}

/// It registers itself first (RFC 7591), with the library's own request.
#[tokio::test]
async fn a_foreign_relying_party_registers_itself() {
    let server = Server::start(Settings::default().set("registration.policy", "open")).await;
    let http = relying_party::Http(server.http().clone());
    let issuer = IssuerUrl::new(server.issuer.clone()).unwrap();
    let metadata = CoreProviderMetadata::discover_async(issuer, &http).await.unwrap();
    let redirect_uris = vec![RedirectUrl::new(REDIRECT_URI.into()).unwrap()];
    let request = CoreClientRegistrationRequest::new(redirect_uris, EmptyAdditionalClientMetadata {})
        .set_grant_types(Some(vec![CoreGrantType::AuthorizationCode, CoreGrantType::RefreshToken]))
        .set_contacts(Some(vec![ClientContactEmail::new("harbour@rp.example".into())]));
    let endpoint = metadata.registration_endpoint().expect("announced").clone();
    let registered = request.register_async(&endpoint, &http).await.unwrap();
    assert!(registered.registration_client_uri().is_some() && registered.registration_access_token().is_some());
    let secret = registered.client_secret().map(|secret| secret.secret().as_str());
    let id = registered.client_id().as_str();
    let party = RelyingParty::discover(server.http().clone(), &server.issuer, id, secret, REDIRECT_URI).await.unwrap();
    let mut visit = sign_in(&server, &party, &server.agent()).await;
    party.refresh(&mut visit).await.unwrap();
    party.userinfo(&visit).await.unwrap();
}

/// An application of many threads that finds its access token expired refreshes many times at once.
#[tokio::test]
async fn refreshes_at_the_same_time_are_no_theft() {
    let server = Server::usual().await;
    let party = RelyingParty::discover(server.http().clone(), &server.issuer, "web", Some(SECRET), REDIRECT_URI);
    let party = party.await.unwrap();
    let visit = sign_in(&server, &party, &server.agent()).await;
    let copy = || Visit {
        id_token: visit.id_token.clone(),
        access_token: visit.access_token.clone(),
        refresh_token: visit.refresh_token.clone(),
        person: visit.person.clone(),
    };
    let mut copies: Vec<_> = std::iter::repeat_with(copy).take(5).collect();
    for refreshed in join_all(copies.iter_mut().map(|visit| party.refresh(visit))).await {
        refreshed.unwrap();
    }
    let successors: Vec<_> = copies.iter().map(|visit| visit.refresh_token.secret()).collect();
    assert!(successors.iter().all(|successor| *successor == successors[0]));
    party.refresh(&mut copies[4]).await.unwrap();
}

async fn sign_in(server: &Server, party: &RelyingParty, agent: &Agent) -> Visit {
    let (url, attempt) = party.begin();
    let answer = agent.walk(url.as_str(), ALICE).await.answer();
    let visit = party.finish(attempt, &answer).await.unwrap();
    assert_eq!(visit.person.subject().as_str(), server.user_id(ALICE).await);
    visit
}

async fn end(server: &Server, visit: &Visit) {
    let claims = token::claims(&visit.id_token.to_string());
    let sid: Uuid = claims["sid"].as_str().and_then(|sid| sid.parse().ok()).expect("a sid");
    let ended = server
        .work(async |tx| {
            let session = mooring::db::sessions::resolve(tx, sid).await?[0];
            sessions::end(tx, session, "ended_by_operator", Actor::Operator).await
        })
        .await;
    assert!(ended);
}

/// A page that shows another file than the one that was run misleads; and a client must be one that can be declared.
#[test]
fn a_guide_shows_what_runs() {
    let guides = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/guides");
    let mut seen = 0;
    for folder in fs::read_dir(&guides).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()) {
        let declared = folder.join("mooring.toml");
        if !declared.exists() {
            continue;
        }
        seen += 1;
        let page = fs::read_to_string(folder.join("README.md")).unwrap();
        for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()) {
            let shown = ["toml", "mjs", "js", "py", "go", "rs", "html"]
                .iter()
                .any(|extension| file.extension().is_some_and(|own| own == *extension))
                || file.ends_with("site.conf");
            if shown && !file.ends_with("walk.py") {
                let text = fs::read_to_string(&file).unwrap();
                assert!(page.contains(&format!("\n{text}```\n")), "{} is not in its page", file.display());
            }
        }
        let config = Config::load(Sources { file: Some(declared.clone()), environment: Vec::new() });
        let config = config.unwrap_or_else(|stop| panic!("{}: {stop}", declared.display()));
        assert!(!config.clients.is_empty() && !config.users.is_empty());
        assert!(folder.join("transcript.txt").exists(), "{} was not tried", folder.display());
    }
    assert_eq!(seen, 7);
}
