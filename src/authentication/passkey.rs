//! Passkeys: WebAuthn ceremonies, begun and verified. The only place that names the library.
//!
//! Not for keeping anything: what a ceremony's answer is verified against, and the passkeys themselves, go in and out as
//! JSON that nobody else reads. Invariant: user verification is always asked for, and what a sign-in is worth is decided
//! from the flags of the verified assertion, never from what was asked.

use std::{fs, path::Path, time::Duration};

use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;
use webauthn_rs::prelude::{
    AttestationCaList, Credential, DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, Webauthn, WebauthnBuilder, WebauthnError,
};

use crate::{
    config::{self, Issuer},
    failure::{Broken, Stop},
    sessions::Proof,
};

/// How long a ceremony may take.
pub const PATIENCE: Duration = Duration::from_mins(5);

/// Begins and verifies ceremonies; one for the server.
pub struct Passkeys {
    webauthn: Webauthn,
    /// Whose word about an authenticator counts; empty: nobody is asked.
    authorities: AttestationCaList,
}

/// Why the answer to a ceremony is not taken; for the log and the trail, not for whoever answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is none that this browser session was asked for, or it was answered, or it took too long.
    NoCeremony,
    Malformed,
    WrongChallenge,
    WrongOrigin,
    NotVerified,
    WrongSignature,
    /// The counter did not rise: there may be a copy of the key.
    CounterWentBack,
    /// Nobody has this passkey.
    Unknown,
    /// Somebody else has it.
    AnotherPersons,
    Suspended,
    /// Its person may not sign in.
    Disabled,
    /// It was enrolled before, by whomever.
    Enrolled,
    Unacceptable,
}

impl Refusal {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NoCeremony => "no_ceremony",
            Self::Malformed => "malformed_answer",
            Self::WrongChallenge => "wrong_challenge",
            Self::WrongOrigin => "wrong_origin",
            Self::NotVerified => "user_not_verified",
            Self::WrongSignature => "wrong_signature",
            Self::CounterWentBack => "counter_went_back",
            Self::Unknown => "unknown_passkey",
            Self::AnotherPersons => "another_persons_passkey",
            Self::Suspended => "suspended_passkey",
            Self::Disabled => "disabled_user",
            Self::Enrolled => "enrolled_already",
            Self::Unacceptable => "unacceptable_passkey",
        }
    }

    fn of(error: &WebauthnError) -> Self {
        match error {
            WebauthnError::MismatchedChallenge => Self::WrongChallenge,
            WebauthnError::InvalidRPOrigin | WebauthnError::InvalidRPIDHash | WebauthnError::CredentialCrossOrigin => {
                Self::WrongOrigin
            }
            WebauthnError::UserNotVerified | WebauthnError::UserNotPresent => Self::NotVerified,
            WebauthnError::AuthenticationFailure | WebauthnError::SignatureInvalid => Self::WrongSignature,
            WebauthnError::CredentialPossibleCompromise => Self::CounterWentBack,
            WebauthnError::ParseBase64Failure(_)
            | WebauthnError::ParseCBORFailure(_)
            | WebauthnError::ParseJSONFailure(_)
            | WebauthnError::ParseNOMFailure
            | WebauthnError::ParseInsufficientBytesAvailable
            | WebauthnError::InvalidClientDataType => Self::Malformed,
            _ => Self::Unacceptable,
        }
    }
}

/// A ceremony about to begin.
pub struct Begun {
    /// `PublicKeyCredentialCreationOptions` or `PublicKeyCredentialRequestOptions` in JSON (WebAuthn §5.1.8 f.).
    pub options: Value,
    /// What the answer is verified against.
    pub state: Value,
}

/// Who enrols a passkey.
pub struct Enrolee<'a> {
    pub user_id: Uuid,
    pub username: &'a str,
    pub name: &'a str,
    /// As they are kept; the authenticator that has one of them makes no other.
    pub has: &'a [Value],
}

/// A passkey that was made.
pub struct Enrolled {
    pub handle: Vec<u8>,
    pub passkey: Value,
    /// A configured authority vouches for its hardware, and it cannot be backed up.
    pub attested: bool,
}

/// The answer to a sign-in ceremony, not yet verified.
pub struct Assertion(PublicKeyCredential);

