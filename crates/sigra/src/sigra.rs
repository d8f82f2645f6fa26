//! [`Sigra`]: sessions that are rows, and the cookies that point to them.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use time::OffsetDateTime;
use tokio_util::task::TaskTracker;

#[cfg(feature = "live")]
use crate::live::LiveConnections;
#[cfg(feature = "passkeys")]
use crate::mfa::RelyingParty;
use crate::{
    AuthUser, Client, Config, ConfigError, Error, HashedPassword, Password, Scope, SessionRow, SessionToken,
    Transaction, Verification,
    audit::{Audit, own_event},
    clock::{earlier, later},
    health::Health,
    idempotency::Answers,
    limits::{self, Addresses},
    mfa::{self, LogInMethod, LogInOutcome, ShownFactor},
    origin::OwnOrigins,
    password::{PasswordProblem, Passwords},
    scope::{Clearance, FetchCurrentScopeLayer, ScopeCache, Stamp},
    secret::EncryptionKeys,
    session::{CookieSession, Cookies, KNOWN_BROWSER_TTL},
    store::{
        Attempts, AuditLog, BrowserKind, Browsers, EmailTokens, EndedSession, Expired, Found, NewSession, Passkeys,
        PresentedToken, Proof, Reader, Renewal, SecondFactors, SessionId, Sessions, Standing, Store, Window, latest,
    },
    task::{Task, ToTheEnd, jittered},
    telemetry,
    token::{SessionHashes, TokenHash},
};

/// A next token that was issued longer ago, and never came back, is taken for lost on the way.
const REISSUE_RETRY: Duration = Duration::from_secs(60);

/// Expired rows are deleted in batches of this size.
const PURGE_BATCH: i64 = 50;

