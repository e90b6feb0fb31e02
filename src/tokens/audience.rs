//! Whom an access token is for (RFC 8707, RFC 9068 §3): one declared resource, this server itself, or one resource and this
//! server.
//!
//! A scope belongs to the resources that list it, any other to this server, for userinfo and whoever takes the issuer's
//! tokens. The standard scopes are about a person, so they always belong to this server and never make a token one for an API.
//!
//! Invariant: a token is for at most one API, and of the scopes that were granted it has those of its audience. What one API
//! is given opens no other. It opens userinfo only where `openid` was granted and the client did not name the API with
//! `resource` (docs/decisions/0010).

use crate::{
    config,
    oauth::{
        Error, ErrorCode, Scope,
        client_metadata::AccessTokenFormat,
        resource_uri::is_same,
        scope::{OPENID, is_standard},
    },
};

/// Everybody whom tokens can be for.
#[derive(Clone, Copy, Debug)]
pub struct Audiences<'a> {
    pub issuer: &'a str,
    pub resources: &'a [config::Resource],
}

/// Whom a token is for, and what it allows there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Audience {
    /// The resource's identifier, the issuer, or both in this order.
    pub identifiers: Vec<String>,
    pub scope: Scope,
    /// Absent: what the client has.
    pub format: Option<AccessTokenFormat>,
}

