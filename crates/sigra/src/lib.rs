//! Authentication for axum, with sessions in your own database that you can revoke at once.
//!
//! * **A session is a row.** The browser holds 32 random bytes in a signed cookie, and the database holds their
//!   SHA-256. Delete the row, and the next request is anonymous. Other nodes follow milliseconds later.
//! * **Handlers declare what they need.** [`Scope<User>`](Scope) for a logged-in user, `Option<Scope<User>>` for
//!   everybody, [`Sudo<User>`](Sudo) for a user who authenticated recently, [`Live<User>`](live::Live) for a WebSocket
//!   that ends with its session.
//! * **The user is yours.** Your table, your columns, your type, and at most one query per authenticated request.
//! * **A second factor that can't be bypassed.** [Authenticator apps, backup codes, passkeys](mfa): a user who has one
//!   isn't logged in until they have presented it, however they logged in.
//! * **What an account needs.** [Tokens](EmailToken) that are sent by email and work once, [rate limits](limits) that
//!   all nodes share and that spare known browsers, an [audit trail](audit), and a [mailer](mail) that sends in the
//!   background.
//! * **Safe by default.** Argon2id with bounded memory, the same work for unknown users, forged requests refused before
//!   any handler runs, a new token at every login, `__Host-` cookies under TLS.
//!
//! `cargo sigra` writes accounts, pages, migrations and tests into an application. Without it, a whole login is this:
//!
//! ```
//! use axum::{Form, Router, extract::State, response::{Html, Redirect}, routing::{get, post}};
//! use sigra::{Config, CookieSession, HashedPassword, LogInMethod, LogInOutcome, Password, RememberMe, Scope, SecretKeyBase, Sigra, Verification};
//!
//! #[derive(Clone, sqlx::FromRow)]
//! struct User { id: i64, email: String, hashed_password: Option<HashedPassword> }
//!
//! impl sigra::AuthUser for User {
//!     type Id = i64;
//!     type Database = sqlx::Sqlite;
//!     fn id(&self) -> i64 { self.id }
//!     fn hashed_password(&self) -> Option<&HashedPassword> { self.hashed_password.as_ref() }
//! }
//!
//! #[derive(serde::Deserialize)]
//! struct LogIn { email: String, password: Password }
//!
//! async fn log_in(State(sigra): State<Sigra<User>>, session: CookieSession, Form(form): Form<LogIn>) -> sigra::Result<Redirect> {
//!     let by_email = sqlx::query_as("SELECT * FROM users WHERE email = $1").bind(&form.email);
//!     let user: Option<User> = by_email.fetch_optional(sigra.pool()).await?;
//!     match (sigra.verify_password(user.as_ref(), &form.password).await?, user) {
//!         (Verification::Invalid, _) | (_, None) => Ok(Redirect::to("/users/log-in")),
//!         (_, Some(user)) => Ok(match sigra.log_in(&session, &user, LogInMethod::Password, RememberMe::No).await? {
//!             LogInOutcome::Complete => Redirect::to("/dashboard"),
//!             LogInOutcome::SecondFactorPending => Redirect::to("/users/mfa-challenge"),
//!         }),
//!     }
//! }
//!
//! async fn log_out(State(sigra): State<Sigra<User>>, session: CookieSession) -> sigra::Result<Redirect> {
//!     sigra.log_out(&session).await?;
//!     Ok(Redirect::to("/users/log-in"))
//! }
//!
//! async fn dashboard(scope: Scope<User>) -> String { format!("Hello {}", scope.user().email) }
//!
//! fn app(sigra: Sigra<User>) -> Router {
//!     Router::new()
//!         .route("/users/log-in", get(Html(include_str!("../examples/log_in.html"))).post(log_in))
//!         .route("/users/log-out", post(log_out))
//!         .route("/dashboard", get(dashboard))
//!         .layer(sigra.fetch_current_scope())
//!         .with_state(sigra)
//! }
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # use {axum::{body::Body, http::Request}, tower::ServiceExt};
//! # let options = sqlx::sqlite::SqlitePoolOptions::new().max_connections(1);
//! # let pool = options.connect("sqlite::memory:").await?;
//! # sqlx::raw_sql("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, hashed_password TEXT)").execute(&pool).await?;
//! # sqlx::raw_sql(sigra::store::SQLITE_SCHEMA).execute(&pool).await?;
//! # let sigra: Sigra<User> = Sigra::new(Config::new("my_app", SecretKeyBase::generate()?), pool.clone())?;
//! # let hash = sigra.hash_password(&Password::new("correct horse")).await?;
//! # sqlx::query("INSERT INTO users VALUES (1, 'ada@example.com', $1)").bind(hash).execute(&pool).await?;
//! # let app = app(sigra);
//! # let form = |password: &str| Request::post("/users/log-in").header("content-type", "application/x-www-form-urlencoded")
//! #     .body(Body::from(format!("email=ada@example.com&password={password}")));
//! # let refused = app.clone().oneshot(form("wrong")?).await?;
//! # assert_eq!(refused.headers()["location"], "/users/log-in");
//! # let response = app.clone().oneshot(form("correct+horse")?).await?;
//! # assert_eq!(response.headers()["location"], "/dashboard");
//! # let cookies = response.headers().get_all("set-cookie").iter().filter_map(|cookie| cookie.to_str().ok()?.split(';').next());
//! # let cookies = cookies.collect::<Vec<_>>().join("; ");
//! # let page = app.clone().oneshot(Request::get("/dashboard").header("cookie", cookies).body(Body::empty())?).await?;
//! # assert_eq!(axum::body::to_bytes(page.into_body(), 100).await?, "Hello ada@example.com");
//! # let page = app.oneshot(Request::get("/dashboard").body(Body::empty())?).await?;
//! # assert_eq!(page.headers()["location"], "/users/log-in");
//! # Ok(()) }
//! ```
//!
//! It needs your own table of users, with the columns `id` and `hashed_password`, and the tables of
//! [`store::SQLITE_SCHEMA`], or of `store::POSTGRES_SCHEMA` with the feature `postgres`. Your table is called `users`,
//! unless you set [`AuthUser::TABLE`].
//!
//! # Features
//!
//! | feature | default | what |
//! |---|---|---|
//! | `sqlite` | yes | sessions in SQLite |
//! | `mmap` | no | on SQLite, reads the WAL index from memory: cached requests take 0.7 µs less. The crate `sigra-wal-index` has the `unsafe` code for it |
//! | `postgres` | no | sessions in PostgreSQL |
//! | `mail` | yes | emails that are sent in the background, by SMTP, into files or into memory |
//! | `live` | yes | WebSockets and event streams that end with their session |
//! | `passkeys` | no | passkeys (WebAuthn), to log in with and as a second factor. Adds crates under MPL-2.0 |
//! | `legacy-hashes` | no | password hashes by bcrypt, scrypt or PBKDF2, until the user's next login |
//! | `testing` | no | fixtures, a test client, a clock that tests can advance, and assertions, for a host's own tests |