impl Assertion {
    #[must_use]
    pub fn parse(answer: Value) -> Option<Self> {
        serde_json::from_value(answer).ok().map(Self)
    }

    /// Which passkey it says it is.
    #[must_use]
    pub fn handle(&self) -> &[u8] {
        &self.0.raw_id
    }

    /// Whom the authenticator made it for, if it says so.
    #[must_use]
    pub fn user_handle(&self) -> Option<&[u8]> {
        self.0.response.user_handle.as_deref()
    }

    /// Whether its authenticator data say that the passkey may be backed up (§6.1, the flag BE); signed, but not verified yet.
    fn is_backup_eligible(&self) -> bool {
        self.0.response.authenticator_data.get(32).is_some_and(|flags| flags & 0x08 != 0)
    }

    /// §7.2 step 12: our pages are in nobody's frame. The library looks at this only when a passkey is made.
    fn is_cross_origin(&self) -> bool {
        let said: Option<Value> = serde_json::from_slice(&self.0.response.client_data_json).ok();
        said.is_some_and(|said| said["crossOrigin"] == true || said.get("topOrigin").is_some())
    }
}

/// An assertion that is genuine.
pub struct Verified {
    pub proof: Proof,
    /// The passkey as it is now, its counter risen.
    pub passkey: Value,
    /// It was attested, and can be backed up by now: its attestation means nothing any more.
    pub lost_attestation: bool,
}

impl Passkeys {
    /// `None` where the issuer's host is an address: passkeys belong to names (WebAuthn §5.1.2).
    pub fn new(issuer: &Issuer, name: &str, settings: &config::Passkeys) -> Result<Option<Self>, Stop> {
        let Some(origin) = Url::parse(issuer.origin()).ok().filter(|url| url.domain().is_some()) else {
            return Ok(None);
        };
        let wrong = |error: WebauthnError| Stop::new(format_args!("[passkeys]: {error}"));
        let mut builder = WebauthnBuilder::new(issuer.host(), &origin).map_err(wrong)?.rp_name(name).timeout(PATIENCE);
        for related in &settings.related_origins {
            builder = builder.append_allowed_origin(&Url::parse(related).map_err(Stop::new)?);
        }
        let mut authorities = AttestationCaList::default();
        for file in &settings.attestation_ca {
            authorities.union(&read_authorities(file)?);
        }
        Ok(Some(Self { webauthn: builder.build().map_err(wrong)?, authorities }))
    }

    /// Asks for a new passkey, discoverable so that it signs in without a name.
    pub fn begin_enrolment(&self, enrolee: &Enrolee<'_>) -> Result<Begun, Broken> {
        let exclude =
            enrolee.has.iter().map(|kept| Ok(read(kept)?.cred_id().clone())).collect::<Result<_, Broken>>()?;
        let (challenge, state) = self
            .webauthn
            .start_passkey_registration(enrolee.user_id, enrolee.username, enrolee.name, Some(exclude))
            .map_err(|error| Broken::new(format_args!("begin an enrolment: {error}")))?;
        let mut options = written(&challenge)?["publicKey"].take();
        options["authenticatorSelection"]["residentKey"] = json!("required");
        options["authenticatorSelection"]["requireResidentKey"] = json!(true);
        if !self.authorities.is_empty() {
            options["attestation"] = json!("direct");
        }
        Ok(Begun { options, state: written(&state)? })
    }

    /// Verifies what an authenticator made (§7.1).
    pub fn finish_enrolment(&self, state: &Value, answer: Value) -> Result<Result<Enrolled, Refusal>, Broken> {
        let state: PasskeyRegistration = known(state)?;
        let Ok(answer) = serde_json::from_value::<RegisterPublicKeyCredential>(answer) else {
            return Ok(Err(Refusal::Malformed));
        };
        let passkey = match self.webauthn.finish_passkey_registration(&answer, &state) {
            Ok(passkey) => passkey,
            Err(error) => {
                tracing::debug!(%error, "enrolment");
                return Ok(Err(Refusal::of(&error)));
            }
        };
        let (handle, kept) = (passkey.cred_id().clone(), written(&passkey)?);
        Ok(Ok(Enrolled { handle, passkey: kept, attested: self.is_hardware(&passkey.into()) }))
    }

