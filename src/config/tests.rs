//! One test for each rule, through the whole of reading.

use chrono::TimeDelta;

use super::{given::File, *};
use crate::oauth::client_metadata::{AccessTokenFormat, AuthMethod};

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn load(file: &str, environment: &[(&str, &str)]) -> Result<Config, Stop> {
    let file = File::parse(PathBuf::from("mooring.toml"), file.to_owned())?;
    let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Config::read(&Given::checked(Some(file), environment)?)
}

/// What is said about a refused configuration: each of `parts` is in it, and it is short.
#[track_caller]
fn refused(file: &str, environment: &[(&str, &str)], parts: &[&str]) -> String {
    let said = load(file, environment).unwrap_err().to_string();
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in:\n{said}");
    }
    assert!(said.lines().count() <= 3, "{said}");
    said
}

/// What is said about a refused file.
#[track_caller]
fn in_file(file: &str, parts: &[&str]) {
    refused(file, &[], &[&["mooring.toml:"], parts].concat());
}

#[test]
fn nothing_given_is_a_configuration() {
    let config = Config::load(Sources::default()).unwrap();
    assert_eq!(config.issuer.as_str(), "http://localhost:8080");
    assert_eq!(config.listen, "127.0.0.1:8080".parse().unwrap());
    assert_eq!(config.data_dir, PathBuf::from("./.mooring"));
    assert!(config.trusted_proxies.is_empty() && config.outbound.allow.is_empty());
    assert_eq!((config.database.url.as_deref(), config.database.max_connections), (None, 16));
    assert_eq!(config.sessions.idle, TimeDelta::minutes(30));
    assert_eq!(config.sessions.absolute, TimeDelta::hours(12));
    assert_eq!(config.sessions.offline_absolute, TimeDelta::days(90));
    assert_eq!(config.tokens.code, TimeDelta::seconds(60));
    assert_eq!(config.tokens.access, TimeDelta::minutes(5));
    assert_eq!(config.tokens.refresh_grace, TimeDelta::seconds(10));
    assert_eq!((config.registration.policy, config.registration.require_pkce), (Policy::Off, true));
    assert_eq!(config.request_objects, RequestObjects { by_reference: false, unsigned: false });
    assert_eq!(config.tls, None);
    assert_eq!((config.passwords.memory_kib, config.passwords.iterations, config.passwords.parallelism), (19456, 2, 1));
    assert!(config.passwords.concurrency >= 1 && config.server.workers >= 1);
    assert_eq!(config.metrics.listen, Some("127.0.0.1:9464".parse().unwrap()));
    assert_eq!((config.log.format, config.log.filter.as_str()), (LogFormat::Text, "info"));
    assert_eq!((config.pages.name.as_str(), config.pages.templates), ("Mooring", None));
    assert_eq!(config.server.shutdown_timeout, TimeDelta::seconds(10));
    let scopes: Vec<&str> = config.scopes.iter().map(|scope| scope.name.as_str()).collect();
    assert_eq!(scopes, [builtin::HUB_ELEVATIONS, builtin::HUB_SESSIONS]);
    assert!(config.resources.is_empty());
    assert!(config.clients.is_empty() && config.users.is_empty());
}

