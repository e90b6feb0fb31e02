//! Whose turn it is: parties that never answer, however many they are, make nobody else wait.

use std::time::{Duration, Instant};

use mooring::{audit::Actor, sessions};
use uuid::Uuid;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use super::{allowing, calls, home, party, signed_in, told, until};
use crate::support::{ALICE, Server};

const SILENT: usize = 12;

async fn sign_in_everywhere(server: &Server, id: &str, times: usize) {
    for _ in 0..times {
        signed_in(server, id).await;
    }
}

async fn end_everything(server: &Server) {
    let alice: Uuid = server.user_id(ALICE).await.parse().unwrap();
    server.work(async |tx| sessions::end_all_of_user(tx, alice, "ended_by_operator", Actor::Operator).await).await;
}

#[tokio::test]
async fn however_many_never_answer_the_others_are_told_at_once() {
    let (home, nowhere) = (home().await, MockServer::start().await);
    let never = ResponseTemplate::new(200).set_delay(Duration::from_mins(5));
    Mock::given(any()).respond_with(never).mount(&nowhere).await;
    let silent: String = (0..SILENT).map(|n| party(&format!("silent{n}"), &nowhere, "")).collect();
    let server = Server::start(allowing().declare(&(silent + &party("told", &home, "")))).await;

    // Each of them took part in sixteen sessions, which end.
    sign_in_everywhere(&server, "web", 16).await;
    server
        .rows(
            "INSERT INTO session_clients (session_id, client_id, sid, joined_at) \
             SELECT s.id, c.client_id, new_id(s.created_at), s.created_at FROM sessions s, clients c \
             WHERE s.kind = 'user' AND c.client_id LIKE 'silent%'",
        )
        .await;
    end_everything(&server).await;
    let asked = async || nowhere.received_requests().await.unwrap().len();
    until("the silent ones are being asked", async || (asked().await >= 32).then_some(())).await;

    // Before they let us wait for the first time, and when all are known for it.
    let mut times = 0;
    for _ in 0..2 {
        sign_in_everywhere(&server, "told", 20).await;
        times += 20;
        let begun = Instant::now();
        end_everything(&server).await;
        told(&home, "told", times).await;
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        let so_far = asked().await;
        until("the silent ones are being asked again", async || (asked().await > so_far).then_some(())).await;
    }

    // One call each while nothing is known of them, and half of the slots beside.
    let waiting = "SELECT count(*) FROM notices WHERE client_id LIKE 'silent%' AND delivered_at IS NULL";
    assert_eq!(server.value(waiting).await, (SILENT * 16).to_string());
    for n in 0..SILENT {
        assert!(!calls(&nowhere, &format!("silent{n}")).await.is_empty(), "silent{n} has its turn, too");
    }
}

/// One row that nobody can read, as an older program or a hand in the database may leave it, is its own client's trouble.
#[tokio::test]
async fn a_party_whose_registration_cannot_be_read_holds_up_nobody() {
    let home = home().await;
    let server = Server::start(allowing().declare(&(party("broken", &home, "") + &party("sound", &home, "")))).await;
    sign_in_everywhere(&server, "broken", 1).await;
    sign_in_everywhere(&server, "sound", 1).await;
    let broken = "UPDATE clients SET metadata = metadata || '{\"grant_types\": 7}' WHERE client_id = 'broken'";
    server.as_server(broken).await.unwrap();
    end_everything(&server).await;
    told(&home, "sound", 1).await;
    assert_eq!(calls(&home, "broken").await.len(), 0);
}
