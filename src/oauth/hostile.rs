//! What strangers send: strategies for the property tests of whatever reads it.

use proptest::{prelude::*, sample::select};
use serde_json::{Map, Value, json};

/// Texts that parsers stumble over, among any others.
pub fn text() -> impl Strategy<Value = String> {
    let known = select(vec![
        "",
        " ",
        "\0",
        "\u{202e}",
        "%",
        "%00",
        "%+5",
        "..",
        ".",
        "a.b.c",
        "=&=&",
        "\"\\",
        "\r\nx: y",
        "-1",
        "+1",
        "1e999",
        "18446744073709551616",
        "none",
        "null",
        "openid openid",
        "https://rp.example/cb#",
        "http://[::1",
        "//",
        "javascript:alert(1)",
        "__proto__",
        "{}",
        "[[[[",
    ]);
    prop_oneof![4 => known.prop_map(str::to_owned), 3 => any::<String>(), 1 => "[ -~]{0,200}", 1 => "[a-z.]{0,40}"]
}

/// Any JSON, with names among the members that are looked for.
pub fn json(names: &'static [&'static str]) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            object(names, inner).prop_map(Value::Object),
        ]
    })
}

/// An object whose members are such values.
pub fn object(
    names: &'static [&'static str],
    values: impl Strategy<Value = Value>,
) -> impl Strategy<Value = Map<String, Value>> {
    let name = prop_oneof![6 => select(names).prop_map(str::to_owned), 1 => text()];
    prop::collection::vec((name, values), 0..6).prop_map(|members| members.into_iter().collect())
}

/// Something that has the outline of a JWT: three parts, of which two may be JSON.
pub fn jwt() -> impl Strategy<Value = String> {
    const MEMBERS: &[&str] = &[
        "alg", "typ", "kid", "crit", "jwk", "jku", "x5u", "b64", "iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid",
    ];
    let part = || {
        prop_oneof![
            6 => json(MEMBERS).prop_map(|json| encoded(&json)),
            3 => object(MEMBERS, json(MEMBERS)).prop_map(|members| encoded(&Value::Object(members))),
            1 => Just(encoded(&json!({ "alg": "none" }))),
            1 => text(),
        ]
    };
    prop_oneof![
        8 => (part(), part(), text()).prop_map(|(header, claims, signature)| format!("{header}.{claims}.{signature}")),
        1 => text(),
    ]
}

fn encoded(json: &Value) -> String {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    URL_SAFE_NO_PAD.encode(json.to_string())
}