#[test]
fn the_whole_of_the_contract_is_read() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/config/tests/contract.toml");
    let config = Config::load(Sources { file: Some(file.into()), environment: vec![] }).unwrap();
    assert_eq!(config.issuer.as_str(), "https://id.example/tenant/");
    assert_eq!(config.database.migrate_url.as_deref(), Some("postgres://owner@db.example/mooring"));
    assert_eq!(config.master_source().unwrap(), MasterSource::File("master.key".into()));
    assert_eq!(config.registration.policy, Policy::Token);
    assert_eq!(config.tls, Some(Tls { certificate: "cert.pem".into(), key: "key.pem".into() }));
    assert_eq!(config.outbound.trust, [PathBuf::from("suite-ca.pem")]);
    assert_eq!(config.outbound.allow, ["127.0.0.1/32".parse().unwrap()]);
    let privileged = config.scopes[0].privileged.as_ref().unwrap();
    assert_eq!(
        (privileged.acr.as_str(), privileged.max_age, privileged.duration, privileged.approval),
        ("phr", TimeDelta::minutes(5), TimeDelta::minutes(15), Approval::None)
    );
    assert_eq!(config.resources[0].access_token_format, Some(AccessTokenFormat::Jwt));
    assert_eq!(config.clients[0].auth_method(), AuthMethod::ClientSecretBasic);
    assert_eq!(config.clients[0].grant_types, ["authorization_code", "refresh_token"]);
    let user = &config.users[0];
    assert_eq!((user.username.as_str(), user.password.expose(), user.admin), ("alice", "wonderland", false));
    assert_eq!(
        serde_json::Value::Object(user.claims.clone()),
        serde_json::json!({ "email": "alice@example.com", "email_verified": true, "name": "Alice Example",
            "name#ja": "アリス", "birthdate": "1865-11-26", "updated_at": 1_700_000_000,
            "address": { "locality": "Oxford", "country": "GB" } })
    );
}

#[test]
fn the_environment_goes_before_the_file() {
    let file = "listen = '127.0.0.1:1'\ntrusted_proxies = ['10.0.0.0/8']\n[sessions]\nidle = '5m'\n";
    let config = load(
        file,
        &[
            ("MOORING_LISTEN", "0.0.0.0:2"),
            ("MOORING_SESSIONS__IDLE", "6m"),
            ("MOORING_TRUSTED_PROXIES", "127.0.0.1/32, ::1"),
            ("MOORING_PASSWORDS__MEMORY_KIB", "64"),
            ("MOORING_REQUEST_OBJECTS__BY_REFERENCE", "true"),
            ("MOORING_METRICS__LISTEN", "off"),
        ],
    )
    .unwrap();
    assert_eq!(config.listen, "0.0.0.0:2".parse().unwrap());
    assert_eq!(config.sessions.idle, TimeDelta::minutes(6));
    assert_eq!(config.trusted_proxies.len(), 2);
    assert_eq!(config.passwords.memory_kib, 64);
    assert!(config.request_objects.by_reference);
    assert_eq!(config.metrics.listen, None);
    let config = load(file, &[("MOORING_LISTEN", ""), ("MOORING_TRUSTED_PROXIES", "")]).unwrap();
    assert_eq!((config.listen.port(), config.trusted_proxies.len()), (1, 0));
}

#[test]
fn database_url_is_heard_and_the_own_variable_wins() {
    let url = |file: &str, environment: &[(&str, &str)]| load(file, environment).unwrap().database.url.unwrap();
    let file = "[database]\nurl = 'postgres://file'";
    assert_eq!(url(file, &[]), "postgres://file");
    assert_eq!(url(file, &[("DATABASE_URL", "postgres://common")]), "postgres://common");
    let both = [("DATABASE_URL", "postgres://common"), ("MOORING_DATABASE__URL", "postgresql://own")];
    assert_eq!(url(file, &both), "postgresql://own");
    assert_eq!(load("", &[("DATABASE_URL", "")]).unwrap().database.url, None);
}

#[test]
fn unknown_keys_are_refused_by_file_line_key_and_nearest() {
    in_file("listne = '127.0.0.1:1'", &["mooring.toml:1", "listne", "listen"]);
    in_file("\n[sessions]\nabsolute = '1h'\nidel = '5m'", &["mooring.toml:4", "sessions.idel", "sessions.idle"]);
    in_file("[sesions]\nidle = '5m'", &["mooring.toml:1", "sesions", "is sessions;"]);
    in_file("[[clients]]\nclient_id = 'x'", &["clients", "is client;"]);
    in_file("[tokens]\nidle = '5m'", &["tokens.idle", "is sessions.idle;"]);
    in_file("access = '5m'", &["is tokens.access;"]);
    in_file("[[scope]]\nname = 'a'\n\n[[scope]]\nname = 'b'\nmaxage = '1m'", &["mooring.toml:6", "scope.max_age"]);
    in_file("[[client]]\nclient_id = 'x'\nredirect_uri = 'y'", &["mooring.toml:3", "client.redirect_uris"]);
    in_file("[[user]]\nusername = 'x'\nmail = 'y'", &["user.mail", "user.email"]);
    in_file("[[client]]\n'redirect_uris#de' = []", &["redirect_uris#de"]);
}

