//! Every route on one screen.

use std::sync::Arc;

use actix_web::{
    App as ActixApp, Error, FromRequest, Handler, HttpRequest, HttpResponse, Resource, Responder, Route,
    body::MessageBody,
    dev::{ServiceFactory, ServiceRequest, ServiceResponse},
    guard,
    http::{
        Method, StatusCode,
        header::{self, HeaderValue},
    },
    middleware::from_fn,
    web,
};

use super::{
    assets::asset,
    cors::{preflight, preflight_of_everyone},
    endpoints::{
        authorize, discovery, end_session, health, introspect, jwks, par, register, revoke, token, userinfo, well_known,
    },
    extract::Visit,
    hub::{self, api},
    middleware::around,
    own_address,
    pages::{
        self, access, account, authenticator, cancel, change_password, consent, elevation, login, privileged_elsewhere,
        reset_password, second_factor, select_account, set_up, step_up, welcome,
    },
    passkeys::{self, related_origins},
    render::{answer, json, views},
};
use crate::{app::App, oauth::metadata::well_known_paths};

/// The whole server as one actix application.
#[expect(clippy::needless_pass_by_value, reason = "what is returned would borrow it otherwise")]
pub fn application(
    app: Arc<App>,
) -> ActixApp<
    impl ServiceFactory<
        ServiceRequest,
        Config = (),
        Response = ServiceResponse<impl MessageBody>,
        Error = Error,
        InitError = (),
    >,
> {
    let base = app.config.issuer.path().to_owned();
    let document = web::Data::new(discovery::Discovery::new(&app.config));
    let mut application =
        ActixApp::new().app_data(web::Data::from(app.clone())).app_data(document).app_data(app.templates.assets());
    for path in well_known_paths(&base) {
        let verbs = vec![get().to(discovery::discovery), options().to(preflight_of_everyone)];
        application = application.service(at(&path, verbs));
    }
    // Probes know the server, not the path of its issuer.
    for (path, verb) in [("/healthz", get().to(health::healthz)), ("/readyz", get().to(health::readyz))] {
        application = application.service(at(path, vec![verb]));
    }
    for (path, verb) in [
        (well_known::CHANGE_PASSWORD, get().to(well_known::change_password)),
        (well_known::PASSKEY_ENDPOINTS, get().to(well_known::passkey_endpoints)),
    ] {
        application = application.service(at(path, vec![verb]));
    }
    if !app.config.passkeys.related_origins.is_empty() {
        application = application.service(at(related_origins::PATH, vec![get().to(related_origins::get)]));
    }
    if !base.is_empty() {
        // The issuer itself, as it is written; below it the scope only knows `/`.
        application = application.service(at(&base, vec![page().to(welcome::get)]));
    }
    let registers = !app.registrar.is_off();
    let routes = |service: &mut web::ServiceConfig| {
        routes(service);
        if registers {
            registration(service);
        } else {
            for path in ["/oauth/register", "/oauth/register/{client_id}"] {
                service.service(web::resource(path).default_service(web::to(register::off)));
            }
        }
    };
    application.service(web::scope(&base).configure(routes)).default_service(web::to(not_found)).wrap(from_fn(around))
}

