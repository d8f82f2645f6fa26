//! Changing the address and the password.

mod support;

use std::time::Duration;

use sigra::testing::{TestHost, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status};
use support::{Host, email_form, password_form};

const NEW: &str = "a quite different password";
const EMAIL: &str = "/users/settings/email";
const PASSWORD: &str = "/users/settings/password";

#[tokio::test]
async fn settings_ask_for_a_recent_authentication() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    assert_status(&browser.get("/users/settings").await, 200);
    host.clock().advance(Duration::from_secs(20 * 60));
    assert_redirected_to(&browser.get("/users/settings").await, "/users/sudo");
    assert_redirected_to(&browser.put(PASSWORD, &password_form(NEW, NEW)).await, "/users/sudo");
    assert_redirected_to(&browser.put(EMAIL, &email_form("new@example.com")).await, "/users/sudo");
    assert_redirected_to(&browser.delete("/users/settings").await, "/users/sudo");
    assert_redirected_to(&host.client().get("/users/settings").await, "/users/log-in");
}

#[tokio::test]
async fn invariant_9_a_new_password_ends_all_other_sessions_and_every_link() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let (other, thief) = (host.log_in(&user).await, browser.fork());
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;

    assert_redirected_to(&browser.put(PASSWORD, &password_form(NEW, NEW)).await, "/users/settings");

    assert_status(&browser.get("/dashboard").await, 200);
    assert_redirected_to(&other.get("/dashboard").await, "/users/log-in");
    assert_redirected_to(&thief.get("/dashboard").await, "/users/log-in");
    assert_redirected_to(&host.client().get(&link).await, "/users/reset-password");
    assert!(host.can_log_in(&user.email, NEW).await && !host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert!(host.mails_to(&user.email).await.iter().any(|mail| mail.subject == "Your password was changed"));
}

#[tokio::test]
async fn a_bad_password_changes_nothing() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let other = host.log_in(&user).await;
    for (password, confirmation, problem) in
        [("tooshort", "tooshort", "at least 15 characters"), (NEW, "something else", "does not match")]
    {
        let answer = browser.put(PASSWORD, &password_form(password, confirmation)).await;
        assert_status(&answer, 422);
        assert_contains(&answer, problem);
    }
    assert_status(&other.get("/dashboard").await, 200);
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
}

#[tokio::test]
async fn an_address_is_changed_by_a_link_to_the_new_one() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    assert_redirected_to(&browser.put(EMAIL, &email_form("New@example.com")).await, "/users/settings");
    let link = host.link_to("new@example.com").await;
    assert_eq!(host.mails_to(&user.email).await[0].subject, "Your email address is to be changed");
    assert_status(&browser.get(&link).await, 200);
    assert_eq!(host.reload(&user).await.email, user.email, "opening the link changes nothing");

    assert_redirected_to(&host.client().get(&link).await, "/users/log-in");
    let (_, stranger) = host.authenticated_fixture().await;
    assert_redirected_to(&stranger.post(&link, &[]).await, "/users/settings");
    assert_redirected_to(&browser.post(&link, &[]).await, "/users/settings");

    assert!(host.can_log_in("new@example.com", VALID_PASSWORD).await);
    assert!(!host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert_contains(&browser.get("/dashboard").await, "new@example.com");
    assert_redirected_to(&browser.post(&link, &[]).await, "/users/settings");
    assert_eq!(
        host.mails_to(&user.email).await.last().map(|mail| &*mail.subject),
        Some("Your email address was changed")
    );
}

/// CVE-2026-32700: one address was paired with the link to another.
#[tokio::test]
async fn a_link_gives_the_address_that_it_was_sent_to_and_no_other() {
    let host = Host::new().await;
    for round in 0..5 {
        let (_, browser) = host.authenticated_fixture().await;
        let (theirs, mine) = (format!("victim{round}@example.com"), format!("mine{round}@example.com"));
        let (a, b) = (email_form(&theirs), email_form(&mine));
        let (one, two) = tokio::join!(browser.put(EMAIL, &a), browser.put(EMAIL, &b));
        assert!(one.status() == 303 && two.status() == 303);
        let link = host.link_to(&mine).await;
        browser.post(&link, &[]).await;
        assert!(!browser.get("/dashboard").await.text().contains(&theirs), "nobody opened the link to {theirs}");
    }
}

#[tokio::test]
async fn a_taken_address_looks_the_same_and_its_owner_is_told() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let owner = host.user_fixture().await;
    assert_redirected_to(&browser.put(EMAIL, &email_form(&owner.email)).await, "/users/settings");
    assert_eq!(host.mails_to(&owner.email).await[0].subject, "You already have an account");

    assert_redirected_to(&browser.put(EMAIL, &email_form("soon@example.com")).await, "/users/settings");
    let link = host.link_to("soon@example.com").await;
    host.register_user("soon@example.com", &sigra::Password::new(VALID_PASSWORD)).await;
    assert_redirected_to(&browser.post(&link, &[]).await, "/users/settings");
    assert!(!browser.get("/dashboard").await.text().contains("soon@example.com"));
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_beside_its_field() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    for (email, problem) in [("none", "must have the @ sign"), (&*user.email, "is your address already")] {
        let answer = browser.put(EMAIL, &email_form(email)).await;
        assert_status(&answer, 422);
        assert_contains(&answer, problem);
    }
}
