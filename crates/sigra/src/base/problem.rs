//! Error responses: plain text, which a host's layer replaces with a page for people and with
//! `application/problem+json` (RFC 9457) for programs.

use std::{borrow::Cow, time::Duration};

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use crate::base::authorization::Authorization;

/// The codes for programs, as the guides list them. The log gives the same codes as the reason why a request was
/// refused.
pub(crate) mod code {
    pub const AUTHENTICATION_REQUIRED: &str = "authentication_required";
    #[cfg(feature = "device-bound")]
    pub const BINDING_REFUSED: &str = "binding_refused";
    #[cfg(feature = "device-bound")]
    pub const BINDING_REQUIRED: &str = "binding_required";
    pub const CROSS_ORIGIN: &str = "cross_origin";
    #[cfg(feature = "api-tokens")]
    pub const INSUFFICIENT_SCOPE: &str = "insufficient_scope";
    #[cfg(feature = "api-tokens")]
    pub const INVALID_REQUEST: &str = "invalid_request";
    #[cfg(feature = "api-tokens")]
    pub const INVALID_TOKEN: &str = "invalid_token";
    pub const LAST_LOGIN_METHOD: &str = "last_login_method";
    pub const NO_SECOND_FACTOR_PENDING: &str = "no_second_factor_pending";
    pub const OTHER_FACTOR_REQUIRED: &str = "other_factor_required";
    pub const RATE_LIMITED: &str = "rate_limited";
    pub const SECOND_FACTOR_ENROLLMENT_REQUIRED: &str = "second_factor_enrollment_required";
    pub const SECOND_FACTOR_REQUIRED: &str = "second_factor_required";
    pub const SUDO_REQUIRED: &str = "sudo_required";
    #[cfg(feature = "api-tokens")]
    pub const TOO_MANY_API_TOKENS: &str = "too_many_api_tokens";
    #[cfg(feature = "passkeys")]
    pub const TOO_MANY_PASSKEYS: &str = "too_many_passkeys";
    #[cfg(feature = "oauth-server")]
    pub const TOO_MANY_PROGRAMS: &str = "too_many_programs";
    #[cfg(feature = "oauth-server")]
    pub const URI_TOO_LONG: &str = "uri_too_long";
}

/// An error response that a host can render as it likes. It is also in the response's extensions, so that a layer can
/// replace the body with a page of the application.
///
/// ```
/// use axum::{http::StatusCode, response::IntoResponse};
/// use sigra::Problem;
///
/// let response = Problem::new(StatusCode::UNAUTHORIZED).into_response();
/// assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
/// assert!(response.extensions().get::<Problem>().is_some());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    status: StatusCode,
    code: Option<&'static str>,
    detail: Option<&'static str>,
    retry_after: Option<Duration>,
}

impl Problem {
    /// Creates a problem with a status, without a code.
    #[must_use]
    pub const fn new(status: StatusCode) -> Self {
        Self { status, code: None, detail: None, retry_after: None }
    }

