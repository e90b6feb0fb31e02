//! How mail leaves: to a mail server, or into a folder.

use std::{
    net::IpAddr,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use lettre::{
    Address, AsyncSmtpTransport, AsyncTransport, Message as Mail, Tokio1Executor,
    message::{
        Body, Mailbox,
        header::{ContentTransferEncoding, ContentType, Header, HeaderName, HeaderValue},
    },
};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;

use super::{super::Attempt, folder, letter::Letters};
use crate::{
    config::{Config, Delivery},
    db::mails::DueMail,
    failure::{Broken, Stop},
    tokens::ResetLinks,
};

/// From the connection to the mail server's last word.
const PATIENCE: Duration = Duration::from_secs(15);

/// Writes mail and sends it.
pub struct Mailer {
    from: Mailbox,
    sink: Sink,
    letters: Letters,
    resets: ResetLinks,
    issuer: String,
    host: String,
    name: String,
}

enum Sink {
    Server(AsyncSmtpTransport<Tokio1Executor>),
    Folder(PathBuf),
}

impl Mailer {
    pub fn new(config: &Config, resets: ResetLinks) -> Result<Self, Stop> {
        let host = config.issuer.host();
        let from = match config.mail.from.as_deref().map(str::parse::<Mailbox>).transpose() {
            Ok(Some(from)) => from,
            Ok(None) => {
                let address = Address::new("no-reply", host).or_else(|_| Address::new("no-reply", "localhost"));
                Mailbox::new(Some(config.pages.name.clone()), address.map_err(Stop::new)?)
            }
            Err(error) => {
                return Err(Stop::new(format_args!("mail.from is not an address: {error}"))
                    .mend("write one, as in `Harbour <no-reply@harbour.example>`"));
            }
        };
        let sink = match config.mail_delivery() {
            Delivery::Server(url) => Sink::Server(server(url.expose())?),
            Delivery::Folder(folder) => Sink::Folder(folder),
        };
        Ok(Self {
            from,
            sink,
            letters: Letters::new(config.pages.templates.as_deref())?,
            resets,
            issuer: config.issuer.as_str().to_owned(),
            host: host.to_owned(),
            name: config.pages.name.clone(),
        })
    }

    /// Sends a mail, to the address that the person has now.
    pub async fn send(&self, due: &DueMail, now: DateTime<Utc>) -> Attempt {
        let address = due.claims.get("email").and_then(Value::as_str).map(str::trim).unwrap_or_default();
        let Ok(address) = address.parse::<Address>() else {
            return skipped("address_unusable", "the person has no address that mail can go to");
        };
        let link = match self.link(due, now) {
            Ok(link) => link,
            Err(expired) => return expired,
        };
        let mail = match self.compose(due, address, link.as_deref()) {
            Ok(mail) => mail,
            Err(why) => return skipped("unwritable", why),
        };
        match &self.sink {
            Sink::Server(server) => match server.send(mail).await {
                Ok(_) => Attempt::Delivered,
                Err(error) => Attempt::Failed(error.to_string()),
            },
            Sink::Folder(folder) => match folder::write(folder, due.id, &mail.formatted()).await {
                Ok(path) => {
                    // Not what it says: a one-time link is a secret.
                    tracing::info!(file = %path.display(), template = due.template, "a mail was written");
                    Attempt::Delivered
                }
                Err(error) => Attempt::Failed(format!("{}: {error}", folder.display())),
            },
        }
    }

    /// Removes mail that lies in a folder and is old; returns how many files that were.
    pub async fn sweep(&self, now: DateTime<Utc>) -> Result<usize, Broken> {
        let Sink::Folder(folder) = &self.sink else { return Ok(0) };
        let swept = folder::sweep(folder, now).await;
        swept.map_err(|error| Broken::new(format_args!("remove old mail from {}: {error}", folder.display())))
    }

    /// The one-time link of the mail, if it has one.
    fn link(&self, due: &DueMail, now: DateTime<Utc>) -> Result<Option<String>, Attempt> {
        let Some(reset) = due.detail.get("reset").and_then(Value::as_str) else { return Ok(None) };
        let Ok(reset) = reset.parse::<Uuid>() else { return Err(skipped("unwritable", "reset is not an id")) };
        if now - due.created_at >= ResetLinks::LIFETIME {
            return Err(skipped("link_expired", "its link had expired before it could be sent"));
        }
        let token = self.resets.token(reset).into_text();
        let request = due.detail.get("request").and_then(Value::as_str).and_then(|id| id.parse::<Uuid>().ok());
        let request = request.map(|id| format!("&request={id}")).unwrap_or_default();
        Ok(Some(format!("{}/reset-password?token={token}{request}", self.issuer)))
    }

    fn compose(&self, due: &DueMail, address: Address, link: Option<&str>) -> Result<Mail, String> {
        let name = due.claims.get("name").and_then(Value::as_str);
        let context = json!({
            "site": { "name": self.name, "issuer": self.issuer },
            "account": format!("{}/account", self.issuer),
            "person": name.unwrap_or(&due.username),
            "username": due.username,
            "at": due.created_at.format("%-d %B %Y, %H:%M UTC").to_string(),
            "detail": due.detail,
            "link": link,
            "minutes": ResetLinks::LIFETIME.num_minutes(),
        });
        let letter = self.letters.write(&due.template, &context).map_err(|broken| broken.to_string())?;
        Mail::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(letter.subject)
            .date(SystemTime::from(due.created_at))
            // The same at each try: a mail that comes twice is told as one.
            .message_id(Some(format!("<{}@{}>", due.id, self.host)))
            // RFC 3834 §5: nobody answers it by machine.
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN)
            .body(body(letter.text))
            .map_err(|error| error.to_string())
    }
}

/// As it is where it is ASCII: a link that was cut into lines is one that people cannot copy.
fn body(text: String) -> Body {
    // RFC 5322 §2.1.1.
    if text.is_ascii() && text.lines().all(|line| line.len() < 998) {
        return Body::dangerous_pre_encoded(text.replace('\n', "\r\n").into_bytes(), ContentTransferEncoding::SevenBit);
    }
    Body::new(text)
}

fn skipped(reason: &'static str, why: impl Into<String>) -> Attempt {
    Attempt::Skipped { reason, why: why.into() }
}

/// The mail server at this URL.
fn server(url: &str) -> Result<AsyncSmtpTransport<Tokio1Executor>, Stop> {
    // Never with the URL: there is a password in it.
    let unusable = |error: &dyn std::fmt::Display| {
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
    let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(parsed.as_str()).map_err(|error| unusable(&error))?;
    Ok(builder.timeout(Some(PATIENCE)).build())
}

#[derive(Clone)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
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
            assert!(server(url).is_ok(), "{url}");
        }
        for url in ["smtp:", "smtp://mail.example?tls=never", "smtps://me:%ff@mail.example", "mail.example"] {
            let stop = server(url).err().unwrap_or_else(|| panic!("{url}")).to_string();
            assert!(stop.contains("mail.url") && !stop.contains("me:"), "{stop}");
        }
    }
}
