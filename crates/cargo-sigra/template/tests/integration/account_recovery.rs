//! "It wasn't me": the link by which an owner takes their account back from a thief.

use std::time::Duration;

use my_app::accounts::User;
use sigra::testing::{TestClient, TestHost, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status};
// <mfa>
use crate::support::enroll;
// </mfa>
use crate::support::{Host, delete_account, email_form, login_form, password_form, token_of};
use tokio::task::JoinSet;

const NEW: &str = "a quite different password";
const THIEFS: &str = "what the thief has chosen";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// A user, and a thief who has their password.
async fn stolen_account(host: &Host) -> (User, TestClient) {
    let user = host.registered_fixture().await;
    host.confirm(&user).await;
    host.clock().advance(Duration::from_secs(60 * 60));
    let thief = host.log_in(&user).await;
    (user, thief)
}

/// The link of the last recovery email.
async fn recovery_link(host: &Host, email: &str) -> String {
    let mails = host.mails_to(email).await;
    let mut lines = mails.iter().flat_map(|mail| mail.text.lines());
    let link = lines
        .rfind(|line| line.contains("/users/recover/"))
        .unwrap_or_else(|| panic!("no link in the emails to {email}"));
    link.strip_prefix("http://localhost:4000").expect("a link of the application").to_owned()
}

async fn change_address(host: &Host, browser: &TestClient, new: &str) {
    browser.put("/users/settings/email", &email_form(new)).await;
    let response = browser.post(&host.link_to(new).await, &[]).await;
    assert_contains(&browser.follow(&response).await, "Your email address was changed.");
}

async fn recover(link: &str, browser: &TestClient) -> bool {
    browser.put(link, &password_form(NEW, NEW)).await.location() == Some("/users/log-in")
}

/// The owner can log in with the new password, and nobody else is logged in.
async fn assert_owner_has_the_account(host: &Host, user: &User, thief: &TestClient) {
    assert!(host.can_log_in(&user.email, NEW).await, "the owner's password, and no second factor");
    for password in [VALID_PASSWORD, THIEFS] {
        assert!(!host.can_log_in(&user.email, password).await);
    }
    assert_redirected_to(&thief.get("/dashboard").await, "/users/log-in");
    assert_eq!(host.reload(user).await.id, user.id);
}

