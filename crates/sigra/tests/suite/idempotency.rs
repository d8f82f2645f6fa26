//! Double clicks, and requests that are sent again.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Request, StatusCode},
};
use sigra::{
    IdempotencyKey,
    testing::{TestClient, TestHost, TestResponse, VALID_PASSWORD, assert_redirected_to, assert_status},
};
use tokio::task::JoinSet;

use super::host::{Host, KEY, User, token, who};

/// A browser at the host with the idempotency layer.
fn client(host: &Host) -> TestClient {
    TestClient::new(router(host))
}

fn router(host: &Host) -> Router {
    host.router().layer(host.sigra().idempotency())
}

fn key() -> String {
    IdempotencyKey::generate().expect("randomness").to_string()
}

async fn log_in(browser: &TestClient, user: &User, key: &str) -> TestResponse {
    let form = [("_idempotency_key", key), ("email", &user.email), ("password", VALID_PASSWORD)];
    browser.post("/log-in", &form).await
}

async fn sessions(host: &Host) -> i64 {
    let count = "SELECT count(*) FROM users_tokens WHERE context = 'session'";
    sqlx::query_scalar(count).fetch_one(&host.pool).await.expect("a number")
}

/// A user with backup codes, and a browser whose second factor is pending.
async fn pending(host: &Host) -> (User, TestClient, Vec<String>) {
    let (user, codes) = host.mfa_fixture().await;
    let browser = client(host);
    assert_redirected_to(&host.post_log_in(&browser, &user, false).await, "/mfa-challenge");
    (user, browser, codes.iter().map(|code| code.to_string()).collect())
}

#[tokio::test]
async fn invariant_10_a_double_click_on_log_in_creates_one_session() {
    let host = Host::new().await;
    let (user, key) = (host.registered_fixture().await, key());
    let (browser, again) = (client(&host), client(&host));
    let (first, second) = tokio::join!(log_in(&browser, &user, &key), log_in(&again, &user, &key));
    assert_redirected_to(&first, "/");
    assert_redirected_to(&second, "/");
    assert_eq!(browser.cookie(KEY), again.cookie(KEY));
    assert_eq!((sessions(&host).await, who(&again).await), (1, user.email.clone()));
    // Sent again, with the cookies from the response.
    assert_redirected_to(&log_in(&browser, &user, &key).await, "/");
    assert_eq!((sessions(&host).await, who(&again).await), (1, user.email));
}

#[tokio::test]
async fn invariant_10_a_second_click_at_the_challenge_gets_the_response_of_the_first() {
    let host = Host::new().await;
    for with_key in [true, false] {
        let (user, browser, codes) = pending(&host).await;
        let lost = browser.fork();
        let key = key();
        let form = &[("code", codes[0].as_str()), ("_idempotency_key", &key)][..if with_key { 2 } else { 1 }];
        assert_status(&lost.post("/mfa-challenge", form).await, 200);
        assert_status(&browser.post("/mfa-challenge", form).await, 200);
        assert_eq!(who(&browser).await, user.email, "key: {with_key}");
        assert_eq!(token(&browser).hash(), token(&lost).hash());
    }
}

#[tokio::test]
async fn invariant_10_two_clicks_at_once_count_as_one() {
    let host = Host::new().await;
    let (user, browser, codes) = pending(&host).await;
    let again = browser.fork();
    let form = [("code", codes[0].as_str())];
    let (first, second) = tokio::join!(browser.post("/mfa-challenge", &form), again.post("/mfa-challenge", &form));
    assert_status(&first, 200);
    assert_status(&second, 200);
    assert_eq!((who(&browser).await, who(&again).await), (user.email.clone(), user.email));
}

#[tokio::test]
async fn invariant_10_sixteen_copies_of_a_browser_can_use_one_code_only_once() {
    let host = Host::new().await;
    let (user, browser, codes) = pending(&host).await;
    let mut attempts = JoinSet::new();
    for copy in (0..16).map(|_| browser.fork()) {
        let code = codes[0].clone();
        attempts.spawn(async move {
            copy.post("/mfa-challenge", &[("code", &code)]).await;
            who(&copy).await
        });
    }
    let logged_in = attempts.join_all().await.into_iter().filter(|who| *who == user.email).count();
    assert_eq!(logged_in, 1);
}

