//! Live connections: their number, how long they stay open, and how they end.

use std::{sync::Arc, time::Duration};

use sigra::{
    live::LiveLimit,
    testing::{TestClient, TestHost, TestResponse, assert_status},
};
use tokio::{task::JoinHandle, time::timeout};

use super::host::{Host, SECOND};

/// Longer than any step takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(10);

fn open(browser: &Arc<TestClient>) -> JoinHandle<TestResponse> {
    let browser = browser.clone();
    tokio::spawn(async move { browser.get("/live").await })
}

/// Returns whether a connection is open, after enough time for a refusal.
async fn is_open(connection: &JoinHandle<TestResponse>) -> bool {
    tokio::time::sleep(Duration::from_millis(100)).await;
    !connection.is_finished()
}

async fn response(connection: JoinHandle<TestResponse>) -> TestResponse {
    timeout(PATIENCE, connection).await.expect("a response in time").expect("no panic")
}

#[tokio::test]
async fn live_connections_are_limited_for_each_session_and_user() {
    let host = Host::with(|config| config.live_connections(LiveLimit::default().per_session(2).per_user(3))).await;
    let (user, browser) = host.authenticated_fixture().await;
    let (browser, phone) = (Arc::new(browser), Arc::new(host.log_in(&user).await));
    let (_, stranger) = host.authenticated_fixture().await;

    let (first, second) = (open(&browser), open(&browser));
    assert!(is_open(&first).await && is_open(&second).await);
    let third = response(open(&browser)).await;
    assert_status(&third, 429);
    assert_eq!(third.header("retry-after"), Some("10"));

    let on_phone = open(&phone);
    assert!(is_open(&on_phone).await, "each session has its own limit");
    assert_status(&response(open(&phone)).await, 429);
    assert!(is_open(&open(&Arc::new(stranger))).await, "each user has their own limit");

    first.abort();
    drop(first.await);
    assert!(is_open(&open(&phone)).await, "the closed connection no longer counts");
}

#[tokio::test]
async fn live_connections_stay_open_without_the_database_for_the_configured_time() {
    for (limit, stays_open) in [(SECOND, false), (SECOND * 300, true)] {
        let host = Host::with(|config| config.live_without_database(limit)).await;
        let (_, browser) = host.authenticated_fixture().await;
        host.sigra().catch_up().await;
        let connection = open(&Arc::new(browser));
        tokio::time::sleep(SECOND * 2).await;
        assert!(!connection.is_finished(), "the session is still in the database");
        host.pool.close().await;
        if stays_open {
            tokio::time::sleep(SECOND * 3).await;
            assert!(!connection.is_finished());
        } else {
            assert_eq!(response(connection).await.text(), "ended");
        }
    }
}

#[tokio::test]
async fn stopping_the_server_ends_live_connections_and_refuses_new_ones() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let browser = Arc::new(browser);
    let connection = open(&browser);
    assert!(is_open(&connection).await);
    timeout(PATIENCE, host.sigra().close_live_connections()).await.expect("in time");
    assert!(connection.is_finished() || !is_open(&connection).await);
    assert_eq!(response(connection).await.text(), "ended");
    assert_status(&browser.get("/live").await, 503);
}
