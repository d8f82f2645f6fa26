//! [`Sigra`] and its parts.

#[cfg(feature = "device-bound")]
use std::sync::{Mutex, Weak};
use std::{fmt, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio_util::task::TaskTracker;

#[cfg(feature = "live")]
use crate::in_process::connections::LiveConnections;
#[cfg(feature = "passkeys")]
use crate::model::relying_party::RelyingParty;
use crate::{
    base::{
        config_error::ConfigError,
        error::Error,
        keys::{EncryptionKeys, SigningKeys},
        origin::OwnOrigins,
        task::Task,
        telemetry,
    },
    browser::{cookie_session::AnyParts, cookies::Cookies},
    cache::scopes::ScopeCache,
    config::Config,
    in_process::{addresses::Addresses, health::Health, stored_responses::StoredResponses},
    model::{
        transaction::Transaction,
        user::{AuthUser, Connection, HashedPassword, Pool},
    },
    password::{Password, PasswordProblem, Passwords, Verification},
    store::{self, OwnPool, SessionReader},
};
#[cfg(feature = "device-bound")]
use crate::{in_process::bindings::Bindings, model::device_bound::React};

#[cfg(feature = "api-tokens")]
use crate::store::BearerReader;

/// Runs work with a transaction, and once more if the database rolls it back so that another can continue.
macro_rules! retry_once {
    ($work:expr, if $may_try_again:expr) => {{
        let mut has_failed = false;
        loop {
            let done: Result<_, Error> = $work;
            match done {
                Err(error) if error.is_serialization_failure() && !has_failed && $may_try_again => has_failed = true,
                done => break done,
            }
        }
    }};
}

pub(crate) use retry_once;

/// Runs statements in a transaction of their own, and commits it. If the database rolls it back so that another can
/// continue, it is tried once more. A host's statements are called only once, so with them, it is tried again only if
/// they weren't called yet.
macro_rules! transact {
    ($sigra:expr, $conn:ident => $work:expr) => {
        transact!($sigra, if true, tx => {
            let $conn: &mut $crate::model::user::Connection<U> = tx;
            $work
        })
    };
    ($sigra:expr, if $may_try_again:expr, $tx:ident => $work:expr) => {
        $crate::sigra::retry_once!(
            async {
                let mut tx = $sigra.begin().await?;
                let worked: Result<_, Error> = async {
                    let $tx = &mut tx;
                    $work
                }
                .await;
                let done = worked?;
                tx.commit().await.map(|()| done)
            }
            .await,
            if $may_try_again
        )
    };
}

pub(crate) use transact;

/// Defines a handle, which borrows [`Sigra`] and has the functions of one feature, and the function of [`Sigra`] that
/// returns it.
macro_rules! handle {
    ($(#[$docs:meta])* $name:ident, $(#[$accessor_docs:meta])* $accessor:ident) => {
        $(#[$docs])*
        pub struct $name<'a, U: AuthUser> {
            pub(crate) sigra: &'a Sigra<U>,
        }

        impl<U: AuthUser> Clone for $name<'_, U> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<U: AuthUser> Copy for $name<'_, U> {}

        impl<U: AuthUser> std::fmt::Debug for $name<'_, U> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).finish_non_exhaustive()
            }
        }

        impl<U: AuthUser> Sigra<U> {
            $(#[$accessor_docs])*
            #[must_use]
            pub fn $accessor(&self) -> $name<'_, U> {
                $name { sigra: self }
            }
        }
    };
}

pub(crate) use handle;

/// The entry point of the library. Create it once at start, and clone it into the router's state.
///
/// ```
/// # async fn make() -> Result<(), Box<dyn std::error::Error>> {
/// # use sigra::doctest::User;
/// use sigra::{Config, SecretKeyBase, Sigra};
///
/// let pool = sqlx::SqlitePool::connect("sqlite://my_app.db").await?;
/// let config = Config::new("my_app", SecretKeyBase::new(std::env::var("SECRET_KEY_BASE")?)?);
/// let sigra: Sigra<User> = Sigra::new(config, pool)?;
/// let app: axum::Router = axum::Router::new().layer(sigra.fetch_current_scope());
/// # Ok(()) }
/// ```
pub struct Sigra<U: AuthUser> {
    pub(crate) parts: Arc<Parts<U>>,
}

