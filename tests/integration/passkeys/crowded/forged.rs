//! What does not sign in there: answers sent again, forged, late, of other browsers, servers and people.

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::{answered, crowded, enrolled, here, is_out_of_date, proxied, told_to_wait, written};
use crate::{
    passkeys::reason,
    support::{ALICE, BOB, agent::Agent, passkey::Asked},
};

#[tokio::test]
async fn an_answer_signs_in_once() {
    let (server, mut passkey) = crowded(proxied()).await;
    let (agent, asked, signed) = answered(&server, &mut passkey).await;
    let thief = agent.copy();
    assert_eq!(agent.answer(&asked, &signed).await.status, 200);
    server.advance(TimeDelta::seconds(200)).await;
    let again = thief.answer(&asked, &signed).await;
    assert_eq!((again.status, reason(&server).await.as_str()), (403, "no_ceremony"));
    assert!(again.headers.get("set-cookie").is_none());
    // Sent by two at once, one of them signs in.
    for _ in 0..5 {
        let before = server.events("session.started", "done").await;
        let (agent, asked, signed) = answered(&server, &mut passkey).await;
        let other = agent.copy();
        let (one, two) = tokio::join!(agent.answer(&asked, &signed), other.answer(&asked, &signed));
        let mut answers = [one.status, two.status];
        answers.sort_unstable();
        assert_eq!(answers, [200, 403]);
        assert_eq!(server.events("session.started", "done").await, before + 1);
    }
}

/// A question is for the browser that asked: a stranger's answer signs no other browser in as the stranger.
#[tokio::test]
async fn another_browsers_question_is_not_answered() {
    let (server, mut passkey) = crowded(proxied()).await;
    let (stranger, asked, signed) = answered(&server, &mut passkey).await;
    let victim = here(&server);
    is_out_of_date(&victim.answer(&asked, &signed).await);
    let page = told_to_wait(&server, &victim, "/login").await;
    victim.ask(&page, "use-passkey", &[]).await.unwrap();
    is_out_of_date(&victim.answer(&asked, &signed).await);
    // What another site can send, or a form of it.
    let to = server.at("/passkeys/stateless");
    for media_type in ["text/plain", "application/x-www-form-urlencoded"] {
        let sent = server.http().post(&to).header("content-type", media_type).body(asked.body(&signed).to_string());
        assert_eq!(sent.send().await.unwrap().status(), 415, "{media_type}");
    }
    let preflight = server.http().request(reqwest::Method::OPTIONS, &to).header("origin", "https://evil.example");
    let preflight = preflight.header("access-control-request-method", "POST").send().await.unwrap();
    assert!(preflight.headers().get("access-control-allow-origin").is_none(), "{preflight:?}");
    assert_eq!(stranger.answer(&asked, &signed).await.status, 200);
}

#[tokio::test]
async fn a_changed_or_old_question_is_not_answered() {
    let (server, mut passkey) = crowded(proxied()).await;
    let (agent, asked, signed) = answered(&server, &mut passkey).await;
    let before = written(&server).await;
    let text = asked.member("ceremony").as_str().unwrap().to_owned();
    let (tag, content) = text.split_once('.').unwrap();
    let later = mooring::jose::from_base64url(content).unwrap();
    let later = String::from_utf8(later).unwrap().replace("\"expires_at\":1", "\"expires_at\":9");
    assert!(later.contains("\"expires_at\":9"), "{later}");
    let later = format!("{tag}.{}", mooring::jose::base64url(later.as_bytes()));
    let empty = format!(".{content}");
    for forged in ["", ".", "x", &text[1..], &text[..text.len() - 1], content, &empty, &later] {
        is_out_of_date(&agent.answer(&asked.clone().with("ceremony", &json!(forged)), &signed).await);
    }
    for forged in [json!(null), json!(7), json!({ "state": {} }), json!([text])] {
        is_out_of_date(&agent.answer(&asked.clone().with("ceremony", &forged), &signed).await);
    }
    // Of another issuer with the same secret.
    let (other, _) = crowded(proxied()).await;
    let foreign = told_to_wait(&other, &here(&other), "/login").await.data("use-passkey").unwrap();
    let (_, to) = foreign.iter().find(|(name, _)| name == "to").unwrap();
    let cookie = format!("{}={}", other.app.cookies.names().name("mooring_question"), agent.cookie().value);
    let body = asked.clone().with("to", &json!(to)).body(&signed);
    let sent = other.http().post(other.at("/passkeys/stateless")).header("cookie", cookie).json(&body);
    assert_eq!(sent.send().await.unwrap().status(), 409);
    assert_eq!(written(&server).await, before);
    server.advance(TimeDelta::seconds(270)).await;
    let (late, asked_late, signed_late) = answered(&server, &mut passkey).await;
    assert_eq!(agent.answer(&asked, &signed).await.status, 200);
    server.advance(TimeDelta::seconds(301)).await;
    is_out_of_date(&late.answer(&asked_late, &signed_late).await);
}

