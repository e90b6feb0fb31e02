//! The unit of work: one connection, one instant, and the audit events that are written with its change.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use serde_json::Value;
use tokio::time::{Instant, error::Elapsed, timeout_at};
use uuid::Uuid;

use super::{
    Database, audit_events,
    audit_events::AuditEvent,
    batch::Company,
    connection::Conn,
    ids,
    pool::{Lease, Reader},
    sqlstate::Trouble,
};
use crate::failure::{Broken, Failure, Stop};

/// Who is asking, as far as the audit and the activity of a session record it. Addresses and agents only as keyed
/// hashes, with a coarse form for people.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    pub request_id: String,
    pub source_hash: Option<Vec<u8>>,
    /// The wider networks that an IPv6 source is in, the narrowest first. Counted, and never kept with an event.
    pub neighbourhoods: Vec<Vec<u8>>,
    /// SHA-256 of the device cookie.
    pub device_cookie: Option<Vec<u8>>,
    pub agent_hash: Option<Vec<u8>>,
    /// Such as `203.0.x.x`.
    pub place: Option<String>,
    /// Such as `Firefox on Linux`.
    pub device: Option<String>,
    /// The whole address, for the log alone: only where `[log] sources` is on. Never stored.
    pub address: Option<String>,
    /// The account of the shell that a command runs in: facts for the events of an operator.
    pub shell: Option<Value>,
}

impl Trace {
    /// The keyed hashes of the source and of the wider networks that it is in, the narrowest first.
    pub fn networks(&self) -> impl Iterator<Item = &[u8]> {
        self.source_hash.iter().chain(&self.neighbourhoods).map(Vec::as_slice)
    }

    /// The source as the log may show it: its address where the operator chose so, else its place.
    #[must_use]
    pub fn shown_source(&self) -> &str {
        self.address.as_deref().or(self.place.as_deref()).unwrap_or("unknown")
    }
}

/// Whose connection a unit of work runs on.
#[expect(clippy::large_enum_variant, reason = "it is moved once, and most are the large one")]
enum Lent {
    Own(Lease),
    Reader(Arc<Reader>),
    /// None yet: its change is made together with those of other units.
    Company(Database, Arc<Company>),
    /// Once nothing more can come of the unit.
    Closed,
}

/// The unit of work that every function about data takes first.
pub struct Tx {
    conn: Lent,
    pub now: DateTime<Utc>,
    pub trace: Trace,
    /// Each with its place in the story of this unit.
    pub(super) events: Vec<(usize, AuditEvent)>,
    told: usize,
    /// Whether notices wait for the commit.
    queued: bool,
    in_transaction: bool,
    /// What the connection had answered when the unit got it.
    answered_before: u64,
}

impl Tx {
    pub(super) fn conn(&self) -> &Conn {
        match &self.conn {
            Lent::Own(conn) => conn,
            Lent::Reader(reader) => reader.connection(),
            Lent::Company(..) => unreachable!("a unit of one change has no connection before `connect`"),
            Lent::Closed => unreachable!("a unit of work is used after its end"),
        }
    }

    /// The connection, for what no other unit may see half of.
    fn own(&self) -> Result<&Conn, Broken> {
        match &self.conn {
            Lent::Own(conn) => Ok(conn),
            Lent::Reader(_) | Lent::Company(..) | Lent::Closed => {
                Err(Broken::new("a transaction on a connection that is shared"))
            }
        }
    }

    /// In whose company the unit's change is made, unless it has a connection.
    pub(super) fn company(&self) -> Option<(&Database, &Arc<Company>)> {
        match &self.conn {
            Lent::Company(db, company) => Some((db, company)),
            _ => None,
        }
    }

    /// Takes a connection, for what cannot be made together with what others do.
    pub(super) async fn connect(&mut self) -> Result<(), Broken> {
        if let Lent::Company(db, _) = &self.conn {
            let conn = db.connection().await?;
            self.answered_before = conn.answered();
            self.conn = Lent::Own(conn);
        }
        Ok(())
    }

    /// A new id of this unit's instant.
    #[must_use]
    pub fn new_id(&self) -> Uuid {
        ids::new_id(self.now)
    }

