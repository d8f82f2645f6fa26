//! Access control, and the lifetime of sessions.

use std::time::Duration;

use axum::{body::Body, http::Request};

use crate::support::{Host, login_form};
use my_app::web::user_auth::{AFTER_LOGIN_PATH, AFTER_LOGOUT_PATH};
use sigra::testing::{
    TestHost, VALID_PASSWORD, assert_contains, assert_problem, assert_redirected_to, assert_sessions_invalidated,
    assert_status,
};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[tokio::test]
async fn protected_pages_redirect_visitors_to_the_login_page() {
    let host = Host::new().await;
    for page in ["/dashboard", "/users/sessions", "/users/sudo"] {
        let visitor = host.client();
        assert_redirected_to(&visitor.get(page).await, "/users/log-in");
        assert_contains(&visitor.get("/users/log-in").await, "You must log in to access this page.");
    }
}

/// OWASP ASVS 7.4.4.
#[tokio::test]
async fn every_page_of_a_user_has_a_button_to_log_out() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    for path in [
        "/",
        "/dashboard",
        "/users/sessions",
        "/users/settings",
        "/users/settings/activity",
        "/users/sudo",
        // <mfa>
        "/users/settings/mfa",
        // </mfa>
    ] {
        let page = browser.get(path).await;
        assert_status(&page, 200);
        let form = page.text().split("action=\"/users/log-out\"").nth(1).map(str::to_owned).unwrap_or_default();
        let form = form.split("</form>").next().unwrap_or_default();
        assert!(form.contains("value=\"delete\"") && form.contains("<button"), "{path}");
    }
}

#[tokio::test]
async fn a_login_returns_only_to_pages() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let visitor = host.client();
    assert_status(&visitor.delete("/users/sessions").await, 401);
    assert_status(&visitor.post("/users/sudo", &[("user[password]", "x")]).await, 401);
    let response = visitor.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
    assert_redirected_to(&response, AFTER_LOGIN_PATH);

    for nowhere in ["//evil.example/dashboard", "/\\evil.example", "/%2F%2Fevil.example", "https://evil.example/"] {
        let visitor = host.client();
        let request = Request::get(nowhere).body(Body::empty());
        if let Ok(request) = request {
            visitor.send(request).await;
        }
        let response = visitor.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await;
        assert_redirected_to(&response, AFTER_LOGIN_PATH);
    }
}

#[tokio::test]
async fn json_clients_get_401_and_no_page() {
    let host = Host::new().await;
    let program = host.client().json();
    for path in [
        "/dashboard",
        "/users/sessions",
        "/me",
        // <live>
        "/live",
        // </live>
    ] {
        assert_problem(&program.get(path).await, 401);
    }
    assert_status(&host.client().delete("/users/sessions").await, 401);
    assert!(program.cookies().is_empty(), "no return_to for JSON clients");
}

#[tokio::test]
async fn json_clients_can_fetch_the_current_user() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let me: serde_json::Value = browser.fork().json().get("/me").await.json();
    assert_eq!(me, serde_json::json!({ "email": user.email }));
}

#[tokio::test]
async fn pages_of_users_are_not_cached() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    for path in ["/", "/dashboard", "/users/sessions", "/me"] {
        assert_eq!(browser.get(path).await.header("cache-control"), Some("no-store"), "{path}");
    }
    assert_eq!(host.client().get("/").await.header("cache-control"), None);
    for path in ["/users/log-in", "/users/register"] {
        assert_eq!(host.client().get(path).await.header("cache-control"), Some("no-store"), "{path}");
    }
    assert_eq!(host.client().get("/").await.header("vary"), Some("cookie"));
}

#[tokio::test]
async fn a_session_token_identifies_its_user() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let token = host.open_session(&user).await;
    let scope = host.scope_of(&token).await.expect("a scope");
    assert_eq!(scope.user().id, user.id);

    let stored: Vec<u8> =
        sqlx::query_scalar("SELECT token FROM users_tokens").fetch_one(&host.pool).await.expect("a row");
    assert_eq!(stored, token.hash().as_bytes());

    host.sigra().delete_session(&token).await.expect("deleted");
    assert!(host.scope_of(&token).await.is_none());
    host.sigra().delete_session(&token).await.expect("deleting twice works");
}

#[tokio::test]
async fn the_password_of_a_user_is_checked() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let check = async |email: &str, password: &str| {
        let found = host
            .accounts
            .get_user_by_email_and_password(email, &sigra::Password::new(password), &Default::default())
            .await;
        found.expect("a result").map(|user| user.id)
    };
    assert_eq!(check(&user.email, VALID_PASSWORD).await, Some(user.id));
    assert_eq!(check(&user.email, "wrong").await, None);
    assert_eq!(check("unknown@example.com", VALID_PASSWORD).await, None);
    assert_eq!(check("no address", VALID_PASSWORD).await, None);
}

