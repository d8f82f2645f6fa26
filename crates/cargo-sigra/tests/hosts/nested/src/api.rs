use axum::{Router, extract::State, routing::get};

#[derive(Clone)]
pub struct Shop {
    pub name: &'static str,
}

pub fn routes() -> Router<Shop> {
    Router::new().nest("/v1", Router::new().route("/name", get(name)))
}

async fn name(State(shop): State<Shop>) -> &'static str {
    shop.name
}
