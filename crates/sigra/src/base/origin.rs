//! Which requests come from the application's own pages.
//!
//! Cross-site request forgery is stopped by `Sec-Fetch-Site` and `Origin`, which browsers set and pages
//! can't forge; there is no token that a login would have to renew. The check is
//! [`tower_http::csrf`]'s. Where neither comes, `Referer` must not name another site. See the [OWASP cheat sheet] on Fetch Metadata.
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

/// More than the longest name of a host has.
const MAX_TOLD: usize = 300;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Schemes of origins that are anybody's, or no origins at all.
const NO_APPS: [&str; 9] = ["http", "https", "ws", "wss", "file", "data", "blob", "about", "javascript"];

/// Judges where unsafe requests come from.
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

    /// What there is to say against a request, if it is unsafe and does not come from the application's own pages.
    pub fn judge<B>(&self, request: &Request<B>) -> Option<ForeignRequest> {
        let (method, headers) = (request.method(), request.headers());
        let is_admitted = is_safe(method) || self.admits(request.uri(), headers);
        (!is_admitted).then(|| ForeignRequest::new(method, headers))
    }

    /// Whether an unsafe request with these headers comes from the application's own pages, or from no browser at
    /// all. A WebSocket's handshake is a `GET`, and must be asked this all the same (RFC 6455 section 10.2).
    pub fn admits(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let sent = |name| headers.get(name).filter(|value: &&HeaderValue| !value.is_empty());
        match (sent(header::ORIGIN), sent(SEC_FETCH_SITE)) {
            (None, None) => self.is_referred_from_here(uri, headers),
            (Some(origin), _) if self.trusted.iter().any(|trusted| trusted.as_bytes() == origin.as_bytes()) => true,
            _ => self.is_same_origin(uri, headers),
        }
    }

    /// Old browsers send neither, and some proxies take both away. Then a page of another site is told by its address
    /// alone. Who sends none is no browser, or hides it.
    fn is_referred_from_here(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Some(referer) = headers.get(header::REFERER) else { return true };
        let Ok(referer) = Uri::try_from(referer.as_bytes()) else { return false };
        let (Some(scheme), Some(authority)) = (referer.scheme_str(), referer.authority()) else {
            // A path is on this host (RFC 9110 section 10.1.3).
            return referer.authority().is_none();
        };
        let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
        let own = uri.authority().map(|own| own.as_str().as_bytes()).or(host);
        let origin = format!("{scheme}://{authority}");
        own.is_some_and(|own| own.eq_ignore_ascii_case(authority.as_str().as_bytes())) || self.trusted.contains(&origin)
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
        // It waits for nothing.
        let Poll::Ready(Ok(response)) = judged.poll(&mut Context::from_waker(Waker::noop())) else { return false };
        response.extensions().get::<ProtectionError>().is_none()
    }
}

/// Whether it is the origin of an app's own web view, such as `capacitor://localhost`. No site has such a scheme.
fn is_app(origin: &str) -> bool {
    let Some((scheme, host)) = origin.split_once("://") else { return false };
    let is_scheme = scheme.starts_with(|c: char| c.is_ascii_lowercase())
        && scheme.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b));
    let is_host =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-_:".contains(&b));
    is_scheme && is_host && !NO_APPS.contains(&scheme)
}

/// Whether a method changes nothing. `TRACE` is not among them: it is no method of a page.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// A request from another origin, as far as the log tells of it.
#[derive(Clone, Debug)]
pub(crate) struct ForeignRequest {
    method: Method,
    origin: Option<String>,
    sec_fetch_site: Option<String>,
    /// Without its path, which may hold a token.
    referer: Option<String>,
}

impl ForeignRequest {
    pub fn new(method: &Method, headers: &HeaderMap) -> Self {
        let sent = |name| headers.get(name).map(|value: &HeaderValue| told(value.as_bytes()));
        let referer = headers.get(header::REFERER).and_then(|value| Uri::try_from(value.as_bytes()).ok());
        let site = |uri: Uri| Some(told(format!("{}://{}", uri.scheme_str()?, uri.host()?).as_bytes()));
        Self {
            method: method.clone(),
            origin: sent(header::ORIGIN),
            sec_fetch_site: sent(SEC_FETCH_SITE),
            referer: referer.and_then(site),
        }
    }

    /// Tells that it is refused (OWASP ASVS 16.3.2).
    pub fn tell_refused(&self, extensions: &Extensions) {
        let route = extensions.get::<MatchedPath>().map(MatchedPath::as_str);
        tracing::info!(
            target: "sigra", event = telemetry::REQUEST_REFUSED, reason = code::CROSS_ORIGIN, method = %self.method, route,
            origin = self.origin, sec_fetch_site = self.sec_fetch_site, referer = self.referer,
            "a request from another origin was refused: if the origin is yours, add it to TRUSTED_ORIGINS, or in code to \
             Config::trusted_origins"
        );
    }
}

/// What a visitor has written, short and on one line.
fn told(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(MAX_TOLD)];
    String::from_utf8_lossy(bytes).escape_default().to_string()
}
