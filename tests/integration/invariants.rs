//! The invariants of the house that the schema and the stored data can show: credentials are bound, secrets are not
//! readable, the trail cannot be changed and misses nothing, and a look-up locks few relations.

use chrono::TimeDelta;
use mooring::{
    audit::Actor,
    db::{access_tokens, partitions},
    jose::from_base64url,
    sessions,
};
use uuid::Uuid;

use crate::support::{
    ALICE, PASSWORD, Server,
    client::{Code, Tokens},
    cluster::hex,
    declared::SECRET,
};

/// Tables whose rows can be redeemed for something: each row hangs on a session.
const BOUND: &[&str] = &["access_tokens", "grants", "ceremonies", "step_ups", "elevation_requests"];

/// Every other table, and why its rows need no session.
const UNBOUND: &[(&str, &str)] = &[
    ("users", "a person, not a credential"),
    ("user_names", "part of a person, by its key"),
    ("credentials", "proves who somebody is before there is a session; enrolment is not redeemed for a token"),
    ("clients", "its secret authenticates a client, which then gets a service session"),
    ("consents", "a memory of what was allowed; nothing can be redeemed with it"),
    ("sessions", "the thing itself"),
    ("session_activity", "part of a session, by its key"),
    ("session_clients", "names under which clients know a session, by its key; a sid opens nothing"),
    ("authorization_requests", "a pushed request precedes any session; the code it is answered with is bound"),
    ("used_jtis", "remembers what is used up"),
    ("signing_keys", "the server's own"),
    ("set_up_links", "makes the first administrator, before anybody can have a session"),
    ("throttles", "counts failures"),
    ("devices", "says that a browser is no stranger; whoever has it still has to prove who they are"),
    ("notices", "tells of a session's end, or writes to a person; it opens nothing"),
    ("password_resets", "a reset secret: whoever forgot their password has no session yet, and gets none by it"),
    ("reset_requests", "asks for a reset link; it opens nothing"),
    ("audit_events", "outlives the session it tells of, so it carries the id without a foreign key"),
    ("scopes", "which were declared"),
    ("resources", "which were declared"),
    ("registered_clients", "counts what strangers store by registering clients"),
    ("partitioned_tables", "how tables are cut"),
    ("audit_removals", "how far old events were removed"),
    ("counts", "figures for the metrics"),
    ("__diesel_schema_migrations", "the migrations' own"),
];

/// Invariant 1.
#[tokio::test]
async fn whatever_can_be_redeemed_has_a_session_by_the_schema() {
    let server = Server::usual().await;
    let tables = server
        .rows(
            "SELECT c.relname, c.relispartition, p.relname FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid \
             LEFT JOIN pg_class p ON p.oid = i.inhparent \
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY 1",
        )
        .await;
    for row in &tables {
        let (table, parent) = (row[0].as_deref().unwrap(), row[2].as_deref());
        let kind = parent.unwrap_or(table);
        let (bound, unbound) = (BOUND.contains(&kind), UNBOUND.iter().any(|(name, _)| *name == kind));
        assert!(bound != unbound, "{table}: say in this test whether its rows can be redeemed");
        if bound {
            let found = server
                .rows(&format!(
                    "SELECT format_type(a.atttypid, NULL), a.attnotnull, f.confrelid::regclass, f.confdeltype, f.convalidated \
                     FROM pg_attribute a LEFT JOIN pg_constraint f ON f.conrelid = a.attrelid AND f.contype = 'f' \
                     AND f.conkey = ARRAY[a.attnum] WHERE a.attrelid = '{table}'::regclass AND a.attname = 'session_id'"
                ))
                .await;
            let expected = ["uuid", "t", "sessions", "a", "t"].map(|it| Some(it.to_owned()));
            assert_eq!(found, [expected], "{table}.session_id must be uuid NOT NULL REFERENCES sessions");
        }
    }
    for name in BOUND.iter().chain(UNBOUND.iter().map(|(name, _)| name)) {
        assert!(tables.iter().any(|row| row[0].as_deref() == Some(name)), "there is no table {name} any more");
    }
    // And the database holds to it.
    let orphan = format!(
        "INSERT INTO access_tokens (id, grant_id, session_id, scope, audience, issued_at, expires_at) SELECT \
         uuid_floor(now()), '{0}', '{0}', '', '{{}}', now(), now()",
        Uuid::from_u128(7)
    );
    assert_eq!(server.as_server(&orphan).await, Err("23503".to_owned()));
}