/// Works in a transaction of its own, and commits it. If the database lets it fail so that another can go on, it is
/// tried once more; with a host's statements, which are called once, only if their turn had not come.
macro_rules! transact {
    ($sigra:expr, $conn:ident => $work:expr) => {
        transact!($sigra, if true, tx => {
            let $conn: &mut Connection<U> = tx;
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

type Pool<U> = sqlx::Pool<<U as AuthUser>::Database>;
pub(crate) type Connection<U> = <<U as AuthUser>::Database as sqlx::Database>::Connection;

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
pub struct Sigra<U: AuthUser>(Arc<Inner<U>>);

struct Inner<U: AuthUser> {
    config: Config,
    cookies: Cookies,
    own_origins: OwnOrigins,
    pool: Pool<U>,
    reader: Reader<U>,
    cache: ScopeCache<U>,
    passwords: Passwords,
    addresses: Addresses,
    answers: Answers,
    encryption_keys: EncryptionKeys,
    #[cfg(feature = "passkeys")]
    webauthn: Option<webauthn_rs::Webauthn>,
    #[cfg(feature = "live")]
    live: LiveConnections,
    purge: Task,
    abandoned: TaskTracker,
    health: Health,
}

/// A log-in by a first factor.
pub(crate) struct LogIn {
    pub method: LogInMethod,
    pub remember_me: bool,
    /// The second factor that the user has shown, if they did.
    pub shown: Option<ShownFactor>,
}

/// What a token turned out to stand for.
pub(crate) enum Lookup<U: AuthUser> {
    Live {
        scope: Scope<U>,
        /// A fresh token for the browser to use from now on.
        reissued: Option<SessionToken>,
    },
    /// Another token took its place.
    Superseded,
    Dead,
}

/// Sessions of a user that were deleted in a host's transaction. Hand it to [`Sigra::announce`] after the
/// commit, so that they and their live connections end at once.
#[must_use = "call Sigra::announce after the commit, so that live connections end at once"]
#[derive(Debug)]
pub struct Revoked {
    user: String,
    sessions: Vec<SessionId>,
}

impl Revoked {
    /// How many sessions were deleted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether there was none to delete.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
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
        let own_pool = U::Database::own_pool(&pool);
        Ok(Self(Arc::new(Inner {
            cookies: Cookies::new(&config),
            own_origins: OwnOrigins::new(&config.trusted_origins)?,
            passwords: Passwords::new(config.argon2, config.password_workers, config.password_wait)?,
            addresses: Addresses::new(config.rate_limits.then_some(config.address_limit)),
            answers: Answers::default(),
            encryption_keys: EncryptionKeys::derive(&config.secret_key_base, &config.older_secrets, "sigra secrets"),
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
        })))
    }

    /// The layer that finds out who sends each request. It goes around every route that takes a
    /// [`CookieSession`] or a [`Scope`]; see [`FetchCurrentScopeLayer`] for what it does.
    #[must_use]
    pub fn fetch_current_scope(&self) -> FetchCurrentScopeLayer<U> {
        FetchCurrentScopeLayer::new(self.clone())
    }

    /// The pool that it was made with.
    #[must_use]
    pub fn pool(&self) -> &Pool<U> {
        &self.0.pool
    }

    /// What goes on although its client is gone.
    pub(crate) fn abandoned(&self) -> &TaskTracker {
        &self.0.abandoned
    }

    /// Waits until every request is answered that runs to its end although [its client is
    /// gone](FetchCurrentScopeLayer). For a shutdown, after the server has ended and with a time limit of its own; and
    /// for tests.
    pub async fn settle(&self) {
        while !self.0.abandoned.is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub(crate) fn health(&self) -> &Health {
        &self.0.health
    }

    pub(crate) fn config(&self) -> &Config {
        &self.0.config
    }

    pub(crate) fn cookies(&self) -> &Cookies {
        &self.0.cookies
    }

    pub(crate) fn own_origins(&self) -> &OwnOrigins {
        &self.0.own_origins
    }

    #[cfg(feature = "live")]
    pub(crate) fn live_connections(&self) -> &LiveConnections {
        &self.0.live
    }

    pub(crate) fn encryption_keys(&self) -> &EncryptionKeys {
        &self.0.encryption_keys
    }

    #[cfg(feature = "passkeys")]
    pub(crate) fn webauthn(&self) -> Result<&webauthn_rs::Webauthn, Error> {
        self.0.webauthn.as_ref().ok_or(Error::NoRelyingParty)
    }

    pub(crate) fn answers(&self) -> &Answers {
        &self.0.answers
    }

    pub(crate) fn addresses(&self) -> &Addresses {
        &self.0.addresses
    }

    /// The time now, by the [clock](Config::clock) that every age is measured with.
    #[must_use]
    pub fn now(&self) -> OffsetDateTime {
        self.0.config.clock.now()
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
        Ok(Transaction::new(<U::Database as Store<U>>::begin(&self.0.pool).await?))
    }
}

/// Logging in and out. These write the browser's cookies through its [`CookieSession`].
impl<U: AuthUser> Sigra<U> {
    /// Logs a user in whose identity has been proven, as far as a first factor does. One who has a second factor is
    /// logged in when they have [shown it](Self::complete_mfa_challenge), unless they trust this browser.
    ///
    /// One transaction deletes the session that the browser had and writes a new one; the cookie session is
    /// renewed, so nothing that was put into it before survives but return-to and what the host
    /// [listed](Config::survives_renewal) (session fixation, CWE-384). With `remember_me` the browser keeps
    /// the session after it is closed. The log and the audit trail say by which `method` it was.
    ///
    /// # Errors
    ///
    /// [`Error::CredentialsChanged`] if the user was deleted, or got another password, since `user` was read.
    #[tracing::instrument(level = "debug", name = "sigra.log_in_user", skip_all)]
    pub async fn log_in_user(
        &self,
        session: &CookieSession,
        user: &U,
        method: LogInMethod,
        remember_me: bool,
    ) -> Result<LogInOutcome, Error> {
        self.log_in_user_with(session, user, method, remember_me, async |_| Ok(())).await
    }

    /// The same, with statements and [mails](crate::mail::Mailer::send_in) of the host's in the transaction of the
    /// log-in: all of it is done, or nothing is. They are left out while the second factor is pending; hand them to
    /// [`complete_mfa_challenge_with`](Self::complete_mfa_challenge_with) too.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
    /// # impl sigra::AuthUser for User {
    /// #     type Id = i64; type Database = sqlx::Sqlite;
    /// #     fn id(&self) -> i64 { self.id }
    /// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// # }
    /// use sigra::{LogInMethod, LogInOutcome, CookieSession, Sigra};
    ///
    /// async fn log_in(sigra: &Sigra<User>, session: &CookieSession, user: &User) -> sigra::Result<LogInOutcome> {
    ///     sigra
    ///         .log_in_user_with(session, user, LogInMethod::Password, false, async |tx| {
    ///             let count = sqlx::query("UPDATE users SET log_ins = log_ins + 1 WHERE id = $1").bind(user.id);
    ///             count.execute(&mut **tx).await?;
    ///             Ok(())
    ///         })
    ///         .await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::CredentialsChanged`], as above, and whatever the statements fail with.
    pub async fn log_in_user_with(
        &self,
        session: &CookieSession,
        user: &U,
        method: LogInMethod,
        remember_me: bool,
        also: impl AsyncFnOnce(&mut Transaction<U>) -> Result<(), Error>,
    ) -> Result<LogInOutcome, Error> {
        let mut also = Some(also);
        transact!(self, if also.is_some(), tx => {
            self.lock_presented(tx, session, user).await?;
            self.lock_user(tx, user).await?;
            let shown = self.shown_before(tx, session, &user.id()).await?;
            self.log_in_in(tx, session, user, LogIn { method, remember_me, shown }, &mut also).await
        })
    }

    /// Opens the browser's session, in place of the one that it had. The user's row is locked. The browser gets it once
    /// it is committed.
    pub(crate) async fn log_in_in(
        &self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        user: &U,
        log_in: LogIn,
        also: &mut Option<impl AsyncFnOnce(&mut Transaction<U>) -> Result<(), Error>>,
    ) -> Result<LogInOutcome, Error> {
        let presented = session.presented();
        let client = session.client();
        let new = NewSession {
            replaces: presented.first().map(SessionToken::hash),
            method: Some(log_in.method),
            mfa_verified_at: log_in.shown.map(|shown| shown.at),
            mfa_verified_by: log_in.shown.and_then(|shown| shown.kind),
            ..NewSession::of(user, log_in.remember_me, &client, self.now())
        };
        let (token, row) = insert_session::<U>(tx, new).await?;
        if let Some(trusted) = log_in.shown.and_then(|shown| shown.trusted) {
            <U::Database as Browsers<U>>::note_session_of_browser(tx, trusted, row.id).await?;
        }
        let replaced = self.end_presented_in(tx, session).await?;
        if !row.mfa_pending {
            self.remember_browser_with(tx, session, &user.id(), log_in.shown.map(|shown| shown.at)).await?;
        }
        let event = if row.mfa_pending { telemetry::MFA_CHALLENGED } else { telemetry::LOGIN_SUCCESS };
        let method = log_in.method.name();
        let audit = own_event(event, &user.id(), &client).with(serde_json::json!({ "method": method }));
        self.record(tx, &audit).await?;
        if !row.mfa_pending
            && let Some(also) = also.take()
        {
            also(tx).await?;
        }
        let outcome = if row.mfa_pending { LogInOutcome::SecondFactorPending } else { LogInOutcome::Complete };
        let (sigra, session, user) = (self.clone(), session.clone(), user.id());
        tx.after_commit(move || {
            sigra.ended(&replaced);
            session.renew(token, sigra.remember_for(&row), &sigra.0.config.survives_renewal);
            tracing::info!(
                target: "sigra", event, user_id = %user, session_id = %row.id, method, remembered = row.remembered,
            );
        });
        Ok(outcome)
    }

    /// Locks the user's row, which all that opens or ends sessions does first: in another order a log-in and a reset
    /// could wait for each other, and a log-in beside an enrolment could do without the new factor.
    pub(crate) async fn lock_user(&self, conn: &mut Connection<U>, user: &U) -> Result<(), Error> {
        U::Database::lock_user(conn, &user.id()).await?.map(drop).ok_or(Error::CredentialsChanged)
    }

    /// Locks the rows of all users whose sessions a browser presents, and of one more.
    pub(crate) async fn lock_presented(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        user: &U,
    ) -> Result<(), Error> {
        self.lock_users_of(conn, &session.presented(), session.let_in(), Some(&user.id())).await
    }

    async fn lock_users_of(
        &self,
        conn: &mut Connection<U>,
        tokens: &[SessionToken],
        let_in: Option<SessionId>,
        user: Option<&U::Id>,
    ) -> Result<(), Error> {
        if tokens.is_empty() && let_in.is_none() {
            return Ok(());
        }
        let tokens: Vec<SessionHashes> = tokens.iter().map(SessionToken::hashes).collect();
        Ok(U::Database::lock_users_of(conn, &tokens, let_in, user).await?)
    }

    /// Locks the rows of two users until the end of a transaction: for what one of them does to the other, such as taking
    /// an address over. It is to come first. Whoever locked one and then the other could wait for somebody who does it the
    /// other way round; here the order is that of their ids.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn lock_both_users_in(&self, conn: &mut Connection<U>, one: &U::Id, other: &U::Id) -> Result<(), Error> {
        Ok(U::Database::lock_both_users(conn, one, other).await?)
    }

    /// Locks the row of who sends a request, and gives the user as they are now.
    pub(crate) async fn lock_scope(&self, conn: &mut Connection<U>, scope: &Scope<U>) -> Result<U, Error> {
        let user = U::Database::lock_user(conn, &scope.user().id()).await?;
        user.filter(AuthUser::is_active).ok_or(Error::SessionEnded)
    }

    /// Logs the browser out: its session's row is deleted, its cookies are expired, its live connections
    /// end. Does the same, and no harm, for a browser that is not logged in.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    #[tracing::instrument(level = "debug", name = "sigra.log_out_user", skip_all)]
    pub async fn log_out_user(&self, session: &CookieSession) -> Result<(), Error> {
        if !session.presented().is_empty() {
            let ended = transact!(self, conn => {
                let ended = self.end_presented_in(conn, session).await?;
                for ended in &ended {
                    self.record(conn, &own_event(telemetry::LOGOUT, &ended.user, &session.client())).await?;
                }
                Ok(ended)
            })?;
            self.logged_out(&ended);
        }
        session.end();
        Ok(())
    }

    /// Ends every session that the browser presents a token of, or one of before, of whichever user, and the one that
    /// its request was let in under: another tab may be renewing that at this moment.
    async fn end_presented_in(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
    ) -> Result<Vec<EndedSession<U::Id>>, Error> {
        self.end_tokens_in(conn, &session.presented(), session.let_in(), &session.client()).await
    }

    async fn end_tokens_in(
        &self,
        conn: &mut Connection<U>,
        tokens: &[SessionToken],
        let_in: Option<SessionId>,
        client: &Client,
    ) -> Result<Vec<EndedSession<U::Id>>, Error> {
        self.lock_users_of(conn, tokens, let_in, None).await?;
        let replaced_after = earlier(self.now(), self.0.config.reissue_grace);
        let mut sessions = Vec::new();
        for token in tokens {
            let presented = PresentedToken { token: token.hashes(), let_in, replaced_after };
            let ended = U::Database::delete_presented_session(&mut *conn, &presented).await?;
            for ended in ended.iter().filter(|ended| ended.is_reuse) {
                let event = Audit::new(telemetry::TOKEN_REUSED).of(ended.user.clone()).from(client);
                self.record(&mut *conn, &event).await?;
            }
            sessions.extend(ended);
        }
        Ok(sessions)
    }

    /// Gives the browser a new session token and a new cookie session, as every change of privilege must
    /// (OWASP ASVS 7.2.4). The old token is dead at once; the session, and its live connections, go on.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if the session is gone by now, or another request has renewed it: who began
    /// before a renewal does not come by the new token.
    pub async fn renew_session(&self, session: &CookieSession, scope: &Scope<U>) -> Result<(), Error> {
        let token = transact!(self, conn => self.replace_token_in(conn, session, scope, None).await)?;
        self.renewed(session, scope, token);
        Ok(())
    }

    /// The same in the host's own transaction, with the change that it goes with: both are done, or neither is. The
    /// browser gets the new token once it is committed.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
    /// # impl sigra::AuthUser for User {
    /// #     type Id = i64; type Database = sqlx::Sqlite;
    /// #     fn id(&self) -> i64 { self.id }
    /// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// # }
    /// use sigra::{Scope, CookieSession, Sigra};
    ///
    /// async fn become_admin(sigra: &Sigra<User>, session: &CookieSession, scope: &Scope<User>) -> sigra::Result<()> {
    ///     let mut tx = sigra.begin().await?;
    ///     let promote = sqlx::query("UPDATE users SET role = 'admin' WHERE id = $1").bind(scope.user().id);
    ///     promote.execute(&mut *tx).await?;
    ///     sigra.renew_session_in(&mut tx, session, scope).await?;
    ///     tx.commit().await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`], as above. Roll the transaction back then.
    pub async fn renew_session_in(
        &self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        scope: &Scope<U>,
    ) -> Result<(), Error> {
        self.renew_session_with(tx, session, scope, None).await
    }

    /// The same, and notes what the user has proved.
    pub(crate) async fn renew_session_with(
        &self,
        tx: &mut Transaction<U>,
        session: &CookieSession,
        scope: &Scope<U>,
        proof: Option<Proof>,
    ) -> Result<(), Error> {
        let token = self.replace_token_in(tx, session, scope, proof).await?;
        let (sigra, session, scope) = (self.clone(), session.clone(), scope.clone());
        tx.after_commit(move || sigra.renewed(&session, &scope, token));
        Ok(())
    }

    /// Notes that the user proved who they are once more, by their password, and [renews](Self::renew_session) the
    /// session. Who has a second factor proves it
    /// [by that](Self::reauthenticate_user_with_second_factor).
    ///
    /// # Errors
    ///
    /// [`Error::SecondFactorRequired`] for such a user, [`Error::SessionEnded`] if the session is gone by now.
    pub async fn reauthenticate_user(&self, session: &CookieSession, scope: &Scope<U>) -> Result<(), Error> {
        let user = scope.user().id();
        let token = transact!(self, conn => {
            self.lock_scope(conn, scope).await?;
            if U::Database::has_second_factor(conn, &user).await? {
                return Err(Error::SecondFactorRequired);
            }
            self.record(conn, &own_event(telemetry::REAUTHENTICATION_SUCCESS, &user, &session.client())).await?;
            self.replace_token_in(conn, session, scope, Some(Proof::Password)).await
        })?;
        self.renewed(session, scope, token);
        tracing::info!(
            target: "sigra", event = telemetry::REAUTHENTICATION_SUCCESS,
            user_id = %user, session_id = %scope.session().id,
        );
        Ok(())
    }

    /// Gives the session another token, for whoever still holds a good one.
    pub(crate) async fn replace_token_in(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        scope: &Scope<U>,
        proof: Option<Proof>,
    ) -> Result<SessionToken, Error> {
        for held in session.held() {
            let token = held.successor()?;
            let renewal = Renewal { token: token.hash(), now: self.now(), proof };
            if U::Database::replace_token(&mut *conn, scope.session().id, held.hash(), &renewal).await? {
                return Ok(token);
            }
        }
        Err(Error::SessionEnded)
    }

    /// Gives the browser the token that its session has now.
    pub(crate) fn renewed(&self, session: &CookieSession, scope: &Scope<U>, token: SessionToken) {
        // A second factor that was pending has come.
        let row = SessionRow { mfa_pending: false, ..scope.session().clone() };
        self.0.cache.forget(&row.id);
        session.renew(token, self.remember_for(&row), &self.0.config.survives_renewal);
        tracing::info!(target: "sigra", event = telemetry::SESSION_RENEWED, session_id = %row.id);
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
        let verification = self.0.passwords.verify(stored, password).await?;
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
        match &self.0.config.breach_check {
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
        self.0.passwords.hash(password).await
    }
}

/// Session rows, without a browser. What the functions above are made of.
impl<U: AuthUser> Sigra<U> {
    /// Writes a session, and gives its token: the only time that the raw token is seen. For a user who has a second
    /// factor it [is pending](SessionRow::mfa_pending), and stands for nobody.
    ///
    /// # Errors
    ///
    /// [`Error::CredentialsChanged`] if the user was deleted, or got another password, since `user` was read.
    pub async fn create_session(
        &self,
        user: &U,
        remembered: bool,
        client: &Client,
    ) -> Result<(SessionToken, SessionRow), Error> {
        self.open_session(NewSession::of(user, remembered, client, self.now())).await
    }

    pub(crate) async fn open_session(&self, new: NewSession<'_, U>) -> Result<(SessionToken, SessionRow), Error> {
        transact!(self, conn => {
            self.lock_user(conn, new.user).await?;
            insert_session::<U>(conn, new.clone()).await
        })
    }

    /// The scope that a token stands for, if its session is still there, not expired, and the user active and logged
    /// in with all factors that are asked of them.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn fetch_session(&self, token: &SessionToken) -> Result<Option<Scope<U>>, Error> {
        let hash = token.hash();
        let scope = match self.cached(&hash) {
            Some(scope) => Some(scope),
            None => {
                let (found, stamp) = self.find(token.hashes()).await?;
                found.filter(|found| self.is_good(found)).map(|found| self.keep_scope(hash, found, stamp))
            }
        };
        Ok(scope.filter(|scope| scope.clearance() == Clearance::Full))
    }

    /// Deletes the session of a token. Deleting what is already gone is no error.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_session(&self, token: &SessionToken) -> Result<(), Error> {
        let (token, client) = (std::slice::from_ref(token), Client::default());
        let ended = transact!(self, conn => self.end_tokens_in(conn, token, None, &client).await)?;
        self.logged_out(&ended);
        Ok(())
    }

    fn logged_out(&self, sessions: &[EndedSession<U::Id>]) {
        for ended in sessions {
            tracing::info!(target: "sigra", event = telemetry::LOGOUT, session_id = %ended.id);
        }
        self.ended(sessions);
    }

    fn ended(&self, sessions: &[EndedSession<U::Id>]) {
        for ended in sessions.iter().filter(|ended| ended.is_reuse) {
            let (user_id, session_id) = (&ended.user, ended.id);
            tracing::warn!(target: "sigra", event = telemetry::TOKEN_REUSED, %user_id, %session_id);
        }
        let ids: Vec<SessionId> = sessions.iter().map(|ended| ended.id).collect();
        self.end_sessions(&ids);
    }

    /// Asks the database whether the session of a request is still there: before work that only somebody who is logged
    /// in may cause, such as [hashing a password](Self::hash_password). A request may have waited, or been sent many
    /// times over, while its session was ended.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if it is not.
    pub async fn require_session(&self, scope: &Scope<U>) -> Result<(), Error> {
        let found = self.find_sessions(&[scope.session().id]).await?;
        match found.iter().any(|(session, user)| self.is_good_session(session, user)) {
            true => Ok(()),
            false => Err(Error::SessionEnded),
        }
    }

    /// Deletes one of a user's sessions, as from their list of devices, and the trust in its browser. Tells whether it
    /// was theirs.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_session_by_id(&self, user: &U::Id, id: SessionId) -> Result<bool, Error> {
        let revoked = transact!(self, conn => self.delete_session_in(conn, user, id).await)?;
        self.end_sessions(&revoked.sessions);
        Ok(!revoked.is_empty())
    }

    /// Deletes one of a user's sessions in the host's own transaction, if it is theirs, and the trust in its browser.
    /// [`announce`](Self::announce) what it returns after the commit.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_session_in(
        &self,
        conn: &mut Connection<U>,
        user: &U::Id,
        id: SessionId,
    ) -> Result<Revoked, Error> {
        let deleted = U::Database::delete_session_by_id(&mut *conn, user, id).await?;
        if deleted.is_some() {
            U::Database::delete_browser_of_session(conn, BrowserKind::Trusted, user, id).await?;
            tracing::info!(target: "sigra", event = telemetry::SESSION_REVOKED, user_id = %user, session_id = %id);
        }
        Ok(Revoked { user: user.to_string(), sessions: deleted.into_iter().collect() })
    }

    /// Deletes all sessions of a user, on every device. Gives their number.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn delete_all_sessions(&self, user: &U::Id) -> Result<usize, Error> {
        let revoked = transact!(self, conn => self.delete_sessions_in(conn, user, None).await)?;
        self.end_sessions(&revoked.sessions);
        Ok(revoked.len())
    }

    /// Deletes all sessions of a user but this one, and the trust in all browsers but this one. Gives the number of
    /// sessions.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if this one is gone by now: then it has nothing to say about the others, and
    /// they stay.
    pub async fn delete_other_sessions(&self, scope: &Scope<U>) -> Result<usize, Error> {
        let (user, this_one) = (scope.user().id(), scope.session().id);
        let revoked = transact!(self, conn => {
            let revoked = self.delete_sessions_in(conn, &user, Some(this_one)).await?;
            self.delete_other_trusted_browsers_in(conn, scope).await?;
            Ok(revoked)
        })?;
        self.end_sessions(&revoked.sessions);
        Ok(revoked.len())
    }

    /// Deletes the sessions of a user, all or all but one, in the host's own [transaction](Self::begin): beside a
    /// change of password, say. [`announce`](Self::announce) what it returns after the commit. The user's row is
    /// locked: who logs in at the same moment comes before all of it, or after.
    ///
    /// # Errors
    ///
    /// [`Error::SessionEnded`] if the one to be kept is gone by now. Roll the transaction back then: whoever
    /// asked for it was logged out meanwhile.
    pub async fn delete_sessions_in(
        &self,
        conn: &mut Connection<U>,
        user: &U::Id,
        except: Option<SessionId>,
    ) -> Result<Revoked, Error> {
        U::Database::lock_user(&mut *conn, user).await?;
        if let Some(kept) = except
            && !U::Database::has_session(&mut *conn, user, kept).await?
        {
            return Err(Error::SessionEnded);
        }
        let sessions = U::Database::delete_sessions(conn, user, except).await?;
        tracing::info!(target: "sigra", event = telemetry::SESSION_REVOKED, user_id = %user, sessions = sessions.len());
        Ok(Revoked { user: user.to_string(), sessions })
    }

    /// Ends deleted sessions, and their live connections, in this process at once. To other processes the
    /// database tells it.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
    /// # impl sigra::AuthUser for User {
    /// #     type Id = i64; type Database = sqlx::Sqlite;
    /// #     fn id(&self) -> i64 { self.id }
    /// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// # }
    /// async fn suspend(sigra: &sigra::Sigra<User>, user: i64) -> sigra::Result<()> {
    ///     let mut tx = sigra.begin().await?;
    ///     sqlx::query("UPDATE users SET suspended = true WHERE id = $1").bind(user).execute(&mut *tx).await?;
    ///     let revoked = sigra.delete_sessions_in(&mut tx, &user, None).await?;
    ///     tx.commit().await?;
    ///     sigra.announce(revoked);
    ///     Ok(())
    /// }
    /// ```
    #[allow(clippy::needless_pass_by_value, reason = "they are announced once")]
    pub fn announce(&self, revoked: Revoked) {
        self.0.cache.forget(&revoked.user);
        self.end_sessions(&revoked.sessions);
    }

    /// Lets the next request in this process see a user as the database has them now. Call it after a commit
    /// that changed or deleted a user's row, on PostgreSQL; without it that takes some milliseconds, as
    /// it does in other processes. On SQLite there is nothing to wait for.
    pub fn announce_user(&self, user: &U::Id) {
        self.0.cache.forget(user);
    }

    pub(crate) fn end_sessions(&self, ids: &[SessionId]) {
        for id in ids {
            self.0.cache.forget(id);
        }
        #[cfg(feature = "live")]
        self.0.live.end(ids);
    }

    /// The user's sessions that can still be used, the last used first: at most a hundred, and
    /// [whether there are more](Sessions::has_more).
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn list_sessions(&self, user: &U::Id) -> Result<Sessions, Error> {
        let (config, now) = (&self.0.config, self.now());
        let mut conn = self.0.pool.acquire().await?;
        let (opened, limit) = (Window::of(config.session_ttl, now), Sessions::MOST as i64 + 1);
        let mut sessions = U::Database::list_sessions(&mut conn, user, opened, limit).await?;
        sessions.retain(|session| session.is_live(config, now));
        Ok(Sessions::first_of(sessions))
    }

    /// Deletes expired rows, and gives their number. It works in small batches and rests between them, four
    /// times as long as each took, so that nobody else waits; any number of processes may do it at once.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn purge_expired_tokens(&self) -> Result<u64, Error> {
        let config = &self.0.config;
        let email = [config.confirm_ttl, config.reset_ttl, config.log_in_link_ttl, config.change_email_ttl];
        let email = email.into_iter().max().unwrap_or_default();
        let sessions = self
            .purge(config.session_ttl, async |conn, expired| U::Database::purge_sessions(conn, expired).await)
            .await;
        let mailed =
            self.purge(email, async |conn, expired| U::Database::purge_email_tokens(conn, expired).await).await;
        let recovery = self
            .purge(config.recovery_ttl, async |conn, expired| U::Database::purge_recovery_tokens(conn, expired).await)
            .await;
        let pending = self
            .purge(config.mfa_challenge_ttl, async |conn, expired| {
                U::Database::purge_pending_sessions(conn, expired).await
            })
            .await;
        let trusted = self
            .purge(config.mfa_trust_ttl, async |conn, expired| {
                <U::Database as Browsers<U>>::purge_browsers(conn, BrowserKind::Trusted, expired).await
            })
            .await;
        let known = self
            .purge(KNOWN_BROWSER_TTL, async |conn, expired| {
                <U::Database as Browsers<U>>::purge_browsers(conn, BrowserKind::Known, expired).await
            })
            .await;
        let events = match config.audit_retention {
            Some(retention) => {
                let purge = async |conn: &mut Connection<U>, expired| {
                    <U::Database as AuditLog<U>>::purge_audit_events(conn, expired).await
                };
                self.purge(retention, purge).await
            }
            None => Ok(0),
        };
        let ceremonies = self
            .purge(mfa::CEREMONY_TTL, async |conn, expired| U::Database::purge_ceremonies(conn, expired).await)
            .await;
        let attempts =
            self.purge(limits::FORGOTTEN, async |conn, expired| U::Database::purge_attempts(conn, expired).await).await;
        // What fails in one table is no reason to keep the rows of another.
        let tokens = [sessions, mailed, recovery, pending, trusted, known].into_iter().sum::<Result<u64, Error>>()?;
        events?;
        ceremonies?;
        attempts?;
        Ok(tokens)
    }

    async fn purge(
        &self,
        age: Duration,
        delete: impl AsyncFn(&mut Connection<U>, Expired) -> sqlx::Result<u64>,
    ) -> Result<u64, Error> {
        let expired = Expired { before: earlier(self.now(), age), limit: PURGE_BATCH };
        let mut purged = 0;
        loop {
            let begun = Instant::now();
            let batch = transact!(self, conn => Ok(delete(conn, expired).await?))?;
            purged += batch;
            if batch < PURGE_BATCH.unsigned_abs() {
                return Ok(purged);
            }
            tokio::time::sleep(begun.elapsed() * 4).await;
        }
    }
}

