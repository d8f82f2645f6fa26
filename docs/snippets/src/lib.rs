//! The Rust snippets of the guides, which are compiled and run as documentation tests.

include!(concat!(env!("OUT_DIR"), "/guides.rs"));

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
        Client, ClientKind, Config, CookieSession, Flash, HashedPassword, LoginMethod, Password, Problem, RememberMe,
        Scope, SecretKeyBase, SessionId, Sigra, Sudo, Verification,
        config::{Argon2Params, CookieOptions, SameSite},
    };
    pub use time::OffsetDateTime;
    pub use uuid::Uuid;
}
