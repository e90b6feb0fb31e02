//! Holds `src/` to the house plan: who may import whom, who may name which library, how long a file may get.
//!
//! The plan is the tables below; every line has its reason, and a module without a place in them is an offence, so a
//! new one is placed when it is made. What is checked is the source text with comments and strings taken out: paths that
//! start with `crate`, `super`, `self` or the crate's name. It is a ruler, not a compiler: a path hidden in a macro's
//! expansion is not seen.

mod source;

use std::{fs, path::Path};

use source::Source;

/// From what comes in to what it stands on: a module may import those of the rows below its own.
const ROWS: &[&[&str]] = &[
    &["cli", "http", "jobs"],
    &["app"],
    &["authorize", "grants"],
    &["clients", "sessions", "tokens", "authentication", "elevations", "risk", "audit", "notices"],
    &["engine", "db", "outbound"],
    &["oauth", "jose"],
    &["clock", "failure", "config", "metrics"],
    &["unicode"],
];

/// Imports within a row, or upwards. The pairs of one row must not form a circle.
const ALSO: &[(&str, &str, &str)] = &[
    ("cli", "http", "serve and demo start the listener"),
    ("cli", "jobs", "serve and demo start the background jobs"),
    ("app", "http", "the application holds the parsed templates, which are http's"),
    ("clients", "risk", "failing client secrets are throttled by the same counters as sign-ins"),
    ("clients", "audit", "a change of a client writes its event"),
    ("sessions", "audit", "a session's beginning and end write their events"),
    ("tokens", "clients", "the client says in which format and with which algorithm its tokens are made"),
    ("tokens", "sessions", "a token is minted for a session and dies with it"),
    ("tokens", "audit", "issuing and replay write their events"),
    ("authentication", "sessions", "a sign-in makes the session"),
    ("authentication", "risk", "a sign-in is throttled, and judged"),
    ("authentication", "notices", "whose passkey was suspended is told"),
    ("authentication", "audit", "a sign-in and its failure write their events"),
    ("authentication", "notices", "a changed factor is told to its person"),
    ("risk", "audit", "a verdict writes its event"),
    ("elevations", "notices", "every administrator is written to when somebody goes on without a second person"),
    ("elevations", "audit", "a request, a decision and what came of it write their events"),
    ("notices", "clients", "a notice goes where the client's registration says"),
    ("notices", "audit", "a skipped delivery is an event"),
    ("notices", "tokens", "a logout token is signed with the server's keys"),
    ("engine", "db", "the state machines are driven over one transaction"),
    ("jose", "oauth", "a refused assertion is an error of the protocol"),
    ("config", "failure", "a bad configuration is a Stop"),
    ("config", "oauth", "settings are read into the specifications' types"),
    ("failure", "oauth", "a refusal carries an error of the protocol"),
];

/// Imports that the rows allow and a reason forbids.
const NEVER: &[(&str, &str, &str)] = &[
    ("oauth", "clock", "the specifications are pure: time is passed in"),
    ("jose", "clock", "the specifications are pure: time is passed in"),
    ("oauth", "config", "the specifications do not know how this server is set up"),
    ("jose", "config", "the specifications do not know how this server is set up"),
];

/// A path (`::` between its parts; a trailing `*` on the first part matches any end) and the only places that name it.
const ONLY_IN: &[(&str, &[&str], &str)] = &[
    ("actix*", &["http/", "app.rs"], "the web framework is named at the edge only"),
    ("diesel*", &["db/"], "db is the only SQL"),
    ("tokio_postgres*", &["db/"], "db is the only SQL"),
    ("utoipa*", &["http/hub/"], "only the admin API describes itself"),
    ("oxide_auth", &["engine/"], "engine drives the state machines and routes around what they get wrong"),
    (
        "webauthn_rs",
        &["authentication/passkey.rs"],
        "what a passkey is, and what its word is worth, is said in one place",
    ),
    ("lettre", &["notices/"], "mail leaves through the outbox"),
    ("qrcodegen", &["http/render/"], "a page draws it, and nothing else needs one"),
    ("totp_rs", &["authentication/"], "what people prove who they are with"),
    ("icu_*", &["unicode.rs"], "when two texts that people type are the same is said in one place"),
    ("zxcvbn", &["authentication/"], "what people prove who they are with"),
    ("Utc::now", &["clock.rs"], "time is passed in: one instant per request"),
    ("Local::now", &["clock.rs"], "time is passed in: one instant per request"),
    ("SystemTime::now", &["clock.rs"], "time is passed in: one instant per request"),
    ("now_v7", &["clock.rs"], "ids carry the instant of their transaction"),
    ("new_v4", &["clock.rs"], "ids are UUIDv7"),
];

