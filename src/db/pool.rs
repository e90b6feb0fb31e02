//! Connections: how they are pooled, divided among worker threads, and counted.

use std::{
    cell::{Cell, RefCell},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use deadpool::managed::{Manager, Metrics, PoolError, QueueMode, RecycleError, RecycleResult};
use diesel::ConnectionError;
use tokio::{sync::Notify, time::Instant};

use super::{
    batch::Company,
    connection::{Conn, Fleet},
    target::Target,
};
use crate::failure::{Broken, Stop};

/// How long a request waits for a connection before it is told to come back.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a request waits for all that one unit of work asks of the database. One that is stopped, or behind a network
/// that drops what is sent, accepts and never answers; nobody waits for ever then, and nothing is left of it but a 503.
const ANSWER: Duration = Duration::from_secs(10);

/// What is not a request (a migration, an export, a job) may take as long as it takes.
const LONG: Duration = Duration::from_hours(24 * 365);

type Pool = deadpool::managed::Pool<Maker>;

/// A connection that goes back into its pool.
pub(super) type Lease = deadpool::managed::Object<Maker>;

/// Makes the connections of a pool, and takes none back that is of no more use.
pub(super) struct Maker {
    target: Arc<Target>,
    fleet: Arc<Fleet>,
}

impl Manager for Maker {
    type Type = Conn;
    type Error = ConnectionError;

    async fn create(&self) -> Result<Conn, ConnectionError> {
        self.target.connect(&self.fleet).await
    }

    /// Asks nothing: a connection that is closed is noticed without.
    async fn recycle(&self, conn: &mut Conn, _: &Metrics) -> RecycleResult<ConnectionError> {
        if conn.is_spent() { Err(RecycleError::message("the connection was lost")) } else { Ok(()) }
    }
}

/// The server's way to PostgreSQL; cheap to clone.
///
/// A worker thread that calls [`Database::adopt_thread`] has connections of its own, which are driven on that very
/// thread: a statement then costs no wake-up of another one. Everything else shares one pool. Its changes of a kind that come at
/// the same time are made together ([`batch`](super::batch)).
#[derive(Clone)]
pub struct Database {
    shared: Pool,
    workers: Arc<Workers>,
    fleet: Arc<Fleet>,
    outbox: Arc<Notify>,
    /// Absent: what is usual on the thread.
    patience: Option<Duration>,
}

/// The pools of worker threads.
struct Workers {
    target: Arc<Target>,
    /// Connections for each; 0: they share.
    each: usize,
    pools: Mutex<Vec<Pool>>,
}

thread_local! {
    /// What this thread has, and of which [`Database`] (by the address of its `workers`).
    static OWN: RefCell<Option<(usize, Own)>> = const { RefCell::new(None) };
    /// Whether this thread answers requests.
    static ANSWERS: Cell<bool> = const { Cell::new(false) };
}

/// What a worker thread has.
struct Own {
    /// Its changes that are made together.
    company: Arc<Company>,
    /// Absent: too few to divide.
    connections: Option<Connections>,
}

/// A worker thread's connections.
struct Connections {
    pool: Pool,
    /// The one that its look-ups share; made at the first, and again when it was lost.
    reader: Arc<tokio::sync::Mutex<Option<Arc<Reader>>>>,
}

/// A connection that many look-ups use at once: they are sent one behind the other without waiting for answers.
pub(super) struct Reader {
    connection: Conn,
    given_up: AtomicBool,
}

impl Reader {
    pub(super) fn connection(&self) -> &Conn {
        &self.connection
    }

    /// Lets the next look-up make another, and cancels what runs on this one. Other look-ups may wait behind that: they are done
    /// again on another if the cancel request meets them instead.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
        self.connection.give_up();
    }

    pub(super) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    fn is_spent(&self) -> bool {
        self.is_given_up() || self.connection.is_spent()
    }
}

impl Database {
    /// At most `size` connections to `url`. Connects when first used.
    pub fn new(url: &str, size: usize) -> Result<Self, Stop> {
        Self::for_workers(url, size, 0)
    }

    /// As [`Database::new`], for a server of so many worker threads: most of the connections are divided among them.
    /// With too few to divide they share.
    pub fn for_workers(url: &str, size: usize, workers: usize) -> Result<Self, Stop> {
        let target = Arc::new(Target::parse(url)?);
        let fleet = Arc::<Fleet>::default();
        let each = size.saturating_sub(1).checked_div(workers).filter(|each| *each >= 3).unwrap_or(0);
        let shared = pool(&target, &fleet, size - each * workers)?;
        let workers = Workers { target, each, pools: Mutex::default() };
        Ok(Self { shared, workers: Arc::new(workers), fleet, outbox: Arc::default(), patience: None })
    }

