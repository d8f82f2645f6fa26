use std::convert::Infallible;

use http::{Method, Request, Response, StatusCode, request::Parts};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::csrf::CsrfLayer;

/// Whether the request comes from the application's own pages (or from no browser at all), judged as if
/// its method were unsafe. A WebSocket's handshake is a `GET`, and must be asked this all the same: see
/// RFC 6455 section 10.2.
pub async fn is_same_origin(layer: &CsrfLayer, parts: &Parts) -> bool {
    let mut probe = Request::new(());
    *probe.method_mut() = Method::POST;
    *probe.uri_mut() = parts.uri.clone();
    *probe.headers_mut() = parts.headers.clone();
    let allow = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(String::new())) });
    match layer.layer(allow).oneshot(probe).await {
        Ok(response) => response.status() != StatusCode::FORBIDDEN,
        Err(never) => match never {},
    }
}
