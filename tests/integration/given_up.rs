//! What nobody waits for any more is cancelled in PostgreSQL, too: a statement does not run on, with its locks, for a request
//! that was answered or whose caller went away.

use std::{path::Path, time::Duration};

use mooring::{
    clock::Clock,
    db::{Database, Trace, health, scopes, signing_keys},
    failure::Broken,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, UnixStream},
    sync::mpsc,
    time::{Instant, sleep, timeout},
};
use url::Url;

use crate::support::{Server, client::basic, cluster, declared::SECRET};

/// Whatever the server's role asks takes so long, where it writes to this table.
async fn slow(server: &Server, table: &str) {
    let statements = format!(
        "CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$; \
         CREATE TRIGGER dawdle BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION dawdle()"
    );
    server.rows(&statements).await;
}

fn url(server: &Server) -> &str {
    server.app.config.database.url.as_deref().unwrap()
}

/// How many statements of the server's role PostgreSQL is busy with, this one not counted.
async fn running(server: &Server) -> u32 {
    let count = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = current_user \
                 AND state = 'active' AND pid <> pg_backend_pid()";
    let answer = cluster::query(url(server), count).await.unwrap();
    let row = answer.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    row.unwrap().parse().unwrap()
}

/// Waits until it is so many; "false" after a second.
async fn become_within_a_second(server: &Server, wanted: u32) -> bool {
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until {
        if running(server).await == wanted {
            return true;
        }
        sleep(Duration::from_millis(20)).await;
    }
    false
}

fn silent(outcome: Result<impl Sized, Broken>) {
    let broken = outcome.err().expect("nobody answers in time");
    assert!(broken.is_retryable() && broken.to_string().contains("does not answer"), "{broken}");
}

#[tokio::test]
async fn a_unit_past_its_deadline_is_cancelled() {
    let server = Server::usual().await;
    slow(&server, "throttles").await;
    let (now, trace) = (Clock::default().now(), Trace::default());
    let db = Database::new(url(&server), 2).unwrap().within(Duration::from_millis(300));
    let in_a_transaction = db.work(now, &trace, async |tx| health::try_write(tx).await);
    let (outcome, seen) = tokio::join!(in_a_transaction, become_within_a_second(&server, 1));
    assert!(seen, "it runs");
    silent(outcome);
    assert!(become_within_a_second(&server, 0).await, "it runs on");

    silent(db.single(now, &trace, async |tx| health::try_write(tx).await).await);
    assert!(become_within_a_second(&server, 0).await, "it runs on by itself");
    // The pool is none the worse for it.
    db.read(now, &trace, async |tx| scopes::load_all(tx).await).await.unwrap();
}

/// The look-ups of a worker thread share a connection.
#[tokio::test]
async fn a_look_up_past_its_deadline_frees_the_others() {
    let server = Server::usual().await;
    let (now, trace) = (Clock::default().now(), Trace::default());
    let db = Database::for_workers(url(&server), 8, 1).unwrap();
    db.adopt_thread().unwrap();
    let look = async |db: &Database| db.read(now, &trace, async |tx| scopes::load_all(tx).await).await;
    look(&db).await.unwrap();

    let holding = server.rows("BEGIN; LOCK TABLE signing_keys IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(4); COMMIT");
    let looking = async {
        sleep(Duration::from_millis(200)).await;
        let hasty = db.within(Duration::from_millis(500));
        let waiting = async || silent(hasty.read(now, &trace, async |tx| signing_keys::load_all(tx).await).await);
        let behind = async {
            sleep(Duration::from_millis(100)).await;
            let begun = Instant::now();
            look(&db).await.unwrap();
            assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        };
        tokio::join!(waiting(), waiting(), behind);
        assert!(become_within_a_second(&server, 0).await, "it waits on");
        look(&db).await.unwrap();
    };
    tokio::join!(holding, looking);
}

