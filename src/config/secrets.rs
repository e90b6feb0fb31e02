//! Where the master secret comes from, under which private keys are sealed and refresh tokens derived.

use std::path::PathBuf;

use super::{
    Config, Secret,
    given::Reader,
    key::{Key, Section},
};
use crate::failure::Stop;

/// Fewer characters than this can be guessed.
pub const MASTER_LENGTH: usize = 32;

static MASTER_FILE: Key<PathBuf> = Key::optional(
    "master_file",
    "`master.key` in `data_dir`, made at the first start",
    "A file that holds the master secret. With the embedded database a relative path is one below `data_dir`, and the file \
     is made there with a new database.",
);
static MASTER: Key<Secret> = Key::optional(
    "master",
    "",
    "The master secret itself, at least 32 characters, the same on every replica; better in the variable than in the file.",
);

pub static SECTION: Section = Section {
    name: "secrets",
    doc: "With `database.url` one of the two is required, since replicas must share it.",
    repeated: false,
    keys: || vec![&MASTER_FILE, &MASTER],
};

/// What was said about the master secret: one of the two, or neither.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secrets {
    pub master_file: Option<PathBuf>,
    pub master: Option<Secret>,
}

/// Where the master secret is to be taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MasterSource {
    Given(Secret),
    /// It must be there.
    File(PathBuf),
    /// Of the embedded database: made with mode 0600 when it is not there yet.
    Generated(PathBuf),
}

pub fn read(from: &Reader<'_>) -> Result<Secrets, Stop> {
    let secrets = Secrets { master_file: from.find(&MASTER_FILE)?, master: from.find(&MASTER)? };
    if let Some(master) = &secrets.master {
        if master.expose().trim().len() < MASTER_LENGTH {
            return Err(
                from.wrong(&MASTER, format!("use at least {MASTER_LENGTH} characters: `openssl rand -base64 48`"))
            );
        }
        if secrets.master_file.is_some() {
            // Choosing one of two silently could leave every sealed key unreadable.
            return Err(from.wrong(&MASTER_FILE, "the master secret itself is given as well: keep one of the two"));
        }
    }
    Ok(secrets)
}

impl Config {
    /// Where the master secret comes from. A database of one's own without one is refused: each replica would make
    /// another, and none could read what the others sealed.
    pub fn master_source(&self) -> Result<MasterSource, Stop> {
        let is_embedded = self.database.url.is_none();
        match (&self.secrets.master, &self.secrets.master_file) {
            (Some(master), _) => Ok(MasterSource::Given(master.clone())),
            (None, Some(file)) if is_embedded && file.is_relative() => {
                Ok(MasterSource::Generated(self.in_data_dir(file)))
            }
            (None, Some(file)) => Ok(MasterSource::File(file.clone())),
            (None, None) if is_embedded => Ok(MasterSource::Generated(self.in_data_dir("master.key"))),
            (None, None) => Err(Stop::new("database.url is set, but there is no master secret").mend(
                "set MOORING_SECRETS__MASTER or secrets.master_file, the same on every replica: `openssl rand -base64 48`",
            )),
        }
    }
}
