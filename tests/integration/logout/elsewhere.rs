//! Sign-outs that come without the browser's session: from a client's server, or from a browser that has lost its cookie.

use chrono::TimeDelta;
use mooring::{audit::Actor, sessions};
use serde_json::Value;

use super::{is_signed_in, logout, signed_in};
use crate::support::{
    Answer, BOB, Client, Method, Server, Settings,
    client::{Code, Tokens, basic},
    declared::{POST_LOGOUT_URI, REDIRECT_URI, SECRET},
};

/// What a client's server is answered.
async fn call(server: &Server, parameters: &[(&str, &str)]) -> Value {
    let request = server.http().get(logout(server, parameters)).header("accept", "application/json");
    Answer::of(request).await.ok()
}

async fn post(server: &Server, client: &Client<'_>, parameters: &[(&str, &str)]) -> Answer {
    assert_eq!(client.server.issuer, server.issuer);
    client.call("end_session_endpoint", parameters).await
}

async fn is_dead(client: &Client<'_>, tokens: &Tokens) -> bool {
    let inactive = !client.is_active(&tokens.access).await;
    assert_eq!(client.userinfo(&tokens.access).await.status == 401, inactive);
    assert_eq!(client.introspect(&tokens.refresh).await.ok()["active"] == false, inactive);
    inactive
}

#[tokio::test]
async fn a_hint_ends_what_its_client_has_in_the_session() {
    let server = Server::usual().await;
    let (web, web2) = (server.client("web"), server.client("web2"));
    let (agent, tokens) = signed_in(&server).await;
    let other = web2.tokens(&agent, "openid").await;
    let again = web.tokens(&agent, "openid profile").await;
    let in_flight = web.code(&agent, "openid").await;
    // In another browser she is signed in, too.
    let (elsewhere, theirs) = signed_in(&server).await;
    let answer = call(&server, &[("id_token_hint", &tokens.id)]).await;
    assert_eq!(answer["ended"], "grants", "{answer}");
    assert!(is_dead(&web, &tokens).await && is_dead(&web, &again).await);
    web.refresh(&tokens.refresh).await.refused("invalid_grant");
    web.redeem(&in_flight).await.refused("invalid_grant");
    assert!(!is_dead(&web2, &other).await && !is_dead(&web, &theirs).await, "nobody else is touched");
    let told = "SELECT actor || ' ' || kind || ' ' || client_id || ' ' || detail FROM audit_events \
                WHERE action = 'client.signed_out'";
    assert_eq!(server.value(told).await, r#"client user web {"ended": "grants", "grants": 3}"#);
    assert_eq!(server.events("session.ended", "done").await, 2, "the two visits before the sign-ins");
    // Once more it ends nothing, and says so.
    let answer = call(&server, &[("id_token_hint", &again.id), ("client_id", "web")]).await;
    assert_eq!(answer["ended"], "nothing", "{answer}");
    assert!(answer["description"].as_str().unwrap().contains("any more"), "{answer}");
    assert_eq!(server.events("client.signed_out", "done").await, 1);
    assert!(is_signed_in(&server, &agent).await && is_signed_in(&server, &elsewhere).await);
    // Who signs in again at the client is not signed out by the old token's end.
    let fresh = web.tokens(&agent, "openid").await;
    assert!(!is_dead(&web, &fresh).await);
}

/// A browser that has lost its cookie is shown a page, and led on.
#[tokio::test]
async fn a_browser_without_its_cookie_is_told_what_ended() {
    let server = Server::usual().await;
    let web = server.client("web");
    let (agent, tokens) = signed_in(&server).await;
    // Expired is good enough (§2), while the session lives.
    server.advance(TimeDelta::minutes(10)).await;
    let stranger = server.agent();
    let page = stranger.open(&logout(&server, &[("id_token_hint", &tokens.id)])).await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("Harbour Web") && page.body.contains("/account\""), "{}", page.body);
    assert!(!page.body.contains("has ended") && is_signed_in(&server, &agent).await);
    web.refresh(&tokens.refresh).await.refused("invalid_grant");
    let tokens = web.tokens(&agent, "openid").await;
    let onward =
        [("id_token_hint", tokens.id.as_str()), ("post_logout_redirect_uri", POST_LOGOUT_URI), ("state", "x y")];
    let page = stranger.open(&logout(&server, &onward)).await;
    assert_eq!(page.location().unwrap().as_str(), format!("{POST_LOGOUT_URI}?state=x+y"));
    assert!(is_dead(&web, &tokens).await);
    // A form of the application's, from a browser that sends no cookie with it nor with what follows.
    let tokens = web.tokens(&agent, "openid").await;
    let fields = [("id_token_hint".to_owned(), tokens.id.clone())];
    let page = stranger.submit_from_elsewhere(&server.endpoint("end_session_endpoint"), &fields).await;
    assert!(!is_dead(&web, &tokens).await, "the browser may still show its cookie");
    stranger.follow(page).await;
    assert!(is_dead(&web, &tokens).await);
    // Only an anonymous visit is there.
    let tokens = web.tokens(&agent, "openid").await;
    let visitor = server.agent();
    visitor.open(&web.request("openid").url()).await;
    visitor.open(&logout(&server, &[("id_token_hint", &tokens.id)])).await;
    assert!(is_dead(&web, &tokens).await && is_signed_in(&server, &agent).await);
}

