//! A form that is sent twice is done once: the second press of a button gets the first one's answer.
//!
//! Two presses of "Log in" are two requests. The browser shows the answer to the second, which finds its code used, its
//! link void, its session replaced: whoever pressed twice is thrown out. With the [layer](Sigra::idempotency) the second
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

mod answers;
mod request;

use std::{
    convert::Infallible,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    body::{Body, HttpBody, to_bytes},
    extract::Request,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use tower::{Layer, Service, ServiceExt};

pub(crate) use self::answers::Answers;
use self::{
    answers::{Answer, First, MAX_ANSWER, Place},
    request::{Repeatable, Sent},
};
use crate::{AuthUser, Error, Problem, Sigra, scope::AtChallenge, task::ToTheEnd};

/// Names one showing of a form: random, so that nobody guesses it.
///
/// ```
/// # fn main() -> sigra::Result<()> {
/// let key = sigra::IdempotencyKey::generate()?;
/// assert_eq!(key.to_string().len(), 32);
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdempotencyKey([u8; 16]);

impl IdempotencyKey {
    /// A new one.
    ///
    /// # Errors
    ///
    /// [`Error::Random`].
    pub fn generate() -> Result<Self, Error> {
        crate::token::random_bytes().map(Self)
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<U: AuthUser> Sigra<U> {
    /// The layer that answers a form that is sent twice once. It goes around
    /// [`fetch_current_scope`](Self::fetch_current_scope), whose cookies belong to the answer.
    #[must_use]
    pub fn idempotency(&self) -> IdempotencyLayer<U> {
        IdempotencyLayer { sigra: self.clone() }
    }
}

/// The layer that answers a form that is sent twice once. Made by [`Sigra::idempotency`].
pub struct IdempotencyLayer<U: AuthUser> {
    sigra: Sigra<U>,
}

impl<U: AuthUser> Clone for IdempotencyLayer<U> {
    fn clone(&self) -> Self {
        Self { sigra: self.sigra.clone() }
    }
}

impl<U: AuthUser, S> Layer<S> for IdempotencyLayer<U> {
    type Service = Idempotency<S, U>;

    fn layer(&self, inner: S) -> Self::Service {
        Idempotency { inner, sigra: self.sigra.clone() }
    }
}

/// The service that [`IdempotencyLayer`] makes.
pub struct Idempotency<S, U: AuthUser> {
    inner: S,
    sigra: Sigra<U>,
}

impl<S: Clone, U: AuthUser> Clone for Idempotency<S, U> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), sigra: self.sigra.clone() }
    }
}

impl<S, U> Service<Request> for Idempotency<S, U>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    U: AuthUser,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        if !request::may_repeat(&request) {
            return Box::pin(self.inner.call(request));
        }
        let ready = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, ready);
        Box::pin(respond(self.sigra.clone(), inner, request))
    }
}

async fn respond<S, U>(sigra: Sigra<U>, inner: S, request: Request) -> Result<Response, Infallible>
where
    S: Service<Request, Response = Response, Error = Infallible> + Send + 'static,
    S::Future: Send,
    U: AuthUser,
{
    let repeatable = match Repeatable::read(&sigra, request).await {
        Ok(Sent::Repeatable(repeatable)) => repeatable,
        Ok(Sent::Once(request)) => return inner.oneshot(request).await,
        Err(refused) => return Ok(refused),
    };
    let Repeatable { request, key, cookies } = repeatable;
    match sigra.answers().place(key, &cookies) {
        Place::First(place) => {
            // A browser hangs up on the first of two presses, and is answered at the second.
            let abandoned = sigra.abandoned().clone();
            let work = async move {
                let response = inner.oneshot(request).await?;
                Ok(keep(&sigra, response, place).await)
            };
            ToTheEnd::new(&abandoned, work).await
        }
        Place::Repeat(repeat) => match repeat.answer(&cookies).await {
            Some(answer) => Ok(answer),
            None => inner.oneshot(request).await,
        },
        Place::Full => inner.oneshot(request).await,
    }
}

/// Leaves a copy for whoever sends the same again.
async fn keep<U: AuthUser>(sigra: &Sigra<U>, response: Response, place: First) -> Response {
    let status = response.status();
    let again_is_right = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    let is_small = response.body().size_hint().upper().is_some_and(|size| size <= MAX_ANSWER as u64);
    if again_is_right || !is_small {
        return response;
    }
    let (parts, body) = response.into_parts();
    match to_bytes(body, MAX_ANSWER).await {
        Ok(body) => {
            let token = sigra.cookies().token_given(&parts.headers).map(<[u8]>::to_vec);
            let is_at_challenge = parts.extensions.get::<AtChallenge>().is_some();
            place.publish(Answer { parts: parts.clone(), body: body.clone(), token, is_at_challenge });
            Response::from_parts(parts, Body::from(body))
        }
        Err(error) => {
            tracing::error!(target: "sigra", %error, "an answer can't be read");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
    }
}
