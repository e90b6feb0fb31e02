//! Fills a database as years of use would, in SQL.

use std::time::{Duration, Instant};

use tokio_postgres::Client;

use crate::{Fallible, Sizes};

/// The secret part of every token that is made here: 32 octets.
pub const SECRET: &[u8; 32] = b"the secret of each filled token.";

/// The client that most of it is of, and the one that a hundred sessions know.
pub const COMMON: &str = "rs256";
pub const RARE: &str = "es256";

/// So much at a time, so that it is seen to go on.
const STEP: usize = 500_000;

/// Sessions of each user.
const SESSIONS_EACH: usize = 10;

/// Adds users who consented, their sessions with activity and clients, grants, tokens and events; returns how long it took.
pub async fn fill(database: &Client, sizes: &Sizes) -> Fallible<Duration> {
    let begun = Instant::now();
    database.batch_execute("SET synchronous_commit = off; SET work_mem = '256MB'").await?;
    add_users(database, sizes.sessions.div_ceil(SESSIONS_EACH)).await?;
    let sessions = format!(
        "INSERT INTO sessions (id, kind, user_id, acr, amr, auth_time, epoch, idle_timeout, expires_at, created_at, look_at) \
         SELECT new_id(now()), 'user', u.id, 'urn:mooring:acr:pwd', '{{pwd}}', now(), 0, interval '30 days', \
         now() + interval '30 days', now(), now() + interval '30 days' \
         FROM generate_series(1, :n) g JOIN people u ON u.n = 1 + (g + :from) / {SESSIONS_EACH} % (SELECT max(n) FROM people)"
    );
    steps(database, "sessions", &sessions, sizes.sessions).await?;
    for part in [
        "INSERT INTO session_activity (session_id, last_seen_at) SELECT id, now() - interval '2 minutes' FROM sessions s \
         WHERE NOT EXISTS (SELECT FROM session_activity a WHERE a.session_id = s.id)"
            .to_owned(),
        format!(
            "INSERT INTO session_clients SELECT id, '{COMMON}', gen_random_uuid(), now() FROM sessions \
             ON CONFLICT DO NOTHING"
        ),
        format!(
            "INSERT INTO session_clients SELECT id, '{RARE}', gen_random_uuid(), now() FROM sessions \
             ORDER BY id LIMIT 100 ON CONFLICT DO NOTHING"
        ),
        "CREATE TEMPORARY TABLE numbered AS SELECT row_number() OVER () AS n, id, user_id FROM sessions WHERE kind = 'user'"
            .to_owned(),
        "CREATE INDEX ON numbered (n); ANALYZE numbered".to_owned(),
    ] {
        database.batch_execute(&part).await?;
    }
    let all: i64 = database.query_one("SELECT count(*) FROM numbered", &[]).await?.get(0);
    let grants = format!(
        "INSERT INTO grants (id, session_id, user_id, client_id, sid, scope, acr, created_at, redeemed_at, redirect_uri, \
         code_challenge, code_expires_at, refresh_seed, refresh_generation, refresh_rotated_at) \
         SELECT new_id(now()), s.id, s.user_id, '{COMMON}', s.id, 'openid profile email', 'urn:mooring:acr:pwd', now(), now(), \
         'http://127.0.0.1:9/callback', 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', now(), decode(md5('a') || md5('b'), 'hex'), 1, now() \
         FROM generate_series(1, :n) g JOIN numbered s ON s.n = 1 + (g + :from) % {all}"
    );
    steps(database, "grants", &grants, sizes.grants).await?;
    database
        .batch_execute(&format!(
            "CREATE TEMPORARY TABLE granted AS SELECT row_number() OVER () AS n, g.id, g.session_id FROM grants g \
                 JOIN sessions s ON s.id = g.session_id AND s.ended_at IS NULL \
                 WHERE g.client_id = '{COMMON}' AND g.user_id IN (SELECT id FROM people); \
             CREATE INDEX ON granted (n); ANALYZE granted"
        ))
        .await?;
    let all: i64 = database.query_one("SELECT count(*) FROM granted", &[]).await?.get(0);
    let tokens = format!(
        "INSERT INTO access_tokens (id, grant_id, session_id, secret_hash, scope, audience, issued_at, expires_at) \
         SELECT new_id(now()), k.id, k.session_id, sha256('{}'), 'openid profile email', \
         ARRAY(SELECT value FROM issuer), now(), now() + interval '6 hours' \
         FROM generate_series(1, :n) g JOIN granted k ON k.n = 1 + (g + :from) % {all}",
        String::from_utf8_lossy(SECRET)
    );
    steps(database, "tokens", &tokens, sizes.tokens).await?;
    let all: i64 = database.query_one("SELECT count(*) FROM numbered", &[]).await?.get(0);
    let events = format!(
        "INSERT INTO audit_events (id, at, kind, session_id, actor, user_id, client_id, action, outcome, detail, source_hash, agent_hash, trace) \
         SELECT new_id(now()), now(), CASE WHEN (g + :from) % 3000000 = 7 THEN 'privileged' ELSE 'user' END, s.id, 'client', s.user_id, \
         '{COMMON}', 'token.refreshed', 'done', '{{\"aud\": \"x\", \"scope\": \"openid profile email\"}}', decode(md5('a'), 'hex'), \
         decode(md5('b'), 'hex'), 'trace' FROM generate_series(1, :n) g JOIN numbered s ON s.n = 1 + (g + :from) % {all}"
    );
    steps(database, "events", &events, sizes.events).await?;
    database.batch_execute("DROP TABLE people, numbered, granted").await?;
    // By itself: it cannot run in a transaction, which several statements at once are.
    database.batch_execute("VACUUM ANALYZE").await?;
    Ok(begun.elapsed())
}

/// Users with a name and an address each, who consented to the common client.
async fn add_users(database: &Client, count: usize) -> Fallible<()> {
    let users = format!(
        "CREATE TEMPORARY TABLE people AS SELECT row_number() OVER () AS n, new_id(now()) AS id, \
             'p' || encode(sha256(g::text::bytea || now()::text::bytea), 'hex') AS name FROM generate_series(1, {count}) g; \
         CREATE INDEX ON people (n); ANALYZE people; \
         INSERT INTO users (id, username, username_key, claims, created_at, updated_at) \
             SELECT id, name, name, jsonb_build_object('name', name, 'email', name || '@example.com'), now(), now() FROM people; \
         INSERT INTO consents (user_id, client_id, scope, granted_at) \
             SELECT id, '{COMMON}', '{{openid,profile,email}}', now() FROM people"
    );
    Ok(database.batch_execute(&users).await?)
}

async fn steps(database: &Client, what: &str, statement: &str, count: usize) -> Fallible<()> {
    let begun = Instant::now();
    let mut from = 0;
    while from < count {
        let n = STEP.min(count - from);
        database.batch_execute(&statement.replace(":n", &n.to_string()).replace(":from", &from.to_string())).await?;
        from += n;
    }
    if count >= STEP {
        println!("  {count} {what} in {:.0} s", begun.elapsed().as_secs_f64());
    }
    Ok(())
}
