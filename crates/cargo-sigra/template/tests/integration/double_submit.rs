//! Buttons that are pressed twice: the second press must do no harm.

use my_app::web::user_auth::AFTER_LOGIN_PATH;
use sigra::{
    IdempotencyKey,
    testing::{TestClient, TestHost, TestResponse, VALID_PASSWORD, assert_redirected_to},
};
// <mfa>
use sigra::testing::assert_status;
// </mfa>
use crate::support::{Host, login_form};

/// Returns the idempotency key of a form on this page.
fn key_on(page: &TestResponse) -> String {
    let text = page.text();
    let (_, rest) = text.split_once("name=\"_idempotency_key\" value=\"").expect("a key");
    rest.split_once('"').expect("a closing quote").0.to_owned()
}

/// Opens a page and presses its button twice: before the response to the first press, and after it.
async fn submit_twice(browser: &TestClient, page: &str, path: &str, fields: &[(&str, &str)]) -> TestResponse {
    let key = key_on(&browser.get(page).await);
    let form = [fields, &[("_idempotency_key", &key)]].concat();
    let (first_answer_is_lost, early) = (browser.fork(), browser.fork());
    let (first, second) = tokio::join!(first_answer_is_lost.post(path, &form), early.post(path, &form));
    assert_eq!(first.location(), second.location());
    let late = browser.post(path, &form).await;
    assert_eq!(late.location(), first.location());
    assert_eq!(early.cookies(), browser.cookies());
    late
}

async fn sessions(host: &Host) -> i64 {
    let count = "SELECT count(*) FROM users_tokens WHERE context = 'session'";
    sqlx::query_scalar(count).fetch_one(&host.pool).await.expect("a count")
}

#[test]
fn every_form_that_is_sent_has_a_key() {
    fn templates(folder: &std::path::Path, found: &mut Vec<(String, String)>) {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => templates(&path, found),
                false => {
                    let text = std::fs::read_to_string(&path).expect("text");
                    found.push((path.display().to_string(), text));
                }
            }
        }
    }
    let mut found = Vec::new();
    templates(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("templates"), &mut found);
    let mut forms = 0;
    for (path, text) in found {
        for form in text.split("<form ").skip(1).filter(|form| form.contains("method=\"post\"")) {
            let form = form.split("</form>").next().unwrap_or_default();
            assert!(form.contains("name=\"_idempotency_key\""), "{path}: {form}");
            forms += 1;
        }
    }
    assert!(forms > 10, "{forms}");
}

#[tokio::test]
async fn invariant_10_registering_twice_creates_one_account_and_sends_one_email() {
    let host = Host::new().await;
    for (with_key, at_once) in [(true, true), (false, true), (false, false)] {
        let email = host.unique_email();
        let form = login_form(&email, VALID_PASSWORD);
        let (browser, again) = (host.client(), host.client());
        let key = IdempotencyKey::generate().expect("randomness").to_string();
        let form = if with_key { [form, vec![("_idempotency_key", key.as_str())]].concat() } else { form };
        let (first, second) = match at_once {
            true => tokio::join!(browser.post("/users/register", &form), again.post("/users/register", &form)),
            false => (browser.post("/users/register", &form).await, again.post("/users/register", &form).await),
        };
        assert_redirected_to(&first, "/users/check-email");
        assert_redirected_to(&second, "/users/check-email");
        let subjects: Vec<_> = host.mails_to(&email).await.into_iter().map(|mail| mail.subject).collect();
        assert_eq!(subjects, ["Confirm your email address"]);
    }
    // A different password means a different person.
    let email = host.unique_email();
    host.client().post("/users/register", &login_form(&email, VALID_PASSWORD)).await;
    host.client().post("/users/register", &login_form(&email, "six more words of somebody else")).await;
    let mails = host.mails_to(&email).await;
    assert!(mails.iter().any(|mail| mail.subject == "You already have an account"), "{mails:?}");
}

