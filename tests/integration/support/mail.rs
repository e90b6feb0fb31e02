//! The mail that a server under test wrote, as its recipient reads it. The server must have its jobs.

use std::{fs, path::PathBuf, time::Duration};

use mooring::config::Delivery;

use super::Server;

/// One mail.
#[derive(Clone, Debug)]
pub struct Mail {
    pub file: PathBuf,
    pub to: String,
    pub subject: String,
    pub head: String,
    pub text: String,
}

impl Mail {
    pub fn read(file: PathBuf, content: &str) -> Self {
        let (head, text) = content.split_once("\r\n\r\n").expect("a head and a text");
        let said = |name: &str| {
            let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
            line.unwrap_or_else(|| panic!("no {name}: {content}")).to_owned()
        };
        assert_eq!(said("Content-Transfer-Encoding"), "7bit", "{content}");
        let (to, subject) = (said("To"), said("Subject"));
        Self { file, to, subject, head: head.to_owned(), text: text.replace("\r\n", "\n") }
    }

    /// The only link of this path.
    pub fn link(&self, path: &str) -> String {
        let links: Vec<&str> = self.text.split_whitespace().filter(|word| word.contains(path)).collect();
        assert_eq!(links.len(), 1, "{}", self.text);
        links[0].to_owned()
    }
}

impl Server {
    /// Every mail so far, in the order in which they were queued.
    pub fn mails(&self) -> Vec<Mail> {
        let Delivery::Folder(folder) = self.app.config.mail_delivery() else { panic!("it sends its mail") };
        let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
        let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        files.retain(|file| file.extension().is_some_and(|extension| extension == "eml"));
        files.sort();
        files
            .into_iter()
            .map(|file| {
                let content = fs::read_to_string(&file).expect("a mail");
                Mail::read(file, &content)
            })
            .collect()
    }

    /// The latest mail whose subject says so; it is waited for.
    pub async fn mail(&self, subject: &str) -> Mail {
        for _ in 0..200 {
            if let Some(mail) = self.mails().into_iter().rev().find(|mail| mail.subject.contains(subject)) {
                return mail;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("no mail says {subject:?}: {:?}", self.mails());
    }
}
