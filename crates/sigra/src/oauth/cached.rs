//! What a provider publishes, fetched when it is first needed and kept for a while.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use time::OffsetDateTime;

use crate::{
    base::clock::{Clock, later},
    oauth::error::OauthError,
};

/// How long a value is used without asking again.
const FRESH: Duration = Duration::from_secs(60 * 60);

/// How long a value is used while the provider fails.
const USABLE: Duration = Duration::from_secs(24 * 60 * 60);

/// The longest pause after failures, which begins with a second and doubles.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The shortest time between two refreshes that an ID token with an unknown key causes.
const BETWEEN_REFRESHES: Duration = Duration::from_secs(60);

/// A value of a provider. At most one request at a time fetches it, and after failures, there are pauses.
#[derive(Debug)]
pub(crate) struct Cached<T> {
    state: Mutex<State<T>>,
    fetching: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State<T> {
    value: Option<(Arc<T>, OffsetDateTime)>,
    failure: Option<Failure>,
    refreshed_at: Option<OffsetDateTime>,
}

#[derive(Clone, Debug)]
struct Failure {
    error: OauthError,
    count: u32,
    retry_at: OffsetDateTime,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        let state = State { value: None, failure: None, refreshed_at: None };
        Self { state: Mutex::new(state), fetching: tokio::sync::Mutex::default() }
    }
}

