//! The property of the product: whatever is issued, refreshed, introspected and revoked at once, once the end of a
//! session has been committed nothing of that session is usable, also not what was on its way.
//!
//! Each round throws tasks at a real server and a real database, and ends the session in their midst. What a task begins
//! after the end must be refused on the spot; what anyone was ever given must be dead when the dust has settled. A
//! failure names its round: the same number makes the same choices, though not the same interleaving.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use futures_util::future::{join, join_all};
use mooring::{audit::Actor, db::users, sessions};
use uuid::Uuid;

use crate::support::{
    ALICE, Answer, Client, Server, Settings,
    agent::Agent,
    client::{Code, Tokens},
};

const ROUNDS: u64 = 20;
const TASKS: u64 = 8;
const SCOPES: [&str; 3] = ["openid", "openid email", "openid offline_access"];

/// A way to end everything of alice's browser.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Session,
    Everything,
    Disabled,
    Locked,
    SignOut,
}

const WAYS: [Way; 5] = [Way::Session, Way::Everything, Way::Disabled, Way::Locked, Way::SignOut];

impl Way {
    /// Whether offline access goes, too.
    fn takes_offline(self) -> bool {
        matches!(self, Self::Everything | Self::Disabled)
    }
}

/// Something a relying party was given.
#[derive(Clone)]
enum Held {
    Code(Code),
    Access(String),
    Refresh(String),
}

#[derive(Clone)]
struct Given {
    client: usize,
    held: Held,
    /// It hangs on an offline session, not on the browser's.
    offline: bool,
}

struct Round<'s> {
    number: u64,
    way: Way,
    server: &'s Server,
    clients: Vec<Client<'s>>,
    agent: Agent,
    session: Uuid,
    ended: Cell<bool>,
    over: Cell<bool>,
    /// How much was ever given; what is used up is taken out of `given`.
    count: Cell<usize>,
    given: RefCell<Vec<Given>>,
}

/// Choices that can be made again.
struct Choices(u64);

impl Choices {
    /// Below `n`.
    fn below(&mut self, n: usize) -> usize {
        // Knuth's MMIX generator; its high bits are good enough to choose by.
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % n as u64).unwrap()
    }
}

#[tokio::test]
async fn nothing_of_a_session_outlives_its_end() {
    let server = Server::start(Settings::default().set("server.workers", "2").connections(8)).await;
    for number in 0..ROUNDS {
        let round = Round::begin(&server, number).await;
        let tasks = (0..TASKS).map(|task| round.work(Choices(number * 1000 + task + 1)));
        join(join_all(tasks), round.end(Choices(number + 1))).await;
        round.settle().await;
    }
    let live = "SELECT count(*) FROM live_sessions(now()) WHERE kind = 'user'";
    assert_eq!(server.value(live).await, "0");
}

/// Held at the worst moment: the end is written but not committed when the codes are redeemed. Offline access is not
/// born of a session that is ending, and a token that is given meanwhile is dead when the end is there.
#[tokio::test]
async fn what_is_redeemed_while_the_end_is_being_written() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let offline = client.code(&agent, "openid offline_access").await;
    let plain = client.code(&agent, "openid").await;
    let session: Uuid = server.value("SELECT id FROM sessions WHERE kind = 'user'").await.parse().unwrap();
    let ending = server.work(async |tx| {
        assert!(sessions::end(tx, session, "ended_by_operator", Actor::Operator).await?);
        tokio::time::sleep(Duration::from_millis(400)).await;
        Ok(())
    });
    let redeeming = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        join(client.redeem(&offline), client.redeem(&plain)).await
    };
    let ((), (offline, plain)) = join(ending, redeeming).await;
    offline.refused("invalid_grant");
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'offline'").await, "0");
    let given = plain.tokens();
    assert!(!client.is_active(&given.access).await);
    client.refresh(&given.refresh).await.refused("invalid_grant");
}

