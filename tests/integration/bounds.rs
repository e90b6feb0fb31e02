//! What one person, or one address, may have of what is everybody's.

use std::{
    fs,
    time::{Duration, Instant},
};

use chrono::TimeDelta;
use futures_util::future::join_all;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

use crate::support::{ALICE, BOB, PASSWORD, Server, Settings, agent::Agent, process::Installation};

async fn signed_in(server: &Server, username: &str) -> Agent {
    let agent = server.agent();
    let page = agent.open(&server.at("/login")).await;
    let page = agent.sign_in(&page, username, PASSWORD).await;
    assert!(page.url.path().ends_with("/account") && page.status == 200, "{}", page.body);
    agent
}

async fn is_signed_in(server: &Server, agent: &Agent) -> bool {
    !agent.open(&server.at("/account")).await.asks_for_password()
}

async fn live(server: &Server, kind: &str) -> String {
    server.value(&format!("SELECT count(*) FROM live_sessions('{}') WHERE kind = '{kind}'", server.clock.now())).await
}

/// One more than a person may have ends the one that was idle longest, and nobody else's.
#[tokio::test]
async fn a_person_has_so_many_sessions() {
    let server = Server::start(Settings::default().set("sessions.per_person", "3")).await;
    let bob = signed_in(&server, BOB).await;
    let first = signed_in(&server, ALICE).await;
    server.advance(TimeDelta::minutes(2)).await;
    let second = signed_in(&server, ALICE).await;
    let client = server.client("web");
    let tokens = client.tokens(&second, "openid").await;
    server.advance(TimeDelta::minutes(2)).await;
    let third = signed_in(&server, ALICE).await;
    // The first is used again: the second is the one that was idle longest.
    assert!(is_signed_in(&server, &first).await);
    server.advance(TimeDelta::minutes(2)).await;
    let fourth = signed_in(&server, ALICE).await;
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE end_reason = 'too_many'").await, "1");
    for (agent, lives) in [(&first, true), (&second, false), (&third, true), (&fourth, true), (&bob, true)] {
        assert_eq!(is_signed_in(&server, agent).await, lives);
    }
    assert!(!client.is_active(&tokens.access).await);
    let told = "SELECT actor || ' ' || kind FROM audit_events WHERE action = 'session.ended' AND reason = 'too_many'";
    assert_eq!(server.value(told).await, "server user");
    // Signing in again in the same browser is no other session.
    let page = third.open(&client.request("openid").with("prompt", "login").url()).await;
    third.sign_in(&page, ALICE, PASSWORD).await;
    assert_eq!(live(&server, "user").await, "4");
}

/// Many at once do not slip through.
#[tokio::test]
async fn sessions_begun_at_once_are_bounded_too() {
    let settings = Settings::default().set("sessions.per_person", "3").set("server.workers", "2").connections(8);
    let server = Server::start(settings).await;
    join_all((0..8).map(|_| signed_in_or_ended(&server))).await;
    assert_eq!(live(&server, "user").await, "3");
}

async fn signed_in_or_ended(server: &Server) {
    let agent = server.agent();
    let page = agent.open(&server.at("/login")).await;
    assert_eq!(agent.submit_step(&page.sign_in_form(ALICE, PASSWORD)).await.status, 303);
}

/// Access while one is away is bounded as well.
#[tokio::test]
async fn a_person_has_so_many_offline_sessions() {
    let server = Server::start(Settings::default().set("sessions.per_person", "3")).await;
    let (client, agent) = (server.client("web"), server.agent());
    let mut tokens = Vec::new();
    for _ in 0..5 {
        tokens.push(client.tokens(&agent, "openid offline_access").await);
        server.advance(TimeDelta::seconds(1)).await;
    }
    assert_eq!(live(&server, "offline").await, "3");
    client.refresh(&tokens[0].refresh).await.refused("invalid_grant");
    client.refresh(&tokens[4].refresh).await.tokens();
    assert!(is_signed_in(&server, &agent).await);
}