impl<'a> Audiences<'a> {
    /// The values of `resource` in a request, each once, as they are declared. What is no absolute URI, or has a fragment, is
    /// not among ours either (RFC 8707 §2).
    pub fn named<'p>(&self, values: impl Iterator<Item = &'p str>) -> Result<Vec<&'a str>, Error> {
        let mut named = Vec::new();
        for value in values {
            let known = self.all().find(|known| is_same(known, value)).ok_or_else(|| {
                refused(
                    "this server issues no tokens for this resource: no [[resource]] with this identifier is declared",
                )
            })?;
            if !named.contains(&known) {
                named.push(known);
            }
        }
        Ok(named)
    }

    /// The part of a requested scope that is for the resources that an authorization request names; all of it if there are
    /// none. The standard scopes stay: they are for the ID token, too. Each resource that has scopes must be given one.
    pub fn narrow(&self, requested: &Scope, named: &[&str]) -> Result<Scope, Error> {
        let narrowed = self.of_named(requested, named, "none of the scopes asked for is one of this resource")?;
        Ok(requested.filtered(|token| narrowed.contains(token) || is_standard(token) || named.is_empty()))
    }

    /// The scope of an authorization request that names resources and says no scope: what `allowed` has of theirs.
    pub fn default_scope(&self, allowed: &Scope, named: &[&str]) -> Result<Scope, Error> {
        if named.is_empty() {
            return Ok(allowed.clone());
        }
        self.of_named(allowed, named, "this client may have none of the scopes of this resource: add one to its scope")
    }

    fn of_named(&self, scope: &Scope, named: &[&str], nothing: &'static str) -> Result<Scope, Error> {
        let lacks = |name: &&str| *name != self.issuer && !self.needs_none(name) && self.part(scope, name).is_empty();
        if named.iter().any(lacks) {
            return Err(refused(nothing));
        }
        Ok(scope.filtered(|token| named.iter().any(|named| self.belongs(token, named))))
    }

    /// The resources among these that a token without a scope opens: what people have to be asked about by name.
    pub fn without_scopes<'r>(&self, resources: impl Iterator<Item = &'r str>) -> Vec<&'r str> {
        resources.filter(|resource| self.needs_none(resource)).collect()
    }

    /// Chooses the audience of one token.
    ///
    /// `named`: the values of `resource` in the token request. `authorized`: what the authorization request named; empty
    /// where it named nothing. A client that acts for itself authorizes what it names. `granted`: the scope that the token
    /// could have at most.
    pub fn choose(&self, named: &[&str], authorized: &[String], granted: &Scope) -> Result<Audience, Error> {
        let may_have = |identifier: &str| {
            is_among(authorized, identifier)
                || (authorized.is_empty() && identifier == self.issuer)
                // Userinfo goes with `openid`, whichever APIs were named beside it.
                || (identifier == self.issuer && granted.contains(OPENID))
                || (authorized.is_empty() && !self.part(granted, identifier).is_empty())
        };
        let identifier = match named {
            [one] if may_have(one) => *one,
            [_] => return Err(refused("resource was not granted: name it in the authorization request")),
            [] => self.implied(authorized, granted).filter(|one| may_have(one)).ok_or_else(|| {
                refused("this is for more than one resource: name one of them, and only one, with resource")
            })?,
            _ => return Err(refused("a token is for one resource: ask for one after the other")),
        };
        let is_api = identifier != self.issuer;
        let part = self.part(granted, identifier);
        // An API that looks at nothing but the audience would let anybody in.
        if is_api && part.is_empty() && !self.needs_none(identifier) {
            return Err(refused("none of the scopes granted is one of this resource"));
        }
        // OIDC Core §5.3.1: userinfo takes the access token of an OpenID Connect authentication request. A client that names
        // the API with `resource` wants a token that is good nowhere else (RFC 8707 §2).
        let opens_userinfo = is_api
            && named.is_empty()
            && granted.contains(OPENID)
            && (authorized.is_empty() || is_among(authorized, self.issuer));
        let scope = granted.filtered(|token| part.contains(token) || (opens_userinfo && is_standard(token)));
        let declared = self.resources.iter().find(|resource| resource.identifier == identifier);
        let format = declared.and_then(|resource| resource.access_token_format);
        let beside = opens_userinfo.then_some(self.issuer);
        let identifiers = [identifier].into_iter().chain(beside).map(str::to_owned).collect();
        Ok(Audience { identifiers, scope, format })
    }

    /// RFC 9068 §3: without `resource` the scope says whom the token is for. `None`: it says several.
    fn implied(&self, authorized: &[String], granted: &Scope) -> Option<&'a str> {
        let beyond_the_person = granted.filtered(|token| !is_standard(token));
        let is_allowed = |known: &str| authorized.is_empty() || is_among(authorized, known);
        let mut wanted = self.all().filter(|known| {
            let needs_none = !authorized.is_empty() && self.needs_none(known);
            is_allowed(known) && (needs_none || !self.part(&beyond_the_person, known).is_empty())
        });
        match (wanted.next(), wanted.next()) {
            (None, _) => self.named_for_the_person(authorized, granted),
            (one, None) => one,
            _ => None,
        }
    }

    /// Where nothing but the standard scopes is left: the API that was named and lists one of them, else this server.
    fn named_for_the_person(&self, authorized: &[String], granted: &Scope) -> Option<&'a str> {
        let lists_one = |known: &&str| *known != self.issuer && !self.part(granted, known).is_empty();
        let mut wanted = self.all().filter(|known| is_among(authorized, known)).filter(lists_one);
        match (wanted.next(), wanted.next()) {
            (None, _) => Some(self.issuer),
            (one, None) => one,
            _ => None,
        }
    }

    fn all(&self) -> impl Iterator<Item = &'a str> {
        let declared = self.resources.iter().map(|resource| resource.identifier.as_str());
        let issuer = self.issuer;
        std::iter::once(issuer).chain(declared.filter(move |declared| !is_same(declared, issuer)))
    }

    fn part(&self, granted: &Scope, identifier: &str) -> Scope {
        granted.filtered(|token| self.belongs(token, identifier))
    }

    fn belongs(&self, token: &str, identifier: &str) -> bool {
        let mut listing =
            self.resources.iter().filter(|resource| resource.scopes.iter().any(|scope| scope == token)).peekable();
        (identifier == self.issuer && (listing.peek().is_none() || is_standard(token)))
            || listing.any(|resource| is_same(&resource.identifier, identifier))
    }

    /// Whether it is a declared API that lists no scopes: a token for it needs none.
    fn needs_none(&self, identifier: &str) -> bool {
        !is_same(identifier, self.issuer)
            && self
                .resources
                .iter()
                .any(|declared| declared.scopes.is_empty() && is_same(&declared.identifier, identifier))
    }
}

