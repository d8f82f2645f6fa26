//! Rate limits of password guesses and of requested emails.

use std::{net::SocketAddr, time::Duration};

use crate::support::{Host, PROD, email_form, login_form, password_form, seen, settings};
use axum::{
    body::Body,
    http::{Method, Request},
};
use my_app::web::user_auth::AFTER_LOGIN_PATH;
use serde_json::Value;
use sigra::testing::{
    TestClient, TestHost, TestResponse, VALID_PASSWORD, assert_contains, assert_problem, assert_status,
};
use tokio::task::JoinSet;

async fn guess(host: &Host, email: &str) {
    for _ in 0..5 {
        let response = host.client().post("/users/log-in", &login_form(email, "a wrong password")).await;
        assert_status(&response, 303);
    }
}

#[tokio::test]
async fn after_five_failures_even_the_right_password_has_to_wait() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    guess(&host, &user.email).await;
    let response = host.client().post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_status(&response, 429);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_contains(&response, "Too many attempts. Try again in 1 second.");
    host.clock().advance(Duration::from_secs(1));
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await, "the delay ends");
    guess(&host, &user.email).await;
    assert!(!host.can_log_in(&user.email, VALID_PASSWORD).await, "the limit applies again");
}

#[tokio::test]
async fn invariant_5_an_unknown_address_is_limited_in_the_same_way() {
    let host = Host::new().await;
    guess(&host, "nobody@example.com").await;
    let response = host.client().post("/users/log-in", &login_form("Nobody@Example.com ", VALID_PASSWORD)).await;
    assert_status(&response, 429);
    let other = host.registered_fixture().await;
    assert!(host.can_log_in(&other.email, VALID_PASSWORD).await, "other users are not limited");
}

#[tokio::test]
async fn each_failure_doubles_the_wait_up_to_a_quarter_of_an_hour() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    guess(&host, &user.email).await;
    let mut waits = Vec::new();
    for _ in 0..12 {
        let form = login_form(&user.email, "a wrong password");
        let refused = host.client().post("/users/log-in", &form).await;
        assert_status(&refused, 429);
        let wait: u64 = refused.header("retry-after").expect("the time to wait").parse().expect("seconds");
        host.clock().advance(Duration::from_secs(wait));
        assert_status(&host.client().post("/users/log-in", &form).await, 303);
        waits.push(wait);
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900]);
}

#[tokio::test]
async fn a_rate_limited_json_client_gets_the_time_to_wait() {
    let host = Host::new().await;
    guess(&host, "nobody@example.com").await;
    let response = host.client().json().post("/users/log-in", &login_form("nobody@example.com", "wrong")).await;
    assert_problem(&response, 429);
    assert_eq!(response.header("retry-after"), Some("1"));
    assert_eq!(response.json::<Value>()["detail"], "Too many attempts. Try again in 1 second.");
}

/// The form keeps what was typed, except for the password, and offers other ways to log in.
#[tokio::test]
async fn a_limited_visitor_sees_the_form_and_how_long_to_wait() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    guess(&host, &user.email).await;
    for _ in 0..4 {
        host.clock().advance(Duration::from_secs(8));
        host.client().post("/users/log-in", &login_form(&user.email, "a wrong password")).await;
    }
    let mut form = login_form(&user.email, VALID_PASSWORD);
    form.push(("user[remember_me]", "true"));
    let response = host.client().post("/users/log-in", &form).await;
    assert_status(&response, 429);
    let wait = response.header("retry-after").expect("the time to wait");
    assert_contains(&response, &format!("Too many attempts. Try again in {wait} seconds."));
    assert_contains(&response, &format!("value=\"{}\"", user.email));
    assert_contains(&response, " checked>");
    assert_contains(&response, "href=\"/users/reset-password\"");
    // <magic_link>
    assert_contains(&response, "action=\"/users/log-in/link\"");
    // </magic_link>
    assert!(!response.text().contains(VALID_PASSWORD));
}

/// What a visitor sees, except for the address that they typed.
fn seen_with(response: &TestResponse, email: &str) -> (u16, Vec<String>, String) {
    let (status, headers, text) = seen(response);
    (status, headers, text.replace(email, "EMAIL"))
}

