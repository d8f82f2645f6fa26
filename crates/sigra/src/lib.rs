#![doc = include_str!("docs/front.md")]
// docs.rs shows which feature an item needs.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_debug_implementations, clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

#[cfg(feature = "api-tokens")]
pub mod api_tokens;
pub mod audit;
mod base;
mod browser;
mod cache;
pub mod config;
#[cfg(feature = "device-bound")]
pub mod device_bound;
#[cfg(feature = "sqlite")]
#[doc(hidden)]
pub mod doctest;
mod email_tokens;
mod health;
mod housekeeping;
mod in_process;
pub mod limits;
#[cfg(feature = "mail")]
pub mod mail;
pub mod mfa;
mod model;
#[cfg(feature = "oauth")]
pub mod oauth;
#[cfg(feature = "oauth-server")]
pub mod oauth_server;
pub mod password;
mod recovery;
mod sessions;
mod sigra;
mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod web;

#[doc = include_str!("docs/scope.md")]
pub mod scope {
    #[cfg(feature = "device-bound")]
    pub use crate::model::scope::BoundSudo;
    pub use crate::{
        model::scope::{Scope, Sudo},
        web::{
            layer::{FetchCurrentScope, FetchCurrentScopeLayer},
            rejection::{FormPage, MfaChallengeRejection, MfaEnrollmentRejection, ScopeRejection, SudoRejection},
            same_origin::SameOrigin,
        },
    };
}

/// The extractors of requests with bearer tokens, and the permissions that they require.
///
/// | argument of a handler | who sends the request | without it |
/// |---|---|---|
/// | [`Bearer<User, P>`](crate::bearer::Bearer) | a program with a token that has the permissions `P` | 401 or 403, with `WWW-Authenticate` |
/// | [`Caller<User, P>`](crate::bearer::Caller) | such a program, or a logged-in user | as above, or as with a [`Scope`] |
/// | [`Scope<User>`](crate::Scope) | a logged-in user, never a program with a token | the login page, or 401 |
///
/// A token counts only in one header `Authorization` (RFC 6750 section 2.1). If it is invalid, no cookie replaces
/// it.
#[cfg(feature = "api-tokens")]
pub mod bearer {
    pub use crate::{
        model::{
            bearer::{Bearer, BearerToken, Caller},
            permission::{Permission, PermissionError, PermissionList, Permissions, RegisteredPermission, Required},
        },
        web::bearer::{BearerRejection, CallerRejection, Challenge},
    };
}

#[doc = include_str!("docs/session.md")]
pub mod session {
    pub use crate::{
        browser::{
            cookie_session::CookieSession,
            flash::{Flash, FlashMessage},
            return_to::ReturnTo,
        },
        model::session::{SessionId, SessionList, SessionRow},
        sessions::{handle::Sessions, revoke::Revoked},
        web::rejection::{MissingLayer, SessionRejection},
    };
}

#[cfg(feature = "api-tokens")]
pub use self::model::{
    bearer::{Bearer, Caller},
    permission::Permission,
};
#[cfg(feature = "live")]
pub use self::web::live;
pub use self::{
    base::{
        clock::Clock,
        config_error::ConfigError,
        error::{Error, Result},
        keys::{SecretKeyBase, SecretKeyBaseError},
        problem::{ClientKind, Problem},
        telemetry,
        token::{self, EmailToken, SessionToken, TokenHash},
    },
    browser::{cookie_session::CookieSession, flash::Flash},
    config::Config,
    email_tokens::EmailTokens,
    housekeeping::{Housekeeping, Reencrypted},
    model::{
        checked::Checked,
        client::{self, Client},
        log_in::{LoginMethod, LoginOutcome, RememberMe},
        scope::{Scope, Sudo},
        session::{SessionId, SessionRow},
        transaction::Transaction,
        user::{AuthDatabase, AuthUser, HashedPassword},
    },
    password::{Password, Verification},
    recovery::{Recovered, Recovery},
    sessions::{known_browsers::KnownBrowsers, revoke::Revoked},
    sigra::Sigra,
    store::schema,
    web::idempotency::{self, IdempotencyKey},
};
