//! HTTP: routes, pages, and who may see them.

// <api>
pub mod api;
// </api>
mod development;
mod error;
// <live>
mod live;
// </live>
mod mailbox_controller;
// <passkeys>
mod passkey;
// </passkeys>
mod request_body;
mod request_span;
mod security_headers;
pub mod user_auth;

// <pages>
mod layout;
mod mail_link;
mod method_override;
// <mfa>
mod mfa_challenge_controller;
mod mfa_settings_controller;
// </mfa>
mod new_password;
mod page_controller;
// <passkeys>
mod passkey_session_controller;
mod passkeys_controller;
// </passkeys>
mod router;
// <mfa>
mod second_factor;
// </mfa>
mod sudo_controller;
// <mfa>
mod trusted_browsers_controller;
// </mfa>
mod user_activity_controller;
mod user_confirmation_controller;
mod user_deletion_controller;
// <magic_link>
mod user_log_in_link_controller;
// </magic_link>
mod user_recovery_controller;
mod user_registration_controller;
mod user_reset_password_controller;
mod user_session_controller;
mod user_sessions_controller;
mod user_settings_controller;
// </pages>

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
