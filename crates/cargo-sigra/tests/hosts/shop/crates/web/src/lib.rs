use axum::{Router, extract::State, routing::get};
use sqlx::SqlitePool;

pub fn router(pool: SqlitePool) -> Router {
    Router::new().route("/", get(home)).with_state(pool)
}

async fn home(State(pool): State<SqlitePool>) -> String {
    let users = db::count_users(&pool).await.unwrap_or(-1);
    format!("Hello, {users} customers!")
}
