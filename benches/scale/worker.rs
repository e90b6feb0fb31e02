//! What is asked of the server.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use uuid::Uuid;

use crate::{
    Fallible, fill,
    http::Connection,
    journey::{Endpoints, Visitor, basic, encode, expect},
    spread,
};

/// One client of the load.
pub struct Worker {
    pub path: &'static str,
    pub visitor: Visitor,
    pub connection: Connection,
    pub ids: Vec<Uuid>,
    pub next: usize,
}

impl Worker {
    pub async fn operate(&mut self, endpoints: &Endpoints) -> Fallible<()> {
        let id = if self.ids.is_empty() { Uuid::nil() } else { self.ids[self.next % self.ids.len()] };
        self.next += 1;
        match self.path {
            "code flow, hot" => {
                self.visitor.code_flow().await?;
            }
            "code flow, spread" => {
                self.visitor.with_cookie(spread::cookie(id)?);
                self.visitor.code_flow().await?;
            }
            "introspection, spread" => {
                let form = format!("token={}", encode(&token(id)));
                let answer = self.connection.post(&endpoints.introspect, &basic(fill::COMMON), &form).await?;
                let answer = expect(answer, 200, "introspection")?;
                if !answer.text().contains("\"active\":true") {
                    return Err(format!("the token is not active: {}", answer.summary()).into());
                }
            }
            _ => {
                let authorization = format!("Authorization: Bearer {}\r\n", token(id));
                expect(self.connection.get(&endpoints.userinfo, &authorization).await?, 200, "userinfo")?;
            }
        }
        Ok(())
    }
}

/// The token of a filled row.
fn token(id: Uuid) -> String {
    format!("mo_at_{}", URL_SAFE_NO_PAD.encode([&id.as_bytes()[..], fill::SECRET].concat()))
}
