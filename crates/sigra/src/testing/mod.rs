//! Tools to test a host's own pages: a browser, fixtures, a clock to advance, and assertions.
//!
//! Implement [`TestHost`] once: it says how to build the application and how to register a user. A test then reads like
//! what a user does:
//!
//! ```
//! use sigra::testing::{TestHost, assert_redirected_to, assert_sessions_invalidated, assert_status};
//!
//! async fn logging_out_everywhere_ends_every_browser<H: TestHost>(host: H) {
//!     let (user, laptop) = host.authenticated_fixture().await;
//!     let phone = host.log_in(&user).await;
//!
//!     let response = laptop.delete("/users/sessions").await;
//!
//!     assert_redirected_to(&response, "/");
//!     assert_sessions_invalidated(host.sigra(), &user).await;
//!     assert_redirected_to(&phone.get("/dashboard").await, "/users/log-in");
//! }
//! ```
//!
//! | scenario | how to get there |
//! |---|---|
//! | a visitor | [`TestHost::client`] |
//! | a registered user | [`TestHost::registered_fixture`] |
//! | one whose email address isn't confirmed | [`TestHost::unconfirmed_fixture`] |
//! | one who is logged in | [`TestHost::authenticated_fixture`], and on another browser [`TestHost::log_in`] |
//! | one who has a second factor | [`TestHost::mfa_fixture`] |
//! | one whose second factor is pending | [`TestHost::mfa_pending_fixture`], then [`TestHost::totp_code`] |
//! | one who has presented it | [`TestHost::mfa_complete_fixture`] |
//! | one with a trusted browser | [`TestHost::trust_browser`] |
//! | one in sudo mode, until it ends | [`TestHost::sudo_fixture`], then [`TestHost::clock`] |
//! | one whose account has reached the limit of failed logins | [`TestHost::locked_fixture`] |
//! | one who asked for a link | a form, then [`assert_email_sent`] and [`extract_token`] |
//! | a program with a token of theirs | `TestHost::token_client`, with the feature `api-tokens` |
//! | a program that they gave access | `TestHost::program_client`, with the feature `oauth-server` |
//! | somebody at Google | `TestProvider`, with the feature `oauth` |
//! | a later time | [`TestHost::clock`] |
//! | a thief with the same cookies | [`TestClient::fork`] |
//! | a browser that binds its sessions to a device | `TestClient::device_bound`, with the feature `device-bound` |
//!
//! Everything here panics if it can't continue, like a failed assertion.

#![allow(clippy::panic, clippy::expect_used, reason = "a failed test is a panic with a readable message")]

#[cfg(feature = "api-tokens")]
mod api_tokens;
mod assertions;
mod client;
#[cfg(feature = "device-bound")]
mod device;
mod host;
#[cfg(feature = "mail")]
mod mail;
mod mfa;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "oauth-server")]
mod programs;
#[cfg(feature = "oauth")]
mod provider;
mod response;

#[cfg(feature = "device-bound")]
pub use self::device::DeviceKey;
#[cfg(feature = "mail")]
pub use self::mail::{assert_email_sent, assert_no_email_sent, extract_token};
#[cfg(feature = "postgres")]
pub use self::postgres::{ClusterError, PostgresCluster};
#[cfg(feature = "oauth")]
pub use self::provider::{ProviderAccount, ProviderCallback, ProviderEndpoint, ProviderFault, TestProvider};
pub use self::{
    assertions::{
        assert_audit_event, assert_contains, assert_problem, assert_redirected_to, assert_sessions_invalidated,
        assert_status,
    },
    client::{BROWSER, TestClient},
    host::{TestHost, VALID_PASSWORD},
    response::TestResponse,
};
