//! The WebSocket of a live connection, and how it is closed.

use std::{fmt, sync::Arc, time::Duration};

use axum::extract::ws::{CloseFrame, Message, WebSocket};
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use tokio::{sync::Mutex, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::in_process::connections::{Ended, Ending};

/// The WebSocket close code after a session ended. Codes from 4000 are for applications (RFC 6455 section 7.4.2).
pub const CLOSE_SESSION_ENDED: u16 = 4401;
/// The WebSocket close code when [the server stops](crate::Sigra::close_live_connections) (RFC 6455 section 7.4.1).
pub const CLOSE_GOING_AWAY: u16 = 1001;
/// The WebSocket close code when the database [was unavailable for too long](crate::Config::live_without_database) to
/// check the session, or when the [device](crate::Config::device_bound) that the session is bound to has not proved its
/// key for too long. It can connect again. "Try again later" in IANA's registry.
pub const CLOSE_TRY_AGAIN_LATER: u16 = 1013;

/// The WebSocket close code after the handler has returned (RFC 6455 section 7.4.1).
pub(super) const CLOSE_NORMAL: u16 = 1000;

/// The size of each socket's read buffer and write buffer, in bytes. Larger messages are read and written in pieces.
pub(super) const BUFFER: usize = 4096;

/// How long a client may take to receive the reason for which its socket is closed.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The WebSocket of a live connection. Clones are closed with it, wherever they are: in another task, for example.
#[derive(Clone)]
pub struct LiveSocket {
    /// Both halves are `None` once the socket is closed, so that clones don't keep the connection open.
    stream: Arc<Mutex<Option<SplitStream<WebSocket>>>>,
    sink: Arc<Mutex<Option<SplitSink<WebSocket, Message>>>>,
    /// Ends with the session, and with the handler.
    ended: CancellationToken,
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
    pub(super) fn new(socket: WebSocket, ended: CancellationToken) -> Self {
        let (sink, stream) = socket.split();
        Self { stream: Arc::new(Mutex::new(Some(stream))), sink: Arc::new(Mutex::new(Some(sink))), ended }
    }

    /// Returns the next message, or `None` when the connection is closed, the session has ended, or the handler has
    /// returned.
    pub async fn recv(&mut self) -> Option<Message> {
        let next = async { self.stream.lock().await.as_mut()?.next().await };
        tokio::select! {
            biased;
            () = self.ended.cancelled() => None,
            message = next => message?.ok(),
        }
    }

    /// Sends a message.
    ///
    /// # Errors
    ///
    /// [`Closed`] when the connection is closed, the session has ended, or the handler has returned.
    pub async fn send(&mut self, message: Message) -> Result<(), Closed> {
        let send = async { self.sink.lock().await.as_mut().ok_or(Closed)?.send(message).await.map_err(|_| Closed) };
        tokio::select! {
            biased;
            () = self.ended.cancelled() => Err(Closed),
            sent = send => sent,
        }
    }

    /// Closes the socket with a reason, and waits briefly for the client to receive it: a connection that is dropped
    /// with unread messages is reset, and the reset can overtake the reason.
    pub(super) async fn close(&self, code: u16, reason: &'static str) {
        let close = Message::Close(Some(CloseFrame { code, reason: reason.into() }));
        let said = async {
            self.sink.lock().await.as_mut().ok_or(Closed)?.send(close).await.map_err(|_| Closed)?;
            let mut stream = self.stream.lock().await;
            while let Some(Ok(_)) = stream.as_mut().ok_or(Closed)?.next().await {}
            Ok::<_, Closed>(())
        };
        if !matches!(timeout(CLOSE_TIMEOUT, said).await, Ok(Ok(()))) {
            tracing::debug!(target: "sigra", code, "the WebSocket disconnected before it was closed");
        }
        // A lock is held only by a call that doesn't run. It gets nothing more, and lets go of the half when it is
        // dropped.
        if let Ok(mut stream) = self.stream.try_lock() {
            *stream = None;
        }
        if let Ok(mut sink) = self.sink.try_lock() {
            *sink = None;
        }
    }
}

/// Returns the code and the reason that the socket of an ended connection is closed with.
pub(super) fn close_frame(ended: &Ended) -> (u16, &'static str) {
    match ended.why.get() {
        Some(Ending::GoingAway) => (CLOSE_GOING_AWAY, "the server is stopping"),
        #[cfg(feature = "device-bound")]
        Some(Ending::Unproven) => (CLOSE_TRY_AGAIN_LATER, "the device has not proved its key: connect again"),
        Some(Ending::Unchecked) => (CLOSE_TRY_AGAIN_LATER, "the database is unavailable"),
        Some(Ending::SessionEnded) | None => (CLOSE_SESSION_ENDED, "session ended"),
    }
}
