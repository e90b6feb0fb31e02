//! The end of a sign-out in the browser (OpenID Connect Front-Channel Logout 1.0): the parties that want to be told there
//! are loaded in frames, then the browser goes on. Not for ending anything: that is done by then.
//!
//! Invariant: the page's policy lets exactly these parties' origins be framed.

use actix_web::HttpResponse;
use url::Url;

use super::{
    extract::{Visit, expired_cookie},
    render::{Page, PageName, answer, source, views},
};
use crate::{app::App, clients::Client, db::session_clients::FrontChannelParty};

/// Where a sign-out leads.
#[derive(Default)]
pub struct Onward<'a> {
    /// Who asked for it, if the page may name them.
    pub client: Option<&'a Client>,
    /// A place that was checked; `None`: the page is the end of it.
    pub uri: Option<String>,
    /// The client registered itself, and no ID token shows that it sent the person here: the browser is not sent there unless
    /// the person wants that (RFC 9700 §4.11.2).
    pub asks: bool,
}

/// Answers a sign-out that ended a session: the browser forgets its cookie, loads the parties, and goes on.
pub fn ended(app: &App, visit: &Visit, parties: &[FrontChannelParty], onward: Onward<'_>) -> HttpResponse {
    let frames: Vec<Frame> = parties.iter().filter_map(|party| Frame::new(app.config.issuer.as_str(), party)).collect();
    let mut response = if frames.is_empty() {
        done(app, visit, onward, Ended::Session)
    } else {
        // What needs to be asked was asked before the session ended.
        let context = views::SigningOut {
            client: onward.client.map(|client| answer::client_view(client, None)),
            onward: onward.uri,
            frames: frames.iter().map(|frame| frame.address.to_string()).collect(),
        };
        let page = Page::new(PageName::SigningOut).may_frame(frames.into_iter().map(|frame| frame.source));
        answer::page(app, visit, page, &context)
    };
    if let Err(error) = response.add_cookie(&expired_cookie(app)) {
        tracing::error!(%error, "expired cookie");
    }
    response
}

/// What a sign-out ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    Session,
    /// What one client had in a session that goes on.
    Grants,
    /// Nothing: nothing said which session is meant.
    NotNamed,
    /// Nothing: the session that is meant is over, or locked.
    NotLive,
    /// Nothing: the client has nothing in that session any more.
    NothingLeft,
}

impl Ended {
    /// In a word, for programs and the log.
    pub fn word(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Grants => "grants",
            Self::NotNamed | Self::NotLive | Self::NothingLeft => "nothing",
        }
    }

    /// In a sentence for developers, whoever they are.
    pub fn cause(self) -> &'static str {
        match self {
            Self::Session => "the session has ended, and with it everything that hangs on it",
            Self::Grants => {
                "the tokens and codes of this client in the session have ended; the session goes on. To end the session, \
                 send the browser here, or authenticate the client: in a POST, or with HTTP Basic"
            }
            Self::NotNamed => {
                "the request has no cookie of a session and no id_token_hint, so it does not say which session to end"
            }
            // Whoever has found an ID token does not learn whether its session lives.
            Self::NotLive | Self::NothingLeft => {
                "the session of the id_token_hint is over or locked, or its client has no tokens or codes in it any more"
            }
        }
    }

    /// In a sentence for the log, and for a client that has authenticated.
    pub fn detail(self) -> &'static str {
        match self {
            Self::NotLive => "the session of the id_token_hint is over, or locked",
            Self::NothingLeft => "the client has no tokens or codes in the session of the id_token_hint any more",
            Self::Session | Self::Grants | Self::NotNamed => self.cause(),
        }
    }
}

/// Answers a sign-out that came without the session of the browser at hand. It does not say that more has ended than has.
pub fn ended_elsewhere(app: &App, visit: &Visit, onward: Onward<'_>, ended: Ended) -> HttpResponse {
    done(app, visit, onward, ended)
}

fn done(app: &App, visit: &Visit, onward: Onward<'_>, ended: Ended) -> HttpResponse {
    let (client, continue_uri) = match (onward.client, onward.uri) {
        (Some(client), Some(uri)) if onward.asks => (Some(answer::unverified_view(client, Some(&uri))), Some(uri)),
        (_, Some(uri)) => return answer::see_other(&uri),
        (Some(client), None) => (Some(answer::client_view(client, None)), client.metadata.client_uri.clone()),
        (None, None) => (None, None),
    };
    let context = views::SignedOut {
        ended: ended.word(),
        cause: ended.cause(),
        account: app.config.issuer.url("/account"),
        client,
        continue_uri,
    };
    answer::page(app, visit, Page::new(PageName::SignedOut), &context)
}

/// A party as it is loaded.
struct Frame {
    address: Url,
    /// Its origin, as the page's policy names it.
    source: String,
}

impl Frame {
    /// §2: `iss` and `sid` are added to the registered address, whether or not the party insists on them.
    fn new(issuer: &str, party: &FrontChannelParty) -> Option<Self> {
        let mut address = Url::parse(&party.frontchannel_logout_uri).ok()?;
        // Registration refuses what a policy cannot name; an older one may have it still.
        let Some(source) = source(&address) else {
            tracing::warn!(uri = party.frontchannel_logout_uri, "no page can frame this party: it is not told");
            return None;
        };
        address.query_pairs_mut().append_pair("iss", issuer).append_pair("sid", &party.sid.to_string());
        Some(Self { address, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whoever has found an ID token is told the same; the log says which it was.
    #[test]
    fn what_is_over_and_what_is_empty_look_the_same() {
        assert_eq!(Ended::NotLive.cause(), Ended::NothingLeft.cause());
        assert_ne!(Ended::NotLive.detail(), Ended::NothingLeft.detail());
    }
}