/// The wait looks the same whether or not there is an account.
#[tokio::test]
async fn invariant_5_the_wait_does_not_reveal_whether_there_is_an_account() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let mut responses = Vec::new();
    for email in [&*user.email, &*host.unique_email()] {
        guess(&host, email).await;
        let right = host.client().post("/users/log-in", &login_form(email, VALID_PASSWORD)).await;
        let wrong = host.client().post("/users/log-in", &login_form(email, "a wrong password")).await;
        responses.extend([seen_with(&right, email), seen_with(&wrong, email)]);
    }
    assert!(responses.iter().all(|response| *response == responses[0]), "{responses:?}");
}

/// Logging in to one's own account in between must not allow more guesses at another account.
#[tokio::test]
async fn logging_in_to_ones_own_account_gives_no_more_guesses_at_another() {
    let host = Host::new().await;
    let (victim, attacker) = (host.registered_fixture().await, host.registered_fixture().await);
    let browser = host.client();
    let mut wrong = 0;
    for _ in 0..10 {
        browser.post("/users/log-in", &login_form(&attacker.email, VALID_PASSWORD)).await;
        browser.delete("/users/log-out").await;
        let response = browser.post("/users/log-in", &login_form(&victim.email, "a wrong password")).await;
        wrong += usize::from(response.status() == 303);
    }
    assert_eq!(wrong, 5);
}

/// A known browser has its own count of guesses.
#[tokio::test]
async fn a_known_browser_is_limited_as_well() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let known = host.client();
    known.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    known.delete("/users/log-out").await;
    for _ in 0..5 {
        let response = known.fork().post("/users/log-in", &login_form(&user.email, "a wrong password")).await;
        assert_status(&response, 303);
    }
    assert_status(&known.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await, 429);
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await, "other browsers are not limited by the known one");
}

#[tokio::test]
async fn a_known_browser_is_not_delayed_by_the_guesses_of_others() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let known = host.client();
    known.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    known.delete("/users/log-out").await;
    guess(&host, &user.email).await;
    assert!(!host.can_log_in(&user.email, VALID_PASSWORD).await);
    let response = known.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_eq!(response.location(), Some(AFTER_LOGIN_PATH));
}

/// Returns a browser in which the user has logged in.
async fn known_browser(host: &Host, email: &str, password: &str) -> TestClient {
    let known = host.client();
    assert_eq!(known.post("/users/log-in", &login_form(email, password)).await.location(), Some(AFTER_LOGIN_PATH));
    known.delete("/users/log-out").await;
    known
}

/// Returns how many of these wrong passwords are checked before the browser is limited.
async fn guesses(browser: &TestClient, email: &str, tries: usize) -> usize {
    let mut checked = 0;
    for _ in 0..tries {
        let response = browser.fork().post("/users/log-in", &login_form(email, "a wrong password")).await;
        checked += usize::from(response.status() == 303);
    }
    checked
}

/// Returns whether a browser is delayed by the guesses of others, which a known browser isn't.
async fn is_known(host: &Host, browser: &TestClient, email: &str, password: &str) -> bool {
    guess(host, email).await;
    let response = browser.fork().post("/users/log-in", &login_form(email, password)).await;
    host.clock().advance(Duration::from_secs(24 * 60 * 60));
    response.status() == 303
}

async fn new_device_mails(host: &Host, email: &str) -> usize {
    let mails = host.mails_to(email).await;
    mails.iter().filter(|mail| mail.subject.starts_with("New login")).count()
}

/// NIST SP 800-63B-4 section 3.2.2: at most 100 consecutive failures, from all browsers together.
#[tokio::test]
async fn known_browsers_together_have_a_hundred_guesses() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let mut known = Vec::new();
    for number in 0..12 {
        let known_browser = known_browser(&host, &user.email, VALID_PASSWORD).await;
        known.push(known_browser.peer(SocketAddr::from(([203, 0, 113, number], 1))));
    }
    guess(&host, &user.email).await;
    let mut checked = 0;
    for _ in 0..20 {
        for browser in &known {
            checked += guesses(browser, &user.email, 1).await;
        }
        host.clock().advance(Duration::from_secs(15 * 60));
    }
    // After that they count like unknown browsers, which have one guess in 15 minutes.
    assert!((100..130).contains(&checked), "{checked}");

    // A success resets the count.
    host.clock().advance(Duration::from_secs(24 * 60 * 60));
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert!(is_known(&host, &known[0], &user.email, VALID_PASSWORD).await);
}

