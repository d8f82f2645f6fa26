//! The JSON API, as a frontend or a mobile app uses it.

use crate::support::{Host, seen, token_of};
use axum::{Router, body::Body, http::Request};
use my_app::accounts::User;
use serde_json::{Value, json};
// <oauth>
use sigra::testing::{ProviderAccount, TestProvider};
// </oauth>
use sigra::{
    Clock, Password, Sigra,
    testing::{TestClient, TestHost, TestResponse, VALID_PASSWORD, assert_problem, assert_status},
};

const NEW_PASSWORD: &str = "another horse, another battery";

/// The application with only the JSON API.
struct Api(Host);

impl Api {
    async fn new() -> Self {
        Self(Host::new().await)
    }

    /// The token of the last link that was emailed to an address.
    async fn token_mailed_to(&self, email: &str) -> String {
        token_of(&self.0.link_to(email).await).to_owned()
    }
}

impl TestHost for Api {
    type User = User;

    fn router(&self) -> Router {
        self.0.api.clone()
    }

    fn sigra(&self) -> &Sigra<User> {
        self.0.sigra()
    }

    fn clock(&self) -> &Clock {
        self.0.clock()
    }

    async fn register(&self, email: &str, password: &Password) -> User {
        let Self(host) = self;
        host.register(email, password).await
    }
}

async fn send(browser: &TestClient, method: &str, path: &str, body: &Value) -> TestResponse {
    let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
    browser.send(request.body(body.to_string().into()).expect("a request")).await
}

async fn post(browser: &TestClient, path: &str, body: Value) -> TestResponse {
    send(browser, "POST", path, &body).await
}

async fn log_in(browser: &TestClient, email: &str, password: &str) -> TestResponse {
    post(browser, "/users/log-in", json!({ "email": email, "password": password })).await
}

/// Returns the email address of the browser's user.
async fn who(browser: &TestClient) -> Option<String> {
    let response = browser.get("/me").await;
    match response.status().as_u16() {
        200 => response.json::<Value>()["email"].as_str().map(str::to_owned),
        _ => None,
    }
}

#[track_caller]
fn assert_code(response: &TestResponse, status: u16, code: &str) {
    assert_problem(response, status);
    assert_eq!(response.json::<Value>()["code"], code);
}

/// A visitor registers, confirms, logs in and logs out.
#[tokio::test]
async fn a_visitor_can_register_confirm_log_in_and_log_out() {
    let api = Api::new().await;
    let (browser, email) = (api.client(), api.unique_email());
    let registration = json!({ "email": email, "password": VALID_PASSWORD });
    let registered = post(&browser, "/users/register", registration.clone()).await;
    assert_status(&registered, 202);
    let token = api.token_mailed_to(&email).await;
    let shown = browser.get(&format!("/users/confirm/{token}")).await;
    assert_eq!(shown.json::<Value>()["email"], email);
    let confirm = format!("/users/confirm/{token}");
    assert_status(&post(&browser, &confirm, json!({})).await, 204);
    assert_status(&post(&browser, &confirm, json!({})).await, 204);
    assert_eq!(browser.get(&confirm).await.json::<Value>()["confirmed"], true);

    let again = post(&api.client(), "/users/register", registration).await;
    assert_eq!(seen(&again), seen(&registered), "a taken address gets the same response");

    assert_eq!(who(&browser).await, None);
    let outcome = log_in(&browser, &email, VALID_PASSWORD).await.json::<Value>();
    assert_eq!((&outcome["status"], &outcome["user"]["confirmed"]), (&json!("complete"), &json!(true)));
    assert_eq!(who(&browser).await, Some(email));
    let logged_out = browser.delete("/users/log-out").await;
    assert_status(&logged_out, 204);
    assert!(logged_out.header("clear-site-data").is_some());
    assert_eq!(who(&browser).await, None);
}

/// An attacker registers another person's address, and waits until its owner confirms it out of habit.
#[tokio::test]
async fn a_link_alone_confirms_nothing_in_another_browser() {
    const NEW: &str = "a quite different password";
    let api = Api::new().await;
    let (stranger, owner, email) = (api.client(), api.client(), api.unique_email());
    post(&stranger, "/users/register", json!({ "email": email, "password": VALID_PASSWORD })).await;
    let link = format!("/users/confirm/{}", api.token_mailed_to(&email).await);
    log_in(&stranger, &email, VALID_PASSWORD).await;
    assert_eq!(stranger.get(&link).await.json::<Value>()["password_required"], false);

    post(&owner, "/users/register", json!({ "email": email, "password": NEW })).await;
    let shown = owner.get(&link).await.json::<Value>();
    assert_eq!((&shown["password_required"], &shown["has_password"]), (&json!(true), &json!(true)));
    assert_code(&post(&owner, &link, json!({})).await, 403, "password_required");
    let bare = Request::post(&link).body(axum::body::Body::empty()).expect("a request");
    assert_code(&owner.send(bare).await, 403, "password_required");
    assert_code(&post(&owner, &link, json!({ "password": NEW })).await, 422, "wrong_credentials");

    assert_status(&send(&owner, "PUT", &link, &json!({ "password": NEW })).await, 204);
    assert_eq!(who(&stranger).await, None);
    assert_code(&log_in(&stranger, &email, VALID_PASSWORD).await, 401, "wrong_credentials");
    log_in(&owner, &email, NEW).await;
    assert_eq!(who(&owner).await, Some(email));
    assert_code(&send(&owner, "PUT", &link, &json!({ "password": NEW })).await, 404, "bad_link");
}

/// The recovery link is in the email to the old address.
#[tokio::test]
async fn an_owner_can_recover_a_stolen_account() {
    const NEW: &str = "a quite different password";
    let api = Api::new().await;
    let (user, thief) = api.sudo_fixture().await;
    api.0.confirm(&user).await;
    send(&thief, "PUT", "/users/settings/email", &json!({ "email": "thief@example.com" })).await;
    let change = format!("/users/settings/confirm-email/{}", api.token_mailed_to("thief@example.com").await);
    assert_status(&thief.post(&change, &[]).await, 204);
    let link = format!("/users/recover/{}", api.token_mailed_to(&user.email).await);

    let owner = api.client();
    assert_eq!(owner.get(&link).await.json::<Value>(), json!({ "email": user.email }));
    assert_code(&send(&owner, "PUT", &link, &json!({ "password": "short" })).await, 422, "invalid");
    let squatter = api.registered_fixture().await;
    let rename = sqlx::query("UPDATE users SET email = $1, confirmed_at = inserted_at WHERE id = $2");
    rename.bind(&user.email).bind(squatter.id).execute(&api.0.pool).await.expect("renamed");
    assert_code(&send(&owner, "PUT", &link, &json!({ "password": NEW })).await, 409, "address_taken");
    sqlx::query("DELETE FROM users WHERE id = $1").bind(squatter.id).execute(&api.0.pool).await.expect("deleted");

    assert_status(&send(&owner, "PUT", &link, &json!({ "password": NEW })).await, 204);
    assert_code(&send(&owner, "PUT", &link, &json!({ "password": NEW })).await, 404, "bad_link");
    assert_eq!(who(&thief).await, None);
    log_in(&owner, &user.email, NEW).await;
    assert_eq!(who(&owner).await, Some(user.email));
}