/// The cache of scopes.
impl<U: AuthUser> Sigra<U> {
    /// Whether scopes are kept in memory at present. If not, the database is asked at every request:
    /// because [`Config::cached_scopes`] says so, because nobody has logged in yet, or because the process
    /// can't be certain to hear of a revocation. An event [`telemetry::CACHE_BYPASSED`] says why.
    #[must_use]
    pub fn is_caching(&self) -> bool {
        self.0.cache.stamp().is_some()
    }

    /// Waits until this process knows of every change that was committed before, by whomever, and keeps
    /// scopes again if it can: at most five seconds. For tests that change rows by hand.
    #[cfg(feature = "testing")]
    pub async fn catch_up(&self) {
        self.0.cache.catch_up().await;
    }
}

/// What the layer and live connections ask.
impl<U: AuthUser> Sigra<U> {
    /// The scope of a token that needs no looking up.
    pub(crate) fn cached(&self, token: &TokenHash) -> Option<Scope<U>> {
        self.0.cache.get(token, self.now())
    }

    /// Finds what a presented token stands for, and keeps its row in shape.
    pub(crate) async fn look_up(&self, token: &SessionToken) -> Result<Lookup<U>, Error> {
        let (hash, now) = (token.hash(), self.now());
        let (found, stamp) = self.find(token.hashes()).await?;
        let Some(mut found) = found else {
            tracing::info!(target: "sigra", event = telemetry::TOKEN_REJECTED);
            return Ok(Lookup::Dead);
        };
        if found.session.is_ahead(&self.0.config, now) {
            tracing::warn!(target: "sigra", session_id = %found.session.id, "a session is refused: a clock is wrong");
            return Ok(Lookup::Dead);
        }
        if !found.session.is_live(&self.0.config, now) || !found.user.is_active() {
            tracing::info!(target: "sigra", event = telemetry::SESSION_EXPIRED, session_id = %found.session.id);
            // It has come to its end. The browser stays a trusted one.
            let (sigra, user, id) = (self.clone(), found.user.id(), found.session.id);
            let deleted = async move {
                let mut conn = sigra.pool().acquire().await?;
                U::Database::delete_session_by_id(&mut conn, &user, id).await?;
                sigra.end_sessions(&[id]);
                Ok::<(), Error>(())
            };
            self.keep_up("an expired session is not deleted", deleted).await;
            return Ok(Lookup::Dead);
        }
        let mut reissued = None;
        match found.standing {
            Standing::Previous(Some(until)) if self.is_in_grace(until) => {}
            Standing::Previous(_) => return Ok(Lookup::Superseded),
            Standing::Next => {
                let (sigra, next, id) = (self.clone(), hash, found.session.id);
                let promoted = async move { sigra.promote(next, id, now).await };
                self.keep_up("a session keeps its old token", promoted).await;
            }
            Standing::Current if found.session.is_due_for_reissue(&self.0.config, now) => {
                let (sigra, token, id) = (self.clone(), token.clone(), found.session.id);
                let issued = async move { sigra.reissue(token, id, now).await };
                reissued = self.keep_up("a session gets no new token", issued).await.flatten();
            }
            Standing::Current => {}
        }
        self.touch(&mut found.session, now).await;
        Ok(Lookup::Live { scope: self.keep_scope(hash, found, stamp), reissued })
    }

