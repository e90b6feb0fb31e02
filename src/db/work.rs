//! The unit of work: one connection, one instant, and the audit events that are written with its change.

use std::{fmt, sync::Arc};

use chrono::{DateTime, Utc};
use diesel_async::{AsyncPgConnection, TransactionManager, pooled_connection::deadpool::Object};
use serde_json::Value;
use tokio::time::{Instant, timeout_at};
use uuid::Uuid;

use super::{Database, audit_events, audit_events::AuditEvent, batch::Company, ids, pool::Reader};
use crate::failure::{Broken, Failure};

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
    /// The source as the log may show it: the place, or the whole address where `[log] sources` is on. Never stored.
    pub shown_source: Option<String>,
    /// The account of the shell that a command runs in: facts for the events of an operator.
    pub shell: Option<Value>,
}

/// Whose connection a unit of work runs on.
#[expect(clippy::large_enum_variant, reason = "it is moved once, and most are the large one")]
enum Lent {
    Own(Object<AsyncPgConnection>),
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
}

impl Tx {
    pub(super) fn conn(&self) -> &AsyncPgConnection {
        match &self.conn {
            Lent::Own(conn) => conn,
            Lent::Reader(reader) => reader.connection(),
            Lent::Company(..) => unreachable!("a unit of one change has no connection before `connect`"),
            Lent::Closed => unreachable!("a unit of work is used after its end"),
        }
    }

    /// The connection, for what no other unit may see half of.
    fn own(&mut self) -> Result<&mut AsyncPgConnection, Broken> {
        match &mut self.conn {
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
            self.conn = Lent::Own(db.connection().await?);
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
        <AsyncPgConnection as diesel_async::AsyncConnection>::TransactionManager::begin_transaction(self.own()?)
            .await
            .or_broken("begin")
    }

    /// Writes the events and commits.
    async fn finish(&mut self) -> Result<(), Broken> {
        if !self.events.is_empty() {
            self.connect().await?;
            audit_events::insert(self).await?;
        }
        if self.in_transaction {
            <AsyncPgConnection as diesel_async::AsyncConnection>::TransactionManager::commit_transaction(self.own()?)
                .await
                .or_broken("commit")?;
            self.in_transaction = false;
        }
        Ok(())
    }

    async fn abandon(&mut self) {
        if self.in_transaction
            && let Ok(conn) = self.own()
        {
            let rolled_back =
                <AsyncPgConnection as diesel_async::AsyncConnection>::TransactionManager::rollback_transaction(conn)
                    .await;
            match rolled_back {
                Ok(()) => self.in_transaction = false,
                Err(error) => tracing::warn!(%error, "rollback failed"),
            }
        }
    }
}

impl Tx {
    fn on(conn: Lent, now: DateTime<Utc>, trace: &Trace) -> Self {
        Self { conn, now, trace: trace.clone(), events: Vec::new(), told: 0, queued: false, in_transaction: false }
    }

