//! What processes cost: processor time and memory, read from `/proc`.
//!
//! Time comes from the scheduler's own account per thread (nanoseconds) where every thread lived through the
//! measurement, else from the process's clock ticks.

use std::{collections::BTreeMap, fs, time::Duration};

/// `USER_HZ` is 100 on every architecture of Linux that we run on.
const TICK: Duration = Duration::from_millis(10);

/// Whose time is counted.
#[derive(Clone, Copy, Debug)]
pub enum Of {
    /// One process with its threads.
    Process(u32),
    /// A process, its children that live, and those that have ended: PostgreSQL with its backends.
    Family(u32),
}

/// A reading; two of them make a duration.
#[derive(Debug, Default)]
pub struct Reading {
    ticks: Duration,
    threads: BTreeMap<u32, Duration>,
}

pub fn read(of: Of) -> Reading {
    let mut reading = Reading::default();
    let (root, members) = match of {
        Of::Process(id) => (None, vec![id]),
        Of::Family(id) => (Some(id), [id].into_iter().chain(children(id)).collect()),
    };
    for id in members {
        let Some(stat) = Stat::of(id) else { continue };
        reading.ticks += stat.own;
        if Some(id) == root {
            reading.ticks += stat.reaped;
            // Backends that ended are in no thread's account any more, only in their parent's ticks.
            reading.threads.insert(0, stat.reaped);
        }
        for (thread, time) in threads(id) {
            reading.threads.insert(thread, time);
        }
    }
    reading
}

impl Reading {
    /// The time between `earlier` and this one.
    pub fn since(&self, earlier: &Self) -> Duration {
        let lived = earlier.threads.keys().all(|thread| self.threads.contains_key(thread));
        if lived && self.threads.len() > 1 {
            let sum = |reading: &Self| reading.threads.values().sum::<Duration>();
            sum(self).saturating_sub(sum(earlier))
        } else {
            self.ticks.saturating_sub(earlier.ticks)
        }
    }
}

/// Resident memory in MiB.
pub fn memory(id: u32) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<f64>().ok()? / 1024.0)
}

/// The processor time of the calling thread so far.
pub fn this_thread() -> Duration {
    fs::read_to_string("/proc/thread-self/schedstat").ok().and_then(|it| nanoseconds(&it)).unwrap_or_default()
}

pub fn parent(id: u32) -> Option<u32> {
    Stat::of(id).map(|stat| stat.parent)
}

struct Stat {
    parent: u32,
    own: Duration,
    reaped: Duration,
}

impl Stat {
    /// Fields as in proc(5), counted behind the name, which may contain anything.
    fn of(id: u32) -> Option<Self> {
        let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
        let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |field: usize| fields.get(field)?.parse::<u32>().ok().map(|ticks| TICK * ticks);
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: ticks(11)? + ticks(12)?,
            reaped: ticks(13)? + ticks(14)?,
        })
    }
}

fn children(of: u32) -> Vec<u32> {
    numbers("/proc").into_iter().filter(|id| parent(*id) == Some(of)).collect()
}

fn threads(id: u32) -> Vec<(u32, Duration)> {
    let folder = format!("/proc/{id}/task");
    numbers(&folder)
        .into_iter()
        .filter_map(|thread| {
            let text = fs::read_to_string(format!("{folder}/{thread}/schedstat")).ok()?;
            Some((thread, nanoseconds(&text)?))
        })
        .collect()
}

fn nanoseconds(schedstat: &str) -> Option<Duration> {
    schedstat.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

fn numbers(folder: &str) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}
