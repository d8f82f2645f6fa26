//! A form that is sent twice is done once: the second press of a button gets the first one's answer.
//!
//! Two presses of "Log in" are two requests. The browser shows the answer to the second, which finds its code used, its
//! link void, its session replaced: whoever pressed twice is thrown out. With the [layer](crate::Sigra::idempotency) the second
//! waits for the first, and gets the same answer, cookies and all (IETF draft-ietf-httpapi-idempotency-key-header).
//!
//! | request | gets the first one's answer |
//! |---|---|
//! | a form with a field `_idempotency_key`, or any request with a header `Idempotency-Key` | for ten seconds, to the same browser, address and content |
//! | a form without | for five seconds, where it completed a log-in by the second factor, for then the second must fail; not if a third comes at the same moment |
//! | anything else | never |
//!
//! A page puts a fresh [`IdempotencyKey`] into each of its forms. Answers with 429 and 5xx are not kept: to try again is
//! right after those. What is kept is in the memory of this process, and bounded.
//!
//! The work goes on when its client hangs up, which is what a browser does with the first of two presses.
//!
//! ```
//! # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
//! # impl sigra::AuthUser for User {
//! #     type Id = i64; type Database = sqlx::Sqlite;
//! #     fn id(&self) -> i64 { self.id }
//! #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
//! # }
//! use sigra::{IdempotencyKey, Sigra};
//!
//! // Around the layer that writes cookies.
//! fn app(sigra: &Sigra<User>, routes: axum::Router) -> axum::Router {
//!     routes.layer(sigra.fetch_current_scope()).layer(sigra.idempotency())
//! }
//!
//! fn form() -> sigra::Result<String> {
//!     let key = IdempotencyKey::generate()?;
//!     Ok(format!(r#"<form method="post"><input type="hidden" name="_idempotency_key" value="{key}"></form>"#))
//! }
//! ```

mod layer;
mod request;

pub use self::layer::{Idempotency, IdempotencyKey, IdempotencyLayer};