#[tokio::test]
async fn a_sign_in_leads_to_no_other_place() {
    let (server, mut passkey) = crowded(proxied()).await;
    let (agent, asked, signed) = answered(&server, &mut passkey).await;
    let to = asked.member("to").as_str().unwrap().to_owned();
    let (tag, address) = to.split_once('.').unwrap();
    assert_eq!(address, server.at("/account"));
    let forged = [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "javascript:alert(1)",
        "/account",
        &server.at("/account/"),
        &format!("{}.evil.example/", server.at("")),
        "",
    ]
    .map(|address| format!("{tag}.{address}"));
    for to in forged.iter().map(String::as_str).chain([address, "", "."]) {
        is_out_of_date(&agent.answer(&asked.clone().with("to", &json!(to)), &signed).await);
        is_out_of_date(&agent.call(&server.at("/passkeys/stateless/options"), &json!({ "to": to })).await);
    }
    // Whatever host and path the request names, the page is one of this server's.
    let url =
        server.client("web").request("openid").with("state", "//evil.example/?a=\"><b>&next=https://evil.example");
    let page = here(&server).open(&url.url()).await;
    let data = page.data("use-passkey").unwrap();
    let (_, to) = data.iter().find(|(name, _)| name == "to").unwrap();
    assert_eq!(to.split_once('.').unwrap().1, url.url());
    assert!(!page.body.contains("<b>"), "{}", page.body);
}

/// Who has no genuine answer writes nothing: no event, no row, whoever's passkey they name.
#[tokio::test]
async fn wrong_answers_write_nothing() {
    let (server, mut passkey) = crowded(proxied()).await;
    let (agent, asked, signed) = answered(&server, &mut passkey).await;
    let before = written(&server).await;
    let mut unknown = signed.clone();
    let handle = mooring::jose::base64url(&[7; 32]);
    (unknown["id"], unknown["rawId"]) = (json!(handle), json!(handle));
    let mut another = signed.clone();
    another["response"]["userHandle"] = json!(mooring::jose::base64url(&[7; 16]));
    let mut nobody = signed.clone();
    nobody["response"]["userHandle"] = json!(null);
    for wrong in [unknown, another, nobody, json!(null), json!({}), json!("x")] {
        let answer = agent.answer(&asked, &wrong).await;
        assert_eq!(answer.status, 403, "{wrong}: {}", answer.body);
        assert_eq!(answer.json()["error"], "passkey_refused");
    }
    assert_eq!(written(&server).await, before);
    // A signature that is wrong is counted for its passkey, and that is all.
    let count = async || server.value("SELECT count(*) FROM throttles").await.parse::<u32>().unwrap();
    let (events, buckets) = (server.value("SELECT count(*) FROM audit_events").await, count().await);
    let mut forged = signed.clone();
    forged["response"]["signature"] = json!(mooring::jose::base64url(&[7; 70]));
    passkey.origin = Some("https://evil.example".into());
    let elsewhere = passkey.sign(asked.page(), &asked.options);
    (passkey.origin, passkey.verifies) = (None, false);
    let unverified = passkey.sign(asked.page(), &asked.options);
    for wrong in [forged, elsewhere, unverified] {
        assert_eq!(agent.answer(&asked, &wrong).await.status, 403);
    }
    assert_eq!((server.value("SELECT count(*) FROM audit_events").await, count().await), (events, buckets + 1));
    // None of that has used the question up.
    assert_eq!(agent.answer(&asked, &signed).await.status, 200);
}

