//! The second factor, and how an attacker would try to bypass it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::http::StatusCode;
use sigra::{
    Clock, RememberMe, SessionId, audit,
    testing::{
        TestClient, TestHost, TestResponse, assert_audit_event, assert_problem, assert_redirected_to, assert_status,
    },
};
use tokio::task::JoinSet;

use super::host::{DAY, Host, KEY, MINUTE, REMEMBER_ME, SECOND, User, get_request, secret, token, who};

const TRUST: &str = "_my_app_mfa_trust";
const STEP: Duration = Duration::from_secs(30);

async fn answer(browser: &TestClient, code: &str) -> TestResponse {
    browser.post("/mfa-challenge", &[("code", code)]).await
}

async fn answer_and_trust(browser: &TestClient, code: &str) -> TestResponse {
    browser.post("/mfa-challenge", &[("code", code), ("trust_browser", "true")]).await
}

/// A browser that has entered the password, and is at the challenge.
async fn with_password(host: &Host, user: &User) -> TestClient {
    let browser = host.client();
    assert_redirected_to(&host.post_log_in(&browser, user, false).await, "/mfa-challenge");
    browser
}

/// A browser that the user trusted and logged out of.
async fn trusted_browser(host: &Host, user: &User) -> TestClient {
    let browser = with_password(host, user).await;
    assert_status(&answer_and_trust(&browser, &host.totp_code(user).await).await, 200);
    host.clock().advance(STEP);
    browser.post("/log-out", &[]).await;
    browser
}

async fn is_trusted(host: &Host, browser: &TestClient, user: &User) -> bool {
    let browser = browser.fork();
    match host.post_log_in(&browser, user, false).await.location() {
        Some("/") => true,
        Some("/mfa-challenge") => false,
        elsewhere => panic!("redirected to {elsewhere:?}"),
    }
}

/// Sets up an authenticator app through the pages. Returns new backup codes, or "" if there were codes before.
async fn enroll(host: &Host, browser: &TestClient) -> String {
    let key = browser.get("/mfa").await.text();
    let code = code_of(&key, host);
    let response = browser.post("/mfa", &[("code", &code)]).await;
    assert_status(&response, 200);
    response.text()
}

/// Returns the code that an app with this key shows.
pub fn code_of(manual_key: &str, host: &Host) -> String {
    let secret = totp_rs::Secret::try_from_base32(manual_key.replace(' ', "")).expect("a key");
    let totp = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    totp.generate(host.clock().now().unix_timestamp().unsigned_abs()).to_string()
}

async fn sessions(host: &Host) -> i64 {
    let count = "SELECT count(*) FROM users_tokens WHERE context = 'session'";
    sqlx::query_scalar(count).fetch_one(&host.pool).await.expect("a number")
}

#[tokio::test]
async fn invariant_12_a_pending_second_factor_gives_access_only_to_the_challenge_and_logout() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_pending_fixture().await;
    for path in ["/me", "/sudo", "/mfa", "/elsewhere"] {
        assert_redirected_to(&browser.get(path).await, "/mfa-challenge");
        assert_problem(&browser.fork().json().get(path).await, 401);
    }
    for path in ["/me", "/renew", "/confirm", "/mfa", "/mfa/disable", "/mfa/codes", "/sudo-code"] {
        assert_status(&browser.post(path, &[("code", "1")]).await, 401);
    }
    assert_status(&browser.get("/passkeys/register").await, 303);
    assert_eq!(who(&browser).await, "anonymous");
    assert!(host.sigra.fetch_session(&token(&browser)).await.unwrap().is_none());
    assert!(
        host.sigra.sessions().list(&user.id).await.unwrap().is_empty(),
        "a pending session is not listed as a device"
    );
    assert_eq!(browser.get("/mfa-challenge").await.text(), user.email);
    assert_eq!(browser.get("/mfa-challenge").await.header("cache-control"), Some("no-store"));

    assert_redirected_to(&browser.post("/log-out", &[]).await, "/");
    assert_redirected_to(&browser.get("/mfa-challenge").await, "/users/log-in");
}

