//! The layer that finds the user of each request.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, ready},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    response::Response,
};
use http::{StatusCode, header};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tower_http::timeout::TimeoutBody;
#[cfg(feature = "device-bound")]
use {
    crate::base::origin::own_authority,
    crate::browser::binding::{BindingOfRequest, SKIPPED},
    crate::web::original_uri::original_uri,
    http::Method,
};

use crate::{
    base::{
        authorization::Authorization,
        origin::is_safe,
        problem::{Problem, code},
        task::ToTheEnd,
    },
    browser::cookie_session::CookieSession,
    model::{client::Sender, scope::Scope, user::AuthUser},
    sessions::look_up::Authenticated,
    sigra::Sigra,
    web::{
        authenticate::{authenticate, cached},
        current::Current,
        deferred::Deferred,
        response::{doubt_if_failed, finish, finish_after_lookup, forget_if_failed, not_called},
    },
};

/// The layer that finds the user of a request. Created by [`Sigra::fetch_current_scope`].
///
/// In this order, it:
///
/// 1. refuses unsafe requests from other origins with 403. With the feature `api-tokens`, one with a bearer token
///    reaches its handler, and is refused by an argument that takes the session;
/// 2. reads the cookie session, for the extractor [`CookieSession`];
/// 3. fetches the [`Scope`] of the session token, falling back to the remember-me cookie;
/// 4. calls the handler;
/// 5. writes changed cookies, and marks pages of logged-in users `Cache-Control: no-store`.
///
/// An unsafe request always runs to its end. A server drops the handler when the client disconnects, so a client that
/// disconnects at the right moment could change a password and prevent the email about it. Here the rest runs in the
/// background for at most ten minutes, without your task-locals; [`Sigra::settle`] waits for it. A body that
/// [stalls](crate::Config::body_timeout) becomes an error, so that no handler waits forever. Of a safe request, such as
/// the callback of a provider, only [commits](crate::Transaction::commit) run to their end.
///
/// If the database is unavailable, a request with a token gets 503 and `Retry-After`, and keeps its cookies.
///
/// It serves only axum's requests and responses: it gives requests a body that can't stall, and answers those that it
/// refuses.
///
/// Around existing routes, it can act [only for handlers that ask](Self::on_demand).
pub struct FetchCurrentScopeLayer<U: AuthUser> {
    sigra: Sigra<U>,
    concern: Concern,
}

/// Which requests the layer acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concern {
    All,
    Asking,
}

impl<U: AuthUser> FetchCurrentScopeLayer<U> {
    pub(crate) fn new(sigra: Sigra<U>) -> Self {
        Self { sigra, concern: Concern::All }
    }

    /// Limits the layer to handlers that ask for the user: in their arguments, or in those of a middleware. All other
    /// handlers respond as they would without the layer: to any origin, with their own headers and bodies, and without
    /// a database query.
    ///
    /// An unsafe request from another origin is refused by the argument, with 403, if that is a [`Scope`], a
    /// [`Sudo`](crate::scope::Sudo) or a [`CookieSession`]. An `Option<Scope>` is `None` if the request has no session
    /// token, and refuses it otherwise. For handlers with none of these arguments, use
    /// [`SameOrigin`](crate::scope::SameOrigin).
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use axum::{Router, routing::{get, post}};
    /// use sigra::{Scope, Sigra};
    ///
    /// fn app(sigra: &Sigra<User>) -> Router {
    ///     Router::new()
    ///         .route("/api/reports", post(async || "For every origin, as before"))
    ///         .route("/me", get(async |scope: Scope<User>| scope.user().email.clone()))
    ///         .layer(sigra.fetch_current_scope().on_demand())
    /// }
    /// ```
    #[must_use]
    pub fn on_demand(mut self) -> Self {
        self.concern = Concern::Asking;
        self
    }
}

impl<U: AuthUser> fmt::Debug for FetchCurrentScopeLayer<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchCurrentScopeLayer").finish_non_exhaustive()
    }
}

