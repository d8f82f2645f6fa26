//! What must hold for any bytes at all. Each function is a fuzz target, and runs in the ordinary tests over
//! the seeds and some thousand random inputs.

use std::{cell::OnceCell, time::Duration};

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Path, State},
    http::{HeaderValue, Method, Request, StatusCode, header},
    routing::{any, post},
};
use sigra::{
    Config, EmailToken, HashedPassword, Password, Scope, SecretKeyBase, Session, SessionToken, Sigra, Verification,
    client::Device,
    config::Argon2Params,
    password::Passwords,
    session::ReturnTo,
};
use tokio::runtime::Runtime;
use tower::ServiceExt;
use url::Url;

#[derive(Clone, sqlx::FromRow)]
struct User {
    id: i64,
}

impl sigra::User for User {
    type Id = i64;
    type Database = sqlx::Sqlite;

    fn id(&self) -> i64 {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        None
    }
}

/// A host with one user, who is logged in.
struct Host {
    runtime: Runtime,
    app: Router,
    /// The cookie that proves it: name and value.
    cookie: (String, String),
    passwords: Passwords,
}

thread_local! {
    static HOST: OnceCell<Host> = const { OnceCell::new() };
}

const NOBODY: &str = "nobody";

async fn who(scope: Option<Scope<User>>) -> String {
    scope.map_or(NOBODY.to_owned(), |scope| format!("user {}", scope.user().id))
}

async fn known(session: Session) -> String {
    session.is_known_device("").to_string()
}

async fn log_in(State(sigra): State<Sigra<User>>, session: Session, Path(id): Path<i64>) -> sigra::Result<()> {
    sigra.log_in_user(&session, &User { id }, false).await
}

impl Host {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (app, cookie) = runtime.block_on(async {
            let pool = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
            let pool = pool.connect("sqlite::memory:").await.expect("a database");
            let users = "CREATE TABLE users (id INTEGER PRIMARY KEY, hashed_password TEXT)";
            sqlx::raw_sql(users).execute(&pool).await.expect("a table");
            sqlx::raw_sql(sigra::store::SQLITE_SCHEMA).execute(&pool).await.expect("a table");
            sqlx::raw_sql("INSERT INTO users VALUES (7, NULL)").execute(&pool).await.expect("a user");
            let secret = SecretKeyBase::new("0123456789abcdef".repeat(4)).expect("long enough");
            let sigra: Sigra<User> = Sigra::new(Config::new("app", secret), pool).expect("good settings");
            let app = Router::new()
                .route("/who", any(who))
                .route("/known", any(known))
                .route("/log-in/{id}", post(log_in))
                .layer(sigra.fetch_current_scope())
                .with_state(sigra);
            let request = Request::post("/log-in/7").body(Body::empty()).expect("a request");
            let answer = app.clone().oneshot(request).await.expect("an answer");
            let set = answer.headers()[header::SET_COOKIE].to_str().expect("text").to_owned();
            let cookie = cookie::Cookie::parse(set).expect("a cookie");
            (app, (cookie.name().to_owned(), cookie.value().to_owned()))
        });
        let passwords = Passwords::new(Argon2Params { memory_kib: 8, iterations: 1, parallelism: 1 }, 1, Duration::from_secs(60));
        Self { runtime, app, cookie, passwords: passwords.expect("good parameters") }
    }

    /// Who sent the request, as the application sees it, and what it wants the browser to keep.
    fn ask(&self, request: Request<Body>) -> (StatusCode, String, Vec<String>) {
        self.runtime.block_on(async {
            let answer = self.app.clone().oneshot(request).await.expect("an answer");
            let status = answer.status();
            let set = answer.headers().get_all(header::SET_COOKIE).iter();
            let set = set.map(|value| value.to_str().expect("visible ASCII").to_owned()).collect();
            let body = to_bytes(answer.into_body(), 10_000).await.expect("a body");
            (status, String::from_utf8_lossy(&body).into_owned(), set)
        })
    }

    fn ask_with_cookies(&self, cookies: HeaderValue) -> (StatusCode, String, Vec<String>) {
        let request = Request::get("/who").header(header::COOKIE, cookies);
        self.ask(request.body(Body::empty()).expect("a request"))
    }
}

fn with_host<T>(run: impl FnOnce(&Host) -> T) -> T {
    HOST.with(|host| run(host.get_or_init(Host::new)))
}

/// Any cookies but the genuine ones leave the request anonymous, and the answer well formed.
pub fn cookie_session(data: &[u8]) {
    let Ok(cookies) = HeaderValue::from_bytes(data) else { return };
    with_host(|host| {
        let (status, who, set) = host.ask_with_cookies(cookies);
        assert_eq!((status, who.as_str()), (StatusCode::OK, NOBODY));
        for cookie in set {
            let parsed = cookie::Cookie::parse(cookie.as_str()).expect("a cookie that browsers can read");
            assert!(parsed.name().starts_with("_app_") && parsed.http_only() == Some(true), "{cookie}");
        }
    });
}