    /// Whether a browser is to hold this token: it has not been replaced, and its session goes on.
    pub(crate) async fn is_to_be_held(&self, token: SessionHashes) -> Result<bool, Error> {
        let found = self.0.reader.find(token).await?;
        let is_replaced = |found: &Found<U>| matches!(found.standing, Standing::Previous(_));
        Ok(found.is_some_and(|found| !is_replaced(&found) && self.is_good(&found)))
    }

    /// Whether a token stands for nothing, and never will: it was not even replaced by another.
    pub(crate) async fn is_dead(&self, token: SessionHashes) -> Result<bool, Error> {
        Ok(self.0.reader.find(token).await?.is_none())
    }

    /// Which of these sessions are still there, and their users.
    pub(crate) async fn find_sessions(&self, ids: &[SessionId]) -> Result<Vec<(SessionRow, U)>, Error> {
        let mut conn = self.0.pool.acquire().await?;
        Ok(U::Database::find_sessions(&mut conn, ids).await?)
    }

    /// Whether a session that is there is good for everything.
    pub(crate) fn is_good_session(&self, session: &SessionRow, user: &U) -> bool {
        let is_live = session.is_live(&self.0.config, self.now());
        is_live && user.is_active() && Clearance::of(user, session) == Clearance::Full
    }

