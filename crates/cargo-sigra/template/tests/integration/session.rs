//! Logging in and out, over HTTP.

use crate::support::{Host, PROD, login_form, without_keys};
use axum::{body::Body, http::Request};
use my_app::web::user_auth::{AFTER_LOGIN_PATH, AFTER_LOGOUT_PATH};
use sigra::testing::{
    TestClient, TestHost, TestResponse, VALID_PASSWORD, assert_contains, assert_redirected_to, assert_status,
};

const SESSION: &str = "_my_app_key";
const REMEMBER_ME: &str = "_my_app_web_user_remember_me";

#[tokio::test]
async fn the_login_form_works_with_password_managers() {
    let host = Host::new().await;
    let page = host.client().get("/users/log-in").await;
    assert_status(&page, 200);
    for part in [
        "name=\"user[email]\"",
        // <passkeys>
        "autocomplete=\"username webauthn\"",
        // </passkeys>
        // <!passkeys>
        // "autocomplete=\"username\"",
        // </!passkeys>
        "name=\"user[password]\" type=\"password\" autocomplete=\"current-password\"",
        "name=\"user[remember_me]\"",
        "<label for=\"user_email\">",
        "<label for=\"user_password\">",
    ] {
        assert_contains(&page, part);
    }
    for hindrance in ["onpaste", "autocomplete=\"off\"", "readonly"] {
        assert!(!page.text().contains(hindrance), "{hindrance} breaks password managers");
    }
}

/// The next person at a shared computer learns the method, but not whose login it was.
#[tokio::test]
async fn the_login_page_hints_at_the_last_login_method_of_this_browser() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    let has_hint = async || browser.get("/users/log-in").await.text().contains("Last used");
    browser.post("/users/log-in", &login_form(&user.email, "not the password")).await;
    assert!(!has_hint().await, "nobody logged in");
    browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    browser.delete("/users/log-out").await;
    browser.close_and_reopen();
    assert!(has_hint().await);
    let left = browser.cookie("_my_app_last_login_method");
    assert_eq!(left.as_deref(), Some("password"), "nothing says who logged in");
    // <magic_link>
    let link = {
        browser.post("/users/log-in/link", &[("user[email]", &user.email)]).await;
        host.link_to(&user.email).await
    };
    browser.post(&link, &[]).await;
    browser.delete("/users/log-out").await;
    let page = browser.get("/users/log-in").await.text();
    assert!(page.contains("Email me a link <span class=\"badge on last-used\">"), "{page}");
    assert_eq!(page.matches("Last used").count(), 1);
    // </magic_link>
    assert!(!host.client().get("/users/log-in").await.text().contains("Last used"), "another browser");
}

/// A host beside this one could otherwise set it, or a network that reads plain HTTP.
#[tokio::test]
async fn the_cookie_of_the_last_login_method_has_a_prefix_in_production() {
    let host = Host::with(&PROD).await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    let response = browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    let cookies = response.set_cookies();
    let cookie =
        cookies.iter().find(|cookie| cookie.name() == "__Secure-_my_app_last_login_method").expect("the cookie");
    assert_eq!((cookie.secure(), cookie.path(), cookie.domain()), (Some(true), Some("/users/log-in"), None));
    browser.delete("/users/log-out").await;
    assert_contains(&browser.get("/users/log-in").await, "Last used");

    let other = host.client();
    other.set_cookie("_my_app_last_login_method", "password");
    assert!(!other.get("/users/log-in").await.text().contains("Last used"), "it has no prefix");
}

#[tokio::test]
async fn the_login_page_redirects_logged_in_users() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    assert_redirected_to(&browser.get("/users/log-in").await, AFTER_LOGIN_PATH);
}

#[tokio::test]
async fn valid_credentials_log_in() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();

    let response = browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_redirected_to(&response, AFTER_LOGIN_PATH);
    assert_eq!(response.status(), 303);
    assert_eq!(host.count_tokens().await, 1, "exactly one row is written");
    assert!(browser.cookie(SESSION).is_some());
    assert!(browser.cookie(REMEMBER_ME).is_none(), "the user did not ask to be remembered");

    let home = browser.get("/").await;
    assert_contains(&home, "Welcome back!");
    assert_contains(&home, &user.email);
    assert_contains(&home, "/users/log-out");
    assert!(!browser.get("/").await.text().contains("Welcome back!"), "a flash is shown once");
}

#[tokio::test]
async fn the_email_address_is_case_insensitive() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let typed = format!("  {} ", user.email.to_uppercase());
    let response = host.client().post("/users/log-in", &login_form(&typed, VALID_PASSWORD)).await;
    assert_redirected_to(&response, AFTER_LOGIN_PATH);
}

