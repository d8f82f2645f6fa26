//! What is to be done.
#![allow(
    clippy::redundant_pub_crate,
    clippy::restriction,
    reason = "an example"
)]

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use serde::{Deserialize, Serialize};
use sqlx::SqlitePool;

#[derive(Debug, Deserialize, Serialize, sqlx::FromRow)]
struct Todo {
    title: String,
}

pub(crate) fn router() -> Router<SqlitePool> {
    Router::new()
        .route("/", get(async || "Hello, World!"))
        .route("/api/todos", get(index).post(create))
        .fallback(async || (StatusCode::NOT_FOUND, "nothing here"))
}

async fn index(State(pool): State<SqlitePool>) -> Result<Json<Vec<Todo>>, StatusCode> {
    let todos = sqlx::query_as("SELECT DISTINCT title FROM todos")
        .fetch_all(&pool)
        .await;
    todos
        .map(Json)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn create(
    State(pool): State<SqlitePool>,
    Json(todo): Json<Todo>,
) -> Result<(StatusCode, Json<Todo>), StatusCode> {
    let insert = sqlx::query("INSERT INTO todos (title) VALUES ($1)")
        .bind(&todo.title)
        .execute(&pool)
        .await;
    let _inserted = insert.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    Ok((StatusCode::CREATED, Json(todo)))
}
