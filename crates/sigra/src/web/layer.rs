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
use http::StatusCode;
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tower_http::timeout::TimeoutBody;

use crate::{
    base::{
        origin::is_safe,
        problem::{Problem, code},
        task::ToTheEnd,
    },
    browser::{cookie_session::CookieSession, cookies::PresentedTokens},
    model::{client::Sender, scope::Scope, user::AuthUser},
    sessions::look_up::Authenticated,
    sigra::Sigra,
    web::{
        answer::{finish, forget_if_failed, look_after, not_asked},
        authenticate::{authenticate, cached},
        current::Current,
        deferred::Deferred,
    },
};

/// The layer that finds out who sends a request. Made by [`Sigra::fetch_current_scope`].
///
/// In this order it
///
/// 1. refuses unsafe requests from other origins with 403, before anything else is done;
/// 2. reads the cookie session, for the extractor [`CookieSession`];
/// 3. fetches the [`Scope`] that the session token stands for, falling back to the remember-me cookie;
/// 4. calls the handler;
/// 5. writes what changed in the cookies, and marks pages of logged-in users `Cache-Control: no-store`.
///
/// An unsafe request runs to its end whatever its client does. A server drops the handlers of a client that is gone, and
/// one that hangs up at the right moment could change a password and keep the mail about it from being sent. The rest
/// runs in the background then, without task-locals of yours; [`Sigra::settle`] waits for it. The rest of
/// a body that [stands still](crate::Config::body_patience) is an error, so that no handler waits for ever.
///
/// When the database can't be asked, a request that carries a token is answered with 503 and
/// `Retry-After`, and keeps its cookies.
///
/// Around routes that were there before, it may concern itself [only with those that
/// ask](Self::only_where_asked).
pub struct FetchCurrentScopeLayer<U: AuthUser> {
    sigra: Sigra<U>,
    concern: Concern,
}

/// Which requests the layer does something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concern {
    All,
    Asking,
}

impl<U: AuthUser> FetchCurrentScopeLayer<U> {
    pub(crate) fn new(sigra: Sigra<U>) -> Self {
        Self { sigra, concern: Concern::All }
    }

    /// Does all this only for handlers that ask who is there: in their arguments, or in those of a middleware. All others
    /// answer as they would without the layer, to whatever origin, with the headers and bodies that they have, and
    /// without the database.
    ///
    /// An unsafe request from another origin is refused by the argument: 403 in place of a [`Scope`], a
    /// [`Sudo`](crate::scope::Sudo) or a [`CookieSession`]. For an `Option<Scope>` it is nobody's, if it brings no session, and
    /// refused like the rest if it does. [`SameOrigin`](crate::scope::SameOrigin) refuses it for handlers that ask for none of them.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64, email: String }
    /// # impl sigra::AuthUser for User {
    /// #     type Id = i64; type Database = sqlx::Sqlite;
    /// #     fn id(&self) -> i64 { self.id }
    /// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// # }
    /// use axum::{Router, routing::{get, post}};
    /// use sigra::{Scope, Sigra};
    ///
    /// fn app(sigra: &Sigra<User>) -> Router {
    ///     Router::new()
    ///         .route("/api/reports", post(async || "For every origin, as before"))
    ///         .route("/me", get(async |scope: Scope<User>| scope.user().email.clone()))
    ///         .layer(sigra.fetch_current_scope().only_where_asked())
    /// }
    /// ```
    #[must_use]
    pub fn only_where_asked(mut self) -> Self {
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

/// The service that [`FetchCurrentScopeLayer`] makes.
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
        if let (Concern::All, Some(foreign)) = (self.concern, &foreign) {
            foreign.tell_refused(request.extensions());
            let refused = not_asked(Problem::new(StatusCode::FORBIDDEN).code(code::CROSS_ORIGIN));
            return ResponseFuture::Other { future: Box::pin(ready(Ok(refused))) };
        }
        // A nested router may carry the layer again; the outermost does the work.
        if Current::<U>::is_known(request.extensions()) || Deferred::<U>::is_there(request.extensions()) {
            return ResponseFuture::Other { future: Box::pin(self.inner.call(request)) };
        }
        let sender = Sender::of(&request, &self.sigra.parts.config.trusted_proxies);
        let (session, tokens) = CookieSession::read(&self.sigra.parts.cookies, request.headers(), sender);
        if self.concern == Concern::Asking {
            let deferred = Deferred::new(self.sigra.clone(), session, tokens, foreign, is_safe);
            deferred.provide(request.extensions_mut());
            let answered = deferred.respond(self.ready_inner().call(request));
            return self.to_the_end_unless(is_safe, answered);
        }
        if !is_safe {
            let patience = self.sigra.parts.config.body_patience;
            request = request.map(|body| impatient(body, patience));
        }
        let known = cached(&self.sigra, &tokens);
        if is_safe && known.is_some() {
            Current::provide(request.extensions_mut(), &self.sigra, &session, known);
            return ResponseFuture::Cached { future: self.inner.call(request), session };
        }
        let answered = respond(self.sigra.clone(), self.ready_inner(), request, session, tokens, known);
        self.to_the_end_unless(is_safe, answered)
    }
}

