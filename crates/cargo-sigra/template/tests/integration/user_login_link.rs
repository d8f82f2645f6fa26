//! Logging in with a link.

use std::time::Duration;

use crate::support::{Host, as_long_as, email_form, login_form, seen, seen_apart_from};
use sigra::{
    telemetry,
    testing::{TestHost, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status},
};
use tokio::task::JoinSet;

async fn requested_link(host: &Host, email: &str) -> String {
    host.client().post("/users/log-in/link", &email_form(email)).await;
    host.link_to(email).await
}

#[tokio::test]
async fn opening_a_link_logs_no_user_in_and_its_button_logs_in_once() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let link = requested_link(&host, &user.email).await;
    let browser = host.client();
    let page = browser.get(&link).await;
    assert_status(&page, 200);
    assert_contains(&page, &user.email);
    assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");

    let response = browser.post(&link, &[("user[remember_me]", "true")]).await;
    assert!(response.status() == 303 && browser.get("/dashboard").await.status() == 200);
    let events = host.sigra().audit().list(&user.id, None, 100).await.expect("the trail");
    let log_in = events.iter().find(|event| event.action == telemetry::LOGIN_SUCCESS).expect("a login");
    assert_eq!(log_in.metadata, serde_json::json!({ "method": "link" }));
    browser.close_and_reopen();
    assert_status(&browser.get("/dashboard").await, 200);
    let other = host.client();
    assert_redirected_to(&other.post(&link, &[]).await, "/users/log-in");
    assert_redirected_to(&other.get("/dashboard").await, "/users/log-in");
}

#[tokio::test]
async fn invariant_5_requesting_a_link_gets_the_same_response_for_every_address() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let ask = async |email: &str| {
        let browser = host.client();
        let response = browser.post("/users/log-in/link", &email_form(email)).await;
        assert_redirected_to(&response, "/users/check-email");
        (seen(&response), seen_apart_from(&browser.follow(&response).await, email))
    };
    assert_eq!(ask(&user.email).await, ask(&as_long_as(&user.email)).await);
    ask("no address").await;
    let browser = host.client();
    assert_redirected_to(&browser.post("/users/log-in/link", &email_form(" ")).await, "/users/log-in");
    assert_contains(&browser.get("/users/log-in").await, "Enter your email address");
    assert_eq!(host.mails_to(&user.email).await.len(), 1);
}

#[tokio::test]
async fn a_link_expires_after_fifteen_minutes() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let link = requested_link(&host, &user.email).await;
    host.clock().advance(Duration::from_secs(15 * 60 - 1));
    assert_status(&host.client().get(&link).await, 200);
    host.clock().advance(Duration::from_secs(1));
    let browser = host.client();
    assert_redirected_to(&browser.post(&link, &[]).await, "/users/log-in");
    assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");
}

#[tokio::test]
async fn a_user_is_remembered_only_on_request() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    browser.post(&requested_link(&host, &user.email).await, &[]).await;
    assert_status(&browser.get("/dashboard").await, 200);
    browser.close_and_reopen();
    assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");
}

/// CWE-384: cookies from before the login are invalid after it.
#[tokio::test]
async fn invariant_3_a_link_gives_new_cookies_and_ends_the_previous_session() {
    let host = Host::new().await;
    let (before, browser) = host.authenticated_fixture().await;
    let thief = browser.fork();
    let user = host.registered_fixture().await;
    browser.post(&requested_link(&host, &user.email).await, &[]).await;
    assert!(browser.get("/dashboard").await.text().contains(&user.email));
    assert_redirected_to(&thief.get("/dashboard").await, "/users/log-in");
    assert!(host.sigra().sessions().list(&before.id).await.expect("sessions").is_empty());
}

/// Tests users who confirm their address with the link, and users who confirmed it earlier.
#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_only_one_of_many_concurrent_uses_of_a_link_logs_in() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    for is_confirmed in [false, true, false, true, false, true] {
        let user = host.registered_fixture().await;
        if is_confirmed {
            host.confirm(&user).await;
        }
        let link = requested_link(&host, &user.email).await;
        let mut tries = JoinSet::new();
        for _ in 0..16 {
            let (browser, link) = (host.client(), link.clone());
            tries.spawn(async move {
                browser.post(&link, &[]).await;
                browser.get("/dashboard").await.status() == 200
            });
        }
        assert_eq!(tries.join_all().await.into_iter().filter(|is_in| *is_in).count(), 1);
        assert_eq!(host.sigra().sessions().list(&user.id).await.expect("sessions").len(), 1);
    }
}

/// A link is used up and logs in, or neither.
#[tokio::test]
async fn a_login_that_fails_leaves_the_link_valid() {
    let host = Host::new().await;
    for is_confirmed in [true, false] {
        let user = host.registered_fixture().await;
        if is_confirmed {
            host.confirm(&user).await;
        }
        let link = requested_link(&host, &user.email).await;
        // The audit event of the login can't be written.
        let fail = "CREATE UNIQUE INDEX fail ON audit_events (action) WHERE action = 'auth.login.success'";
        sqlx::query("DELETE FROM audit_events").execute(&host.pool).await.expect("deleted");
        let other = host.registered_fixture().await;
        assert!(host.can_log_in(&other.email, VALID_PASSWORD).await);
        sqlx::query(fail).execute(&host.pool).await.expect("an index");
        let browser = host.client();
        assert!(browser.post(&link, &[]).await.status().is_server_error());
        assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");
        assert_eq!(host.reload(&user).await.confirmed_at.is_some(), is_confirmed);

        sqlx::query("DROP INDEX fail").execute(&host.pool).await.expect("no index");
        browser.post(&link, &[]).await;
        assert!(browser.get("/dashboard").await.text().contains(&user.email));
    }
}

