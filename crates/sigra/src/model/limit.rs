//! How often something may be tried.

use std::{num::NonZeroU32, time::Duration};

/// How often something may be tried for one account.
///
/// ```
/// use std::time::Duration;
/// use sigra::limits::Limit;
///
/// // A code of six digits: three at once, then one every ten minutes.
/// let limit = Limit::LOG_IN.free(3).delay(Duration::from_secs(600)).max_delay(Duration::from_secs(600));
/// # let _ = limit;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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
    /// Sets how many attempts there are before the first delay.
    #[must_use]
    pub const fn free(mut self, free: i32) -> Self {
        self.free = free;
        self
    }

    /// Sets the first delay.
    #[must_use]
    pub const fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets the longest delay.
    #[must_use]
    pub const fn max_delay(mut self, max_delay: Duration) -> Self {
        self.max_delay = max_delay;
        self
    }

    /// Sets how long it takes without an attempt until the count starts again.
    #[must_use]
    pub const fn forget_after(mut self, forget_after: Duration) -> Self {
        self.forget_after = forget_after;
        self
    }

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

    /// For all browsers together that a user [has logged in with](crate::limits#known-browsers), beside what each of them is
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
#[non_exhaustive]
pub struct AddressLimit {
    /// How many at once.
    pub burst: NonZeroU32,
    /// How many a minute after that.
    pub per_minute: NonZeroU32,
}

impl AddressLimit {
    /// Sets how many requests may come at once.
    #[must_use]
    pub const fn burst(mut self, burst: NonZeroU32) -> Self {
        self.burst = burst;
        self
    }

    /// Sets how many requests may come each minute after that.
    #[must_use]
    pub const fn per_minute(mut self, per_minute: NonZeroU32) -> Self {
        self.per_minute = per_minute;
        self
    }
}

impl Default for AddressLimit {
    /// A hundred, and one a second after that: an office behind one address can begin its day.
    fn default() -> Self {
        const HUNDRED: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
        const SIXTY: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);
        Self { burst: HUNDRED, per_minute: SIXTY }
    }
}

/// How many live connections there may be at the same time, in each process.
///
/// ```
/// use sigra::{Config, SecretKeyBase, live::LiveLimit};
///
/// let limit = LiveLimit::default().per_session(5);
/// let config = Config::new("my_app", SecretKeyBase::generate()?).live_connections(limit);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[cfg(feature = "live")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LiveLimit {
    /// Of one session: of all tabs of a browser.
    pub per_session: usize,
    /// Of one user, in all their sessions.
    pub per_user: usize,
}

#[cfg(feature = "live")]
impl LiveLimit {
    /// Sets the limit of one session.
    #[must_use]
    pub const fn per_session(mut self, per_session: usize) -> Self {
        self.per_session = per_session;
        self
    }

    /// Sets the limit of one user.
    #[must_use]
    pub const fn per_user(mut self, per_user: usize) -> Self {
        self.per_user = per_user;
        self
    }
}

#[cfg(feature = "live")]
impl Default for LiveLimit {
    /// 50 of a session, 200 of a user.
    fn default() -> Self {
        Self { per_session: 50, per_user: 200 }
    }
}
