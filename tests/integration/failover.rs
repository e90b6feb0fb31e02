//! What a server does when its database goes away, only reads, has no room, or speaks another language: SQLSTATE decides.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    Answer, Server,
    cluster::{self, TestDatabase},
    process::{Installation, Running},
};

/// Whoever is connected as the server's role is cut off (SQLSTATE 57P01).
const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() \
                   AND usename = current_user AND pid <> pg_backend_pid()";

/// A database URL with another parameter.
fn with(url: &str, parameter: &str) -> String {
    match parameter {
        "" => url.to_owned(),
        parameter if url.contains('?') => format!("{url}&{parameter}"),
        parameter => format!("{url}?{parameter}"),
    }
}

async fn only_reads(database: &TestDatabase, is_so: bool) {
    let what = if is_so { "SET default_transaction_read_only = on" } else { "RESET default_transaction_read_only" };
    let statement = format!(
        "BEGIN READ WRITE; DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {what}', current_database()); END $$; COMMIT"
    );
    cluster::query(&database.owner_url, &statement).await.unwrap();
}

async fn ready(server: &Running) -> (u16, Value) {
    // An answer may be a second old.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let answer = server.http().get(server.at("/readyz")).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// The answer of a server that cannot do it now: the caller is to come back.
async fn refused_for_now(server: &Running) {
    let answer = server.ask().send().await.unwrap();
    assert!(answer.headers().contains_key("retry-after"), "{answer:?}");
    assert_eq!(answer.status(), 503);
    let body: Value = answer.json().await.unwrap();
    assert_eq!(body["error"], "temporarily_unavailable", "{body}");
}

/// A standby behind the same address. `target_session_attrs=any` keeps connections to it, as to one that was demoted.
#[tokio::test]
async fn a_server_leaves_a_database_that_only_reads() {
    for parameters in ["", "target_session_attrs=any"] {
        let database = TestDatabase::create().await;
        let installation = Installation::on(&with(&database.server_url, parameters));
        let server = installation.serve();
        let token = Answer::of(server.ask()).await.tokens().access;
        assert_eq!(ready(&server).await.0, 200);

        only_reads(&database, true).await;
        cluster::query(&database.server_url, CUT).await.unwrap();
        for _ in 0..3 {
            refused_for_now(&server).await;
        }
        let (status, body) = ready(&server).await;
        assert_eq!((status, &body["ready"], &body["database"]), (503, &false.into(), &false.into()), "{body}");
        if !parameters.is_empty() {
            assert!(server.is_active(&token).await, "what reads goes on");
        }

        // The connections to it are still there; the first request finds another.
        only_reads(&database, false).await;
        Answer::of(server.ask()).await.tokens();
        assert_eq!(ready(&server).await.0, 200);
        assert!(server.is_active(&token).await);
        assert_eq!(server.stop(), Some(0));
        database.drop_now().await;
    }
}

#[tokio::test]
async fn requests_survive_that_connections_are_cut() {
    let server = Server::usual().await;
    let client = server.client("web");
    let mut tokens = client.tokens(&server.agent(), "openid").await;
    let cutting = async {
        for _ in 0..20 {
            server.as_server(CUT).await.unwrap();
            tokio::time::sleep(Duration::from_millis(7)).await;
        }
    };
    let asking = async {
        let mut done = 0;
        for _ in 0..40 {
            // A refresh that was cut off after it was sent may have been done: then the same token gets its answer again.
            let answer = client.refresh(&tokens.refresh).await;
            if answer.status != 503 {
                tokens = answer.tokens();
                done += 1;
            }
        }
        done
    };
    let ((), done) = tokio::join!(cutting, asking);
    assert!(done >= 30, "{done} of 40");
    client.userinfo(&tokens.access).await.ok();
}

/// A database that fails an insert into `access_tokens` with this code, in words that are not English; so many times.
async fn fail_with(server: &Server, code: &str, times: u32) {
    server
        .rows(&format!(
            "CREATE SEQUENCE IF NOT EXISTS failures; ALTER SEQUENCE failures RESTART; \
             GRANT USAGE ON SEQUENCE failures TO PUBLIC; \
             CREATE OR REPLACE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF nextval('failures') <= {times} THEN RAISE EXCEPTION USING ERRCODE = '{code}', \
             MESSAGE = 'Verbindung auf Anweisung des Administrators beendet'; END IF; RETURN NEW; END $$; \
             CREATE OR REPLACE TRIGGER fail BEFORE INSERT ON access_tokens FOR EACH ROW EXECUTE FUNCTION fail()"
        ))
        .await;
}

#[tokio::test]
async fn the_code_decides_in_whatever_language() {
    let server = Server::usual().await;
    let client = server.client("web");
    let mut tokens = client.tokens(&server.agent(), "openid").await;
    // Refused because of the connection: done once more on another, and done once.
    for code in ["25006", "57P01", "57P02", "57P03"] {
        fail_with(&server, code, 1).await;
        let before = server.value("SELECT count(*) FROM access_tokens").await.parse::<u32>().unwrap();
        tokens = client.refresh(&tokens.refresh).await.tokens();
        assert_eq!(server.value("SELECT count(*) FROM access_tokens").await, (before + 1).to_string(), "{code}");
        // Within a transaction of several statements, too.
        fail_with(&server, code, 1).await;
        client.tokens(&server.agent(), "openid offline_access").await;
    }
    // Again and again, or for another reason that passes: come back.
    for code in ["25006", "57P01", "08006", "40001", "40P01", "53100", "53200", "53300", "57014"] {
        fail_with(&server, code, 1000).await;
        let answer = client.refresh(&tokens.refresh).await;
        assert_eq!((answer.status, !answer.header("retry-after").is_empty()), (503, true), "{code}");
        // And it does, without a restart.
        fail_with(&server, code, 0).await;
        tokens = client.refresh(&tokens.refresh).await.tokens();
    }
    // A defect is none of these.
    fail_with(&server, "23514", 1000).await;
    assert_eq!(client.refresh(&tokens.refresh).await.status, 500);
}

/// What a database, a role or an administrator sets as a default is not what a server relies on.
#[tokio::test]
async fn the_databases_own_defaults_have_no_say() {
    let server = Server::usual().await;
    let client = server.client("web");
    let before = client.tokens(&server.agent(), "openid").await;
    server.rows("CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.sessions (id int)").await;
    // Nothing is asked between this and the change, so the next connections are made after it.
    server.as_server(CUT).await.unwrap();
    let settings = [
        ("default_transaction_isolation", "serializable"),
        ("default_transaction_deferrable", "on"),
        ("search_path", "elsewhere"),
        ("TimeZone", "Asia/Kathmandu"),
        ("DateStyle", "SQL, DMY"),
        ("IntervalStyle", "sql_standard"),
        ("client_encoding", "LATIN1"),
        ("bytea_output", "escape"),
        ("standard_conforming_strings", "off"),
        ("extra_float_digits", "-15"),
        ("transform_null_equals", "on"),
        ("row_security", "off"),
        ("statement_timeout", "1"),
        ("lock_timeout", "1"),
        ("idle_session_timeout", "1"),
        ("idle_in_transaction_session_timeout", "1"),
        ("plan_cache_mode", "force_custom_plan"),
        ("jit", "on"),
    ];
    let changes = settings.map(|(name, value)| {
        format!("EXECUTE format('ALTER DATABASE %I SET {name} = %L', current_database(), '{value}');")
    });
    server.rows(&format!("DO $$ BEGIN {} END $$", changes.concat())).await;
    let agent = server.agent();
    let tokens = client.tokens(&agent, "openid offline_access").await;
    let tokens = client.refresh(&tokens.refresh).await.tokens();
    client.userinfo(&tokens.access).await.ok();
    client.userinfo(&before.access).await.ok();
    // At the same time, which another isolation level would refuse.
    let answers = futures_util::future::join_all((0..20).map(|_| client.refresh(&tokens.refresh))).await;
    for answer in answers {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(agent.walk(&server.at("/account"), crate::support::ALICE).await.status, 200);
}

#[tokio::test]
async fn another_schema_is_refused_in_one_sentence() {
    let database = TestDatabase::create().await;
    cluster::query(&database.owner_url, "CREATE SCHEMA elsewhere; GRANT USAGE ON SCHEMA elsewhere TO PUBLIC")
        .await
        .unwrap();
    let installation = Installation::on(&with(&database.server_url, "options=-csearch_path%3Delsewhere"));
    for command in [&["serve"][..], &["migrate"], &["session", "list"]] {
        let refused = installation.run(command);
        let said = refused.failed(1);
        for word in ["search_path", "elsewhere", "schema public", "leave search_path out"] {
            assert!(said.contains(word), "{command:?}: {said}");
        }
    }
    database.drop_now().await;
}

/// As behind PgBouncer in transaction mode with `ignore_startup_parameters = options`: nothing that a connection sets arrives,
/// and nothing is prepared.
#[tokio::test]
async fn a_pooler_that_keeps_nothing_is_enough() {
    let database = TestDatabase::create().await;
    let url = with(&database.server_url, "options=-cmooring.settings%3Doff");
    let installation = Installation::on(&url);
    let server = installation.serve();
    let answers = futures_util::future::join_all((0..30).map(|_| Answer::of(server.ask()))).await;
    for answer in answers {
        assert!(server.is_active(&answer.tokens().access).await);
    }
    assert_eq!(ready(&server).await.0, 200);
    assert_eq!(server.stop(), Some(0));

    // Its own defaults count there, so they are looked at.
    let hostile = format!("{url}%20-cdefault_transaction_isolation%3Dserializable");
    let refused = Installation::on(&hostile).run(&["session", "list"]);
    assert!(refused.failed(1).contains("SET default_transaction_isolation = 'read committed'"), "{refused:?}");
    database.drop_now().await;
}
