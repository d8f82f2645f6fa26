//! The application as users see it: in its own process, over sockets.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use sigra::testing::VALID_PASSWORD;
use tempfile::NamedTempFile;
use ureq::{
    Agent, RequestBuilder,
    http::{Response, StatusCode, header},
};

use crate::support::login_form;

/// All processes have the same secret, so that each can read the cookies of the others.
const SECRET: &str = "0123456789012345678901234567890123456789012345678901234567890123";
const SESSION_COOKIES: [&str; 2] = ["_my_app_key", "_my_app_web_user_remember_me"];
/// Longer than any step takes on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(30);

/// A running server. Dropping it kills the process, even if a test fails.
pub struct Server {
    child: Mutex<Child>,
    port: u16,
    log: NamedTempFile,
}

impl Server {
    pub fn start(database_url: &str) -> Self {
        Self::start_with(database_url, &[])
    }

    /// Starts a server with additional settings.
    pub fn start_with(database_url: &str, settings: &[(&str, &str)]) -> Self {
        let mut server = Self::spawn(database_url, settings);
        let begun = Instant::now();
        let visitor = Browser::new();
        // Another process may have taken the port in the meantime.
        while !server.log().contains("listening") || visitor.status(&server, "/healthz", "") != Some(StatusCode::OK) {
            assert!(begun.elapsed() < TIMEOUT, "the server does not respond");
            if server.child().try_wait().expect("a child").is_some() {
                server = Self::spawn(database_url, settings);
            }
            thread::sleep(Duration::from_millis(10));
        }
        server
    }

    fn spawn(database_url: &str, settings: &[(&str, &str)]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port").port();
        let log = NamedTempFile::new().expect("a temporary file");
        let to_log = || Stdio::from(File::options().append(true).open(log.path()).expect("the log"));
        let env = [("APP_ENV", "test"), ("DATABASE_URL", database_url), ("SECRET_KEY_BASE", SECRET)];
        let child = Command::new(env!("CARGO_BIN_EXE_my_app"))
            // The server must not read this machine's `.env`.
            .current_dir(env::temp_dir())
            .envs(env)
            .env("PORT", port.to_string())
            // Tokens are reissued often, so that tests see more than one for each session.
            .env("SESSION_REISSUE_AGE", "1")
            .env("RATE_LIMITS", "off")
            .env("RUST_LOG", "info,sqlx=warn")
            .envs(settings.iter().copied())
            .stdin(Stdio::null())
            .stdout(to_log())
            .stderr(to_log())
            .spawn()
            .expect("the application");
        Self { child: Mutex::new(child), port, log }
    }

    /// Kills the process, as `kill -9` does, before it can finish anything.
    pub fn kill(&self) {
        let mut child = self.child();
        child.kill().expect("killed");
        child.wait().expect("gone");
    }

    /// Stops the process as a service manager does, so that it can finish its work. Returns how long that takes, apart
    /// from pauses of the machine.
    pub fn stop(&self) -> Duration {
        const NAP: Duration = Duration::from_millis(20);
        let mut child = self.child();
        let signaled = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().expect("kill");
        assert!(signaled.success());
        let (begun, mut took) = (Instant::now(), Duration::ZERO);
        while child.try_wait().expect("a child").is_none() {
            assert!(begun.elapsed() < 2 * TIMEOUT, "the server does not stop");
            let nap = Instant::now();
            thread::sleep(NAP);
            took += nap.elapsed().min(2 * NAP);
        }
        took
    }

