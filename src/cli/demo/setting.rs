//! What the demo declares: its people, its clients and the scope of its API, in a directory of its own.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use chrono::TimeDelta;
use serde_json::{Value, json};

use crate::{
    cli::port,
    config::{Access, Approval, Config, Privileged, Scope, Secret, Secrets, StepUpAcr, User},
    failure::Stop,
    http::demo::{API_SCOPE, PRIVILEGED_SCOPE, Places, openid::Credentials},
    jose::{base64url, random_bytes},
    oauth::client_metadata::ClientMetadata,
};

const APPLICATION: &str = "demo-app";
const API: &str = "demo-api";

/// What the application asks for.
pub const APPLICATION_SCOPE: &str = "openid profile email hello:read";

/// Somebody to sign in as.
pub struct Person {
    pub username: &'static str,
    pub password: &'static str,
    name: &'static str,
}

pub const PEOPLE: [Person; 2] = [
    Person { username: "alice", password: "correct horse battery staple", name: "Alice Example" },
    Person { username: "bob", password: "slow tide quiet harbour", name: "Bob Example" },
];

/// The secrets of the demo's clients, new at each start.
pub struct Setting {
    pub application: Credentials,
    pub api: Credentials,
}

impl Setting {
    /// Declares everything in `config`, and moves it to a directory of its own.
    pub fn arrange(config: &mut Config, places: &Places) -> Result<Self, Stop> {
        refuse_strangers(config)?;
        port::choose(config)?;
        config.data_dir = own_directory(&config.data_dir);
        if config.database.url.is_some() {
            tracing::warn!(data_dir = %config.data_dir.display(), "the demo does not use database.url: it keeps to itself");
        }
        (config.database.url, config.database.migrate_url) = (None, None);
        port::check(config)?;
        config.secrets = Secrets { master_file: None, master: None };

        let [application, api] = [APPLICATION, API].map(|client_id| Credentials {
            client_id: client_id.to_owned(),
            client_secret: base64url(&random_bytes::<32>()),
        });
        declare_client(
            config,
            &application,
            json!({
                "client_name": "Demo application",
                "redirect_uris": [places.callback()],
                "post_logout_redirect_uris": [places.signed_out()],
                "grant_types": ["authorization_code", "refresh_token"],
                "scope": format!("{APPLICATION_SCOPE} {PRIVILEGED_SCOPE}"),
            }),
        )?;
        declare_client(
            config,
            &api,
            json!({
                "client_name": "Demo API",
                // It asks for no tokens, but a client must be registered for something.
                "grant_types": ["client_credentials"],
                "response_types": [],
                "scope": "",
                "introspection": "any",
            }),
        )?;
        config.scopes.declare(Scope {
            name: API_SCOPE.to_owned(),
            description: Some("Be greeted by the demo API".to_owned()),
            privileged: None,
        });
        config.scopes.declare(Scope {
            name: PRIVILEGED_SCOPE.to_owned(),
            description: Some("Move money at the demo API".to_owned()),
            privileged: Some(Privileged {
                acr: StepUpAcr::Phr,
                max_age: TimeDelta::minutes(5),
                duration: TimeDelta::minutes(15),
                approval: Approval::None,
                break_glass: false,
                access: Access::default(),
            }),
        });
        config.users.retain(|user| !PEOPLE.iter().any(|person| person.username == user.username.to_lowercase()));
        config.users.extend(PEOPLE.iter().map(Person::declared));
        Ok(Self { application, api })
    }
}

impl Person {
    fn declared(&self) -> User {
        let claims = json!({
            "name": self.name,
            "preferred_username": self.username,
            "email": format!("{}@example.com", self.username),
            "email_verified": true,
        });
        User {
            username: self.username.to_owned(),
            password: Secret::new(self.password),
            admin: false,
            groups: Vec::new(),
            claims: if let Value::Object(claims) = claims { claims } else { serde_json::Map::new() },
        }
    }
}

/// The demo's passwords are known to everybody, so nobody may come from outside.
fn refuse_strangers(config: &Config) -> Result<(), Stop> {
    let refused = |what: String| Err(Stop::new(what).mend("the demo is for this machine only: use `mooring serve`"));
    if !config.listen.ip().is_loopback() {
        return refused(format!("listen = \"{}\" can be reached from other machines", config.listen));
    }
    if !config.issuer.is_loopback() {
        return refused(format!("the issuer {} is not on this machine", config.issuer));
    }
    Ok(())
}

/// `./.mooring` becomes `./.mooring-demo`: what everybody can sign in to must never be what somebody relies on.
fn own_directory(configured: &Path) -> PathBuf {
    match configured.file_name() {
        Some(name) => {
            let mut own = OsString::from(name);
            own.push("-demo");
            configured.with_file_name(own)
        }
        None => configured.join(".mooring-demo"),
    }
}

fn declare_client(config: &mut Config, credentials: &Credentials, mut metadata: Value) -> Result<(), Stop> {
    metadata["client_id"] = json!(credentials.client_id);
    metadata["client_secret"] = json!(credentials.client_secret);
    metadata["token_endpoint_auth_method"] = json!("client_secret_basic");
    let client = ClientMetadata::from_json(&metadata).map_err(|error| Stop::new(format_args!("{error:?}")))?;
    config.clients.retain(|other| other.client_id != client.client_id);
    config.clients.push(client);
    Ok(())
}
