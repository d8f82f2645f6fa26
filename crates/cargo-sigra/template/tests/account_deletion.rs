//! Deleting an account.

mod support;

use std::time::Duration;

use sigra::testing::{TestHost, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status};
use support::{Host, email_form, log_in_form, password_form};

/// What `DELETION_GRACE` is set to where it is set.
const GRACE: Duration = Duration::from_secs(1_209_600);

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
    host.clock().advance(2 * GRACE);
    assert_eq!(host.accounts.delete_users_whose_time_is_over().await.expect("done"), 0);
}

#[tokio::test]
async fn every_way_to_log_in_keeps_the_account() {
    const NEW: &str = "a quite different password";
    let host = Host::with(&[("DELETION_GRACE", "1209600")]).await;
    let (user, browser) = host.authenticated_fixture().await;
    browser.delete("/users/settings").await;
    // <magic_link>
    host.client().post("/users/log-in/link", &email_form(&user.email)).await;
    browser.post(&host.link_to(&user.email).await, &[]).await;
    assert!(host.reload(&user).await.delete_after.is_none());

    browser.delete("/users/settings").await;
    // </magic_link>
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    host.client().put(&host.link_to(&user.email).await, &password_form(NEW, NEW)).await;
    assert!(host.reload(&user).await.delete_after.is_some(), "nobody has logged in");
    host.client().post("/users/log-in", &log_in_form(&user.email, NEW)).await;
    assert!(host.reload(&user).await.delete_after.is_none());
}

#[tokio::test]
async fn a_failed_log_in_keeps_nothing() {
    let host = Host::with(&[("DELETION_GRACE", "1209600")]).await;
    let (user, browser) = host.authenticated_fixture().await;
    browser.delete("/users/settings").await;
    assert!(!host.can_log_in(&user.email, "a wrong password").await);
    assert!(host.reload(&user).await.delete_after.is_some());
}

/// Logging in and deleting at the same moment: who is logged in afterwards has an account that stays.
#[tokio::test(flavor = "multi_thread")]
async fn invariant_11_a_log_in_beside_the_deletion_keeps_the_account_or_is_ended() {
    let host = Host::with(&[("DELETION_GRACE", "1209600"), ("RATE_LIMITS", "off")]).await;
    for round in 0..20 {
        let (user, browser) = host.authenticated_fixture().await;
        let other = host.client();
        let form = log_in_form(&user.email, VALID_PASSWORD);
        tokio::join!(browser.delete("/users/settings"), other.post("/users/log-in", &form));
        let is_in = other.get("/dashboard").await.status() == 200;
        let is_to_go = host.reload(&user).await.delete_after.is_some();
        assert!(!(is_in && is_to_go), "round {round}: logged in to an account that will be gone");
    }
}

#[tokio::test]
async fn an_account_that_nobody_wants_back_is_deleted_when_its_time_is_over() {
    let host = Host::with(&[("DELETION_GRACE", "1209600")]).await;
    let (user, browser) = host.authenticated_fixture().await;
    let (kept, kept_browser) = host.authenticated_fixture().await;
    browser.delete("/users/settings").await;
    host.clock().advance(GRACE - Duration::from_secs(1));
    assert_eq!(host.accounts.delete_users_whose_time_is_over().await.expect("done"), 0);
    host.clock().advance(Duration::from_secs(2));
    assert_eq!(host.accounts.delete_users_whose_time_is_over().await.expect("done"), 1);
    assert!(host.accounts.get_user_by_email(&user.email).await.expect("an answer").is_none());
    assert_status(&kept_browser.get("/dashboard").await, 200);
    host.reload(&kept).await;
}

#[tokio::test]
async fn an_account_that_cannot_be_read_keeps_no_other_from_being_deleted() {
    let host = Host::with(&[("DELETION_GRACE", "1209600")]).await;
    let mut over = Vec::new();
    for _ in 0..3 {
        let (user, browser) = host.authenticated_fixture().await;
        browser.delete("/users/settings").await;
        over.push(user);
    }
    let spoil = sqlx::query("UPDATE users SET updated_at = 'infinity' WHERE id = $1").bind(over[1].id);
    spoil.execute(&host.pool).await.expect("spoilt");
    host.clock().advance(GRACE + Duration::from_secs(1));
    assert_eq!(host.accounts.delete_users_whose_time_is_over().await.expect("done"), 3);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&host.pool).await.expect("a count");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_form_works_without_a_script_and_says_what_will_happen() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    assert_contains(&browser.get("/users/settings").await, "There is no way back.");
    assert_redirected_to(&browser.post("/users/settings", &[("_method", "delete")]).await, "/");
    assert_contains(&browser.get("/").await, "Your account was deleted.");
    assert!(host.accounts.get_user_by_email(&user.email).await.expect("an answer").is_none());

    let host = Host::with(&[("DELETION_GRACE", "1209600")]).await;
    let (_, browser) = host.authenticated_fixture().await;
    assert_contains(&browser.get("/users/settings").await, "You have 14 days to change your mind");
}

#[tokio::test]
async fn the_address_of_a_deleted_account_is_free_and_what_happened_is_on_record() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    browser.delete("/users/settings").await;
    host.client().post("/users/register", &log_in_form(&user.email, "another good password")).await;
    assert!(host.can_log_in(&user.email, "another good password").await);
    let again = host.reload(&user).await;
    assert_ne!(again.id, user.id);

    let events = host.accounts.list_user_activity(&user, None).await.expect("events");
    assert_eq!(events[0].action, "auth.account.deleted");
    let of_the_new = host.accounts.list_user_activity(&again, None).await.expect("events");
    assert!(of_the_new.iter().all(|event| event.action != "auth.account.deleted"));
}

#[tokio::test]
async fn a_mail_asks_for_an_answer_where_one_is_read() {
    for (env, reply_to, said) in [
        (&[][..], None, "ask the people who run"),
        (&[("MAIL_REPLY_TO", "Help@Example.com")], Some("help@example.com"), "answer this mail"),
    ] {
        let host = Host::with(env).await;
        let (user, browser) = host.authenticated_fixture().await;
        browser.delete("/users/settings").await;
        let mail = host.mails_to(&user.email).await.pop().expect("a mail");
        assert_eq!(mail.reply_to.as_deref(), reply_to);
        assert!(mail.text.contains(said), "{}", mail.text);
    }
}
