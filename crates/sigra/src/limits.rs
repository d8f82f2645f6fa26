//! How often something may be tried: for an account where all processes see it, for an address in memory.
//!
//! An account's attempts are counted in the database, by its clock, so that they survive a restart and are the same
//! for all processes. An attacker can slow down whoever they like in this way, but lock nobody out: the delay grows to
//! a bound, a success ends it, and a known browser has a count of its own.
//!
//! # Known browsers
//!
//! A browser that a user has completed a log-in with is known for 400 days to be theirs (OWASP Authentication Cheat
//! Sheet, "device cookies"): by a random token in its cookie `_my_app_device`, and a hash of it in a row of
//! `users_tokens`. The token logs nobody in. At most 16 browsers of a user are known, and none
//! any more once [all their tokens are deleted](crate::EmailTokens::delete_all_in), as by a new password, or
//! [they are logged out everywhere](crate::KnownBrowsers::delete_all_in), or they are deleted. A new address changes
//! nothing: the row is the user's, whatever they are called.
//!
//! Others' failures don't slow a known browser down. Its own count is as strict; and all that are known
//! together have a hundred failures in a row, which is what NIST SP 800-63B-4 section 3.2.2 allows.

use std::{fmt::Display, time::Duration};

use sha2::{Digest, Sha256};

use crate::{
    base::{error::Error, telemetry},
    browser::cookie_session::CookieSession,
    model::{
        client::Client,
        user::{AuthUser, Connection},
        window::CLOCK_SKEW,
    },
    sigra::{Sigra, handle, transact},
    store::{self, Browser},
};

pub use crate::model::limit::{AddressLimit, Limit};

handle! {
    /// Counts attempts. From [`Sigra::limits`].
    Limits,
    /// How often something may be tried: the [rate limits](crate::limits).
    limits
}

