//! `mooring serve`: the listener, the background jobs and the embedded database, until told to stop.

use std::{
    future::Future,
    net::SocketAddr,
    path::{self, Path},
    time::Duration,
};

use chrono::TimeDelta;

use super::{Cli, Opened, deployment, logging, open, output, port, signals};
use crate::{
    app::App,
    db::{
        Trace, Tx,
        embedded::{Embedded, Role},
        set_up_links, users,
    },
    elevations,
    failure::{Broken, Stop},
    http::{MetricsServer, Server},
    jobs,
    jose::{base64url, random_bytes, sha256},
};

/// How long the one-time link that makes the first administrator is good.
const SET_UP: TimeDelta = TimeDelta::hours(1);

/// How often to look whether the embedded PostgreSQL is still there.
const LOOK: Duration = Duration::from_secs(1);

/// A server that answers.
#[derive(Debug)]
pub struct Ready {
    pub address: SocketAddr,
    /// Where the figures are served, if they are.
    pub metrics: Option<SocketAddr>,
    /// The one-time link, while there is no administrator. A secret: for stdout, never for the log.
    pub set_up: Option<String>,
}

/// Runs the command.
pub(super) async fn run(cli: &Cli) -> Result<(), Stop> {
    let mut config = cli.configuration()?;
    port::choose(&mut config)?;
    logging::start(&config.log);
    port::check(&config)?;
    let from = cli.configuration_file().map_or_else(|| "none".to_owned(), |file| whole_path(&file));
    let stop = signals::asked_to_stop();
    tokio::pin!(stop);
    // Heard from the beginning: an embedded PostgreSQL that has just been started is stopped again.
    let opened = tokio::select! {
        opened = open(config, Role::Server) => opened?,
        () = &mut stop => return Ok(()),
    };
    let (issuer, data) = (opened.app.config.issuer.as_str().to_owned(), opened.data.clone());
    for advice in deployment::advice(&opened.app.config) {
        tracing::warn!(hint = advice.hint, "{}", advice.what);
    }
    serve(opened, stop, |ready| {
        let version = deployment::version();
        let mut text = format!(
            "version: {version}\nconfiguration: {from}\nissuer: {issuer}\ndata: {data}\nlistening: {}",
            ready.address
        );
        if let Some(link) = &ready.set_up {
            text.push_str("\nset up: ");
            text.push_str(link);
        }
        if let Err(error) = output::line(&text) {
            tracing::warn!(%error, "the start could not be told");
        }
    })
    .await
}

/// A path that reads the same from every working directory.
fn whole_path(file: &Path) -> String {
    path::absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string()
}

/// Serves until `stop` resolves; then finishes the requests in flight, and leaves everything as it should be left.
///
/// `on_ready` is called once, when the server listens.
pub async fn serve(opened: Opened, stop: impl Future<Output = ()>, on_ready: impl FnOnce(&Ready)) -> Result<(), Stop> {
    let served = tokio::select! {
        served = listen(&opened, stop, on_ready) => served,
        never = supervise(opened.embedded.as_ref()) => match never {},
        never = signals::at_each_hangup(|| read_again(&opened.app)) => match never {},
    };
    let closed = opened.close().await;
    served.and(closed)
}

async fn listen(opened: &Opened, stop: impl Future<Output = ()>, on_ready: impl FnOnce(&Ready)) -> Result<(), Stop> {
    let app = &opened.app;
    let server = Server::bind(app.clone())?;
    let set_up = set_up_link(app).await?;
    warn_of_unreached(app).await?;
    let metrics = metrics_server(opened);
    let ready = Ready { address: server.address(), metrics: metrics.as_ref().map(MetricsServer::address), set_up };
    let jobs = jobs::start(app);
    on_ready(&ready);
    let outcome = server.run(stop).await;
    jobs.stop().await;
    if let Some(metrics) = metrics {
        metrics.stop().await;
    }
    outcome
}

/// The listener of the figures. Without it the server is as good as ever, so its port is not worth a refused start.
fn metrics_server(opened: &Opened) -> Option<MetricsServer> {
    let address = opened.app.config.metrics.listen?;
    match MetricsServer::start(address, opened.app.clone()) {
        Ok(server) => Some(server),
        Err(error) => {
            tracing::error!(%address, %error, "no metrics: set metrics.listen to a free address, or to \"off\"");
            None
        }
    }
}

/// Says whom nobody could write to, where pages promise that they are written to.
async fn warn_of_unreached(app: &App) -> Result<(), Broken> {
    let find = async |tx: &mut Tx| elevations::find_unreached(tx, &app.config.scopes).await;
    for what in app.db.single(app.clock.now(), &Trace::default(), find).await? {
        tracing::warn!(mend = elevations::MEND_UNREACHED, "{what}");
    }
    Ok(())
}

/// A new one-time link, while there is no administrator.
async fn set_up_link(app: &App) -> Result<Option<String>, Broken> {
    let token = base64url(&random_bytes::<32>());
    let made = app
        .db
        .work(app.clock.now(), &Trace::default(), async |tx| -> Result<bool, Broken> {
            if users::an_admin_exists(tx).await? {
                return Ok(false);
            }
            set_up_links::insert(tx, &sha256(&[token.as_bytes()]), tx.now + SET_UP).await?;
            Ok(true)
        })
        .await?;
    Ok(made.then(|| app.config.issuer.url(&format!("/set-up?token={token}"))))
}

/// What an operator asks for by SIGHUP.
fn read_again(app: &App) {
    if let Some(certificate) = app.certificate.get() {
        certificate.reload();
    } else {
        tracing::info!("SIGHUP: there is no TLS certificate to read again");
    }
}

/// Starts the embedded PostgreSQL again whenever it was killed.
async fn supervise(embedded: Option<&Embedded>) -> std::convert::Infallible {
    let Some(embedded) = embedded else { return std::future::pending().await };
    loop {
        tokio::time::sleep(LOOK).await;
        if let Err(error) = embedded.ensure_running().await {
            tracing::error!(%error, "the embedded PostgreSQL does not start");
        }
    }
}