    /// Gives the calling thread connections of its own, company for its changes, and an end to the patience of what runs there. To
    /// be called on each worker thread, in its runtime.
    pub fn adopt_thread(&self) -> Result<(), Stop> {
        ANSWERS.set(true);
        let connections = match self.workers.each {
            0 => None,
            each => {
                // One of them is the reader.
                let own = pool(&self.workers.target, &self.fleet, each - 1)?;
                self.workers.pools.lock().unwrap_or_else(PoisonError::into_inner).push(own.clone());
                Some(Connections { pool: own, reader: Arc::default() })
            }
        };
        OWN.set(Some((self.identity(), Own { company: Arc::default(), connections })));
        Ok(())
    }

    /// The same, for units of work that wait no longer than this for the database.
    #[must_use]
    pub fn within(&self, patience: Duration) -> Self {
        Self { patience: Some(patience), ..self.clone() }
    }

    /// Until when a unit of work that begins now waits for the database.
    pub(super) fn deadline(&self) -> Instant {
        let usual = || if ANSWERS.get() { ANSWER } else { LONG };
        Instant::now() + self.patience.unwrap_or_else(usual)
    }

    fn identity(&self) -> usize {
        Arc::as_ptr(&self.workers).addr()
    }

    fn own<T>(&self, part: impl FnOnce(&Own) -> Option<T>) -> Option<T> {
        OWN.with_borrow(|own| match own {
            Some((identity, own)) if *identity == self.identity() => part(own),
            _ => None,
        })
    }

    fn pool(&self) -> Pool {
        self.own(|own| Some(own.connections.as_ref()?.pool.clone())).unwrap_or_else(|| self.shared.clone())
    }

    /// Where this thread's changes meet, if they do.
    pub(super) fn company(&self) -> Option<Arc<Company>> {
        self.own(|own| Some(own.company.clone()))
    }

    /// The connection that this thread's look-ups share, if it has one.
    pub(super) async fn reader(&self) -> Result<Option<Arc<Reader>>, Broken> {
        let Some(slot) = self.own(|own| Some(own.connections.as_ref()?.reader.clone())) else { return Ok(None) };
        let mut held = slot.lock().await;
        if let Some(reader) = held.as_ref()
            && !reader.is_spent()
        {
            return Ok(Some(reader.clone()));
        }
        if self.workers.target.is_pooled() {
            // The pooler gives a connection to others between two statements, so nothing is gained.
            return Ok(None);
        }
        let connection = self.workers.target.connect(&self.fleet).await;
        let connection =
            connection.map_err(|why| Broken::unavailable(format_args!("the database cannot be reached: {why}")))?;
        let reader = Arc::new(Reader { connection, given_up: AtomicBool::new(false) });
        *held = Some(reader.clone());
        Ok(Some(reader))
    }

    pub(super) async fn connection(&self) -> Result<Lease, Broken> {
        let pool = self.pool();
        match pool.get().await {
            Ok(conn) => Ok(conn),
            Err(first) => {
                // PostgreSQL may be starting again after a crash.
                tracing::warn!(error = %first, "no database connection, trying once more");
                tokio::time::sleep(Duration::from_millis(250)).await;
                pool.get().await.map_err(|error| {
                    // Why, without the pool's own words around it.
                    let why = match error {
                        PoolError::Backend(cause) => cause.to_string(),
                        other => other.to_string(),
                    };
                    Broken::unavailable(format_args!("the database cannot be reached: {why}"))
                })
            }
        }
    }

    /// Told when this process has committed notices; those of other processes are found by looking.
    #[must_use]
    pub fn outbox(&self) -> &Notify {
        &self.outbox
    }

    /// Statements sent since the start, `BEGIN` and `COMMIT` included.
    #[must_use]
    pub fn statements(&self) -> u64 {
        self.fleet.statements.load(Ordering::Relaxed)
    }

    /// Connections: (in the pools, idle, requests waiting for one).
    #[must_use]
    pub fn pool_status(&self) -> (usize, usize, usize) {
        self.pools().iter().map(Pool::status).fold((0, 0, 0), |(size, idle, waiting), status| {
            (size + status.size, idle + status.available, waiting + status.waiting)
        })
    }

    /// Closes every idle connection and refuses new work.
    pub fn close(&self) {
        self.pools().iter().for_each(Pool::close);
    }

    fn pools(&self) -> Vec<Pool> {
        let own = self.workers.pools.lock().unwrap_or_else(PoisonError::into_inner);
        own.iter().chain([&self.shared]).cloned().collect()
    }
}

fn pool(target: &Arc<Target>, fleet: &Arc<Fleet>, size: usize) -> Result<Pool, Stop> {
    Pool::builder(Maker { target: target.clone(), fleet: fleet.clone() })
        .max_size(size)
        .wait_timeout(Some(PATIENCE))
        .create_timeout(Some(PATIENCE))
        .runtime(deadpool::Runtime::Tokio1)
        // The one used last: behind it stands the process of PostgreSQL whose memory is still in the processor's cache.
        .queue_mode(QueueMode::Lifo)
        .build()
        .map_err(Stop::new)
}