/// The parts of [`Sigra`]. See their types.
pub(crate) struct Parts<U: AuthUser> {
    pub config: Config,
    pub cookies: Cookies,
    pub own_origins: OwnOrigins,
    pub pool: Pool<U>,
    pub reader: SessionReader<U>,
    #[cfg(feature = "api-tokens")]
    pub bearers: BearerReader<U>,
    pub cache: ScopeCache<U>,
    pub passwords: Passwords,
    pub addresses: Addresses,
    #[cfg(feature = "oauth-server")]
    pub addresses_of_programs: Addresses,
    pub stored_responses: StoredResponses,
    pub encryption_keys: EncryptionKeys,
    /// Derive the keys that attempts on accounts are counted by.
    pub limit_keys: SigningKeys,
    #[cfg(feature = "oauth-server")]
    pub oauth_keys: SigningKeys,
    #[cfg(feature = "passkeys")]
    pub webauthn: Option<webauthn_rs::Webauthn>,
    #[cfg(feature = "device-bound")]
    pub challenge_keys: SigningKeys,
    #[cfg(feature = "device-bound")]
    pub bindings: Bindings,
    #[cfg(feature = "device-bound")]
    /// Doesn't own it, because it may own this.
    pub on_use_without_key: Mutex<Option<Weak<React<U>>>>,
    #[cfg(feature = "live")]
    pub live: LiveConnections,
    pub purge: Task,
    pub abandoned: TaskTracker,
    pub health: Health,
}

impl<U: AuthUser> AnyParts for Parts<U> {
    fn cookies(&self) -> &Cookies {
        &self.cookies
    }

    fn doubt_database(&self) {
        self.health.doubt();
    }
}

/// Set-up.
impl<U: AuthUser> Sigra<U> {
    /// Checks the settings, and creates an instance on the pool of the host's database.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], in one sentence that names the setting and how to fix it.
    pub fn new(config: Config, pool: Pool<U>) -> Result<Self, ConfigError> {
        config.check()?;
        let own_pool = Arc::new(OwnPool::like(&pool));
        let parts = Parts {
            cookies: Cookies::new(&config.cookies, config.second_factors.trust_ttl, &config.secrets, &config.clock),
            own_origins: OwnOrigins::new(&config.cookies.trusted_origins)?,
            passwords: Passwords::new(
                config.passwords.argon2,
                config.passwords.workers,
                config.passwords.worker_timeout,
            )?,
            addresses: Addresses::new(config.requests.limit_of_addresses(), &config.clock),
            #[cfg(feature = "oauth-server")]
            addresses_of_programs: Addresses::new(config.requests.limit_of_addresses(), &config.clock),
            stored_responses: StoredResponses::default(),
            encryption_keys: EncryptionKeys::derive(&config.secrets, "sigra secrets"),
            limit_keys: SigningKeys::derive(&config.secrets, "sigra limits"),
            #[cfg(feature = "oauth-server")]
            oauth_keys: SigningKeys::derive(&config.secrets, "sigra oauth server"),
            #[cfg(feature = "passkeys")]
            webauthn: config
                .login_methods
                .passkeys
                .relying_party
                .as_ref()
                .map(RelyingParty::to_webauthn)
                .transpose()?,
            #[cfg(feature = "device-bound")]
            challenge_keys: SigningKeys::derive(&config.secrets, "sigra binding challenge"),
            #[cfg(feature = "device-bound")]
            bindings: Bindings::default(),
            #[cfg(feature = "device-bound")]
            on_use_without_key: Mutex::default(),
            #[cfg(feature = "live")]
            live: LiveConnections::default(),
            cache: ScopeCache::new(config.cached_scopes, &config.secrets, own_pool.pool().clone()),
            #[cfg(feature = "api-tokens")]
            bearers: BearerReader::new(pool.clone(), own_pool.clone()),
            reader: SessionReader::new(pool.clone(), own_pool),
            purge: Task::default(),
            abandoned: TaskTracker::new(),
            health: Health::default(),
            config,
            pool,
        };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// Returns the pool that it was created with.
    #[must_use]
    pub fn pool(&self) -> &Pool<U> {
        &self.parts.pool
    }

    /// Waits for the requests and commits that are still running although [their client
    /// disconnected](crate::scope::FetchCurrentScopeLayer).
    ///
    /// Call it at a shutdown, after the server has stopped, with a time limit of your own. Tests can use it too.
    ///
    /// ```no_run
    /// # async fn shut_down<U: sigra::AuthUser>(sigra: sigra::Sigra<U>) {
    /// use std::time::Duration;
    ///
    /// let _ = tokio::time::timeout(Duration::from_secs(10), sigra.settle()).await;
    /// # }
    /// ```
    pub async fn settle(&self) {
        while !self.parts.abandoned.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[cfg(feature = "passkeys")]
    pub(crate) fn webauthn(&self) -> Result<&webauthn_rs::Webauthn, Error> {
        self.parts.webauthn.as_ref().ok_or(Error::NoRelyingParty)
    }

    /// Returns the ways to log in that the host offers, besides passwords.
    #[cfg_attr(
        not(any(feature = "oauth", feature = "passkeys")),
        allow(dead_code, reason = "only these have ways in that can be removed")
    )]
    pub(crate) fn other_ways(&self) -> store::OtherWays<'_> {
        let methods = &self.parts.config.login_methods;
        #[cfg(feature = "passkeys")]
        let passkeys = methods.passkeys.relying_party.is_some();
        #[cfg(not(feature = "passkeys"))]
        let passkeys = false;
        store::OtherWays { links: methods.links, passkeys, providers: &methods.providers }
    }

    /// Returns the current time, by the [clock](Config::clock) that every age is measured with.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.parts.config.clock.now()
    }

    /// Returns the time by the clock of this process or by that of the database, whichever is earlier.
    pub(crate) async fn earliest_now(&self, conn: &mut Connection<U>) -> Result<OffsetDateTime, Error> {
        let server_time = self.parts.config.clock.server_time();
        let ms = store::clock::now_ms::<U::Database>(conn, server_time).await?;
        // The database's clock is read in whole milliseconds. Rounded up, it doesn't put off what this one says.
        let by_database = OffsetDateTime::UNIX_EPOCH.saturating_add(time::Duration::milliseconds(ms.saturating_add(1)));
        Ok(self.now().min(by_database))
    }

    /// Begins a transaction that may write.
    ///
    /// On SQLite, it waits for its turn to write at once, because a transaction that begins to write later could fail.
    /// If SQLite ended the last transaction of a connection by itself, as on a full disk, it replaces the connection,
    /// because sqlx can't begin another one on it. On PostgreSQL, the transaction is `READ COMMITTED`, whatever the
    /// default is. A transaction of your own must be too, or functions that take it fail with
    /// [`Error::IsolationLevel`].
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn begin(&self) -> Result<Transaction<U>, Error> {
        let database = store::begin::<U::Database>(&self.parts.pool).await?;
        Ok(Transaction::new(database, self.parts.abandoned.clone()))
    }
}

