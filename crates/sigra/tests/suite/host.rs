//! A small host, with a database for each test.

use std::{sync::Arc, time::Duration};

use axum::{
    Form, Json, Router,
    extract::{Query, State},
    http::{Request, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use sigra::{
    Clock, Config, CookieSession, Flash, HashedPassword, LoginMethod, LoginOutcome, Password, RememberMe, Scope,
    SecretKeyBase, SessionToken, Sigra, Sudo, Verification,
    config::{Argon2Params, RelyingParty},
    live::Live,
    testing::{TestClient, TestHost, TestResponse, VALID_PASSWORD},
};
use sqlx::{FromRow, Pool, Row as _};
use tokio::sync::Semaphore;
use uuid::Uuid;

use super::{device_bound, mfa_host};
use crate::database::{Database, TestDatabase};

pub const KEY: &str = "_my_app_key";
pub const REMEMBER_ME: &str = "_my_app_web_user_remember_me";
pub const DAY: Duration = Duration::from_secs(24 * 60 * 60);
pub const MINUTE: Duration = Duration::from_secs(60);
pub const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
pub struct User {
    pub id: Uuid,
    pub email: String,
    pub hashed_password: Option<HashedPassword>,
    pub suspended: bool,
    pub admin: bool,
    pub nickname: Option<String>,
}

/// A nickname that can't be decoded, as after a column's type changed.
pub const UNREADABLE: &str = "unreadable";
/// A nickname that makes decoding panic.
pub const PANICS: &str = "panics";

impl FromRow<'_, Row> for User {
    fn from_row(row: &Row) -> sqlx::Result<Self> {
        let nickname: Option<String> = row.try_get("nickname")?;
        match nickname.as_deref() {
            Some(UNREADABLE) => return Err(sqlx::Error::Decode("unreadable".into())),
            Some(PANICS) => panic!("a nickname that panics"),
            _ => {}
        }
        Ok(Self {
            id: row.try_get("id")?,
            email: row.try_get("email")?,
            hashed_password: row.try_get("hashed_password")?,
            suspended: row.try_get("suspended")?,
            admin: row.try_get("admin")?,
            nickname,
        })
    }
}

type Row = <Database as sqlx::Database>::Row;

impl sigra::AuthUser for User {
    type Id = Uuid;
    type Database = Database;

    fn id(&self) -> Uuid {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        self.hashed_password.as_ref()
    }

    fn is_active(&self) -> bool {
        !self.suspended
    }

    fn requires_second_factor(&self) -> bool {
        self.admin
    }

    fn requires_binding(&self) -> bool {
        self.nickname.as_deref() == Some("must be bound")
    }
}

pub struct Host {
    pub sigra: Sigra<User>,
    pub pool: Pool<Database>,
    pub slow: Slow,
    clock: Clock,
    database: TestDatabase,
}

/// The handler of `/slow` reports that it began, and waits to be released. That of `/live` reports that it began.
#[derive(Clone)]
pub struct Slow {
    begun: Arc<Semaphore>,
    released: Arc<Semaphore>,
    live: Arc<Semaphore>,
}

impl Slow {
    fn new() -> Self {
        let [begun, released, live] = [(); 3].map(|()| Arc::new(Semaphore::new(0)));
        Self { begun, released, live }
    }

    /// Waits until this number of slow requests has reached the handler.
    pub async fn begun(&self, requests: u32) {
        self.begun.acquire_many(requests).await.expect("never closed").forget();
    }

    pub fn release(&self, requests: usize) {
        self.released.add_permits(requests);
    }

    /// Waits until another live connection is open.
    pub async fn live(&self) {
        let open = tokio::time::timeout(MINUTE, self.live.acquire());
        open.await.expect("a live connection in time").expect("never closed").forget();
    }
}

/// A secret that tests can recognize, which still passes the checks of secrets.
pub fn secret(letter: &str) -> SecretKeyBase {
    SecretKeyBase::new(letter.repeat(64) + "0123456789").expect("long enough")
}

impl Host {
    pub async fn new() -> Self {
        Self::with(|config| config).await
    }

    pub async fn with(configure: impl FnOnce(Config) -> Config) -> Self {
        Self::on(TestDatabase::with_uuids().await, configure).await
    }

    /// On a database with this default isolation level.
    pub async fn isolated_by(level: &'static str) -> Self {
        let database = TestDatabase::with_uuids().await;
        database.default_to(level).await;
        Self::on(database, |config| config).await
    }

    async fn on(database: TestDatabase, configure: impl FnOnce(Config) -> Config) -> Self {
        let pool = database.connect().await;
        Self::start(database, Clock::stopped(), pool, configure)
    }

    /// The same application over the same database, started again with other settings.
    pub async fn restart(&self, configure: impl FnOnce(Config) -> Config) -> Self {
        let pool = self.database.connect().await;
        Self::start(self.database.clone(), self.clock.clone(), pool, configure)
    }

    fn start(
        database: TestDatabase,
        clock: Clock,
        pool: Pool<Database>,
        configure: impl FnOnce(Config) -> Config,
    ) -> Self {
        let config = Config::new("my_app", secret("a")).argon2(Argon2Params::INSECURE_FOR_TESTS).clock(clock.clone());
        let config = config
            .mfa_challenge_page("/mfa-challenge", "Second factor, please.")
            .mfa_enrollment_page("/mfa", || "Set up a second factor, please.")
            .relying_party(RelyingParty::new("localhost", "https://localhost"));
        let sigra = Sigra::new(configure(config), pool.clone()).expect("valid settings");
        Self { sigra, pool, slow: Slow::new(), clock, database }
    }

    /// Copies a browser's cookies to this host, as after a restart of the application.
    pub fn take_over(&self, browser: &TestClient) -> TestClient {
        let moved = self.client();
        for (name, value) in browser.cookies() {
            moved.set_cookie(&name, &value);
        }
        moved
    }

    pub async fn post_log_in(&self, browser: &TestClient, user: &User, remember_me: bool) -> TestResponse {
        browser.post("/log-in", &login_form(user, remember_me)).await
    }

    /// Sends a slow request, and awaits `other` while its handler waits. The browser hasn't stored the response yet.
    pub async fn during_slow_request<T>(
        &self,
        browser: &TestClient,
        path: &str,
        other: impl Future<Output = T>,
    ) -> (TestResponse, T) {
        let slow = browser.send_without_storing(get_request(path));
        let other = async {
            self.slow.begun(1).await;
            let done = other.await;
            self.slow.release(1);
            done
        };
        tokio::join!(slow, other)
    }

    /// Logs in through the form.
    pub async fn logged_in(&self, remember_me: bool) -> (User, TestClient) {
        let (user, browser) = (self.registered_fixture().await, self.client());
        let response = self.post_log_in(&browser, &user, remember_me).await;
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "{response:?}");
        (user, browser)
    }

    /// The number of rows in `users_tokens` that authenticate, of all users.
    pub async fn rows(&self) -> i64 {
        let count = "SELECT count(*) FROM users_tokens WHERE context <> 'known_browser'";
        sqlx::query_scalar(count).fetch_one(&self.pool).await.expect("a number")
    }

    /// The content of the database's files.
    pub async fn database_files(&self) -> Vec<Vec<u8>> {
        self.database.files().await
    }

    /// Changes rows by hand, and waits until the application knows of it.
    pub async fn execute(&self, sql: &'static str) -> u64 {
        let executed = sqlx::raw_sql(sql).execute(&self.pool).await.expect("a valid statement");
        self.sigra.catch_up().await;
        executed.rows_affected()
    }

    pub async fn change_password(&self, user: &User, password: &str) {
        let hash = self.sigra.hash_password(&Password::new(password)).await.expect("a worker");
        sqlx::query("UPDATE users SET hashed_password = $1 WHERE id = $2")
            .bind(hash)
            .bind(user.id)
            .execute(&self.pool)
            .await
            .expect("the user exists");
        self.sigra.sessions().announce_change(&user.id);
    }
}