/// Places that never name a path.
const NOWHERE_IN: &[(&str, &[&str], &str)] = &[(
    "oauth/ jose/",
    &[
        "tokio",
        "reqwest",
        "hyper",
        "std::fs",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "ToSocketAddrs",
        "Instant",
        "env::var",
        "std::process",
    ],
    "the specifications are pure: no I/O",
)];

/// Folders whose members never import one another.
const STRANGERS: &[(&str, &str)] = &[
    ("http::endpoints", "endpoints share what lies below them, never each other"),
    ("http::pages", "a page returns to authorize, never to another page"),
    ("authorize::checks", "the table alone says in which order checks run"),
    ("risk::signals", "a signal is judged with the others, never by them"),
    ("jobs", "a job knows the product, not the other jobs"),
];

const BAD_NAMES: &[&str] = &["utils", "util", "helpers", "helper", "common", "manager", "managers", "misc"];

/// Lines a reader can hold in the head, and lines no file may exceed.
const LONG: usize = 400;
const TOO_LONG: usize = 600;
/// Not written by hand.
const GENERATED: &[&str] = &["db/schema.rs"];

fn offences(sources: &[Source]) -> Vec<String> {
    sources
        .iter()
        .flat_map(|source| [imports, libraries, strangers, shape].map(|rule| rule(source, sources)))
        .flatten()
        .collect()
}

/// The row of a module, counted from the top.
fn row(module: &str) -> Option<usize> {
    ROWS.iter().position(|row| row.contains(&module))
}

fn forbidden(from: &str, to: &str) -> Option<String> {
    if from == to {
        return None;
    }
    if let Some((.., reason)) = NEVER.iter().find(|(f, t, _)| (*f, *t) == (from, to)) {
        return Some((*reason).to_owned());
    }
    if ALSO.iter().any(|(f, t, _)| (*f, *t) == (from, to)) {
        return None;
    }
    match (row(from), row(to)) {
        (Some(from), Some(to)) if from < to => None,
        (Some(from), Some(to)) if from > to => Some("imports point downwards".to_owned()),
        (Some(_), Some(_)) => Some("modules of one row import each other only as ALSO lists, with a reason".to_owned()),
        _ => Some("one of them has no place in ROWS".to_owned()),
    }
}

fn imports(source: &Source, _: &[Source]) -> Vec<String> {
    let Some(from) = source.module.first() else {
        // main.rs calls cli and nothing else; lib.rs is the map and imports nothing.
        let allowed: &[&str] = if source.path == "main.rs" { &["cli"] } else { &[] };
        return source
            .named
            .iter()
            .filter(|named| named.inside && named.path.len() > 1 && !allowed.contains(&named.path[0].as_str()))
            .map(|named| source.says(named.line, &format!("{} is not for the crate's root", named.path.join("::"))))
            .collect();
    };
    let mut found = Vec::new();
    if row(from).is_none() {
        found.push(source.says(1, &format!("module {from} has no place in ROWS")));
    }
    for named in source.named.iter().filter(|named| named.inside) {
        // `crate::Thing` and `crate::function` are not modules; lib.rs has none, and the compiler would say so.
        let Some(to) = named.path.first().filter(|to| row(to).is_some()) else { continue };
        if let Some(reason) = forbidden(from, to) {
            found.push(source.says(named.line, &format!("{from} imports {to}: {reason}")));
        }
    }
    found
}

