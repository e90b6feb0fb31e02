//! `mooring demo`: the server with people and clients of its own, an application and an API beside it, and one flow
//! that walks itself before a person is invited.
//!
//! Its passwords are known to everybody. Invariants: nothing of it can be reached from another machine, and it never
//! touches the data of a server that is not a demo.

mod browser;
mod form;
mod setting;
mod walk;

use std::{net::SocketAddr, time::Duration};

use tokio::sync::{oneshot, watch};

use self::{
    setting::{APPLICATION_SCOPE, PEOPLE, Setting},
    walk::Walk,
};
use super::{Cli, Ready, logging, open, output, serve, signals};
use crate::{
    clock::Clock,
    db::embedded::Role,
    failure::Stop,
    http::{
        demo::{
            Parts, Places,
            openid::{Party, Trouble},
        },
        resource_server::ResourceServer,
    },
};

/// Where the demo's other two servers listen: on this machine only.
#[derive(Debug, clap::Args)]
pub struct Demo {
    /// Where the demo application listens; port 0 takes any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8081")]
    rp_listen: SocketAddr,
    /// Where the demo API listens
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8082")]
    api_listen: SocketAddr,
}

/// Runs the command.
pub(super) async fn run(cli: &Cli, demo: &Demo) -> Result<(), Stop> {
    let mut config = cli.configuration()?;
    logging::start(&config.log);
    let places = Places::bind(demo.rp_listen, demo.api_listen)?;
    let setting = Setting::arrange(&mut config, &places)?;
    let issuer = config.issuer.clone();
    let asked_to_stop = signals::interrupted();
    tokio::pin!(asked_to_stop);
    // Heard from the beginning: an embedded PostgreSQL that has just been started is stopped again.
    let opened = tokio::select! {
        opened = open(config, Role::Server) => opened?,
        () = &mut asked_to_stop => return Ok(()),
    };
    let data = opened.data.clone();

    let (tell_ready, ready) = oneshot::channel();
    let (stop, told) = watch::channel(false);
    let server = serve(opened, is_true(told.clone()), |ready: &Ready| {
        // Nobody listens any more: the demo is stopping.
        let _ = tell_ready.send(ready.set_up.clone());
    });
    let guests = async {
        // A server that never becomes ready says why itself.
        let Ok(set_up) = ready.await else { return Ok(()) };
        let set_up = set_up.map(|link| format!("set up: {link}\n")).unwrap_or_default();
        output::line(&format!("issuer: {issuer}\ndata: {data}\n{set_up}"))?;
        let (walk, parts) = setting.meet(&places, issuer.as_str(), issuer.url("/account")).await?;
        let address = places.relying_party();
        let show = async {
            tokio::select! {
                walked = walk::go(&walk) => walked?,
                () = is_true(told.clone()) => return Ok(()),
            }
            output::line(&invitation(&address))?;
            is_true(told.clone()).await;
            Ok(())
        };
        futures_util::future::try_join(places.serve(parts, is_true(told.clone())), show).await.map(|_| ())
    };
    tokio::pin!(server, guests);
    let outcome = tokio::select! {
        ended = &mut server => return ended,
        outcome = &mut guests => Some(outcome),
        () = &mut asked_to_stop => None,
    };
    stop.send_replace(true);
    match outcome {
        Some(outcome) => outcome.and(server.await),
        None => futures_util::future::join(server, guests).await.0,
    }
}

async fn is_true(mut told: watch::Receiver<bool>) {
    // Without anybody left to tell, it is time as well.
    let _ = told.wait_for(|stop| *stop).await;
}

fn invitation(address: &str) -> String {
    let people: Vec<String> =
        PEOPLE.iter().map(|person| format!("{} (password: {})", person.username, person.password)).collect();
    format!("\nopen {address} and sign in as {}; Ctrl-C ends the demo", people.join(" or "))
}

impl Setting {
    /// Introduces the application and the API to the server, which is up by now.
    async fn meet(&self, places: &Places, issuer: &str, account: String) -> Result<(Walk, Parts), Stop> {
        let http = reqwest::Client::builder()
            // All of it is on this machine, whatever proxy the environment names.
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(Duration::from_secs(30))
            .build()
            .map_err(Stop::new)?;
        let unmet = |trouble: Trouble| Stop::new(format_args!("the demo cannot use {issuer}: {trouble}"));
        let party = Party::discover(
            http.clone(),
            Clock::default(),
            issuer,
            self.application.clone(),
            places.callback(),
            APPLICATION_SCOPE,
        );
        let party = party.await.map_err(unmet)?;
        let api = &self.api;
        let resource_server = ResourceServer::discover(http.clone(), issuer, &api.client_id, &api.client_secret)
            .await
            .map_err(|unavailable| unmet(Trouble::new(unavailable)))?;
        let [alice, ..] = PEOPLE;
        let walk = Walk {
            http: http.clone(),
            party: party.clone(),
            callback: places.callback(),
            signed_out: places.signed_out(),
            api: places.api(),
            payments: places.payments(),
            username: alice.username.to_owned(),
            password: alice.password.to_owned(),
        };
        let users = PEOPLE.iter().map(|person| (person.username.to_owned(), person.password.to_owned())).collect();
        Ok((walk, Parts { http, party, resource_server, account, users }))
    }
}
