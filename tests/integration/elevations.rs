//! Four eyes: privileged work begins when a second person agrees, at the Identity Hub, to what somebody asks for.

mod access;
mod approvers;
mod break_glass;
mod hub;
mod in_a_browser;
mod races;
mod rights;
mod told;

use chrono::TimeDelta;
use mooring::sessions::Proof;
use serde_json::Value;

use crate::support::{
    ALICE, BOB, Server, Settings,
    agent::{Agent, Page},
    client::{Client, Request},
    declared::{PASSWORD, REDIRECT_URI, SECRET},
    proof::request_of,
};

/// Administrators.
pub const CAROL: &str = "carol";
pub const DAVE: &str = "dave";
const SCOPE: &str = "openid vault:open";

/// A vault with two locks, and somebody to turn each key.
fn settings() -> Settings {
    let admin = |name: &str| {
        format!(
            "[[user]]\nusername = \"{name}\"\npassword = \"{PASSWORD}\"\nadmin = true\n\
             email = \"{name}@example.com\"\nname = \"{name} of the Harbour\"\n"
        )
    };
    Settings::default().declare(&format!(
        "[[scope]]\nname = \"vault:open\"\ndescription = \"Open the vault\"\nprivileged = true\nduration = \"10m\"\n\
         approval = \"four_eyes\"\n\
         [[scope]]\nname = \"vault:drill\"\ndescription = \"Drill the vault\"\nprivileged = true\n\
         approval = \"four_eyes\"\nbreak_glass = true\n\
         [[client]]\nclient_id = \"vault\"\nclient_name = \"The Vault\"\nclient_secret = \"{SECRET}\"\n\
         redirect_uris = [\"{REDIRECT_URI}\"]\ngrant_types = [\"authorization_code\", \"refresh_token\"]\n\
         scope = \"openid vault:open vault:drill payments:write\"\n{}{}",
        admin(CAROL),
        admin(DAVE)
    ))
}

async fn server() -> Server {
    server_of(settings()).await
}

async fn server_of(settings: Settings) -> Server {
    let server = Server::start(settings).await;
    for name in [ALICE, BOB, CAROL, DAVE] {
        server.enrol(name, "passkey").await;
    }
    server
}

/// Goes on to where a proof is asked for, gives it, and goes on from there.
async fn proved(server: &Server, agent: &Agent, username: &str, url: &str) -> Page {
    let page = agent.walk(url, username).await;
    if !page.url.path().ends_with("/step-up") {
        return page;
    }
    server.prove(&page, username, Proof::PASSKEY).await;
    agent.walk(&server.at(&format!("/oauth/authorize/{}", request_of(&page))), username).await
}

/// Somebody who asks the vault's owner for approval.
struct Requester<'s> {
    server: &'s Server,
    client: Client<'s>,
    agent: Agent,
    username: &'static str,
    request: Request,
    /// Where they stand.
    page: Page,
}

impl<'s> Requester<'s> {
    async fn emergency(&self) -> Page {
        emergency(&self.agent, &self.page).await
    }

    /// Stands before the form.
    async fn arrive(server: &'s Server, username: &'static str, scope: &str) -> Self {
        Self::arrive_by(server, server.agent(), username, scope).await
    }

    async fn arrive_by(server: &'s Server, agent: Agent, username: &'static str, scope: &str) -> Self {
        let client = server.client("vault");
        let request = client.request(scope);
        let page = proved(server, &agent, username, &request.url()).await;
        assert!(page.url.path().ends_with("/elevation"), "{}:\n{}", page.url, page.body);
        Self { server, client, agent, username, request, page }
    }

    async fn ask(mut self, reason: &str, minutes: &str) -> Self {
        let form = self.page.decision("ask").fill("reason", reason).fill("minutes", minutes);
        self.page = self.agent.submit(&form).await;
        self
    }

    /// The page looks again.
    async fn look(&self) -> Page {
        let url = self.server.at(&format!("/elevation?request={}", request_of(&self.page)));
        self.agent.walk(&url, self.username).await
    }

