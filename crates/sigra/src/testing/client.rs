use std::{
    fmt,
    future::{Future, poll_fn},
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    task::Poll,
};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::ConnectInfo,
};
use cookie::Cookie;
use cookie_store::{CookieDomain, CookieStore};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use tower::ServiceExt;
use url::{Url, form_urlencoded};

#[cfg(feature = "device-bound")]
use crate::{
    base::clock::Clock,
    testing::device::{Browser, Device},
};
use crate::{model::client::Client, testing::response::TestResponse};

/// The `User-Agent` that a [`TestClient`] sends: Firefox on Linux.
pub const BROWSER: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

const PAGES: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

/// The largest size of a cookie's name and value together that browsers keep, in bytes (RFC 6265bis section 5.6).
const MAX_COOKIE: usize = 4096;

/// A browser that sends requests to a router, without a socket in between.
///
/// It keeps cookies like a browser, is at `https://localhost`, and sends the headers of a navigation: `Host`, `Accept`,
/// `User-Agent`, `Sec-Fetch-Site`, `Sec-Fetch-Mode`, and `Origin` with unsafe methods. [`send`](Self::send) can
/// override each of them. Its methods take `&self`, so one browser can send several requests at once. It doesn't follow
/// redirects automatically: see [`follow`](Self::follow).
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// use axum::{Router, http::StatusCode, routing::get};
/// use sigra::testing::TestClient;
///
/// let browser = TestClient::new(Router::new().route("/", get("Hello")));
/// assert_eq!(browser.get("/").await.text(), "Hello");
/// assert_eq!(browser.get("/elsewhere").await.status(), StatusCode::NOT_FOUND);
/// # }
/// ```
pub struct TestClient {
    router: Router,
    origin: Url,
    peer: SocketAddr,
    headers: HeaderMap,
    jar: Mutex<CookieStore>,
    #[cfg(feature = "device-bound")]
    device: Option<Device>,
}

