//! How often something may be tried, by whom, and when again.

use std::time::Duration;

use axum::{http::StatusCode, response::IntoResponse};
use sigra::{Error, limits::Limit, testing::TestHost};
use tokio::task::JoinSet;

use super::host::{DAY, Host, SECOND};

const CODE: Limit = Limit { free: 3, delay: SECOND, max_delay: Duration::from_secs(5), forget_after: DAY };

async fn attempt(host: &Host, limit: Limit) -> Option<Duration> {
    match host.sigra.limit(limit, "code", "ada").await {
        Ok(()) => None,
        Err(Error::TooManyAttempts { retry_after }) => Some(retry_after),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn delays_grow_to_a_bound_and_lock_nobody_out() {
    let host = Host::new().await;
    for _ in 0..3 {
        assert_eq!(attempt(&host, CODE).await, None);
    }
    for seconds in [1, 2, 4, 5, 5, 5] {
        assert_eq!(attempt(&host, CODE).await, Some(SECOND * seconds));
        host.clock().advance(SECOND * seconds - Duration::from_millis(1));
        assert_eq!(attempt(&host, CODE).await, Some(Duration::from_millis(1)), "to be refused does not prolong it");
        host.clock().advance(Duration::from_millis(1));
        assert_eq!(attempt(&host, CODE).await, None);
    }
    host.clock().advance(DAY);
    for _ in 0..3 {
        assert_eq!(attempt(&host, CODE).await, None, "it is forgotten after a day");
    }
    assert!(attempt(&host, CODE).await.is_some());
}

#[tokio::test]
async fn a_limit_of_one_delays_the_second() {
    let host = Host::new().await;
    let once = Limit { free: 1, ..CODE };
    assert_eq!(attempt(&host, once).await, None);
    assert_eq!(attempt(&host, once).await, Some(SECOND));
}

#[tokio::test]
async fn what_is_limited_is_one_account_for_one_purpose() {
    let host = Host::new().await;
    for _ in 0..3 {
        assert_eq!(attempt(&host, CODE).await, None);
    }
    assert!(attempt(&host, CODE).await.is_some());
    host.sigra.limit(CODE, "code", "grace").await.unwrap();
    host.sigra.limit(CODE, "another code", "ada").await.unwrap();
    host.sigra.forget_attempts("code", "ada").await.unwrap();
    assert_eq!(attempt(&host, CODE).await, None);
}

/// CVE-2019-5421: attempts that came at once were counted as one.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_attempts_at_once_no_more_are_let_through_than_one_after_the_other() {
    let host = Host::new().await;
    let other = host.restart(|config| config).await;
    for round in 0..10 {
        let mut attempts = JoinSet::new();
        for number in 0..50 {
            let sigra = if number % 2 == 0 { host.sigra.clone() } else { other.sigra.clone() };
            let account = format!("account {round}");
            attempts.spawn(async move { sigra.limit(Limit::LOG_IN, "code", &account).await.is_ok() });
        }
        let allowed = attempts.join_all().await.into_iter().filter(|allowed| *allowed).count();
        assert_eq!(allowed, 5, "on two nodes");
    }
}

#[tokio::test]
async fn a_count_survives_a_restart() {
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
    let client = sigra::Client { ip: Some([192, 0, 2, 1].into()), user_agent: None };
    for _ in 0..200 {
        assert_eq!(attempt(&host, CODE).await, None);
        host.sigra.limit_address(&client).unwrap();
    }
}

#[tokio::test]
async fn counters_that_nobody_touches_are_purged() {
    let host = Host::new().await;
    assert_eq!(attempt(&host, CODE).await, None);
    host.clock().advance(DAY * 2);
    host.sigra.limit(CODE, "code", "grace").await.unwrap();
    host.sigra.purge_expired_tokens().await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM auth_attempts").fetch_one(&host.pool).await.unwrap();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn the_database_does_not_say_whose_attempts_they_are() {
    let host = Host::new().await;
    host.sigra.limit(CODE, "code", "ada.lovelace@example.com").await.unwrap();
    for file in host.database_files().await {
        assert!(!file.windows(12).any(|bytes| bytes == b"ada.lovelace"));
    }
}

#[test]
fn too_many_attempts_are_429_and_say_when_to_try_again() {
    for (wait, header) in [(1, "1"), (1000, "1"), (1001, "2"), (30_500, "31")] {
        let error = Error::TooManyAttempts { retry_after: Duration::from_millis(wait) };
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()["retry-after"], header);
    }
}
