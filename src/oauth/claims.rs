//! The `claims` request parameter (OIDC Core §5.5), and which claims about a person a relying party is given.
//!
//! Only the standard claims of §5.1 are ever released, by scope or by name; what else a user record holds stays here.
//! Whether the relying party may ask, and whether the person agreed, is the caller's: [`ClaimsRequest::scopes`] says
//! which scopes a request amounts to.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{
    Error,
    scope::{GROUPS, Scope, standard_scope_of},
};

/// The parameter, in octets.
pub const MAX_LENGTH: usize = 8 * 1024;
/// Claims in one member.
const MAX_CLAIMS: usize = 64;

/// How one claim is asked for (§5.5.1).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClaimRequest {
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub essential: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<Value>>,
}

impl ClaimRequest {
    /// Whether a value is among those asked for; any is where none is named.
    pub fn accepts(&self, value: &Value) -> bool {
        self.value.as_ref().is_none_or(|wanted| wanted == value)
            && self.values.as_ref().is_none_or(|wanted| wanted.contains(value))
    }

    /// Whether it is asked for with a value at all.
    pub fn names_values(&self) -> bool {
        self.value.is_some() || self.values.is_some()
    }

    /// The values named that are text, in order of preference: what `acr` and `sub` are asked for with. `value` goes
    /// before `values`, and must be among them where both are named.
    pub fn wanted_texts(&self) -> impl Iterator<Item = &str> {
        self.value
            .iter()
            .chain(self.values.iter().flatten())
            .filter(|value| self.accepts(value))
            .filter_map(Value::as_str)
    }
}

/// A parsed `claims` parameter. Its JSON is what may be stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClaimsRequest {
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub id_token: BTreeMap<String, ClaimRequest>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub userinfo: BTreeMap<String, ClaimRequest>,
}

impl ClaimsRequest {
    /// Reads the parameter. Members that are not known are ignored (§5.5).
    pub fn parse(parameter: &str) -> Result<Self, Error> {
        if parameter.len() > MAX_LENGTH {
            return Err(Error::invalid_request(format!("claims is longer than {MAX_LENGTH} bytes")));
        }
        // It is kept as PostgreSQL's jsonb, which cannot hold it.
        if parameter.contains("\\u0000") {
            return Err(Error::invalid_request("claims holds a NUL character"));
        }
        let request: Map<String, Value> =
            serde_json::from_str(parameter).map_err(|_| Error::invalid_request("claims is not a JSON object"))?;
        Ok(Self { id_token: member(&request, "id_token")?, userinfo: member(&request, "userinfo")? })
    }

    pub fn is_empty(&self) -> bool {
        self.id_token.is_empty() && self.userinfo.is_empty()
    }

    /// The standard scopes that would give the claims asked for by name: what the person is asked to agree to, and
    /// what the relying party must be registered for.
    pub fn scopes(&self) -> Scope {
        let asked_for = self.id_token.keys().chain(self.userinfo.keys());
        let names: Vec<_> =
            asked_for.filter_map(|claim| standard_scope_of(untagged(claim))).map(|scope| scope.name).collect();
        // Standard names are tokens, and there are but few of them.
        Scope::parse(&names.join(" ")).unwrap_or_default()
    }

    /// Without the claims whose scope is not among those allowed. `acr`, `auth_time` and other claims about the
    /// authentication belong to no scope and stay.
    #[must_use]
    pub fn restricted_to(mut self, allowed: &Scope) -> Self {
        let permitted =
            |claim: &str| standard_scope_of(untagged(claim)).is_none_or(|scope| allowed.contains(scope.name));
        self.id_token.retain(|claim, _| permitted(claim));
        self.userinfo.retain(|claim, _| permitted(claim));
        self
    }
}

fn member(request: &Map<String, Value>, name: &str) -> Result<BTreeMap<String, ClaimRequest>, Error> {
    let refused = || Error::invalid_request(format!("claims.{name} is not as OpenID Connect Core section 5.5 says"));
    let claims = match request.get(name) {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(claims)) if claims.len() <= MAX_CLAIMS => claims,
        Some(_) => return Err(refused()),
    };
    let one = |value: &Value| match value {
        Value::Null => Ok(ClaimRequest::default()),
        Value::Object(_) => serde_json::from_value(value.clone()).map_err(|_| refused()),
        _ => Err(refused()),
    };
    claims.iter().map(|(claim, value)| Ok((claim.clone(), one(value)?))).collect()
}

/// The claim's name without the language it is asked for in (§5.2).
fn untagged(claim: &str) -> &str {
    claim.split_once('#').map_or(claim, |(name, _)| name)
}

