//! A guestbook that everyone can read and write.

use axum::{
    Form, Router,
    extract::State,
    http::StatusCode,
    response::Redirect,
    routing::{get, post},
};
use serde::Deserialize;
use sqlx::SqlitePool;

pub fn router(pool: SqlitePool) -> Router {
    Router::new()
        .route("/", get(list))
        .route("/messages", post(add))
        .with_state(pool)
}

async fn list(State(pool): State<SqlitePool>) -> Result<String, StatusCode> {
    let messages = db::list_messages(&pool)
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(messages.join("\n"))
}

#[derive(Deserialize)]
struct Message {
    text: String,
}

async fn add(
    State(pool): State<SqlitePool>,
    Form(message): Form<Message>,
) -> Result<Redirect, StatusCode> {
    db::add_message(&pool, &message.text)
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok(Redirect::to("/"))
}
