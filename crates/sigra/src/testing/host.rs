use axum::Router;
use http::HeaderMap;
use uuid::Uuid;

use super::TestClient;
use crate::{Clock, Password, Sigra, User};

/// A password that every [policy](crate::password::PasswordPolicy) accepts.
///
/// ```
/// use sigra::{Password, password::PasswordPolicy, testing::VALID_PASSWORD};
///
/// assert_eq!(PasswordPolicy::default().check(&Password::new(VALID_PASSWORD)), Ok(()));
/// ```
pub const VALID_PASSWORD: &str = "correct horse battery staple";

/// The application under test, and how a user comes to be in it. The rest is provided.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64, email: String, hashed_password: Option<HashedPassword> }
/// # impl sigra::User for User {
/// #     type Id = i64; type Database = sqlx::Sqlite;
/// #     fn id(&self) -> i64 { self.id }
/// #     fn hashed_password(&self) -> Option<&HashedPassword> { self.hashed_password.as_ref() }
/// # }
/// # async fn dashboard(scope: sigra::Scope<User>) -> String { scope.user().email.clone() }
/// use axum::{Router, http::StatusCode, routing::get};
/// use sigra::{Config, HashedPassword, Password, SecretKeyBase, Sigra, config::Argon2Params};
/// use sigra::testing::{TestHost, assert_contains, assert_redirected_to};
///
/// struct Host { sigra: Sigra<User> }
///
/// impl TestHost for Host {
///     type User = User;
///
///     fn router(&self) -> Router {
///         Router::new().route("/dashboard", get(dashboard)).layer(self.sigra.fetch_current_scope())
///     }
///
///     fn sigra(&self) -> &Sigra<User> {
///         &self.sigra
///     }
///
///     async fn register_user(&self, email: &str, password: &Password) -> User {
///         let hash = self.sigra.hash_password(password).await.expect("a worker");
///         let insert = "INSERT INTO users (email, hashed_password) VALUES ($1, $2) RETURNING *";
///         sqlx::query_as(insert).bind(email).bind(hash).fetch_one(self.sigra.pool()).await.expect("a new user")
///     }
/// }
///
/// # let options = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
/// # let pool = options.connect("sqlite::memory:").await?;
/// # sqlx::raw_sql("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, hashed_password TEXT)").execute(&pool).await?;
/// # sqlx::raw_sql(sigra::store::SQLITE_SCHEMA).execute(&pool).await?;
/// let config = Config::new("my_app", SecretKeyBase::generate()?).argon2(Argon2Params::INSECURE_FOR_TESTS);
/// let host = Host { sigra: Sigra::new(config, pool)? };
///
/// let (user, browser) = host.authenticated_fixture().await;
/// assert_contains(&browser.get("/dashboard").await, &user.email);
/// assert_redirected_to(&host.client().get("/dashboard").await, "/users/log-in");
/// # Ok(()) }
/// ```
pub trait TestHost: Sync {
    /// The host's user.
    type User: User;

    /// The application, with its state and all layers.
    fn router(&self) -> Router;

    /// What the application was built with.
    fn sigra(&self) -> &Sigra<Self::User>;

    /// Registers a user, in whatever way the host does.
    fn register_user(&self, email: &str, password: &Password) -> impl Future<Output = Self::User> + Send;

    /// The clock that the application's ages are measured with.
    ///
    /// ```
    /// # use sigra::testing::TestHost;
    /// fn two_months_later<H: TestHost>(host: &H) {
    ///     host.clock().advance(std::time::Duration::from_secs(61 * 24 * 60 * 60));
    /// }
    /// ```
    fn clock(&self) -> &Clock {
        &self.sigra().config().clock
    }

    /// A browser that nobody is logged in with.
    ///
    /// ```
    /// # use sigra::testing::{TestHost, assert_redirected_to};
    /// async fn the_dashboard_asks_to_log_in<H: TestHost>(host: &H) {
    ///     assert_redirected_to(&host.client().get("/dashboard").await, "/users/log-in");
    /// }
    /// ```
    fn client(&self) -> TestClient {
        let client = TestClient::new(self.router());
        match &self.sigra().config().cookie_domain {
            Some(domain) => client.origin(&format!("https://{domain}")),
            None => client,
        }
    }

