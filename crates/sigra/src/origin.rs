//! Which requests come from the application's own pages.
//!
//! Cross-site request forgery is stopped by `Sec-Fetch-Site` and `Origin`, which browsers set and pages
//! can't forge; there is no token that a login would have to renew. The check is
//! [`tower_http::csrf`]'s. See the [OWASP cheat sheet] on Fetch Metadata.
//!
//! [OWASP cheat sheet]: https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html#fetch-metadata-headers

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{HeaderMap, HeaderName, Method, Request, Response, Uri, header};
use tower::{Layer, Service, service_fn};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use crate::{ConfigError, problem::code, telemetry};

/// More than the longest name of a host has.
const MAX_TOLD: usize = 300;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Judges where unsafe requests come from.
pub(crate) struct SameOrigin(CsrfLayer);

impl SameOrigin {
    pub fn new(trusted: &[String]) -> Result<Self, ConfigError> {
        let trust = |layer: CsrfLayer, origin: &String| {
            layer.add_trusted_origin(origin).map_err(|_| ConfigError::Origin(origin.clone()))
        };
        trusted.iter().try_fold(CsrfLayer::new(), trust).map(Self)
    }

    /// Whether an unsafe request with these headers comes from the application's own pages, or from no browser at
    /// all. A WebSocket's handshake is a `GET`, and must be asked this all the same (RFC 6455 section 10.2).
    pub fn admits(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut probe = Request::new(());
        *probe.method_mut() = Method::POST;
        *probe.uri_mut() = uri.clone();
        for name in [header::HOST, header::ORIGIN, SEC_FETCH_SITE] {
            if let Some(value) = headers.get(&name) {
                probe.headers_mut().insert(name, value.clone());
            }
        }
        let admit = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(String::new()))));
        let judged = pin!(self.0.layer(admit).call(probe));
        // It waits for nothing.
        let Poll::Ready(Ok(response)) = judged.poll(&mut Context::from_waker(Waker::noop())) else { return false };
        response.extensions().get::<ProtectionError>().is_none()
    }
}

/// Tells of a request from another origin (OWASP ASVS 16.3.2).
pub(crate) fn tell_refused(method: &Method, headers: &HeaderMap) {
    let sent = |name| headers.get(name).map(|value| &value.as_bytes()[..value.len().min(MAX_TOLD)]);
    let told = |name| sent(name).map(|bytes| tracing::field::debug(String::from_utf8_lossy(bytes)));
    tracing::info!(
        target: "sigra", event = telemetry::REQUEST_REFUSED, reason = code::CROSS_ORIGIN, %method,
        origin = told(header::ORIGIN), sec_fetch_site = told(SEC_FETCH_SITE),
    );
}
