//! Processes a form once if it is sent twice: the second request gets the first one's response.
//!
//! A double click on "Log in" sends two requests. The browser shows the response to the second, which finds its code
//! used, its link used or its session replaced, so the user is logged out. With the [layer](crate::Sigra::idempotency),
//! the second request waits for the first and gets the same response, cookies included (IETF
//! draft-ietf-httpapi-idempotency-key-header).
//!
//! | request | gets the first one's response |
//! |---|---|
//! | a form with a field `_idempotency_key`, or any request with a header `Idempotency-Key` | for 10 seconds, with the same browser, address and content |
//! | a form without a key | for 5 seconds, if it completed a login with the second factor, because the second request must fail then; not if a third arrives at the same moment |
//! | anything else | never |
//!
//! Put a new [`IdempotencyKey`] into each form of a page. Responses with 429 or 5xx aren't kept, because the
//! client should try again; neither are those with 404 or 405. Responses are kept in the memory of this process, at
//! most 1024, and at most 32 of one IP address (of IPv6, of a /64). Requests beyond that are processed each time.
//!
//! A request continues when its client disconnects, as a browser does with the first of two requests.
//!
//! ```
//! # use sigra::doctest::User;
//! use sigra::{IdempotencyKey, Sigra};
//!
//! // Outside the layer that writes cookies.
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
