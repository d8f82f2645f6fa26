//! The second factor in the application: its pages, its emails, and that no login method bypasses it.

use std::time::Duration;

use crate::support::{Host, code_of, delete_account, email_form, enroll, key_on, login_form, password_form};
use axum::{body::Body, http::Request};
use my_app::accounts::User;
use my_app::web::user_auth::{AFTER_LOGIN_PATH, AFTER_LOGOUT_PATH};
use sigra::testing::{
    TestClient, TestHost, TestResponse, VALID_PASSWORD, assert_contains, assert_problem, assert_redirected_to,
    assert_status,
};

const STEP: Duration = Duration::from_secs(30);
const CHALLENGE: &str = "/users/mfa-challenge";
const MFA: &str = "/users/settings/mfa";

async fn answer(browser: &TestClient, code: &str) -> TestResponse {
    browser.post(CHALLENGE, &[("user[code]", code)]).await
}

fn codes_on(page: &TestResponse) -> Vec<String> {
    let text = page.text();
    text.split("<li><code>").skip(1).map(|code| code.split('<').next().expect("a code").to_owned()).collect()
}

#[tokio::test]
async fn an_authenticator_app_is_required_once_it_is_set_up() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    host.confirm(&user).await;
    assert_contains(&browser.get("/users/settings").await, MFA);
    assert_contains(&browser.get(MFA).await, "Set up an app");

    let page = browser.get("/users/settings/mfa/totp").await;
    assert_contains(&page, "<svg");
    assert_contains(&page, "otpauth://totp/MyApp:");
    assert_eq!(page.header("cache-control"), Some("no-store"));
    let wrong = browser.post("/users/settings/mfa/totp", &[("user[code]", "000000")]).await;
    assert_status(&wrong, 422);
    assert_contains(&wrong, "That code is wrong or has expired.");
    assert_eq!(key_on(&wrong), key_on(&page), "the key on the page stays the same");

    let enrolled = enroll(&host, &browser).await;
    assert_status(&enrolled, 200);
    let codes = codes_on(&enrolled);
    assert_eq!(codes.len(), 10);
    let subjects: Vec<_> = host.mails_to(&user.email).await.into_iter().map(|mail| mail.subject).collect();
    assert!(subjects.contains(&"A second factor was added to your account".to_owned()), "{subjects:?}");

    host.clock().advance(STEP);
    let other = host.client();
    assert_redirected_to(&other.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await, CHALLENGE);
    let page = other.get(CHALLENGE).await;
    assert_contains(&page, "one-time-code");
    assert!(!page.text().contains("Welcome back!"), "not before the second factor");
    let wrong = answer(&other, "000000").await;
    assert_redirected_to(&wrong, CHALLENGE);
    assert_contains(&other.follow(&wrong).await, "That code is wrong or has expired.");
    let right = answer(&other, &host.totp_code(&user).await).await;
    assert_redirected_to(&right, AFTER_LOGIN_PATH);
    assert_contains(&other.follow(&right).await, "Welcome back!");
}

