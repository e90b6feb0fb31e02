//! The members of client metadata, said once for people: the configuration's unknown-key check and its reference
//! derive from this list. A test compares it with the type.

/// One member.
#[derive(Debug)]
pub struct Member {
    pub name: &'static str,
    pub kind: &'static str,
    pub default: &'static str,
    pub doc: &'static str,
    /// Whether `name#language` may stand beside it (RFC 7591 §2.2).
    pub localised: bool,
}

const fn member(name: &'static str, kind: &'static str, default: &'static str, doc: &'static str) -> Member {
    Member { name, kind, default, doc, localised: false }
}

const fn localised(name: &'static str, kind: &'static str, doc: &'static str) -> Member {
    Member { name, kind, default: "", doc, localised: true }
}

/// Every member, in the order in which one would write them.
pub static MEMBERS: &[Member] = &[
    member("client_id", "string", "", "The name the client gives at every endpoint; required in a file."),
    member(
        "client_secret",
        "secret",
        "",
        "At least 32 characters, for the two `client_secret_` methods. Stored hashed.",
    ),
    localised("client_name", "string", "What people see on the consent page."),
    localised("client_uri", "URL", "The client's home page."),
    localised("logo_uri", "URL", "The client's logo."),
    localised("policy_uri", "URL", "How the client uses what it learns."),
    localised("tos_uri", "URL", "The client's terms."),
    member("contacts", "list of strings", "[]", "Whom to reach about the client."),
    member(
        "redirect_uris",
        "list of URLs",
        "[]",
        "Where answers may go, compared as text. `https`, `http` on a loopback name (whose port may vary when it is an \
         IP literal), or a private scheme such as `com.example.app:/cb`.",
    ),
    member("post_logout_redirect_uris", "list of URLs", "[]", "Where the browser may go after a sign-out."),
    member(
        "grant_types",
        "list of strings",
        "[\"authorization_code\"]",
        "Of `authorization_code`, `refresh_token`, `client_credentials`.",
    ),
    member("response_types", "list of strings", "[\"code\"]", "Only `code`."),
    member(
        "token_endpoint_auth_method",
        "string",
        "client_secret_basic",
        "`none` (a public client), `client_secret_basic`, `client_secret_post` or `private_key_jwt`. Where it is left out, \
         the secret may come in the header or in the body.",
    ),
    member("token_endpoint_auth_signing_alg", "string", "", "The only algorithm its assertions may be signed with."),
    member("scope", "string", "", "The scopes it may ask for, separated by spaces."),
    member("jwks", "table", "", "Its public keys (RFC 7517); never private or symmetric ones."),
    member("jwks_uri", "URL", "", "Where its public keys are; instead of `jwks`."),
    member("id_token_signed_response_alg", "string", "RS256", "`RS256`, `ES256` or `EdDSA`."),
    member("userinfo_signed_response_alg", "string", "", "The same for userinfo; absent: plain JSON."),
    member(
        "introspection_signed_response_alg",
        "string",
        "RS256",
        "The same for introspection, where the caller asks for a JWT (RFC 9701).",
    ),
    member("subject_type", "string", "public", "`public`, or `pairwise`: people have another `sub` in each sector."),
    member(
        "sector_identifier_uri",
        "URL",
        "",
        "A JSON list of the redirect URIs of a sector, whose name is this host; without it, their own one host is.",
    ),
    member("default_max_age", "seconds", "", "`max_age` of requests that do not say one."),
    member("require_auth_time", "boolean", "false", "`auth_time` is always there, asked or not."),
    member("default_acr_values", "list of strings", "[]", "`acr_values` of requests that do not say any."),
    member(
        "request_object_signing_alg",
        "string",
        "",
        "The only algorithm its request objects may be signed with; `none` counts where `request_objects.unsigned` allows it.",
    ),
    member(
        "require_signed_request_object",
        "boolean",
        "false",
        "Whether it asks by signed request objects only (RFC 9101).",
    ),
    member(
        "request_uris",
        "list of URLs",
        "[]",
        "Where its request objects may be fetched from, compared as text, where `request_objects.by_reference` allows it.",
    ),
    member("require_pushed_authorization_requests", "boolean", "false", "Whether it pushes every request (RFC 9126)."),
    member(
        "authorization_signed_response_alg",
        "string",
        "RS256",
        "What answers in the `jwt` response modes are signed with: `RS256`, `ES256` or `EdDSA`.",
    ),
    member("initiate_login_uri", "URL", "", "Where a sign-in begun elsewhere is handed to the client."),
    member("application_type", "string", "web", "`web` or `native`; a native one may use any private scheme."),
    member("backchannel_logout_uri", "URL", "", "Where logout tokens are posted."),
    member("backchannel_logout_session_required", "boolean", "false", "Logout tokens always have `sid`, asked or not."),
    member(
        "frontchannel_logout_uri",
        "URL",
        "",
        "Loaded in a frame at sign-out; shares its origin with a redirect URI.",
    ),
    member(
        "frontchannel_logout_session_required",
        "boolean",
        "false",
        "The frame's address always has `iss` and `sid`, asked or not.",
    ),
    member(
        "require_pkce",
        "boolean",
        "true",
        "`false` only for a confidential client, a documented deviation; a challenge that is sent always counts.",
    ),
    member("access_token_format", "string", "opaque", "`opaque` or `jwt` (RFC 9068); both are bound to the session."),
    member(
        "allowed_origins",
        "list of origins",
        "[]",
        "For CORS, beside the origins of its redirect URIs. Those of web views and extensions too, such as `capacitor://localhost`.",
    ),
    member(
        "visitors",
        "boolean",
        "false",
        "Whether it may ask for anonymous visitors: `acr_values=urn:mooring:acr:visitor`.",
    ),
    member(
        "introspection",
        "string",
        "own",
        "Whose tokens it may introspect: `own` (issued to it, meant for it, or for a `[[resource]]` that names it) or `any`.",
    ),
    member(
        "id_token_claims",
        "boolean",
        "true",
        "Whether ID tokens have the claims of the granted scopes, as userinfo has. `id_token_hint` then takes them through URLs. \
         A client that registers itself gets them only if it asks.",
    ),
    member(
        "authorization_response_iss",
        "boolean",
        "true",
        "`false` leaves `iss` out of its authorization responses, a deviation from RFC 9207 for a client that fails on it, \
         such as mod_auth_openidc 2.4.12. Such a client must use another redirect URI for each issuer.",
    ),
    member(
        "assertion_audience",
        "string",
        "issuer",
        "What `aud` of its assertions may be: `issuer`, or `endpoint`, a deviation that also allows the URL of the endpoint \
         called or of the token endpoint. A client made before this setting has `endpoint` until it says otherwise.",
    ),
];
