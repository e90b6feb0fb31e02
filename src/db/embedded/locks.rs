//! The three locks of a data directory: who serves, who uses the cluster, and whose turn it is to change its state.
//!
//! They are `flock`s: the kernel gives them back when a process dies, however it dies.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::{Duration, Instant},
};

use super::GLANCE;
use crate::failure::Stop;

/// A lock that is held. Given back explicitly: a child between fork and exec still has the descriptor open, and with
/// it would keep the lock beyond our closing it.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Whether nobody else holds this lock, which was held shared until now. Asked in one's turn, so that nobody joins
    /// between the question and what is done upon it.
    pub(super) fn is_last(&self) -> bool {
        self.0.unlock().is_ok() && self.0.try_lock().is_ok()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "a lock of the data directory could not be given back");
        }
    }
}

/// The data directory is this server's until the lock is dropped; refused while it is another's.
pub(super) async fn server(data_dir: &Path) -> Result<Lock, Stop> {
    let mut file = open(data_dir, "mooring.lock")?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(taken(data_dir, file).await),
        Err(TryLockError::Error(error)) => return Err(cannot(data_dir, "mooring.lock", &error)),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(|error| cannot(data_dir, "mooring.lock", &error))?;
    Ok(Lock(file))
}

/// Names the server that holds the lock. Its pid is written just after the lock is taken, so it may be a moment late.
async fn taken(data_dir: &Path, mut file: File) -> Stop {
    let mut pid = String::new();
    for _ in 0..40 {
        if file.rewind().is_ok() && file.read_to_string(&mut pid).is_ok() && pid.ends_with('\n') {
            break;
        }
        pid.clear();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let pid = if pid.is_empty() { "unknown" } else { pid.trim() };
    Stop::new(format_args!("another server (pid {pid}) already uses the data directory {}", data_dir.display()))
        .mend("stop that one, or give this one a data_dir of its own")
}

/// Waits for one's turn to start, join or stop the cluster. It asks again and again rather than wait in the kernel,
/// where a Ctrl-C would find nobody to answer it.
pub(super) async fn turn(data_dir: &Path) -> Result<Lock, Stop> {
    let file = open(data_dir, "postgres.turn")?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Lock(file)),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(GLANCE).await,
            Err(TryLockError::Error(error)) => return Err(cannot(data_dir, "postgres.turn", &error)),
        }
    }
}

/// One's turn, for a thread that can wait no longer than a second.
pub(super) fn turn_soon(data_dir: &Path) -> Option<Lock> {
    let file = open(data_dir, "postgres.turn").ok()?;
    let deadline = Instant::now() + Duration::from_secs(1);
    while file.try_lock().is_err() {
        if Instant::now() > deadline {
            return None;
        }
        std::thread::sleep(GLANCE);
    }
    Some(Lock(file))
}

/// Becomes one of the users of the cluster. In one's turn nobody holds this exclusively, so it does not wait.
pub(super) fn join(data_dir: &Path) -> Result<Lock, Stop> {
    let file = open(data_dir, "postgres.users")?;
    file.lock_shared().map_err(|error| cannot(data_dir, "postgres.users", &error))?;
    Ok(Lock(file))
}

fn open(data_dir: &Path, name: &str) -> Result<File, Stop> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(data_dir.join(name))
        .map_err(|error| cannot(data_dir, name, &error))
}

fn cannot(data_dir: &Path, name: &str, error: &std::io::Error) -> Stop {
    Stop::new(format_args!("cannot lock {}: {error}", data_dir.join(name).display()))
        .mend("data_dir must be a local directory that this user may write")
}
