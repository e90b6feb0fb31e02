//! Changes that come at the same time are made by one statement (`db::batch`), and nobody can tell.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep};

use crate::support::{
    Server, Settings,
    client::{Answer, Client, Code},
};

/// Redeems the first code while its family is held, so that the others wait for its statement and then go together.
async fn redeem_while_one_is_held(server: &Server, client: &Client<'_>, held: &Code, others: &[&Code]) -> Vec<Answer> {
    let holding = "WITH held AS (SELECT id FROM grants ORDER BY id LIMIT 1 FOR UPDATE) SELECT pg_sleep(0.6) FROM held";
    let (_, first, others) = tokio::join!(
        server.rows(holding),
        async {
            sleep(Duration::from_millis(150)).await;
            client.redeem(held).await
        },
        async {
            sleep(Duration::from_millis(250)).await;
            join_all(others.iter().map(|code| client.redeem(code))).await
        },
    );
    assert!(client.is_active(&first.tokens().access).await);
    others
}

/// One after the other, so their families are in their order.
async fn codes(server: &Server, client: &Client<'_>) -> [Code; 4] {
    // The families of before are of no interest.
    server.rows("DELETE FROM grants").await;
    let agent = server.agent();
    let code = async || client.code(&agent, "openid").await;
    [code().await, code().await, code().await, code().await]
}

#[tokio::test]
async fn what_waits_goes_together_and_a_lock_keeps_nobody_else() {
    let server = Server::usual().await;
    let client = server.client("web");
    for round in 0.. {
        let [held, one, two, three] = codes(&server, &client).await;
        let [first, second, again, third] =
            redeem_while_one_is_held(&server, &client, &held, &[&one, &two, &two, &three]).await.try_into().unwrap();
        for good in [first, third] {
            assert!(client.is_active(&good.tokens().access).await);
        }
        // Twice at once is a replay, also where one statement had both: one of them gets tokens, and they are dead.
        let (good, refused) = if second.status == 200 { (second, again) } else { (again, second) };
        refused.refused("invalid_grant");
        assert!(!client.is_active(&good.tokens().access).await);

        let at_once =
            "SELECT max(n) FROM (SELECT count(*) n FROM audit_events WHERE action = 'code.redeemed' GROUP BY xid) x";
        if server.value(at_once).await.parse::<u32>().unwrap() > 1 {
            break;
        }
        assert!(round < 10, "nothing was made together");
    }
}

/// What is wrong with one of them is nobody else's trouble.
#[tokio::test]
async fn one_that_cannot_be_made_keeps_no_other_from_it() {
    let server = Server::usual().await;
    let client = server.client("web");
    server
        .rows(
            "CREATE TABLE wrong (grant_id uuid); GRANT SELECT ON wrong TO PUBLIC;
             CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF EXISTS (SELECT FROM wrong w WHERE w.grant_id = NEW.grant_id) THEN RAISE 'this one is wrong'; END IF;
                 RETURN NEW;
             END $$;
             CREATE TRIGGER refuse BEFORE INSERT ON access_tokens FOR EACH ROW EXECUTE FUNCTION refuse()",
        )
        .await;
    for _ in 0..3 {
        let [held, one, two, three] = codes(&server, &client).await;
        server.rows("TRUNCATE wrong; INSERT INTO wrong SELECT id FROM grants ORDER BY id DESC LIMIT 1").await;
        let answers = redeem_while_one_is_held(&server, &client, &held, &[&one, &two, &three]).await;
        let mut statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 200, 500]);
        for answer in answers.iter().filter(|answer| answer.status == 200) {
            assert!(client.is_active(&answer.tokens().access).await);
        }
        // It was not consumed, and not told.
        assert_eq!(server.value("SELECT count(*) FROM grants WHERE redeemed_at IS NULL").await, "1");
    }
    assert_eq!(server.events("code.redeemed", "done").await, 9);
}

/// Of those that went together one waits, and the others do not wait for it.
#[tokio::test]
async fn one_that_is_locked_keeps_no_other_waiting() {
    let server = Server::start(Settings::default().connections(8)).await;
    let client = server.client("web");
    let [first, locked, two, three] = codes(&server, &client).await;
    let holding = "WITH held AS (SELECT id FROM grants ORDER BY id LIMIT 2 FOR UPDATE) \
                SELECT pg_sleep(3) FROM (SELECT count(*) FROM held) c";
    let begun = Instant::now();
    let after = async |milliseconds, code| {
        sleep(Duration::from_millis(milliseconds)).await;
        let answer = client.redeem(code).await;
        (answer, begun.elapsed())
    };
    let (_, first, locked, two, three) = tokio::join!(
        server.rows(holding),
        after(150, &first),
        after(250, &locked),
        after(250, &two),
        after(250, &three)
    );
    for (answer, elapsed) in [&two, &three] {
        assert!(*elapsed < Duration::from_secs(2), "it waited for what is locked: {elapsed:?}");
        answer.tokens();
    }
    for (answer, elapsed) in [&first, &locked] {
        assert!(*elapsed > Duration::from_secs(2), "it was not locked: {elapsed:?}");
        answer.tokens();
    }
    assert_eq!(server.events("code.redeemed", "done").await, 4);
}

/// Whoever goes away before the answer takes nobody's change along.
#[tokio::test]
async fn one_that_goes_away_takes_nothing_along() {
    let server = Server::usual().await;
    let client = server.client("web");
    let [held, one, two, _] = codes(&server, &client).await;
    let holding = "WITH held AS (SELECT id FROM grants ORDER BY id LIMIT 1 FOR UPDATE) SELECT pg_sleep(1) FROM held";
    let gone_after = async |start, patience, code| {
        sleep(Duration::from_millis(start)).await;
        tokio::time::timeout(Duration::from_millis(patience), client.redeem(code)).await.is_err()
    };
    let (_, begun, waiting, second) =
        tokio::join!(server.rows(holding), gone_after(150, 300, &held), gone_after(200, 20, &one), async {
            sleep(Duration::from_millis(210)).await;
            client.redeem(&two).await
        });
    assert!(begun && waiting);
    assert!(client.is_active(&second.tokens().access).await);
}