    /// How long a remembered session's cookie lives: as long as the session, to the next whole second. There is none
    /// while the second factor is pending.
    pub(crate) fn remember_for(&self, session: &SessionRow) -> Option<Duration> {
        let left = later(session.inserted_at, self.0.config.session_ttl) - self.now();
        let seconds = u64::try_from(left.whole_milliseconds()).unwrap_or_default().div_ceil(1000);
        (session.remembered && !session.mfa_pending).then(|| Duration::from_secs(seconds))
    }

    /// Asks the database, and notes the moment before.
    async fn find(&self, token: SessionHashes) -> Result<(Option<Found<U>>, Option<Stamp<U>>), Error> {
        self.ensure_purged();
        self.0.cache.ensure_running();
        let stamp = self.0.cache.stamp();
        Ok((self.0.reader.find(token).await?, stamp))
    }

    /// The scope that was found, kept for the next request if its token is the current one.
    fn keep_scope(&self, token: TokenHash, found: Found<U>, stamp: Option<Stamp<U>>) -> Scope<U> {
        let scope = Scope::new(found.user, found.session);
        if found.standing == Standing::Current {
            self.0.cache.insert(token, scope.clone(), stamp, &self.0.config);
        }
        scope
    }

    fn is_good(&self, found: &Found<U>) -> bool {
        let now = self.now();
        let standing = match found.standing {
            Standing::Current | Standing::Next => true,
            Standing::Previous(until) => until.is_some_and(|until| self.is_in_grace(until)),
        };
        standing && found.session.is_live(&self.0.config, now) && found.user.is_active()
    }

