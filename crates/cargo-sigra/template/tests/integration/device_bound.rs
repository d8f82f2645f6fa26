//! Sessions that are bound to the device they began on.

use std::time::Duration;

// <pages>
use my_app::accounts::User;
// </pages>
use sigra::testing::{TestClient, TestHost, TestResponse, VALID_PASSWORD};
// <pages>
use sigra::{
    audit,
    testing::{assert_audit_event, assert_contains, assert_redirected_to, assert_status},
};

use crate::support::login_form;
// </pages>
use crate::support::{Host, PROD, settings};

const MINUTE: Duration = Duration::from_secs(60);
/// How long a bound cookie is valid, unless `BINDING_TTL` is set.
const TTL: Duration = Duration::from_secs(10 * 60);
const OFFER: &str = "secure-session-registration";

/// The application in production, with emails in memory.
async fn host(env: &[(&str, &str)]) -> Host {
    let local = [("PUBLIC_URL", "https://localhost"), ("SMTP_URL", "memory:")];
    // The first value of a name wins.
    Host::with(&[env, &local, &PROD].concat()).await
}

/// Returns whether the browser is logged in.
async fn is_logged_in(browser: &TestClient) -> bool {
    browser.get("/me").await.status() == 200
}

#[test]
fn sessions_are_bound_in_production_over_https_unless_that_is_turned_off() {
    let with = |env: &[(&str, &str)]| settings(&[&PROD[..], env].concat()).map(drop).map_err(|error| error.to_string());
    for mode in ["off", "report", "enforce"] {
        assert_eq!(with(&[("BINDING", mode), ("BINDING_TTL", "300")]), Ok(()));
    }
    let refused = with(&[("BINDING", "on")]).expect_err("not a mode");
    assert_eq!(refused, "BINDING is `on`: it must be off, report or enforce");
    let refused = settings(&[("BINDING", "enforce")]).map(drop).expect_err("without HTTPS").to_string();
    assert!(refused.starts_with("BINDING is `enforce`: it must be off"), "{refused}");
    assert!(settings(&[("BINDING", "off")]).is_ok());
}

// <pages>
async fn log_in(browser: &TestClient, user: &User) -> TestResponse {
    browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await
}

/// A user whose browser has bound its session.
async fn bound(host: &Host) -> (User, TestClient) {
    let (user, browser) = (host.registered_fixture().await, host.client().device_bound(host.clock()));
    log_in(&browser, &user).await;
    assert_eq!(browser.bound_sessions().len(), 1, "the browser took the offer");
    (user, browser)
}

#[tokio::test]
async fn invariant_23_copied_cookies_stop_working_and_the_user_is_told() {
    let host = host(&[]).await;
    let (user, browser) = bound(&host).await;
    let thief = browser.fork();
    host.clock().advance(TTL);
    assert_redirected_to(&thief.get("/dashboard").await, "/users/log-in");
    assert_status(&browser.get("/dashboard").await, 200);

    assert_audit_event(host.sigra(), &user, audit::USED_WITHOUT_KEY).await;
    assert_contains(&browser.get("/users/settings/activity").await, "A copy of this session's cookies was used");
    thief.get("/dashboard").await;
    let mails = host.mails_to(&user.email).await;
    let warnings = mails.iter().filter(|mail| mail.subject == "Someone used a copy of your cookies").count();
    assert_eq!(warnings, 1, "one email, however often the copy is used");
}

#[tokio::test]
async fn the_email_about_copied_cookies_can_be_turned_off() {
    let host = host(&[("NOTIFY_STOLEN_SESSIONS", "false")]).await;
    let (user, browser) = bound(&host).await;
    let thief = browser.fork();
    host.clock().advance(TTL);
    assert!(!is_logged_in(&thief).await);
    assert_audit_event(host.sigra(), &user, audit::USED_WITHOUT_KEY).await;
    assert!(host.mails_to(&user.email).await.iter().all(|mail| !mail.subject.contains("cookies")));
}

#[tokio::test]
async fn the_devices_page_shows_which_sessions_are_protected_against_theft() {
    let host = host(&[]).await;
    let (user, browser) = bound(&host).await;
    let old = host.client();
    log_in(&old, &user).await;
    let page = browser.get("/users/sessions").await.text();
    assert_eq!(page.matches("Protected against theft").count(), 1, "one of two devices");
    old.get("/users/sessions").await;
}

#[tokio::test]
async fn only_report_and_off_accept_a_session_without_its_key() {
    for (mode, is_offered, is_accepted) in [("off", false, true), ("report", true, true), ("enforce", true, false)] {
        let host = host(&[("BINDING", mode), ("BINDING_TTL", "300")]).await;
        let (user, browser) = (host.registered_fixture().await, host.client().device_bound(host.clock()));
        assert_eq!(log_in(&browser, &user).await.header(OFFER).is_some(), is_offered, "{mode}");
        let thief = browser.fork();
        host.clock().advance(MINUTE * 5);
        assert_eq!(is_logged_in(&thief).await, is_accepted, "{mode}");
        assert!(is_logged_in(&browser).await, "{mode}");
    }
}

#[tokio::test]
async fn logging_out_ends_the_binding_in_the_browser_too() {
    let host = host(&[]).await;
    let (_, browser) = bound(&host).await;
    browser.delete("/users/log-out").await;
    assert!(!is_logged_in(&browser).await);
    assert!(browser.bound_sessions().is_empty());

    let (_, browser) = bound(&host).await;
    browser.delete("/users/sessions").await;
    assert!(!is_logged_in(&browser).await);
    assert!(browser.bound_sessions().is_empty());
}

#[tokio::test]
async fn in_development_nothing_is_offered() {
    let host = Host::new().await;
    let (user, browser) = (host.registered_fixture().await, host.client());
    assert_eq!(log_in(&browser, &user).await.header(OFFER), None);
}
// </pages>

// <api>
#[tokio::test]
async fn invariant_23_by_json_copied_cookies_stop_working() {
    let host = host(&[]).await;
    let user = host.registered_fixture().await;
    let browser = TestClient::new(host.api.clone()).json().device_bound(host.clock());
    let login = serde_json::json!({ "email": user.email, "password": VALID_PASSWORD }).to_string();
    let login =
        axum::http::Request::post("/users/log-in").header("content-type", "application/json").body(login.into());
    let response: TestResponse = browser.send(login.expect("a request")).await;
    assert!(response.header(OFFER).is_some());
    assert_eq!(browser.bound_sessions().len(), 1, "the browser took the offer");
    let devices = browser.get("/users/sessions").await.json::<serde_json::Value>();
    assert_eq!(devices["sessions"][0]["device_bound"], true);
    let thief = browser.fork();
    host.clock().advance(TTL + MINUTE);
    assert!(!is_logged_in(&thief).await);
    assert!(is_logged_in(&browser).await);
}
// </api>
