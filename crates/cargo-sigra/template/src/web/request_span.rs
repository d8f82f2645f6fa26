//! Requests in the log: by their method and route, never by their address, for it may hold a token.

use axum::{
    extract::{MatchedPath, Request},
    middleware::Next,
    response::Response,
};
use tower_http::{
    classify::{ServerErrorsAsFailures, SharedClassifier},
    trace::{DefaultOnResponse, TraceLayer},
};
use tracing::{Level, Span, field};

use crate::config::Environment;

/// Tells of each request how it was answered: of every one while developing, and of those that failed always.
pub fn trace_requests(environment: Environment) -> TraceRequests {
    let level = if environment == Environment::Dev { Level::INFO } else { Level::DEBUG };
    TraceLayer::new_for_http()
        .make_span_with(request_span as MakeRequestSpan)
        .on_response(DefaultOnResponse::new().level(level))
}

pub type TraceRequests = TraceLayer<SharedClassifier<ServerErrorsAsFailures>, MakeRequestSpan>;

type MakeRequestSpan = fn(&Request) -> Span;

/// In place of [`TraceLayer`]'s own, which would show the address. At the level of what is told of failures, so that it
/// is there wherever they are.
fn request_span(request: &Request) -> Span {
    tracing::error_span!("request", method = %request.method(), route = field::Empty)
}

/// The route is known only where the request has been matched to one.
pub async fn name_route(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    if let Some(route) = route {
        Span::current().record("route", route.as_str());
    }
    next.run(request).await
}
