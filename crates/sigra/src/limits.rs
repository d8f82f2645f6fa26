//! Rate limits: of accounts, counted in the database for all processes, and of IP addresses, counted in memory.
//!
//! The attempts on an account are counted in the database, by its clock, so that the count survives a restart and all
//! processes share it. An attacker can use this to slow down any user, but can't lock them out: the delay has a
//! maximum, a success ends it, and a known browser has its own count. When you rotate the secret, all counts start
//! again.
//!
//! # Known browsers
//!
//! A browser in which a user completed a login is a known browser of theirs for 400 days (OWASP Authentication Cheat
//! Sheet, "device cookies"): its cookie `_my_app_device` has a random token, and a row of `users_tokens` has the
//! token's hash. The token logs nobody in. A user has at most 16 known browsers. They are forgotten when you [delete
//! all tokens of the user](crate::session::Sessions::end_all_access_in), as with a new password, when you [forget
//! them](crate::KnownBrowsers::delete_all_in), as when you log the user out everywhere, and when the user is deleted. A
//! new email address changes nothing: the row refers to the user.
//!
//! Failures in other browsers don't slow a known browser down. Its own count is as strict, and all known browsers of a
//! user together have 100 failures in a row, which is what NIST SP 800-63B-4 section 3.2.2 allows.

use std::{fmt::Display, time::Duration};

use uuid::Uuid;

use crate::{
    base::{clock::millis, error::Error, telemetry},
    browser::cookie_session::CookieSession,
    in_process::addresses::Addresses,
    model::{
        client::Client,
        transaction::Transaction,
        user::{AuthUser, Connection},
        window::CLOCK_SKEW,
    },
    sigra::{Sigra, handle, retry_once, transact},
    store::{self, Browser},
};

pub use crate::model::limit::{AddressLimit, Limit};

handle! {
    /// Counts attempts. Returned by [`Sigra::limits`].
    Limits,
    /// Returns the handle for [rate limits](crate::limits).
    limits
}

