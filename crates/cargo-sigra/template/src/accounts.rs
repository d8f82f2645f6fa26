//! The accounts context: users, their passwords and their tokens.
//!
//! The functions here have a rule of the application: who may do something, or who gets an email about it. For all
//! else, such as listing sessions, `web` calls the library with [`Accounts::sigra`].

mod activity;
// <api_tokens>
mod api_tokens;
// </api_tokens>
mod confirmation;
mod context;
mod deletion;
mod email;
mod email_limit;
mod email_link;
mod error;
// <oauth>
mod identities;
// </oauth>
// <languages>
mod language;
// </languages>
mod log_in;
// <magic_link>
mod login_link;
// </magic_link>
// <mfa>
mod mfa;
// </mfa>
mod password;
// <api_tokens>
pub mod permissions;
// </api_tokens>
mod policy;
// <oauth_server>
mod programs;
// </oauth_server>
mod recovery;
mod registration;
mod sessions;
// <device_bound>
mod stolen_sessions;
// </device_bound>
mod sudo;
mod user;
mod user_notifier;

// <api_tokens>
pub use self::api_tokens::ApiTokenRequest;
// </api_tokens>
// <oauth>
pub use self::identities::ProviderOutcome;
// </oauth>
// <mfa>
pub use self::mfa::FEW_BACKUP_CODES;
// </mfa>
pub use self::{
    activity::Activity,
    context::{Accounts, Transaction},
    error::AccountError,
    log_in::{CompletedLogin, NextStep},
    policy::Policy,
    sudo::Proof,
    user::{FieldErrors, User, UserId, check_password, normalize_email},
};
