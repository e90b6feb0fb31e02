//! Who is declared at every server under test.

use std::sync::LazyLock;

use mooring::jose::{Algorithm, Pkcs8, SigningKey};

pub const ALICE: &str = "alice";
pub const BOB: &str = "bob";
/// Of both.
pub const PASSWORD: &str = "correct horse battery staple";
/// Of every client that has one.
pub const SECRET: &str = "a-client-secret-of-the-integration-tests";
pub const REDIRECT_URI: &str = "http://127.0.0.1:9/callback";
/// The redirect URI of the clients that are on the web, where ports do not vary.
pub const WEB_REDIRECT_URI: &str = "https://rp.example/callback?at=home";
pub const POST_LOGOUT_URI: &str = "https://rp.example/bye";
/// Of the client `native`.
pub const NATIVE_REDIRECT_URIS: [&str; 4] = [
    "com.example.app:/callback",
    "http://127.0.0.1/callback",
    "http://[::1]/callback",
    "http://localhost:7777/callback",
];
/// A resource server of its own (RFC 8707).
pub const RESOURCE: &str = "https://api.example";

/// The key of the client `pkj`.
pub static CLIENT_KEY: LazyLock<SigningKey> = LazyLock::new(|| {
    let (key, _): (SigningKey, Pkcs8) = SigningKey::generate(Algorithm::Es256).expect("a key");
    key
});

/// Everybody's tables, as a configuration file has them.
pub fn toml() -> String {
    let all_scopes = "openid profile email address phone offline_access ships:read ships:write payments:write";
    let both = r#"["authorization_code", "refresh_token"]"#;
    let at = |redirect_uris: &[&str], id: &str, method: &str, more: &str| {
        let secret =
            if method.starts_with("client_secret") { format!("client_secret = \"{SECRET}\"") } else { String::new() };
        format!(
            "[[client]]\nclient_id = \"{id}\"\n{secret}\nredirect_uris = {redirect_uris:?}\ngrant_types = {both}\n\
             token_endpoint_auth_method = \"{method}\"\nscope = \"{all_scopes}\"\n\
             post_logout_redirect_uris = [\"{POST_LOGOUT_URI}\"]\n{more}\n"
        )
    };
    let interactive = |id: &str, method: &str, more: &str| at(&[REDIRECT_URI, WEB_REDIRECT_URI], id, method, more);
    let machine = |id: &str, more: &str| {
        format!(
            "[[client]]\nclient_id = \"{id}\"\nclient_secret = \"{SECRET}\"\ngrant_types = [\"client_credentials\"]\n\
             scope = \"ships:read ships:write payments:write\"\n{more}\n"
        )
    };
    let jwk = CLIENT_KEY.public_jwk();
    let member = |name: &str| jwk[name].as_str().unwrap_or_default().to_owned();
    let jwks = format!(
        "jwks = {{ keys = [{{ kty = \"EC\", crv = \"P-256\", kid = \"{}\", x = \"{}\", y = \"{}\" }}] }}\n",
        CLIENT_KEY.kid(),
        member("x"),
        member("y")
    );
    [
        SCOPES.to_owned(),
        interactive("spa", "none", "allowed_origins = [\"https://spa.example\"]"),
        interactive("web", "client_secret_basic", "client_name = \"Harbour Web\""),
        interactive("web2", "client_secret_basic", ""),
        interactive("post", "client_secret_post", ""),
        interactive("pkj", "private_key_jwt", &jwks),
        interactive("jwt", "client_secret_basic", "access_token_format = \"jwt\""),
        interactive("es256", "client_secret_basic", "id_token_signed_response_alg = \"ES256\""),
        interactive("eddsa", "client_secret_basic", "id_token_signed_response_alg = \"EdDSA\""),
        // As the conformance suite's clients are: OIDC Core §5.4 has the claims of scopes come from userinfo.
        interactive("lax", "client_secret_basic", "require_pkce = false\nid_token_claims = false"),
        at(&NATIVE_REDIRECT_URIS, "native", "none", "application_type = \"native\""),
        interactive("coder", "client_secret_basic", "").replace(", \"refresh_token\"", ""),
        machine("machine", ""),
        machine("machine2", "access_token_format = \"jwt\""),
        machine("api", "introspection = \"any\""),
        USERS.replace("PASSWORD", PASSWORD),
    ]
    .concat()
}

const SCOPES: &str = r#"
[[scope]]
name = "ships:read"
description = "See the ships"

[[scope]]
name = "ships:write"
description = "Move the ships"

[[scope]]
name = "payments:write"
description = "Move money"
privileged = true

[[resource]]
identifier = "https://api.example"
scopes = ["ships:read", "ships:write"]
access_token_format = "jwt"

"#;

const USERS: &str = r#"
[[user]]
username = "alice"
password = "PASSWORD"
name = "Alice Example"
given_name = "Alice"
family_name = "Example"
middle_name = "M"
nickname = "Al"
preferred_username = "alice.example"
profile = "https://alice.example/"
picture = "https://alice.example/picture.png"
website = "https://alice.example/site"
email = "alice@example.com"
email_verified = true
gender = "female"
birthdate = "1990-04-01"
zoneinfo = "Europe/Oslo"
locale = "nb-NO"
phone_number = "+47 22 00 00 00"
phone_number_verified = false
address = { street_address = "Quay 1", locality = "Bergen", country = "NO" }
updated_at = 1700000000

[[user]]
username = "bob"
password = "PASSWORD"
name = "Bob Example"
email = "bob@example.com"
email_verified = false
"#;
