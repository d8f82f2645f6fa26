//! The second factor, as an attacker would try to do without.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::http::StatusCode;
use sigra::{
    Clock, SessionId, audit,
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

/// A browser that shows the password, on the way to the challenge.
async fn with_password(host: &Host, user: &User) -> TestClient {
    let browser = host.client();
    assert_redirected_to(&host.post_log_in(&browser, user, false).await, "/mfa-challenge");
    browser
}

/// A browser that the user has trusted, and is logged out of.
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
        elsewhere => panic!("led to {elsewhere:?}"),
    }
}

/// Sets up an authenticator app through the pages. Gives its codes, or an empty string if there were codes before.
async fn enrol(host: &Host, browser: &TestClient) -> String {
    let key = browser.get("/mfa").await.text();
    let code = code_of(&key, host);
    let answer = browser.post("/mfa", &[("code", &code)]).await;
    assert_status(&answer, 200);
    answer.text()
}

/// What an app shows that has this key.
fn code_of(manual_key: &str, host: &Host) -> String {
    let secret = totp_rs::Secret::try_from_base32(manual_key.replace(' ', "")).expect("a key");
    let totp = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    totp.generate(host.clock().now().unix_timestamp().unsigned_abs()).to_string()
}

async fn sessions(host: &Host) -> i64 {
    let count = "SELECT count(*) FROM users_tokens WHERE context = 'session'";
    sqlx::query_scalar(count).fetch_one(&host.pool).await.expect("a number")
}

#[tokio::test]
async fn invariant_12_a_pending_second_factor_reaches_nothing_but_the_challenge_and_log_out() {
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
    assert!(host.sigra.sessions().list(&user.id).await.unwrap().is_empty(), "it is no device of the user's");
    assert_eq!(browser.get("/mfa-challenge").await.text(), user.email);
    assert_eq!(browser.get("/mfa-challenge").await.header("cache-control"), Some("no-store"));

    assert_redirected_to(&browser.post("/log-out", &[]).await, "/");
    assert_redirected_to(&browser.get("/mfa-challenge").await, "/users/log-in");
}

#[tokio::test]
async fn the_code_completes_the_log_in_and_leads_back() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let browser = host.client();
    browser.get("/me?from=a+mail").await;
    let log_in = host.post_log_in(&browser, &user, true).await;
    assert_redirected_to(&log_in, "/mfa-challenge");
    assert_eq!(browser.cookie(REMEMBER_ME), None, "nothing is remembered before the second factor");
    let (before, pending) = (browser.cookie(KEY), browser.fork());

    let wrong = answer(&browser, "000000").await;
    assert_status(&wrong, 422);
    assert_eq!(browser.cookie(KEY), before, "a wrong code changes nothing");
    assert_status(&answer(&browser, &host.totp_code(&user).await).await, 200);

    // CVE-2023-46733: what was good before the second factor is dead after it.
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
async fn a_pending_second_factor_waits_ten_minutes() {
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
    assert_eq!(host.sigra.housekeeping().purge_expired().await.unwrap(), 1, "the one that was given up");
    assert_eq!(who(&complete).await, user.email);
}

/// CVE-2021-43177: a code that was used is good no more, as long as it is shown and after.
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

