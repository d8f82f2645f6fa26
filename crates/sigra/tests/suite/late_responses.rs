//! Responses that arrive after a login, a logout or a renewal (the class of Django ticket 21608).

use std::time::Duration;

use sigra::testing::{TestClient, TestHost, assert_status};

use super::host::{DAY, Host, KEY, MINUTE, REMEMBER_ME, SECOND, User, assert_sets_no_cookie, login_form, token, who};

const REISSUE_AGE: Duration = DAY.saturating_mul(7);

fn token_cookies(browser: &TestClient) -> (Option<String>, Option<String>) {
    (browser.cookie(KEY), browser.cookie(REMEMBER_ME))
}

async fn assert_slow_response_keeps_the_login(host: &Host, user: &User, browser: &TestClient) {
    let (slow, _) = host.during_slow_request(browser, "/slow", host.post_log_in(browser, user, true)).await;
    assert_eq!(slow.text(), "anonymous", "the request began before the login");
    assert_sets_no_cookie(&slow);
    browser.store(&slow);
    assert_eq!(who(browser).await, user.email);
    browser.close_and_reopen();
    assert_eq!(who(browser).await, user.email);
}

#[tokio::test]
async fn invariant_16_a_slow_anonymous_response_does_not_undo_a_login() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    assert_slow_response_keeps_the_login(&host, &user, &host.client()).await;
}

/// The slow request came with invalid cookies, but they have been replaced before it could expire them.
#[tokio::test]
async fn invariant_16_a_slow_response_with_invalid_cookies_does_not_undo_a_login() {
    for closed in [false, true] {
        let host = Host::new().await;
        let (user, browser) = host.logged_in(true).await;
        host.sigra().delete_all_sessions(&user.id).await.unwrap();
        browser.get("/flash").await;
        let (user, browser) = {
            let (user, browser) = host.logged_in(true).await;
            host.sigra().delete_all_sessions(&user.id).await.unwrap();
            (user, browser)
        };
        if closed {
            browser.close_and_reopen();
        }
        assert_slow_response_keeps_the_login(&host, &user, &browser).await;
    }
}

#[tokio::test]
async fn invariant_16_a_slow_response_of_an_expired_session_does_not_undo_a_login() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    host.clock().advance(DAY * 60);
    assert_slow_response_keeps_the_login(&host, &user, &browser).await;
}

/// A request that restores a session cookie or reissues a token must not set cookies after the logout.
#[tokio::test]
async fn invariant_16_a_slow_response_does_not_restore_cookies_after_logout() {
    for (closed, age) in [(false, Duration::ZERO), (false, REISSUE_AGE), (true, Duration::ZERO), (true, REISSUE_AGE)] {
        let host = Host::new().await;
        let (user, browser) = host.logged_in(true).await;
        host.clock().advance(age);
        if closed {
            browser.close_and_reopen();
        }
        let (slow, _) = host.during_slow_request(&browser, "/slow", browser.post("/log-out", &[])).await;
        assert_eq!(slow.text(), user.email, "the request began before the logout");
        assert_sets_no_cookie(&slow);
        browser.store(&slow);
        assert_eq!(token_cookies(&browser), (None, None));
        assert_eq!(who(&browser).await, "anonymous");
    }
}

#[tokio::test]
async fn invariant_16_a_slow_response_does_not_undo_a_renewal() {
    for path in ["/log-in", "/renew", "/confirm"] {
        for age in [Duration::ZERO, REISSUE_AGE] {
            let host = Host::new().await;
            let (user, browser) = host.logged_in(true).await;
            host.clock().advance(age);
            let (slow, renewed) =
                host.during_slow_request(&browser, "/slow", browser.post(path, &login_form(&user, true))).await;
            assert!(!renewed.status().is_client_error(), "{renewed:?}");
            assert_sets_no_cookie(&slow);
            browser.store(&slow);
            assert_eq!(who(&browser).await, user.email, "{path} {age:?}");
            browser.close_and_reopen();
            assert_eq!(who(&browser).await, user.email, "{path} {age:?}");
        }
    }
}

/// The slow request came with a remembered token, and must not restore it over its replacement.
#[tokio::test]
async fn invariant_16_a_slow_response_to_a_reopened_browser_does_not_undo_a_renewal() {
    for path in ["/log-in", "/renew", "/confirm"] {
        for remember_me in [false, true] {
            let host = Host::new().await;
            let (user, browser) = host.logged_in(true).await;
            browser.close_and_reopen();
            let renewal = browser.post(path, &login_form(&user, remember_me));
            let (slow, renewed) = host.during_slow_request(&browser, "/slow", renewal).await;
            assert!(!renewed.status().is_client_error(), "{renewed:?}");
            assert_eq!(slow.text(), user.email, "the request began before the renewal");
            assert_sets_no_cookie(&slow);
            browser.store(&slow);
            assert_eq!(who(&browser).await, user.email, "{path}");
        }
    }
}

#[tokio::test]
async fn invariant_16_a_slow_response_to_a_reopened_browser_does_not_restore_a_replaced_token() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    host.clock().advance(REISSUE_AGE);
    browser.close_and_reopen();
    let other_tab = browser.fork();
    assert_eq!(who(&browser).await, user.email, "the token is reissued");
    let (slow, _) = host.during_slow_request(&other_tab, "/slow", who(&browser)).await;
    assert_eq!(slow.text(), user.email);
    assert_sets_no_cookie(&slow);
    browser.store(&slow);
    host.clock().advance(MINUTE + SECOND);
    assert_eq!(who(&browser).await, user.email, "after the grace time");
}