/// As a pooler does it: a cancel request is passed on after a while, to the server that the connection is lent. `true` comes where its
/// caller did not wait for that, which PgBouncer 1.18 does not survive.
async fn pooler(url: &str) -> (String, mpsc::UnboundedReceiver<bool>) {
    let config: tokio_postgres::Config = url.parse().unwrap();
    let port = config.get_ports()[0];
    let socket = match &config.get_hosts()[0] {
        tokio_postgres::config::Host::Unix(directory) => Some(directory.join(format!(".s.PGSQL.{port}"))),
        tokio_postgres::config::Host::Tcp(_) => None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut through = Url::parse("postgres://localhost").unwrap();
    through.set_username(config.get_user().unwrap()).unwrap();
    through.set_password(Some(std::str::from_utf8(config.get_password().unwrap()).unwrap())).unwrap();
    through.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
    through.set_path(config.get_dbname().unwrap());
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut caller, _)) = listener.accept().await {
            let (tell, socket) = (tell.clone(), socket.clone());
            tokio::spawn(async move {
                let mut head = [0; 8];
                caller.read_exact(&mut head).await.unwrap();
                let is_cancel = head[4..] == 80_877_102_u32.to_be_bytes();
                if is_cancel {
                    let mut key = [0; 8];
                    caller.read_exact(&mut key).await.unwrap();
                    tell.send(timeout(Duration::from_millis(300), caller.read(&mut [0; 1])).await.is_ok()).unwrap();
                    let mut server = open(socket.as_deref(), port).await;
                    server.write_all(&[head, key].concat()).await.unwrap();
                    let _ = server.read(&mut [0; 1]).await;
                } else {
                    let mut server = open(socket.as_deref(), port).await;
                    server.write_all(&head).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut caller, &mut server).await;
                }
            });
        }
    });
    (through.into(), told)
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

async fn open(socket: Option<&Path>, port: u16) -> Box<dyn Stream> {
    match socket {
        Some(path) => Box::new(UnixStream::connect(path).await.unwrap()),
        None => Box::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap()),
    }
}

#[tokio::test]
async fn whoever_takes_a_cancel_request_closes_first() {
    let server = Server::usual().await;
    slow(&server, "throttles").await;
    let (through, mut told) = pooler(url(&server)).await;
    let db = Database::new(&through, 2).unwrap().within(Duration::from_millis(500));
    silent(db.work(Clock::default().now(), &Trace::default(), async |tx| health::try_write(tx).await).await);
    assert!(become_within_a_second(&server, 0).await, "it runs on");
    assert_eq!(told.recv().await, Some(false), "the caller did not wait");
    db.close();
}

#[tokio::test]
async fn a_request_whose_caller_goes_away_is_cancelled() {
    let server = Server::usual().await;
    let client = server.client("web");
    slow(&server, "authorization_requests").await;
    let request = client.request("openid");
    let form = serde_urlencoded::to_string(&request.parameters).unwrap();
    let head = format!(
        "POST /oauth/par HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\nContent-Length: {}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\n\r\n",
        basic("web", SECRET),
        form.len()
    );
    let mut caller = TcpStream::connect(server.issuer.strip_prefix("http://").unwrap()).await.unwrap();
    caller.write_all((head + &form).as_bytes()).await.unwrap();
    assert!(become_within_a_second(&server, 1).await, "it runs");
    // Reset, not only closed: whoever closes one direction may still wait for the answer.
    caller.set_zero_linger().unwrap();
    drop(caller);
    assert!(become_within_a_second(&server, 0).await, "it runs on");
}

/// A change that is made together with others is nobody's alone, so it ends with its deadline and not with its callers.
#[tokio::test]
async fn a_change_past_its_deadline_is_cancelled() {
    let server = Server::usual().await;
    slow(&server, "access_tokens").await;
    let client = server.client("machine");
    let (answer, seen) = tokio::join!(client.client_credentials(""), become_within_a_second(&server, 1));
    assert!(seen, "it runs");
    assert_eq!((answer.status, !answer.header("retry-after").is_empty()), (503, true), "{answer:?}");
    assert!(become_within_a_second(&server, 0).await, "it runs on");
}
