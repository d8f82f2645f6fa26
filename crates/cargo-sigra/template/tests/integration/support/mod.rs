//! The application with its own database, for one test.
#![allow(dead_code)]

use std::time::Duration;

use axum::Router;
use my_app::{
    accounts::{Accounts, User},
    app::state,
    config::{Settings, SettingsError, Variables},
    database,
    web::{self, AppState},
};
// <pages>
use my_app::web::user_auth::AFTER_LOGIN_PATH;
// </pages>
use sigra::{
    Client, Clock, Config, Password, RememberMe, Scope, SessionToken, Sigra,
    config::Argon2Params,
    mail::Mail,
    testing::{TestClient, TestHost, TestResponse},
};

/// The settings that production requires.
pub const PROD: [(&str, &str); 3] =
    [("APP_ENV", "prod"), ("SECRET_KEY_BASE", SECRET), ("PUBLIC_URL", "https://example.com")];

/// A secret that production accepts.
pub const SECRET: &str = "pYk1v0mTz8rXc4QbW7nLd2JhGs6EfAu9tRi3oKxVwNqMyZlBgPeHjCaSdUoIfTkD";

pub struct Host {
    pub accounts: Accounts,
    pub pool: database::Pool,
    state: AppState,
    clock: Clock,
    router: Router,
    // <api>
    /// The application with the JSON API.
    pub api: Router,
    // </api>
    _database: TestDatabase,
}

impl Host {
    pub async fn new() -> Self {
        Self::with(&[]).await
    }

    /// Starts the application with these environment variables.
    pub async fn with(env: &[(&str, &str)]) -> Self {
        Self::on(TestDatabase::create(), env).await
    }

    /// Starts the application with other settings of the library.
    pub async fn configured(change: impl FnOnce(Config) -> Config) -> Self {
        Self::start(TestDatabase::create(), &[], change).await
    }

    /// Starts the application on this database.
    pub async fn on(database: TestDatabase, env: &[(&str, &str)]) -> Self {
        Self::start(database, env, |config| config).await
    }

    async fn start(database: TestDatabase, env: &[(&str, &str)], change: impl FnOnce(Config) -> Config) -> Self {
        let clock = Clock::stopped();
        let mut settings = settings(env).expect("valid settings");
        settings.sigra = change(settings.sigra).clock(clock.clone()).argon2(Argon2Params::INSECURE_FOR_TESTS);
        // <oauth>
        settings.providers = settings.providers.clock(clock.clone());
        // </oauth>

        let pool = database::open(&database.url).await.unwrap_or_else(|error| panic!("{error}"));
        let state = state(settings, pool.clone()).expect("valid settings");
        // <api>
        let api = web::api::app(state.clone());
        // </api>
        Self {
            router: web::app(state.clone()),
            // <api>
            api,
            // </api>
            accounts: state.accounts.clone(),
            pool,
            state,
            clock,
            _database: database,
        }
    }

    // <template>
    /// Returns the state of the handlers.
    pub fn state(&self) -> &AppState {
        &self.state
    }
    // </template>

    /// Returns the accounts with other hash parameters, as after an upgrade.
    pub fn with_argon2(&self, params: Argon2Params) -> Accounts {
        self.with_config(|config| config.argon2(params))
    }

    /// Returns the accounts with one password worker, and this time to wait for it.
    pub fn with_password_worker(&self, params: Argon2Params, wait: Duration) -> Accounts {
        let clock = self.clock.clone();
        self.with_config(|config| config.clock(clock).argon2(params).password_workers(1).password_worker_timeout(wait))
    }

    /// Returns the accounts of a process with another clock, on the same database.
    pub fn with_clock(&self, clock: Clock) -> Accounts {
        self.with_config(|config| config.clock(clock))
    }

    /// Returns the accounts with other settings of the library, on the same database.
    fn with_config(&self, change: impl FnOnce(Config) -> Config) -> Accounts {
        let mut settings = settings(&[]).expect("valid settings");
        settings.sigra = change(settings.sigra);
        state(settings, self.pool.clone()).expect("valid settings").accounts
    }