#[tokio::test]
async fn a_client_that_authenticates_ends_the_session() {
    let server = Server::usual().await;
    for id in ["web", "post", "pkj"] {
        let client = server.client(id);
        let agent = server.agent();
        let other = server.client("web2").tokens(&agent, "openid").await;
        let tokens = client.tokens(&agent, "openid").await;
        let answer = post(&server, &client, &[("id_token_hint", &tokens.id)]).await.ok();
        assert_eq!(answer["ended"], "session", "{id}: {answer}");
        assert!(is_dead(&client, &tokens).await && is_dead(&server.client("web2"), &other).await, "{id}");
        assert!(!is_signed_in(&server, &agent).await, "{id}");
        let answer = post(&server, &client, &[("id_token_hint", &tokens.id)]).await.ok();
        assert_eq!(answer["ended"], "nothing", "{id}: {answer}");
    }
    let ends = "SELECT string_agg(DISTINCT actor || ' ' || reason, ',') FROM audit_events \
                WHERE action = 'session.ended' AND kind = 'user'";
    assert_eq!(server.value(ends).await, "client signed_out");
    let told = "SELECT string_agg(client_id, ' ' ORDER BY at, id) FROM audit_events \
                WHERE action = 'client.signed_out' AND detail->>'ended' = 'session'";
    assert_eq!(server.value(told).await, "web post pkj");
    // With a place to go on to it leads there, as any sign-out does.
    let (_, tokens) = signed_in(&server).await;
    let onward =
        [("id_token_hint", tokens.id.as_str()), ("post_logout_redirect_uri", POST_LOGOUT_URI), ("state", "st")];
    let answer = post(&server, &server.client("web"), &onward).await;
    assert_eq!((answer.status, answer.header("location")), (303, format!("{POST_LOGOUT_URI}?state=st").as_str()));
    assert!(is_dead(&server.client("web"), &tokens).await);
}

