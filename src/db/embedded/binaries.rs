//! Which PostgreSQL: an installed one if there is one that fits, else one fetched once.

use std::{
    env, fs,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{fetch, place::Place};
use crate::{db::migrations::OLDEST, failure::Stop};

/// The major version that is fetched for a new cluster.
const FETCHED: u32 = 18;

/// Where the binaries come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The newest installed one that fits the cluster, else a fetched one.
    Any,
    /// A fetched one, whatever is installed.
    Fetch,
    /// Those in this directory.
    At(PathBuf),
}

impl Source {
    /// `MOORING_POSTGRES`: absent, `fetch`, or the directory that has `postgres` and `initdb`.
    pub fn from_env() -> Self {
        match env::var_os("MOORING_POSTGRES") {
            None => Self::Any,
            Some(value) if value.is_empty() => Self::Any,
            Some(value) if value == "fetch" => Self::Fetch,
            Some(value) => Self::At(value.into()),
        }
    }
}

/// A directory with the programs of PostgreSQL that the cluster's account can run, and their version.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    directory: PathBuf,
    /// Major and minor.
    pub(super) version: (u32, u32),
}

impl Binaries {
    pub(super) fn program(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The binaries in `directory`, if they are complete and the account of `place` can run them.
    pub(super) async fn at(directory: &Path, place: &Place) -> Option<Self> {
        let directory = directory.canonicalize().ok()?;
        if !directory.join("initdb").exists() {
            return None;
        }
        let mut command = place.account.command(&directory.join("postgres"), &place.root);
        command.arg("--version");
        let asked = tokio::process::Command::from(command).kill_on_drop(true).output();
        let answer = tokio::time::timeout(Duration::from_secs(10), asked).await.ok()?.ok()?;
        let version = version(&String::from_utf8_lossy(&answer.stdout))?;
        Some(Self { directory, version })
    }
}

/// The binaries for the cluster of `place`, or for a new one there.
pub(super) async fn choose(place: &Place, source: &Source) -> Result<Binaries, Stop> {
    let major = place.major()?;
    let fits = |found: &Binaries| major.map_or(found.version.0 >= OLDEST, |major| found.version.0 == major);
    if let Source::At(directory) = source {
        let found = Binaries::at(directory, place).await;
        let found = found.ok_or_else(|| no_binaries(directory))?;
        return if fits(&found) { Ok(found) } else { Err(unfit(&found, major, place)) };
    }
    let mut best = None::<Binaries>;
    let candidates = if *source == Source::Any { installed().await } else { Vec::new() };
    for directory in candidates.into_iter().chain(fetch::present(place)) {
        if let Some(found) = Binaries::at(&directory, place).await.filter(|found| fits(found))
            && best.as_ref().is_none_or(|best| best.version < found.version)
        {
            best = Some(found);
        }
    }
    match best {
        Some(best) => Ok(best),
        None => fetch::fetch(place, major.unwrap_or(FETCHED), &wanted(major)).await,
    }
}

/// What has to be installed for a cluster of this major version, or for a new one.
fn wanted(major: Option<u32>) -> String {
    major.map_or_else(|| format!("PostgreSQL {OLDEST} or newer"), |major| format!("PostgreSQL {major}"))
}

fn no_binaries(directory: &Path) -> Stop {
    Stop::new(format_args!("MOORING_POSTGRES: no PostgreSQL that runs here is in {}", directory.display()))
        .mend("name the directory that has postgres and initdb, or unset it")
}

fn unfit(found: &Binaries, major: Option<u32>, place: &Place) -> Stop {
    let (is, minor) = found.version;
    match major {
        Some(major) => Stop::new(format_args!(
            "the cluster in {} was made by PostgreSQL {major}, and {} is {is}.{minor}",
            place.root.display(),
            found.directory.display()
        ))
        .mend("a cluster only runs on the major version that made it: unset MOORING_POSTGRES to let the right one be found"),
        None => Stop::new(format_args!("{} is PostgreSQL {is}.{minor}", found.directory.display()))
            .mend(format_args!("Mooring needs {OLDEST} or newer")),
    }
}

/// Every directory that may have an installed PostgreSQL, each once.
async fn installed() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
    // A program on the PATH may be a link to its home, where its siblings are.
    found = found.into_iter().filter_map(|directory| directory.join("postgres").canonicalize().ok()).collect();
    for program in &mut found {
        program.pop();
    }
    let asked = tokio::process::Command::new("pg_config").arg("--bindir").kill_on_drop(true).output();
    if let Ok(Ok(answer)) = tokio::time::timeout(Duration::from_secs(10), asked).await {
        found.push(PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim()));
    }
    for (parent, prefix, below) in [
        ("/usr/lib/postgresql", "", "bin"),                      // Debian, Ubuntu
        ("/usr", "pgsql-", "bin"),                               // Fedora, RHEL (PGDG)
        ("/usr/libexec", "postgresql", ""),                      // Alpine
        ("/opt/homebrew/opt", "postgresql", "bin"),              // Homebrew, Apple silicon
        ("/usr/local/opt", "postgresql", "bin"),                 // Homebrew, Intel
        ("/home/linuxbrew/.linuxbrew/opt", "postgresql", "bin"), // Homebrew, Linux
        ("/Library/PostgreSQL", "", "bin"),                      // EDB's installer
        ("/Applications/Postgres.app/Contents/Versions", "", "bin"),
    ] {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
        found.extend(named.map(|entry| entry.path().join(below)));
    }
    found = found.into_iter().filter_map(|directory| directory.canonicalize().ok()).collect();
    found.sort();
    found.dedup();
    found.retain(|directory| directory.join("postgres").exists());
    found
}

/// Reads `postgres (PostgreSQL) 15.4 (Debian …)`. What is no release (`19beta1`, `20devel`) may change its format.
fn version(answer: &str) -> Option<(u32, u32)> {
    let (major, minor) = answer.split_whitespace().nth(2)?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_releases_count() {
        assert_eq!(version("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n"), Some((15, 14)));
        assert_eq!(version("postgres (PostgreSQL) 18.6\n"), Some((18, 6)));
        assert_eq!(version("postgres (PostgreSQL) 19beta1\n"), None);
        assert_eq!(version("postgres (PostgreSQL) 20devel\n"), None);
        assert_eq!(version("no such thing"), None);
    }
}
