//! What it costs to verify the assertion of a passkey, beside the bare verification of its signature: by the same library,
//! and by the one that the rest of the product uses.

use std::time::Duration;

use aws_lc_rs::{
    digest::{SHA256, digest},
    signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey},
};
use mooring::{
    authentication::{
        Passkeys,
        passkey::{Assertion, Enrolee, Refusal},
    },
    config::{self, Issuer},
    jose::from_base64url,
};
use serde_json::{Value, json};
use url::Url;
use uuid::Uuid;
use webauthn_authenticator_rs::{
    AuthenticatorBackend,
    prelude::{CreationChallengeResponse, RequestChallengeResponse},
    softpasskey::SoftPasskey,
};
use webauthn_rs::prelude::{COSEKeyType, Passkey};

use crate::{Fallible, limits::spend};

const ORIGIN: &str = "http://localhost:8080";

/// An assertion, and what it is verified against.
struct Case {
    passkeys: Passkeys,
    state: Value,
    answer: Value,
    kept: Value,
}

/// Measures and prints.
pub fn print(time: Duration) -> Fallible<()> {
    let case = Case::new()?;
    let verified = spend(time, || {
        let assertion = Assertion::parse(case.answer.clone());
        assertion.is_some_and(|it| matches!(case.passkeys.verify(&case.state, &it, &case.kept, false), Ok(Ok(_))))
    })?;
    let response = |name: &str| {
        from_base64url(case.answer["response"][name].as_str().unwrap_or_default()).ok_or("an assertion in base64url")
    };
    let client_data = digest(&SHA256, &response("clientDataJSON")?);
    let (signed, signature) =
        ([&response("authenticatorData")?[..], client_data.as_ref()].concat(), response("signature")?);
    let passkey: Passkey = serde_json::from_value(case.kept.clone())?;
    let key = passkey.get_public_key();
    let bare = spend(time, || matches!(key.verify_signature(&signature, &signed), Ok(true)))?;
    let COSEKeyType::EC_EC2(point) = &key.key else { return Err("not an ES256 key".into()) };
    let other = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, [&[4], &point.x[..], &point.y[..]].concat());
    let elsewhere = spend(time, || other.verify(&signed, &signature).is_ok())?;
    for (name, cost, note) in [
        ("ES256 verification", bare, "by the library of passkeys"),
        ("ES256 verification", elsewhere, "by aws-lc"),
        ("passkey assertion", verified, "verified, JSON included"),
    ] {
        println!("  {name:<28} {:>8.4}  {note}", cost.as_secs_f64() * 1000.0);
    }
    println!("  {:<28} {:>8.2}  times the bare verification", "", verified.as_secs_f64() / bare.as_secs_f64());
    Ok(())
}

impl Case {
    fn new() -> Fallible<Self> {
        let issuer = Issuer::parse(ORIGIN)?;
        let passkeys = Passkeys::new(&issuer, "Bench", &config::Passkeys::default());
        let passkeys = passkeys.map_err(|stop| stop.to_string())?.ok_or("no passkeys at a name")?;
        let mut soft = SoftPasskey::new(true);
        let enrolee = Enrolee { user_id: Uuid::from_u128(1), username: "alice", name: "Alice", has: &[] };
        let mut begun = passkeys.begin_enrolment(&enrolee)?;
        begun.options["authenticatorSelection"]["requireResidentKey"] = json!(false);
        let challenge: CreationChallengeResponse = serde_json::from_value(json!({ "publicKey": begun.options }))?;
        let made = AuthenticatorBackend::perform_register(&mut soft, Url::parse(ORIGIN)?, challenge.public_key, 1000);
        let made = serde_json::to_value(made.map_err(|error| format!("{error:?}"))?)?;
        let enrolled = passkeys.finish_enrolment(&begun.state, made)?.map_err(Refusal::as_str)?;
        let begun = passkeys.begin_sign_in(Some(std::slice::from_ref(&enrolled.passkey)))?;
        let challenge: RequestChallengeResponse = serde_json::from_value(json!({ "publicKey": begun.options }))?;
        let signed = AuthenticatorBackend::perform_auth(&mut soft, Url::parse(ORIGIN)?, challenge.public_key, 1000);
        let answer = serde_json::to_value(signed.map_err(|error| format!("{error:?}"))?)?;
        Ok(Self { passkeys, state: begun.state, answer, kept: enrolled.passkey })
    }
}