    /// An email address that nobody else has.
    ///
    /// ```
    /// # use sigra::testing::TestHost;
    /// fn two_people<H: TestHost>(host: &H) {
    ///     assert_ne!(host.unique_email(), host.unique_email());
    /// }
    /// ```
    fn unique_email(&self) -> String {
        format!("user-{}@example.com", Uuid::now_v7().simple())
    }

    /// A registered user, with an email address of their own and [`VALID_PASSWORD`].
    ///
    /// ```
    /// # use sigra::{User, testing::TestHost};
    /// async fn every_user_has_an_id<H: TestHost>(host: &H) {
    ///     assert_ne!(host.user_fixture().await.id(), host.user_fixture().await.id());
    /// }
    /// ```
    fn user_fixture(&self) -> impl Future<Output = Self::User> + Send {
        async { self.register_user(&self.unique_email(), &Password::new(VALID_PASSWORD)).await }
    }

    /// A registered user whose address is not confirmed.
    ///
    /// ```
    /// # use sigra::testing::{TestHost, assert_status};
    /// async fn an_unconfirmed_user_is_kept_out<H: TestHost>(host: &H) {
    ///     let user = host.unconfirmed_fixture().await;
    /// }
    /// ```
    fn unconfirmed_fixture(&self) -> impl Future<Output = Self::User> + Send {
        async { self.register_user(&self.unique_email(), &Password::new(VALID_PASSWORD)).await }
    }

    /// A registered user whose password was guessed at so often that the next attempt has to wait: with a browser
    /// that nobody has logged in with.
    ///
    /// ```
    /// # use sigra::testing::{TestHost, assert_status};
    /// async fn the_right_password_has_to_wait_too<H: TestHost>(host: &H) {
    ///     let (user, email) = host.locked_fixture().await;
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If the database fails.
    fn locked_fixture(&self) -> impl Future<Output = (Self::User, String)> + Send {
        async {
            let email = self.unique_email();
            let user = self.register_user(&email, &Password::new(VALID_PASSWORD)).await;
            if let Err(error) = self.sigra().exhaust_log_ins(&email).await {
                panic!("the log-ins of {email} can't be counted: {error}");
            }
            (user, email)
        }
    }

    /// A browser in which a user is logged in, without a form or a password. The session is not
    /// remembered; log in through the application's own page to have one that is.
    ///
    /// ```
    /// # use sigra::testing::TestHost;
    /// async fn on_two_devices<H: TestHost>(host: &H, user: &H::User) {
    ///     let (laptop, phone) = (host.log_in(user).await, host.log_in(user).await);
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If the user is gone, or has another password by now.
    fn log_in(&self, user: &Self::User) -> impl Future<Output = TestClient> + Send {
        async {
            let client = self.client();
            let (token, _) = match self.sigra().create_session(user, false, &client.client()).await {
                Ok(created) => created,
                Err(error) => panic!("user {:?} can't be logged in: {error}", user.id()),
            };
            let mut headers = HeaderMap::new();
            self.sigra().cookies().set_key(&mut headers, token.cookie_session_id(), &token);
            client.store_headers(headers);
            client
        }
    }

    /// A [user](Self::user_fixture), and a browser in which they are [logged in](Self::log_in).
    ///
    /// ```
    /// # use sigra::testing::{TestHost, assert_status};
    /// async fn the_dashboard_opens<H: TestHost>(host: &H) {
    ///     let (_, browser) = host.authenticated_fixture().await;
    ///     assert_status(&browser.get("/dashboard").await, 200);
    /// }
    /// ```
    fn authenticated_fixture(&self) -> impl Future<Output = (Self::User, TestClient)> + Send {
        async {
            let user = self.user_fixture().await;
            let client = self.log_in(&user).await;
            (user, client)
        }
    }
}