impl TestHost for Host {
    type User = User;

    fn router(&self) -> Router {
        let app = App { sigra: self.sigra.clone(), slow: self.slow.clone() };
        Router::new()
            .route("/log-in", get("Log in").post(log_in))
            .route("/log-out", post(log_out))
            .route("/me", get(me).post(me).delete(me))
            .route("/maybe", get(maybe))
            .route("/sudo", get(sudo).post(sudo))
            .route("/maybe-sudo", get(maybe_sudo))
            .route("/confirm", post(confirm))
            .route("/renew", post(renew))
            .route("/confirm-and-renew", post(confirm_and_renew))
            .route("/put", post(put))
            .route("/get", get(get_entry))
            .route("/flash", get(flash).post(put_flash))
            .route("/session-id", get(session_id))
            .route("/client", get(client))
            .route("/cached", get(cached))
            .route("/slow", get(slow))
            .route("/live", get(live))
            .merge(mfa_host::routes())
            .merge(device_bound::routes())
            .fallback(me)
            .layer(self.sigra.fetch_current_scope())
            .with_state(app)
    }

    fn sigra(&self) -> &Sigra<User> {
        &self.sigra
    }

    async fn register(&self, email: &str, password: &Password) -> User {
        let hash = self.sigra.hash_password(password).await.expect("a worker");
        sqlx::query_as(
            "INSERT INTO users (id, email, hashed_password, nickname) VALUES ($1, $2, $3, 'Ada') RETURNING *",
        )
        .bind(Uuid::now_v7())
        .bind(email)
        .bind(hash)
        .fetch_one(&self.pool)
        .await
        .expect("a new user")
    }
}