impl<S: Clone, U: AuthUser> FetchCurrentScope<S, U> {
    /// The inner service that was polled ready.
    fn ready_inner(&mut self) -> S {
        let ready = self.inner.clone();
        std::mem::replace(&mut self.inner, ready)
    }

    fn to_the_end_unless<F>(
        &self,
        is_safe: bool,
        answered: impl Future<Output = Result<Response, Infallible>> + Send + 'static,
    ) -> ResponseFuture<F> {
        if is_safe {
            return ResponseFuture::Other { future: Box::pin(answered) };
        }
        ResponseFuture::Other { future: Box::pin(ToTheEnd::new(&self.sigra.parts.abandoned, answered)) }
    }
}

pin_project! {
    /// The future of [`FetchCurrentScope`].
    #[project = ResponseFutureProj]
    pub enum ResponseFuture<F> {
        /// There is nothing to look up, and nothing to look after.
        Cached {
            #[pin]
            future: F,
            session: CookieSession,
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
            ResponseFutureProj::Cached { future, session } => future.poll(cx).map_ok(|response| {
                forget_if_failed(&response, session);
                let is_authenticated = true;
                finish(response, session, is_authenticated)
            }),
            ResponseFutureProj::Other { future } => future.as_mut().poll(cx),
        }
    }
}

async fn respond<S, U>(
    sigra: Sigra<U>,
    mut inner: S,
    mut request: Request,
    session: CookieSession,
    tokens: PresentedTokens,
    known: Option<Scope<U>>,
) -> Result<Response, Infallible>
where
    S: Service<Request, Response = Response, Error = Infallible>,
    U: AuthUser,
{
    let authenticated = match known {
        Some(scope) => Ok(Authenticated::known(scope)),
        None => authenticate(&sigra, &session, &tokens, is_safe(request.method())).await,
    };
    let authenticated = match authenticated {
        Ok(authenticated) => authenticated,
        Err(error) => return Ok(not_asked(error)),
    };
    Current::provide(request.extensions_mut(), &sigra, &session, authenticated.scope.clone());
    let response = inner.call(request).await?;
    Ok(look_after(&sigra, &session, authenticated, response).await)
}

/// A body that does not let its reader wait for ever.
pub(crate) fn impatient(body: Body, patience: Duration) -> Body {
    if body.is_end_stream() { body } else { Body::new(TimeoutBody::new(patience, body)) }
}

impl<U: AuthUser> Sigra<U> {
    /// The layer that finds out who sends each request. It goes around every route that takes a
    /// [`CookieSession`] or a [`Scope`]; see [`FetchCurrentScopeLayer`] for what it does.
    #[must_use]
    pub fn fetch_current_scope(&self) -> FetchCurrentScopeLayer<U> {
        FetchCurrentScopeLayer::new(self.clone())
    }
}
