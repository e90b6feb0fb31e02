//! The postmaster of one cluster: whether it lives, starting it, stopping it.
//!
//! It is nobody's child for long: it outlives the process that started it, so it is known by `postmaster.pid` and
//! asked by signals. That file may be stale (a kill, a reboot, another container), so a pid is believed only when
//! its command line names this cluster.

use std::{
    fs,
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _, net::UnixStream},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::{
    GLANCE, Settings,
    binaries::Binaries,
    place::{Endpoint, Place, cannot},
};
use crate::failure::Stop;

/// A cluster's postmaster, alive or not.
#[derive(Debug)]
pub(super) struct Postmaster {
    pub(super) place: Place,
    pub(super) settings: Settings,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Condition {
    Gone,
    /// Starting or stopping.
    Changing,
    Ready,
}

impl Postmaster {
    pub(super) fn new(place: Place, settings: Settings) -> Self {
        Self { place, settings }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.condition() == Condition::Ready
    }

    pub(super) fn is_gone(&self) -> bool {
        self.condition() == Condition::Gone
    }

    fn condition(&self) -> Condition {
        let Some(lines) = self.pid_file() else { return Condition::Gone };
        // A postmaster in another container cannot be seen from this one, but its socket answers.
        if !pid_of(&lines).is_some_and(|pid| self.is_ours(pid)) && !self.answers() {
            return Condition::Gone;
        }
        // The eighth line is written last, and rewritten as things change.
        match lines.lines().nth(7).map(str::trim) {
            Some("ready") => Condition::Ready,
            _ => Condition::Changing,
        }
    }

    fn pid_file(&self) -> Option<String> {
        fs::read_to_string(self.place.cluster().join("postmaster.pid")).ok()
    }

    fn answers(&self) -> bool {
        match self.place.endpoint() {
            Endpoint::Socket(directory) => UnixStream::connect(directory.join(".s.PGSQL.5432")).is_ok(),
            // A port says less: anybody may have it by now.
            Endpoint::Loopback(_) => false,
        }
    }

    /// Whether `pid` lives and is this cluster's postmaster.
    fn is_ours(&self, pid: Pid) -> bool {
        if !exists(pid) {
            return false;
        }
        match fs::read(format!("/proc/{}/cmdline", pid.as_raw_pid())) {
            // Nothing at all is the command line of a zombie.
            Ok(line) => line.split(|&byte| byte == 0).any(|word| word == self.place.cluster().as_os_str().as_bytes()),
            // No /proc, or none that we may read: PostgreSQL's own interlock has the last word.
            Err(_) => exists(pid),
        }
    }

    /// Waits until the postmaster is ready, if there is one.
    pub(super) async fn join(&self, patience: Duration) -> Result<bool, Stop> {
        let deadline = Instant::now() + patience;
        loop {
            match self.condition() {
                Condition::Ready => return Ok(true),
                Condition::Gone => return Ok(false),
                Condition::Changing if Instant::now() > deadline => {
                    return Err(self.failed("PostgreSQL neither starts nor stops"));
                }
                Condition::Changing => tokio::time::sleep(GLANCE).await,
            }
        }
    }

    /// Starts the postmaster and waits until it is ready. In one's turn, and when it is gone.
    pub(super) async fn launch(&self, binaries: &Binaries, patience: Duration) -> Result<(), Stop> {
        let deadline = Instant::now() + patience;
        self.forget_stale();
        loop {
            let pid = self.spawn(binaries)?;
            loop {
                if !exists(pid) {
                    break;
                }
                if self.pid_file().is_some_and(|lines| pid_of(&lines) == Some(pid)) && self.is_ready() {
                    return Ok(());
                }
                if Instant::now() > deadline {
                    return Err(self.failed("PostgreSQL does not become ready"));
                }
                tokio::time::sleep(GLANCE).await;
            }
            // The children of a killed postmaster need a moment to notice, and until then hold its shared memory.
            if Instant::now() > deadline || !self.last_words().contains("is still in use") {
                return Err(self.failed("PostgreSQL does not start"));
            }
            tokio::time::sleep(GLANCE * 5).await;
        }
    }

    /// PostgreSQL stops at a `postmaster.pid` whose pid lives, whoever that is by now, and at one that is empty: those
    /// go. One whose pid is dead stays, for PostgreSQL to see by it whether the shared memory is still in use.
    fn forget_stale(&self) {
        let Some(lines) = self.pid_file() else { return };
        if pid_of(&lines).is_none_or(exists) {
            for stale in [self.place.cluster().join("postmaster.pid"), self.place.root.join("run/.s.PGSQL.5432.lock")] {
                if let Err(error) = fs::remove_file(&stale)
                    && error.kind() != std::io::ErrorKind::NotFound
                {
                    tracing::warn!(%error, file = %stale.display(), "a stale file of PostgreSQL could not be removed");
                }
            }
        }
    }

