//! Live connections: WebSockets and event streams that end when their session ends.
//!
//! A connection is registered under the id of its session's row. Every deletion of a session announces the id, and
//! while there are connections, a sweep asks the database twice a second which of their sessions are live. So a
//! connection ends within a second, even if its session expired, its user was deactivated, or the row was deleted by
//! hand.
//!
//! A session that can't be checked doesn't count as live: if its row can't be read, its connections end at once, and if
//! the database is unavailable, they end after [a while](crate::Config::live_without_database). Each connection costs
//! memory, so the number for each session and user [is limited](crate::Config::live_connections).

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{
        FromRequestParts,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    },
    response::{IntoResponse, Response},
};
use futures_util::{
    SinkExt, Stream, StreamExt,
    stream::{SplitSink, SplitStream},
};
use http::{StatusCode, request::Parts};
use tokio::{sync::Mutex, time::timeout};

#[cfg(feature = "device-bound")]
use crate::base::clock::{millis, to_ms};
use crate::{
    base::{
        origin::ForeignRequest,
        problem::{Problem, code},
        telemetry,
    },
    in_process::connections::{Connection, Ended, Ending, Entry, LiveConnections, Sweeping},
    model::{
        scope::Scope,
        session::{SessionId, SessionRow},
        user::AuthUser,
    },
    sigra::Sigra,
    web::{
        deferred::current,
        rejection::{SessionRejection, log_refusal},
    },
};

pub use crate::model::limit::LiveLimit;

/// The WebSocket close code after a session ended. Codes from 4000 are for applications (RFC 6455 section 7.4.2).
pub const CLOSE_SESSION_ENDED: u16 = 4401;
/// The WebSocket close code when [the server stops](Sigra::close_live_connections) (RFC 6455 section 7.4.1).
pub const CLOSE_GOING_AWAY: u16 = 1001;
/// The WebSocket close code when the database [was unavailable for too long](crate::Config::live_without_database) to
/// check the session, or when the [device](crate::Config::device_bound) that the session is bound to has not proved its
/// key for too long. It can connect again. "Try again later" in IANA's registry.
pub const CLOSE_TRY_AGAIN_LATER: u16 = 1013;

/// The size of each socket's read buffer and write buffer, in bytes. Larger messages are read and written in pieces.
const BUFFER: usize = 4096;

const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
/// The shortest time between sweeps, however much changes.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);
const SWEEP_BATCH: usize = 500;
/// How long the database may take to respond to a sweep.
const SWEEP_PATIENCE: Duration = Duration::from_secs(5);
/// How long a client with too many connections should wait.
const RETRY_AFTER: Duration = Duration::from_secs(10);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A live connection that is about to open for a logged-in user.
///
/// The handler is called only for a logged-in user, only from a page of the application's own origin (a WebSocket's
/// handshake is a `GET`, which no CSRF layer stops: RFC 6455 section 10.2), and only if the hook `M` allows it. Put
/// this argument before [`WebSocketUpgrade`], so that it refuses clients before that asks them to upgrade.
///
/// ```
/// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
/// # impl sigra::AuthUser for User {
/// #     type Id = i64; type Database = sqlx::Sqlite;
/// #     fn id(&self) -> i64 { self.id }
/// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
/// # }
/// use axum::{extract::ws::{Message, WebSocketUpgrade}, response::Response};
/// use sigra::live::Live;
///
/// async fn echo(live: Live<User>, upgrade: WebSocketUpgrade) -> Response {
///     live.on_upgrade(upgrade, |mut socket, scope| async move {
///         while let Some(message) = socket.recv().await {
///             if matches!(message, Message::Text(_)) && socket.send(message).await.is_err() {
///                 break;
///             }
///         }
///         tracing::info!(user = scope.user().id, "left");
///     })
/// }
/// # let _: axum::Router = axum::Router::new().route("/live", axum::routing::get(echo));
/// ```
pub struct Live<U: AuthUser, M = ()> {
    scope: Scope<U>,
    connection: Connection,
    mounted: PhantomData<M>,
}

