//! A forgotten password: a link by mail, and everything it must not do.

use chrono::TimeDelta;
use mooring::db::users;

use crate::support::{
    ALICE, BOB, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    authenticator,
    page::Form,
    process::Installation,
};

const NEW: &str = "nine gulls over the quay";
const SUBJECT: &str = "choose a new password";

async fn with_jobs() -> Server {
    Server::start(Settings::default().jobs()).await
}

/// Asks for a link, as somebody who stands before the sign-in page.
async fn ask(server: &Server, agent: &Agent, name: &str) -> Page {
    let page = agent.open(&server.at("/login")).await;
    assert!(page.body.contains("/reset-password\""), "{}", page.body);
    let page = agent.open(&server.at("/reset-password")).await;
    agent.submit(&page.form_to("/reset-password").fill("username", name)).await
}

/// The link that alice gets.
async fn link(server: &Server) -> String {
    // The mail about what the one before has done may still be on its way.
    let count = || server.mails().iter().filter(|mail| mail.subject.contains(SUBJECT)).count();
    let before = count();
    let answer = ask(server, &server.agent(), ALICE).await;
    assert_eq!((answer.status, answer.heading().as_str()), (200, "Look into your mailbox"), "{}", answer.body);
    for _ in 0..200 {
        if count() > before {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    server.mail(SUBJECT).await.link("/reset-password?token=")
}

/// As `link`, of somebody who stands before this page.
async fn link_from(server: &Server, agent: &Agent, page: &Page) -> String {
    let asked = agent.open(&forgotten(page)).await;
    assert_eq!(back_to_signing_in(&asked), page.url.as_str());
    let sent = agent.submit(&asked.form_to("/reset-password").fill("username", ALICE)).await;
    assert_eq!(sent.heading(), "Look into your mailbox", "{}", sent.body);
    assert_eq!(back_to_signing_in(&sent), page.url.as_str());
    server.mail(SUBJECT).await.link("/reset-password?token=")
}

fn forgotten(page: &Page) -> String {
    linked(page, "Forgotten your password?")
}

fn back_to_signing_in(page: &Page) -> String {
    linked(page, "Back to signing in")
}

/// Where the link with this text leads.
fn linked(page: &Page, text: &str) -> String {
    let before = page.body.split(&format!("\">{text}</a>")).next().filter(|it| it.len() < page.body.len());
    let before = before.unwrap_or_else(|| panic!("no link {text:?} on {}:\n{}", page.url, page.body));
    page.url.join(before.rsplit("href=\"").next().unwrap()).unwrap().into()
}

fn filled(page: &Page, password: &str) -> Form {
    page.form_to("/reset-password").fill("password", password).fill("password_again", password)
}

async fn sign_in(server: &Server, password: &str) -> (Agent, Page) {
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    let page = agent.sign_in(&page, ALICE, password).await;
    (agent, page)
}

#[tokio::test]
async fn a_link_sets_a_password_once() {
    let server = with_jobs().await;
    let client = server.client("web");
    let (before, _) = sign_in(&server, PASSWORD).await;
    let tokens = client.tokens(&before, "openid offline_access").await;
    let link = link(&server).await;
    let agent = server.agent();
    // Looking at it, as mail programs do, does not use it up.
    agent.open(&link).await;
    let page = agent.open(&link).await;
    assert_eq!(page.heading(), "Choose a new password");
    assert!(page.body.contains("<strong>alice</strong>"), "{}", page.body);
    for (password, again) in [("short", "short"), (NEW, "another"), ("passwordpassword", "passwordpassword")] {
        let form = filled(&page, password).fill("password_again", again);
        assert_eq!(agent.submit(&form).await.status, 400, "{password}");
    }
    let done = agent.submit(&filled(&page, NEW).fill("end_others", "yes")).await;
    assert_eq!(done.heading(), "You have a new password", "{}", done.body);
    assert!(done.body.contains("<strong>strong</strong>"), "{}", done.body);
    assert!(agent.cookies().is_empty(), "nobody is signed in by it: {:?}", agent.cookies());
    assert!(server.mail("you have a new password").await.text.contains("Firefox on Linux"));
    assert_eq!(server.events("password.reset", "done").await, 1);
    // Everything before is over.
    assert!(before.open(&server.at("/account")).await.asks_for_password());
    client.refresh(&tokens.refresh).await.refused("invalid_grant");
    assert_eq!(sign_in(&server, PASSWORD).await.1.status, 401);
    assert_eq!(sign_in(&server, NEW).await.1.heading(), "Alice Example");
    // And the link with it.
    agent.open(&link).await.is_error_page(404);
    agent.submit(&filled(&page, "another one of my own")).await.is_error_page(404);
    assert_eq!(sign_in(&server, NEW).await.1.heading(), "Alice Example");
}

/// What somebody was about to do when they found the password forgotten is not: the application gets its answer.
#[tokio::test]
async fn the_application_that_waits_is_come_back_to() {
    let server = with_jobs().await;
    let client = server.client("web");
    let (agent, request) = (server.agent(), client.request("openid"));
    let page = agent.open(&request.url()).await;
    let link = link_from(&server, &agent, &page).await;
    // In another browser, nothing is known of it.
    let elsewhere = server.agent().open(&link).await;
    assert_eq!(elsewhere.form_to("/reset-password").field("request"), None, "{}", elsewhere.body);

    let chosen = agent.open(&link).await;
    let short = agent.submit(&filled(&chosen, "short")).await;
    let done = agent.submit(&filled(&short, NEW).fill("end_others", "yes")).await;
    assert_eq!(done.heading(), "You have a new password", "{}", done.body);
    let back = agent.open(&linked(&done, "Sign in with it")).await;
    assert_eq!(back.url, page.url);
    let consent = agent.sign_in(&back, ALICE, NEW).await;
    let code = agent.decide(&consent, "allow").await.code();
    client.redeem(&crate::support::client::Code { code, verifier: request.verifier.clone() }).await.tokens();

    // Whatever else stands in the address leads to the account.
    let id = page.url.query().unwrap().strip_prefix("request=").unwrap();
    for named in ["x", "https://evil.example/", "00000000-0000-7000-8000-000000000000", id] {
        let agent = server.agent();
        let asked = agent.open(&server.at(&format!("/reset-password?request={named}"))).await;
        assert_eq!((asked.status, back_to_signing_in(&asked)), (200, server.at("/account")), "{named}");
        let answer = agent.submit(&asked.form_to("/reset-password").fill("username", "nobody")).await;
        assert_eq!(back_to_signing_in(&answer), server.at("/account"), "{named}");
    }
}

/// A session of the person's that the new password ends held the request: it is not lost with it.
#[tokio::test]
async fn a_request_in_a_session_that_the_reset_ends_goes_on() {
    let server = with_jobs().await;
    let (agent, _) = sign_in(&server, PASSWORD).await;
    let client = server.client("web");
    let page = agent.open(&client.request("openid").with("prompt", "login").url()).await;
    let link = link_from(&server, &agent, &page).await;
    server.advance(TimeDelta::seconds(1)).await;
    let done = agent.submit(&filled(&agent.open(&link).await, NEW).fill("end_others", "yes")).await;
    let back = agent.open(&linked(&done, "Sign in with it")).await;
    assert!(back.asks_for_password(), "{}", back.body);
    let consent = agent.sign_in(&back, ALICE, NEW).await;
    agent.decide(&consent, "allow").await.code();
}

/// What is taken may still be weak: then the estimator's words say what would make it better.
#[tokio::test]
async fn a_weak_password_is_called_one() {
    let server = with_jobs().await;
    let page = server.agent().open(&link(&server).await).await;
    let short = server.agent().submit(&filled(&page, "password1234")).await;
    assert!(short.status == 400 && short.body.contains("Add another word or two."), "{}", short.body);
    let done = server.agent().submit(&filled(&page, "password1234567")).await;
    assert_eq!(done.heading(), "You have a new password", "{}", done.body);
    assert!(done.body.contains("weak</strong>. ") && done.body.contains("Add another word or two."), "{}", done.body);
}

/// Whoever does not want it ended keeps what they had.
#[tokio::test]
async fn sessions_are_kept_where_that_is_wanted() {
    let server = with_jobs().await;
    let (before, _) = sign_in(&server, PASSWORD).await;
    let page = server.agent().open(&link(&server).await).await;
    assert!(page.body.contains("name=\"end_others\" type=\"checkbox\" value=\"yes\" checked"), "{}", page.body);
    server.agent().submit(&filled(&page, NEW)).await;
    assert_eq!(before.open(&server.at("/account")).await.heading(), "Alice Example");
}

#[tokio::test]
async fn racing_one_link_sets_one_password() {
    let server = Server::start(Settings::default().jobs().set("server.workers", "2").connections(8)).await;
    let page = server.agent().open(&link(&server).await).await;
    let passwords = ["one gull over the quay", "two gulls over the quay", "four gulls over the quay"];
    let answers = futures_util::future::join_all(passwords.map(|password| {
        let (agent, form) = (server.agent(), filled(&page, password));
        async move { agent.submit(&form).await }
    }))
    .await;
    let won: Vec<&str> =
        passwords.iter().zip(&answers).filter(|(_, page)| page.status == 200).map(|(password, _)| *password).collect();
    assert_eq!(won.len(), 1, "{won:?}");
    assert_eq!(sign_in(&server, won[0]).await.1.heading(), "Alice Example");
}

/// It is old, the password was changed since, the person was disabled, or it is nobody's.
#[tokio::test]
async fn a_dead_link_is_dead() {
    let server = with_jobs().await;
    let new = link(&server).await;
    let page = server.agent().open(&new).await;
    server.advance(TimeDelta::minutes(31)).await;
    server.agent().open(&new).await.is_error_page(404);
    server.agent().submit(&filled(&page, NEW)).await.is_error_page(404);

    let changed = link(&server).await;
    server.advance(TimeDelta::seconds(1)).await;
    let (agent, _) = sign_in(&server, PASSWORD).await;
    let form = agent.open(&server.at("/account/password")).await.form_to("/account/password");
    agent.submit(&form.fill("password", NEW).fill("password_again", NEW)).await;
    server.agent().open(&changed).await.is_error_page(404);

    let link = link(&server).await;
    let tampered = format!("{}{}", &link[..link.len() - 2], if link.ends_with("AA") { "BB" } else { "AA" });
    for wrong in [tampered.as_str(), &server.at("/reset-password?token=mo_pr_"), &server.at("/reset-password?token=x")]
    {
        server.agent().open(wrong).await.is_error_page(404);
    }
    let page = server.agent().open(&link).await;
    let alice = server.user_id(ALICE).await.parse().unwrap();
    server.work(async |tx| users::disable(tx, alice).await).await;
    server.agent().submit(&filled(&page, "three gulls over the quay")).await.is_error_page(404);
    assert_eq!(server.events("password.reset", "done").await, 0);
}

/// A link went to an address that is not the person's any more.
#[tokio::test]
async fn another_address_ends_the_links_of_the_one_before() {
    let server = with_jobs().await;
    let link = link(&server).await;
    let operator = Installation::on(server.app.config.database.url.as_deref().unwrap());
    operator.run(&["user", "set", ALICE, "--name", "Alice of the Harbour"]).done();
    assert_eq!(server.agent().open(&link).await.heading(), "Choose a new password");
    operator.run(&["user", "set", ALICE, "--email", "alice@harbour.example"]).done();
    server.agent().open(&link).await.is_error_page(404);
    let answer = ask(&server, &server.agent(), ALICE).await;
    assert_eq!(answer.heading(), "Look into your mailbox");
    for _ in 0..200 {
        if server.mails().iter().any(|mail| mail.to == "alice@harbour.example") {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{:?}", server.mails());
}

/// The same answer for everybody and nobody; written to is who has a password and an address of theirs.
#[tokio::test]
async fn asking_reveals_nothing() {
    let server = with_jobs().await;
    server.rows("UPDATE users SET disabled_at = now() WHERE username = 'bob'").await;
    let mut answers = Vec::new();
    for name in [ALICE, " ALICE@Example.com ", "nobody", "nobody@example.com", BOB, "bob@example.com", "' OR 1=1 --"] {
        let page = server.agent().open(&server.at("/reset-password")).await;
        let answer = server.agent().submit(&page.form_to("/reset-password").fill("username", name)).await;
        answers.push((name, answer.status, answer.body));
    }
    for (name, status, body) in &answers {
        assert_eq!((*status, body), (200, &answers[0].2), "{name}");
    }
    server.mail(SUBJECT).await;
    answered(&server, 7).await;
    tokio::time::sleep(std::time::Duration::from_millis(1500)).await;
    let to: Vec<String> = server.mails().into_iter().map(|mail| mail.to).collect();
    assert_eq!(to, ["alice@example.com", "alice@example.com"]);
    assert_eq!(server.events("password.reset_asked", "refused").await, 5);
    let page = server.agent().open(&server.at("/reset-password")).await;
    assert_eq!(server.agent().submit(&page.form_to("/reset-password").fill("username", " ")).await.status, 400);
    let stored = server.rows("SELECT a::text FROM audit_events a").await;
    assert!(stored.iter().flatten().flatten().all(|row| !row.contains("nobody@example.com")));
}

/// An address that is known not to be verified is nobody's; without a password there is none to forget.
#[tokio::test]
async fn a_link_goes_to_a_verified_address_for_a_password_that_is_there() {
    let server = with_jobs().await;
    ask(&server, &server.agent(), BOB).await;
    server.rows("UPDATE credentials SET ended_at = now() WHERE kind = 'password'").await;
    ask(&server, &server.agent(), ALICE).await;
    answered(&server, 2).await;
    assert_eq!(server.events("password.reset_asked", "refused").await, 2);
    assert_eq!(server.value("SELECT count(*) FROM password_resets").await, "0");
}

/// It stands for the password alone: where a code is asked for, it is asked for here.
#[tokio::test]
async fn it_never_bypasses_another_factor() {
    let server = with_jobs().await;
    let (agent, _) = sign_in(&server, PASSWORD).await;
    let (app, codes) = authenticator::add(&server, &agent).await;
    let link = link(&server).await;
    let page = server.agent().open(&link).await;
    let form = filled(&page, NEW);
    assert_eq!(server.agent().submit(&form).await.status, 400, "without a code");
    let wrong = server.agent().submit(&form.clone().fill("code", &app.wrong_code(&server))).await;
    assert_eq!(wrong.status, 401, "{}", wrong.body);
    let forged = form.clone().fill("code", "AAAA-AAAA-AAAA-AAAA");
    assert_eq!(server.agent().submit(&forged).await.status, 401);
    assert_eq!(server.events("password.reset", "refused").await, 2);
    assert_eq!(sign_in(&server, PASSWORD).await.1.heading(), "Enter your code", "it is as it was");
    let done = server.agent().submit(&form.fill("code", &app.code(&server))).await;
    assert_eq!(done.heading(), "You have a new password", "{}", done.body);
    // The code is used up, and the next sign-in asks for another.
    let (agent, page) = sign_in(&server, NEW).await;
    let again = agent.submit(&page.form_to("/second-factor").fill("code", &app.code(&server))).await;
    assert_eq!(again.status, 401);

    // With a recovery code it works, too.
    let link = self::link(&server).await;
    let page = server.agent().open(&link).await;
    let done = server.agent().submit(&filled(&page, "three gulls over the quay").fill("code", &codes[0])).await;
    assert_eq!(done.heading(), "You have a new password", "{}", done.body);
}

/// Waits until the job has looked at so many requests.
async fn answered(server: &Server, count: u32) {
    for _ in 0..200 {
        let done = server.events("password.reset_asked", "done").await;
        if done + server.events("password.reset_asked", "refused").await >= count {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!("{count} requests were not looked at");
}

/// Somebody else's request, from an address of its own.
async fn asked_from(server: &Server, name: &str, host: u32) {
    let agent = server.agent().forwarded_for(&format!("203.{host}.113.9"));
    let page = agent.open(&server.at("/reset-password")).await;
    let answer = agent.submit(&page.form_to("/reset-password").fill("username", name)).await;
    assert_eq!(answer.heading(), "Look into your mailbox", "{}", answer.body);
}

/// The page does nothing that depends on the person: it notes the same for everybody.
#[tokio::test]
async fn nothing_about_the_person_happens_before_the_answer() {
    let server = Server::usual().await;
    for name in [ALICE, "nobody"] {
        let before = server.app.db.statements();
        ask(&server, &server.agent(), name).await;
        let rows = "SELECT (SELECT count(*) FROM password_resets) + (SELECT count(*) FROM notices)";
        assert_eq!(server.value(rows).await, "0");
        assert_eq!(server.events("password.reset_asked", "done").await, 0);
        assert!(server.app.db.statements() > before);
    }
    assert_eq!(server.value("SELECT string_agg(name, ' ' ORDER BY id) FROM reset_requests").await, "alice nobody");
}

/// A stranger asks again and again: the owner's link is good, the mailbox is not buried, and a new link is to be had.
#[tokio::test]
async fn strangers_take_no_link_from_its_owner() {
    let server = Server::start(Settings::default().jobs().set("trusted_proxies", "127.0.0.1/32")).await;
    let own = link(&server).await;
    for host in 0..20 {
        asked_from(&server, if host % 2 == 0 { ALICE } else { "alice@example.com" }, host).await;
    }
    answered(&server, 21).await;
    let sent = async || server.value("SELECT count(*) FROM password_resets").await;
    assert_eq!(sent().await, "3", "for one mailbox at once");
    assert_eq!(server.agent().open(&own).await.heading(), "Choose a new password");
    // For a day: whenever nothing is sent, a good link is in the mailbox.
    let mut asked = 21;
    for _ in 0..48 {
        server.advance(TimeDelta::minutes(31)).await;
        for host in 20..22 {
            asked_from(&server, ALICE, host).await;
        }
        asked += 2;
        answered(&server, asked).await;
        let good = "SELECT count(*) FROM password_resets WHERE used_at IS NULL AND expires_at > (SELECT max(at) FROM audit_events)";
        assert_ne!(server.value(good).await, "0");
    }
    let sent: u32 = sent().await.parse().unwrap();
    assert!((40..70).contains(&sent), "{sent} in a day");
    // A link that was used is replaced at once.
    let last = "SELECT count(*) FROM password_resets WHERE used_at IS NULL AND expires_at > (SELECT max(at) FROM audit_events)";
    assert_ne!(server.value(last).await, "0");
    let count = || server.mails().iter().filter(|mail| mail.subject.contains(SUBJECT)).count();
    for _ in 0..100 {
        if count() == usize::try_from(sent).unwrap() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let page = server.agent().open(&server.mail(SUBJECT).await.link("/reset-password?token=")).await;
    server.advance(TimeDelta::seconds(1)).await;
    assert_eq!(server.agent().submit(&filled(&page, NEW)).await.heading(), "You have a new password");
    server.advance(TimeDelta::seconds(1)).await;
    let again = link(&server).await;
    assert_eq!(server.agent().open(&again).await.heading(), "Choose a new password");
}

/// A request that waits while the password changes asks for nothing any more.
#[tokio::test]
async fn a_request_of_before_makes_no_good_link() {
    let server = Server::usual().await;
    ask(&server, &server.agent(), ALICE).await;
    server.advance(TimeDelta::seconds(1)).await;
    let (agent, _) = sign_in(&server, PASSWORD).await;
    let form = agent.open(&server.at("/account/password")).await.form_to("/account/password");
    agent.submit(&form.fill("password", NEW).fill("password_again", NEW)).await;
    let replica = server.replica(Settings::default().jobs()).await;
    answered(&replica, 1).await;
    let good =
        "SELECT count(*) FROM password_resets r JOIN credentials k USING (user_id) WHERE k.changed_at <= r.created_at";
    assert_eq!(server.value(good).await, "0");
}

/// Nobody tries one name after the other, or asks for one name again and again.
#[tokio::test]
async fn asking_is_throttled() {
    let server = Server::start(Settings::default().set("trusted_proxies", "127.0.0.1/32")).await;
    let until_closed = async |next: &dyn Fn(u32) -> (String, String)| -> u32 {
        for turn in 0..100 {
            let (name, address) = next(turn);
            let agent = server.agent().forwarded_for(&address);
            let page = agent.open(&server.at("/reset-password")).await;
            let answer = agent.submit(&page.form_to("/reset-password").fill("username", &name)).await;
            if answer.status == 429 {
                assert!(answer.header("retry-after").parse::<u32>().is_ok(), "{:?}", answer.headers);
                return turn;
            }
        }
        panic!("never");
    };
    let one_name_one_source = until_closed(&|_| (ALICE.to_owned(), "203.0.113.9".to_owned())).await;
    assert!((3..=6).contains(&one_name_one_source), "{one_name_one_source}");
    let one_source = until_closed(&|turn| (format!("name-{turn}"), "198.51.100.7".to_owned())).await;
    assert!((10..=40).contains(&one_source), "{one_source}");
}
