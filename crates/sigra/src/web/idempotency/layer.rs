//! The layer that processes a form once if it is sent twice.

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

use super::request::{self, Repeatable, Sent};
use crate::{
    base::{error::Error, problem::Problem, task::ToTheEnd, token::random_bytes},
    in_process::stored_responses::{First, MAX_BODY, Place, StoredResponse},
    model::user::AuthUser,
    sigra::Sigra,
    web::response::AtChallenge,
};

/// A random key for one display of a form.
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
    /// Creates a random key.
    ///
    /// # Errors
    ///
    /// [`Error::Random`].
    pub fn generate() -> Result<Self, Error> {
        random_bytes().map(Self)
    }
}

impl fmt::Display for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl<U: AuthUser> Sigra<U> {
    /// Returns the layer that processes a form once if it is sent twice. Add it outside
    /// [`fetch_current_scope`](Self::fetch_current_scope), whose cookies are part of the response.
    #[must_use]
    pub fn idempotency(&self) -> IdempotencyLayer<U> {
        IdempotencyLayer { sigra: self.clone() }
    }
}

/// The layer that processes a form once if it is sent twice. Created by [`Sigra::idempotency`].
pub struct IdempotencyLayer<U: AuthUser> {
    sigra: Sigra<U>,
}

impl<U: AuthUser> fmt::Debug for IdempotencyLayer<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyLayer").finish_non_exhaustive()
    }
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

/// The service that [`IdempotencyLayer`] creates.
pub struct Idempotency<S, U: AuthUser> {
    inner: S,
    sigra: Sigra<U>,
}

impl<S, U: AuthUser> fmt::Debug for Idempotency<S, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency").finish_non_exhaustive()
    }
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
    let Repeatable { request, key, cookies, client } = repeatable;
    match sigra.parts.stored_responses.place(key, &cookies, client) {
        Place::First(place) => {
            // After a double click, a browser disconnects the first request and shows the response to the second.
            let abandoned = sigra.parts.abandoned.clone();
            let work = async move {
                let response = inner.oneshot(request).await?;
                Ok(keep(&sigra, response, place).await)
            };
            ToTheEnd::new(&abandoned, work).await
        }
        Place::Repeat(repeat) => match repeat.response(&cookies).await {
            Some(response) => Ok(response),
            None => inner.oneshot(request).await,
        },
        Place::Full => inner.oneshot(request).await,
    }
}

/// Keeps a copy of the response for repeated requests.
async fn keep<U: AuthUser>(sigra: &Sigra<U>, response: Response, place: First) -> Response {
    let status = response.status();
    let again_is_right = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
    let is_nowhere = status == StatusCode::NOT_FOUND || status == StatusCode::METHOD_NOT_ALLOWED;
    let is_small = response.body().size_hint().upper().is_some_and(|size| size <= MAX_BODY as u64);
    if again_is_right || is_nowhere || !is_small {
        return response;
    }
    let (parts, body) = response.into_parts();
    match to_bytes(body, MAX_BODY).await {
        Ok(body) => {
            let token = sigra.parts.cookies.token_given(&parts.headers).map(<[u8]>::to_vec);
            let is_at_challenge = parts.extensions.get::<AtChallenge>().is_some();
            place.publish(StoredResponse { parts: parts.clone(), body: body.clone(), token, is_at_challenge });
            Response::from_parts(parts, Body::from(body))
        }
        Err(error) => {
            tracing::error!(target: "sigra", %error, "the body of a response can't be read");
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
    }
}