#[test]
fn unknown_variables_are_refused_by_name_and_nearest() {
    let unknown = |name: &str, nearest: &str| refused("", &[(name, "x")], &[name, &format!("is {nearest};")]);
    unknown("MOORING_ISUER", "MOORING_ISSUER");
    unknown("MOORING_SESSIONS_IDLE", "MOORING_SESSIONS__IDLE");
    unknown("MOORING_DATABASE_URL", "MOORING_DATABASE__URL");
    unknown("MOORING_CONFG", "MOORING_CONFIG");
    unknown("MOORING_listen", "MOORING_LISTEN");
    // What is repeated comes from the file only.
    refused("", &[("MOORING_CLIENT__CLIENT_ID", "x")], &["MOORING_CLIENT__CLIENT_ID", "[[client]]", "file only"]);
}

#[test]
fn variables_of_others_are_let_be() {
    load(
        "",
        &[
            ("PATH", "/bin"),
            ("MOORING_CONFIG", "mooring.toml"),
            ("MOORING_POSTGRES", "/usr/lib/postgresql/17/bin"),
            // Kubernetes, for services called `mooring` and `mooring-db`.
            ("MOORING_SERVICE_HOST", "10.0.0.1"),
            ("MOORING_SERVICE_PORT", "8080"),
            ("MOORING_SERVICE_PORT_HTTP", "8080"),
            ("MOORING_PORT", "tcp://10.0.0.1:8080"),
            ("MOORING_PORT_8080_TCP", "tcp://10.0.0.1:8080"),
            ("MOORING_PORT_8080_TCP_ADDR", "10.0.0.1"),
            ("MOORING_DB_PORT_5432_TCP_PROTO", "tcp"),
        ],
    )
    .unwrap();
    refused("", &[("MOORING_PORT", "8080")], &["MOORING_PORT"]);
}

#[test]
fn values_are_refused_by_place_key_value_and_mend() {
    in_file("\n[sessions]\nidle = '30'", &["mooring.toml:3", "sessions.idle", "\"30\"", "\"30m\""]);
    in_file("[sessions]\nidle = 30", &["sessions.idle = 30", "\"30m\""]);
    in_file("[database]\nmax_connections = 0", &["database.max_connections = 0", "at least 1"]);
    in_file(
        "[passkeys]\nrelated_origins = ['https://www.example/path']",
        &["passkeys.related_origins", "without a path"],
    );
    in_file("[registration]\npolicy = 'on'", &["registration.policy = \"on\"", "\"off\", \"token\", \"open\""]);
    in_file("trusted_proxies = ['127.0.0.1/33']", &["trusted_proxies", "127.0.0.1/33", "CIDR"]);
    in_file("listen = 'localhost:8080'", &["listen = \"localhost:8080\"", "127.0.0.1:8080"]);
    in_file("[pages]\nname = ' '", &["pages.name"]);
    in_file("[log]\nfilter = 'info,=='", &["log.filter", "level"]);
    refused("", &[("MOORING_TOKENS__ACCESS", "5 min")], &["variable MOORING_TOKENS__ACCESS = \"5 min\"", "\"30m\""]);
    refused("", &[("MOORING_ISSUER", "https://\u{fffd}")], &["MOORING_ISSUER"]);
    let long = format!("listen = '''{}\n\n\n'''", "x".repeat(500));
    assert!(refused(&long, &[], &["listen = \"xxx"]).len() < 300);
}

#[test]
fn tables_are_written_as_their_kind() {
    in_file("sessions = '30m'", &["sessions", "[sessions]"]);
    in_file("[[sessions]]\nidle = '1m'", &["mooring.toml:1", "write [sessions]"]);
    in_file("[scope]\nname = 'a'", &["write [[scope]]"]);
}