    /// Whether a token that was replaced for its age is still good.
    fn is_in_grace(&self, until: OffsetDateTime) -> bool {
        let now = self.now();
        now < until && until <= later(latest(now), self.0.config.reissue_grace)
    }

    /// Keeps a row in shape, to the end. A page is not refused because that failed: the next one tries again, and on a
    /// database that only reads for now it can't be done.
    async fn keep_up<T: Send + 'static>(
        &self,
        failure: &'static str,
        upkeep: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Option<T> {
        match ToTheEnd::new(self.abandoned(), upkeep).await {
            Ok(done) => Some(done),
            Err(error) => {
                tracing::warn!(target: "sigra", %error, "{failure}");
                None
            }
        }
    }

    async fn reissue(
        &self,
        token: SessionToken,
        id: SessionId,
        now: OffsetDateTime,
    ) -> Result<Option<SessionToken>, Error> {
        let next = token.successor()?;
        let (current, hash, not_since) = (token.hash(), next.hash(), earlier(now, REISSUE_RETRY));
        let issued =
            transact!(self, conn => Ok(U::Database::issue_next_token(conn, current, hash, now, not_since).await?));
        if !issued? {
            return Ok(None);
        }
        tracing::info!(target: "sigra", event = telemetry::SESSION_REISSUED, session_id = %id);
        Ok(Some(next))
    }