/// The application can't know which of the two keys was scanned.
#[tokio::test]
async fn an_app_can_be_set_up_in_either_of_two_tabs() {
    const TOTP: &str = "/users/settings/mfa/totp";
    let host = Host::new().await;
    for scanned in 0..2 {
        let (user, browser) = host.authenticated_fixture().await;
        host.confirm(&user).await;
        let tabs = [browser.fork(), browser.fork()];
        let mut keys = Vec::new();
        for tab in &tabs {
            let opened = Request::get(TOTP).header("accept", "text/html").body(Body::empty()).expect("a request");
            let page = tab.send_without_storing(opened).await;
            keys.push(key_on(&page));
            browser.store(&page);
        }
        let code = code_of(&host, &keys[scanned]);
        assert_status(&browser.post(TOTP, &[("user[code]", &code)]).await, 200);

        // <api>
        let (user, browser) = host.authenticated_fixture().await;
        host.confirm(&user).await;
        let post = |path: &str, body: String| {
            Request::post(path).header("content-type", "application/json").body(Body::from(body)).expect("a request")
        };
        let program = TestClient::new(host.api.clone()).json();
        browser.cookies().iter().for_each(|(name, value)| program.set_cookie(name, value));
        let tabs = [program.fork(), program.fork()];
        let mut keys = Vec::new();
        for tab in &tabs {
            let options = tab.send_without_storing(post("/users/settings/mfa/totp/options", String::new())).await;
            let key = options.json::<serde_json::Value>()["manual_key"].as_str().expect("a key").to_owned();
            keys.push(key);
            program.store(&options);
        }
        let code = code_of(&host, &keys[scanned]);
        assert_status(&program.send(post(TOTP, format!(r#"{{"code":"{code}"}}"#))).await, 200);
        // </api>
    }
}

#[tokio::test]
async fn backup_codes_log_in_and_the_user_is_emailed() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_pending_fixture().await;
    host.confirm(&user).await;
    assert_contains(&browser.get(CHALLENGE).await, "?backup_code=true");
    assert_contains(&browser.get("/users/mfa-challenge?backup_code=true").await, "Backup code");

    let (_, complete) = (host.mails_to(&user.email).await, host.client());
    complete.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_redirected_to(&answer(&complete, &host.totp_code(&user).await).await, AFTER_LOGIN_PATH);
    let codes = codes_on(&complete.post("/users/settings/mfa/backup-codes", &[]).await);
    assert_eq!(codes.len(), 10);

    for (left, code) in codes.iter().take(8).enumerate() {
        let browser = host.client();
        browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
        let page = browser.follow(&answer(&browser, code).await).await;
        assert_eq!(page.text().contains("You have 2 backup codes left."), left == 7, "{left}");
    }
    assert_contains(&complete.get(MFA).await, "Generate new codes before you run out.");
    let mails = host.mails_to(&user.email).await;
    assert!(mails.iter().any(|mail| mail.subject == "A backup code was used" && mail.text.contains("You have 2 left")));
}

/// OWASP ASVS 6.4.3: no login method requires fewer factors than another.
#[tokio::test]
async fn every_sign_in_method_requires_the_second_factor() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    host.confirm(&user).await;
    let waits = async |browser: &TestClient, way: &str| {
        assert_redirected_to(&browser.get("/dashboard").await, CHALLENGE);
        assert_problem(&browser.fork().json().get("/me").await, 401);
        // <live>
        assert_status(&browser.fork().json().get("/live").await, 401);
        // </live>
        assert!(!browser.get("/").await.text().contains(&user.email), "{way}");
    };

    let by_password = host.client();
    by_password.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    waits(&by_password, "password").await;

    // <magic_link>
    let by_link = host.client();
    by_link.post("/users/log-in/link", &email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;
    assert_redirected_to(&by_link.post(&link, &[]).await, CHALLENGE);
    waits(&by_link, "link").await;
    // </magic_link>

    let after_reset = host.client();
    after_reset.post("/users/reset-password", &email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;
    let new = "a quite different password";
    after_reset.put(&link, &password_form(new, new)).await;
    assert_redirected_to(&after_reset.get("/dashboard").await, "/users/log-in");
    after_reset.post("/users/log-in", &login_form(&user.email, new)).await;
    waits(&after_reset, "reset").await;
    assert_redirected_to(&by_password.get(CHALLENGE).await, "/users/log-in");

    let token = host.open_session(&host.reload(&user).await).await;
    assert!(host.scope_of(&token).await.is_none());
}

#[tokio::test]
async fn an_email_address_must_be_confirmed_before_a_second_factor_is_set_up() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let page = browser.get(MFA).await;
    assert_contains(&page, "Confirm your email address first");
    assert!(!page.text().contains("Set up an app"));
    assert_redirected_to(&browser.get("/users/settings/mfa/totp").await, MFA);
    assert_redirected_to(&browser.post("/users/settings/mfa/totp", &[("user[code]", "123456")]).await, MFA);
    // <passkeys>
    for path in ["/users/settings/passkeys", "/users/settings/passkeys/options"] {
        assert_redirected_to(&browser.post(path, &[]).await, MFA);
    }
    // </passkeys>
    browser.post("/users/confirm", &email_form(&user.email)).await;
    browser.post(&host.link_to(&user.email).await, &[]).await;
    assert_contains(&browser.get(MFA).await, "Set up an app");
}

/// An application may allow it: an attacker registers another person's address, sets up a second factor, and waits for
/// the owner.
#[tokio::test]
async fn a_second_factor_set_up_before_confirmation_is_removed_when_the_owner_takes_over() {
    let host = Host::new().await;
    let ((victim, attacker), owner) = (host.mfa_complete_fixture().await, host.client());
    owner.post("/users/reset-password", &email_form(&victim.email)).await;
    let new = "a new password of the owner's";
    owner.put(&host.link_to(&victim.email).await, &password_form(new, new)).await;
    assert_redirected_to(&owner.post("/users/log-in", &login_form(&victim.email, new)).await, AFTER_LOGIN_PATH);
    assert_taken_over(&host, &victim, &attacker, &owner).await;

    // <magic_link>
    let ((victim, attacker), owner) = (host.mfa_complete_fixture().await, host.client());
    owner.post("/users/log-in/link", &email_form(&victim.email)).await;
    assert_redirected_to(&owner.post(&host.link_to(&victim.email).await, &[]).await, AFTER_LOGIN_PATH);
    assert_taken_over(&host, &victim, &attacker, &owner).await;
    // </magic_link>
}

async fn assert_taken_over(host: &Host, victim: &User, attacker: &TestClient, owner: &TestClient) {
    assert_status(&owner.get("/dashboard").await, 200);
    assert_redirected_to(&attacker.get("/dashboard").await, "/users/log-in");
    let factors = host.sigra().mfa().list(&victim.id).await.expect("factors");
    assert!(!factors.is_any() && factors.backup_codes == 0, "{factors:?}");
}

#[tokio::test]
async fn a_pending_login_cannot_change_the_account() {
    let host = Host::with(&[("DELETION_GRACE", "86400")]).await;
    let (user, browser) = host.mfa_complete_fixture().await;
    delete_account(&browser, &user.email).await;
    assert!(host.reload(&user).await.delete_after.is_some());
    let pending = host.client();
    pending.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert!(host.reload(&user).await.delete_after.is_some(), "a pending login does not cancel the deletion");
    assert_redirected_to(&answer(&pending, &host.totp_code(&user).await).await, AFTER_LOGIN_PATH);
    assert!(host.reload(&user).await.delete_after.is_none());
}

#[tokio::test]
async fn a_trusted_browser_is_listed_and_can_be_removed() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_pending_fixture().await;
    let form = [("user[code]", &*host.totp_code(&user).await), ("user[trust_browser]", "true")];
    assert_redirected_to(&browser.post(CHALLENGE, &form).await, AFTER_LOGIN_PATH);
    browser.delete("/users/log-out").await;
    assert_redirected_to(
        &browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await,
        AFTER_LOGIN_PATH,
    );

    let page = browser.get("/users/sessions").await;
    assert_contains(&page, "Trusted browsers");
    assert_contains(&page, "This browser");
    let text = page.text();
    let (_, rest) = text.split_once("/users/trusted-browsers/").expect("a form");
    let path = format!("/users/trusted-browsers/{}", rest.split_once('"').expect("a closing tag").0);
    let (_, stranger) = host.authenticated_fixture().await;
    assert_status(&stranger.delete(&path).await, 404);
    assert_redirected_to(&browser.delete(&path).await, "/users/sessions");
    assert!(!browser.get("/users/sessions").await.text().contains("Trusted browsers"));
    browser.delete("/users/log-out").await;
    assert_redirected_to(&browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await, CHALLENGE);
}

#[tokio::test]
async fn a_new_password_and_logging_out_everywhere_revoke_trusted_browsers() {
    for everywhere in [false, true] {
        let host = Host::new().await;
        let (user, browser) = host.mfa_complete_fixture().await;
        let trusted = host.client();
        host.trust_browser(&trusted, &user).await;
        let password = match everywhere {
            true => {
                assert_redirected_to(&browser.delete("/users/sessions").await, AFTER_LOGOUT_PATH);
                VALID_PASSWORD
            }
            false => {
                let new = "a quite different password";
                let changed = browser.put("/users/settings/password", &password_form(new, new)).await;
                assert_redirected_to(&changed, "/users/settings");
                new
            }
        };
        let log_in = trusted.post("/users/log-in", &login_form(&user.email, password)).await;
        assert_redirected_to(&log_in, CHALLENGE);
    }
}

#[tokio::test]
async fn sudo_mode_requires_the_second_factor_and_returns_to_the_page() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_complete_fixture().await;
    host.clock().advance(Duration::from_secs(20 * 60));
    assert_redirected_to(&browser.get("/users/settings/email").await, "/users/sudo");
    let page = browser.get("/users/sudo").await;
    assert_contains(&page, "one-time-code");
    assert!(!page.text().contains("current-password"), "the password is not enough, so it is not asked for");

    let password = browser.post("/users/sudo", &[("user[password]", VALID_PASSWORD)]).await;
    assert_redirected_to(&password, "/users/sudo");
    assert_redirected_to(&browser.get("/users/settings/email").await, "/users/sudo");
    let wrong = browser.post("/users/sudo", &[("user[code]", "000000")]).await;
    assert_redirected_to(&wrong, "/users/sudo");
    let right = browser.post("/users/sudo", &[("user[code]", &host.totp_code(&user).await)]).await;
    assert_redirected_to(&right, "/users/settings/email");
}

#[tokio::test]
async fn removing_an_app_requires_sudo_mode_and_sends_an_email() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_complete_fixture().await;
    host.confirm(&user).await;
    host.clock().advance(Duration::from_secs(20 * 60));
    assert_redirected_to(&browser.delete("/users/settings/mfa/totp").await, "/users/sudo");
    assert_contains(&browser.get("/users/sudo").await, "second factor");
    browser.post("/users/sudo", &[("user[code]", &host.totp_code(&user).await)]).await;
    let removed = browser.delete("/users/settings/mfa/totp").await;
    assert_redirected_to(&removed, MFA);
    assert_contains(&browser.follow(&removed).await, "Authenticator app removed.");
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
    let mails = host.mails_to(&user.email).await;
    assert!(mails.iter().any(|mail| mail.subject == "A second factor was removed from your account"));
    assert_contains(&browser.get("/users/settings/activity").await, "Removed the authenticator app");
}