#[tokio::test]
async fn only_the_sixteen_most_recently_used_browsers_are_known() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let mut known = Vec::new();
    for _ in 0..17 {
        known.push(known_browser(&host, &user.email, VALID_PASSWORD).await);
        host.clock().advance(Duration::from_secs(1));
    }
    assert!(!is_known(&host, &known[0], &user.email, VALID_PASSWORD).await);
    assert!(is_known(&host, &known[1], &user.email, VALID_PASSWORD).await);
    assert!(is_known(&host, &known[16], &user.email, VALID_PASSWORD).await);
}

#[tokio::test]
async fn a_new_password_makes_all_other_browsers_unknown() {
    const NEW: &str = "another password than before";
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let other = known_browser(&host, &user.email, VALID_PASSWORD).await;
    let browser = host.client();
    browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    browser.put("/users/settings/password", &password_form(NEW, NEW)).await;
    browser.delete("/users/log-out").await;
    assert!(!is_known(&host, &other, &user.email, NEW).await);
    assert!(is_known(&host, &browser, &user.email, NEW).await);

    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;
    let owner = host.client();
    owner.put(&link, &password_form(VALID_PASSWORD, VALID_PASSWORD)).await;
    assert!(!is_known(&host, &browser, &user.email, VALID_PASSWORD).await);
    assert!(is_known(&host, &owner, &user.email, VALID_PASSWORD).await);
}

#[tokio::test]
async fn logging_out_everywhere_makes_all_browsers_unknown() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let other = known_browser(&host, &user.email, VALID_PASSWORD).await;
    let browser = host.client();
    browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    browser.delete("/users/sessions").await;
    for browser in [&browser, &other] {
        assert!(!is_known(&host, browser, &user.email, VALID_PASSWORD).await);
    }
}

/// The previous owner of an address is a stranger to its next owner.
#[tokio::test]
async fn invariant_17_a_browser_known_to_a_deleted_account_is_unknown_to_the_next_owner_of_its_address() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    sqlx::query("DELETE FROM users WHERE id = $1").bind(user.id).execute(&host.pool).await.expect("deleted");
    host.register(&user.email, &sigra::Password::new(VALID_PASSWORD)).await;
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
    let before = new_device_mails(&host, &user.email).await;
    assert!(!is_known(&host, &browser, &user.email, VALID_PASSWORD).await);
    browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_eq!(new_device_mails(&host, &user.email).await, before + 1);
}

/// The user's own laptop stays known.
#[tokio::test]
async fn a_new_address_leaves_the_users_browsers_known() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    let email = host.unique_email();
    browser.put("/users/settings/email", &email_form(&email)).await;
    browser.post(&host.link_to(&email).await, &[]).await;
    browser.delete("/users/log-out").await;
    assert!(is_known(&host, &browser, &email, VALID_PASSWORD).await);
    browser.post("/users/log-in", &login_form(&email, VALID_PASSWORD)).await;
    assert_eq!(new_device_mails(&host, &email).await, 0);
}

/// A known browser's guesses at an unknown address count like those of any other browser.
#[tokio::test]
async fn invariant_5_a_known_browser_cannot_find_out_which_addresses_have_accounts() {
    let host = Host::new().await;
    let (user, other) = (host.registered_fixture().await, host.registered_fixture().await);
    let browser = known_browser(&host, &user.email, VALID_PASSWORD).await;
    let unknown = host.unique_email();
    let mut responses = Vec::new();
    for email in [&*other.email, &*unknown] {
        guess(&host, email).await;
        let response = browser.fork().post("/users/log-in", &login_form(email, "a wrong password")).await;
        responses.push(seen_with(&response, email));
    }
    assert_eq!(responses[0], responses[1]);
    assert_eq!(responses[0].0, 429);
}