/// An attacker registers another person's address, and waits for its owner.
#[tokio::test]
async fn a_login_link_locks_out_an_attacker_who_registered_the_address_before_its_owner() {
    let host = Host::new().await;
    let victim = host.registered_fixture().await;
    let attacker = host.log_in(&victim).await;
    host.client().post("/users/reset-password", &email_form(&victim.email)).await;
    let reset = host.link_to(&victim.email).await;

    let link = requested_link(&host, &victim.email).await;
    let owner = host.client();
    owner.post(&link, &[]).await;

    assert_status(&owner.get("/dashboard").await, 200);
    assert_redirected_to(&attacker.get("/dashboard").await, "/users/log-in");
    assert_redirected_to(&host.client().get(&reset).await, "/users/reset-password");
    assert!(!host.can_log_in(&victim.email, VALID_PASSWORD).await, "the attacker's password was removed");
    let victim = host.reload(&victim).await;
    assert!(victim.confirmed_at.is_some() && victim.hashed_password.is_none());
}

#[tokio::test]
async fn a_confirmed_user_keeps_password_and_devices() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    host.confirm(&user).await;
    let laptop = host.log_in(&user).await;
    let link = requested_link(&host, &user.email).await;
    host.client().post(&link, &[]).await;
    assert_status(&laptop.get("/dashboard").await, 200);
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
}

/// The user must know, because they may have registered the account themselves.
#[tokio::test]
async fn a_link_that_removes_a_password_says_so_on_the_page_and_by_email() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    let response = browser.post(&requested_link(&host, &user.email).await, &[]).await;
    assert_contains(&browser.follow(&response).await, "We removed the password that this account was registered with");
    let subjects: Vec<String> = host.mails_to(&user.email).await.into_iter().map(|mail| mail.subject).collect();
    assert!(subjects.iter().any(|subject| subject == "Your password was removed"), "{subjects:?}");

    // There is no password left to remove.
    let response = browser.post(&requested_link(&host, &user.email).await, &[]).await;
    assert!(!browser.follow(&response).await.text().contains("was removed"));
}

/// The browser that registered the account keeps a mark.
#[tokio::test]
async fn in_the_browser_that_registered_a_link_confirms_and_the_password_stays() {
    let host = Host::new().await;
    for is_logged_in in [false, true] {
        let (browser, email) = (host.client(), host.unique_email());
        browser.post("/users/register", &login_form(&email, VALID_PASSWORD)).await;
        host.mails_to(&email).await;
        if is_logged_in {
            browser.post("/users/log-in", &login_form(&email, VALID_PASSWORD)).await;
        }
        browser.post(&requested_link(&host, &email).await, &[]).await;
        assert_contains(&browser.get("/dashboard").await, &email);
        assert!(host.can_log_in(&email, VALID_PASSWORD).await);
        let user = host.accounts.get_user_by_email(&email).await.expect("a result").expect("a user");
        assert!(user.confirmed_at.is_some());
    }
}

#[tokio::test]
async fn a_user_without_a_password_enters_sudo_mode_with_a_link() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    browser.post(&requested_link(&host, &user.email).await, &[]).await;
    assert_status(&browser.get("/users/settings").await, 200);
    host.clock().advance(Duration::from_secs(30 * 60));
    assert_redirected_to(&browser.get("/users/settings/email").await, "/users/sudo");
    assert_contains(&browser.get("/users/sudo").await, "/users/log-in/link");
    let response = browser.post(&requested_link(&host, &user.email).await, &[]).await;
    assert_redirected_to(&response, "/users/settings/email");
    assert_status(&browser.get("/users/settings/email").await, 200);
}

#[tokio::test]
async fn invariant_8_another_site_cannot_log_a_browser_in_with_a_link() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let link = requested_link(&host, &user.email).await;
    let request = axum::http::Request::post(&link)
        .header("origin", "https://evil.example")
        .header("sec-fetch-site", "cross-site")
        .body(axum::body::Body::empty());
    assert_status(&host.client().send(request.expect("a request")).await, 403);
    assert_status(&host.client().get(&link).await, 200);
}

#[tokio::test]
async fn a_login_link_confirms_the_address_where_confirmation_is_required() {
    let host = Host::with(&[("REQUIRE_CONFIRMATION", "true")]).await;
    let user = host.registered_fixture().await;
    let refused = host.client().post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_redirected_to(&refused, "/users/confirm");
    let browser = host.client();
    browser.post(&requested_link(&host, &user.email).await, &[]).await;
    assert_status(&browser.get("/dashboard").await, 200);
    assert!(host.reload(&user).await.confirmed_at.is_some());
}