/// The form was sent before a logout, and arrives after the next login.
#[tokio::test]
async fn invariant_16_a_late_form_of_an_ended_session_does_not_undo_the_next_login() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let late = browser.fork();
    browser.post("/log-out", &[]).await;
    host.post_log_in(&browser, &user, true).await;
    let response = late.post("/put", &[("name", "a"), ("value", "b")]).await;
    assert!(response.set_cookies().iter().all(|cookie| ![KEY, REMEMBER_ME].contains(&cookie.name())), "{response:?}");
    browser.store(&response);
    assert_eq!(who(&browser).await, user.email);
}

/// The request was sent before the renewal, and arrives after it.
#[tokio::test]
async fn invariant_16_a_late_request_with_the_old_token_does_not_clear_the_new_cookie() {
    for path in ["/log-in", "/renew", "/confirm"] {
        let host = Host::new().await;
        let (user, browser) = host.logged_in(true).await;
        let late = browser.fork();
        browser.post(path, &login_form(&user, true)).await;
        let response = late.get("/maybe").await;
        assert_eq!(response.text(), "anonymous", "{path}");
        assert_sets_no_cookie(&response);
        browser.store(&response);
        assert_eq!(who(&browser).await, user.email, "{path}");
    }
}

#[tokio::test]
async fn invariant_16_a_slow_response_writes_no_entry_into_another_cookie_session() {
    for path in ["/log-in", "/log-out", "/renew"] {
        let host = Host::new().await;
        let (user, browser) = host.logged_in(false).await;
        let renewal = browser.post(path, &login_form(&user, false));
        let (slow, _) = host.during_slow_request(&browser, "/slow?put=stale", renewal).await;
        browser.store(&slow);
        assert_eq!(browser.get("/get?name=slow").await.text(), "nothing", "{path}");
        assert_eq!(who(&browser).await, if path == "/log-out" { "anonymous" } else { user.email.as_str() });
    }
}

#[tokio::test]
async fn invariant_3_a_slow_anonymous_request_writes_no_entry_into_a_later_login() {
    let host = Host::new().await;
    let (user, browser) = (host.registered_fixture().await, host.client());
    let (slow, _) =
        host.during_slow_request(&browser, "/slow?put=planted", host.post_log_in(&browser, &user, false)).await;
    browser.store(&slow);
    assert_eq!(browser.get("/get?name=slow").await.text(), "nothing");
    assert_eq!(who(&browser).await, user.email);
}

/// Two responses set different tokens of one reissue. The browser stays logged in, whichever arrives last.
#[tokio::test]
async fn invariant_16_responses_with_reissued_tokens_can_arrive_in_any_order() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    host.clock().advance(REISSUE_AGE);
    let retry = async {
        host.clock().advance(MINUTE + SECOND);
        browser.get("/maybe").await
    };
    let (slow, retried) = host.during_slow_request(&browser, "/slow", retry).await;
    assert_eq!(retried.set_cookies().len(), 2, "{retried:?}");
    browser.store(&slow);
    host.clock().advance(DAY);
    assert_eq!(who(&browser).await, user.email);
}

/// Otherwise a thief could keep a request open until the owner has renewed the session, and get the new token.
#[tokio::test]
async fn invariant_3_a_request_that_began_before_a_renewal_cannot_renew() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let thief = browser.fork();
    let (slow, _) = host.during_slow_request(&thief, "/slow?renew=true", browser.post("/confirm", &[])).await;
    thief.store(&slow);
    assert_status(&slow, 401);
    assert_eq!(who(&thief).await, "anonymous");
    assert_eq!(who(&browser).await, user.email);
}

/// A double click sends the form twice, and both responses arrive, in either order.
#[tokio::test]
async fn invariant_16_two_renewals_at_once_leave_the_browser_logged_in() {
    for slow_one_first in [true, false] {
        let host = Host::new().await;
        let (user, browser) = host.logged_in(true).await;
        let renew = http::Request::post("/renew").body(axum::body::Body::empty()).unwrap();
        let (slow, quick) =
            host.during_slow_request(&browser, "/slow?renew=true", browser.send_without_storing(renew)).await;
        let (first, second) = if slow_one_first { (slow, quick) } else { (quick, slow) };
        browser.store(&first);
        browser.store(&second);
        assert_eq!(who(&browser).await, user.email);
    }
}

#[tokio::test]
async fn one_request_can_renew_its_session_twice() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    host.clock().advance(DAY);
    assert_status(&browser.post("/confirm-and-renew", &[]).await, 204);
    assert_eq!(browser.get("/sudo").await.text(), user.email);
}

#[tokio::test]
async fn a_renewal_works_with_the_old_token_within_the_grace_time() {
    for closed in [false, true] {
        let host = Host::new().await;
        let (user, old) = host.logged_in(true).await;
        host.clock().advance(REISSUE_AGE);
        let next = old.fork();
        assert_eq!(who(&next).await, user.email);
        assert_eq!(who(&next).await, user.email);
        assert_ne!(token(&old).hash(), token(&next).hash());
        if closed {
            old.close_and_reopen();
        }
        // Still within the grace time.
        assert_status(&old.post("/renew", &[]).await, 204);
        assert_eq!((who(&old).await, who(&next).await), (user.email, "anonymous".to_owned()));
    }
}

/// Otherwise a thief whose session was ended could still end the owner's.
#[tokio::test]
async fn a_session_that_ended_during_the_request_cannot_end_others() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let (_, thief) = (&user, host.log_in(&user).await);
    let stolen = host.sigra().fetch_session(&token(&thief)).await.unwrap().unwrap().session().id;
    let end = host.sigra().sessions().delete(&user.id, stolen);
    let (slow, ended) = host.during_slow_request(&thief, "/slow?revoke_others=true", end).await;
    assert!(ended.unwrap());
    assert_status(&slow, 401);
    assert_eq!(who(&browser).await, user.email);
}
