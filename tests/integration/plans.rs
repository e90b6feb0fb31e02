//! How PostgreSQL carries out what the server says: a look-up by key stays one, whatever the tables held when it was
//! planned. The server plans each statement once a connection, perhaps while they are empty.

use std::time::Duration;

use mooring::{
    db::{Trace, declarations, users},
    failure::Broken,
    jobs::JOBS,
    sessions::Proof,
};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    ALICE, Server, Settings,
    client::{Code, userinfo},
    proof::request_of,
};

/// Fills every table that a statement goes through with so many rows.
const FILL: &str = "
    INSERT INTO clients (client_id, metadata, created_at, updated_at)
        SELECT 'c' || n, '{}', now(), now() FROM generate_series(1, least(20, :rows)) n;
    INSERT INTO users (id, username, username_key, created_at, updated_at)
        SELECT new_id(now()), 'u' || n, 'u' || n, now(), now() FROM generate_series(1, :rows) n;
    INSERT INTO sessions (id, kind, user_id, acr, expires_at, created_at)
        SELECT new_id(now()), 'user', id, '', now() + interval '1 day', now() FROM users;
    INSERT INTO sessions (id, kind, client_id, acr, expires_at, created_at)
        SELECT new_id(now()), 'service', client_id, '', now() + interval '1 day', now() FROM clients;
    INSERT INTO session_activity (session_id, last_seen_at) SELECT id, now() FROM sessions;
    INSERT INTO session_clients SELECT id, 'c1', gen_random_uuid(), now() FROM sessions;
    INSERT INTO consents (user_id, client_id, scope, granted_at) SELECT id, 'c1', '{}', now() FROM users;
    INSERT INTO authorization_requests (id, session_id, client_id, parameters, created_at, expires_at)
        SELECT new_id(now()), id, 'c1', '', now(), now() FROM sessions;
    INSERT INTO grants (id, session_id, user_id, client_id, sid, scope, acr, created_at)
        SELECT new_id(now()), id, user_id, 'c1', id, '', '', now() FROM sessions;
    INSERT INTO access_tokens (id, grant_id, session_id, scope, audience, issued_at, expires_at)
        SELECT new_id(now()), id, session_id, '', '{}', now(), now() FROM grants;
    INSERT INTO credentials (id, user_id, kind, created_at, changed_at)
        SELECT new_id(now()), id, 'password', now(), now() FROM users;
    INSERT INTO password_resets (id, user_id, created_at, expires_at) SELECT new_id(now()), id, now(), now() FROM users;
    INSERT INTO ceremonies (id, session_id, purpose, created_at, expires_at)
        SELECT new_id(now()), id, 'sign_in', now(), now() FROM sessions;
    INSERT INTO step_ups (session_id, client_id, scope, acr, proved_at) SELECT id, 'c1', '{}', '', now() FROM sessions;
    INSERT INTO elevation_requests (id, session_id, user_id, client_id, scope, reason, minutes, created_at, expires_at, voided_at,
            void_reason)
        SELECT new_id(now()), id, user_id, 'c1', '{}', '', 1, now(), now(), now(), 'lapsed' FROM sessions WHERE kind = 'user';
    INSERT INTO notices (id, kind, session_id, client_id, sid, created_at, due_at)
        SELECT new_id(now()), 'backchannel_logout', session_id, client_id, sid, now(), now() FROM session_clients;
    INSERT INTO notices (id, kind, user_id, template, detail, created_at, due_at)
        SELECT new_id(now()), 'mail', id, '', '{}', now(), now() FROM users;
    INSERT INTO throttles (key, empty_at) SELECT decode(md5(n::text), 'hex'), now() FROM generate_series(1, :rows) n;
    INSERT INTO devices (id, user_id, secret_hash, previous_hash, rotated_at, created_at, used_at)
        SELECT new_id(now()), id, decode(md5('a' || id), 'hex'), decode(md5('b' || id), 'hex'), now(), now(), now() FROM users;
    UPDATE sessions SET ended_at = now(), end_reason = 'signed_out' WHERE hashtext(id::text) % 2 = 0;";

/// Tables and partial indexes that have few rows, however many people and sessions there are.
const FEW: [&str; 11] = [
    "signing_keys",
    "scopes",
    "resources",
    "set_up_links",
    "partitioned_tables",
    "users_known",
    "clients_declared",
    "clients_unused",
    "elevation_requests_to_review",
    "reset_requests",
    "user_names_open",
];