#[test]
fn a_slip_of_syntax_has_a_line() {
    in_file("listen = '127.0.0.1:1'\n\n[sessions\nidle = '30m'", &["mooring.toml:3", "TOML"]);
    in_file("listen = 127.0.0.1", &["mooring.toml:1"]);
    in_file("a = 1\na = 2", &["mooring.toml:2"]);
}

#[test]
fn a_file_that_is_not_there_is_said() {
    let sources = Sources { file: Some("/nowhere/mooring.toml".into()), environment: vec![] };
    let stop = Config::load(sources).unwrap_err();
    assert!(stop.to_string().contains("/nowhere/mooring.toml") && stop.to_string().contains("--config"));
    assert_eq!(stop.exit_code(), 1);
}

#[test]
fn a_plain_issuer_is_for_this_machine() {
    in_file("issuer = 'http://id.example'", &["issuer = \"http://id.example\"", "https"]);
    refused("", &[("MOORING_ISSUER", "http://192.168.1.2:8080")], &["MOORING_ISSUER", "https"]);
    load("issuer = 'http://id.localhost:8080/t'", &[]).unwrap();
    // One that is not given follows where the server listens.
    assert_eq!(load("listen = '127.0.0.1:9000'", &[]).unwrap().issuer.as_str(), "http://localhost:9000");
    let tls = "listen = '[::]:8443'\n[tls]\ncertificate = 'c'\nkey = 'k'";
    assert_eq!(load(tls, &[]).unwrap().issuer.as_str(), "https://localhost:8443");
}

#[test]
fn replicas_share_a_master_secret() {
    let master = |file: &str, environment: &[(&str, &str)]| load(file, environment).unwrap().master_source();
    assert_eq!(master("", &[]).unwrap(), MasterSource::Generated("./.mooring/master.key".into()));
    // A file of the embedded database is kept beside it, unless it is said where.
    let file = |path: &str| format!("data_dir = '/srv/data'\n[secrets]\nmaster_file = '{path}'");
    let made = MasterSource::Generated("/srv/data/own.key".into());
    assert_eq!(master(&file("own.key"), &[]).unwrap(), made);
    let kept = MasterSource::File("/etc/own.key".into());
    assert_eq!(master(&file("/etc/own.key"), &[]).unwrap(), kept);
    let shared = MasterSource::File("own.key".into());
    assert_eq!(master(&file("own.key"), &[("DATABASE_URL", "postgres://x")]).unwrap(), shared);
    let stop = master("", &[("DATABASE_URL", "postgres://x")]).unwrap_err();
    assert!(stop.to_string().contains("MOORING_SECRETS__MASTER") && stop.to_string().contains("master_file"));
    let given = [("DATABASE_URL", "postgres://x"), ("MOORING_SECRETS__MASTER", SECRET)];
    assert_eq!(master("", &given).unwrap(), MasterSource::Given(Secret::new(SECRET)));
    refused("", &[("MOORING_SECRETS__MASTER", &SECRET[1..])], &["MOORING_SECRETS__MASTER", "32"]);
    let both = [("MOORING_SECRETS__MASTER", SECRET), ("MOORING_SECRETS__MASTER_FILE", "master.key")];
    refused("", &both, &["MOORING_SECRETS__MASTER_FILE", "keep one"]);
}

#[test]
fn lifetimes_fit_each_other() {
    in_file("[sessions]\nidle = '13h'", &["sessions.idle", "sessions.absolute", "12h"]);
    refused("[sessions]\nabsolute = '10m'", &[], &["sessions.idle = 30m (its default)", "10m"]);
    in_file("[sessions]\nidle = '0s'", &["sessions.idle", "longer than 0s"]);
    in_file("[tokens]\ncode = '11m'", &["tokens.code", "10m"]);
    in_file("[tokens]\naccess = '0s'", &["tokens.access"]);
    assert_eq!(load("[tokens]\nrefresh_grace = '0s'", &[]).unwrap().tokens.refresh_grace, TimeDelta::zero());
    load("[tokens]\ncode = '10m'\n[sessions]\nidle = '12h'", &[]).unwrap();
}

