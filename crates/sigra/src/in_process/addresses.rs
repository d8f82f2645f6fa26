//! Rate limits of IP addresses, in this process.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use governor::{
    Quota, RateLimiter,
    clock::Clock as _,
    middleware::NoOpMiddleware,
    state::{InMemoryState, NotKeyed, keyed::DefaultKeyedStateStore},
};

use crate::{
    base::{clock::Clock, error::Error},
    model::limit::AddressLimit,
};

type Limiter<K, S> = RateLimiter<K, S, Stopwatch, NoOpMiddleware<Duration>>;

/// Counts the requests of each IP address.
pub(crate) struct Addresses {
    limiter: Option<Limiter<IpAddr, DefaultKeyedStateStore<IpAddr>>>,
    /// The limit that all clients without a known address share.
    unknown: Option<Limiter<NotKeyed, InMemoryState>>,
    is_unknown_told: AtomicBool,
    checks: AtomicUsize,
}

impl Addresses {
    /// Creates the counters. `None` means no limit.
    pub fn new(limit: Option<AddressLimit>, clock: &Clock) -> Self {
        let stopwatch = || Stopwatch { clock: clock.clone(), started: Instant::now() };
        let quota = |limit: AddressLimit| Quota::per_minute(limit.per_minute).allow_burst(limit.burst);
        let for_many = |limit: AddressLimit| AddressLimit {
            burst: limit.burst.saturating_mul(UNKNOWN_CLIENTS),
            per_minute: limit.per_minute.saturating_mul(UNKNOWN_CLIENTS),
        };
        Self {
            limiter: limit.map(quota).map(|quota| RateLimiter::dashmap_with_clock(quota, stopwatch())),
            unknown: limit.map(for_many).map(quota).map(|quota| RateLimiter::direct_with_clock(quota, stopwatch())),
            is_unknown_told: AtomicBool::new(false),
            checks: AtomicUsize::new(0),
        }
    }

    /// Counts a request without an IP address. All such clients share one limit.
    pub fn check_unknown(&self) -> Result<(), Error> {
        let Some(limiter) = &self.unknown else { return Ok(()) };
        if !self.is_unknown_told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "sigra",
                "requests have no IP address, so all clients share one limit: serve with \
                 `app.into_make_service_with_connect_info::<SocketAddr>()`, or add `ConnectInfo<SocketAddr>` to the \
                 extensions of each request"
            );
        }
        limiter
            .check()
            .map_err(|early| Error::TooManyAttempts { retry_after: early.wait_time_from(limiter.clock().now()) })
    }

    pub fn check(&self, ip: IpAddr) -> Result<(), Error> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        // Looking through all addresses takes some milliseconds, which is too long for each request of a flood.
        let is_time = self.checks.fetch_add(1, Ordering::Relaxed).is_multiple_of(MAX_ADDRESSES / 10);
        if is_time && limiter.len() > MAX_ADDRESSES {
            limiter.retain_recent();
        }
        limiter
            .check_key(&network(ip))
            .map_err(|early| Error::TooManyAttempts { retry_after: early.wait_time_from(limiter.clock().now()) })
    }
}

/// Measures the time between requests. It never goes back, and stands still with a stopped clock.
#[derive(Clone, Debug)]
struct Stopwatch {
    clock: Clock,
    started: Instant,
}

impl governor::clock::Clock for Stopwatch {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.clock.since(self.started).min(LONGEST)
    }
}

/// The counters can't have times above 584 years, to which a test could advance a clock.
const LONGEST: Duration = Duration::from_hours(100 * 365 * 24);

/// How many times the limit of one address the clients without a known address share.
pub(crate) const UNKNOWN_CLIENTS: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);

/// The number of addresses above which inactive ones are forgotten.
const MAX_ADDRESSES: usize = 100_000;

/// Returns what counts as one address: a client with an IPv6 address usually has all of its 64-bit network.
pub(crate) fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ipv6_addresses_of_one_64_bit_network_count_together() {
        let of = |ip: &str| network(ip.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::2"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }

    #[test]
    fn a_limited_address_does_not_limit_others() {
        let addresses = Addresses::new(Some(AddressLimit::default()), &Clock::stopped());
        let (noisy, quiet): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        for _ in 0..100 {
            addresses.check(noisy).expect("within the burst");
        }
        assert!(matches!(addresses.check(noisy), Err(Error::TooManyAttempts { .. })));
        addresses.check(quiet).expect("another address");
        Addresses::new(None, &Clock::stopped()).check(noisy).expect("no limit");
    }

    #[test]
    fn clients_without_an_address_share_one_limit() {
        let addresses = Addresses::new(Some(AddressLimit::default()), &Clock::stopped());
        for _ in 0..1000 {
            addresses.check_unknown().expect("within the burst");
        }
        let Err(Error::TooManyAttempts { retry_after }) = addresses.check_unknown() else { panic!("without a limit") };
        assert!(retry_after <= Duration::from_millis(100), "ten a second, not {retry_after:?}");
        addresses.check([192, 0, 2, 1].into()).expect("an address of its own");
        Addresses::new(None, &Clock::stopped()).check_unknown().expect("no limit");
    }

    /// Otherwise a test that uses up a limit would depend on the speed of the machine.
    #[test]
    fn a_limit_stands_still_with_a_stopped_clock_and_follows_it_when_it_advances() {
        let second = Duration::from_secs(1);
        let time = |clock: Clock| Stopwatch { clock, started: Instant::now() - second }.now();
        assert_eq!(time(Clock::stopped()), Duration::ZERO);
        assert!(time(Clock::system()) >= second);

        let clock = Clock::stopped();
        let addresses = Addresses::new(Some(AddressLimit::default()), &clock);
        let noisy = IpAddr::from([192, 0, 2, 1]);
        while addresses.check(noisy).is_ok() {}
        clock.advance(second);
        addresses.check(noisy).expect("one per second");
        addresses.check(noisy).expect_err("one per second");
        clock.advance(Duration::MAX);
        for _ in 0..100 {
            addresses.check(noisy).expect("within the burst");
        }
        addresses.check(noisy).expect_err("not more than the burst");
    }
}
