//! Many concurrent requests, on several threads.

use std::{collections::BTreeSet, sync::Arc};

use sigra::{
    Error, Password, RememberMe, Revoked, Verification,
    testing::{TestClient, TestHost, TestResponse, VALID_PASSWORD, assert_sessions_invalidated},
};
use tokio::task::JoinSet;

use super::host::{DAY, Host, KEY, User, get_request, login_form, token, who};

const AT_ONCE: usize = 16;
const ROUNDS: usize = 20;

/// Sends the same request many times at once. The browser doesn't store the responses yet.
async fn all_at_once(browser: &Arc<TestClient>, path: &'static str) -> Vec<TestResponse> {
    let mut requests = JoinSet::new();
    for _ in 0..AT_ONCE {
        let browser = browser.clone();
        requests.spawn(async move { browser.send_without_storing(get_request(path)).await });
    }
    requests.join_all().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_16_a_remembered_browser_can_be_reopened_with_many_tabs() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    browser.close_and_reopen();
    let browser = Arc::new(browser);

    let ids: BTreeSet<String> = all_at_once(&browser, "/session-id").await.iter().map(TestResponse::text).collect();
    assert_eq!(ids.len(), 1, "all tabs get the same cookie session: {ids:?}");
    assert!(!ids.contains("none"));

    let mut responses = all_at_once(&browser, "/maybe").await;
    assert!(responses.iter().all(|response| response.text() == user.email), "{responses:?}");
    assert!(responses.iter().all(|response| !response.set_cookies().is_empty()));
    let late = responses.pop().unwrap();
    responses.iter().for_each(|response| browser.store(response));
    browser.post("/put", &[("name", "cart"), ("value", "mine")]).await;
    browser.store(&late);
    assert_eq!(browser.get("/get?name=cart").await.text(), "mine", "the late response of a tab removes no entry");
    assert_eq!(ids.first(), Some(&browser.get("/session-id").await.text()));
    assert_eq!(host.rows().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_16_many_concurrent_requests_reissue_a_token_once() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    host.clock().advance(DAY * 7);
    let browser = Arc::new(browser);

    let responses = all_at_once(&browser, "/maybe").await;
    assert!(responses.iter().all(|response| response.text() == user.email), "{responses:?}");
    let offers = responses.iter().filter(|response| !response.set_cookies().is_empty()).count();
    assert_eq!(offers, 1);
    let old = browser.fork();
    responses.iter().for_each(|response| browser.store(response));
    assert_ne!(token(&browser).hash(), token(&old).hash());

    let responses = all_at_once(&browser, "/maybe").await;
    assert!(responses.iter().all(|response| response.text() == user.email), "{responses:?}");
    assert_eq!(who(&old).await, user.email, "within the grace time");
    assert_eq!(host.rows().await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_16_no_concurrent_request_undoes_a_logout() {
    for age in [DAY, DAY * 7] {
        let host = Host::new().await;
        for round in 0..ROUNDS {
            let (_, browser) = host.logged_in(true).await;
            host.clock().advance(age);
            if round % 2 == 0 {
                browser.close_and_reopen();
            }
            let browser = Arc::new(browser);
            let (mut responses, log_out) = tokio::join!(all_at_once(&browser, "/maybe"), async {
                tokio::task::yield_now().await;
                browser.send_without_storing(post("/log-out", "")).await
            });
            assert!(responses.iter().all(|response| response.status() == 200), "{responses:?}");
            responses.rotate_left(round % AT_ONCE);
            responses.iter().for_each(|response| browser.store(response));
            browser.store(&log_out);
            assert_eq!(host.rows().await, 0);
            assert_eq!(who(&browser).await, "anonymous");
            assert_eq!(browser.cookie(KEY), None);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_11_logging_out_everywhere_misses_no_concurrent_login() {
    race_logins_and_logouts(Arc::new(Host::new().await)).await;
}

pub async fn race_logins_and_logouts(host: Arc<Host>) {
    let user = host.registered_fixture().await;
    let mut tasks: JoinSet<Option<TestClient>> = JoinSet::new();
    for i in 0..48 {
        let (host, user) = (host.clone(), user.clone());
        tasks.spawn(async move {
            match i % 4 {
                0 => {
                    host.sigra().delete_all_sessions(&user.id).await.unwrap();
                    None
                }
                1 => {
                    let browser = host.client();
                    host.post_log_in(&browser, &user, true).await;
                    browser.post("/log-out", &[]).await;
                    Some(browser)
                }
                _ => {
                    let browser = host.client();
                    let response = host.post_log_in(&browser, &user, i % 3 == 0).await;
                    assert_eq!(response.status(), 303, "{response:?}");
                    Some(browser)
                }
            }
        });
    }
    let browsers: Vec<TestClient> = tasks.join_all().await.into_iter().flatten().collect();
    host.sigra().delete_all_sessions(&user.id).await.unwrap();

    assert_eq!(host.rows().await, 0);
    assert_sessions_invalidated(host.sigra(), &user).await;
    for browser in browsers {
        assert_eq!(who(&browser).await, "anonymous");
    }
}

/// Changes a password in the host's transaction, and ends all sessions.
async fn change_password(host: &Host, user: &User, password: &str) -> Result<(), Error> {
    let hash = host.sigra().hash_password(&Password::new(password)).await?;
    let mut tx = host.sigra().begin().await?;
    sqlx::query("UPDATE users SET hashed_password = $1 WHERE id = $2")
        .bind(hash)
        .bind(user.id)
        .execute(&mut *tx)
        .await?;
    let revoked: Revoked = host.sigra().sessions().delete_all_in(&mut tx, &user.id, None).await?;
    tx.commit().await?;
    host.sigra().sessions().announce(revoked);
    Ok(())
}

/// The logins have verified the old password before the change ends all sessions. No session of the old password
/// may be left, whichever commits first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_9_no_login_with_the_old_password_outlives_its_change() {
    race_logins_with_a_change_of_password(Arc::new(Host::new().await)).await;
}

pub async fn race_logins_with_a_change_of_password(host: Arc<Host>) {
    for round in 0..ROUNDS {
        let user = host.registered_fixture().await;
        let verified = host.sigra().verify_password(Some(&user), &Password::new(VALID_PASSWORD)).await.unwrap();
        assert_eq!(verified, Verification::Valid);
        let mut logins: JoinSet<Result<(), Error>> = JoinSet::new();
        for _ in 0..8 {
            let (host, user) = (host.clone(), user.clone());
            logins.spawn(async move {
                host.sigra().create_session(&user, RememberMe::Yes, &sigra::Client::default()).await.map(drop)
            });
        }
        change_password(&host, &user, &format!("another password {round}")).await.unwrap();
        for outcome in logins.join_all().await {
            match outcome {
                Ok(()) | Err(Error::CredentialsChanged) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let late = host.sigra().create_session(&user, RememberMe::Yes, &sigra::Client::default()).await;
        assert!(matches!(late, Err(Error::CredentialsChanged)), "{late:?}");
        assert_sessions_invalidated(host.sigra(), &user).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_browser_that_logs_in_many_times_at_once_has_a_valid_session() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let before = browser.fork();
    let browser = Arc::new(browser);
    let mut logins = JoinSet::new();
    for _ in 0..8 {
        let (browser, user) = (browser.clone(), user.clone());
        logins.spawn(async move { browser.post("/log-in", &login_form(&user, true)).await.status() });
    }
    assert!(logins.join_all().await.into_iter().all(|status| status == 303));
    assert_eq!(who(&browser).await, user.email);
    assert_eq!(who(&before).await, "anonymous");
    host.sigra().delete_all_sessions(&user.id).await.unwrap();
    assert_eq!(who(&browser).await, "anonymous");
}

fn post(path: &str, body: &'static str) -> http::Request<axum::body::Body> {
    http::Request::post(path).body(body.into()).expect("a request")
}

/// One tab logs out while another renews the session. The session ends, whichever commits first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_11_a_logout_during_a_renewal_ends_the_session() {
    for path in ["/renew", "/confirm"] {
        for _ in 0..ROUNDS {
            let host = Host::new().await;
            let (user, tab) = host.logged_in(true).await;
            host.clock().advance(DAY);
            let other = tab.fork();
            let (_, out) =
                tokio::join!(tokio::spawn(async move { other.post(path, &[]).await }), tab.post("/log-out", &[]),);
            assert_eq!(out.status(), 303, "{out:?}");
            assert_eq!(host.rows().await, 0, "{path}: the session of {} is still there", user.email);
        }
    }
}

/// One tab logs in again while another renews the session. The old session ends, whichever commits first.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_11_a_login_during_a_renewal_leaves_one_session() {
    for _ in 0..ROUNDS {
        let host = Host::new().await;
        let (user, tab) = host.logged_in(true).await;
        host.clock().advance(DAY);
        let other = tab.fork();
        let (_, again) = tokio::join!(
            tokio::spawn(async move { other.post("/renew", &[]).await }),
            host.post_log_in(&tab, &user, true),
        );
        assert_eq!(again.status(), 303, "{again:?}");
        assert_eq!((host.rows().await, who(&tab).await), (1, user.email.clone()));
    }
}
