//! Deleting an account.

use std::time::Duration;

use crate::support::{Host, delete_account, email_form, login_form, password_form};
use my_app::web::user_auth::AFTER_LOGOUT_PATH;
use sigra::testing::{TestHost, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status};

const AT_ONCE: &[(&str, &str)] = &[("DELETION_GRACE", "0")];

/// The default of `DELETION_GRACE`.
const GRACE: Duration = Duration::from_secs(14 * 24 * 60 * 60);

#[tokio::test]
async fn invariant_17_a_deleted_account_has_no_session_and_no_link() {
    let host = Host::with(AT_ONCE).await;
    let (user, browser) = host.authenticated_fixture().await;
    let other = host.log_in(&user).await;
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;

    assert_redirected_to(&delete_account(&browser, &user.email).await, AFTER_LOGOUT_PATH);

    assert!(host.accounts.get_user_by_email(&user.email).await.expect("a result").is_none());
    assert_eq!(host.count_tokens().await, 0);
    for device in [&browser, &other] {
        assert_redirected_to(&device.get("/dashboard").await, "/users/log-in");
    }
    assert_redirected_to(&host.client().get(&link).await, "/users/reset-password");
    assert!(!host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert_eq!(host.mails_to(&user.email).await.last().map(|mail| &*mail.subject), Some("Your account was deleted"));
}

#[tokio::test]
async fn an_address_that_is_stored_with_capitals_can_be_typed_in_any_case() {
    let host = Host::with(AT_ONCE).await;
    for in_capitals in [false, true] {
        let (user, browser) = host.authenticated_fixture().await;
        let stored = host.capitalize(&user).await.email;
        assert_ne!(stored, user.email);
        assert_status(&delete_account(&browser, "someone.else@example.com").await, 422);
        let typed = if in_capitals { &stored } else { &user.email };
        assert_redirected_to(&delete_account(&browser, typed).await, AFTER_LOGOUT_PATH);
        assert!(host.accounts.get_user_by_email(&stored).await.expect("a result").is_none());
    }
}

/// A thief who has the password logs in and deletes the account, again and again.
#[tokio::test]
async fn a_scheduled_deletion_leaves_the_owner_their_links() {
    const NEW: &str = "a quite different password";
    let host = Host::new().await;
    let (user, thief) = host.authenticated_fixture().await;
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;
    for _ in 0..2 {
        assert_redirected_to(&delete_account(&thief, &user.email).await, AFTER_LOGOUT_PATH);
        assert_redirected_to(&thief.get("/dashboard").await, "/users/log-in");
        thief.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
        assert_status(&thief.get("/dashboard").await, 200);
    }
    delete_account(&thief, &user.email).await;
    // <magic_link>
    host.client().post("/users/log-in/link", &email_form(&user.email)).await;
    let login_link = host.link_to(&user.email).await;
    thief.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    delete_account(&thief, &user.email).await;
    assert_status(&host.client().get(&login_link).await, 200);
    // </magic_link>

    host.client().put(&link, &password_form(NEW, NEW)).await;
    assert!(!host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert!(host.can_log_in(&user.email, NEW).await);
}

#[tokio::test]
async fn deleting_an_account_again_and_again_is_limited() {
    let host = Host::new().await;
    let (user, thief) = host.authenticated_fixture().await;
    for _ in 0..20 {
        assert_redirected_to(&delete_account(&thief, &user.email).await, AFTER_LOGOUT_PATH);
        thief.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    }
    assert_status(&delete_account(&thief, &user.email).await, 429);
}

#[tokio::test]
async fn logging_in_during_the_grace_period_keeps_the_account() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let other = host.log_in(&user).await;
    assert_redirected_to(&delete_account(&browser, &user.email).await, AFTER_LOGOUT_PATH);
    assert_redirected_to(&other.get("/dashboard").await, "/users/log-in");
    assert!(host.reload(&user).await.delete_after.is_some());
    assert_eq!(host.accounts.delete_expired_users().await.expect("done"), 0);

    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert!(host.reload(&user).await.delete_after.is_none());
    host.clock().advance(2 * GRACE);
    assert_eq!(host.accounts.delete_expired_users().await.expect("done"), 0);
}

#[tokio::test]
async fn every_way_to_log_in_keeps_the_account() {
    const NEW: &str = "a quite different password";
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    delete_account(&browser, &user.email).await;
    // <magic_link>
    host.client().post("/users/log-in/link", &email_form(&user.email)).await;
    browser.post(&host.link_to(&user.email).await, &[]).await;
    assert!(host.reload(&user).await.delete_after.is_none());

    delete_account(&browser, &user.email).await;
    // </magic_link>
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    host.client().put(&host.link_to(&user.email).await, &password_form(NEW, NEW)).await;
    assert!(host.reload(&user).await.delete_after.is_some(), "no user has logged in");
    host.client().post("/users/log-in", &login_form(&user.email, NEW)).await;
    assert!(host.reload(&user).await.delete_after.is_none());
}

#[tokio::test]
async fn a_failed_login_does_not_keep_the_account() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    delete_account(&browser, &user.email).await;
    assert!(!host.can_log_in(&user.email, "a wrong password").await);
    assert!(host.reload(&user).await.delete_after.is_some());
}

