//! The Rust snippets of the guides, which are compiled and run as documentation tests.

#[doc = include_str!("../../introduction.md")]
pub struct Introduction;

#[doc = include_str!("../../installation.md")]
pub struct Installation;

#[doc = include_str!("../../getting-started.md")]
pub struct GettingStarted;

#[doc = include_str!("../../generated-files.md")]
pub struct GeneratedFiles;

#[doc = include_str!("../../custom-user-fields.md")]
pub struct CustomUserFields;

#[doc = include_str!("../../migrating-from-axum-login.md")]
pub struct MigratingFromAxumLogin;

#[doc = include_str!("../../accounts.md")]
pub struct Accounts;

#[doc = include_str!("../../login-and-logout.md")]
pub struct LoginAndLogout;

#[doc = include_str!("../../passwords.md")]
pub struct Passwords;

#[doc = include_str!("../../mfa.md")]
pub struct Mfa;

#[doc = include_str!("../../passkeys.md")]
pub struct Passkeys;

#[doc = include_str!("../../sudo-mode.md")]
pub struct SudoMode;

#[doc = include_str!("../../rate-limits.md")]
pub struct RateLimits;

#[doc = include_str!("../../email.md")]
pub struct Email;

#[doc = include_str!("../../protecting-routes.md")]
pub struct ProtectingRoutes;

#[doc = include_str!("../../sessions.md")]
pub struct Sessions;

#[doc = include_str!("../../cookies.md")]
pub struct Cookies;

#[doc = include_str!("../../caching.md")]
pub struct Caching;

#[doc = include_str!("../../live-connections.md")]
pub struct LiveConnections;

#[doc = include_str!("../../deployment.md")]
pub struct Deployment;

#[doc = include_str!("../../subdomains.md")]
pub struct Subdomains;

#[doc = include_str!("../../telemetry.md")]
pub struct Telemetry;

#[doc = include_str!("../../audit-trail.md")]
pub struct AuditTrail;

#[doc = include_str!("../../asvs.md")]
pub struct Asvs;

/// The application of the guides, with its own database.
#[path = "../../../crates/cargo-sigra/template/tests/integration/support/mod.rs"]
pub mod support;

/// Lets the snippets use `#[tokio::test]`, because documentation tests run without the test harness.
pub mod tokio {
    pub use ::tokio::{main as test, *};
}

/// Imports that the snippets of the guides leave out.
pub mod prelude {
    pub use std::time::Duration;

    pub use axum::{
        Form, Json, Router,
        extract::{Path, Request, State},
        http::{Method, StatusCode, request::Parts},
        middleware::{Next, from_fn},
        response::{IntoResponse, Redirect, Response},
        routing::{delete, get, post},
    };
    pub use my_app::{
        accounts::{Accounts, User},
        database::{Database, Pool},
        web::{AppState, Error, user_auth},
    };
    pub use serde::{Deserialize, Serialize};
    pub use sigra::{
        Audience, Client, Config, CookieSession, Flash, HashedPassword, LogInMethod, Password, Problem, RememberMe,
        Scope, SecretKeyBase, SessionId, Sigra, Sudo, Verification,
        config::{Argon2Params, CookieOptions, SameSite},
    };
    pub use time::OffsetDateTime;
    pub use uuid::Uuid;
}
