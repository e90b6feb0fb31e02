//! Pages of the operator's own: a file in the folder of `pages.templates` goes before the built-in one of its name.

use std::{
    fs,
    path::{Path, PathBuf},
};

use mooring::jose::random_bytes;

use crate::support::{ALICE, PASSWORD, Server, Settings, cluster::hex, process::Installation};

const LOGIN: &str = r#"{% extends "base.html" %}
{% block title %}Ahoy{% endblock %}
{% block main %}
<h1>Come aboard {{ site.name }}</h1>
{% if client %}<p>on the way to {{ client.name }}</p>{% endif %}
{% if error %}<p role="alert">{{ error }}</p>{% endif %}
<form method="post" action="{{ action }}">
<input type="hidden" name="csrf" value="{{ csrf }}">
{% if request %}<input type="hidden" name="request" value="{{ request }}">{% endif %}
<label>Name <input name="username" value="{{ username }}"></label>
<label>Password <input name="password" type="password"></label>
<button type="submit">Aboard</button>
</form>
<script>document.title = "not by this page"</script>
{% endblock %}
"#;

/// A folder that goes again.
struct Folder(PathBuf);

impl Folder {
    fn with(files: &[(&str, &str)]) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("templates-{}", hex(&random_bytes::<8>())));
        for (name, content) in files {
            let file = path.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        Self(path)
    }

    fn settings(&self) -> Settings {
        Settings::default().set("pages.templates", self.0.to_str().unwrap()).set("pages.name", "The <Quay>")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn a_template_in_the_folder_replaces_its_page_and_no_other() {
    let folder = Folder::with(&[("login.html", LOGIN)]);
    let server = Server::start(folder.settings()).await;
    let (agent, client) = (server.agent(), server.client("web"));
    let page = agent.open(&client.request("openid").url()).await;
    assert_eq!(page.heading(), "Come aboard The <Quay>");
    assert!(page.body.contains("on the way to Harbour Web"), "{}", page.body);
    // What was said in a page's words is escaped by whoever writes the page.
    assert!(!page.body.contains("<Quay>"), "{}", page.body);

    // It works as the one that it replaces.
    let refused = agent.sign_in(&page, "alice\"><b>", "wrong password").await;
    assert!(refused.body.contains("role=\"alert\"") && !refused.body.contains("<b>"), "{}", refused.body);
    let consent = agent.sign_in(&refused, ALICE, PASSWORD).await;
    assert!(consent.offers("allow") && consent.body.contains("name=\"decision\""), "{}", consent.body);
    assert!(!consent.body.contains("aboard"), "{}", consent.body);
    agent.decide(&consent, "allow").await.code();

    // But it may do no more: what a page may load and run is not for it to say.
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self';"), "{policy}");
    let usual = Server::usual().await;
    let built_in = usual.agent().open(&usual.client("web").request("openid").url()).await;
    let at_home = |policy: &str, server: &Server| policy.replace(&server.issuer, "");
    assert_eq!(at_home(policy, &server), at_home(built_in.header("content-security-policy"), &usual));
}

#[tokio::test]
async fn the_frame_and_the_assets_can_be_ones_own() {
    let frame = "<!doctype html><html lang=\"en\"><head><title>{% block title %}{% endblock %}</title>\
                 <link rel=\"stylesheet\" href=\"{{ asset('mooring.css') }}\"></head><body id=\"own-frame\">\
                 <main>{% block main %}{% endblock %}</main></body></html>";
    let folder = Folder::with(&[("base.html", frame), ("assets/mooring.css", "main { color: teal }")]);
    let server = Server::start(folder.settings()).await;
    let agent = server.agent();
    for (path, status) in [("/", 200), ("/account", 200), ("/set-up?token=wrong", 404)] {
        let page = agent.open(&server.at(path)).await;
        assert_eq!(page.status, status, "{}", page.body);
        assert!(page.body.contains("id=\"own-frame\""), "{path}: {}", page.body);
        let (_, rest) = page.body.split_once("<link rel=\"stylesheet\" href=\"").unwrap();
        let sheet = page.url.join(rest.split('"').next().unwrap()).unwrap();
        let answer = server.http().get(sheet).send().await.unwrap();
        assert!(answer.headers()["content-type"].to_str().unwrap().starts_with("text/css"), "{answer:?}");
        assert_eq!(answer.text().await.unwrap(), "main { color: teal }");
    }
}

#[test]
fn what_would_fail_whoever_meets_it_stops_the_start_and_what_replaces_nothing_is_told_of() {
    let pages = |folder: &Folder| format!("[pages]\ntemplates = \"{}\"\n", folder.0.display());
    let broken = Folder::with(&[("consent.html", "<h1>Agree</h1>\n{{ cargo }}\n")]);
    let refused = Installation::new(&pages(&broken)).run(&["serve"]);
    let said = refused.failed(1);
    assert!(said.contains("consent.html") && said.contains("line 2"), "{said}");

    let odd = Folder::with(&[
        ("welcome.html", "<h1>{% include '_crest.html' %}</h1>"),
        ("_crest.html", "Quay"),
        ("logn.html", LOGIN),
        ("hub/elevation.html", ""),
        ("mail/pasword_changed.txt", ""),
        ("mail/password_changed.txt", "New\n\nA new one."),
        ("assets/crest.svg", "<svg/>"),
        ("..data/logn.html", ""),
    ]);
    let installation = Installation::new(&pages(&odd));
    assert_eq!(installation.serve_logging("warn").stop(), Some(0));
    let log = installation.log();
    for name in ["logn.html", "hub/elevation.html", "mail/pasword_changed.txt"] {
        assert_eq!(log.matches(name).count(), 1, "{name}: {log}");
    }
    assert_eq!(log.matches("replaces no template").count(), 3, "{log}");
}
