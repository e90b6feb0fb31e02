//! The browsers that a person has signed in with: what they are known by, and how they are forgotten.

use chrono::TimeDelta;

use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Cookie},
};

async fn sign_in(server: &Server, agent: &Agent, username: &str) -> Cookie {
    let page = agent.open(&server.at("/login")).await;
    let page = agent.sign_in(&page, username, PASSWORD).await;
    assert!(page.url.path().ends_with("/account") && page.status == 200, "{}", page.body);
    agent.device().expect("a device cookie")
}

async fn sign_out(server: &Server, agent: &Agent) {
    agent.submit(&agent.open(&server.at("/account")).await.form_to("/sign-out")).await;
}

async fn known(server: &Server) -> String {
    server.value("SELECT count(*) FROM devices").await
}

#[tokio::test]
async fn a_device_cookie_is_lax_and_out_of_reach_of_scripts() {
    for (settings, name) in
        [(Settings::default(), "mooring_device"), (Settings::default().tls(), "__Host-mooring_device")]
    {
        let server = Server::start(settings).await;
        let agent = server.agent();
        agent.open(&server.at("/login")).await;
        assert!(agent.device().is_none(), "nobody has signed in yet");
        let cookie = sign_in(&server, &agent, ALICE).await;
        assert!(cookie.name.starts_with(name), "{cookie:?}");
        for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=34560000"] {
            assert!(cookie.attributes.iter().any(|it| it == attribute), "{attribute}: {cookie:?}");
        }
        assert_eq!(cookie.attributes.iter().any(|it| it == "Secure"), server.issuer.starts_with("https"), "{cookie:?}");
        assert_eq!(mooring::jose::from_base64url(&cookie.value).unwrap().len(), 32);
    }
}

/// It is another one after each sign-in, of the same device.
#[tokio::test]
async fn a_device_cookie_is_renewed_at_each_sign_in() {
    let server = Server::usual().await;
    let agent = server.agent();
    let first = sign_in(&server, &agent, ALICE).await;
    let id = server.value("SELECT id FROM devices").await;
    server.advance(TimeDelta::minutes(2)).await;
    let second = sign_in(&server, &agent, ALICE).await;
    assert_ne!(first.value, second.value);
    assert_eq!(server.value("SELECT id FROM devices").await, id);
    let listed = agent.open(&server.at("/account")).await;
    assert!(listed.body.contains("This browser"), "{}", listed.body);
}

/// Two people share a browser: one cookie, a device for each; another person's means nothing.
#[tokio::test]
async fn people_who_share_a_browser_are_each_known() {
    let server = Server::usual().await;
    let agent = server.agent();
    sign_in(&server, &agent, ALICE).await;
    sign_out(&server, &agent).await;
    server.advance(TimeDelta::minutes(2)).await;
    sign_in(&server, &agent, BOB).await;
    assert_eq!(known(&server).await, "2");
    assert_eq!(server.value("SELECT count(DISTINCT secret_hash) FROM devices").await, "1");
    // Each sees their own.
    assert_eq!(agent.open(&server.at("/account")).await.body.matches("forget-device").count(), 1);
}

/// The same form sent twice: whichever answer the browser keeps, it is known.
#[tokio::test]
async fn a_double_submit_leaves_the_browser_known() {
    let server = Server::start(Settings::default().set("server.workers", "2")).await;
    let agent = server.agent();
    sign_in(&server, &agent, ALICE).await;
    for _ in 0..5 {
        server.advance(TimeDelta::minutes(2)).await;
        sign_out(&server, &agent).await;
        let form = agent.open(&server.at("/login")).await.sign_in_form(ALICE, PASSWORD);
        tokio::join!(agent.submit(&form), agent.submit(&form));
        let listed = agent.open(&server.at("/account")).await;
        assert!(listed.body.contains("This browser"), "{}", listed.body);
        assert_eq!(known(&server).await, "1");
    }
}

/// Removed by the person; removed with "everywhere else"; gone with a reset or an operator's "everything".
#[tokio::test]
async fn devices_are_forgotten() {
    let server = Server::usual().await;
    let (one, other) = (server.agent(), server.agent());
    sign_in(&server, &one, ALICE).await;
    sign_in(&server, &other, ALICE).await;
    sign_in(&server, &server.agent(), BOB).await;
    assert_eq!(known(&server).await, "3");
    let page = one.open(&server.at("/account")).await;
    let done = one.submit(&page.form_to("/account/end-others")).await;
    assert!(done.body.contains("This browser"), "{}", done.body);
    assert_eq!(known(&server).await, "2");
    let id = server.value("SELECT d.id FROM devices d JOIN users u ON u.id = d.user_id WHERE username = 'bob'").await;
    let form = done.form_to("/account/forget-device");
    // Somebody else's looks like none.
    let theirs =
        server.http().post(form.action.clone()).form(&[("csrf", form.field("csrf").unwrap()), ("device", &id)]);
    let cookie = one.cookie();
    let theirs = theirs.header("cookie", format!("{}={}", cookie.name, cookie.value));
    assert_eq!(theirs.header("origin", &server.issuer).send().await.unwrap().status(), 303);
    assert_eq!(known(&server).await, "2");
    one.submit(&done.with_button("device", form_device(&done.body))).await;
    assert_eq!(known(&server).await, "1");
    assert_eq!(server.value("SELECT id FROM devices").await, id);
    let bob = server.user_id(BOB).await.parse().unwrap();
    server
        .work(async |tx| {
            mooring::sessions::end_all_of_user(tx, bob, "ended_by_operator", mooring::audit::Actor::Operator).await
        })
        .await;
    assert_eq!(known(&server).await, "0");
}

/// The first device that a page offers to remove.
fn form_device(body: &str) -> &str {
    let (_, rest) = body.split_once("name=\"device\" value=\"").expect("a device");
    rest.split('"').next().expect("its id")
}

/// Twenty of a person, and for 400 days.
#[tokio::test]
async fn devices_are_few_and_do_not_last_for_ever() {
    let server = Server::usual().await;
    for _ in 0..22 {
        sign_in(&server, &server.agent(), ALICE).await;
    }
    assert_eq!(known(&server).await, "20");
    server.advance(TimeDelta::days(401)).await;
    server.work(async |tx| mooring::db::devices::sweep(tx, 100).await).await;
    assert_eq!(known(&server).await, "0");
}

/// Whatever is sent as a cookie, and whoever's it is: it is nobody's device.
#[tokio::test]
async fn a_made_up_device_cookie_is_a_strangers() {
    let server = Server::usual().await;
    let agent = server.agent();
    let genuine = sign_in(&server, &agent, ALICE).await;
    let login = server.at("/login");
    let forged = mooring::jose::base64url(&[7; 32]);
    for value in ["", "x", forged.as_str(), "\"quoted\"", &"A".repeat(4000)] {
        let cookie = format!("{}={value}", genuine.name);
        let answer = server.http().get(&login).header("cookie", cookie).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{value}");
    }
    assert_eq!(known(&server).await, "1");
}