    /// Keeps an event until the change commits.
    pub fn record(&mut self, mut event: AuditEvent) {
        if let Some(shell) = self.trace.shell.as_ref().filter(|_| event.actor == "operator") {
            event.add_fact("shell", shell.clone());
        }
        self.events.push((self.told, event));
        self.told += 1;
    }

    /// Hands the events to a statement that writes them together with its change.
    pub(super) fn take_events(&mut self) -> Value {
        audit_events::as_rows(std::mem::take(&mut self.events), self.now, &self.trace)
    }

    /// Hands the latest event to the statement whose change it tells. Others can only be there in a transaction, which
    /// writes them before it commits.
    #[track_caller]
    pub(super) fn take_event(&mut self) -> Result<(usize, AuditEvent), Broken> {
        match self.events.pop() {
            Some(event) if self.events.is_empty() || self.in_transaction => Ok(event),
            Some(_) => Err(Broken::new("a statement by itself cannot tell two events")),
            None => Err(Broken::new("a change without its event")),
        }
    }

    /// Notes that a statement queued notices, or not: whoever delivers them is told at the commit.
    pub(super) fn queued(&mut self, some: bool) {
        self.queued |= some;
    }

    async fn begin(&mut self) -> Result<(), Broken> {
        // Before it is: whoever waits for it may go away meanwhile.
        self.in_transaction = true;
        self.own()?.run("BEGIN ISOLATION LEVEL READ COMMITTED").await.or_broken("begin")
    }

    /// Writes the events and commits.
    async fn finish(&mut self) -> Result<(), Broken> {
        if !self.events.is_empty() {
            self.connect().await?;
            let written = audit_events::insert(self).await;
            written.map_err(|broken| if self.in_transaction { broken.before_commit() } else { broken })?;
        }
        if self.in_transaction {
            self.own()?.run("COMMIT").await.or_broken("commit")?;
            self.in_transaction = false;
        }
        Ok(())
    }

    async fn abandon(&mut self) {
        if self.in_transaction
            && let Ok(conn) = self.own()
        {
            match conn.run("ROLLBACK").await {
                Ok(()) => self.in_transaction = false,
                Err(error) => tracing::warn!(%error, "rollback failed"),
            }
        }
    }
}

impl Tx {
    fn on(conn: Lent, now: DateTime<Utc>, trace: &Trace) -> Self {
        let answered_before = match &conn {
            Lent::Own(conn) => conn.answered(),
            Lent::Reader(_) | Lent::Company(..) | Lent::Closed => 0,
        };
        Self {
            conn,
            now,
            trace: trace.clone(),
            events: Vec::new(),
            told: 0,
            queued: false,
            in_transaction: false,
            answered_before,
        }
    }

    /// Whether nothing that the unit asked by itself was answered yet.
    fn is_untouched(&self) -> bool {
        match &self.conn {
            Lent::Own(conn) => conn.answered() == self.answered_before,
            // A batch tries once more by itself.
            Lent::Reader(_) | Lent::Company(..) | Lent::Closed => false,
        }
    }

    /// Closes the connection, and cancels what was asked on it: it may be answered at any time, or never.
    fn close(&mut self) {
        match std::mem::replace(&mut self.conn, Lent::Closed) {
            Lent::Own(conn) => close(conn),
            Lent::Reader(reader) => reader.give_up(),
            Lent::Company(..) | Lent::Closed => {}
        }
    }

    /// Whether another look-up gave up the connection that they share.
    fn is_given_up(&self) -> bool {
        matches!(&self.conn, Lent::Reader(reader) if reader.is_given_up())
    }
}

/// A request whose caller goes away is dropped where it stands. Within a transaction its connection is closed, which undoes
/// what was begun: back in the pool it would keep its locks until somebody happens to need it.
impl Drop for Tx {
    fn drop(&mut self) {
        if self.in_transaction {
            self.close();
        }
    }
}

fn close(conn: Lease) {
    Lease::take(conn).give_up();
}

/// What came of a part of a unit. Where the database was waited for long enough, the connection is closed.
fn in_time<T, E: From<Broken>>(outcome: Result<Result<T, E>, Elapsed>, tx: &mut Tx) -> Result<T, E> {
    outcome.unwrap_or_else(|_| {
        tx.close();
        Err(unanswered().into())
    })
}