#[tokio::test]
async fn a_request_completes_after_its_browser_hung_up_and_a_retry_gets_its_response() {
    let host = Host::new().await;
    let (user, browser, codes) = pending(&host).await;
    let form = [("code", codes[0].as_str())];
    let hung_up = tokio::time::timeout(Duration::ZERO, browser.post("/mfa-challenge", &form)).await;
    assert!(hung_up.is_err(), "the request finished before the browser hung up");
    assert_status(&browser.post("/mfa-challenge", &form).await, 200);
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn a_stored_response_is_returned_only_to_the_same_client() {
    let host = Host::new().await;
    let (user, key) = (host.registered_fixture().await, key());
    let browser = client(&host);
    log_in(&browser, &user, &key).await;
    let with_a_cookie = client(&host);
    with_a_cookie.set_cookie("theme", "dark");
    let others = [
        client(&host).user_agent("Another/1.0"),
        client(&host).peer("203.0.113.7:443".parse().expect("an address")),
        with_a_cookie,
    ];
    for other in others {
        log_in(&other, &user, &key).await;
        assert_eq!(who(&other).await, user.email);
    }
    log_in(&client(&host), &user, &self::key()).await;
    assert_eq!(sessions(&host).await, 5);
    // A request with another password is a different request.
    let stranger = client(&host);
    let form = [("_idempotency_key", key.as_str()), ("email", &user.email), ("password", "a guess of a stranger")];
    assert_redirected_to(&stranger.post("/log-in", &form).await, "/log-in");
    assert_eq!(who(&stranger).await, "anonymous");
}

#[tokio::test]
async fn the_same_form_from_two_devices_creates_two_sessions() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for browser in [client(&host), client(&host)] {
        assert_redirected_to(&host.post_log_in(&browser, &user, false).await, "/");
    }
    assert_eq!(sessions(&host).await, 2);
}

#[tokio::test]
async fn invariant_3_a_replaced_token_is_invalid_at_once_even_for_the_same_form() {
    let host = Host::new().await;
    let (user, logged_in) = host.logged_in(false).await;
    let owner = client(&host);
    owner.set_cookie(KEY, &logged_in.cookie(KEY).expect("logged in"));
    let thief = owner.fork();
    owner.post("/renew", &[]).await;
    thief.post("/renew", &[]).await;
    assert_eq!((who(&owner).await, who(&thief).await), (user.email, "anonymous".to_owned()));
}

#[tokio::test]
async fn every_wrong_code_is_counted() {
    let host = Host::new().await;
    let (_, browser, _) = pending(&host).await;
    let mut statuses = BTreeSet::new();
    for _ in 0..6 {
        statuses.insert(browser.post("/mfa-challenge", &[("code", "000000")]).await.status().as_u16());
    }
    assert_eq!(statuses, BTreeSet::from([422, 429]));
}

#[tokio::test]
async fn a_client_can_send_the_idempotency_key_in_a_header() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    let program = client(&host).json();
    program.set_cookie(KEY, &browser.cookie(KEY).expect("logged in"));
    let key = key();
    let confirm = || {
        let request = Request::post("/renew").header("idempotency-key", &key);
        request.body(Body::empty()).expect("a request")
    };
    let again = program.fork();
    let (first, second) = (program.send(confirm()).await, again.send(confirm()).await);
    assert_eq!(first.status(), second.status());
    assert_eq!(token(&program).hash(), token(&again).hash());
    assert_eq!(who(&again).await, user.email);
}

/// Otherwise requests that do nothing would take the places of those that do something.
#[tokio::test]
async fn a_request_that_no_route_handles_is_not_kept() {
    let host = Host::new().await;
    let tries = Arc::<AtomicUsize>::default();
    let counted = tries.clone();
    let nowhere = async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        StatusCode::NOT_FOUND
    };
    let router = Router::new().fallback(nowhere).layer(host.sigra().idempotency());
    let (browser, key) = (TestClient::new(router), key());
    for _ in 0..2 {
        let request = Request::post("/nowhere").header("idempotency-key", &key).body(Body::empty()).unwrap();
        assert_status(&browser.send(request).await, StatusCode::NOT_FOUND);
    }
    assert_eq!(tries.load(Ordering::SeqCst), 2);
}
