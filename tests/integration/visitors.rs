//! Anonymous visitors as tokens: `acr_values` is exactly `urn:mooring:acr:visitor`, and the client is registered for it.

use chrono::TimeDelta;
use mooring::db::session_ends;
use serde_json::{Value, json};

use crate::support::{
    ALICE, Client, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    client::{Code, Request, Tokens},
    declared::{REDIRECT_URI, RESOURCE, SECRET},
    token,
};

const VISITOR: &str = "urn:mooring:acr:visitor";

async fn harbour() -> Server {
    Server::start(settings()).await
}

fn settings() -> Settings {
    let client = |id: &str, more: &str| {
        format!(
            "[[client]]\nclient_id = \"{id}\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
             grant_types = [\"authorization_code\", \"refresh_token\"]\n\
             scope = \"openid profile email offline_access ships:read\"\nvisitors = true\n{more}\n"
        )
    };
    Settings::default()
        .declare(&client("shop", ""))
        .declare(&client("kiosk", ""))
        .declare(&client("lounge", &format!("default_acr_values = [\"{VISITOR}\"]\n")))
}

fn asking(client: &Client<'_>, scope: &str) -> Request {
    client.request(scope).with("acr_values", VISITOR)
}

async fn redeemed(client: &Client<'_>, page: &Page, request: &Request) -> Tokens {
    client.redeem(&Code { code: page.code(), verifier: request.verifier.clone() }).await.tokens()
}

async fn visit(client: &Client<'_>, agent: &Agent, scope: &str) -> Tokens {
    let request = asking(client, scope);
    redeemed(client, &agent.step(&request.url()).await, &request).await
}

#[tokio::test]
async fn a_visitor_gets_tokens_without_a_page() {
    let server = harbour().await;
    let shop = server.client("shop");
    let agent = server.agent();
    let tokens = visit(&shop, &agent, "openid ships:read").await;
    assert_eq!(agent.cookie().attributes.iter().filter(|it| *it == "HttpOnly" || *it == "SameSite=Lax").count(), 2);

    let id = token::verify(&server, &tokens.id).await.claims;
    let sub = id["sub"].as_str().unwrap().to_owned();
    assert_eq!((&id["acr"], &id["nonce"], &id["aud"]), (&json!(VISITOR), &json!("the-nonce"), &json!("shop")));
    assert!(id["auth_time"].is_null() && id["amr"].is_null() && id["sid"].is_string(), "{id}");
    assert_eq!(tokens.all["scope"], "openid ships:read");

    // The resource's format: a JWT that says the same.
    let access = token::verify(&server, &tokens.access).await.claims;
    let aud = json!([RESOURCE, server.issuer]);
    assert_eq!((&access["sub"], &access["acr"], &access["aud"]), (&json!(sub), &json!(VISITOR), &aud));
    assert!(access["auth_time"].is_null(), "{access}");
    assert_eq!(shop.userinfo(&tokens.access).await.ok(), json!({ "sub": sub }));
    let own = visit(&shop, &agent, "openid").await;
    assert_eq!(shop.userinfo(&own.access).await.ok(), json!({ "sub": sub }));

    let told = server.client("api").introspect(&tokens.access).await.ok();
    assert_eq!((&told["active"], &told["sub"], &told["acr"]), (&json!(true), &json!(sub), &json!(VISITOR)));
    assert_eq!((&told["session"]["kind"], &told["sid"]), (&json!("visitor"), &id["sid"]));
    assert!(told.get("username").is_none() && told.get("auth_time").is_none(), "{told}");
    let session = told["session"]["id"].as_str().unwrap();
    assert!(!sub.contains(session), "the session's own id is not told");
    let stored = server.rows("SELECT kind, user_id FROM sessions").await;
    assert_eq!(stored, [vec![Some("visitor".to_owned()), None]]);
    assert_eq!(
        server.value("SELECT actor || ' ' || kind FROM audit_events WHERE action = 'code.issued'").await,
        "visitor visitor"
    );
}

#[tokio::test]
async fn the_subject_is_the_visitors_for_as_long_as_the_visit() {
    let server = harbour().await;
    let (shop, kiosk) = (server.client("shop"), server.client("kiosk"));
    let agent = server.agent();
    let first = token::claims(&visit(&shop, &agent, "openid").await.id);
    server.advance(TimeDelta::minutes(20)).await;
    // Silently, too.
    let request = asking(&shop, "openid").with("prompt", "none");
    let again = redeemed(&shop, &agent.step(&request.url()).await, &request).await;
    let second = token::claims(&again.id);
    assert_eq!((&first["sub"], &first["sid"]), (&second["sub"], &second["sid"]));
    let elsewhere = token::claims(&visit(&kiosk, &agent, "openid").await.id);
    assert_eq!(elsewhere["sub"], first["sub"]);
    assert_ne!(elsewhere["sid"], first["sid"], "two clients cannot compare");
    assert_eq!(server.value("SELECT count(*) FROM sessions").await, "1");

    // Somebody else, of whom nothing is known: silently, and by a form of another site's.
    let other = server.agent();
    let page = other.step(&request.url()).await;
    let others = token::claims(&redeemed(&shop, &page, &request).await.id);
    assert_ne!(others["sub"], first["sub"]);
    let posting = server.agent();
    let request = asking(&shop, "openid");
    let page = posting.submit_from_elsewhere(request.endpoint(), &request.parameters).await;
    let page = posting.follow(page).await;
    let posted = token::claims(&redeemed(&shop, &page, &request).await.id);
    assert_ne!(posted["sub"], first["sub"]);
    assert_eq!(token::claims(&visit(&shop, &posting, "openid").await.id)["sub"], posted["sub"]);

    // An idle visit is over; the next one is another's.
    server.advance(TimeDelta::minutes(31)).await;
    assert!(!shop.is_active(&again.access).await);
    assert_ne!(token::claims(&visit(&shop, &agent, "openid").await.id)["sub"], first["sub"]);
}

#[tokio::test]
async fn nobody_becomes_a_visitor_by_the_way() {
    let server = harbour().await;
    let shop = server.client("shop");
    let usual = asking(&shop, "openid");
    let essential =
        |values: Value| json!({ "id_token": { "acr": { "essential": true, "values": values } } }).to_string();
    for asked in [
        shop.request("openid"),
        usual.clone().with("acr_values", &format!("{VISITOR} urn:mooring:acr:pwd")),
        usual.clone().with("acr_values", &format!("{VISITOR} ")),
        usual.clone().with("acr_values", "urn:mooring:acr:pwd"),
        usual.clone().with("acr_values", "phr"),
        usual.clone().with("claims", &essential(json!(["urn:mooring:acr:pwd"]))),
        // Each of these asks for a person.
        usual.clone().with("prompt", "login"),
        usual.clone().with("prompt", "consent"),
        usual.clone().with("prompt", "select_account"),
        usual.clone().with("max_age", "3600"),
        // Not registered for it: then it is a wish like any other.
        asking(&server.client("web"), "openid"),
    ] {
        let agent = server.agent();
        let page = agent.open(&asked.url()).await;
        assert!(page.asks_for_password(), "{:?}: {}", asked.parameters, page.body);
        if !asked.parameters.iter().any(|(name, _)| name == "prompt") {
            let silent = asked.with("prompt", "none");
            assert_eq!(server.agent().step(&silent.url()).await.error(), "login_required", "{:?}", silent.parameters);
        }
    }
    let strict = usual.clone().with("claims", &essential(json!(["phr"])));
    assert!(server.agent().open(&strict.url()).await.asks_for_password());
    // Essential and preferred agree; the default of a client is as good as the parameter, which goes before it.
    let agreed = usual.with("claims", &essential(json!(["phr", VISITOR])));
    server.agent().step(&agreed.url()).await.code();
    let lounge = server.client("lounge");
    server.agent().step(&lounge.request("openid").url()).await.code();
    let person = lounge.request("openid").with("acr_values", "urn:mooring:acr:pwd");
    assert!(server.agent().open(&person.url()).await.asks_for_password());
    let mut discovered = server.http().get(server.at("/.well-known/openid-configuration")).send().await.unwrap();
    let document: Value = serde_json::from_slice(&discovered.chunk().await.unwrap().unwrap()).unwrap();
    assert_eq!(
        document["acr_values_supported"],
        json!([VISITOR, "urn:mooring:acr:pwd", "urn:mooring:acr:mfa", "phr", "phrh"])
    );
}

/// Signing in ends the visit, and what hangs on it: nothing that was anonymous becomes somebody's.
#[tokio::test]
async fn signing_in_ends_the_visit() {
    let server = harbour().await;
    let shop = server.client("shop");
    let agent = server.agent();
    let visitor = visit(&shop, &agent, "openid").await;
    let unused = asking(&shop, "openid");
    let waiting = Code { code: agent.step(&unused.url()).await.code(), verifier: unused.verifier };

    let request = shop.request("openid");
    let page = agent.open(&request.url()).await;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    let page = agent.decide(&page, "allow").await;
    let person = redeemed(&shop, &page, &request).await;
    assert!(shop.is_active(&person.access).await);
    assert!(!shop.is_active(&visitor.access).await);
    shop.userinfo(&visitor.access).await.token_refused();
    shop.refresh(&visitor.refresh).await.refused("invalid_grant");
    shop.redeem(&waiting).await.refused("invalid_grant");
    let (before, after) = (token::claims(&visitor.id), token::claims(&person.id));
    assert_ne!((&before["sub"], &before["sid"]), (&after["sub"], &after["sid"]));

    // Whoever is signed in is that person, whatever would have been enough; and is asked as ever.
    let request = asking(&shop, "openid");
    let again = redeemed(&shop, &agent.step(&request.url()).await, &request).await;
    let claims = token::claims(&again.id);
    assert_eq!((&claims["sub"], &claims["acr"]), (&after["sub"], &json!("urn:mooring:acr:pwd")));
    let kiosk = asking(&server.client("kiosk"), "openid").with("prompt", "none");
    assert_eq!(agent.step(&kiosk.url()).await.error(), "consent_required");
    // The visitor's token still is a hint, at nobody who is here.
    let hinted = asking(&shop, "openid").with("prompt", "none").with("id_token_hint", &visitor.id);
    assert_eq!(agent.step(&hinted.url()).await.error(), "login_required");
    // A visit is no class of a person's sign-in.
    let essential = json!({ "id_token": { "acr": { "essential": true, "value": VISITOR } } }).to_string();
    let strict = asking(&shop, "openid").with("claims", &essential);
    assert_eq!(agent.step(&strict.url()).await.error(), "unmet_authentication_requirements");
}

#[tokio::test]
async fn a_hint_names_the_visitor() {
    let server = harbour().await;
    let shop = server.client("shop");
    let (one, other) = (server.agent(), server.agent());
    let hint = visit(&shop, &one, "openid").await.id;
    visit(&shop, &other, "openid").await;
    let silent = asking(&shop, "openid").with("prompt", "none").with("id_token_hint", &hint);
    one.step(&silent.url()).await.code();
    for stranger in [other, server.agent()] {
        assert_eq!(stranger.step(&silent.url()).await.error(), "login_required");
    }
}

/// The refresh token lives and dies with the visit; what speaks of a person, or outlives the visit, is not to be had.
#[tokio::test]
async fn what_a_visitor_can_give() {
    let server = harbour().await;
    let shop = server.client("shop");
    let agent = server.agent();
    let tokens = visit(&shop, &agent, "openid profile email offline_access").await;
    assert_eq!(tokens.all["scope"], "openid");
    let claims = json!({ "userinfo": { "email": { "essential": true } }, "id_token": { "name": null } }).to_string();
    let request = asking(&shop, "openid email").with("claims", &claims);
    let more = redeemed(&shop, &agent.step(&request.url()).await, &request).await;
    assert!(token::claims(&more.id).get("name").is_none());
    assert_eq!(shop.userinfo(&more.access).await.ok().as_object().unwrap().len(), 1);
    let personal = asking(&shop, "profile email");
    assert_eq!(agent.step(&personal.url()).await.error(), "invalid_scope");

    let refreshed = shop.refresh(&tokens.refresh).await.tokens();
    let (before, after) = (token::claims(&tokens.id), token::claims(&refreshed.id));
    for same in ["sub", "sid", "acr"] {
        assert_eq!(before[same], after[same], "{same}");
    }
    let told = shop.introspect(&refreshed.refresh).await.ok();
    assert_eq!((&told["sub"], &told["session"]["kind"]), (&before["sub"], &json!("visitor")));
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'offline'").await, "0");

    let ended: uuid::Uuid = server.value("SELECT id FROM sessions").await.parse().unwrap();
    server.work(async |tx| session_ends::end(tx, ended, "ended_by_operator", None).await).await;
    assert!(!shop.is_active(&refreshed.access).await);
    shop.refresh(&refreshed.refresh).await.refused("invalid_grant");
}

#[tokio::test]
async fn a_visit_costs_no_more_than_a_person_and_leaves_nothing_behind() {
    let server = Server::start(settings().connections(1)).await;
    let shop = server.client("shop");
    let agent = server.agent();
    visit(&shop, &agent, "openid").await;
    let before = server.app.db.statements();
    visit(&shop, &agent, "openid").await;
    assert_eq!(server.app.db.statements() - before, 4, "two to authorize, two to redeem");

    server.advance(TimeDelta::hours(40)).await;
    // Its end is told before it is forgotten.
    server.turn("ended sessions").await;
    assert_eq!(server.value("SELECT count(*) FROM sessions").await, "1");
    server.turn("dead sessions").await;
    server.advance(TimeDelta::hours(25)).await;
    server.turn("ended sessions").await;
    for table in ["sessions", "session_activity", "session_clients", "grants"] {
        assert_eq!(server.value(&format!("SELECT count(*) FROM {table}")).await, "0", "{table}");
    }
}

/// Nobody is there who could be asked about an API that no scope stands for.
#[tokio::test]
async fn a_visitor_opens_no_api_without_scopes() {
    const OPEN: &str = "urn:open";
    let server = Server::start(settings().declare("[[resource]]\nidentifier = \"urn:open\"\n")).await;
    let (shop, lounge) = (server.client("shop"), server.client("lounge"));
    let known = server.agent();
    visit(&shop, &known, "openid").await;
    let usual = asking(&shop, "openid").with("resource", OPEN);
    for request in [
        usual.clone(),
        usual.clone().with("prompt", "none"),
        usual.clone().without("scope"),
        asking(&shop, "openid ships:read").with("resource", RESOURCE).repeat("resource", OPEN),
        lounge.request("openid").with("resource", OPEN),
    ] {
        for agent in [&known, &server.agent()] {
            assert_eq!(agent.step(&request.url()).await.error(), "invalid_target", "{:?}", request.parameters);
        }
    }
    let pushed = shop.pushed(&usual).await;
    assert_eq!(server.agent().step(&pushed.url()).await.error(), "invalid_target");
    // Nor does the token request name it.
    let request = asking(&shop, "openid");
    let code = known.step(&request.url()).await.code();
    let mut form = Code { code, verifier: request.verifier }
        .form(&shop.redirect_uri)
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec();
    form.push(("resource".to_owned(), OPEN.to_owned()));
    let form: Vec<_> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    shop.token(&form).await.refused("invalid_target");
    // Whoever is signed in is asked, as ever.
    let person = server.agent();
    person.walk(&shop.request("openid").url(), ALICE).await.code();
    let page = person.open(&usual.url()).await;
    assert!(page.offers("allow") && page.body.contains(OPEN), "{}", page.body);
    person.decide(&page, "allow").await.code();
}

/// An API that lists no scopes any more was never named to the visitor either.
#[tokio::test]
async fn a_visitors_grant_does_not_open_an_api_that_lost_its_scopes() {
    let docks =
        "[[scope]]\nname = \"docks:read\"\n[[resource]]\nidentifier = \"urn:docks\"\nscopes = [\"docks:read\"]\n";
    let settings = |docks: &str| settings().replace("ships:read\"", "ships:read docks:read\"").declare(docks);
    let server = Server::start(settings(docks)).await;
    let (shop, agent) = (server.client("shop"), server.agent());
    let request = asking(&shop, "openid docks:read").with("resource", "urn:docks");
    let tokens = redeemed(&shop, &agent.step(&request.url()).await, &request).await;
    assert_eq!((&tokens.all["scope"], shop.is_active(&tokens.access).await), (&json!("docks:read"), true));
    let request = asking(&shop, "openid docks:read").with("resource", "urn:docks");
    let code = Code { code: agent.step(&request.url()).await.code(), verifier: request.verifier };
    let open = server.replica(settings(&docks.replace("\"docks:read\"]", "]"))).await;
    let shop = open.client("shop");
    shop.refresh(&tokens.refresh).await.refused("invalid_target");
    shop.redeem(&code).await.refused("invalid_target");
}
