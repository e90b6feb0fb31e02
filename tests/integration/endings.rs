//! Every way in which a session, a person or a client can end, times everything that hung on it.
//!
//! The table at the top is the claim: what each ending takes down and what it leaves alone. Before each ending the
//! same kinds of credentials are shown to work, so that a refusal afterwards is the ending's doing.

use chrono::TimeDelta;
use mooring::{
    audit::Actor,
    db::{clients, registrations, users},
    sessions,
};
use uuid::Uuid;

use crate::support::{
    ALICE, BOB, Client, PASSWORD, Server, Settings,
    agent::Agent,
    client::{self, Tokens},
    declared::POST_LOGOUT_URI,
    token,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// `session end ID`.
    ByOperator,
    /// `session end --user U`.
    EverythingOfThePerson,
    /// `user disable NAME`.
    PersonDisabled,
    /// `client disable ID`.
    ClientDisabled,
    /// The client itself, where it is registered (RFC 7592 §2.3).
    ClientDeleted,
    /// The relying party revokes the refresh token (RFC 7009 §2.1).
    Revoked,
    CodeReplayed,
    RefreshReplayed,
    Locked,
    Idle,
    AbsoluteEnd,
    /// At the relying party's request, confirmed by the person.
    SignOut,
    SignOutOnTheAccountPage,
    /// From another browser of the same person.
    EndedOnTheAccountPage,
    AllOthersEnded,
    /// Somebody else signs in in the same browser.
    Superseded,
    /// What alice had allowed the client, taken back on the account page.
    ConsentWithdrawn,
    /// The offline session alone.
    OfflineByOperator,
    OfflineOnTheAccountPage,
}

use Ending::*;

/// What may be dead afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// A code that nobody has redeemed yet.
    Code,
    /// The family in use: access and refresh token.
    Family,
    /// The refresh token of an offline family, and the access tokens that came of it.
    Offline,
    /// The browser's.
    Cookie,
}

use Part::*;

const SESSION: &[Part] = &[Code, Family, Cookie];
const EVERYTHING: &[Part] = &[Code, Family, Offline, Cookie];

const TABLE: &[(Ending, &[Part])] = &[
    (ByOperator, SESSION),
    (EverythingOfThePerson, EVERYTHING),
    (PersonDisabled, EVERYTHING),
    (ClientDisabled, &[Code, Family, Offline]),
    (ClientDeleted, &[Code, Family, Offline]),
    (Revoked, &[Family]),
    (CodeReplayed, &[Family]),
    (RefreshReplayed, &[Family]),
    (Locked, SESSION),
    (Idle, SESSION),
    (AbsoluteEnd, SESSION),
    (SignOut, SESSION),
    (SignOutOnTheAccountPage, SESSION),
    (EndedOnTheAccountPage, SESSION),
    (AllOthersEnded, SESSION),
    (Superseded, SESSION),
    (ConsentWithdrawn, &[Code, Family, Offline]),
    (OfflineByOperator, &[Offline]),
    (OfflineOnTheAccountPage, &[Offline]),
];

/// Everything that hangs on one sign-in of alice at one client.
struct Moored<'s> {
    client: Client<'s>,
    agent: Agent,
    /// The cookie as it is before the end, in a browser of its own.
    stolen: Agent,
    session: Uuid,
    redeemed: client::Code,
    waiting: client::Code,
    family: Tokens,
    offline: Tokens,
    /// Of the time before the refresh: what a replay would present.
    rotated_away: Tokens,
}

