//! As much of a browser as a sign-in without JavaScript needs: cookies, redirects one at a time, forms.

use std::collections::BTreeMap;

use reqwest::header::{COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use url::Url;

use super::form::Form;
use crate::http::demo::openid::Trouble;

/// Redirects in a row before it is a circle.
const PATIENCE: usize = 10;

pub struct Browser {
    http: reqwest::Client,
    /// By host: browsers do not tell cookies apart by port (RFC 6265 §8.5).
    jar: BTreeMap<String, BTreeMap<String, String>>,
}

/// What the browser was shown.
pub struct Seen {
    pub url: Url,
    pub status: u16,
    /// Where it is sent next.
    pub location: Option<Url>,
    pub body: String,
}

impl Browser {
    /// With no cookies. `http` must not follow redirects.
    pub fn new(http: reqwest::Client) -> Self {
        Self { http, jar: BTreeMap::new() }
    }

    /// The cookies that a host has set.
    pub fn cookies(&self, url: &Url) -> BTreeMap<String, String> {
        self.jar.get(url.host_str().unwrap_or_default()).cloned().unwrap_or_default()
    }

    pub async fn get(&mut self, url: &str) -> Result<Seen, Trouble> {
        let url = Url::parse(url).map_err(|error| Trouble::new(format_args!("{url} is no address: {error}")))?;
        self.send(self.http.get(url.clone()), url).await
    }

    /// Sends a form of a page, filled in; what is filled in stands instead of what was there.
    pub async fn submit(&mut self, page: &Seen, form: &Form, filled: &[(&str, &str)]) -> Result<Seen, Trouble> {
        let url = page.url.join(&form.action).map_err(Trouble::new)?;
        let kept = form.inputs.iter().filter(|(name, _)| !filled.iter().any(|(own, _)| own == name));
        let fields: Vec<(&str, &str)> =
            kept.map(|(name, value)| (name.as_str(), value.as_str())).chain(filled.iter().copied()).collect();
        let origin = page.url.origin().ascii_serialization();
        self.send(self.http.post(url.clone()).header(ORIGIN, origin).form(&fields), url).await
    }

    /// Follows redirects to a page, or to an address that begins with `until`, which is not visited.
    pub async fn follow(&mut self, mut seen: Seen, until: &str) -> Result<Seen, Trouble> {
        for _ in 0..PATIENCE {
            match &seen.location {
                Some(location) if !location.as_str().starts_with(until) => {
                    let next = location.clone();
                    seen = self.send(self.http.get(next.clone()), next).await?;
                }
                _ => return Ok(seen),
            }
        }
        Err(Trouble::new("the redirects do not end"))
    }

    async fn send(&mut self, request: reqwest::RequestBuilder, url: Url) -> Result<Seen, Trouble> {
        let host = url.host_str().unwrap_or_default().to_owned();
        let cookies = self.jar.entry(host).or_default();
        let said: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = if said.is_empty() { request } else { request.header(COOKIE, said.join("; ")) };
        let answer = request.send().await?;
        for set in answer.headers().get_all(SET_COOKIE).iter().filter_map(|value| value.to_str().ok()) {
            keep(cookies, set);
        }
        let status = answer.status();
        let location = answer.headers().get(LOCATION).filter(|_| status.is_redirection());
        let location = location.and_then(|value| value.to_str().ok()).and_then(|address| url.join(address).ok());
        Ok(Seen { url, status: status.as_u16(), location, body: answer.text().await? })
    }
}

/// Keeps a cookie, or drops it where the server says so (RFC 6265 §5.2).
fn keep(cookies: &mut BTreeMap<String, String>, set: &str) {
    let mut parts = set.split(';').map(str::trim);
    let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else { return };
    if parts.any(|part| part.eq_ignore_ascii_case("Max-Age=0")) {
        cookies.remove(name);
    } else {
        cookies.insert(name.to_owned(), value.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_come_change_and_go() {
        let mut cookies = BTreeMap::new();
        keep(&mut cookies, "a=1; Path=/; HttpOnly; SameSite=Lax");
        keep(&mut cookies, "a=2=2");
        keep(&mut cookies, "b=3; Path=/");
        assert_eq!(cookies["a"], "2=2");
        keep(&mut cookies, "b=; Path=/; Max-Age=0");
        assert!(!cookies.contains_key("b"));
    }
}