/// A hook that runs before a live connection opens, and can refuse it.
///
/// ```
/// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64, confirmed: bool }
/// # impl sigra::AuthUser for User {
/// #     type Id = i64; type Database = sqlx::Sqlite;
/// #     fn id(&self) -> i64 { self.id }
/// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
/// # }
/// use axum::{http::{StatusCode, request::Parts}, response::{IntoResponse, Response}};
/// use sigra::{Scope, live::{Live, OnMount}};
///
/// struct EnsureConfirmed;
///
/// impl OnMount<User> for EnsureConfirmed {
///     async fn on_mount(scope: &Scope<User>, _: &mut Parts) -> Result<(), Response> {
///         if scope.user().confirmed { Ok(()) } else { Err(StatusCode::FORBIDDEN.into_response()) }
///     }
/// }
///
/// async fn live(live: Live<User, EnsureConfirmed>) { /* ... */ }
/// ```
pub trait OnMount<U: AuthUser>: Send + 'static {
    /// Returns `Ok` to allow the connection, or the response to send instead.
    fn on_mount(scope: &Scope<U>, parts: &mut Parts) -> impl Future<Output = Result<(), Response>> + Send;
}

/// Allows every logged-in user.
impl<U: AuthUser> OnMount<U> for () {
    async fn on_mount(_: &Scope<U>, _: &mut Parts) -> Result<(), Response> {
        Ok(())
    }
}

impl<U: AuthUser, M> fmt::Debug for Live<U, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl<U: AuthUser, M> Live<U, M> {
    /// Returns the scope of the connection.
    #[must_use]
    pub fn scope(&self) -> &Scope<U> {
        &self.scope
    }

    /// Returns a future that resolves when the session ends or the server stops.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<U, M> {
        self.connection.ended.token.clone().cancelled_owned()
    }

    /// Opens the WebSocket. The handler runs until it returns or the session ends: then it is dropped at its current
    /// `await`, and the socket is closed with [`CLOSE_SESSION_ENDED`]. If the server stops, the code is
    /// [`CLOSE_GOING_AWAY`].
    ///
    /// Each buffer has 4 KiB, whatever `upgrade` says, because there can be many sockets, and most are idle.
    pub fn on_upgrade<F, Fut>(self, upgrade: WebSocketUpgrade, handler: F) -> Response
    where
        F: FnOnce(LiveSocket, Scope<U>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Self { scope, connection, .. } = self;
        let upgrade = upgrade.read_buffer_size(BUFFER).write_buffer_size(BUFFER);
        upgrade.on_upgrade(move |socket| async move {
            let socket = LiveSocket::new(socket);
            let handler = handler(socket.clone(), scope);
            tokio::select! {
                biased;
                () = connection.ended.token.cancelled() => {
                    let (code, reason) = connection.ended.close_frame();
                    socket.close(code, reason).await;
                }
                () = handler => socket.close(1000, "").await,
            }
        })
    }

    /// Returns the stream, such as for an `Sse` response, but ends it when the session ends or the server stops.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
    /// # impl sigra::AuthUser for User {
    /// #     type Id = i64; type Database = sqlx::Sqlite;
    /// #     fn id(&self) -> i64 { self.id }
    /// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// # }
    /// use std::convert::Infallible;
    /// use axum::response::{IntoResponse, sse::{Event, Sse}};
    /// use futures_util::stream;
    /// use sigra::live::Live;
    ///
    /// async fn events(live: Live<User>) -> impl IntoResponse {
    ///     let ticks = stream::repeat_with(|| Ok::<_, Infallible>(Event::default().data("tick")));
    ///     Sse::new(live.until_ended(ticks))
    /// }
    /// ```
    pub fn until_ended<S: Stream + Send + 'static>(self, stream: S) -> impl Stream<Item = S::Item> + Send + 'static
    where
        M: Send + 'static,
    {
        let ended = self.ended();
        let connection = self.connection;
        stream.take_until(ended).map(move |item| {
            let _registered = &connection;
            item
        })
    }
}