    async fn tokens_of(&self, page: &Page) -> Value {
        let code = crate::support::client::Code { code: page.code(), verifier: self.request.verifier.clone() };
        self.client.redeem(&code).await.tokens().all
    }
}

/// Somebody at the hub.
struct Approver {
    agent: Agent,
    page: Page,
}

impl Approver {
    async fn arrive(server: &Server, username: &str) -> Self {
        let agent = server.agent();
        let page = proved(server, &agent, username, &server.at("/hub")).await;
        assert!(page.url.path().ends_with("/hub/elevations") && page.status == 200, "{}:\n{}", page.url, page.body);
        Self { agent, page }
    }

    async fn look(&mut self, server: &Server) {
        self.page = self.agent.open(&server.at("/hub/elevations")).await;
    }

    async fn decide(&self, decision: &str, note: &str) -> Page {
        self.agent.submit(&self.page.decision(decision).fill("note", note)).await
    }
}

/// The page that asks once more before somebody goes on alone.
async fn emergency(agent: &Agent, page: &Page) -> Page {
    let mut url = page.url.clone();
    url.set_path("/elevation");
    url.set_query(Some(&format!("request={}&emergency=yes", request_of(page))));
    agent.open(url.as_str()).await
}

async fn trail(server: &Server) -> Vec<String> {
    let rows = "SELECT action FROM audit_events WHERE action LIKE 'elevation.%' ORDER BY xid::text::bigint, id";
    server.rows(rows).await.into_iter().flatten().flatten().collect()
}

#[tokio::test]
async fn a_second_person_agrees() {
    let server = server().await;
    let alice = Requester::arrive(&server, ALICE, SCOPE).await;
    assert!(!alice.page.offers("break-glass"));
    let alice = alice.ask("The gold is due", "5").await;
    assert_eq!(alice.page.heading(), "Waiting for approval");
    // A script looks what became of it; without one the page is loaded again, and slowly enough to be used.
    let reload = "<noscript><meta http-equiv=\"refresh\" content=\"30\"></noscript>";
    assert!(alice.page.body.contains(reload) && alice.page.header("refresh").is_empty(), "{}", alice.page.body);

    let mut carol = Approver::arrive(&server, CAROL).await;
    for told in ["Alice Example", "The gold is due", "The Vault", "Open the vault", "5 minutes", "Firefox on Linux"] {
        assert!(carol.page.body.contains(told), "{told}:\n{}", carol.page.body);
    }
    assert_eq!(alice.look().await.heading(), "Waiting for approval");
    let decided = carol.decide("approve", "Mind the step").await;
    assert!(decided.status == 200 && !decided.offers("approve"), "{}", decided.body);

    let tokens = alice.tokens_of(&alice.look().await).await;
    assert_eq!(tokens["scope"], "openid vault:open");
    let seen = server.client("api").introspect(tokens["access_token"].as_str().unwrap()).await.ok();
    let minutes = (seen["privileged_until"].as_i64().unwrap() - seen["session"]["started_at"].as_i64().unwrap()) / 60;
    assert_eq!((seen["session"]["kind"].as_str(), minutes), (Some("privileged"), 5), "no longer than was agreed to");

    assert_eq!(trail(&server).await, ["elevation.requested", "elevation.approved", "elevation.used"]);
    let about = server.value("SELECT detail FROM audit_events WHERE action = 'elevation.approved'").await;
    let about: Value = serde_json::from_str(&about).unwrap();
    assert_eq!((&about["reason"], &about["note"]), (&"The gold is due".into(), &"Mind the step".into()));
    assert_eq!(about["requester"], server.user_id(ALICE).await);
    assert_eq!(about["approver"], server.user_id(CAROL).await);
    let kinds = "SELECT string_agg(DISTINCT kind, ' ') FROM audit_events WHERE action IN ('elevation.approved', 'elevation.used')";
    assert_eq!(server.value(kinds).await, "privileged");
    carol.look(&server).await;
    assert!(carol.page.body.contains("Approved, used") && carol.page.body.contains("Mind the step"));
}

