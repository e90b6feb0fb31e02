//! `mooring migrate`: the database, brought to the schema of this program.

use super::{open::embedded, output};
use crate::{
    config::Config,
    db::{
        embedded::{DATABASE, Role},
        migrations::{self, Migrated},
    },
    failure::Stop,
};

pub(super) async fn run(config: &Config) -> Result<(), Stop> {
    let Migrated { applied, given } = if let Some(url) = &config.database.url {
        migrations::migrate(config.database.migrate_url.as_deref().unwrap_or(url), url).await?
    } else {
        let embedded = embedded(config, Role::Command).await?;
        let (owner, server) = (embedded.owner_url(DATABASE), embedded.server_url(DATABASE));
        let migrated = migrations::migrate(&owner, &server).await;
        embedded.stop().await?;
        migrated?
    };
    for role in given {
        output::line(&format!("role {role} was given what a server needs"))?;
    }
    output::line(&match applied {
        0 => "the database has the schema of this program".to_owned(),
        1 => "1 migration applied".to_owned(),
        more => format!("{more} migrations applied"),
    })
}