#[tokio::test]
async fn a_user_who_must_have_a_second_factor_sets_one_up_first() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    sqlx::query("UPDATE users SET mfa_required = true").execute(&host.pool).await.expect("updated");
    host.confirm(&user).await;
    let browser = host.client();
    browser.get("/users/sessions").await;
    let log_in = browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_redirected_to(&log_in, "/users/sessions");
    let led = browser.follow(&log_in).await;
    assert_redirected_to(&led, MFA);
    let page = browser.follow(&led).await;
    assert_contains(&page, "Your account requires a second factor");
    assert!(!page.text().contains("/dashboard"), "there is nowhere to go");
    for path in ["/dashboard", "/users/settings", "/users/settings/activity", "/users/sudo"] {
        assert_redirected_to(&browser.get(path).await, MFA);
        assert_problem(&browser.fork().json().get(path).await, 403);
    }
    // <live>
    assert_status(&browser.fork().json().get("/live").await, 401);
    // </live>
    assert_status(&browser.delete("/users/sessions").await, 403);

    let enrolled = enroll(&host, &browser).await;
    assert_status(&enrolled, 200);
    assert_status(&browser.get("/dashboard").await, 200);
    assert!(!browser.get(MFA).await.text().contains("Remove"), "the last one stays");
    let kept = browser.delete("/users/settings/mfa/totp").await;
    assert_contains(&browser.follow(&kept).await, "Set up another one first.");
    assert_status(&browser.get("/dashboard").await, 200);
}

