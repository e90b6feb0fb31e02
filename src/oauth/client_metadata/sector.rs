//! The sector of a client with pairwise subjects (OIDC Core §8.1): clients of one sector see a person under one name,
//! clients of different sectors under names that nobody but us can tell to be the same person's.

use url::Url;

use super::{ClientMetadata, Fault, SubjectType};

impl ClientMetadata {
    /// The host of `sector_identifier_uri`, or the one host that all redirect URIs have; lower case, without port.
    ///
    /// Only hosts of `https` and `http` count: whoever installs a program can give it a private scheme with any host
    /// behind it, and would enter the sector of that host's owner.
    #[must_use]
    pub fn sector(&self) -> Option<String> {
        if let Some(uri) = &self.sector_identifier_uri {
            return host(uri);
        }
        let mut hosts = self.redirect_uris.iter().map(|uri| host(uri));
        let first = hosts.next()??;
        hosts.all(|other| other.as_deref() == Some(&first)).then_some(first)
    }

    /// Whether a client that changes itself goes on knowing people by the names it knows them by. Else it could sign them
    /// in as itself, move into another sector, and learn from the tokens it holds what they are called there.
    pub fn check_subjects_stay(&self, before: &Self) -> Result<(), Fault> {
        if self.subject_type != before.subject_type {
            return Err(Fault::new("subject_type", "cannot be changed: register another client"));
        }
        if self.subject_type == SubjectType::Pairwise && self.sector() != before.sector() {
            return Err(Fault::new("sector_identifier_uri", "the sector cannot be changed: register another client"));
        }
        Ok(())
    }
}

/// For a client that registered itself. Its redirect URIs may be somebody else's, who alone gets the answers that are sent
/// there; a logout token with the same names must not be sent elsewhere.
pub(super) fn check_notices(client: &ClientMetadata) -> Result<(), Fault> {
    let Some(uri) = &client.backchannel_logout_uri else { return Ok(()) };
    let told = host(uri);
    let is_of_sector = client.sector() == told || client.redirect_uris.iter().any(|redirect| host(redirect) == told);
    if client.subject_type == SubjectType::Pairwise && !is_of_sector {
        return Err(Fault::new(
            "backchannel_logout_uri",
            "must have a host of the redirect_uris with pairwise subjects",
        ));
    }
    Ok(())
}

pub(super) fn check(client: &ClientMetadata) -> Result<(), Fault> {
    if client.subject_type == SubjectType::Pairwise && client.sector().is_none() {
        return Err(Fault::new(
            "sector_identifier_uri",
            "is required with pairwise subjects unless all redirect_uris have one and the same host on the web",
        ));
    }
    Ok(())
}

fn host(uri: &str) -> Option<String> {
    let url = Url::parse(uri).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    url.host_str().map(str::to_ascii_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sector(redirect_uris: &[&str], sector_identifier_uri: Option<&str>) -> Option<String> {
        let client = ClientMetadata {
            redirect_uris: redirect_uris.iter().map(|&uri| uri.to_owned()).collect(),
            sector_identifier_uri: sector_identifier_uri.map(str::to_owned),
            subject_type: SubjectType::Pairwise,
            ..ClientMetadata::default()
        };
        assert_eq!(check(&client).is_ok(), client.sector().is_some());
        client.sector()
    }

    #[test]
    fn it_is_the_one_host_of_the_redirect_uris() {
        assert_eq!(sector(&["https://RP.example/a", "https://rp.example:8443/b"], None).as_deref(), Some("rp.example"));
        assert_eq!(sector(&["http://127.0.0.1/a", "http://127.0.0.1:7/b"], None).as_deref(), Some("127.0.0.1"));
        assert_eq!(sector(&["https://rp.example/a", "https://www.rp.example/a"], None), None);
        assert_eq!(sector(&["https://rp.example.evil/a", "https://rp.example/a"], None), None);
        assert_eq!(sector(&[], None), None);
    }

    #[test]
    fn a_private_scheme_is_in_no_sector() {
        assert_eq!(sector(&["com.example.app://rp.example/cb"], None), None);
        assert_eq!(sector(&["https://rp.example/cb", "com.example.app:/cb"], None), None);
    }

    #[test]
    fn the_document_goes_before_the_redirect_uris() {
        let uris = ["https://a.example/cb", "com.example.app:/cb"];
        assert_eq!(sector(&uris, Some("https://Sector.example/uris.json")).as_deref(), Some("sector.example"));
    }
}