/// A user who is logged in after a concurrent login and deletion keeps their account.
#[tokio::test(flavor = "multi_thread")]
async fn invariant_11_a_login_during_the_deletion_keeps_the_account_or_ends() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    for round in 0..20 {
        let (user, browser) = host.authenticated_fixture().await;
        let other = host.client();
        let form = login_form(&user.email, VALID_PASSWORD);
        tokio::join!(delete_account(&browser, &user.email), other.post("/users/log-in", &form));
        let is_in = other.get("/dashboard").await.status() == 200;
        let is_to_go = host.reload(&user).await.delete_after.is_some();
        assert!(!(is_in && is_to_go), "round {round}: logged in to an account that will be deleted");
    }
}

#[tokio::test]
async fn an_account_is_deleted_after_its_grace_period() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let (kept, kept_browser) = host.authenticated_fixture().await;
    delete_account(&browser, &user.email).await;
    host.clock().advance(GRACE - Duration::from_secs(1));
    assert_eq!(host.accounts.delete_expired_users().await.expect("done"), 0);
    host.clock().advance(Duration::from_secs(2));
    assert_eq!(host.accounts.delete_expired_users().await.expect("done"), 1);
    assert!(host.accounts.get_user_by_email(&user.email).await.expect("a result").is_none());
    assert_status(&kept_browser.get("/dashboard").await, 200);
    host.reload(&kept).await;
}

/// One process whose clock is ahead must not end the grace period.
#[tokio::test]
async fn a_wrong_clock_deletes_no_account_early() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    delete_account(&browser, &user.email).await;
    let unused = host.registered_fixture().await;
    let ahead = host.with_clock(sigra::Clock::wrong_by(time::Duration::weeks(4)));
    assert_eq!(ahead.delete_expired_users().await.expect("done"), 0);
    assert_eq!(ahead.delete_unused_users().await.expect("done"), 0);
    for user in [&user, &unused] {
        host.reload(user).await;
    }
}

#[tokio::test]
async fn an_unreadable_account_does_not_stop_the_deletion_of_others() {
    let host = Host::new().await;
    let mut over = Vec::new();
    for _ in 0..3 {
        let (user, browser) = host.authenticated_fixture().await;
        delete_account(&browser, &user.email).await;
        over.push(user);
    }
    let spoil = sqlx::query("UPDATE users SET updated_at = 'infinity' WHERE id = $1").bind(over[1].id);
    spoil.execute(&host.pool).await.expect("spoiled");
    host.clock().advance(GRACE + Duration::from_secs(1));
    assert_eq!(host.accounts.delete_expired_users().await.expect("done"), 3);
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&host.pool).await.expect("a count");
    assert_eq!(left, 0);
}

#[tokio::test]
async fn the_page_says_what_will_happen_and_asks_for_the_email_address() {
    const PAGE: &str = "/users/settings/delete";
    let host = Host::with(AT_ONCE).await;
    let (user, browser) = host.authenticated_fixture().await;
    assert_contains(&browser.get("/users/settings").await, &format!("href=\"{PAGE}\""));
    let page = browser.get(PAGE).await;
    assert_contains(&page, "This can't be undone.");
    assert_contains(&page, &format!("Type <strong class=\"breakable\">{}", user.email));
    assert_redirected_to(
        &delete_account(&browser, &format!(" {} ", user.email.to_uppercase())).await,
        AFTER_LOGOUT_PATH,
    );
    assert_contains(&browser.get("/").await, "Your account was deleted.");
    assert!(host.accounts.get_user_by_email(&user.email).await.expect("a result").is_none());

    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let after = host.clock().now() + GRACE;
    let day = format!("{} {}, {}", after.month(), after.day(), after.year());
    assert_contains(&browser.get(PAGE).await, &format!("To keep your account, log in before {day}."));
    delete_account(&browser, &user.email).await;
    assert_contains(&browser.get("/").await, &format!("To keep your account, log in before {day}."));
    let mail = host.mails_to(&user.email).await.pop().expect("an email");
    assert!(mail.text.contains(&format!("To keep your account, log in before {day}.")), "{}", mail.text);
}