#[tokio::test]
async fn every_column_says_what_it_is() {
    let server = Server::usual().await;
    let silent = server
        .rows(
            "SELECT c.relname || coalesce('.' || a.attname, '') FROM pg_class c \
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped \
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition \
             AND c.relname NOT IN ('__diesel_schema_migrations', 'partitioned_tables') \
             AND (col_description(c.oid, a.attnum) IS NULL OR obj_description(c.oid, 'pg_class') IS NULL)",
        )
        .await;
    assert!(silent.is_empty(), "without a comment: {silent:?}");
}

/// A person signs in, uses everything, is refused, signs out; returns every secret that was seen on the way.
async fn live_a_little(server: &Server) -> Vec<String> {
    let mut secrets = vec![PASSWORD.to_owned(), SECRET.to_owned()];
    let agent = server.agent();
    let first = agent.open(&server.client("web").request("openid").url()).await;
    secrets.push(agent.cookie().value);
    let page = agent.sign_in(&first, ALICE, "a wrong guess of hers").await;
    secrets.push("a wrong guess of hers".to_owned());
    agent.sign_in(&page, ALICE, PASSWORD).await;
    secrets.push(agent.cookie().value);
    for id in ["web", "jwt", "post", "pkj", "spa"] {
        let client = server.client(id);
        let Code { code, verifier } = client.code(&agent, "openid email offline_access").await;
        let redeemed = client.redeem(&Code { code: code.clone(), verifier: verifier.clone() }).await.tokens();
        let refreshed = client.refresh(&redeemed.refresh).await.tokens();
        client.userinfo(&refreshed.access).await.ok();
        client.revoke(&redeemed.access).await;
        for Tokens { access, refresh, id, .. } in [redeemed, refreshed] {
            secrets.extend([access, refresh, id]);
        }
        secrets.extend([code, verifier]);
    }
    secrets.push(server.client("machine").client_credentials("").await.tokens().access);
    // A second sign-in renews the cookie's secret.
    let page = agent.open(&server.client("web").request("openid").with("prompt", "login").url()).await;
    agent.sign_in(&page, ALICE, PASSWORD).await;
    secrets.push(agent.cookie().value);
    secrets
}

/// Invariant 6: a dump of the database opens nothing.
#[tokio::test]
async fn no_secret_can_be_read_in_the_database() {
    let server = Server::usual().await;
    let secrets = live_a_little(&server).await;
    let tables = server
        .rows("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition")
        .await;
    let mut dump = String::new();
    for table in tables.iter().flatten().flatten() {
        for row in server.rows(&format!("SELECT t::text FROM {table} t")).await.into_iter().flatten().flatten() {
            dump.push_str(&row);
            dump.push('\n');
        }
    }
    assert!(dump.contains("alice@example.com") && dump.len() > 10_000, "the dump holds what is stored");
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        for form in readable_forms(secret) {
            assert!(!dump.contains(&form), "{secret} can be read as {form}");
        }
    }
    let hashes = server.rows("SELECT secret_hash FROM credentials WHERE kind = 'password'").await;
    assert!(hashes.iter().flatten().flatten().all(|hash| hash.starts_with("$argon2id$")), "{hashes:?}");
    let keys = server.rows("SELECT encode(sealed, 'escape') FROM signing_keys").await;
    assert!(!keys.is_empty());
}

/// A secret as text, as octets, and the parts of it that are secret: behind prefix and id, or a JWT's signature.
fn readable_forms(secret: &str) -> Vec<String> {
    let mut forms = vec![secret.to_owned(), hex(secret.as_bytes())];
    if let Some((_, signature)) = secret.rsplit_once('.') {
        forms.push(signature.to_owned());
        return forms;
    }
    let body = ["mo_at_", "mo_rt_", "mo_ac_"].iter().find_map(|prefix| secret.strip_prefix(prefix)).unwrap_or(secret);
    if let Some(octets) = from_base64url(body).filter(|octets| octets.len() >= 32) {
        forms.push(hex(&octets[octets.len() - 32..]));
        forms.push(body[body.len() - 40..].to_owned());
    }
    forms
}

