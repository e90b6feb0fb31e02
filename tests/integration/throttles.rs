//! What counting must not say, and whom it must not keep out: whether an account exists, its owner, and a neighbour.

use std::time::Instant;

use chrono::TimeDelta;

use crate::support::{
    ALICE, Answer, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Cookie, Page},
    authenticator,
    page::Form,
};

const ALICE_AT: &str = "alice@example.com";
const NEW: &str = "nine gulls over the quay";
const LINK: &str = "choose a new password";
const CODES: &str = "wrong codes";

/// Addresses are what `X-Forwarded-For` says.
fn proxied() -> Settings {
    Settings::default().set("trusted_proxies", "127.0.0.1/32")
}

/// The status of each password for each name, one after the other, from one new browser at this address.
async fn answers(server: &Server, address: &str, given: &[(&str, &str)]) -> Vec<u16> {
    let agent = server.agent().forwarded_for(address);
    let page = agent.open(&server.at("/login")).await;
    let mut answers = Vec::new();
    for (name, password) in given {
        answers.push(agent.submit_step(&page.sign_in_form(name, password)).await.status);
    }
    answers
}

/// Signs in in a new browser at this address; what it is known by from then on.
async fn known(server: &Server, address: &str, username: &str) -> (Agent, Cookie) {
    let agent = server.agent().forwarded_for(address);
    let page = agent.open(&server.at("/login")).await;
    let page = agent.sign_in(&page, username, PASSWORD).await;
    assert!(page.url.path().ends_with("/account") && page.status == 200, "{}", page.body);
    let device = agent.device().expect("a device cookie");
    (agent, device)
}

async fn sign_out(server: &Server, agent: &Agent) {
    agent.submit(&agent.open(&server.at("/account")).await.form_to("/sign-out")).await;
}

/// The same text in full-width letters, as some keyboards write it.
fn full_width(text: &str) -> String {
    let wide = |c: char| char::from_u32(u32::from(c) + 0xFEE0).unwrap();
    text.chars().map(|c| if c.is_ascii_graphic() && !"@.".contains(c) { wide(c) } else { c }).collect()
}

/// A person with an authenticator app, signed out.
async fn with_app(server: &Server) -> (Agent, authenticator::App) {
    let (alice, _) = known(server, "192.0.2.1", ALICE).await;
    let (app, _) = authenticator::add(server, &alice).await;
    sign_out(server, &alice).await;
    (alice, app)
}

