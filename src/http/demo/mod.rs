//! The demo's other two servers: an application that signs people in with Mooring, and an API that it calls.
//!
//! They are strangers to the server beside which they run: what they know of it they ask over HTTP, as any other
//! application would. Invariant: they are reachable from this machine only.

mod api;
pub mod challenge;
pub mod openid;
mod relying_party;
mod seats;

use std::{
    future::Future,
    net::{SocketAddr, TcpListener},
};

use actix_web::{App, HttpServer, web};

use self::{
    openid::Party,
    relying_party::{CALLBACK, RelyingParty, SIGNED_OUT},
    seats::Seats,
};
use super::{
    render::{Site, Templates},
    resource_server::ResourceServer,
};
use crate::failure::Stop;

pub use api::{PRIVILEGED_SCOPE, SCOPE as API_SCOPE};

/// The two addresses, taken before the server starts: its clients' registrations contain them.
pub struct Places {
    relying_party: (TcpListener, SocketAddr),
    api: (TcpListener, SocketAddr),
}

/// What the two are made of.
pub struct Parts {
    pub http: reqwest::Client,
    pub party: Party,
    pub resource_server: ResourceServer,
    /// The server's page for one's own sessions.
    pub account: String,
    /// Demo users and their passwords, shown to whoever opens the application.
    pub users: Vec<(String, String)>,
}

impl Places {
    pub fn bind(relying_party: SocketAddr, api: SocketAddr) -> Result<Self, Stop> {
        Ok(Self { relying_party: listen(relying_party, "--rp-listen")?, api: listen(api, "--api-listen")? })
    }

    /// Where a person opens the application.
    #[must_use]
    pub fn relying_party(&self) -> String {
        format!("http://{}", self.relying_party.1)
    }

    /// The application's `redirect_uri`.
    #[must_use]
    pub fn callback(&self) -> String {
        format!("{}{CALLBACK}", self.relying_party())
    }

    /// The application's `post_logout_redirect_uri`.
    #[must_use]
    pub fn signed_out(&self) -> String {
        format!("{}{SIGNED_OUT}", self.relying_party())
    }

    /// The resource of the API.
    #[must_use]
    pub fn api(&self) -> String {
        format!("http://{}{}", self.api.1, api::PATH)
    }

    /// Its privileged resource.
    #[must_use]
    pub fn payments(&self) -> String {
        format!("http://{}{}", self.api.1, api::PAYMENTS)
    }

    /// Serves both until `stop` resolves. Connections that came before wait and are answered.
    pub async fn serve(self, parts: Parts, stop: impl Future<Output = ()>) -> Result<(), Stop> {
        let site = Site {
            name: "Demo application".to_owned(),
            base: String::new(),
            issuer: parts.party.discovery.issuer.clone(),
        };
        let relying_party = web::Data::new(RelyingParty {
            party: parts.party,
            http: parts.http,
            templates: Templates::new(None, site)?,
            origin: self.relying_party(),
            api: self.api(),
            payments: self.payments(),
            account: parts.account,
            users: parts.users,
            cookie: format!("demo_rp-{}", self.relying_party.1.port()),
            seats: Seats::default(),
        });
        let resource_server = web::Data::new(parts.resource_server);
        let application = HttpServer::new(move || {
            App::new()
                .app_data(relying_party.clone())
                .app_data(relying_party.templates.assets())
                .configure(relying_party::routes)
        });
        let api = HttpServer::new(move || App::new().app_data(resource_server.clone()).configure(api::routes));
        let cannot = |error: std::io::Error| Stop::new(format_args!("the demo's servers failed: {error}"));
        let application = application.workers(1).disable_signals().listen(self.relying_party.0).map_err(cannot)?.run();
        let api = api.workers(1).disable_signals().listen(self.api.0).map_err(cannot)?.run();
        let handles = [application.handle(), api.handle()];
        let stopping = async move {
            stop.await;
            for handle in handles {
                handle.stop(true).await;
            }
        };
        let (application, api, ()) = futures_util::future::join3(application, api, stopping).await;
        application.and(api).map_err(cannot)
    }
}

fn listen(address: SocketAddr, flag: &str) -> Result<(TcpListener, SocketAddr), Stop> {
    // The passwords of the demo's users are known to everybody.
    if !address.ip().is_loopback() {
        return Err(Stop::usage(format_args!("{flag} {address} can be reached from other machines"))
            .mend("the demo is for this machine only: use 127.0.0.1"));
    }
    let cannot = |error| {
        Stop::new(format_args!("cannot listen on {address}: {error}"))
            .mend(format_args!("give {flag} another address; port 0 takes any that is free"))
    };
    let listener = TcpListener::bind(address).map_err(cannot)?;
    let taken = listener.local_addr().map_err(cannot)?;
    Ok((listener, taken))
}
