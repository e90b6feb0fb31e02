//! The code after the password. It returns to what the password was given for.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};
use uuid::Uuid;

use crate::{
    app::App,
    authentication::{
        freshness::Required,
        guessing,
        second_factor::{self, Answer},
    },
    db::{
        Outcome, Tx,
        ceremonies::{self, Purpose as Asked},
        sessions as session_rows,
    },
    failure::Failure,
    http::{
        csrf,
        extract::{Browser, Form, Visit, give_cookies},
        pending::{Brought, address},
        render::{Page, PageName, answer, views},
        signing_in::{Destination, Purpose},
    },
    oauth::Parameters,
    risk::{Admitted, Gate, watch},
    sessions::{self, SignIn, SignedIn},
};

/// A code that is asked for, and of whom.
struct Question {
    ceremony: Uuid,
    user_id: Uuid,
    purpose: Purpose,
    /// The page asks for a recovery code, not for one of the app. Either is taken, whichever page it was typed into.
    recovery: bool,
}

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let parameters = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    match question(&app, &visit, &parameters).await {
        Ok(question) => show(&app, &visit, &question, StatusCode::OK, None, None),
        Err(response) => response,
    }
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    let form = form.0;
    let answered = match question(&app, &visit, &form).await {
        Ok(question) => attempt(&app, &visit, &question, &form).await,
        Err(response) => again(&app, &visit, &form, None).await.map(|again| again.unwrap_or(response)),
    };
    answered.unwrap_or_else(|failure| answer::failure(&app, &visit, &failure))
}

/// What this browser was asked. `Err`: what to show instead.
async fn question(app: &App, visit: &Visit, sent: &Parameters) -> Result<Question, HttpResponse> {
    let Some(id) = sent.get("ceremony").and_then(|id| id.parse::<Uuid>().ok()) else { return Err(gone(app, visit)) };
    let found = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let Some(session) = Browser::find(app, visit, tx).await?.session else { return Ok(None) };
            ceremonies::find(tx, id, session.id, Asked::SecondFactor).await.map_err(Failure::from)
        })
        .await
        .map_err(|failure| answer::failure(app, visit, &failure))?;
    let Some((asked, user_id)) = found.and_then(|asked| asked.user_id.map(|user_id| (asked, user_id))) else {
        return Err(gone(app, visit));
    };
    let request = asked.request_id.map(|id| id.to_string());
    let (request, confirm) = (request.as_deref(), asked.state["confirm"].as_str());
    let (purpose, _) = Purpose::find(app, visit, request, Brought::Nothing, confirm, false).await?;
    let takes_nothing_else = purpose.confirm().is_some_and(|confirm| confirm.required == Required::RecoveryCode);
    let recovery = takes_nothing_else || sent.get("by") == Some("recovery");
    Ok(Question { ceremony: id, user_id, purpose, recovery })
}

async fn attempt(app: &App, visit: &Visit, question: &Question, form: &Parameters) -> Outcome<HttpResponse> {
    let Some(session) = &question.purpose.browser().session else {
        return Ok(again(app, visit, form, None).await?.unwrap_or_else(|| gone(app, visit)));
    };
    csrf::check(app, session, form)?;
    let typed = form.get("code").unwrap_or_default().trim();
    if typed.is_empty() || typed.len() > 64 {
        return Ok(show(app, visit, question, StatusCode::BAD_REQUEST, Some("Please enter the code."), None));
    }
    let buckets = match count(app, visit, question.user_id).await? {
        Gate::Open(buckets) => buckets,
        Gate::Closed(seconds) => {
            crate::metrics::refused("second_factor_throttled");
            watch::throttled(watch::Method::SecondFactor);
            let error = "Too many attempts. Please wait a moment before you try again.";
            return Ok(show(app, visit, question, StatusCode::TOO_MANY_REQUESTS, Some(error), Some(seconds)));
        }
    };
    let answered = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            let (user, proof, with) =
                match second_factor::take(tx, &app.codes, question.ceremony, session, typed).await? {
                    Answer::Right(user, proof, with) => (user, proof, with),
                    Answer::Wrong => return Ok(Err(Some(()))),
                    Answer::Over | Answer::Gone => return Ok(Err(None)),
                };
            app.sources.forgive(tx, &buckets).await?;
            let sign_in = SignIn {
                user: &user,
                proof,
                with: &with,
                request_id: question.purpose.request_id(),
                current: Some(session),
                outdated: None,
            };
            let signed_in = sessions::sign_in(tx, &sign_in, &app.config.sessions).await?;
            second_factor::note(tx, question.ceremony, &user, typed, signed_in.session_id).await?;
            Ok::<_, Failure>(Ok(signed_in))
        })
        .await?;
    Ok(match answered {
        Ok(signed_in) => {
            watch::signed_in(watch::Method::SecondFactor);
            welcome(app, &question.purpose.next(app), &signed_in)
        }
        Err(Some(())) => {
            crate::metrics::refused("wrong_code");
            watch::refused(watch::Method::SecondFactor, &visit.trace, "wrong_code");
            show(
                app,
                visit,
                question,
                StatusCode::UNAUTHORIZED,
                Some("That code is not right, or was used before."),
                None,
            )
        }
        Err(None) => {
            // It may have been answered while this one waited.
            if let Some(response) = again(app, visit, form, Some(buckets)).await? {
                return Ok(response);
            }
            crate::metrics::refused("wrong_code");
            watch::refused(watch::Method::SecondFactor, &visit.trace, "code_expired");
            gone(app, visit)
        }
    })
}