/// An approval is for one privileged session: in it the client may come again, after it nobody may.
#[tokio::test]
async fn an_approval_is_good_for_one_privileged_session() {
    let server = server().await;
    let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("The gold is due", "5").await;
    Approver::arrive(&server, CAROL).await.decide("approve", "").await;
    alice.tokens_of(&alice.look().await).await;

    // The same work goes on, to the same end.
    let again = alice.agent.walk(&alice.client.request(SCOPE).url(), ALICE).await;
    assert!(again.answer().contains_key("code"), "{}", again.url);
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'privileged' AND user_id = (SELECT id FROM users WHERE username = 'alice')").await, "1");
    // More than was agreed to is another matter.
    let more = proved(&server, &alice.agent, ALICE, &alice.client.request("openid vault:open vault:drill").url()).await;
    assert!(more.url.path().ends_with("/elevation"), "{}", more.url);

    server.advance(TimeDelta::minutes(6)).await;
    let later = Requester::arrive_by(&server, alice.agent.clone(), ALICE, SCOPE).await;
    assert_eq!(later.page.heading(), "Ask for approval");
    assert_eq!(server.value("SELECT count(*) FROM elevation_requests WHERE used_at IS NOT NULL").await, "1");
}

/// What was agreed to ends by then in privileged work that goes on for longer, and ends nothing else of it.
#[tokio::test]
async fn an_approval_that_joins_lasts_as_long_as_was_agreed() {
    let server = server().await;
    let agent = server.agent();
    let vault = server.client("vault");
    let page = proved(&server, &agent, ALICE, &vault.request("openid payments:write").url()).await;
    page.code();
    let alice = Requester::arrive_by(&server, agent, ALICE, SCOPE).await.ask("Gold, too", "3").await;
    Approver::arrive(&server, CAROL).await.decide("approve", "").await;
    let tokens = alice.tokens_of(&alice.look().await).await;
    let left = "SELECT round(extract(epoch FROM s.expires_at - s.created_at) / 60) FROM sessions s JOIN users u ON u.id = s.user_id \
                WHERE s.kind = 'privileged' AND u.username = 'alice'";
    assert_eq!(server.value(left).await, "15");
    let until = async |tokens: &Value| {
        let seen = server.client("api").introspect(tokens["access_token"].as_str().unwrap()).await.ok();
        (seen["privileged_until"].as_i64().unwrap() - server.clock.now().timestamp() + 30) / 60
    };
    assert_eq!(until(&tokens).await, 3);
    // A new proof lengthens nothing: for more somebody has to agree again.
    server.advance(TimeDelta::minutes(2)).await;
    let request = vault.request(SCOPE).with("prompt", "login");
    let again = proved(&server, &alice.agent, ALICE, &request.url()).await;
    let code = crate::support::client::Code { code: again.code(), verifier: request.verifier };
    assert_eq!(until(&vault.redeem(&code).await.tokens().all).await, 1);
    server.advance(TimeDelta::minutes(1)).await;
    let over = Requester::arrive_by(&server, alice.agent.clone(), ALICE, SCOPE).await;
    assert_eq!(over.page.heading(), "Ask for approval");
}

#[tokio::test]
async fn a_refusal_is_told_and_goes_to_the_client() {
    let server = server().await;
    let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("I am bored", "10").await;
    Approver::arrive(&server, CAROL).await.decide("refuse", "Find <i>something</i> else").await;
    let told = alice.look().await;
    assert_eq!(told.heading(), "Not approved");
    assert!(told.body.contains("Find &lt;i&gt;something&lt;") && told.body.contains(CAROL), "{}", told.body);
    assert!(!told.offers("ask"), "a refusal is the end of this request");
    // Not even with a form of before.
    let forged = told.decision("leave").forge("request", told.decision("leave").field("request"));
    let mut asked = forged.clone();
    asked.fields.retain(|(name, _)| name != "decision");
    asked
        .fields
        .extend([("decision", "ask"), ("reason", "x"), ("minutes", "1")].map(|(a, b)| (a.to_owned(), b.to_owned())));
    alice.agent.submit(&asked).await;
    assert_eq!(server.value("SELECT count(*) FROM elevation_requests").await, "1");
    assert_eq!(alice.agent.decide(&told, "leave").await.error(), "access_denied");
    assert_eq!(server.value("SELECT count(*) FROM sessions WHERE kind = 'privileged' AND user_id = (SELECT id FROM users WHERE username = 'alice')").await, "0");
}