/// A client that begins one after the other ends its own, and not what others have.
#[tokio::test]
async fn one_client_does_not_end_the_access_of_others() {
    let server = Server::start(Settings::default().set("sessions.per_person", "4")).await;
    let agent = server.agent();
    let (quiet, greedy) = (server.client("web"), server.client("web2"));
    let first = quiet.tokens(&agent, "openid offline_access").await;
    let bobs = greedy.redeem(&greedy.code_for(&server.agent(), BOB, "openid offline_access").await).await.tokens();
    let mut many = Vec::new();
    for _ in 0..8 {
        server.advance(TimeDelta::seconds(1)).await;
        many.push(greedy.tokens(&agent, "openid offline_access").await);
    }
    assert_eq!(live(&server, "offline").await, "5", "four of alice, one of bob");
    let first = quiet.refresh(&first.refresh).await.tokens();
    greedy.refresh(&bobs.refresh).await.tokens();
    for (n, tokens) in many.iter().enumerate() {
        let answer = greedy.refresh(&tokens.refresh).await;
        if n < 5 {
            answer.refused("invalid_grant");
        } else {
            answer.tokens();
        }
    }
    // Another client makes room for itself where there is most.
    let other = server.client("jwt").tokens(&agent, "openid offline_access").await;
    server.advance(TimeDelta::seconds(1)).await;
    let third = server.client("post").tokens(&agent, "openid offline_access").await;
    quiet.refresh(&first.refresh).await.tokens();
    server.client("jwt").refresh(&other.refresh).await.tokens();
    server.client("post").refresh(&third.refresh).await.tokens();
    assert_eq!(live(&server, "offline").await, "5");
    let ended = "SELECT string_agg(DISTINCT client_id, ' ') FROM audit_events WHERE action = 'session.ended' AND reason = 'too_many'";
    assert_eq!(server.value(ended).await, "web2");
}

/// What a connection gets that says nothing, or asks for the server's health.
async fn ask(server: &Server) -> (TcpStream, String) {
    let address = server.issuer.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    let asked = stream.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n\r\n").as_bytes()).await;
    let mut answer = vec![0; 64];
    let read = match asked {
        Ok(()) => stream.read(&mut answer).await.unwrap_or_default(),
        Err(_) => 0,
    };
    (stream, String::from_utf8_lossy(&answer[..read]).into_owned())
}

fn is_served(answer: &str) -> bool {
    answer.starts_with("HTTP/1.1 200 ")
}

