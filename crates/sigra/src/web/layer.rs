use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{Extensions, HeaderMap, HeaderValue, StatusCode, header};
use pin_project_lite::pin_project;
use tower::{Layer, Service};
use tower_http::timeout::TimeoutBody;

use crate::{
    base::{
        error::{Error, Failed},
        origin::is_safe,
        problem::{Problem, code},
        task::ToTheEnd,
        telemetry,
        token::{CookieSessionId, SessionHashes, SessionToken},
    },
    browser::{
        cookie_session::{CookieSession, RememberMe, TokenWrite},
        cookies::PresentedTokens,
    },
    model::{
        client::Sender,
        scope::{Clearance, Scope},
        user::AuthUser,
    },
    sessions::look_up::Lookup,
    sigra::Sigra,
    web::{current::Current, deferred::Deferred},
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
    /// [`Sudo`](super::Sudo) or a [`CookieSession`]. For an `Option<Scope>` it is nobody's, if it brings no session, and
    /// refused like the rest if it does. [`SameOrigin`](super::SameOrigin) refuses it for handlers that ask for none of them.
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
            provide(request.extensions_mut(), &self.sigra, &session, known);
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
    provide(request.extensions_mut(), &sigra, &session, authenticated.scope.clone());
    let response = inner.call(request).await?;
    Ok(look_after(&sigra, &session, authenticated, response).await)
}

/// What there is to do once a request of a known sender is answered.
pub(super) async fn look_after<U: AuthUser>(
    sigra: &Sigra<U>,
    session: &CookieSession,
    Authenticated { scope, upkeep }: Authenticated<U>,
    mut response: Response,
) -> Response {
    if scope.as_ref().is_some_and(|scope| scope.clearance() == Clearance::ChallengePending) {
        response.extensions_mut().insert(AtChallenge);
    }
    forget_if_failed(&response, session);
    doubt_if_failed(&response, sigra);
    settle(sigra, session, upkeep).await;
    finish(response, session, scope.is_some())
}

/// Lets the readiness probe ask the database, where an answer says that it failed.
pub(super) fn doubt_if_failed<U: AuthUser>(response: &Response, sigra: &Sigra<U>) {
    if response.extensions().get::<Failed>().is_some_and(|failed| failed.by_database) {
        sigra.parts.health.doubt();
    }
}

/// Among the extensions of a response: the second factor of its session was still to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AtChallenge;

/// A body that does not let its reader wait for ever.
pub(crate) fn impatient(body: Body, patience: Duration) -> Body {
    if body.is_end_stream() { body } else { Body::new(TimeoutBody::new(patience, body)) }
}

/// Puts what the extractors take.
pub(super) fn provide<U: AuthUser>(
    extensions: &mut Extensions,
    sigra: &Sigra<U>,
    session: &CookieSession,
    scope: Option<Scope<U>>,
) {
    if let Some(scope) = &scope {
        session.let_in_under(scope.session().id);
    }
    extensions.insert(session.clone());
    extensions.insert(Current { sigra: sigra.clone(), found: scope });
}

/// Lets no later page tell of what has failed.
fn forget_if_failed(response: &Response, session: &CookieSession) {
    if response.status().is_server_error() || response.extensions().get::<Failed>().is_some() {
        session.take_entries_back();
    }
}

/// Writes what changed in the cookies, and who may keep the page.
fn finish(mut response: Response, session: &CookieSession, is_authenticated: bool) -> Response {
    let changed = session.commit(response.headers_mut());
    keep_private(response.headers_mut(), is_authenticated || changed);
    response
}

/// The answer in place of a handler's.
fn not_asked(why: impl IntoResponse) -> Response {
    let mut response = why.into_response();
    keep_private(response.headers_mut(), false);
    response
}

/// Who sent the request, and what their cookies need when it is answered.
pub(super) struct Authenticated<U: AuthUser> {
    pub scope: Option<Scope<U>>,
    upkeep: Upkeep,
}

impl<U: AuthUser> Authenticated<U> {
    /// One that there is nothing to look after for.
    pub fn known(scope: Scope<U>) -> Self {
        Self { scope: Some(scope), upkeep: Upkeep::None }
    }
}

impl<U: AuthUser> Clone for Authenticated<U> {
    fn clone(&self) -> Self {
        Self { scope: self.scope.clone(), upkeep: self.upkeep.clone() }
    }
}

/// What to write into the token cookies, unless the handler logs in or out meanwhile.
#[derive(Clone)]
enum Upkeep {
    None,
    /// Write this token: it was remembered, reissued, or is to be signed by the newest key.
    Write {
        token: SessionToken,
        remember_me: RememberMe,
    },
    /// Drop cookies that stand for nothing.
    Drop {
        dead: Vec<SessionHashes>,
        key: bool,
        remember_me: bool,
    },
}

/// The scope of a token that there is nothing to do about, if it is known.
pub(super) fn cached<U: AuthUser>(sigra: &Sigra<U>, tokens: &PresentedTokens) -> Option<Scope<U>> {
    let _span = tracing::debug_span!("sigra.fetch_current_scope").entered();
    let key = tokens.key.only().filter(|_| !tokens.key.is_outdated() && !tokens.remember_me.is_outdated());
    key.and_then(|key| sigra.cached(&key.token.hash()))
}

