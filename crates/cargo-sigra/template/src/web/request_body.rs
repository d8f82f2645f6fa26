//! Request bodies, and how long they may take.

use std::time::Duration;

use axum::{
    body::{Body, HttpBody},
    extract::Request,
    middleware::Next,
    response::Response,
};
use tower_http::timeout::DeadlineBody;

/// Forms are small.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Responds with 400 if a request body doesn't arrive in time, however slowly it is sent.
pub async fn timeout(request: Request, next: Next) -> Response {
    let in_time = |body: Body| match body.is_end_stream() {
        true => body,
        false => Body::new(DeadlineBody::new(BODY_TIMEOUT, body)),
    };
    next.run(request.map(in_time)).await
}