// <mfa>
/// A new password alone would keep the thief's second factor, and lock the owner out.
#[tokio::test]
async fn the_email_about_a_first_factor_lets_the_owner_lock_out_a_thief() {
    let host = Host::new().await;
    let (user, thief) = stolen_account(&host).await;
    assert_status(&enroll(&host, &thief).await, 200);
    let link = recovery_link(&host, &user.email).await;
    let mail = host.mails_to(&user.email).await.into_iter().find(|mail| mail.text.contains(&link)).expect("an email");
    assert!(mail.text.contains("It wasn't me") && mail.text.contains("expires in 7 days."), "{}", mail.text);

    let owner = host.client();
    for _ in 0..2 {
        let page = owner.get(&link).await;
        assert_contains(&page, &user.email);
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
    assert_status(&thief.get("/dashboard").await, 200);
    assert_status(&owner.put(&link, &password_form("short", "short")).await, 422);
    assert_status(&owner.put(&link, &password_form(NEW, "something else entirely")).await, 422);
    assert!(recover(&link, &owner).await);
    assert_owner_has_the_account(&host, &user, &thief).await;
    assert_redirected_to(&owner.put(&link, &password_form(NEW, NEW)).await, "/users/reset-password");
    assert_redirected_to(&owner.get(&link).await, "/users/reset-password");

    let subjects: Vec<String> = host.mails_to(&user.email).await.into_iter().map(|mail| mail.subject).collect();
    assert!(subjects.iter().any(|subject| subject == "You got your account back"), "{subjects:?}");
    let events = host.accounts.list_user_activity(&user, None).await.expect("events").events;
    assert!(events.iter().any(|event| event.action == "auth.account.recovered"));
}

/// A thief in the account can revoke other links, with a new password, a reset or the deletion of the account, but not
/// a recovery link.
#[tokio::test]
async fn a_thief_cannot_revoke_the_link() {
    let host = Host::new().await;
    let (user, thief) = stolen_account(&host).await;
    enroll(&host, &thief).await;
    let link = recovery_link(&host, &user.email).await;
    thief.put("/users/settings/password", &password_form(THIEFS, THIEFS)).await;
    change_address(&host, &thief, "thief@example.com").await;
    change_address(&host, &thief, "again@example.com").await;
    host.client().post("/users/reset-password", &email_form("again@example.com")).await;
    host.client().put(&host.link_to("again@example.com").await, &password_form(THIEFS, THIEFS)).await;

    assert!(recover(&link, &host.client()).await);
    assert_owner_has_the_account(&host, &user, &thief).await;
}

/// A later factor needs no recovery link: its owner can log in with their own factor and remove it.
#[tokio::test]
async fn the_email_about_a_later_factor_says_where_to_remove_it() {
    let host = Host::new().await;
    let (user, browser) = stolen_account(&host).await;
    enroll(&host, &browser).await;
    host.clock().advance(Duration::from_secs(60));
    assert_redirected_to(&enroll(&host, &browser).await, "/users/settings/mfa");
    let mail = host.mails_to(&user.email).await.pop().expect("an email");
    assert_eq!(mail.subject, "A second factor was added to your account");
    assert!(mail.text.contains("remove it under \u{201c}Two-factor authentication\u{201d}"), "{}", mail.text);
    assert!(!mail.text.contains("/users/recover/"));
}

/// Otherwise the thief's factor would lock out an owner who opens the newer of two links.
#[tokio::test]
async fn the_link_about_the_address_also_removes_a_first_factor_whose_link_is_valid() {
    let host = Host::new().await;
    let (user, thief) = stolen_account(&host).await;
    enroll(&host, &thief).await;
    let first = recovery_link(&host, &user.email).await;
    host.clock().advance(Duration::from_secs(60 * 60));
    change_address(&host, &log_in_with_code(&host, &user).await, "thief@example.com").await;
    let last = recovery_link(&host, &user.email).await;
    assert_ne!(first, last);
    assert!(recover(&last, &host.client()).await);
    assert_owner_has_the_account(&host, &user, &thief).await;
    assert!(!recover(&first, &host.client()).await);
}

async fn log_in_with_code(host: &Host, user: &User) -> TestClient {
    let thief = host.log_in(user).await;
    thief.post("/users/mfa-challenge", &[("user[code]", &host.totp_code(user).await)]).await;
    thief
}

/// Factors that were set up before the change are the owner's, once the link about the first one has expired.
#[tokio::test]
async fn a_factor_from_before_the_address_was_changed_stays() {
    let host = Host::new().await;
    let (user, browser) = stolen_account(&host).await;
    enroll(&host, &browser).await;
    host.clock().advance(7 * DAY);
    let thief = log_in_with_code(&host, &user).await;
    change_address(&host, &thief, "thief@example.com").await;
    let link = recovery_link(&host, &user.email).await;
    assert!(recover(&link, &host.client()).await);
    let owner = host.client();
    let response = owner.post("/users/log-in", &login_form(&user.email, NEW)).await;
    assert_redirected_to(&response, "/users/mfa-challenge");
    host.clock().advance(Duration::from_secs(30));
    owner.post("/users/mfa-challenge", &[("user[code]", &host.totp_code(&user).await)]).await;
    assert_contains(&owner.get("/dashboard").await, &user.email);
    let factors = host.sigra().mfa().list(&user.id).await.expect("factors");
    assert_eq!(factors.backup_codes, 0, "a thief may have created new codes");
}
// </mfa>

#[tokio::test]
async fn the_email_to_the_old_address_restores_it() {
    let host = Host::new().await;
    let (user, thief) = stolen_account(&host).await;
    change_address(&host, &thief, "thief@example.com").await;
    let link = recovery_link(&host, &user.email).await;
    thief.put("/users/settings/password", &password_form(THIEFS, THIEFS)).await;
    assert!(recover(&link, &host.client()).await);
    assert_owner_has_the_account(&host, &user, &thief).await;
    assert!(!host.can_log_in("thief@example.com", THIEFS).await);
}

/// The thief gets such links too, once the account has their address.
#[tokio::test]
async fn the_earlier_of_two_recovery_links_wins_whichever_is_used_first() {
    for thief_is_first in [false, true] {
        let host = Host::new().await;
        let (user, thief) = stolen_account(&host).await;
        change_address(&host, &thief, "thief@example.com").await;
        change_address(&host, &thief, "again@example.com").await;
        let (owners, thiefs) =
            (recovery_link(&host, &user.email).await, recovery_link(&host, "thief@example.com").await);
        if thief_is_first {
            assert!(recover(&thiefs, &thief).await);
        }
        assert!(recover(&owners, &host.client()).await, "the thief first: {thief_is_first}");
        assert!(!recover(&thiefs, &thief).await);
        assert_owner_has_the_account(&host, &user, &thief).await;
    }
}

/// A user who corrects a typo in their address must not hand the account to someone else.
#[tokio::test]
async fn an_unconfirmed_address_gets_no_recovery_link() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    change_address(&host, &browser, "right@example.com").await;
    let mails = host.mails_to(&user.email).await;
    assert!(mails.iter().any(|mail| mail.subject == "Your email address was changed"));
    assert!(mails.iter().all(|mail| !mail.text.contains("/users/recover/")));
}

#[tokio::test]
async fn a_link_expires_after_a_week() {
    let host = Host::new().await;
    let (user, thief) = stolen_account(&host).await;
    change_address(&host, &thief, "thief@example.com").await;
    let link = recovery_link(&host, &user.email).await;
    host.clock().advance(7 * DAY - Duration::from_secs(1));
    assert_status(&host.client().get(&link).await, 200);
    host.clock().advance(Duration::from_secs(1));
    assert_redirected_to(&host.client().get(&link).await, "/users/reset-password");
    assert!(!recover(&link, &host.client()).await);
}

