//! Who runs PostgreSQL. Ourselves, unless we are root: PostgreSQL refuses root, so then an unprivileged uid that
//! belongs to nobody else owns the cluster and runs it.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt as _, lchown},
        process::CommandExt as _,
    },
    path::Path,
    process::{Command, Stdio},
};

use crate::failure::Stop;

/// Uids that neither Debian nor systemd gives to anyone, and that exist in a container's user namespace of 65536.
const UNUSED: std::ops::RangeInclusive<u32> = 65520..=65533;

/// The uid and gid that own a cluster and run its processes; `None` where these are our own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Account(Option<(u32, u32)>);

impl Account {
    /// Who runs the cluster at `cluster`: its owner when we are root and it exists, else the account for new ones.
    pub(super) fn of(cluster: &Path) -> Result<Self, Stop> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self(None));
        }
        match fs::metadata(cluster) {
            Ok(found) if found.uid() != 0 => Ok(Self(Some((found.uid(), found.gid())))),
            _ => Self::unused().map(|id| Self(Some((id, id)))),
        }
    }

    fn unused() -> Result<u32, Stop> {
        let known = known();
        UNUSED.into_iter().find(|id| known.iter().all(|(_, uid, gid)| uid != id && gid != id)).ok_or_else(|| {
            Stop::new("PostgreSQL refuses to run as root, and no uid from 65520 to 65533 is free to run it")
                .mend("start as another user, or set DATABASE_URL")
        })
    }

    /// Who may run `initdb`: it insists on a name for its uid, which an unused one has not. So another uid does, with
    /// this account's group, which alone may enter the place where it works.
    pub(super) fn with_a_name(self) -> Result<Self, Stop> {
        let Some((uid, gid)) = self.0 else { return Ok(self) };
        let known = known();
        let named = known.iter().find(|(_, id, _)| *id == uid);
        let nobody = || known.iter().find(|(name, id, _)| name == "nobody" && *id != 0);
        let anyone = || known.iter().find(|(_, id, _)| *id != 0);
        let (_, uid, _) = named.or_else(nobody).or_else(anyone).ok_or_else(|| {
            Stop::new("PostgreSQL refuses to run as root, and /etc/passwd names nobody else")
                .mend("add a user, or set DATABASE_URL")
        })?;
        Ok(Self(Some((*uid, gid))))
    }

    /// Whether it is somebody else than we.
    pub(super) fn is_other(self) -> bool {
        self.0.is_some()
    }

    /// A command of PostgreSQL's, run by this account in `directory`, in the language that we read answers in, and out
    /// of reach of a Ctrl-C on our terminal. The standard library drops root's supplementary groups with the uid.
    pub(super) fn command(self, program: &Path, directory: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("LC_ALL", "C").current_dir(directory).stdin(Stdio::null()).process_group(0);
        for kept in ["PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(kept) {
                command.env(kept, value);
            }
        }
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Gives `path` to this account.
    pub(super) fn own(self, path: &Path) -> io::Result<()> {
        self.0.map_or(Ok(()), |(uid, gid)| lchown(path, Some(uid), Some(gid)))
    }

    /// Lets this account's group (and not its uid) have `path`.
    pub(super) fn share(self, path: &Path) -> io::Result<()> {
        self.0.map_or(Ok(()), |(_, gid)| lchown(path, None, Some(gid)))
    }

    /// Gives `path` and everything below it to this account.
    pub(super) fn own_tree(self, path: &Path) -> io::Result<()> {
        self.own(path)?;
        if fs::symlink_metadata(path)?.is_dir() {
            for entry in fs::read_dir(path)? {
                self.own_tree(&entry?.path())?;
            }
        }
        Ok(())
    }

    /// Whether this account may pass through `directory` (absolute) and all above it.
    pub(super) fn traverses(self, directory: &Path) -> bool {
        let Some((uid, gid)) = self.0 else { return true };
        directory.ancestors().all(|ancestor| {
            fs::metadata(ancestor).is_ok_and(|found| {
                let needed = match found {
                    ref found if found.uid() == uid => 0o100,
                    ref found if found.gid() == gid => 0o010,
                    _ => 0o001,
                };
                found.mode() & needed != 0
            })
        })
    }
}

/// Name, uid and gid of everyone in `/etc/passwd`.
fn known() -> Vec<(String, u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    passwd
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?.to_owned();
            Some((name, fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn nobody_elses_uid_may_not_pass_a_closed_directory() {
        let directory = std::env::temp_dir().join(format!("mooring-closed-{}", std::process::id()));
        fs::create_dir_all(directory.join("inner")).unwrap();
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o700)).unwrap();
        let stranger = Account(Some((65533, 65533)));
        assert!(!stranger.traverses(&directory.join("inner")));
        assert!(Account(None).traverses(&directory.join("inner")));
        fs::set_permissions(&directory, fs::Permissions::from_mode(0o711)).unwrap();
        assert!(stranger.traverses(&directory.join("inner")));
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn the_account_of_a_new_cluster_is_nobody_elses() {
        let account = Account::of(Path::new("/nonexistent")).unwrap();
        assert_eq!(account.is_other(), rustix::process::geteuid().is_root());
        if let Some((uid, _)) = account.0 {
            assert!(known().iter().all(|(_, known, _)| *known != uid));
            let named = account.with_a_name().unwrap();
            assert!(known().iter().any(|(_, known, _)| Some(*known) == named.0.map(|(uid, _)| uid)));
        }
    }
}