fn routes(service: &mut web::ServiceConfig) {
    for resource in [
        // ── protocol ───────────────────────────────────────────────────────────────────────────────────────────────
        at("/oauth/authorize", vec![page().to(authorize::get), post().to(authorize::post)]),
        at("/oauth/par", vec![post().to(par::push), options().to(preflight)]),
        at("/oauth/token", vec![post().to(token::token), options().to(preflight)]),
        at(
            "/oauth/userinfo",
            vec![get().to(userinfo::userinfo), post().to(userinfo::userinfo), options().to(preflight)],
        ),
        at("/oauth/introspect", vec![post().to(introspect::introspect)]),
        at("/oauth/revoke", vec![post().to(revoke::revoke), options().to(preflight)]),
        at("/oauth/jwks", vec![get().to(jwks::jwks), options().to(preflight_of_everyone)]),
        at("/oauth/end_session", vec![page().to(end_session::get), post().to(end_session::post)]),
        at("/oauth/authorize/{id}", vec![page().to(authorize::resume)]),
        // ── pages ──────────────────────────────────────────────────────────────────────────────────────────────────
        at("/", vec![page().to(welcome::get)]),
        at("/login", vec![page().to(login::get), post().to(login::post)]),
        at("/cancel", vec![post().to(cancel::post)]),
        at("/second-factor", vec![page().to(second_factor::get), post().to(second_factor::post)]),
        at("/reset-password", vec![page().to(reset_password::get), post().to(reset_password::post)]),
        at("/consent", vec![page().to(consent::get), post().to(consent::post)]),
        at("/step-up", vec![page().to(step_up::get), post().to(step_up::post)]),
        at("/privileged-elsewhere", vec![page().to(privileged_elsewhere::get), post().to(privileged_elsewhere::post)]),
        at("/select-account", vec![page().to(select_account::get), post().to(select_account::post)]),
        at("/passkeys/sign-in/options", vec![post().to(passkeys::sign_in::options)]),
        at("/passkeys/sign-in", vec![post().to(passkeys::sign_in::finish)]),
        at("/passkeys/stateless/options", vec![post().to(passkeys::stateless::options)]),
        at("/passkeys/stateless", vec![post().to(passkeys::stateless::finish)]),
        at("/passkeys/enrol/options", vec![post().to(passkeys::enrol::options)]),
        at("/passkeys/enrol", vec![post().to(passkeys::enrol::finish)]),
        at("/account", vec![page().to(account::get)]),
        at("/account/passkeys/{action}", vec![post().to(pages::passkeys::post)]),
        at("/account/password", vec![page().to(change_password::get), post().to(change_password::post)]),
        at("/account/authenticator", vec![page().to(authenticator::get)]),
        at("/account/authenticator/{action}", vec![page().to(authenticator::codes), post().to(authenticator::post)]),
        at("/account/{action}", vec![post().to(account::post)]),
        at("/set-up", vec![page().to(set_up::get), post().to(set_up::post)]),
        at("/set-up/passkey/options", vec![post().to(passkeys::set_up::options)]),
        at("/set-up/passkey", vec![post().to(passkeys::set_up::finish)]),
        at("/assets/{name}", vec![get().to(asset)]),
        at("/access", vec![page().to(access::get), post().to(access::post)]),
        at("/elevation", vec![page().to(elevation::get), post().to(elevation::post)]),
        // ── the hub ────────────────────────────────────────────────────────────────────────────────────────────────
        at("/hub", vec![page().to(hub::get)]),
        at("/hub/callback", vec![page().to(hub::callback::get)]),
        at("/hub/elevations", vec![page().to(hub::elevations::get), post().to(hub::elevations::post)]),
        // ── the hub's admin API ────────────────────────────────────────────────────────────────────────────────────
        at("/hub/api/v1/openapi.json", vec![get().to(api::openapi)]),
        at("/hub/api/v1/sessions", vec![get().to(api::sessions::list)]),
        at("/hub/api/v1/sessions/events", vec![post().to(api::events::post)]),
        at("/hub/api/v1/sessions/{id}", vec![get().to(api::sessions::show)]),
        at("/hub/api/v1/sessions/{id}/lock", vec![post().to(api::sessions::lock)]),
        at("/hub/api/v1/sessions/{id}/unlock", vec![post().to(api::sessions::unlock)]),
        at("/hub/api/v1/sessions/{id}/end", vec![post().to(api::sessions::end)]),
        // ── operations ─────────────────────────────────────────────────────────────────────────────────────────────
        at("/healthz", vec![get().to(health::healthz)]),
        at("/readyz", vec![get().to(health::readyz)]),
    ] {
        service.service(resource);
    }
}

/// Only where clients may register themselves.
fn registration(service: &mut web::ServiceConfig) {
    service.service(at("/oauth/register", vec![post().to(register::post)])).service(at(
        "/oauth/register/{client_id}",
        vec![get().to(register::get), put().to(register::put), delete().to(register::delete)],
    ));
}