    async fn promote(&self, next: TokenHash, id: SessionId, now: OffsetDateTime) -> Result<(), Error> {
        let previous_until = later(now, self.0.config.reissue_grace);
        transact!(self, conn => Ok(U::Database::promote_next_token(conn, next, now, previous_until).await?))?;
        self.0.cache.forget(&id);
        Ok(())
    }

    /// A page is not refused because this could not be noted.
    async fn touch(&self, session: &mut SessionRow, now: OffsetDateTime) {
        if !session.is_due_for_touch(&self.0.config, now) {
            return;
        }
        let id = session.id;
        let touched = async { transact!(self, conn => Ok(U::Database::touch_session(conn, id, now).await?)) };
        match touched.await {
            Ok(()) => session.last_used_at = now,
            Err(error) => {
                tracing::warn!(target: "sigra", %error, session_id = %session.id, "last_used_at is not written")
            }
        }
    }

    /// Resolves when another process may have ended a session.
    #[cfg(feature = "live")]
    pub(crate) async fn changed(&self) {
        self.0.cache.changed().await;
    }

    /// Begins to purge in the background, at the first request that could have found something to purge.
    fn ensure_purged(&self) {
        if let Some(interval) = self.0.config.purge_interval {
            self.0.purge.ensure_running(|| purge(Arc::downgrade(&self.0), interval));
        }
    }
}

