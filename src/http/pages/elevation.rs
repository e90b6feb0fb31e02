//! Asking for a second person's approval, and waiting for it. Whoever has it goes on with the request at hand.
//!
//! Who may not have the scope at all does not get here: neither to ask, which others would have to look at, nor to break the
//! glass. Whether they have it in the end is decided anew when the request goes on.

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web::Data};
use uuid::Uuid;

use crate::{
    app::App,
    authentication::Demand,
    db::{Outcome, Tx, elevation_approvals, elevation_requests, privileged_sessions, sessions::LiveSession},
    elevations::{self, Approvers, Asked, Elevation, Need, NewElevation, Reach},
    failure::Failure,
    http::{
        access,
        csrf::person,
        extract::{Form, Visit},
        pending::{Pending, back, opened, sent},
        render::{Moment, PageName, answer, views},
        scope_names::describe,
    },
    oauth::{Acr, Error, Parameters},
};

/// Longer reasons are not read.
const LONGEST_REASON: usize = 500;

/// Somebody who may ask here: the scope is for them, here and now, and they have proved who they are for this request, or
/// lately for this client.
struct Asking<'a> {
    pending: &'a Pending,
    demand: &'a Demand,
    session: &'a LiveSession,
    user_id: Uuid,
    /// The latest of theirs for this request.
    latest: Option<Elevation>,
    /// Whom mail reaches of those who may approve, and of the administrators.
    reach: [Reach; 2],
}

/// What was written into the form.
#[derive(Default)]
struct Written<'a> {
    reason: &'a str,
    minutes: &'a str,
    error: Option<&'static str>,
    /// The page that asks once more before somebody goes on alone.
    emergency: bool,
}

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let pending = match opened(&app, &visit, &request).await {
        Ok(pending) => pending,
        Err(response) => return response,
    };
    let parameters = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    let emergency = parameters.get("emergency").is_some();
    match asking(&app, &visit, &pending).await {
        Ok(Some(asking)) => show(&app, &visit, &asking, &Written { emergency, ..Written::default() }),
        Ok(None) => back(&app, &pending),
        Err(failure) => answer::failure(&app, &visit, &failure),
    }
}

pub async fn post(app: Data<App>, visit: Visit, form: Form) -> HttpResponse {
    let form = form.0;
    let pending = match sent(&app, &visit, &form).await {
        Ok(pending) => pending,
        Err(response) => return response,
    };
    let done = match asking(&app, &visit, &pending).await {
        Ok(Some(asking)) => run(&app, &visit, &asking, &form).await,
        Ok(None) => Ok(back(&app, &pending)),
        Err(failure) => Err(failure),
    };
    done.unwrap_or_else(|failure| answer::failure(&app, &visit, &failure))
}

/// `None`: there is nothing to ask for, or not yet; the request says what comes next.
async fn asking<'a>(app: &App, visit: &Visit, pending: &'a Pending) -> Outcome<Option<Asking<'a>>> {
    let Some((session, user_id)) = pending.browser.signed_in() else { return Ok(None) };
    let Some(demand) = pending.request.demand.as_ref().filter(|demand| demand.four_eyes) else { return Ok(None) };
    let approvers = Approvers::of(&app.config.scopes);
    let request_id = pending.stored.id;
    app.db
        .work(visit.now, &visit.trace, async |tx| {
            let found = privileged_sessions::find_privilege(tx, &pending.client.id, user_id, session.root_id).await?;
            // The request leads to the page that says why, and notes it.
            let may = access::judge(visit, &found.who, demand).is_ok();
            if !may || !(is_proved(pending, user_id, demand) || found.step_up.is_some()) {
                return Ok(None);
            }
            elevations::void_fallen(tx, &approvers, Some(request_id), 1).await?;
            let need = Need {
                request_id: Some(request_id),
                user_id,
                session_id: session.root_id,
                client_id: &pending.client.id,
                scope: &demand.scope,
            };
            if elevation_approvals::find_approval(tx, &approvers, &need).await?.is_some() {
                return Ok(None);
            }
            let latest = elevation_requests::find_of_request(tx, request_id, user_id).await?;
            let reach =
                [Reach::of_approvers(tx, &approvers, user_id).await?, Reach::of_administrators(tx, user_id).await?];
            Ok(Some(Asking { pending, demand, session, user_id, latest, reach }))
        })
        .await
}

