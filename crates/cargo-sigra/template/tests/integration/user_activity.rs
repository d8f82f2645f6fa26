//! The page of recent activity, and the audit trail behind it.

use crate::support::{Host, delete_account, email_form, login_form, password_form};
use sigra::testing::{TestHost, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status};

#[tokio::test]
async fn a_user_sees_what_happened_to_their_account_and_to_no_other() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    host.client().post("/users/log-in", &login_form(&user.email, "a wrong password")).await;
    browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    host.mails_to(&user.email).await;
    browser
        .put("/users/settings/password", &password_form("another password than before", "another password than before"))
        .await;

    let page = browser.get("/users/settings/activity").await;
    for what in ["Registered", "Failed to log in", "Logged in", "Requested a link", "Changed the password"] {
        assert_contains(&page, what);
    }
    assert!(!page.text().contains("another password") && !page.text().contains("argon2"));
    let (_, stranger) = host.authenticated_fixture().await;
    assert!(!stranger.get("/users/settings/activity").await.text().contains("Failed to log in"));
    assert_redirected_to(&host.client().get("/users/settings/activity").await, "/users/log-in");
}

#[tokio::test]
async fn older_events_are_on_the_next_page() {
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
async fn paging_shows_every_event_once() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    for _ in 0..44 {
        browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    }
    browser.post("/users/log-in", &login_form(&user.email, "a wrong password")).await;
    let (mut path, mut pages) = (Some("/users/settings/activity".to_owned()), Vec::new());
    while let Some(next) = path {
        let page = browser.get(&next).await.text();
        path = page
            .split_once("href=\"/users/settings/activity?before=")
            .and_then(|(_, rest)| rest.split_once('"'))
            .map(|(before, _)| format!("/users/settings/activity?before={before}"));
        pages.push(page);
        assert!(pages.len() <= 3, "the last page was not reached");
    }
    let all = pages.concat();
    assert_eq!(all.matches("Logged in</h2>").count(), 44);
    assert_eq!((all.matches("Failed to log in</h2>").count(), all.matches("Registered</h2>").count()), (1, 1));
    assert!(!all.contains("No more activity."), "no link leads to an empty page");
}

/// Events that any client can cause must not fill the table or the user's page.
#[tokio::test]
async fn repeated_events_are_merged_and_unknown_addresses_share_one_event() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    let user = host.registered_fixture().await;
    for number in 0..10 {
        let wrong = format!("a wrong password {number}");
        host.client().post("/users/log-in", &login_form(&user.email, &wrong)).await;
        host.client().post("/users/log-in", &login_form(&host.unique_email(), &wrong)).await;
        host.client().post("/users/register", &login_form(&user.email, VALID_PASSWORD)).await;
    }
    let count = sqlx::query_scalar("SELECT count(*) FROM audit_events").fetch_one(&host.pool);
    assert_eq!(count.await.unwrap_or(0_i64), 4, "registered, refused, and failures at one address and at others");
    let browser = host.log_in(&user).await;
    assert_contains(&browser.get("/users/settings/activity").await, "Failed to log in, 10 times");
    host.clock().advance(std::time::Duration::from_secs(60 * 60));
    host.client().post("/users/log-in", &login_form(&user.email, "a wrong password")).await;
    assert_contains(&browser.get("/users/settings/activity").await, "Failed to log in<");
}

#[tokio::test]
async fn paging_from_another_users_event_reveals_nothing() {
    let host = Host::new().await;
    let (victim, _) = host.authenticated_fixture().await;
    host.client().post("/users/log-in", &login_form(&victim.email, "a wrong password")).await;
    let (user, stranger) = host.authenticated_fixture().await;
    let event = host.accounts.list_user_activity(&victim, None).await.expect("events").events.remove(0);
    for place in [event.id, uuid::Uuid::max(), uuid::Uuid::nil()] {
        let page = stranger.get(&format!("/users/settings/activity?before={place}")).await;
        assert_status(&page, 200);
        assert!(!page.text().contains("Failed to log in") && !page.text().contains(&victim.email));
    }
    let own = host.accounts.list_user_activity(&user, None).await.expect("events").events;
    assert!(own.iter().all(|event| event.user == Some(user.id)));
}

/// The client chooses its user agent.
#[tokio::test]
async fn a_user_agent_cannot_inject_markup() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let attacker = host.client().user_agent("<script>alert(1)</script>\" onload=\"alert(2)");
    attacker.post("/users/log-in", &login_form(&user.email, "a wrong password")).await;
    let page = host.log_in(&user).await.get("/users/settings/activity").await;
    assert_contains(&page, "Failed to log in");
    assert!(!page.text().contains("alert("));
}