#[test]
fn what_belongs_together_is_given_together() {
    in_file("[tls]\ncertificate = 'c'", &["tls.certificate", "tls.key"]);
    in_file("[tls]\nkey = 'k'", &["tls.key", "tls.certificate"]);
    in_file("[registration]\npolicy = 'token'", &["registration.policy", "initial_access_token_file"]);
    in_file("[database]\nmigrate_url = 'postgres://x'", &["database.migrate_url", "database.url"]);
    in_file("[passwords]\nmemory_kib = 7", &["passwords.memory_kib = 7", "8"]);
    in_file("[passwords]\nparallelism = 65", &["passwords.parallelism"]);
}

#[test]
fn secrets_are_never_repeated() {
    let hidden = "hunter2";
    for (file, environment) in [
        ("[database]\nurl = 'mysql://u:hunter2@db'", &[][..]),
        ("", &[("DATABASE_URL", "mysql://u:hunter2@db")][..]),
        ("", &[("MOORING_SECRETS__MASTER", hidden)][..]),
        ("[[user]]\nusername = 'a'\npassword = ['hunter2']", &[][..]),
        ("[[client]]\nclient_id = 'a'\nclient_secret = 'hunter2'\nredirect_uris = ['https://a.example']", &[][..]),
        ("[[client]]\nclient_id = 'a'\nclient_secret = ['hunter2']", &[][..]),
        (
            "[[client]]\nclient_id = 'a'\nredirect_uris = ['https://a.example']\njwks.keys = [{ kty = 'EC', d = 'hunter2' }]",
            &[][..],
        ),
    ] {
        assert!(!refused(file, environment, &[]).contains(hidden), "{file}");
    }
    let file = format!(
        "[database]\nurl = 'postgres://u:{SECRET}@db?password={SECRET}'\n[secrets]\nmaster = '{SECRET}'\n\
         [[client]]\nclient_id = 'a'\nclient_secret = '{SECRET}'\nredirect_uris = ['https://a.example']\n\
         [[user]]\nusername = 'a'\npassword = '{SECRET}'"
    );
    assert!(!format!("{:?}", load(&file, &[]).unwrap()).contains(SECRET));
}

#[test]
fn privileged_scopes_say_what_they_demand() {
    let privileged = |rest: &str| load(&format!("[[scope]]\nname = 'p'\nprivileged = true\n{rest}"), &[]);
    for acr in ["phr", "phrh", "urn:mooring:acr:mfa"] {
        let config = privileged(&format!("acr = '{acr}'\napproval = 'four_eyes'")).unwrap();
        let demands = config.scopes[0].privileged.as_ref().unwrap();
        assert_eq!((demands.acr.as_str(), demands.approval), (acr, Approval::FourEyes));
    }
    assert!(privileged("acr = 'urn:mooring:acr:pwd'").unwrap_err().to_string().contains("urn:mooring:acr:mfa"));
    assert!(privileged("duration = '0s'").unwrap_err().to_string().contains("scope.duration"));
    in_file("[[scope]]\nname = 'a'\nacr = 'phr'", &["mooring.toml:3", "scope.acr", "privileged = true"]);
    in_file("[[scope]]\nname = 'offline_access'\nprivileged = true", &["scope.privileged"]);
    in_file("[[scope]]\nname = 'email'\nprivileged = true", &["scope.privileged", "claim by claim"]);
    in_file("[[scope]]\nname = 'a b'", &["scope.name = \"a b\""]);
    in_file("[[scope]]\nname = 'a'\n[[scope]]\ndescription = 'b'", &["mooring.toml:3", "[[scope]]", "no name"]);
}