impl<S: Sync, U: AuthUser, M: OnMount<U>> FromRequestParts<S> for Live<U, M> {
    type Rejection = LiveRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, LiveRejection> {
        let current = current::<U>(parts, "Live").await?;
        let sigra = &current.sigra;
        let Some(scope) = current.scope().cloned() else {
            log_refusal(&current, parts, code::AUTHENTICATION_REQUIRED);
            return Err(LiveRejection::Unauthenticated);
        };
        if !sigra.parts.own_origins.admits(&parts.uri, &parts.headers) {
            ForeignRequest::new(&parts.method, &parts.headers).log_refused(&parts.extensions);
            return Err(SessionRejection::CrossOrigin.into());
        }
        let connection = sigra.parts.live.register(sigra, &scope)?;
        M::on_mount(&scope, parts).await.map_err(|response| LiveRejection::Refused(Box::new(response)))?;
        Ok(Self { scope, connection, mounted: PhantomData })
    }
}

/// Why a live connection wasn't opened. Never a redirect, because a live connection can't show a page.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveRejection {
    /// The session can't be read, or the request comes from another origin (403).
    #[error(transparent)]
    Session(#[from] SessionRejection),
    /// The user isn't logged in: 401.
    #[error("not logged in")]
    Unauthenticated,
    /// The session or the user has [too many connections](crate::Config::live_connections): 429 with `Retry-After`.
    #[error("too many live connections")]
    TooMany,
    /// The server [is stopping](Sigra::close_live_connections): 503 with `Retry-After`.
    #[error("the server is stopping")]
    Stopping,
    /// The hook refused, with this response.
    #[error("refused by the `OnMount` hook")]
    Refused(Box<Response>),
}

impl IntoResponse for LiveRejection {
    fn into_response(self) -> Response {
        match self {
            Self::Session(rejection) => rejection.into_response(),
            Self::Unauthenticated => {
                Problem::new(StatusCode::UNAUTHORIZED).code(code::AUTHENTICATION_REQUIRED).into_response()
            }
            Self::TooMany => Problem::too_many_requests(RETRY_AFTER).into_response(),
            Self::Stopping => Problem::unavailable(Duration::from_secs(1)).into_response(),
            Self::Refused(response) => *response,
        }
    }
}

/// The WebSocket of a live connection.
#[derive(Clone)]
pub struct LiveSocket {
    stream: Arc<Mutex<SplitStream<WebSocket>>>,
    sink: Arc<Mutex<SplitSink<WebSocket, Message>>>,
}

/// The error of a WebSocket that is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the WebSocket is closed")]
#[non_exhaustive]
pub struct Closed;

impl fmt::Debug for LiveSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSocket").finish_non_exhaustive()
    }
}

impl LiveSocket {
    fn new(socket: WebSocket) -> Self {
        let (sink, stream) = socket.split();
        Self { stream: Arc::new(Mutex::new(stream)), sink: Arc::new(Mutex::new(sink)) }
    }

