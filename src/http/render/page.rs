//! A page as an HTTP answer: the rendered template under headers that allow it nothing it does not need.
//!
//! `Strict-Transport-Security` belongs to the whole server and is not set here.

use std::collections::BTreeSet;

use actix_web::{
    HttpResponse,
    http::{StatusCode, header},
};
use serde::Serialize;

use super::{
    policy::{FormTargets, OWN_REFERRER, Script, content_security_policy, picture_source},
    templates::{PageName, Templates},
};
use crate::failure::Broken;

/// A page about to be shown.
#[derive(Clone, Debug)]
pub struct Page {
    name: PageName,
    status: StatusCode,
    targets: FormTargets,
    picture: Option<String>,
    frames: BTreeSet<String>,
    retry_after: Option<u64>,
}

impl Page {
    /// The page `name`, 200, with forms that stay on this server.
    #[must_use]
    pub fn new(name: PageName) -> Self {
        Self {
            name,
            status: StatusCode::OK,
            targets: FormTargets::Own,
            picture: None,
            frames: BTreeSet::new(),
            retry_after: None,
        }
    }

    /// Another status than 200.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Its forms may lead to an application, and wherever that goes on to.
    #[must_use]
    pub fn may_lead_elsewhere(mut self, may: bool) -> Self {
        self.targets = if may { FormTargets::Elsewhere } else { FormTargets::Own };
        self
    }

    /// It shows this logo, if any.
    #[must_use]
    pub fn may_show(mut self, logo: Option<&str>) -> Self {
        self.picture = logo.and_then(picture_source);
        self
    }

    /// It loads frames from these, each from [`super::source`].
    #[must_use]
    pub fn may_frame(mut self, sources: impl IntoIterator<Item = String>) -> Self {
        self.frames.extend(sources);
        self
    }

    /// Says after how many seconds the form may be sent again. `None` changes nothing.
    #[must_use]
    pub fn retry_after(mut self, seconds: Option<u64>) -> Self {
        self.retry_after = seconds.or(self.retry_after);
        self
    }

    /// Renders the page with the values it shows.
    pub fn respond(self, templates: &Templates, context: &impl Serialize) -> Result<HttpResponse, Broken> {
        let html = templates.render(self.name, context)?;
        let mut answer = strict(
            self.status,
            &content_security_policy(self.name.script(), self.targets, self.picture.as_deref(), &self.frames),
            self.name.referrer_policy(),
        );
        if let Some(seconds) = self.retry_after {
            answer.insert_header((header::RETRY_AFTER, seconds));
        }
        Ok(answer.body(html))
    }
}

/// The answer when no page can be rendered, an operator's error page included. It depends on nothing.
#[must_use]
pub fn last_resort(status: StatusCode, request_id: &str) -> HttpResponse {
    let reference: String = request_id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let policy = content_security_policy(Script::None, FormTargets::Own, None, &BTreeSet::new());
    strict(status, &policy, OWN_REFERRER).body(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Something went wrong</title>\
         <main><h1>Something went wrong</h1><p>Please try again. Reference: {reference}</p></main></html>"
    ))
}

fn strict(status: StatusCode, policy: &str, referrer: &'static str) -> actix_web::HttpResponseBuilder {
    let mut answer = HttpResponse::build(status);
    answer
        .content_type("text/html; charset=utf-8")
        .insert_header((header::CONTENT_SECURITY_POLICY, policy))
        .insert_header((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((header::X_FRAME_OPTIONS, "DENY"))
        .insert_header((header::REFERRER_POLICY, referrer))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // No Cross-Origin-Opener-Policy: `same-origin` would cut a sign-in pop-up off from the application that
        // opened it and waits for its answer.
        .insert_header((header::PERMISSIONS_POLICY, "camera=(), geolocation=(), microphone=(), payment=(), usb=()"));
    answer
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;

    use super::*;
    use crate::http::render::samples::{self, templates};

    fn header_of(answer: &HttpResponse, name: header::HeaderName) -> String {
        answer.headers().get(name).unwrap().to_str().unwrap().to_owned()
    }

    #[actix_web::test]
    async fn every_page_carries_the_strict_headers() {
        for (name, context) in samples::all() {
            let answer = Page::new(name).respond(&templates(), &context).unwrap();
            let header = |name| header_of(&answer, name);
            assert_eq!(header(header::CONTENT_TYPE), "text/html; charset=utf-8");
            assert_eq!(header(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
            assert_eq!(header(header::X_FRAME_OPTIONS), "DENY");
            let referrer = if name == PageName::FormPost { "origin" } else { "same-origin" };
            assert_eq!(header(header::REFERRER_POLICY), referrer);
            assert_eq!(header(header::CACHE_CONTROL), "no-store");
            let policy = header(header::CONTENT_SECURITY_POLICY);
            assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
            assert_eq!(policy.contains("script-src 'self'"), name.script() != Script::None);
            assert_eq!(policy.contains("connect-src 'self'"), name.script() == Script::Calls);
            assert!(!policy.contains("frame-src"));
        }
    }

    #[actix_web::test]
    async fn status_forms_frames_and_retry() {
        let answer = Page::new(PageName::Login)
            .status(StatusCode::TOO_MANY_REQUESTS)
            .retry_after(Some(30))
            .may_lead_elsewhere(true)
            .may_frame(["https://b.example", "https://a.example", "https://b.example"].map(str::to_owned))
            .respond(&templates(), &samples::login())
            .unwrap();
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(header_of(&answer, header::RETRY_AFTER), "30");
        let policy = header_of(&answer, header::CONTENT_SECURITY_POLICY);
        assert!(!policy.contains("form-action"), "{policy}");
        assert!(policy.contains("; frame-src https://a.example https://b.example;"), "{policy}");
    }

    #[actix_web::test]
    async fn the_last_resort_shows_nothing_but_the_reference() {
        let answer = last_resort(StatusCode::INTERNAL_SERVER_ERROR, "0198-ab<script>");
        let body = to_bytes(answer.into_body()).await.unwrap();
        let body = std::str::from_utf8(&body).unwrap();
        assert!(body.contains("0198-abscript") && !body.contains("<script"));
    }
}