/// Creating browsers.
impl TestClient {
    /// Creates a browser at `https://localhost` with an empty cookie jar.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// let browser = TestClient::new(axum::Router::new());
    /// assert!(browser.cookies().is_empty());
    /// ```
    #[must_use]
    pub fn new(router: Router) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(PAGES));
        headers.insert(header::USER_AGENT, HeaderValue::from_static(BROWSER));
        headers.insert("sec-fetch-site", HeaderValue::from_static("same-origin"));
        headers.insert("sec-fetch-mode", HeaderValue::from_static("navigate"));
        Self {
            router,
            origin: Url::parse("https://localhost").expect("an origin"),
            peer: SocketAddr::from(([127, 0, 0, 1], 50_000)),
            headers,
            jar: Mutex::default(),
            #[cfg(feature = "device-bound")]
            device: None,
        }
    }

    /// Makes it a browser that binds its sessions to a device, as [offered](crate::device_bound), and that renews the
    /// bound cookie before a request without one. The cookie expires by the application's clock, so pass
    /// [`TestHost::clock`](crate::testing::TestHost::clock). [`fork`](Self::fork) copies cookies, and no keys.
    ///
    /// ```
    /// # use sigra::testing::{TestHost, VALID_PASSWORD};
    /// async fn a_thief_without_the_key<H: TestHost>(host: &H, email: &str) {
    ///     let browser = host.client().device_bound(host.clock());
    ///     browser.post("/users/log-in", &[("user[email]", email), ("user[password]", VALID_PASSWORD)]).await;
    ///     let thief = browser.fork();
    ///     host.clock().advance(std::time::Duration::from_secs(10 * 60));
    ///     assert_eq!(browser.get("/dashboard").await.status(), 200);
    ///     assert_eq!(thief.get("/dashboard").await.status(), 303);
    /// }
    /// ```
    #[cfg(feature = "device-bound")]
    #[must_use]
    pub fn device_bound(mut self, clock: &Clock) -> Self {
        self.device = Some(Device::new(clock.clone()));
        self
    }

    /// Opens the application at another origin, such as `https://app.example.com`.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// let browser = TestClient::new(axum::Router::new()).origin("https://app.example.com");
    /// ```
    ///
    /// # Panics
    ///
    /// If it isn't a URL with a host.
    #[track_caller]
    #[must_use]
    pub fn origin(mut self, origin: &str) -> Self {
        self.origin = match Url::parse(origin) {
            Ok(origin) if origin.has_host() => origin,
            _ => panic!("`{origin}` is not an origin: use a scheme and a host, such as `https://app.example.com`"),
        };
        self
    }

    /// Sets another `User-Agent`.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// let robot = TestClient::new(axum::Router::new()).user_agent("robot/1.0");
    /// ```
    ///
    /// # Panics
    ///
    /// If the text can't be the value of a header.
    #[track_caller]
    #[must_use]
    pub fn user_agent(mut self, user_agent: &str) -> Self {
        let Ok(value) = HeaderValue::try_from(user_agent) else {
            panic!("{user_agent:?} can't be the value of a header")
        };
        self.headers.insert(header::USER_AGENT, value);
        self
    }

    /// Sets the languages that the browser asks for: the header `Accept-Language`, which it otherwise doesn't send.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// let browser = TestClient::new(axum::Router::new()).accept_language("de-AT, de;q=0.9, en;q=0.8");
    /// ```
    ///
    /// # Panics
    ///
    /// If the text can't be the value of a header.
    #[track_caller]
    #[must_use]
    pub fn accept_language(mut self, languages: &str) -> Self {
        let Ok(value) = HeaderValue::try_from(languages) else {
            panic!("{languages:?} can't be the value of a header")
        };
        self.headers.insert(header::ACCEPT_LANGUAGE, value);
        self
    }

    /// Sets the IP address and port that the browser connects from (default: 127.0.0.1).
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// let abroad = TestClient::new(axum::Router::new()).peer("203.0.113.7:443".parse().unwrap());
    /// ```
    #[must_use]
    pub fn peer(mut self, peer: SocketAddr) -> Self {
        self.peer = peer;
        self
    }

    /// Makes the browser request JSON, like a script of the page, instead of pages.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// let script = TestClient::new(axum::Router::new()).json();
    /// ```
    #[must_use]
    pub fn json(mut self) -> Self {
        self.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        self.headers.insert("sec-fetch-mode", HeaderValue::from_static("cors"));
        self
    }

    /// Makes the client a program with a bearer token: it sends the token in `Authorization`, requests JSON, and sends
    /// none of the headers that only browsers send.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// let program = TestClient::new(axum::Router::new()).bearer("my_app_pat_0000000000");
    /// ```
    ///
    /// # Panics
    ///
    /// If the token has characters that can't be in a header.
    #[track_caller]
    #[must_use]
    pub fn bearer(mut self, token: &str) -> Self {
        let Ok(mut value) = HeaderValue::try_from(format!("Bearer {token}")) else {
            panic!("the token can't be in a header")
        };
        value.set_sensitive(true);
        self.headers.insert(header::AUTHORIZATION, value);
        self.headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        self.headers.remove("sec-fetch-site");
        self.headers.remove("sec-fetch-mode");
        self
    }

    /// Returns another browser with a copy of the cookies, such as for a thief. From then on, each has its own.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// let browser = TestClient::new(axum::Router::new());
    /// browser.set_cookie("theme", "dark");
    /// let thief = browser.fork();
    /// browser.remove_cookie("theme");
    /// assert_eq!(thief.cookie("theme").as_deref(), Some("dark"));
    /// ```
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            router: self.router.clone(),
            origin: self.origin.clone(),
            peer: self.peer,
            headers: self.headers.clone(),
            jar: Mutex::new(self.jar().clone()),
            #[cfg(feature = "device-bound")]
            device: None,
        }
    }
}