#[tokio::test]
async fn confirming_the_password_and_logging_out_are_recorded() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    browser.post("/users/sudo", &[("user[password]", "a wrong password")]).await;
    browser.post("/users/sudo", &[("user[password]", VALID_PASSWORD)]).await;
    browser.delete("/users/log-out").await;
    browser.delete("/users/log-out").await;
    let events = host.accounts.list_user_activity(&user, None).await.expect("events").events;
    let actions: Vec<&str> = events.iter().map(|event| &*event.action).collect();
    assert_eq!(
        actions,
        [
            "auth.logout",
            "auth.reauthentication.success",
            "auth.login.failure",
            "auth.login.success",
            "auth.account.registered"
        ]
    );
}

#[tokio::test]
async fn a_failed_login_without_an_account_is_recorded_too() {
    let host = Host::new().await;
    host.client().post("/users/log-in", &login_form("nobody@example.com", "a wrong password")).await;
    let events = "SELECT count(*) FROM audit_events WHERE action = 'auth.login.failure' AND user_id IS NULL";
    let events: i64 = sqlx::query_scalar(events).fetch_one(&host.pool).await.expect("a count");
    assert_eq!(events, 1);
}

#[tokio::test]
async fn a_login_from_a_new_browser_sends_one_email() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let (laptop, phone) = (host.client(), host.client());
    let notices = async || {
        let mails = host.mails_to(&user.email).await;
        mails.iter().filter(|mail| mail.subject.starts_with("New login")).count()
    };
    laptop.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_eq!(notices().await, 0, "the first login sends no email");
    phone.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_eq!(notices().await, 1);
    phone.post("/users/log-in", &login_form(&user.email, "a wrong password")).await;
    for browser in [&laptop, &phone] {
        browser.delete("/users/log-out").await;
        browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    }
    assert_eq!(notices().await, 1, "both browsers are known");
}

// <magic_link>
/// A new password stops nobody who reads the user's email.
#[tokio::test]
async fn the_advice_about_a_login_with_a_link_is_to_secure_the_mailbox() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    host.confirm(&user).await;
    let browser = host.client();
    browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    host.client().post("/users/log-in/link", &email_form(&user.email)).await;
    host.client().post(&host.link_to(&user.email).await, &[]).await;
    let mail = host.mails_to(&user.email).await.pop().expect("an email");
    assert_eq!(mail.subject, "New login to your account");
    let advice =
        "someone else can read your email: first change the password of your mailbox, then log that device out";
    assert!(mail.text.contains(advice), "{}", mail.text);
    let page = browser.get("/users/settings/activity").await;
    assert_contains(&page, "Someone else can read your email: first change the password of your mailbox");
    assert_contains(&page, "Log that device out under “Your devices”, and change your password.");
}
// </magic_link>

#[tokio::test]
async fn emails_about_new_browsers_can_be_turned_off() {
    let host = Host::with(&[("NOTIFY_NEW_DEVICES", "false")]).await;
    let user = host.registered_fixture().await;
    for _ in 0..2 {
        host.client().post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    }
    assert!(host.mails_to(&user.email).await.is_empty());
}

#[tokio::test]
async fn an_action_that_cannot_be_recorded_fails() {
    const NEW: &str = "a quite different password";
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let mut links = Vec::new();
    for path in ["/users/confirm", "/users/reset-password"] {
        host.client().post(path, &email_form(&user.email)).await;
        links.push(host.link_to(&user.email).await);
    }
    browser.put("/users/settings/email", &email_form("new@example.com")).await;
    links.push(host.link_to("new@example.com").await);
    // <magic_link>
    host.client().post("/users/log-in/link", &email_form(&user.email)).await;
    links.push(host.link_to(&user.email).await);
    // </magic_link>
    let (before, tokens) = (host.reload(&user).await, host.count_tokens().await);

    let rename = async |sql: &'static str| sqlx::query(sql).execute(&host.pool).await.expect("renamed");
    rename("ALTER TABLE audit_events RENAME TO events_elsewhere").await;
    for response in [
        host.client().post("/users/register", &login_form("free@example.com", VALID_PASSWORD)).await,
        host.client().post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await,
        browser.post(&links[0], &[]).await,
        host.client().put(&links[1], &password_form(NEW, NEW)).await,
        browser.post(&links[2], &[]).await,
        // <magic_link>
        host.client().post(&links[3], &[]).await,
        // </magic_link>
        browser.put("/users/settings/password", &password_form(NEW, NEW)).await,
        delete_account(&browser, &user.email).await,
    ] {
        assert!(response.status().is_server_error(), "{response:?}");
    }
    rename("ALTER TABLE events_elsewhere RENAME TO audit_events").await;

    let after = host.reload(&user).await;
    assert_eq!(after.hashed_password, before.hashed_password);
    assert_eq!((after.confirmed_at, after.delete_after), (None, None));
    assert_eq!(host.count_tokens().await, tokens);
    assert_status(&browser.get("/dashboard").await, 200);
    assert!(host.accounts.get_user_by_email("free@example.com").await.expect("a result").is_none());
}