#[tokio::test]
async fn no_statement_reads_a_table_through() {
    // With one connection the look-ups share it with the changes, and it knows all their statements.
    let server = Server::start(Settings::default().connections(1)).await;
    take_every_path(&server).await;
    do_every_job(&server).await;
    let (settings, prepared) = prepared(&server).await;
    assert!(settings.contains("plan_cache_mode"), "{settings}");
    for part in [
        "live_access_tokens",
        "live_grants",
        "session_clients",
        "refresh_generation",
        "redeemed_at = c.at",
        "WITH looked AS",
        "row_number() OVER (PARTITION BY s.client_id",
        "WITH RECURSIVE parties",
        "DELETE FROM throttles",
        "decode('01', 'hex')",
        "UPDATE consents SET withdrawn_at",
    ] {
        assert!(prepared.iter().any(|(_, statement)| statement.contains(part)), "nothing prepared has {part}");
    }
    let batches = prepared.iter().filter_map(of_three).count();
    assert!(batches >= 4, "only {batches} statements make several changes");

    let mut read_through = Vec::new();
    // Of many rows PostgreSQL expects a statement to want more, and joins them otherwise than few.
    for rows in [0, 1, 2, 5, 50, 1000, 20_000] {
        server.rows("TRUNCATE users, clients CASCADE; TRUNCATE access_tokens, throttles").await;
        server.rows(&FILL.replace(":rows", &rows.to_string())).await;
        server.rows("VACUUM ANALYZE").await;
        // Without a condition all rows are wanted: of clients and signing keys, of which there are few.
        let statements = prepared.iter().filter(|(_, statement)| statement.contains("WHERE"));
        for (types, statement) in statements.flat_map(|one| [Some(one.clone()), of_three(one)]).flatten() {
            let nulls = vec!["NULL"; types.split(',').filter(|name| !name.is_empty()).count()].join(", ");
            let (declared, given) = if nulls.is_empty() {
                (String::new(), String::new())
            } else {
                (format!("({types})"), format!("({nulls})"))
            };
            let explain = format!(
                "{settings}; PREPARE planned{declared} AS {statement}; EXPLAIN (FORMAT JSON) EXECUTE planned{given}"
            );
            let rows_of_plan = server.rows(&explain).await;
            let plan = rows_of_plan.into_iter().flatten().flatten().last().expect("a plan");
            let plan: Value = serde_json::from_str(&plan).expect("a plan is JSON");
            let mut found = Vec::new();
            without_key(&plan[0]["Plan"], false, &mut found);
            if !found.is_empty() {
                read_through.push(format!("with {rows} rows, {found:?}: {statement}"));
            }
        }
    }
    assert!(read_through.is_empty(), "{}", read_through.join("\n"));
}

/// A statement for one change as it is for three of them (`db::batch`).
fn of_three((types, statement): &(String, String)) -> Option<(String, String)> {
    let (before, rest) = statement.split_once("(VALUES (")?;
    let (row, after) = rest.split_once(")) v (")?;
    let (columns, after) = after.split_once(')')?;
    let width = row.split(", ").count();
    let parameters =
        |change| (1..=width).map(move |n| format!("${}", change * width + n)).collect::<Vec<_>>().join(", ");
    assert_eq!(parameters(0), row);
    let rows = [0, 1, 2].map(|change| format!("({})", parameters(change))).join(", ");
    let patience = "set_config('lock_timeout', '50ms', true) patience";
    let statement = format!("{before}(VALUES {rows}) v ({columns}), {patience}{after}");
    Some(([types.as_str(); 3].join(","), statement))
}

