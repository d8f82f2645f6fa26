use axum::{Router, routing::get};

#[allow(dead_code, unused_imports, reason = "not all of it is used yet")]
mod auth;

#[tokio::main]
async fn main() {
    let app = Router::new().route("/", get(|| async { "Hello, World!" }));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await.unwrap();
    let app = crate::auth::with_accounts(app).await.unwrap_or_else(|error| panic!("accounts can't start: {error}"));
    axum::serve(listener, app.into_make_service_with_connect_info::<std::net::SocketAddr>()).await.unwrap();
}