/// An address holds so many connections; one that is closed makes room.
#[tokio::test]
async fn an_address_has_so_many_connections() {
    let server = Server::start(Settings::default().set("server.connections_per_source", "4")).await;
    // What the harness has asked for may still be open.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let mut held = Vec::new();
    for n in 0..4 {
        let (stream, answer) = ask(&server).await;
        assert!(is_served(&answer), "{n}: {answer}");
        held.push(stream);
    }
    let (_, answer) = ask(&server).await;
    assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
    drop(held);
    let begun = Instant::now();
    while !is_served(&ask(&server).await.1) {
        assert!(begun.elapsed() < Duration::from_secs(10), "there is no room again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// A proxy speaks for everybody.
#[tokio::test]
async fn connections_of_a_trusted_proxy_are_not_counted() {
    let settings = Settings::default().set("server.connections_per_source", "1").set("trusted_proxies", "127.0.0.0/8");
    let server = Server::start(settings).await;
    let answers = join_all((0..20).map(|_| ask(&server))).await;
    assert!(answers.iter().all(|(_, answer)| is_served(answer)));
}

/// A head that is sent a line at a time is not waited for.
#[tokio::test]
async fn a_head_that_does_not_end_is_not_waited_for() {
    let server = Server::usual().await;
    let address = server.issuer.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("GET /healthz HTTP/1.1\r\nHost: {address}\r\n").as_bytes()).await.unwrap();
    let begun = Instant::now();
    let mut answer = Vec::new();
    let closed = async {
        let (mut read, mut write) = stream.split();
        let drip = async {
            for n in 0..120 {
                tokio::time::sleep(Duration::from_millis(250)).await;
                if write.write_all(format!("X-{n}: 1\r\n").as_bytes()).await.is_err() {
                    break;
                }
            }
        };
        tokio::select! {
            read = read.read_to_end(&mut answer) => drop(read),
            () = drip => {}
        }
    };
    closed.await;
    assert!(begun.elapsed() < Duration::from_secs(12), "{:?}", begun.elapsed());
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 408 "), "{}", String::from_utf8_lossy(&answer));
}

/// A browser's session is had for nothing: what waits in it is bounded, and the newest stays.
#[tokio::test]
async fn a_session_has_so_many_waiting_requests() {
    let server = Server::usual().await;
    let (client, agent) = (server.client("web"), server.agent());
    let mut page = agent.open(&client.request("openid").url()).await;
    for _ in 0..80 {
        page = agent.open(&client.request("openid").url()).await;
    }
    assert_eq!(server.value("SELECT count(*) FROM authorization_requests").await, "64");
    assert!(agent.sign_in(&page, ALICE, PASSWORD).await.offers("allow"));
}

/// What is large counts as several: a stranger has us remember so many octets.
#[tokio::test]
async fn large_requests_of_strangers_weigh_more() {
    let server = Server::usual().await;
    let held = async || -> f64 {
        let text = "SELECT max(extract(epoch FROM empty_at)) FROM throttles";
        server.value(text).await.parse().unwrap()
    };
    let client = server.client("web");
    server.http().get(client.request("openid").url()).send().await.unwrap();
    let small = held().await;
    server.http().get(client.request("openid").with("login_hint", &"x".repeat(8000)).url()).send().await.unwrap();
    let large = held().await;
    // A small one takes a tenth of a second to leak; of 2 KiB four make 8.
    assert!(large - small > 0.25, "{small} {large}");
}

/// A connection from another address of this machine, which takes little at once.
async fn from(address: &str, to: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(2048).unwrap();
    socket.bind(format!("{address}:0").parse().unwrap()).unwrap();
    socket.connect(to.parse().unwrap()).await.unwrap()
}

/// A connection counts before its handshake: those who never send theirs have their share and no more.
#[tokio::test]
async fn silent_connections_count_before_their_handshake() {
    let server = Server::start(Settings::default().tls().set("server.connections_per_source", "8")).await;
    let address = server.issuer.replace("https://localhost", "127.0.0.1");
    let mut silent = Vec::new();
    for _ in 0..8 {
        silent.push(from("127.0.0.2", &address).await);
    }
    let mut one_more = from("127.0.0.2", &address).await;
    let closed = tokio::time::timeout(Duration::from_secs(1), one_more.read(&mut [0; 8])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "one too many is closed at once: {closed:?}");
    let begun = Instant::now();
    assert_eq!(server.http().get(server.at("/healthz")).send().await.unwrap().status(), 200);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    // A handshake that does not come is not waited for.
    let closed = tokio::time::timeout(Duration::from_secs(6), silent[0].read(&mut [0; 8])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
}

/// Whoever asks and asks and reads nothing takes little memory.
#[tokio::test]
async fn answers_that_nobody_reads_take_little() {
    const CONNECTIONS: usize = 100;
    let installation = Installation::new("");
    let server = installation.serve();
    let resident = || {
        let status = fs::read_to_string(format!("/proc/{}/status", server.pid().as_raw_pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
    };
    for (path, body) in [("/hub/api/v1/openapi.json", ""), ("/oauth/jwks", ""), ("/login", "x")] {
        let length = body.len();
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}").repeat(4000);
        let before = resident();
        let held = (0..CONNECTIONS).map(async |_| {
            let mut stream = from("127.0.0.1", &installation.address().to_string()).await;
            let _ = tokio::time::timeout(Duration::from_secs(3), stream.write_all(request.as_bytes())).await;
            stream
        });
        let held = join_all(held).await;
        let took = resident().saturating_sub(before) / CONNECTIONS;
        assert!(took < 512, "{took} KiB a connection ({path})");
        drop(held);
    }
    // It goes on, and a client that reads gets every answer it asked for, in order.
    let mut stream = TcpStream::connect(installation.address()).await.unwrap();
    let asked = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(500)
        + "GET /hub/api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answers = Vec::new();
    let (mut read, mut write) = stream.split();
    let (asked, answered) = tokio::join!(write.write_all(asked.as_bytes()), read.read_to_end(&mut answers));
    asked.unwrap();
    answered.unwrap();
    let answers = String::from_utf8(answers).unwrap();
    assert_eq!(answers.matches("HTTP/1.1 200 OK").count(), 501);
    assert!(answers.ends_with('}'), "the last answer is whole");
    assert_eq!(server.stop(), Some(0));
}
