//! Changes that come at the same time are made by one statement (`db::batch`), and nobody can tell.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::sleep;

use crate::support::{
    Server,
    client::{Answer, Client, Code},
};

/// Redeems the first code while its family is held, so that the others wait for its statement and then go together.
async fn redeem_while_one_is_held(server: &Server, client: &Client<'_>, held: &Code, others: &[&Code]) -> Vec<Answer> {
    let hold = "WITH held AS (SELECT id FROM grants ORDER BY id LIMIT 1 FOR UPDATE) SELECT pg_sleep(0.6) FROM held";
    let (_, first, others) = tokio::join!(
        server.rows(hold),
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

async fn codes(server: &Server, client: &Client<'_>) -> [Code; 4] {
    // The families of before are of no interest.
    server.rows("DELETE FROM grants").await;
    let agent = server.agent();
    let held = client.code(&agent, "openid").await;
    let others = join_all((0..3).map(|_| client.code(&agent, "openid"))).await;
    let [one, two, three] = others.try_into().unwrap_or_else(|_| unreachable!("three"));
    [held, one, two, three]
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

/// Whoever goes away before the answer takes nobody's change along.
#[tokio::test]
async fn one_that_goes_away_takes_nothing_along() {
    let server = Server::usual().await;
    let client = server.client("web");
    let [held, one, two, _] = codes(&server, &client).await;
    let hold = "WITH held AS (SELECT id FROM grants ORDER BY id LIMIT 1 FOR UPDATE) SELECT pg_sleep(0.6) FROM held";
    let (_, gone, first, second) = tokio::join!(
        server.rows(hold),
        async {
            sleep(Duration::from_millis(150)).await;
            tokio::time::timeout(Duration::from_millis(200), client.redeem(&held)).await.is_err()
        },
        async {
            sleep(Duration::from_millis(160)).await;
            tokio::time::timeout(Duration::from_millis(2), client.redeem(&one)).await.is_err()
        },
        async {
            sleep(Duration::from_millis(170)).await;
            client.redeem(&two).await
        },
    );
    assert!(gone && first);
    assert!(client.is_active(&second.tokens().access).await);
}
