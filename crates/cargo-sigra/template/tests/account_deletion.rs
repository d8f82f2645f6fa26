//! Deleting an account.

mod support;

use sigra::testing::{TestHost, VALID_PASSWORD, assert_redirected_to, assert_status};
use support::{Host, email_form};

#[tokio::test]
async fn invariant_17_a_deleted_account_has_no_session_and_no_link() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let other = host.log_in(&user).await;
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;

    assert_redirected_to(&browser.delete("/users/settings").await, "/");

    assert!(host.accounts.get_user_by_email(&user.email).await.expect("an answer").is_none());
    assert_eq!(host.count_tokens().await, 0);
    for device in [&browser, &other] {
        assert_redirected_to(&device.get("/dashboard").await, "/users/log-in");
    }
    assert_redirected_to(&host.client().get(&link).await, "/users/reset-password");
    assert!(!host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert_eq!(host.mails_to(&user.email).await.last().map(|mail| &*mail.subject), Some("Your account was deleted"));
}

#[tokio::test]
async fn an_account_can_be_had_back_for_a_while_by_logging_in() {
    let host = Host::with(&[("DELETION_GRACE", "1209600")]).await;
    let (user, browser) = host.authenticated_fixture().await;
    let other = host.log_in(&user).await;
    assert_redirected_to(&browser.delete("/users/settings").await, "/");
    assert_redirected_to(&other.get("/dashboard").await, "/users/log-in");
    assert!(host.reload(&user).await.delete_after.is_some());
    assert_eq!(host.accounts.delete_users_whose_time_is_over().await.expect("done"), 0);

    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert!(host.reload(&user).await.delete_after.is_none());
}

#[tokio::test]
async fn an_account_that_nobody_wants_back_is_deleted_when_its_time_is_over() {
    let host = Host::with(&[("DELETION_GRACE", "1")]).await;
    let (user, browser) = host.authenticated_fixture().await;
    let (kept, kept_browser) = host.authenticated_fixture().await;
    browser.delete("/users/settings").await;
    tokio::time::sleep(std::time::Duration::from_millis(2100)).await;
    assert_eq!(host.accounts.delete_users_whose_time_is_over().await.expect("done"), 1);
    assert!(host.accounts.get_user_by_email(&user.email).await.expect("an answer").is_none());
    assert_status(&kept_browser.get("/dashboard").await, 200);
    host.reload(&kept).await;
}
