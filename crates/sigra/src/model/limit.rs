//! Limits of attempts, requests and connections.

use std::{num::NonZeroU32, time::Duration};

/// How many attempts an account allows, and how long it delays further ones.
///
/// ```
/// use std::time::Duration;
/// use sigra::limits::Limit;
///
/// // A code of six digits: three at once, then one every ten minutes.
/// let limit = Limit::LOGIN.free(3).delay(Duration::from_secs(600)).max_delay(Duration::from_secs(600));
/// # let _ = limit;
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limit {
    /// The number of attempts before the first delay.
    pub free: i32,
    /// The first delay. It doubles with each attempt.
    pub delay: Duration,
    /// The maximum delay.
    pub max_delay: Duration,
    /// How long it takes without an attempt until the count starts again.
    pub forget_after: Duration,
}

impl Limit {
    /// Sets the number of attempts before the first delay.
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

    /// Sets the maximum delay.
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

    /// The limit for passwords: 5 attempts, then a delay of 1 second that doubles up to 15 minutes.
    pub const LOGIN: Self = Self {
        free: 5,
        delay: Duration::from_secs(1),
        max_delay: Duration::from_secs(15 * 60),
        forget_after: Duration::from_secs(24 * 60 * 60),
    };

    /// The limit for second factors: 5 attempts, then a delay of 30 seconds that doubles up to an hour.
    ///
    /// An attacker here already has the password, and one in half a million codes of six digits is right. At two dozen
    /// attempts a day, guessing takes decades (OWASP ASVS 6.6.3).
    pub const SECOND_FACTOR: Self = Self {
        free: 5,
        delay: Duration::from_secs(30),
        max_delay: Duration::from_secs(60 * 60),
        forget_after: Duration::from_secs(24 * 60 * 60),
    };

    /// The limit for all [known browsers](crate::limits#known-browsers) of a user together: 100 failures in a row (NIST
    /// SP 800-63B-4 section 3.2.2). Each of them has a limit of its own, too.
    ///
    /// Beyond it, they are limited like unknown browsers, until a login succeeds, or for a day.
    pub const KNOWN_BROWSERS: Self = Self {
        free: 100,
        delay: Duration::from_secs(24 * 60 * 60),
        max_delay: Duration::from_secs(24 * 60 * 60),
        forget_after: Duration::from_secs(24 * 60 * 60),
    };

    /// The limit for changes of one's own account that take work or send an email, such as a new password: 20, then a
    /// delay of 10 seconds that doubles up to 15 minutes.
    pub const CHANGES: Self = Self {
        free: 20,
        delay: Duration::from_secs(10),
        max_delay: Duration::from_secs(15 * 60),
        forget_after: Duration::from_secs(60 * 60),
    };

    /// The limit for programs that [register
    /// themselves](crate::oauth_server::AuthorizationServer::max_registered_clients) from an IP address: 10 in an hour.
    #[cfg(feature = "oauth-server")]
    pub const CLIENT_REGISTRATION: Self = Self {
        free: 10,
        delay: Duration::from_secs(60 * 60),
        max_delay: Duration::from_secs(60 * 60),
        forget_after: Duration::from_secs(60 * 60),
    };

    /// The limit for emails: 3 in 15 minutes.
    pub const MAIL: Self = Self {
        free: 3,
        delay: Duration::from_secs(15 * 60),
        max_delay: Duration::from_secs(15 * 60),
        forget_after: Duration::from_secs(15 * 60),
    };
}

/// How many requests an IP address can send to the pages of accounts.
///
/// IPv6 addresses count by their /64, which is what one customer has. If the IP address is unknown, such as on a server
/// without axum's `ConnectInfo`, all requests count as one client's, with ten times the limit. That bounds guessing,
/// and one visitor can hardly use up the limit for all. The log says once how to fix it.
///
/// ```
/// use std::num::NonZeroU32;
/// use sigra::limits::AddressLimit;
///
/// let limit = AddressLimit::default().burst(NonZeroU32::MIN.saturating_add(49));
/// assert_eq!((limit.burst.get(), limit.per_minute.get()), (50, 60));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AddressLimit {
    /// The number of requests at once.
    pub burst: NonZeroU32,
    /// The number of requests per minute after that.
    pub per_minute: NonZeroU32,
}

impl AddressLimit {
    /// Sets the number of requests at once.
    #[must_use]
    pub const fn burst(mut self, burst: NonZeroU32) -> Self {
        self.burst = burst;
        self
    }

    /// Sets the number of requests per minute after that.
    #[must_use]
    pub const fn per_minute(mut self, per_minute: NonZeroU32) -> Self {
        self.per_minute = per_minute;
        self
    }
}

impl Default for AddressLimit {
    /// Returns 100 at once, and then one per second: enough for an office behind one IP address in the morning.
    fn default() -> Self {
        const HUNDRED: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);
        const SIXTY: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);
        Self { burst: HUNDRED, per_minute: SIXTY }
    }
}

/// How many live connections can be open at the same time, in each process.
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
    /// The maximum for one session: for all tabs of a browser.
    pub per_session: usize,
    /// The maximum for one user, in all their sessions.
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
    /// Returns 50 for a session and 200 for a user.
    fn default() -> Self {
        Self { per_session: 50, per_user: 200 }
    }
}