    /// Opens a raw connection.
    pub fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).expect("a connection")
    }

    /// Waits until a text appears in the server's log.
    pub fn wait_for_log(&self, text: &str) {
        let begun = Instant::now();
        while !self.log().contains(text) {
            assert!(begun.elapsed() < TIMEOUT, "the log of the server has no {text}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what the server has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log.path()).unwrap_or_default()
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
        drop(child);
        if thread::panicking() {
            let log = self.log();
            let last = log.lines().rev().take(30).collect::<Vec<_>>();
            eprintln!("the server on port {} said last, backwards:\n{}", self.port, last.join("\n"));
        }
    }
}

/// A browser with its cookies and one connection.
pub struct Browser {
    agent: Agent,
    cookies: BTreeMap<String, String>,
}

pub struct Answer {
    pub status: StatusCode,
    pub location: String,
    pub body: String,
}

impl Answer {
    /// Returns whether the response asks to log in: pages redirect to the login page, and forms are refused.
    pub fn asks_to_log_in(&self) -> bool {
        self.status == StatusCode::UNAUTHORIZED || self.location == "/users/log-in"
    }

    /// Returns the ID of the current session, which the devices page lists first.
    pub fn own_session_id(&self) -> Option<&str> {
        let (id, _) = self.body.split_once("action=\"/users/sessions/")?.1.split_once('"')?;
        Some(id)
    }
}

impl Browser {
    pub fn new() -> Self {
        let config = Agent::config_builder().max_redirects(0).http_status_as_error(false).timeout_global(Some(TIMEOUT));
        Self { agent: config.build().into(), cookies: BTreeMap::new() }
    }

    /// Opens a page. Returns `None` if there was no response, or the database was unreachable.
    pub fn get(&mut self, server: &Server, path: &str) -> Option<Answer> {
        let request = with_cookies(self.agent.get(server.url(path)), &self.cookie_header());
        self.take(request.call())
    }

    /// Submits a form, as [`get`](Self::get) does.
    pub fn post(&mut self, server: &Server, path: &str, form: &[(&str, &str)]) -> Option<Answer> {
        let request = with_cookies(self.agent.post(server.url(path)), &self.cookie_header());
        self.take(request.send_form(form.iter().copied()))
    }

    pub fn delete(&mut self, server: &Server, path: &str) -> Option<Answer> {
        self.post(server, path, &[("_method", "delete")])
    }

    pub fn log_in(&mut self, server: &Server, email: &str, remember_me: bool) -> Option<Answer> {
        let mut form = login_form(email, VALID_PASSWORD);
        form.extend(remember_me.then_some(("user[remember_me]", "true")));
        self.post(server, "/users/log-in", &form)
    }

    /// Returns whether a request with these cookies is logged in, instead of this browser's cookies.
    pub fn is_logged_in(&self, server: &Server, cookies: &str) -> Option<bool> {
        match self.status(server, "/me", cookies)? {
            StatusCode::OK => Some(true),
            StatusCode::UNAUTHORIZED => Some(false),
            status => panic!("the response of /me is {status}"),
        }
    }

    /// Returns the cookies that log the browser in. Empty if there are none.
    pub fn session_cookies(&self) -> String {
        let held = SESSION_COOKIES.iter().filter_map(|name| Some((*name, self.cookies.get(*name)?)));
        held.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn status(&self, server: &Server, path: &str, cookies: &str) -> Option<StatusCode> {
        let mut response = reachable(with_cookies(self.agent.get(server.url(path)), cookies).call())?;
        // Reading the body makes the connection reusable.
        let _ = response.body_mut().read_to_string();
        Some(response.status())
    }

    fn cookie_header(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    fn take(&mut self, result: Result<Response<ureq::Body>, ureq::Error>) -> Option<Answer> {
        let mut response = reachable(result)?;
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            self.take_cookie(cookie.to_str().expect("text"));
        }
        let location = response.headers().get(header::LOCATION);
        let location = location.map(|location| location.to_str().expect("text").to_owned()).unwrap_or_default();
        // The server may be killed between the head and the body. The head counts as a response.
        let body = response.body_mut().read_to_string().unwrap_or_default();
        Some(Answer { status: response.status(), location, body })
    }

    fn take_cookie(&mut self, cookie: &str) {
        let (name, value) = cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
        if cookie.contains("Max-Age=0") {
            self.cookies.remove(name);
        } else {
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
    }
}

fn with_cookies<B>(request: RequestBuilder<B>, cookies: &str) -> RequestBuilder<B> {
    let request = request.header(header::ACCEPT, "text/html");
    if cookies.is_empty() { request } else { request.header(header::COOKIE, cookies) }
}

/// Returns the response, unless there was none or the database was unreachable.
fn reachable(result: Result<Response<ureq::Body>, ureq::Error>) -> Option<Response<ureq::Body>> {
    match result {
        Ok(response) if response.status() == StatusCode::SERVICE_UNAVAILABLE => None,
        Ok(response) if response.status().is_server_error() => panic!("the server failed: {}", response.status()),
        Ok(response) => Some(response),
        Err(ureq::Error::Timeout(_)) => panic!("no response for {TIMEOUT:?}"),
        Err(_) => None,
    }
}