#[track_caller]
fn unanswered() -> Broken {
    Broken::unavailable("the database does not answer")
}

/// Units of work. Each is a closure that can be copied, so that it can run once more; so it changes nothing but the database. Each
/// ends with its answer or, where a request waits for it, with "try again" within a few seconds,
/// however long the database is silent.
impl Database {
    /// Runs `work` in one transaction; its events are committed with it. An `Err` rolls everything back, so a refusal
    /// that changes state has to be a value inside `Ok`.
    ///
    /// Where the database goes away before the commit, nothing has happened, and a copy of `work` runs
    /// on another connection.
    pub async fn work<T, E: From<Broken> + Cause>(
        &self,
        now: DateTime<Utc>,
        trace: &Trace,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, E> + Clone,
    ) -> Result<T, E> {
        let deadline = self.deadline();
        let mut again = true;
        loop {
            let mut tx = self.unit(now, trace, deadline).await?;
            let work = work.clone();
            let part = async {
                tx.begin().await.map_err(Broken::before_commit)?;
                match work(&mut tx).await {
                    Ok(value) => {
                        self.finish(&mut tx).await?;
                        Ok(value)
                    }
                    Err(error) if error.is_lost() => Err(error.before_commit()),
                    Err(error) => {
                        tx.abandon().await;
                        Err(error)
                    }
                }
            };
            let outcome = timeout_at(deadline, part).await;
            match in_time(outcome, &mut tx) {
                Err(error) if again && error.is_undone() && Instant::now() < deadline => again = false,
                outcome => return outcome,
            }
        }
    }

    /// Runs `work` without a transaction: each of its statements is its own. For reads, and for paths whose whole
    /// change, events included, is one statement. Where the database refuses the first of them because of the connection, `work`
    /// runs once more on another.
    pub async fn single<T, E: From<Broken> + Cause>(
        &self,
        now: DateTime<Utc>,
        trace: &Trace,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, E> + Clone,
    ) -> Result<T, E> {
        let deadline = self.deadline();
        let tx = self.unit(now, trace, deadline).await?;
        self.by_itself(deadline, tx, work).await
    }

    /// Runs `work`, whose change, events included, is one statement, and may be made together with those of other units of
    /// this worker thread (`db::batch`).
    pub async fn change<T, E: From<Broken> + Cause>(
        &self,
        now: DateTime<Utc>,
        trace: &Trace,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, E> + Clone,
    ) -> Result<T, E> {
        let deadline = self.deadline();
        let tx = match self.company() {
            Some(company) => Tx::on(Lent::Company(self.clone(), company), now, trace),
            None => self.unit(now, trace, deadline).await?,
        };
        self.by_itself(deadline, tx, work).await
    }

    async fn by_itself<T, E: From<Broken> + Cause>(
        &self,
        deadline: Instant,
        mut tx: Tx,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, E> + Clone,
    ) -> Result<T, E> {
        let mut again = true;
        loop {
            let work = work.clone();
            let part = async {
                let value = work(&mut tx).await?;
                self.finish(&mut tx).await?;
                Ok::<_, E>(value)
            };
            let outcome = timeout_at(deadline, part).await;
            match in_time(outcome, &mut tx) {
                Err(error) if again && error.is_undone() && tx.is_untouched() && Instant::now() < deadline => {
                    again = false;
                    tx = self.unit(tx.now, &tx.trace, deadline).await?;
                }
                outcome => return outcome,
            }
        }
    }

    /// Lends a connection for one statement that belongs to several units.
    pub(super) async fn lend<T>(
        &self,
        deadline: Instant,
        work: impl AsyncFnOnce(&Conn) -> Result<T, Broken>,
    ) -> Result<T, Broken> {
        let conn = timeout_at(deadline, self.connection()).await.map_err(|_| unanswered())??;
        if let Ok(done) = timeout_at(deadline, work(&conn)).await {
            return done;
        }
        close(conn);
        Err(unanswered())
    }

