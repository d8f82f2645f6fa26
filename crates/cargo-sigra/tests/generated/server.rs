//! A running application, and a client of it.

use std::{
    collections::BTreeMap,
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ureq::{Agent, http::header};

const PASSWORD: &str = "violet lantern over quiet water";
const PATIENCE: Duration = Duration::from_secs(60);

/// A running application, which is killed when it is dropped.
pub struct Server {
    child: Child,
    program: PathBuf,
    url: String,
    cookies: BTreeMap<String, String>,
}

impl Server {
    pub fn start(program: &Path, folder: &Path) -> Self {
        let (mut server, begun) = (Self::spawn(program, folder), Instant::now());
        while server.agent().get(&server.url).call().is_err() {
            assert!(begun.elapsed() < PATIENCE, "the application doesn't respond");
            // Another process may have taken the port in the meantime.
            if server.child.try_wait().expect("a child").is_some() {
                server = Self::spawn(program, folder);
            }
            thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn spawn(program: &Path, folder: &Path) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a free port");
        fs::write(folder.join("app.db"), "").expect("a database");
        let child = Command::new(program)
            .current_dir(folder)
            .envs([("LISTEN", address.to_string()), ("PORT", address.port().to_string())])
            .envs([("APP_ENV", "test"), ("DATABASE_URL", "sqlite://app.db")])
            .stdout(Stdio::null())
            .spawn()
            .expect("the application");
        Self { child, program: program.to_owned(), url: format!("http://{address}"), cookies: BTreeMap::new() }
    }

    /// Starts another process of the program without `APP_ENV`, waits until it ends, and returns its error.
    pub fn fails_to_start(&self, settings: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = Command::new(&self.program)
            .current_dir(&folder)
            .env_remove("APP_ENV")
            .env("LISTEN", "127.0.0.1:0")
            .envs(settings.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the application");
        let begun = Instant::now();
        while child.try_wait().expect("a child").is_none() {
            if begun.elapsed() > PATIENCE {
                let _ = child.kill();
            }
            thread::sleep(Duration::from_millis(20));
        }
        let output = child.wait_with_output().expect("the output");
        assert!(!output.status.success() && begun.elapsed() < PATIENCE, "it starts");
        String::from_utf8(output.stderr).expect("UTF-8")
    }

    pub fn agent(&self) -> Agent {
        let config =
            Agent::config_builder().max_redirects(0).http_status_as_error(false).timeout_global(Some(PATIENCE));
        config.build().into()
    }

    /// Returns the status, the target of a redirect, and the body.
    pub fn get(&mut self, path: &str) -> (u16, String, String) {
        let request = self.agent().get(format!("{}{path}", self.url)).header(header::ACCEPT, "text/html");
        self.take(request.header(header::COOKIE, self.cookie_header()).call().expect("a response"))
    }

    pub fn post(&mut self, path: &str, form: &[(&str, &str)]) -> (u16, String, String) {
        let request = self.agent().post(format!("{}{path}", self.url)).header(header::ACCEPT, "text/html");
        let request = request.header(header::COOKIE, self.cookie_header()).header(header::ORIGIN, &self.url);
        self.take(request.send_form(form.iter().copied()).expect("a response"))
    }

    /// Returns the responses of the application's own routes to a page of another origin: statuses, headers and bodies.
    pub fn responses_to_another_origin(&self) -> Vec<String> {
        let mut responses = Vec::new();
        for method in ["POST", "GET", "HEAD", "DELETE", "OPTIONS", "TRACE"] {
            for path in ["/", "/api/todos", "/missing"] {
                let request = ureq::http::Request::builder()
                    .method(method)
                    .uri(format!("{}{path}", self.url))
                    .header("origin", "http://localhost:5173")
                    .header("sec-fetch-site", "same-site")
                    .header("cookie", self.cookie_header())
                    .header("content-type", "application/json")
                    .header("access-control-request-method", "POST");
                let response = match method {
                    "POST" => self.agent().run(request.body(r#"{"title":"Water the plants"}"#).expect("a request")),
                    _ => self.agent().run(request.body(()).expect("a request")),
                };
                let mut response = response.expect("a response");
                response.headers_mut().remove("date");
                let text = response.body_mut().read_to_string().expect("text");
                responses.push(format!("{method} {path}: {} {:?} {text}", response.status(), response.headers()));
            }
        }
        responses
    }

    pub fn cookie_header(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    pub fn take(&mut self, mut response: ureq::http::Response<ureq::Body>) -> (u16, String, String) {
        for cookie in response.headers().get_all(header::SET_COOKIE) {
            let (pair, attributes) = cookie.to_str().expect("text").split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a cookie");
            self.cookies.remove(name);
            if !attributes.contains("Max-Age=0") {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let location = response.headers().get(header::LOCATION);
        let location = location.map(|location| location.to_str().expect("text").to_owned()).unwrap_or_default();
        (response.status().as_u16(), location, response.body_mut().read_to_string().expect("text"))
    }

    /// Registers a user who logs in, opens their sessions and logs out. `top` is the path of other routes than those of
    /// accounts, such as that of the mailbox.
    pub fn use_accounts(&mut self, plural: &str, singular: &str, top: &str) {
        let path = |rest: &str| format!("/{plural}/{rest}");
        let beside = |rest: &str| format!("{top}{rest}");
        let (email, password) = (format!("{singular}[email]"), format!("{singular}[password]"));
        let form = [(email.as_str(), "grace@example.com"), (password.as_str(), PASSWORD)];
        assert_eq!(self.get(&path("sessions")).1, path("log-in"), "visitors are redirected");
        assert_eq!(self.get(&path("register")).0, 200);
        let registered = self.post(&path("register"), &form);
        assert_eq!((registered.0, &registered.1), (303, &path("check-email")), "{}", registered.2);
        assert!(self.get(&beside("dev/mailbox")).2.contains("Confirm your email address"));
        assert_eq!(self.get(&beside("static/app.css")).0, 200);
        assert_eq!(self.post(&path("log-in"), &form).1, path("sessions"), "to the page that they opened first");
        assert!(self.get(&path("sessions")).2.contains("This device"));
        assert!(self.get(&beside("me")).2.contains("grace@example.com"));
        self.post(&path("log-out"), &[("_method", "delete")]);
        assert_eq!(self.get(&path("sessions")).0, 303);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
