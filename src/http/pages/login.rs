//! Sign-in with a password.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};

use crate::{
    app::App,
    audit::{self, Action, Actor, Event, Subject},
    authentication::{
        Caller, PasswordVerdict, guessing,
        second_factor::{self, Fitted},
    },
    authorize::{Decision, Standing, decide},
    db::{
        Outcome, Tx, authorization_requests, sessions as session_rows,
        users::{self, User},
    },
    failure::Failure,
    http::{
        csrf,
        extract::{Browser, Form, Visit, give_cookies},
        pending::{Brought, Pending, known_as},
        render::{Page, PageName, answer, views},
        signing_in::{Destination, Purpose},
    },
    oauth::Parameters,
    risk::{Gate, Named, watch},
    sessions::{self, Proof, SignIn, SignedIn},
    unicode::name_key,
};

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let parameters = match Parameters::parse(request.query_string().as_bytes()) {
        Ok(parameters) => parameters,
        Err(error) => return answer::refusal(&app, &visit, &error),
    };
    let (request, confirm) = (parameters.get("request"), parameters.get("confirm"));
    let another = parameters.get("as") == Some("another");
    // Who signs in without this page goes where it would have led.
    let visit = match request {
        Some(_) => visit,
        None => visit.opened_as(&app, || Destination::path_of(confirm).to_owned()),
    };
    let (purpose, begun) = match Purpose::find(&app, &visit, request, Brought::Address, confirm, true).await {
        Ok(found) => found,
        Err(response) => return response,
    };
    if let Purpose::Request(pending) = &purpose
        // As another person, or as the same again: by the person's own choice.
        && parameters.get("as").is_none()
        && !needs_sign_in(&app, pending, &visit)
    {
        // A second tab, after the first has signed in.
        return answer::see_other(&purpose.next(&app));
    }
    let hint = match &purpose {
        Purpose::Request(pending) => pending.request.login_hint.clone(),
        Purpose::Own(..) => None,
    };
    let notice = parameters.get("done").and_then(notice);
    let shown = Shown { username: hint.unwrap_or_default(), another, notice, ..Shown::default() };
    let mut response = show(&app, &visit, &purpose, StatusCode::OK, shown);
    if let Some(cookie) = begun
        && let Err(error) = response.add_cookie(&cookie)
    {
        tracing::error!(%error, "visitor cookie");
    }
    response
}

/// What has just been done. Only known words: the address bar is not a place to put sentences into.
fn notice(done: &str) -> Option<&'static str> {
    (done == "set-up").then_some("The administrator is made. Now sign in.")
}

fn needs_sign_in(app: &App, pending: &Pending, visit: &Visit) -> bool {
    let standing = Standing {
        session: pending.browser.session.as_ref(),
        privilege: None,
        refusal: None,
        approval: None,
        is_own: false,
        known_as: known_as(app, &pending.client, pending.browser.session.as_ref()),
        consented: &[],
        is_impersonable: false,
        stored: Some(&pending.stored),
        now: visit.now,
    };
    decide(&pending.request, &standing) == Decision::SignIn
}

/// What the page says beside the form.
#[derive(Default)]
struct Shown {
    username: String,
    /// Somebody else than who is signed in is about to sign in.
    another: bool,
    notice: Option<&'static str>,
    error: Option<String>,
    retry_after: Option<u32>,
}

fn show(app: &App, visit: &Visit, purpose: &Purpose, status: StatusCode, shown: Shown) -> HttpResponse {
    let Shown { mut username, another, notice, error, retry_after } = shown;
    let (client, request) = match purpose {
        Purpose::Request(pending) => (
            Some(answer::client_view(&pending.client, Some(&pending.request.redirect_uri))),
            Some(pending.stored.id.to_string()),
        ),
        Purpose::Own(..) => (None, None),
    };
    // Who is to prove again who they are need not say it.
    let known = purpose.browser().signed_in().filter(|(_, user_id)| purpose.bound_to(app, another) == Some(*user_id));
    let user = known.map(|(session, _)| csrf::person(session));
    if let Some(user) = user.as_ref().filter(|_| username.is_empty()) {
        username.clone_from(&user.username);
    }
    let context = views::Login {
        action: app.config.issuer.url("/login"),
        csrf: purpose.csrf(app),
        request,
        confirm: purpose.confirm().map(|it| it.to.as_str().to_owned()),
        notice,
        signed_in: purpose
            .browser()
            .signed_in()
            .filter(|_| purpose.is_for_nothing_else())
            .map(|(it, _)| csrf::person(it)),
        required: purpose.confirm().filter(|_| user.is_some()).map(|it| it.required.as_str().to_owned()),
        client,
        user,
        another: another_address(app, purpose),
        passkey: purpose.passkey(app, another),
        username,
        error,
        retry_after: retry_after.map(u64::from),
        forgotten: app.config.issuer.url(&match purpose.request_id() {
            Some(id) => format!("/reset-password?request={id}"),
            None => "/reset-password".to_owned(),
        }),
        cancel: purpose.cancel(app),
    };
    let page = Page::new(PageName::Login)
        .status(status)
        .retry_after(retry_after.map(u64::from))
        .may_lead_elsewhere(context.client.is_some())
        .may_show(context.client.as_ref().and_then(|client| client.logo.as_deref()));
    answer::page(app, visit, page, &context)
}

