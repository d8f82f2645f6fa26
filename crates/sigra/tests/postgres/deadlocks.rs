//! A transaction that PostgreSQL ends because of a deadlock is tried again, once.

use sigra::testing::{TestClient, TestHost, assert_redirected_to, assert_status};

use crate::suite::{
    authenticator::Authenticator,
    host::{Host, SECOND, who},
    passkeys::{challenge, send},
};

/// Makes the first statements that write tokens fail with `deadlock_detected`, as many as `refused` says.
const DEADLOCKS: &str = "
    CREATE SEQUENCE tries;
    CREATE TABLE refused (tries bigint NOT NULL);
    INSERT INTO refused VALUES (0);
    CREATE FUNCTION report_deadlock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('tries') <= (SELECT tries FROM refused) THEN RAISE 'go' USING ERRCODE = '40P01'; END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER report_deadlock BEFORE INSERT OR UPDATE OR DELETE ON users_tokens
        EXECUTE FUNCTION report_deadlock()";

async fn set_deadlocks(host: &Host, tries: i64) {
    sqlx::query("SELECT setval('tries', 1, false)").execute(&host.pool).await.unwrap();
    sqlx::query("UPDATE refused SET tries = $1").bind(tries).execute(&host.pool).await.unwrap();
}

/// Returns whether all of them were reported.
async fn had_deadlocks(host: &Host) -> bool {
    let refused = "SELECT is_called AND last_value > (SELECT tries FROM refused) FROM tries";
    sqlx::query_scalar(refused).fetch_one(&host.pool).await.unwrap()
}

/// Awaits work whose first transaction ends with a deadlock.
async fn after_deadlock<T>(host: &Host, action: &str, work: impl Future<Output = T>) -> T {
    set_deadlocks(host, 1).await;
    let done = work.await;
    assert!(had_deadlocks(host).await, "{action} writes no tokens, so it had no deadlock");
    set_deadlocks(host, 0).await;
    done
}

fn code_of(key: &str, host: &Host) -> String {
    let secret = totp_rs::Secret::try_from_base32(key.replace(' ', "")).unwrap();
    let app = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    app.generate(host.clock().now().unix_timestamp().unsigned_abs()).to_string()
}

async fn with_password(host: &Host, user: &crate::suite::host::User) -> TestClient {
    let browser = host.client();
    assert_redirected_to(&host.post_log_in(&browser, user, false).await, "/mfa-challenge");
    browser
}

