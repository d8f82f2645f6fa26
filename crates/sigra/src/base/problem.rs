//! Error answers: a plain sentence, which a host's layer replaces by a page of its own for people and by
//! `application/problem+json` (RFC 9457) for programs.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

/// The words for programs, as the guides list them. The log tells by the same words why a request was refused.
pub(crate) mod code {
    pub const AUTHENTICATION_REQUIRED: &str = "authentication_required";
    pub const CROSS_ORIGIN: &str = "cross_origin";
    pub const NO_SECOND_FACTOR_PENDING: &str = "no_second_factor_pending";
    pub const OTHER_FACTOR_REQUIRED: &str = "other_factor_required";
    pub const RATE_LIMITED: &str = "rate_limited";
    pub const SECOND_FACTOR_ENROLMENT_REQUIRED: &str = "second_factor_enrolment_required";
    pub const SECOND_FACTOR_REQUIRED: &str = "second_factor_required";
    pub const SUDO_REQUIRED: &str = "sudo_required";
    #[cfg(feature = "passkeys")]
    pub const TOO_MANY_PASSKEYS: &str = "too_many_passkeys";
}

/// An error answer that a host can render as it likes: it travels in the response's extensions too, so
/// that a layer can replace its body by a page of the application's own.
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
    retry_after: Option<Duration>,
}

impl Problem {
    /// A problem that its status says all of.
    #[must_use]
    pub const fn new(status: StatusCode) -> Self {
        Self { status, code: None, retry_after: None }
    }

    /// 503 with `Retry-After` (RFC 9110 section 10.2.3), rounded up to whole seconds.
    #[must_use]
    pub const fn unavailable(retry_after: Duration) -> Self {
        Self { status: StatusCode::SERVICE_UNAVAILABLE, code: None, retry_after: Some(retry_after) }
    }

    /// 429 with `Retry-After` (RFC 6585 section 4), rounded up to whole seconds.
    #[must_use]
    pub const fn too_many_requests(retry_after: Duration) -> Self {
        Self { status: StatusCode::TOO_MANY_REQUESTS, code: Some(code::RATE_LIMITED), retry_after: Some(retry_after) }
    }

    /// A word for programs, such as `sudo_required`.
    #[must_use]
    pub const fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// What happened, in two or three words.
    #[must_use]
    pub fn title(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Error")
    }

    /// What whoever sent the request can do about it, as a sentence or two, where that is known.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sigra::Problem;
    ///
    /// let problem = Problem::too_many_requests(Duration::from_millis(11_500));
    /// assert_eq!(problem.detail().as_deref(), Some("Too many attempts. Try again in 12 seconds."));
    /// ```
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        let wait = self.retry_after.filter(|_| self.status == StatusCode::TOO_MANY_REQUESTS)?;
        Some(format!("Too many attempts. Try again in {}.", in_words(wait)))
    }

    /// The problem as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut problem = serde_json::json!({ "title": self.title(), "status": self.status.as_u16() });
        if let Some(detail) = self.detail() {
            problem["detail"] = detail.into();
        }
        if let Some(code) = self.code {
            problem["code"] = code.into();
        }
        problem.to_string()
    }

    /// The header `Retry-After`, in whole seconds, if there is something to wait for.
    #[must_use]
    pub fn retry_after(&self) -> Option<HeaderValue> {
        self.retry_after.map(|wait| HeaderValue::from(wait.as_millis().div_ceil(1000) as u64))
    }

    /// The answer as `application/problem+json`.
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

/// A time to wait as people say it: in the largest unit that fits, rounded up.
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
        let mut response = (self.status, self.title()).into_response();
        if let Some(retry_after) = self.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, retry_after);
        }
        response.extensions_mut().insert(self);
        response
    }
}

/// What a request's sender can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a request comes from a browser or from a program")]
pub enum Audience {
    /// A person in front of a browser: pages and redirects.
    Browser,
    /// A program: statuses and JSON.
    Program,
}

impl Audience {
    /// Judges by `Accept` and, where that says nothing, by `Sec-Fetch-Mode`.
    ///
    /// ```
    /// use axum::http::{HeaderMap, HeaderValue};
    /// use sigra::Audience;
    ///
    /// let mut headers = HeaderMap::new();
    /// assert_eq!(Audience::of(&headers), Audience::Browser);
    /// headers.insert("accept", HeaderValue::from_static("application/json"));
    /// assert_eq!(Audience::of(&headers), Audience::Program);
    /// ```
    #[must_use]
    pub fn of(headers: &HeaderMap) -> Self {
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

    /// Whether the request is a person opening a page, who can be led elsewhere by a redirect.
    pub(crate) fn is_navigation(self, method: &Method) -> bool {
        self == Self::Browser && (method == Method::GET || method == Method::HEAD)
    }
}