#[tokio::test]
async fn deleting_an_account_requires_its_email_address_and_sudo_mode() {
    let host = Host::with(AT_ONCE).await;
    let (user, browser) = host.authenticated_fixture().await;
    let other = host.registered_fixture().await;
    for response in [
        browser.delete("/users/settings").await,
        browser.post("/users/settings", &[("_method", "delete")]).await,
        delete_account(&browser, "").await,
        delete_account(&browser, "nobody@example.com").await,
        delete_account(&browser, &other.email).await,
    ] {
        assert_status(&response, 422);
        assert_contains(&response, "That isn&#39;t the email address of your account.");
    }
    host.reload(&user).await;
    assert_status(&browser.get("/dashboard").await, 200);
    host.clock().advance(Duration::from_secs(20 * 60));
    assert_redirected_to(&browser.get("/users/settings/delete").await, "/users/sudo");
}

#[tokio::test]
async fn a_login_that_keeps_the_account_is_announced_on_the_page_and_by_email() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    delete_account(&browser, &user.email).await;
    let response = browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_contains(
        &browser.follow(&response).await,
        "Your account was scheduled for deletion. You logged in, so we kept it.",
    );
    let mails = host.mails_to(&user.email).await;
    let mail = mails.iter().find(|mail| mail.subject == "Your account will not be deleted").expect("an email");
    assert!(mail.text.contains("Firefox on Linux"), "{}", mail.text);

    let response = browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert!(!browser.follow(&response).await.text().contains("we kept it"));
    assert_eq!(host.mails_to(&user.email).await.len(), mails.len());
}

/// A login and the cancellation of the deletion happen together, or not at all.
#[tokio::test]
async fn a_login_that_cannot_keep_the_account_fails() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let (other, their_browser) = host.authenticated_fixture().await;
    delete_account(&their_browser, &other.email).await;
    assert!(host.can_log_in(&other.email, VALID_PASSWORD).await);
    delete_account(&browser, &user.email).await;
    // The audit event of a canceled deletion can't be written.
    let once = "CREATE UNIQUE INDEX once ON audit_events (action) WHERE action = 'auth.account.deletion_canceled'";
    sqlx::query(once).execute(&host.pool).await.expect("an index");
    let response = browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert!(response.status().is_server_error());
    assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");
    assert!(host.reload(&user).await.delete_after.is_some());
    assert!(host.sigra().sessions().list(&user.id).await.expect("sessions").is_empty());
}

/// Unused accounts are deleted a week after their registration.
#[tokio::test]
async fn accounts_that_were_never_used_are_deleted_and_all_others_stay() {
    let host = Host::new().await;
    let unused = host.registered_fixture().await;
    host.client().post("/users/confirm", &email_form(&unused.email)).await;
    let confirmed = host.registered_fixture().await;
    host.confirm(&confirmed).await;
    let (logged_in, _) = host.authenticated_fixture().await;
    let (logged_out, browser) = (host.registered_fixture().await, host.client());
    browser.post("/users/log-in", &login_form(&logged_out.email, VALID_PASSWORD)).await;
    browser.delete("/users/log-out").await;
    let program = host.registered_fixture().await;
    host.open_session(&program).await;
    let imported = host.registered_fixture().await;
    let forget = sqlx::query("DELETE FROM audit_events WHERE user_id = $1").bind(imported.id);
    forget.execute(&host.pool).await.expect("deleted");

    let week = Duration::from_secs(7 * 24 * 60 * 60);
    host.clock().advance(week - Duration::from_secs(1));
    let young = host.registered_fixture().await;
    assert_eq!(host.accounts.delete_unused_users().await.expect("done"), 0);
    host.clock().advance(Duration::from_secs(2));
    assert_eq!(host.accounts.delete_unused_users().await.expect("done"), 1);
    assert!(host.accounts.get_user_by_email(&unused.email).await.expect("a result").is_none());
    for user in [&confirmed, &logged_in, &logged_out, &program, &imported, &young] {
        host.reload(user).await;
    }
    let events = host.accounts.list_user_activity(&unused, None).await.expect("events").events;
    assert_eq!(events[0].action, "auth.account.deleted");

    let host = Host::with(&[("UNCONFIRMED_TTL", "0")]).await;
    host.registered_fixture().await;
    host.clock().advance(10 * week);
    assert_eq!(host.accounts.delete_unused_users().await.expect("done"), 0);
}

