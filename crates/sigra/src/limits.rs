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
//! any more once [all their tokens are deleted](Sigra::delete_all_tokens_in), as by a new password, or
//! [they are logged out everywhere](Sigra::delete_known_browsers_in), or they are deleted. A new address changes
//! nothing: the row is the user's, whatever they are called.
//!
//! Others' failures don't slow a known browser down. Its own count is as strict; and all that are known
//! together have a hundred failures in a row, which is what NIST SP 800-63B-4 section 3.2.2 allows.

use std::{
    fmt::Display,
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};
use sha2::{Digest, Sha256};

use crate::{
    AuthUser, Client, CookieSession, Error, Sigra,
    sigra::{Connection, transact},
    store::{Attempts, Browser},
    telemetry,
};

const MINUTE: Duration = Duration::from_secs(60);

/// How far clocks that are right may differ.
pub(crate) const CLOCK_SKEW: Duration = MINUTE.saturating_mul(5);

/// How often something may be tried for one account.
///
/// ```
/// use std::time::Duration;
/// use sigra::limits::Limit;
///
/// // A code of six digits: three at once, then one every ten minutes.
/// let limit = Limit { free: 3, delay: Duration::from_secs(600), max_delay: Duration::from_secs(600), ..Limit::LOG_IN };
/// # let _ = limit;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How many attempts there are before the first delay.
    pub free: i32,
    /// The first delay. It doubles with each attempt.
    pub delay: Duration,
    /// The longest delay.
    pub max_delay: Duration,
    /// After so long without an attempt it begins anew.
    pub forget_after: Duration,
}

impl Limit {
    /// For passwords: five, then a second's delay that doubles up to a quarter of an hour.
    pub const LOG_IN: Self = Self {
        free: 5,
        delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(15 * 60),
        forget_after: Duration::from_secs(24 * 60 * 60),
    };

    /// For second factors: five, then half a minute's delay that doubles up to an hour. Whoever gets here has the
    /// password, and one code of six digits in half a million is right: at two dozen a day that takes decades
    /// (OWASP ASVS 6.6.3).
    pub const SECOND_FACTOR: Self = Self {
        free: 5,
        delay: Duration::from_secs(30),
        max_delay: Duration::from_secs(60 * 60),
        forget_after: Duration::from_secs(24 * 60 * 60),
    };

    /// For all browsers together that a user [has logged in with](self#known-browsers), beside what each of them is
    /// limited by: a hundred failures in a row (NIST SP 800-63B-4 section 3.2.2). Past them they count with strangers,
    /// until there is a success, or for a day.
    pub const KNOWN_BROWSERS: Self = Self {
        free: 100,
        delay: Duration::from_secs(24 * 60 * 60),
        max_delay: Duration::from_secs(24 * 60 * 60),
        forget_after: Duration::from_secs(24 * 60 * 60),
    };

    /// For what a user does to their own account, and what takes work or a mail: a new password, say. Twenty, then ten
    /// seconds' delay that doubles up to a quarter of an hour.
    pub const CHANGES: Self = Self {
        free: 20,
        delay: Duration::from_secs(10),
        max_delay: Duration::from_secs(15 * 60),
        forget_after: Duration::from_secs(60 * 60),
    };

    /// For mails: three in a quarter of an hour.
    pub const MAIL: Self = Self {
        free: 3,
        delay: Duration::from_secs(15 * 60),
        max_delay: Duration::from_secs(15 * 60),
        forget_after: Duration::from_secs(15 * 60),
    };
}

/// How many requests an address may send to the pages of accounts.
///
/// IPv6 addresses count by their /64, which is what one customer has. Requests whose address is not known, as of a server
/// without axum's `ConnectInfo`, count as one client's, who may send ten times as many: that bounds what can be guessed
/// at, and one visitor alone does not easily use up what is there for all. The log says once how to mend it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressLimit {
    /// How many at once.
    pub burst: NonZeroU32,
    /// How many a minute after that.
    pub per_minute: NonZeroU32,
}

impl Default for AddressLimit {
    /// A hundred, and one a second after that: an office behind one address can begin its day.
    fn default() -> Self {
        const HUNDRED: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
        const SIXTY: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);
        Self { burst: HUNDRED, per_minute: SIXTY }
    }
}

/// Counts addresses, in this process.
pub(crate) struct Addresses {
    limiter: Option<DefaultKeyedRateLimiter<IpAddr>>,
    /// For all whose address is not known.
    unknown: Option<DefaultDirectRateLimiter>,
    is_unknown_told: AtomicBool,
    checks: AtomicUsize,
}