/// Invariant 4, half of it: what the server may not do to the trail.
#[tokio::test]
async fn the_server_cannot_change_the_trail() {
    let server = Server::usual().await;
    live_a_little(&server).await;
    let partition = server
        .value("SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'audit_events'::regclass LIMIT 1")
        .await;
    for statement in [
        "UPDATE audit_events SET outcome = 'done'".to_owned(),
        "DELETE FROM audit_events".to_owned(),
        "TRUNCATE audit_events".to_owned(),
        "DROP TABLE audit_events".to_owned(),
        "ALTER TABLE audit_events DISABLE TRIGGER ALL".to_owned(),
        format!("UPDATE {partition} SET outcome = 'done'"),
        format!("DELETE FROM {partition}"),
        format!("ALTER TABLE audit_events DETACH PARTITION {partition}"),
        "UPDATE partitioned_tables SET keep = '1 minute'".to_owned(),
        "DELETE FROM partitioned_tables".to_owned(),
        "CREATE TABLE mine (x int)".to_owned(),
    ] {
        assert_eq!(server.as_server(&statement).await, Err("42501".to_owned()), "{statement}");
    }
    // Partition maintenance is the one thing it may have done as the owner.
    server
        .as_server(
            "SELECT maintain_partitions(now()); SELECT maintain_a_partition(now()); SELECT count(*) FROM audit_events",
        )
        .await
        .unwrap();
    assert!(server.value("SELECT count(*) FROM audit_events").await.parse::<u32>().unwrap() > 10);
}

/// What runs with the owner's rights is for the server's role alone, and looks where it was written to look.
#[tokio::test]
async fn nobody_else_runs_what_has_the_owners_rights() {
    let server = Server::usual().await;
    let loose = "SELECT string_agg(p.proname, ' ') FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace \
                 AND p.prosecdef AND (p.proacl IS NULL OR EXISTS (SELECT FROM aclexplode(p.proacl) a WHERE a.grantee = 0) \
                 OR NOT coalesce(p.proconfig::text LIKE '%search_path=public, pg_temp%', false))";
    assert_eq!(server.rows(loose).await, [[None]], "SECURITY DEFINER functions");
    let granted = "SELECT string_agg(c.relname, ' ') FROM pg_class c, aclexplode(c.relacl) a \
                   WHERE c.relnamespace = 'public'::regnamespace AND a.grantee = 0";
    assert_eq!(server.rows(granted).await, [[None]], "tables that everybody may use");
    // Nor does the server's role make or drop partitions of any time it likes.
    for wrong in ["now() + interval '11 years'", "'infinity'", "'-infinity'", "NULL", "'1970-01-01'"] {
        for function in ["maintain_partitions", "maintain_a_partition"] {
            let call = format!("SELECT {function}(({wrong})::timestamptz)");
            assert_eq!(server.as_server(&call).await, Err("22023".to_owned()), "{call}");
        }
    }
    // A clock that is ahead drops nothing that lasts by the database's. Here alone: other tests let time pass.
    server.rows("UPDATE partitioned_tables SET ahead = DEFAULT").await;
    let client = server.client("web");
    let tokens = client.tokens(&server.agent(), "openid").await;
    server.as_server("SELECT maintain_partitions(now() + interval '300 days')").await.unwrap();
    client.userinfo(&tokens.access).await.ok();
}

/// Invariant 4, the other half: each change has its event, in the same transaction.
#[tokio::test]
async fn every_change_is_in_the_trail() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let mut seen = trail(&server).await.len();
    let mut told = async |what: &str, expected: &[&str]| {
        let all = trail(&server).await;
        let mut new: Vec<&str> = all[seen..].iter().map(String::as_str).collect();
        new.sort_unstable();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(new, expected, "{what}");
        seen = all.len();
    };
    let request = client.request("openid offline_access");
    let page = agent.open(&request.url()).await;
    told("a visitor comes", &["visitor visitor session.started done"]).await;

    let page = agent.sign_in(&page, ALICE, "wrong").await;
    told("a wrong password", &["visitor visitor sign_in refused"]).await;

    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    told("the right one", &["visitor user session.ended done", "user user session.started done"]).await;

    let page = agent.decide(&page, "allow").await;
    told("consent", &["user user consent.granted done", "user user code.issued done"]).await;

    let code = Code { code: page.code(), verifier: request.verifier };
    let tokens = client.redeem(&code).await.tokens();
    told("redemption", &["user client code.redeemed done", "offline user session.started done"]).await;

    let refreshed = client.refresh(&tokens.refresh).await.tokens();
    told("refresh", &["offline client token.refreshed done"]).await;

    client.revoke(&tokens.access).await;
    told("revocation of one token", &["user client token.revoked done"]).await;

    client.refresh(&refreshed.refresh).await.tokens();
    told("refresh", &["offline client token.refreshed done"]).await;
    client.refresh(&tokens.refresh).await.refused("invalid_grant");
    told("a replayed refresh token", &["offline client refresh.replayed refused", "offline client session.ended done"])
        .await;

    let code = client.code(&agent, "openid").await;
    told("another code", &["user user code.issued done"]).await;
    client.redeem(&code).await.tokens();
    told("its redemption", &["user client code.redeemed done"]).await;
    client.redeem(&code).await.refused("invalid_grant");
    told("its replay", &["user client code.replayed refused"]).await;

    server.client("machine").client_credentials("ships:read").await.tokens();
    told("a machine", &["service client session.started done", "service client token.issued done"]).await;
    server.client("machine").client_credentials("ships:read").await.tokens();
    told("the same machine", &["service client token.issued done"]).await;

    let id = Uuid::parse_str(&server.value("SELECT id FROM sessions WHERE kind = 'user'").await).unwrap();
    server.work(async |tx| sessions::end(tx, id, "ended_by_operator", Actor::Operator).await).await;
    told("the end", &["user operator session.ended done"]).await;
    server.work(async |tx| sessions::end(tx, id, "ended_by_operator", Actor::Operator).await).await;
    told("ending what has ended changes nothing", &[]).await;

    // Each tells when, and whence, but the address only as a keyed hash.
    let vague = "SELECT count(*) FROM audit_events WHERE action = 'sign_in' AND (source_hash IS NULL OR agent_hash IS NULL OR trace = '')";
    assert_eq!(server.value(vague).await, "0");
    assert_eq!(server.value("SELECT count(*) FROM audit_events e WHERE e::text LIKE '%127.0.0.1%'").await, "0");
}