#[tokio::test]
async fn only_the_client_of_the_hint_ends_the_session() {
    let server = Server::usual().await;
    let (web, spa) = (server.client("web"), server.client("spa"));
    let (agent, tokens) = signed_in(&server).await;
    let hint = [("id_token_hint", tokens.id.as_str())];
    post(&server, &web.by(Method::Basic("wrong".into())), &hint).await.refused("invalid_client");
    post(&server, &web.by(Method::Post("x".into())), &hint).await.refused("invalid_client");
    post(&server, &server.client("web2"), &hint).await.refused("invalid_request");
    post(&server, &web, &[]).await.refused("invalid_request");
    post(&server, &web, &[("client_id", "web")]).await.refused("invalid_request");
    post(&server, &web, &[("id_token_hint", "x")]).await.refused("invalid_request");
    assert!(!is_dead(&web, &tokens).await && is_signed_in(&server, &agent).await);
    // A public client proves nothing.
    let tokens = spa.tokens(&agent, "openid").await;
    let request = server.http().post(server.endpoint("end_session_endpoint")).header("accept", "application/json");
    let answer = Answer::of(request.form(&[("client_id", "spa"), ("id_token_hint", &tokens.id)])).await;
    assert_eq!(answer.status, 303, "{answer:?}");
    let followed = server.http().get(answer.header("location")).header("accept", "application/json");
    assert_eq!(Answer::of(followed).await.ok()["ended"], "grants");
    spa.userinfo(&tokens.access).await.token_refused();
    spa.refresh(&tokens.refresh).await.refused("invalid_grant");
    assert!(is_signed_in(&server, &agent).await);
}

/// Another person's browser brings the hint: they are asked about their own session, and nothing else happens.
#[tokio::test]
async fn another_persons_browser_ends_nothing_by_a_hint() {
    let server = Server::usual().await;
    let web = server.client("web");
    let (agent, tokens) = signed_in(&server).await;
    let bob = server.agent();
    let code = web.code_for(&bob, BOB, "openid").await;
    let bobs = web.redeem(&code).await.tokens();
    let page = bob.open(&logout(&server, &[("id_token_hint", &tokens.id)])).await;
    assert!(page.offers("sign-out"), "{}", page.body);
    bob.decide(&page, "cancel").await;
    assert!(!is_dead(&web, &tokens).await && !is_dead(&web, &bobs).await);
    let page = bob.open(&logout(&server, &[("id_token_hint", &tokens.id)])).await;
    bob.decide(&page, "sign-out").await;
    assert!(!is_dead(&web, &tokens).await && is_dead(&web, &bobs).await, "his own, and not hers");
    assert!(is_signed_in(&server, &agent).await);
}

#[tokio::test]
async fn a_session_that_is_over_or_locked_is_not_said_to_end() {
    let server = Server::usual().await;
    let web = server.client("web");
    let (_, tokens) = signed_in(&server).await;
    let id = server.value("SELECT id FROM sessions WHERE kind = 'user'").await.parse().unwrap();
    assert!(server.work(async |tx| sessions::lock(tx, id, "looks odd", Actor::Operator).await).await);
    let hint = [("id_token_hint", tokens.id.as_str())];
    for answer in [call(&server, &hint).await, post(&server, &web, &hint).await.ok()] {
        assert_eq!(answer["ended"], "nothing", "{answer}");
    }
    assert!(server.work(async |tx| sessions::unlock(tx, id, "fine", Actor::Operator).await).await);
    assert!(!is_dead(&web, &tokens).await);
    assert!(server.work(async |tx| sessions::end(tx, id, "ended_by_operator", Actor::Operator).await).await);
    for answer in [call(&server, &hint).await, post(&server, &web, &hint).await.ok()] {
        assert_eq!(answer["ended"], "nothing", "{answer}");
    }
    assert_eq!(server.events("client.signed_out", "done").await, 0);
    // It may still lead on.
    let onward = [("id_token_hint", tokens.id.as_str()), ("post_logout_redirect_uri", POST_LOGOUT_URI)];
    let page = server.agent().open(&logout(&server, &onward)).await;
    assert_eq!(page.location().unwrap().as_str(), POST_LOGOUT_URI);
}