    /// Returns the next message, or `None` when the connection is closed.
    pub async fn recv(&mut self) -> Option<Message> {
        self.stream.lock().await.next().await?.ok()
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the connection is closed.
    pub async fn send(&mut self, message: Message) -> Result<(), Closed> {
        self.sink.lock().await.send(message).await.map_err(|_| Closed)
    }

    /// Closes the socket with a reason, and waits briefly for the client to receive it: a connection that is dropped
    /// with unread messages is reset, and the reset can overtake the reason.
    async fn close(&self, code: u16, reason: &'static str) {
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let said = async {
            self.sink.lock().await.send(close).await.map_err(|_| Closed)?;
            let mut stream = self.stream.lock().await;
            while let Some(Ok(_)) = stream.next().await {}
            Ok::<_, Closed>(())
        };
        if !matches!(timeout(CLOSE_TIMEOUT, said).await, Ok(Ok(()))) {
            tracing::debug!(target: "sigra", code, "the WebSocket disconnected before it was closed");
        }
    }
}

impl Ended {
    fn close_frame(&self) -> (u16, &'static str) {
        match self.why.get() {
            Some(Ending::GoingAway) => (CLOSE_GOING_AWAY, "the server is stopping"),
            #[cfg(feature = "device-bound")]
            Some(Ending::Unproven) => (CLOSE_TRY_AGAIN_LATER, "the device has not proved its key: connect again"),
            Some(Ending::Unchecked) => (CLOSE_TRY_AGAIN_LATER, "the database is unavailable"),
            Some(Ending::SessionEnded) | None => (CLOSE_SESSION_ENDED, "session ended"),
        }
    }
}

impl LiveConnections {
    fn register<U: AuthUser>(&self, sigra: &Sigra<U>, scope: &Scope<U>) -> Result<Connection, LiveRejection> {
        let (id, user) = (scope.session().id, Arc::<str>::from(scope.user().id().to_string()));
        let limit = sigra.parts.config.live_connections;
        let mut registry = self.registry();
        if registry.is_closed {
            return Err(LiveRejection::Stopping);
        }
        let of_session = registry.sessions.get(&id).map_or(0, |entry| entry.connections);
        let of_user = registry.users.get(&user).copied().unwrap_or_default();
        if of_session >= limit.per_session || of_user >= limit.per_user {
            tracing::info!(target: "sigra", event = telemetry::RATE_LIMITED, limit = "live", session_id = %id);
            return Err(LiveRejection::TooMany);
        }
        *registry.users.entry(user.clone()).or_default() += 1;
        let entry = registry.sessions.entry(id).or_insert_with(|| Entry {
            ended: Ended::default(),
            connections: 0,
            user,
            checked_at: Instant::now(),
            #[cfg(feature = "device-bound")]
            proven_ms: i64::MIN,
        });
        #[cfg(feature = "device-bound")]
        if scope.binding().is_some() {
            // The bound cookie was valid, so the key was proved in the time that it lives.
            entry.proven_ms = entry.proven_ms.max(sigra.parts.config.clock.now_ms());
        }
        entry.connections += 1;
        let ended = entry.ended.clone();
        if !std::mem::replace(&mut registry.is_swept, true) {
            tokio::spawn(sweep(sigra.clone(), Sweeping { connections: self.clone(), is_over: false }));
        }
        Ok(Connection { id, ended, connections: self.clone() })
    }