impl<'s> Moored<'s> {
    async fn at(server: &'s Server, id: &str) -> Self {
        let client = server.client(id);
        let agent = server.agent();
        let redeemed = client.code(&agent, "openid email").await;
        let first = client.redeem(&redeemed).await.tokens();
        let second = client.refresh(&first.refresh).await.tokens();
        let family = client.refresh(&second.refresh).await.tokens();
        let offline = client.tokens(&agent, "openid offline_access").await;
        // What a later refresh gives hangs on the offline session; the tokens of the redemption do not.
        let offline = client.refresh(&offline.refresh).await.tokens();
        let waiting = client.code(&agent, "openid").await;
        let session = server
            .value("SELECT id FROM sessions WHERE kind = 'user' AND ended_at IS NULL ORDER BY id DESC LIMIT 1")
            .await;
        let moored = Self {
            stolen: agent.copy(),
            session: session.parse().unwrap(),
            client,
            agent,
            redeemed,
            waiting,
            family,
            offline,
            rotated_away: first,
        };
        // The control: all of it is alive, and another code can be had and redeemed.
        assert!(
            moored.client.is_active(&moored.family.access).await
                && moored.client.is_active(&moored.offline.access).await
        );
        moored.client.userinfo(&moored.family.access).await.ok();
        moored.client.userinfo(&moored.offline.access).await.ok();
        let silent = moored.stolen.open(&moored.client.request("openid").with("prompt", "none").url()).await;
        silent.code();
        moored
    }

    async fn end(&self, server: &Server, ending: Ending) {
        let alice: Uuid = server.user_id(ALICE).await.parse().unwrap();
        match ending {
            ByOperator => {
                let ended = server
                    .work(async |tx| sessions::end(tx, self.session, "ended_by_operator", Actor::Operator).await)
                    .await;
                assert!(ended);
            }
            EverythingOfThePerson => {
                let count = server
                    .work(async |tx| sessions::end_all_of_user(tx, alice, "ended_by_operator", Actor::Operator).await)
                    .await;
                assert!(count >= 2, "{count}");
            }
            PersonDisabled => assert!(server.work(async |tx| users::disable(tx, alice).await).await),
            ClientDisabled => {
                let id = self.client.id.clone();
                assert_eq!(server.work(async |tx| clients::disable(tx, &id).await).await, Some(true));
            }
            ClientDeleted => {
                let id = self.client.id.clone();
                // As if it had registered itself.
                server.rows(&format!("UPDATE clients SET registration_generation = 0 WHERE client_id = '{id}'")).await;
                assert!(server.work(async |tx| registrations::end(tx, &id, 0).await).await);
            }
            Revoked => assert_eq!(self.client.revoke(&self.family.refresh).await.status, 200),
            CodeReplayed => {
                self.client.redeem(&self.redeemed).await.refused("invalid_grant");
            }
            RefreshReplayed => {
                self.client.refresh(&self.rotated_away.refresh).await.refused("invalid_grant");
            }
            Locked => {
                server.rows(&format!("UPDATE sessions SET locked_at = now() WHERE id = '{}'", self.session)).await;
            }
            Idle => server.advance(TimeDelta::minutes(5)).await,
            AbsoluteEnd => {
                for _ in 0..5 {
                    server.advance(TimeDelta::seconds(100)).await;
                    // Busy to the last.
                    self.agent.open(&self.client.request("openid").with("prompt", "none").url()).await;
                }
            }
            SignOut => {
                let hint = [("id_token_hint", self.family.id.as_str()), ("post_logout_redirect_uri", POST_LOGOUT_URI)];
                let url = url::Url::parse_with_params(&server.endpoint("end_session_endpoint"), hint).unwrap();
                let page = self.agent.open(url.as_str()).await;
                if page.offers("sign-out") {
                    self.agent.decide(&page, "sign-out").await;
                }
            }
            SignOutOnTheAccountPage => {
                let account = self.agent.open(&server.at("/account")).await;
                self.agent.submit(&account.form_to("/sign-out")).await;
            }
            EndedOnTheAccountPage => {
                let (other, account) = account_in_another_browser(server).await;
                other.submit(&account.with_button("session", &self.session.to_string())).await;
            }
            AllOthersEnded => {
                let (other, account) = account_in_another_browser(server).await;
                other.submit(&account.form_to("/end-others")).await;
            }
            Superseded => {
                let page = self.agent.open(&self.client.request("openid").with("prompt", "login").url()).await;
                self.agent.sign_in(&page, BOB, PASSWORD).await;
            }
            ConsentWithdrawn => {
                let account = self.agent.open(&server.at("/account")).await;
                self.agent.submit(&account.with_button("client_id", &self.client.id)).await;
            }
            OfflineByOperator => {
                let id = server.value("SELECT id FROM sessions WHERE kind = 'offline'").await.parse().unwrap();
                assert!(
                    server.work(async |tx| sessions::end(tx, id, "ended_by_operator", Actor::Operator).await).await
                );
            }
            OfflineOnTheAccountPage => {
                let account = self.agent.open(&server.at("/account")).await;
                let id = server.value("SELECT id FROM sessions WHERE kind = 'offline'").await;
                self.agent.submit(&account.with_button("session", &id)).await;
            }
        }
    }

