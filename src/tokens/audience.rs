//! Whom an access token is for (RFC 8707, RFC 9068 §3): one declared resource, or this server itself.
//!
//! A scope belongs to the resources that list it, any other to this server, for userinfo and whoever takes the issuer's
//! tokens. The standard scopes speak of a person, so they always belong to this server and never make a token one for
//! an API.
//!
//! Invariant: a token has one audience, and of the scopes that were granted exactly those that belong to it. So what one
//! API is given opens no other, and not userinfo.

use crate::{
    config,
    oauth::{
        Error, ErrorCode, Scope,
        client_metadata::AccessTokenFormat,
        scope::{OPENID, STANDARD_SCOPES},
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
    /// The resource's identifier, or the issuer.
    pub identifier: String,
    pub scope: Scope,
    /// Absent: what the client has.
    pub format: Option<AccessTokenFormat>,
}

impl<'a> Audiences<'a> {
    /// The values of `resource` in a request, each once. They are compared as text, so what is no absolute URI, or has a
    /// fragment, is not among ours either (RFC 8707 §2).
    pub fn named<'p>(&self, values: impl Iterator<Item = &'p str>) -> Result<Vec<&'a str>, Error> {
        let mut named = Vec::new();
        for value in values {
            let known = self.all().find(|known| *known == value);
            let known = known.ok_or_else(|| refused("resource is none that this server issues tokens for"))?;
            if !named.contains(&known) {
                named.push(known);
            }
        }
        Ok(named)
    }

    /// What of a requested scope is for the resources that an authorization request names; all of it if there are none.
    /// The standard scopes stay: they are for the ID token, too. Each resource must be given something.
    pub fn narrow(&self, requested: &Scope, named: &[&str]) -> Result<Scope, Error> {
        if named.is_empty() {
            return Ok(requested.clone());
        }
        if named.iter().any(|named| *named != self.issuer && self.part(requested, named).is_empty()) {
            return Err(nothing_for_it());
        }
        Ok(requested.filtered(|token| is_standard(token) || named.iter().any(|named| self.belongs(token, named))))
    }

    /// Chooses the audience of one token.
    ///
    /// `named`: the values of `resource` in the token request. `authorized`: what the authorization request named; empty
    /// where it named nothing, or where there was none. `granted`: the scope that the token could have at most.
    pub fn choose(&self, named: &[&str], authorized: &[String], granted: &Scope) -> Result<Audience, Error> {
        let may_have = |identifier: &str| {
            authorized.iter().any(|one| one == identifier)
                || (authorized.is_empty() && identifier == self.issuer)
                // Userinfo goes with `openid`, whichever APIs were named beside it.
                || (identifier == self.issuer && granted.contains(OPENID))
                || (authorized.is_empty() && !self.part(granted, identifier).is_empty())
        };
        let identifier = match named {
            [one] if may_have(one) => *one,
            [_] => return Err(refused("resource is none that was granted")),
            [] => self.implied(authorized, granted).filter(|one| may_have(one)).ok_or_else(|| {
                refused("this is for more than one resource: name one of them, and only one, with resource")
            })?,
            _ => return Err(refused("a token is for one resource: ask for one after the other")),
        };
        let scope = self.part(granted, identifier);
        // An API that looks at nothing but the audience would let anybody in.
        if identifier != self.issuer && scope.is_empty() {
            return Err(nothing_for_it());
        }
        let declared = self.resources.iter().find(|resource| resource.identifier == identifier);
        let format = declared.and_then(|resource| resource.access_token_format);
        Ok(Audience { identifier: identifier.to_owned(), scope, format })
    }

    /// RFC 9068 §3: without `resource` the scope says whom the token is for. `None`: it says several.
    fn implied(&self, authorized: &[String], granted: &Scope) -> Option<&'a str> {
        let api = granted.filtered(|token| !is_standard(token));
        let mut wanted = self.all().filter(|known| {
            !self.part(&api, known).is_empty() && (authorized.is_empty() || authorized.iter().any(|one| one == known))
        });
        match (wanted.next(), wanted.next()) {
            (None, _) => Some(self.issuer),
            (one, None) => one,
            _ => None,
        }
    }

    fn all(&self) -> impl Iterator<Item = &'a str> {
        let declared = self.resources.iter().map(|resource| resource.identifier.as_str());
        let issuer = self.issuer;
        std::iter::once(issuer).chain(declared.filter(move |declared| *declared != issuer))
    }

    fn part(&self, granted: &Scope, identifier: &str) -> Scope {
        granted.filtered(|token| self.belongs(token, identifier))
    }

    fn belongs(&self, token: &str, identifier: &str) -> bool {
        let mut listing =
            self.resources.iter().filter(|resource| resource.scopes.iter().any(|scope| scope == token)).peekable();
        (identifier == self.issuer && (listing.peek().is_none() || is_standard(token)))
            || listing.any(|resource| resource.identifier == identifier)
    }
}

fn is_standard(token: &str) -> bool {
    STANDARD_SCOPES.iter().any(|scope| scope.name == token)
}