/// A form of the page behind a new link for alice, who asks in a new browser.
async fn link(server: &Server, address: &str) -> (Agent, Form) {
    let sent = || server.mails().iter().filter(|mail| mail.subject.contains(LINK)).count();
    let before = sent();
    let agent = server.agent().forwarded_for(address);
    let page = agent.open(&server.at("/reset-password")).await;
    let page = agent.submit(&page.form_to("/reset-password").fill("username", ALICE)).await;
    assert_eq!(page.heading(), "Look into your mailbox", "{}", page.body);
    for _ in 0..200 {
        if sent() > before {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let page = agent.open(&server.mail(LINK).await.link("/reset-password?token=")).await;
    let form = page.form_to("/reset-password").fill("password", NEW).fill("password_again", NEW);
    (agent, form)
}

async fn count(server: &Server, what: &str) -> u32 {
    server.value(&format!("SELECT count(*) FROM {what}")).await.parse().unwrap()
}

/// What is typed is counted by one fold, whoever has it: after ten guesses no other spelling says whether there is somebody.
#[tokio::test]
async fn spellings_of_an_address_say_nothing_of_an_account() {
    let server = Server::start(proxied()).await;
    let mut seen = Vec::new();
    for (n, address) in [ALICE_AT, "nobody@example.com"].into_iter().enumerate() {
        let wide = full_width(address);
        let mut given = vec![(wide.as_str(), "a guess"); 10];
        given.push((address, "a guess"));
        seen.push(answers(&server, &format!("203.0.113.{n}"), &given).await);
    }
    assert_eq!(seen[0], seen[1]);
    // It is the same address in any form, for its person, too.
    let wide = full_width(ALICE_AT);
    assert_eq!(answers(&server, "203.0.113.9", &[(&wide, PASSWORD)]).await, [303]);
}

/// Guesses at a name say nothing of whose address another text is.
#[tokio::test]
async fn names_and_addresses_are_not_linked_by_guesses() {
    let server = Server::start(proxied()).await;
    let mut seen = Vec::new();
    for (n, (name, address)) in
        [(ALICE, ALICE_AT), (ALICE, "bob@example.com"), ("nobody", "nobody@example.com")].into_iter().enumerate()
    {
        let mut given = vec![(name, "a guess"); 11];
        given.push((address, "a guess"));
        seen.push(answers(&server, &format!("203.0.113.{n}"), &given).await);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
    assert_eq!(seen[0][9..], [401, 429, 401]);
}

/// A hundred guesses at a person close their other names, too, and no answer says so.
#[tokio::test]
async fn a_full_row_of_failures_says_nothing_of_another_name() {
    let server = Server::start(proxied().jobs()).await;
    let (alice, _) = known(&server, "192.0.2.1", ALICE).await;
    sign_out(&server, &alice).await;
    for n in 0..10 {
        let looked_at = answers(&server, &format!("203.{n}.113.9"), &[(ALICE, "a guess"); 10]).await;
        assert_eq!(looked_at, [401; 10]);
    }
    server.mail("many wrong passwords").await;
    let said = async |name: &str, password: &str| {
        let agent = server.agent().forwarded_for("198.51.100.1");
        let page = agent.sign_in(&agent.open(&server.at("/login")).await, name, password).await;
        let alert = page.body.split_once("role=\"alert\"").map_or("", |(_, alert)| alert);
        (page.status, alert.split("</").next().unwrap_or_default().to_owned())
    };
    let nobody = said("nobody@example.com", PASSWORD).await;
    // Even the right password: it was one of more than a hundred.
    assert_eq!(said(ALICE_AT, PASSWORD).await, nobody);
    assert_eq!(nobody.0, 401);
    assert_eq!(said(ALICE, PASSWORD).await.0, 429);
    let told = "SELECT count(*) FROM notices WHERE template = 'password_guessed'";
    assert_eq!(server.value(told).await, "1");
    // Where alice is known she goes on, and that ends it, under each of her names.
    let page = alice.open(&server.at("/login")).await;
    assert_eq!(alice.sign_in(&page, ALICE_AT, PASSWORD).await.heading(), "Alice Example");
    assert_eq!(said(ALICE_AT, PASSWORD).await.0, 200);
    assert_eq!(said(ALICE, PASSWORD).await.0, 200);
}

/// A thief who knows the password guesses at codes, four after each password: the person is told, and the link by mail gets
/// them out of it.
#[tokio::test]
async fn guessed_codes_keep_nobody_from_the_link() {
    let server = Server::start(proxied().jobs()).await;
    let (_, app) = with_app(&server).await;
    let mut seen = Vec::new();
    for n in 0..4 {
        let thief = server.agent().forwarded_for(&format!("203.{n}.113.9"));
        let mut page = thief.sign_in(&thief.open(&server.at("/login")).await, ALICE, PASSWORD).await;
        for _ in 0..4 {
            let form = page.form_to("/second-factor").fill("code", &app.wrong_code(&server));
            page = thief.submit(&form).await;
            seen.push(page.status);
        }
    }
    assert_eq!((seen[..15].to_vec(), seen[15]), (vec![401; 15], 429));
    server.mail(CODES).await;
    let told = "SELECT count(*) FROM notices WHERE template = 'codes_guessed'";
    assert_eq!(server.value(told).await, "1");

    let (owner, form) = link(&server, "198.51.100.1").await;
    let done = owner.submit(&form.fill("code", &app.code(&server))).await;
    assert_eq!(done.heading(), "You have a new password", "{}", done.body);
    // What was guessed at came after the password before: no browser of the owner's waits for it.
    server.advance(TimeDelta::seconds(31)).await;
    let other = server.agent().forwarded_for("198.51.100.2");
    let page = other.sign_in(&other.open(&server.at("/login")).await, ALICE, NEW).await;
    let page = other.submit(&page.form_to("/second-factor").fill("code", &app.code(&server))).await;
    assert_eq!(page.heading(), "Alice Example", "{}", page.body);
}

/// A link takes five codes, and the person is told; the next link takes five of its own.
#[tokio::test]
async fn a_link_dies_of_five_wrong_codes() {
    let server = Server::start(proxied().jobs()).await;
    let (_, app) = with_app(&server).await;
    let (thief, form) = link(&server, "203.0.113.9").await;
    for n in 0..4 {
        let page = thief.submit(&form.clone().fill("code", &app.wrong_code(&server))).await;
        assert_eq!(page.status, 401, "{n}: {}", page.body);
    }
    thief.submit(&form.clone().fill("code", &app.wrong_code(&server))).await.is_error_page(404);
    thief.submit(&form.fill("code", &app.code(&server))).await.is_error_page(404);
    server.mail(CODES).await;

    // Codes at the sign-in page are not concerned: whoever guesses here fills nothing there.
    let new = server.agent().forwarded_for("198.51.100.1");
    let page = new.sign_in(&new.open(&server.at("/login")).await, ALICE, PASSWORD).await;
    let page = new.submit(&page.form_to("/second-factor").fill("code", &app.code(&server))).await;
    assert_eq!(page.heading(), "Alice Example", "{}", page.body);
    server.advance(TimeDelta::seconds(31)).await;
    let (owner, form) = link(&server, "198.51.100.1").await;
    let done = owner.submit(&form.fill("code", &app.code(&server))).await;
    assert_eq!(done.heading(), "You have a new password", "{}", done.body);
}

/// Whoever has the mailbox gets no more links by wasting them on wrong codes.
#[tokio::test]
async fn links_that_died_of_codes_are_not_replaced() {
    let server = Server::start(proxied().jobs()).await;
    with_app(&server).await;
    server
        .rows(
            "INSERT INTO password_resets (id, user_id, created_at, expires_at, used_at, codes) \
             SELECT gen_random_uuid(), id, now(), now() + interval '30 minutes', now(), 5 \
             FROM users, generate_series(1, 10) WHERE username = 'alice'",
        )
        .await;
    let agent = server.agent();
    let page = agent.open(&server.at("/reset-password")).await;
    agent.submit(&page.form_to("/reset-password").fill("username", ALICE)).await;
    for _ in 0..200 {
        if server.events("password.reset_asked", "refused").await > 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(count(&server, "password_resets").await, 10);
}

/// What a browser sends to the page for a forgotten password, with these headers.
async fn ask_for(server: &Server, name: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = server.http().post(server.at("/reset-password")).form(&[("username", name)]);
    for (header, value) in headers {
        request = request.header(*header, *value);
    }
    Answer::of(request).await
}

/// A browser that is known asks for so many links, whoever is named, and so do all browsers of its person together.
#[tokio::test]
async fn known_browsers_ask_for_few_links() {
    let server = Server::start(proxied()).await;
    let begun = Instant::now();
    let mut asked = 0;
    for device in 0..2 {
        let (_, device) = known(&server, &format!("203.0.113.{device}"), BOB).await;
        let cookie = format!("{}={}", device.name, device.value);
        for n in 0..30 {
            let headers = [("cookie", cookie.as_str()), ("x-forwarded-for", "203.0.113.7")];
            let answer = ask_for(&server, &format!("name-{}-{n}", device.value), &headers).await;
            asked += u64::from(answer.status == 200);
        }
    }
    let most = 10 + begun.elapsed().as_secs() / 10 + 1;
    assert!((10..=most).contains(&asked), "{asked}");
    // Its neighbours ask all the same.
    assert_eq!(ask_for(&server, ALICE, &[("x-forwarded-for", "203.0.113.7")]).await.status, 200);
}

/// Many requests of one source do not go before the first of another.
#[tokio::test]
async fn requests_for_links_are_answered_in_turn_by_source() {
    let server = Server::start(proxied()).await;
    for n in 0..20 {
        let answer = ask_for(&server, &format!("name-{n}"), &[("x-forwarded-for", "203.0.113.7")]).await;
        assert_eq!(answer.status, 200, "{n}");
    }
    assert_eq!(ask_for(&server, ALICE, &[("x-forwarded-for", "198.51.100.1")]).await.status, 200);
    let replica = server.replica(proxied().jobs()).await;
    for _ in 0..400 {
        if count(&server, "reset_requests").await == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let before = "audit_events WHERE action = 'password.reset_asked' AND user_id IS NULL AND id < (SELECT id FROM audit_events \
                  WHERE action = 'password.reset_asked' AND user_id IS NOT NULL)";
    assert!(count(&replica, before).await < 4);
    assert_eq!(count(&replica, "audit_events WHERE action = 'password.reset_asked'").await, 21);
}

/// A request of some 28,000 octets.
fn large(server: &Server) -> String {
    let request = server.client("web").request("openid");
    let long = "x".repeat(7000);
    ["state", "nonce", "login_hint", "ui_locales"].iter().fold(request, |it, name| it.with(name, &long)).url()
}

/// A visitor's session is had for nothing: what it has us remember is counted like what comes without one.
#[tokio::test]
async fn visits_store_no_more_than_strangers() {
    let server = Server::start(proxied()).await;
    let agent = server.agent().forwarded_for("203.0.113.7");
    agent.open(&server.at("/login")).await;
    let url = large(&server);
    let begun = Instant::now();
    let mut stored = 0;
    while agent.step(&url).await.status == 303 {
        stored += 1;
        assert!(stored < 200, "there is no end");
    }
    // Of 1,000 units each takes fourteen.
    assert!((60..=72 + begun.elapsed().as_secs()).contains(&stored), "{stored}");
}

/// What waits in a session of somebody who is signed in has so many octets; the newest stays.
#[tokio::test]
async fn a_session_has_so_many_waiting_octets() {
    let server = Server::usual().await;
    let (agent, _) = known(&server, "203.0.113.7", ALICE).await;
    let url = large(&server);
    let mut page = agent.open(&url).await;
    for _ in 0..30 {
        page = agent.open(&url).await;
    }
    let octets = server.value("SELECT sum(octet_length(parameters)) FROM authorization_requests").await;
    assert!(octets.parse::<u32>().unwrap() <= 256 * 1024, "{octets}");
    assert!(page.offers("allow"), "{}", page.body);
}

/// A page that is opened again says nothing new: the trail is not filled by it.
#[tokio::test]
async fn opening_the_step_up_again_is_one_event() {
    let server = Server::usual().await;
    let (agent, _) = known(&server, "203.0.113.7", ALICE).await;
    server.enrol(ALICE, "passkey").await;
    let page = agent.walk(&server.client("web").request("openid payments:write").url(), ALICE).await;
    assert!(page.url.path().ends_with("/step-up"), "{}", page.url);
    for _ in 0..5 {
        assert_eq!(agent.open(page.url.as_str()).await.status, 200);
    }
    assert_eq!(server.events("privilege.requested", "done").await, 1);
    server.advance(TimeDelta::minutes(2)).await;
    agent.open(page.url.as_str()).await;
    assert_eq!(server.events("privilege.requested", "done").await, 2);
}

/// Signing in again makes no second bucket.
#[tokio::test]
async fn a_new_device_of_a_person_is_counted_with_the_others() {
    let server = Server::start(proxied()).await;
    let begun = Instant::now();
    let mut visits = 0;
    for address in ["203.0.113.1", "203.0.113.2"] {
        let (_, device) = known(&server, address, ALICE).await;
        let cookie = format!("{}={}", device.name, device.value);
        for _ in 0..220 {
            let request = server.http().get(server.at("/login")).header("cookie", &cookie);
            let answer = Answer::of(request.header("x-forwarded-for", address)).await;
            visits += u64::from(answer.status == 200);
        }
    }
    let most = 200 + begun.elapsed().as_secs() + 2;
    assert!((195..=most).contains(&visits), "{visits} of {most}");
}

/// A page of another site does not make each of its visitors ask for a link.
#[tokio::test]
async fn a_form_of_another_site_asks_for_no_link() {
    let server = Server::usual().await;
    let own = server.issuer.clone();
    for headers in [
        &[("origin", "https://evil.example")][..],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "cross-site"), ("origin", own.as_str())],
        &[("sec-fetch-site", "same-site"), ("origin", "http://localhost:1")],
    ] {
        let answer = ask_for(&server, ALICE, headers).await;
        assert_eq!(answer.status, 400, "{headers:?}: {answer:?}");
    }
    assert_eq!(count(&server, "reset_requests").await, 0);
    let page: Page = server.agent().open(&server.at("/reset-password")).await;
    let done = server.agent().submit(&page.form_to("/reset-password").fill("username", ALICE)).await;
    assert_eq!(done.heading(), "Look into your mailbox");
    for headers in [&[][..], &[("sec-fetch-site", "same-origin")], &[("origin", own.as_str())]] {
        assert_eq!(ask_for(&server, BOB, headers).await.status, 200, "{headers:?}");
    }
    assert_eq!(count(&server, "reset_requests").await, 4);
}
