//! The embedded database: a real PostgreSQL in the data directory, for everyone who has not set `DATABASE_URL`.
//!
//! It finds or fetches the binaries, makes the cluster once, starts it, joins it when it already runs, and stops it
//! when its last user leaves. It is not for connections, schema or queries: it hands out two URLs, and from there on
//! nothing differs from any other PostgreSQL.
//!
//! Invariants:
//! * one server per data directory (`mooring.lock`), and commands beside it;
//! * whoever starts, joins or stops the cluster holds `postgres.turn`, so these never overlap;
//! * whoever uses the cluster holds `postgres.users` shared, and only he who gets it exclusively stops the cluster;
//! * a cluster only ever meets the major version that made it;
//! * a cluster that was once complete and is gone is never silently replaced by an empty one.

mod account;
mod binaries;
mod bootstrap;
mod fetch;
mod locks;
mod place;
mod postmaster;
#[cfg(test)]
mod tests;

use std::{path::Path, time::Duration};

pub use self::binaries::Source;
use self::{locks::Lock, place::Place, postmaster::Postmaster};
use crate::failure::Stop;

/// The database that migrations fill and the server uses.
pub const DATABASE: &str = "mooring";
/// Owns the database; migrates; may create databases (tests clone templates), is no superuser.
pub const OWNER: &str = "mooring_owner";
/// Serves: may connect, and has no other right than what migrations grant.
pub const SERVER: &str = "mooring_server";

/// Who asks: the server owns the data directory, a command joins or borrows the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Excludes every other server for as long as it lives.
    Server,
    /// Works beside a server, or without one.
    Command,
}

/// What may differ from one cluster to another. It counts for whoever starts the postmaster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Whether a commit survives a power failure once it is acknowledged. Only tests give this up; a kill of any
    /// process it survives in either case.
    pub durable: bool,
    /// PostgreSQL's `max_connections`.
    pub max_connections: u16,
    /// Which PostgreSQL.
    pub binaries: Source,
}

impl Default for Settings {
    fn default() -> Self {
        Self { durable: true, max_connections: 120, binaries: Source::from_env() }
    }
}

/// How long a start, with the recovery after a kill, or a stop, with its checkpoint, may take.
const PATIENCE: Duration = Duration::from_mins(3);

/// How often to look again meanwhile: seldom beside reading a small file, often beside the 30 ms that PostgreSQL takes.
const GLANCE: Duration = Duration::from_millis(4);

/// A use of the cluster of one data directory. Leave it with [`Embedded::stop`]; dropping it leaves too, but blocks.
#[derive(Debug)]
pub struct Embedded {
    postmaster: Postmaster,
    users: Option<Lock>,
    /// Whether this made the cluster.
    is_new: bool,
    /// Held, not read: given back last of all.
    _server: Option<Lock>,
}

impl Embedded {
    /// Starts or joins the cluster of `data_dir`; makes it first where there is none.
    pub async fn start(data_dir: &Path, role: Role) -> Result<Self, Stop> {
        Self::start_with(data_dir, role, Settings::default()).await
    }

    /// For tests: the cluster of `dir`, shared by all processes that ask for it, without durability. The last user to
    /// call [`Embedded::stop`] stops it; when none does it stays up, and the next run joins it.
    pub async fn for_tests(dir: &Path) -> Result<Self, Stop> {
        Self::start_with(dir, Role::Command, Settings { durable: false, max_connections: 400, ..Settings::default() })
            .await
    }

    /// As [`Embedded::start`], with other settings than the product's.
    pub async fn start_with(data_dir: &Path, role: Role, settings: Settings) -> Result<Self, Stop> {
        let data_dir = place::open(data_dir)?;
        let server = match role {
            Role::Server => Some(locks::server(&data_dir).await?),
            Role::Command => None,
        };
        let turn = locks::turn(&data_dir).await?;
        let users = locks::join(&data_dir)?;
        let mut postmaster = Postmaster::new(Place::of(&data_dir)?, settings);
        if postmaster.is_gone() {
            postmaster.place.claim_port()?;
        }
        let is_new = !postmaster.place.is_complete();
        let embedded = Self { postmaster, users: Some(users), is_new, _server: server };
        // Moved behind what leaves when this fails or is dropped half-way, for leaving takes a turn of its own.
        let turn = turn;
        embedded.start_in_turn().await?;
        drop(turn);
        Ok(embedded)
    }

    async fn start_in_turn(&self) -> Result<(), Stop> {
        let place = &self.postmaster.place;
        if !self.postmaster.join(PATIENCE).await? {
            let binaries = binaries::choose(place, &self.postmaster.settings.binaries).await?;
            if !place.has_cluster() {
                bootstrap::initdb(place, &binaries, &self.postmaster.settings).await?;
            }
            self.postmaster.launch(&binaries, PATIENCE).await?;
        }
        if !place.is_complete() {
            bootstrap::roles(place).await?;
            place.complete()?;
        }
        Ok(())
    }

    /// Whether `data_dir` has a complete cluster. Makes nothing.
    pub fn exists(data_dir: &Path) -> bool {
        place::is_complete(data_dir)
    }

    /// The directory that holds the cluster: within the data directory, or elsewhere where PostgreSQL's account may not
    /// enter that.
    pub fn directory(&self) -> &Path {
        &self.postmaster.place.root
    }

    /// Whether there was no cluster before.
    pub fn is_new(&self) -> bool {
        self.is_new
    }

    /// The owner's URL of `database` (migrations, tests that create databases).
    pub fn owner_url(&self, database: &str) -> String {
        let place = &self.postmaster.place;
        place.url(OWNER, place.owner_password(), database)
    }

    /// The restricted role's URL of `database` (the server).
    pub fn server_url(&self, database: &str) -> String {
        let place = &self.postmaster.place;
        place.url(SERVER, place.server_password(), database)
    }

    /// Starts the postmaster again if it was killed; what it acknowledged it recovers. Cheap when it is alive.
    pub async fn ensure_running(&self) -> Result<(), Stop> {
        let place = &self.postmaster.place;
        if self.postmaster.is_ready() {
            place.bound_log();
            return Ok(());
        }
        let _turn = locks::turn(&place.data_dir).await?;
        if self.postmaster.join(PATIENCE).await? {
            return Ok(());
        }
        tracing::warn!(cluster = %place.cluster().display(), "PostgreSQL is gone; starting it again");
        let binaries = binaries::choose(place, &self.postmaster.settings.binaries).await?;
        self.postmaster.launch(&binaries, PATIENCE).await
    }

    /// Leaves the cluster, and stops it (fast, and waits for it) unless somebody else still uses it.
    pub async fn stop(mut self) -> Result<(), Stop> {
        let _turn = locks::turn(&self.postmaster.place.data_dir).await?;
        match self.users.take() {
            Some(users) if users.is_last() => self.postmaster.stop(PATIENCE).await,
            _ => Ok(()),
        }
    }
}

impl Drop for Embedded {
    /// The way out of an error or a panic: what `stop` does, without a runtime and with little patience.
    fn drop(&mut self) {
        let Some(users) = self.users.take() else { return };
        // Whoever has the turn for longer than that is starting the cluster, and will leave it after us.
        let turn = locks::turn_soon(&self.postmaster.place.data_dir);
        if turn.is_some() && users.is_last() {
            self.postmaster.stop_blocking(Duration::from_secs(5));
        }
    }
}