/// A code that was used while a clock was ahead would refuse all codes until that time has come.
#[tokio::test]
async fn a_clock_that_was_ahead_keeps_no_code_from_being_good() {
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
async fn a_code_of_the_step_before_is_good_and_others_are_not() {
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
async fn invariant_10_of_many_who_use_a_code_at_once_one_gets_in() {
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
async fn backup_codes_work_once_each_and_new_ones_replace_them() {
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

/// CVE-2026-76213: the attempts are the account's, and showing the password again gives no more of them.
#[tokio::test]
async fn wrong_codes_are_counted_over_all_sessions() {
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

/// Whoever has the password can slow the codes of new browsers down. The owner's own stay as quick as they were.
#[tokio::test]
async fn a_browser_that_has_set_a_factor_up_is_not_slowed_down_by_others() {
    let host = Host::new().await;
    let (user, owners) = host.authenticated_fixture().await;
    enrol(&host, &owners).await;
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
async fn a_trusted_browser_needs_the_password_alone_for_thirty_days() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let browser = trusted_browser(&host, &user).await;
    assert!(is_trusted(&host, &browser, &user).await);
    assert!(!is_trusted(&host, &host.client(), &user).await);

    let (stranger, _) = host.mfa_fixture().await;
    assert!(!is_trusted(&host, &browser, &stranger).await, "trust is one user's");
    let strangers = trusted_browser(&host, &stranger).await;
    let stolen = host.client();
    stolen.set_cookie(TRUST, &strangers.cookie(TRUST).unwrap());
    assert!(!is_trusted(&host, &stolen, &user).await, "another user's trust is of no use");

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
async fn of_several_trusted_browsers_one_can_be_forgotten() {
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
async fn one_browser_is_trusted_by_several_users() {
    let host = Host::new().await;
    let ((ada, _), (grace, _)) = (host.mfa_fixture().await, host.mfa_fixture().await);
    let browser = trusted_browser(&host, &ada).await;
    host.post_log_in(&browser, &grace, false).await;
    assert_status(&answer_and_trust(&browser, &host.totp_code(&grace).await).await, 200);
    assert!(is_trusted(&host, &browser, &ada).await && is_trusted(&host, &browser, &grace).await);
}

/// GHSA-h6mp-mc7g-mg49: trust that was not signed by us.
#[tokio::test]
async fn a_forged_trust_is_none() {
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
async fn trust_ends_with_every_change_of_credentials() {
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
                let revoked = host.sigra.email_tokens().delete_all_in(&mut tx, &user.id, None).await.unwrap();
                tx.commit().await.unwrap();
                host.sigra.sessions().announce(revoked);
            }
            "new app" => drop(enrol(&host, &elsewhere).await),
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
async fn a_session_of_a_trusted_browser_is_in_sudo_mode_only_as_long_as_the_trust_is_fresh() {
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
async fn sudo_mode_takes_the_second_factor_of_who_has_one() {
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
    assert_eq!(who(&stolen).await, "anonymous", "the token from before is dead");
    assert_audit_event(host.sigra(), &user, "auth.reauthentication.success").await;
}

#[tokio::test]
async fn the_first_factor_ends_what_was_opened_without_and_gives_codes() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let other = host.log_in(&user).await;
    let before = browser.cookie(KEY);

    assert_eq!(
        browser.get("/mfa").await.text(),
        browser.get("/mfa").await.text(),
        "the same key, until it is confirmed"
    );
    assert_status(&browser.post("/mfa", &[("code", "000000")]).await, 422);
    assert!(!host.sigra.mfa().list(&user.id).await.unwrap().is_any());
    assert_eq!(who(&other).await, user.email);

    let codes = enrol(&host, &browser).await;
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
    assert_eq!(enrol(&host, &browser).await, "", "another app, and the same codes");
    assert_redirected_to(&pending.get("/mfa-challenge").await, "/users/log-in");
    assert_status(&answer(&with_password(&host, &user).await, codes.lines().next().unwrap()).await, 200);
}

/// The entries that hold the keys of apps that are being set up.
fn under_way(browser: &TestClient) -> Vec<(String, String)> {
    let mut cookies = browser.cookies();
    cookies.retain(|(name, _)| name.starts_with(&format!("{KEY}.totp-")));
    cookies
}

/// Whoever has scanned one of them must not be told that its code is wrong.
#[tokio::test]
async fn keys_that_two_tabs_show_at_the_same_moment_are_both_good_until_one_is_confirmed() {
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
        assert!(keys.contains(&browser.get("/mfa").await.text()), "a page that is opened later shows one of them");
        let codes = keys.iter().map(|key| code_of(key, &host)).collect::<Vec<_>>();
        assert_status(&browser.post("/mfa", &[("code", &codes[confirmed])]).await, 200);
        assert!(under_way(&browser).is_empty());
        assert_status(&browser.post("/mfa", &[("code", &codes[1 - confirmed])]).await, 422);
    }
}

#[tokio::test]
async fn a_key_under_way_is_one_users_in_one_browser() {
    let host = Host::new().await;
    let (_, adas) = host.authenticated_fixture().await;
    let (_, graces) = host.authenticated_fixture().await;
    let key = adas.get("/mfa").await.text();
    graces.get("/mfa").await;
    let (name, entry) = under_way(&adas).pop().unwrap();
    assert!(!entry.contains(&key.replace(' ', "")));
    graces.set_cookie(&name, &entry);
    assert_status(&graces.post("/mfa", &[("code", &code_of(&key, &host))]).await, 422);
    assert_status(&host.log_in(&host.registered_fixture().await).await.post("/mfa", &[("code", "123456")]).await, 422);
}

#[tokio::test]
async fn giving_up_the_last_factor_ends_what_waits_for_it() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_complete_fixture().await;
    let pending = with_password(&host, &user).await;
    host.clock().advance(MINUTE * 20);
    assert_redirected_to(&browser.post("/mfa/disable", &[]).await, "/users/sudo");
    assert!(host.sigra.mfa().list(&user.id).await.unwrap().is_any(), "it takes sudo mode");
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
async fn who_must_have_a_second_factor_can_do_nothing_before_setting_one_up() {
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
    enrol(&host, &browser).await;
    assert_eq!(who(&browser).await, user.email);
    assert_problem(&browser.post("/mfa/disable", &[]).await, 403);
    assert!(host.sigra.mfa().list(&user.id).await.unwrap().is_any(), "the last factor stays");
    assert_eq!(who(&browser).await, user.email);
}

/// What was verified by a factor that is gone stands for none.
#[tokio::test]
async fn who_gave_their_factor_up_and_must_have_one_later_sets_another_up() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_complete_fixture().await;
    assert_status(&browser.post("/mfa/disable", &[]).await, 200);
    assert_eq!(who(&browser).await, user.email);
    host.execute("UPDATE users SET admin = true").await;
    assert_eq!(who(&browser).await, "anonymous");
    assert_redirected_to(&browser.get("/me").await, "/mfa");
}

/// A factor that is being set up is asked of every log-in that isn't ended by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_11_no_log_in_slips_past_a_factor_that_is_being_set_up() {
    let host = Arc::new(Host::with(|config| config.rate_limits(false)).await);
    for _ in 0..20 {
        let (user, browser) = host.authenticated_fixture().await;
        let key = browser.get("/mfa").await.text();
        let code = code_of(&key, &host);
        let mut log_ins = JoinSet::new();
        for _ in 0..8 {
            let (host, user) = (host.clone(), user.clone());
            log_ins.spawn(async move {
                let browser = host.client();
                host.post_log_in(&browser, &user, false).await;
                browser
            });
        }
        assert_status(&browser.post("/mfa", &[("code", &code)]).await, 200);
        for other in log_ins.join_all().await {
            assert_eq!(who(&other).await, "anonymous");
        }
        let open: Vec<SessionId> =
            host.sigra.sessions().list(&user.id).await.unwrap().iter().map(|session| session.id).collect();
        assert_eq!(open.len(), 1, "the one that set it up");
    }
}

#[tokio::test]
async fn sessions_without_a_browser_wait_for_the_second_factor_too() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let (token, row) = host.sigra.create_session(&user, false, &sigra::Client::default()).await.unwrap();
    assert!(row.mfa_pending);
    assert!(host.sigra.fetch_session(&token).await.unwrap().is_none());
}

#[tokio::test]
async fn invariant_1_no_secret_of_a_second_factor_is_in_the_database() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let key = browser.get("/mfa").await.text();
    let codes = enrol(&host, &browser).await;
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
async fn keys_are_rotated_and_secrets_follow() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let rotated = host.restart(|_| with_secrets(&host, "b", &["a"])).await;
    assert_status(&answer(&with_password(&rotated, &user).await, &host.totp_code(&user).await).await, 200);
    host.clock().advance(STEP);

    let too_early = host.restart(|_| with_secrets(&host, "b", &[])).await;
    let code = host.totp_code(&user).await;
    assert_status(&answer(&with_password(&too_early, &user).await, &code).await, 422);

    assert_eq!(rotated.sigra.housekeeping().reencrypt_secrets().await.unwrap(), 1);
    assert_eq!(rotated.sigra.housekeeping().reencrypt_secrets().await.unwrap(), 0);
    assert_eq!(too_early.sigra.housekeeping().reencrypt_secrets().await.unwrap(), 0);
    assert_status(&answer(&with_password(&too_early, &user).await, &code).await, 200);
}

/// Whoever can write to the database, but not read the key, gives their own app to nobody else.
#[tokio::test]
async fn a_secret_opens_no_other_account() {
    let host = Host::new().await;
    let ((grace, _), (mallory, _)) = (host.mfa_fixture().await, host.mfa_fixture().await);
    let swap = "UPDATE users_totp SET last_step = 0, secret = (SELECT secret FROM users_totp WHERE user_id = $1)
        WHERE user_id = $2";
    sqlx::query(swap).bind(mallory.id).bind(grace.id).execute(&host.pool).await.unwrap();
    let code = host.totp_code(&mallory).await;
    assert_status(&answer(&with_password(&host, &grace).await, &code).await, 422);
    assert_status(&answer(&with_password(&host, &mallory).await, &code).await, 200);
}

/// A key was lost once, with more secrets than are looked at together. The next rotation is to reach the others.
#[tokio::test]
async fn secrets_that_nobody_can_read_keep_no_other_from_being_rotated() {
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
    assert_eq!(rotated.sigra.housekeeping().reencrypt_secrets().await.unwrap(), 2);
}

/// The host's settings under another secret.
fn with_secrets(host: &Host, newest: &str, older: &[&str]) -> sigra::Config {
    sigra::Config::new("my_app", secret(newest))
        .older_secrets(older.iter().map(|letter| secret(letter)))
        .argon2(sigra::config::Argon2Params::INSECURE_FOR_TESTS)
        .mfa_challenge_at("/mfa-challenge", "Second factor, please.")
        .clock(host.clock().clone())
}

#[tokio::test]
async fn a_user_who_is_gone_or_suspended_completes_nothing() {
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
async fn a_backup_code_makes_no_new_backup_codes() {
    let host = Host::new().await;
    let (user, codes) = host.mfa_fixture().await;
    let codes: Vec<String> = codes.iter().map(|code| code.to_string()).collect();
    let browser = with_password(&host, &user).await;
    assert_status(&answer_and_trust(&browser, &codes[0]).await, 200);
    assert_problem(&browser.post("/mfa/codes", &[]).await, 403);
    // Nor does the trust that was given with it.
    browser.post("/log-out", &[]).await;
    assert_redirected_to(&host.post_log_in(&browser, &user, false).await, "/");
    assert_problem(&browser.post("/mfa/codes", &[]).await, 403);
    // Nor another app: what was set up was not shown.
    enrol(&host, &browser).await;
    assert_problem(&browser.post("/mfa/codes", &[]).await, 403);
    assert_eq!(host.sigra.mfa().list(&user.id).await.unwrap().backup_codes, 9);

    host.clock().advance(STEP);
    assert_status(&browser.post("/sudo-code", &[("code", &host.totp_code(&user).await)]).await, 200);
    assert_eq!(browser.post("/mfa/codes", &[]).await.text().lines().count(), 10);
    assert_status(&browser.post("/sudo-code", &[("code", &codes[1])]).await, 422);
}

#[tokio::test]
async fn ending_a_session_on_the_devices_page_ends_the_trust_of_its_browser() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let browser = trusted_browser(&host, &user).await;
    assert_redirected_to(&host.post_log_in(&browser, &user, false).await, "/");
    let session = host.sigra.fetch_session(&token(&browser)).await.unwrap().expect("logged in").session().id;
    assert!(host.sigra.sessions().delete(&user.id, session).await.unwrap());
    assert_eq!(who(&browser).await, "anonymous");
    assert!(!is_trusted(&host, &browser, &user).await);
    assert!(host.sigra.trusted_browsers().list(&user.id).await.unwrap().is_empty());

    // The one that trusted it, too.
    let browser = with_password(&host, &user).await;
    host.clock().advance(STEP);
    assert_status(&answer_and_trust(&browser, &host.totp_code(&user).await).await, 200);
    let session = host.sigra.fetch_session(&token(&browser)).await.unwrap().expect("logged in").session().id;
    assert!(host.sigra.sessions().delete(&user.id, session).await.unwrap());
    assert!(!is_trusted(&host, &browser, &user).await);
}

#[tokio::test]
async fn a_trusted_browser_outlives_the_end_of_its_session_in_time() {
    let host = Host::with(|config| config.session_idle_timeout(Some(30 * MINUTE))).await;
    let (user, _) = host.mfa_fixture().await;
    let browser = trusted_browser(&host, &user).await;
    assert_redirected_to(&host.post_log_in(&browser, &user, false).await, "/");
    host.clock().advance(31 * MINUTE);
    assert_eq!(who(&browser).await, "anonymous");
    assert!(is_trusted(&host, &browser, &user).await);
}

#[tokio::test]
async fn ending_all_other_sessions_ends_the_trust_of_all_other_browsers() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let (here, there) = (trusted_browser(&host, &user).await, trusted_browser(&host, &user).await);
    assert_redirected_to(&host.post_log_in(&here, &user, false).await, "/");
    let scope = host.sigra.fetch_session(&token(&here)).await.unwrap().expect("logged in");
    host.sigra.sessions().delete_others(&scope).await.unwrap();
    assert!(is_trusted(&host, &here, &user).await);
    assert!(!is_trusted(&host, &there, &user).await);
}