impl<T> Cached<T> {
    /// Returns the value, and fetches it if it is missing or old. While the provider fails, returns the old value, or
    /// the error without another request until the pause has ended.
    pub async fn get(
        &self,
        clock: &Clock,
        fetch: impl Future<Output = Result<T, OauthError>>,
    ) -> Result<Arc<T>, OauthError> {
        if let Some(fresh) = self.younger_than(FRESH, clock) {
            return Ok(fresh);
        }
        let Some(_fetching) = self.turn_to_fetch(clock).await else {
            return self.younger_than(USABLE, clock).ok_or(OauthError::Connect);
        };
        if let Some(fresh) = self.younger_than(FRESH, clock) {
            return Ok(fresh);
        }
        let failure = self.state().failure.clone().filter(|failure| failure.retry_at > clock.now());
        let error = match failure {
            Some(failure) => failure.error,
            None => match self.fetch(clock, fetch).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            },
        };
        self.younger_than(USABLE, clock).ok_or(error)
    }

    /// Returns a newer value than `seen`, if another request fetched one or the last refresh is long enough ago.
    pub async fn refresh(
        &self,
        seen: &Arc<T>,
        clock: &Clock,
        fetch: impl Future<Output = Result<T, OauthError>>,
    ) -> Result<Option<Arc<T>>, OauthError> {
        let _fetching = self.fetching.lock().await;
        {
            let state = self.state();
            if let Some((value, _)) = &state.value
                && !Arc::ptr_eq(value, seen)
            {
                return Ok(Some(value.clone()));
            }
            if state.refreshed_at.is_some_and(|at| later(at, BETWEEN_REFRESHES) > clock.now()) {
                return Ok(None);
            }
        }
        let fetched = self.fetch(clock, fetch).await;
        // Not before: if the client disconnects, nothing was fetched, and the next request tries again.
        self.state().refreshed_at = Some(clock.now());
        fetched.map(Some)
    }

    /// Waits for the turn to fetch. Returns `None` if another request is fetching and an old value is good enough.
    async fn turn_to_fetch(&self, clock: &Clock) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        match self.fetching.try_lock() {
            Ok(turn) => Some(turn),
            Err(_) if self.younger_than(USABLE, clock).is_some() => None,
            Err(_) => Some(self.fetching.lock().await),
        }
    }

    async fn fetch(
        &self,
        clock: &Clock,
        fetch: impl Future<Output = Result<T, OauthError>>,
    ) -> Result<Arc<T>, OauthError> {
        let fetched = fetch.await;
        let mut state = self.state();
        match fetched {
            Ok(value) => {
                let value = Arc::new(value);
                state.value = Some((value.clone(), clock.now()));
                state.failure = None;
                Ok(value)
            }
            Err(error) => {
                let count = state.failure.as_ref().map_or(0, |failure| failure.count.saturating_add(1));
                let pause = Duration::from_secs(1u64 << count.min(6)).min(LONGEST_PAUSE);
                let retry_at = later(clock.now(), pause);
                state.failure = Some(Failure { error: error.clone(), count, retry_at });
                Err(error)
            }
        }
    }

    fn younger_than(&self, age: Duration, clock: &Clock) -> Option<Arc<T>> {
        let state = self.state();
        let (value, fetched_at) = state.value.as_ref()?;
        (later(*fetched_at, age) > clock.now()).then(|| value.clone())
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A provider that counts its requests.
    #[derive(Default)]
    struct Source {
        requests: AtomicUsize,
        is_down: std::sync::atomic::AtomicBool,
    }

    impl Source {
        async fn answer(&self) -> Result<usize, OauthError> {
            let request = self.requests.fetch_add(1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            if self.is_down.load(Ordering::SeqCst) { Err(OauthError::TimedOut) } else { Ok(request) }
        }

        fn requests(&self) -> usize {
            self.requests.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn simultaneous_requests_fetch_once() {
        let (clock, source, cached) = (Clock::stopped(), Source::default(), Cached::default());
        let all: [_; 8] = std::array::from_fn(|_| cached.get(&clock, source.answer()));
        let [a, b, c, d, e, f, g, h] = all;
        let got = tokio::join!(a, b, c, d, e, f, g, h);
        assert_eq!(got.0, got.7);
        assert_eq!(source.requests(), 1);
    }

    #[tokio::test]
    async fn a_provider_that_is_down_is_asked_again_after_pauses_that_double_up_to_a_minute() {
        let (clock, source, cached) = (Clock::stopped(), Source::default(), Cached::default());
        source.is_down.store(true, Ordering::SeqCst);
        for (failures, pause) in [1, 2, 4, 8, 16, 32, 60, 60].into_iter().enumerate() {
            for _ in 0..3 {
                assert_eq!(cached.get(&clock, source.answer()).await, Err(OauthError::TimedOut));
            }
            assert_eq!(source.requests(), failures + 1);
            clock.advance(Duration::from_secs(pause));
        }
        source.is_down.store(false, Ordering::SeqCst);
        assert!(cached.get(&clock, source.answer()).await.is_ok());
    }

    #[tokio::test]
    async fn an_old_value_is_used_for_a_day_while_the_provider_is_down() {
        let (clock, source, cached) = (Clock::stopped(), Source::default(), Cached::default());
        let first = cached.get(&clock, source.answer()).await.unwrap();
        source.is_down.store(true, Ordering::SeqCst);
        clock.advance(FRESH);
        assert_eq!(cached.get(&clock, source.answer()).await.as_ref(), Ok(&first));
        assert_eq!(source.requests(), 2, "the provider got another request");
        clock.advance(USABLE);
        assert_eq!(cached.get(&clock, source.answer()).await, Err(OauthError::TimedOut));
    }

    #[tokio::test]
    async fn unknown_keys_cause_at_most_one_refresh_a_minute() {
        let (clock, source, cached) = (Clock::stopped(), Source::default(), Cached::default());
        let first = cached.get(&clock, source.answer()).await.unwrap();
        let second = cached.refresh(&first, &clock, source.answer()).await.unwrap().unwrap();
        assert_eq!(source.requests(), 2);
        assert_eq!(cached.refresh(&first, &clock, source.answer()).await, Ok(Some(second.clone())), "another got it");
        for _ in 0..3 {
            assert_eq!(cached.refresh(&second, &clock, source.answer()).await, Ok(None));
        }
        assert_eq!(source.requests(), 2);
        clock.advance(BETWEEN_REFRESHES);
        assert!(cached.refresh(&second, &clock, source.answer()).await.unwrap().is_some());
        assert_eq!(source.requests(), 3);
    }

    #[tokio::test]
    async fn a_refresh_that_is_dropped_does_not_count_and_one_that_fails_does() {
        let (clock, source, cached) = (Clock::stopped(), Source::default(), Cached::default());
        let first = cached.get(&clock, source.answer()).await.unwrap();
        tokio::select! {
            biased;
            refreshed = cached.refresh(&first, &clock, source.answer()) => panic!("it takes a while: {refreshed:?}"),
            () = std::future::ready(()) => {} // The client disconnects.
        }
        assert_eq!(source.requests(), 2);
        source.is_down.store(true, Ordering::SeqCst);
        assert_eq!(cached.refresh(&first, &clock, source.answer()).await, Err(OauthError::TimedOut));
        assert_eq!(cached.refresh(&first, &clock, source.answer()).await, Ok(None));
        assert_eq!(source.requests(), 3);
    }
}