fn libraries(source: &Source, _: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    let within = |places: &[&str]| places.iter().any(|place| source.path.starts_with(place));
    for (pattern, places, reason) in ONLY_IN.iter().filter(|(_, places, _)| !within(places)) {
        for line in source.lines_naming(pattern) {
            found.push(source.says(line, &format!("names {pattern}, which only {} may: {reason}", places.join(", "))));
        }
    }
    for (places, patterns, reason) in NOWHERE_IN {
        if within(&places.split(' ').collect::<Vec<_>>()) {
            for pattern in *patterns {
                found.extend(
                    source.lines_naming(pattern).map(|line| source.says(line, &format!("names {pattern}: {reason}"))),
                );
            }
        }
    }
    found
}

fn strangers(source: &Source, sources: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for (folder, reason) in STRANGERS {
        let folder: Vec<&str> = folder.split("::").collect();
        let member = |path: &[String]| {
            path.get(folder.len()).filter(|_| path.iter().zip(&folder).all(|(part, of)| part == of)).cloned()
        };
        let Some(own) = member(&source.module) else { continue };
        for named in source.named.iter().filter(|named| named.inside) {
            let Some(other) = member(&named.path).filter(|other| *other != own) else { continue };
            if sources.iter().any(|it| member(&it.module).as_ref() == Some(&other)) {
                found.push(source.says(named.line, &format!("{own} imports {other}: {reason}")));
            }
        }
    }
    found
}

fn shape(source: &Source, _: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    if source.lines > TOO_LONG && !GENERATED.contains(&source.path.as_str()) {
        found.push(source.says(source.lines, &format!("has {} lines, more than {TOO_LONG}", source.lines)));
    }
    for name in source.module.iter().chain(&source.declared).filter(|name| BAD_NAMES.contains(&name.as_str())) {
        found.push(source.says(1, &format!("{name} says nothing: name a module after what it owns")));
    }
    found
}