    /// Finishes the unit, and wakes whoever delivers notices once there are some to be seen.
    async fn finish(&self, tx: &mut Tx) -> Result<(), Broken> {
        tx.finish().await?;
        if tx.queued {
            self.outbox().notify_one();
        }
        Ok(())
    }

    /// Runs a look-up: statements that change nothing. A worker thread's look-ups share a connection, where many at once
    /// travel in one packet; so nothing here may begin a transaction or rely on the session's state. A look-up whose
    /// connection is lost (PostgreSQL was restarted), or given up by another, is tried once more: it changed nothing.
    pub async fn read<T, E: From<Broken> + Cause>(
        &self,
        now: DateTime<Utc>,
        trace: &Trace,
        look: impl AsyncFn(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let deadline = self.deadline();
        let mut tx = self.look(now, trace, deadline).await?;
        let found = timeout_at(deadline, look(&mut tx)).await;
        match in_time(found, &mut tx) {
            Err(error)
                if (error.is_lost() || error.is_retryable() && tx.is_given_up()) && Instant::now() < deadline =>
            {
                tx = self.look(now, trace, deadline).await?;
                let found = timeout_at(deadline, look(&mut tx)).await;
                in_time(found, &mut tx)
            }
            found => found,
        }
    }

    async fn look(&self, now: DateTime<Utc>, trace: &Trace, deadline: Instant) -> Result<Tx, Broken> {
        let lent = async {
            Ok(match self.reader().await? {
                Some(reader) => Lent::Reader(reader),
                None => Lent::Own(self.connection().await?),
            })
        };
        let conn = timeout_at(deadline, lent).await.map_err(|_| unanswered())??;
        Ok(Tx::on(conn, now, trace))
    }

    async fn unit(&self, now: DateTime<Utc>, trace: &Trace, deadline: Instant) -> Result<Tx, Broken> {
        let conn = timeout_at(deadline, self.connection()).await.map_err(|_| unanswered())?;
        let conn = Lent::Own(conn?);
        Ok(Tx::on(conn, now, trace))
    }
}

/// Says what a failing statement was for.
pub(super) trait OrBroken<T> {
    fn or_broken(self, what: impl fmt::Display) -> Result<T, Broken>;
}

impl<T> OrBroken<T> for diesel::QueryResult<T> {
    #[track_caller]
    fn or_broken(self, what: impl fmt::Display) -> Result<T, Broken> {
        match self {
            Ok(value) => Ok(value),
            Err(diesel::result::Error::QueryBuilderError(error)) => Err(match error.downcast_ref::<Trouble>() {
                Some(trouble) => trouble.broken(what),
                None => Broken::new(format_args!("{what}: {error}")),
            }),
            Err(error) => Err(Broken::new(format_args!("{what}: {error}"))),
        }
    }
}

/// An error of a unit of work, which may come from its connection.
pub trait Cause: Sized {
    fn broken(&self) -> Option<&Broken>;

    /// The same, of a transaction that was not committed: losing its connection undid it.
    #[must_use]
    fn before_commit(self) -> Self;

    fn is_lost(&self) -> bool {
        self.broken().is_some_and(Broken::is_lost)
    }

    fn is_undone(&self) -> bool {
        self.broken().is_some_and(Broken::is_undone)
    }

    fn is_retryable(&self) -> bool {
        self.broken().is_some_and(Broken::is_retryable)
    }
}

impl Cause for Broken {
    fn broken(&self) -> Option<&Broken> {
        Some(self)
    }

    fn before_commit(self) -> Self {
        Self::before_commit(self)
    }
}

impl Cause for Failure {
    fn broken(&self) -> Option<&Broken> {
        Self::broken(self)
    }

    fn before_commit(self) -> Self {
        match self {
            Self::Broken(broken) => Self::Broken(broken.before_commit()),
            refused @ Self::Refused(_) => refused,
        }
    }
}

/// A command ends with what it met; it is not run again.
impl Cause for Stop {
    fn broken(&self) -> Option<&Broken> {
        None
    }

    fn before_commit(self) -> Self {
        self
    }
}

/// Lets `Failure` travel through a unit of work.
pub type Outcome<T> = Result<T, Failure>;