#[test]
fn privileged_scopes_say_who_may_ask_from_where_and_when() {
    let privileged = |rest: &str| load(&format!("[[scope]]\nname = 'p'\nprivileged = true\n{rest}"), &[]);
    let config = privileged(
        "administrators = true\ngroups = ['ops', 'duty']\nnetworks = ['10.0.0.0/8', '::1']\n\
         hours = 'Mon-Fri 08:00-18:00'\nknown_device = true\napproval = 'four_eyes'\nbreak_glass = true",
    );
    let config = config.unwrap();
    let demands = config.scopes[0].privileged.as_ref().unwrap();
    assert!(demands.break_glass && demands.access.administrators && demands.access.known_device);
    assert_eq!((demands.access.groups.len(), demands.access.networks.len()), (2, 2));
    assert_eq!(demands.access.hours.as_ref().unwrap().to_string(), "Mon-Fri 08:00-18:00 UTC");
    assert_eq!(privileged("").unwrap().scopes[0].privileged.as_ref().unwrap().access, Access::default());

    let scope = |rest: &str| format!("[[scope]]\nname = 'p'\nprivileged = true\n{rest}");
    in_file(&scope("hours = 'Mon-Fri 08:00-18:00 Europe/Oslo'"), &["mooring.toml:4", "scope.hours", "in UTC"]);
    in_file(&scope("groups = []"), &["scope.groups", "leave it out"]);
    in_file(&scope("networks = []"), &["scope.networks", "leave it out"]);
    in_file(&scope("networks = ['10.0.0.0/99']"), &["scope.networks", "CIDR"]);
    in_file(&scope("break_glass = true"), &["scope.break_glass", "four_eyes"]);
    in_file(
        "[[scope]]\nname = 'a'\nhours = 'Mon 08:00-18:00'",
        &["mooring.toml:3", "scope.hours", "privileged = true"],
    );
}

#[test]
fn the_scopes_of_the_hub_are_somebodys() {
    let hub = |rest: &str| format!("[[scope]]\nname = 'hub:elevations'\n{rest}");
    let config = load(&hub("privileged = true\ngroups = ['approvers']"), &[]).unwrap();
    let access = |name: &str| {
        let scope = config.scopes.find(name).unwrap();
        scope.privileged.clone().unwrap().access
    };
    assert!(!access("hub:elevations").administrators && access("hub:elevations").groups == ["approvers"]);
    assert!(access("hub:sessions").administrators);
    in_file(&hub(""), &["scope.privileged", "privileged = true"]);
    in_file(&hub("privileged = true"), &["administrators = true"]);
    in_file(&hub("privileged = true\nadministrators = true\napproval = 'four_eyes'"), &["scope.approval"]);
    in_file("[[scope]]\nname = 'hub:other'", &["scope.name", "Identity Hub"]);
    in_file(
        "[[client]]\nclient_id = 'mooring-hub'\ntoken_endpoint_auth_method = 'none'\nredirect_uris = ['https://a.example']",
        &["client_id", "Identity Hub"],
    );
}

#[test]
fn names_are_given_once() {
    in_file("[[scope]]\nname = 'a'\n[[scope]]\nname = 'a'", &["mooring.toml:4", "scope.name = \"a\""]);
    let resource = "[[resource]]\nidentifier = 'https://a.example'\n";
    in_file(&resource.repeat(2), &["mooring.toml:4", "resource.identifier"]);
    let client =
        "[[client]]\nclient_id = 'a'\ntoken_endpoint_auth_method = 'none'\nredirect_uris = ['https://a.example']\n";
    in_file(&client.repeat(2), &["mooring.toml:6", "client.client_id"]);
    let user = "[[user]]\nusername = 'alice'\npassword = 'x'\n";
    in_file(&format!("{user}{}", user.replace("alice", "Alice")), &["mooring.toml:5", "user.username"]);
}