/// Passwords.
impl<U: AuthUser> Sigra<U> {
    /// Verifies a password. Pass `None` if the email address has no user: the work is the same, exactly one Argon2id
    /// computation (OWASP ASVS 6.3.8).
    ///
    /// # Errors
    ///
    /// [`Error::PasswordWorkersBusy`] if no worker becomes free [in time](Config::password_worker_timeout).
    #[tracing::instrument(level = "debug", name = "sigra.verify_password", skip_all)]
    pub async fn verify_password(&self, user: Option<&U>, password: &Password) -> Result<Verification, Error> {
        let stored = user.and_then(AuthUser::hashed_password);
        let verification = self.parts.passwords.verify(stored, password).await?;
        if verification == Verification::Invalid {
            tracing::info!(target: "sigra", event = telemetry::LOGIN_FAILURE, user_id = user.map(|user| tracing::field::display(user.id())));
        }
        Ok(verification)
    }

    /// Checks that a new password didn't leak, with the [service](Config::breach_check) if one is set. Call it last,
    /// for a password that the [policy](crate::password::PasswordPolicy) accepts.
    ///
    /// # Errors
    ///
    /// [`PasswordProblem::Breached`] or [`PasswordProblem::Unchecked`], as a sentence to show next to the field.
    pub async fn check_breached(&self, password: &Password) -> Result<(), PasswordProblem> {
        match &self.parts.config.passwords.breach_check {
            Some(service) => service.check(password).await,
            None => Ok(()),
        }
    }

    /// Hashes a new password with the configured parameters.
    ///
    /// # Errors
    ///
    /// [`Error::PasswordWorkersBusy`] if no worker becomes free [in time](Config::password_worker_timeout).
    pub async fn hash_password(&self, password: &Password) -> Result<HashedPassword, Error> {
        self.parts.passwords.hash(password).await
    }
}

/// The cache of scopes.
impl<U: AuthUser> Sigra<U> {
    /// Returns whether scopes are cached at the moment.
    ///
    /// If not, every request queries the database: because [`Config::cached_scopes`] is 0, because nobody has logged in
    /// yet, or because the process might miss a revocation. An event [`telemetry::CACHE_BYPASSED`] says why.
    #[must_use]
    pub fn is_caching(&self) -> bool {
        self.parts.cache.stamp().is_some()
    }

    /// Waits until this process knows of every change that was committed before, and caches scopes again if it can: at
    /// most 5 seconds. For tests that change rows directly.
    #[cfg(feature = "testing")]
    pub async fn catch_up(&self) {
        self.parts.cache.catch_up().await;
    }
}

impl<U: AuthUser> Clone for Sigra<U> {
    fn clone(&self) -> Self {
        Self { parts: self.parts.clone() }
    }
}

impl<U: AuthUser> fmt::Debug for Sigra<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sigra").field("config", &self.parts.config).finish_non_exhaustive()
    }
}
