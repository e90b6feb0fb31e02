//! Writes mail and sends it.

use std::{collections::BTreeMap, time::SystemTime};

use chrono::{DateTime, Utc};
use lettre::{
    Address, Message as Mail,
    message::{
        Body, Mailbox, MessageBuilder,
        header::{ContentTransferEncoding, ContentType, Header, HeaderName, HeaderValue},
    },
};
use serde_json::{Value, json};
use url::Host;
use uuid::Uuid;

use super::{super::Attempt, letter::Letters, transport::Transport};
use crate::{
    config::{Config, Issuer, Scope},
    db::{ids, mails::DueMail},
    failure::{Broken, Stop},
    tokens::ResetLinks,
};

/// Writes mail and sends it.
pub struct Mailer {
    from: Mailbox,
    transport: Transport,
    letters: Letters,
    resets: ResetLinks,
    issuer: Issuer,
    name: String,
    /// What the scopes allow, in words, by their names.
    scopes: BTreeMap<String, String>,
}

impl Mailer {
    pub fn new(config: &Config, resets: ResetLinks) -> Result<Self, Stop> {
        let host = config.issuer.host();
        let from = match config.mail.from.as_deref().map(str::parse::<Mailbox>).transpose() {
            Ok(Some(from)) => Mailbox::new(from.name, parse_address(from.email.as_ref()).unwrap_or(from.email)),
            Ok(None) => {
                let address = Address::new("no-reply", host).or_else(|_| Address::new("no-reply", "localhost"));
                Mailbox::new(Some(config.pages.name.clone()), address.map_err(Stop::new)?)
            }
            Err(error) => {
                return Err(Stop::new(format_args!("mail.from is not an address: {error}"))
                    .mend("write one, as in `Harbour <no-reply@harbour.example>`"));
            }
        };
        Ok(Self {
            from,
            transport: Transport::new(config.mail_delivery())?,
            letters: Letters::new(config.pages.templates.as_deref())?,
            resets,
            issuer: config.issuer.clone(),
            name: config.pages.name.clone(),
            scopes: described(&config.scopes),
        })
    }

    /// Sends a mail, to the address that the person has now.
    pub async fn send(&self, due: &DueMail, now: DateTime<Utc>) -> Attempt {
        let address = due.claims.get("email").and_then(Value::as_str).map(str::trim).unwrap_or_default();
        let Some(address) = parse_address(address) else {
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
        match self.transport.send(due.id, mail).await {
            Ok(()) => Attempt::Delivered,
            Err(why) => Attempt::Failed(why),
        }
    }

    /// Sends a mail that only says that mail arrives. Returns the transport's error text.
    pub async fn test(&self, address: &str, now: DateTime<Utc>) -> Result<(), String> {
        let address = parse_address(address).ok_or("this is not a mail address")?;
        let id = ids::new_id(now);
        let text = format!("{} at {} can send mail.\n", self.name, self.issuer);
        let mail = self
            .head(address, id, now)
            .subject(format!("Test mail from {}", self.name))
            .body(body(text))
            .map_err(|error| error.to_string())?;
        self.transport.send(id, mail).await
    }

    /// Removes mail that lies in a folder and is old; returns how many files that were.
    pub async fn sweep(&self, now: DateTime<Utc>) -> Result<usize, Broken> {
        self.transport.sweep(now).await
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
        Ok(Some(self.issuer.url(&format!("/reset-password?token={token}{request}"))))
    }

    fn compose(&self, due: &DueMail, address: Address, link: Option<&str>) -> Result<Mail, String> {
        let name = due.claims.get("name").and_then(Value::as_str);
        let context = json!({
            "site": { "name": self.name, "issuer": self.issuer.as_str() },
            "account": self.issuer.url("/account"),
            "approvals": self.issuer.url("/hub/elevations"),
            "person": name.unwrap_or(&due.username),
            "username": due.username,
            "at": due.created_at.format("%-d %B %Y, %H:%M UTC").to_string(),
            "detail": due.detail,
            "work": due.detail.get("scope").and_then(Value::as_str).map(|scope| self.work(scope)),
            "link": link,
            "minutes": ResetLinks::LIFETIME.num_minutes(),
        });
        let letter = self.letters.write(&due.template, &context).map_err(|broken| broken.to_string())?;
        self.head(address, due.id, due.created_at)
            .subject(letter.subject)
            .body(body(letter.text))
            .map_err(|error| error.to_string())
    }

    /// Scopes in words, each with its name.
    fn work(&self, scope: &str) -> String {
        let named = |name: &str| match self.scopes.get(name) {
            Some(description) => format!("{description} ({name})"),
            None => name.to_owned(),
        };
        scope.split(' ').map(named).collect::<Vec<_>>().join("; ")
    }

    /// The headers that every mail has.
    fn head(&self, to: Address, id: Uuid, at: DateTime<Utc>) -> MessageBuilder {
        Mail::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, to))
            .date(SystemTime::from(at))
            // The same at each try, so that mail programs show a mail that arrives twice as one.
            .message_id(Some(format!("<{id}@{}>", self.issuer.host())))
            // RFC 3834 §5: no machine answers it.
            .header(AutoSubmitted)
            .header(ContentType::TEXT_PLAIN)
    }
}

fn described(scopes: &[Scope]) -> BTreeMap<String, String> {
    scopes.iter().filter_map(|scope| Some((scope.name.clone(), scope.description.clone()?))).collect()
}

/// A mail address with its domain as A-labels (RFC 5891 §4.4), which every mail server takes: a domain in other letters
/// needs the extension SMTPUTF8 (RFC 6531), and servers without it refuse the mail.
fn parse_address(text: &str) -> Option<Address> {
    let (user, domain) = text.rsplit_once('@')?;
    match Host::parse(domain) {
        Ok(Host::Domain(domain)) => Address::new(user, domain).ok(),
        // An address literal, such as [192.0.2.1].
        Ok(_) | Err(_) => text.parse().ok(),
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

    #[test]
    fn a_domain_in_other_letters_becomes_a_labels() {
        for (written, sent) in [
            ("post@bücher.example", "post@xn--bcher-kva.example"),
            ("post@例え.テスト", "post@xn--r8jz45g.xn--zckzah"),
            ("Post.Box+tag@Example.COM", "Post.Box+tag@example.com"),
            ("root@localhost", "root@localhost"),
            ("root@[192.0.2.1]", "root@[192.0.2.1]"),
        ] {
            assert_eq!(parse_address(written).map(|address| address.to_string()).as_deref(), Some(sent), "{written}");
        }
        for wrong in ["", "post", "@example.com", "post@", "post@exa mple.com", "a@b@"] {
            assert_eq!(parse_address(wrong), None, "{wrong}");
        }
    }
}
