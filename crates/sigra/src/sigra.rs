//! [`Sigra`]: sessions that are rows, and the cookies that point to them.

use std::{fmt, sync::Arc, time::Duration};

use time::OffsetDateTime;
use tokio_util::task::TaskTracker;

#[cfg(feature = "live")]
use crate::in_process::connections::LiveConnections;
#[cfg(feature = "passkeys")]
use crate::model::relying_party::RelyingParty;
use crate::{
    base::{config_error::ConfigError, error::Error, keys::EncryptionKeys, origin::OwnOrigins, task::Task, telemetry},
    browser::cookies::Cookies,
    cache::scopes::ScopeCache,
    config::Config,
    in_process::{addresses::Addresses, answers::Answers, health::Health},
    model::{
        transaction::Transaction,
        user::{AuthUser, HashedPassword, Pool},
    },
    password::{Password, PasswordProblem, Passwords, Verification},
    store::{self, OwnPool, Reader},
};

/// Works in a transaction of its own, and commits it. If the database lets it fail so that another can go on, it is
/// tried once more; with a host's statements, which are called once, only if their turn had not come.
macro_rules! transact {
    ($sigra:expr, $conn:ident => $work:expr) => {
        transact!($sigra, if true, tx => {
            let $conn: &mut $crate::model::user::Connection<U> = tx;
            $work
        })
    };
    ($sigra:expr, if $may_try_again:expr, $tx:ident => $work:expr) => {{
        let mut has_failed = false;
        loop {
            let mut tx = $sigra.begin().await?;
            let worked: Result<_, Error> = async {
                let $tx = &mut tx;
                $work
            }
            .await;
            let done = match worked {
                Ok(done) => tx.commit().await.map(|()| done),
                Err(error) => Err(error),
            };
            match done {
                Err(error) if error.is_serialization_failure() && !has_failed && $may_try_again => has_failed = true,
                done => break done,
            }
        }
    }};
}

pub(crate) use transact;

/// A handle: a borrowed [`Sigra`] that shows what belongs to one feature, and the method that gives it.
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

/// The library's entrance: made once at start, cloned into the router's state.
///
/// ```
/// # async fn make() -> Result<(), Box<dyn std::error::Error>> {
/// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
/// # impl sigra::AuthUser for User {
/// #     type Id = i64; type Database = sqlx::Sqlite;
/// #     fn id(&self) -> i64 { self.id }
/// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
/// # }
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

/// What it is made of. Each part is somebody's: see its type.
pub(crate) struct Parts<U: AuthUser> {
    pub config: Config,
    pub cookies: Cookies,
    pub own_origins: OwnOrigins,
    pub pool: Pool<U>,
    pub reader: Reader<U>,
    pub cache: ScopeCache<U>,
    pub passwords: Passwords,
    pub addresses: Addresses,
    pub answers: Answers,
    pub encryption_keys: EncryptionKeys,
    #[cfg(feature = "passkeys")]
    pub webauthn: Option<webauthn_rs::Webauthn>,
    #[cfg(feature = "live")]
    pub live: LiveConnections,
    pub purge: Task,
    pub abandoned: TaskTracker,
    pub health: Health,
}

/// Setting up.
impl<U: AuthUser> Sigra<U> {
    /// Checks the settings and derives the keys.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], in one sentence for the person who starts the application.
    pub fn new(config: Config, pool: Pool<U>) -> Result<Self, ConfigError> {
        config.check()?;
        let own_pool = OwnPool::like(&pool);
        let parts = Parts {
            cookies: Cookies::new(&config.cookies, &config.secrets, &config.clock),
            own_origins: OwnOrigins::new(&config.cookies.trusted_origins)?,
            passwords: Passwords::new(config.argon2, config.password_workers, config.password_wait)?,
            addresses: Addresses::new(config.rate_limits.then_some(config.address_limit)),
            answers: Answers::default(),
            encryption_keys: EncryptionKeys::derive(&config.secrets, "sigra secrets"),
            #[cfg(feature = "passkeys")]
            webauthn: config.relying_party.as_ref().map(RelyingParty::to_webauthn).transpose()?,
            #[cfg(feature = "live")]
            live: LiveConnections::default(),
            cache: ScopeCache::new(config.cached_scopes, own_pool.pool().clone()),
            reader: Reader::new(pool.clone(), own_pool),
            purge: Task::default(),
            abandoned: TaskTracker::new(),
            health: Health::default(),
            config,
            pool,
        };
        Ok(Self { parts: Arc::new(parts) })
    }

