//! Which requests come from the application's own pages.
//!
//! Cross-site request forgery is stopped by `Sec-Fetch-Site` and `Origin`, which browsers set and pages
//! can't forge; there is no token that a login would have to renew. The check is
//! [`tower_http::csrf`]'s. See the [OWASP cheat sheet] on Fetch Metadata.
//!
//! [OWASP cheat sheet]: https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html#fetch-metadata-headers

use std::convert::Infallible;

use http::{Method, Request, Response, StatusCode, request::Parts};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::csrf::CsrfLayer;

use crate::ConfigError;

/// The layer that answers unsafe requests from other origins with 403.
pub(crate) fn same_origin_layer(trusted: &[String]) -> Result<CsrfLayer, ConfigError> {
    trusted.iter().try_fold(CsrfLayer::new(), |layer, origin| {
        layer.add_trusted_origin(origin).map_err(|_| ConfigError::Origin(origin.clone()))
    })
}

/// Whether the request comes from the application's own pages (or from no browser at all), judged as if
/// its method were unsafe. A WebSocket's handshake is a `GET`, and must be asked this all the same: see
/// RFC 6455 section 10.2.
pub(crate) async fn is_same_origin(layer: &CsrfLayer, parts: &Parts) -> bool {
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