#[tokio::test]
async fn a_code_completes_the_login_and_replaces_the_session_token() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let browser = host.client();
    browser.get("/me?from=a+mail").await;
    let log_in = host.post_log_in(&browser, &user, true).await;
    assert_redirected_to(&log_in, "/mfa-challenge");
    assert_eq!(browser.cookie(REMEMBER_ME), None, "no remember-me cookie before the second factor");
    let (before, pending) = (browser.cookie(KEY), browser.fork());

    let wrong = answer(&browser, "000000").await;
    assert_status(&wrong, 422);
    assert_eq!(browser.cookie(KEY), before, "a wrong code changes nothing");
    assert_status(&answer(&browser, &host.totp_code(&user).await).await, 200);

    // CVE-2023-46733: the token from before the second factor is invalid after it.
    assert_ne!(browser.cookie(KEY), before);
    assert_eq!(who(&pending).await, "anonymous");
    assert_redirected_to(&pending.get("/mfa-challenge").await, "/users/log-in");
    assert_eq!(who(&browser).await, user.email);
    assert!(browser.cookie(REMEMBER_ME).is_some());
    assert_redirected_to(&browser.get("/mfa-challenge").await, "/");
    assert_problem(&browser.fork().json().get("/mfa-challenge").await, 409);

    let scope = host.sigra.fetch_session(&token(&browser)).await.unwrap().unwrap();
    assert!(!scope.session().mfa_pending);
    let age = host.clock().now() - scope.session().mfa_verified_at.unwrap();
    assert!(age < time::Duration::MILLISECOND, "{age}");
    browser.close_and_reopen();
    assert_eq!(who(&browser).await, user.email);
    assert_audit_event(host.sigra(), &user, "auth.login.success").await;
}

#[tokio::test]
async fn a_pending_second_factor_expires_after_ten_minutes() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_pending_fixture().await;
    host.clock().advance(MINUTE * 10 - SECOND);
    assert_status(&browser.get("/mfa-challenge").await, 200);
    host.clock().advance(SECOND);
    let code = host.totp_code(&user).await;
    assert_status(&answer(&browser, &code).await, 401);
    assert_eq!(sessions(&host).await, 0);

    let (user, _) = host.mfa_pending_fixture().await;
    let complete = with_password(&host, &user).await;
    assert_status(&answer(&complete, &host.totp_code(&user).await).await, 200);
    host.clock().advance(MINUTE * 10);
    assert_eq!(host.sigra.housekeeping().purge_expired().await.unwrap(), 1, "the pending session");
    assert_eq!(who(&complete).await, user.email);
}

/// CVE-2021-43177: a used code is refused while the app still shows it, and later.
#[tokio::test]
async fn invariant_10_a_code_is_accepted_once() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_pending_fixture().await;
    let earlier = host.totp_code(&user).await;
    host.clock().advance(STEP);
    let code = host.totp_code(&user).await;
    assert_status(&answer(&browser, &code).await, 200);
    for _ in 0..3 {
        for replayed in [&code, &earlier] {
            assert_status(&answer(&with_password(&host, &user).await, replayed).await, 422);
            let sudo = browser.post("/sudo-code", &[("code", replayed)]).await;
            assert_status(&sudo, 422);
        }
        host.clock().advance(STEP);
        forget_attempts(&host).await;
    }
    assert_status(&answer(&with_password(&host, &user).await, &host.totp_code(&user).await).await, 200);
}

async fn forget_attempts(host: &Host) {
    sqlx::query("DELETE FROM auth_attempts").execute(&host.pool).await.unwrap();
}

/// Otherwise a code that was used while a clock was ahead would block all codes until that time.
#[tokio::test]
async fn codes_are_accepted_after_a_clock_was_ahead() {
    let (right, ahead) = (Clock::stopped(), Clock::stopped());
    ahead.advance(DAY * 365);
    let host = Host::with(|config| config.clock(ahead)).await;
    let (user, browser) = host.mfa_pending_fixture().await;
    assert_status(&answer(&browser, &host.totp_code(&user).await).await, 200);

    let host = host.restart(|config| config.clock(right)).await;
    let code = host.totp_code(&user).await;
    assert_status(&answer(&with_password(&host, &user).await, &code).await, 200);
    assert_status(&answer(&with_password(&host, &user).await, &code).await, 422);
}

#[tokio::test]
async fn only_codes_of_the_current_and_the_previous_step_are_accepted() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let old = host.totp_code(&user).await;
    host.clock().advance(STEP * 2);
    assert_status(&answer(&with_password(&host, &user).await, &old).await, 422);
    let before = host.totp_code(&user).await;
    host.clock().advance(STEP);
    assert_status(&answer(&with_password(&host, &user).await, &before).await, 200);

    let (stranger, _) = host.mfa_fixture().await;
    let browser = with_password(&host, &user).await;
    assert_status(&answer(&browser, &host.totp_code(&stranger).await).await, 422);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_10_only_one_of_many_concurrent_uses_of_a_code_succeeds() {
    let host = Arc::new(Host::with(|config| config.rate_limits(false)).await);
    let (user, codes) = host.mfa_fixture().await;
    for backup_code in codes.iter().take(5) {
        for code in [host.totp_code(&user).await, backup_code.to_string()] {
            let mut answers = JoinSet::new();
            for _ in 0..16 {
                let (browser, code) = (with_password(&host, &user).await, code.clone());
                answers.spawn(async move { answer(&browser, &code).await.status() });
            }
            let answers = answers.join_all().await;
            let accepted = answers.iter().filter(|status| **status == StatusCode::OK).count();
            assert_eq!(accepted, 1, "{answers:?}");
            assert!(answers.iter().all(|status| [200, 422].contains(&status.as_u16())), "{answers:?}");
        }
        host.clock().advance(STEP);
    }
}

