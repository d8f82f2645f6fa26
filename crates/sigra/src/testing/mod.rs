//! What a host tests its own pages with: a browser, fixtures, a clock to turn, and assertions.
//!
//! A host says once how to build its application and how to register a user ([`TestHost`]). A test then
//! reads like what a person does:
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
//! | one whose address is not confirmed | [`TestHost::unconfirmed_fixture`] |
//! | one who is logged in | [`TestHost::authenticated_fixture`], on one more device [`TestHost::log_in`] |
//! | one who has a second factor | [`TestHost::mfa_fixture`] |
//! | one whose second factor is pending | [`TestHost::mfa_pending_fixture`], then [`TestHost::totp_code`] |
//! | one who has shown it | [`TestHost::mfa_complete_fixture`] |
//! | one in a browser that needs none | [`TestHost::trust_browser`] |
//! | one in sudo mode, and no longer | [`TestHost::sudo_fixture`], then [`TestHost::clock`] |
//! | one whose password was guessed at too often | [`TestHost::locked_fixture`] |
//! | one who asked for a link | a form, then [`assert_email_sent`] and [`extract_token`] |
//! | later | [`TestHost::clock`] |
//! | the same cookies in other hands | [`TestClient::fork`] |
//!
//! Everything here panics when it can't go on, as a failed assertion does.

#![allow(clippy::panic, clippy::expect_used, reason = "a failed test is a panic with a readable message")]

mod assertions;
mod client;
mod host;
#[cfg(feature = "mail")]
mod mail;
mod mfa;
#[cfg(feature = "postgres")]
mod postgres;
mod response;

#[cfg(feature = "mail")]
pub use self::mail::{assert_email_sent, assert_no_email_sent, extract_token};
#[cfg(feature = "postgres")]
pub use self::postgres::{ClusterError, PostgresCluster};
pub use self::{
    assertions::{
        assert_audit_event, assert_contains, assert_problem, assert_redirected_to, assert_sessions_invalidated,
        assert_status,
    },
    client::{BROWSER, TestClient},
    host::{TestHost, VALID_PASSWORD},
    response::TestResponse,
};
