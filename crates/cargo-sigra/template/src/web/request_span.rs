//! Requests in the log: their method and route, never their URL, which may contain a token.

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

use crate::config::AppEnv;

/// Logs the status of each response: all of them in development, and always those that failed.
pub fn trace_requests(app_env: AppEnv) -> TraceRequests {
    let level = if app_env == AppEnv::Dev { Level::INFO } else { Level::DEBUG };
    TraceLayer::new_for_http()
        .make_span_with(request_span as MakeRequestSpan)
        .on_response(DefaultOnResponse::new().level(level))
}

pub type TraceRequests = TraceLayer<SharedClassifier<ServerErrorsAsFailures>, MakeRequestSpan>;

type MakeRequestSpan = fn(&Request) -> Span;

/// Replaces the span of [`TraceLayer`], which would show the URL. It has the level of failures, so that each logged
/// failure has its span.
fn request_span(request: &Request) -> Span {
    tracing::error_span!("request", method = %request.method(), route = field::Empty)
}

/// Records the route, which is known only after routing.
pub async fn record_route(route: Option<MatchedPath>, request: Request, next: Next) -> Response {
    if let Some(route) = route {
        Span::current().record("route", route.as_str());
    }
    next.run(request).await
}