#[tokio::test]
async fn each_backup_code_works_once_and_new_ones_replace_them() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_complete_fixture().await;
    let old: Vec<String> = browser.post("/mfa/codes", &[]).await.text().lines().map(str::to_owned).collect();
    assert_eq!(old.iter().collect::<BTreeSet<_>>().len(), 10);

    let answered = answer(&with_password(&host, &user).await, &old[0].to_uppercase().replace('-', " ")).await;
    assert_eq!(answered.text(), "BackupCode { left: 9 }");
    assert_status(&answer(&with_password(&host, &user).await, &old[0]).await, 422);
    assert_eq!(host.sigra.mfa().list(&user.id).await.unwrap().backup_codes, 9);

    let (stranger, _) = host.mfa_fixture().await;
    assert_status(&answer(&with_password(&host, &stranger).await, &old[1]).await, 422);
    let new = browser.post("/mfa/codes", &[]).await.text();
    assert_status(&answer(&with_password(&host, &user).await, &old[1]).await, 422);
    assert_status(&answer(&with_password(&host, &user).await, new.lines().next().unwrap()).await, 200);
    assert_audit_event(host.sigra(), &user, audit::BACKUP_CODES_REGENERATED).await;
}

/// CVE-2026-76213: attempts count for the account, so entering the password again doesn't allow more.
#[tokio::test]
async fn wrong_codes_are_counted_across_all_sessions() {
    let host = Host::new().await;
    let (user, owners) = host.mfa_pending_fixture().await;
    assert_status(&answer(&owners, &host.totp_code(&user).await).await, 200);
    owners.post("/log-out", &[]).await;
    host.clock().advance(STEP);

    for _ in 0..5 {
        assert_status(&answer(&with_password(&host, &user).await, "000000").await, 422);
    }
    let attacker = with_password(&host, &user).await;
    let refused = answer(&attacker, &host.totp_code(&user).await).await;
    assert_status(&refused, 429);
    assert_eq!(refused.header("retry-after"), Some("30"));

    host.post_log_in(&owners, &user, false).await;
    assert_status(&answer(&owners, &host.totp_code(&user).await).await, 200);
    assert_status(&answer(&attacker, "000000").await, 429);
    host.clock().advance(STEP);
    assert_status(&answer(&attacker, "000000").await, 422);
}

/// An attacker with the password can cause delays for new browsers, but not for the owner's browser.
#[tokio::test]
async fn a_browser_that_set_up_a_factor_is_not_rate_limited_by_others() {
    let host = Host::new().await;
    let (user, owners) = host.authenticated_fixture().await;
    enroll(&host, &owners).await;
    host.clock().advance(STEP);
    for _ in 0..5 {
        assert_status(&answer(&with_password(&host, &user).await, "000000").await, 422);
    }
    assert_status(&answer(&with_password(&host, &user).await, "000000").await, 429);

    assert_status(&owners.post("/sudo-code", &[("code", &host.totp_code(&user).await)]).await, 200);
    host.clock().advance(STEP);
    host.post_log_in(&owners, &user, false).await;
    assert_status(&answer(&owners, &host.totp_code(&user).await).await, 200);
}

#[tokio::test]
async fn a_trusted_browser_skips_the_second_factor_for_thirty_days() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let browser = trusted_browser(&host, &user).await;
    assert!(is_trusted(&host, &browser, &user).await);
    assert!(!is_trusted(&host, &host.client(), &user).await);

    let (stranger, _) = host.mfa_fixture().await;
    assert!(!is_trusted(&host, &browser, &stranger).await, "a browser is trusted for one user");
    let strangers = trusted_browser(&host, &stranger).await;
    let stolen = host.client();
    stolen.set_cookie(TRUST, &strangers.cookie(TRUST).unwrap());
    assert!(!is_trusted(&host, &stolen, &user).await, "the trust cookie of another user is ignored");

    let listed = host.sigra.trusted_browsers().list(&user.id).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].device(), "Firefox on Linux");
    host.clock().advance(DAY * 30 - MINUTE * 2);
    host.sigra.housekeeping().purge_expired().await.unwrap();
    assert!(is_trusted(&host, &browser, &user).await);
    host.clock().advance(MINUTE);
    assert!(!is_trusted(&host, &browser, &user).await);
    assert!(host.sigra.trusted_browsers().list(&user.id).await.unwrap().is_empty());
    host.sigra.housekeeping().purge_expired().await.unwrap();
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM users_tokens WHERE context = 'mfa_trust' AND user_id = $1")
            .bind(user.id)
            .fetch_one(&host.pool)
            .await
            .unwrap();
    assert_eq!(rows, 0);
}

