//! `phrh`: an authority that the configuration names vouches for the authenticator, and the key cannot be backed up.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use base64::{Engine, engine::general_purpose::STANDARD};
use mooring::jose::{base64url, from_base64url, sha256};
use serde_json::{Value, json};

use crate::support::{ALICE, Server, Settings, passkey::Passkey};

fn file(name: &str) -> String {
    format!("{}/tests/integration/attestation/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// What stands between the lines of a PEM file.
fn der(name: &str) -> Vec<u8> {
    let text = std::fs::read_to_string(file(name)).unwrap();
    let inner: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(inner).unwrap()
}

/// CBOR (RFC 8949): a head, and octets behind it.
fn cbor(major: u8, octets: &[u8]) -> Vec<u8> {
    let length = u16::try_from(octets.len()).unwrap().to_be_bytes();
    [&[(major << 5) | 0x19], &length[..], octets].concat()
}

fn text(text: &str) -> Vec<u8> {
    cbor(3, text.as_bytes())
}

/// The new passkey as an authenticator of a known make would have attested it (WebAuthn §8.2): its authenticator data, with
/// `flags` added, signed with the make's key.
fn attest(made: &Value, flags: u8) -> Value {
    let object = from_base64url(made["response"]["attestationObject"].as_str().unwrap()).unwrap();
    let name = b"authData";
    let at = object.windows(name.len()).position(|octets| octets == name).unwrap() + name.len();
    assert_eq!(object[at], 0x58, "octets with a length of one octet");
    let length = usize::from(object[at + 1]);
    let mut data = object[at + 2..at + 2 + length].to_vec();
    data[32] |= flags;
    let client = from_base64url(made["response"]["clientDataJSON"].as_str().unwrap()).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &der("authenticator.key")).unwrap();
    let signature = key.sign(&SystemRandom::new(), &[&data[..], &sha256(&[&client])].concat()).unwrap();
    let statement = [
        vec![0xa3],
        [text("alg"), vec![0x26]].concat(),
        [text("sig"), cbor(2, signature.as_ref())].concat(),
        [text("x5c"), vec![0x81], cbor(2, &der("authenticator.pem"))].concat(),
    ];
    let object = [
        vec![0xa3],
        [text("fmt"), text("packed")].concat(),
        [text("attStmt"), statement.concat()].concat(),
        [text("authData"), cbor(2, &data)].concat(),
    ];
    let mut attested = made.clone();
    attested["response"]["attestationObject"] = json!(base64url(&object.concat()));
    attested
}

/// Alice with a passkey that `change` has changed before it was sent.
async fn acr_with(server: &Server, change: impl Fn(&Value) -> Value) -> String {
    let (agent, mut passkey) = (server.agent(), Passkey::new());
    let account = agent.walk(&server.at("/account"), ALICE).await;
    let asked = agent.ask(&account, "add-passkey", &[]).await.unwrap_or_else(|page| panic!("{}", page.body));
    let made = change(&passkey.create(asked.page(), &asked.options));
    let answer = agent.answer(&asked, &made).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let stranger = server.agent();
    let page = stranger.open(&server.at("/login")).await;
    stranger.use_passkey(&page, &mut passkey).await;
    server.value("SELECT acr FROM sessions ORDER BY id DESC LIMIT 1").await
}

#[tokio::test]
async fn attested_and_not_to_be_backed_up_is_hardware() {
    let server = Server::start(Settings::default().set("passkeys.attestation_ca", &file("root.pem"))).await;
    assert_eq!(acr_with(&server, |made| attest(made, 0)).await, "phrh");
    assert_eq!(server.value("SELECT count(*) FROM credentials WHERE attested_at IS NOT NULL").await, "1");
    let account = server.agent();
    let page = account.walk(&server.at("/account"), ALICE).await;
    assert!(page.body.contains(">Hardware<"), "{}", page.body);
}

#[tokio::test]
async fn nothing_less_is() {
    // Nobody vouches: the authenticator signs for itself.
    let server = Server::start(Settings::default().set("passkeys.attestation_ca", &file("root.pem"))).await;
    assert_eq!(acr_with(&server, Value::clone).await, "phr");
    // An authority that is not in the list.
    let other = crate::support::server::certificate("ca.pem");
    let server = Server::start(Settings::default().set("passkeys.attestation_ca", &other)).await;
    assert_eq!(acr_with(&server, |made| attest(made, 0)).await, "phr");
    // No list: nobody was asked.
    let server = Server::usual().await;
    assert_eq!(acr_with(&server, |made| attest(made, 0)).await, "phr");
}

/// A passkey that may be backed up (BE) is no hardware, whoever vouches for it.
#[tokio::test]
async fn what_can_be_backed_up_is_not() {
    let server = Server::start(Settings::default().set("passkeys.attestation_ca", &file("root.pem"))).await;
    let (agent, mut passkey) = (server.agent(), Passkey::new());
    let account = agent.walk(&server.at("/account"), ALICE).await;
    let asked = agent.ask(&account, "add-passkey", &[]).await.unwrap_or_else(|page| panic!("{}", page.body));
    assert_eq!(asked.options["attestation"], "direct");
    let made = attest(&passkey.create(asked.page(), &asked.options), 0x08);
    assert_eq!(agent.answer(&asked, &made).await.status, 200);
    assert_eq!(server.value("SELECT count(*) FROM credentials WHERE attested_at IS NOT NULL").await, "0");
    assert_eq!(server.value("SELECT count(*) FROM credentials WHERE kind = 'passkey'").await, "1");
}

/// An attestation whose signature is wrong is a lie, and not merely none.
#[tokio::test]
async fn a_forged_attestation_is_refused() {
    let server = Server::start(Settings::default().set("passkeys.attestation_ca", &file("root.pem"))).await;
    let (agent, mut passkey) = (server.agent(), Passkey::new());
    let account = agent.walk(&server.at("/account"), ALICE).await;
    let asked = agent.ask(&account, "add-passkey", &[]).await.unwrap_or_else(|page| panic!("{}", page.body));
    let attested = attest(&passkey.create(asked.page(), &asked.options), 0);
    let mut object = from_base64url(attested["response"]["attestationObject"].as_str().unwrap()).unwrap();
    // The counter, which is zero, in the middle of what was signed.
    let at = object.windows(8).position(|octets| octets == b"authData").unwrap() + 8 + 3 + 33;
    object[at] ^= 1;
    let mut forged = attested;
    forged["response"]["attestationObject"] = json!(base64url(&object));
    assert_eq!(agent.answer(&asked, &forged).await.status, 403);
    assert_eq!(server.value("SELECT count(*) FROM credentials WHERE kind = 'passkey'").await, "0");
}
