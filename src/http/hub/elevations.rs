//! Deciding about other people's privileged work, and reviewing what somebody did without asking.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};
use uuid::Uuid;

use super::{Admitted, Page as HubPage, admit, closed, navigation};
use crate::{
    app::App,
    config::builtin::HUB_ELEVATIONS,
    db::{
        Outcome, Tx,
        elevation_lists::{self, ListedElevation, Which},
        sessions,
    },
    elevations::{self, Verdict},
    failure::Failure,
    http::{
        csrf,
        extract::{Form, Visit},
        render::{Moment, Page, PageName, answer, views},
        scope_names::describe,
    },
    oauth::{Error, Parameters},
};

pub static PAGE: HubPage = HubPage { name: "elevations", title: "Elevations", scope: HUB_ELEVATIONS };

/// As many as a person can look through.
const LONGEST_LIST: i64 = 100;
const SETTLED: i64 = 20;
const LONGEST_NOTE: usize = 500;

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let parameters = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    match admit(&app, &visit, &PAGE, parameters.get("proved").is_some()).await {
        Ok(admitted) => show(&app, &visit, &admitted, parameters.get("done").and_then(notice), None).await,
        Err(response) => response,
    }
}

/// What has just been done. Only known words: the address bar is not a place to put sentences into.
fn notice(done: &str) -> Option<&'static str> {
    match done {
        "approve" => Some("Approved. They can go on now."),
        "refuse" => Some("Refused. They are told."),
        "review" => Some("The review is closed."),
        _ => None,
    }
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    let admitted = match admit(&app, &visit, &PAGE, true).await {
        Ok(admitted) => admitted,
        Err(response) => return response,
    };
    if let Err(error) = csrf::check(&app, &admitted.session, &form.0) {
        return answer::refusal(&app, &visit, &error);
    }
    match run(&app, &visit, &admitted, &form.0).await {
        Ok(Done::So(what)) => answer::see_other(&format!("{}?done={what}", PAGE.address(&app))),
        Ok(Done::TooLate) => {
            let error = "That is not open any more: it was decided, taken back or lapsed, or it is your own.";
            show(&app, &visit, &admitted, None, Some(error)).await
        }
        Ok(Done::Unsaid) => {
            show(&app, &visit, &admitted, None, Some("Please say in at most 500 characters what you found.")).await
        }
        Ok(Done::Over) => closed(&app, &visit, &PAGE, "Your privileged session is not there any more."),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}

enum Done {
    So(&'static str),
    TooLate,
    /// A note is missing, or too long.
    Unsaid,
    /// The privileged session ended meanwhile.
    Over,
}

async fn run(app: &App, visit: &Visit, admitted: &Admitted, form: &Parameters) -> Outcome<Done> {
    let id: Uuid = form.require("elevation")?.parse().map_err(|_| Error::invalid_request("elevation is not an id"))?;
    let what = match form.get("decision") {
        Some("approve") => "approve",
        Some("refuse") => "refuse",
        Some("review") => "review",
        _ => return Err(Error::invalid_request("decision must be approve, refuse or review").into()),
    };
    let note = form.get("note").map(str::trim).filter(|note| !note.is_empty());
    let is_long = note.is_some_and(|note| note.chars().count() > LONGEST_NOTE || note.chars().any(char::is_control));
    if is_long || (what == "review" && note.is_none()) {
        return Ok(Done::Unsaid);
    }
    app.db
        .work(visit.now, &visit.trace, async |tx| {
            // Whoever ends this session at this moment ends it before the decision or after, not beside it.
            if !sessions::lock_open(tx, admitted.privileged.id).await? {
                return Ok(Done::Over);
            }
            let decided = decide(tx, id, admitted, what, note).await?;
            Ok::<_, Failure>(if decided { Done::So(what) } else { Done::TooLate })
        })
        .await
}

async fn decide(tx: &mut Tx, id: Uuid, admitted: &Admitted, what: &str, note: Option<&str>) -> Outcome<bool> {
    let Admitted { user_id, privileged, .. } = admitted;
    if what == "review" {
        return Ok(elevations::review(tx, id, privileged, *user_id, note).await?.is_some());
    }
    let verdict =
        Verdict { approver_id: *user_id, approver_session_id: privileged.id, approve: what == "approve", note };
    Ok(elevations::decide(tx, id, privileged, &verdict).await?.is_some())
}

async fn show(
    app: &App,
    visit: &Visit,
    admitted: &Admitted,
    notice: Option<&'static str>,
    error: Option<&'static str>,
) -> HttpResponse {
    let found = app
        .db
        .single(visit.now, &visit.trace, async |tx| {
            let waiting = elevation_lists::load(tx, Which::Waiting, LONGEST_LIST).await?;
            let reviews = elevation_lists::load(tx, Which::ToReview, LONGEST_LIST).await?;
            let settled = elevation_lists::load(tx, Which::Settled, SETTLED).await?;
            Ok::<_, Failure>((waiting, reviews, settled))
        })
        .await;
    let (waiting, reviews, settled) = match found {
        Ok(found) => found,
        Err(failure) => return answer::failure(app, visit, &failure),
    };
    let all = |rows: Vec<ListedElevation>| rows.into_iter().map(|row| item(app, visit, admitted, row)).collect();
    let context = views::HubElevations {
        pages: navigation(app, &PAGE),
        action: PAGE.address(app),
        csrf: csrf::token(app, &admitted.session),
        user: csrf::person(&admitted.session),
        notice,
        error,
        waiting: all(waiting),
        reviews: all(reviews),
        settled: all(settled),
    };
    let status = if error.is_some() { StatusCode::CONFLICT } else { StatusCode::OK };
    answer::page(app, visit, Page::new(PageName::HubElevations).status(status), &context)
}

fn item(app: &App, visit: &Visit, admitted: &Admitted, row: ListedElevation) -> views::HubElevation {
    let ListedElevation { elevation: it, name, client_name, device, place, reviewer, review_note } = row;
    let (outcome, by, note, at) = if it.reviewed_at.is_some() {
        ("Reviewed", reviewer, review_note, it.reviewed_at)
    } else if it.break_glass_at.is_some() {
        ("Break-glass", None, None, it.break_glass_at)
    } else if it.refused_at.is_some() {
        ("Refused", it.approver, it.note, it.refused_at)
    } else if it.voided_at.is_some() {
        (
            if it.approved_at.is_some() { "Approved, not used" } else { "Came to nothing" },
            it.approver,
            it.note,
            it.voided_at,
        )
    } else if it.used_at.is_some() {
        ("Approved, used", it.approver, it.note, it.approved_at)
    } else {
        ("Approved", it.approver, it.note, it.approved_at)
    };
    views::HubElevation {
        id: it.id.to_string(),
        person: views::Person { username: it.username, name },
        own: it.user_id == admitted.user_id,
        client: client_name.unwrap_or(it.client_id),
        scopes: it.scope.iter().map(|name| describe(app, name)).collect(),
        reason: it.reason,
        minutes: it.minutes,
        device,
        place,
        asked_at: Moment::new(it.created_at, visit.now),
        expires_at: Moment::new(it.expires_at, visit.now),
        outcome,
        used: it.used_at.is_some(),
        by,
        note,
        at: at.map(|at| Moment::new(at, visit.now)),
    }
}