#[tokio::test]
async fn a_new_password_does_not_wait_for_guesses_at_the_old_one() {
    const NEW: &str = "another password than before";
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;
    guess(&host, &user.email).await;
    let browser = host.client();
    browser.put(&link, &password_form(NEW, NEW)).await;
    let response = host.client().post("/users/log-in", &login_form(&user.email, NEW)).await;
    assert_eq!(response.location(), Some(AFTER_LOGIN_PATH), "the new password works in another browser");
    let before = new_device_mails(&host, &user.email).await;
    browser.post("/users/log-in", &login_form(&user.email, NEW)).await;
    assert_eq!(new_device_mails(&host, &user.email).await, before, "the browser is known");
}

#[tokio::test]
async fn an_account_that_its_owner_takes_over_does_not_wait_for_earlier_guesses() {
    const NEW: &str = "another password than before";
    let host = Host::new().await;
    let unconfirmed = host.registered_fixture().await;
    host.client().post("/users/confirm", &email_form(&unconfirmed.email)).await;
    let confirms = host.link_to(&unconfirmed.email).await;

    let stolen = host.registered_fixture().await;
    host.confirm(&stolen).await;
    let thief = host.log_in(&stolen).await;
    let other = host.unique_email();
    thief.put("/users/settings/email", &email_form(&other)).await;
    thief.post(&host.link_to(&other).await, &[]).await;
    let recovers = host.link_to(&stolen.email).await;

    for (user, link) in [(&unconfirmed, confirms), (&stolen, recovers)] {
        guess(&host, &user.email).await;
        let browser = host.client();
        assert_eq!(browser.put(&link, &password_form(NEW, NEW)).await.location(), Some("/users/log-in"), "{link}");
        let response = host.client().post("/users/log-in", &login_form(&user.email, NEW)).await;
        assert_eq!(response.location(), Some(AFTER_LOGIN_PATH), "the new password works in another browser: {link}");
        let before = new_device_mails(&host, &user.email).await;
        browser.post("/users/log-in", &login_form(&user.email, NEW)).await;
        assert_eq!(new_device_mails(&host, &user.email).await, before, "the browser is known: {link}");
    }
}

// <mfa>
#[tokio::test]
async fn abandoning_the_challenge_does_not_count_as_a_failed_login() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    for _ in 0..12 {
        let response = host.client().post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
        assert_eq!(response.location(), Some("/users/mfa-challenge"));
    }
}
// </mfa>

/// Returns the routes in the source of a router that change something, with their methods.
fn unsafe_routes(source: &str) -> Vec<(Method, String)> {
    let mut routes = Vec::new();
    for route in source.split(".route(").skip(1) {
        let path = route.split('"').nth(1).expect("a path");
        for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
            let call = format!("{}(", method.as_str().to_lowercase());
            let named = |at: usize| !route[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
            if route.match_indices(&call).any(|(at, _)| named(at)) {
                routes.push((method, path.replace("{token}", "x").replace("{id}", "x").replace("{provider}", "x")));
            }
        }
    }
    routes
}

async fn assert_all_are_limited(router: axum::Router, source: &str) {
    let routes = unsafe_routes(source);
    assert!(routes.len() > 15, "{routes:?}");
    let noisy = TestClient::new(router).json();
    for _ in 0..100 {
        noisy.delete("/users/log-out").await;
    }
    for (method, path) in routes {
        // <oauth>
        // The form of a provider is only redirected, and comes without cookies from another site.
        if path == "/users/auth/x/callback" {
            continue;
        }
        // </oauth>
        // <device_bound>
        // A whole office can be behind one address, and a browser that can't renew its cookie is logged out.
        if path.starts_with("/users/session/binding") {
            continue;
        }
        // </device_bound>
        // <oauth_server>
        // What programs send has 256 bits of entropy, and the library limits what writes.
        if path.starts_with("/oauth/") && path != "/oauth/authorize" {
            continue;
        }
        // </oauth_server>
        let request = Request::builder().method(&method).uri(&path).body(Body::empty()).expect("a request");
        let response = noisy.send(request).await;
        // <api_tokens>
        // Only programs with a token get in, and a token can't be guessed.
        if response.header("www-authenticate").is_some_and(|challenge| challenge.starts_with("Bearer ")) {
            assert_status(&response, 401);
            continue;
        }
        // </api_tokens>
        assert_eq!(response.status(), 429, "{method} {path}");
    }
}

#[tokio::test]
async fn every_form_is_limited_by_ip_address() {
    let host = Host::new().await;
    assert_all_are_limited(host.router(), include_str!("../../src/web/router.rs")).await;
}

