//! Who may ask for which privileged scope, from where and when.

use chrono::{Datelike, TimeDelta};
use mooring::sessions::Proof;

use super::{ALICE, BOB, CAROL, proved};
use crate::support::{
    Server, Settings,
    agent::{Agent, Page},
    declared::{PASSWORD, REDIRECT_URI, SECRET},
};

/// A server with one scope that demands this, and somebody in the group `ops`.
pub(super) async fn demanding(demand: &str) -> Server {
    demanding_of(Settings::default(), demand).await
}

async fn demanding_of(settings: Settings, demand: &str) -> Server {
    let declared = format!(
        "[[scope]]\nname = \"mast:climb\"\ndescription = \"Climb the mast\"\nprivileged = true\n{demand}\n\
         [[client]]\nclient_id = \"mast\"\nclient_secret = \"{SECRET}\"\nredirect_uris = [\"{REDIRECT_URI}\"]\n\
         scope = \"openid mast:climb\"\n\
         [[user]]\nusername = \"{CAROL}\"\npassword = \"{PASSWORD}\"\ngroups = [\"crew\", \"ops\"]\nadmin = true\n"
    );
    let settings = settings.set("trusted_proxies", "127.0.0.0/8").declare(&declared);
    let server = Server::start(settings).await;
    for name in [ALICE, BOB, CAROL] {
        server.enrol(name, "passkey").await;
    }
    server
}

async fn ask(server: &Server, agent: &Agent, username: &str) -> Page {
    proved(server, agent, username, &server.client("mast").request("openid mast:climb").url()).await
}

#[track_caller]
fn refused<'p>(page: &'p Page, why: &str) -> &'p Page {
    assert!(page.url.path().ends_with("/access") && page.status == 403, "{}:\n{}", page.url, page.body);
    assert!(page.body.contains(why) && page.body.contains("Climb the mast"), "{why}:\n{}", page.body);
    page
}

#[tokio::test]
async fn groups() {
    let server = demanding("groups = [\"ops\"]").await;
    let agent = server.agent();
    let page = ask(&server, &agent, ALICE).await;
    let page = refused(&page, "certain groups");
    assert_eq!(agent.decide(page, "leave").await.error(), "access_denied");
    ask(&server, &server.agent(), CAROL).await.code();
    let about = "SELECT reason || ' ' || (detail ->> 'scope') FROM audit_events WHERE action = 'access.refused'";
    assert_eq!(server.value(about).await, "not_in_group [\"mast:climb\"]");

    // Told before anybody has to prove anything, and to a client that asks silently, too. The same is noted once a minute.
    server.advance(TimeDelta::minutes(2)).await;
    let silent = server.client("mast").request("openid mast:climb").with("prompt", "none");
    assert_eq!(agent.open(&silent.url()).await.error(), "access_denied");
    assert_eq!(server.events("access.refused", "refused").await, 2);
    // What the person became meanwhile counts.
    let page = ask(&server, &agent, ALICE).await;
    server.rows("UPDATE users SET groups = '{ops}' WHERE username = 'alice'").await;
    let page = agent.walk(page.url.as_str(), ALICE).await;
    assert!(page.url.path().ends_with("/step-up"), "{}", page.url);
}

/// What was allowed at the step-up and is not any more at the code is not given.
#[tokio::test]
async fn it_is_judged_again_when_the_code_is_issued() {
    let server = demanding("groups = [\"ops\"]").await;
    let agent = server.agent();
    let url = server.client("mast").request("openid mast:climb").url();
    let step_up = agent.walk(&url, CAROL).await;
    server.prove(&step_up, CAROL, Proof::PASSKEY).await;
    server.rows("UPDATE users SET groups = '{crew}' WHERE username = 'carol'").await;
    let id = super::request_of(&step_up);
    refused(&agent.open(&server.at(&format!("/oauth/authorize/{id}"))).await, "certain groups");
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'privileged'").await, "0");
}

/// Who had the right at the step-up and has lost it neither asks for approval, nor goes on with what was asked, nor breaks the
/// glass.
#[tokio::test]
async fn who_may_not_have_it_asks_nobody_for_it() {
    let server = demanding("groups = [\"ops\"]\napproval = \"four_eyes\"\nbreak_glass = true").await;
    let into = async |group: &str| {
        server.rows(&format!("UPDATE users SET groups = '{{{group}}}' WHERE username = 'carol'")).await;
    };
    let agent = server.agent();
    let form = ask(&server, &agent, CAROL).await;
    assert_eq!(form.heading(), "Ask for approval", "{}", form.body);
    let alone = super::emergency(&agent, &form).await;
    let written = |decision: &str| {
        let page = if decision == "ask" { &form } else { &alone };
        page.decision(decision).fill("reason", "Fog").fill("minutes", "5")
    };
    into("crew").await;
    for decision in ["ask", "break-glass"] {
        refused(&agent.submit(&written(decision)).await, "certain groups");
    }
    refused(&agent.open(form.url.as_str()).await, "certain groups");
    assert_eq!(server.value("SELECT count(*) FROM elevation_requests").await, "0");
    assert_eq!(server.events("access.refused", "refused").await, 1, "the same three times within a minute");

    // What waits when they lose it is not turned into more.
    into("ops").await;
    let waiting = agent.submit(&written("ask")).await;
    assert_eq!(waiting.heading(), "Waiting for approval", "{}", waiting.body);
    let waiting = super::emergency(&agent, &waiting).await;
    into("crew").await;
    refused(&agent.decide(&waiting, "break-glass").await, "certain groups");
    assert_eq!(server.events("elevation.break_glass", "done").await, 0);
    into("ops").await;
    agent.decide(&waiting, "break-glass").await.code();
}

