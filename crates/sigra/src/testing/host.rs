use axum::Router;
use uuid::Uuid;

#[cfg(feature = "api-tokens")]
use crate::model::permission::Permissions;
use crate::{
    base::clock::Clock, mfa::backup_codes::BackupCodes, model::user::AuthUser, password::Password, sigra::Sigra,
    testing::client::TestClient,
};

/// A password that every [policy](crate::password::PasswordPolicy) accepts.
///
/// ```
/// use sigra::{Password, password::PasswordPolicy, testing::VALID_PASSWORD};
///
/// assert_eq!(PasswordPolicy::default().check(&Password::new(VALID_PASSWORD)), Ok(()));
/// ```
pub const VALID_PASSWORD: &str = "violet lantern over quiet water";

/// The application under test, and how to register a user in it. All other methods are provided.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64, email: String, hashed_password: Option<HashedPassword> }
/// # impl sigra::AuthUser for User {
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
///     async fn register(&self, email: &str, password: &Password) -> User {
///         let hash = self.sigra.hash_password(password).await.expect("a worker");
///         let insert = "INSERT INTO users (email, hashed_password) VALUES ($1, $2) RETURNING *";
///         sqlx::query_as(insert).bind(email).bind(hash).fetch_one(self.sigra.pool()).await.expect("a new user")
///     }
/// }
///
/// # let options = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
/// # let pool = options.connect("sqlite::memory:").await?;
/// # let users = "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT, hashed_password TEXT)";
/// # sqlx::raw_sql(users).execute(&pool).await?;
/// # sqlx::raw_sql(sigra::schema::SQLITE).execute(&pool).await?;
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
    type User: AuthUser;

    /// Returns the application, with its state and all layers.
    fn router(&self) -> Router;

    /// Returns the `Sigra` that the application was built with.
    fn sigra(&self) -> &Sigra<Self::User>;

    /// Registers a user as the host does.
    fn register(&self, email: &str, password: &Password) -> impl Future<Output = Self::User> + Send;

    /// Returns the application's clock. Advance it to test what happens later.
    ///
    /// ```
    /// # use sigra::testing::TestHost;
    /// fn two_months_later<H: TestHost>(host: &H) {
    ///     host.clock().advance(std::time::Duration::from_secs(61 * 24 * 60 * 60));
    /// }
    /// ```
    fn clock(&self) -> &Clock {
        &self.sigra().parts.config.clock
    }

    /// Returns a browser that isn't logged in.
    ///
    /// ```
    /// # use sigra::testing::{TestHost, assert_redirected_to};
    /// async fn the_dashboard_asks_to_log_in<H: TestHost>(host: &H) {
    ///     assert_redirected_to(&host.client().get("/dashboard").await, "/users/log-in");
    /// }
    /// ```
    fn client(&self) -> TestClient {
        let client = TestClient::new(self.router());
        match &self.sigra().parts.config.cookies.domain {
            Some(domain) => client.origin(&format!("https://{domain}")),
            None => client,
        }
    }

    /// Returns an email address that no other user has.
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

    /// Registers a user with a unique email address and [`VALID_PASSWORD`].
    ///
    /// ```
    /// # use sigra::{AuthUser, testing::TestHost};
    /// async fn every_user_has_an_id<H: TestHost>(host: &H) {
    ///     assert_ne!(host.registered_fixture().await.id(), host.registered_fixture().await.id());
    /// }
    /// ```
    fn registered_fixture(&self) -> impl Future<Output = Self::User> + Send {
        async { self.register(&self.unique_email(), &Password::new(VALID_PASSWORD)).await }
    }

    /// Registers a user whose email address isn't confirmed. Override it if [`register`](Self::register) confirms.
    ///
    /// ```
    /// # use sigra::testing::{TestHost, assert_status};
    /// async fn an_unconfirmed_user_is_kept_out<H: TestHost>(host: &H) {
    ///     let user = host.unconfirmed_fixture().await;
    /// }
    /// ```
    fn unconfirmed_fixture(&self) -> impl Future<Output = Self::User> + Send {
        async { self.register(&self.unique_email(), &Password::new(VALID_PASSWORD)).await }
    }

    /// Registers a user and exhausts the limit of failed logins, so that the next attempt must wait. Returns the user
    /// and their email address.
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
            let user = self.register(&email, &Password::new(VALID_PASSWORD)).await;
            if let Err(error) = self.sigra().limits().exhaust_logins(&email).await {
                panic!("can't exhaust the login limit of {email}: {error}");
            }
            (user, email)
        }
    }

    /// Logs a user in, without a form or a password, and returns the browser. The session isn't remembered. To get one
    /// that is, log in through the application's own page.
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
    /// If the user was deleted or has changed their password.
    fn log_in(&self, user: &Self::User) -> impl Future<Output = TestClient> + Send {
        async {
            let client = self.client();
            if let Err(error) = self.sigra().open_browser(&client, user, None).await {
                panic!("can't log in user {:?}: {error}", user.id());
            }
            client
        }
    }

    /// Creates a personal access token of a user with these permissions, and returns a program that sends it. The token
    /// expires after 30 days.
    ///
    /// ```
    /// # use sigra::testing::{TestHost, assert_status};
    /// async fn a_token_without_the_permission_is_refused<H: TestHost>(host: &H, user: &H::User) {
    ///     let program = host.token_client(user, &["projects:read"]).await;
    ///     assert_status(&program.get("/api/projects").await, 200);
    ///     assert_status(&program.delete("/api/projects/1").await, 403);
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If the database fails, or a name can't be that of a permission.
    #[cfg(feature = "api-tokens")]
    fn token_client(&self, user: &Self::User, permissions: &[&str]) -> impl Future<Output = TestClient> + Send {
        let permissions = Permissions::of(permissions);
        async move {
            let permissions = permissions.unwrap_or_else(|error| panic!("{error}"));
            match self.sigra().insert_api_token(&user.id(), permissions).await {
                Ok(created) => self.client().bearer(created.secret.as_str()),
                Err(error) => panic!("can't create a token of user {:?}: {error}", user.id()),
            }
        }
    }

    /// Gives a client of the [OAuth server](crate::oauth_server) access to a user's account, without the pages, and
    /// returns a program that sends its access token. The token is valid at the whole server, for [15
    /// minutes](crate::oauth_server::AuthorizationServer::access_token_ttl), and the program is in the user's list.
    ///
    /// ```
    /// # use sigra::{AuthUser, testing::{TestHost, assert_status}};
    /// async fn a_program_is_out_as_soon_as_its_user_ends_its_access<H: TestHost>(host: &H, user: &H::User) {
    ///     let program = host.program_client(user, "acme-cli", &["projects:read"]).await;
    ///     assert_status(&program.get("/api/projects").await, 200);
    ///     let server = host.sigra().oauth_server();
    ///     let access = server.grants(&user.id()).await.unwrap().remove(0);
    ///     server.revoke_grant(&user.id(), access.id, &Default::default()).await.unwrap();
    ///     assert_status(&program.get("/api/projects").await, 401);
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If the settings have no client with this id, the database fails, or a name can't be that of a permission.
    #[cfg(feature = "oauth-server")]
    fn program_client(
        &self,
        user: &Self::User,
        client_id: &str,
        permissions: &[&str],
    ) -> impl Future<Output = TestClient> + Send {
        let (permissions, client_id) = (Permissions::of(permissions), client_id.to_owned());
        async move {
            let permissions = permissions.unwrap_or_else(|error| panic!("{error}"));
            match self.sigra().insert_program(&user.id(), &client_id, &permissions).await {
                Ok(Some(token)) => self.client().bearer(token.as_str()),
                Ok(None) => panic!("there is no client `{client_id}`: add it to the AuthorizationServer"),
                Err(error) => panic!("can't give `{client_id}` access to user {:?}: {error}", user.id()),
            }
        }
    }

    /// Registers a [user](Self::registered_fixture) and [logs them in](Self::log_in).
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
            let user = self.registered_fixture().await;
            let client = self.log_in(&user).await;
            (user, client)
        }
    }

    /// Registers a [user](Self::registered_fixture) and logs them in, so that they are in [sudo mode](crate::Sudo).
    /// Advance the [clock](Self::clock) by [`sudo_ttl`](crate::Config::sudo_ttl) to end it.
    ///
    /// ```
    /// # use sigra::testing::{TestHost, assert_redirected_to, assert_status};
    /// use std::time::Duration;
    ///
    /// async fn settings_require_a_recent_login<H: TestHost>(host: &H) {
    ///     let (_, browser) = host.sudo_fixture().await;
    ///     assert_status(&browser.get("/users/settings").await, 200);
    ///     host.clock().advance(Duration::from_secs(20 * 60));
    ///     assert_redirected_to(&browser.get("/users/settings").await, "/users/sudo");
    /// }
    /// ```
    fn sudo_fixture(&self) -> impl Future<Output = (Self::User, TestClient)> + Send {
        self.authenticated_fixture()
    }

    /// Registers a [user](Self::registered_fixture) with an authenticator app, and returns them and their backup codes. In
    /// the next hour, the app doesn't show `000000`, so that this is a wrong code, and shows no code twice.
    ///
    /// ```
    /// # use sigra::testing::TestHost;
    /// async fn a_user_with_a_second_factor<H: TestHost>(host: &H) {
    ///     let (user, backup_codes) = host.mfa_fixture().await;
    ///     assert_eq!(backup_codes.iter().count(), 10);
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If the database fails.
    fn mfa_fixture(&self) -> impl Future<Output = (Self::User, BackupCodes)> + Send {
        async {
            let user = self.registered_fixture().await;
            match self.sigra().set_up_totp(&user.id()).await {
                Ok(backup_codes) => (user, backup_codes),
                Err(error) => panic!("can't set up an authenticator app for user {:?}: {error}", user.id()),
            }
        }
    }

    /// Returns the code that the authenticator app of a user shows now. A code works once: for the next one, advance
    /// the [clock](Self::clock) by 30 seconds.
    ///
    /// ```
    /// # use sigra::testing::{TestHost, assert_redirected_to};
    /// async fn the_code_completes_the_login<H: TestHost>(host: &H) {
    ///     let (user, browser) = host.mfa_pending_fixture().await;
    ///     let code = host.totp_code(&user).await;
    ///     assert_redirected_to(&browser.post("/users/mfa-challenge", &[("user[code]", &code)]).await, "/");
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If the user has no authenticator app.
    fn totp_code(&self, user: &Self::User) -> impl Future<Output = String> + Send {
        async {
            match self.sigra().present_totp_code(&user.id()).await {
                Ok(Some(code)) => code,
                Ok(None) => panic!("user {:?} has no authenticator app: register them with `mfa_fixture`", user.id()),
                Err(error) => panic!("can't read the authenticator app of user {:?}: {error}", user.id()),
            }
        }
    }

    /// Registers a [user with a second factor](Self::mfa_fixture), and returns them and a browser in which it is
    /// pending.
    ///
    /// ```
    /// # use sigra::testing::{TestHost, assert_redirected_to};
    /// async fn the_dashboard_waits_for_the_second_factor<H: TestHost>(host: &H) {
    ///     let (_, browser) = host.mfa_pending_fixture().await;
    ///     assert_redirected_to(&browser.get("/dashboard").await, "/users/mfa-challenge");
    /// }
    /// ```
    fn mfa_pending_fixture(&self) -> impl Future<Output = (Self::User, TestClient)> + Send {
        async {
            let (user, _) = self.mfa_fixture().await;
            let client = self.log_in(&user).await;
            (user, client)
        }
    }

    /// Registers a [user with a second factor](Self::mfa_fixture), and returns them and a browser in which they have
    /// presented it.
    ///
    /// ```
    /// # use sigra::testing::{TestHost, assert_status};
    /// async fn the_dashboard_opens<H: TestHost>(host: &H) {
    ///     let (_, browser) = host.mfa_complete_fixture().await;
    ///     assert_status(&browser.get("/dashboard").await, 200);
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If the database fails.
    fn mfa_complete_fixture(&self) -> impl Future<Output = (Self::User, TestClient)> + Send {
        async {
            let ((user, _), client) = (self.mfa_fixture().await, self.client());
            if let Err(error) = self.sigra().open_browser(&client, &user, Some(self.sigra().now())).await {
                panic!("can't log in user {:?}: {error}", user.id());
            }
            (user, client)
        }
    }

    /// Trusts a browser: the user's next login there skips the second factor.
    ///
    /// ```
    /// # use sigra::testing::{TestHost, VALID_PASSWORD, assert_redirected_to};
    /// async fn a_trusted_browser_skips_the_second_factor<H: TestHost>(host: &H, email: &str) {
    ///     let ((user, _), browser) = (host.mfa_fixture().await, host.client());
    ///     host.trust_browser(&browser, &user).await;
    ///     let form = [("user[email]", email), ("user[password]", VALID_PASSWORD)];
    ///     assert_redirected_to(&browser.post("/users/log-in", &form).await, "/");
    /// }
    /// ```
    ///
    /// # Panics
    ///
    /// If the database fails.
    fn trust_browser(&self, browser: &TestClient, user: &Self::User) -> impl Future<Output = ()> + Send {
        async {
            if let Err(error) = self.sigra().trust(browser, &user.id(), &browser.client()).await {
                panic!("can't trust the browser: {error}");
            }
        }
    }
}