fn read(folder: &Path, root: &Path, into: &mut Vec<Source>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, root, into);
        } else if path.extension().is_some_and(|it| it == "rs") {
            let relative = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            into.push(Source::new(&relative, &fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn the_house_is_as_planned() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut sources = Vec::new();
    read(&root, &root, &mut sources);
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.iter().any(|it| it.path == "lib.rs"), "no source was read from {}", root.display());

    for source in sources.iter().filter(|it| it.lines > LONG && !GENERATED.contains(&it.path.as_str())) {
        println!("src/{}: {} lines, more than the {LONG} a reader likes", source.path, source.lines);
    }
    let offences = offences(&sources);
    assert!(offences.is_empty(), "{} offences against the plan:\n{}", offences.len(), offences.join("\n"));
}

#[test]
fn the_plan_has_no_circles_within_a_row() {
    for row in ROWS {
        let mut left: Vec<&str> = row.to_vec();
        // Whoever imports nobody that is left can be taken away; in a circle nobody can.
        while let Some(free) =
            left.iter().position(|from| !ALSO.iter().any(|(f, to, _)| f == from && left.contains(to)))
        {
            left.remove(free);
        }
        assert!(left.is_empty(), "these import one another in a circle: {left:?}");
    }
}

#[test]
fn offenders_are_found() {
    let long = "\n".repeat(TOO_LONG + 1);
    let cases: &[(&str, &str, &str)] = &[
        ("db/users.rs", "use crate::sessions::start;", "db imports sessions"),
        ("db/users.rs", "fn f() { crate::http::routes(); }", "db imports http"),
        ("db/users.rs", "use super::super::tokens;", "db imports tokens"),
        ("db/users.rs", "mod tests { use super::super::super::tokens::mint; }", "db imports tokens"),
        (
            "audit/record.rs",
            "use crate::{clock::Clock, failure::{Broken, Stop}, sessions::Session};",
            "audit imports sessions",
        ),
        ("tokens/mint.rs", "use crate::authorize;", "tokens imports authorize"),
        ("grants/mod.rs", "use crate::authorize::decide;", "grants imports authorize"),
        ("sessions/mod.rs", "use crate::app::App;", "sessions imports app"),
        ("oauth/scope.rs", "use crate::clock::Clock;", "oauth imports clock"),
        ("main.rs", "fn main() { mooring::http::serve() }", "not for the crate's root"),
        ("novel/mod.rs", "", "novel has no place"),
        ("sessions/end.rs", "use actix_web::HttpRequest;", "names actix*"),
        ("cli/serve.rs", "#[actix_web::main] async fn main() {}", "names actix*"),
        ("audit/record.rs", "use diesel_async::RunQueryDsl;", "names diesel*"),
        ("audit/record.rs", "use ::diesel::prelude::*;", "names diesel*"),
        ("grants/mod.rs", "use oxide_auth::code_grant;", "names oxide_auth"),
        ("audit/event.rs", "let now = chrono::Utc::now();", "names Utc::now"),
        ("audit/event.rs", "let now = Utc ::\n now();", "names Utc::now"),
        ("db/ids.rs", "Uuid::now_v7()", "names now_v7"),
        ("oauth/pkce.rs", "use std::{collections::HashMap, fs};", "names std::fs"),
        ("jose/jwks.rs", "std::net::TcpStream::connect(x)", "names TcpStream"),
        ("jose/jwks.rs", "#[tokio::test] async fn f() {}", "names tokio"),
        ("http/endpoints/token.rs", "use super::authorize::respond;", "token imports authorize"),
        (
            "http/endpoints/token.rs",
            "use crate::http::{endpoints::authorize::respond, render};",
            "token imports authorize",
        ),
        ("http/pages/login/form.rs", "use crate::http::pages::consent;", "login imports consent"),
        ("tokens/helpers.rs", "", "helpers says nothing"),
        ("tokens/mint.rs", "mod utils { }", "utils says nothing"),
        ("tokens/mint.rs", &long, "has 601 lines"),
    ];
    for (path, text, expected) in cases {
        let around = ["http/endpoints/authorize.rs", "http/pages/consent.rs"].map(|path| Source::new(path, ""));
        let sources: Vec<Source> = around.into_iter().chain([Source::new(path, text)]).collect();
        let found = offences(&sources);
        assert_eq!(found.len(), 1, "{path}: {text}: {found:?}");
        assert!(found[0].contains(expected), "{path}: {text}: {found:?}");
    }
}

#[test]
fn the_innocent_are_left_alone() {
    let cases: &[(&str, &str)] = &[
        ("main.rs", "fn main() -> std::process::ExitCode { mooring::cli::run() }"),
        ("lib.rs", "pub mod cli;\npub mod db;"),
        ("http/routes.rs", "use actix_web::web; use crate::{app::App, authorize, db::clients};"),
        ("http/endpoints/mod.rs", "pub mod token; pub use token::handle; use self::authorize::x;"),
        ("http/endpoints/token/parse.rs", "use super::answer; use crate::http::endpoints::token::answer2;"),
        ("http/endpoints/token.rs", "use super::Answer; use crate::grants::GRANTS;"),
        ("db/work.rs", "use diesel::prelude::*; use super::schema::users; // crate::http::routes"),
        (
            "tokens/mint.rs",
            "/* crate::http /* actix_web */ Utc::now */ let a = \"crate::http diesel\"; let b = r#\"\"actix_web\"#;",
        ),
        (
            "tokens/mint.rs",
            "fn f<'a>(c: char) -> &'a str { if c == '\"' { \"crate::http\" } else { 'x'; \"\\\"diesel\" } }",
        ),
        ("tokens/mint.rs", "pub(crate) fn f() {} pub(in crate::tokens) fn g() {} use crate::tokens::{self, lookup};"),
        ("oauth/redirect_uri.rs", "use std::net::{IpAddr, Ipv4Addr}; let fs_like = process_it; "),
        ("clock.rs", "Utc::now()"),
        ("db/schema.rs", &"\n".repeat(2000)),
    ];
    for (path, text) in cases {
        let around = ["http/endpoints/authorize.rs", "http/endpoints/token.rs"].map(|path| Source::new(path, ""));
        let sources: Vec<Source> = around.into_iter().chain([Source::new(path, text)]).collect();
        assert_eq!(offences(&sources), Vec::<String>::new(), "{path}: {text}");
    }
}
