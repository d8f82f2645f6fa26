//! A WebSocket that belongs to the user's session. When the session ends, it closes with code 4401.

use std::time::Duration;

use axum::{
    extract::ws::{Message, WebSocketUpgrade},
    http::request::Parts,
    response::Response,
};
use sigra::{
    Scope,
    live::{Live, LiveSocket, OnMount},
};

use crate::accounts::User;

const PING_INTERVAL: Duration = Duration::from_secs(30);
const MAX_MESSAGE: usize = 64 * 1024;

/// Runs when a live connection opens. To refuse it, return an error.
pub struct Mount;

impl OnMount<User> for Mount {
    async fn on_mount(scope: &Scope<User>, _: &mut Parts) -> Result<(), Response> {
        tracing::debug!(session_id = %scope.session().id, "live connection mounted");
        Ok(())
    }
}

pub async fn live(live: Live<User, Mount>, upgrade: WebSocketUpgrade) -> Response {
    live.on_upgrade(upgrade.max_message_size(MAX_MESSAGE), serve)
}

/// Sends the user's email address, then echoes every text message.
async fn serve(mut socket: LiveSocket, scope: Scope<User>) {
    let hello = serde_json::json!({ "email": scope.user().email }).to_string();
    if socket.send(Message::Text(hello.into())).await.is_err() {
        return;
    }
    let mut pings = tokio::time::interval(PING_INTERVAL);
    loop {
        let reply = tokio::select! {
            message = socket.recv() => match message {
                Some(text @ Message::Text(_)) => text,
                Some(Message::Close(_)) | None => return,
                Some(_) => continue,
            },
            _ = pings.tick() => Message::Ping(Vec::new().into()),
        };
        if socket.send(reply).await.is_err() {
            return;
        }
    }
}
