//! One example of every page: what each template is given. The tests hold all of them to what must hold of every page, and
//! an operator's own templates are tried with them at the start.

mod account;
mod privileged;

use chrono::{DateTime, TimeDelta};
use minijinja::{Value, value::Serde};
use serde::Serialize;

pub use self::{
    account::{account, factors},
    privileged::{access, elevation, hub_elevations, privileged_elsewhere, step_up},
};
use super::{Moment, PageName, Qr, views::*};

#[cfg(test)]
pub fn site() -> super::Site {
    super::Site { name: "Mooring".into(), base: String::new(), issuer: "http://localhost:8080".into() }
}

#[cfg(test)]
pub fn templates() -> super::Templates {
    super::Templates::new(None, site()).unwrap()
}

fn moment(minutes: i64) -> Moment {
    // 2026-05-03T14:05:00Z
    let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(1_777_817_100);
    Moment::new(now + TimeDelta::minutes(minutes), now)
}

pub fn client() -> Client {
    Client {
        name: "Harbour Notes".into(),
        uri: Some("https://notes.example/".into()),
        logo: Some(
            "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 48 48'%3E%3Crect width='48' \
             height='48' fill='%23f2b84b'/%3E%3Cpath d='M14 14h20v4H14zm0 8h20v4H14zm0 8h12v4H14z' fill='%23443'/%3E\
             %3C/svg%3E"
                .into(),
        ),
        policy_uri: Some("https://notes.example/privacy".into()),
        tos_uri: Some("https://notes.example/terms".into()),
        redirect_host: Some("notes.example".into()),
        redirect_kind: Some("web"),
        unverified: None,
    }
}

fn alice() -> Person {
    Person { username: "alice".into(), name: Some("Alice Example".into()) }
}

pub fn use_passkey() -> UsePasskey {
    UsePasskey {
        options: "/passkeys/sign-in/options".into(),
        finish: "/passkeys/sign-in".into(),
        csrf: Some("c5rf".into()),
        request: Some("0198c0de".into()),
        confirm: None,
        another: None,
        autofill: true,
        to: None,
    }
}

fn add_passkey(token: Option<&str>) -> AddPasskey {
    AddPasskey {
        options: "/passkeys/enrol/options".into(),
        finish: "/passkeys/enrol".into(),
        csrf: token.is_none().then(|| "c5rf".into()),
        token: token.map(str::to_owned),
    }
}

pub fn login() -> Login {
    Login {
        action: "/login".into(),
        csrf: "c5rf".into(),
        request: Some("0198c0de".into()),
        confirm: None,
        required: None,
        notice: None,
        client: Some(client()),
        signed_in: None,
        user: None,
        another: "/login?request=0198c0de&as=another".into(),
        passkey: Some(use_passkey()),
        username: String::new(),
        error: None,
        retry_after: None,
        forgotten: "/reset-password".into(),
        cancel: Some(cancel()),
    }
}

pub fn cancel() -> Cancel {
    Cancel { action: "/cancel".into(), csrf: "c5rf".into(), request: "0198c0de".into() }
}

pub fn consent() -> Consent {
    let scope = |name: &str, description: &str| Scope {
        name: name.into(),
        description: description.into(),
        offline: name == "offline_access",
    };
    Consent {
        action: "/consent".into(),
        csrf: "c5rf".into(),
        request: "0198c0de".into(),
        client: Client {
            unverified: Some(Unverified { other_hosts: vec!["bank.example".into(), "cdn.example".into()] }),
            ..client()
        },
        user: alice(),
        scopes: vec![
            scope("profile", "See your name and other public details"),
            scope("email", "See your email address"),
            scope("offline_access", "Keep access while you are away"),
        ],
        lacks: Some("a passkey"),
    }
}

pub fn demo_signed_in() -> DemoSignedIn {
    DemoSignedIn {
        user: alice(),
        issuer: "http://localhost:8080".into(),
        csrf: "c5rf".into(),
        call_action: "/call".into(),
        pay_action: "/pay".into(),
        step_up: Some("/step-up".into()),
        refresh_action: "/refresh".into(),
        end_action: "/end".into(),
        forget_action: "/forget".into(),
        account: "http://localhost:8080/account".into(),
        ended: false,
        expired: false,
        notice: None,
        error: None,
        id_token_claims: "{\n  \"iss\": \"http://localhost:8080\",\n  \"sub\": \"0198c0de-7a11-7bee-8f00-5ca1ab1e0001\",\n  \"acr\": \"urn:mooring:acr:pwd\",\n  \"amr\": [\"pwd\"],\n  \"sid\": \"b0a7s-1n-4-h4rb0ur\"\n}".into(),
        access_token: "mo_at_0198c0de7a117bee8f005ca1ab1e0001uKq3mYdQ0zJmVnX1cQm3H8xL2bT9rWfA5sGhE7kP4oU".into(),
        introspection: "{\n  \"active\": true,\n  \"scope\": \"openid profile email\",\n  \"session\": { \"kind\": \"user\" }\n}".into(),
        userinfo: "{\n  \"sub\": \"0198c0de-7a11-7bee-8f00-5ca1ab1e0001\",\n  \"name\": \"Alice Example\"\n}".into(),
        api_result: Some(DemoApiResult {
            status: 200,
            ok: true,
            challenge: None,
            body: "{\n  \"berths\": [\"A1\", \"A2\"]\n}".into(),
        }),
    }
}