impl Addresses {
    /// Unlimited without a limit.
    pub fn new(limit: Option<AddressLimit>) -> Self {
        let quota = |limit: AddressLimit| Quota::per_minute(limit.per_minute).allow_burst(limit.burst);
        let for_many = |limit: AddressLimit| AddressLimit {
            burst: limit.burst.saturating_mul(UNKNOWN_CLIENTS),
            per_minute: limit.per_minute.saturating_mul(UNKNOWN_CLIENTS),
        };
        Self {
            limiter: limit.map(quota).map(RateLimiter::keyed),
            unknown: limit.map(for_many).map(quota).map(RateLimiter::direct),
            is_unknown_told: AtomicBool::new(false),
            checks: AtomicUsize::new(0),
        }
    }

    /// Counts who can't be told apart together.
    fn check_unknown(&self) -> Result<(), Error> {
        let Some(limiter) = &self.unknown else { return Ok(()) };
        if !self.is_unknown_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "sigra",
                "requests come without the address of their client, so that all clients share one limit: serve with \
                 `app.into_make_service_with_connect_info::<SocketAddr>()`, or put `ConnectInfo<SocketAddr>` into the \
                 extensions of each request"
            );
        }
        limiter
            .check()
            .map_err(|early| Error::TooManyAttempts { retry_after: early.wait_time_from(limiter.clock().now()) })
    }

    fn check(&self, ip: IpAddr) -> Result<(), Error> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        // To look through all of them takes some milliseconds: now and then, not at every request of a flood.
        let is_time = self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(MAX_ADDRESSES / 10);
        if is_time && limiter.len() > MAX_ADDRESSES {
            limiter.retain_recent();
        }
        limiter
            .check_key(&network(ip))
            .map_err(|early| Error::TooManyAttempts { retry_after: early.wait_time_from(limiter.clock().now()) })
    }
}

/// For how many clients those count whose address is not known.
const UNKNOWN_CLIENTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// Past so many, those that have been quiet are forgotten.
const MAX_ADDRESSES: usize = 100_000;

fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Limits.
impl<U: AuthUser> Sigra<U> {
    /// Counts a request of a client against its address, or against what all share [whose address is not
    /// known](AddressLimit).
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`].
    pub fn limit_address(&self, client: &Client) -> Result<(), Error> {
        let counted = match client.ip {
            Some(ip) => self.addresses().check(ip),
            None => self.addresses().check_unknown(),
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
    ///     sigra.limit(Limit::MAIL, "code", phone).await
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`].
    pub async fn limit(&self, limit: Limit, purpose: &str, account: &str) -> Result<(), Error> {
        self.count(limit, &key(&[purpose, account])).await
    }

    /// The same in the host's own transaction: what is rolled back was no attempt. For mails, which are
    /// [sent in it](crate::mail::Mailer::send_in) too.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`]. The transaction can go on.
    pub async fn limit_in(
        &self,
        conn: &mut Connection<U>,
        limit: Limit,
        purpose: &str,
        account: &str,
    ) -> Result<(), Error> {
        match self.config().rate_limits {
            true => self.attempt(conn, limit, &key(&[purpose, account])).await,
            false => Ok(()),
        }
    }

    /// Forgets the attempts before a success, as counted by [`limit`](Self::limit).
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn forget_attempts(&self, purpose: &str, account: &str) -> Result<(), Error> {
        self.forget(&key(&[purpose, account])).await
    }

    /// Counts a log-in, before it is made: for this browser alone if it is [known](self#known-browsers), and together
    /// with all the others if not. The account is what the visitor names it by; the user, if there is one of that
    /// name, whose browser it may be. An unknown account takes the same work.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyAttempts`].
    pub async fn limit_log_in(
        &self,
        session: &CookieSession,
        account: &str,
        user: Option<&U::Id>,
    ) -> Result<(), Error> {
        let known = self.known_browser(session, user).await?;
        let strangers = log_in_key(STRANGERS, account);
        self.limit_browser(Limit::LOG_IN, "log in", known.as_ref(), &strangers).await
    }

    /// Forgets the attempts before a success: a right password, or a new one. Nobody is kept waiting for guesses
    /// from before.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn forget_log_ins(&self, session: &CookieSession, account: &str, user: &U::Id) -> Result<(), Error> {
        transact!(self, conn => self.forget_log_ins_in(conn, session, account, user).await)
    }

    /// The same in the host's own transaction, as for a new password.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn forget_log_ins_in(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        account: &str,
        user: &U::Id,
    ) -> Result<(), Error> {
        // One that is new has been a stranger's until now.
        let known = match session.is_new_browser() {
            true => None,
            false => self.find_known_browser(&mut *conn, session, Some(user)).await?,
        };
        let own = known.as_ref().map(|known| known_key("log in", known));
        U::Database::forget_attempts(&mut *conn, &own.unwrap_or_else(|| log_in_key(STRANGERS, account))).await?;
        U::Database::forget_attempts(conn, &all_known_key("log in", user)).await?;
        Ok(())
    }

    /// Counts an answer to a challenge: over all sessions of the user, but for browsers in which they have shown a
    /// second factor before, which have a count of their own.
    pub(crate) async fn limit_second_factor(&self, session: &CookieSession, user: &U::Id) -> Result<(), Error> {
        let known = self.known_browser(session, Some(user)).await?;
        let known = known.filter(|known| known.has_shown_second_factor);
        let strangers = second_factor_key(user);
        self.limit_browser(Limit::SECOND_FACTOR, "second factor", known.as_ref(), &strangers).await
    }

    /// Forgets the attempts before a success, in its transaction.
    pub(crate) async fn forget_second_factors(
        &self,
        conn: &mut Connection<U>,
        session: &CookieSession,
        user: &U::Id,
    ) -> Result<(), Error> {
        let known = self.find_known_browser(&mut *conn, session, Some(user)).await?;
        let known = known.filter(|known| known.has_shown_second_factor);
        let own = known.as_ref().map(|known| known_key("second factor", known));
        U::Database::forget_attempts(&mut *conn, &own.unwrap_or_else(|| second_factor_key(user))).await?;
        U::Database::forget_attempts(conn, &all_known_key("second factor", user)).await?;
        Ok(())
    }

    /// Counts an attempt of a known browser by itself, as long as all that are known have failed no more than
    /// [`Limit::KNOWN_BROWSERS`] says; and past that, or of a browser that is not known, with the strangers'.
    async fn limit_browser(
        &self,
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
    pub(crate) async fn exhaust_log_ins(&self, account: &str) -> Result<(), Error> {
        let mut conn = self.pool().acquire().await?;
        for _ in 0..Limit::LOG_IN.free {
            self.attempt(&mut conn, Limit::LOG_IN, &log_in_key(STRANGERS, account)).await?;
        }
        Ok(())
    }

    async fn count(&self, limit: Limit, key: &[u8; 32]) -> Result<(), Error> {
        if !self.config().rate_limits {
            return Ok(());
        }
        transact!(self, conn => match self.attempt(conn, limit, key).await {
            // What was done to a count that a wrong clock has made is kept.
            Err(error @ Error::TooManyAttempts { .. }) => Ok(Err(error)),
            counted => counted.map(Ok),
        })?
    }

    async fn forget(&self, key: &[u8; 32]) -> Result<(), Error> {
        transact!(self, conn => Ok(U::Database::forget_attempts(conn, key).await?))
    }

    async fn attempt(&self, conn: &mut Connection<U>, limit: Limit, key: &[u8; 32]) -> Result<(), Error> {
        let now = self.config().clock.server_time();
        let Err(mut left) = U::Database::attempt(conn, key, &limit, now).await? else { return Ok(()) };
        let longest = i64::try_from((limit.max_delay + CLOCK_SKEW).as_millis()).unwrap_or(i64::MAX / 4);
        if left > longest && U::Database::forget_attempts_of_a_wrong_clock(conn, key, longest, now).await? {
            tracing::warn!(
                target: "sigra", ahead_ms = left,
                "a clock was ahead when attempts were counted; their count begins anew"
            );
            match U::Database::attempt(conn, key, &limit, now).await? {
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

/// Has a part more than what [`Sigra::limit`] counts by, so that no purpose of a host's is the same.
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
pub(crate) const FORGOTTEN: Duration = MINUTE.saturating_mul(60 * 48);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv6_customer_is_one_address() {
        let of = |ip: &str| network(ip.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::2"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn an_address_is_limited_and_others_are_not() {
        let addresses = Addresses::new(Some(AddressLimit::default()));
        let (noisy, quiet): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        for _ in 0..100 {
            addresses.check(noisy).expect("within the burst");
        }
        assert!(matches!(addresses.check(noisy), Err(Error::TooManyAttempts { .. })));
        addresses.check(quiet).expect("another address");
        Addresses::new(None).check(noisy).expect("no limit");
    }

    #[test]
    fn who_has_no_address_is_limited_with_all_the_others_who_have_none() {
        let addresses = Addresses::new(Some(AddressLimit::default()));
        for _ in 0..1000 {
            addresses.check_unknown().expect("within the burst");
        }
        let Err(Error::TooManyAttempts { retry_after }) = addresses.check_unknown() else { panic!("without a limit") };
        assert!(retry_after <= Duration::from_millis(100), "ten a second, not {retry_after:?}");
        addresses.check([192, 0, 2, 1].into()).expect("an address of its own");
        Addresses::new(None).check_unknown().expect("no limit");
    }

    #[test]
    fn the_parts_of_a_key_do_not_run_into_each_other() {
        assert_ne!(key(&["ab", "c", ""]), key(&["a", "bc", ""]));
        assert_ne!(key(&["a", "c", "b"]), key(&["a", "b", "c"]));
        assert_ne!(key(&["log in", "ada"]), log_in_key(STRANGERS, "ada"));
    }
}
