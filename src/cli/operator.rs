//! Who runs a command, for the audit log: the account of the shell, and the one that called `sudo`.

use serde_json::json;

use crate::db::Trace;

/// How many characters of a name in the environment are kept: no account's is longer.
const LONGEST: usize = 256;

/// The trace of what a command does. Its events name the account: `shell: { uid, user, sudo_user }`. The names are what the
/// environment and `/etc/passwd` say; the uid is the kernel's.
pub(super) fn trace() -> Trace {
    let uid = rustix::process::getuid().as_raw();
    let sudo_user = std::env::var("SUDO_USER").ok().filter(|name| !name.is_empty());
    let sudo_user = sudo_user.map(|name| name.chars().take(LONGEST).collect::<String>());
    let shell = json!({ "uid": uid, "user": name_of(uid), "sudo_user": sudo_user });
    Trace { shell: Some(shell), ..Trace::default() }
}

/// The name of an account of this machine.
fn name_of(uid: u32) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid.to_string()))?;
    line.split(':').next().map(str::to_owned)
}
