//! One file per protocol endpoint. Endpoints never call one another.

pub mod authorize;
pub mod discovery;
pub mod end_session;
pub mod health;
pub mod introspect;
pub mod jwks;
pub mod par;
pub mod register;
pub mod revoke;
pub mod token;
pub mod userinfo;
pub mod well_known;
