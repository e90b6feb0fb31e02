//! How mail reads: plain text, one template each, the first line of which is the subject. A file of the same name in
//! `mail/` of the operator's folder of templates goes before the built-in one.

use std::{fs, path::Path};

use minijinja::{
    AutoEscape, Environment, Error, Output, State, UndefinedBehavior, Value, syntax::SyntaxConfig, value::Serde,
};
use serde::Serialize;

use crate::{
    failure::{Broken, Stop},
    unicode::without_mark,
};

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../templates/mail/", $name, ".txt")))),*]
    };
}

const EMBEDDED: [(&str, &str); 15] = embedded![
    "_foot",
    "passkey_added",
    "passkey_removed",
    "passkey_suspended",
    "password_changed",
    "password_reset_link",
    "password_reset",
    "authenticator_added",
    "authenticator_removed",
    "codes_guessed",
    "password_guessed",
    "recovery_codes_made",
    "recovery_code_used",
    "approval_wanted",
    "glass_broken",
];

/// Every template, parsed.
pub struct Letters(Environment<'static>);

/// A mail as it is read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Letter {
    pub subject: String,
    pub text: String,
}

impl Letters {
    /// The files that are read of a folder of templates.
    pub fn files() -> impl Iterator<Item = String> {
        EMBEDDED.iter().map(|(name, _)| format!("mail/{name}.txt"))
    }

    /// The built-in ones, and those of `mail/` in `overrides`. One that does not parse stops the start.
    pub fn new(overrides: Option<&Path>) -> Result<Self, Stop> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
        environment.set_auto_escape_callback(|_| AutoEscape::None);
        environment.set_formatter(plain);
        let mut syntax = SyntaxConfig::builder();
        syntax.trim_blocks(true).lstrip_blocks(true);
        environment.set_syntax(syntax.build().map_err(Stop::new)?);
        for (name, source) in EMBEDDED {
            environment.add_template(name, source).map_err(|error| unparsable(name, &error))?;
            let Some(path) = overrides.map(|folder| folder.join("mail").join(format!("{name}.txt"))) else { continue };
            if path.is_file() {
                let shown = path.display().to_string();
                let own = fs::read_to_string(&path)
                    .map_err(|error| Stop::new(format!("cannot read the template {shown}: {error}")))?;
                environment
                    .add_template_owned(name, without_mark(&own).to_owned())
                    .map_err(|error| unparsable(&shown, &error))?;
            }
        }
        Ok(Self(environment))
    }

    /// Writes the letter of this template.
    pub(super) fn write(&self, template: &str, context: &impl Serialize) -> Result<Letter, Broken> {
        let written = self
            .0
            .get_template(template)
            .and_then(|template| template.render(Value::from(Serde(context))))
            // The message names template, line and the missing name, never a value of the context.
            .map_err(|error| Broken::new(format_args!("a mail could not be written: {error}")))?;
        let (subject, text) = written.trim_start().split_once('\n').unwrap_or((&written, ""));
        Ok(Letter { subject: subject.trim().to_owned(), text: format!("{}\n", text.trim()) })
    }
}

fn unparsable(file: &str, error: &Error) -> Stop {
    let line = error.line().unwrap_or(1);
    let detail = error.detail().map_or_else(|| error.kind().to_string(), ToOwned::to_owned);
    Stop::new(format!("the template {file} does not parse: line {line}: {detail}"))
        .mend("mend that line, or remove the file to use the built-in text")
}

/// A value stays on its line: whoever chooses a name does not choose what the letter says below it.
fn plain(out: &mut Output, _: &mut State, value: &Value) -> Result<(), Error> {
    let text: String = value.to_string().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    out.write_str(&text).map_err(Error::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{super::message::samples, *};
    use crate::db::Trace;

    fn context(detail: &serde_json::Value) -> serde_json::Value {
        json!({
            "site": { "name": "Mooring", "issuer": "http://localhost:8080" }, "account": "http://localhost:8080/account",
            "approvals": "http://localhost:8080/hub/elevations",
            "person": "Alice", "username": "alice", "at": "3 May 2026, 14:05 UTC", "detail": detail, "link": "https://link",
            "minutes": 30, "work": "Open the vault (vault:open)",
        })
    }

    #[test]
    fn every_message_has_a_letter() {
        let letters = Letters::new(None).unwrap();
        let trace = Trace { device: Some("Firefox on Linux".into()), ..Trace::default() };
        for message in samples() {
            let letter = letters.write(&message.template(), &context(&message.detail(&trace))).unwrap();
            assert!(!letter.subject.is_empty() && letter.subject.len() < 78, "{letter:?}");
            assert!(letter.text.starts_with("Hello Alice,\n") && letter.text.contains("alice"), "{letter:?}");
            // ASCII, and lines that no mail program breaks.
            assert!(letter.text.is_ascii() && letter.text.lines().all(|line| line.len() <= 78), "{letter:?}");
            // Where and when stands by itself, and whose browser and whose account that is.
            let is_about_another = message.detail(&trace)["who"].is_string();
            let (from, account) =
                if is_about_another { ("Their browser", "Your account") } else { ("From", "Account") };
            let circumstances = format!(
                "\n\n{from}: Firefox on Linux\nWhen: 3 May 2026, 14:05 UTC\n{account}: alice at http://localhost:8080\n"
            );
            let after = letter.text.split_once(&circumstances).unwrap_or_else(|| panic!("{letter:?}")).1;
            assert!(after.is_empty() || after.starts_with('\n'), "{letter:?}");
            assert!(!letter.text.contains("none") && !letter.text.contains("\n\n\n"), "{letter:?}");
        }
        assert_eq!(samples().len() + 1, EMBEDDED.len(), "every template has a message, but for the foot");
    }

    #[test]
    fn a_value_cannot_add_lines() {
        let letters = Letters::new(None).unwrap();
        let detail = json!({ "label": "x\r\nBcc: all@example.com\n\nPay here", "device": null, "place": null });
        let letter = letters.write("passkey_added", &context(&detail)).unwrap();
        assert!(!letter.text.contains("\nBcc") && !letter.text.contains("\nPay"), "{letter:?}");
    }

    #[test]
    fn a_file_of_the_same_name_wins() {
        let folder = std::env::temp_dir().join(format!("mooring-letters-{}", std::process::id()));
        fs::create_dir_all(folder.join("mail")).unwrap();
        let file = folder.join("mail/password_changed.txt");
        fs::write(&file, "Ahoy {{ username }}\n\nNew password.").unwrap();
        let letter = Letters::new(Some(&folder)).unwrap().write("password_changed", &context(&json!({}))).unwrap();
        assert_eq!(letter, Letter { subject: "Ahoy alice".into(), text: "New password.\n".into() });
        fs::write(&file, "{% if %}").unwrap();
        let stop = Letters::new(Some(&folder)).err().unwrap().to_string();
        assert!(stop.contains("password_changed.txt does not parse: line 1"), "{stop}");
        fs::remove_dir_all(folder).unwrap();
    }
}