/// Where somebody else signs in for the same purpose.
fn another_address(app: &App, purpose: &Purpose) -> String {
    app.config.issuer.url(&match purpose.request_id() {
        Some(id) => format!("/login?request={id}&as=another"),
        None => "/login".to_owned(),
    })
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    let form = form.0;
    let brought = Brought::Form(form.get("csrf"));
    let found = Purpose::find(&app, &visit, form.get("request"), brought, form.get("confirm"), false).await;
    let purpose = match found {
        Ok((purpose, _)) => purpose,
        Err(response) => return response,
    };
    if !purpose.csrf_fits(&app, &form) {
        return answer::refusal(&app, &visit, &csrf::out_of_date());
    }
    if purpose.takes_only_a_passkey(&app) {
        // The page has no such form: it is one of before the person had a passkey.
        let error = Some("Please use your passkey: a password is not enough for this.".to_owned());
        return show(&app, &visit, &purpose, StatusCode::FORBIDDEN, Shown { error, ..Shown::default() });
    }
    match attempt(&app, &visit, &purpose, &form).await {
        Ok(response) => response,
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}

async fn attempt(app: &App, visit: &Visit, purpose: &Purpose, form: &Parameters) -> Outcome<HttpResponse> {
    let username = form.get("username").unwrap_or_default().trim().to_owned();
    let password = form.get("password").unwrap_or_default().to_owned();
    if username.is_empty() || password.is_empty() || username.len() > 256 {
        let error = Some("Please enter your username and your password.".to_owned());
        let shown = Shown { username, error, ..Shown::default() };
        return Ok(show(app, visit, purpose, StatusCode::BAD_REQUEST, shown));
    }
    let guess = guess(app, visit, &username).await?;
    let turn = match guess.wait {
        None => app.passwords.turn(guess.caller(visit)).await?,
        Some(seconds) => return Ok(throttled(app, visit, purpose, username, seconds)),
    };
    // Counted and committed before the password is looked at; the connection is given back before hashing.
    let count = async |tx: &mut Tx| app.sources.count_password(tx, &guess.named).await.map_err(Failure::from);
    let admitted = match app.db.work(visit.now, &visit.trace, count).await? {
        Gate::Open(admitted) => admitted,
        Gate::Closed(seconds) => return Ok(throttled(app, visit, purpose, username, seconds)),
    };
    let stored = guess.found.as_ref().and_then(|(_, hash)| hash.clone());
    let verified = stored.clone();
    let verdict = match app.passwords.verify(&turn, password.clone(), stored).await {
        Ok(verdict) => verdict,
        Err(busy) => {
            // It was not looked at, so it was no guess.
            let take_back = async |tx: &mut Tx| app.sources.take_back(tx, &admitted).await.map_err(Failure::from);
            app.db.work(visit.now, &visit.trace, take_back).await?;
            return Err(busy.into());
        }
    };
    drop(turn);
    let user = guess.found.map(|(user, _)| user).filter(|user| user.disabled_at.is_none());
    // Whether it fits is not said where there were too many failures at the person: saying why would say that there is one.
    let Some(user) = user.filter(|_| verdict != PasswordVerdict::DoesNotFit && !admitted.is_over) else {
        let at = At { named: &guess.named, is_last: admitted.is_last, is_over: admitted.is_over };
        return refuse(app, visit, purpose, username, at).await;
    };
    let rehashed =
        if verdict == PasswordVerdict::FitsOldHash { Some(app.passwords.hash(password).await?) } else { None };
    let next = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            // It may have been changed while it was hashed, and whatever it had begun been ended.
            let held = users::hold_password(tx, user.id, verified.as_deref().unwrap_or_default()).await?;
            let Some(password) = held else { return Ok(None) };
            app.sources.forgive_password(tx, &admitted, &user).await?;
            if let (Some(phc), Some(verified)) = (&rehashed, &verified) {
                users::rehash_password(tx, user.id, verified, phc).await?;
            }
            let browser = purpose.browser();
            let fitted = Fitted {
                user: &user,
                phc: rehashed.as_deref().or(verified.as_deref()).unwrap_or_default(),
                request_id: purpose.request_id(),
                confirm: purpose.confirm().map(|it| it.to.as_str()),
            };
            if let Some(asked) = ask_for_code(app, tx, browser, &fitted).await? {
                return Ok(Some(asked));
            }
            let sign_in = SignIn {
                user: &user,
                proof: Proof::PASSWORD,
                with: &[password],
                request_id: purpose.request_id(),
                current: browser.session.as_ref(),
                outdated: browser.outdated_id(),
            };
            let signed_in = sessions::sign_in(tx, &sign_in, &app.config.sessions).await?;
            Ok::<_, Failure>(Some(Next { url: purpose.next(app), session: Some(signed_in), is_signed_in: true }))
        })
        .await?;
    let Some(next) = next else { return Box::pin(attempt(app, visit, purpose, form)).await };
    let mut response = answer::see_other(&next.url);
    if next.is_signed_in {
        watch::signed_in(watch::Method::Password);
    }
    if let Some(session) = next.session {
        give_cookies(&mut response, app, &session);
    }
    Ok(response)
}

