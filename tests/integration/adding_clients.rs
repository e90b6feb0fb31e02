//! `mooring client add` and `[[client]]`: what an operator misspells is named, and what cannot work is refused.

use std::fs;

use serde_json::{Value, json};

use crate::support::{declared::SECRET, process::Installation};

fn file(changes: &Value) -> String {
    let mut metadata = json!({ "client_name": "Tide Tables", "redirect_uris": ["https://rp.example/cb"] });
    for (name, value) in changes.as_object().unwrap() {
        metadata[name] = value.clone();
    }
    metadata.to_string()
}

#[test]
fn what_is_misspelt_in_a_file_is_named() {
    let installation = Installation::new("");
    let add = |changes: &Value| installation.run_with(&["client", "add", "--file", "-"], &file(changes));
    for (changes, said) in [
        (
            json!({ "redirect_uri": "https://rp.example/cb" }),
            "unknown member redirect_uri; did you mean redirect_uris?",
        ),
        (json!({ "token_endpoint_auth_methods": "none" }), "did you mean token_endpoint_auth_method?"),
        (json!({ "scopes": "openid" }), "unknown member scopes; did you mean scope?"),
        (json!({ "enabled": true }), "unknown member enabled; leave it out"),
        (json!({ "redirect_uris": ["https://app/*"] }), "has a *"),
        (json!({ "redirect_uris": ["https://*.app.example/cb"] }), "has a *"),
        (json!({ "redirect_uris": ["com.example.app:/*"] }), "has a *"),
        (json!({ "post_logout_redirect_uris": ["https://app/*"] }), "has a *"),
        (json!({ "dpop_bound_access_tokens": true }), "not bound by DPoP"),
        (json!({ "id_token_encrypted_response_alg": "RSA-OAEP" }), "encryption is not supported"),
    ] {
        let ran = add(&changes);
        let refused = ran.failed(1);
        assert_eq!(refused.lines().count(), 1, "{refused}");
        assert!(refused.contains(said), "{changes}: {refused}");
    }
    // The file's name is said, and nothing was added.
    let path = installation.data().with_file_name("rp.json");
    fs::write(&path, file(&json!({ "grant_type": ["authorization_code"] }))).unwrap();
    let ran = installation.run(&["client", "add", "--file", path.to_str().unwrap()]);
    assert!(ran.failed(1).contains("rp.json: unknown member grant_type; did you mean grant_types?"), "{}", ran.stderr);

    // What the command itself prints can be added again, and what says nothing passes.
    let blank =
        json!({ "client_uri": "", "software_id": "x", "client_name#de": "Tiden", "dpop_bound_access_tokens": false });
    let ran = add(&blank);
    let mut printed: Value = serde_json::from_str(ran.done()).unwrap();
    assert_eq!(printed["token_endpoint_auth_method"], "client_secret_basic");
    assert_eq!(printed["assertion_audience"], "issuer");
    printed["client_id"] = json!("again");
    installation.run_with(&["client", "add", "--file", "-"], &printed.to_string()).done();
}

#[test]
fn a_scope_that_nobody_declares_is_warned_about() {
    let client = format!(
        "[[client]]\nclient_id = \"rp\"\nclient_secret = \"{SECRET}\"\n\
         redirect_uris = [\"https://rp.example/cb\"]\nscope = \"openid ships:read ships:raed\"\n"
    );
    let installation = Installation::new(&client);
    assert_eq!(installation.serve_logging("warn").stop(), Some(0));
    let log = installation.log();
    let warned: Vec<_> = log.lines().filter(|line| line.contains("that no [[scope]] declares")).collect();
    assert_eq!(warned.len(), 1, "{log}");
    assert!(warned[0].contains("ships:raed") && warned[0].contains("rp"), "{warned:?}");
    let ran = installation.run_with(
        &["client", "add", "--file", "-"],
        &file(&json!({ "scope": "openid offline_access cargo:read ships:read" })),
    );
    ran.done();
    assert_eq!(
        ran.stderr.trim(),
        "mooring: no [[scope]] declares cargo:read: until one does, the client is not given it"
    );
    // A wildcard is refused in a declaration, too.
    installation.declare(&client.replace("https://rp.example/cb", "https://app/*"));
    assert!(installation.run(&["client", "list"]).failed(1).contains("has a *"));
}
