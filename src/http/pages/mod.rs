//! One file per page. A page shows what was decided, notes what the person did, and returns to the authorization
//! endpoint; pages never call one another.

pub mod access;
pub mod account;
pub mod authenticator;
pub mod cancel;
pub mod change_password;
pub mod consent;
pub mod elevation;
pub mod login;
pub mod passkeys;
pub mod privileged_elsewhere;
pub mod reset_password;
pub mod second_factor;
pub mod select_account;
pub mod set_up;
pub mod step_up;
pub mod welcome;
