//! Answers for browsers: redirects, form posts and error pages.

use std::{borrow::Cow, collections::BTreeSet, fmt::Write as _};

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde::Serialize;

use super::{
    Page, PageName,
    json::{self, SOON},
    last_resort, views,
};
use crate::{
    app::App,
    authorize::{Carrier, Response},
    clients::Client,
    failure::{Broken, Failure},
    http::{
        crowded,
        csrf::OUT_OF_DATE,
        extract::{Lock, Visit},
        refusals,
    },
    metrics,
    oauth::{Error, TrustedRedirectUri, client_metadata::is_loopback},
};

/// 303: whatever the method was, the browser goes on with GET (RFC 9700 §4.12).
pub fn see_other(location: &str) -> HttpResponse {
    HttpResponse::SeeOther()
        .insert_header((header::LOCATION, location))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .insert_header((header::REFERRER_POLICY, "no-referrer"))
        .finish()
}

/// The answer to an authorization request, the way the relying party listens.
pub fn respond(app: &App, visit: &Visit, client: &Client, response: &Response) -> HttpResponse {
    match sealed(app, visit, client, response) {
        Ok(response) => carry(app, visit, client, &response),
        Err(broken) => failure(app, visit, &broken.into()),
    }
}

/// The same answer on a page, for a person to go back with.
pub fn leave(app: &App, visit: &Visit, client: &Client, response: &Response) -> Result<views::Leave, Broken> {
    let response = sealed(app, visit, client, response)?;
    Ok(match response.mode.carrier {
        Carrier::Query | Carrier::Fragment => views::Leave { address: response.location(), fields: Vec::new() },
        Carrier::FormPost => {
            views::Leave { address: response.redirect_uri.as_str().to_owned(), fields: fields(&response) }
        }
    })
}

/// As one JWT, where the client asks for that.
fn sealed<'r>(app: &App, visit: &Visit, client: &Client, response: &'r Response) -> Result<Cow<'r, Response>, Broken> {
    if !response.mode.is_jwt {
        return Ok(Cow::Borrowed(response));
    }
    let algorithm = client.response_signing_algorithm();
    let jwt = app.mint.authorization_response(algorithm, &client.id, &response.parameters, visit.now)?;
    Ok(Cow::Owned(response.sealed(jwt)))
}

