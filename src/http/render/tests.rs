//! What holds of every page, and what an operator's folder can and cannot do.

use std::{fs, path::PathBuf};

use minijinja::context;

use super::{
    PageName, Site, Templates,
    policy::Script,
    samples::{self, site, templates},
    views::{Cancel, Client, Login, Person, UsePasskey},
};

/// A folder of one test's own, removed at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str, files: &[(&str, &str)]) -> Self {
        let path = std::env::temp_dir().join(format!("mooring-templates-{test}-{}", std::process::id()));
        fs::create_dir_all(path.join("assets")).unwrap();
        for (name, content) in files {
            fs::write(path.join(name), content).unwrap();
        }
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn every_page_is_sound() {
    let templates = templates();
    let pages = samples::all();
    assert_eq!(pages.len(), 29);
    for (name, context) in pages {
        let html = templates.render(name, &context).unwrap();
        let file = name.file();
        assert!(html.starts_with("<!doctype html>\n<html lang=\"en\">"), "{file}");
        for once in ["<h1", "<main", "<title"] {
            assert_eq!(html.matches(once).count(), 1, "{once} in {file}");
        }
        for never in ["<style", " style=", "javascript:", "onclick", "onsubmit", "none</", "undefined"] {
            assert!(!html.contains(never), "{never} in {file}");
        }
        assert_eq!(html.matches("<script").count(), html.matches("<script src=\"/assets/").count(), "{file}");
        assert_eq!(html.contains("<script"), name.script() != Script::None, "{file}");
        for input in html.split("<input ").skip(1).map(|rest| &rest[..rest.find('>').unwrap()]) {
            let id = input.split("id=\"").nth(1).and_then(|rest| rest.split('"').next());
            let labelled = id.is_some_and(|id| html.contains(&format!("<label for=\"{id}\">")));
            assert!(labelled || input.contains("type=\"hidden\""), "an input of {file} has no label: {input}");
        }
        // The forms of set-up and of a reset are authorised by their token, and the form of form_post goes to another server.
        let own_forms = html.matches("<form method=\"post\"").count();
        let proofs = html.matches("name=\"csrf\" value=\"c5rf\"").count();
        assert!(
            proofs == own_forms || matches!(name, PageName::SetUp | PageName::ResetPassword | PageName::FormPost),
            "{file}"
        );
    }
}

#[test]
fn the_names_of_the_contract_are_there() {
    let templates = templates();
    let html = |page| {
        let found = samples::all().into_iter().find(|(name, _)| *name == page);
        templates.render(page, &found.unwrap().1).unwrap()
    };
    let login = html(PageName::Login);
    for part in ["name=\"username\"", "name=\"password\"", "autocomplete=\"current-password\""] {
        assert!(login.contains(part), "{part}");
    }
    assert_eq!(login.matches("type=\"submit\"").count(), 1);
    for (page, values) in [
        (PageName::Consent, ["allow", "deny"]),
        (PageName::SelectAccount, ["continue", "another"]),
        (PageName::SignOut, ["sign-out", "cancel"]),
        (PageName::StepUp, ["decline", "deny"]),
        (PageName::PrivilegedElsewhere, ["end-other", "deny"]),
    ] {
        for value in values {
            assert!(html(page).contains(&format!("name=\"decision\" value=\"{value}\"")), "{value}");
        }
    }
    let account = html(PageName::Account);
    assert_eq!(account.matches("name=\"session\" value=\"0198-").count(), 3, "two other sessions and an offline one");
    assert!(account.contains("<time datetime=\"2026-05-03T13:53:00Z\""));
}

