//! What people sign in with, however they type it: a name or an address, in any Unicode form; and the password with it.

use mooring::{
    config::is_username,
    db::users,
    jose::{base64url, random_bytes},
};

use crate::support::{
    ALICE, PASSWORD, Server, Settings,
    agent::{Agent, Page},
    process::Installation,
};

async fn sign_in(server: &Server, identifier: &str, password: &str) -> (Agent, Page) {
    let agent = server.agent();
    let page = agent.open(&server.at("/account")).await;
    let page = agent.sign_in(&page, identifier, password).await;
    (agent, page)
}

/// The name on the account page, or the status of the refusal.
async fn who(server: &Server, identifier: &str, password: &str) -> Result<String, u16> {
    let (_, page) = sign_in(server, identifier, password).await;
    if page.status == 200 { Ok(page.heading()) } else { Err(page.status) }
}

/// Adds a person with a password, as a command does.
async fn add(server: &Server, name: &str, password: &str) -> bool {
    let phc = server.app.passwords.hash(password.to_owned()).await.unwrap();
    server
        .work(async |tx| {
            let claims = serde_json::json!({ "name": name });
            let Some(user) = users::insert(tx, name, &claims, false).await? else { return Ok(false) };
            users::set_password(tx, user.id, &phc, None).await?;
            Ok(true)
        })
        .await
}

#[tokio::test]
async fn an_address_signs_in_as_its_one_owner() {
    let server = Server::usual().await;
    for address in ["alice@example.com", " ALICE@Example.COM "] {
        assert_eq!(who(&server, address, PASSWORD).await, Ok("Alice Example".to_owned()), "{address}");
    }
    assert_eq!(who(&server, "alice@example.com", "a wrong password").await, Err(401));
    assert_eq!(who(&server, "nobody@example.com", PASSWORD).await, Err(401));
    // Known not to be verified: it is nobody's, for signing in as for a reset link.
    let verified = |value: &str| {
        format!("UPDATE users SET claims = claims || '{{\"email_verified\": {value}}}' WHERE username = 'alice'")
    };
    server.rows(&verified("false")).await;
    assert_eq!(who(&server, "alice@example.com", PASSWORD).await, Err(401));
    server.rows(&verified("true")).await;
    // An address that is not known to be theirs takes it from nobody.
    server.rows("UPDATE users SET claims = claims || '{\"email\": \"alice@example.com\", \"email_verified\": false}' WHERE username = 'bob'").await;
    assert_eq!(who(&server, "alice@example.com", PASSWORD).await, Ok("Alice Example".to_owned()));
    // Of two who have it, it is neither's: they have names.
    server.rows("UPDATE users SET claims = claims || '{\"email_verified\": true}' WHERE username = 'bob'").await;
    assert_eq!(who(&server, "alice@example.com", PASSWORD).await, Err(401));
    assert_eq!(who(&server, ALICE, PASSWORD).await, Ok("Alice Example".to_owned()));
}

/// A name that looks like somebody's address is a name first, and opens nothing of theirs.
#[tokio::test]
async fn a_name_goes_before_an_address() {
    let server = Server::usual().await;
    assert!(add(&server, "alice@example.com", "the password of another").await);
    assert_eq!(who(&server, "alice@example.com", "the password of another").await, Ok("alice@example.com".to_owned()));
    assert_eq!(who(&server, "alice@example.com", PASSWORD).await, Err(401));
    assert_eq!(who(&server, ALICE, PASSWORD).await, Ok("Alice Example".to_owned()));
}

#[tokio::test]
async fn a_name_is_the_same_in_every_form() {
    let server = Server::usual().await;
    for (name, forms) in [
        ("José Straße", ["Jose\u{301} STRASSE", "ＪＯＳÉ strasse", "jos\u{e9} straße"]),
        ("ﬁona", ["fiona", "FIONA", "ﬁONA"]),
        ("ΣΊΣΥΦΟΣ", ["σίσυφος", "Σίσυφοσ", "ΣΊΣΥΦΟΣ"]),
    ] {
        assert!(add(&server, name, PASSWORD).await, "{name}");
        for form in forms {
            assert_eq!(who(&server, form, PASSWORD).await, Ok(name.to_owned()), "{form}");
            assert!(!add(&server, form, PASSWORD).await, "{form} is taken");
        }
    }
    assert!(!add(&server, "ＡＬＩＣＥ", PASSWORD).await, "alice is");
    // Other letters are other people.
    assert!(add(&server, "аlice", PASSWORD).await, "a Cyrillic letter");
}

