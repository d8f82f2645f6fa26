use std::{future::Future, marker::PhantomData, sync::Arc, time::Duration};

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
use tokio_util::sync::CancellationToken;

use super::{Entry, LiveConnections};
use crate::{
    Problem, Scope, Sigra, User, origin,
    problem::code,
    scope::{Current, tell},
    session::MissingLayer,
    store::SessionId,
};

/// The WebSocket close code of a connection whose session ended. Codes from 4000 are the application's
/// (RFC 6455 section 7.4.2).
pub const CLOSE_SESSION_ENDED: u16 = 4401;

const SWEEP_INTERVAL: Duration = Duration::from_millis(500);
/// Between sweeps, however much changes.
const SWEEP_PAUSE: Duration = Duration::from_millis(20);
const SWEEP_BATCH: usize = 500;
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// A live connection about to be opened under a scope.
///
/// The handler is called only for a logged-in user, only from a page of the application's own (a
/// WebSocket's handshake is a `GET` that no CSRF layer stops: RFC 6455 section 10.2), and only if the hook
/// `M` agrees. Take it before [`WebSocketUpgrade`], so that others are refused before they are asked to
/// upgrade.
///
/// ```
/// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
/// # impl sigra::User for User {
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
pub struct Live<U: User, M = ()> {
    scope: Scope<U>,
    connection: Connection,
    mounted: PhantomData<M>,
}

/// A hook that runs when a live connection is opened, under its scope. It may refuse.
///
/// ```
/// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64, confirmed: bool }
/// # impl sigra::User for User {
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
pub trait OnMount<U: User>: Send + 'static {
    /// Agrees with `Ok`, or answers the request itself.
    fn on_mount(scope: &Scope<U>, parts: &mut Parts) -> impl Future<Output = Result<(), Response>> + Send;
}

/// Everybody who is logged in.
impl<U: User> OnMount<U> for () {
    async fn on_mount(_: &Scope<U>, _: &mut Parts) -> Result<(), Response> {
        Ok(())
    }
}

impl<U: User, M> Live<U, M> {
    /// Who opens the connection.
    #[must_use]
    pub fn scope(&self) -> &Scope<U> {
        &self.scope
    }

    /// Resolves when the session ends.
    pub fn ended(&self) -> impl Future<Output = ()> + Send + use<U, M> {
        self.connection.ended.clone().cancelled_owned()
    }

    /// Opens the WebSocket. The handler runs until it returns, or until the session ends: then it is
    /// dropped where it awaits, and the socket is closed with [`CLOSE_SESSION_ENDED`].
    pub fn on_upgrade<F, Fut>(self, upgrade: WebSocketUpgrade, handler: F) -> Response
    where
        F: FnOnce(LiveSocket, Scope<U>) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let Self { scope, connection, .. } = self;
        upgrade.on_upgrade(move |socket| async move {
            let socket = LiveSocket::new(socket);
            let handler = handler(socket.clone(), scope);
            tokio::select! {
                biased;
                () = connection.ended.cancelled() => socket.close(CLOSE_SESSION_ENDED, "session ended").await,
                () = handler => socket.close(1000, "").await,
            }
        })
    }

    /// Ends a stream, such as the one of a `Sse` response, when the session ends.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
    /// # impl sigra::User for User {
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
        let ended = self.connection.ended.clone().cancelled_owned();
        let connection = self.connection;
        stream.take_until(ended).map(move |item| {
            let _registered = &connection;
            item
        })
    }
}

impl<S: Sync, U: User, M: OnMount<U>> FromRequestParts<S> for Live<U, M> {
    type Rejection = LiveRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, LiveRejection> {
        let current = Current::<U>::of(parts, "Live")?.clone();
        let sigra = &current.sigra;
        let Some(scope) = current.scope().cloned() else {
            tell(&current, parts, code::AUTHENTICATION_REQUIRED);
            return Err(LiveRejection::Unauthenticated);
        };
        if !sigra.same_origin().admits(&parts.uri, &parts.headers) {
            origin::tell_refused(&parts.method, &parts.headers);
            return Err(LiveRejection::CrossOrigin);
        }
        M::on_mount(&scope, parts).await.map_err(|response| LiveRejection::Refused(Box::new(response)))?;
        let connection = sigra.live_connections().register(sigra, scope.session().id);
        Ok(Self { scope, connection, mounted: PhantomData })
    }
}

