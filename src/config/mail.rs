//! How people are written to.

use std::path::PathBuf;

use super::{
    Config, Secret,
    given::Reader,
    key::{Key, Section},
};
use crate::failure::Stop;

static URL: Key<Secret> = Key::optional(
    "url",
    "no mail server: see `file`",
    "`smtps://user:password@host`, or `smtp://…`, which insists on STARTTLS unless the host is a loopback one.",
);
static FILE: Key<PathBuf> = Key::optional(
    "file",
    "`mail` in `data_dir`",
    "A folder to write mail into instead of sending it, one file each, for three days. What is in it opens accounts: for \
     trying out.",
);
static FROM: Key<String> =
    Key::optional("from", "`no-reply@` the issuer's host", "The sender, as in `Harbour <no-reply@harbour.example>`.");

pub static SECTION: Section = Section {
    name: "mail",
    doc: "What people are told by mail: links for a forgotten password, and changes of what they sign in with.",
    repeated: false,
    keys: || vec![&URL, &FILE, &FROM],
};

/// Where mail goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// `smtp:` or `smtps:`, with user and password in it.
    Server(Secret),
    /// One file each.
    Folder(PathBuf),
}

/// How people are written to: by `url`, into `file`, or neither was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    pub url: Option<Secret>,
    pub file: Option<PathBuf>,
    /// As it was given; `None`: one of the issuer's host.
    pub from: Option<String>,
}

pub fn read(from: &Reader<'_>) -> Result<Mail, Stop> {
    let mail = Mail { url: from.find(&URL)?, file: from.find(&FILE)?, from: from.find(&FROM)? };
    if let Some(url) = &mail.url {
        if mail.file.is_some() {
            return Err(from.wrong(&FILE, "mail.url is set too: keep one of them"));
        }
        let begins = |scheme: &str| url.expose().starts_with(scheme);
        if !(begins("smtp://") || begins("smtps://")) {
            return Err(from.wrong(&URL, "write smtps://user:password@host, or smtp://…"));
        }
    }
    Ok(mail)
}

impl Config {
    /// Where mail goes.
    #[must_use]
    pub fn mail_delivery(&self) -> Delivery {
        match (&self.mail.url, &self.mail.file) {
            (Some(url), _) => Delivery::Server(url.clone()),
            (None, Some(folder)) => Delivery::Folder(folder.clone()),
            (None, None) => Delivery::Folder(self.in_data_dir("mail")),
        }
    }
}