#[tokio::test]
async fn guessing_codes_is_rate_limited_and_the_user_is_emailed() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let pending = async || {
        let browser = host.client();
        browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
        browser
    };
    for _ in 0..5 {
        assert_redirected_to(&answer(&pending().await, "000000").await, CHALLENGE);
        host.clock().advance(Duration::from_secs(1));
    }
    host.clock().advance(Duration::from_secs(20));
    let refused = answer(&pending().await, &host.totp_code(&user).await).await;
    assert_status(&refused, 429);
    let mails = host.mails_to(&user.email).await;
    assert!(mails.iter().any(|mail| mail.subject == "Someone may know your password"));
}

// <passkeys>
#[tokio::test]
async fn passkey_forms_appear_only_where_passkeys_work() {
    let host = Host::new().await;
    assert_contains(&host.client().get("/users/log-in").await, "data-domain=\"localhost\"");
    let options = host.client().json().post("/users/log-in/passkey/options", &[]).await;
    assert_contains(&options, "\"challenge\"");
    assert_redirected_to(&host.client().post("/users/log-in/passkey", &[]).await, "/users/log-in");
    assert_status(&host.client().post("/users/log-in/passkey", &[("credential", "{}")]).await, 422);

    let address = Host::with(&[("PUBLIC_URL", "http://192.0.2.1:4000"), ("HOST", "0.0.0.0")]).await;
    assert!(!address.client().get("/users/log-in").await.text().contains("passkey\""));
    let (user, browser) = address.authenticated_fixture().await;
    address.confirm(&user).await;
    assert_contains(&browser.get(MFA).await, "Set up an app");
    assert!(!browser.get(MFA).await.text().contains("Passkeys"));
}
// </passkeys>

#[tokio::test]
async fn reloading_the_page_of_backup_codes_shows_the_same_codes() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    host.confirm(&user).await;
    let browser = host.client();
    browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    answer(&browser, &host.totp_code(&user).await).await;

    const CODES: &str = "/users/settings/mfa/backup-codes";
    let form = [("_idempotency_key", "0123456789abcdef0123456789abcdef")];
    let codes = codes_on(&browser.post(CODES, &form).await);
    assert_eq!(codes.len(), 10);
    // The stored response has expired.
    host.clock().advance(Duration::from_secs(60));
    let reloaded = browser.fork().user_agent("another browser, for which no response is stored");
    assert_eq!(codes_on(&reloaded.post(CODES, &form).await), codes);
    host.clock().advance(Duration::from_secs(10 * 60));
    let much_later = browser.fork().user_agent("another");
    assert_ne!(codes_on(&much_later.post(CODES, &form).await), codes);
    let left = host.sigra().mfa().list(&user.id).await.expect("factors").backup_codes;
    assert_eq!(left, 10);
}
