//! The database beside the server: which process it is, what it counts, and what one commit costs.

use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

use crate::{
    Fallible,
    cpu::{self, Of},
};

pub struct Postgres {
    client: Client,
    url: String,
    /// Its first process.
    pub postmaster: u32,
}

/// Running totals.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    transactions: f64,
    writing: f64,
    flushes: f64,
}

/// The difference of two.
#[derive(Clone, Copy, Debug)]
pub struct Counted {
    /// Transactions, reading ones included; nothing where too few ran for PostgreSQL's processes to publish them.
    pub transactions: Option<f64>,
    /// Transactions that wrote: exact, because each takes a number.
    pub writing: f64,
    /// Flushes of the write-ahead log to the disk, as far as they are published.
    pub flushes: Option<f64>,
}

impl Counts {
    pub fn since(&self, earlier: &Self, published: bool) -> Counted {
        Counted {
            transactions: published.then_some(self.transactions - earlier.transactions),
            writing: self.writing - earlier.writing,
            flushes: published.then_some(self.flushes - earlier.flushes),
        }
    }
}

const COUNTS: &str =
    "SELECT xact_commit + xact_rollback, pg_snapshot_xmax(pg_current_snapshot())::text::bigint, wal_sync
                      FROM pg_stat_database, pg_stat_wal WHERE datname = current_database()";

impl Postgres {
    pub async fn connect(url: &str) -> Fallible<Self> {
        let client = connect(url).await?;
        let backend: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.get(0);
        let postmaster = u32::try_from(backend)
            .ok()
            .and_then(cpu::parent)
            .ok_or("PostgreSQL runs on another machine: its processor time cannot be read")?;
        Ok(Self { client, url: url.to_owned(), postmaster })
    }

    pub async fn counts(&self) -> Fallible<Counts> {
        let row = self.client.query_one(COUNTS, &[]).await?;
        let number = |index: usize| row.get::<_, i64>(index) as f64;
        Ok(Counts { transactions: number(0), writing: number(1), flushes: number(2) })
    }

    /// Version and durability, for the heading.
    pub async fn describe(&self) -> Fallible<String> {
        let sql = "SELECT 'PostgreSQL ' || current_setting('server_version') || ', fsync ' || current_setting('fsync')
                   || ', synchronous_commit ' || current_setting('synchronous_commit')";
        Ok(self.client.query_one(sql, &[]).await?.get(0))
    }

    /// Single-row inserts, each its own commit, one after another on one connection: how many a second, and
    /// PostgreSQL's time for a thousand.
    pub async fn insert_commits(&self, time: Duration) -> Fallible<(f64, f64)> {
        let client = connect(&self.url).await?;
        client
            .batch_execute("DROP TABLE IF EXISTS mooring_flows_scratch; CREATE TABLE mooring_flows_scratch (id bigint PRIMARY KEY, at timestamptz NOT NULL)")
            .await?;
        let insert = client.prepare("INSERT INTO mooring_flows_scratch VALUES ($1, now())").await?;
        let before = cpu::read(Of::Family(self.postmaster));
        let (from, mut count) = (Instant::now(), 0_i64);
        while from.elapsed() < time {
            client.execute(&insert, &[&count]).await?;
            count += 1;
        }
        let (elapsed, spent) = (from.elapsed(), cpu::read(Of::Family(self.postmaster)).since(&before));
        client.batch_execute("DROP TABLE mooring_flows_scratch").await?;
        let count = count as f64;
        Ok((count / elapsed.as_secs_f64(), spent.as_secs_f64() * 1000.0 / count))
    }
}

async fn connect(url: &str) -> Fallible<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            eprintln!("the connection to PostgreSQL ended: {error}");
        }
    });
    Ok(client)
}