// <api>
#[tokio::test]
async fn every_change_by_json_is_limited_by_ip_address() {
    let host = Host::new().await;
    assert_all_are_limited(host.api.clone(), include_str!("../../src/web/api/router.rs")).await;
}
// </api>

/// CVE-2019-5421: concurrent guesses were not counted.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_guesses_are_all_counted() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    guess_at_once(&host, &user.email).await;
    assert!(!host.can_log_in(&user.email, VALID_PASSWORD).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn invariant_5_concurrent_guesses_are_counted_for_unknown_addresses_too() {
    let host = Host::new().await;
    guess_at_once(&host, "nobody@example.com").await;
}

async fn guess_at_once(host: &Host, email: &str) {
    let mut guesses = JoinSet::new();
    for number in 0..50 {
        let (browser, email) = (host.client(), email.to_owned());
        guesses.spawn(async move {
            let password = format!("guess of number {number}");
            browser.post("/users/log-in", &login_form(&email, &password)).await.status().as_u16()
        });
    }
    let statuses = guesses.join_all().await;
    assert_eq!(statuses.iter().filter(|status| **status == 303).count(), 5, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 429).count(), 45, "{statuses:?}");
}

#[tokio::test]
async fn confirming_the_password_is_limited_too() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    for _ in 0..5 {
        assert_status(&browser.post("/users/sudo", &[("user[password]", "a wrong password")]).await, 303);
    }
    assert_status(&browser.post("/users/sudo", &[("user[password]", VALID_PASSWORD)]).await, 429);
    let other = host.log_in(&user).await;
    assert_status(&other.post("/users/sudo", &[("user[password]", VALID_PASSWORD)]).await, 429);
    host.clock().advance(Duration::from_secs(1));
    assert_status(&browser.post("/users/sudo", &[("user[password]", VALID_PASSWORD)]).await, 303);
    for _ in 0..5 {
        assert_status(&browser.post("/users/sudo", &[("user[password]", "a wrong password")]).await, 303);
    }
}

#[tokio::test]
async fn a_fourth_email_is_silently_not_sent() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for path in [
        "/users/reset-password",
        // <magic_link>
        "/users/log-in/link",
        // </magic_link>
        "/users/confirm",
    ] {
        let before = host.mails_to(&user.email).await.len();
        let mut responses = Vec::new();
        for _ in 0..5 {
            responses.push(seen(&host.client().post(path, &email_form(&user.email)).await));
            host.mails_to(&user.email).await;
        }
        assert!(
            responses.iter().all(|response| response.0 == 303 && *response == responses[0]),
            "{path}: {responses:?}"
        );
        assert_eq!(host.mails_to(&user.email).await.len() - before, 3, "{path}");
    }
    host.clock().advance(Duration::from_secs(15 * 60));
    host.client().post("/users/reset-password", &email_form(&user.email)).await;
    // <magic_link>
    assert_eq!(host.mails_to(&user.email).await.len(), 10);
    // </magic_link>
    // <!magic_link>
    // assert_eq!(host.mails_to(&user.email).await.len(), 7);
    // </!magic_link>
}

// <magic_link>
/// Requesting login links must not block the password.
#[tokio::test]
async fn requesting_links_does_not_delay_logins() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for _ in 0..5 {
        host.client().post("/users/log-in/link", &email_form(&user.email)).await;
    }
    assert_eq!(host.mails_to(&user.email).await.len(), 3);
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
}

/// A password that is guessed at must not block login links.
#[tokio::test]
async fn failed_logins_do_not_delay_login_links() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    guess(&host, &user.email).await;
    host.client().post("/users/log-in/link", &email_form(&user.email)).await;
    assert_eq!(host.mails_to(&user.email).await.len(), 1);
}
// </magic_link>

/// Concurrent requests send no more emails than sequential ones.
#[tokio::test(flavor = "multi_thread")]
async fn concurrently_requested_emails_are_all_counted() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let (browser, email) = (host.client(), user.email.clone());
        requests.spawn(async move { browser.post("/users/reset-password", &email_form(&email)).await.status() });
    }
    assert!(requests.join_all().await.iter().all(|status| *status == 303));
    assert_eq!(host.mails_to(&user.email).await.len(), 3);
}

