//! Live connections: how many, for how long, and how they end.

use std::{sync::Arc, time::Duration};

use sigra::{
    live::LiveLimit,
    testing::{TestClient, TestHost, TestResponse, assert_status},
};
use tokio::{task::JoinHandle, time::timeout};

use super::host::{Host, SECOND};

/// Longer than anything takes here on a slow machine.
const PATIENCE: Duration = Duration::from_secs(10);

fn open(browser: &Arc<TestClient>) -> JoinHandle<TestResponse> {
    let browser = browser.clone();
    tokio::spawn(async move { browser.get("/live").await })
}

/// Waits a moment, in which what is refused is answered.
async fn is_open(connection: &JoinHandle<TestResponse>) -> bool {
    tokio::time::sleep(Duration::from_millis(100)).await;
    !connection.is_finished()
}

async fn answer(connection: JoinHandle<TestResponse>) -> TestResponse {
    timeout(PATIENCE, connection).await.expect("an answer in time").expect("no panic")
}

#[tokio::test]
async fn a_session_and_a_user_have_so_many_live_connections_and_no_more() {
    let host = Host::with(|config| config.live_connections(LiveLimit::default().per_session(2).per_user(3))).await;
    let (user, browser) = host.authenticated_fixture().await;
    let (browser, phone) = (Arc::new(browser), Arc::new(host.log_in(&user).await));
    let (_, stranger) = host.authenticated_fixture().await;

    let (first, second) = (open(&browser), open(&browser));
    assert!(is_open(&first).await && is_open(&second).await);
    let third = answer(open(&browser)).await;
    assert_status(&third, 429);
    assert_eq!(third.header("retry-after"), Some("10"));

    let on_phone = open(&phone);
    assert!(is_open(&on_phone).await, "another session has its own");
    assert_status(&answer(open(&phone)).await, 429);
    assert!(is_open(&open(&Arc::new(stranger))).await, "another user has their own");

    first.abort();
    drop(first.await);
    assert!(is_open(&open(&phone)).await, "a place is free again");
}

#[tokio::test]
async fn live_connections_outlast_the_database_for_a_while_and_no_longer() {
    for (limit, goes_on) in [(SECOND, false), (SECOND * 300, true)] {
        let host = Host::with(|config| config.live_without_database(limit)).await;
        let (_, browser) = host.authenticated_fixture().await;
        host.sigra().catch_up().await;
        let connection = open(&Arc::new(browser));
        tokio::time::sleep(SECOND * 2).await;
        assert!(!connection.is_finished(), "the database vouches for it");
        host.pool.close().await;
        if goes_on {
            tokio::time::sleep(SECOND * 3).await;
            assert!(!connection.is_finished());
        } else {
            assert_eq!(answer(connection).await.text(), "ended");
        }
    }
}

#[tokio::test]
async fn a_server_that_stops_ends_all_live_connections_and_opens_no_more() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let browser = Arc::new(browser);
    let connection = open(&browser);
    assert!(is_open(&connection).await);
    timeout(PATIENCE, host.sigra().close_live_connections()).await.expect("in time");
    assert!(connection.is_finished() || !is_open(&connection).await);
    assert_eq!(answer(connection).await.text(), "ended");
    assert_status(&browser.get("/live").await, 503);
}