/// Rate limits.
impl<U: AuthUser> Limits<'_, U> {
    /// Counts a request against the limit of the client's IP address, or against the limit that [all clients without a
    /// known address share](AddressLimit).
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`].
    pub fn check_address(self, client: &Client) -> Result<(), Error> {
        check(&self.sigra.parts.addresses, client)
    }

    /// Counts a request to an endpoint for programs, which pages of every origin can call. A page sends its requests
    /// from the IP address of its reader, so they have a limit of their own: it must not be able to keep its readers,
    /// and everyone who shares their address, from logging in.
    #[cfg(feature = "oauth-server")]
    pub(crate) fn check_program(self, program: &Client) -> Result<(), Error> {
        check(&self.sigra.parts.addresses_of_programs, program)
    }

    /// Counts an attempt on an account, before it is made. `account` is the name that the visitor entered, whether or
    /// not such an account exists. The database stores only an HMAC of it.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::limits::Limit;
    ///
    /// async fn may_ask_for_a_code(sigra: &sigra::Sigra<User>, phone: &str) -> sigra::Result<()> {
    ///     sigra.limits().check(Limit::MAIL, "code", phone).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`].
    pub async fn check(self, limit: Limit, purpose: &str, account: &str) -> Result<(), Error> {
        self.count(limit, &self.key(&[purpose, account])).await
    }

    /// Like [`check`](Self::check), but in the host's own transaction: a rollback takes the attempt back. Use it for
    /// emails that are [sent in the transaction](crate::mail::Mailer::send_in).
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`]. You can still use the transaction.
    pub async fn check_in(
        self,
        conn: &mut Connection<U>,
        limit: Limit,
        purpose: &str,
        account: &str,
    ) -> Result<(), Error> {
        match self.sigra.parts.config.requests.rate_limits {
            true => self.attempt(conn, limit, &self.key(&[purpose, account])).await,
            false => Ok(()),
        }
    }

    /// Forgets the attempts that [`check`](crate::limits::Limits::check) counted. Call it after a success.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn forget(self, purpose: &str, account: &str) -> Result<(), Error> {
        self.forget_key(&self.key(&[purpose, account])).await
    }

    /// Counts a login attempt, before it is made: separately for a [known browser](self#known-browsers), and together
    /// for all other browsers. `account` is the name that the visitor entered, and `user` is the user of that name, if
    /// there is one. An unknown account takes the same work.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`].
    pub async fn check_log_in(self, session: &CookieSession, account: &str, user: Option<&U::Id>) -> Result<(), Error> {
        self.attempt_log_in(session, account, user, async { Ok(()) }).await
    }

    /// Counts a login attempt like [`check_log_in`](Self::check_log_in), and makes it: `attempt` checks the password.
    /// It is not run if the account must wait, or if the attempt can't be counted. It runs while the count is written
    /// to the disk, and its result is returned only after that.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::{CookieSession, Password, Sigra, Verification};
    ///
    /// async fn is_password_of(
    ///     sigra: &Sigra<User>, session: &CookieSession, email: &str, user: Option<&User>, password: &Password,
    /// ) -> sigra::Result<bool> {
    ///     let id = user.map(|user| &user.id);
    ///     let check = sigra.verify_password(user, password);
    ///     Ok(sigra.limits().attempt_log_in(session, email, id, check).await? != Verification::Invalid)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`], and the errors of `attempt`.
    pub async fn attempt_log_in<T>(
        self,
        session: &CookieSession,
        account: &str,
        user: Option<&U::Id>,
        attempt: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        if !self.sigra.parts.config.requests.rate_limits {
            return attempt.await;
        }
        let known = self.sigra.known_browser(session, user).await?;
        let strangers = self.login_key(account);
        let counted = self.count_browser(Limit::LOGIN, "log in", known.as_ref(), &strangers).await?;
        let (written, result) = tokio::join!(counted.commit(), attempt);
        written?;
        result
    }

    /// Forgets the login attempts on an account. Call it after a success: a correct password, or a new one. Earlier
    /// failures then delay nobody.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn forget_logins(self, session: &CookieSession, account: &str, user: &U::Id) -> Result<(), Error> {
        transact!(self.sigra, conn => self.forget_logins_in(conn, session, account, user).await)
    }

    /// Like [`forget_logins`](Self::forget_logins), but in the host's own transaction, as for a new password.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn forget_logins_in(
        self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        account: &str,
        user: &U::Id,
    ) -> Result<(), Error> {
        // The attempts of a browser that became known in this request were counted with those of unknown browsers.
        let known = match session.noted_browser(user) {
            Some(known) => known,
            None => self.sigra.find_known_browser(&mut *conn, session, Some(user)).await?.map(|known| known.id),
        };
        let own = known.map_or_else(|| self.login_key(account), |known| self.known_key("log in", known));
        let all_known = self.all_known_key("log in", user);
        Ok(store::attempts::forget::<U::Database>(conn, [&own, &all_known]).await?)
    }

    /// Counts an answer to a challenge, across all sessions of the user. A browser in which they presented a second
    /// factor before has its own count.
    pub(crate) async fn check_second_factor(self, session: &CookieSession, user: &U::Id) -> Result<(), Error> {
        if !self.sigra.parts.config.requests.rate_limits {
            return Ok(());
        }
        let known = self.sigra.known_browser(session, Some(user)).await?;
        let known = known.filter(|known| known.has_shown_second_factor);
        let strangers = self.second_factor_key(user);
        self.count_browser(Limit::SECOND_FACTOR, "second factor", known.as_ref(), &strangers).await?.commit().await
    }

    /// Forgets the attempts of [`check_second_factor`](Self::check_second_factor), in the transaction of the success.
    pub(crate) async fn forget_second_factors(
        self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        user: &U::Id,
    ) -> Result<(), Error> {
        let known = self.sigra.find_known_browser(&mut *conn, session, Some(user)).await?;
        let known = known.filter(|known| known.has_shown_second_factor);
        let own = known.map(|known| self.known_key("second factor", known.id));
        let own = own.unwrap_or_else(|| self.second_factor_key(user));
        let all_known = self.all_known_key("second factor", user);
        Ok(store::attempts::forget::<U::Database>(conn, [&own, &all_known]).await?)
    }

    /// Counts an attempt of a known browser separately, as long as all known browsers of the user together are within
    /// [`Limit::KNOWN_BROWSERS`]. Beyond that, and for an unknown browser, counts it with those of all unknown
    /// browsers. The attempt counts once the transaction that it returns is committed.
    async fn count_browser(
        self,
        limit: Limit,
        purpose: &str,
        known: Option<&Browser<U::Id>>,
        strangers: &[u8; 32],
    ) -> Result<Transaction<U>, Error> {
        let Some(known) = known else { return self.begin_count(limit, strangers).await };
        // Like a login that forgets these counters, it locks that of the browser first.
        let mut tx = self.begin_count(limit, &self.known_key(purpose, known.id)).await?;
        match self.attempt(&mut tx, Limit::KNOWN_BROWSERS, &self.all_known_key(purpose, &known.user)).await {
            Ok(()) => Ok(tx),
            Err(Error::TooManyAttempts { .. }) => {
                tx.commit().await?;
                self.begin_count(limit, strangers).await
            }
            Err(error) => Err(error),
        }
    }

    /// Counts an attempt in a transaction of its own, and returns it. It is tried once more if the database rolls it
    /// back so that another can continue.
    async fn begin_count(self, limit: Limit, key: &[u8; 32]) -> Result<Transaction<U>, Error> {
        retry_once!(self.try_count(limit, key).await, if true)
    }

    async fn try_count(self, limit: Limit, key: &[u8; 32]) -> Result<Transaction<U>, Error> {
        let mut tx = self.sigra.begin().await?;
        match self.attempt(&mut tx, limit, key).await {
            Ok(()) => Ok(tx),
            Err(error @ Error::TooManyAttempts { .. }) => {
                // A count that a wrong clock made may have been reset.
                tx.commit().await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }

    /// Uses up the free login attempts, so that the next one must wait.
    #[cfg(feature = "testing")]
    pub(crate) async fn exhaust_logins(self, account: &str) -> Result<(), Error> {
        let mut conn = self.sigra.pool().acquire().await?;
        for _ in 0..Limit::LOGIN.free {
            self.attempt(&mut conn, Limit::LOGIN, &self.login_key(account)).await?;
        }
        Ok(())
    }

    async fn count(self, limit: Limit, key: &[u8; 32]) -> Result<(), Error> {
        if !self.sigra.parts.config.requests.rate_limits {
            return Ok(());
        }
        self.begin_count(limit, key).await?.commit().await
    }

    async fn forget_key(self, key: &[u8; 32]) -> Result<(), Error> {
        transact!(self.sigra, conn => Ok(store::attempts::forget::<U::Database>(conn, [key, key]).await?))
    }

    async fn attempt(self, conn: &mut Connection<U>, limit: Limit, key: &[u8; 32]) -> Result<(), Error> {
        let now = self.sigra.parts.config.clock.server_time();
        let Err(mut left) = store::attempts::count::<U::Database>(conn, key, &limit, now).await? else { return Ok(()) };
        let longest = millis(limit.max_delay.saturating_add(CLOCK_SKEW));
        if left > longest
            && store::attempts::forget_those_of_a_wrong_clock::<U::Database>(conn, key, longest, now).await?
        {
            tracing::warn!(
                target: "sigra", ahead_ms = left,
                "a clock was ahead when attempts were counted; their count starts again"
            );
            match store::attempts::count::<U::Database>(conn, key, &limit, now).await? {
                Ok(()) => return Ok(()),
                Err(again) => left = again,
            }
        }
        tracing::info!(target: "sigra", event = telemetry::RATE_LIMITED, limit = "account");
        let wait = u64::try_from(left).unwrap_or_default().max(1);
        Err(Error::TooManyAttempts { retry_after: Duration::from_millis(wait) })
    }
}

fn check(addresses: &Addresses, client: &Client) -> Result<(), Error> {
    let counted = match client.ip {
        Some(ip) => addresses.check(ip),
        None => addresses.check_unknown(),
    };
    counted.inspect_err(|_| tracing::info!(target: "sigra", event = telemetry::RATE_LIMITED, limit = "address"))
}

/// Stands for all unknown browsers, in place of the ID of a browser.
const STRANGERS: &str = "";

/// The keys of counters: HMACs, because anyone could compute a plain hash of an email address and look for it in a copy
/// of the database.
impl<U: AuthUser> Limits<'_, U> {
    /// Returns the key of login attempts. It has one part more than the keys of
    /// [`Limits::check`](crate::limits::Limits::check), so that it differs from every purpose of the host.
    fn login_key(self, account: &str) -> [u8; 32] {
        self.key(&["log in", STRANGERS, account])
    }

    /// Returns the key of second factors, in unknown browsers.
    fn second_factor_key(self, user: &impl Display) -> [u8; 32] {
        self.key(&["second factor", STRANGERS, &user.to_string()])
    }

    /// Returns the key of one known browser.
    fn known_key(self, purpose: &str, known: Uuid) -> [u8; 32] {
        self.key(&[purpose, "known browser", &known.to_string()])
    }

    /// Returns the key of all known browsers of a user.
    fn all_known_key(self, purpose: &str, user: &impl Display) -> [u8; 32] {
        self.key(&[purpose, "all known browsers", &user.to_string()])
    }

    /// Returns the key of a counter, by the newest secret only: looking for the counters of older ones would take more
    /// statements.
    fn key(self, parts: &[&str]) -> [u8; 32] {
        let parts: Vec<&[u8]> = parts.iter().map(|part| part.as_bytes()).collect();
        self.sigra.parts.limit_keys.mac(&parts)
    }
}

/// The age at which a counter is deleted: 48 hours, longer than every limit of the library remembers attempts.
pub(crate) const FORGOTTEN: Duration = Duration::from_secs(60).saturating_mul(60 * 48);