/// Sending requests.
impl TestClient {
    /// Opens a page.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// async fn opens_the_dashboard(browser: &TestClient) {
    ///     browser.get("/dashboard").await;
    /// }
    /// ```
    #[track_caller]
    pub fn get<'a>(&'a self, path: &str) -> impl Future<Output = TestResponse> + Send + use<'a> {
        self.send(request(Method::GET, path, Body::empty()))
    }

    /// Submits a form.
    ///
    /// ```
    /// # use sigra::testing::{TestClient, VALID_PASSWORD};
    /// async fn logs_in(browser: &TestClient, email: &str) {
    ///     browser.post("/users/log-in", &[("user[email]", email), ("user[password]", VALID_PASSWORD)]).await;
    /// }
    /// ```
    #[track_caller]
    pub fn post<'a>(
        &'a self,
        path: &str,
        form: &[(&str, &str)],
    ) -> impl Future<Output = TestResponse> + Send + use<'a> {
        self.send(form_request(Method::POST, path, form))
    }

    /// Sends a form with `PUT`.
    ///
    /// ```
    /// # use sigra::testing::{TestClient, VALID_PASSWORD};
    /// async fn resets_the_password(browser: &TestClient, token: &str) {
    ///     let form = [("user[password]", VALID_PASSWORD), ("user[password_confirmation]", VALID_PASSWORD)];
    ///     browser.put(&format!("/users/reset-password/{token}"), &form).await;
    /// }
    /// ```
    #[track_caller]
    pub fn put<'a>(&'a self, path: &str, form: &[(&str, &str)]) -> impl Future<Output = TestResponse> + Send + use<'a> {
        self.send(form_request(Method::PUT, path, form))
    }

    /// Sends a `DELETE`.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// async fn logs_out(browser: &TestClient) {
    ///     browser.delete("/users/log-out").await;
    /// }
    /// ```
    #[track_caller]
    pub fn delete<'a>(&'a self, path: &str) -> impl Future<Output = TestResponse> + Send + use<'a> {
        self.send(request(Method::DELETE, path, Body::empty()))
    }

    /// Follows a redirect.
    ///
    /// ```
    /// # use sigra::testing::{TestClient, assert_contains};
    /// async fn logs_out(browser: &TestClient) {
    ///     let response = browser.delete("/users/log-out").await;
    ///     assert_contains(&browser.follow(&response).await, "Logged out successfully.");
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If the response isn't a redirect, or redirects to another origin.
    #[track_caller]
    pub fn follow<'a>(&'a self, response: &TestResponse) -> impl Future<Output = TestResponse> + Send + use<'a> {
        let location = match response.location() {
            Some(location) if response.status().is_redirection() => location,
            _ => panic!("the response is not a redirect\n{response:?}"),
        };
        let target = match response.url.join(location) {
            Ok(target) if target.origin() == self.origin.origin() => target,
            _ => panic!("the redirect to `{location}` leaves {}\n{response:?}", self.origin),
        };
        self.get(&target[url::Position::BeforePath..url::Position::AfterQuery])
    }

    /// Sends any request. The browser adds its own headers that the request doesn't set, including cookies, and keeps
    /// the cookies that the response sets.
    ///
    /// ```
    /// # use sigra::testing::{TestClient, assert_status};
    /// use axum::{body::Body, http::{Request, StatusCode}};
    ///
    /// async fn another_site_posts_a_form(browser: &TestClient) {
    ///     let request = Request::post("/users/log-in")
    ///         .header("origin", "https://evil.example")
    ///         .header("sec-fetch-site", "cross-site")
    ///         .body(Body::empty());
    ///     assert_status(&browser.send(request.unwrap()).await, StatusCode::FORBIDDEN);
    /// }
    /// ```
    pub async fn send(&self, request: Request<Body>) -> TestResponse {
        #[cfg(feature = "device-bound")]
        if let Some(device) = &self.device {
            device.renew(self).await;
            let response = self.send_and_store(request).await;
            device.take_offer(self, &response).await;
            return response;
        }
        self.send_and_store(request).await
    }

    async fn send_and_store(&self, request: Request<Body>) -> TestResponse {
        let response = self.send_without_storing(request).await;
        self.store(&response);
        response
    }

    /// Renews the bound cookies now, as browsers do ahead of time.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// async fn stays_bound(browser: &TestClient) {
    ///     browser.renew_bound_cookies().await;
    ///     assert_eq!(browser.bound_sessions().len(), 1);
    /// }
    /// ```
    #[cfg(feature = "device-bound")]
    pub async fn renew_bound_cookies(&self) {
        if let Some(device) = &self.device {
            device.renew_all(self).await;
        }
    }

    /// Returns the IDs of the sessions that are bound to its [device](Self::device_bound), as far as it knows.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// assert!(TestClient::new(axum::Router::new()).bound_sessions().is_empty());
    /// ```
    #[cfg(feature = "device-bound")]
    #[must_use]
    pub fn bound_sessions(&self) -> Vec<String> {
        self.device.as_ref().map(Device::bound).unwrap_or_default()
    }

    /// Sends a request, and disconnects after the application was polled `polls` times. Returns `None` if there was no
    /// response by then. Call it with 0, 1, 2, … until there is a response, to disconnect at every point where the
    /// application waits. The cookies of a response are kept.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// use axum::{Router, body::Body, http::Request, routing::post};
    /// use sigra::testing::TestClient;
    ///
    /// let slow = post(|| async { tokio::task::yield_now().await });
    /// let browser = TestClient::new(Router::new().route("/", slow));
    /// let request = || Request::post("/").body(Body::empty()).unwrap();
    /// assert!(browser.send_and_hang_up(request(), 1).await.is_none());
    /// assert!(browser.send_and_hang_up(request(), 2).await.is_some());
    /// # }
    /// ```
    pub async fn send_and_hang_up(&self, request: Request<Body>, polls: usize) -> Option<TestResponse> {
        let mut sent = Box::pin(self.send(request));
        let mut polled = 0;
        poll_fn(|cx| {
            if polled == polls {
                return Poll::Ready(None);
            }
            polled += 1;
            match sent.as_mut().poll(cx) {
                Poll::Ready(response) => Poll::Ready(Some(response)),
                Poll::Pending if polled == polls => Poll::Ready(None),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }

    /// Sends a request, but doesn't keep the cookies of the response until you call [`store`](Self::store): to let a
    /// response arrive after that of a later request.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// use axum::{body::Body, http::Request};
    ///
    /// async fn a_slow_image_arrives_after_the_logout(browser: &TestClient) {
    ///     let image = Request::get("/chart.png").body(Body::empty()).unwrap();
    ///     let image = browser.send_without_storing(image).await;
    ///     browser.delete("/users/log-out").await;
    ///     browser.store(&image);
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If the body ends too early.
    pub async fn send_without_storing(&self, mut request: Request<Body>) -> TestResponse {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let url = self.origin.join(path).unwrap_or_else(|_| self.origin.clone());
        let line = format!("{} {path}", request.method());
        self.complete(&mut request, &url);
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        let (parts, body) = response.into_parts();
        let body = match to_bytes(body, usize::MAX).await {
            Ok(body) => body,
            Err(error) => panic!("the body of the response to {line} can't be read: {error}"),
        };
        TestResponse { request: line, url, response: http::Response::from_parts(parts, body) }
    }

    /// Adds the headers that a browser sends.
    fn complete(&self, request: &mut Request<Body>, url: &Url) {
        let is_safe = request.method().is_safe();
        let cookies =
            self.jar().get_request_values(url).map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        let headers = request.headers_mut();
        for (name, value) in &self.headers {
            set_default(headers, name, value.as_bytes());
        }
        let host = &url[url::Position::BeforeHost..url::Position::AfterPort];
        set_default(headers, &header::HOST, host.as_bytes());
        let is_browser = self.headers.contains_key("sec-fetch-mode");
        if !is_safe && is_browser {
            set_default(headers, &header::ORIGIN, url.origin().ascii_serialization().as_bytes());
        }
        if !cookies.is_empty() {
            set_default(headers, &header::COOKIE, cookies.join("; ").as_bytes());
        }
        if request.extensions().get::<ConnectInfo<SocketAddr>>().is_none() {
            request.extensions_mut().insert(ConnectInfo(self.peer));
        }
    }
}

/// Cookies.
impl TestClient {
    /// Keeps the cookies that a response sets, if a browser would.
    ///
    /// ```
    /// # use sigra::testing::{TestClient, TestResponse};
    /// fn arrives_late(browser: &TestClient, response: &TestResponse) {
    ///     browser.store(response);
    /// }
    /// ```
    #[track_caller]
    pub fn store(&self, response: &TestResponse) {
        let cookies = response.set_cookies().into_iter().filter(|cookie| is_kept(cookie, &response.url));
        self.jar().store_response_cookies(cookies, &response.url);
    }

    /// Closes the browser and opens it again, which deletes cookies without `Max-Age` or `Expires`.
    ///
    /// ```
    /// # use sigra::testing::{TestClient, assert_status};
    /// use axum::http::StatusCode;
    ///
    /// async fn a_remembered_browser_stays_logged_in(browser: &TestClient) {
    ///     browser.close_and_reopen();
    ///     assert_status(&browser.get("/dashboard").await, StatusCode::OK);
    /// }
    /// ```
    pub fn close_and_reopen(&self) {
        let mut jar = self.jar();
        let lasting: Vec<_> = jar.iter_unexpired().filter(|cookie| cookie.is_persistent()).cloned().collect();
        jar.clear();
        for cookie in lasting {
            jar.insert(cookie, &self.origin).expect("it was in the jar before");
        }
    }

    /// Returns the value of a cookie.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// let browser = TestClient::new(axum::Router::new());
    /// assert_eq!(browser.cookie("_my_app_key"), None);
    /// ```
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.jar().iter_unexpired().find(|cookie| cookie.name() == name).map(|cookie| cookie.value().to_owned())
    }

    /// Returns the names and values of all cookies, sorted by name.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// let browser = TestClient::new(axum::Router::new());
    /// browser.set_cookie("theme", "dark");
    /// assert_eq!(browser.cookies(), [("theme".to_owned(), "dark".to_owned())]);
    /// ```
    #[must_use]
    pub fn cookies(&self) -> Vec<(String, String)> {
        let jar = self.jar();
        let pair = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let mut cookies: Vec<_> = jar.iter_unexpired().map(|cookie| pair(cookie.name_value())).collect();
        cookies.sort_unstable();
        cookies
    }

    /// Sets a cookie. If there is one of this name, changes its value only.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// fn tampers(browser: &TestClient) {
    ///     let value = browser.cookie("_my_app_key").expect("logged in");
    ///     browser.set_cookie("_my_app_key", &value[1..]);
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If browsers wouldn't keep it.
    #[track_caller]
    pub fn set_cookie(&self, name: &str, value: &str) {
        let mut jar = self.jar();
        let existing = jar.iter_unexpired().find(|cookie| cookie.name() == name).map(|found| {
            let mut cookie: Cookie<'static> = Cookie::clone(found);
            cookie.set_path(found.path.to_string());
            if let CookieDomain::Suffix(domain) = &found.domain {
                cookie.set_domain(domain.clone());
            }
            cookie.set_value(value.to_owned());
            cookie
        });
        let cookie = existing.unwrap_or_else(|| Cookie::build((name, value)).path("/").build().into_owned());
        if let Err(error) = jar.insert_raw(&cookie, &self.origin) {
            panic!("a browser wouldn't keep the cookie `{name}` with the value `{value}`: {error}");
        }
    }

    /// Deletes a cookie.
    ///
    /// ```
    /// # use sigra::testing::TestClient;
    /// let browser = TestClient::new(axum::Router::new());
    /// browser.set_cookie("theme", "dark");
    /// browser.remove_cookie("theme");
    /// assert_eq!(browser.cookie("theme"), None);
    /// ```
    pub fn remove_cookie(&self, name: &str) {
        let mut jar = self.jar();
        let found: Vec<(String, String)> = jar
            .iter_any()
            .filter(|cookie| cookie.name() == name)
            .map(|cookie| (String::from(&cookie.domain), cookie.path.to_string()))
            .collect();
        for (domain, path) in found {
            jar.remove(&domain, &path, name);
        }
    }

    /// Keeps cookies that don't come from a response.
    pub(super) fn store_headers(&self, headers: HeaderMap) {
        let mut response = http::Response::default();
        *response.headers_mut() = headers;
        self.store(&TestResponse { request: "a fixture".to_owned(), url: self.origin.clone(), response });
    }

    pub(super) fn client(&self) -> Client {
        let user_agent = self.headers.get(header::USER_AGENT).and_then(|value| value.to_str().ok());
        Client { ip: Some(self.peer.ip()), user_agent: user_agent.map(str::to_owned) }
    }

    fn jar(&self) -> MutexGuard<'_, CookieStore> {
        self.jar.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(feature = "device-bound")]
impl Browser for TestClient {
    fn has_cookie(&self, name: &str) -> bool {
        self.cookie(name).is_some()
    }

    fn drop_cookie(&self, name: &str) {
        self.remove_cookie(name);
    }

    async fn send_bare(&self, request: Request<Body>) -> TestResponse {
        self.send_and_store(request).await
    }
}

/// Shows the names of the cookies, without their values.
impl fmt::Debug for TestClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<String> = self.cookies().into_iter().map(|(name, _)| name).collect();
        f.debug_struct("TestClient").field("origin", &self.origin.as_str()).field("cookies", &names).finish()
    }
}