#[tokio::test]
async fn a_browser_is_remembered_only_if_the_value_is_true() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for (value, is_remembered) in [("true", true), ("false", false), ("", false), ("on", false), ("TRUE", false)] {
        let browser = host.client();
        let mut form = login_form(&user.email, VALID_PASSWORD);
        form.push(("user[remember_me]", value));
        let response = browser.post("/users/log-in", &form).await;
        assert_eq!(browser.cookie(REMEMBER_ME).is_some(), is_remembered, "{value:?}");

        browser.close_and_reopen();
        assert_eq!(browser.get("/dashboard").await.status() == 200, is_remembered, "{value:?}");
        let cookies = response.set_cookies();
        if is_remembered {
            let cookie = cookies.iter().find(|cookie| cookie.name() == REMEMBER_ME).expect("the cookie");
            assert_eq!(cookie.max_age().map(|age| age.whole_seconds()), Some(5_184_000));
        }
    }
}

#[tokio::test]
async fn a_remembered_browser_gets_its_cookie_session_back() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    let mut form = login_form(&user.email, VALID_PASSWORD);
    form.push(("user[remember_me]", "true"));
    browser.post("/users/log-in", &form).await;

    browser.close_and_reopen();
    assert!(browser.cookie(SESSION).is_none());
    assert_contains(&browser.get("/dashboard").await, &user.email);
    assert!(browser.cookie(SESSION).is_some());
    assert_eq!(host.count_tokens().await, 1, "the session is the same");
}

#[tokio::test]
async fn a_login_returns_to_the_page_that_required_it() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    assert_redirected_to(&browser.get("/dashboard?tab=2").await, "/users/log-in");
    let response = browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_redirected_to(&response, "/dashboard?tab=2");
    assert_contains(&browser.get("/").await, "Welcome back!");
}

#[tokio::test]
async fn invalid_credentials_redirect_to_the_form() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    let response = browser.post("/users/log-in", &login_form(&user.email, "not the password")).await;
    assert_redirected_to(&response, "/users/log-in");
    assert!(browser.cookie(SESSION).is_none());
    assert_eq!(host.count_tokens().await, 0);

    let page = browser.get("/users/log-in").await;
    assert_contains(&page, "Invalid email or password");
    assert_contains(&page, &format!("value=\"{}\"", user.email));
    assert!(!page.text().contains("not the password"));
}

/// With the same password, and known and unknown addresses of the same length, every byte that doesn't depend on the
/// address is the same.
#[tokio::test]
async fn invariant_5_an_unknown_address_and_a_wrong_password_get_the_same_response() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let unknown = format!("x{}", &user.email[1..]);
    let mut responses = Vec::new();
    for email in [&user.email, &unknown] {
        let browser = host.client();
        let response = browser.post("/users/log-in", &login_form(email, "not the password")).await;
        let headers: Vec<(String, usize)> =
            response.headers().iter().map(|(name, value)| (name.to_string(), value.len())).collect();
        let page = without_keys(&browser.get("/users/log-in").await.text()).replace(email.as_str(), "EMAIL");
        responses.push((response.status(), response.text().to_owned(), headers, page));
    }
    assert_eq!(responses[0], responses[1]);
}

#[tokio::test]
async fn logging_out_deletes_the_row_and_both_cookies() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    let mut form = login_form(&user.email, VALID_PASSWORD);
    form.push(("user[remember_me]", "true"));
    browser.post("/users/log-in", &form).await;
    let thief = browser.fork();

    let response = browser.delete("/users/log-out").await;
    assert_redirected_to(&response, AFTER_LOGOUT_PATH);
    assert_eq!(response.header("clear-site-data"), Some("\"cache\", \"storage\""));
    assert_eq!(host.count_tokens().await, 0);
    assert!(browser.cookie(SESSION).is_none() && browser.cookie(REMEMBER_ME).is_none());
    assert_contains(&browser.get("/").await, "Logged out successfully.");
    assert_redirected_to(&thief.get("/dashboard").await, "/users/log-in");
}

#[tokio::test]
async fn logging_out_succeeds_for_a_visitor() {
    let host = Host::new().await;
    let browser = host.client();
    assert_redirected_to(&browser.delete("/users/log-out").await, AFTER_LOGOUT_PATH);
    assert_contains(&browser.get("/").await, "Logged out successfully.");
}

#[tokio::test]
async fn a_plain_form_can_log_out() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    assert_redirected_to(&browser.post("/users/log-out", &[("_method", "delete")]).await, AFTER_LOGOUT_PATH);
    assert_eq!(host.count_tokens().await, 0);
}

#[tokio::test]
async fn a_get_request_logs_no_user_out() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    assert_status(&browser.get("/users/log-out").await, 405);
    assert_status(&browser.get("/users/log-out?_method=delete").await, 405);
    assert_status(&browser.get("/dashboard").await, 200);
}