#[tokio::test]
async fn wrong_answers_are_bounded_for_each_passkey() {
    let (server, mut alices) = crowded(proxied()).await;
    let mut bobs = enrolled(&server, BOB, "192.0.2.200").await;
    let (agent, asked, signed) = answered(&server, &mut alices).await;
    let mut forged = signed.clone();
    forged["response"]["signature"] = json!(mooring::jose::base64url(&[7; 70]));
    let mut verified = 0;
    let refused = loop {
        let from = agent.clone().forwarded_for(&format!("192.0.2.{verified}"));
        let answer = from.answer(&asked, &forged).await;
        if answer.status != 403 {
            break answer;
        }
        verified += 1;
    };
    // It leaks one a second while the test runs.
    assert!((20..30).contains(&verified), "{verified}");
    assert_eq!((refused.status, refused.json()["error"].as_str()), (429, Some("too_many_attempts")));
    assert!(refused.header("retry-after").parse::<u32>().is_ok_and(|seconds| seconds == 1), "{:?}", refused.headers);
    // Another passkey is not concerned, and this one is taken a moment later.
    let (other, asked_other, signed_other) = answered(&server, &mut bobs).await;
    assert_eq!(other.answer(&asked_other, &signed_other).await.status, 200);
    server.advance(TimeDelta::seconds(2)).await;
    assert_eq!(agent.answer(&asked, &signed).await.status, 200);
}

#[tokio::test]
async fn people_and_passkeys_out_of_use_do_not_get_in() {
    let (server, mut passkey) = crowded(proxied()).await;
    let alice = server.user_id(ALICE).await;
    let refused = async |agent: Agent, asked: Asked, signed: Value, why: &str| {
        let answer = agent.answer(&asked, &signed).await;
        assert_eq!(answer.status, 403, "{why}: {}", answer.body);
        assert!(answer.headers.get("set-cookie").is_none(), "{why}");
        assert_eq!(reason(&server).await, why);
        // It is genuine, so it is used up, and the log says whose it was.
        assert_eq!(server.value("SELECT user_id FROM audit_events ORDER BY id DESC LIMIT 1").await, alice, "{why}");
        assert_eq!(agent.answer(&asked, &signed).await.status, 403, "{why}");
        assert_eq!(reason(&server).await, "no_ceremony", "{why}");
    };
    let before = server.value("SELECT count(*) FROM sessions").await;
    let (agent, asked, signed) = answered(&server, &mut passkey).await;
    let disabled = async |at: &str| {
        server.rows(&format!("UPDATE users SET disabled_at = {at} WHERE id = '{alice}'")).await;
    };
    disabled("now()").await;
    refused(agent, asked, signed, "disabled_user").await;
    disabled("NULL").await;
    // There may be a copy: what it signs is genuine, and its counter has not risen.
    let counter = |by: i32| {
        format!(
            "UPDATE credentials SET passkey = jsonb_set(passkey, '{{cred,counter}}', \
             to_jsonb((passkey->'cred'->>'counter')::bigint + {by})) WHERE kind = 'passkey'"
        )
    };
    let (agent, asked, signed) = answered(&server, &mut passkey).await;
    server.rows(&counter(1000)).await;
    let answer = agent.answer(&asked, &signed).await;
    assert_eq!((answer.status, reason(&server).await.as_str()), (403, "counter_went_back"));
    assert_eq!(server.events("credential.suspended", "done").await, 1);
    server.rows(&counter(-1000)).await;
    let (agent, asked, signed) = answered(&server, &mut passkey).await;
    refused(agent, asked, signed, "suspended_passkey").await;
    assert_eq!(server.value("SELECT count(*) FROM sessions").await, before);
}