pub fn login_form(user: &User, remember_me: bool) -> [(&str, &str); 3] {
    let remember_me = if remember_me { "true" } else { "false" };
    [("email", &user.email), ("password", VALID_PASSWORD), ("remember_me", remember_me)]
}

/// The email address of the user who is logged in, or `anonymous`.
pub async fn who(browser: &TestClient) -> String {
    let response = browser.get("/maybe").await;
    assert_eq!(response.status(), StatusCode::OK, "{response:?}");
    response.text()
}

/// The same, for a request with this `Cookie` header.
pub async fn who_sends(browser: &TestClient, cookie: impl AsRef<[u8]>) -> TestResponse {
    let request = Request::get("/maybe").header("cookie", cookie.as_ref()).body(axum::body::Body::empty());
    browser.send_without_storing(request.expect("a request")).await
}

#[track_caller]
pub fn assert_sets_no_cookie(response: &TestResponse) {
    assert!(response.set_cookies().is_empty(), "expected no Set-Cookie\n{response:?}");
}

pub fn get_request(path: &str) -> Request<axum::body::Body> {
    Request::get(path).body(axum::body::Body::empty()).expect("a request")
}

/// The token in a browser's session cookie.
pub fn token(browser: &TestClient) -> SessionToken {
    let cookie = browser.cookie(KEY).or_else(|| browser.cookie(&format!("__Host-{KEY}"))).expect("logged in");
    let (_, token) = cookie.rsplit_once('.').expect("id and token");
    SessionToken::parse(token).expect("a token")
}

/// The token in a browser's remember-me cookie.
pub fn remembered_token(browser: &TestClient) -> SessionToken {
    let cookie = browser.cookie(REMEMBER_ME).expect("remembered");
    SessionToken::parse(&cookie[44..]).expect("a token")
}

#[derive(Clone)]
pub struct App {
    pub sigra: Sigra<User>,
    slow: Slow,
}

/// Responds when the session ends.
async fn live(State(app): State<App>, live: Live<User>) -> &'static str {
    app.slow.live.add_permits(1);
    live.ended().await;
    "ended"
}

#[derive(Deserialize)]
struct LogIn {
    email: String,
    password: Password,
    #[serde(default)]
    remember_me: RememberMe,
}

async fn log_in(State(app): State<App>, session: CookieSession, Form(form): Form<LogIn>) -> sigra::Result<Response> {
    let user: Option<User> = sqlx::query_as("SELECT * FROM users WHERE lower(email) = lower($1)")
        .bind(&form.email)
        .fetch_optional(app.sigra.pool())
        .await?;
    match (app.sigra.verify_password(user.as_ref(), &form.password).await?, user) {
        (Verification::Invalid, _) | (_, None) => {
            session.put_flash(Flash::Error, "Invalid email or password")?;
            Ok(Redirect::to("/log-in").into_response())
        }
        (_, Some(user)) => {
            let return_to = session.take_return_to();
            session.put_flash(Flash::Info, "Welcome back!")?;
            let outcome = app.sigra.log_in(&session, &user, LoginMethod::Password, form.remember_me).await?;
            if outcome == LoginOutcome::SecondFactorPending {
                return Ok(Redirect::to("/mfa-challenge").into_response());
            }
            Ok(Redirect::to(return_to.as_ref().map_or("/", |path| path.as_str())).into_response())
        }
    }
}