// <magic_link>
#[tokio::test]
async fn a_link_that_removes_a_password_says_so() {
    let api = Api::new().await;
    let (user, browser) = (api.registered_fixture().await, api.client());
    post(&browser, "/users/log-in/link", json!({ "email": user.email })).await;
    let link = format!("/users/log-in/{}", api.token_mailed_to(&user.email).await);
    let outcome = post(&browser, &link, json!({})).await.json::<Value>();
    assert_eq!(outcome["notices"], json!(["password_removed"]));
}
// </magic_link>

#[tokio::test]
async fn each_invalid_field_has_its_own_error() {
    let api = Api::new().await;
    let response = post(&api.client(), "/users/register", json!({ "email": "nobody", "password": "short" })).await;
    assert_code(&response, 422, "invalid");
    let errors = &response.json::<Value>()["errors"];
    assert!(errors["email"].is_string() && errors["password"].is_string(), "{errors}");

    for nonsense in ["", "[]", "{\"email\": 1}", "{"] {
        let request = Request::post("/users/log-in").header("content-type", "application/json");
        let response = api.client().send(request.body(nonsense.to_owned().into()).expect("a request")).await;
        assert!(response.status().is_client_error(), "{nonsense}");
        assert_problem(&response, response.status());
    }
    assert_problem(&api.client().get("/nowhere").await, 404);
    assert_problem(&api.client().get("/users/log-in").await, 405);
}