    /// Returns the emails that were sent to an address, oldest first.
    pub async fn mails_to(&self, email: &str) -> Vec<Mail> {
        let mailer = self.accounts.mailer();
        mailer.settle().await;
        let mut mails = mailer.mailbox().expect("emails are kept in memory").mails();
        mails.retain(|mail| mail.to == email);
        mails
    }

    /// Returns the path of the link in the last email to an address.
    pub async fn link_to(&self, email: &str) -> String {
        let mails = self.mails_to(email).await;
        let text = &mails.last().unwrap_or_else(|| panic!("no email was sent to {email}")).text;
        let link = text.lines().find_map(|line| line.strip_prefix("http://localhost:4000"));
        link.unwrap_or_else(|| panic!("no link in {text}")).to_owned()
    }

    /// Returns the user as they are in the database now.
    pub async fn reload(&self, user: &User) -> User {
        self.accounts.get_user_by_email(&user.email).await.expect("a result").expect("the user exists")
    }

    // <pages>
    /// Returns whether these credentials can log in.
    pub async fn can_log_in(&self, email: &str, password: &str) -> bool {
        let response = self.client().post("/users/log-in", &login_form(email, password)).await;
        response.location() == Some(AFTER_LOGIN_PATH)
    }
    // </pages>

    /// Opens a session that no browser has, and returns its token.
    pub async fn open_session(&self, user: &User) -> SessionToken {
        let opened = self.sigra().create_session(user, RememberMe::No, &Client::default()).await;
        opened.expect("a session").0
    }

    /// Returns the user and the session that a token logs in.
    pub async fn scope_of(&self, token: &SessionToken) -> Option<Scope<User>> {
        self.sigra().fetch_session(token).await.expect("a result")
    }

    /// Confirms the user's email address.
    pub async fn confirm(&self, user: &User) {
        let confirm = "UPDATE users SET confirmed_at = inserted_at WHERE id = $1";
        sqlx::query(confirm).bind(user.id).execute(&self.pool).await.expect("confirmed");
        self.sigra().catch_up().await;
    }

    /// Stores the user's email address in capitals, as in a row that the application didn't write, and returns the
    /// user.
    pub async fn capitalize(&self, user: &User) -> User {
        let capitalize = "UPDATE users SET email = upper(email) WHERE id = $1";
        sqlx::query(capitalize).bind(user.id).execute(&self.pool).await.expect("updated");
        self.sigra().catch_up().await;
        self.reload(user).await
    }

    /// Returns the number of tokens, except those of known browsers.
    pub async fn count_tokens(&self) -> i64 {
        let count = "SELECT count(*) FROM users_tokens WHERE context <> 'known_browser'";
        let count = sqlx::query_scalar(count).fetch_one(&self.pool);
        count.await.expect("a count")
    }
}

/// An empty database. It is deleted with the last of its clones.
#[derive(Clone)]
pub struct TestDatabase {
    pub url: String,
    // <sqlite>
    // <template>
    #[cfg(not(feature = "postgres"))]
    // </template>
    _folder: std::sync::Arc<tempfile::TempDir>,
    // </sqlite>
}

impl TestDatabase {
    // <sqlite>
    // <template>
    #[cfg(not(feature = "postgres"))]
    // </template>
    pub fn create() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        Self { url: format!("sqlite://{}", folder.path().join("test.db").display()), _folder: folder.into() }
    }
    // </sqlite>

    // <postgres>
    /// The cluster starts with the test run, and stops with it.
    // <template>
    #[cfg(feature = "postgres")]
    // </template>
    pub fn create() -> Self {
        let cluster = sigra::testing::PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
        Self { url: cluster.create_database().unwrap_or_else(|error| panic!("{error}")) }
    }
    // </postgres>
}

impl TestHost for Host {
    type User = User;

    fn router(&self) -> Router {
        self.router.clone()
    }