#[tokio::test]
async fn one_of_several_trusted_browsers_can_be_removed() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let (kept, forgotten) = (trusted_browser(&host, &user).await, trusted_browser(&host, &user).await);
    let newest = host.sigra.trusted_browsers().list(&user.id).await.unwrap()[0].id;
    let client = sigra::Client::default();
    assert!(host.sigra.trusted_browsers().delete(&user.id, newest, &client).await.unwrap());
    assert!(!host.sigra.trusted_browsers().delete(&user.id, newest, &client).await.unwrap());
    assert!(is_trusted(&host, &kept, &user).await);
    assert!(!is_trusted(&host, &forgotten, &user).await);
}

#[tokio::test]
async fn one_browser_can_be_trusted_by_several_users() {
    let host = Host::new().await;
    let ((ada, _), (grace, _)) = (host.mfa_fixture().await, host.mfa_fixture().await);
    let browser = trusted_browser(&host, &ada).await;
    host.post_log_in(&browser, &grace, false).await;
    assert_status(&answer_and_trust(&browser, &host.totp_code(&grace).await).await, 200);
    assert!(is_trusted(&host, &browser, &ada).await && is_trusted(&host, &browser, &grace).await);
}

/// GHSA-h6mp-mc7g-mg49: a trust cookie was not verified.
#[tokio::test]
async fn a_forged_trust_cookie_is_ignored() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let browser = trusted_browser(&host, &user).await;
    let good = browser.cookie(TRUST).unwrap();
    let (_, unsigned) = good.split_at(44);
    let elsewhere = host.restart(|_| with_secrets(&host, "b", &[])).await;
    let signed_elsewhere = host.client();
    elsewhere.trust_browser(&signed_elsewhere, &user).await;
    let session = host.client();
    host.post_log_in(&session, &host.registered_fixture().await, false).await;

    for forged in [
        unsigned,
        &good[1..],
        &good[..good.len() - 1],
        &format!("{}{unsigned}", &session.cookie(KEY).unwrap()[..44]),
        &signed_elsewhere.cookie(TRUST).unwrap(),
        &session.cookie(KEY).unwrap(),
        "",
    ] {
        let attacker = host.client();
        attacker.set_cookie(TRUST, forged);
        assert!(!is_trusted(&host, &attacker, &user).await, "{forged}");
    }
    assert!(is_trusted(&host, &browser, &user).await);
}

#[tokio::test]
async fn every_change_of_credentials_revokes_trusted_browsers() {
    let host = Host::with(|config| config.rate_limits(false)).await;
    for change in ["password", "new app", "new codes", "revoked"] {
        let (user, _) = host.mfa_fixture().await;
        let browser = trusted_browser(&host, &user).await;
        let (elsewhere, client) = (with_password(&host, &user).await, sigra::Client::default());
        assert_status(&answer(&elsewhere, &host.totp_code(&user).await).await, 200);
        assert!(is_trusted(&host, &browser, &user).await);
        match change {
            "password" => {
                let mut tx = host.sigra.begin().await.unwrap();
                let revoked = host.sigra.sessions().end_all_access_in(&mut tx, &user.id, None).await.unwrap();
                tx.commit().await.unwrap();
                host.sigra.sessions().announce(revoked);
            }
            "new app" => drop(enroll(&host, &elsewhere).await),
            "new codes" => assert_status(&elsewhere.post("/mfa/codes", &[]).await, 200),
            _ => {
                let id = host.sigra.trusted_browsers().list(&user.id).await.unwrap()[0].id;
                let (stranger, _) = host.mfa_fixture().await;
                assert!(!host.sigra.trusted_browsers().delete(&stranger.id, id, &client).await.unwrap());
                assert!(host.sigra.trusted_browsers().delete(&user.id, id, &client).await.unwrap());
                assert_audit_event(host.sigra(), &user, audit::BROWSER_DISTRUSTED).await;
            }
        }
        assert!(!is_trusted(&host, &browser, &user).await, "{change}");
    }
}