#[tokio::test]
async fn what_is_asked_is_read_strictly() {
    let server = server().await;
    let alice = Requester::arrive(&server, ALICE, SCOPE).await;
    for (reason, minutes) in
        [("", "5"), ("  ", "5"), ("why", "0"), ("why", "-1"), ("why", "11"), ("why", "x"), ("why", "")]
    {
        let form = alice.page.decision("ask").fill("reason", reason).fill("minutes", minutes);
        let page = alice.agent.submit(&form).await;
        assert!(page.status == 400 && page.body.contains("role=\"alert\""), "{reason:?} {minutes:?}: {}", page.body);
    }
    let long = "a".repeat(501);
    let page = alice.agent.submit(&alice.page.decision("ask").fill("reason", &long).fill("minutes", "5")).await;
    assert_eq!(page.status, 400);
    for forged in [None, Some("x")] {
        let form = alice.page.decision("ask").fill("reason", "why").fill("minutes", "5").forge("csrf", forged);
        alice.agent.submit(&form).await.is_error_page(400);
    }
    assert_eq!(server.value("SELECT count(*) FROM elevation_requests").await, "0");
    // Nobody asks without having proved who they are, whatever address they type.
    let agent = server.agent();
    let step_up = agent.walk(&alice.client.request(SCOPE).url(), BOB).await;
    let typed = agent.open(&server.at(&format!("/elevation?request={}", request_of(&step_up)))).await;
    assert!(typed.url.path().ends_with("/step-up"), "{} {}\n{}", typed.status, typed.url, typed.body);
    // Another's request is nobody's business.
    agent.open(&server.at(&format!("/elevation?request={}", request_of(&alice.page)))).await.is_error_page(400);
}

#[tokio::test]
async fn what_nobody_decides_lapses() {
    let server = server().await;
    let alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("The gold is due", "5").await;
    let mut carol = Approver::arrive(&server, CAROL).await;
    assert!(carol.page.offers("approve"));
    let form = carol.page.decision("approve");
    // Both stay signed in: somebody looks now and then.
    for _ in 0..3 {
        server.advance(TimeDelta::minutes(21)).await;
        alice.agent.open(&server.at("/account")).await;
        carol.agent.open(&server.at("/account")).await;
    }
    carol.page = proved(&server, &carol.agent, CAROL, &server.at("/hub")).await;
    assert!(!carol.page.offers("approve"), "{}", carol.page.body);
    let late = carol.agent.submit(&form).await;
    assert!(late.status >= 400, "{}", late.body);
    let approvers = mooring::elevations::Approvers::of(&server.app.config.scopes);
    assert_eq!(server.work(async |tx| mooring::elevations::void_fallen(tx, &approvers, None, 10).await).await, 1);
    assert_eq!(server.value("SELECT void_reason FROM elevation_requests").await, "lapsed");
    assert_eq!(trail(&server).await, ["elevation.requested", "elevation.voided"]);
    alice.look().await.is_error_page(400);
}

#[tokio::test]
async fn whoever_asks_can_take_it_back_and_ask_again() {
    let server = server().await;
    let mut alice = Requester::arrive(&server, ALICE, SCOPE).await.ask("Wrong vault", "5").await;
    let carol = Approver::arrive(&server, CAROL).await;
    alice.page = alice.agent.decide(&alice.page, "withdraw").await;
    assert_eq!(alice.page.heading(), "Ask for approval");
    let late = carol.decide("approve", "").await;
    assert_eq!(late.status, 409, "{}", late.body);
    let alice = alice.ask("The right one", "5").await;
    let mut carol = carol;
    carol.look(&server).await;
    carol.decide("approve", "").await;
    alice.look().await.code();
    let expected =
        ["elevation.requested", "elevation.voided", "elevation.requested", "elevation.approved", "elevation.used"];
    assert_eq!(trail(&server).await, expected);
}