/// The application may have rows that belong to a user, and must not be deleted with them.
#[tokio::test]
async fn unused_accounts_that_can_not_be_deleted_keep_no_others() {
    let host = Host::new().await;
    // <uuid>
    let notes = "CREATE TABLE notes (user_id UUID REFERENCES users (id))";
    // </uuid>
    // <!uuid>
    // let notes = "CREATE TABLE notes (user_id BIGINT REFERENCES users (id))";
    // </!uuid>
    sqlx::query(notes).execute(&host.pool).await.expect("a table");
    for _ in 0..51 {
        host.registered_fixture().await;
    }
    sqlx::query("INSERT INTO notes SELECT id FROM users").execute(&host.pool).await.expect("notes");
    let unused = host.registered_fixture().await;
    host.clock().advance(Duration::from_secs(8 * 24 * 60 * 60));
    assert_eq!(host.accounts.delete_unused_users().await.expect("done"), 1);
    assert!(host.accounts.get_user_by_email(&unused.email).await.expect("a result").is_none());
}

/// A concurrent login either keeps the account or fails.
#[tokio::test(flavor = "multi_thread")]
async fn invariant_11_an_account_that_a_user_logs_in_to_is_not_deleted_as_unused() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    for round in 0..20 {
        let user = host.registered_fixture().await;
        host.clock().advance(Duration::from_secs(8 * 24 * 60 * 60));
        let browser = host.client();
        let form = login_form(&user.email, VALID_PASSWORD);
        let (_, deleted) = tokio::join!(browser.post("/users/log-in", &form), host.accounts.delete_unused_users());
        let is_in = browser.get("/dashboard").await.status() == 200;
        assert_eq!(deleted.expect("done") == 0, is_in, "round {round}");
    }
}

#[tokio::test]
async fn a_deleted_account_frees_its_address_and_leaves_audit_events() {
    let host = Host::with(AT_ONCE).await;
    let (user, browser) = host.authenticated_fixture().await;
    delete_account(&browser, &user.email).await;
    host.client().post("/users/register", &login_form(&user.email, "another valid password")).await;
    assert!(host.can_log_in(&user.email, "another valid password").await);
    let again = host.reload(&user).await;
    assert_ne!(again.id, user.id);

    let events = host.accounts.list_user_activity(&user, None).await.expect("events").events;
    assert_eq!(events[0].action, "auth.account.deleted");
    let of_the_new = host.accounts.list_user_activity(&again, None).await.expect("events").events;
    assert!(of_the_new.iter().all(|event| event.action != "auth.account.deleted"));
}

#[tokio::test]
async fn an_email_asks_for_a_reply_only_if_replies_are_read() {
    for (env, reply_to, said) in [
        (&[][..], None, "ask the people who run"),
        (&[("MAIL_REPLY_TO", "Help@Example.com")], Some("help@example.com"), "reply to this email"),
    ] {
        let host = Host::with(env).await;
        let (user, browser) = host.authenticated_fixture().await;
        delete_account(&browser, &user.email).await;
        let mail = host.mails_to(&user.email).await.pop().expect("an email");
        assert_eq!(mail.reply_to.as_deref(), reply_to);
        assert!(mail.text.contains(said), "{}", mail.text);
    }
}

/// The query plan for a large number of rows.
async fn plan_of(host: &Host, query: &'static str) -> String {
    let mut conn = host.pool.acquire().await.expect("a connection");
    // <postgres>
    // <template>
    #[cfg(feature = "postgres")]
    // </template>
    {
        sqlx::query("SET enable_seqscan = off").execute(&mut *conn).await.expect("set");
        let explain = sqlx::query_scalar::<_, String>(sqlx::AssertSqlSafe(format!("EXPLAIN {query}")));
        explain.fetch_all(&mut *conn).await.expect("a plan").join("\n")
    }
    // </postgres>
    // <sqlite>
    // <template>
    #[cfg(not(feature = "postgres"))]
    // </template>
    {
        use sqlx::Row as _;
        let explain = sqlx::query(sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}")));
        let steps = explain.fetch_all(&mut *conn).await.expect("a plan");
        steps.iter().map(|step| step.get::<String, _>("detail")).collect::<Vec<_>>().join("\n")
    }
    // </sqlite>
}

/// The query runs every hour, over all users.
#[tokio::test]
async fn accounts_to_delete_are_found_by_an_index() {
    let host = Host::new().await;
    for (query, index) in [
        (
            "SELECT id FROM users WHERE confirmed_at IS NULL AND inserted_at <= '2026-01-01T00:00:00Z'",
            "users_unconfirmed",
        ),
        ("SELECT id FROM users WHERE delete_after <= '2026-01-01T00:00:00Z'", "users_delete_after"),
    ] {
        let plan = plan_of(&host, query).await;
        assert!(plan.contains(index), "{query}\n{plan}");
    }
}