    fn spawn(&self, binaries: &Binaries) -> Result<Pid, Stop> {
        let log = self.place.log();
        let opened = fs::OpenOptions::new().create(true).append(true).mode(0o600).open(&log);
        let (out, err) = opened
            .and_then(|file| {
                file.set_len(0)?;
                Ok((file.try_clone()?, file))
            })
            .map_err(|error| cannot("write", &log, &error))?;
        let mut command = self.place.account.command(&binaries.program("postgres"), &self.place.root);
        self.arguments(&mut command);
        let child = command.stdout(out).stderr(err).spawn();
        let mut child = child.map_err(|error| cannot("run", &binaries.program("postgres"), &error))?;
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        // It may outlive us; should it not, then somebody has to take note, for a zombie looks alive.
        std::thread::spawn(move || child.wait());
        pid.ok_or_else(|| Stop::new("PostgreSQL has no pid"))
    }

    /// Everything that Mooring relies on is set here, whatever the cluster's own files say.
    fn arguments(&self, command: &mut Command) {
        command.arg("-D").arg(self.place.cluster());
        let mut set = |name: &str, value: &str| {
            command.arg("-c").arg(format!("{name}={value}"));
        };
        match self.place.endpoint() {
            Endpoint::Socket(directory) => {
                set("listen_addresses", "");
                set("port", "5432");
                // Relative to the cluster, where the postmaster stands: a path with a comma in it would be read as two.
                debug_assert_eq!(directory, self.place.root.join("run"));
                set("unix_socket_directories", "../run");
                set("unix_socket_permissions", "0700");
            }
            Endpoint::Loopback(port) => {
                set("listen_addresses", "127.0.0.1");
                set("port", &port.to_string());
                set("unix_socket_directories", "");
            }
        }
        let durable = if self.settings.durable { "on" } else { "off" };
        set("fsync", durable);
        set("full_page_writes", durable);
        // Without the disk it costs nothing, and what was acknowledged survives a kill in the tests too.
        set("synchronous_commit", "on");
        set("max_connections", &self.settings.max_connections.to_string());
        set("password_encryption", "scram-sha-256");
        set("shared_buffers", "64MB");
        set("huge_pages", "off");
        set("jit", "off");
        set("timezone", "UTC");
        set("log_timezone", "UTC");
        set("log_destination", "stderr");
        set("logging_collector", "off");
        set("log_line_prefix", "%m [%p] ");
        // Statements carry what the log must not: it says that one failed, not which.
        set("log_min_messages", "warning");
        set("log_min_error_statement", "panic");
        set("cluster_name", "mooring");
    }

    /// Stops the postmaster (fast: sessions end, everything is written) and waits for it.
    pub(super) async fn stop(&self, patience: Duration) -> Result<(), Stop> {
        let Some(pid) = self.dismiss()? else { return Ok(()) };
        let deadline = Instant::now() + patience;
        while self.is_ours(pid) {
            if Instant::now() > deadline {
                return Err(self.failed("PostgreSQL does not stop"));
            }
            tokio::time::sleep(GLANCE).await;
        }
        Ok(())
    }

    /// As `stop`, where nobody can wait but the thread.
    pub(super) fn stop_blocking(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        match self.dismiss() {
            Ok(Some(pid)) => {
                while self.is_ours(pid) && Instant::now() < deadline {
                    std::thread::sleep(GLANCE);
                }
            }
            Ok(None) => {}
            Err(stop) => tracing::warn!(%stop, "PostgreSQL could not be stopped"),
        }
    }

    /// Asks for a fast shutdown; whom it asked, if there is anyone here to ask.
    fn dismiss(&self) -> Result<Option<Pid>, Stop> {
        let Some(pid) = self.pid_file().as_deref().and_then(pid_of).filter(|&pid| self.is_ours(pid)) else {
            return Ok(None);
        };
        match kill_process(pid, Signal::INT) {
            Ok(()) => Ok(Some(pid)),
            Err(rustix::io::Errno::SRCH) => Ok(None),
            Err(error) => Err(Stop::new(format_args!("cannot stop PostgreSQL (pid {}): {error}", pid.as_raw_pid()))),
        }
    }

    fn failed(&self, what: &str) -> Stop {
        let log = self.place.log();
        let words = self.last_words();
        let said = words.lines().find(|line| line.contains("FATAL") || line.contains("PANIC")).or(words.lines().last());
        Stop::new(match said {
            Some(said) => format!("{what}: {said}"),
            None => what.to_owned(),
        })
        .mend(format_args!("its log is {}", log.display()))
    }

    /// The end of the log.
    fn last_words(&self) -> String {
        let end = |path: &Path| {
            let mut file = fs::File::open(path)?;
            let length = file.metadata()?.len();
            file.seek(SeekFrom::Start(length.saturating_sub(4096)))?;
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            Ok::<_, std::io::Error>(String::from_utf8_lossy(&text).into_owned())
        };
        end(&self.place.log()).unwrap_or_default()
    }
}

/// The pid in the first line; negative is that of somebody's single-user session.
fn pid_of(lines: &str) -> Option<Pid> {
    let pid: i32 = lines.lines().next()?.trim().parse().ok()?;
    Pid::from_raw(pid.checked_abs()?)
}

/// Whether there is such a process, dead and unburied ones included.
fn exists(pid: Pid) -> bool {
    matches!(test_kill_process(pid), Ok(()) | Err(rustix::io::Errno::PERM))
}
