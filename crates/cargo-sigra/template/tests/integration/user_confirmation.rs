//! Confirming an email address.

use std::time::Duration;

use crate::support::{Host, email_form, login_form, password_form, seen, token_of};
use axum::{body::Body, http::Request};
use sigra::{
    SessionToken,
    testing::{
        TestClient, TestHost, TestResponse, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status,
    },
};
use tokio::task::JoinSet;

/// The password, for a browser that didn't register the account.
const PASSWORD: [(&str, &str); 1] = [("user[password]", VALID_PASSWORD)];

const NEW: &str = "a quite different password";

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn registered(host: &Host) -> (my_app::accounts::User, String) {
    let user = host.registered_fixture().await;
    host.client().post("/users/confirm", &email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;
    (user, link)
}

#[tokio::test]
async fn opening_the_link_changes_nothing_and_its_button_confirms() {
    let host = Host::new().await;
    let (user, link) = registered(&host).await;
    let browser = host.log_in(&user).await;
    for _ in 0..2 {
        let page = browser.get(&link).await;
        assert_status(&page, 200);
        assert_contains(&page, "Confirm my email address");
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
    browser.send(Request::head(&link).body(Body::empty()).expect("a request")).await;
    assert!(host.reload(&user).await.confirmed_at.is_none(), "scanners of emails open links");

    assert_redirected_to(&browser.post(&link, &[]).await, "/users/log-in");
    assert!(host.reload(&user).await.confirmed_at.is_some());
}

/// Any browser with the link shows it.
#[tokio::test]
async fn a_used_link_says_that_the_address_is_confirmed() {
    let host = Host::new().await;
    let (user, link) = registered(&host).await;
    let browser = host.client();
    browser.post(&link, &PASSWORD).await;
    let confirmed = host.reload(&user).await;
    let is_told = async |browser: &TestClient, response: TestResponse| {
        assert_redirected_to(&response, "/users/log-in");
        let page = browser.follow(&response).await;
        assert_contains(&page, "Your email address is confirmed.");
        assert_contains(&page, &format!("value=\"{}\"", user.email));
    };
    for browser in [browser, host.client()] {
        is_told(&browser, browser.post(&link, &[]).await).await;
        is_told(&browser, browser.post(&link, &PASSWORD).await).await;
        is_told(&browser, browser.get(&link).await).await;
        is_told(&browser, browser.get(&format!("{link}/new-password")).await).await;
        assert_redirected_to(&browser.put(&link, &password_form(NEW, NEW)).await, "/users/confirm");
    }
    assert_eq!(host.reload(&user).await.confirmed_at, confirmed.confirmed_at);
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await, "the link can no longer set a password");
}

/// Pre-hijacking (Sudhodanan and Paverd, 2022): an attacker registers another person's address, and waits until its
/// owner presses the button out of habit. The owner may have registered too, with their own password.
#[tokio::test]
async fn a_link_alone_confirms_nothing_in_another_browser() {
    let host = Host::new().await;
    let (stranger, email) = (host.client(), host.unique_email());
    stranger.post("/users/register", &login_form(&email, VALID_PASSWORD)).await;
    let link = host.link_to(&email).await;
    let owner = host.client();
    owner.post("/users/register", &login_form(&email, NEW)).await;
    for browser in [&owner, &host.client(), &host.authenticated_fixture().await.1] {
        assert_contains(&browser.get(&link).await, "enter the account's password");
        assert_redirected_to(&browser.post(&link, &[]).await, &link);
        let wrong = browser.post(&link, &[("user[password]", NEW)]).await;
        assert_status(&wrong, 422);
        assert_contains(&wrong, "That isn&#39;t the account&#39;s password.");
    }
    let user = host.accounts.get_user_by_email(&email).await.expect("a result").expect("a user");
    assert!(user.confirmed_at.is_none());

    assert_redirected_to(&owner.post(&link, &PASSWORD).await, "/users/log-in");
    assert!(host.reload(&user).await.confirmed_at.is_some(), "the password confirms the address");
}

#[tokio::test]
async fn one_click_confirms_in_the_browser_that_registered() {
    let host = Host::new().await;
    for is_logged_in in [false, true] {
        let (browser, email) = (host.client(), host.unique_email());
        browser.post("/users/register", &login_form(&email, VALID_PASSWORD)).await;
        let link = host.link_to(&email).await;
        if is_logged_in {
            browser.post("/users/log-in", &login_form(&email, VALID_PASSWORD)).await;
        }
        assert_contains(&browser.get(&link).await, "Confirm my email address");
        assert!(!browser.get(&link).await.text().contains("user[password]"));
        browser.post(&link, &[]).await;
        let user = host.accounts.get_user_by_email(&email).await.expect("a result").expect("a user");
        assert!(user.confirmed_at.is_some());
    }
}

/// The mark in the browser is valid only for the account with the password that it had.
#[tokio::test]
async fn the_browser_that_registered_needs_the_new_password_once_it_has_changed() {
    let host = Host::new().await;
    let (browser, email) = (host.client(), host.unique_email());
    browser.post("/users/register", &login_form(&email, VALID_PASSWORD)).await;
    let link = host.link_to(&email).await;
    let elsewhere = host.client();
    elsewhere.post("/users/log-in", &login_form(&email, VALID_PASSWORD)).await;
    elsewhere.put("/users/settings/password", &password_form(NEW, NEW)).await;
    browser.post("/users/confirm", &email_form(&email)).await;
    let link = if host.client().get(&link).await.status() == 200 { link } else { host.link_to(&email).await };
    assert_contains(&browser.get(&link).await, "enter the account's password");
    assert_redirected_to(&browser.post(&link, &[]).await, &link);
}

#[tokio::test]
async fn the_owner_of_the_mailbox_can_take_the_account_over_without_the_password() {
    let host = Host::new().await;
    let (user, stranger) = host.authenticated_fixture().await;
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    let reset = host.link_to(&user.email).await;
    stranger.put("/users/settings/email", &email_form("stranger@example.com")).await;
    let change = host.link_to("stranger@example.com").await;
    host.client().post("/users/confirm", &email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;

    let owner = host.client();
    assert_contains(&owner.get(&link).await, &format!("{link}/new-password"));
    let page = owner.get(&format!("{link}/new-password")).await;
    assert_contains(&page, &format!("action=\"{link}\""));
    assert_status(&owner.put(&link, &password_form("short", "short")).await, 422);
    assert_status(&owner.put(&link, &password_form(NEW, "another one entirely")).await, 422);
    assert!(host.reload(&user).await.confirmed_at.is_none());
    assert_redirected_to(&owner.put(&link, &password_form(NEW, NEW)).await, "/users/log-in");

    assert!(host.can_log_in(&user.email, NEW).await && !host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert_redirected_to(&stranger.get("/dashboard").await, "/users/log-in");
    assert_redirected_to(&host.client().get(&reset).await, "/users/reset-password");
    assert!(host.reload(&user).await.confirmed_at.is_some());
    stranger.post("/users/log-in", &login_form(&user.email, NEW)).await;
    assert_redirected_to(&stranger.post(&change, &[]).await, "/users/settings");
    assert_redirected_to(
        &owner.put(&link, &password_form("yet another password", "yet another password")).await,
        "/users/confirm",
    );
}

/// Only the owner has the account after the attack.
#[tokio::test]
async fn an_attacker_who_registered_the_address_is_locked_out_once_its_owner_takes_over() {
    let host = Host::new().await;
    let (stranger, email) = (host.client(), host.unique_email());
    stranger.post("/users/register", &login_form(&email, VALID_PASSWORD)).await;
    let link = host.link_to(&email).await;
    stranger.post("/users/log-in", &login_form(&email, VALID_PASSWORD)).await;
    let owner = host.client();
    owner.post(&link, &[]).await;
    owner.put(&link, &password_form(NEW, NEW)).await;
    owner.post("/users/log-in", &login_form(&email, NEW)).await;
    assert_contains(&owner.get("/dashboard").await, &email);
    assert_redirected_to(&stranger.get("/dashboard").await, "/users/log-in");
    assert!(!host.can_log_in(&email, VALID_PASSWORD).await);
}

/// An importer may have created such an account.
#[tokio::test]
async fn an_account_without_a_password_is_confirmed_by_setting_one() {
    let host = Host::new().await;
    let (user, link) = registered(&host).await;
    let drop_password = sqlx::query("UPDATE users SET hashed_password = NULL WHERE id = $1").bind(user.id);
    drop_password.execute(&host.pool).await.expect("updated");
    let browser = host.client();
    assert_redirected_to(&browser.get(&link).await, &format!("{link}/new-password"));
    assert_status(&browser.post(&link, &PASSWORD).await, 422);
    assert_status(&browser.post(&link, &[("user[password]", "")]).await, 422);
    assert!(host.reload(&user).await.confirmed_at.is_none());
    browser.put(&link, &password_form(NEW, NEW)).await;
    assert!(host.reload(&user).await.confirmed_at.is_some());
    assert!(host.can_log_in(&user.email, NEW).await);
}

/// The form must not bypass the rate limit of logins.
#[tokio::test]
async fn password_guesses_at_the_confirmation_page_are_limited_like_logins() {
    let host = Host::new().await;
    let (user, link) = registered(&host).await;
    for _ in 0..5 {
        assert_status(&host.client().post(&link, &[("user[password]", NEW)]).await, 422);
    }
    assert_status(&host.client().post(&link, &PASSWORD).await, 429);
    assert_status(&host.client().post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await, 429);
    assert!(host.reload(&user).await.confirmed_at.is_none());
}

/// A confirmation with the password, one in the browser that registered, and a takeover with a new password, all
/// concurrently: the person who set the new password never shares the account with anyone.
#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_after_a_concurrent_takeover_and_confirmation_the_account_has_one_owner() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    for round in 0..10 {
        let (user, link) = registered(&host).await;
        let registrant = host.log_in(&user).await;
        let owner = host.client();
        let form = password_form(NEW, NEW);
        let (_, taken) = tokio::join!(registrant.post(&link, &[]), owner.put(&link, &form));
        let is_taken = taken.location() == Some("/users/log-in");
        assert!(host.reload(&user).await.confirmed_at.is_some());
        assert_eq!(host.can_log_in(&user.email, NEW).await, is_taken, "round {round}");
        assert_eq!(host.can_log_in(&user.email, VALID_PASSWORD).await, !is_taken, "round {round}");
        assert_eq!(registrant.get("/dashboard").await.status() == 200, !is_taken, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_only_one_of_many_concurrent_takeovers_succeeds() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    let (user, link) = registered(&host).await;
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

#[tokio::test]
async fn a_link_expires_after_a_day() {
    let host = Host::new().await;
    let (user, link) = registered(&host).await;
    host.clock().advance(DAY);
    assert_redirected_to(&host.client().post(&link, &[]).await, "/users/confirm");
    assert!(host.reload(&user).await.confirmed_at.is_none());

    let host = Host::with(&[("CONFIRM_TTL", "120")]).await;
    let (user, link) = registered(&host).await;
    host.clock().advance(Duration::from_secs(119));
    assert_status(&host.client().get(&link).await, 200);
    host.clock().advance(Duration::from_secs(1));
    assert_redirected_to(&host.client().post(&link, &[]).await, "/users/confirm");
    assert!(host.reload(&user).await.confirmed_at.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_10_concurrent_confirmations_confirm_once_and_all_succeed() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    for _ in 0..5 {
        let (user, link) = registered(&host).await;
        let mut tries = JoinSet::new();
        for _ in 0..16 {
            let (browser, link) = (host.client(), link.clone());
            tries.spawn(async move { browser.post(&link, &PASSWORD).await.location() == Some("/users/log-in") });
        }
        assert!(tries.join_all().await.into_iter().all(|is_told| is_told));
        let events = host.accounts.list_user_activity(&user, None).await.expect("events").events;
        assert_eq!(events.iter().filter(|event| event.action == "auth.account.confirmed").count(), 1);
        assert!(host.reload(&user).await.confirmed_at.is_some());
    }
}

#[tokio::test]
async fn a_new_link_can_be_requested_and_one_of_them_is_enough() {
    let host = Host::new().await;
    let (user, lost) = registered(&host).await;
    host.client().post("/users/confirm", &email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;
    assert_ne!(link, lost);
    assert_redirected_to(&host.client().post(&link, &PASSWORD).await, "/users/log-in");
    assert!(host.reload(&user).await.confirmed_at.is_some());
    assert_redirected_to(&host.client().post(&lost, &[]).await, "/users/log-in");
}

/// An email to one address proves nothing about another.
#[tokio::test]
async fn a_link_to_an_old_address_does_not_confirm_the_new_one() {
    let host = Host::new().await;
    let (user, link) = registered(&host).await;
    let change = sqlx::query("UPDATE users SET email = 'other@example.com' WHERE id = $1").bind(user.id);
    change.execute(&host.pool).await.expect("updated");
    assert_redirected_to(&host.client().get(&link).await, "/users/confirm");
    assert_redirected_to(&host.client().post(&link, &[]).await, "/users/confirm");
    let changed = host.accounts.get_user_by_email("other@example.com").await.expect("a result").expect("a user");
    assert!(changed.confirmed_at.is_none());
}

#[tokio::test]
async fn invariant_4_a_link_for_one_purpose_is_invalid_for_another() {
    const PATHS: &[&str] = &[
        "/users/confirm/",
        "/users/reset-password/",
        "/users/settings/confirm-email/",
        // <magic_link>
        "/users/log-in/",
        // </magic_link>
    ];
    let host = Host::new().await;
    let (user, confirm) = registered(&host).await;
    let browser = host.log_in(&user).await;
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    let reset = host.link_to(&user.email).await;
    // <magic_link>
    host.client().post("/users/log-in/link", &email_form(&user.email)).await;
    let log_in = host.link_to(&user.email).await;
    // </magic_link>
    browser.put("/users/settings/email", &email_form("new@example.com")).await;
    let change = host.link_to("new@example.com").await;
    let session = host.open_session(&user).await;

    let before = host.count_tokens().await;
    let links = [
        &*confirm,
        &*reset,
        &*change,
        // <magic_link>
        &*log_in,
        // </magic_link>
        &*session.encode(),
    ];
    for (at, link) in links.iter().enumerate() {
        for (other, path) in PATHS.iter().enumerate() {
            let there = format!("{path}{}", token_of(link));
            assert_eq!(browser.get(&there).await.status() == 200, at == other, "{link} at {path}");
            if at != other {
                browser.post(&there, &[]).await;
                browser.put(&there, &password_form("another password", "another password")).await;
            }
        }
        let taken_for_a_session = SessionToken::parse(token_of(link)).expect("a token");
        let scope = host.scope_of(&taken_for_a_session).await;
        assert_eq!(scope.is_some(), at == PATHS.len());
    }
    assert_eq!(host.count_tokens().await, before, "all tokens are still there");
    assert!(host.reload(&user).await.confirmed_at.is_none());
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
}

#[tokio::test]
async fn an_invalid_link_is_refused() {
    let host = Host::new().await;
    let (user, link) = registered(&host).await;
    let good = token_of(&link);
    let (cut, longer, padded) = (&good[1..], format!("{good}A"), format!("{good}="));
    let quoted = format!("{good}'%20OR%20'1'='1");
    for token in
        ["x", &"A".repeat(43), &"A".repeat(9000), "%00", "..%2f..", "%F0%9F%92%A9", cut, &longer, &padded, &quoted]
    {
        for (path, ask) in [
            ("/users/confirm", "/users/confirm"),
            ("/users/reset-password", "/users/reset-password"),
            // <magic_link>
            ("/users/log-in", "/users/log-in"),
            // </magic_link>
        ] {
            assert_redirected_to(&host.client().get(&format!("{path}/{token}")).await, ask);
        }
        assert_redirected_to(&host.client().post(&format!("/users/confirm/{token}"), &[]).await, "/users/confirm");
    }
    assert!(host.reload(&user).await.confirmed_at.is_none());
}

#[tokio::test]
async fn unconfirmed_users_cannot_log_in_if_confirmation_is_required() {
    let host = Host::with(&[("REQUIRE_CONFIRMATION", "true")]).await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    let refused = browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_redirected_to(&refused, "/users/confirm");
    assert_contains(&browser.follow(&refused).await, "must confirm your email address first");
    assert_eq!(host.count_tokens().await, 0);
    // Without the password, a visitor learns nothing about the account.
    let wrong = host.client().post("/users/log-in", &login_form(&user.email, "a wrong password")).await;
    let unknown = host.client().post("/users/log-in", &login_form(&host.unique_email(), "a wrong password")).await;
    assert_redirected_to(&wrong, "/users/log-in");
    assert_eq!(seen(&wrong), seen(&unknown));

    host.client().post("/users/confirm", &email_form(&user.email)).await;
    browser.post(&host.link_to(&user.email).await, &PASSWORD).await;
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
}

#[tokio::test]
async fn invariant_5_requesting_a_link_gets_the_same_response_for_every_address() {
    let host = Host::new().await;
    let (unconfirmed, link) = registered(&host).await;
    host.client().post(&link, &PASSWORD).await;
    let confirmed = unconfirmed;
    let unconfirmed = host.registered_fixture().await;
    for email in [&*confirmed.email, &*unconfirmed.email, "nobody@example.com", "no address"] {
        let browser = host.client();
        let response = browser.post("/users/confirm", &email_form(email)).await;
        assert_redirected_to(&response, "/users/check-email");
        assert_contains(&browser.follow(&response).await, "If there is an account for");
    }
    assert_eq!(host.mails_to(&confirmed.email).await.len(), 1, "a confirmed address gets no email");
    assert_eq!(host.mails_to(&unconfirmed.email).await.len(), 1);
}