#[tokio::test]
async fn an_error_says_which_field_of_the_body_is_wrong() {
    let api = Api::new().await;
    for (content_type, body, status, detail) in [
        ("application/json", r#"{ "password": "x" }"#, 422, "missing field `email`"),
        ("application/json", r#"{ "email": 7, "password": "x" }"#, 422, "email: invalid type: integer `7`"),
        ("application/json", "{", 400, "Failed to parse the request body as JSON"),
        ("text/plain", "{}", 415, "Expected request with `Content-Type: application/json`"),
    ] {
        let request = Request::post("/users/log-in").header("content-type", content_type);
        let response = api.client().send(request.body(Body::from(body)).expect("a request")).await;
        assert_problem(&response, status);
        let said = response.json::<Value>()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(said.contains(detail), "{body}: {said}");
    }
}

#[tokio::test]
async fn a_field_that_is_sent_twice_is_refused_unless_it_is_unknown() {
    let api = Api::new().await;
    let user = api.registered_fixture().await;
    for (extra, status) in [(r#""email": "b""#, 422), (r#""theme": "dark", "theme": "light""#, 200)] {
        let body = format!(r#"{{ "email": "{}", "password": "{VALID_PASSWORD}", {extra} }}"#, user.email);
        let request = Request::post("/users/log-in").header("content-type", "application/json");
        assert_status(&api.client().send(request.body(body.into()).expect("a request")).await, status);
    }
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_get_the_same_response() {
    let api = Api::new().await;
    let user = api.registered_fixture().await;
    let wrong = log_in(&api.client(), &user.email, "not the password").await;
    assert_code(&wrong, 401, "wrong_credentials");
    let unknown = log_in(&api.client(), "unknown@example.com", "not the password").await;
    assert_eq!(seen(&wrong), seen(&unknown));
    for path in [
        "/users/confirm",
        "/users/reset-password",
        // <magic_link>
        "/users/log-in/link",
        // </magic_link>
    ] {
        let known = post(&api.client(), path, json!({ "email": user.email })).await;
        let unknown = post(&api.client(), path, json!({ "email": "unknown@example.com" })).await;
        assert_status(&known, 202);
        assert_eq!(seen(&known), seen(&unknown), "{path}");
    }
}

/// The API never redirects to pages, whatever the request accepts.
#[tokio::test]
async fn visitors_get_401_and_no_redirect() {
    let api = Api::new().await;
    for (method, path) in [
        ("GET", "/me"),
        ("GET", "/users/sessions"),
        ("DELETE", "/users/sessions"),
        ("GET", "/users/settings/activity"),
        ("PUT", "/users/settings/email"),
        ("PUT", "/users/settings/password"),
        ("DELETE", "/users/settings"),
        ("POST", "/users/sudo"),
        // <mfa>
        ("GET", "/users/mfa-challenge"),
        ("GET", "/users/settings/mfa"),
        ("POST", "/users/settings/mfa/totp/options"),
        ("POST", "/users/settings/mfa/totp"),
        ("DELETE", "/users/settings/mfa/totp"),
        ("POST", "/users/settings/mfa/backup-codes"),
        // </mfa>
        // <passkeys>
        ("POST", "/users/settings/passkeys/options"),
        ("POST", "/users/settings/passkeys"),
        ("POST", "/users/sudo/passkey/options"),
        ("POST", "/users/mfa-challenge/passkey/options"),
        // </passkeys>
    ] {
        let request = Request::builder().method(method).uri(path).header("accept", "text/html");
        let response = api.client().send(request.body("{}".into()).expect("a request")).await;
        assert_problem(&response, 401);
        assert_eq!(response.header("cache-control"), Some("no-store"), "{method} {path}");
    }
}

#[tokio::test]
async fn invariant_8_requests_of_other_sites_are_refused() {
    let api = Api::new().await;
    let (user, browser) = api.authenticated_fixture().await;
    let request = Request::delete("/users/log-out").header("sec-fetch-site", "cross-site");
    assert_problem(&browser.send(request.body("".into()).expect("a request")).await, 403);
    let request = Request::post("/users/log-in").header("sec-fetch-site", "cross-site");
    assert_problem(&api.client().send(request.body("{}".into()).expect("a request")).await, 403);
    assert_eq!(who(&browser).await, Some(user.email));
}

#[tokio::test]
async fn a_forgotten_password_is_replaced_once() {
    let api = Api::new().await;
    let (user, browser) = api.authenticated_fixture().await;
    let visitor = api.client();
    assert_status(&post(&visitor, "/users/reset-password", json!({ "email": user.email })).await, 202);
    let path = format!("/users/reset-password/{}", api.token_mailed_to(&user.email).await);
    assert_eq!(visitor.get(&path).await.json::<Value>()["email"], user.email);
    let short = send(&visitor, "PUT", &path, &json!({ "password": "short" })).await;
    assert_code(&short, 422, "invalid");
    let new = json!({ "password": NEW_PASSWORD });
    assert_status(&send(&visitor, "PUT", &path, &new).await, 204);
    assert_code(&send(&visitor, "PUT", &path, &new).await, 404, "bad_link");
    assert_code(&visitor.get(&path).await, 404, "bad_link");
    assert_eq!(who(&browser).await, None, "every session has ended");
    assert_status(&log_in(&visitor, &user.email, VALID_PASSWORD).await, 401);
    assert_status(&log_in(&visitor, &user.email, NEW_PASSWORD).await, 200);
}

// <magic_link>
#[tokio::test]
async fn a_link_logs_in_once() {
    let api = Api::new().await;
    let user = api.registered_fixture().await;
    let browser = api.client();
    assert_status(&post(&browser, "/users/log-in/link", json!({ "email": user.email })).await, 202);
    let path = format!("/users/log-in/{}", api.token_mailed_to(&user.email).await);
    assert_eq!(browser.get(&path).await.json::<Value>()["email"], user.email);
    assert_eq!(who(&browser).await, None, "opening the link logs no user in");
    assert_status(&post(&browser, &path, json!({ "remember_me": true })).await, 200);
    assert_eq!(who(&browser).await.as_ref(), Some(&user.email));
    browser.close_and_reopen();
    assert_eq!(who(&browser).await, Some(user.email), "the session is remembered");
    assert_code(&post(&api.client(), &path, json!({})).await, 404, "bad_link");
}
// </magic_link>

#[tokio::test]
async fn an_unreadable_session_does_not_hide_the_others() {
    let api = Api::new().await;
    let (user, browser) = api.authenticated_fixture().await;
    let spoiled = api.0.sigra().sessions().list(&user.id).await.expect("sessions").remove(0).id;
    let phone = api.log_in(&user).await;
    let spoil = sqlx::query("UPDATE users_tokens SET last_used_at = 'infinity' WHERE id = $1").bind(spoiled);
    spoil.execute(&api.0.pool).await.expect("spoiled");
    let listed = phone.get("/users/sessions").await;
    assert_status(&listed, 200);
    assert_eq!(listed.json::<Value>()["sessions"].as_array().expect("a list").len(), 1);
    drop(browser);
}

#[tokio::test]
async fn devices_are_listed_and_logged_out() {
    let api = Api::new().await;
    let (user, browser) = api.authenticated_fixture().await;
    let phone = api.log_in(&user).await;
    let (stranger, strangers) = api.authenticated_fixture().await;
    let listed = browser.get("/users/sessions").await.json::<Value>();
    let sessions = listed["sessions"].as_array().expect("a list");
    assert_eq!(sessions.len(), 2);
    let other = sessions.iter().find(|session| session["current"] == false).expect("the phone");
    assert!(!listed.to_string().contains("token"), "{listed}");

    let path = format!("/users/sessions/{}", other["id"].as_str().expect("an id"));
    assert_problem(&strangers.delete(&path).await, 404);
    assert_status(&browser.delete(&path).await, 204);
    assert_eq!(who(&phone).await, None);
    assert_status(&browser.delete("/users/sessions").await, 204);
    assert_eq!((who(&browser).await, who(&strangers).await), (None, Some(stranger.email)));

    let browser = api.log_in(&user).await;
    let activity = browser.get("/users/settings/activity").await.json::<Value>();
    assert_eq!(activity["events"][0]["action"], "auth.session.revoked", "{activity}");
}

#[tokio::test]
async fn the_settings_require_a_recent_login() {
    let api = Api::new().await;
    let (user, browser) = api.sudo_fixture().await;
    api.clock().advance(std::time::Duration::from_secs(60 * 60));
    let new = json!({ "password": NEW_PASSWORD });
    let refused = send(&browser, "PUT", "/users/settings/password", &new).await;
    assert_code(&refused, 403, "sudo_required");
    assert_code(&browser.delete("/users/settings").await, 403, "sudo_required");
    let wrong = post(&browser, "/users/sudo", json!({ "password": "not the password" })).await;
    assert_code(&wrong, 422, "wrong_credentials");
    assert_code(&post(&browser, "/users/sudo", json!({})).await, 422, "wrong_credentials");
    assert_status(&post(&browser, "/users/sudo", json!({ "password": VALID_PASSWORD })).await, 204);

    let phone = api.log_in(&user).await;
    assert_code(
        &send(&browser, "PUT", "/users/settings/password", &json!({ "password": "short" })).await,
        422,
        "invalid",
    );
    assert_status(&send(&browser, "PUT", "/users/settings/password", &new).await, 204);
    assert_eq!((who(&browser).await, who(&phone).await), (Some(user.email.clone()), None));

    let email = json!({ "email": "new@example.com" });
    assert_code(&send(&browser, "PUT", "/users/settings/email", &json!({ "email": "no" })).await, 422, "invalid");
    assert_status(&send(&browser, "PUT", "/users/settings/email", &email).await, 202);
    let path = format!("/users/settings/confirm-email/{}", api.token_mailed_to("new@example.com").await);
    assert_eq!(browser.get(&path).await.json::<Value>(), email);
    assert_status(&browser.post(&path, &[]).await, 204);
    assert_code(&browser.post(&path, &[]).await, 404, "bad_link");
    assert_eq!(who(&browser).await.as_deref(), Some("new@example.com"));

    assert_code(&browser.delete("/users/settings").await, 422, "invalid");
    let mistyped = json!({ "email": "news@example.com" });
    assert_code(&send(&browser, "DELETE", "/users/settings", &mistyped).await, 422, "invalid");
    let deleted = send(&browser, "DELETE", "/users/settings", &email).await.json::<Value>();
    assert!(deleted["delete_after"].is_string(), "{deleted}");
    assert_eq!(who(&browser).await, None);
    let kept = log_in(&browser, "new@example.com", NEW_PASSWORD).await.json::<Value>();
    assert_eq!((&kept["status"], &kept["notices"]), (&json!("complete"), &json!(["deletion_canceled"])));
    let again = log_in(&browser, "new@example.com", NEW_PASSWORD).await.json::<Value>();
    assert_eq!(again["notices"], json!([]));
}

#[tokio::test]
async fn an_unconfirmed_user_cannot_log_in_if_confirmation_is_required() {
    let api = Api(Host::with(&[("REQUIRE_CONFIRMATION", "true")]).await);
    let user = api.unconfirmed_fixture().await;
    assert_code(&log_in(&api.client(), &user.email, VALID_PASSWORD).await, 403, "confirmation_required");
}

// <mfa>
#[tokio::test]
async fn invariant_12_a_pending_second_factor_gives_access_only_to_the_challenge() {
    let api = Api::new().await;
    let (user, codes) = api.mfa_fixture().await;
    let browser = api.client();
    let outcome = log_in(&browser, &user.email, VALID_PASSWORD).await.json::<Value>();
    assert_eq!(outcome, json!({ "status": "second_factor_pending" }));
    for path in ["/me", "/users/sessions", "/users/settings/mfa", "/users/settings/activity"] {
        assert_code(&browser.get(path).await, 401, "second_factor_required");
    }
    let offer = browser.get("/users/mfa-challenge").await.json::<Value>();
    assert_eq!((&offer["totp"], &offer["backup_codes"]), (&json!(true), &json!(true)));
    for wrong in [json!({}), json!({ "code": "000000" })] {
        assert_code(&post(&browser, "/users/mfa-challenge", wrong).await, 422, "wrong_credentials");
    }
    let code = json!({ "code": api.totp_code(&user).await, "trust_browser": true });
    let completed = post(&browser, "/users/mfa-challenge", code.clone()).await;
    assert_eq!(completed.json::<Value>()["status"], "complete");
    assert_eq!(who(&browser).await.as_ref(), Some(&user.email));

    let listed = browser.get("/users/sessions").await.json::<Value>();
    let trusted = listed["trusted_browsers"][0]["id"].as_str().expect("a trusted browser").to_owned();
    browser.delete("/users/log-out").await;
    assert_eq!(log_in(&browser, &user.email, VALID_PASSWORD).await.json::<Value>()["status"], "complete");
    assert_status(&browser.delete(&format!("/users/trusted-browsers/{trusted}")).await, 204);
    assert_problem(&browser.delete(&format!("/users/trusted-browsers/{trusted}")).await, 404);

    let elsewhere = api.client();
    log_in(&elsewhere, &user.email, VALID_PASSWORD).await;
    assert_code(&post(&elsewhere, "/users/mfa-challenge", code).await, 422, "wrong_credentials");
    let backup_code = codes.iter().next().expect("a code").to_string();
    let completed = post(&elsewhere, "/users/mfa-challenge", json!({ "code": backup_code })).await;
    assert_eq!(completed.json::<Value>()["backup_codes_left"], 9);
}

#[tokio::test]
async fn an_authenticator_app_can_be_set_up_and_removed() {
    let api = Api::new().await;
    let (user, browser) = api.sudo_fixture().await;
    let begin = "/users/settings/mfa/totp/options";
    assert_code(&browser.post(begin, &[]).await, 403, "confirmation_required");
    api.0.confirm(&user).await;
    let options = browser.post(begin, &[]).await.json::<Value>();
    assert!(options["qr_code"].as_str().is_some_and(|svg| svg.starts_with("<svg")), "{options}");
    let url = options["url"].as_str().expect("an address");
    assert!(url.starts_with("otpauth://totp/"), "{url}");
    let key = options["manual_key"].as_str().expect("a key").replace(' ', "");
    let secret = totp_rs::Secret::try_from_base32(key).expect("a key");
    let app = totp_rs::Builder::new().with_secret(secret).build_noncompliant();
    let code = app.generate(api.clock().now().unix_timestamp().unsigned_abs()).to_string();
    assert_code(
        &post(&browser, "/users/settings/mfa/totp", json!({ "code": "000000" })).await,
        422,
        "wrong_credentials",
    );
    let enrolled = post(&browser, "/users/settings/mfa/totp", json!({ "code": code })).await.json::<Value>();
    assert_eq!(enrolled["backup_codes"].as_array().map(Vec::len), Some(10));

    let factors = browser.get("/users/settings/mfa").await.json::<Value>();
    assert_eq!((&factors["backup_codes"], &factors["required"]), (&json!(10), &json!(false)));
    assert!(factors["totp"]["inserted_at"].is_string(), "{factors}");
    let codes = browser.post("/users/settings/mfa/backup-codes", &[]).await.json::<Value>();
    assert_ne!(codes, enrolled);

    api.clock().advance(std::time::Duration::from_secs(60 * 60));
    assert_code(&browser.delete("/users/settings/mfa/totp").await, 403, "sudo_required");
    assert_code(&post(&browser, "/users/sudo", json!({ "password": VALID_PASSWORD })).await, 422, "wrong_credentials");
    let code = json!({ "code": api.totp_code(&user).await });
    assert_status(&post(&browser, "/users/sudo", code).await, 204);
    assert_status(&browser.delete("/users/settings/mfa/totp").await, 204);
    assert_problem(&browser.delete("/users/settings/mfa/totp").await, 404);
    assert_code(&browser.post("/users/settings/mfa/backup-codes", &[]).await, 409, "no_second_factor");
}

#[tokio::test]
async fn a_user_who_must_have_a_second_factor_sets_one_up_first() {
    let api = Api::new().await;
    let (user, browser) = api.sudo_fixture().await;
    let require = sqlx::query("UPDATE users SET mfa_required = $1 WHERE id = $2").bind(true).bind(user.id);
    require.execute(&api.0.pool).await.expect("required");
    api.sigra().catch_up().await;
    assert_code(&browser.get("/me").await, 403, "second_factor_enrollment_required");
    assert_eq!(browser.get("/users/settings/mfa").await.json::<Value>()["required"], true);
}
// </mfa>

// <passkeys>
/// Real authenticators are tested in the library, and in a browser. This test checks that each challenge belongs to its
/// requester, and that invalid responses are refused.
#[tokio::test]
async fn passkey_options_are_json() {
    let api = Api::new().await;
    let (user, browser) = api.sudo_fixture().await;
    api.0.confirm(&user).await;
    let options = browser.post("/users/settings/passkeys/options", &[]).await.json::<Value>();
    assert!(options["publicKey"].to_string().contains(&user.email), "{options}");
    assert!(browser.post("/users/sudo/passkey/options", &[]).await.json::<Value>().is_null(), "they have none");
    let log_in = api.client().post("/users/log-in/passkey/options", &[]).await.json::<Value>();
    assert!(log_in["publicKey"]["challenge"].is_string(), "{log_in}");

    let id = "AAAAAAAAAAAAAAAAAAAAAA";
    let response = json!({ "clientDataJSON": "e30", "authenticatorData": "AA", "signature": "AA", "userHandle": null });
    let credential = json!({ "id": id, "rawId": id, "type": "public-key", "response": response, "extensions": {} });
    let forged = post(&api.client(), "/users/log-in/passkey", json!({ "credential": credential })).await;
    assert_code(&forged, 401, "wrong_credentials");
    let sudo = post(&browser, "/users/sudo", json!({ "credential": credential })).await;
    assert_code(&sudo, 422, "wrong_credentials");
    let path = format!("/users/settings/passkeys/{}", uuid::Uuid::now_v7());
    assert_problem(&send(&browser, "PUT", &path, &json!({ "name": "Mine" })).await, 404);
    assert_problem(&browser.delete(&path).await, 404);
}
// </passkeys>

#[tokio::test]
async fn an_email_address_must_be_deliverable_and_has_one_form() {
    let api = Api::new().await;
    let registration = |email: &str| json!({ "email": email, "password": VALID_PASSWORD });
    for email in ["ada@example..com", "a@b@example.com", "<ada@example.com>"] {
        let response = post(&api.client(), "/users/register", registration(email)).await;
        assert_status(&response, 422);
        assert!(response.text().contains("Enter a valid email address."), "{}", response.text());
    }
    post(&api.client(), "/users/register", registration("ada@b\u{fc}cher.example")).await;
    let browser = api.client();
    log_in(&browser, "ada@xn--bcher-kva.example", VALID_PASSWORD).await;
    assert_eq!(who(&browser).await.as_deref(), Some("ada@xn--bcher-kva.example"));
}

#[tokio::test]
async fn accounts_with_made_up_tags_keep_no_owner_from_a_link() {
    let api = Api::new().await;
    let owner = api.registered_fixture().await;
    let (local, domain) = owner.email.split_once('@').expect("an address");
    let made_up = format!("{local}+x@{domain}");
    api.register(&made_up, &Password::new(VALID_PASSWORD)).await;
    for email in [&made_up, &made_up, &made_up, &owner.email] {
        assert_status(&post(&api.client(), "/users/reset-password", json!({ "email": email })).await, 202);
        api.0.mails_to(email).await;
    }
    assert_eq!(api.0.mails_to(&owner.email).await.len(), 1);
}

#[tokio::test]
async fn the_mailbox_opens_only_at_localhost() {
    let api = Api::new().await;
    for (name, status) in [("localhost:4000", 200), ("evil.example", 421)] {
        let request = Request::get("/dev/mailbox").header("host", name).body(Body::empty()).expect("a request");
        assert_status(&api.client().send(request).await, status);
    }
}

#[tokio::test]
async fn emails_can_be_read_as_json_in_development() {
    let api = Api::new().await;
    let user = api.registered_fixture().await;
    post(&api.client(), "/users/reset-password", json!({ "email": user.email })).await;
    let mails = api.client().get("/dev/mailbox").await.json::<Value>();
    assert_eq!(mails[0]["to"], user.email);
    assert_eq!(api.client().get("/healthz").await.text(), "ok");
}

// <languages>
/// Returns the German translation of a text.
fn german(text: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/locales/de.po");
    let mut catalog = spiritless_po::Catalog::new();
    catalog.add_str(&std::fs::read_to_string(path).expect("the translations")).expect("translations");
    let translation = catalog.gettext(text);
    assert_ne!(translation, text, "there is no translation");
    translation.to_owned()
}

#[tokio::test]
async fn problems_are_in_the_language_that_the_client_asks_for_and_keep_their_codes() {
    let api = Api::new().await;
    let visitor = api.client().accept_language("de-AT, en;q=0.5");
    let missing = visitor.get("/missing").await;
    assert_eq!(missing.json::<Value>(), json!({ "status": 404, "title": german("Not Found") }));
    assert_eq!(missing.header("content-language"), Some("de"));
    let failed = log_in(&visitor, "a@example.com", "wrong").await;
    let expected = json!({ "status": 401, "title": german("Unauthorized"), "code": "wrong_credentials" });
    assert_eq!(failed.json::<Value>(), expected);
    let weak = post(&visitor, "/users/register", json!({ "email": "none", "password": "short" })).await.json::<Value>();
    assert_eq!(weak["code"], "invalid");
    assert_eq!(weak["title"], german("Unprocessable Entity"));
    assert_eq!(weak["errors"]["email"], german("Enter a valid email address."));
    assert_eq!(
        weak["errors"]["password"],
        german("Your password should be at least {min} characters.").replace("{min}", "15")
    );
    let english = post(&api.client(), "/users/register", json!({ "email": "none", "password": "short" })).await;
    assert_eq!(english.json::<Value>()["title"], "Unprocessable Entity");
    for _ in 0..100 {
        let limited = log_in(&visitor, "a@example.com", "wrong").await;
        if limited.status() == 429 {
            let problem = limited.json::<Value>();
            assert_eq!(problem["code"], "rate_limited");
            let detail = problem["detail"].as_str().expect("a detail");
            let expected = german("Too many attempts. Try again in {count} second.");
            assert!(detail.starts_with(expected.split('{').next().expect("a begin")), "{detail}");
            return;
        }
    }
    panic!("logins are never rate limited");
}

#[tokio::test]
async fn a_user_sets_the_language_of_their_problems_and_emails() {
    let api = Api::new().await;
    let user = api.registered_fixture().await;
    let browser = api.client().accept_language("en");
    log_in(&browser, &user.email, VALID_PASSWORD).await;
    let set = async |language: Value| {
        let body = json!({ "language": language });
        send(&browser, "PUT", "/users/settings/language", &body).await
    };
    assert_status(&set(json!("de")).await, 204);
    let chosen = browser.get("/users/settings/language").await.json::<Value>();
    assert_eq!(chosen["language"], "de");
    assert_eq!(chosen["languages"][0], json!({ "tag": "en", "name": "English", "direction": "ltr" }));
    assert_eq!(chosen["languages"][1], json!({ "tag": "de", "name": "Deutsch", "direction": "ltr" }));
    assert_eq!(browser.get("/missing").await.json::<Value>()["title"], german("Not Found"));
    post(&api.client(), "/users/reset-password", json!({ "email": user.email })).await;
    let mails = api.0.mails_to(&user.email).await;
    assert_eq!(mails.last().expect("an email").subject, german("Reset your password"));

    let unknown = set(json!("tlh")).await;
    assert_eq!((unknown.status().as_u16(), &unknown.json::<Value>()["code"]), (422, &json!("unknown_language")));
    assert_status(&set(Value::Null).await, 204);
    assert_eq!(browser.get("/missing").await.json::<Value>()["title"], "Not Found");
    assert_problem(&api.client().get("/users/settings/language").await, 401);
}
// </languages>

#[tokio::test]
async fn a_closed_registration_answers_the_same_for_every_address() {
    let api = Api(Host::with(&[("REGISTRATION", "closed")]).await);
    let user = api.registered_fixture().await;
    let refused = async |email: &str, password: &str| {
        let registration = json!({ "email": email, "password": password });
        let response = post(&api.client(), "/users/register", registration).await;
        assert_code(&response, 403, "registration_closed");
        seen(&response)
    };
    let free = refused("new@example.com", VALID_PASSWORD).await;
    for (email, password) in [(&*user.email, VALID_PASSWORD), ("not an address", "short")] {
        assert_eq!(refused(email, password).await, free, "{email}");
    }
    assert!(api.0.accounts.get_user_by_email("new@example.com").await.expect("a result").is_none());
}

// <oauth>
/// Starts an API with a provider whose proofs of email addresses it trusts.
async fn api_with_provider(more: &[(&str, &str)]) -> (Api, TestProvider) {
    let corp = TestProvider::start().await;
    let provider = [
        ("OAUTH_PROVIDERS", "corp"),
        ("OAUTH_CORP_ISSUER", corp.issuer()),
        ("OAUTH_CORP_CLIENT_ID", TestProvider::CLIENT_ID),
        ("OAUTH_CORP_CLIENT_SECRET", TestProvider::CLIENT_SECRET),
        ("OAUTH_CORP_TRUST_EMAILS", "true"),
    ];
    let api = Api(Host::with(&[&provider, more].concat()).await);
    let corp = corp.clock(api.clock().clone());
    (api, corp)
}

/// Sends a browser to the provider, and returns what comes back with it.
async fn visit_provider(corp: &TestProvider, browser: &TestClient, path: &str) -> Value {
    let begun = post(browser, path, json!({})).await.json::<Value>();
    let callback = corp.approve(begun["url"].as_str().expect("a URL"));
    let parameter = |name| callback.parameter(name);
    json!({ "code": parameter("code"), "state": parameter("state"), "iss": parameter("iss") })
}

#[tokio::test]
async fn a_closed_registration_registers_no_account_at_a_provider() {
    let (api, corp) = api_with_provider(&[("REGISTRATION", "closed")]).await;
    let user = api.registered_fixture().await;
    api.0.confirm(&user).await;
    let browser = api.client();
    let visit = async |account: ProviderAccount| {
        corp.log_in_as(account);
        let callback = visit_provider(&corp, &browser, "/users/auth/corp").await;
        post(&browser, "/users/auth/corp/complete", callback).await
    };
    for stranger in [
        ProviderAccount::new("jane").email("jane@example.com", true),
        ProviderAccount::new("jane").email(&user.email, false),
        ProviderAccount::new("jane"),
    ] {
        assert_code(&visit(stranger).await, 403, "registration_closed");
        assert_status(&browser.get("/users/register/provider").await, 404);
    }
    // The identity of a user who hasn't linked it waits, and registers nobody either.
    let owner = visit(ProviderAccount::new("owner").email(&user.email, true)).await;
    assert_eq!(owner.json::<Value>()["status"], "log_in_to_link");
    let waiting = browser.get("/users/register/provider").await.json::<Value>();
    let registration = json!({ "pending": waiting["pending"], "email": "new@example.com" });
    assert_code(&post(&browser, "/users/register/provider", registration).await, 403, "registration_closed");
    let count = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&api.0.pool).await;
    assert_eq!(count.ok(), Some(1_i64));
}

/// The frontend redirects to the provider, serves the callback's page, and passes on what came with it.
#[tokio::test]
async fn a_visitor_can_log_in_at_a_provider_and_link_and_unlink_it() {
    let (api, corp) = api_with_provider(&[]).await;
    let visit = async |browser: &TestClient, path: &str| visit_provider(&corp, browser, path).await;
    let complete = "/users/auth/corp/complete";
    corp.log_in_as(ProviderAccount::new("jane").email("jane@example.com", true));
    let browser = api.client();
    let callback = visit(&browser, "/users/auth/corp").await;
    assert_code(&post(&api.client(), complete, callback.clone()).await, 400, "unknown_flow");
    let outcome = post(&browser, complete, callback.clone()).await.json::<Value>();
    assert_eq!((&outcome["status"], &outcome["user"]["email"]), (&json!("complete"), &json!("jane@example.com")));
    assert_code(&post(&browser, complete, callback).await, 400, "unknown_flow");
    assert_code(
        &post(&browser, complete, json!({ "error": "access_denied", "state": "x" })).await,
        400,
        "unknown_flow",
    );
    assert_status(&post(&browser, "/users/auth/nobody", json!({})).await, 404);

    // Somebody registered with the address before, and never confirmed it.
    let registered = api.registered_fixture().await;
    corp.log_in_as(ProviderAccount::new("owner").email(&registered.email, true));
    let owner = api.client();
    let callback = visit(&owner, "/users/auth/corp").await;
    let outcome = post(&owner, complete, callback).await.json::<Value>();
    assert_eq!((&outcome["status"], &outcome["notices"]), (&json!("complete"), &json!(["account_taken_over"])));

    // Another identity, whose address isn't proven, and the same address of a confirmed account.
    corp.log_in_as(ProviderAccount::new("nameless"));
    let other = api.client();
    let callback = visit(&other, "/users/auth/corp").await;
    assert_eq!(post(&other, complete, callback).await.json::<Value>()["status"], "email_required");
    let waiting = other.get("/users/register/provider").await.json::<Value>();
    let registration = json!({ "pending": waiting["pending"], "email": "new@example.com" });
    assert_status(&post(&other, "/users/register/provider", registration.clone()).await, 204);
    assert_code(&post(&other, "/users/register/provider", registration).await, 404, "bad_link");
    corp.log_in_as(ProviderAccount::new("second").email("jane@example.com", true));
    let callback = visit(&browser, "/users/auth/corp").await;
    assert_eq!(post(&browser, complete, callback).await.json::<Value>()["status"], "log_in_to_link");
    let waiting = browser.get("/users/register/provider").await.json::<Value>();
    let linked = post(&browser, "/users/settings/log-in-methods/link", json!({ "pending": waiting["pending"] })).await;
    assert_eq!(linked.json::<Value>()["status"], "linked");

    corp.log_in_as(ProviderAccount::new("third"));
    let callback = visit(&browser, "/users/settings/log-in-methods/identities/corp").await;
    assert_eq!(post(&browser, complete, callback).await.json::<Value>()["status"], "linked");
    let listed = browser.get("/users/settings/log-in-methods/identities").await.json::<Value>();
    assert_eq!(listed.as_array().map(Vec::len), Some(3));
    let used = listed[0]["last_used_at"].as_str().expect("a time in RFC 3339");
    assert!(used.contains('T') && used.ends_with('Z'), "{used}");
    let activity = browser.get("/users/settings/activity").await.json::<Value>();
    assert_eq!(activity["events"][0]["action"], "auth.identity.linked", "{activity}");
    assert_eq!(activity["events"][0]["provider"], "corp", "{activity}");
    for number in 0..17 {
        corp.log_in_as(ProviderAccount::new(number.to_string()));
        let callback = visit(&browser, "/users/settings/log-in-methods/identities/corp").await;
        assert_eq!(post(&browser, complete, callback).await.json::<Value>()["status"], "linked");
    }
    corp.log_in_as(ProviderAccount::new("one too many"));
    let callback = visit(&browser, "/users/settings/log-in-methods/identities/corp").await;
    assert_code(&post(&browser, complete, callback).await, 409, "too_many_linked_accounts");
    let listed = browser.get("/users/settings/log-in-methods/identities").await.json::<Value>();
    for identity in listed.as_array().expect("a list") {
        let path = format!("/users/settings/log-in-methods/identities/{}", identity["id"].as_str().expect("an id"));
        assert_status(&browser.delete(&path).await, 204);
        assert_status(&browser.delete(&path).await, 404);
    }
    let by_provider = browser.delete("/users/settings/log-in-methods/identities/corp").await;
    assert_problem(&by_provider, 400);
    let callback = visit(&browser, "/users/sudo/provider/corp").await;
    assert_code(&post(&browser, complete, callback).await, 400, "not_your_identity");
}
/// A thief with the password links an account of their own, and takes the email address away.
#[tokio::test]
async fn invariant_18_recovery_unlinks_what_a_thief_has_linked_and_an_identity_shows_no_accounts() {
    const NEW: &str = "a quite different password";
    let corp = TestProvider::start().await;
    let issuer = corp.issuer().to_owned();
    let env = [
        ("OAUTH_PROVIDERS", "corp"),
        ("OAUTH_CORP_ISSUER", &issuer),
        ("OAUTH_CORP_CLIENT_ID", TestProvider::CLIENT_ID),
        ("OAUTH_CORP_CLIENT_SECRET", TestProvider::CLIENT_SECRET),
    ];
    let api = Api(Host::with(&env).await);
    let corp = corp.clock(api.clock().clone());
    corp.log_in_as(ProviderAccount::new("mallory"));
    let visit = async |browser: &TestClient, path: &str| {
        let begun = post(browser, path, json!({})).await.json::<Value>();
        let callback = corp.approve(begun["url"].as_str().expect("a URL"));
        let parameter = |name| callback.parameter(name);
        let callback = json!({ "code": parameter("code"), "state": parameter("state"), "iss": parameter("iss") });
        post(browser, "/users/auth/corp/complete", callback).await.json::<Value>()["status"].clone()
    };
    let (taken, free) = (api.client(), api.client());
    for waits in [&taken, &free] {
        assert_eq!(visit(waits, "/users/auth/corp").await, "email_required");
    }

    let (user, thief) = api.sudo_fixture().await;
    api.0.confirm(&user).await;
    assert_eq!(visit(&thief, "/users/settings/log-in-methods/identities/corp").await, "linked");
    for (browser, email) in [(&taken, user.email.as_str()), (&free, "nobody@example.com")] {
        let waiting = browser.get("/users/register/provider").await.json::<Value>();
        let registration = json!({ "pending": waiting["pending"], "email": email });
        assert_code(&post(browser, "/users/register/provider", registration).await, 404, "bad_link");
    }
    send(&thief, "PUT", "/users/settings/email", &json!({ "email": "thief@example.com" })).await;
    let change = format!("/users/settings/confirm-email/{}", api.token_mailed_to("thief@example.com").await);
    assert_status(&thief.post(&change, &[]).await, 204);
    let link = format!("/users/recover/{}", api.token_mailed_to(&user.email).await);
    assert_status(&send(&api.client(), "PUT", &link, &json!({ "password": NEW })).await, 204);
    assert_eq!(visit(&thief, "/users/auth/corp").await, "email_required", "it opens no account any more");
}
// </oauth>

// <api_tokens>
#[tokio::test]
async fn a_user_creates_lists_and_revokes_access_tokens() {
    const PATH: &str = "/users/settings/tokens";
    let api = Api::new().await;
    let (user, browser) = api.authenticated_fixture().await;
    let listed = browser.get(PATH).await.json::<Value>();
    assert_eq!((&listed["tokens"], &listed["can_create"]), (&json!([]), &json!(true)));
    let read = json!({ "name": "projects:read", "description": "See your projects" });
    assert_eq!(listed["permissions"][0], read);

    for (sent, field) in [
        (json!({ "permissions": ["projects:read"], "expires_in_days": 30 }), "name"),
        (json!({ "name": "a", "permissions": [], "expires_in_days": 30 }), "permissions"),
        (json!({ "name": "a", "permissions": ["admin"], "expires_in_days": 30 }), "permissions"),
        (json!({ "name": "a", "permissions": ["projects:read"] }), "expires_in_days"),
        (json!({ "name": "a", "permissions": ["projects:read"], "expires_in_days": null }), "expires_in_days"),
        (json!({ "name": "a", "permissions": ["projects:read"], "expires_in_days": 0 }), "expires_in_days"),
    ] {
        let refused = post(&browser, PATH, sent).await;
        assert_code(&refused, 422, "invalid");
        assert!(refused.json::<Value>()["errors"][field].is_string(), "{refused:?}");
    }

    let sent = json!({ "name": "Script", "permissions": ["projects:read"], "expires_in_days": "never" });
    let created = post(&browser, PATH, sent).await;
    assert_status(&created, 201);
    assert_eq!(created.header("cache-control"), Some("no-store"));
    let created = created.json::<Value>();
    let secret = created["secret"].as_str().expect("a secret");
    let program = api.client().bearer(secret);
    // <app>
    let me = program.get("/api/me").await;
    assert_eq!(me.json::<Value>(), json!({ "email": user.email, "permissions": ["projects:read"] }));
    // </app>
    // A token can't create, list or revoke tokens, nor see or end sessions.
    for (method, path) in [("POST", PATH), ("GET", PATH), ("GET", "/users/sessions"), ("DELETE", "/users/sessions")] {
        assert_status(&send(&program, method, path, &json!({})).await, 401);
    }

    let listed = browser.get(PATH).await;
    assert!(!listed.text().contains(secret), "{listed:?}");
    let token = &listed.json::<Value>()["tokens"][0];
    assert_eq!(
        (&token["name"], &token["expires_at"], &token["expired"]),
        (&json!("Script"), &Value::Null, &json!(false))
    );
    let path = format!("{PATH}/{}", token["id"].as_str().expect("an ID"));
    let (_, thief) = api.authenticated_fixture().await;
    assert_problem(&thief.delete(&path).await, 404);
    assert_status(&browser.delete(&path).await, 204);
    assert_eq!(browser.get(PATH).await.json::<Value>()["tokens"], json!([]));
}

#[tokio::test]
async fn logging_out_everywhere_revokes_access_tokens_if_asked() {
    let api = Api::new().await;
    let user = api.registered_fixture().await;
    let browser = api.log_in(&user).await;
    let sent = json!({ "name": "Script", "permissions": ["projects:read"], "expires_in_days": 30 });
    let created = post(&browser, "/users/settings/tokens", sent).await.json::<Value>();
    let secret = created["secret"].as_str().expect("a secret");
    let is_valid = async || api.sigra().fetch_bearer(secret, None).await.expect("a result").is_some();
    assert_status(&browser.delete("/users/sessions").await, 204);
    assert!(is_valid().await);
    let sent = json!({ "revoke_api_tokens": true });
    assert_status(&send(&api.log_in(&user).await, "DELETE", "/users/sessions", &sent).await, 204);
    assert!(!is_valid().await);
}
// </api_tokens>

// <oauth_server>
/// What a program asks for.
const AUTHORIZE: &str = "/oauth/authorize?response_type=code&client_id=my_app_cli\
    &redirect_uri=http://127.0.0.1:1/callback&scope=projects:read\
    &code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";

#[tokio::test]
async fn a_frontend_shows_what_a_program_asks_for_and_sends_the_decision() {
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let api = Api::new().await;
    let (_, browser) = api.authenticated_fixture().await;
    assert_status(&api.client().get(AUTHORIZE).await, 401);
    let asked: Value = browser.get(AUTHORIZE).await.json();
    assert_eq!((&asked["status"], &asked["client"]["name"]), (&json!("ask"), &json!("MyApp CLI")));
    assert_eq!(asked["permissions"], json!([{ "name": "projects:read", "description": "See your projects" }]));
    assert_eq!(asked["resource"], Value::Null, "the whole application");
    assert_eq!((&asked["lifetime"], &asked["local"]), (&json!(90 * 24 * 60 * 60), &json!(true)));
    let denied: Value = post(&browser, AUTHORIZE, json!({ "decision": "deny" })).await.json();
    assert!(denied["url"].as_str().expect("a URL").contains("error=access_denied"));
    let (other, _) = api.authenticated_fixture().await;
    let of_another = json!({ "decision": "allow", "shown_to": other.id.to_string() });
    assert_code(&post(&browser, AUTHORIZE, of_another).await, 409, "other_user");
    let allow = json!({ "decision": "allow", "shown_to": asked["user"] });
    let next: Value = post(&browser, AUTHORIZE, allow).await.json();
    let (_, code) = next["url"].as_str().expect("a URL").split_once("?code=").expect("a code");
    let program = api.client().user_agent("my_app_cli/1.0 (linux)");
    let exchange = |code: &str| {
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", "my_app_cli"),
            ("code", code),
            ("code_verifier", VERIFIER),
        ];
        program.post("/oauth/token", &form)
    };
    let tokens: Value = exchange(code.split('&').next().expect("a code")).await.json();
    let token = tokens["access_token"].as_str().expect("a token");
    assert_status(&api.client().bearer(token).get("/api/me").await, 200);
    let devices: Value = browser.get("/users/sessions").await.json();
    assert_eq!(devices["programs"][0]["device"], "MyApp CLI on Linux");
    let id = devices["programs"][0]["id"].as_str().expect("an ID").to_owned();
    assert_status(&browser.delete(&format!("/users/programs/{id}")).await, 204);
    assert_status(&browser.delete(&format!("/users/programs/{id}")).await, 404);
    assert_status(&api.client().bearer(token).get("/api/me").await, 401);
    assert_code(&browser.get(&AUTHORIZE.replace("127.0.0.1", "evil.example")).await, 400, "unknown_program");
}

#[tokio::test]
async fn a_frontend_asks_for_the_code_of_a_device() {
    let api = Api::new().await;
    let (_, browser) = api.authenticated_fixture().await;
    let program = api.client().user_agent("my_app_cli/1.0 (linux)");
    let begun: Value = program.post("/oauth/device_authorization", &[("client_id", "my_app_cli")]).await.json();
    let user_code = &begun["user_code"];
    assert_status(&post(&browser, "/device", json!({ "user_code": "BCDF-GHJK" })).await, 404);
    let waiting: Value = post(&browser, "/device", json!({ "user_code": user_code })).await.json();
    assert_eq!((&waiting["client"]["name"], &waiting["system"]), (&json!("MyApp CLI"), &json!("Linux")));
    assert_eq!(waiting["lifetime"], 90 * 24 * 60 * 60);
    let decision = json!({ "user_code": user_code, "decision": "allow" });
    assert_status(&post(&browser, "/device/decision", decision.clone()).await, 204);
    assert_status(&post(&browser, "/device/decision", decision).await, 404);
    let grant_type = "urn:ietf:params:oauth:grant-type:device_code";
    let device_code = begun["device_code"].as_str().expect("a code");
    let form = [("grant_type", grant_type), ("client_id", "my_app_cli"), ("device_code", device_code)];
    let tokens: Value = program.post("/oauth/token", &form).await.json();
    let token = tokens["access_token"].as_str().expect("a token");
    assert_status(&api.client().bearer(token).get("/api/me").await, 200);
}

#[tokio::test]
async fn a_frontend_asks_for_the_password_again_before_it_gives_a_program_access() {
    let api = Api::new().await;
    let (_, browser) = api.authenticated_fixture().await;
    api.clock().advance(std::time::Duration::from_secs(20 * 60));
    let begun: Value = api.client().post("/oauth/device_authorization", &[("client_id", "my_app_cli")]).await.json();
    let decision = json!({ "user_code": begun["user_code"], "decision": "allow" });
    for (path, body) in [(AUTHORIZE, json!({ "decision": "allow" })), ("/device", decision.clone())] {
        assert_code(&post(&browser, path, body).await, 403, "sudo_required");
    }
    assert_code(&post(&browser, "/device/decision", decision).await, 403, "sudo_required");
    assert_status(&post(&browser, AUTHORIZE, json!({ "decision": "deny" })).await, 200);
    assert_status(&post(&browser, "/users/sudo", json!({ "password": VALID_PASSWORD })).await, 204);
    assert_status(&post(&browser, AUTHORIZE, json!({ "decision": "allow" })).await, 200);
}

#[tokio::test]
async fn a_frontend_says_that_a_program_must_end_before_another_gets_access() {
    let api = Api::new().await;
    let (user, browser) = api.authenticated_fixture().await;
    for _ in 0..100 {
        api.program_client(&user, "my_app_cli", &["projects:read"]).await;
    }
    assert_code(&post(&browser, AUTHORIZE, json!({ "decision": "allow" })).await, 409, "too_many_programs");
    let begun: Value = api.client().post("/oauth/device_authorization", &[("client_id", "my_app_cli")]).await.json();
    assert_status(&post(&browser, "/device", json!({ "user_code": begun["user_code"] })).await, 200);
    let decision = json!({ "user_code": begun["user_code"], "decision": "allow" });
    assert_code(&post(&browser, "/device/decision", decision).await, 409, "too_many_programs");
    let devices: Value = browser.get("/users/sessions").await.json();
    assert_eq!(devices["programs"].as_array().map(Vec::len), Some(100));
}
// </oauth_server>
