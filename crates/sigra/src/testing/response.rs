use std::fmt;

use axum::body::Bytes;
use cookie::Cookie;
use http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use url::Url;

use crate::base::problem::Problem;

/// The number of lines of the body that `Debug` shows.
const SHOWN_LINES: usize = 20;

/// A response with its whole body.
///
/// `Debug` shows the request, the status, the headers and the first 20 lines of the body. Failed assertions print it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use axum::{Router, http::StatusCode, routing::get};
/// use sigra::testing::TestClient;
///
/// let browser = TestClient::new(Router::new().route("/", get("Hello")));
/// let response = browser.get("/").await;
/// assert_eq!(response.status(), StatusCode::OK);
/// assert_eq!(response.text(), "Hello");
/// # }
/// ```
#[derive(Clone)]
pub struct TestResponse {
    pub(super) request: String,
    pub(super) url: Url,
    pub(super) response: http::Response<Bytes>,
}

impl TestResponse {
    /// Returns the status.
    ///
    /// ```
    /// # use sigra::testing::TestResponse;
    /// fn is_found(response: &TestResponse) -> bool {
    ///     response.status().is_success()
    /// }
    /// ```
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Returns all headers.
    ///
    /// ```
    /// # use sigra::testing::TestResponse;
    /// fn content_length(response: &TestResponse) -> usize {
    ///     response.headers()["content-length"].to_str().unwrap().parse().unwrap()
    /// }
    /// ```
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// Returns the first value of a header, if there is one.
    ///
    /// ```
    /// # use sigra::testing::TestResponse;
    /// fn must_not_be_cached(response: &TestResponse) -> bool {
    ///     response.header("cache-control") == Some("no-store")
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If the value is not visible ASCII.
    #[track_caller]
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name).map(|value| match value.to_str() {
            Ok(value) => value,
            Err(_) => panic!("the header `{name}` is not visible ASCII: {value:?}"),
        })
    }

    /// Returns the header `Location`.
    ///
    /// ```
    /// # use sigra::testing::TestResponse;
    /// fn redirects_to_the_login_page(response: &TestResponse) -> bool {
    ///     response.location() == Some("/users/log-in")
    /// }
    /// ```
    #[track_caller]
    #[must_use]
    pub fn location(&self) -> Option<&str> {
        self.header(header::LOCATION.as_str())
    }

    /// Returns the body as text. Bytes that aren't UTF-8 are replaced.
    ///
    /// ```
    /// # use sigra::testing::TestResponse;
    /// fn greets(response: &TestResponse) -> bool {
    ///     response.text().contains("Welcome back!")
    /// }
    /// ```
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.response.body()).into_owned()
    }

    /// Parses the body as JSON.
    ///
    /// ```
    /// # use sigra::testing::TestResponse;
    /// fn email(me: &TestResponse) -> String {
    ///     me.json::<serde_json::Value>()["email"].as_str().unwrap().to_owned()
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If it isn't JSON of this type.
    #[track_caller]
    #[must_use]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        match serde_json::from_slice(self.response.body()) {
            Ok(value) => value,
            Err(error) => panic!("the body isn't JSON of the type `{}`: {error}\n{self:?}", std::any::type_name::<T>()),
        }
    }

    /// Returns the cookies that the response sets or expires, with their attributes.
    ///
    /// ```
    /// # use sigra::testing::TestResponse;
    /// fn touches_no_cookie(response: &TestResponse) -> bool {
    ///     response.set_cookies().is_empty()
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If a `Set-Cookie` header can't be parsed.
    #[track_caller]
    #[must_use]
    pub fn set_cookies(&self) -> Vec<Cookie<'static>> {
        let read = |header: &http::HeaderValue| Cookie::parse(header.to_str().ok()?.to_owned()).ok();
        let headers = self.headers().get_all(header::SET_COOKIE);
        headers
            .iter()
            .map(|header| read(header).unwrap_or_else(|| panic!("can't parse the header `Set-Cookie: {header:?}`")))
            .collect()
    }

    /// Returns the problem that the response is, if the library refused the request.
    ///
    /// ```
    /// # use sigra::{Problem, testing::TestResponse};
    /// use axum::http::StatusCode;
    ///
    /// fn needs_sudo_mode(response: &TestResponse) -> bool {
    ///     response.problem() == Some(&Problem::new(StatusCode::FORBIDDEN).code("sudo_required"))
    /// }
    /// ```
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        self.response.extensions().get()
    }
}

impl fmt::Debug for TestResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} -> {}", self.request, self.status())?;
        for (name, value) in self.headers() {
            writeln!(f, "{name}: {}", String::from_utf8_lossy(value.as_bytes()))?;
        }
        let text = self.text();
        let mut lines = text.lines();
        for line in lines.by_ref().take(SHOWN_LINES) {
            write!(f, "\n{line}")?;
        }
        match lines.count() {
            0 => Ok(()),
            more => write!(f, "\n... and {more} more lines"),
        }
    }
}