    /// The pool that it was made with.
    #[must_use]
    pub fn pool(&self) -> &Pool<U> {
        &self.parts.pool
    }

    /// Waits until every request is answered that runs to its end although [its client is
    /// gone](crate::scope::FetchCurrentScopeLayer). For a shutdown, after the server has ended and with a time limit of its own; and
    /// for tests.
    pub async fn settle(&self) {
        while !self.parts.abandoned.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    #[cfg(feature = "passkeys")]
    pub(crate) fn webauthn(&self) -> Result<&webauthn_rs::Webauthn, Error> {
        self.parts.webauthn.as_ref().ok_or(Error::NoRelyingParty)
    }

    /// The time now, by the [clock](Config::clock) that every age is measured with.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.parts.config.clock.now()
    }

    /// Starts a transaction that may write. On SQLite it waits for its turn at once, where one that only
    /// turns out to write could fail, and a connection whose last transaction SQLite ended by itself, as on a full
    /// disk, is replaced: sqlx would begin none on it any more. On PostgreSQL it is `READ COMMITTED`, whatever is the
    /// default: a transaction of your own must be too, or what takes it answers with [`Error::IsolationLevel`].
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn begin(&self) -> Result<Transaction<U>, Error> {
        Ok(Transaction::new(store::begin::<U::Database>(&self.parts.pool).await?))
    }
}

/// Passwords.
impl<U: AuthUser> Sigra<U> {
    /// Checks a password, with the same work whether or not there is a user: exactly one Argon2id
    /// computation (OWASP ASVS 6.3.8). Pass `None` for an unknown address.
    ///
    /// # Errors
    ///
    /// [`Error::PasswordWorkersBusy`] when too many are being checked already.
    #[tracing::instrument(level = "debug", name = "sigra.verify_password", skip_all)]
    pub async fn verify_password(&self, user: Option<&U>, password: &Password) -> Result<Verification, Error> {
        let stored = user.and_then(AuthUser::hashed_password);
        let verification = self.parts.passwords.verify(stored, password).await?;
        if verification == Verification::Invalid {
            tracing::info!(target: "sigra", event = telemetry::LOGIN_FAILURE, user_id = user.map(|user| tracing::field::display(user.id())));
        }
        Ok(verification)
    }

    /// Asks the [service](Config::breach_check), if there is one, whether a new password leaked. To be asked last, of
    /// one that the [policy](crate::password::PasswordPolicy) accepts.
    ///
    /// # Errors
    ///
    /// [`PasswordProblem::Breached`], [`PasswordProblem::Unchecked`], as a sentence to show beside the field.
    pub async fn check_breached(&self, password: &Password) -> Result<(), PasswordProblem> {
        match &self.parts.config.breach_check {
            Some(service) => service.check(password).await,
            None => Ok(()),
        }
    }

    /// Hashes a new password with the configured parameters.
    ///
    /// # Errors
    ///
    /// [`Error::PasswordWorkersBusy`] when too many are being hashed already.
    pub async fn hash_password(&self, password: &Password) -> Result<HashedPassword, Error> {
        self.parts.passwords.hash(password).await
    }
}

/// The cache of scopes.
impl<U: AuthUser> Sigra<U> {
    /// Whether scopes are kept in memory at present. If not, the database is asked at every request:
    /// because [`Config::cached_scopes`] says so, because nobody has logged in yet, or because the process
    /// can't be certain to hear of a revocation. An event [`telemetry::CACHE_BYPASSED`] says why.
    #[must_use]
    pub fn is_caching(&self) -> bool {
        self.parts.cache.stamp().is_some()
    }

    /// Waits until this process knows of every change that was committed before, by whomever, and keeps
    /// scopes again if it can: at most five seconds. For tests that change rows by hand.
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