#[tokio::test]
async fn logins_and_reauthentications_succeed_after_one_deadlock() {
    let host = Host::new().await;
    host.execute(DEADLOCKS).await;
    let (user, browser) = (host.registered_fixture().await, host.client());
    let response = after_deadlock(&host, "a login", host.post_log_in(&browser, &user, true)).await;
    assert_redirected_to(&response, "/");
    assert_eq!((who(&browser).await, host.rows().await), (user.email.clone(), 1));
    let known = "SELECT count(*) FROM users_tokens WHERE context = 'known_browser'";
    let known: i64 = sqlx::query_scalar(known).fetch_one(&host.pool).await.unwrap();
    assert_eq!(known, 1);
    for path in ["/confirm", "/renew"] {
        assert_status(&after_deadlock(&host, path, browser.post(path, &[])).await, 204);
    }
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn invariant_10_second_factors_succeed_after_one_deadlock_and_work_once() {
    const STEP: std::time::Duration = SECOND.saturating_mul(30);
    let host = Host::new().await;
    host.execute(DEADLOCKS).await;
    let (user, browser) = host.authenticated_fixture().await;

    let code = code_of(&browser.get("/mfa").await.text(), &host);
    let enrolled = after_deadlock(&host, "setting up an app", browser.post("/mfa", &[("code", &code)])).await;
    assert_status(&enrolled, 200);
    let codes: Vec<String> = enrolled.text().lines().map(str::to_owned).collect();
    assert_eq!(codes.len(), 10);

    host.clock().advance(STEP);
    let code = host.totp_code(&user).await;
    assert_status(
        &after_deadlock(&host, "reauthentication", browser.post("/sudo-code", &[("code", &code)])).await,
        200,
    );
    assert_status(&browser.post("/sudo-code", &[("code", &code)]).await, 422);

    let form = [("code", codes[0].as_str()), ("trust_browser", "true")];
    let other = with_password(&host, &user).await;
    assert_status(&after_deadlock(&host, "a challenge", other.post("/mfa-challenge", &form)).await, 200);
    assert_eq!(who(&other).await, user.email);
    assert_eq!(host.sigra.trusted_browsers().list(&user.id).await.unwrap().len(), 1);
    assert_eq!(host.sigra.mfa().list(&user.id).await.unwrap().backup_codes, 9);
    assert_status(&with_password(&host, &user).await.post("/mfa-challenge", &form).await, 422);

    let trusted = host.sigra.trusted_browsers().list(&user.id).await.unwrap()[0].id;
    let client = sigra::Client::default();
    assert!(
        after_deadlock(
            &host,
            "removing a trusted browser",
            host.sigra.trusted_browsers().delete(&user.id, trusted, &client)
        )
        .await
        .unwrap()
    );

    let made = after_deadlock(&host, "new codes", browser.post("/mfa/codes", &[])).await;
    assert_eq!(made.text().lines().count(), 10);
    assert_status(&after_deadlock(&host, "disabling the app", browser.post("/mfa/disable", &[])).await, 200);
    assert!(!host.sigra.mfa().list(&user.id).await.unwrap().is_any());
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn invariant_10_passkeys_succeed_after_one_deadlock_and_work_once() {
    let host = Host::new().await;
    host.execute(DEADLOCKS).await;
    let (user, browser) = host.authenticated_fixture().await;
    let mut authenticator = Authenticator::new();
    let answer = authenticator.register(&challenge(&browser, "/passkeys/register").await);
    assert_status(&after_deadlock(&host, "adding a passkey", send(&browser, "/passkeys/register", &answer)).await, 200);

    let answer = authenticator.sign(&challenge(&browser, "/passkeys/sudo").await);
    assert_status(&after_deadlock(&host, "reauthentication", send(&browser, "/passkeys/sudo", &answer)).await, 200);
    assert_status(&send(&browser, "/passkeys/sudo", &answer).await, 422);

    let other = with_password(&host, &user).await;
    let answer = authenticator.sign(&challenge(&other, "/passkeys/challenge").await);
    assert_status(&after_deadlock(&host, "a challenge", send(&other, "/passkeys/challenge", &answer)).await, 200);
    let other = host.client();
    let answer = authenticator.sign(&challenge(&other, "/passkeys/log-in").await);
    assert_status(&after_deadlock(&host, "a login", send(&other, "/passkeys/log-in", &answer)).await, 200);
    assert_eq!(who(&other).await, user.email);

    let passkey = host.sigra.mfa().list(&user.id).await.unwrap().passkeys[0].id;
    let path = format!("/passkeys/{passkey}/delete");
    assert_status(&after_deadlock(&host, "removing a passkey", browser.post(&path, &[])).await, 200);
    assert!(!host.sigra.mfa().list(&user.id).await.unwrap().is_any());
}

/// The second deadlock is a 503, and the code is not used up.
#[tokio::test]
async fn a_code_stays_valid_after_two_deadlocks() {
    let host = Host::new().await;
    host.execute(DEADLOCKS).await;
    let (user, codes) = host.mfa_fixture().await;
    let code = codes.iter().next().unwrap();
    let browser = with_password(&host, &user).await;
    set_deadlocks(&host, 2).await;
    assert_status(&browser.post("/mfa-challenge", &[("code", &code)]).await, 503);
    set_deadlocks(&host, 0).await;
    assert_status(&browser.post("/mfa-challenge", &[("code", &code)]).await, 200);
    assert_eq!(who(&browser).await, user.email);
}
