//! How mail leaves: to a mail server, or into a folder.

use std::{fmt, net::IpAddr, path::PathBuf, time::Duration};

use chrono::{DateTime, Utc};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message as Mail, Tokio1Executor};
use url::Url;
use uuid::Uuid;

use super::folder;
use crate::{
    config::Delivery,
    failure::{Broken, Stop},
};

/// From the connection to the mail server's last word.
const PATIENCE: Duration = Duration::from_secs(15);

/// The way that mail takes.
pub enum Transport {
    Server(AsyncSmtpTransport<Tokio1Executor>),
    Folder(PathBuf),
}

impl Transport {
    pub fn new(delivery: Delivery) -> Result<Self, Stop> {
        match delivery {
            Delivery::Server(url) => Self::server(url.expose()),
            Delivery::Folder(folder) => Ok(Self::Folder(folder)),
        }
    }

    /// The mail server at this URL (`smtp:` or `smtps:`). Connects when a mail is sent.
    pub fn server(url: &str) -> Result<Self, Stop> {
        // Never with the URL: there is a password in it.
        let unusable = |error: &dyn fmt::Display| {
            Stop::new(format_args!("mail.url is not usable: {error}"))
                .mend("write smtps://user:password@host, with what is not a letter or digit percent-encoded")
        };
        let mut parsed = Url::parse(url).map_err(|error| unusable(&error))?;
        // In a URL of this scheme an address is a name like any other (WHATWG URL §3.5).
        let host = parsed.host_str().ok_or_else(|| unusable(&"it has no host"))?;
        let is_loopback = match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => host == "localhost" || host.ends_with(".localhost"),
        };
        if parsed.scheme() == "smtp" && !is_loopback && !parsed.query_pairs().any(|(name, _)| name == "tls") {
            // RFC 8314 §3.3: nothing goes in the clear because somebody in between took STARTTLS away.
            parsed.query_pairs_mut().append_pair("tls", "required");
        }
        let builder =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(parsed.as_str()).map_err(|error| unusable(&error))?;
        Ok(Self::Server(builder.timeout(Some(PATIENCE)).build()))
    }

    /// Connects and authenticates, without sending a mail. Returns the server's error text.
    pub async fn test(&self) -> Result<(), String> {
        match self {
            Self::Server(server) => match server.test_connection().await {
                Ok(true) => Ok(()),
                Ok(false) => Err("the server closed the connection".to_owned()),
                Err(error) => Err(error.to_string()),
            },
            Self::Folder(_) => Ok(()),
        }
    }

    /// Hands the mail over. Returns why it was not taken.
    pub(super) async fn send(&self, id: Uuid, mail: Mail) -> Result<(), String> {
        match self {
            Self::Server(server) => server.send(mail).await.map(drop).map_err(|error| error.to_string()),
            Self::Folder(folder) => {
                let path = folder::write(folder, id, &mail.formatted())
                    .await
                    .map_err(|error| format!("{}: {error}", folder.display()))?;
                // Not the text: a one-time link is a secret.
                tracing::info!(file = %path.display(), "a mail was written");
                Ok(())
            }
        }
    }

    /// Removes old mail from the folder; returns how many files that were.
    pub(super) async fn sweep(&self, now: DateTime<Utc>) -> Result<usize, Broken> {
        let Self::Folder(folder) = self else { return Ok(0) };
        let swept = folder::sweep(folder, now).await;
        swept.map_err(|error| Broken::new(format_args!("remove old mail from {}: {error}", folder.display())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_can_be_a_mail_server_is_one() {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        for url in ["smtp://127.0.0.1:2525", "smtps://me:pass%20word@mail.example", "smtp://mail.example?tls=required"]
        {
            assert!(Transport::server(url).is_ok(), "{url}");
        }
        for url in ["smtp:", "smtp://mail.example?tls=never", "smtps://me:%ff@mail.example", "mail.example"] {
            let stop = Transport::server(url).err().unwrap_or_else(|| panic!("{url}")).to_string();
            assert!(stop.contains("mail.url") && !stop.contains("me:"), "{stop}");
        }
    }
}