fn is_among(authorized: &[String], identifier: &str) -> bool {
    authorized.iter().any(|one| is_same(one, identifier))
}

/// The refusal of a token for an API without scopes to an anonymous visitor: a person would be asked about that API by its
/// identifier (RFC 8707 §2: `invalid_target`).
pub fn not_for_visitors() -> Error {
    refused("an API that lists no scopes needs the consent of a person: a token for it is not given to a visitor")
}

fn refused(description: &'static str) -> Error {
    Error::new(ErrorCode::InvalidTarget, description)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ISSUER: &str = "https://op.example";
    const SHIPS: &str = "https://ships.example";
    const CREWS: &str = "https://crews.example";
    /// It lists no scopes.
    const OPEN: &str = "urn:open";

    fn resources() -> [config::Resource; 3] {
        let resource = |identifier: &str, scopes: &[&str]| config::Resource {
            identifier: identifier.to_owned(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            client: None,
            access_token_format: (identifier == SHIPS).then_some(AccessTokenFormat::Jwt),
        };
        [resource(SHIPS, &["ships", "both"]), resource(CREWS, &["crews", "both", "email"]), resource(OPEN, &[])]
    }

    fn scope(text: &str) -> Scope {
        Scope::parse(text).unwrap()
    }

    fn choose(named: &[&str], authorized: &[&str], granted: &str) -> Option<(Vec<String>, String)> {
        let resources = resources();
        let audiences = Audiences { issuer: ISSUER, resources: &resources };
        let authorized: Vec<String> = authorized.iter().map(|&one| one.to_owned()).collect();
        let chosen = match audiences.choose(named, &authorized, &scope(granted)) {
            Ok(chosen) => chosen,
            Err(error) => {
                assert_eq!(error.code, ErrorCode::InvalidTarget);
                return None;
            }
        };
        assert_eq!(chosen.format.is_some(), chosen.identifiers[0] == SHIPS);
        Some((chosen.identifiers, chosen.scope.to_string()))
    }

    #[track_caller]
    fn is(named: &[&str], authorized: &[&str], granted: &str, audience: &[&str], scope: &str) {
        let audience = audience.iter().map(|&one| one.to_owned()).collect();
        assert_eq!(choose(named, authorized, granted), Some((audience, scope.to_owned())));
    }

    #[track_caller]
    fn refused(named: &[&str], authorized: &[&str], granted: &str) {
        assert_eq!(choose(named, authorized, granted), None);
    }

    #[test]
    fn without_resource_the_scope_says_whom_a_token_is_for() {
        is(&[], &[], "openid email", &[ISSUER], "openid email");
        is(&[], &[], "", &[ISSUER], "");
        is(&[], &[], "unbound", &[ISSUER], "unbound");
        is(&[], &[], "ships", &[SHIPS], "ships");
        is(&[], &[], "email ships", &[SHIPS], "ships");
        refused(&[], &[], "ships crews");
        refused(&[], &[], "ships unbound");
        refused(&[], &[], "openid ships unbound");
        refused(&[], &[], "openid ships crews");
        refused(&[], &[], "both");
    }

    #[test]
    fn with_openid_it_is_for_userinfo_too() {
        is(&[], &[], "openid email ships", &[SHIPS, ISSUER], "openid email ships");
        is(&[], &[], "ships openid offline_access", &[SHIPS, ISSUER], "ships openid offline_access");
        is(&[], &[], "openid crews email phone", &[CREWS, ISSUER], "openid crews email phone");
        // Named, it is for that alone.
        is(&[SHIPS], &[], "openid email ships", &[SHIPS], "ships");
        is(&[], &[SHIPS], "openid email ships", &[SHIPS], "ships");
        is(&[ISSUER], &[], "openid email ships", &[ISSUER], "openid email");
        is(&[ISSUER], &[SHIPS], "openid email ships", &[ISSUER], "openid email");
        // Both of them named.
        is(&[], &[SHIPS, ISSUER], "openid email ships", &[SHIPS, ISSUER], "openid email ships");
        is(&[SHIPS], &[SHIPS, ISSUER], "openid email ships", &[SHIPS], "ships");
        is(&[], &[SHIPS, ISSUER], "ships", &[SHIPS], "ships");
    }

    #[test]
    fn a_token_request_names_one() {
        is(&[SHIPS], &[], "openid ships crews both", &[SHIPS], "ships both");
        is(&[CREWS], &[], "openid ships crews both", &[CREWS], "crews both");
        is(&[ISSUER], &[], "openid ships unbound", &[ISSUER], "openid unbound");
        refused(&[SHIPS, CREWS], &[], "ships crews");
        refused(&[SHIPS], &[], "openid crews");
        refused(&[OPEN], &[], "openid crews");
        refused(&[OPEN], &[SHIPS], "ships");
    }

    #[test]
    fn it_names_one_that_was_authorized() {
        is(&[SHIPS], &[SHIPS, CREWS], "ships crews", &[SHIPS], "ships");
        is(&[], &[SHIPS], "openid ships both", &[SHIPS], "ships both");
        is(&[ISSUER], &[SHIPS], "openid ships", &[ISSUER], "openid");
        is(&[], &[SHIPS, CREWS], "openid ships", &[SHIPS], "ships");
        is(&[], &[SHIPS], "openid", &[ISSUER], "openid");
        refused(&[], &[SHIPS, CREWS], "ships crews");
        refused(&[CREWS], &[SHIPS], "ships both");
        refused(&[ISSUER], &[SHIPS], "ships");
        refused(&[], &[SHIPS], "email");
        refused(&[SHIPS], &[SHIPS], "openid");
        // It lists one of the standard scopes.
        is(&[], &[CREWS], "openid email", &[CREWS], "email");
        is(&[], &[CREWS], "email", &[CREWS], "email");
        is(&[], &[CREWS, ISSUER], "openid email", &[CREWS, ISSUER], "openid email");
        is(&[], &[], "email", &[ISSUER], "email");
        is(&[], &[SHIPS, CREWS], "ships email", &[SHIPS], "ships");
        // Declared no more.
        refused(&[], &["https://gone.example"], "ships");
        // Declared with another spelling when it was authorized.
        is(&[], &["https://ships.example/"], "openid ships", &[SHIPS], "ships");
    }

    #[test]
    fn a_resource_without_scopes_needs_none() {
        is(&[], &[OPEN], "", &[OPEN], "");
        is(&[OPEN], &[OPEN], "openid email", &[OPEN], "");
        is(&[], &[OPEN], "openid email", &[OPEN], "");
        is(&[ISSUER], &[OPEN], "openid email", &[ISSUER], "openid email");
        is(&[OPEN], &[OPEN, SHIPS], "ships", &[OPEN], "");
        is(&[SHIPS], &[OPEN, SHIPS], "ships", &[SHIPS], "ships");
        refused(&[], &[OPEN, SHIPS], "ships");
        refused(&[SHIPS], &[OPEN], "openid ships");
    }

    #[test]
    fn only_what_is_declared_can_be_named() {
        let resources = resources();
        let audiences = Audiences { issuer: ISSUER, resources: &resources };
        assert_eq!(audiences.named([SHIPS, ISSUER, SHIPS].into_iter()).unwrap(), [SHIPS, ISSUER]);
        // An empty path is the same as "/".
        let slashes = ["https://ships.example/", "https://op.example/", SHIPS];
        assert_eq!(audiences.named(slashes.into_iter()).unwrap(), [SHIPS, ISSUER]);
        for wrong in ["https://ships.example//", "https://SHIPS.example", "https://ships.example#x", "ships", "/", "x:"]
        {
            assert_eq!(audiences.named([SHIPS, wrong].into_iter()).unwrap_err().code, ErrorCode::InvalidTarget);
        }
    }

    #[test]
    fn an_authorization_request_is_narrowed_to_what_it_names() {
        let resources = resources();
        let audiences = Audiences { issuer: ISSUER, resources: &resources };
        let all = scope("openid email ships crews both unbound");
        let narrow = |named: &[&str]| audiences.narrow(&all, named).unwrap().to_string();
        assert_eq!(narrow(&[]), all.to_string());
        assert_eq!(narrow(&[SHIPS]), "openid email ships both");
        assert_eq!(narrow(&[SHIPS, CREWS]), "openid email ships crews both");
        assert_eq!(narrow(&[ISSUER]), "openid email unbound");
        assert_eq!(narrow(&[OPEN]), "openid email");
        assert!(audiences.narrow(&scope("openid ships"), &[SHIPS, CREWS]).is_err());
        assert!(audiences.narrow(&scope("openid"), &[SHIPS]).is_err());
    }

    #[test]
    fn without_a_scope_it_is_for_what_can_be_done_there() {
        let resources = resources();
        let audiences = Audiences { issuer: ISSUER, resources: &resources };
        let allowed = scope("profile email ships both unbound");
        let given = |named: &[&str]| audiences.default_scope(&allowed, named).map(|scope| scope.to_string()).ok();
        assert_eq!(given(&[]).unwrap(), allowed.to_string());
        assert_eq!(given(&[SHIPS]).unwrap(), "ships both");
        assert_eq!(given(&[SHIPS, CREWS]).unwrap(), "email ships both");
        assert_eq!(given(&[ISSUER]).unwrap(), "profile email unbound");
        assert_eq!(given(&[OPEN]).unwrap(), "");
        assert_eq!(given(&[OPEN, SHIPS]).unwrap(), "ships both");
        assert!(audiences.default_scope(&scope("profile unbound"), &[SHIPS]).is_err());
        assert_eq!(audiences.without_scopes([OPEN, SHIPS, ISSUER].into_iter()), [OPEN]);
    }

    proptest! {
        /// Whatever is asked and granted: known audiences, at most one API, nothing that was not granted, nothing of another's
        /// alone.
        #[test]
        fn a_token_never_allows_what_is_another_s(
            named in prop::collection::vec(prop::sample::select(vec![ISSUER, SHIPS, CREWS, OPEN]), 0..3),
            authorized in prop::collection::vec(prop::sample::select(vec![ISSUER, SHIPS, CREWS, OPEN]), 0..3),
            granted in prop::sample::subsequence(vec!["openid", "email", "ships", "crews", "both", "unbound"], 0..6),
        ) {
            let resources = resources();
            let audiences = Audiences { issuer: ISSUER, resources: &resources };
            let authorized: Vec<String> = authorized.into_iter().map(str::to_owned).collect();
            let granted = scope(&granted.join(" "));
            let named = audiences.named(named.into_iter()).unwrap();
            if let Ok(chosen) = audiences.choose(&named, &authorized, &granted) {
                let of = |name: &str| match name {
                    "openid" | "unbound" => vec![ISSUER],
                    "email" => vec![ISSUER, CREWS],
                    "ships" => vec![SHIPS],
                    "crews" => vec![CREWS],
                    _ => vec![SHIPS, CREWS],
                };
                let identifiers: Vec<&str> = chosen.identifiers.iter().map(String::as_str).collect();
                prop_assert!(chosen.scope.is_subset_of(&granted));
                prop_assert!(chosen.scope.iter().all(|token| of(token).iter().any(|one| identifiers.contains(one))));
                prop_assert!(named.is_empty() || named == identifiers);
                let is_authorized = |identifier: &str| {
                    authorized.is_empty()
                        || authorized.iter().any(|one| one == identifier)
                        || (identifier == ISSUER && granted.contains("openid"))
                };
                prop_assert!(identifiers.iter().all(|identifier| is_authorized(identifier)));
                match identifiers[..] {
                    [ISSUER] => {}
                    [OPEN] => prop_assert!(chosen.scope.is_empty() && authorized.iter().any(|one| one == OPEN)),
                    [_] => prop_assert!(!chosen.scope.is_empty()),
                    [api, issuer] => {
                        prop_assert!(api != ISSUER && issuer == ISSUER && chosen.scope.contains("openid"));
                        prop_assert!(!chosen.scope.contains("unbound"));
                    }
                    _ => prop_assert!(false, "{identifiers:?}"),
                }
            }
        }
    }
}