/// Whether the person has proved themselves for this very request, as strongly as it takes; how lately is looked at when it
/// goes on.
fn is_proved(pending: &Pending, user_id: Uuid, demand: &Demand) -> bool {
    let proved = pending.stored.proved_acr.as_deref().and_then(|acr| acr.parse::<Acr>().ok());
    pending.stored.proved_by == Some(user_id) && proved.is_some_and(|acr| acr.satisfies(demand.acr))
}

async fn run(app: &App, visit: &Visit, asking: &Asking<'_>, form: &Parameters) -> Outcome<HttpResponse> {
    let here = || answer::see_other(&address(app, asking));
    let open = asking.open().map(|elevation| elevation.id);
    let decision = form.get("decision");
    match (decision, open) {
        // Somebody has refused: that is the end of it.
        (Some("ask" | "break-glass"), None) if asking.refused().is_some() => Ok(here()),
        (Some("ask"), None) => ask(app, visit, asking, form, false).await,
        // Asked twice: a form sent twice, a second tab.
        (Some("ask"), Some(_)) => Ok(here()),
        (Some("break-glass"), _) if !asking.demand.break_glass => {
            Err(Error::invalid_request("this cannot be had without a second person").into())
        }
        (Some("break-glass"), None) => ask(app, visit, asking, form, true).await,
        (Some("break-glass"), Some(id)) => {
            let work = async |tx: &mut Tx| elevations::break_glass(tx, id, asking.user_id).await.map_err(Failure::from);
            app.db.work(visit.now, &visit.trace, work).await?;
            Ok(here())
        }
        (Some("withdraw"), _) => {
            app.db.work(visit.now, &visit.trace, async |tx| withdraw(tx, asking).await).await?;
            Ok(here())
        }
        (Some("leave"), _) => {
            app.db
                .work(visit.now, &visit.trace, async |tx| {
                    withdraw(tx, asking).await?;
                    asking.pending.deny(tx).await
                })
                .await?;
            Ok(back(app, asking.pending))
        }
        _ => Err(Error::invalid_request("decision must be ask, break-glass, withdraw or leave").into()),
    }
}

async fn withdraw(tx: &mut Tx, asking: &Asking<'_>) -> Outcome<()> {
    if let Some(open) = asking.open() {
        elevations::withdraw(tx, open.id, asking.user_id).await?;
    }
    Ok(())
}

async fn ask(
    app: &App,
    visit: &Visit,
    asking: &Asking<'_>,
    form: &Parameters,
    break_glass: bool,
) -> Outcome<HttpResponse> {
    let mut written = Written {
        reason: form.get("reason").unwrap_or_default().trim(),
        minutes: form.get("minutes").unwrap_or_default().trim(),
        error: None,
        emergency: break_glass,
    };
    let minutes = match asking.read(&written) {
        Ok(minutes) => minutes,
        Err(error) => {
            written.error = Some(error);
            return Ok(show(app, visit, asking, &written));
        }
    };
    let new = NewElevation {
        session_id: asking.session.root_id,
        request_id: asking.pending.stored.id,
        user_id: asking.user_id,
        client_id: &asking.pending.client.id,
        scope: &asking.demand.scope,
        reason: written.reason,
        minutes,
        break_glass,
    };
    let approvers = Approvers::of(&app.config.scopes);
    let work = async |tx: &mut Tx| elevations::ask(tx, &approvers, &new).await.map_err(Failure::from);
    let asked = app.db.work(visit.now, &visit.trace, work).await?;
    Ok(match asked {
        Asked::New(_) | Asked::Already => answer::see_other(&address(app, asking)),
        Asked::TooMany => {
            written.error = Some("You wait for too many approvals. Take some back, or wait for an answer.");
            show(app, visit, asking, &written)
        }
    })
}

