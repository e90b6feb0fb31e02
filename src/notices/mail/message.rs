//! The closed list of what people are written. One is a variant, a file `templates/mail/<name>.txt`, a line in the list of
//! [`super::Letters`], and a line in the samples below.

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::db::Trace;

/// What a person is told. The name of its template is the variant's, and its fields are what the template is told; they
/// are stored until it was sent, so nothing secret is among them.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "template", content = "detail", rename_all = "snake_case")]
pub enum Message<'a> {
    PasskeyAdded {
        label: &'a str,
    },
    PasskeyRemoved {
        label: &'a str,
    },
    /// Its counter went back: somebody may have a copy.
    PasskeySuspended {
        label: &'a str,
    },
    PasswordChanged,
    /// The one-time link for a forgotten password.
    PasswordResetLink {
        /// The row's id.
        reset: Uuid,
        /// The authorization request that the password is wanted for. It says nothing outside of the browser it waits in.
        #[serde(skip_serializing_if = "Option::is_none")]
        request: Option<Uuid>,
    },
    /// By such a link.
    PasswordReset,
    AuthenticatorAdded,
    AuthenticatorRemoved,
    /// Somebody has guessed at the password as often as may be.
    PasswordGuessed,
    /// Somebody knows the password, or has a link by mail, and has guessed at codes.
    CodesGuessed,
    RecoveryCodesMade,
    RecoveryCodeUsed {
        left: usize,
    },
    /// To those who may approve: somebody waits.
    ApprovalWanted {
        who: &'a str,
        scope: &'a str,
        client: &'a str,
        reason: &'a str,
        minutes: i32,
    },
    /// To administrators: somebody did privileged work without the second person that it needs.
    GlassBroken {
        who: &'a str,
        scope: &'a str,
        client: &'a str,
        reason: &'a str,
    },
}

impl Message<'_> {
    /// The name of its template.
    pub(super) fn template(&self) -> String {
        self.written()["template"].as_str().unwrap_or_default().to_owned()
    }

    /// What its template is told: its own fields, and where it was done.
    pub(super) fn detail(&self, trace: &Trace) -> Value {
        let mut detail = match self.written()["detail"].take() {
            Value::Object(fields) => fields,
            _ => serde_json::Map::new(),
        };
        detail.insert("device".to_owned(), json!(trace.device));
        detail.insert("place".to_owned(), json!(trace.place));
        Value::Object(detail)
    }

    fn written(&self) -> Value {
        // An enum of texts, numbers and ids is always JSON.
        serde_json::to_value(self).unwrap_or_default()
    }
}

#[cfg(test)]
pub(super) fn samples() -> Vec<Message<'static>> {
    vec![
        Message::PasskeyAdded { label: "Phone" },
        Message::PasskeyRemoved { label: "Phone" },
        Message::PasskeySuspended { label: "Phone" },
        Message::PasswordChanged,
        Message::PasswordResetLink { reset: Uuid::from_u128(7), request: Some(Uuid::from_u128(8)) },
        Message::PasswordReset,
        Message::AuthenticatorAdded,
        Message::AuthenticatorRemoved,
        Message::PasswordGuessed,
        Message::CodesGuessed,
        Message::RecoveryCodesMade,
        Message::RecoveryCodeUsed { left: 9 },
        Message::ApprovalWanted {
            who: "bob",
            scope: "vault:open",
            client: "The Vault",
            reason: "The books of May",
            minutes: 10,
        },
        Message::GlassBroken { who: "bob", scope: "vault:open", client: "The Vault", reason: "Fire" },
    ]
}