async fn insert_session<U: AuthUser>(
    conn: &mut Connection<U>,
    new: NewSession<'_, U>,
) -> Result<(SessionToken, SessionRow), Error> {
    let token = SessionToken::generate()?;
    let row = U::Database::insert_session(conn, token.hashes(), &new).await?.ok_or(Error::CredentialsChanged)?;
    Ok((token, row))
}

/// Purges now and then, for as long as there is somebody who may need it. The intervals differ, so that
/// many processes don't do it all at once.
async fn purge<U: AuthUser>(sigra: Weak<Inner<U>>, interval: Duration) {
    loop {
        tokio::time::sleep(jittered(interval)).await;
        let Some(sigra) = sigra.upgrade() else { return };
        let sigra = Sigra(sigra);
        match sigra.purge_expired_tokens().await {
            Ok(purged) => tracing::info!(target: "sigra", event = telemetry::TOKENS_PURGED, purged),
            Err(error) => tracing::warn!(target: "sigra", %error, "expired tokens are not purged"),
        }
        if let Err(error) = sigra.reencrypt_secrets().await {
            tracing::warn!(target: "sigra", %error, "secrets are not encrypted anew");
        }
    }
}

impl<U: AuthUser> Clone for Sigra<U> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<U: AuthUser> fmt::Debug for Sigra<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sigra").field("config", &self.0.config).finish_non_exhaustive()
    }
}