#[tokio::test]
async fn invariant_10_logging_in_and_confirming_twice_is_done_once() {
    let host = Host::new().await;
    let (user, browser) = (host.registered_fixture().await, host.client());
    let form = login_form(&user.email, VALID_PASSWORD);
    assert_redirected_to(&submit_twice(&browser, "/users/log-in", "/users/log-in", &form).await, AFTER_LOGIN_PATH);
    assert_eq!(sessions(&host).await, 1);

    let password = [("user[password]", VALID_PASSWORD)];
    assert_redirected_to(&submit_twice(&browser, "/users/sudo", "/users/sudo", &password).await, AFTER_LOGIN_PATH);
    assert_eq!(browser.get("/dashboard").await.status(), 200);
    assert_eq!(sessions(&host).await, 1);
}

// <magic_link>
#[tokio::test]
async fn invariant_10_pressing_the_button_of_a_login_link_twice_logs_in() {
    let host = Host::new().await;
    let (user, browser) = (host.registered_fixture().await, host.client());
    browser.post("/users/log-in/link", &crate::support::email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;
    assert_redirected_to(&submit_twice(&browser, &link, &link, &[]).await, AFTER_LOGIN_PATH);
    assert_eq!(browser.get("/dashboard").await.status(), 200);
    assert_eq!(sessions(&host).await, 1);
}
// </magic_link>

#[tokio::test]
async fn invariant_10_pressing_the_button_of_a_reset_link_twice_sets_the_password() {
    let host = Host::new().await;
    let (user, browser) = (host.registered_fixture().await, host.client());
    browser.post("/users/reset-password", &crate::support::email_form(&user.email)).await;
    let link = host.link_to(&user.email).await;
    let new = "four other words in a row";
    let form = [crate::support::password_form(new, new), vec![("_method", "put")]].concat();
    assert_redirected_to(&submit_twice(&browser, &link, &link, &form).await, "/users/log-in");
    let told = browser.get("/users/log-in").await.text();
    assert!(!told.contains("already used"), "{told}");
    assert!(host.can_log_in(&user.email, new).await);
}

// <mfa>
#[tokio::test]
async fn invariant_10_a_second_factor_that_is_sent_twice_logs_in_and_uses_one_code() {
    let host = Host::new().await;
    let (user, codes) = host.mfa_fixture().await;
    host.confirm(&user).await;
    let challenge = "/users/mfa-challenge";
    let mut codes = codes.iter();
    for code in [host.totp_code(&user).await, codes.next().expect("a code").to_string()] {
        let browser = host.client();
        browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
        assert_redirected_to(
            &submit_twice(&browser, challenge, challenge, &[("user[code]", &code)]).await,
            AFTER_LOGIN_PATH,
        );
        assert_eq!(browser.get("/dashboard").await.status(), 200);
    }
    let left = host.sigra().mfa().list(&user.id).await.expect("factors").backup_codes;
    assert_eq!(left, 9);
}

#[tokio::test]
async fn invariant_10_an_app_that_is_set_up_twice_is_set_up_once() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    host.confirm(&user).await;
    let path = "/users/settings/mfa/totp";
    let page = browser.get(path).await;
    let text = page.text();
    let (_, rest) = text.split_once("class=\"key\">").expect("a key");
    let secret = rest.split_once('<').expect("a closing quote").0.replace(' ', "");
    let totp = totp_rs::Secret::try_from_base32(secret).expect("a key");
    let totp = totp_rs::Builder::new().with_secret(totp).build_noncompliant();
    let code = totp.generate(host.clock().now().unix_timestamp().unsigned_abs()).to_string();
    let form = [("user[code]", code.as_str()), ("_idempotency_key", &key_on(&page))];
    let again = browser.fork();
    let (first, second) = (browser.post(path, &form).await, again.post(path, &form).await);
    assert_status(&first, 200);
    assert_status(&second, 200);
    assert_eq!(first.text(), second.text(), "the same codes");
    assert_eq!(again.get("/dashboard").await.status(), 200);
}
// </mfa>