    fn sigra(&self) -> &Sigra<User> {
        &self.state.sigra
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    async fn register(&self, email: &str, password: &Password) -> User {
        self.accounts.register_user(email, password, &Client::default()).await.expect("a new user")
    }
}

/// Reads settings from these variables. `APP_ENV` is `test` unless they set it.
pub fn settings(env: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    // The first value of a name wins, so the last ones go first.
    let given = env.iter().rev().copied();
    Settings::new(&[("APP_ENV", "test")].into_iter().chain(given).collect::<Variables>())
}

/// The fields of a form that requests an email.
pub fn email_form(email: &str) -> Vec<(&'static str, &str)> {
    vec![("user[email]", email)]
}

/// The fields of a form that sets a password.
pub fn password_form<'a>(password: &'a str, confirmation: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![("user[password]", password), ("user[password_confirmation]", confirmation)]
}

/// Deletes the browser's account with the form on its page.
pub async fn delete_account(browser: &TestClient, email: &str) -> TestResponse {
    browser.post("/users/settings", &[("_method", "delete"), ("user[email]", email)]).await
}

/// The fields of the login form.
pub fn login_form<'a>(email: &'a str, password: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![("user[email]", email), ("user[password]", password)]
}

/// Returns the token at the end of a link.
pub fn token_of(link: &str) -> &str {
    link.rsplit('/').next().expect("a link has a last part")
}

// <mfa>
/// Returns the key that the page shows for manual entry.
pub fn key_on(page: &TestResponse) -> String {
    let text = page.text();
    let (_, rest) = text.split_once("class=\"key\">").expect("a key");
    rest.split_once('<').expect("the end of the value").0.to_owned()
}

/// Returns the current code of an app with this key.
pub fn code_of(host: &Host, key: &str) -> String {
    let secret = totp_rs::Secret::try_from_base32(key.replace(' ', "")).expect("a key");
    let totp = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    totp.generate(host.clock().now().unix_timestamp().unsigned_abs()).to_string()
}

/// Sets up an authenticator app on the pages.
pub async fn enroll(host: &Host, browser: &TestClient) -> TestResponse {
    let key = key_on(&browser.get("/users/settings/mfa/totp").await);
    browser.post("/users/settings/mfa/totp", &[("user[code]", &code_of(host, &key))]).await
}
// </mfa>

/// Returns everything that a visitor can see in a response, except random parts.
pub fn seen(response: &TestResponse) -> (u16, Vec<String>, String) {
    let is_cookie = |name: &str| name == "set-cookie";
    let headers = response.headers().iter().filter(|(name, _)| !is_cookie(name.as_str()));
    let mut seen: Vec<String> = headers.map(|(name, value)| format!("{name}: {value:?}")).collect();
    for mut cookie in response.set_cookies() {
        cookie.set_value(format!("{} characters", cookie.value().len()));
        if let Some((name, _)) = cookie.name().split_once(".flash-") {
            cookie.set_name(format!("{name}.flash"));
        }
        seen.push(cookie.to_string());
    }
    seen.sort();
    (response.status().as_u16(), seen, without_keys(&response.text()))
}

/// Returns everything that a visitor can see in a response, except random parts and the email address that they typed.
pub fn seen_apart_from(response: &TestResponse, typed: &str) -> (u16, Vec<String>, String) {
    let (status, headers, page) = seen(response);
    (status, headers, page.replace(typed.trim(), "an address"))
}

/// Returns an email address that nobody has, as long as this one: what visitors type is in their own cookies.
pub fn as_long_as(email: &str) -> String {
    format!("z{}", &email[1..])
}

/// Removes the idempotency keys of forms, which are random.
pub fn without_keys(page: &str) -> String {
    const KEY: &str = "name=\"_idempotency_key\" value=\"";
    let mut parts = page.split(KEY);
    let mut kept = parts.next().unwrap_or_default().to_owned();
    parts.for_each(|part| kept.push_str(&part[part.find('"').expect("the end of the value")..]));
    kept
}
