//! What we rely on others for, pinned: an upgrade that changes it fails here first.

mod oxide_auth;