/// Limits.
impl<U: AuthUser> Limits<'_, U> {
    /// Counts a request of a client against its address, or against what all share [whose address is not
    /// known](AddressLimit).
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`].
    pub fn check_address(self, client: &Client) -> Result<(), Error> {
        let counted = match client.ip {
            Some(ip) => self.sigra.parts.addresses.check(ip),
            None => self.sigra.parts.addresses.check_unknown(),
        };
        counted.inspect_err(|_| tracing::info!(target: "sigra", event = telemetry::RATE_LIMITED, limit = "address"))
    }

    /// Counts an attempt to do something to an account, before it is made. The account is whatever the visitor
    /// names it by, known or not; the database holds a hash of it.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
    /// # impl sigra::AuthUser for User {
    /// #     type Id = i64; type Database = sqlx::Sqlite;
    /// #     fn id(&self) -> i64 { self.id }
    /// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// # }
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
        self.count(limit, &key(&[purpose, account])).await
    }

    /// The same in the host's own transaction: what is rolled back was no attempt. For mails, which are
    /// [sent in it](crate::mail::Mailer::send_in) too.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`]. The transaction can go on.
    pub async fn check_in(
        self,
        conn: &mut Connection<U>,
        limit: Limit,
        purpose: &str,
        account: &str,
    ) -> Result<(), Error> {
        match self.sigra.parts.config.rate_limits {
            true => self.attempt(conn, limit, &key(&[purpose, account])).await,
            false => Ok(()),
        }
    }

    /// Forgets the attempts before a success, as counted by [`limit`](crate::limits::Limits::check).
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn forget(self, purpose: &str, account: &str) -> Result<(), Error> {
        self.forget_key(&key(&[purpose, account])).await
    }

    /// Counts a log-in, before it is made: for this browser alone if it is [known](self#known-browsers), and together
    /// with all the others if not. The account is what the visitor names it by; the user, if there is one of that
    /// name, whose browser it may be. An unknown account takes the same work.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`].
    pub async fn check_log_in(self, session: &CookieSession, account: &str, user: Option<&U::Id>) -> Result<(), Error> {
        let known = self.sigra.known_browser(session, user).await?;
        let strangers = log_in_key(STRANGERS, account);
        self.check_browser(Limit::LOG_IN, "log in", known.as_ref(), &strangers).await
    }

    /// Forgets the attempts before a success: a right password, or a new one. Nobody is kept waiting for guesses
    /// from before.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn forget_log_ins(self, session: &CookieSession, account: &str, user: &U::Id) -> Result<(), Error> {
        transact!(self.sigra, conn => self.forget_log_ins_in(conn, session, account, user).await)
    }

    /// The same in the host's own transaction, as for a new password.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn forget_log_ins_in(
        self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        account: &str,
        user: &U::Id,
    ) -> Result<(), Error> {
        // One that is new has been a stranger's until now.
        let known = match session.is_new_browser() {
            true => None,
            false => self.sigra.find_known_browser(&mut *conn, session, Some(user)).await?,
        };
        let own = known.as_ref().map(|known| known_key("log in", known));
        store::attempts::forget::<U::Database>(&mut *conn, &own.unwrap_or_else(|| log_in_key(STRANGERS, account)))
            .await?;
        store::attempts::forget::<U::Database>(conn, &all_known_key("log in", user)).await?;
        Ok(())
    }

    /// Counts an answer to a challenge: over all sessions of the user, but for browsers in which they have shown a
    /// second factor before, which have a count of their own.
    pub(crate) async fn check_second_factor(self, session: &CookieSession, user: &U::Id) -> Result<(), Error> {
        let known = self.sigra.known_browser(session, Some(user)).await?;
        let known = known.filter(|known| known.has_shown_second_factor);
        let strangers = second_factor_key(user);
        self.check_browser(Limit::SECOND_FACTOR, "second factor", known.as_ref(), &strangers).await
    }

    /// Forgets the attempts before a success, in its transaction.
    pub(crate) async fn forget_second_factors(
        self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        user: &U::Id,
    ) -> Result<(), Error> {
        let known = self.sigra.find_known_browser(&mut *conn, session, Some(user)).await?;
        let known = known.filter(|known| known.has_shown_second_factor);
        let own = known.as_ref().map(|known| known_key("second factor", known));
        store::attempts::forget::<U::Database>(&mut *conn, &own.unwrap_or_else(|| second_factor_key(user))).await?;
        store::attempts::forget::<U::Database>(conn, &all_known_key("second factor", user)).await?;
        Ok(())
    }

    /// Counts an attempt of a known browser by itself, as long as all that are known have failed no more than
    /// [`Limit::KNOWN_BROWSERS`] says; and past that, or of a browser that is not known, with the strangers'.
    async fn check_browser(
        self,
        limit: Limit,
        purpose: &str,
        known: Option<&Browser<U::Id>>,
        strangers: &[u8; 32],
    ) -> Result<(), Error> {
        let Some(known) = known else { return self.count(limit, strangers).await };
        self.count(limit, &known_key(purpose, known)).await?;
        match self.count(Limit::KNOWN_BROWSERS, &all_known_key(purpose, &known.user)).await {
            Err(Error::TooManyAttempts { .. }) => self.count(limit, strangers).await,
            counted => counted,
        }
    }

    /// Fails to log in until the next attempt has to wait.
    #[cfg(feature = "testing")]
    pub(crate) async fn exhaust_log_ins(self, account: &str) -> Result<(), Error> {
        let mut conn = self.sigra.pool().acquire().await?;
        for _ in 0..Limit::LOG_IN.free {
            self.attempt(&mut conn, Limit::LOG_IN, &log_in_key(STRANGERS, account)).await?;
        }
        Ok(())
    }

    async fn count(self, limit: Limit, key: &[u8; 32]) -> Result<(), Error> {
        if !self.sigra.parts.config.rate_limits {
            return Ok(());
        }
        transact!(self.sigra, conn => match self.attempt(conn, limit, key).await {
            // What was done to a count that a wrong clock has made is kept.
            Err(error @ Error::TooManyAttempts { .. }) => Ok(Err(error)),
            counted => counted.map(Ok),
        })?
    }

    async fn forget_key(self, key: &[u8; 32]) -> Result<(), Error> {
        transact!(self.sigra, conn => Ok(store::attempts::forget::<U::Database>(conn, key).await?))
    }

    async fn attempt(self, conn: &mut Connection<U>, limit: Limit, key: &[u8; 32]) -> Result<(), Error> {
        let now = self.sigra.parts.config.clock.server_time();
        let Err(mut left) = store::attempts::count::<U::Database>(conn, key, &limit, now).await? else { return Ok(()) };
        let longest = i64::try_from((limit.max_delay + CLOCK_SKEW).as_millis()).unwrap_or(i64::MAX / 4);
        if left > longest
            && store::attempts::forget_those_of_a_wrong_clock::<U::Database>(conn, key, longest, now).await?
        {
            tracing::warn!(
                target: "sigra", ahead_ms = left,
                "a clock was ahead when attempts were counted; their count begins anew"
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

/// In place of a browser, for all that are not known.
const STRANGERS: &str = "";

/// Has a part more than what [`Limits::check`](crate::limits::Limits::check) counts by, so that no purpose of a host's is the same.
fn log_in_key(browser: &str, account: &str) -> [u8; 32] {
    key(&["log in", browser, account])
}

/// Likewise.
fn second_factor_key(user: &impl Display) -> [u8; 32] {
    key(&["second factor", STRANGERS, &user.to_string()])
}

/// Likewise, of one browser.
fn known_key<Id>(purpose: &str, known: &Browser<Id>) -> [u8; 32] {
    key(&[purpose, "known browser", &known.id.to_string()])
}

/// Likewise, of all that know a user.
fn all_known_key(purpose: &str, user: &impl Display) -> [u8; 32] {
    key(&[purpose, "all known browsers", &user.to_string()])
}

fn key(parts: &[&str]) -> [u8; 32] {
    let parts = parts.iter().map(|part| Sha256::digest(part.as_bytes()));
    parts.fold(Sha256::new(), |key, part| key.chain_update(part)).finalize().into()
}

/// Counters that nobody has touched for longer are forgotten by every limit.
pub(crate) const FORGOTTEN: Duration = Duration::from_secs(60).saturating_mul(60 * 48);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_a_key_do_not_run_into_each_other() {
        assert_ne!(key(&["ab", "c", ""]), key(&["a", "bc", ""]));
        assert_ne!(key(&["a", "c", "b"]), key(&["a", "b", "c"]));
        assert_ne!(key(&["log in", "ada"]), log_in_key(STRANGERS, "ada"));
    }
}
