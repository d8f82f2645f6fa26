use axum::{Router, http::StatusCode, routing::get};
use tokio::net::TcpListener;
use tower_http::trace::TraceLayer;

use crate::api::{self, Shop};

pub struct Server {
    shop: Shop,
}

impl Server {
    pub fn new() -> Self {
        Self { shop: Shop { name: "A shop" } }
    }

    fn router(&self) -> Router {
        Router::new()
            .nest("/api", api::routes())
            .route("/", get(|| async { "Hello, World!" }))
            .fallback(|| async { (StatusCode::NOT_FOUND, "nothing here") })
            .layer(TraceLayer::new_for_http())
            .with_state(self.shop.clone())
    }

    pub async fn serve(self, address: &str) -> Result<(), Box<dyn std::error::Error>> {
        let listener = TcpListener::bind(address).await?;
        axum::serve(listener, self.router().into_make_service()).with_graceful_shutdown(std::future::pending()).await?;
        Ok(())
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}
