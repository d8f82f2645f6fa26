//! The JSON API, for a separate frontend or a mobile app. It uses the same cookies as pages do, and responds with
//! problems (RFC 9457) instead of redirects.

mod account;
mod activity;
// <api_tokens>
mod api_tokens;
// </api_tokens>
// <oauth_server>
mod authorize;
// </oauth_server>
mod confirmation;
mod deletion;
// <oauth_server>
mod device;
// </oauth_server>
mod devices;
mod email_link;
// <languages>
mod language;
// </languages>
// <magic_link>
mod login_link;
// </magic_link>
// <mfa>
mod mfa;
mod mfa_challenge;
// </mfa>
// <oauth>
mod oauth;
// </oauth>
// <passkeys>
mod passkeys;
// </passkeys>
mod problems;
mod recovery;
mod registration;
mod reset_password;
mod router;
mod session;
mod settings;
mod sudo;

pub use self::router::app;