#[tokio::test]
async fn networks() {
    let server = demanding("networks = [\"10.0.0.0/8\", \"2001:db8::/32\"]").await;
    for good in ["10.1.2.3", "2001:db8:1::9", "::ffff:10.9.9.9"] {
        let agent = server.agent().forwarded_for(good);
        ask(&server, &agent, ALICE).await.code();
        super::hub::end_of(&server, ALICE).await;
    }
    for bad in ["203.0.113.9", "2001:db9::1"] {
        let agent = server.agent().forwarded_for(bad);
        refused(&ask(&server, &agent, ALICE).await, "certain networks");
    }
    let trail = server.value("SELECT count(*) FROM audit_events e WHERE e::text LIKE '%203.0.113.9%'").await;
    assert_eq!(trail, "0", "no address is written down");
}

/// Whoever makes our own proxy unbelievable is nowhere, and not where the proxy is.
#[tokio::test]
async fn a_proxy_that_does_not_tell_is_no_network() {
    let server = demanding("networks = [\"127.0.0.0/8\"]").await;
    for hidden in ["unknown", "203.0.113.9, unknown"] {
        let agent = server.agent().forwarded_for(hidden);
        refused(&ask(&server, &agent, ALICE).await, "certain networks");
    }
    ask(&server, &server.agent(), ALICE).await.code();
}

#[tokio::test]
async fn hours() {
    let server = demanding("hours = \"Mon-Fri 08:00-18:00\"").await;
    let agent = server.agent();
    // On to the next Monday, 07:59.
    let now = server.clock.now();
    let midnight = now.date_naive().and_hms_opt(0, 0, 0).unwrap().and_utc();
    let days = 7 - i64::from(now.weekday().num_days_from_monday());
    server.advance(midnight + TimeDelta::days(days) + TimeDelta::minutes(7 * 60 + 59) - now).await;
    refused(&ask(&server, &agent, ALICE).await, "Mon-Fri 08:00-18:00 UTC");
    server.advance(TimeDelta::minutes(2)).await;
    ask(&server, &agent, ALICE).await.code();
    server.advance(TimeDelta::hours(10)).await;
    refused(&ask(&server, &server.agent(), ALICE).await, "Mon-Fri 08:00-18:00 UTC");
}

#[tokio::test]
async fn known_devices() {
    let server = demanding("known_device = true").await;
    let agent = server.agent();
    refused(&ask(&server, &agent, ALICE).await, "a browser that you have signed in with before");
    // Waiting is not enough: this very session vouches for nothing.
    server.advance(TimeDelta::minutes(29)).await;
    agent.open(&server.at("/account")).await;
    server.advance(TimeDelta::minutes(29)).await;
    agent.open(&server.at("/account")).await;
    server.advance(TimeDelta::minutes(5)).await;
    refused(&ask(&server, &agent, ALICE).await, "a browser that you have signed in with before");
    // Another browser of the same kind is another browser: its name is anybody's to copy.
    refused(&ask(&server, &server.agent(), ALICE).await, "a browser that you have signed in with before");
    // A later session in the same browser is known, though the one before has ended; that it is other people's is nothing.
    let account = agent.open(&server.at("/account")).await;
    agent.submit(&account.form_to("/sign-out")).await;
    ask(&server, &agent, ALICE).await.code();
    let account = agent.open(&server.at("/account")).await;
    agent.submit(&account.form_to("/sign-out")).await;
    refused(&ask(&server, &agent, BOB).await, "a browser that you have signed in with before");
}

/// Whoever reads the mail can choose a new password, and has not signed in there by it.
#[tokio::test]
async fn a_reset_makes_no_known_device() {
    let server = demanding_of(Settings::default().jobs(), "known_device = true").await;
    let agent = server.agent();
    let page = agent.open(&server.at("/reset-password")).await;
    agent.submit(&page.form_to("/reset-password").fill("username", ALICE)).await;
    let link = server.mail("choose a new password").await.link("/reset-password?token=");
    let page = agent.open(&link).await;
    let form = page.form_to("/reset-password").fill("password", PASSWORD).fill("password_again", PASSWORD);
    let done = agent.submit(&form).await;
    assert_eq!(done.heading(), "You have a new password", "{}", done.body);
    assert!(agent.device().is_some(), "strangers do not keep her out here");

    server.advance(TimeDelta::minutes(61)).await;
    refused(&ask(&server, &agent, ALICE).await, "a browser that you have signed in with before");
    // That was a sign-in.
    server.advance(TimeDelta::minutes(29)).await;
    let account = agent.open(&server.at("/account")).await;
    agent.submit(&account.form_to("/sign-out")).await;
    server.advance(TimeDelta::minutes(32)).await;
    ask(&server, &agent, ALICE).await.code();
}
