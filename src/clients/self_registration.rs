//! Clients that register themselves, and manage what they registered (RFC 7591, RFC 7592, OIDC Registration 1.0).
//!
//! The registration access token is an HMAC over the client's id and a generation kept in its row: nothing readable is
//! stored, and a changed registration has a new one. Not for declared clients, which have no generation and so no token.
//!
//! Invariant: what a client reads, changes or deletes here is itself.

use std::{fs, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{registration::tell, reserved_names::ReservedNames, secret};
use crate::{
    audit::{self, Action, Actor, Event, Subject},
    config::{self, Policy},
    db::{
        Tx,
        registrations::{self, Limits, Registration},
    },
    failure::{Broken, Failure, Stop},
    jose::{Key256, base64url, constant_time_eq, from_base64url, keys_alone, sha256},
    oauth::{
        ClientMetadata, Error, ErrorCode,
        client_metadata::{AssertionAudience, Fault, Terms, is_left_out},
    },
    unicode::without_mark,
};

/// What secret scanners find it by.
const PREFIX: &str = "mo_ra_";

/// The least characters of an initial access token: it is compared, not guessed at, only if it is random.
const TOKEN_LENGTH: usize = 32;

/// Unused clients from one source are at most this part of all there may be: nobody alone keeps the others out.
const UNUSED_SHARE: u32 = 10;

/// How many times that an IPv6 /48 may have: it is one customer, or a few.
const WIDE_NETWORK_SHARES: u32 = 3;

/// The longest metadata of one client, in octets as stored. Every request of the client reads them.
const LONGEST: usize = 8 << 10;

/// How often what has expired is removed.
pub const SWEPT_EVERY: Duration = Duration::from_mins(10);

/// What the server adds to metadata in its answers; a client that sends it back is refused (RFC 7592 §2.2).
const SERVER_MADE: [&str; 4] =
    ["registration_access_token", "registration_client_uri", "client_secret_expires_at", "client_id_issued_at"];

/// Who may register, on which terms, and with what they manage it.
pub struct Registrar {
    policy: Policy,
    /// SHA-256 of it.
    initial_access_token: Option<[u8; 32]>,
    tokens: Key256,
    require_pkce: bool,
    unsigned_requests: bool,
    unused_limit: u32,
    unused_kept: TimeDelta,
    /// Clients, and octets of their metadata.
    most: (i64, i64),
    assertion_audience: AssertionAudience,
    reserved: ReservedNames,
    /// Beside the standard ones.
    scopes: Vec<String>,
}

/// What a client is told of itself (RFC 7591 §3.2.1, RFC 7592 §3).
pub struct Information {
    pub client_id: String,
    issued_at: DateTime<Utc>,
    metadata: ClientMetadata,
    /// Known only when it was made just now.
    client_secret: Option<String>,
    registration_access_token: String,
}

/// The hash of the initial access token, where the policy asks for one.
pub fn read_initial_access_token(settings: &config::Registration) -> Result<Option<[u8; 32]>, Stop> {
    let file = settings.initial_access_token_file.as_deref().filter(|_| settings.policy == Policy::Token);
    let Some(file) = file else { return Ok(None) };
    let unusable = |why: &dyn std::fmt::Display| {
        Stop::new(format_args!("registration.initial_access_token_file: {}: {why}", file.display()))
            .mend("make one with `openssl rand -hex 32`, in a file that this user may read")
    };
    let text = fs::read_to_string(file).map_err(|error| unusable(&error))?;
    let token = without_mark(&text).trim();
    // RFC 6750 §2.1: b64token.
    if token.len() < TOKEN_LENGTH || !token.bytes().all(|it| it.is_ascii_alphanumeric() || b"-._~+/=".contains(&it)) {
        return Err(unusable(&format_args!(
            "must hold one token of at least {TOKEN_LENGTH} characters, of A-Z a-z 0-9 - . _ ~ + / ="
        )));
    }
    Ok(Some(sha256(&[token.as_bytes()])))
}

impl Registrar {
    /// Reads the initial access token where the policy asks for one. `names`: what this service is called.
    pub fn new(
        settings: &config::Registration,
        requests: &config::RequestObjects,
        scopes: &[config::Scope],
        names: [&str; 2],
        tokens: Key256,
    ) -> Result<Self, Stop> {
        Ok(Self {
            policy: settings.policy,
            initial_access_token: read_initial_access_token(settings)?,
            tokens,
            require_pkce: settings.require_pkce,
            unsigned_requests: requests.unsigned,
            unused_limit: settings.unused_limit,
            unused_kept: settings.unused_kept,
            most: (i64::from(settings.limit), i64::from(settings.limit_kib) << 10),
            assertion_audience: settings.assertion_audience,
            reserved: ReservedNames::new(settings.reserved_names.iter().map(String::as_str).chain(names)),
            scopes: scopes.iter().filter(|it| it.privileged.is_none()).map(|it| it.name.clone()).collect(),
        })
    }

    #[must_use]
    pub fn is_off(&self) -> bool {
        self.policy == Policy::Off
    }

    /// Whether whoever brought this token, or none, may register.
    pub fn admit(&self, bearer: Option<&str>) -> Result<(), Error> {
        match (self.policy, bearer, self.initial_access_token) {
            (Policy::Open, ..) => Ok(()),
            (Policy::Token, Some(token), Some(expected))
                if constant_time_eq(&sha256(&[token.as_bytes()]), &expected) =>
            {
                Ok(())
            }
            (Policy::Token, Some(_), _) => Err(Error::invalid_token("this is not the initial access token")),
            // RFC 6750 §3.1: no token, no error.
            _ => Err(Error::invalid_token("")),
        }
    }

    /// What is registered of what a client says of itself.
    pub fn understand(&self, said: &Value) -> Result<ClientMetadata, Error> {
        let terms = Terms {
            require_pkce: self.require_pkce,
            known_to_operator: self.policy == Policy::Token,
            unsigned_requests: self.unsigned_requests,
            scopes: &self.scopes,
        };
        let mut metadata = ClientMetadata::self_registered(said, &terms)?;
        self.reserved.check(metadata.client_name.as_deref())?;
        metadata.jwks = metadata.jwks.as_ref().map(own_keys).transpose()?;
        let length = serde_json::to_string(&metadata).map_or(usize::MAX, |text| text.len());
        if length > LONGEST {
            let problem = format!("take {length} octets, and may take {LONGEST}");
            return Err(Fault::new("client metadata", problem).into());
        }
        Ok(metadata)
    }

    /// As [`Self::understand`], for a client that changes itself: with what it must bring, and must not (RFC 7592 §2.2).
    pub fn understand_change(&self, said: &Value, registered: &Registration) -> Result<ClientMetadata, Error> {
        let member = |name: &str| said.get(name).filter(|value| !is_left_out(value));
        if let Some(name) = SERVER_MADE.iter().find(|name| member(name).is_some()) {
            return Err(Fault::new(*name, "is the server's to say: leave it out").into());
        }
        if member("client_id").and_then(Value::as_str) != Some(&registered.client.client_id) {
            return Err(Fault::new("client_id", "must be the one that is registered").into());
        }
        if let Some(said) = member("client_secret") {
            let stored = registered.client.secret_hash.as_deref();
            if !said.as_str().zip(stored).is_some_and(|(said, stored)| secret::fits(said, stored)) {
                return Err(Fault::new("client_secret", "is not the one that was issued, and cannot be chosen").into());
            }
        }
        self.understand(said)
    }

    /// Whether the token is the registration access token of now.
    #[must_use]
    pub fn opens(&self, bearer: &str, registered: &Registration) -> bool {
        let id = registered.client.client_id.as_bytes();
        let mac = bearer.strip_prefix(PREFIX).and_then(from_base64url).unwrap_or_default();
        self.tokens.verify(&[id, &registered.generation.to_be_bytes()], &mac)
    }

    fn token(&self, client_id: &str, generation: i32) -> String {
        let mac = self.tokens.mac(&[client_id.as_bytes(), &generation.to_be_bytes()]);
        format!("{PREFIX}{}", base64url(&mac))
    }

    /// Registers a client (RFC 7591 §3.2.1) under an id of ours, with a secret of ours where its method rests on one.
    pub async fn register(&self, tx: &mut Tx, mut metadata: ClientMetadata) -> Result<Information, Failure> {
        let client_id = tx.new_id().to_string();
        metadata.client_id = Some(client_id.clone());
        metadata.assertion_audience = Some(self.assertion_audience);
        let secret = metadata.auth_method().uses_secret().then(secret::generate);
        let hash = secret.as_deref().map(secret::hash);
        let stored = serde_json::to_value(&metadata).map_err(Broken::new)?;
        if !registrations::insert(tx, &client_id, &stored, hash.as_deref(), self.unused_limits()).await? {
            let problem = "too many registered clients, of all or of your network, were never used";
            let error = Error::new(ErrorCode::TemporarilyUnavailable, problem);
            return Err(self.with_room_again(tx, error).await?.into());
        }
        self.check_room(tx).await?;
        tell(tx, Action::ClientRegistered, &client_id, Actor::Client);
        let registration_access_token = self.token(&client_id, 0);
        Ok(Information { client_id, issued_at: tx.now, metadata, client_secret: secret, registration_access_token })
    }

    /// Refuses what would be more than may be stored of all that registered themselves. What this unit wrote counts.
    async fn check_room(&self, tx: &mut Tx) -> Result<(), Failure> {
        let stored = registrations::load_stored(tx).await?;
        if stored.clients <= self.most.0 && stored.octets <= self.most.1 {
            return Ok(());
        }
        let error = Error::new(ErrorCode::TemporarilyUnavailable, "there is no room for another registered client");
        Err(self.with_room_again(tx, error).await?.into())
    }

    fn unused_limits(&self) -> Limits {
        let of_source = (self.unused_limit / UNUSED_SHARE).max(1);
        Limits { in_all: self.unused_limit, of_source, of_wide_network: of_source * WIDE_NETWORK_SHARES }
    }

    /// The error with the time after which an unused registration that stands in the way is gone. Where none does, nobody knows.
    async fn with_room_again(&self, tx: &mut Tx, error: Error) -> Result<Error, Broken> {
        let oldest = registrations::load_oldest(tx).await?;
        let limits = self.unused_limits();
        let of_source = oldest.of_source.filter(|_| oldest.count_of_source >= i64::from(limits.of_source));
        let of_wide_network =
            oldest.of_wide_network.filter(|_| oldest.count_of_wide_network >= i64::from(limits.of_wide_network));
        // The latest of them: all have to have room.
        let Some(since) = of_source.max(of_wide_network).max(oldest.of_all) else { return Ok(error) };
        let swept = TimeDelta::from_std(SWEPT_EVERY).unwrap_or_default();
        let wait = (since + self.unused_kept + swept - tx.now).num_milliseconds().max(1).unsigned_abs().div_ceil(1000);
        Ok(error.retry_after(u32::try_from(wait).unwrap_or(u32::MAX)))
    }

    /// What is registered (RFC 7592 §2.1); without the secret, which is not kept in a form that can be read.
    pub fn read(&self, registered: &Registration) -> Result<Information, Broken> {
        let metadata = registered.client.metadata.get()?.clone();
        let client_id = registered.client.client_id.clone();
        let registration_access_token = self.token(&client_id, registered.generation);
        let issued_at = registered.created_at;
        Ok(Information { client_id, issued_at, metadata, client_secret: None, registration_access_token })
    }

    /// Replaces what is registered (RFC 7592 §2.2). The registration access token is another afterwards; the secret stays,
    /// is made where the new method needs one, and goes where it needs none.
    pub async fn replace(
        &self,
        tx: &mut Tx,
        registered: &Registration,
        mut metadata: ClientMetadata,
    ) -> Result<Information, Failure> {
        let before = registered.client.metadata.get()?;
        metadata.check_subjects_stay(before).map_err(Error::from)?;
        metadata.assertion_audience = before.assertion_audience.or(Some(AssertionAudience::Endpoint));
        let client_id = registered.client.client_id.clone();
        metadata.client_id = Some(client_id.clone());
        let kept = registered.client.secret_hash.clone().filter(|_| metadata.auth_method().uses_secret());
        let secret = (kept.is_none() && metadata.auth_method().uses_secret()).then(secret::generate);
        let hash = kept.or_else(|| secret.as_deref().map(secret::hash));
        let stored = serde_json::to_value(&metadata).map_err(Broken::new)?;
        let generation = registered.generation;
        if !registrations::replace(tx, &client_id, generation, &stored, hash.as_deref()).await? {
            return Err(outdated());
        }
        // Who makes room is not kept from it.
        if stored.to_string().len() > serde_json::to_string(before).map_or(0, |text| text.len()) {
            self.check_room(tx).await?;
        }
        tell(tx, Action::ClientChanged, &client_id, Actor::Client);
        let registration_access_token = self.token(&client_id, generation + 1);
        let issued_at = registered.created_at;
        Ok(Information { client_id, issued_at, metadata, client_secret: secret, registration_access_token })
    }

    /// Ends the client, and with it all it holds (RFC 7592 §2.3). Its row stays for as long as anything refers to it.
    pub async fn delete(&self, tx: &mut Tx, registered: &Registration) -> Result<(), Failure> {
        let client_id = &registered.client.client_id;
        if !registrations::end(tx, client_id, registered.generation).await? {
            return Err(outdated());
        }
        tell(tx, Action::ClientDeleted, client_id, Actor::Client);
        Ok(())
    }
}

/// Removes clients that registered themselves before `before` and were never used, and says how many.
pub async fn expire_unused(tx: &mut Tx, before: DateTime<Utc>, limit: i64) -> Result<usize, Broken> {
    let removed = registrations::sweep(tx, before, limit).await?;
    // Of the others it was told when they ended.
    for client in removed.iter().filter(|client| client.expired) {
        let subject = Subject { client_id: Some(client.client_id.clone()), ..Subject::default() };
        audit::record(tx, Event::done(Action::ClientDeleted, Actor::Server, subject).reason("unused"));
    }
    Ok(removed.len())
}

impl Information {
    /// As the client reads it; `uri` is where this registration is managed.
    pub fn to_json(&self, uri: &str) -> Result<Value, Broken> {
        let Value::Object(mut members) = serde_json::to_value(self.metadata.with_defaults()).map_err(Broken::new)?
        else {
            return Err(Broken::new("client metadata is not written as an object"));
        };
        let mut say = |name: &str, value: Value| members.insert(name.to_owned(), value);
        say("client_id", json!(self.client_id));
        say("client_id_issued_at", json!(self.issued_at.timestamp()));
        say("registration_access_token", json!(self.registration_access_token));
        say("registration_client_uri", json!(uri));
        if let Some(secret) = &self.client_secret {
            say("client_secret", json!(secret));
            // RFC 7591 §3.2.1: REQUIRED beside a secret; 0: it does not expire.
            say("client_secret_expires_at", json!(0));
        }
        Ok(Value::Object(members))
    }
}

/// The keys that a client registers, without what nobody verifies with.
fn own_keys(set: &Value) -> Result<Value, Fault> {
    let count = |set: &Value| set.get("keys").and_then(Value::as_array).map_or(0, Vec::len);
    let keys = keys_alone(set);
    if count(&keys) < count(set) {
        let problem = "has a key with a member that is not text or is too long, or an RSA key that is not of 2048 to 4096 bits \
                       with an exponent of at most 32 bits";
        return Err(Fault::new("jwks", problem));
    }
    Ok(keys)
}

/// Somebody else was quicker with the same token.
fn outdated() -> Failure {
    Error::invalid_token("the registration access token is not valid (any more)").into()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::jose::{MasterSecret, Purpose, random_bytes};

    fn with(policy: Policy, initial_access_token_file: Option<PathBuf>) -> Result<Registrar, Stop> {
        let settings = config::Registration {
            policy,
            initial_access_token_file,
            require_pkce: true,
            per_source: 1,
            unused_limit: 1,
            unused_kept: TimeDelta::days(1),
            limit: 1,
            limit_kib: 1,
            reserved_names: Vec::new(),
            assertion_audience: AssertionAudience::Issuer,
        };
        let objects = config::RequestObjects { by_reference: false, unsigned: false };
        let master = MasterSecret::from_bytes(b"0123456789abcdefghijklmnopqrstuv").unwrap();
        Registrar::new(&settings, &objects, &[], ["Mooring", "localhost"], master.derive(Purpose::RegistrationTokens))
    }

    fn registrar(policy: Policy, token: &str) -> Result<Registrar, Stop> {
        let name = format!("mooring-iat-{}-{}", std::process::id(), base64url(&random_bytes::<8>()));
        let file = std::env::temp_dir().join(name);
        fs::write(&file, token).unwrap();
        let made = with(policy, Some(file.clone()));
        fs::remove_file(file).unwrap();
        made
    }

    #[test]
    fn an_initial_access_token_is_one_long_word() {
        for wrong in ["", "short", &"x".repeat(31), "two words of enough characters all in all", &"ü".repeat(32)] {
            let stop = registrar(Policy::Token, wrong).err().unwrap().to_string();
            assert!(stop.contains("initial_access_token_file") && !stop.contains("two words"), "{stop}");
        }
        let stop = with(Policy::Token, Some("/nowhere/at/all".into())).err().unwrap().to_string();
        assert!(stop.contains("/nowhere/at/all"), "{stop}");
    }

    #[test]
    fn who_may_register() {
        let token = "0123456789abcdef0123456789abcdef";
        let guarded = registrar(Policy::Token, &format!("{token}\n")).unwrap();
        assert!(guarded.admit(Some(token)).is_ok());
        for wrong in
            [None, Some(""), Some("0123456789abcdef0123456789abcdeF"), Some("0123456789abcdef0123456789abcdef\n")]
        {
            assert!(guarded.admit(wrong).is_err());
        }
        assert!(with(Policy::Open, None).unwrap().admit(None).is_ok());
        let off = with(Policy::Off, None).unwrap();
        assert!(off.is_off() && off.admit(None).is_err() && off.admit(Some(token)).is_err());
    }
}
