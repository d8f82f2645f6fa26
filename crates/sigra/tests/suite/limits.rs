//! Rate limits of accounts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{Router, http::StatusCode, response::IntoResponse, routing::post};
use sigra::{
    Clock, CookieSession, Error,
    limits::Limit,
    testing::{TestClient, TestHost},
};
use tokio::task::JoinSet;

use super::host::{DAY, Host, MINUTE, SECOND, secret};

const CODE: Limit = Limit::LOGIN.free(3).delay(SECOND).max_delay(Duration::from_secs(5)).forget_after(DAY);

async fn attempt(host: &Host, limit: Limit) -> Option<Duration> {
    match host.sigra.limits().check(limit, "code", "ada").await {
        Ok(()) => None,
        Err(Error::TooManyAttempts { retry_after }) => Some(retry_after),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn delays_grow_to_a_maximum_and_are_forgotten_after_a_day() {
    let host = Host::new().await;
    for _ in 0..3 {
        assert_eq!(attempt(&host, CODE).await, None);
    }
    for seconds in [1, 2, 4, 5, 5, 5] {
        assert_eq!(attempt(&host, CODE).await, Some(SECOND * seconds));
        host.clock().advance(SECOND * seconds - Duration::from_millis(1));
        assert_eq!(
            attempt(&host, CODE).await,
            Some(Duration::from_millis(1)),
            "a refused attempt does not extend the delay"
        );
        host.clock().advance(Duration::from_millis(1));
        assert_eq!(attempt(&host, CODE).await, None);
    }
    host.clock().advance(DAY);
    for _ in 0..3 {
        assert_eq!(attempt(&host, CODE).await, None, "attempts are forgotten after a day");
    }
    assert!(attempt(&host, CODE).await.is_some());
}

#[tokio::test]
async fn a_limit_can_have_any_duration() {
    let host = Host::new().await;
    let forever = CODE.free(1).delay(Duration::MAX).max_delay(Duration::MAX).forget_after(Duration::MAX);
    for limit in [forever, CODE.free(1).max_delay(Duration::MAX), CODE.free(1).delay(Duration::MAX)] {
        host.sigra.limits().forget("code", "ada").await.unwrap();
        assert_eq!(attempt(&host, limit).await, None);
        assert!(attempt(&host, limit).await.is_some_and(|delay| delay <= limit.max_delay), "{limit:?}");
    }
    let none = CODE.delay(Duration::ZERO).max_delay(Duration::ZERO);
    host.sigra.limits().forget("code", "ada").await.unwrap();
    for _ in 0..10 {
        assert_eq!(attempt(&host, none).await, None);
    }
}

#[tokio::test]
async fn a_limit_of_one_delays_the_second_attempt() {
    let host = Host::new().await;
    let once = CODE.free(1);
    assert_eq!(attempt(&host, once).await, None);
    assert_eq!(attempt(&host, once).await, Some(SECOND));
}

#[tokio::test]
async fn a_limit_applies_to_one_account_and_one_purpose() {
    let host = Host::new().await;
    for _ in 0..3 {
        assert_eq!(attempt(&host, CODE).await, None);
    }
    assert!(attempt(&host, CODE).await.is_some());
    host.sigra.limits().check(CODE, "code", "grace").await.unwrap();
    host.sigra.limits().check(CODE, "another code", "ada").await.unwrap();
    host.sigra.limits().forget("code", "ada").await.unwrap();
    assert_eq!(attempt(&host, CODE).await, None);
}

/// CVE-2019-5421: concurrent attempts were counted as one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_attempts_are_counted_like_sequential_ones() {
    let host = Host::new().await;
    let other = host.restart(|config| config).await;
    for round in 0..10 {
        let mut attempts = JoinSet::new();
        for number in 0..50 {
            let sigra = if number % 2 == 0 { host.sigra.clone() } else { other.sigra.clone() };
            let account = format!("account {round}");
            attempts.spawn(async move { sigra.limits().check(Limit::LOGIN, "code", &account).await.is_ok() });
        }
        let allowed = attempts.join_all().await.into_iter().filter(|allowed| *allowed).count();
        assert_eq!(allowed, 5, "on two nodes");
    }
}

/// A login form for one account, and how many passwords it has checked.
#[derive(Clone)]
struct LogIn {
    router: Router,
    checks: Arc<AtomicUsize>,
}

impl LogIn {
    fn at(host: &Host) -> Self {
        let (sigra, checks) = (host.sigra.clone(), Arc::<AtomicUsize>::default());
        let counted = checks.clone();
        let attempt = async move |session: CookieSession| {
            let check = async {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok("wrong password")
            };
            sigra.limits().attempt_log_in(&session, "ada", None, check).await
        };
        let router = Router::new().route("/", post(attempt)).layer(host.sigra.fetch_current_scope());
        Self { router, checks }
    }

    async fn attempt(&self) -> StatusCode {
        TestClient::new(self.router.clone()).post("/", &[]).await.status()
    }

    fn checks(&self) -> usize {
        self.checks.load(Ordering::Relaxed)
    }
}

#[tokio::test]
async fn a_password_is_not_checked_after_too_many_login_attempts() {
    let host = Host::new().await;
    let log_in = LogIn::at(&host);
    for _ in 0..5 {
        assert_eq!(log_in.attempt().await, StatusCode::OK);
    }
    for _ in 0..3 {
        assert_eq!(log_in.attempt().await, StatusCode::TOO_MANY_REQUESTS);
    }
    assert_eq!(log_in.checks(), 5);
    host.clock().advance(SECOND);
    assert_eq!(log_in.attempt().await, StatusCode::OK);
    assert_eq!(log_in.checks(), 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_concurrent_login_attempts_only_the_free_ones_check_a_password() {
    let host = Host::new().await;
    let nodes = [LogIn::at(&host), LogIn::at(&host.restart(|config| config).await)];
    let mut attempts = JoinSet::new();
    for number in 0..50 {
        let log_in = nodes[number % 2].clone();
        attempts.spawn(async move { log_in.attempt().await });
    }
    let allowed = attempts.join_all().await.into_iter().filter(|status| *status == StatusCode::OK).count();
    assert_eq!(allowed, 5);
    assert_eq!(nodes.iter().map(LogIn::checks).sum::<usize>(), 5);
}

#[tokio::test]
async fn a_login_attempt_is_counted_before_its_result_is_returned() {
    let host = Host::new().await;
    let log_in = LogIn::at(&host);
    let counted = "SELECT attempts FROM auth_attempts";
    for attempts in 1..=3 {
        assert_eq!(log_in.attempt().await, StatusCode::OK);
        let counted: Vec<i32> = sqlx::query_scalar(counted).fetch_all(&host.pool).await.unwrap();
        assert_eq!(counted, [attempts]);
    }
}

#[tokio::test]
async fn a_password_is_not_checked_if_the_attempt_can_not_be_counted() {
    let host = Host::new().await;
    host.execute("DROP TABLE auth_attempts").await;
    let log_in = LogIn::at(&host);
    assert!(log_in.attempt().await.is_server_error());
    assert_eq!(log_in.checks(), 0);
}

#[tokio::test]
async fn login_attempts_are_not_counted_without_rate_limits() {
    let host = Host::with(|config| config.rate_limits(false)).await;
    let log_in = LogIn::at(&host);
    for _ in 0..20 {
        assert_eq!(log_in.attempt().await, StatusCode::OK);
    }
    assert_eq!(log_in.checks(), 20);
}

/// Concurrent attempts can be counted in any order, and the clocks of nodes differ.
#[tokio::test]
async fn differing_clocks_do_not_change_the_number_of_free_attempts() {
    let (ahead, behind) = (Clock::stopped(), Clock::stopped());
    ahead.advance(MINUTE);
    let host = Host::with(|config| config.clock(ahead)).await;
    let other = host.restart(|config| config.clock(behind)).await;
    assert_eq!(attempt(&host, CODE).await, None);
    assert_eq!(attempt(&other, CODE).await, None);
    assert_eq!(attempt(&host, CODE).await, None);
    assert!(attempt(&other, CODE).await.is_some(), "three are free");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_free_attempts_are_all_allowed() {
    let host = Host::with(|config| config.clock(Clock::system())).await;
    let mut attempts = JoinSet::new();
    for account in 0..40 {
        for _ in 0..4 {
            let sigra = host.sigra.clone();
            attempts.spawn(async move {
                sigra.limits().check(Limit::LOGIN, "code", &format!("account {account}")).await.is_ok()
            });
        }
    }
    assert!(attempts.join_all().await.into_iter().all(|allowed| allowed));
}

/// All nodes use the database's clock.
#[tokio::test]
async fn a_limit_holds_on_nodes_whose_clocks_differ_by_a_minute() {
    let minute = time::Duration::minutes(1);
    let ahead = Host::with(|config| config.clock(Clock::wrong_by(minute))).await;
    let behind = ahead.restart(|config| config.clock(Clock::wrong_by(-minute))).await;
    let limit = CODE.delay(Duration::from_secs(30)).max_delay(Duration::from_secs(30));
    for host in [&ahead, &behind, &ahead] {
        assert_eq!(attempt(host, limit).await, None);
    }
    for host in [&ahead, &behind] {
        let wait = attempt(host, limit).await.expect("has to wait");
        assert!(wait > Duration::from_secs(10) && wait <= limit.delay, "{wait:?}");
    }
}

/// Otherwise one attempt counted by a wrong clock would lock the user out until that time.
#[tokio::test]
async fn attempts_counted_by_a_clock_that_was_ahead_are_forgotten() {
    let (right, ahead) = (Clock::stopped(), Clock::stopped());
    ahead.advance(DAY * 365);
    let host = Host::with(|config| config.clock(ahead)).await;
    for _ in 0..4 {
        attempt(&host, CODE).await;
    }
    let host = host.restart(|config| config.clock(right)).await;
    for _ in 0..3 {
        assert_eq!(attempt(&host, CODE).await, None, "the count starts again");
    }
    assert_eq!(attempt(&host, CODE).await, Some(SECOND), "the fourth attempt is delayed as before");
}

#[tokio::test]
async fn attempts_stay_counted_after_a_restart() {
    let host = Host::new().await;
    for _ in 0..3 {
        assert_eq!(attempt(&host, CODE).await, None);
    }
    let restarted = host.restart(|config| config).await;
    assert_eq!(attempt(&restarted, CODE).await, Some(SECOND));
}

#[tokio::test]
async fn limits_can_be_turned_off() {
    let host = Host::with(|config| config.rate_limits(false)).await;
    let client = sigra::Client::new([192, 0, 2, 1], "");
    for _ in 0..200 {
        assert_eq!(attempt(&host, CODE).await, None);
        host.sigra.limits().check_address(&client).unwrap();
    }
}

#[tokio::test]
async fn unused_counters_are_purged() {
    let host = Host::new().await;
    assert_eq!(attempt(&host, CODE).await, None);
    host.clock().advance(DAY * 2);
    host.sigra.limits().check(CODE, "code", "grace").await.unwrap();
    host.sigra.housekeeping().purge_expired().await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM auth_attempts").fetch_one(&host.pool).await.unwrap();
    assert_eq!(left, 1);
}

async fn counters(host: &Host) -> Vec<Vec<u8>> {
    sqlx::query_scalar("SELECT key FROM auth_attempts ORDER BY key").fetch_all(&host.pool).await.unwrap()
}

/// Otherwise somebody with a copy of the database could look for the hash of an email address.
#[tokio::test]
async fn attempts_are_counted_by_keys_that_only_the_secret_computes() {
    let host = Host::new().await;
    for _ in 0..4 {
        assert_eq!(attempt(&host, CODE).await, None);
        host.clock().advance(SECOND);
    }
    LogIn::at(&host).attempt().await;
    let before = counters(&host).await;
    let clock = host.clock().clone();
    let rotated =
        host.restart(|_| sigra::Config::new("my_app", secret("b")).older_secrets([secret("a")]).clock(clock)).await;
    assert_eq!(attempt(&rotated, CODE).await, None, "the count starts again");
    LogIn::at(&rotated).attempt().await;
    let after = counters(&host).await;
    assert_eq!((before.len(), after.len()), (2, 4));

    host.sigra.limits().forget("code", "ada").await.unwrap();
    rotated.sigra.limits().forget("code", "ada").await.unwrap();
    assert_eq!(counters(&host).await.len(), 2, "each forgets its own");
}

#[tokio::test]
async fn a_table_that_cannot_be_purged_does_not_keep_the_rows_of_others() {
    let host = Host::new().await;
    assert_eq!(attempt(&host, CODE).await, None);
    host.clock().advance(DAY * 2);
    host.execute("ALTER TABLE oauth_flows RENAME TO gone").await;
    assert!(host.sigra.housekeeping().purge_expired().await.is_err());
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM auth_attempts").fetch_one(&host.pool).await.unwrap();
    assert_eq!(left, 0, "attempts are purged last");
}

#[tokio::test]
async fn the_database_does_not_reveal_whose_attempts_are_counted() {
    let host = Host::new().await;
    host.sigra.limits().check(CODE, "code", "ada.lovelace@example.com").await.unwrap();
    for file in host.database_files().await {
        assert!(!file.windows(12).any(|bytes| bytes == b"ada.lovelace"));
    }
}

#[test]
fn too_many_attempts_is_429_with_a_retry_after_header() {
    for (wait, header) in [(1, "1"), (1000, "1"), (1001, "2"), (30_500, "31")] {
        let error = Error::TooManyAttempts { retry_after: Duration::from_millis(wait) };
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], header);
    }
}
