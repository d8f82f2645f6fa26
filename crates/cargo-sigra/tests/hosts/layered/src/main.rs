//! An API with a database of its own, for pages of any origin.

mod todos;

use core::time::Duration;
use std::env;

use axum::http::StatusCode;
use sqlx::SqlitePool;
use tokio::net::TcpListener;
use tower::ServiceBuilder;
use tower_http::{cors::CorsLayer, timeout::TimeoutLayer, trace::TraceLayer};

#[allow(
    clippy::restriction,
    unused_qualifications,
    reason = "there is nobody to tell"
)]
#[tokio::main]
async fn main() {
    let pool = SqlitePool::connect("sqlite://todos.db?mode=rwc")
        .await
        .unwrap();
    sqlx::migrate!().run(&pool).await.unwrap();
    let layers = ServiceBuilder::new()
        .layer(TraceLayer::new_for_http())
        .layer(TimeoutLayer::with_status_code(
            StatusCode::REQUEST_TIMEOUT,
            Duration::from_secs(10),
        ))
        .layer(CorsLayer::permissive());
    let app = todos::router().layer(layers).with_state(pool);

    let listener = TcpListener::bind(env::var("LISTEN").unwrap())
        .await
        .unwrap();
    axum::serve(listener, app).await.unwrap();
}
