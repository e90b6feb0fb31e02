//! What a sign-in is for: shared by the page with the password and by the calls that passkeys make.
//!
//! Invariant: where it leads is one of a closed list, or the authorization request that waits for it; never an address
//! that came with the browser.

use actix_web::{HttpResponse, cookie::Cookie};
use uuid::Uuid;

use super::{
    crowded::admit_stranger,
    csrf as session_csrf,
    extract::{Browser, Visit, session_cookie},
    pending::{Brought, Pending, address, known_as, pending},
    render::{answer, views},
};
use crate::{
    app::App,
    authentication::freshness::{Factors, Required},
    authorize::{csrf, csrf_fits},
    failure::Failure,
    oauth::{Acr, Parameters},
    sessions,
};

/// A page of our own that asks somebody who is signed in to prove again who they are, and gets them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    Account,
    Password,
    Authenticator,
}

impl Destination {
    /// By its name in the address.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "account" => Some(Self::Account),
            "password" => Some(Self::Password),
            "authenticator" => Some(Self::Authenticator),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Password => "password",
            Self::Authenticator => "authenticator",
        }
    }

    /// Where it leads when that is proved. What was wanted of the account page was a form's, and has not been kept: the page
    /// says so.
    fn path(self) -> &'static str {
        match self {
            Self::Account => "/account?done=confirmed",
            Self::Password => "/account/password",
            Self::Authenticator => "/account/authenticator",
        }
    }

    /// Where a sign-in leads that is for no request.
    pub fn url(confirmed: Option<Self>, app: &App) -> String {
        app.config.issuer.url(confirmed.map_or("/account", Self::path))
    }

    /// The same as a path below the issuer, by the name in the address.
    pub fn path_of(name: Option<&str>) -> &'static str {
        name.and_then(Self::parse).map_or("/account", Self::path)
    }

    /// Where somebody proves again who they are before they go on there.
    pub fn confirmation(self, app: &App) -> String {
        app.config.issuer.url(&format!("/login?confirm={}", self.as_str()))
    }
}

/// Whoever is there is to prove again who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirm {
    pub to: Destination,
    /// What that takes.
    pub required: Required,
}

/// What the sign-in is for.
pub enum Purpose {
    Request(Box<Pending>),
    /// A page of our own.
    Own(Box<Browser>, Option<Confirm>),
}

/// A cookie to go with the answer.
pub type Begun = Option<Cookie<'static>>;

impl Purpose {
    /// Finds it by the parameters `request` and `confirm`; `may_begin`: a visitor session for the forms of our own pages
    /// where there is none yet. `Err`: what to show instead.
    pub async fn find(
        app: &App,
        visit: &Visit,
        request: Option<&str>,
        brought: Brought<'_>,
        confirm: Option<&str>,
        may_begin: bool,
    ) -> Result<(Self, Begun), HttpResponse> {
        if request.is_some() {
            return Ok((Self::Request(Box::new(pending(app, visit, request, brought).await?)), None));
        }
        let destination = confirm.and_then(Destination::parse);
        app.db
            .work(visit.now, &visit.trace, async |tx| {
                let mut browser = Browser::find(app, visit, tx).await?;
                let mut begun = None;
                if may_begin && browser.session.is_none() && browser.locked.is_none() {
                    admit_stranger(app, tx, 0).await??;
                    let session = sessions::start_visitor(tx, &app.config.sessions).await?;
                    begun = Some(session_cookie(app, session.id, 0));
                    browser.session = Some(session);
                }
                let mut confirm = None;
                if let Some(to) = destination {
                    let factors = match browser.signed_in() {
                        Some((_, user_id)) => Factors::load(tx, user_id).await?,
                        None => Factors::default(),
                    };
                    confirm = Some(Confirm { to, required: factors.required() });
                }
                Ok::<_, Failure>((browser, confirm, begun))
            })
            .await
            .map_err(|failure| answer::failure(app, visit, &failure))
            .and_then(|(browser, confirm, begun)| {
                browser.refuse_locked(app, visit)?;
                Ok((Self::Own(Box::new(browser), confirm), begun))
            })
    }

    pub fn browser(&self) -> &Browser {
        match self {
            Self::Request(pending) => &pending.browser,
            Self::Own(browser, _) => browser,
        }
    }

    pub fn request_id(&self) -> Option<Uuid> {
        match self {
            Self::Request(pending) => Some(pending.stored.id),
            Self::Own(..) => None,
        }
    }

