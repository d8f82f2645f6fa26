//! HTTP: routes, pages, and who may see them.

// <api>
pub mod api;
// </api>
// <pages>
mod assets;
// </pages>
mod development;
mod error;
// <app>
mod health;
// </app>
// <pages>
mod layout;
// </pages>
// <live>
mod live;
// </live>
mod mailbox;
// <pages>
mod method_override;
mod pages;
// </pages>
// <passkeys>
mod passkey_options;
// </passkeys>
mod request_body;
mod request_span;
// <pages>
mod router;
// </pages>
mod security_headers;
pub mod user_auth;

use std::sync::Arc;

use axum::extract::FromRef;
use sigra::Sigra;

// <!pages>
// pub use self::api::app;
// </!pages>
pub use self::error::Error;
// <pages>
pub use self::router::app;
// </pages>
use crate::{
    accounts::{Accounts, User},
    config::Settings,
};

/// What handlers can ask for with `State`.
#[derive(Clone, FromRef)]
pub struct AppState {
    pub accounts: Accounts,
    pub sigra: Sigra<User>,
    pub settings: Arc<Settings>,
}

impl AppState {
    pub fn new(accounts: Accounts, sigra: Sigra<User>, settings: Settings) -> Self {
        Self { accounts, sigra, settings: Arc::new(settings) }
    }
}

type Result<T, E = Error> = std::result::Result<T, E>;