#[tokio::test]
async fn an_address_that_another_user_has_confirmed_since_stays_theirs() {
    let host = Host::new().await;
    let (user, thief) = stolen_account(&host).await;
    change_address(&host, &thief, "thief@example.com").await;
    let link = recovery_link(&host, &user.email).await;

    let squatter = host.client();
    squatter.post("/users/register", &login_form(&user.email, THIEFS)).await;
    squatter.post("/users/log-in", &login_form(&user.email, THIEFS)).await;
    assert_status(&squatter.get("/dashboard").await, 200);
    let theirs = host.reload(&user).await;
    host.confirm(&theirs).await;
    let refused = host.client().put(&link, &password_form(NEW, NEW)).await;
    assert_status(&refused, 422);
    assert_contains(&refused, "Another account now uses this email address.");
    assert_status(&thief.get("/dashboard").await, 200);

    let unconfirm = sqlx::query("UPDATE users SET confirmed_at = NULL WHERE id = $1").bind(theirs.id);
    unconfirm.execute(&host.pool).await.expect("updated");
    assert!(recover(&link, &host.client()).await, "the failed attempt did not use up the link");
    assert_owner_has_the_account(&host, &user, &thief).await;
    assert_redirected_to(&squatter.get("/dashboard").await, "/users/log-in");
}

#[tokio::test]
async fn an_address_that_was_stored_with_capitals_is_taken_back_from_an_account_that_never_confirmed_it() {
    let host = Host::new().await;
    let (user, thief) = stolen_account(&host).await;
    let stored = host.capitalize(&user).await;
    change_address(&host, &thief, "thief@example.com").await;
    let link = recovery_link(&host, &stored.email).await;
    host.client().post("/users/register", &login_form(&user.email, THIEFS)).await;
    assert!(recover(&link, &host.client()).await);
    assert_owner_has_the_account(&host, &user, &thief).await;
}

#[tokio::test]
async fn recovery_keeps_an_account_that_the_thief_deleted() {
    let host = Host::new().await;
    let (user, thief) = stolen_account(&host).await;
    change_address(&host, &thief, "thief@example.com").await;
    delete_account(&thief, "thief@example.com").await;
    assert!(recover(&recovery_link(&host, &user.email).await, &host.client()).await);
    assert!(host.reload(&user).await.delete_after.is_none());
    assert_owner_has_the_account(&host, &user, &thief).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_only_one_of_many_concurrent_uses_of_a_link_recovers_the_account() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    let (user, thief) = stolen_account(&host).await;
    change_address(&host, &thief, "thief@example.com").await;
    let link = recovery_link(&host, &user.email).await;
    let mut tries = JoinSet::new();
    for number in 0..8 {
        let (browser, link) = (host.client(), link.clone());
        tries.spawn(async move {
            let password = format!("the password of number {number}");
            let response = browser.put(&link, &password_form(&password, &password)).await;
            (password, response.location() == Some("/users/log-in"))
        });
    }
    let kept: Vec<String> =
        tries.join_all().await.into_iter().filter_map(|(password, is_in)| is_in.then_some(password)).collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(host.can_log_in(&user.email, &kept[0]).await);
}

/// The owner has the account afterward, whatever the thief does concurrently.
#[tokio::test(flavor = "multi_thread")]
async fn invariant_11_a_recovery_locks_out_a_thief_who_acts_at_the_same_time() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    for round in 0..6 {
        let (user, thief) = stolen_account(&host).await;
        let (first, second) = (format!("first{round}@example.com"), format!("second{round}@example.com"));
        change_address(&host, &thief, &first).await;
        let link = recovery_link(&host, &user.email).await;
        thief.put("/users/settings/email", &email_form(&second)).await;
        let change = host.link_to(&second).await;
        let owner = host.client();
        let form = password_form(THIEFS, THIEFS);
        let (is_back, ..) = tokio::join!(
            recover(&link, &owner),
            thief.post(&change, &[]),
            thief.put("/users/settings/password", &form),
        );
        assert!(is_back, "round {round}");
        assert_owner_has_the_account(&host, &user, &thief).await;
        assert_status(&thief.post(&change, &[]).await, 401);
    }
}

#[tokio::test]
async fn invariant_4_only_a_recovery_link_recovers_an_account() {
    let host = Host::new().await;
    let (user, thief) = stolen_account(&host).await;
    change_address(&host, &thief, "thief@example.com").await;
    let link = recovery_link(&host, &user.email).await;
    host.client().post("/users/reset-password", &email_form("thief@example.com")).await;
    let reset = host.link_to("thief@example.com").await;
    for token in [token_of(&reset), "x", &"A".repeat(43)] {
        assert!(!recover(&format!("/users/recover/{token}"), &host.client()).await);
    }
    for path in ["/users/reset-password", "/users/confirm"] {
        let elsewhere = format!("{path}/{}", token_of(&link));
        assert_redirected_to(&host.client().put(&elsewhere, &password_form(NEW, NEW)).await, path);
    }
    assert!(recover(&link, &host.client()).await);
}
