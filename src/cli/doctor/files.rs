//! The files that the configuration names: whether they can be used, and who else may read the secret ones.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::{super::files, report::Report};
use crate::{
    config::{Config, MasterSource},
    failure::Stop,
    unicode::without_mark,
};

/// Reads what the configuration names, and leaves out what cannot be used, so that the other checks can go on.
pub(super) fn usable(report: &mut Report, mut config: Config) -> Result<Config, Stop> {
    for named in files::NAMED.iter().filter(|named| (named.is_there)(&config)).collect::<Vec<_>>() {
        match (named.read)(&config) {
            Ok(()) => report.ok(format_args!("{}: can be used", named.key))?,
            Err(stop) => {
                report.stopped(named.key, &stop)?;
                (named.leave_out)(&mut config);
            }
        }
    }
    for file in files::strangers(&config)? {
        report.note(
            format_args!("{} replaces no template", file.display()),
            "remove it, or give it the name of a built-in template",
        )?;
    }
    Ok(config)
}

/// Files with secrets in them that other accounts of this machine may read.
pub(super) fn modes(report: &mut Report, config: &Config, configuration: Option<&Path>) -> Result<(), Stop> {
    let master = match config.master_source() {
        Ok(MasterSource::File(file) | MasterSource::Generated(file)) => Some(file),
        Ok(MasterSource::Given(_)) | Err(_) => None,
    };
    let is_embedded = config.database.url.is_none();
    let secret = [
        ("master secret", master),
        ("tls.key", config.tls.as_ref().map(|tls| tls.key.clone())),
        ("registration.initial_access_token_file", config.registration.initial_access_token_file.clone()),
        ("passwords of the embedded database", is_embedded.then(|| config.data_dir.join("postgres.json"))),
        ("configuration", configuration.filter(|file| holds_secrets(file)).map(Path::to_owned)),
    ];
    // Those that the server makes have mode 0600 from the start: someone changed it.
    let made_here = ["master secret", "passwords of the embedded database"];
    for (what, file) in secret.into_iter().filter_map(|(what, file)| Some((what, file?))) {
        // A file that is missing is another check's business.
        let Ok(mode) = fs::metadata(&file).map(|found| found.permissions().mode() & 0o777) else { continue };
        let of_others = mode % 0o10;
        if of_others == 0 {
            continue;
        }
        let said = format!("{what}: {} has mode {mode:04o}: every account of this machine may read it", file.display());
        let hint = "it holds a secret: chmod 0600 (or 0640 with a group of its own)";
        if made_here.contains(&what) {
            report.failed(said, hint)?;
        } else {
            report.note(said, hint)?;
        }
    }
    Ok(())
}

/// Whether a configuration file has a secret in it.
fn holds_secrets(file: &Path) -> bool {
    let text = fs::read_to_string(file).unwrap_or_default();
    let table = without_mark(&text).parse::<toml::Table>().unwrap_or_default();
    let is_given = |section: &str, key: &str| table.get(section).and_then(|section| section.get(key)).is_some();
    let in_a_row = |section: &str, key: &str| {
        let rows = table.get(section).and_then(toml::Value::as_array);
        rows.is_some_and(|rows| rows.iter().any(|row| row.get(key).is_some()))
    };
    is_given("secrets", "master")
        || is_given("mail", "url")
        || is_given("database", "url")
        || is_given("database", "migrate_url")
        || in_a_row("client", "client_secret")
        || in_a_row("user", "password")
}