fn shown(view: impl Serialize) -> Value {
    Value::from(Serde(view))
}

/// The pages on the way out.
fn leaving() -> [(PageName, Value); 3] {
    [
        (
            PageName::SignOut,
            shown(SignOut {
                action: "/oauth/end_session".into(),
                csrf: "c5rf".into(),
                user: Some(alice()),
                client: Some(client()),
                fields: vec![("state".into(), "st4te".into())],
            }),
        ),
        (
            PageName::SignedOut,
            shown(SignedOut {
                ended: "session",
                cause: "",
                account: "https://id.example/account".into(),
                client: Some(client()),
                continue_uri: Some("https://notes.example/".into()),
            }),
        ),
        (
            PageName::SigningOut,
            shown(SigningOut {
                client: Some(client()),
                onward: Some("https://notes.example/bye?state=st4te&x=1".into()),
                frames: vec!["https://notes.example/logout?iss=http%3A%2F%2Flocalhost%3A8080&sid=b0a7".into()],
            }),
        ),
    ]
}

/// The page at an address of which nothing more is stored.
fn crowded() -> Crowded {
    Crowded {
        again: "http://localhost:8080/oauth/authorize?client_id=notes".into(),
        retry_after: 3,
        passkey: UsePasskey {
            options: "/passkeys/stateless/options".into(),
            finish: "/passkeys/stateless".into(),
            to: Some("t4g.http://localhost:8080/oauth/authorize?client_id=notes".into()),
            ..UsePasskey::default()
        },
        code: "temporarily_unavailable",
        request_id: "0198c0de-7a11-7bee-8f00-5ca1ab1e0001".into(),
    }
}

/// Every page with a context of its own.
pub fn all() -> Vec<(PageName, Value)> {
    let mut pages = vec![
        (PageName::Login, shown(login())),
        (PageName::Consent, shown(consent())),
        (
            PageName::SelectAccount,
            shown(SelectAccount {
                action: "/select-account".into(),
                csrf: "c5rf".into(),
                request: "0198c0de".into(),
                client: Some(client()),
                user: alice(),
                cancel: cancel(),
            }),
        ),
        (PageName::StepUp, shown(step_up())),
        (PageName::PrivilegedElsewhere, shown(privileged_elsewhere())),
        (PageName::Account, shown(account())),
        (
            PageName::Error,
            shown(ErrorPage {
                title: "This link does not work".into(),
                message: "The application that sent you here asked in a way that we cannot trust.".into(),
                hint: Some("Go back to the application and try again.".into()),
                code: Some("invalid_redirect_uri".into()),
                request_id: Some("0198c0de-7a11-7bee-8f00-5ca1ab1e0001".into()),
                sent: Some(("redirect_uri".into(), "https://notes.example/other".into())),
                leave: Some(Leave {
                    address: "https://notes.example/callback?error=access_denied".into(),
                    fields: Vec::new(),
                }),
                way: None,
            }),
        ),
        (
            PageName::SetUp,
            shown(SetUp {
                action: "/set-up".into(),
                token: "t0ken".into(),
                add_passkey: Some(add_passkey(Some("t0ken"))),
                username: "harbourmaster".into(),
                email: "harbourmaster@example.com".into(),
                error: Some("The two passwords differ.".into()),
            }),
        ),
        (
            PageName::FormPost,
            shown(FormPost {
                action: "https://notes.example/callback".into(),
                fields: vec![("code".into(), "mo_ac_1".into()), ("state".into(), "st4te".into())],
                client: Some(client()),
            }),
        ),
        (
            PageName::Welcome,
            shown(Welcome { issuer: "http://localhost:8080".into(), signed_in: Some(alice()), signed_out: false }),
        ),
        (
            PageName::OtherAddress,
            shown(OtherAddress {
                seen: "192.168.1.5:8080".into(),
                issuer: "http://localhost:8080".into(),
                here: "http://localhost:8080/account".into(),
            }),
        ),
        (
            PageName::DemoHome,
            shown(DemoHome {
                sign_in: "/sign-in".into(),
                issuer: "http://localhost:8080".into(),
                users: vec![("alice".into(), "correct horse".into())],
                notice: None,
                error: None,
            }),
        ),
        (PageName::Crowded, shown(crowded())),
        (PageName::Access, shown(access())),
        (PageName::Elevation, shown(elevation("ask"))),
        (PageName::Elevation, shown(elevation("waiting"))),
        (PageName::Elevation, shown(elevation("refused"))),
        (PageName::Elevation, shown(elevation("emergency"))),
        (
            PageName::HubClosed,
            shown(HubClosed {
                title: "Elevations",
                why: "You went back, or you may not do this.".into(),
                again: "/hub/elevations".into(),
            }),
        ),
        (PageName::HubElevations, shown(hub_elevations())),
        (PageName::DemoSignedIn, shown(demo_signed_in())),
    ];
    pages.extend(leaving());
    pages.extend(factors());
    pages
}
