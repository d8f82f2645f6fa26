//! HTTP: routes, pages, and who may see them.

mod error;
mod layout;
// <live>
mod live;
// </live>
mod mail_link;
mod mailbox_controller;
mod method_override;
// <mfa>
mod mfa_challenge_controller;
mod mfa_settings_controller;
// </mfa>
mod page_controller;
// <passkeys>
mod passkey;
mod passkey_session_controller;
mod passkeys_controller;
// </passkeys>
mod request_span;
mod router;
// <mfa>
mod second_factor;
// </mfa>
mod security_headers;
mod sudo_controller;
// <mfa>
mod trusted_browsers_controller;
// </mfa>
mod user_activity_controller;
pub mod user_auth;
mod user_confirmation_controller;
// <magic_link>
mod user_log_in_link_controller;
// </magic_link>
mod user_registration_controller;
mod user_reset_password_controller;
mod user_session_controller;
mod user_sessions_controller;
mod user_settings_controller;

use std::sync::Arc;

use axum::extract::FromRef;
use sigra::Sigra;

pub use self::{error::Error, router::app};
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

type Result<T> = std::result::Result<T, Error>;