/// A method of a resource, waiting for its handler.
struct Verb {
    method: Method,
    /// It shows a page, which is for the issuer's own address.
    is_page: bool,
}

/// A method of a resource with its handler.
struct Served {
    verb: Verb,
    route: Route,
}

/// GET, and HEAD as RFC 9110 §9.3.2 has it: the same without the body, which the server leaves out.
fn get() -> Verb {
    Verb::of(Method::GET)
}

/// As [`get`], for what people see in a browser.
fn page() -> Verb {
    Verb { is_page: true, ..get() }
}

fn post() -> Verb {
    Verb::of(Method::POST)
}

fn put() -> Verb {
    Verb::of(Method::PUT)
}

fn delete() -> Verb {
    Verb::of(Method::DELETE)
}

fn options() -> Verb {
    Verb::of(Method::OPTIONS)
}

impl Verb {
    fn of(method: Method) -> Self {
        Self { method, is_page: false }
    }

    fn to<F, Args>(self, handler: F) -> Served
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        let route = match self.method {
            Method::GET => web::route().guard(guard::Any(guard::Get()).or(guard::Head())),
            _ => web::method(self.method.clone()),
        };
        let route = if self.is_page { route.guard(guard::fn_guard(own_address::is_own)) } else { route };
        Served { route: route.to(handler), verb: self }
    }
}

/// A path with its methods; any other method gets 405 with `Allow` (RFC 9110 §15.5.6).
fn at(path: &str, served: Vec<Served>) -> Resource {
    let names =
        served.iter().map(|one| if one.verb.method == Method::GET { "GET, HEAD" } else { one.verb.method.as_str() });
    let allow = names.collect::<Vec<_>>().join(", ");
    let mut resource = web::resource(path);
    for Served { verb, route } in served {
        resource = resource.route(route);
        if verb.is_page {
            resource = resource.route(get().to(own_address::elsewhere).route);
        }
    }
    resource.default_service(web::to(move |app: web::Data<App>, visit: Visit, request: HttpRequest| {
        let allow = allow.clone();
        async move { not_allowed(&app, &visit, &request, &allow) }
    }))
}

fn start_page(app: &App) -> views::Way {
    views::Way { label: "Go to the start page".to_owned(), address: app.config.issuer.url("/") }
}

/// In words for whoever came here with a browser: it has none of its own that would help.
fn not_allowed(app: &App, visit: &Visit, request: &HttpRequest, allow: &str) -> HttpResponse {
    let mut response = if wants_json(app, visit, request) {
        let said = format!("this address does not take {}; it takes {allow}", request.method());
        json::plain_error(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &said)
    } else if visit.accepts.pages {
        let (title, message) = ("Nothing to see here", "This address is not one that is opened like this.");
        let hint = "Go back to the page that you came from, and try it from there.";
        answer::error_page(
            app,
            visit,
            StatusCode::METHOD_NOT_ALLOWED,
            title,
            message,
            Some(hint),
            Some(start_page(app)),
        )
    } else {
        HttpResponse::MethodNotAllowed().finish()
    };
    if let Ok(allow) = HeaderValue::from_str(allow) {
        response.headers_mut().insert(header::ALLOW, allow);
    }
    response
}

/// Whether it is a program that came: it says so, or it says nothing and the address is one of the API.
fn wants_json(app: &App, visit: &Visit, request: &HttpRequest) -> bool {
    let path = request.path().strip_prefix(app.config.issuer.path()).unwrap_or(request.path());
    let is_page = path.starts_with("/oauth/authorize") || path == "/oauth/end_session";
    let is_api = ["/oauth/", "/hub/api/", "/.well-known/"].iter().any(|prefix| path.starts_with(prefix)) && !is_page;
    visit.accepts.only_json() || (is_api && !visit.accepts.pages)
}

async fn not_found(app: web::Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let message = "There is nothing at this address.";
    if wants_json(&app, &visit, &request) {
        return json::plain_error(StatusCode::NOT_FOUND, "not_found", message);
    }
    answer::error_page(&app, &visit, StatusCode::NOT_FOUND, "Not found", message, None, Some(start_page(&app)))
}