/// Why a live connection was not opened. Nobody is redirected: there is no page to lead them to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LiveRejection {
    /// The route has no layer to fetch the scope.
    #[error(transparent)]
    MissingLayer(#[from] MissingLayer),
    /// Nobody is logged in: 401.
    #[error("not logged in")]
    Unauthenticated,
    /// A page of another origin asks: 403.
    #[error("the request comes from another origin")]
    CrossOrigin,
    /// The hook refused.
    #[error("refused on mount")]
    Refused(Box<Response>),
}

impl IntoResponse for LiveRejection {
    fn into_response(self) -> Response {
        match self {
            Self::MissingLayer(missing) => missing.into_response(),
            Self::Unauthenticated => {
                Problem::new(StatusCode::UNAUTHORIZED).code(code::AUTHENTICATION_REQUIRED).into_response()
            }
            Self::CrossOrigin => Problem::new(StatusCode::FORBIDDEN).code(code::CROSS_ORIGIN).into_response(),
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

/// The other side is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the WebSocket is closed")]
pub struct Closed;

impl LiveSocket {
    fn new(socket: WebSocket) -> Self {
        let (sink, stream) = socket.split();
        Self { stream: Arc::new(Mutex::new(stream)), sink: Arc::new(Mutex::new(sink)) }
    }

    /// The next message, or `None` when the connection is closed.
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

    /// Says why, and waits a moment for the other side to have heard it: a connection that is dropped with
    /// messages unread is reset, and the reset can overtake the reason.
    async fn close(&self, code: u16, reason: &'static str) {
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let said = async {
            self.sink.lock().await.send(close).await.map_err(|_| Closed)?;
            let mut stream = self.stream.lock().await;
            while let Some(Ok(_)) = stream.next().await {}
            Ok::<_, Closed>(())
        };
        if !matches!(timeout(CLOSE_TIMEOUT, said).await, Ok(Ok(()))) {
            tracing::debug!(target: "sigra", code, "the WebSocket was gone before it was closed");
        }
    }
}

/// A connection's place in the registry.
struct Connection {
    id: SessionId,
    ended: CancellationToken,
    connections: LiveConnections,
}

impl LiveConnections {
    fn register<U: User>(&self, sigra: &Sigra<U>, id: SessionId) -> Connection {
        let mut registry = self.registry();
        let entry =
            registry.sessions.entry(id).or_insert_with(|| Entry { ended: CancellationToken::new(), connections: 0 });
        entry.connections += 1;
        let ended = entry.ended.clone();
        if !std::mem::replace(&mut registry.is_swept, true) {
            tokio::spawn(sweep(sigra.clone()));
        }
        Connection { id, ended, connections: self.clone() }
    }

    /// The sessions to sweep. When there is none left, the sweep is over.
    fn to_sweep(&self) -> Vec<SessionId> {
        let mut registry = self.registry();
        registry.is_swept = !registry.sessions.is_empty();
        registry.sessions.keys().copied().collect()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let mut registry = self.connections.registry();
        if let Some(entry) = registry.sessions.get_mut(&self.id) {
            entry.connections -= 1;
            if entry.connections == 0 {
                registry.sessions.remove(&self.id);
            }
        }
    }
}

/// Ends the connections whose session is no longer good, until there are no connections.
async fn sweep<U: User>(sigra: Sigra<U>) {
    loop {
        drop(timeout(SWEEP_INTERVAL, sigra.changed()).await);
        tokio::time::sleep(SWEEP_PAUSE).await;
        let ids = sigra.live_connections().to_sweep();
        if ids.is_empty() {
            return;
        }
        for batch in ids.chunks(SWEEP_BATCH) {
            match sigra.still_good(batch).await {
                Ok(good) => {
                    let ended: Vec<SessionId> = batch.iter().filter(|id| !good.contains(id)).copied().collect();
                    sigra.live_connections().end(&ended);
                }
                Err(error) => tracing::warn!(target: "sigra", %error, "live connections can't be checked"),
            }
        }
    }
}