/// Names that were there before: found as they are written at once, in other forms as soon as the job has seen them, and of two
/// that are the same each stays whose it is.
#[tokio::test]
async fn names_of_before_keep_working() {
    let server = Server::usual().await;
    for name in ["ﬁona", "fiona", "Straße", "Zoë"] {
        let old = if name == "fiona" { "ﬁona2" } else { name };
        assert!(add(&server, old, &format!("the password of {name}")).await);
        server
            .rows(&format!(
                "UPDATE users SET username = '{name}', username_key = lower('{name}') WHERE username = '{old}'"
            ))
            .await;
    }
    server.rows("DELETE FROM user_names").await;
    server.rows("INSERT INTO user_names (user_id) SELECT id FROM users WHERE octet_length(username) <> char_length(username)").await;
    let own = async |name: &str| {
        let heading = if name == "fiona" { "ﬁona2" } else { name };
        assert_eq!(who(&server, name, &format!("the password of {name}")).await, Ok(heading.to_owned()), "{name}");
    };
    for name in ["ﬁona", "fiona", "Straße", "Zoë"] {
        own(name).await;
    }
    let replica = server.replica(Settings::default().jobs()).await;
    for _ in 0..200 {
        if replica.value("SELECT count(*) FROM user_names WHERE key IS NULL AND conflict_at IS NULL").await == "0" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(server.value("SELECT count(*) FROM user_names WHERE conflict_at IS NOT NULL").await, "1");
    for name in ["ﬁona", "fiona", "Straße", "Zoë"] {
        own(name).await;
    }
    assert_eq!(who(&server, "STRASSE", "the password of Straße").await, Ok("Straße".to_owned()));
    assert_eq!(who(&server, "Zoe\u{308}", "the password of Zoë").await, Ok("Zoë".to_owned()));
    assert_eq!(who(&server, "FIONA", "the password of ﬁona").await, Err(401), "it is fiona's");
}

#[tokio::test]
async fn what_cannot_be_seen_is_refused_in_a_name() {
    let server = Server::usual().await;
    let operator = Installation::on(server.app.config.database.url.as_deref().unwrap());
    for hidden in ["\u{200b}", "\u{202e}", "\u{2066}", "\u{ad}", "\u{3164}", "\u{feff}", "\u{2800}", "\u{a0}"] {
        assert!(!is_username(&format!("al{hidden}ice")), "{hidden:?}");
    }
    operator.run_with(&["user", "add", "al\u{200b}ice", "--password-stdin"], PASSWORD).failed(2);
    operator.run_with(&["user", "add", "ＢＯＢ", "--password-stdin"], PASSWORD).failed(1);
    operator.run_with(&["user", "add", "Bøb", "--password-stdin"], PASSWORD).done();
    assert_eq!(who(&server, "bØb", PASSWORD).await, Ok("Bøb".to_owned()));
}

/// A password that another keyboard composes otherwise is the same; one that was hashed as it was typed still fits, and is
/// hashed anew.
#[tokio::test]
async fn a_password_is_the_same_in_every_form() {
    let server = Server::usual().await;
    let (composed, decomposed) = ("pa\u{df}wort f\u{fc}r caf\u{e9}s", "pa\u{df}wort fu\u{308}r cafe\u{301}s");
    assert!(add(&server, "new", decomposed).await);
    for password in [composed, decomposed] {
        assert_eq!(who(&server, "new", password).await, Ok("new".to_owned()), "{password:?}");
    }
    // Compatibility forms are other characters in a password (RFC 8265 §4.2.2 keeps to NFC).
    assert!(add(&server, "wide", "ｗｉｄｅ letters in it").await);
    assert_eq!(who(&server, "wide", "wide letters in it").await, Err(401));

    // As an older version hashed it.
    let argon2 = argon2_of(decomposed);
    assert!(add(&server, "old", "to be replaced").await);
    let old = "(SELECT id FROM users WHERE username = 'old')";
    server.rows(&format!("UPDATE credentials SET secret_hash = '{argon2}' WHERE user_id = {old}")).await;
    assert_eq!(who(&server, "old", composed).await, Err(401), "not yet");
    assert_eq!(who(&server, "old", decomposed).await, Ok("old".to_owned()));
    assert_ne!(server.value(&format!("SELECT secret_hash FROM credentials WHERE user_id = {old}")).await, argon2);
    for password in [composed, decomposed] {
        assert_eq!(who(&server, "old", password).await, Ok("old".to_owned()), "{password:?}");
    }
    assert_eq!(who(&server, "old", &base64url(&random_bytes::<8>())).await, Err(401));
}

/// A hash of exactly these octets.
fn argon2_of(password: &str) -> String {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
    let params = Params::new(64, 1, 1, None).unwrap();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password(password.as_bytes()).unwrap().to_string()
}

/// Editors and shells of Windows begin a file with a byte order mark.
#[tokio::test]
async fn a_byte_order_mark_is_no_part_of_a_password() {
    let server = Server::usual().await;
    let operator = Installation::on(server.app.config.database.url.as_deref().unwrap());
    let marked = format!("\u{feff}{PASSWORD}\r\n");
    operator.run_with(&["user", "add", "carol", "--password-stdin"], &marked).done();
    assert_eq!(who(&server, "carol", PASSWORD).await, Ok("carol".to_owned()));
    operator.run_with(&["user", "password", ALICE, "--password-stdin"], &format!("\u{feff}another {PASSWORD}")).done();
    assert_eq!(who(&server, ALICE, &format!("another {PASSWORD}")).await, Ok("Alice Example".to_owned()));
}
