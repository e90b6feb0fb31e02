//! Declared clients: the members are those of [`ClientMetadata`], the rules too. A file adds two: the client has a
//! `client_id`, and one that authenticates by secret has that secret, since nobody would learn a generated one.

use super::{builtin::HUB_CLIENT, given::Reader, key::Section, value::json};
use crate::{
    failure::Stop,
    oauth::client_metadata::{ClientMetadata, Fault, MEMBERS},
};

pub static SECTION: Section = Section {
    name: "client",
    doc: "A client, in the words of RFC 7591 and OpenID Connect Registration, and some of ours.",
    repeated: true,
    keys: || MEMBERS.iter().map(|member| member as _).collect(),
};

pub fn read(rows: &[Reader<'_>]) -> Result<Vec<ClientMetadata>, Stop> {
    let mut clients: Vec<ClientMetadata> = Vec::with_capacity(rows.len());
    for from in rows {
        let metadata = from.entries().map(|(name, value)| (name.clone(), json(value))).collect();
        let client = one(&metadata).map_err(|fault| refusal(from, &fault))?;
        if clients.iter().any(|other| other.client_id == client.client_id) {
            return Err(from.wrong_entry("client_id", false, "another [[client]] above has it: keep one of them"));
        }
        clients.push(client);
    }
    Ok(clients)
}

fn one(metadata: &serde_json::Value) -> Result<ClientMetadata, Fault> {
    let client = ClientMetadata::parse(metadata)?;
    client.check()?;
    match client.client_id.as_deref() {
        None => return Err(Fault::new("client_id", "is required")),
        Some(HUB_CLIENT) => return Err(Fault::new("client_id", "is the Identity Hub's own: choose another")),
        Some(_) => {}
    }
    if client.auth_method().uses_secret() && client.client_secret.is_none() {
        let problem =
            "is required with this token_endpoint_auth_method, at least 32 characters (none: a public client)";
        return Err(Fault::new("client_secret", problem));
    }
    Ok(client)
}

fn refusal(from: &Reader<'_>, fault: &Fault) -> Stop {
    let id =
        from.entries().find(|(name, _)| *name == "client_id").and_then(|(_, id)| id.as_str()).unwrap_or("(unnamed)");
    // A key set is refused when it holds private keys, too.
    let is_secret = ["client_secret", "jwks"].contains(&fault.member.as_str());
    let problem = fault.problem.replace('\n', " ");
    from.wrong_entry(&fault.member, is_secret, format!("of client {id:?}: {} {problem}", fault.member))
}
