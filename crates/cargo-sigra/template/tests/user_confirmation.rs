//! Confirming an address.

mod support;

use std::time::Duration;

use axum::{body::Body, http::Request};
use sigra::{
    SessionToken,
    testing::{TestHost, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status},
};
use support::{Host, email_form, log_in_form, password_form, seen, token_of};
use tokio::task::JoinSet;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

async fn registered(host: &Host) -> (my_app::accounts::User, String) {
    let user = host.user_fixture().await;
    host.client().post("/users/confirm", &email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;
    (user, link)
}

#[tokio::test]
async fn opening_the_link_changes_nothing_and_its_button_confirms_once() {
    let host = Host::new().await;
    let (user, link) = registered(&host).await;
    let browser = host.client();
    for _ in 0..2 {
        let page = browser.get(&link).await;
        assert_status(&page, 200);
        assert_contains(&page, "Confirm my address");
        assert_eq!(page.header("cache-control"), Some("no-store"));
    }
    browser.send(Request::head(&link).body(Body::empty()).expect("a request")).await;
    assert!(host.reload(&user).await.confirmed_at.is_none(), "a mail scanner opened it");

    assert_redirected_to(&browser.post(&link, &[]).await, "/users/log-in");
    assert!(host.reload(&user).await.confirmed_at.is_some());
    assert_redirected_to(&browser.post(&link, &[]).await, "/users/confirm");
    assert_redirected_to(&browser.get(&link).await, "/users/confirm");
}

#[tokio::test]
async fn a_link_is_good_for_a_day() {
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
async fn invariant_10_of_many_who_confirm_at_once_one_is_told_so() {
    let host = Host::new().await;
    for _ in 0..5 {
        let (user, link) = registered(&host).await;
        let mut tries = JoinSet::new();
        for _ in 0..16 {
            let (browser, link) = (host.client(), link.clone());
            tries.spawn(async move { browser.post(&link, &[]).await.location() == Some("/users/log-in") });
        }
        assert_eq!(tries.join_all().await.into_iter().filter(|confirmed| *confirmed).count(), 1);
        assert!(host.reload(&user).await.confirmed_at.is_some());
    }
}

#[tokio::test]
async fn a_new_link_can_be_asked_for_and_one_of_them_is_enough() {
    let host = Host::new().await;
    let (user, lost) = registered(&host).await;
    host.client().post("/users/confirm", &email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;
    assert_ne!(link, lost);
    assert_redirected_to(&host.client().post(&link, &[]).await, "/users/log-in");
    assert!(host.reload(&user).await.confirmed_at.is_some());
    assert_redirected_to(&host.client().post(&lost, &[]).await, "/users/confirm");
}

/// A mail that was sent to an address proves nothing about another.
#[tokio::test]
async fn a_link_to_an_address_does_not_confirm_the_one_after_it() {
    let host = Host::new().await;
    let (user, link) = registered(&host).await;
    let change = sqlx::query("UPDATE users SET email = 'other@example.com' WHERE id = $1").bind(user.id);
    change.execute(&host.pool).await.expect("updated");
    assert_redirected_to(&host.client().get(&link).await, "/users/confirm");
    assert_redirected_to(&host.client().post(&link, &[]).await, "/users/confirm");
    let changed = host.accounts.get_user_by_email("other@example.com").await.expect("an answer").expect("a user");
    assert!(changed.confirmed_at.is_none());
}

#[tokio::test]
async fn invariant_4_a_link_for_one_thing_is_not_good_for_another() {
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
    let session = host.accounts.generate_user_session_token(&user).await.expect("a token");

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
        let taken_for_a_session = SessionToken::parse(token_of(link)).expect("it looks like one");
        let scope = host.accounts.get_user_by_session_token(&taken_for_a_session).await.expect("an answer");
        assert_eq!(scope.is_some(), at == PATHS.len());
    }
    assert_eq!(host.count_tokens().await, before, "all are still there");
    assert!(host.reload(&user).await.confirmed_at.is_none());
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
}

#[tokio::test]
async fn what_is_no_link_is_refused() {
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
async fn unconfirmed_users_are_kept_out_where_that_is_asked_for() {
    let host = Host::with(&[("REQUIRE_CONFIRMATION", "true")]).await;
    let user = host.user_fixture().await;
    let browser = host.client();
    let refused = browser.post("/users/log-in", &log_in_form(&user.email, VALID_PASSWORD)).await;
    assert_redirected_to(&refused, "/users/confirm");
    assert_contains(&browser.follow(&refused).await, "must confirm your address first");
    assert_eq!(host.count_tokens().await, 0);
    // Who does not know the password learns nothing of the account.
    let wrong = host.client().post("/users/log-in", &log_in_form(&user.email, "a wrong password")).await;
    let unknown = host.client().post("/users/log-in", &log_in_form(&host.unique_email(), "a wrong password")).await;
    assert_redirected_to(&wrong, "/users/log-in");
    assert_eq!(seen(&wrong), seen(&unknown));

    host.client().post("/users/confirm", &email_form(&user.email)).await;
    browser.post(&host.link_to(&user.email).await, &[]).await;
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
}

#[tokio::test]
async fn invariant_5_asking_for_a_link_gives_everybody_the_same_answer() {
    let host = Host::new().await;
    let (unconfirmed, link) = registered(&host).await;
    host.client().post(&link, &[]).await;
    let confirmed = unconfirmed;
    let unconfirmed = host.user_fixture().await;
    for email in [&*confirmed.email, &*unconfirmed.email, "nobody@example.com", "no address"] {
        let browser = host.client();
        let answer = browser.post("/users/confirm", &email_form(email)).await;
        assert_redirected_to(&answer, "/users/log-in");
        assert_contains(&browser.follow(&answer).await, "If your address is in our system and has not been confirmed");
    }
    assert_eq!(host.mails_to(&confirmed.email).await.len(), 1, "there is nothing left to confirm");
    assert_eq!(host.mails_to(&unconfirmed.email).await.len(), 1);
}