async fn log_out(State(app): State<App>, session: CookieSession) -> sigra::Result<Redirect> {
    app.sigra.log_out(&session).await?;
    session.put_flash(Flash::Info, "Logged out successfully.")?;
    Ok(Redirect::to("/"))
}

async fn me(scope: Scope<User>) -> Json<serde_json::Value> {
    Json(serde_json::json!({ "email": scope.user().email, "nickname": scope.user().nickname }))
}

async fn maybe(scope: Option<Scope<User>>) -> String {
    scope.map_or_else(|| "anonymous".to_owned(), |scope| scope.user().email.clone())
}

async fn sudo(Sudo(scope): Sudo<User>) -> String {
    scope.user().email.clone()
}

async fn maybe_sudo(sudo: Option<Sudo<User>>) -> String {
    sudo.map_or_else(|| "no".to_owned(), |sudo| sudo.user().email.clone())
}

async fn confirm(State(app): State<App>, session: CookieSession, scope: Scope<User>) -> sigra::Result<StatusCode> {
    app.sigra.reauthenticate(&session, &scope).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn renew(State(app): State<App>, session: CookieSession, scope: Scope<User>) -> sigra::Result<StatusCode> {
    app.sigra.renew_session(&session, &scope).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn confirm_and_renew(
    State(app): State<App>,
    session: CookieSession,
    scope: Scope<User>,
) -> sigra::Result<StatusCode> {
    app.sigra.reauthenticate(&session, &scope).await?;
    app.sigra.renew_session(&session, &scope).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
struct Entry {
    name: String,
    #[serde(default)]
    value: String,
}

async fn put(session: CookieSession, Form(entry): Form<Entry>) -> sigra::Result<StatusCode> {
    session.put(&entry.name, &entry.value)?;
    Ok(StatusCode::NO_CONTENT)
}

async fn get_entry(session: CookieSession, Query(entry): Query<Entry>) -> String {
    session.get(&entry.name).unwrap_or_else(|| "nothing".to_owned())
}

async fn put_flash(session: CookieSession, Form(form): Form<FlashForm>) -> sigra::Result<()> {
    session.put_flash(Flash::Info, form.text)
}

#[derive(Deserialize)]
struct FlashForm {
    text: String,
}

async fn flash(session: CookieSession) -> String {
    session.take_flash().into_iter().map(|message| format!("{}: {}\n", message.kind.as_str(), message.text)).collect()
}

async fn session_id(session: CookieSession) -> String {
    session.id().unwrap_or_else(|| "none".to_owned())
}

async fn client(session: CookieSession) -> String {
    session.client().ip.map_or_else(|| "unknown".to_owned(), |ip| ip.to_string())
}

async fn cached() -> impl IntoResponse {
    ([("cache-control", "private, max-age=60")], "a picture of the user")
}

#[derive(Deserialize)]
struct SlowOptions {
    /// Value of an entry to put after the release.
    put: Option<String>,
    /// Whether to renew the session after the release.
    #[serde(default)]
    renew: bool,
    /// Whether to end all other sessions after the release.
    #[serde(default)]
    revoke_others: bool,
}

async fn slow(
    State(app): State<App>,
    session: CookieSession,
    scope: Option<Scope<User>>,
    Query(options): Query<SlowOptions>,
) -> sigra::Result<String> {
    app.slow.begun.add_permits(1);
    app.slow.released.acquire().await.expect("never closed").forget();
    if let Some(value) = options.put {
        session.put("slow", &value)?;
    }
    if let Some(scope) = scope.as_ref().filter(|_| options.renew) {
        app.sigra.renew_session(&session, scope).await?;
    }
    if let Some(scope) = scope.as_ref().filter(|_| options.revoke_others) {
        app.sigra.sessions().delete_others(scope).await?;
    }
    Ok(maybe(scope).await)
}