/// The genuine cookie with anything changed is not genuine. The data says where and how: pairs of a
/// position and a mask; what is left over is appended.
pub fn signature(data: &[u8]) {
    with_host(|host| {
        let (name, genuine) = &host.cookie;
        let mut value = genuine.clone().into_bytes();
        let (changes, rest) = data.split_at(data.len().min(8) / 2 * 2);
        for change in changes.chunks_exact(2) {
            let at = usize::from(change[0]) % value.len();
            value[at] ^= change[1];
        }
        value.extend(rest.iter().filter(|byte| byte.is_ascii_alphanumeric()));
        let cookies = [name.as_bytes(), b"=", &value].concat();
        let Ok(cookies) = HeaderValue::from_bytes(&cookies) else { return };
        let (_, who, _) = host.ask_with_cookies(cookies);
        // A change that only adds what cookie syntax ignores leaves the value as it was.
        let seen: &[u8] = value.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
        let expected = if seen == genuine.as_bytes() { "user 7" } else { NOBODY };
        assert_eq!(who, expected, "{}", String::from_utf8_lossy(&value));
    });
}

/// Whatever is accepted as a path to return to leads to the same origin, and comes out as it went in.
pub fn return_to(data: &[u8]) {
    let Ok(path) = str::from_utf8(data) else { return };
    let Some(accepted) = ReturnTo::parse(path) else { return };
    assert_eq!(accepted.as_str(), path);
    let here = Url::parse("https://host.example/users/log-in").expect("a URL");
    let there = here.join(path).expect("a browser can follow it");
    assert_eq!(there.origin(), here.origin(), "{path}");
    assert!(HeaderValue::from_str(path).is_ok());
}

/// An unsafe request is served only if the browser says that it comes from here, or no browser says
/// anything. The data is the headers Origin, Host and Sec-Fetch-Site, a line each.
pub fn origin(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let mut next = || HeaderValue::from_bytes(lines.next().unwrap_or_default());
    let (Ok(origin), Ok(host_name), Ok(site)) = (next(), next(), next()) else { return };
    let request = Request::builder()
        .method(Method::POST)
        .uri("/who")
        .header(header::ORIGIN, &origin)
        .header(header::HOST, &host_name)
        .header("sec-fetch-site", &site);
    let (status, ..) = with_host(|host| host.ask(request.body(Body::empty()).expect("a request")));
    if status == StatusCode::FORBIDDEN {
        return;
    }
    assert_eq!(status, StatusCode::OK);
    let vouched_for = [&b"same-origin"[..], b"none"].contains(&site.as_bytes());
    let silent = origin.is_empty() && site.is_empty();
    let authority = str::from_utf8(origin.as_bytes()).ok().and_then(|origin| {
        let (scheme, rest) = origin.split_once("://")?;
        let is_web = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
        is_web.then(|| rest.split(['/', '?', '#']).next().unwrap_or_default())
    });
    let same = site.is_empty() && authority.map(str::as_bytes) == Some(host_name.as_bytes());
    assert!(vouched_for || silent || same, "{origin:?} at {host_name:?}, {site:?}");
}

/// No cookie that was not signed makes a browser known.
pub fn known_device(data: &[u8]) {
    let Ok(cookie) = HeaderValue::from_bytes(&[b"_app_device=", data].concat()) else { return };
    let request = Request::get("/known").header(header::COOKIE, cookie);
    let (status, known, _) = with_host(|host| host.ask(request.body(Body::empty()).expect("a request")));
    assert_eq!((status, known.as_str()), (StatusCode::OK, "false"));
}

/// A token has exactly one spelling.
pub fn token(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if let Some(token) = EmailToken::parse(text) {
        assert_eq!(token.encode().as_str(), text);
        assert!(!format!("{token:?}").contains(text));
    }
    if let Some(token) = SessionToken::parse(text) {
        assert_eq!(token.encode().as_str(), text);
        assert!(!format!("{token:?}").contains(text));
    }
}

/// No stored hash makes the check panic, or a password good that it was not made of.
pub fn phc(data: &[u8]) {
    let stored = HashedPassword::from(String::from_utf8_lossy(data).into_owned());
    with_host(|host| {
        let password = Password::new("never the password of any of these");
        let found = host.runtime.block_on(host.passwords.verify(Some(&stored), &password));
        assert_eq!(found.expect("a worker"), Verification::Invalid);
    });
}

/// Any user agent has a name that can be shown.
pub fn user_agent(data: &[u8]) {
    let user_agent = String::from_utf8_lossy(data);
    assert!(!Device::from_user_agent(&user_agent).to_string().is_empty());
}
