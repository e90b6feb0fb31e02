//! The time of an answer tells nobody who has an account: pages that take a name or an address, measured for somebody and for
//! nobody in turns, and compared by rank (Mann-Whitney). The same measure finds a known leak of the same size.

use std::{
    cmp::Ordering,
    time::{Duration, Instant},
};

use mooring::{
    db::{mails, password_resets, sessions, users},
    jose::random_bytes,
};
use uuid::Uuid;

use crate::support::{ALICE, BOB, Server, Settings};

/// How often each is measured, after a few rounds that are not counted.
const SAMPLES: usize = 100;
const WARM: usize = 10;
/// What a page may be off: more than four standard deviations of chance, which are 0.041 each.
const MOST: f64 = 0.18;

/// The chance that one of `ones` took longer than one of `others`: 0.5 says nothing.
fn auc(ones: &[Duration], others: &[Duration]) -> f64 {
    let mut won = 0.0;
    for one in ones {
        for other in others {
            won += match one.cmp(other) {
                Ordering::Greater => 1.0,
                Ordering::Equal => 0.5,
                Ordering::Less => 0.0,
            };
        }
    }
    won / f64::from(u32::try_from(ones.len() * others.len()).unwrap())
}

/// Measures each of `N` in turns, so that the machine's other work falls on all of them alike; in another order each round, so
/// that nothing comes always after the same.
async fn measure<const N: usize>(mut next: impl AsyncFnMut(usize, usize) -> Duration) -> [Vec<Duration>; N] {
    let mut measured = [const { Vec::new() }; N];
    for round in 0..SAMPLES + WARM {
        let mut order: Vec<usize> = (0..N).collect();
        let dice = random_bytes::<16>();
        for at in (1..N).rev() {
            order.swap(at, usize::from(dice[at]) % (at + 1));
        }
        for which in order {
            let took = next(which, round).await;
            if round >= WARM {
                measured[which].push(took);
            }
        }
    }
    measured
}

async fn server() -> Server {
    Server::start(Settings::default().set("trusted_proxies", "127.0.0.1/32")).await
}

/// Each request comes from an address of its own, so that none is throttled.
fn address(which: usize, round: usize) -> String {
    format!("10.{which}.{}.{}", round / 200, round % 200 + 1)
}

/// Somebody, and nobody whose name is as long.
const PAIRS: [[&str; 2]; 2] = [[ALICE, "nobdy"], ["alice@example.com", "nobdy@example.com"]];

#[tokio::test]
async fn asking_for_a_reset_link_takes_as_long_for_anybody() {
    let server = server().await;
    let fields = server.agent().open(&server.at("/reset-password")).await.form_to("/reset-password");
    // The leak that this page had: who was known got their link while the answer waited.
    let leak = async |name: &str| {
        let now = server.clock.now();
        let lifetime = chrono::TimeDelta::minutes(30);
        server.work(async |tx| password_resets::ask(tx, name, now, lifetime).await.map(drop)).await;
        server.work(async |tx| mails::queue(tx, Uuid::nil(), "x", &serde_json::json!({})).await.map(drop)).await;
    };
    let measured = measure::<5>(async |which, round| {
        let agent = server.agent().forwarded_for(&address(which, round));
        let name = PAIRS.as_flattened().get(which).copied().unwrap_or(ALICE);
        let begun = Instant::now();
        agent.submit_step(&fields.clone().fill("username", name)).await;
        if which == 4 {
            leak(name).await;
        }
        begun.elapsed()
    })
    .await;
    assert!(auc(&measured[4], &measured[1]) > 0.5 + MOST, "the known leak: {}", auc(&measured[4], &measured[1]));
    for (pair, times) in PAIRS.iter().zip(measured.chunks(2)) {
        assert!((auc(&times[0], &times[1]) - 0.5).abs() < MOST, "{pair:?}: {}", auc(&times[0], &times[1]));
    }
}

/// Somebody, nobody, somebody disabled, somebody without a password, an address: a wrong password is as wrong for all.
#[tokio::test]
async fn a_wrong_password_takes_as_long_for_anybody() {
    const OTHERS: [&str; 2] = [BOB, "cal"];
    let server = server().await;
    server.rows("UPDATE users SET disabled_at = now() WHERE username = 'bob'").await;
    server.work(async |tx| users::insert(tx, "cal", &serde_json::json!({}), false).await.map(drop)).await;
    let names: Vec<&str> = PAIRS.as_flattened().iter().chain(&OTHERS).copied().chain(["nob"]).collect();
    let mut browsers = Vec::new();
    for which in 0..8 {
        let agent = server.agent().forwarded_for(&address(which, 0));
        let form = agent.open(&server.at("/login")).await.sign_in_form("x", "a guess at a password");
        browsers.push((agent, form));
    }
    let measured = measure::<8>(async |which, round| {
        let (agent, form) = &browsers[which];
        let agent = agent.clone().forwarded_for(&address(which, round));
        let form = form.clone().fill("username", names.get(which).copied().unwrap_or("nob"));
        // Alice is guessed at by name and by address: without this her hundred failures come first, and guesses wait.
        if round % 20 == 0 {
            server.rows("DELETE FROM throttles").await;
        }
        let begun = Instant::now();
        agent.submit_step(&form).await;
        if which == 7 {
            // The known leak: a dozen changes more, less than the password check that servers leave out for nobody.
            for _ in 0..12 {
                server.work(async |tx| sessions::touch(tx, Uuid::nil()).await).await;
            }
        }
        begun.elapsed()
    })
    .await;
    assert!(auc(&measured[7], &measured[6]) > 0.5 + MOST, "the known leak: {}", auc(&measured[7], &measured[6]));
    for (one, other) in [(0, 1), (2, 3), (4, 6), (5, 6)] {
        let auc = auc(&measured[one], &measured[other]);
        assert!((auc - 0.5).abs() < MOST, "{} and {}: {auc}", names[one], names[other]);
    }
}
