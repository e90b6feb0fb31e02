//! What is measured: each scenario says how a worker prepares, and what one operation is.

use std::{collections::VecDeque, sync::Arc};

use futures_util::future::try_join_all;
use uuid::Uuid;

use crate::{
    Fallible,
    http::Connection,
    journey::{Endpoints, Tokens, Visitor, basic, encode, expect},
    spread,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Not the server's: a bare actix-web JSON route, for comparison.
    BareRoute,
    Discovery,
    Jwks,
    ClientCredentials(&'static str),
    /// On one session, over and over: only one flow a minute notes its activity.
    CodeFlow(&'static str),
    /// On another session each time, as people's flows are.
    SpreadCodeFlow(&'static str),
    Refresh(&'static str),
    Introspection,
    UserInfo,
    /// Sign-out at the end-session endpoint, with so many access tokens hanging on the session.
    SessionEnd(usize),
}

/// Name on the command line, and what it is.
pub const SCENARIOS: &[(&str, Scenario)] = &[
    ("discovery", Scenario::Discovery),
    ("jwks", Scenario::Jwks),
    ("client_credentials", Scenario::ClientCredentials("machine-opaque")),
    ("client_credentials_jwt", Scenario::ClientCredentials("machine-jwt")),
    ("code_flow", Scenario::CodeFlow("rs256")),
    ("code_flow_es256", Scenario::CodeFlow("es256")),
    ("code_flow_spread", Scenario::SpreadCodeFlow("rs256")),
    ("code_flow_spread_es256", Scenario::SpreadCodeFlow("es256")),
    ("refresh", Scenario::Refresh("rs256")),
    ("refresh_es256", Scenario::Refresh("es256")),
    ("introspection", Scenario::Introspection),
    ("userinfo", Scenario::UserInfo),
    ("session_end_1", Scenario::SessionEnd(1)),
    ("session_end_10000", Scenario::SessionEnd(10_000)),
];

/// Connections that hang tokens on a session side by side.
const HANDS: usize = 16;

impl Scenario {
    /// Operations of all workers together where each uses up what was prepared for it; nothing when time is the limit.
    pub fn supply(self) -> Option<usize> {
        match self {
            Self::SessionEnd(tokens) => Some(if tokens > 100 { 3 } else { 192 }),
            Self::SpreadCodeFlow(_) => Some(4096),
            _ => None,
        }
    }

    /// Many workers would measure nothing that one does not.
    pub fn one_worker(self) -> bool {
        matches!(self, Self::SessionEnd(tokens) if tokens > 100)
    }

    pub fn needs_database(self) -> bool {
        !matches!(self, Self::BareRoute | Self::Discovery | Self::Jwks)
    }
}

/// One client of the load, with what it needs at hand.
pub struct Worker {
    scenario: Scenario,
    endpoints: Arc<Endpoints>,
    connection: Connection,
    authorization: String,
    form: String,
    visitor: Option<Visitor>,
    tokens: Option<Tokens>,
    sessions: VecDeque<(Visitor, String)>,
    spread: Vec<Uuid>,
}

impl Worker {
    /// At the bare route nothing is prepared.
    pub fn bare(port: u16) -> Self {
        Self::new(Scenario::BareRoute, &Endpoints::none(port))
    }

    /// `supply` operations will be asked of this worker, where the scenario has a supply.
    pub async fn prepare(scenario: Scenario, endpoints: &Arc<Endpoints>, supply: usize) -> Fallible<Self> {
        let mut worker = Self::new(scenario, endpoints);
        match scenario {
            Scenario::BareRoute | Scenario::Discovery | Scenario::Jwks => {}
            Scenario::ClientCredentials(client) => {
                worker.authorization = basic(client);
                "grant_type=client_credentials&scope=ships%3Aread".clone_into(&mut worker.form);
            }
            Scenario::CodeFlow(client) => worker.visitor = Some(Visitor::sign_in(endpoints, client).await?),
            Scenario::SpreadCodeFlow(client) => {
                worker.visitor = Some(Visitor::sign_in(endpoints, client).await?);
                worker.spread = spread::sessions(client, supply).await?;
            }
            Scenario::Refresh(client) => {
                worker.authorization = basic(client);
                worker.tokens = Some(Visitor::sign_in(endpoints, client).await?.tokens().await?);
            }
            Scenario::Introspection => {
                let tokens = Visitor::sign_in(endpoints, "rs256").await?.tokens().await?;
                worker.authorization = basic("rs256");
                worker.form = format!("token={}", encode(&tokens.access));
            }
            Scenario::UserInfo => {
                let tokens = Visitor::sign_in(endpoints, "rs256").await?.tokens().await?;
                worker.authorization = format!("Authorization: Bearer {}\r\n", tokens.access);
            }
            Scenario::SessionEnd(tokens) => {
                for _ in 0..supply {
                    let mut visitor = Visitor::sign_in(endpoints, "es256").await?;
                    let id_token = hang(&mut visitor, endpoints, tokens).await?;
                    worker.sessions.push_back((visitor, id_token));
                }
            }
        }
        Ok(worker)
    }

    fn new(scenario: Scenario, endpoints: &Arc<Endpoints>) -> Self {
        Self {
            scenario,
            endpoints: Arc::clone(endpoints),
            connection: Connection::new(endpoints.port),
            authorization: String::new(),
            form: String::new(),
            visitor: None,
            tokens: None,
            sessions: VecDeque::new(),
            spread: Vec::new(),
        }
    }

    /// One operation; false when what was prepared is used up.
    pub async fn operate(&mut self) -> Fallible<bool> {
        let endpoints = &self.endpoints;
        match self.scenario {
            Scenario::BareRoute => {
                expect(self.connection.get("/", "").await?, 200, "bare route")?;
            }
            Scenario::Discovery => {
                let path = "/.well-known/openid-configuration";
                expect(self.connection.get(path, "").await?, 200, "discovery")?;
            }
            Scenario::Jwks => {
                expect(self.connection.get(&endpoints.jwks, "").await?, 200, "jwks")?;
            }
            Scenario::ClientCredentials(_) => {
                let answer = self.connection.post(&endpoints.token, &self.authorization, &self.form).await?;
                expect(answer, 200, "client_credentials")?;
            }
            Scenario::CodeFlow(_) => {
                let visitor = self.visitor.as_mut().ok_or("nobody signed in")?;
                let answer = visitor.code_flow().await?;
                answer.member("id_token").ok_or("a code flow without an ID token")?;
            }
            Scenario::SpreadCodeFlow(_) => {
                let visitor = self.visitor.as_mut().ok_or("nobody signed in")?;
                let Some(session) = self.spread.pop() else { return Ok(false) };
                visitor.with_cookie(spread::cookie(session)?);
                visitor.code_flow().await?.member("id_token").ok_or("a code flow without an ID token")?;
            }
            Scenario::Refresh(_) => {
                let tokens = self.tokens.as_mut().ok_or("no tokens")?;
                refresh(&mut self.connection, endpoints, &self.authorization, tokens).await?;
            }
            Scenario::Introspection => {
                let answer = self.connection.post(&endpoints.introspect, &self.authorization, &self.form).await?;
                let answer = expect(answer, 200, "introspection")?;
                if !answer.text().contains("\"active\":true") {
                    return Err(format!("the token is not active: {}", answer.summary()).into());
                }
            }
            Scenario::UserInfo => {
                expect(self.connection.get(&endpoints.userinfo, &self.authorization).await?, 200, "userinfo")?;
            }
            Scenario::SessionEnd(_) => {
                let Some((mut visitor, id_token)) = self.sessions.pop_front() else { return Ok(false) };
                visitor.sign_out(&id_token).await?;
            }
        }
        Ok(true)
    }
}

async fn refresh(
    connection: &mut Connection,
    endpoints: &Endpoints,
    authorization: &str,
    tokens: &mut Tokens,
) -> Fallible<()> {
    let form = format!("grant_type=refresh_token&refresh_token={}", tokens.refresh);
    let answer = expect(connection.post(&endpoints.token, authorization, &form).await?, 200, "refresh")?;
    answer.member("refresh_token").ok_or("a refresh without a successor")?.clone_into(&mut tokens.refresh);
    Ok(())
}

/// Hangs so many access tokens on the visitor's session: a few code flows, and refreshes of each side by side. Returns an
/// ID token of it.
async fn hang(visitor: &mut Visitor, endpoints: &Arc<Endpoints>, tokens: usize) -> Fallible<String> {
    let families = tokens.min(HANDS);
    let mut first = Vec::new();
    for _ in 0..families {
        first.push(visitor.tokens().await?);
    }
    let id_token = first.first().map(|it| it.id.clone()).ok_or("no tokens to hang on the session")?;
    let each = (tokens - families).div_ceil(families);
    try_join_all(first.into_iter().map(|mut tokens| async move {
        let mut connection = Connection::new(endpoints.port);
        let authorization = basic("es256");
        for _ in 0..each {
            refresh(&mut connection, endpoints, &authorization, &mut tokens).await?;
        }
        Fallible::Ok(())
    }))
    .await?;
    Ok(id_token)
}