#[tracing::instrument(level = "debug", name = "sigra.fetch_current_scope", skip_all)]
pub(super) async fn authenticate<U: AuthUser>(
    sigra: &Sigra<U>,
    session: &CookieSession,
    tokens: &PresentedTokens,
    is_safe: bool,
) -> Result<Authenticated<U>, Error> {
    let PresentedTokens { key, remember_me } = tokens;
    if key.is_invalid() || (remember_me.is_invalid() && key.is_absent()) {
        // What is not ours logs nobody in, and neither does what comes beside it. It stays where it is until
        // a login writes over it, or the browser is closed: there is no row to tell whether that has happened by
        // the time this response arrives.
        tracing::info!(target: "sigra", event = telemetry::COOKIE_REJECTED);
        return Ok(anonymous(session, Upkeep::None));
    }

    // The cookie session decides, and a remembered session only where that stands for nothing.
    let in_key: Vec<Candidate<'_>> = key.valid().map(|key| (&key.token, Some(key.id))).collect();
    let is_new = |token: &&SessionToken| in_key.iter().all(|(known, _)| known.hash() != token.hash());
    let remembered = remember_me.valid().filter(is_new).map(|token| (token, None)).collect();
    let mut dead = Vec::new();
    for candidates in [in_key.clone(), remembered] {
        match look_up_all(sigra, candidates, &mut dead).await? {
            Outcome::Live { scope, reissued, token, id } => {
                session.act_under(token, id);
                let is_outdated = key.is_outdated() || remember_me.is_outdated() || id.is_none();
                let upkeep = match reissued.or_else(|| is_outdated.then(|| token.clone())) {
                    Some(token) => {
                        let remember_me = RememberMe::lasting(sigra.remember_for(scope.session()));
                        Upkeep::Write { token, remember_me }
                    }
                    None => Upkeep::None,
                };
                return Ok(Authenticated { scope: Some(scope), upkeep });
            }
            Outcome::Contradiction => {
                tracing::info!(target: "sigra", event = telemetry::COOKIE_REJECTED);
                return Ok(anonymous(session, Upkeep::None));
            }
            // Its cookies have been replaced, or are about to be.
            Outcome::Superseded => return Ok(anonymous(session, Upkeep::None)),
            Outcome::Dead => {}
        }
    }
    // A form may have been long on its way, or have waited for its body, while its browser logged out and in again. What
    // is dead then is dropped by the next page.
    if dead.is_empty() || !is_safe {
        return Ok(anonymous(session, Upkeep::None));
    }
    let (key, remember_me) = (!key.is_absent(), !remember_me.is_invalid() && !remember_me.is_absent());
    Ok(anonymous(session, Upkeep::Drop { dead, key, remember_me }))
}

fn anonymous<U: AuthUser>(session: &CookieSession, upkeep: Upkeep) -> Authenticated<U> {
    session.disown();
    Authenticated { scope: None, upkeep }
}

/// A token that came, and the cookie session that it came in, if it did.
type Candidate<'t> = (&'t SessionToken, Option<CookieSessionId>);

/// What the tokens in cookies of one name stand for together.
enum Outcome<'t, U: AuthUser> {
    Live {
        scope: Scope<U>,
        reissued: Option<SessionToken>,
        token: &'t SessionToken,
        id: Option<CookieSessionId>,
    },
    /// For several users: one of them was planted by somebody, and nobody can tell which.
    Contradiction,
    Superseded,
    Dead,
}

/// Tries each token. More than one comes if cookies of several domains have the name: an old one, say, from before the
/// cookie domain was changed.
async fn look_up_all<'t, U: AuthUser>(
    sigra: &Sigra<U>,
    candidates: Vec<Candidate<'t>>,
    dead: &mut Vec<SessionHashes>,
) -> Result<Outcome<'t, U>, Error> {
    let mut outcome: Outcome<'_, U> = Outcome::Dead;
    for (token, id) in candidates {
        match (sigra.look_up(token).await?, &outcome) {
            (Lookup::Live { scope, .. }, Outcome::Live { scope: other, .. }) => {
                if scope.user().id() != other.user().id() {
                    return Ok(Outcome::Contradiction);
                }
            }
            (Lookup::Live { scope, reissued }, _) => outcome = Outcome::Live { scope, reissued, token, id },
            (Lookup::Superseded, Outcome::Dead) => outcome = Outcome::Superseded,
            (Lookup::Superseded, _) => {}
            (Lookup::Dead, _) => dead.push(token.hashes()),
        }
    }
    Ok(outcome)
}

/// Looks after the token cookies when the response is ready. It may have taken long, and the browser may
/// have logged in or out meanwhile: so the database is asked once more, lest this response undo that.
async fn settle<U: AuthUser>(sigra: &Sigra<U>, session: &CookieSession, upkeep: Upkeep) {
    if session.is_settled() {
        return;
    }
    match upkeep {
        Upkeep::None => {}
        Upkeep::Write { token, remember_me } => {
            if matches!(sigra.is_to_be_held(token.hashes()).await, Ok(true)) {
                session.write_token(TokenWrite::Set { token, remember_me });
            }
        }
        Upkeep::Drop { dead, key, remember_me } => {
            for token in dead {
                if !matches!(sigra.is_dead(token).await, Ok(true)) {
                    return;
                }
            }
            session.write_token(TokenWrite::Expire { key, remember_me });
        }
    }
}

/// What depends on the cookies is kept by no shared cache, and what shows a user by no cache at all
/// (OWASP ASVS 14.2.2, 14.3.2).
pub(super) fn keep_private(headers: &mut HeaderMap, private: bool) {
    headers.append(header::VARY, HeaderValue::from_static("cookie"));
    if private && !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

impl<U: AuthUser> Sigra<U> {
    /// The layer that finds out who sends each request. It goes around every route that takes a
    /// [`CookieSession`] or a [`Scope`]; see [`FetchCurrentScopeLayer`] for what it does.
    #[must_use]
    pub fn fetch_current_scope(&self) -> FetchCurrentScopeLayer<U> {
        FetchCurrentScopeLayer::new(self.clone())
    }
}
