//! Requests in the log: by their method and route, never by their address, for it may hold a token.

use axum::{
    extract::{MatchedPath, Request},
    http,
    middleware::Next,
    response::Response,
};
use tracing::{Span, field};

/// For [`TraceLayer`](tower_http::trace::TraceLayer), which would show the address.
pub fn request_span<B>(request: &http::Request<B>) -> Span {
    tracing::debug_span!("request", method = %request.method(), route = field::Empty)
}

/// The route is known only where the request has been matched to one.
pub async fn name_route(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    if let Some(route) = route {
        Span::current().record("route", route.as_str());
    }
    next.run(request).await
}