    /// Tries all of it and says whether each is dead, as each endpoint sees it.
    async fn look(&self, server: &Server) -> Vec<Part> {
        // A disabled client cannot ask for itself.
        let witness = server.client("api");
        let dead = async |what: &str, tokens: &Tokens| {
            let inactive = !witness.is_active(&tokens.access).await;
            let userinfo = self.client.userinfo(&tokens.access).await;
            assert_eq!(userinfo.status == 401, inactive, "{what}: introspection and userinfo disagree: {userinfo:?}");
            let refreshed = self.client.refresh(&tokens.refresh).await;
            assert_eq!(refreshed.status != 200, inactive, "{what}: introspection and refresh disagree: {refreshed:?}");
            if inactive {
                userinfo.token_refused();
                assert!(["invalid_grant", "invalid_client"].contains(&refreshed.json()["error"].as_str().unwrap()));
            } else {
                // What came of the refresh is alive, too.
                assert!(witness.is_active(&refreshed.tokens().access).await, "{what}");
            }
            inactive
        };
        let family = dead("the family", &self.family).await;
        let offline = dead("the offline family", &self.offline).await;
        let redeemed = self.client.redeem(&self.waiting).await;
        let waiting_code = redeemed.status != 200;
        if waiting_code {
            assert!(["invalid_grant", "invalid_client"].contains(&redeemed.json()["error"].as_str().unwrap()));
        }
        let cookie = self.is_cookie_dead(server).await;
        let all = [(Code, waiting_code), (Family, family), (Offline, offline), (Cookie, cookie)];
        all.into_iter().filter(|(_, dead)| *dead).map(|(part, _)| part).collect()
    }

    async fn is_cookie_dead(&self, server: &Server) -> bool {
        // A locked session is not over: instead of being asked to sign in, the person is told.
        let dead =
            |page: &crate::support::agent::Page| page.asks_for_password() || page.body.contains("session is locked");
        let account = self.stolen.copy().open(&server.at("/account")).await;
        let is_dead = dead(&account);
        assert!(is_dead || account.body.contains("Alice Example"), "{}", account.body);
        // At a client that nothing was done to.
        let other = server.client("web2");
        let silent = self.stolen.copy().open(&other.request("openid").with("prompt", "none").url()).await;
        // Alive, it would need consent there.
        assert_eq!(silent.error() == "login_required", is_dead, "authorize and account disagree");
        let page = self.stolen.copy().open(&other.request("openid").url()).await;
        assert_eq!(dead(&page), is_dead, "{}", page.body);
        is_dead
    }
}

/// Alice in another browser, before her account page.
async fn account_in_another_browser(server: &Server) -> (Agent, crate::support::agent::Page) {
    let agent = server.agent();
    server.client("web2").code(&agent, "openid").await;
    let account = agent.open(&server.at("/account")).await;
    (agent, account)
}

async fn tell(ending: Ending, client: &str) {
    let takes = TABLE.iter().find(|(it, _)| *it == ending).expect("every ending is in the table").1;
    // Lifetimes so that what dies does not die of old age.
    let settings =
        Settings::default().set("tokens.code", "10m").set("tokens.access", "1h").set("sessions.offline_absolute", "1d");
    let settings = match ending {
        Idle => settings.set("sessions.idle", "3m"),
        AbsoluteEnd => settings.set("sessions.idle", "8m").set("sessions.absolute", "8m"),
        _ => settings,
    };
    let server = Server::start(settings).await;
    let moored = Moored::at(&server, client).await;
    moored.end(&server, ending).await;
    assert_eq!(moored.look(&server).await, takes, "what is dead of {client} after {ending:?}");
}

