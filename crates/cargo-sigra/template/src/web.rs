//! HTTP: routes, pages, and access control.

mod account_error;
// <api>
pub mod api;
// </api>
// <pages>
mod assets;
// </pages>
mod development;
// <device_bound>
mod device_bound;
// </device_bound>
mod error;
mod error_pages;
mod forms;
// <app>
mod health;
// </app>
// <languages>
pub mod languages;
// </languages>
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
mod unsigned_cookies;
// </pages>
// <oauth_server>
mod oauth_server;
// </oauth_server>
// <passkeys>
mod passkey_options;
// </passkeys>
// <app>
// <api_tokens>
mod programs;
// </api_tokens>
// </app>
mod request_body;
mod request_span;
// <pages>
mod router;
// </pages>
mod security_headers;
mod state;
pub mod user_auth;
// <app>
mod well_known;
// </app>

// <!pages>
// pub use self::api::app;
// </!pages>
// <pages>
pub use self::router::app;
// </pages>
pub use self::{error::Error, state::AppState};