/// All clients share the limit of a recipient.
#[tokio::test]
async fn emails_are_limited_by_recipient() {
    let host = Host::new().await;
    let owner = host.registered_fixture().await;
    host.confirm(&owner).await;
    let free = host.unique_email();
    for wanted in [&owner.email, &free] {
        for _ in 0..5 {
            let (_, browser) = host.authenticated_fixture().await;
            browser.put("/users/settings/email", &email_form(wanted)).await;
            host.mails_to(wanted).await;
        }
        assert_eq!(host.mails_to(wanted).await.len(), 3);
    }
    let register = [("user[email]", &*owner.email), ("user[password]", VALID_PASSWORD)];
    host.client().post("/users/register", &register).await;
    assert_eq!(host.mails_to(&owner.email).await.len(), 3, "the email about a second registration counts too");
}

/// Somebody registers another person's address, and logs in with new browsers.
#[tokio::test]
async fn an_address_that_was_never_confirmed_is_not_flooded_by_logins() {
    let host = Host::new().await;
    let victim = host.registered_fixture().await;
    for _ in 0..7 {
        assert!(host.can_log_in(&victim.email, VALID_PASSWORD).await);
    }
    assert_eq!(new_device_mails(&host, &victim.email).await, 3);

    // A thief who has the password must not be able to use up the warnings of its owner.
    let owner = host.registered_fixture().await;
    host.confirm(&owner).await;
    for _ in 0..7 {
        assert!(host.can_log_in(&owner.email, VALID_PASSWORD).await);
    }
    assert_eq!(new_device_mails(&host, &owner.email).await, 6);
}

#[tokio::test]
async fn an_address_that_was_never_confirmed_is_not_flooded_by_changes_of_its_account() {
    let host = Host::new().await;
    let (victim, browser) = host.authenticated_fixture().await;
    for number in 0..7 {
        let password = format!("a valid password of number {number}");
        assert_status(&browser.put("/users/settings/password", &password_form(&password, &password)).await, 303);
    }
    let mails = host.mails_to(&victim.email).await;
    assert_eq!(mails.iter().filter(|mail| mail.subject == "Your password was changed").count(), 3);
}

#[tokio::test]
async fn addresses_with_tags_share_one_limit_of_their_mailbox() {
    let host = Host::new().await;
    let mut mails = 0;
    for number in 0..5 {
        let email = format!("victim+{number}@example.com");
        let register = [("user[email]", &*email), ("user[password]", VALID_PASSWORD)];
        assert_status(&host.client().post("/users/register", &register).await, 303);
        mails += host.mails_to(&email).await.len();
    }
    assert_eq!(mails, 3);
}

/// An attacker registers addresses of the owner's mailbox with made-up tags, and asks for links to them.
#[tokio::test]
async fn accounts_with_made_up_tags_keep_no_owner_from_a_link() {
    let host = Host::new().await;
    let owner = host.registered_fixture().await;
    let (local, domain) = owner.email.split_once('@').expect("an address");
    let tagged = format!("{local}+own@{domain}");
    host.register(&tagged, &sigra::Password::new(VALID_PASSWORD)).await;
    let of_tag = host.accounts.get_user_by_email(&tagged).await.expect("a result").expect("registered");
    host.confirm(&of_tag).await;
    let made_up = format!("{local}+x@{domain}");
    host.register(&made_up, &sigra::Password::new(VALID_PASSWORD)).await;
    for kind in [
        "/users/reset-password",
        // <magic_link>
        "/users/log-in/link",
        // </magic_link>
        "/users/confirm",
    ] {
        for _ in 0..5 {
            host.client().post(kind, &email_form(&made_up)).await;
            host.mails_to(&made_up).await;
        }
        for email in [&owner.email, &tagged] {
            let before = host.mails_to(email).await.len();
            host.client().post(kind, &email_form(email)).await;
            let is_needed = kind != "/users/confirm" || email == &owner.email;
            assert_eq!(host.mails_to(email).await.len() - before, usize::from(is_needed), "{kind} {email}");
        }
    }
}

