//! How often a password can be guessed, and a mail be asked for.

mod support;

use std::{net::SocketAddr, time::Duration};

use axum::{body::Body, http::Request};
use sigra::testing::{TestHost, VALID_PASSWORD, assert_contains, assert_status};
use support::{Host, email_form, log_in_form, settings};
use tokio::task::JoinSet;

async fn guess(host: &Host, email: &str) {
    for _ in 0..5 {
        let answer = host.client().post("/users/log-in", &log_in_form(email, "a wrong password")).await;
        assert_status(&answer, 303);
    }
}

#[tokio::test]
async fn after_five_failures_one_has_to_wait_even_with_the_right_password() {
    let host = Host::new().await;
    let user = host.user_fixture().await;
    guess(&host, &user.email).await;
    let answer = host.client().post("/users/log-in", &log_in_form(&user.email, VALID_PASSWORD)).await;
    assert_status(&answer, 429);
    assert_eq!(answer.header("retry-after"), Some("1"));
    assert_contains(&answer, "Wait a moment");
    host.clock().advance(Duration::from_secs(1));
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await, "nobody is locked out for good");
    guess(&host, &user.email).await;
    assert!(!host.can_log_in(&user.email, VALID_PASSWORD).await, "and it begins anew");
}

#[tokio::test]
async fn invariant_5_an_unknown_address_is_limited_just_the_same() {
    let host = Host::new().await;
    guess(&host, "nobody@example.com").await;
    let answer = host.client().post("/users/log-in", &log_in_form("Nobody@Example.com ", VALID_PASSWORD)).await;
    assert_status(&answer, 429);
    let other = host.user_fixture().await;
    assert!(host.can_log_in(&other.email, VALID_PASSWORD).await, "others are not concerned");
}

#[tokio::test]
async fn a_browser_that_was_logged_in_before_is_not_slowed_down_by_others() {
    let host = Host::new().await;
    let user = host.user_fixture().await;
    let known = host.client();
    known.post("/users/log-in", &log_in_form(&user.email, VALID_PASSWORD)).await;
    known.delete("/users/log-out").await;
    guess(&host, &user.email).await;
    assert!(!host.can_log_in(&user.email, VALID_PASSWORD).await);
    let answer = known.post("/users/log-in", &log_in_form(&user.email, VALID_PASSWORD)).await;
    assert_eq!(answer.location(), Some("/"));
}

/// CVE-2019-5421: guesses that came at once were not counted.
#[tokio::test]
async fn guesses_at_once_are_counted_one_by_one() {
    let host = Host::new().await;
    let user = host.user_fixture().await;
    let mut guesses = JoinSet::new();
    for number in 0..50 {
        let (browser, email) = (host.client(), user.email.clone());
        guesses.spawn(async move {
            let password = format!("guess of number {number}");
            browser.post("/users/log-in", &log_in_form(&email, &password)).await.status().as_u16()
        });
    }
    let statuses = guesses.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 5, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 45, "{statuses:?}");
}

#[tokio::test]
async fn confirming_the_password_is_limited_too() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    for _ in 0..5 {
        assert_status(&browser.post("/users/sudo", &[("user[password]", "a wrong password")]).await, 303);
    }
    assert_status(&browser.post("/users/sudo", &[("user[password]", VALID_PASSWORD)]).await, 429);
}

#[tokio::test]
async fn a_fourth_mail_is_not_sent_and_nobody_is_told() {
    let host = Host::new().await;
    let user = host.user_fixture().await;
    for path in ["/users/reset-password", "/users/log-in/link", "/users/confirm"] {
        let before = host.mails_to(&user.email).await.len();
        for _ in 0..5 {
            assert_status(&host.client().post(path, &email_form(&user.email)).await, 303);
            host.mails_to(&user.email).await;
        }
        assert_eq!(host.mails_to(&user.email).await.len() - before, 3, "{path}");
    }
    host.clock().advance(Duration::from_secs(15 * 60));
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    assert_eq!(host.mails_to(&user.email).await.len(), 10);
}

#[tokio::test]
async fn an_address_may_send_so_many_forms_whatever_it_says_of_itself() {
    let host = Host::new().await;
    let from = |last: u8| host.client().peer(SocketAddr::from(([203, 0, 113, last], 1)));
    let ask = |number: usize| {
        Request::post("/users/reset-password")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-forwarded-for", format!("10.0.0.{number}"))
            .body(Body::from(format!("user%5Bemail%5D=nobody{number}%40example.com")))
            .expect("a request")
    };
    let noisy = from(1);
    for number in 0..100 {
        assert_status(&noisy.send(ask(number)).await, 303);
    }
    let refused = noisy.send(ask(100)).await;
    assert_status(&refused, 429);
    assert!(refused.header("retry-after").is_some());
    assert_status(&noisy.get("/users/reset-password").await, 200);
    assert_status(&from(2).send(ask(0)).await, 303);
}

#[test]
fn limits_can_be_turned_off_in_development_alone() {
    const SECRET: &str = "0123456789012345678901234567890123456789012345678901234567890123";
    let prod = [("APP_ENV", "prod"), ("SECRET_KEY_BASE", SECRET), ("PUBLIC_URL", "https://example.com")];
    let refused = settings(&[&prod[..], &[("RATE_LIMITS", "off")]].concat()).err().expect("must be refused");
    assert_eq!(refused.to_string(), "RATE_LIMITS is `off`: it must be on when APP_ENV is prod");
    assert!(settings(&[("RATE_LIMITS", "off")]).is_ok());
}
