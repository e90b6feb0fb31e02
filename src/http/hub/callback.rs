//! Where the authorization endpoint answers the hub. The code is good for nobody and is not looked at: what opens a page is
//! the privileged session, which the page looks for itself.

use actix_web::{HttpRequest, HttpResponse, web::Data};

use super::{PAGES, closed};
use crate::{
    app::App,
    http::{extract::Visit, render::answer},
    oauth::Parameters,
};

pub async fn get(app: Data<App>, visit: Visit, request: HttpRequest) -> HttpResponse {
    let parameters = Parameters::parse(request.query_string().as_bytes()).unwrap_or_default();
    let wanted = parameters.get("state");
    // Whatever stands in the address leads to a page of ours or to none.
    let page = PAGES.iter().find(|page| Some(page.name) == wanted).or(PAGES.first());
    let Some(page) = page else { return answer::see_other(&app.config.issuer.url("/")) };
    match parameters.get("error") {
        None => answer::see_other(&format!("{}?proved=1", page.address(&app))),
        Some(error) => {
            let why = match error {
                "access_denied" => "You cancelled, or you do not have the right to open it.",
                "unmet_authentication_requirements" => {
                    "It needs a passkey, and you have none that can be used for it. Add one on your account page first."
                }
                _ => "It did not work.",
            };
            closed(&app, &visit, page, why)
        }
    }
}
