//! The page of recent activity, and the audit trail behind it.

mod support;

use sigra::testing::{TestHost, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status};
use support::{Host, email_form, log_in_form, password_form};

#[tokio::test]
async fn a_user_sees_what_happened_to_their_account_and_to_no_other() {
    let host = Host::new().await;
    let user = host.user_fixture().await;
    let browser = host.client();
    host.client().post("/users/log-in", &log_in_form(&user.email, "a wrong password")).await;
    browser.post("/users/log-in", &log_in_form(&user.email, VALID_PASSWORD)).await;
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    host.mails_to(&user.email).await;
    browser.put("/users/settings/password", &password_form("another password", "another password")).await;

    let page = browser.get("/users/settings/activity").await;
    for what in ["Registered", "Failed to log in", "Logged in", "Asked for a link", "Changed the password"] {
        assert_contains(&page, what);
    }
    assert!(!page.text().contains("another password") && !page.text().contains("argon2"));
    let (_, stranger) = host.authenticated_fixture().await;
    assert!(!stranger.get("/users/settings/activity").await.text().contains("Failed to log in"));
    assert_redirected_to(&host.client().get("/users/settings/activity").await, "/users/log-in");
}

#[tokio::test]
async fn old_events_are_a_page_away() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    for _ in 0..25 {
        host.can_log_in(&user.email, VALID_PASSWORD).await;
    }
    let first = browser.get("/users/settings/activity").await.text();
    assert!(!first.contains("Registered"));
    let older =
        first.split("href=\"").find(|part| part.starts_with("/users/settings/activity?before=")).expect("a link");
    let older = older.split('"').next().expect("its end").to_owned();
    assert_contains(&browser.get(&older).await, "Registered");
    assert_status(&browser.get("/users/settings/activity?before=nonsense").await, 400);
}

#[tokio::test]
async fn a_failed_log_in_to_no_account_is_recorded_too() {
    let host = Host::new().await;
    host.client().post("/users/log-in", &log_in_form("nobody@example.com", "a wrong password")).await;
    let events = "SELECT count(*) FROM audit_events WHERE action = 'auth.login.failure' AND user_id IS NULL";
    let events: i64 = sqlx::query_scalar(events).fetch_one(&host.pool).await.expect("a count");
    assert_eq!(events, 1);
}

#[tokio::test]
async fn a_log_in_from_a_new_browser_is_told_once() {
    let host = Host::new().await;
    let user = host.user_fixture().await;
    let (laptop, phone) = (host.client(), host.client());
    let notices = async || {
        let mails = host.mails_to(&user.email).await;
        mails.iter().filter(|mail| mail.subject.starts_with("A new device")).count()
    };
    laptop.post("/users/log-in", &log_in_form(&user.email, VALID_PASSWORD)).await;
    assert_eq!(notices().await, 0, "the first log-in ever is no news");
    phone.post("/users/log-in", &log_in_form(&user.email, VALID_PASSWORD)).await;
    assert_eq!(notices().await, 1);
    for browser in [&laptop, &phone] {
        browser.delete("/users/log-out").await;
        browser.post("/users/log-in", &log_in_form(&user.email, VALID_PASSWORD)).await;
    }
    assert_eq!(notices().await, 1, "both are known");
}
