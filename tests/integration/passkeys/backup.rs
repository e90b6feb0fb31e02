//! Passkeys that a password manager takes over: they become eligible for backup (BE), and go on working. Only `phrh` rests on
//! what they were.

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use mooring::jose::{base64url, sha256};
use serde_json::{Value, json};

use super::reason;
use crate::support::{
    ALICE, Server,
    agent::{Agent, Page},
    client::Code,
    passkey::Asked,
    proof::request_of,
};

const PRESENT_AND_VERIFIED: u8 = 0x05;
const ELIGIBLE: u8 = 0x08;
const BACKED_UP: u8 = 0x10;

/// An authenticator that says of itself what it is told to: it has taken Alice's passkey over.
struct Manager {
    key: EcdsaKeyPair,
    id: String,
    user: String,
    counter: u32,
}

impl Manager {
    async fn take_over(server: &Server) -> Self {
        server.with_passkey(ALICE).await;
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let point = key.public_key().as_ref();
        let half = |octets: &[u8]| json!(base64url(octets));
        let coordinates = json!({ "x": half(&point[1..33]), "y": half(&point[33..]) });
        for (name, value) in coordinates.as_object().unwrap() {
            let path = format!("{{cred,cred,key,EC_EC2,{name}}}");
            let statement = format!(
                "UPDATE credentials SET passkey = jsonb_set(passkey, '{path}', '{value}') WHERE kind = 'passkey'"
            );
            server.rows(&statement).await;
        }
        server
            .rows("UPDATE credentials SET passkey = jsonb_set(passkey, '{cred,counter}', '0') WHERE kind = 'passkey'")
            .await;
        let id = server.value("SELECT encode(handle, 'hex') FROM credentials WHERE kind = 'passkey'").await;
        let user: uuid::Uuid = server.user_id(ALICE).await.parse().unwrap();
        Self { key, id: base64url(&unhex(&id)), user: base64url(user.as_bytes()), counter: 0 }
    }

    fn sign(&mut self, asked: &Asked, flags: u8) -> Value {
        self.counter += 1;
        let host = asked.page().host_str().unwrap();
        let data =
            [&sha256(&[host.as_bytes()])[..], &[PRESENT_AND_VERIFIED | flags], &self.counter.to_be_bytes()].concat();
        let client = json!({
            "type": "webauthn.get", "challenge": asked.options["challenge"], "crossOrigin": false,
            "origin": asked.page().origin().ascii_serialization(),
        });
        let client = client.to_string();
        let signed = [&data[..], &sha256(&[client.as_bytes()])].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        json!({
            "id": self.id, "rawId": self.id, "type": "public-key", "clientExtensionResults": {},
            "response": {
                "authenticatorData": base64url(&data), "clientDataJSON": base64url(client.as_bytes()),
                "signature": base64url(signature.as_ref()), "userHandle": self.user,
            },
        })
    }

    async fn answer(&mut self, agent: &Agent, page: &Page, flags: u8) -> Page {
        let asked = agent.ask(page, "use-passkey", &[]).await.unwrap_or_else(|page| panic!("{}", page.body));
        let signed = self.sign(&asked, flags);
        agent.answer(&asked, &signed).await
    }

    async fn signs_in(&mut self, server: &Server, flags: u8) -> u16 {
        let agent = server.agent();
        let page = agent.open(&server.at("/login")).await;
        self.answer(&agent, &page, flags).await.status
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

#[tokio::test]
async fn a_passkey_that_is_backed_up_goes_on_working() {
    for first in [ELIGIBLE, ELIGIBLE | BACKED_UP] {
        let server = Server::usual().await;
        let mut manager = Manager::take_over(&server).await;
        assert_eq!(manager.signs_in(&server, 0).await, 200, "as it was");
        assert_eq!(manager.signs_in(&server, first).await, 200, "{first:#x}");
        assert_eq!(manager.signs_in(&server, ELIGIBLE).await, 200);
        let kept = "SELECT passkey #>> '{cred,backup_eligible}' FROM credentials WHERE kind = 'passkey'";
        assert_eq!(server.value(kept).await, "true");
        // Never back: then it is not what it says.
        assert_eq!(manager.signs_in(&server, 0).await, 403);
        assert_eq!(reason(&server).await, "unacceptable_passkey");
        // Nor backed up without being eligible.
        assert_eq!(manager.signs_in(&server, BACKED_UP).await, 403);
        assert_eq!(manager.signs_in(&server, ELIGIBLE | BACKED_UP).await, 200);
    }
}

#[tokio::test]
async fn what_rested_on_its_hardware_is_over() {
    let server = Server::usual().await;
    let mut manager = Manager::take_over(&server).await;
    server.rows("UPDATE credentials SET attested_at = now() WHERE kind = 'passkey'").await;
    let (client, agent) = (server.client("web"), server.agent());
    let request = client.request("openid payments:write");
    let page = agent.walk(&request.url(), ALICE).await;
    assert!(page.url.path().ends_with("/step-up"), "{}", page.url);
    assert_eq!(manager.answer(&agent, &page, 0).await.status, 200);
    let back = agent.walk(&server.at(&format!("/oauth/authorize/{}", request_of(&page))), ALICE).await;
    let tokens = client.redeem(&Code { code: back.code(), verifier: request.verifier }).await.tokens();
    assert_eq!(client.introspect(&tokens.access).await.ok()["acr"], "phrh");
    assert_eq!(manager.signs_in(&server, ELIGIBLE | BACKED_UP).await, 200);
    assert_eq!(server.value("SELECT acr FROM sessions ORDER BY id DESC LIMIT 1").await, "phr");
    assert!(!client.is_active(&tokens.access).await);
    assert_eq!(server.events("credential.downgraded", "done").await, 1);
    assert_eq!(server.value("SELECT count(*) FROM credentials WHERE attested_at IS NOT NULL").await, "0");
}