    /// Returns the sessions to check. If there are none, marks the sweep as ended.
    fn to_sweep(&self) -> Vec<SessionId> {
        let mut registry = self.registry();
        registry.is_swept = !registry.sessions.is_empty();
        registry.sessions.keys().copied().collect()
    }
}

/// Ends connections whose session is no longer live, until there are no connections.
async fn sweep<U: AuthUser>(sigra: Sigra<U>, mut sweeping: Sweeping) {
    loop {
        drop(timeout(SWEEP_INTERVAL, sigra.changed()).await);
        tokio::time::sleep(SWEEP_PAUSE).await;
        let ids = sweeping.connections.to_sweep();
        if ids.is_empty() {
            sweeping.is_over = true;
            return;
        }
        // In its own task, so that the next sweep runs even if this one panics.
        if tokio::spawn(sweep_once(sigra.clone(), ids)).await.is_err() {
            tracing::error!(target: "sigra", "live connections can't be checked: see the panic above");
        }
        sweeping.connections.end_unchecked(sigra.parts.config.live_without_database);
    }
}

async fn sweep_once<U: AuthUser>(sigra: Sigra<U>, ids: Vec<SessionId>) {
    for batch in ids.chunks(SWEEP_BATCH) {
        match timeout(SWEEP_PATIENCE, sigra.find_sessions(batch)).await {
            Ok(Ok(found)) => {
                let good = found.iter().filter(|(session, user)| is_live(&sigra, session, user));
                let good: Vec<SessionId> = good.map(|(session, _)| session.id).collect();
                let ended: Vec<SessionId> = batch.iter().filter(|id| !good.contains(id)).copied().collect();
                sigra.parts.live.note_good(&good);
                sigra.parts.live.end(&ended);
                #[cfg(feature = "device-bound")]
                {
                    let unproven = found.iter().filter(|(session, user)| !is_proven_lately(&sigra, session, user));
                    let unproven: Vec<SessionId> = unproven.map(|(session, _)| session.id).collect();
                    sigra.parts.live.end_because(&unproven, Ending::Unproven);
                }
            }
            Ok(Err(error)) => tracing::warn!(target: "sigra", %error, "live connections can't be checked"),
            Err(_) => tracing::warn!(target: "sigra", "live connections can't be checked: the database took too long"),
        }
    }
}

/// Returns whether a session is live. A panic of the host's [`AuthUser`] counts as no.
fn is_live<U: AuthUser>(sigra: &Sigra<U>, session: &SessionRow, user: &U) -> bool {
    catch_unwind(AssertUnwindSafe(|| sigra.is_good_session(session, user))).unwrap_or(false)
}

/// Returns whether the device of a bound session has proved its key in the time that two bound cookies live. Another
/// process may have seen the proof: then it updated `last_used_at`, to within five minutes. A session that had to be bound
/// and isn't counts as unproven, and so does one whose user's [`AuthUser`] panics.
#[cfg(feature = "device-bound")]
fn is_proven_lately<U: AuthUser>(sigra: &Sigra<U>, session: &SessionRow, user: &U) -> bool {
    let config = &sigra.parts.config;
    let Some(settings) = &config.device_bound else { return true };
    let Some(binding) = &session.binding else {
        let is_overdue = catch_unwind(AssertUnwindSafe(|| sigra.is_binding_overdue(session, user))).unwrap_or(true);
        return !sigra.is_binding_enforced() || !is_overdue;
    };
    let seen = sigra.parts.live.proven_ms(session.id).unwrap_or(i64::MIN);
    let proven_ms = seen.max(to_ms(session.last_used_at)).max(to_ms(binding.bound_at));
    let limit = millis(settings.ttl).saturating_mul(2);
    !sigra.is_binding_enforced() || config.clock.now_ms() < proven_ms.saturating_add(limit)
}

/// For a server that stops.
impl<U: AuthUser> Sigra<U> {
    /// Ends all live connections of this process, and refuses new ones: call it when the server stops. WebSockets are
    /// closed with [`CLOSE_GOING_AWAY`], so browsers connect to another process, and streams end. Returns when all are
    /// closed, after at most 2 seconds.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
    /// # impl sigra::AuthUser for User {
    /// #     type Id = i64; type Database = sqlx::Sqlite;
    /// #     fn id(&self) -> i64 { self.id }
    /// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// # }
    /// async fn serve(
    ///     listener: tokio::net::TcpListener,
    ///     app: axum::Router,
    ///     sigra: sigra::Sigra<User>,
    ///     stop: impl Future<Output = ()> + Send + 'static,
    /// ) -> std::io::Result<()> {
    ///     let stop = async move {
    ///         stop.await;
    ///         sigra.close_live_connections().await;
    ///     };
    ///     axum::serve(listener, app).with_graceful_shutdown(stop).await
    /// }
    /// ```
    pub async fn close_live_connections(&self) {
        let connections = &self.parts.live;
        connections.close();
        let begun = Instant::now();
        while !connections.is_empty() && begun.elapsed() < 2 * CLOSE_TIMEOUT {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