    /// The page that asks for it again, and what it takes.
    pub fn confirm(&self) -> Option<Confirm> {
        match self {
            Self::Request(_) => None,
            Self::Own(_, confirm) => *confirm,
        }
    }

    /// Whether nothing waits for the sign-in: somebody came to the page by themselves.
    pub fn is_for_nothing_else(&self) -> bool {
        matches!(self, Self::Own(_, None))
    }

    /// Where it leads.
    pub fn next(&self, app: &App) -> String {
        match self {
            Self::Request(pending) => address(app, pending.stored.id),
            Self::Own(_, confirm) => Destination::url(confirm.map(|it| it.to), app),
        }
    }

    pub fn csrf(&self, app: &App) -> String {
        match self {
            Self::Request(pending) => csrf(&app.csrf, pending.stored.id, None),
            Self::Own(browser, _) => {
                browser.session.as_ref().map(|session| session_csrf::token(app, session)).unwrap_or_default()
            }
        }
    }

    pub fn csrf_fits(&self, app: &App, form: &Parameters) -> bool {
        match self {
            Self::Request(_) => form.get("csrf").is_some_and(|tag| self.token_fits(app, tag)),
            Self::Own(browser, _) => match (&browser.session, browser.outdated) {
                // In a second tab, or once more: the first has signed in what was a visitor.
                (Some(session), _) => {
                    session_csrf::check(app, session, form).is_ok()
                        || session.visitor_id.is_some_and(|before| session_csrf::fits_first(app, before, form))
                }
                // A form sent twice at once: the first has ended or renewed the session that both carry.
                (None, Some(outdated)) => {
                    session_csrf::fits_lately(app, outdated.session_id, outdated.generation, form)
                }
                (None, None) => false,
            },
        }
    }

    /// Whether a call from one of our pages carries the page's token; a page that speaks to somebody has another one.
    pub fn token_fits(&self, app: &App, tag: &str) -> bool {
        match self {
            Self::Request(pending) => {
                let person = self.browser().signed_in().map(|(_, user_id)| user_id);
                csrf_fits(&app.csrf, pending.stored.id, None, tag)
                    || person.is_some() && csrf_fits(&app.csrf, pending.stored.id, person, tag)
            }
            Self::Own(browser, _) => {
                browser.session.as_ref().is_some_and(|session| session_csrf::token_fits(app, session, tag))
            }
        }
    }

    /// Who is to prove it, where that is not open: whoever is signed in, unless they are about to be `another`, or the
    /// request is about somebody else.
    pub fn bound_to(&self, app: &App, another: bool) -> Option<Uuid> {
        let (session, user_id) = self.browser().signed_in().filter(|_| !another)?;
        let bound = match self {
            Self::Request(pending) => {
                pending.request.is_about(known_as(app, &pending.client, Some(session)).as_deref())
            }
            Self::Own(_, confirm) => confirm.is_some(),
        };
        bound.then_some(user_id)
    }

    /// Whether nothing but a passkey does: whoever is to prove it has one. Then a password is not looked at, either.
    pub fn takes_only_a_passkey(&self, app: &App) -> bool {
        self.required(app, false) == Some(Required::Class(Acr::Phr))
    }

    /// What whoever is to prove again who they are has to show.
    fn required(&self, app: &App, another: bool) -> Option<Required> {
        self.bound_to(app, another).and_then(|_| self.confirm()).map(|it| it.required)
    }

    /// The way out of the authorization request that waits for the sign-in.
    pub fn cancel(&self, app: &App) -> Option<views::Cancel> {
        match self {
            Self::Request(pending) => Some(pending.cancel(app)),
            Self::Own(..) => None,
        }
    }

    /// How a page offers to prove it with a passkey; `None` where there is none.
    pub fn passkey(&self, app: &App, another: bool) -> Option<views::UsePasskey> {
        app.passkeys.as_ref()?;
        if self.required(app, another).is_some_and(|it| it != Required::Class(Acr::Phr)) {
            return None;
        }
        Some(views::UsePasskey {
            options: app.config.issuer.url("/passkeys/sign-in/options"),
            finish: app.config.issuer.url("/passkeys/sign-in"),
            csrf: Some(self.csrf(app)),
            request: self.request_id().map(|id| id.to_string()),
            confirm: self.confirm().map(|it| it.to.as_str().to_owned()),
            another: another.then(|| "another".to_owned()),
            autofill: self.bound_to(app, another).is_none(),
            to: None,
        })
    }
}
