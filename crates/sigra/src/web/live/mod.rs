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

mod socket;
mod sweep;

use std::{
    fmt,
    future::Future,
    marker::PhantomData,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    extract::{FromRequestParts, ws::WebSocketUpgrade},
    response::{IntoResponse, Response},
};
use futures_util::{Stream, StreamExt};
use http::{StatusCode, request::Parts};

use self::{
    socket::{BUFFER, CLOSE_NORMAL, CLOSE_TIMEOUT, close_frame},
    sweep::ensure_swept,
};
use crate::{
    base::{
        origin::ForeignRequest,
        problem::{Problem, code},
    },
    in_process::connections::{Connection, Unregistered},
    model::{scope::Scope, user::AuthUser},
    sigra::Sigra,
    web::{
        deferred::current,
        rejection::{SessionRejection, log_refusal},
    },
};

pub use self::socket::{CLOSE_GOING_AWAY, CLOSE_SESSION_ENDED, CLOSE_TRY_AGAIN_LATER, Closed, LiveSocket};
pub use crate::model::limit::LiveLimit;

/// How long a client with too many connections should wait.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// A live connection that is about to open for a logged-in user.
///
/// The handler is called only for a logged-in user, only from a page of the application's own origin (a WebSocket's
/// handshake is a `GET`, which no CSRF layer stops: RFC 6455 section 10.2), and only if the hook `M` allows it. Put
/// this argument before [`WebSocketUpgrade`], so that it refuses clients before that asks them to upgrade.
///
/// ```
/// # use sigra::doctest::User;
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
    /// [`CLOSE_GOING_AWAY`]. Clones of the socket in tasks that the handler spawned are closed at the same time.
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
            let ended = connection.ended.token.child_token();
            let socket = LiveSocket::new(socket, ended.clone());
            // Also if the handler panics.
            let open = ended.clone().drop_guard();
            tokio::select! {
                biased;
                () = ended.cancelled() => {}
                () = handler(socket.clone(), scope) => {}
            }
            // A handler can also return because its session has ended.
            let (code, reason) = if ended.is_cancelled() { close_frame(&connection.ended) } else { (CLOSE_NORMAL, "") };
            drop(open);
            socket.close(code, reason).await;
        })
    }

    /// Returns the stream, such as for an `Sse` response, but ends it when the session ends or the server stops.
    ///
    /// ```
    /// # use sigra::doctest::User;
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
        let connection = register(sigra, &scope)?;
        M::on_mount(&scope, parts).await.map_err(|response| LiveRejection::Refused(Box::new(response)))?;
        Ok(Self { scope, connection, mounted: PhantomData })
    }
}

/// Registers a connection, and ends it when its session ends.
fn register<U: AuthUser>(sigra: &Sigra<U>, scope: &Scope<U>) -> Result<Connection, LiveRejection> {
    let (id, user) = (scope.session().id, Arc::<str>::from(scope.user().id().to_string()));
    let limit = sigra.parts.config.live.limit;
    // The bound cookie was valid, so the key was proved in the time that it lives.
    #[cfg(feature = "device-bound")]
    let proven_ms = scope.binding().map(|_| sigra.parts.config.clock.now_ms());
    #[cfg(not(feature = "device-bound"))]
    let proven_ms = None;
    let connection = sigra.parts.live.register(id, user, limit, proven_ms).map_err(|why| match why {
        Unregistered::Closed => LiveRejection::Stopping,
        Unregistered::TooMany => LiveRejection::TooMany,
    })?;
    ensure_swept(sigra);
    Ok(connection)
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

/// For a server that stops.
impl<U: AuthUser> Sigra<U> {
    /// Ends all live connections of this process, and refuses new ones: call it when the server stops. WebSockets are
    /// closed with [`CLOSE_GOING_AWAY`], so browsers connect to another process, and streams end. Returns when all are
    /// closed, after at most 2 seconds.
    ///
    /// Browsers connect again at once. So stop accepting connections first, as `axum::serve` does when the future that
    /// it gets completes. It then waits for streams, so they must end meanwhile:
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// async fn serve(
    ///     listener: tokio::net::TcpListener,
    ///     app: axum::Router,
    ///     sigra: sigra::Sigra<User>,
    ///     stop: impl Future<Output = ()> + Send + 'static,
    /// ) -> std::io::Result<()> {
    ///     let closing = sigra.clone();
    ///     let stop = async move {
    ///         stop.await;
    ///         tokio::spawn(async move { closing.close_live_connections().await });
    ///     };
    ///     axum::serve(listener, app).with_graceful_shutdown(stop).await?;
    ///     sigra.close_live_connections().await; // the WebSockets that are still open
    ///     Ok(())
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