#[test]
fn declared_clients_obey_the_rules_of_all_and_two_more() {
    let client = |rest: &str| format!("[[client]]\nclient_id = 'a'\nredirect_uris = ['https://a.example/cb']\n{rest}");
    in_file("[[client]]\nredirect_uris = ['https://a.example']", &["client.client_id", "required"]);
    in_file(&client(""), &["client.client_secret", "\"a\"", "required"]);
    in_file(&client("client_secret = 'short'"), &["mooring.toml:4", "client.client_secret", "32"]);
    in_file(
        &client("grant_types = 'authorization_code'"),
        &["mooring.toml:4", "client.grant_types = \"authorization_code\""],
    );
    in_file(&client("grant_types = ['implicit']"), &["client.grant_types", "implicit"]);
    in_file(&client("token_endpoint_auth_method = 'mtls'"), &["token_endpoint_auth_method", "private_key_jwt"]);
    in_file("[[client]]\nclient_id = 'a'\nredirect_uris = ['http://a.example']", &["mooring.toml:3", "redirect_uris"]);
    let tagged = client("token_endpoint_auth_method = 'none'\n'client_name#de' = 'A'");
    assert!(load(&tagged, &[]).unwrap().clients[0].is_public());
    let keys =
        "token_endpoint_auth_method = 'private_key_jwt'\njwks = { keys = [{ kty = 'OKP', crv = 'Ed25519', x = 'x' }] }";
    assert!(load(&client(keys), &[]).unwrap().clients[0].jwks.is_some());
}

#[test]
fn resources_are_uris() {
    for wrong in ["api", "https://a.example/#x", "https://a.example/\"b", "https://a.example/ b", "https://ä.example"]
    {
        in_file(&format!("[[resource]]\nidentifier = '{wrong}'"), &["resource.identifier", "absolute URI"]);
    }
    in_file("[[resource]]\nidentifier = 'urn:api'\nscopes = ['a b']", &["resource.scopes"]);
    let resource = &load("[[resource]]\nidentifier = 'urn:api'", &[]).unwrap().resources[0];
    assert_eq!((&resource.access_token_format, &resource.client), (&None, &None));
    let named = load("[[resource]]\nidentifier = 'urn:api'\nclient = 'api'", &[]).unwrap();
    assert_eq!(named.resources[0].client.as_deref(), Some("api"));
    in_file("[[resource]]\nidentifier = 'urn:api'\nscopes = ['hub:sessions']", &["resource.scopes", "Identity Hub"]);
    // An empty path is the root.
    let both = "[[resource]]\nidentifier = 'https://a.example'\n[[resource]]\nidentifier = 'https://a.example/'\n";
    in_file(both, &["mooring.toml:4", "resource.identifier"]);
}

#[test]
fn claims_have_their_types() {
    let user = |rest: &str| format!("[[user]]\nusername = 'a'\npassword = 'x'\n{rest}");
    in_file(&user("email_verified = 'yes'"), &["mooring.toml:4", "user.email_verified", "true or false"]);
    in_file(&user("email = true"), &["user.email", "string"]);
    in_file(&user("updated_at = 'now'"), &["user.updated_at"]);
    in_file(&user("address = { town = 'x' }"), &["user.address", "locality"]);
    in_file(&user("sub = 'x'"), &["user.sub"]);
    in_file("[[user]]\nusername = 'a'", &["mooring.toml:1", "[[user]]", "no password"]);
    in_file("[[user]]\nusername = ' a'\npassword = 'x'", &["user.username"]);
}

#[test]
fn the_reference_tells_of_every_key() {
    let text = Config::reference();
    for section in SECTIONS {
        for key in (section.keys)() {
            assert!(text.contains(&format!("| `{}` | {} |", key.name(), key.kind())), "{}", key.name());
            assert!(!key.doc().is_empty());
            assert_eq!(text.contains(&format!("`{}`", section.variable(key.name()))), !section.repeated);
        }
    }
    for part in ["`[sessions]`", "`[[client]]`", "`30m`", "DATABASE_URL", "MOORING_POSTGRES", "number of cores"] {
        assert!(text.contains(part), "{part}");
    }
    let columns = |line: &str| line.replace("\\|", "").matches('|').count();
    let rows = text.lines().filter(|line| line.starts_with('|'));
    assert!(rows.map(columns).all(|count| [3, 5, 6].contains(&count)));
}