#[tokio::test]
async fn a_login_on_a_browser_trusted_a_day_ago_is_not_in_sudo_mode() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let browser = trusted_browser(&host, &user).await;
    host.clock().advance(DAY);
    host.post_log_in(&browser, &user, false).await;
    assert_eq!(who(&browser).await, user.email);
    assert_redirected_to(&browser.get("/sudo").await, "/users/sudo");
    assert_redirected_to(&browser.get("/mfa").await, "/users/sudo");
    assert_status(&browser.post("/sudo-code", &[("code", &host.totp_code(&user).await)]).await, 200);
    assert_status(&browser.get("/sudo").await, 200);
}

#[tokio::test]
async fn sudo_mode_requires_the_second_factor_of_a_user_who_has_one() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_complete_fixture().await;
    host.clock().advance(MINUTE * 20);
    assert_redirected_to(&browser.get("/sudo").await, "/users/sudo");
    let by_password = browser.post("/confirm", &[]).await;
    assert_problem(&by_password, 403);
    assert_redirected_to(&browser.get("/sudo").await, "/users/sudo");

    let stolen = browser.fork();
    assert_status(&browser.post("/sudo-code", &[("code", "000000")]).await, 422);
    assert_status(&browser.post("/sudo-code", &[("code", &host.totp_code(&user).await)]).await, 200);
    assert_status(&browser.get("/sudo").await, 200);
    assert_eq!(who(&stolen).await, "anonymous", "the old token is invalid");
    assert_audit_event(host.sigra(), &user, "auth.reauthentication.success").await;
}

#[tokio::test]
async fn the_first_factor_ends_other_sessions_and_creates_backup_codes() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let other = host.log_in(&user).await;
    let before = browser.cookie(KEY);

    assert_eq!(
        browser.get("/mfa").await.text(),
        browser.get("/mfa").await.text(),
        "the key stays the same until it is confirmed"
    );
    assert_status(&browser.post("/mfa", &[("code", "000000")]).await, 422);
    assert!(!host.sigra.mfa().list(&user.id).await.unwrap().is_any());
    assert_eq!(who(&other).await, user.email);

    let codes = enroll(&host, &browser).await;
    assert_eq!(codes.lines().count(), 10);
    assert_ne!(browser.cookie(KEY), before);
    assert_eq!(who(&browser).await, user.email);
    assert_eq!(who(&other).await, "anonymous");
    assert!(host.sigra.mfa().list(&user.id).await.unwrap().totp.is_some());
    assert_audit_event(host.sigra(), &user, audit::TOTP_ENABLED).await;

    let used = host.totp_code(&user).await;
    let pending = with_password(&host, &user).await;
    assert_status(&answer(&pending, &used).await, 422);
    host.clock().advance(STEP);
    assert_eq!(enroll(&host, &browser).await, "", "another app creates no new backup codes");
    assert_redirected_to(&pending.get("/mfa-challenge").await, "/users/log-in");
    assert_status(&answer(&with_password(&host, &user).await, codes.lines().next().unwrap()).await, 200);
}

/// The entries with keys of apps that are being set up.
fn unconfirmed_keys(browser: &TestClient) -> Vec<(String, String)> {
    let mut cookies = browser.cookies();
    cookies.retain(|(name, _)| name.starts_with(&format!("{KEY}.totp-")));
    cookies
}

/// A user who scanned either key must not be told that the code is wrong.
#[tokio::test]
async fn keys_shown_by_two_tabs_at_once_are_valid_until_one_is_confirmed() {
    let host = Host::new().await;
    for confirmed in 0..2 {
        let (_, browser) = host.authenticated_fixture().await;
        let tabs = [browser.fork(), browser.fork()];
        let mut keys = Vec::new();
        for tab in &tabs {
            let page = tab.send_without_storing(get_request("/mfa")).await;
            keys.push(page.text());
            browser.store(&page);
        }
        assert_ne!(keys[0], keys[1]);
        assert!(keys.contains(&browser.get("/mfa").await.text()), "a page that is opened later shows one of the keys");
        let codes = keys.iter().map(|key| code_of(key, &host)).collect::<Vec<_>>();
        assert_status(&browser.post("/mfa", &[("code", &codes[confirmed])]).await, 200);
        assert!(unconfirmed_keys(&browser).is_empty());
        assert_status(&browser.post("/mfa", &[("code", &codes[1 - confirmed])]).await, 422);
    }
}