fn address(app: &App, asking: &Asking<'_>) -> String {
    app.config.issuer.url(&format!("/elevation?request={}", asking.pending.stored.id))
}

impl Asking<'_> {
    /// What waits for a decision.
    fn open(&self) -> Option<&Elevation> {
        self.latest.as_ref().filter(|latest| latest.is_undecided())
    }

    fn refused(&self) -> Option<&Elevation> {
        self.latest.as_ref().filter(|latest| latest.refused_at.is_some())
    }

    /// How long the privileged session may live.
    fn longest(&self) -> i64 {
        self.demand.duration.num_minutes().max(1)
    }

    /// The minutes asked for, where everything that was written will do; else what is to be mended.
    fn read(&self, written: &Written<'_>) -> Result<i32, &'static str> {
        if written.reason.is_empty() {
            return Err("Please say why you need it: somebody has to decide about it.");
        }
        if written.reason.chars().count() > LONGEST_REASON || written.reason.chars().any(char::is_control) {
            return Err("Please say it in at most 500 characters, on one line.");
        }
        match written.minutes.parse::<i32>() {
            Ok(minutes) if minutes > 0 && i64::from(minutes) <= self.longest() => Ok(minutes),
            _ => Err("Please give a number of minutes that is not more than what is possible here."),
        }
    }
}

fn show(app: &App, visit: &Visit, asking: &Asking<'_>, written: &Written<'_>) -> HttpResponse {
    let Asking { pending, demand, .. } = asking;
    let waiting = asking.open();
    let refused = asking.refused();
    let state = match (waiting, refused) {
        (None, Some(_)) => "refused",
        _ if written.emergency && demand.break_glass => "emergency",
        (Some(_), _) => "waiting",
        (None, None) => "ask",
    };
    let fallen = asking.latest.as_ref().and_then(|latest| latest.void_reason.as_deref()).and_then(|why| match why {
        "lapsed" => Some("Nobody has decided in time. You can ask again."),
        "approver_lost_rights" => {
            Some("Whoever agreed may not decide any more, so it does not count. You can ask again.")
        }
        "break_glass_off" => Some("This cannot be had without a second person any more. You can ask for approval."),
        _ => None,
    });
    let context = views::Elevation {
        action: app.config.issuer.url("/elevation"),
        again: address(app, asking),
        emergency: demand.break_glass.then(|| format!("{}&emergency=yes", address(app, asking))),
        is_asked: waiting.is_some(),
        csrf: pending.csrf(app),
        request: pending.stored.id.to_string(),
        client: answer::client_view(&pending.client, Some(&pending.request.redirect_uri)),
        user: person(asking.session),
        scopes: demand.scope.iter().map(|name| describe(app, name)).collect(),
        state,
        error: written.error.or(fallen).map(str::to_owned),
        reason: waiting.map_or(written.reason, |waiting| waiting.reason.as_str()).to_owned(),
        minutes: match waiting {
            Some(waiting) => i64::from(waiting.minutes),
            None => written.minutes.parse().unwrap_or_else(|_| asking.longest()),
        },
        longest: asking.longest(),
        approvers: asking.reach[0].as_str(),
        administrators: asking.reach[1].as_str(),
        asked_at: waiting.map(|waiting| Moment::new(waiting.created_at, visit.now)),
        expires_at: waiting.map(|waiting| Moment::new(waiting.expires_at, visit.now)),
        decided_by: refused.and_then(|refused| refused.approver.clone()),
        note: refused.and_then(|refused| refused.note.clone()),
    };
    let status = if written.error.is_some() { StatusCode::BAD_REQUEST } else { StatusCode::OK };
    let page = pending.page(PageName::Elevation).status(status);
    answer::page(app, visit, page, &context)
}