/// One test for each line of the table: opaque tokens of a client that authenticates, and JWTs.
macro_rules! stories {
    ($($name:ident: $ending:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            tell($ending, "web").await;
            tell($ending, "jwt").await;
        })*

        #[test]
        fn every_ending_is_told() {
            let told = [$($ending),*];
            assert_eq!(told.len(), TABLE.len());
            assert!(TABLE.iter().all(|(ending, _)| told.contains(ending)));
        }
    };
}

stories! {
    a_session_ended_by_the_operator: ByOperator;
    everything_of_a_person_ended: EverythingOfThePerson;
    a_person_disabled: PersonDisabled;
    a_client_disabled: ClientDisabled;
    a_client_deleted: ClientDeleted;
    a_family_revoked: Revoked;
    a_code_replayed: CodeReplayed;
    a_refresh_token_replayed: RefreshReplayed;
    a_session_locked: Locked;
    a_session_idle: Idle;
    a_session_at_its_absolute_end: AbsoluteEnd;
    a_sign_out_for_a_relying_party: SignOut;
    a_sign_out_on_the_account_page: SignOutOnTheAccountPage;
    a_session_ended_on_the_account_page: EndedOnTheAccountPage;
    all_other_sessions_ended: AllOthersEnded;
    another_person_signs_in: Superseded;
    a_consent_withdrawn: ConsentWithdrawn;
    offline_access_ended_by_the_operator: OfflineByOperator;
    offline_access_ended_on_the_account_page: OfflineOnTheAccountPage;
}

/// A machine's tokens hang on its service session and die with it, or with the client.
#[tokio::test]
async fn a_service_session_takes_its_tokens_down() {
    let server = Server::usual().await;
    let witness = server.client("api");
    for id in ["machine", "machine2"] {
        let client = server.client(id);
        let token = client.client_credentials("ships:read").await.tokens().access;
        assert!(witness.is_active(&token).await);
        let session = format!("SELECT id FROM sessions WHERE client_id = '{id}' AND ended_at IS NULL");
        let session = server.value(&session).await.parse().unwrap();
        server.work(async |tx| sessions::end(tx, session, "ended_by_operator", Actor::Operator).await).await;
        assert!(!witness.is_active(&token).await);

        // The client itself was not disabled: it gets another session, and the old token stays dead.
        let next = client.client_credentials("ships:read").await.tokens().access;
        assert!(witness.is_active(&next).await && !witness.is_active(&token).await);
        server.work(async |tx| clients::disable(tx, id).await).await;
        assert!(!witness.is_active(&next).await);
        client.client_credentials("ships:read").await.refused("invalid_client");
    }
}

/// Signing in succeeds the visitor: its cookie, had somebody planted it before, opens nothing.
#[tokio::test]
async fn a_planted_cookie_gets_nobody_in() {
    let server = Server::usual().await;
    let client = server.client("web");
    let victim = server.agent();
    let page = victim.open(&client.request("openid").url()).await;
    let planted = victim.copy();
    victim.sign_in(&page, ALICE, PASSWORD).await;
    assert!(planted.open(&server.at("/account")).await.asks_for_password());
    let silent = planted.copy().open(&client.request("openid").with("prompt", "none").url()).await;
    assert_eq!(silent.error(), "login_required");
}

/// Re-authentication keeps the session, its sid and its tokens; only the old cookie is dead.
#[tokio::test]
async fn re_authentication_ends_only_the_old_secret() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let tokens = client.tokens(&agent, "openid").await;
    let old = agent.copy();
    server.advance(TimeDelta::seconds(30)).await;
    let request = client.request("openid").with("prompt", "login");
    let page = agent.open(&request.url()).await;
    let page = agent.sign_in(&page, ALICE, PASSWORD).await;
    let code = client::Code { code: page.code(), verifier: request.verifier };
    let again = client.redeem(&code).await.tokens();

    let (before, after) = (token::claims(&tokens.id), token::claims(&again.id));
    assert_eq!(before["sid"], after["sid"]);
    assert!(before["auth_time"].as_i64() < after["auth_time"].as_i64());
    assert!(client.is_active(&tokens.access).await, "the same session goes on");
    client.refresh(&tokens.refresh).await.tokens();
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'user'").await, "1");
    let silent = old.open(&client.request("openid").with("prompt", "none").url()).await;
    assert_eq!(silent.error(), "login_required", "the old secret");
}