/// Returns whether a browser keeps a cookie: RFC 6265bis sections 4.1.3 (prefixes) and 5.6 (sizes).
fn is_kept(cookie: &Cookie<'_>, url: &Url) -> bool {
    let secure = cookie.secure() == Some(true);
    let host_only = secure && cookie.path() == Some("/") && cookie.domain().is_none();
    (!secure || url.scheme() == "https")
        && (!cookie.name().starts_with("__Secure-") || secure)
        && (!cookie.name().starts_with("__Host-") || host_only)
        && cookie.name().len() + cookie.value().len() <= MAX_COOKIE
}

fn set_default(headers: &mut HeaderMap, name: &HeaderName, value: &[u8]) {
    if !headers.contains_key(name) {
        headers.insert(name, HeaderValue::from_bytes(value).expect("the cookies and the origin are header values"));
    }
}

#[track_caller]
fn request(method: Method, path: &str, body: Body) -> Request<Body> {
    match Request::builder().method(method).uri(path).body(body) {
        Ok(request) => request,
        Err(error) => panic!("`{path}` is not a valid path: {error}"),
    }
}

#[track_caller]
fn form_request(method: Method, path: &str, form: &[(&str, &str)]) -> Request<Body> {
    let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let mut request = request(method, path, body.into());
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(header::CONTENT_TYPE, form);
    request
}