/// What relying parties and people wait for.
async fn take_every_path(server: &Server) {
    for id in ["web", "jwt", "pkj"] {
        let client = server.client(id);
        let agent = server.agent();
        client.tokens(&agent, "openid offline_access").await;
        let first = client.tokens(&agent, "openid").await;
        let second = client.refresh(&first.refresh).await.tokens();
        client.refresh(&first.refresh).await.tokens();
        userinfo(server, &second.access).await.ok();
        assert!(client.is_active(&second.access).await);
        assert!(client.is_active(&second.refresh).await);
        assert_eq!(client.report(&json!({ "token": second.access })).await.status, 202);
        client.revoke(&second.access).await;
        agent.step(&client.pushed(&client.request("openid")).await.url()).await.code();
        // Elsewhere, too.
        client.code(&server.agent(), "openid").await;
        let page = agent.open(&server.at("/account")).await;
        agent.submit(&page.form_to("/end-others")).await;
        let page = agent.open(&server.at("/account")).await;
        agent.submit(&page.form_to("/withdraw").press_first()).await;
        let page = agent.open(&server.at("/account")).await;
        agent.submit(&page.form_to("/sign-out")).await;
    }
    // Privileged work, in one browser and then in another, which ends it in the first.
    server.enrol(ALICE, "passkey").await;
    for _ in 0..2 {
        let (client, agent) = (server.client("web"), server.agent());
        let page = agent.walk(&client.request("openid payments:write").url(), ALICE).await;
        server.prove(&page, ALICE, Proof::PASSKEY).await;
        let mut page = agent.walk(&server.at(&format!("/oauth/authorize/{}", request_of(&page))), ALICE).await;
        if page.offers("end-other") {
            page = agent.decide(&page, "end-other").await;
        }
        page.code();
        let request = client.request("openid payments:write");
        let code = Code { code: agent.walk(&request.url(), ALICE).await.code(), verifier: request.verifier };
        let tokens = client.redeem(&code).await.tokens();
        assert!(client.is_active(&client.refresh(&tokens.refresh).await.tokens().access).await);
    }
    let machine = server.client("machine");
    for _ in 0..2 {
        machine.client_credentials("").await.tokens();
    }
}

/// What is done without a request: the jobs, and what every start looks for.
async fn do_every_job(server: &Server) {
    for job in JOBS {
        // The one that delivers notices goes on for ever.
        match timeout(Duration::from_secs(2), job.turn(&server.app)).await {
            Ok(done) => done.unwrap_or_else(|broken| panic!("{}: {broken}", job.name)),
            Err(_) => assert_eq!(job.name, "notices"),
        }
    }
    let app = &server.app;
    app.db
        .work(app.clock.now(), &Trace::default(), async |tx| -> Result<(), Broken> {
            declarations::mark_users(tx, &["alice"]).await?;
            declarations::mark_clients(tx, &["web"]).await?;
            users::an_admin_exists(tx).await.map(drop)
        })
        .await
        .unwrap();
}

/// The planner's settings of the server's connection, and what it has prepared, with the types of the parameters: kept
/// for us by the connection itself while it writes an event.
async fn prepared(server: &Server) -> (String, Vec<(String, String)>) {
    server
        .rows(
            "CREATE TABLE kept (kind text, name text, value text);
             GRANT INSERT ON kept TO PUBLIC;
             CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 INSERT INTO kept SELECT 'setting', name, setting FROM pg_settings
                     WHERE source = 'client' AND category LIKE 'Query Tuning%';
                 INSERT INTO kept SELECT 'statement', array_to_string(parameter_types, ','), statement
                     FROM pg_prepared_statements;
                 RETURN NULL;
             END $$;
             CREATE TRIGGER keep AFTER INSERT ON audit_events FOR EACH STATEMENT EXECUTE FUNCTION keep()",
        )
        .await;
    server.client("machine").client_credentials("").await.tokens();
    server.rows("DROP TRIGGER keep ON audit_events").await;
    let kept = async |kind: &str| {
        let rows = server.rows(&format!("SELECT DISTINCT name, value FROM kept WHERE kind = '{kind}'")).await;
        rows.into_iter().map(|row| {
            let mut row = row.into_iter().map(Option::unwrap_or_default);
            (row.next().unwrap_or_default(), row.next().unwrap_or_default())
        })
    };
    let settings: Vec<_> = kept("setting").await.map(|(name, value)| format!("SET {name} = '{value}'")).collect();
    (settings.join("; "), kept("statement").await.collect())
}

/// The scans of a plan that no key leads; `first` where only the first row of one is wanted.
fn without_key(node: &Value, first: bool, found: &mut Vec<String>) {
    let text = |name: &str| node[name].as_str().unwrap_or_default();
    let scans = ["Seq Scan", "Index Scan", "Index Only Scan", "Bitmap Index Scan"].contains(&text("Node Type"));
    let names = [text("Relation Name"), text("Index Name")];
    let is_short = names.iter().any(|name| FEW.contains(name)) || (first && node["Filter"].is_null());
    if scans && node["Index Cond"].is_null() && !is_short {
        found.push(names.join(" "));
    }
    let first = text("Node Type") == "Limit" && node["Plan Rows"] == 1;
    for part in node["Plans"].as_array().into_iter().flatten() {
        without_key(part, first, found);
    }
}