impl<'s> Round<'s> {
    async fn begin(server: &'s Server, number: u64) -> Self {
        server.rows("UPDATE users SET disabled_at = NULL").await;
        let clients: Vec<_> = ["web", "spa", "jwt", "es256"].map(|id| server.client(id)).into();
        let agent = server.agent();
        for client in &clients {
            // Whatever will be asked for is consented to.
            client.code(&agent, "openid email offline_access").await;
        }
        let newest = "SELECT id FROM sessions WHERE kind = 'user' ORDER BY id DESC LIMIT 1";
        let session = server.value(newest).await.parse().unwrap();
        let way = WAYS[usize::try_from(number).unwrap() % WAYS.len()];
        let (ended, over, count, given) = (Cell::new(false), Cell::new(false), Cell::new(0), RefCell::default());
        Self { number, way, server, clients, agent, session, ended, over, count, given }
    }

    /// One of many relying parties at work, until some time after the end.
    async fn work(&self, mut choices: Choices) {
        while !self.over.get() {
            // Asked before the request is begun: what begins after the end must fail.
            let late = self.ended.get();
            match choices.below(10) {
                0..=2 => self.authorize(&mut choices, late).await,
                3 | 4 => self.redeem(&mut choices, late).await,
                5 | 6 => self.refresh(&mut choices, late).await,
                7 | 8 => self.look(&mut choices, late).await,
                _ => self.revoke(&mut choices).await,
            }
        }
    }

    async fn authorize(&self, choices: &mut Choices, late: bool) {
        let client = choices.below(self.clients.len());
        let request = self.clients[client].request(SCOPES[choices.below(SCOPES.len())]).with("prompt", "none");
        let answer = self.agent.open(&request.url()).await.answer();
        match answer.get("code") {
            Some(code) => {
                assert!(!late, "{}: a code after the end", self.name());
                let code = Code { code: code.clone(), verifier: request.verifier };
                self.keep(client, Held::Code(code), false);
            }
            None => assert_eq!(answer["error"], "login_required", "{}", self.name()),
        }
    }

    async fn redeem(&self, choices: &mut Choices, late: bool) {
        let Some(given) = self.take(choices, |held| matches!(held, Held::Code(_))) else { return };
        let Held::Code(code) = &given.held else { unreachable!("chosen above") };
        let answer = self.clients[given.client].redeem(code).await;
        if let Some(tokens) = self.granted(&answer, late, false) {
            self.keep(given.client, Held::Access(tokens.access), false);
            let offline = tokens.all["scope"].as_str().unwrap().contains("offline_access");
            self.keep(given.client, Held::Refresh(tokens.refresh), offline);
        }
    }

    async fn refresh(&self, choices: &mut Choices, late: bool) {
        let Some(given) = self.pick(choices, |held| matches!(held, Held::Refresh(_))) else { return };
        let Held::Refresh(token) = &given.held else { unreachable!("chosen above") };
        let answer = self.clients[given.client].refresh(token).await;
        if let Some(tokens) = self.granted(&answer, late, given.offline) {
            self.keep(given.client, Held::Access(tokens.access), given.offline);
            self.keep(given.client, Held::Refresh(tokens.refresh), given.offline);
        }
    }

    fn granted(&self, answer: &Answer, late: bool, offline: bool) -> Option<Tokens> {
        if answer.status == 200 {
            assert!(!late || (offline && !self.way.takes_offline()), "{}: tokens after the end", self.name());
            return Some(answer.tokens());
        }
        answer.refused("invalid_grant");
        None
    }

    async fn look(&self, choices: &mut Choices, late: bool) {
        let Some(given) = self.pick(choices, |held| matches!(held, Held::Access(_))) else { return };
        let Held::Access(token) = &given.held else { unreachable!("chosen above") };
        let alive = if choices.below(2) == 0 {
            self.server.client("api").is_active(token).await
        } else {
            let status = self.clients[given.client].userinfo(token).await.status;
            assert!(status == 200 || status == 401, "{}: userinfo answers {status}", self.name());
            status == 200
        };
        assert!(!(alive && late && self.is_doomed(&given)), "{}: alive after the end", self.name());
    }

    async fn revoke(&self, choices: &mut Choices) {
        // Now and then only, or nothing would be left to be ended.
        if choices.below(4) > 0 {
            return;
        }
        let Some(given) = self.pick(choices, |held| !matches!(held, Held::Code(_))) else { return };
        let (Held::Access(token) | Held::Refresh(token)) = &given.held else { unreachable!("chosen above") };
        assert_eq!(self.clients[given.client].revoke(token).await.status, 200);
    }

