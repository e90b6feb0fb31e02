//! Commands as an operator meets them: what they say when they cannot go on, and what they say of what they did.



use crate::support::{
    process::{Installation, Ran},
};

/// A command fails in one line.
#[track_caller]
fn in_one_line(ran: &Ran) -> &str {
    let said = ran.failed(1);
    assert_eq!(said.lines().count(), 1, "{said}");
    said
}

#[test]
fn a_command_says_what_is_wrong_and_what_mends_it_in_one_line() {
    let installation = Installation::new("");
    let elsewhere = Installation::new("").at("postgres://nobody@127.0.0.1:1/nothing");
    for command in [&["session", "list"][..], &["client", "list"], &["keys", "rotate"]] {
        assert!(in_one_line(&elsewhere.run(command)).contains("MOORING_SECRETS__MASTER"));
    }
    let away = Installation::on("postgres://nobody@127.0.0.1:1/nothing");
    for command in [&["session", "list"][..], &["migrate"]] {
        assert!(in_one_line(&away.run(command)).contains("check DATABASE_URL"));
    }
    installation.declare("[tokens]\nacess = \"5m\"\n");
    for command in [&["migrate"][..], &["audit", "export"]] {
        let ran = installation.run(command);
        let said = in_one_line(&ran);
        assert!(said.contains("acess") && said.contains("`mooring docs config` lists all"), "{said}");
    }
    installation.declare("[[user]]\nusername = [\n");
    assert!(in_one_line(&installation.run(&["migrate"])).contains("mooring.toml"));
}

#[test]
fn a_command_that_made_a_database_says_so() {
    let installation = Installation::new("");
    let made = installation.run(&["client", "list"]);
    assert!(made.json().is_array());
    let data = installation.data().canonicalize().unwrap();
    assert_eq!(made.stderr.trim(), format!("mooring: made a new embedded database in {}", data.display()));
    assert_eq!(installation.run(&["client", "list"]).stderr, "");
    // `migrate` is a way of making it.
    let installation = Installation::new("");
    assert!(installation.run(&["migrate"]).stderr.contains("made a new embedded database"));
}