/// What may be said of somebody: their stored claims, with what follows from their record where these are silent. Where
/// nobody has said that an address was verified, it was not (§5.1).
///
/// `groups`: those of the record; `None` where they were not looked up. The stored claims never stand in for them: they
/// decide what people may do elsewhere.
pub fn of_person(username: Option<&str>, stored: Option<&Value>, groups: Option<&[String]>) -> Map<String, Value> {
    let mut claims = stored.and_then(Value::as_object).cloned().unwrap_or_default();
    claims.remove(GROUPS);
    if let Some(groups) = groups {
        claims.insert(GROUPS.to_owned(), groups.into());
    }
    let is_there = |claims: &Map<String, Value>, name: &str| {
        claims.get(name).is_some_and(|value| !value.is_null() && value.as_str() != Some(""))
    };
    if let Some(username) = username
        && !is_there(&claims, "preferred_username")
    {
        claims.insert("preferred_username".to_owned(), username.into());
    }
    if is_there(&claims, "email") && !is_there(&claims, "email_verified") {
        claims.insert("email_verified".to_owned(), false.into());
    }
    claims
}

/// The claims about a person to give: those of the granted scopes and those asked for by name, as far as there are
/// any. `sub` is the caller's, who knows which one this relying party sees.
///
/// A claim asked for with a value is given only if it has that value (§5.5.1). Null and empty ones are left out
/// (§5.3.2). One in another language is given to whoever asks for it by its whole name.
pub fn release(
    user_claims: &Map<String, Value>,
    scope: &Scope,
    requested: &BTreeMap<String, ClaimRequest>,
) -> Map<String, Value> {
    let by_scope: Vec<_> = scope.claims().collect();
    let is_given = |name: &str, value: &Value| {
        let asked_for = || requested.get(name).is_some_and(|request| request.accepts(value));
        let exists = !value.is_null() && value.as_str() != Some("");
        let standard = untagged(name) != "sub" && standard_scope_of(untagged(name)).is_some();
        exists && standard && (by_scope.contains(&name) || asked_for())
    };
    let given = user_claims.iter().filter(|(name, value)| is_given(name, value));
    given.map(|(name, value)| (name.clone(), value.clone())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::oauth::{ErrorCode, hostile};

    fn parse(request: &Value) -> ClaimsRequest {
        ClaimsRequest::parse(&request.to_string()).unwrap()
    }

    fn user() -> Map<String, Value> {
        let claims = json!({
            "sub": "internal", "name": "Alice", "nickname": "", "locale": null, "email": "a@example.com",
            "email_verified": false, "phone_number": "+1", "password_hash": "hush", "address": { "country": "CH" },
        });
        claims.as_object().unwrap().clone()
    }

    /// The example of OIDC Core §5.5.
    #[test]
    fn the_example_of_the_specification() {
        let request = parse(&json!({
            "userinfo": {
                "given_name": { "essential": true },
                "nickname": null,
                "email": { "essential": true },
                "http://example.info/claims/groups": null,
            },
            "id_token": {
                "auth_time": { "essential": true },
                "acr": { "values": ["urn:mace:incommon:iap:silver"] },
            },
            "other": 7,
        }));
        assert!(request.userinfo["given_name"].essential && !request.userinfo["nickname"].essential);
        assert!(request.id_token["auth_time"].essential);
        assert_eq!(request.id_token["acr"].wanted_texts().collect::<Vec<_>>(), ["urn:mace:incommon:iap:silver"]);
        let stored = serde_json::to_value(&request).unwrap();
        assert_eq!(serde_json::from_value::<ClaimsRequest>(stored).unwrap(), request);
    }

    #[test]
    fn malformed_requests_are_refused() {
        for bad in [
            "",
            "[]",
            "null",
            "\"id_token\"",
            "{",
            r#"{"id_token":[]}"#,
            r#"{"userinfo":"email"}"#,
            r#"{"userinfo":{"email":true}}"#,
            r#"{"userinfo":{"email":["a"]}}"#,
            r#"{"userinfo":{"email":{"essential":"yes"}}}"#,
            r#"{"userinfo":{"email":{"values":"a"}}}"#,
        ] {
            assert!(ClaimsRequest::parse(bad).is_err(), "{bad}");
        }
        assert!(ClaimsRequest::parse(&format!("{{\"x\":\"{}\"}}", "a".repeat(MAX_LENGTH))).is_err());
        let many: Map<_, _> = (0..=MAX_CLAIMS).map(|n| (n.to_string(), Value::Null)).collect();
        assert!(ClaimsRequest::parse(&json!({ "userinfo": many }).to_string()).is_err());
        assert!(ClaimsRequest::parse(&"[".repeat(MAX_LENGTH)).is_err());
    }

    #[test]
    fn empty_requests_and_unknown_members_are_borne_with() {
        assert!(parse(&json!({})).is_empty());
        assert!(parse(&json!({ "id_token": null, "userinfo": {} })).is_empty());
        let request = parse(&json!({ "id_token": { "acr": { "essential": true, "purpose": "why" } } }));
        assert!(request.id_token["acr"].essential);
    }

    #[test]
    fn values_narrow_what_is_accepted() {
        let request = parse(&json!({ "id_token": {
            "sub": { "value": "alice" }, "acr": { "values": ["phr", "phrh"] }, "auth_time": null,
        } }));
        assert!(request.id_token["sub"].accepts(&json!("alice")) && !request.id_token["sub"].accepts(&json!("bob")));
        assert!(request.id_token["acr"].accepts(&json!("phrh")) && !request.id_token["acr"].accepts(&json!("pwd")));
        assert!(request.id_token["auth_time"].accepts(&json!(1)));
    }

    #[test]
    fn scopes_give_their_claims_and_no_others() {
        let given = release(&user(), &Scope::parse("openid email").unwrap(), &BTreeMap::new());
        assert_eq!(Value::Object(given), json!({ "email": "a@example.com", "email_verified": false }));
        assert!(release(&user(), &Scope::parse("openid").unwrap(), &BTreeMap::new()).is_empty());
        let given = release(&user(), &Scope::parse("openid profile address").unwrap(), &BTreeMap::new());
        assert_eq!(Value::Object(given), json!({ "name": "Alice", "address": { "country": "CH" } }));
    }

    #[test]
    fn a_record_speaks_where_the_claims_are_silent() {
        let said = |username, stored: Value| Value::Object(of_person(username, Some(&stored), None));
        assert_eq!(said(Some("alice"), json!({})), json!({ "preferred_username": "alice" }));
        assert_eq!(said(Some("alice"), json!({ "preferred_username": "" })), json!({ "preferred_username": "alice" }));
        let declared = json!({ "preferred_username": "al", "email": "a@example.com", "email_verified": true });
        assert_eq!(said(Some("alice"), declared.clone()), declared);
        let address = json!({ "email": "a@example.com" });
        assert_eq!(said(None, address), json!({ "email": "a@example.com", "email_verified": false }));
        assert!(of_person(None, None, None).is_empty(), "of a visitor nothing is known");
    }

    #[test]
    fn groups_are_those_of_the_record_and_may_be_none() {
        let stored = json!({ "groups": ["made-up"] });
        assert!(of_person(None, Some(&stored), None).is_empty());
        let (crew, scope) = (["crew".to_owned()], Scope::parse("openid groups").unwrap());
        for (groups, expected) in [(&crew[..], json!({ "groups": ["crew"] })), (&[], json!({ "groups": [] }))] {
            let person = of_person(None, Some(&stored), Some(groups));
            assert_eq!(Value::Object(release(&person, &scope, &BTreeMap::new())), expected);
            assert!(release(&person, &Scope::parse("openid profile").unwrap(), &BTreeMap::new()).is_empty());
        }
    }

    #[test]
    fn claims_asked_for_by_name_are_given_if_they_are_standard_and_match() {
        let request = parse(&json!({ "userinfo": {
            "name": null, "phone_number": { "value": "+2" }, "password_hash": { "essential": true }, "sub": null,
            "nickname": null, "locale": null, "sub#x": null, "password_hash#x": null,
        } }));
        let given = release(&user(), &Scope::default(), &request.userinfo);
        assert_eq!(Value::Object(given), json!({ "name": "Alice" }));
    }

    #[test]
    fn a_request_by_name_amounts_to_scopes() {
        let request = parse(&json!({
            "id_token": { "acr": null, "email": null }, "userinfo": { "name": null, "nickname": null },
        }));
        assert_eq!(request.scopes(), Scope::parse("email profile").unwrap());
        let restricted = request.restricted_to(&Scope::parse("openid email").unwrap());
        assert_eq!(restricted.id_token.keys().collect::<Vec<_>>(), ["acr", "email"]);
        assert!(restricted.userinfo.is_empty());
    }

    const NAMES: &[&str] =
        &["id_token", "userinfo", "sub", "acr", "name", "email#de", "essential", "value", "values", "password_hash"];

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(request in hostile::object(NAMES, hostile::json(NAMES)), text in hostile::text()) {
            for parameter in [Value::Object(request).to_string(), text] {
                match ClaimsRequest::parse(&parameter) {
                    Ok(read) => {
                        let stored = serde_json::to_value(&read).unwrap();
                        prop_assert_eq!(&serde_json::from_value::<ClaimsRequest>(stored).unwrap(), &read);
                        let given = release(&user(), &read.scopes(), &read.userinfo);
                        prop_assert!(given.keys().all(|name| standard_scope_of(untagged(name)).is_some()));
                        prop_assert!(read.restricted_to(&Scope::default()).scopes().filtered(|name| name != "openid").is_empty());
                    }
                    Err(error) => prop_assert_eq!(error.code, ErrorCode::InvalidRequest),
                }
            }
        }
    }
}