/// Offline tokens of the redemption hang on the user session; later ones on the offline session.
#[tokio::test]
async fn sign_out_leaves_offline_access_alone() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let first = client.tokens(&agent, "openid offline_access").await;
    let account = agent.open(&server.at("/account")).await;
    agent.submit(&account.form_to("/sign-out")).await;
    assert!(!client.is_active(&first.access).await, "the token of the redemption hangs on the user session");
    let later = client.refresh(&first.refresh).await.tokens();
    assert!(client.is_active(&later.access).await);
    let seen = client.introspect(&later.access).await.ok();
    assert_eq!(seen["session"]["kind"], "offline");
    assert_eq!(seen["sid"], token::claims(&first.id)["sid"], "sid stays that of the origin");
    assert_eq!(token::claims(&later.id)["sid"], token::claims(&first.id)["sid"]);
    client.userinfo(&later.access).await.ok();

    // It has an absolute end of its own.
    server.advance(TimeDelta::days(89)).await;
    let last = client.refresh(&later.refresh).await.tokens();
    server.advance(TimeDelta::days(2)).await;
    client.refresh(&last.refresh).await.refused("invalid_grant");
}

/// "End everything of this user" also ends a sign-in that is in flight at that moment.
#[tokio::test]
async fn a_sign_in_in_flight_is_ended_too() {
    let server = Server::usual().await;
    let client = server.client("web");
    let agent = server.agent();
    let code = client.code(&agent, "openid").await;
    // The epoch is read with the password; what is issued under an older one is dead.
    let alice = server.user_id(ALICE).await;
    server.rows(&format!("UPDATE users SET session_epoch = session_epoch + 1 WHERE id = '{alice}'")).await;
    client.redeem(&code).await.refused("invalid_grant");
    let silent = agent.open(&client.request("openid").with("prompt", "none").url()).await;
    assert_eq!(silent.error(), "login_required");
    // A new sign-in begins under the new epoch.
    client.tokens(&agent, "openid").await;
}

/// Being disabled and a newer epoch are two locks, each enough by itself.
#[tokio::test]
async fn disabled_or_outdated_each_is_enough() {
    let server = Server::usual().await;
    for (breaks, mends) in [
        ("UPDATE users SET disabled_at = now()", "UPDATE users SET disabled_at = NULL"),
        ("UPDATE users SET session_epoch = session_epoch + 1", "UPDATE users SET session_epoch = session_epoch - 1"),
        ("UPDATE clients SET disabled_at = now() WHERE client_id <> 'api'", "UPDATE clients SET disabled_at = NULL"),
        (
            "UPDATE clients SET session_epoch = session_epoch + 1 WHERE client_id <> 'api'",
            "UPDATE clients SET session_epoch = session_epoch - 1 WHERE client_id <> 'api'",
        ),
        ("UPDATE grants SET ended_at = now()", "UPDATE grants SET ended_at = NULL"),
        ("UPDATE sessions SET locked_at = now()", "UPDATE sessions SET locked_at = NULL"),
        ("UPDATE sessions SET ended_at = now()", "UPDATE sessions SET ended_at = NULL WHERE kind = 'user'"),
    ] {
        let client = server.client("web");
        let agent = server.agent();
        let witness = server.client("api");
        let tokens = client.tokens(&agent, "openid").await;
        let waiting = client.code(&agent, "openid").await;
        server.rows(breaks).await;
        assert!(!witness.is_active(&tokens.access).await, "{breaks}");
        client.userinfo(&tokens.access).await.token_refused();
        assert_ne!(client.refresh(&tokens.refresh).await.status, 200, "{breaks}");
        assert_ne!(client.redeem(&waiting).await.status, 200, "{breaks}");
        // Nothing of it was used up by trying.
        server.rows(mends).await;
        assert!(witness.is_active(&tokens.access).await, "{mends}");
        client.refresh(&tokens.refresh).await.tokens();
        client.redeem(&waiting).await.tokens();
    }
}