/// A password that somebody gave, before it is looked at.
struct Guess {
    found: Option<(User, Option<String>)>,
    /// What guesses are counted by.
    named: Named,
    /// For how many seconds no such guess is looked at.
    wait: Option<u32>,
}

impl Guess {
    fn caller(&self, visit: &Visit) -> Caller {
        match self.named.device {
            Some(device) => Caller::known(device.as_bytes()),
            // By the name: two names of one person that waited for each other would say that there is one.
            None => Caller::stranger(visit.trace.source_hash.as_deref().unwrap_or_default(), &self.named.key),
        }
    }
}

/// The same statements, whether there is such a person or not.
async fn guess(app: &App, visit: &Visit, username: &str) -> Outcome<Guess> {
    app.db
        .single(visit.now, &visit.trace, async |tx| {
            let found = users::find_with_password(tx, username).await?;
            let person = found.as_ref().map(|(user, _)| user.id);
            let device = sessions::find_device(tx, person.unwrap_or_default()).await?;
            let named = Named { key: name_key(username), person, device };
            let wait = app.sources.wait(tx, &named).await?;
            Ok::<_, Failure>(Guess { found, named, wait })
        })
        .await
}

fn throttled(app: &App, visit: &Visit, purpose: &Purpose, username: String, seconds: u32) -> HttpResponse {
    crate::metrics::refused("sign_in_throttled");
    watch::throttled(watch::Method::Password);
    let error = "There were too many attempts from here, or at this account.";
    let shown = Shown { username, error: Some(error.to_owned()), retry_after: Some(seconds), ..Shown::default() };
    show(app, visit, purpose, StatusCode::TOO_MANY_REQUESTS, shown)
}

/// Where the password has led, and the session that the browser goes on in, where that is another one.
struct Next {
    url: String,
    session: Option<SignedIn>,
    /// Whether the password was all that it took.
    is_signed_in: bool,
}

/// Asks for a code after the password, where the person has an authenticator app. `None`: the password is all.
async fn ask_for_code(app: &App, tx: &mut Tx, browser: &Browser, fitted: &Fitted<'_>) -> Outcome<Option<Next>> {
    let page = |ceremony| app.config.issuer.url(&format!("/second-factor?ceremony={ceremony}"));
    if let Some(session) = &browser.session {
        let asked = second_factor::ask(tx, session.id, fitted).await?;
        return Ok(asked.map(|ceremony| Next { url: page(ceremony), session: None, is_signed_in: false }));
    }
    if !second_factor::is_asked_of(tx, fitted.user.id).await? {
        return Ok(None);
    }
    // The session that the form was shown in has ended meanwhile: what waits in it goes on in another one.
    let session = sessions::start_visitor(tx, &app.config.sessions).await?;
    if let Some(outdated) = browser.outdated_id()
        && session_rows::find_live(tx, outdated).await?.is_none()
    {
        authorization_requests::follow_lineage(tx, outdated, session.id).await?;
    }
    let asked = second_factor::ask(tx, session.id, fitted).await?;
    let begun = SignedIn { session_id: session.id, generation: session.secret_generation, device: None };
    Ok(asked.map(|ceremony| Next { url: page(ceremony), session: Some(begun), is_signed_in: false }))
}

/// What was guessed at.
struct At<'a> {
    named: &'a Named,
    /// Whether there have been as many as may be: the person is written to.
    is_last: bool,
    /// Whether there have been more.
    is_over: bool,
}

/// One answer, whether the person exists or not, and whether their password was looked at or not.
async fn refuse(app: &App, visit: &Visit, purpose: &Purpose, username: String, at: At<'_>) -> Outcome<HttpResponse> {
    let reason = if at.is_over { "throttled" } else { "wrong_credentials" };
    app.db
        .work(visit.now, &visit.trace, async |tx| {
            let session = purpose.browser().session.as_ref();
            let subject = session.map(sessions::subject).unwrap_or_default();
            let subject = Subject { user_id: at.named.person, ..subject };
            let hashed = app.sources.hash(&at.named.key);
            let event = Event::refused(Action::SignIn, Actor::Visitor, subject, reason);
            // The name as a keyed hash: people type their password there.
            audit::record(tx, event.detail(serde_json::json!({ "account": crate::jose::base64url(&hashed) })));
            if at.is_last {
                guessing::warn(tx, &app.sources, at.named).await?;
            }
            Ok::<_, Failure>(())
        })
        .await?;
    crate::metrics::refused(reason);
    watch::refused(watch::Method::Password, &visit.trace, reason);
    let error = Some("Username or password is not right.".to_owned());
    let shown = Shown { username, error, ..Shown::default() };
    Ok(show(app, visit, purpose, StatusCode::UNAUTHORIZED, shown))
}