    /// Waits until enough is afloat, ends the session, lets the others go on for a moment.
    async fn end(&self, mut choices: Choices) {
        let enough = 5 + choices.below(25);
        while self.count.get() < enough {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let (server, session) = (self.server, self.session);
        let alice: Uuid = server.user_id(ALICE).await.parse().unwrap();
        match self.way {
            Way::Session => {
                server.work(async |tx| sessions::end(tx, session, "ended_by_operator", Actor::Operator).await).await;
            }
            Way::Everything => {
                let reason = "ended_by_operator";
                server.work(async |tx| sessions::end_all_of_user(tx, alice, reason, Actor::Operator).await).await;
            }
            Way::Disabled => {
                server.work(async |tx| users::disable(tx, alice).await).await;
            }
            Way::Locked => {
                server.rows(&format!("UPDATE sessions SET locked_at = now() WHERE id = '{session}'")).await;
            }
            Way::SignOut => {
                let person = self.agent.copy();
                let account = person.open(&server.at("/account")).await;
                person.submit(&account.form_to("/sign-out")).await;
            }
        }
        self.ended.set(true);
        tokio::time::sleep(Duration::from_millis(60)).await;
        self.over.set(true);
    }

    /// All that anybody was ever given, tried once more.
    async fn settle(&self) {
        let silent = self.agent.open(&self.clients[0].request("openid").with("prompt", "none").url()).await;
        assert_eq!(silent.error(), "login_required", "{}", self.name());
        let witness = self.server.client("api");
        let given = self.given.borrow().clone();
        for given in given.iter().filter(|given| self.is_doomed(given)) {
            let client = &self.clients[given.client];
            match &given.held {
                Held::Code(code) => {
                    client.redeem(code).await.refused("invalid_grant");
                }
                Held::Refresh(token) => {
                    client.refresh(token).await.refused("invalid_grant");
                }
                Held::Access(token) => {
                    assert!(!witness.is_active(token).await, "{}: a token outlived the session", self.name());
                    client.userinfo(token).await.token_refused();
                }
            }
        }
        // And not one that nobody was told of.
        let doomed = if self.way.takes_offline() { "" } else { "AND s.kind <> 'offline'" };
        let live = format!(
            "SELECT count(*) FROM live_access_tokens(now()) t JOIN sessions s ON s.id = t.session_id WHERE s.user_id IS NOT NULL {doomed}"
        );
        assert_eq!(self.server.value(&live).await, "0", "{}", self.name());
    }

    fn is_doomed(&self, given: &Given) -> bool {
        !given.offline || self.way.takes_offline()
    }

    fn keep(&self, client: usize, held: Held, offline: bool) {
        self.count.set(self.count.get() + 1);
        self.given.borrow_mut().push(Given { client, held, offline });
    }

    /// One of the fitting ones, more often a late one.
    fn pick(&self, choices: &mut Choices, fits: impl Fn(&Held) -> bool) -> Option<Given> {
        let given = self.given.borrow();
        let fitting: Vec<&Given> = given.iter().filter(|given| fits(&given.held)).collect();
        let reach = if choices.below(4) == 0 { fitting.len() } else { fitting.len().min(4) };
        let from_the_end = (reach > 0).then(|| choices.below(reach))?;
        Some(fitting[fitting.len() - 1 - from_the_end].clone())
    }

    /// The same; most often it is gone then, now and then it stays to be replayed.
    fn take(&self, choices: &mut Choices, fits: impl Fn(&Held) -> bool) -> Option<Given> {
        let chosen = self.pick(choices, fits)?;
        if choices.below(8) > 0
            && let Held::Code(chosen) = &chosen.held
        {
            self.given
                .borrow_mut()
                .retain(|given| !matches!(&given.held, Held::Code(code) if code.code == chosen.code));
        }
        Some(chosen)
    }

    fn name(&self) -> String {
        format!("round {} ({:?})", self.number, self.way)
    }
}