fn fields(response: &Response) -> Vec<(String, String)> {
    response.parameters.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn carry(app: &App, visit: &Visit, client: &Client, response: &Response) -> HttpResponse {
    match response.mode.carrier {
        Carrier::Query | Carrier::Fragment => see_other(&response.location()),
        Carrier::FormPost => {
            let context = views::FormPost {
                action: response.redirect_uri.as_str().to_owned(),
                fields: fields(response),
                client: Some(client_view(client, None)),
            };
            page(app, visit, Page::new(PageName::FormPost).may_lead_elsewhere(true), &context)
        }
    }
}

/// A page; the last resort where even that fails.
pub fn page(app: &App, visit: &Visit, page: Page, context: &impl Serialize) -> HttpResponse {
    page.respond(&app.templates, context).unwrap_or_else(|broken| {
        tracing::error!(request_id = %visit.trace.request_id, %broken, "page");
        last_resort(StatusCode::INTERNAL_SERVER_ERROR, &visit.trace.request_id)
    })
}

/// An error page in a person's words.
pub fn failure(app: &App, visit: &Visit, failure: &Failure) -> HttpResponse {
    match failure {
        Failure::Refused(error) => refusal(app, visit, error),
        Failure::Broken(broken) => {
            refusals::log_broken(visit, broken);
            let (status, message) = if broken.is_retryable() {
                (StatusCode::SERVICE_UNAVAILABLE, "The server cannot answer right now. Please try again in a moment.")
            } else {
                (StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side. It has been noted.")
            };
            let mut response = error_page(app, visit, status, "That did not work", message, None, None);
            if broken.is_retryable() {
                response.headers_mut().insert(header::RETRY_AFTER, SOON.into());
            }
            response
        }
    }
}

/// A refusal that cannot be told to a relying party.
pub fn refusal(app: &App, visit: &Visit, error: &Error) -> HttpResponse {
    refusal_of(app, visit, None, error)
}

/// The same, of this client's request.
pub fn refusal_of(app: &App, visit: &Visit, client: Option<&str>, error: &Error) -> HttpResponse {
    metrics::refused(error.code.as_str());
    refusals::log(visit, client, error);
    if let Some(page) = crowded::page(app, visit, error) {
        return page;
    }
    let status = if error.retry_after.is_some() { StatusCode::TOO_MANY_REQUESTS } else { StatusCode::BAD_REQUEST };
    let (title, hint) = match error.retry_after {
        Some(seconds) => ("Please wait a moment", format!("Nothing was done. Go back and try again in {}.", waiting(seconds))),
        None if error.detail.as_deref() == Some(OUT_OF_DATE) => {
            (UNANSWERABLE, "Nothing was done. Go back, load the page again, and do it once more.".to_owned())
        }
        None => (
            UNANSWERABLE,
            "Go back to the application that sent you here and start again. If that does not help, send its developers the \
             details below."
                .to_owned(),
        ),
    };
    let context = views::ErrorPage {
        title: title.to_owned(),
        message: if visit.accepts.only_json() { error.description.to_string() } else { sentence(&error.description) },
        hint: Some(hint),
        code: Some(error.code.as_str().to_owned()),
        request_id: Some(visit.trace.request_id.clone()),
        sent: error.sent.as_ref().map(|(name, value)| ((*name).to_owned(), shown(value))),
        leave: None,
        way: None,
    };
    let mut response = error_answer(app, visit, status, &context);
    if let Some(seconds) = error.retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

const UNANSWERABLE: &str = "This request cannot be answered";

/// A time to wait, in words.
fn waiting(seconds: u32) -> String {
    match seconds {
        1 => "1 second".to_owned(),
        ..90 => format!("{seconds} seconds"),
        _ => format!("{} minutes", seconds.div_ceil(60)),
    }
}

/// An error description, which begins in lower case as in JSON, as a sentence of a page. Names such as `redirect_uri` stay as
/// they are.
fn sentence(description: &str) -> String {
    let first = description.split(' ').next().unwrap_or_default();
    let mut rest = description.chars();
    let mut sentence = match rest.next() {
        Some(letter) if first.bytes().all(|octet| octet.is_ascii_lowercase()) => {
            format!("{}{}", letter.to_ascii_uppercase(), rest.as_str())
        }
        _ => description.to_owned(),
    };
    if sentence.ends_with(|c: char| c.is_alphanumeric() || c == ')' || c == '"') {
        sentence.push('.');
    }
    sentence
}

/// An error as a page, or as JSON for a program that reads no pages.
fn error_answer(app: &App, visit: &Visit, status: StatusCode, context: &views::ErrorPage) -> HttpResponse {
    if visit.accepts.only_json() && status.as_u16() >= 400 {
        let code = context.code.as_deref().unwrap_or(match status {
            StatusCode::NOT_FOUND => "not_found",
            StatusCode::METHOD_NOT_ALLOWED => "method_not_allowed",
            StatusCode::SERVICE_UNAVAILABLE => "temporarily_unavailable",
            status if status.is_server_error() => "server_error",
            _ => "invalid_request",
        });
        return json::plain_error(status, code, &context.message);
    }
    let shown = Page::new(PageName::Error).status(status).may_lead_elsewhere(context.leave.is_some());
    page(app, visit, shown, context)
}

/// A value that somebody sent, as a page shows it: the beginning, and what is no plain character as its octets, so that it
/// can neither speak to the reader nor turn the text around.
fn shown(value: &str) -> String {
    const LONGEST: usize = 200;
    let mut shown = String::new();
    for octet in value.bytes().take(LONGEST) {
        if octet.is_ascii_graphic() {
            shown.push(char::from(octet));
        } else {
            let _ = write!(shown, "%{octet:02X}");
        }
    }
    if value.len() > LONGEST {
        shown.push('…');
    }
    shown
}

/// An error page with words of the caller's.
pub fn error_page(
    app: &App,
    visit: &Visit,
    status: StatusCode,
    title: &str,
    message: &str,
    hint: Option<&str>,
    way: Option<views::Way>,
) -> HttpResponse {
    let context = views::ErrorPage {
        title: title.to_owned(),
        message: message.to_owned(),
        hint: hint.map(str::to_owned),
        code: None,
        request_id: Some(visit.trace.request_id.clone()),
        sent: None,
        leave: None,
        way,
    };
    error_answer(app, visit, status, &context)
}

/// The session of this browser is locked: why, what can be done about it, and the way back to a client that waits.
pub fn locked(app: &App, visit: &Visit, lock: &Lock, leave: Option<views::Leave>) -> HttpResponse {
    metrics::refused("session_locked");
    let since = lock.at.format("since %-d %B %Y, %H:%M UTC");
    let reason = lock.reason.as_deref().map_or_else(String::new, |reason| format!(" Their reason: “{reason}”."));
    let message = format!(
        "The people who run this server locked it ({since}).{reason} You can go on, or sign in again in this browser, when \
         they have unlocked it or ended it."
    );
    let hint = "If you think that this is a mistake, tell them the reference below.";
    let context = views::ErrorPage {
        title: "Your session is locked".to_owned(),
        message,
        hint: Some(hint.to_owned()),
        code: Some("session_locked".to_owned()),
        request_id: Some(visit.trace.request_id.clone()),
        sent: None,
        leave,
        way: None,
    };
    error_answer(app, visit, StatusCode::FORBIDDEN, &context)
}

/// A name that leaves room for what a page asks: a client may have chosen a very long one.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 64;
    match name.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", name[..end].trim_end()),
        None => name.to_owned(),
    }
}

/// Where an answer goes. Of a custom scheme only the scheme counts: the program that opens it gets the answer, whatever host
/// stands behind it.
fn destination(redirect_uri: &str) -> Option<(&'static str, String)> {
    let url = url::Url::parse(redirect_uri).ok()?;
    Some(match url.host() {
        Some(host) if matches!(url.scheme(), "http" | "https") => {
            (if is_loopback(&host) { "device" } else { "web" }, host.to_string())
        }
        _ => ("scheme", format!("{}:", url.scheme())),
    })
}

/// The client as pages show it.
pub fn client_view(client: &Client, redirect_uri: Option<&TrustedRedirectUri>) -> views::Client {
    view_at(client, redirect_uri.map(TrustedRedirectUri::as_str))
}

/// As [`client_view`], of a client that the browser goes on to at `uri`.
fn view_at(client: &Client, uri: Option<&str>) -> views::Client {
    let metadata = &client.metadata;
    let (redirect_kind, redirect_host) = uri.and_then(destination).unzip();
    views::Client {
        name: shortened(client.display_name()),
        uri: metadata.client_uri.clone(),
        logo: metadata.logo_uri.clone(),
        policy_uri: metadata.policy_uri.clone(),
        tos_uri: metadata.tos_uri.clone(),
        redirect_kind,
        redirect_host,
        unverified: None,
    }
}

/// As [`client_view`], for a client that registered itself: marked as one, with the hosts that it names beside that of `uri`,
/// where the browser goes on to it.
pub fn unverified_view(client: &Client, uri: Option<&str>) -> views::Client {
    let view = view_at(client, uri);
    let links = [&view.uri, &view.logo, &view.policy_uri, &view.tos_uri];
    let hosts = links.into_iter().flatten().filter_map(|uri| url::Url::parse(uri).ok()?.host_str().map(str::to_owned));
    let others: BTreeSet<String> = hosts.filter(|host| Some(host) != view.redirect_host.as_ref()).collect();
    views::Client { unverified: Some(views::Unverified { other_hosts: others.into_iter().collect() }), ..view }
}