#[tokio::test]
async fn an_unconfirmed_key_is_valid_only_for_its_user_and_browser() {
    let host = Host::new().await;
    let (_, adas) = host.authenticated_fixture().await;
    let (_, graces) = host.authenticated_fixture().await;
    let key = adas.get("/mfa").await.text();
    graces.get("/mfa").await;
    let (name, entry) = unconfirmed_keys(&adas).pop().unwrap();
    assert!(!entry.contains(&key.replace(' ', "")));
    graces.set_cookie(&name, &entry);
    assert_status(&graces.post("/mfa", &[("code", &code_of(&key, &host))]).await, 422);
    assert_status(&host.log_in(&host.registered_fixture().await).await.post("/mfa", &[("code", "123456")]).await, 422);
}

#[tokio::test]
async fn disabling_the_last_factor_ends_sessions_that_wait_for_it() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_complete_fixture().await;
    let pending = with_password(&host, &user).await;
    host.clock().advance(MINUTE * 20);
    assert_redirected_to(&browser.post("/mfa/disable", &[]).await, "/users/sudo");
    assert!(host.sigra.mfa().list(&user.id).await.unwrap().is_any(), "disabling an app requires sudo mode");
    assert_status(&browser.post("/sudo-code", &[("code", &host.totp_code(&user).await)]).await, 200);
    let pending_now = with_password(&host, &user).await;
    let stolen = browser.fork();
    assert_status(&browser.post("/mfa/disable", &[]).await, 200);
    assert_eq!(who(&stolen).await, "anonymous");
    for pending in [pending, pending_now] {
        assert_redirected_to(&pending.get("/mfa-challenge").await, "/users/log-in");
    }
    let factors = host.sigra.mfa().list(&user.id).await.unwrap();
    assert!(!factors.is_any() && factors.backup_codes == 0);
    assert_status(&browser.post("/mfa/disable", &[]).await, 422);
    assert_status(&browser.post("/mfa/codes", &[]).await, 422);
    assert_audit_event(host.sigra(), &user, audit::TOTP_DISABLED).await;
    assert_redirected_to(&host.post_log_in(&host.client(), &user, false).await, "/");
}

#[tokio::test]
async fn a_user_who_requires_a_second_factor_has_no_access_before_setting_one_up() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    assert_eq!(who(&browser).await, user.email);
    host.execute("UPDATE users SET admin = true").await;

    assert_eq!(who(&browser).await, "anonymous");
    assert!(host.sigra.fetch_session(&token(&browser)).await.unwrap().is_none());
    for path in ["/me", "/sudo", "/passkeys/sudo"] {
        assert_redirected_to(&browser.get(path).await, "/mfa");
        assert_problem(&browser.fork().json().get(path).await, 403);
    }
    for path in ["/me", "/confirm", "/renew", "/mfa/disable"] {
        assert_status(&browser.post(path, &[]).await, 403);
    }
    assert_redirected_to(&browser.get("/mfa-challenge").await, "/");

    let later = browser.fork();
    host.clock().advance(MINUTE * 20);
    assert_redirected_to(&later.get("/mfa").await, "/users/log-in");
    assert_redirected_to(&host.post_log_in(&later, &user, false).await, "/mfa");
    let browser = later;
    enroll(&host, &browser).await;
    assert_eq!(who(&browser).await, user.email);
    assert_problem(&browser.post("/mfa/disable", &[]).await, 403);
    assert!(host.sigra.mfa().list(&user.id).await.unwrap().is_any(), "the last factor is kept");
    assert_eq!(who(&browser).await, user.email);
}

/// A session that was verified by a removed factor counts as unverified.
#[tokio::test]
async fn a_user_who_disabled_the_second_factor_sets_one_up_again_once_it_is_required() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_complete_fixture().await;
    assert_status(&browser.post("/mfa/disable", &[]).await, 200);
    assert_eq!(who(&browser).await, user.email);
    host.execute("UPDATE users SET admin = true").await;
    assert_eq!(who(&browser).await, "anonymous");
    assert_redirected_to(&browser.get("/me").await, "/mfa");
}

/// Every login either ends when the factor is set up, or must present it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_11_no_concurrent_login_bypasses_a_factor_that_is_being_set_up() {
    let host = Arc::new(Host::with(|config| config.rate_limits(false)).await);
    for _ in 0..20 {
        let (user, browser) = host.authenticated_fixture().await;
        let key = browser.get("/mfa").await.text();
        let code = code_of(&key, &host);
        let mut logins = JoinSet::new();
        for _ in 0..8 {
            let (host, user) = (host.clone(), user.clone());
            logins.spawn(async move {
                let browser = host.client();
                host.post_log_in(&browser, &user, false).await;
                browser
            });
        }
        assert_status(&browser.post("/mfa", &[("code", &code)]).await, 200);
        for other in logins.join_all().await {
            assert_eq!(who(&other).await, "anonymous");
        }
        let open: Vec<SessionId> =
            host.sigra.sessions().list(&user.id).await.unwrap().iter().map(|session| session.id).collect();
        assert_eq!(open.len(), 1, "only the session that set up the factor");
    }
}