    /// Creates a 503 with `Retry-After` (RFC 9110 section 10.2.3), rounded up to whole seconds.
    #[must_use]
    pub const fn unavailable(retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(StatusCode::SERVICE_UNAVAILABLE) }
    }

    /// Creates a 429 with `Retry-After` (RFC 6585 section 4), rounded up to whole seconds, and the code `rate_limited`.
    #[must_use]
    pub const fn too_many_requests(retry_after: Duration) -> Self {
        let limited = Self::new(StatusCode::TOO_MANY_REQUESTS).code(code::RATE_LIMITED);
        Self { retry_after: Some(retry_after), ..limited }
    }

    /// Sets the code for programs, such as `sudo_required`.
    #[must_use]
    pub const fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Sets what happened or what the client can do, in a sentence or two for the client to read (RFC 9457 section 3.1.4).
    ///
    /// ```
    /// use axum::http::StatusCode;
    /// use sigra::Problem;
    ///
    /// const QUOTA: Problem = Problem::new(StatusCode::CONFLICT).detail("Your plan allows three projects.");
    ///
    /// async fn create_project() -> Result<(), Problem> {
    ///     Err(QUOTA)
    /// }
    ///
    /// assert!(QUOTA.to_json().contains(r#""detail":"Your plan allows three projects.""#));
    /// ```
    #[must_use]
    pub const fn detail(mut self, detail: &'static str) -> Self {
        self.detail = Some(detail);
        self
    }

    /// Returns the status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns what happened, in two or three words: the status's name.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Error")
    }

    /// Returns the sentence that was [set](Self::detail).
    ///
    /// ```
    /// use axum::http::StatusCode;
    /// use sigra::Problem;
    ///
    /// let problem = Problem::new(StatusCode::CONFLICT).detail("Your plan allows three projects.");
    /// assert_eq!(problem.detail_text(), Some("Your plan allows three projects."));
    /// ```
    #[must_use]
    pub const fn detail_text(&self) -> Option<&'static str> {
        self.detail
    }

    /// Returns when the client can try again, in a sentence or two. `None` unless the status is 429.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sigra::Problem;
    ///
    /// let problem = Problem::too_many_requests(Duration::from_millis(11_500));
    /// assert_eq!(problem.retry_advice().as_deref(), Some("Too many attempts. Try again in 12 seconds."));
    /// ```
    #[must_use]
    pub fn retry_advice(&self) -> Option<String> {
        let wait = self.retry_after.filter(|_| self.status == StatusCode::TOO_MANY_REQUESTS)?;
        Some(format!("Too many attempts. Try again in {}.", in_words(wait)))
    }

    /// Returns how long to wait before the next attempt, rounded up to whole seconds. `None` if there is nothing to
    /// wait for.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sigra::Problem;
    ///
    /// let problem = Problem::too_many_requests(Duration::from_millis(11_500));
    /// assert_eq!(problem.retry_after(), Some(Duration::from_secs(12)));
    /// ```
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after.map(|wait| Duration::from_secs(wait.as_millis().div_ceil(1000) as u64))
    }

    /// Returns the problem as JSON. Its `detail` is the one that was [set](Self::detail), or else the
    /// [retry advice](Self::retry_advice).
    ///
    /// ```
    /// use axum::http::StatusCode;
    /// use sigra::Problem;
    ///
    /// let problem = Problem::new(StatusCode::FORBIDDEN).code("sudo_required");
    /// assert_eq!(problem.to_json(), r#"{"code":"sudo_required","status":403,"title":"Forbidden"}"#);
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let detail = self.detail.map(Cow::Borrowed).or_else(|| self.retry_advice().map(Cow::Owned));
        self.to_json_with(self.title(), detail.as_deref())
    }

    /// Returns the problem as JSON, with another title and detail: in the client's language, as RFC 9457 section 3.1.3
    /// allows.
    ///
    /// ```
    /// use axum::http::StatusCode;
    /// use sigra::Problem;
    ///
    /// let problem = Problem::new(StatusCode::NOT_FOUND);
    /// assert_eq!(problem.to_json_with("Nicht gefunden", None), r#"{"status":404,"title":"Nicht gefunden"}"#);
    /// ```
    #[must_use]
    pub fn to_json_with(&self, title: &str, detail: Option<&str>) -> String {
        let mut problem = serde_json::json!({ "title": title, "status": self.status.as_u16() });
        if let Some(detail) = detail {
            problem["detail"] = detail.into();
        }
        if let Some(code) = self.code {
            problem["code"] = code.into();
        }
        problem.to_string()
    }

    /// Returns the header `Retry-After`, in whole seconds. `None` if there is nothing to wait for.
    #[must_use]
    pub fn retry_after_header(&self) -> Option<HeaderValue> {
        self.retry_after().map(|wait| HeaderValue::from(wait.as_secs()))
    }

    /// Returns the response as `application/problem+json`.
    #[must_use]
    pub fn into_json_response(self) -> Response {
        let mut response = self.into_response();
        *response.body_mut() = self.to_json().into();
        let json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response.headers_mut().remove(header::CONTENT_LENGTH);
        response
    }
}

/// Returns a duration in words, in the largest unit that fits, rounded up.
fn in_words(wait: Duration) -> String {
    let seconds = wait.as_millis().div_ceil(1000).max(1);
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(60 * 60), "hour"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, self.detail.unwrap_or_else(|| self.title())).into_response();
        if let Some(retry_after) = self.retry_after_header() {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// The kind of client that sent a request, which decides what it can display.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a request comes from a browser or from a program")]
pub enum ClientKind {
    /// A person with a browser, who gets pages and redirects.
    Browser,
    /// A program, which gets statuses and JSON.
    Program,
}

impl ClientKind {
    /// Returns the audience, by `Accept` and, if that doesn't tell, by `Sec-Fetch-Mode`. A request with a bearer token
    /// comes from a program.
    ///
    /// ```
    /// use axum::http::{HeaderMap, HeaderValue};
    /// use sigra::ClientKind;
    ///
    /// let mut headers = HeaderMap::new();
    /// assert_eq!(ClientKind::of(&headers), ClientKind::Browser);
    /// headers.insert("accept", HeaderValue::from_static("application/json"));
    /// assert_eq!(ClientKind::of(&headers), ClientKind::Program);
    /// ```
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
        if Authorization::of(headers).is_bearer() {
            return Self::Program;
        }
        let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
        let fetch_mode = headers.get("sec-fetch-mode").map(HeaderValue::as_bytes);
        if accept.contains("text/html") {
            Self::Browser
        } else if accept.contains("json") || fetch_mode.is_some_and(|mode| mode != b"navigate") {
            Self::Program
        } else {
            Self::Browser
        }
    }

    /// Returns whether a person opens a page, so that a redirect can take them elsewhere.
    pub(crate) fn is_navigation(self, method: &Method) -> bool {
        self == Self::Browser && (method == Method::GET || method == Method::HEAD)
    }
}