// <passkeys>
/// A passkey can't be guessed, so nobody is slowed down who wants to use theirs.
#[tokio::test]
async fn someone_who_has_the_password_keeps_no_owner_from_their_passkey() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let (stranger, owner) = (host.client().json(), host.client().json());
    for browser in [&stranger, &owner] {
        assert_status(&browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await, 303);
    }
    for _ in 0..30 {
        stranger.post("/users/mfa-challenge/passkey/options", &[]).await;
    }
    assert_status(&owner.post("/users/mfa-challenge/passkey/options", &[]).await, 200);
}
// </passkeys>

// <mfa>
/// A thief must not bury the email about one change under thousands.
#[tokio::test]
async fn changes_of_second_factors_are_limited() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_complete_fixture().await;
    host.confirm(&user).await;
    for _ in 0..20 {
        assert_status(&browser.post("/users/settings/mfa/backup-codes", &[]).await, 200);
    }
    assert_status(&browser.post("/users/settings/mfa/backup-codes", &[]).await, 429);
    assert_eq!(host.mails_to(&user.email).await.len(), 20);
}

/// A thief with a stolen session must not learn whether a password is right if the user has a second factor.
#[tokio::test]
async fn sudo_by_password_reveals_nothing_about_a_user_with_a_second_factor() {
    let host = Host::new().await;
    let mut seen_by_thief = Vec::new();
    for password in [VALID_PASSWORD, "a wrong password"] {
        let (user, browser) = host.mfa_complete_fixture().await;
        let response = browser.post("/users/sudo", &[("user[password]", password)]).await;
        let events = host.accounts.list_user_activity(&user, None).await.expect("events").events;
        seen_by_thief.push((seen(&response), events.into_iter().map(|event| event.action).collect::<Vec<_>>()));
    }
    assert_eq!(seen_by_thief[0], seen_by_thief[1]);
}
// </mfa>

#[tokio::test]
async fn email_changes_are_limited_so_that_no_user_can_send_spam() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let mut sent = 0;
    for number in 0..5 {
        let email = format!("victim{number}@example.com");
        assert_status(&browser.put("/users/settings/email", &email_form(&email)).await, 303);
        sent += host.mails_to(&email).await.len();
    }
    assert_eq!(sent, 3);
}

#[tokio::test]
async fn behind_a_proxy_each_client_has_its_own_limit() {
    let host = Host::with(&[("TRUSTED_PROXIES", "192.0.2.0/24")]).await;
    let proxy = host.client().peer(SocketAddr::from(([192, 0, 2, 1], 1)));
    let ask = |from: &str| {
        Request::post("/users/confirm")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("x-forwarded-for", format!("10.1.2.3, {from}"))
            .body(Body::from("user%5Bemail%5D=nobody%40example.com"))
            .expect("a request")
    };
    for _ in 0..100 {
        assert_status(&proxy.send(ask("203.0.113.9")).await, 303);
    }
    assert_status(&proxy.send(ask("203.0.113.9")).await, 429);
    assert_status(&proxy.send(ask("203.0.113.10")).await, 303);
}

#[tokio::test]
async fn the_limit_of_an_ip_address_ignores_forged_headers() {
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
    assert!(!refused.text().contains("You can also"), "the user was not logging in");
    let log_in = noisy.post("/users/log-in", &login_form("nobody@example.com", VALID_PASSWORD)).await;
    assert_status(&log_in, 429);
    // <magic_link>
    assert_contains(&log_in, "href=\"/users/log-in#link\"");
    // </magic_link>
    assert_contains(&log_in, "href=\"/users/reset-password\"");
    assert_status(&noisy.get("/users/reset-password").await, 200);
    assert_status(&from(2).send(ask(0)).await, 303);
}

#[test]
fn limits_cannot_be_turned_off_in_production() {
    let refused = settings(&[&PROD[..], &[("RATE_LIMITS", "off")]].concat()).err().expect("must be refused");
    assert_eq!(refused.to_string(), "RATE_LIMITS is `off`: it must be on when APP_ENV is prod");
    assert!(settings(&[("RATE_LIMITS", "off")]).is_ok());
}

#[tokio::test]
async fn without_limits_no_request_waits() {
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    let user = host.registered_fixture().await;
    for _ in 0..4 {
        guess(&host, &user.email).await;
        host.client().post("/users/reset-password", &email_form(&user.email)).await;
    }
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
    assert_eq!(host.mails_to(&user.email).await.iter().filter(|mail| mail.subject == "Reset your password").count(), 4);
}