#[tokio::test]
async fn sessions_created_without_a_browser_wait_for_the_second_factor() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let (token, row) = host.sigra.create_session(&user, RememberMe::No, &sigra::Client::default()).await.unwrap();
    assert!(row.mfa_pending);
    assert!(host.sigra.fetch_session(&token).await.unwrap().is_none());
}

#[tokio::test]
async fn invariant_1_the_database_contains_no_secret_of_a_second_factor() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let key = browser.get("/mfa").await.text();
    let codes = enroll(&host, &browser).await;
    host.clock().advance(STEP);
    let trusting = with_password(&host, &user).await;
    assert_status(&answer_and_trust(&trusting, &host.totp_code(&user).await).await, 200);

    let base32 = key.replace(' ', "");
    let secret = totp_rs::Secret::try_from_base32(&base32).unwrap();
    let trust = trusting.cookie(TRUST).unwrap()[44..].to_owned();
    let mut secrets = vec![base32.into_bytes(), secret.as_bytes().to_vec(), trust.into_bytes()];
    secrets.extend(codes.lines().map(|code| code.as_bytes().to_vec()));
    secrets.extend(codes.lines().map(|code| code.replace('-', "").into_bytes()));
    for file in host.database_files().await {
        for secret in &secrets {
            let found = file.windows(secret.len()).any(|window| window.eq_ignore_ascii_case(secret));
            assert!(!found, "{}", String::from_utf8_lossy(secret));
        }
    }
}

#[tokio::test]
async fn secrets_of_second_factors_can_be_encrypted_with_a_rotated_key() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let rotated = host.restart(|_| with_secrets(&host, "b", &["a"])).await;
    assert_status(&answer(&with_password(&rotated, &user).await, &host.totp_code(&user).await).await, 200);
    host.clock().advance(STEP);

    let too_early = host.restart(|_| with_secrets(&host, "b", &[])).await;
    let code = host.totp_code(&user).await;
    assert_status(&answer(&with_password(&too_early, &user).await, &code).await, 422);

    for (host, secrets) in [(&rotated, 1), (&rotated, 0), (&too_early, 0)] {
        let done = host.sigra.housekeeping().reencrypt_secrets().await.unwrap();
        assert_eq!((done.secrets, done.unreadable), (secrets, 0));
    }
    assert_status(&answer(&with_password(&too_early, &user).await, &code).await, 200);
}

/// An attacker who can write to the database, but doesn't know the key, can't use their own app for another account.
#[tokio::test]
async fn a_secret_copied_to_another_users_row_is_refused() {
    let host = Host::new().await;
    let ((grace, _), (mallory, _)) = (host.mfa_fixture().await, host.mfa_fixture().await);
    let swap = "UPDATE users_totp SET last_step = 0, secret = (SELECT secret FROM users_totp WHERE user_id = $1)
        WHERE user_id = $2";
    sqlx::query(swap).bind(mallory.id).bind(grace.id).execute(&host.pool).await.unwrap();
    let code = host.totp_code(&mallory).await;
    assert_status(&answer(&with_password(&host, &grace).await, &code).await, 422);
    assert_status(&answer(&with_password(&host, &mallory).await, &code).await, 200);
}

/// There are more unreadable secrets than fit in one batch, and the rotation must still reach the others.
#[tokio::test]
async fn unreadable_secrets_do_not_stop_the_rotation_of_others() {
    let host = Host::new().await;
    host.mfa_fixture().await;
    for _ in 0..50 {
        let lost = host.registered_fixture().await;
        let insert = "INSERT INTO users_totp (user_id, secret, last_step, last_used_at, inserted_at)
            SELECT $1, $2, last_step, last_used_at, inserted_at FROM users_totp LIMIT 1";
        sqlx::query(insert).bind(lost.id).bind(&b"lost"[..]).execute(&host.pool).await.unwrap();
    }
    host.mfa_fixture().await;
    let rotated = host.restart(|_| with_secrets(&host, "b", &["a"])).await;
    let done = rotated.sigra.housekeeping().reencrypt_secrets().await.unwrap();
    assert_eq!((done.secrets, done.unreadable), (2, 50));
}

