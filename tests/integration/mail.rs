//! What people are told by mail: queued with the change it tells, sent by a job, and no secret in between.

use std::{
    os::unix::fs::PermissionsExt,
    sync::{Arc, Mutex},
    time::Duration,
};

use mooring::{
    db::Trace,
    failure::Broken,
    notices::{self, Message},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
};
use uuid::Uuid;

use crate::support::{ALICE, BOB, Server, Settings, mail::Mail};

async fn with_jobs() -> Server {
    Server::start(Settings::default().jobs()).await
}

async fn id_of(server: &Server, username: &str) -> Uuid {
    server.user_id(username).await.parse().unwrap()
}

/// Waits until a query says so.
async fn until(server: &Server, query: &str, expected: &str) {
    for _ in 0..200 {
        if server.value(query).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{query}: {}: {:?}", server.value(query).await, server.rows("SELECT n::text FROM notices n").await);
}

/// Without a mail server each mail is a file that nobody else may read.
#[tokio::test]
async fn a_mail_is_a_file() {
    let server = with_jobs().await;
    let alice = id_of(&server, ALICE).await;
    server.work(async |tx| notices::tell(tx, alice, &Message::PasskeyAdded { label: "Phone" }).await).await;
    let mail = server.mail("a passkey was added").await;
    assert_eq!(mail.to, "alice@example.com");
    assert!(mail.text.starts_with("Hello Alice Example,\n") && mail.text.contains("\"Phone\""), "{}", mail.text);
    assert!(mail.text.contains(&server.at("/account")), "{}", mail.text);
    assert!(mail.head.contains("Auto-Submitted: auto-generated"), "{}", mail.head);
    assert!(mail.head.contains("From: Mooring <no-reply@localhost>"), "{}", mail.head);
    let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&mail.file), mode(mail.file.parent().unwrap())), (0o600, 0o700));
    until(&server, "SELECT count(*) FROM notices WHERE delivered_at IS NOT NULL", "1").await;
    assert_eq!(server.events("notice.delivered", "done").await, 1);
    assert_eq!(server.mails().len(), 1);
}

