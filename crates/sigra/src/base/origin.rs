//! The check that an unsafe request comes from the application's own pages.
//!
//! `Sec-Fetch-Site` and `Origin` stop cross-site request forgery: browsers set them, and pages can't forge them. There
//! is no token that a login would have to renew. The check is that of [`tower_http::csrf`]. If a request has neither
//! header, its `Referer` must not name another site. See the [OWASP cheat sheet] on Fetch Metadata.
//!
//! [OWASP cheat sheet]: https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html#fetch-metadata-headers

use std::{
    convert::Infallible,
    future::{Future, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use axum::extract::MatchedPath;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, header};
use tower::{Layer, Service, service_fn};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use crate::base::{config_error::ConfigError, problem::code, telemetry};

/// How many bytes of a header are logged. The longest host name is shorter.
const MAX_LOGGED: usize = 300;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Schemes that anybody can have an origin of, or that have no origins.
const NO_APPS: [&str; 9] = ["http", "https", "ws", "wss", "file", "data", "blob", "about", "javascript"];

/// Decides which origins are the application's own.
pub(crate) struct OwnOrigins {
    sites: CsrfLayer,
    trusted: Vec<String>,
}

impl OwnOrigins {
    pub fn new(trusted: &[String]) -> Result<Self, ConfigError> {
        let trust = |layer: CsrfLayer, origin: &String| {
            let refused = || ConfigError::Origin(origin.clone());
            if is_app(origin) { Ok(layer) } else { layer.add_trusted_origin(origin).map_err(|_| refused()) }
        };
        let sites = trusted.iter().try_fold(CsrfLayer::new(), trust)?;
        Ok(Self { sites, trusted: trusted.to_vec() })
    }

    /// Returns the request as a foreign one, if it is unsafe and doesn't come from the application's own pages.
    pub fn judge<B>(&self, request: &Request<B>) -> Option<ForeignRequest> {
        let (method, headers) = (request.method(), request.headers());
        let is_admitted = is_safe(method) || self.admits(request.uri(), headers);
        (!is_admitted).then(|| ForeignRequest::new(method, headers))
    }

    /// Returns whether an unsafe request with these headers comes from the application's own pages, or from no browser
    /// at all. Check the handshake of a WebSocket too, although it is a `GET` (RFC 6455 section 10.2).
    pub fn admits(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let sent = |name| headers.get(name).filter(|value: &&HeaderValue| !value.is_empty());
        match (sent(header::ORIGIN), sent(SEC_FETCH_SITE)) {
            (None, None) => self.is_referred_from_here(uri, headers),
            (Some(origin), _) if self.trusted.iter().any(|trusted| trusted.as_bytes() == origin.as_bytes()) => true,
            _ => self.is_same_origin(uri, headers),
        }
    }

    /// Returns whether the `Referer` doesn't name another site, for requests that have neither header: old browsers
    /// don't send them, and some proxies remove them. A request without a `Referer` comes from no browser, or from one
    /// that hides it.
    fn is_referred_from_here(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Some(referer) = headers.get(header::REFERER) else { return true };
        let Ok(referer) = Uri::try_from(referer.as_bytes()) else { return false };
        let (Some(scheme), Some(authority)) = (referer.scheme_str(), referer.authority()) else {
            // Without an authority, it is a path on this host (RFC 9110 section 10.1.3).
            return referer.authority().is_none();
        };
        let origin = format!("{scheme}://{authority}");
        own_authority(uri, headers).is_some_and(|own| own.eq_ignore_ascii_case(authority.as_str().as_bytes()))
            || self.trusted.contains(&origin)
    }

    fn is_same_origin(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut probe = Request::new(());
        *probe.method_mut() = Method::POST;
        *probe.uri_mut() = uri.clone();
        for name in [header::HOST, header::ORIGIN, SEC_FETCH_SITE] {
            if let Some(value) = headers.get(&name) {
                probe.headers_mut().insert(name, value.clone());
            }
        }
        let admit = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(String::new()))));
        let judged = pin!(self.sites.layer(admit).call(probe));
        // The check never waits, so one poll is enough.
        let Poll::Ready(Ok(response)) = judged.poll(&mut Context::from_waker(Waker::noop())) else { return false };
        response.extensions().get::<ProtectionError>().is_none()
    }
}

/// Returns the host and the port that a request was sent to. HTTP/2 has them in the URI, HTTP/1.1 in the header `Host`.
pub(crate) fn own_authority<'r>(uri: &'r Uri, headers: &'r HeaderMap) -> Option<&'r [u8]> {
    let in_header = || headers.get(header::HOST).map(HeaderValue::as_bytes);
    uri.authority().map(|authority| authority.as_str().as_bytes()).or_else(in_header)
}

/// Returns whether an origin is that of an app's web view, such as `capacitor://localhost`. No site has such a scheme.
fn is_app(origin: &str) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    let is_host =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_:".contains(&b));
    is_scheme && is_host && !NO_APPS.contains(&scheme)
}

/// Returns whether a method is safe, which means that it changes nothing. `TRACE` doesn't count, because no page needs
/// it.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// What is logged about a request from another origin.
#[derive(Clone, Debug)]
pub(crate) struct ForeignRequest {
    method: Method,
    origin: Option<String>,
    sec_fetch_site: Option<String>,
    /// Without the path, which may have a token in it.
    referer: Option<String>,
}

impl ForeignRequest {
    pub fn new(method: &Method, headers: &HeaderMap) -> Self {
        let sent = |name| headers.get(name).map(|value: &HeaderValue| loggable(value.as_bytes()));
        let referer = headers.get(header::REFERER).and_then(|value| Uri::try_from(value.as_bytes()).ok());
        let site = |uri: Uri| Some(loggable(format!("{}://{}", uri.scheme_str()?, uri.host()?).as_bytes()));
        Self {
            method: method.clone(),
            origin: sent(header::ORIGIN),
            sec_fetch_site: sent(SEC_FETCH_SITE),
            referer: referer.and_then(site),
        }
    }

    /// Logs that the request is refused (OWASP ASVS 16.3.2).
    pub fn log_refused(&self, extensions: &Extensions) {
        let route = extensions.get::<MatchedPath>().map(MatchedPath::as_str);
        tracing::info!(
            target: "sigra", event = telemetry::REQUEST_REFUSED, reason = code::CROSS_ORIGIN, method = %self.method, route,
            origin = self.origin, sec_fetch_site = self.sec_fetch_site, referer = self.referer,
            "a request from another origin was refused: if the origin is yours, add it to Config::trusted_origins (TRUSTED_ORIGINS in generated applications)"
        );
    }
}

/// Returns the text of a header for the log: cut to [`MAX_LOGGED`] bytes, and on one line.
fn loggable(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(MAX_LOGGED)];
    String::from_utf8_lossy(bytes).escape_default().to_string()
}
