//! The pages, one small file each: what a page shows, and what its forms do.

pub mod account;
pub mod activity;
// <api_tokens>
pub mod api_tokens;
// </api_tokens>
// <oauth_server>
pub mod authorize;
// </oauth_server>
pub mod change_email;
pub mod change_password;
pub mod check_email;
pub mod confirmation;
pub mod deletion;
// <oauth_server>
pub mod device;
// </oauth_server>
pub mod devices;
mod email_link;
mod form;
// <app>
pub mod home;
// </app>
// <languages>
pub mod language;
// </languages>
mod last_login_method;
// <magic_link>
pub mod login_link;
// </magic_link>
// <oauth>
pub mod login_methods;
// </oauth>
// <mfa>
pub mod mfa;
pub mod mfa_challenge;
// </mfa>
mod new_password;
// <oauth>
pub mod oauth;
// </oauth>
// <passkeys>
pub mod passkeys;
// </passkeys>
pub mod recovery;
pub mod registration;
pub mod reset_password;
// <mfa>
mod second_factor;
// </mfa>
pub mod session;
pub mod settings;
pub mod sudo;
