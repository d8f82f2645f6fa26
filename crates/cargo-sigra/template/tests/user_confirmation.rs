//! Confirming an address.

mod support;

use std::time::Duration;

use sigra::testing::{TestHost, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status};
use support::{Host, email_form, log_in_form};

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
}

#[tokio::test]
async fn invariant_4_a_link_for_one_thing_is_not_good_for_another() {
    let host = Host::new().await;
    let (user, confirm) = registered(&host).await;
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    let reset = host.link_to(&user.email).await;
    host.client().post("/users/log-in/link", &email_form(&user.email)).await;
    let log_in = host.link_to(&user.email).await;
    let token = |link: &str| link.rsplit('/').next().map(str::to_owned).expect("a token");
    let paths = ["/users/confirm/", "/users/reset-password/", "/users/log-in/"];
    for (at, link) in [&confirm, &reset, &log_in].into_iter().enumerate() {
        for (other, path) in paths.iter().enumerate() {
            let opened = host.client().get(&format!("{path}{}", token(link))).await;
            assert_eq!(opened.status() == 200, at == other, "{link} at {path}");
        }
    }
}

#[tokio::test]
async fn what_is_no_link_is_refused() {
    let host = Host::new().await;
    for token in ["x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "%00", "..%2f..", "%F0%9F%92%A9"] {
        let path = format!("/users/confirm/{token}");
        assert_redirected_to(&host.client().get(&path).await, "/users/confirm");
        assert_redirected_to(&host.client().post(&path, &[]).await, "/users/confirm");
    }
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
    let wrong = host.client().post("/users/log-in", &log_in_form(&user.email, "a wrong password")).await;
    assert_redirected_to(&wrong, "/users/log-in");

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