#[tokio::test]
async fn logging_in_as_another_user_ends_the_first_session() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let first = browser.fork();
    let other = host.registered_fixture().await;
    assert_redirected_to(
        &browser.post("/users/log-in", &login_form(&other.email, VALID_PASSWORD)).await,
        AFTER_LOGIN_PATH,
    );
    assert_contains(&browser.get("/dashboard").await, &other.email);
    assert_redirected_to(&first.get("/dashboard").await, "/users/log-in");
}

async fn get(browser: &TestClient, path: &str, headers: &[(&str, &str)]) -> TestResponse {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    browser.send(request.body(Body::empty()).expect("a request")).await
}

/// Prefetched pages and parts of pages must not use the message up.
#[tokio::test]
async fn a_message_and_the_typed_address_wait_for_a_page_that_is_shown() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for headers in [
        &[("sec-purpose", "prefetch")][..],
        &[("x-sec-purpose", "prefetch")],
        &[("purpose", "prefetch"), ("sec-fetch-mode", "")],
    ] {
        let browser = host.client();
        browser.post("/users/log-in", &login_form(&user.email, "not the password")).await;
        get(&browser, "/users/log-in", headers).await;
        let head = Request::head("/users/log-in").body(Body::empty()).expect("a request");
        browser.send(head).await;
        for part in [
            &[("sec-fetch-dest", "iframe")][..],
            &[("hx-request", "true"), ("sec-fetch-mode", "cors"), ("accept", "*/*")],
            &[("hx-request", "true"), ("sec-fetch-mode", "")],
            &[("accept", "text/event-stream"), ("sec-fetch-mode", "")],
        ] {
            get(&browser, "/", part).await;
        }
        let page = browser.get("/users/log-in").await;
        assert_contains(&page, "Invalid email or password");
        assert_contains(&page, &format!("value=\"{}\"", user.email));
        assert!(!browser.get("/users/log-in").await.text().contains("Invalid email"), "a flash is shown once");
    }
}

#[tokio::test]
async fn a_login_returns_to_the_page_that_was_opened_and_not_to_a_part_of_one() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for part in [
        &[("accept", "image/avif,image/webp,*/*;q=0.8")][..],
        &[("accept", "text/css,*/*;q=0.1")],
        &[("accept", "text/event-stream")],
        &[("accept", "*/*"), ("hx-request", "true")],
        &[("accept", "*/*"), ("x-requested-with", "XMLHttpRequest")],
        &[("sec-fetch-dest", "iframe")],
        &[("sec-purpose", "prefetch;prerender")],
    ] {
        for mode in ["", "navigate"] {
            let browser = host.client();
            browser.get("/dashboard?page=1").await;
            let part = [part, &[("sec-fetch-mode", mode)]].concat();
            get(&browser, "/users/settings?part=1", &part).await;
            let head = Request::head("/users/settings?head=1").body(Body::empty()).expect("a request");
            browser.send(head).await;
            let response = browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
            assert_redirected_to(&response, "/dashboard?page=1");
        }
    }
}

const COOKIE_LOST: &str = "Your browser didn&#39;t keep the cookie. Allow cookies for this site, then log in again.";

/// The fields of the form, with the one that reports that its page set a cookie.
fn form_of_the_page(email: &str) -> Vec<(&str, &str)> {
    [login_form(email, VALID_PASSWORD), vec![("user[cookies]", "tried")]].concat()
}

/// Each request of a browser without cookies looks like its first one.
#[tokio::test]
async fn a_browser_without_cookies_gets_a_message_at_login() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let page = host.client().get("/users/log-in").await;
    assert_contains(&page, "name=\"user[cookies]\" value=\"tried\"");
    assert_contains(&page, "You need to allow cookies to log in.");

    let response = host.client().post("/users/log-in", &form_of_the_page(&user.email)).await;
    assert_status(&response, 422);
    assert_contains(&response, COOKIE_LOST);
    assert_contains(&response, &format!("value=\"{}\"", user.email));
    assert_eq!(host.count_tokens().await, 0);

    // This client never opened the page, and keeps cookies from now on.
    let response = host.client().post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_redirected_to(&response, AFTER_LOGIN_PATH);
}

#[tokio::test]
async fn a_browser_with_cookies_sees_no_message_about_them() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    browser.get("/users/log-in").await;
    assert_redirected_to(&browser.post("/users/log-in", &form_of_the_page(&user.email)).await, AFTER_LOGIN_PATH);
    assert_contains(&browser.get("/").await, "Welcome back!");
    assert!(browser.cookies().iter().all(|(name, _)| !name.contains("trial")), "what was tried is gone");

    // If the cookies were cleared while the form was open, the next attempt succeeds.
    let cleared = host.client();
    assert_status(&cleared.post("/users/log-in", &form_of_the_page(&user.email)).await, 422);
    assert_redirected_to(&cleared.post("/users/log-in", &form_of_the_page(&user.email)).await, AFTER_LOGIN_PATH);
}