async fn trail(server: &Server) -> Vec<String> {
    let rows = server.rows("SELECT kind || ' ' || actor || ' ' || action || ' ' || outcome FROM audit_events ORDER BY xid::text::bigint, id").await;
    rows.into_iter().flatten().flatten().collect()
}

/// At most 8 partitions on a look-up path, whenever one looks, and few relations locked by the look-up.
#[tokio::test]
async fn a_look_up_locks_few_relations() {
    const PARTITIONS: u32 = 8;
    // Of the token's partitions and their indexes two each, and the tables that are joined with all their indexes: people
    // are found by their address, too, and sessions by when they leave.
    const LOCKS: u32 = 48;
    let server = Server::usual().await;
    let mut most = 0;
    for _ in 0..12 {
        server.advance(TimeDelta::hours(3)).await;
        let token = server.client("machine").client_credentials("").await.tokens().access;
        assert!(server.client("api").is_active(&token).await);
        let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'access_tokens'::regclass";
        let partitions: u32 = server.value(partitions).await.parse().unwrap();
        assert!(partitions <= PARTITIONS, "{partitions} partitions");
        let held = server
            .work(async |tx| {
                let found = access_tokens::find_live_with_caller(tx, "api", Some(Uuid::from_u128(7))).await?;
                assert!(found.is_some());
                let most = "SELECT max(n) FROM (SELECT count(*) AS n FROM pg_locks WHERE locktype = 'relation' \
                            AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
                            AND pid <> pg_backend_pid() GROUP BY pid) held";
                Ok(server.value(most).await.parse::<u32>().unwrap())
            })
            .await;
        most = most.max(held);
    }
    assert!(most > 10, "the look-up holds its locks until its transaction ends: {most}");
    assert!(most <= LOCKS, "{most} relations are locked");
}

/// The look-ups are planned on small tables, where an index that has only the client looks as good as the key: it would
/// be read through from end to end once the client is everybody's.
#[tokio::test]
async fn no_index_leads_a_look_up_through_all_of_a_client() {
    let server = Server::usual().await;
    let found = server
        .rows(
            "SELECT i.indexrelid::regclass::text FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid \
             JOIN pg_attribute a ON a.attrelid = t.oid AND a.attnum = i.indkey[0] AND a.attname = 'client_id' \
             JOIN pg_index k ON k.indrelid = t.oid AND k.indisprimary \
             WHERE t.relname IN ('sessions', 'session_clients', 'consents', 'grants', 'authorization_requests') \
             AND NOT string_to_array(k.indkey::text, ' ') <@ string_to_array(i.indkey::text, ' ')",
        )
        .await;
    assert!(found.is_empty(), "these do not hold the table's key: {found:?}");
}

/// The next partitions are there in time, and readiness would say if they were not.
#[tokio::test]
async fn partitions_are_made_ahead() {
    let server = Server::usual().await;
    assert!(server.work(async |tx| partitions::load_missing(tx).await).await.is_empty());
    server.clock.advance(TimeDelta::days(130));
    let missing = server.work(async |tx| partitions::load_missing(tx).await).await;
    assert_eq!(missing, ["access_tokens", "audit_events", "used_jtis"]);
    partitions::maintain(&server.app.db, server.clock.now()).await.unwrap();
    assert!(server.work(async |tx| partitions::load_missing(tx).await).await.is_empty());
    server.client("web").tokens(&server.agent(), "openid").await;
}
