//! Whether relying parties that ask the issuer reach this very server: its discovery document and its keys.

use serde_json::Value;

use super::report::Report;
use crate::{
    config::{self, Config},
    failure::Stop,
    outbound::Outbound,
};

/// `keys` are the key ids that this database publishes; empty where they could not be read.
pub(super) async fn check(report: &mut Report, config: &Config, keys: &[String]) -> Result<(), Stop> {
    let issuer = config.issuer.as_str();
    // An operator's own issuer may lie in any network.
    let anywhere = ["0.0.0.0/0", "::/0"].iter().filter_map(|net| net.parse().ok()).collect();
    let outbound = Outbound::new(&config::Outbound { trust: config.outbound.trust.clone(), allow: anywhere })?;
    let url = config.issuer.url("/.well-known/openid-configuration");
    let document = match outbound.get_json(&url).await {
        Err(error) => {
            return report.note(
                format_args!("issuer: {url} cannot be fetched: {error}"),
                "fine while the server does not run; else check DNS, proxy and certificate",
            );
        }
        Ok(document) => document,
    };
    let hint = "set `issuer` to the public URL of this server, and let the proxy lead there";
    if document["issuer"] != issuer {
        let named = document["issuer"].as_str().unwrap_or("no issuer");
        return report.failed(format_args!("issuer: {url} is answered by another server ({named})"), hint);
    }
    if keys.is_empty() {
        return report.ok(format_args!("issuer: {url} answers (its keys were not compared)"));
    }
    // Two servers may call themselves by one name: only the keys tell them apart.
    let published = match document["jwks_uri"].as_str() {
        Some(uri) => outbound.get_json(uri).await.map_err(|error| error.to_string()),
        None => Err("the discovery document has no jwks_uri".to_owned()),
    };
    match published {
        Err(error) => report.failed(format_args!("issuer: its JWKS cannot be fetched: {error}"), hint),
        Ok(jwks) if shares_a_key(&jwks, keys) => {
            report.ok(format_args!("issuer: {url} answers, with the keys of this database"))
        }
        Ok(_) => report.failed(format_args!("issuer: {url} is answered by a server with other signing keys"), hint),
    }
}

fn shares_a_key(jwks: &Value, keys: &[String]) -> bool {
    let published = jwks["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    published.iter().filter_map(|key| key["kid"].as_str()).any(|kid| keys.iter().any(|key| key == kid))
}
