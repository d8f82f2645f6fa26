//! How often something may be tried, by whom, and when again.

use std::time::Duration;

use axum::{http::StatusCode, response::IntoResponse};
use sigra::{Clock, Error, limits::Limit, testing::TestHost};
use tokio::task::JoinSet;

use super::host::{DAY, Host, MINUTE, SECOND};

const CODE: Limit = Limit::LOG_IN.free(3).delay(SECOND).max_delay(Duration::from_secs(5)).forget_after(DAY);

async fn attempt(host: &Host, limit: Limit) -> Option<Duration> {
    match host.sigra.limits().check(limit, "code", "ada").await {
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
    let once = CODE.free(1);
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
    host.sigra.limits().check(CODE, "code", "grace").await.unwrap();
    host.sigra.limits().check(CODE, "another code", "ada").await.unwrap();
    host.sigra.limits().forget("code", "ada").await.unwrap();
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
            attempts.spawn(async move { sigra.limits().check(Limit::LOG_IN, "code", &account).await.is_ok() });
        }
        let allowed = attempts.join_all().await.into_iter().filter(|allowed| *allowed).count();
        assert_eq!(allowed, 5, "on two nodes");
    }
}

/// Attempts that come at once are counted in another order than they were made in; nodes' clocks differ anyway.
#[tokio::test]
async fn free_attempts_are_free_wherever_and_whenever_they_are_made() {
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
async fn what_is_free_is_let_through_also_when_it_comes_at_once() {
    let host = Host::with(|config| config.clock(Clock::system())).await;
    let mut attempts = JoinSet::new();
    for account in 0..40 {
        for _ in 0..4 {
            let sigra = host.sigra.clone();
            attempts.spawn(async move {
                sigra.limits().check(Limit::LOG_IN, "code", &format!("account {account}")).await.is_ok()
            });
        }
    }
    assert!(attempts.join_all().await.into_iter().all(|allowed| allowed));
}

/// The database's clock decides, which all nodes share.
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

/// An attempt that a wrong clock has counted would keep everybody out until that time has come.
#[tokio::test]
async fn a_clock_that_was_ahead_keeps_nobody_waiting() {
    let (right, ahead) = (Clock::stopped(), Clock::stopped());
    ahead.advance(DAY * 365);
    let host = Host::with(|config| config.clock(ahead)).await;
    for _ in 0..4 {
        attempt(&host, CODE).await;
    }
    let host = host.restart(|config| config.clock(right)).await;
    for _ in 0..3 {
        assert_eq!(attempt(&host, CODE).await, None, "it begins anew");
    }
    assert_eq!(attempt(&host, CODE).await, Some(SECOND), "and is counted as before");
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
    let client = sigra::Client::new([192, 0, 2, 1], "");
    for _ in 0..200 {
        assert_eq!(attempt(&host, CODE).await, None);
        host.sigra.limits().check_address(&client).unwrap();
    }
}

#[tokio::test]
async fn counters_that_nobody_touches_are_purged() {
    let host = Host::new().await;
    assert_eq!(attempt(&host, CODE).await, None);
    host.clock().advance(DAY * 2);
    host.sigra.limits().check(CODE, "code", "grace").await.unwrap();
    host.sigra.housekeeping().purge_expired().await.unwrap();
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM auth_attempts").fetch_one(&host.pool).await.unwrap();
    assert_eq!(left, 1);
}

#[tokio::test]
async fn the_database_does_not_say_whose_attempts_they_are() {
    let host = Host::new().await;
    host.sigra.limits().check(CODE, "code", "ada.lovelace@example.com").await.unwrap();
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