/// The host's settings with other secrets.
fn with_secrets(host: &Host, newest: &str, older: &[&str]) -> sigra::Config {
    sigra::Config::new("my_app", secret(newest))
        .older_secrets(older.iter().map(|letter| secret(letter)))
        .argon2(sigra::config::Argon2Params::INSECURE_FOR_TESTS)
        .mfa_challenge_page("/mfa-challenge", || "Second factor, please.")
        .clock(host.clock().clone())
}

#[tokio::test]
async fn a_deleted_or_suspended_user_cannot_complete_a_login() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_pending_fixture().await;
    let code = host.totp_code(&user).await;
    host.execute("UPDATE users SET suspended = true").await;
    assert_status(&answer(&browser, &code).await, 401);

    let (user, browser) = host.mfa_pending_fixture().await;
    let code = host.totp_code(&user).await;
    host.execute("DELETE FROM users").await;
    assert_status(&answer(&browser, &code).await, 401);
    assert_eq!(sessions(&host).await, 0);
}

#[tokio::test]
async fn a_backup_code_cannot_be_used_to_create_new_backup_codes() {
    let host = Host::new().await;
    let (user, codes) = host.mfa_fixture().await;
    let codes: Vec<String> = codes.iter().map(|code| code.to_string()).collect();
    let browser = with_password(&host, &user).await;
    assert_status(&answer_and_trust(&browser, &codes[0]).await, 200);
    assert_problem(&browser.post("/mfa/codes", &[]).await, 403);
    // Neither can a trusted browser whose trust it confirmed.
    browser.post("/log-out", &[]).await;
    assert_redirected_to(&host.post_log_in(&browser, &user, false).await, "/");
    assert_problem(&browser.post("/mfa/codes", &[]).await, 403);
    // Neither can a new app, whose code hasn't been entered at a login.
    enroll(&host, &browser).await;
    assert_problem(&browser.post("/mfa/codes", &[]).await, 403);
    assert_eq!(host.sigra.mfa().list(&user.id).await.unwrap().backup_codes, 9);

    host.clock().advance(STEP);
    assert_status(&browser.post("/sudo-code", &[("code", &host.totp_code(&user).await)]).await, 200);
    assert_eq!(browser.post("/mfa/codes", &[]).await.text().lines().count(), 10);
    assert_status(&browser.post("/sudo-code", &[("code", &codes[1])]).await, 422);
}

#[tokio::test]
async fn deleting_a_session_revokes_the_trust_of_its_browser() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let browser = trusted_browser(&host, &user).await;
    assert_redirected_to(&host.post_log_in(&browser, &user, false).await, "/");
    let session = host.sigra.fetch_session(&token(&browser)).await.unwrap().expect("logged in").session().id;
    assert!(host.sigra.sessions().delete(&user.id, session).await.unwrap());
    assert_eq!(who(&browser).await, "anonymous");
    assert!(!is_trusted(&host, &browser, &user).await);
    assert!(host.sigra.trusted_browsers().list(&user.id).await.unwrap().is_empty());

    // The same for the session in which the browser was trusted.
    let browser = with_password(&host, &user).await;
    host.clock().advance(STEP);
    assert_status(&answer_and_trust(&browser, &host.totp_code(&user).await).await, 200);
    let session = host.sigra.fetch_session(&token(&browser)).await.unwrap().expect("logged in").session().id;
    assert!(host.sigra.sessions().delete(&user.id, session).await.unwrap());
    assert!(!is_trusted(&host, &browser, &user).await);
}

#[tokio::test]
async fn a_browser_stays_trusted_after_its_session_expires() {
    let host = Host::with(|config| config.session_idle_timeout(Some(30 * MINUTE))).await;
    let (user, _) = host.mfa_fixture().await;
    let browser = trusted_browser(&host, &user).await;
    assert_redirected_to(&host.post_log_in(&browser, &user, false).await, "/");
    host.clock().advance(31 * MINUTE);
    assert_eq!(who(&browser).await, "anonymous");
    assert!(is_trusted(&host, &browser, &user).await);
}

#[tokio::test]
async fn deleting_all_other_sessions_revokes_the_trust_of_their_browsers() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let (here, there) = (trusted_browser(&host, &user).await, trusted_browser(&host, &user).await);
    assert_redirected_to(&host.post_log_in(&here, &user, false).await, "/");
    let scope = host.sigra.fetch_session(&token(&here)).await.unwrap().expect("logged in");
    host.sigra.sessions().delete_others(&scope).await.unwrap();
    assert!(is_trusted(&host, &here, &user).await);
    assert!(!is_trusted(&host, &there, &user).await);
}