impl<U: AuthUser> Clone for FetchCurrentScopeLayer<U> {
    fn clone(&self) -> Self {
        Self { sigra: self.sigra.clone(), concern: self.concern }
    }
}

impl<U: AuthUser, S> Layer<S> for FetchCurrentScopeLayer<U> {
    type Service = FetchCurrentScope<S, U>;

    fn layer(&self, inner: S) -> Self::Service {
        FetchCurrentScope { inner, sigra: self.sigra.clone(), concern: self.concern }
    }
}

/// The service that [`FetchCurrentScopeLayer`] creates.
pub struct FetchCurrentScope<S, U: AuthUser> {
    inner: S,
    sigra: Sigra<U>,
    concern: Concern,
}

impl<S, U: AuthUser> fmt::Debug for FetchCurrentScope<S, U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchCurrentScope").finish_non_exhaustive()
    }
}

impl<S: Clone, U: AuthUser> Clone for FetchCurrentScope<S, U> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), sigra: self.sigra.clone(), concern: self.concern }
    }
}

impl<S, U> Service<Request> for FetchCurrentScope<S, U>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    U: AuthUser,
{
    type Response = Response;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let is_safe = is_safe(request.method());
        let foreign = self.sigra.parts.own_origins.judge(&request);
        let concern = match &foreign {
            Some(_) if is_bearer(&request) => Concern::Asking,
            _ => self.concern,
        };
        if let (Concern::All, Some(foreign)) = (concern, &foreign) {
            foreign.log_refused(request.extensions());
            let refused = not_called(Problem::new(StatusCode::FORBIDDEN).code(code::CROSS_ORIGIN));
            return ResponseFuture::Other { future: Box::pin(ready(Ok(refused))) };
        }
        // A nested router can have the layer again. Only the outermost one acts.
        if Current::<U>::is_known(request.extensions()) || Deferred::<U>::is_there(request.extensions()) {
            return ResponseFuture::Other { future: Box::pin(self.inner.call(request)) };
        }
        let sender = Sender::of(&request, &self.sigra.parts.config.requests.trusted_proxies);
        let session = CookieSession::new(self.sigra.parts.clone(), request.headers(), sender);
        #[cfg(feature = "device-bound")]
        note_binding(&self.sigra, &request, &session);
        if !is_safe && self.concern == Concern::All {
            let patience = self.sigra.parts.config.requests.body_timeout;
            request = request.map(|body| impatient(body, patience));
        }
        if concern == Concern::Asking {
            let deferred = Deferred::new(self.sigra.clone(), session, foreign, is_safe);
            deferred.provide(request.extensions_mut());
            let response = deferred.respond(self.ready_inner().call(request));
            return self.to_the_end_unless(is_safe, response);
        }
        let known = cached(&self.sigra, &session);
        #[cfg(feature = "device-bound")]
        if let Some(scope) = &known {
            self.sigra.offer_binding_again(&session, scope);
        }
        // Without cookies there is nothing to look up: a visitor, or a program with a bearer token.
        if is_safe && (known.is_some() || !request.headers().contains_key(header::COOKIE)) {
            let is_authenticated = known.is_some();
            Current::provide(request.extensions_mut(), &session, known);
            return ResponseFuture::Known { future: self.inner.call(request), session, is_authenticated };
        }
        let response = respond(self.sigra.clone(), self.ready_inner(), request, session, known);
        self.to_the_end_unless(is_safe, response)
    }
}

/// Returns whether a request has a bearer token, or tries to. No browser sends one on its own, and no page of another
/// origin can send one unless the host's CORS settings allow it. So such a request reaches handlers from any origin,
/// but cookies don't count: an argument that takes a session refuses it.
fn is_bearer(request: &Request) -> bool {
    cfg!(feature = "api-tokens") && Authorization::of(request.headers()).is_bearer()
}