/// What is in the files opens accounts: they go, and nothing else that is in the folder.
#[tokio::test]
async fn a_file_does_not_stay() {
    let server = with_jobs().await;
    let alice = id_of(&server, ALICE).await;
    server.work(async |tx| notices::tell(tx, alice, &Message::PasskeyAdded { label: "Phone" }).await).await;
    let old = server.mail("a passkey was added").await.file;
    let folder = old.parent().unwrap().to_owned();
    let (half, own) = (old.with_extension("part"), folder.join("notes.txt"));
    std::fs::write(&half, "cut off by a kill").unwrap();
    std::fs::write(&own, "somebody else's").unwrap();
    // A replica's jobs look at once.
    let again = async || server.replica(Settings::default().set("mail.file", folder.to_str().unwrap()).jobs()).await;
    server.advance(chrono::TimeDelta::days(2)).await;
    server.work(async |tx| notices::tell(tx, alice, &Message::PasswordChanged).await).await;
    let young = server.mail("your password was changed").await.file;
    // Called like one of ours, and as old; they keep nothing from being removed.
    let [nested, link] = [1, 2].map(|n| folder.join(format!("019a0000-0000-7000-8000-00000000000{n}.eml")));
    std::fs::create_dir(&nested).unwrap();
    std::os::unix::fs::symlink(&own, &link).unwrap();
    assert_eq!(server.app.mailer.sweep(server.clock.now()).await.unwrap(), 0);
    assert!(old.exists());
    server.advance(chrono::TimeDelta::hours(25)).await;
    let replica = again().await;
    for _ in 0..200 {
        if !old.exists() && !half.exists() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((old.exists(), half.exists(), young.exists(), own.exists()), (false, false, true, true));
    assert!(nested.is_dir() && link.is_symlink());
    drop(replica);
}

/// What did not happen is not told.
#[tokio::test]
async fn a_mail_goes_with_its_change() {
    let server = with_jobs().await;
    let alice = id_of(&server, ALICE).await;
    let (now, trace) = (server.clock.now(), Trace::default());
    let undone = server.app.db.work(now, &trace, async |tx| {
        notices::tell(tx, alice, &Message::PasswordChanged).await?;
        Err::<(), _>(Broken::new("on second thoughts"))
    });
    assert!(undone.await.is_err());
    server.work(async |tx| notices::tell(tx, alice, &Message::RecoveryCodesMade).await).await;
    server.mail("recovery codes").await;
    assert_eq!(server.mails().len(), 1);
}

#[tokio::test]
async fn whoever_has_no_address_gets_nothing_and_that_is_an_event() {
    let server = with_jobs().await;
    let (alice, bob) = (id_of(&server, ALICE).await, id_of(&server, BOB).await);
    server.rows("UPDATE users SET claims = claims - 'email' WHERE username = 'alice'").await;
    server.rows("UPDATE users SET claims = claims || '{\"email\": \"not an address\"}' WHERE username = 'bob'").await;
    server.work(async |tx| notices::tell(tx, alice, &Message::PasswordChanged).await).await;
    let why = "SELECT string_agg(reason, ' ' ORDER BY reason) FROM audit_events WHERE action = 'notice.skipped'";
    assert_eq!(server.value(why).await, "no_email_address");
    server.work(async |tx| notices::tell(tx, bob, &Message::PasswordChanged).await).await;
    until(&server, why, "address_unusable no_email_address").await;
    assert_eq!(server.value("SELECT count(*) FROM notices WHERE abandoned_at IS NOT NULL").await, "1");
    assert!(server.mails().is_empty());
}

/// The link is made when it leaves: neither the outbox nor any table can be read for it.
#[tokio::test]
async fn a_link_is_not_in_the_outbox() {
    let server = with_jobs().await;
    let alice = id_of(&server, ALICE).await;
    let link = Message::PasswordResetLink { reset: Uuid::from_u128(7), request: None };
    server.work(async |tx| notices::tell(tx, alice, &link).await).await;
    let mail = server.mail("choose a new password").await;
    let link = mail.link("/reset-password?token=mo_pr_");
    let secret = link.rsplit('_').next().unwrap();
    let stored = server.rows("SELECT n::text FROM notices n UNION ALL SELECT e::text FROM audit_events e").await;
    assert!(
        stored.iter().flatten().flatten().all(|row| !row.contains(secret) && !row.contains("mo_pr_")),
        "{stored:?}"
    );
}

/// One that could not leave in time does not leave later.
#[tokio::test]
async fn an_expired_link_is_not_sent() {
    let server = Server::usual().await;
    let alice = id_of(&server, ALICE).await;
    let link = Message::PasswordResetLink { reset: Uuid::from_u128(7), request: None };
    server.work(async |tx| notices::tell(tx, alice, &link).await).await;
    server.advance(chrono::TimeDelta::minutes(31)).await;
    let sender = server.replica(Settings::default().jobs()).await;
    until(
        &server,
        "SELECT coalesce(min(reason), '') FROM audit_events WHERE action = 'notice.skipped'",
        "link_expired",
    )
    .await;
    assert!(sender.mails().is_empty());
}

/// What a mail server was given.
type Taken = Arc<Mutex<Vec<String>>>;

/// A mail server that says "later" to the first so many.
async fn mail_server(refusals: usize) -> (u16, Taken) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Taken::default();
    let into = taken.clone();
    tokio::spawn(async move {
        let mut left = refusals;
        while let Ok((stream, _)) = listener.accept().await {
            let (read, mut write) = stream.into_split();
            let mut lines = BufReader::new(read).lines();
            write.write_all(b"220 harbour ESMTP\r\n").await.unwrap();
            while let Ok(Some(line)) = lines.next_line().await {
                let answer: &[u8] = match line.split([' ', ':']).next().unwrap_or_default() {
                    "EHLO" => b"250-harbour\r\n250 8BITMIME\r\n",
                    "MAIL" if left > 0 => {
                        left -= 1;
                        b"451 later\r\n"
                    }
                    "DATA" => {
                        write.write_all(b"354 go on\r\n").await.unwrap();
                        let mut mail = String::new();
                        while let Ok(Some(line)) = lines.next_line().await {
                            if line == "." {
                                break;
                            }
                            mail.push_str(&line);
                            mail.push_str("\r\n");
                        }
                        into.lock().unwrap().push(mail);
                        b"250 taken\r\n"
                    }
                    "QUIT" => b"221 bye\r\n",
                    _ => b"250 fine\r\n",
                };
                if write.write_all(answer).await.is_err() {
                    break;
                }
            }
        }
    });
    (port, taken)
}

/// By a mail server; one that has no time is asked again.
#[tokio::test]
async fn a_mail_server_takes_it_when_it_can() {
    let (port, taken) = mail_server(1).await;
    let settings = Settings::default().set("mail.url", &format!("smtp://127.0.0.1:{port}"));
    let server = Server::start(settings.set("mail.from", "Harbour <quay@harbour.example>").jobs()).await;
    let alice = id_of(&server, ALICE).await;
    server.work(async |tx| notices::tell(tx, alice, &Message::PasswordChanged).await).await;
    until(&server, "SELECT coalesce(max(failure), '') <> '' FROM notices", "t").await;
    assert!(taken.lock().unwrap().is_empty());
    server.advance(chrono::TimeDelta::seconds(5)).await;
    until(&server, "SELECT count(*) FROM notices WHERE delivered_at IS NOT NULL AND attempts = 2", "1").await;
    let mails = taken.lock().unwrap().clone();
    assert_eq!(mails.len(), 1);
    let mail = Mail::read("taken".into(), &mails[0]);
    assert_eq!((mail.to.as_str(), mail.subject.as_str()), ("alice@example.com", "Mooring: your password was changed"));
    assert!(mail.head.contains("From: Harbour <quay@harbour.example>"), "{}", mail.head);
}
