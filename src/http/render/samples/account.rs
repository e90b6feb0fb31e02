//! One's own account, and what people sign in with.

use super::*;

pub fn account() -> Account {
    let session = |id: &str, device: &str, kind: &str, seen: i64| AccountSession {
        id: id.into(),
        current: seen == 0,
        kind: kind.into(),
        device: device.into(),
        place: Some("192.0.2.0/24".into()),
        started_at: moment(seen - 95),
        last_seen_at: moment(seen),
        expires_at: moment(seen + 625),
        clients: vec!["Harbour Notes".into(), "Tide Tables".into()],
    };
    let passkey = |id: &str, label: &str, suspended_at: Option<Moment>| AccountPasskey {
        id: id.into(),
        label: label.into(),
        created_at: moment(-60 * 24 * 90),
        last_used_at: suspended_at.is_none().then(|| moment(-30)),
        suspended_at,
        attested: false,
    };
    Account {
        user: alice(),
        csrf: "c5rf".into(),
        action_base: "/account".into(),
        notice: Some("The session on Safari on iPhone has ended.".into()),
        confirmed: true,
        hub: Some(AccountHub { href: "/hub".into(), waiting: 1 }),
        factors: AccountFactors {
            password: "/account/password".into(),
            has_password: true,
            authenticator: "/account/authenticator".into(),
            authenticator_at: Some(moment(-60 * 24 * 12)),
            recovery_codes_left: 7,
            needs_recovery_code: false,
        },
        passkeys: vec![
            passkey("0198-5", "Laptop", None),
            AccountPasskey { attested: true, ..passkey("0198-6", "Key on the ring", None) },
            passkey("0198-7", "Old phone", Some(moment(-60))),
        ],
        add_passkey: Some(add_passkey(None)),
        sessions: vec![
            session("0198-1", "Firefox on Linux", "user", 0),
            session("0198-2", "Chrome on Android", "user", -12),
            session("0198-3", "Edge on Windows", "privileged", -340),
        ],
        older_sessions: Some("/account?sessions_before=0198-3#sessions".into()),
        older_offline: None,
        consents: vec![AccountConsent {
            client_id: "notes".into(),
            client_name: "Harbour Notes".into(),
            open: Some("https://notes.example/sign-in?iss=http%3A%2F%2Flocalhost%3A8080".into()),
            scopes: vec!["See your name".into(), "See your email address".into()],
            granted_at: moment(-60 * 24 * 40),
        }],
        devices: vec![
            AccountDevice {
                id: "0198-11".into(),
                label: "Firefox on Linux".into(),
                current: true,
                known_since: moment(-60 * 24 * 30),
                used_at: moment(-95),
            },
            AccountDevice {
                id: "0198-12".into(),
                label: "Safari on iPhone".into(),
                current: false,
                known_since: moment(-60 * 24 * 90),
                used_at: moment(-60 * 24 * 2),
            },
        ],
        offline: vec![AccountOffline {
            id: "0198-9".into(),
            client_name: "Tide Tables".into(),
            started_at: moment(-60 * 24 * 3),
            expires_at: moment(60 * 24 * 87),
        }],
    }
}

/// What people sign in with, and how they change it.
pub fn factors() -> Vec<(PageName, Value)> {
    vec![
        (
            PageName::SecondFactor,
            shown(SecondFactor {
                action: "/second-factor".into(),
                csrf: "c5rf".into(),
                ceremony: "0198c0de".into(),
                recovery: false,
                other: "/second-factor?ceremony=0198c0de&by=recovery".into(),
                back: None,
                client: Some(client()),
                cancel: Some(cancel()),
                error: Some("That code is not right.".into()),
                retry_after: None,
            }),
        ),
        (
            PageName::Authenticator,
            shown(Authenticator {
                action: "/account/authenticator/add".into(),
                csrf: "c5rf".into(),
                nonce: "n0nce".into(),
                secret: "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP".into(),
                link: "otpauth://totp/Mooring:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Mooring".into(),
                qr: Qr::of("otpauth://totp/Mooring:alice?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=Mooring"),
                account: "/account".into(),
                error: None,
            }),
        ),
        (
            PageName::RecoveryCodes,
            shown(RecoveryCodes {
                username: "alice".into(),
                first: true,
                codes: vec!["0123-4567-89AB-CDEF".into(); 10],
                file: "/account/authenticator/codes.txt?set=n0nce".into(),
                account: "/account".into(),
            }),
        ),
        (
            PageName::ChangePassword,
            shown(ChangePassword {
                action: "/account/password".into(),
                csrf: "c5rf".into(),
                user: alice(),
                least: 8,
                account: "/account".into(),
                error: Some("The two passwords are not the same.".into()),
            }),
        ),
        (
            PageName::ResetPassword,
            shown(ResetPassword {
                action: "/reset-password".into(),
                sign_in: "/account".into(),
                minutes: 30,
                token: Some("mo_pr_1".into()),
                username: "alice".into(),
                code: true,
                least: 15,
                ..ResetPassword::default()
            }),
        ),
    ]
}