impl<S: Clone, U: AuthUser> FetchCurrentScope<S, U> {
    /// Returns the inner service that was polled ready.
    fn ready_inner(&mut self) -> S {
        let ready = self.inner.clone();
        std::mem::replace(&mut self.inner, ready)
    }

    fn to_the_end_unless<F>(
        &self,
        is_safe: bool,
        response: impl Future<Output = Result<Response, Infallible>> + Send + 'static,
    ) -> ResponseFuture<F> {
        if is_safe {
            return ResponseFuture::Other { future: Box::pin(response) };
        }
        ResponseFuture::Other { future: Box::pin(ToTheEnd::new(&self.sigra.parts.abandoned, response)) }
    }
}

pin_project! {
    /// The future of [`FetchCurrentScope`].
    #[project = ResponseFutureProj]
    pub enum ResponseFuture<F> {
        /// The scope was cached, and the token cookies need no change. Or there are no cookies.
        Known {
            #[pin]
            future: F,
            session: CookieSession,
            is_authenticated: bool,
        },
        /// Everything else.
        Other {
            future: Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>,
        },
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for ResponseFuture<F> {
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            ResponseFutureProj::Known { future, session, is_authenticated } => {
                future.poll(cx).map_ok(|mut response| {
                    forget_if_failed(&response, session);
                    doubt_if_failed(&response, &**session.parts());
                    finish(&mut response, session, *is_authenticated);
                    response
                })
            }
            ResponseFutureProj::Other { future } => future.as_mut().poll(cx),
        }
    }
}

async fn respond<S, U>(
    sigra: Sigra<U>,
    mut inner: S,
    mut request: Request,
    session: CookieSession,
    known: Option<Scope<U>>,
) -> Result<Response, Infallible>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    U: AuthUser,
{
    let authenticated = match known {
        Some(scope) => Ok(Authenticated::known(scope)),
        // Boxed, so that the memory is free while the handler runs.
        None => Box::pin(authenticate(&sigra, &session, is_safe(request.method()))).await,
    };
    let authenticated = match authenticated {
        Ok(authenticated) => authenticated,
        Err(error) => return Ok(not_called(error)),
    };
    #[cfg(feature = "device-bound")]
    if let Some(scope) = &authenticated.scope {
        sigra.offer_binding_again(&session, scope);
    }
    Current::provide(request.extensions_mut(), &session, authenticated.scope.clone());
    let mut response = inner.call(request).await?;
    finish_after_lookup(&sigra, &session, authenticated, &mut response).await;
    Ok(response)
}

/// Notes whether a request renews the bound cookie of a session, or why it comes without one, and whether it can bind
/// it.
#[cfg(feature = "device-bound")]
fn note_binding<U: AuthUser>(sigra: &Sigra<U>, request: &Request, session: &CookieSession) {
    let Some(settings) = &sigra.parts.config.device_bound else { return };
    let path = original_uri(request.uri(), request.extensions()).path();
    session.note_binding(BindingOfRequest {
        skipped: request.headers().get(SKIPPED).cloned(),
        is_excluded: settings.excludes(path),
        is_elsewhere: own_authority(request.uri(), request.headers()).is_some_and(|host| !settings.is_at(host)),
        renews: request.method() == Method::POST && settings.is_refresh_path(path),
    });
}

/// Returns a body that fails if the client stalls, so that its reader doesn't wait forever.
pub(crate) fn impatient(body: Body, patience: Duration) -> Body {
    if body.is_end_stream() { body } else { Body::new(TimeoutBody::new(patience, body)) }
}

impl<U: AuthUser> Sigra<U> {
    /// Returns the layer that finds the user of each request. Add it around every route that takes a [`CookieSession`]
    /// or a [`Scope`]. [`FetchCurrentScopeLayer`] says what it does.
    #[must_use]
    pub fn fetch_current_scope(&self) -> FetchCurrentScopeLayer<U> {
        FetchCurrentScopeLayer::new(self.clone())
    }
}
