//! What the stories are told with.

pub mod agent;
pub mod authenticator;
pub mod browser;
pub mod client;
pub mod cluster;
pub mod declared;
pub mod mail;
pub mod page;
pub mod passkey;
pub mod process;
pub mod proof;
pub mod relying_party;
pub mod server;
pub mod token;

pub use client::{Answer, Client, Method};
pub use declared::{ALICE, BOB, PASSWORD};
pub use server::{Server, Settings};