#![forbid(unsafe_code)]
#![warn(missing_debug_implementations, clippy::exhaustive_enums, clippy::exhaustive_structs)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

pub mod audit;
mod base;
mod browser;
mod cache;
pub mod config;
mod email_tokens;
mod health;
mod housekeeping;
mod in_process;
pub mod limits;
#[cfg(feature = "mail")]
pub mod mail;
pub mod mfa;
mod model;
pub mod password;
mod recovery;
mod sessions;
mod sigra;
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
mod web;

#[doc = include_str!("docs/scope.md")]
pub mod scope {
    pub use crate::{
        model::scope::{Scope, Sudo},
        web::{
            layer::{FetchCurrentScope, FetchCurrentScopeLayer},
            rejection::{FormPage, ScopeRejection, SudoRejection},
            same_origin::SameOrigin,
        },
    };
}

#[doc = include_str!("docs/session.md")]
pub mod session {
    pub use crate::{
        browser::{
            cookie_session::CookieSession,
            flash::{Flash, FlashMessage},
            return_to::ReturnTo,
        },
        model::session::{SessionId, SessionList, SessionRow},
        sessions::{handle::Sessions, revoke::Revoked},
        web::rejection::{MissingLayer, SessionRejection},
    };
}

#[cfg(feature = "live")]
pub use self::web::live;
pub use self::{
    base::{
        clock::Clock,
        config_error::ConfigError,
        error::{Error, Result},
        keys::{MIN_SECRET_LEN, SecretKeyBase, SecretKeyBaseError},
        problem::{Audience, Problem},
        telemetry,
        token::{self, EmailToken, SessionToken, TokenHash},
    },
    browser::{cookie_session::CookieSession, flash::Flash},
    config::Config,
    email_tokens::EmailTokens,
    housekeeping::{Housekeeping, Reencrypted},
    model::{
        checked::Checked,
        client::{self, Client},
        log_in::{LogInMethod, LogInOutcome, RememberMe},
        scope::{Scope, Sudo},
        session::{SessionId, SessionRow},
        transaction::Transaction,
        user::{AuthDatabase, AuthUser, HashedPassword},
    },
    password::{Password, Verification},
    recovery::{Recovered, Recovery},
    sessions::{known_browsers::KnownBrowsers, revoke::Revoked},
    sigra::Sigra,
    web::{
        idempotency::{self, IdempotencyKey},
        rejection,
    },
};