    /// Closes the connection: what was asked on it may be answered at any time, or never.
    fn close(&mut self) {
        match std::mem::replace(&mut self.conn, Lent::Closed) {
            Lent::Own(conn) => drop(Object::take(conn)),
            Lent::Reader(reader) => reader.give_up(),
            Lent::Company(..) | Lent::Closed => {}
        }
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

/// Does what belongs to a unit until the database has been waited for long enough, and then closes its connection.
async fn by<T, E: From<Broken>>(
    deadline: Instant,
    tx: &mut Tx,
    part: impl AsyncFnOnce(&mut Tx) -> Result<T, E>,
) -> Result<T, E> {
    if let Ok(done) = timeout_at(deadline, part(tx)).await {
        return done;
    }
    tx.close();
    Err(unanswered().into())
}

#[track_caller]
fn unanswered() -> Broken {
    Broken::unavailable("the database does not answer")
}

/// Units of work. Each ends with its answer or, where a request waits for it, with "try again" within a few seconds,
/// however long the database is silent.
impl Database {
    /// Runs `work` in one transaction; its events are committed with it. An `Err` rolls everything back, so a refusal
    /// that changes state has to be a value inside `Ok`.
    pub async fn work<T, E: From<Broken>>(
        &self,
        now: DateTime<Utc>,
        trace: &Trace,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let deadline = self.deadline();
        let mut tx = self.transaction(now, trace, deadline).await?;
        by(deadline, &mut tx, async |tx| match work(tx).await {
            Ok(value) => {
                self.finish(tx).await?;
                Ok(value)
            }
            Err(error) => {
                tx.abandon().await;
                Err(error)
            }
        })
        .await
    }

    /// Runs `work` without a transaction: each of its statements is its own. For reads, and for paths whose whole
    /// change, events included, is one statement.
    pub async fn single<T, E: From<Broken>>(
        &self,
        now: DateTime<Utc>,
        trace: &Trace,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let deadline = self.deadline();
        let mut tx = self.unit(now, trace, deadline).await?;
        self.by_itself(deadline, &mut tx, work).await
    }

    /// Runs `work`, whose change, events included, is one statement, and may be made together with those of other units of
    /// this worker thread (`db::batch`).
    pub async fn change<T, E: From<Broken>>(
        &self,
        now: DateTime<Utc>,
        trace: &Trace,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let deadline = self.deadline();
        let mut tx = match self.company() {
            Some(company) => Tx::on(Lent::Company(self.clone(), company), now, trace),
            None => self.unit(now, trace, deadline).await?,
        };
        self.by_itself(deadline, &mut tx, work).await
    }

    async fn by_itself<T, E: From<Broken>>(
        &self,
        deadline: Instant,
        tx: &mut Tx,
        work: impl AsyncFnOnce(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        by(deadline, tx, async |tx| {
            let value = work(tx).await?;
            self.finish(tx).await?;
            Ok(value)
        })
        .await
    }

    /// Lends a connection for what belongs to several units.
    pub(super) async fn lend<T>(
        &self,
        work: impl AsyncFnOnce(&AsyncPgConnection) -> Result<T, Broken>,
    ) -> Result<T, Broken> {
        let deadline = self.deadline();
        let conn = timeout_at(deadline, self.connection()).await.map_err(|_| unanswered())??;
        if let Ok(done) = timeout_at(deadline, work(&conn)).await {
            return done;
        }
        drop(Object::take(conn));
        Err(unanswered())
    }

    /// What does not depend on the work is compiled once, not for each.
    async fn transaction(&self, now: DateTime<Utc>, trace: &Trace, deadline: Instant) -> Result<Tx, Broken> {
        let mut tx = self.unit(now, trace, deadline).await?;
        if let Err(broken) = by(deadline, &mut tx, Tx::begin).await {
            // The connection died in the pool (PostgreSQL was restarted): nothing has been done yet, so try once more.
            if !broken.is_retryable() || Instant::now() >= deadline {
                return Err(broken);
            }
            tx = self.unit(now, trace, deadline).await?;
            by(deadline, &mut tx, Tx::begin).await?;
        }
        Ok(tx)
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
    /// connection is lost (PostgreSQL was restarted) is tried once more: it is the first of its request, and changed nothing.
    pub async fn read<T, E: From<Broken> + Lost>(
        &self,
        now: DateTime<Utc>,
        trace: &Trace,
        look: impl AsyncFn(&mut Tx) -> Result<T, E>,
    ) -> Result<T, E> {
        let deadline = self.deadline();
        let mut tx = self.look(now, trace, deadline).await?;
        match by(deadline, &mut tx, &look).await {
            Err(error) if error.is_lost() && Instant::now() < deadline => {
                tx = self.look(now, trace, deadline).await?;
                by(deadline, &mut tx, &look).await
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
            Err(error) if is_lost(&error) => Err(Broken::unavailable(format_args!("{what}: {error}"))),
            Err(error) => Err(Broken::new(format_args!("{what}: {error}"))),
        }
    }
}

/// Whether the connection went away, rather than the statement being wrong: PostgreSQL was stopped, killed, or is not
/// ready. The driver tells it by kind or, where it knows none, by words.
fn is_lost(error: &diesel::result::Error) -> bool {
    use diesel::result::{DatabaseErrorKind, Error};
    match error {
        Error::BrokenTransactionManager
        | Error::DatabaseError(DatabaseErrorKind::ClosedConnection | DatabaseErrorKind::UnableToSendCommand, _) => true,
        Error::DatabaseError(_, information) => {
            let words = information.message();
            [
                "connection closed",
                "terminating connection",
                "the database system is",
                "error communicating",
                // Said by a pooler in between.
                "server conn crashed",
                "server closed the connection",
            ]
            .iter()
            .any(|lost| words.contains(lost))
        }
        _ => false,
    }
}

/// An error that may be a lost connection.
pub trait Lost {
    fn is_lost(&self) -> bool;
}

impl Lost for Broken {
    fn is_lost(&self) -> bool {
        self.is_retryable()
    }
}

impl Lost for Failure {
    fn is_lost(&self) -> bool {
        matches!(self, Self::Broken(broken) if broken.is_retryable())
    }
}

/// Lets `Failure` travel through a unit of work.
pub type Outcome<T> = Result<T, Failure>;
