//! `mooring client`: relying parties, registered, listed and disabled by hand.

use std::{
    collections::HashSet,
    fs,
    io::Read as _,
    path::{Path, PathBuf},
};

use clap::Subcommand;
use serde_json::{Value, json};

use super::{Opened, open::opened, operator, output};
use crate::{
    audit::{self, Action, Actor, Event, Subject},
    clients::{self, Client as Party},
    config::Config,
    db::{self, Trace},
    failure::{Broken, Failure, Stop},
    oauth::{
        ClientMetadata, Error,
        client_metadata::{Unknown, unknown_member},
    },
    unicode::without_mark,
};

#[derive(Debug, Subcommand)]
pub(super) enum Client {
    /// Register a client, and print what was registered; a secret that was generated is shown only now
    Add {
        /// Its metadata as JSON (RFC 7591); `-` is standard input
        #[arg(long)]
        file: PathBuf,
    },
    /// Print every client as JSON, without secrets
    List,
    /// Disable a client, and with it all that it holds
    Disable {
        /// Its `client_id`
        id: String,
    },
}

pub(super) async fn run(config: Config, command: &Client) -> Result<(), Stop> {
    match command {
        Client::Add { file } => {
            let metadata = read(file)?;
            opened(config, async |opened| add(opened, metadata).await).await
        }
        Client::List => opened(config, list).await,
        Client::Disable { id } => opened(config, async |opened| disable(opened, id).await).await,
    }
}

fn read(file: &Path) -> Result<ClientMetadata, Stop> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        fs::read_to_string(file)
    };
    let name = file.display();
    let text = text.map_err(|error| Stop::new(format_args!("cannot read {name}: {error}")))?;
    let json: Value = serde_json::from_str(without_mark(&text))
        .map_err(|error| Stop::new(format_args!("{name} is not JSON: {error}")))?;
    if let Some(Unknown { name: member, nearest }) = unknown_member(&json) {
        let stop = Stop::new(format_args!("{name}: unknown member {member}"));
        return Err(match nearest {
            Some(nearest) => stop.mend(format_args!("did you mean {nearest}?")),
            None => stop.mend("leave it out; `mooring docs config` lists the members of [[client]]"),
        });
    }
    ClientMetadata::check_demands(&json)
        .and_then(|()| ClientMetadata::from_json(&json))
        .map_err(|error| refused(&error))
}

fn refused(error: &Error) -> Stop {
    // Here it is the operator who asks: what stood in the way is for them.
    let detail = error.detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default();
    Stop::new(format_args!("{}: {}{detail}", error.code.as_str(), error.description))
}

async fn add(opened: &Opened, metadata: ClientMetadata) -> Result<(), Stop> {
    let app = &opened.app;
    clients::check_sector(&app.outbound, &metadata).await.map_err(|error| refused(&error))?;
    for scope in clients::scope::undeclared(&metadata, &app.config.scopes) {
        eprintln!("mooring: no [[scope]] declares {scope}: until one does, the client is not given it");
    }
    let now = app.clock.now();
    let registered = app
        .db
        .work(now, &operator::trace(), async |tx| clients::register(tx, metadata, Actor::Operator).await)
        .await
        .map_err(|failure| match failure {
            Failure::Refused(error) => refused(&error),
            Failure::Broken(broken) => broken.into(),
        })?;
    let mut answer = serde_json::to_value(registered.metadata.with_defaults()).map_err(Stop::new)?;
    if let Value::Object(members) = &mut answer {
        // RFC 7591 §3.2.1.
        members.insert("client_id".into(), json!(registered.client_id));
        members.insert("client_id_issued_at".into(), json!(now.timestamp()));
        if let Some(secret) = registered.client_secret {
            members.insert("client_secret".into(), json!(secret));
            members.insert("client_secret_expires_at".into(), json!(0));
        }
    }
    output::json(&answer)
}

async fn list(opened: &Opened) -> Result<(), Stop> {
    let app = &opened.app;
    let (rows, registered) = app
        .db
        .single(app.clock.now(), &Trace::default(), async |tx| -> Result<_, Broken> {
            Ok((db::clients::load_all(tx).await?, db::registrations::load_ids(tx).await?))
        })
        .await?;
    let registered: HashSet<String> = registered.into_iter().collect();
    let described: Vec<Value> = rows
        .into_iter()
        .map(|row| Party::from_row(row).map(|client| client.describe(registered.contains(&client.id))))
        .collect::<Result<_, Broken>>()?;
    output::json(&described)
}

async fn disable(opened: &Opened, id: &str) -> Result<(), Stop> {
    let app = &opened.app;
    let found = app
        .db
        .work(app.clock.now(), &operator::trace(), async |tx| -> Result<Option<bool>, Broken> {
            let changed = db::clients::disable(tx, id).await?;
            if changed == Some(true) {
                let subject = Subject { client_id: Some(id.to_owned()), ..Subject::default() };
                audit::record(tx, Event::done(Action::ClientDisabled, Actor::Operator, subject));
            }
            Ok(changed)
        })
        .await?;
    match found {
        None => Err(Stop::new(format_args!("there is no client {id}"))),
        Some(true) => output::line(&format!("disabled {id}")),
        Some(false) => output::line(&format!("{id} was disabled already")),
    }
}