/// Offline access outlives a sign-out, of whatever kind.
#[tokio::test]
async fn offline_access_goes_on_after_a_clients_sign_out() {
    let server = Server::usual().await;
    let web = server.client("web");
    let tokens = web.tokens(&server.agent(), "openid offline_access").await;
    assert_eq!(call(&server, &[("id_token_hint", &tokens.id)]).await["ended"], "grants");
    assert!(!web.is_active(&tokens.access).await, "what hangs on the session is gone");
    let refreshed = web.refresh(&tokens.refresh).await.tokens();
    assert!(web.is_active(&refreshed.access).await);
    assert_eq!(call(&server, &[("id_token_hint", &tokens.id)]).await["ended"], "nothing");
    assert!(web.is_active(&refreshed.access).await);
    let answer = post(&server, &web, &[("id_token_hint", &refreshed.id)]).await.ok();
    assert_eq!(answer["ended"], "session", "{answer}");
    web.refresh(&refreshed.refresh).await.tokens();
}

/// The client that asked knows; all parties hear of the session's end.
#[tokio::test]
async fn other_parties_hear_of_the_sessions_end_only() {
    let party = |id: &str| {
        format!(
            "[[client]]\nclient_id = \"{id}\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
             scope = \"openid\"\nbackchannel_logout_uri = \"https://{id}.example/logout\"\n"
        )
    };
    let server = Server::start(Settings::default().declare(&(party("one") + &party("two")))).await;
    let agent = server.agent();
    let (one, two) = (server.client("one"), server.client("two"));
    let tokens = one.tokens(&agent, "openid").await;
    two.tokens(&agent, "openid").await;
    let queued =
        async || server.value("SELECT coalesce(string_agg(client_id, ' ' ORDER BY client_id), '') FROM notices").await;
    assert_eq!(call(&server, &[("id_token_hint", &tokens.id)]).await["ended"], "grants");
    assert_eq!(queued().await, "");
    let tokens = one.tokens(&agent, "openid").await;
    assert_eq!(post(&server, &one, &[("id_token_hint", &tokens.id)]).await.ok()["ended"], "session");
    assert_eq!(queued().await, "one two");
}

/// Whoever asks without saying for whom is told what is missing.
#[tokio::test]
async fn without_a_hint_the_right_cause_is_named() {
    let server = Server::usual().await;
    let (agent, tokens) = signed_in(&server).await;
    for parameters in [&[][..], &[("client_id", "web")], &[("client_id", "nobody")], &[("logout_hint", "alice")]] {
        let answer = call(&server, parameters).await;
        assert_eq!(answer["ended"], "nothing", "{answer}");
        assert!(answer["description"].as_str().unwrap().contains("no id_token_hint"), "{answer}");
        let page = server.agent().open(&logout(&server, parameters)).await;
        assert!(page.status == 200 && page.body.contains("no id_token_hint"), "{}", page.body);
    }
    let (head, _) = tokens.id.rsplit_once('.').unwrap();
    for hint in ["x", "a.b.c.d.e", &format!("{head}."), &format!("{head}.AAAA"), &tokens.access, &"a".repeat(6000)] {
        let answer = Answer::of(
            server.http().get(logout(&server, &[("id_token_hint", hint)])).header("accept", "application/json"),
        );
        let answer = answer.await;
        assert_eq!(
            answer.refused("invalid_request").json()["error_description"].as_str().unwrap().find("id_token_hint"),
            Some(0)
        );
    }
    assert!(is_signed_in(&server, &agent).await && !is_dead(&server.client("web"), &tokens).await);
}

/// A code in flight is redeemed at the very moment: whichever comes first, nothing lives on.
#[tokio::test]
async fn a_redemption_at_the_same_moment_leaves_nothing_alive() {
    let server = Server::start(Settings::default().set("server.workers", "2")).await;
    let web = server.client("web");
    let (agent, tokens) = signed_in(&server).await;
    let hint = [("id_token_hint", tokens.id.as_str())];
    for _ in 0..8 {
        let request = web.request("openid");
        let code = Code { code: agent.open(&request.url()).await.code(), verifier: request.verifier };
        let (redeemed, _) = tokio::join!(web.redeem(&code), call(&server, &hint));
        if redeemed.status == 200 {
            assert!(is_dead(&web, &redeemed.tokens()).await);
        } else {
            redeemed.refused("invalid_grant");
        }
    }
}