/// The form was sent twice, and the first has signed somebody in: the second gets the same cookie, so that it does not matter
/// which answer the browser keeps. It is one of this browser's forms, and counted like any other; `counted`: it was.
async fn again(
    app: &App,
    visit: &Visit,
    form: &Parameters,
    counted: Option<Admitted>,
) -> Outcome<Option<HttpResponse>> {
    let Some(ceremony) = form.get("ceremony").and_then(|id| id.parse::<Uuid>().ok()) else { return Ok(None) };
    let found = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let browser = Browser::find(app, visit, tx).await?;
            let outdated = browser.outdated.map(|outdated| (outdated.session_id, outdated.generation));
            let here = browser.session.map(|session| (session.id, session.secret_generation));
            let Some((asked, generation)) = outdated.or(here) else { return Ok(None) };
            if !csrf::fits_lately(app, asked, generation, form) {
                return Ok(None);
            }
            second_factor::find_answered(tx, ceremony, asked).await.map_err(Failure::from)
        })
        .await?;
    let Some(answered) = found else { return Ok(None) };
    let counted = match counted {
        Some(counted) => counted,
        None => count(app, visit, answered.user_id).await?.or_later("too many attempts; please wait a moment")?,
    };
    let Some(became) = answered.became(form.get("code").unwrap_or_default()) else { return Ok(None) };
    let session = app
        .db
        .work(visit.now, &visit.trace, async |tx| {
            app.sources.forgive(tx, &counted).await?;
            session_rows::find_live(tx, became).await.map_err(Failure::from)
        })
        .await?;
    let Some(session) = session else { return Ok(None) };
    let question = answered.question;
    let confirmed = question.state["confirm"].as_str().and_then(Destination::parse);
    let next = question.request_id.map_or_else(|| Destination::url(confirmed, app), |id| address(app, id));
    let signed_in = SignedIn { session_id: session.id, generation: session.secret_generation, device: None };
    Ok(Some(welcome(app, &next, &signed_in)))
}

/// Counts a code, committed before it is looked at.
async fn count(app: &App, visit: &Visit, user_id: Uuid) -> Outcome<Gate> {
    let count = async |tx: &mut Tx| guessing::count_code(tx, &app.sources, user_id).await.map_err(Failure::from);
    app.db.work(visit.now, &visit.trace, count).await
}

fn welcome(app: &App, next: &str, signed_in: &SignedIn) -> HttpResponse {
    let mut response = answer::see_other(next);
    give_cookies(&mut response, app, signed_in);
    response
}

fn show(
    app: &App,
    visit: &Visit,
    question: &Question,
    status: StatusCode,
    error: Option<&str>,
    retry_after: Option<u32>,
) -> HttpResponse {
    let client = match &question.purpose {
        Purpose::Request(pending) => Some(answer::client_view(&pending.client, Some(&pending.request.redirect_uri))),
        Purpose::Own(..) => None,
    };
    let retry_after = retry_after.map(u64::from);
    let context = views::SecondFactor {
        action: app.config.issuer.url("/second-factor"),
        csrf: question.purpose.browser().session.as_ref().map(|session| csrf::token(app, session)).unwrap_or_default(),
        ceremony: question.ceremony.to_string(),
        recovery: question.recovery,
        other: other_address(app, question),
        back: back_address(app, &question.purpose),
        client,
        cancel: question.purpose.cancel(app),
        error: error.map(str::to_owned),
        retry_after,
    };
    let page = Page::new(PageName::SecondFactor)
        .status(status)
        .retry_after(retry_after)
        .may_lead_elsewhere(context.client.is_some())
        .may_show(context.client.as_ref().and_then(|client| client.logo.as_deref()));
    answer::page(app, visit, page, &context)
}

/// The page that asks for the other kind of code.
fn other_address(app: &App, question: &Question) -> String {
    let by = if question.recovery { "" } else { "&by=recovery" };
    app.config.issuer.url(&format!("/second-factor?ceremony={}{by}", question.ceremony))
}

/// Where a person goes who gives up; `None` where an authorization request waits, which has a way out of its own.
fn back_address(app: &App, purpose: &Purpose) -> Option<String> {
    match purpose {
        Purpose::Request(_) => None,
        Purpose::Own(browser, _) if browser.signed_in().is_some() => Some(app.config.issuer.url("/account")),
        Purpose::Own(..) => Some(app.config.issuer.url("/login")),
    }
}

/// Answered, too old, given up, or another browser's.
fn gone(app: &App, visit: &Visit) -> HttpResponse {
    let message = "It has expired, there were too many wrong codes, or it was begun in another browser.";
    let hint = "Go back to where you came from and sign in from there.";
    answer::error_page(
        app,
        visit,
        StatusCode::BAD_REQUEST,
        "This sign-in cannot be continued",
        message,
        Some(hint),
        None,
    )
}