#[tokio::test]
async fn a_session_expires_after_sixty_days_even_in_use() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    for _ in 0..19 {
        host.clock().advance(3 * DAY);
        assert_status(&browser.get("/dashboard").await, 200);
    }
    host.clock().advance(3 * DAY);
    assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");
    assert!(browser.cookie("_my_app_key").is_none(), "the dead token leaves the cookies");
}

#[tokio::test]
async fn session_ttl_and_idle_timeout_are_settings() {
    let host = Host::with(&[("SESSION_TTL", "7200"), ("SESSION_IDLE_TIMEOUT", "1800")]).await;
    let (_, browser) = host.authenticated_fixture().await;
    for _ in 0..4 {
        host.clock().advance(Duration::from_secs(1740));
        assert_status(&browser.get("/dashboard").await, 200);
    }
    host.clock().advance(Duration::from_secs(240));
    assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");

    let (_, browser) = host.authenticated_fixture().await;
    host.clock().advance(Duration::from_secs(1800));
    assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");
}

#[tokio::test]
async fn an_old_token_is_reissued_without_ending_the_session() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let before = browser.cookie("_my_app_key");
    host.clock().advance(8 * DAY);
    assert_status(&browser.get("/dashboard").await, 200);
    assert_ne!(browser.cookie("_my_app_key"), before);
    assert_status(&browser.get("/dashboard").await, 200);
    assert_eq!(host.count_tokens().await, 1);
}

#[tokio::test]
async fn the_keys_can_be_rotated() {
    let old = "o".repeat(64);
    let new = "n".repeat(64);
    let before = Host::with(&[("SECRET_KEY_BASE", &old)]).await;
    let (_, browser) = before.authenticated_fixture().await;
    let cookie = browser.cookie("_my_app_key").expect("a cookie");

    let rotated = Host::with(&[("SECRET_KEY_BASE", &new), ("SECRET_KEY_BASE_FALLBACKS", &old)]).await;
    let finished = Host::with(&[("SECRET_KEY_BASE", &new)]).await;
    for (host, is_read) in [(&rotated, true), (&finished, false)] {
        let client = host.client();
        client.set_cookie("_my_app_key", &cookie);
        // The signature is valid under the old key. The token belongs to another database, and is removed from the
        // cookies.
        assert_redirected_to(&client.get("/dashboard").await, "/users/log-in");
        assert_eq!(client.cookie("_my_app_key").is_none(), is_read);
    }
}

#[tokio::test]
async fn logging_out_everywhere_ends_every_session() {
    let host = Host::new().await;
    let (user, first) = host.authenticated_fixture().await;
    let second = host.log_in(&user).await;
    let (_, stranger) = host.authenticated_fixture().await;

    let response = first.delete("/users/sessions").await;
    assert_redirected_to(&response, AFTER_LOGOUT_PATH);
    assert_contains(&first.get("/").await, "Logged out of all devices.");
    assert_sessions_invalidated(host.sigra(), &user).await;
    assert_redirected_to(&second.get("/dashboard").await, "/users/log-in");
    assert_status(&stranger.get("/dashboard").await, 200);
}

#[tokio::test]
async fn confirming_the_password_renews_the_session() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let stolen = browser.fork();
    assert_status(&browser.get("/users/sudo").await, 200);

    let wrong = browser.post("/users/sudo", &[("user[password]", "wrong")]).await;
    assert_redirected_to(&wrong, "/users/sudo");
    assert_contains(&browser.get("/users/sudo").await, "Wrong password. Try again.");

    assert_redirected_to(&browser.post("/users/sudo", &[("user[password]", VALID_PASSWORD)]).await, AFTER_LOGIN_PATH);
    assert_status(&browser.get("/dashboard").await, 200);
    assert_redirected_to(&stolen.get("/dashboard").await, "/users/log-in");
    assert_eq!(host.count_tokens().await, 1, "the session continues");
}

#[tokio::test]
async fn passwords_are_rehashed_when_the_parameters_change() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let read = async || -> String {
        sqlx::query_scalar("SELECT hashed_password FROM users").fetch_one(&host.pool).await.expect("a hash")
    };
    let costly = sigra::config::Argon2Params::new(32, 2, 1);
    let passwords = sigra::password::Passwords::new(costly, 1, Duration::from_secs(9)).expect("valid parameters");
    let hash = passwords.hash(&sigra::Password::new(VALID_PASSWORD)).await.expect("a hash");
    sqlx::query("UPDATE users SET hashed_password = $1").bind(hash).execute(&host.pool).await.expect("updated");

    let browser = host.client();
    assert_redirected_to(
        &browser.post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await,
        AFTER_LOGIN_PATH,
    );
    assert!(read().await.contains("m=8,t=1,p=1"), "the hash has today's parameters");
    assert_redirected_to(
        &host.client().post("/users/log-in", &login_form(&user.email, VALID_PASSWORD)).await,
        AFTER_LOGIN_PATH,
    );
}
