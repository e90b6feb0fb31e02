//! Mail as files, for trying out: each there as a whole or not at all, for nobody else to read, and not for long, because
//! there are links in them that open accounts.

use std::{
    io,
    path::{Path, PathBuf},
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::{
    fs::{self, OpenOptions},
    io::AsyncWriteExt,
};
use uuid::Uuid;

/// How long a mail stays after it was queued: a day in which it is tried, and the two for which `db::notices::sweep`
/// keeps its row after that.
const KEPT: TimeDelta = TimeDelta::days(3);

pub(super) async fn write(folder: &Path, id: Uuid, mail: &[u8]) -> io::Result<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).await?;
    let (path, part) = (folder.join(format!("{id}.eml")), folder.join(format!("{id}.part")));
    let mut file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(&part).await?;
    file.write_all(mail).await?;
    file.sync_all().await?;
    fs::rename(&part, &path).await?;
    Ok(path)
}

/// Removes what is old, and returns how many files that were. Whatever else is in the folder is not ours.
pub(super) async fn sweep(folder: &Path, now: DateTime<Utc>) -> io::Result<usize> {
    let mut files = match fs::read_dir(folder).await {
        Ok(files) => files,
        // Nobody was written to yet.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut removed = 0;
    while let Some(file) = files.next_entry().await? {
        let path = file.path();
        let is_old = queued_at(&path).is_some_and(|at| now - at > KEPT);
        // A link or a folder is nothing that was written here.
        if !(is_old && file.file_type().await?.is_file()) {
            continue;
        }
        match fs::remove_file(&path).await {
            Ok(()) => removed += 1,
            // Another replica on the same folder was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(removed)
}

/// When the mail in this file was queued, which its name says; `None`: it is not one of ours.
fn queued_at(path: &Path) -> Option<DateTime<Utc>> {
    let extension = path.extension()?.to_str()?;
    let stem = path.file_stem()?.to_str()?;
    let id = stem.parse::<Uuid>().ok().filter(|id| id.to_string() == stem)?;
    let (seconds, nanoseconds) = id.get_timestamp().filter(|_| id.get_version_num() == 7)?.to_unix();
    let at = DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)?;
    ["eml", "part"].contains(&extension).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_files_have_an_age() {
        let id = "019a0000-0000-7000-8000-000000000000";
        let age = |name: &str| queued_at(Path::new("/mail").join(name).as_path());
        let at = age(&format!("{id}.eml")).unwrap();
        assert_eq!((at.timestamp_millis(), age(&format!("{id}.part"))), (0x019a_0000_0000, Some(at)));
        let simple = format!("{}.eml", id.replace('-', ""));
        let (text, braced) = (format!("{id}.txt"), format!("{{{id}}}.eml"));
        let another = "6ba7b810-9dad-11d1-80b4-00c04fd430c8.eml";
        for other in [&text, &simple, &braced, id, "notes.eml", another, ".eml", ""] {
            assert_eq!(age(other), None, "{other}");
        }
    }
}