#[test]
fn the_first_empty_field_has_the_focus_and_errors_are_announced() {
    let templates = templates();
    let html = |login: &Login| templates.render(PageName::Login, login).unwrap();
    let autofocus = |html: &str| {
        let input = html.split("<input ").find(|input| input.contains(" autofocus")).unwrap().to_owned();
        input.split("id=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
    };
    let mut login = samples::login();
    assert_eq!(autofocus(&html(&login)), "username");
    login.username = "alice".into();
    login.error = Some("Name or password is wrong.".into());
    login.retry_after = Some(61);
    let failed = html(&login);
    assert_eq!(autofocus(&failed), "password");
    assert_eq!(failed.matches("aria-describedby=\"error\"").count(), 2);
    assert!(failed.contains("role=\"alert\" id=\"error\""));
    assert!(failed.contains("<title>Error: Sign in"));
    assert!(failed.contains("Try again in 61 seconds."));
    login.client = None;
    login.request = None;
    login.cancel = None;
    assert!(!html(&login).contains("name=\"request\""));
}

#[test]
fn hostile_values_are_text() {
    let attack = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>";
    let login = Login {
        action: attack.into(),
        csrf: attack.into(),
        request: Some(attack.into()),
        client: Some(Client {
            name: attack.into(),
            uri: Some("javascript:alert(1)".into()),
            logo: Some("javascript:alert(1)".into()),
            policy_uri: Some("data:text/html,<script>alert(1)</script>".into()),
            tos_uri: Some(format!("https://rp.example/{attack}")),
            redirect_host: Some(attack.into()),
            redirect_kind: Some("web"),
            unverified: None,
        }),
        confirm: Some(attack.into()),
        required: None,
        notice: None,
        signed_in: Some(Person { username: attack.into(), name: Some(attack.into()) }),
        user: None,
        another: attack.into(),
        passkey: Some(UsePasskey {
            csrf: Some(attack.into()),
            to: Some(attack.into()),
            another: Some(attack.into()),
            ..samples::use_passkey()
        }),
        username: attack.into(),
        error: Some(attack.into()),
        retry_after: None,
        forgotten: attack.into(),
        cancel: Some(Cancel { action: attack.into(), csrf: attack.into(), request: attack.into() }),
    };
    let html = templates().render(PageName::Login, &login).unwrap();
    for never in ["<script>", "<img", "javascript:", "data:text", "\"'>"] {
        assert!(!html.contains(never), "{never}");
    }
    assert!(html.contains("&lt;script&gt;"));
}

#[test]
fn a_missing_value_is_an_error_and_not_a_gap() {
    let broken = templates().render(PageName::Error, &context! { title => "x" }).unwrap_err();
    assert!(broken.to_string().contains("error.html"), "{broken}");
}

#[test]
fn a_file_of_the_same_name_wins() {
    let folder = Folder::new(
        "wins",
        &[
            ("welcome.html", "{% extends 'base.html' %}{% block main %}{% include 'harbour.html' %}{% endblock %}"),
            ("harbour.html", "<h1>Ahoy {{ issuer }}</h1><img src=\"{{ asset('crest.png') }}\" alt=\"\">"),
            ("assets/mooring.css", "body { color: red }"),
            ("assets/crest.png", "png"),
        ],
    );
    let site = Site { base: "/auth".into(), ..site() };
    let templates = Templates::new(Some(&folder.0), site).unwrap();
    let html = templates.render(PageName::Welcome, &context! { issuer => "<b>" }).unwrap();
    assert!(html.contains("<h1>Ahoy &lt;b&gt;</h1>"), "{html}");
    assert!(html.contains("src=\"/auth/assets/crest.png?v="));
    let embedded = samples::templates().render(PageName::Login, &samples::login()).unwrap();
    let branded = templates.render(PageName::Login, &samples::login()).unwrap();
    let sheet = |html: &str| html.split("mooring.css?v=").nth(1).unwrap()[..12].to_owned();
    assert_ne!(sheet(&embedded), sheet(&branded));
}

#[test]
fn a_folder_that_cannot_be_used_stops_the_start() {
    let folder = Folder::new("broken", &[("login.html", "<h1>\n{% if %}\n</h1>")]);
    let stop = Templates::new(Some(&folder.0), site()).err().unwrap().to_string();
    assert!(stop.contains("login.html does not parse: line 2"), "{stop}");
    let odd = Folder::new("odd", &[("assets/notes.docx", "")]);
    assert!(Templates::new(Some(&odd.0), site()).is_err());
    // What a page is not given is found before somebody meets it, wherever it is asked for.
    for (name, source) in [
        ("login.html", "<h1>{{ action }}</h1>\n<p>{{ unheard_of }}</p>"),
        ("base.html", "<title>\n{{ site.owner }}</title>{% block main %}{% endblock %}"),
        ("_client.html", "\n{{ client.name | no_such_filter }}"),
    ] {
        let folder = Folder::new("unrenderable", &[(name, source)]);
        let stop = Templates::new(Some(&folder.0), site()).err().unwrap().to_string();
        assert!(stop.contains(folder.0.join(name).to_str().unwrap()) && stop.contains("line 2"), "{stop}");
    }
    assert!(Templates::new(Some(&folder.0.join("nowhere")), site()).is_err());
}

#[test]
fn pages_of_an_issuer_with_a_path_stay_under_it() {
    let templates = Templates::new(None, Site { base: "/auth".into(), ..site() }).unwrap();
    for (name, context) in samples::all() {
        let html = templates.render(name, &context).unwrap();
        assert!(html.contains("href=\"/auth/assets/mooring.css?v="));
        assert!(!html.contains("\"/assets/"));
    }
}