/// Credentials count in a POST, and in the header of a GET; in an address never (OAuth 2.1 §2.4.1), and the caller hears so.
#[tokio::test]
async fn credentials_in_a_get_count_in_the_header_alone() {
    let server = Server::usual().await;
    let web = server.client("web");
    let (agent, tokens) = signed_in(&server).await;
    let hint = ("id_token_hint", tokens.id.as_str());
    let get = async |parameters: &[(&str, &str)], authorization: Option<String>, accept: &str| {
        let request = server.http().get(logout(&server, parameters)).header("accept", accept);
        Answer::of(match authorization {
            Some(header) => request.header("authorization", header),
            None => request,
        })
        .await
    };
    for accept in ["application/json", "*/*"] {
        for (name, value) in [("client_secret", SECRET), ("client_assertion", "a.b.c"), ("client_assertion_type", "x")]
        {
            for authorization in [None, Some(basic("web", SECRET))] {
                let answer = get(&[hint, ("client_id", "web"), (name, value)], authorization, accept).await;
                assert_eq!(answer.status, 400, "{answer:?}");
                assert!(answer.text.contains(name) && answer.text.contains("in a POST"), "{answer:?}");
            }
        }
        get(&[hint], Some(basic("web", "wrong")), accept).await.refused("invalid_client");
        get(&[hint], Some(basic("nobody", SECRET)), accept).await.refused("invalid_client");
        get(&[hint], Some(basic("web2", SECRET)), accept).await.refused("invalid_request");
    }
    assert!(!is_dead(&web, &tokens).await && is_signed_in(&server, &agent).await);
    // A browser sends what a proxy before the server asked it for: that is nobody's word here.
    let page = get(&[hint], Some(basic("staging", "wrong")), "text/html").await;
    assert!(page.status == 200 && page.text.contains("signed out of this application"), "{page:?}");
    assert!(is_dead(&web, &tokens).await && is_signed_in(&server, &agent).await);
    let answer = get(&[hint], Some(basic("web", SECRET)), "*/*").await.ok();
    assert_eq!(answer["ended"], "session", "{answer}");
    assert!(!is_signed_in(&server, &agent).await);
}

/// Whoever finds an old ID token does not learn from it whether its session lives. The client itself does.
#[tokio::test]
async fn an_old_hint_does_not_say_whether_its_session_lives() {
    let server = Server::usual().await;
    let web = server.client("web");
    let (agent, tokens) = signed_in(&server).await;
    let hint = [("id_token_hint", tokens.id.as_str())];
    let page = async || server.agent().open(&logout(&server, &hint)).await.body;
    assert_eq!(call(&server, &hint).await["ended"], "grants");
    let (lives, shown) = (call(&server, &hint).await, page().await);
    assert_eq!(lives["ended"], "nothing", "{lives}");
    assert!(is_signed_in(&server, &agent).await);
    let id = server.value("SELECT id FROM sessions WHERE kind = 'user'").await.parse().unwrap();
    assert!(server.work(async |tx| sessions::lock(tx, id, "looks odd", Actor::Operator).await).await);
    assert_eq!((call(&server, &hint).await, page().await), (lives.clone(), shown.clone()));
    assert!(server.work(async |tx| sessions::unlock(tx, id, "fine", Actor::Operator).await).await);
    assert_eq!(post(&server, &web, &hint).await.ok()["ended"], "session");
    assert_eq!((call(&server, &hint).await, page().await), (lives, shown));
    let told = post(&server, &web, &hint).await.ok();
    assert_eq!(told["description"], "the session of the id_token_hint is over, or locked");
}