fn nothing_for_it() -> Error {
    refused("none of the scopes granted is one of this resource")
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

    fn resources() -> [config::Resource; 3] {
        let resource = |identifier: &str, scopes: &[&str]| config::Resource {
            identifier: identifier.to_owned(),
            scopes: scopes.iter().map(|&scope| scope.to_owned()).collect(),
            access_token_format: (identifier == SHIPS).then_some(AccessTokenFormat::Jwt),
        };
        [resource(SHIPS, &["ships", "both"]), resource(CREWS, &["crews", "both", "email"]), resource("urn:mute", &[])]
    }

    fn scope(text: &str) -> Scope {
        Scope::parse(text).unwrap()
    }

    fn choose(named: &[&str], authorized: &[&str], granted: &str) -> Option<(String, String)> {
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
        assert_eq!(chosen.format.is_some(), chosen.identifier == SHIPS);
        Some((chosen.identifier, chosen.scope.to_string()))
    }

    #[track_caller]
    fn is(named: &[&str], authorized: &[&str], granted: &str, audience: &str, scope: &str) {
        let expected = Some((audience.to_owned(), scope.to_owned()));
        assert_eq!(choose(named, authorized, granted), expected);
    }

    #[track_caller]
    fn refused(named: &[&str], authorized: &[&str], granted: &str) {
        assert_eq!(choose(named, authorized, granted), None);
    }

    #[test]
    fn without_resource_the_scope_says_whom_a_token_is_for() {
        is(&[], &[], "openid email", ISSUER, "openid email");
        is(&[], &[], "", ISSUER, "");
        is(&[], &[], "unbound", ISSUER, "unbound");
        is(&[], &[], "openid email ships", SHIPS, "ships");
        is(&[], &[], "openid crews email", CREWS, "crews email");
        refused(&[], &[], "ships crews");
        refused(&[], &[], "ships unbound");
        refused(&[], &[], "both");
    }

    #[test]
    fn a_token_request_names_one() {
        is(&[SHIPS], &[], "openid ships crews both", SHIPS, "ships both");
        is(&[CREWS], &[], "openid ships crews both", CREWS, "crews both");
        is(&[ISSUER], &[], "openid ships unbound", ISSUER, "openid unbound");
        refused(&[SHIPS, CREWS], &[], "ships crews");
        refused(&[SHIPS], &[], "openid crews");
        refused(&["urn:mute"], &[], "openid crews");
    }

    #[test]
    fn it_names_one_that_was_authorized() {
        is(&[SHIPS], &[SHIPS, CREWS], "ships crews", SHIPS, "ships");
        is(&[], &[SHIPS], "openid ships both", SHIPS, "ships both");
        is(&[ISSUER], &[SHIPS], "openid ships", ISSUER, "openid");
        is(&[], &[SHIPS, CREWS], "openid ships", SHIPS, "ships");
        is(&[], &[SHIPS], "openid", ISSUER, "openid");
        refused(&[], &[SHIPS, CREWS], "ships crews");
        refused(&[CREWS], &[SHIPS], "ships both");
        refused(&[ISSUER], &[SHIPS], "ships");
        refused(&[], &[SHIPS], "email");
        refused(&[SHIPS], &[SHIPS], "openid");
        // Declared no more.
        refused(&[], &["https://gone.example"], "ships");
    }

    #[test]
    fn only_what_is_declared_can_be_named() {
        let resources = resources();
        let audiences = Audiences { issuer: ISSUER, resources: &resources };
        assert_eq!(audiences.named([SHIPS, ISSUER, SHIPS].into_iter()).unwrap(), [SHIPS, ISSUER]);
        for wrong in ["https://ships.example/", "https://SHIPS.example", "https://ships.example#x", "ships", "/", "x:"]
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
        assert!(audiences.narrow(&scope("openid ships"), &[SHIPS, CREWS]).is_err());
        assert!(audiences.narrow(&scope("openid"), &[SHIPS]).is_err());
    }

    proptest! {
        /// Whatever is asked and granted: one known audience, nothing that was not granted, nothing of another's alone.
        #[test]
        fn a_token_never_allows_what_is_another_s(
            named in prop::collection::vec(prop::sample::select(vec![ISSUER, SHIPS, CREWS, "urn:mute"]), 0..3),
            authorized in prop::collection::vec(prop::sample::select(vec![ISSUER, SHIPS, CREWS, "urn:mute"]), 0..3),
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
                prop_assert!(chosen.scope.is_subset_of(&granted));
                prop_assert!(chosen.scope.iter().all(|token| of(token).contains(&chosen.identifier.as_str())));
                prop_assert!(named.is_empty() || named == [chosen.identifier.as_str()]);
                prop_assert!(
                    authorized.is_empty()
                        || authorized.contains(&chosen.identifier)
                        || (chosen.identifier == ISSUER && granted.contains("openid"))
                );
                prop_assert!(chosen.identifier == ISSUER || !chosen.scope.is_empty());
            }
        }
    }
}
