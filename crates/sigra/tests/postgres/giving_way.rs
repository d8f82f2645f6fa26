//! A transaction that PostgreSQL lets fail, so that another can go on, is tried once more.

use sigra::testing::{TestClient, TestHost, assert_redirected_to, assert_status};

use crate::suite::{
    authenticator::Authenticator,
    host::{Host, SECOND, who},
    passkeys::{challenge, send},
};

/// The first so many statements that write tokens are told that another transaction goes first.
const LET_OTHERS_GO_FIRST: &str = "
    CREATE SEQUENCE tries;
    CREATE TABLE refused (tries bigint NOT NULL);
    INSERT INTO refused VALUES (0);
    CREATE FUNCTION let_others_go_first() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('tries') <= (SELECT tries FROM refused) THEN RAISE 'go' USING ERRCODE = '40P01'; END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER let_others_go_first BEFORE INSERT OR UPDATE OR DELETE ON users_tokens
        EXECUTE FUNCTION let_others_go_first()";

async fn refuse(host: &Host, tries: i64) {
    sqlx::query("SELECT setval('tries', 1, false)").execute(&host.pool).await.unwrap();
    sqlx::query("UPDATE refused SET tries = $1").bind(tries).execute(&host.pool).await.unwrap();
}

/// Whether anything was refused since.
async fn was_refused(host: &Host) -> bool {
    let refused = "SELECT is_called AND last_value > (SELECT tries FROM refused) FROM tries";
    sqlx::query_scalar(refused).fetch_one(&host.pool).await.unwrap()
}

/// Does something that is refused once.
async fn again<T>(host: &Host, what: &str, done: impl Future<Output = T>) -> T {
    refuse(host, 1).await;
    let done = done.await;
    assert!(was_refused(host).await, "{what} writes no tokens: this shows nothing");
    refuse(host, 0).await;
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
async fn log_ins_and_confirmations_that_gave_way_are_done() {
    let host = Host::new().await;
    host.execute(LET_OTHERS_GO_FIRST).await;
    let (user, browser) = (host.registered_fixture().await, host.client());
    let response = again(&host, "a log-in", host.post_log_in(&browser, &user, true)).await;
    assert_redirected_to(&response, "/");
    assert_eq!((who(&browser).await, host.rows().await), (user.email.clone(), 1));
    let known = "SELECT count(*) FROM users_tokens WHERE context = 'known_browser'";
    let known: i64 = sqlx::query_scalar(known).fetch_one(&host.pool).await.unwrap();
    assert_eq!(known, 1);
    for path in ["/confirm", "/renew"] {
        assert_status(&again(&host, path, browser.post(path, &[])).await, 204);
    }
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn invariant_10_second_factors_that_gave_way_are_done_and_work_once() {
    const STEP: std::time::Duration = SECOND.saturating_mul(30);
    let host = Host::new().await;
    host.execute(LET_OTHERS_GO_FIRST).await;
    let (user, browser) = host.authenticated_fixture().await;

    let code = code_of(&browser.get("/mfa").await.text(), &host);
    let enrolled = again(&host, "setting up", browser.post("/mfa", &[("code", &code)])).await;
    assert_status(&enrolled, 200);
    let codes: Vec<String> = enrolled.text().lines().map(str::to_owned).collect();
    assert_eq!(codes.len(), 10);

    host.clock().advance(STEP);
    let code = host.totp_code(&user).await;
    assert_status(&again(&host, "sudo", browser.post("/sudo-code", &[("code", &code)])).await, 200);
    assert_status(&browser.post("/sudo-code", &[("code", &code)]).await, 422);

    let form = [("code", codes[0].as_str()), ("trust_browser", "true")];
    let other = with_password(&host, &user).await;
    assert_status(&again(&host, "a challenge", other.post("/mfa-challenge", &form)).await, 200);
    assert_eq!(who(&other).await, user.email);
    assert_eq!(host.sigra.trusted_browsers().list(&user.id).await.unwrap().len(), 1);
    assert_eq!(host.sigra.mfa().list(&user.id).await.unwrap().backup_codes, 9);
    assert_status(&with_password(&host, &user).await.post("/mfa-challenge", &form).await, 422);

    let trusted = host.sigra.trusted_browsers().list(&user.id).await.unwrap()[0].id;
    let client = sigra::Client::default();
    assert!(again(&host, "distrust", host.sigra.trusted_browsers().delete(&user.id, trusted, &client)).await.unwrap());

    let made = again(&host, "new codes", browser.post("/mfa/codes", &[])).await;
    assert_eq!(made.text().lines().count(), 10);
    assert_status(&again(&host, "giving up", browser.post("/mfa/disable", &[])).await, 200);
    assert!(!host.sigra.mfa().list(&user.id).await.unwrap().is_any());
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn invariant_10_passkeys_that_gave_way_are_done_and_work_once() {
    let host = Host::new().await;
    host.execute(LET_OTHERS_GO_FIRST).await;
    let (user, browser) = host.authenticated_fixture().await;
    let mut authenticator = Authenticator::new();
    let answer = authenticator.register(&challenge(&browser, "/passkeys/register").await);
    assert_status(&again(&host, "adding", send(&browser, "/passkeys/register", &answer)).await, 200);

    let answer = authenticator.sign(&challenge(&browser, "/passkeys/sudo").await);
    assert_status(&again(&host, "sudo", send(&browser, "/passkeys/sudo", &answer)).await, 200);
    assert_status(&send(&browser, "/passkeys/sudo", &answer).await, 422);

    let other = with_password(&host, &user).await;
    let answer = authenticator.sign(&challenge(&other, "/passkeys/challenge").await);
    assert_status(&again(&host, "a challenge", send(&other, "/passkeys/challenge", &answer)).await, 200);
    let other = host.client();
    let answer = authenticator.sign(&challenge(&other, "/passkeys/log-in").await);
    assert_status(&again(&host, "a log-in", send(&other, "/passkeys/log-in", &answer)).await, 200);
    assert_eq!(who(&other).await, user.email);

    let passkey = host.sigra.mfa().list(&user.id).await.unwrap().passkeys[0].id;
    let path = format!("/passkeys/{passkey}/delete");
    assert_status(&again(&host, "removing", browser.post(&path, &[])).await, 200);
    assert!(!host.sigra.mfa().list(&user.id).await.unwrap().is_any());
}

/// Who gives way twice is told to try again, and has used nothing up.
#[tokio::test]
async fn a_code_that_gave_way_twice_is_good_later() {
    let host = Host::new().await;
    host.execute(LET_OTHERS_GO_FIRST).await;
    let (user, codes) = host.mfa_fixture().await;
    let code = codes.iter().next().unwrap();
    let browser = with_password(&host, &user).await;
    refuse(&host, 2).await;
    assert_status(&browser.post("/mfa-challenge", &[("code", &code)]).await, 503);
    refuse(&host, 0).await;
    assert_status(&browser.post("/mfa-challenge", &[("code", &code)]).await, 200);
    assert_eq!(who(&browser).await, user.email);
}
