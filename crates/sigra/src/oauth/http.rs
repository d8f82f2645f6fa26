//! Requests to providers: bounded in time and size, without redirects, and over TLS.

use std::{error::Error, fmt, time::Duration};

use axum::body::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT},
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use oauth2::{HttpRequest, HttpResponse};
use serde::de::DeserializeOwned;
use url::{Host, Url};
use zeroize::Zeroizing;

use crate::{base::config_error::ConfigError, oauth::error::OauthError};

/// The time for a whole request, from the connection to the last byte of the response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The maximum size of a response, in bytes. Microsoft's key set, the largest known, has 20 KiB.
const MAX_RESPONSE: usize = 256 * 1024;

/// GitHub refuses requests without it.
const AGENT: HeaderValue = HeaderValue::from_static("sigra");

/// Whether requests without TLS are accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plaintext {
    /// Never.
    Refused,
    /// To the own machine, in development and in tests.
    OnLoopback,
}

impl Plaintext {
    pub fn accepts(self, url: &Url) -> bool {
        let is_loopback = match url.host() {
            Some(Host::Domain(domain)) => domain == "localhost",
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            None => false,
        };
        match url.scheme() {
            "https" => url.has_host(),
            "http" => self == Self::OnLoopback && is_loopback,
            _ => false,
        }
    }
}

/// A client without cookies, proxies and redirects. It keeps connections open.
#[derive(Clone, Debug)]
pub(crate) struct HttpClient {
    transport: Transport,
    timeout: Duration,
}

#[derive(Clone)]
enum Transport {
    Network(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
    /// Returns the JSON at a URL, without asking anybody.
    #[cfg(any(test, feature = "testing"))]
    Offline(Respond),
}

#[cfg(any(test, feature = "testing"))]
pub(crate) type Respond = std::sync::Arc<dyn Fn(&str) -> Vec<u8> + Send + Sync>;

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

impl HttpClient {
    pub fn new() -> Result<Self, ConfigError> {
        let mut http = HttpConnector::new();
        http.enforce_http(false);
        http.set_connect_timeout(Some(TIMEOUT));
        let connector = HttpsConnectorBuilder::new()
            .with_native_roots()
            .map_err(|_| ConfigError::NoCertificates)?
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        let client = Client::builder(TokioExecutor::new()).pool_timer(TokioTimer::new()).build(connector);
        Ok(Self { transport: Transport::Network(client), timeout: TIMEOUT })
    }

    #[cfg(any(test, feature = "testing"))]
    pub fn offline(respond: Respond) -> Self {
        Self { transport: Transport::Offline(respond), timeout: TIMEOUT }
    }

    #[cfg(any(test, feature = "testing"))]
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Returns the JSON at a URL, for the owner of an access token if there is one.
    pub async fn get<T: DeserializeOwned>(
        &self,
        url: &Url,
        access_token: Option<&str>,
        plaintext: Plaintext,
    ) -> Result<T, OauthError> {
        let mut request = http::Request::get(url.as_str()).header(ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(token) = access_token {
            let bearer = Zeroizing::new(format!("Bearer {token}"));
            let mut bearer = HeaderValue::from_str(&bearer).map_err(|_| OauthError::Malformed)?;
            bearer.set_sensitive(true);
            request = request.header(AUTHORIZATION, bearer);
        }
        let request = request.body(Vec::new()).map_err(|_| OauthError::Malformed)?;
        let response = self.send(request, plaintext).await?;
        if response.status() != http::StatusCode::OK {
            return Err(OauthError::Status(response.status().as_u16()));
        }
        serde_json::from_slice(response.body()).map_err(|_| OauthError::Malformed)
    }

    /// Sends a request, and returns the response if it is JSON. A status of 4xx isn't an error, because the body says
    /// why.
    pub async fn send(&self, request: HttpRequest, plaintext: Plaintext) -> Result<HttpResponse, OauthError> {
        let url = Url::parse(&request.uri().to_string()).map_err(|_| OauthError::Insecure)?;
        if !plaintext.accepts(&url) {
            return Err(OauthError::Insecure);
        }
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(response) => response,
            Err(_) => Err(OauthError::TimedOut),
        }
    }

    async fn exchange(&self, request: HttpRequest) -> Result<HttpResponse, OauthError> {
        let client = match &self.transport {
            Transport::Network(client) => client,
            #[cfg(any(test, feature = "testing"))]
            Transport::Offline(respond) => return Ok(HttpResponse::new(respond(&request.uri().to_string()))),
        };
        let mut request = request.map(|body| Full::new(Bytes::from(body)));
        request.headers_mut().insert(USER_AGENT, AGENT);
        let response = client.request(request).await.map_err(|error| unreachable(&error))?;
        let status = response.status();
        if status.is_redirection() {
            return Err(OauthError::Redirected);
        }
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(OauthError::Status(status.as_u16()));
        }
        if !is_json(response.headers()) {
            return Err(if status.is_success() {
                OauthError::ContentType
            } else {
                OauthError::Status(status.as_u16())
            });
        }
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_RESPONSE).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { OauthError::TooLarge } else { unreachable(&*error) }
        })?;
        Ok(HttpResponse::from_parts(parts, body.to_bytes().into()))
    }
}

/// Logs why a provider can't be reached, such as DNS or TLS. Only the owner of the application can do something about
/// it.
fn unreachable(error: &(dyn Error + 'static)) -> OauthError {
    let mut causes = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        causes = format!("{causes}: {cause}");
        next = cause.source();
    }
    tracing::debug!(target: "sigra", error = causes, "a provider can't be reached");
    OauthError::Connect
}

/// Returns whether the content type is `application/json` or `application/…+json` (RFC 6839 section 3.1).
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else { return false };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let Some(subtype) = essence.strip_prefix("application/") else { return false };
    subtype == "json" || subtype.ends_with("+json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plaintext_is_accepted_only_on_loopback_and_only_where_the_host_says_so() {
        for (url, refused, on_loopback) in [
            ("https://accounts.google.com/a", true, true),
            ("http://127.0.0.1:4100/a", false, true),
            ("http://[::1]:4100/a", false, true),
            ("http://localhost/a", false, true),
            ("http://accounts.google.com/a", false, false),
            ("http://localhost.example.com/a", false, false),
            ("http://10.0.0.1/a", false, false),
            ("file:///etc/passwd", false, false),
            ("data:application/json,{}", false, false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(Plaintext::Refused.accepts(&url), refused, "{url}");
            assert_eq!(Plaintext::OnLoopback.accepts(&url), on_loopback, "{url}");
        }
    }

    #[test]
    fn json_is_recognized_by_its_content_type() {
        for (value, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/jwk-set+json", true),
            ("text/html", false),
            ("text/json", false),
            ("application/jwt", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]);
            assert_eq!(is_json(&headers), expected, "{value}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
