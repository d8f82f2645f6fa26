//! Pages for development, which open only at `localhost`.
//!
//! A client can send any name in the header `Host`. So what keeps others out is the address that the application
//! listens on, or, in a container, where its port is published.

use axum::{
    extract::Request,
    http::{HeaderValue, StatusCode, header, uri::Authority},
    middleware::Next,
    response::{IntoResponse, Response},
};
use sigra::Problem;
use url::Host;

use crate::config::is_loopback;

/// Refuses requests to any host other than `localhost`. Otherwise another site could point its domain at this machine
/// (DNS rebinding), send requests and read the responses.
pub async fn require_localhost(request: Request, next: Next) -> Response {
    if is_to_localhost(&request) {
        next.run(request).await
    } else {
        Problem::new(StatusCode::MISDIRECTED_REQUEST).into_response()
    }
}

fn is_to_localhost(request: &Request) -> bool {
    let of_header = |value: &HeaderValue| Authority::try_from(value.as_bytes()).ok();
    let named = request.uri().authority().cloned().or_else(|| request.headers().get(header::HOST).and_then(of_header));
    named.and_then(|named| Host::parse(named.host()).ok()).is_some_and(|host| is_loopback(&host))
}