    fn is_hardware(&self, credential: &Credential) -> bool {
        !self.authorities.is_empty()
            && !credential.backup_eligible
            && matches!(credential.verify_attestation(&self.authorities), Ok(Some(_)))
    }

    /// Asks for a passkey: one of `allowed`, as they are kept, or whichever somebody has.
    pub fn begin_sign_in(&self, allowed: Option<&[Value]>) -> Result<Begun, Broken> {
        let (challenge, state) = self
            .webauthn
            .start_discoverable_authentication()
            .map_err(|error| Broken::new(format_args!("begin a sign-in: {error}")))?;
        let mut options = written(&challenge)?["publicKey"].take();
        if let Some(allowed) = allowed {
            let listed = allowed.iter().map(|kept| {
                let credential: Credential = read(kept)?.into();
                let mut listed = json!({ "type": "public-key", "id": crate::jose::base64url(&credential.cred_id) });
                if let Some(transports) = &credential.transports {
                    listed["transports"] = written(transports)?;
                }
                Ok(listed)
            });
            options["allowCredentials"] = Value::Array(listed.collect::<Result<_, Broken>>()?);
        }
        Ok(Begun { options, state: written(&state)? })
    }

    /// Verifies an assertion (§7.2) by the passkey that it names; `attested`: as it was enrolled.
    pub fn verify(
        &self,
        state: &Value,
        assertion: &Assertion,
        kept: &Value,
        attested: bool,
    ) -> Result<Result<Verified, Refusal>, Broken> {
        let state: DiscoverableAuthentication = known(state)?;
        // WebAuthn Level 3 §7.2 wants the flag BE to stay as it was. Password managers set it on passkeys that they take over,
        // and their people must not be locked out: from 0 to 1 it may go, never back. Only `phrh` rests on it.
        let mut kept = kept.clone();
        if assertion.is_backup_eligible() && kept["cred"]["backup_eligible"] == false {
            kept["cred"]["backup_eligible"] = json!(true);
        }
        let mut passkey = read(&kept)?;
        if assertion.is_cross_origin() {
            return Ok(Err(Refusal::WrongOrigin));
        }
        let result = match self.webauthn.finish_discoverable_authentication_v2(&assertion.0, state, &passkey) {
            Ok(result) => result,
            Err(error) => {
                tracing::debug!(%error, "assertion");
                return Ok(Err(Refusal::of(&error)));
            }
        };
        if !result.user_verified() {
            return Ok(Err(Refusal::NotVerified));
        }
        passkey.update_credential(&result);
        let hardware = attested && !result.backup_eligible();
        let proof = if hardware { Proof::HARDWARE_PASSKEY } else { Proof::PASSKEY };
        Ok(Ok(Verified { proof, passkey: written(&passkey)?, lost_attestation: attested && !hardware }))
    }
}

/// Every certificate of a PEM file.
fn read_authorities(file: &Path) -> Result<AttestationCaList, Stop> {
    const END: &str = "-----END CERTIFICATE-----";
    let unusable = |why: &dyn std::fmt::Display| {
        Stop::new(format_args!("passkeys.attestation_ca: {}: {why}", file.display()))
            .mend("name files of certificates in PEM that this user may read")
    };
    let text = fs::read_to_string(file).map_err(|error| unusable(&error))?;
    let mut all = AttestationCaList::default();
    for part in text.split_inclusive(END).filter(|part| part.contains(END)) {
        let begin = part.find("-----BEGIN").unwrap_or_default();
        let one = AttestationCaList::try_from(&part.as_bytes()[begin..]);
        all.union(&one.map_err(|_| unusable(&"a certificate in it cannot be read"))?);
    }
    if all.is_empty() {
        return Err(unusable(&"there is no certificate in it"));
    }
    Ok(all)
}

fn read(kept: &Value) -> Result<Passkey, Broken> {
    known(kept)
}

fn known<T: for<'a> serde::Deserialize<'a>>(kept: &Value) -> Result<T, Broken> {
    T::deserialize(kept).map_err(|error| Broken::new(format_args!("what was kept of a passkey: {error}")))
}

fn written(value: &impl serde::Serialize) -> Result<Value, Broken> {
    serde_json::to_value(value).map_err(|error| Broken::new(format_args!("what is to be kept of a passkey: {error}")))
}
