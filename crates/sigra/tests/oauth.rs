//! Logins at providers: what they say is believed only after it was verified. Without a database.
#![cfg(all(feature = "oauth", feature = "testing"))]
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used, missing_docs)]

#[path = "oauth/certified_provider.rs"]
mod certified_provider;
#[path = "oauth/flow.rs"]
mod flow;
#[path = "oauth/id_tokens.rs"]
mod id_tokens;
#[path = "oauth/identities.rs"]
mod identities;
#[path = "oauth/responses.rs"]
mod responses;
#[path = "oauth/settings.rs"]
mod settings;
