//! Programs that users give access: the pages and the endpoints.

use std::time::Duration;

use crate::support::Host;
// <mfa>
use crate::support::enroll;
// </mfa>
use axum::{body::Body, http::Request};
use serde_json::{Value, json};
use sigra::{
    oauth_server::{AuthorizationServer, OauthClient},
    testing::{
        TestClient, TestHost, TestResponse, VALID_PASSWORD, assert_contains, assert_email_sent, assert_no_email_sent,
        assert_redirected_to, assert_status,
    },
};
use url::{Url, form_urlencoded};

const CLIENT: &str = "my_app_cli";
const CALLBACK: &str = "http://127.0.0.1:49152/callback";

/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

fn authorize_path(redirect_uri: &str) -> String {
    let parameters = [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", redirect_uri),
        ("scope", "projects:read"),
        ("state", "xyz"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    format!("/oauth/authorize?{}", form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish())
}

fn program(host: &Host) -> TestClient {
    host.client().user_agent("my_app_cli/1.0 (linux)").json()
}

fn field(response: &TestResponse, name: &str) -> String {
    response.json::<Value>()[name].as_str().unwrap_or_else(|| panic!("no {name} in {response:?}")).to_owned()
}

/// Returns a parameter of the URL that a browser is sent to.
fn answer(url: &str, name: &str) -> Option<String> {
    let url = Url::parse(url).expect("a URL");
    url.query_pairs().find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

async fn exchange(host: &Host, code: &str) -> TestResponse {
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", CALLBACK),
    ];
    program(host).post("/oauth/token", &form).await
}

/// Allows a program what it asks for, and returns its code.
async fn allow(browser: &TestClient) -> String {
    let allowed = browser.post(&authorize_path(CALLBACK), &[("user[decision]", "allow")]).await;
    assert_status(&allowed, 303);
    answer(allowed.location().expect("a URL"), "code").expect("a code")
}

/// The form with which a program exchanges the code that a user gave it.
pub async fn exchange_form(browser: &TestClient) -> String {
    let code = allow(browser).await;
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", CLIENT),
        ("code", code.as_str()),
        ("code_verifier", VERIFIER),
    ];
    form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish()
}

/// Gives a program access, and returns its access token.
async fn give_access(host: &Host, browser: &TestClient) -> String {
    field(&exchange(host, &allow(browser).await).await, "access_token")
}

/// Logs a program in with a code that a user enters. Returns the response with its tokens.
async fn connect(host: &Host, browser: &TestClient) -> TestResponse {
    let begun = program(host).post("/oauth/device_authorization", &[("client_id", CLIENT)]).await;
    let (device_code, user_code) = (field(&begun, "device_code"), field(&begun, "user_code"));
    assert_status(&browser.post("/device", &[("user[user_code]", &user_code)]).await, 200);
    let allow = [("user[user_code]", user_code.as_str()), ("user[decision]", "allow")];
    assert_redirected_to(&browser.post("/device/decision", &allow).await, "/users/sessions");
    let form = [("grant_type", DEVICE_CODE), ("client_id", CLIENT), ("device_code", &device_code)];
    program(host).post("/oauth/token", &form).await
}

/// Waits until the login is no longer a recent one.
fn wait_until_sudo_ends(host: &Host) {
    host.clock().advance(Duration::from_secs(20 * 60));
}

async fn confirm_password(browser: &TestClient) -> TestResponse {
    browser.post("/users/sudo", &[("user[password]", VALID_PASSWORD)]).await
}

async fn is_open(host: &Host, token: &str) -> bool {
    host.client().json().bearer(token).get("/api/me").await.status() == 200
}

#[tokio::test]
async fn a_user_logs_in_gives_a_program_access_and_ends_it_on_the_devices_page() {
    let host = Host::new().await;
    let (user, password) = (host.registered_fixture().await, sigra::testing::VALID_PASSWORD);
    let browser = host.client();
    let path = authorize_path(CALLBACK);
    assert_redirected_to(&browser.get(&path).await, "/users/log-in");
    let logged_in = browser.post("/users/log-in", &crate::support::login_form(&user.email, password)).await;
    assert_redirected_to(&logged_in, &path);

    let page = browser.get(&path).await;
    assert_contains(&page, "Give MyApp CLI access?");
    assert_contains(&page, "See your projects");
    assert_contains(&page, &user.email);
    assert!(!page.text().contains("Create, change and delete your projects"));
    assert_eq!(page.header("cache-control"), Some("no-store"));

    let token = give_access(&host, &browser).await;
    assert!(is_open(&host, &token).await);
    let devices = browser.get("/users/sessions").await;
    assert_contains(&devices, "MyApp CLI on Linux");
    let text = devices.text();
    let (_, rest) = text.split_once("action=\"/users/programs/").expect("a button");
    let id = rest.split_once('"').expect("the end").0;
    let (_, other) = host.authenticated_fixture().await;
    assert_status(&other.delete(&format!("/users/programs/{id}")).await, 404);
    assert_redirected_to(&browser.delete(&format!("/users/programs/{id}")).await, "/users/sessions");
    assert!(!is_open(&host, &token).await);
    assert!(!browser.get("/users/sessions").await.text().contains("MyApp CLI"));
    assert_contains(&browser.get("/users/settings/activity").await, "Gave a program access");
}

#[tokio::test]
async fn the_consent_page_cannot_be_framed_and_its_form_leads_only_to_the_program() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let others = |policy: &str| {
        let directives = policy.split("; ").filter(|directive| !directive.starts_with("form-action "));
        directives.map(str::to_owned).collect::<Vec<_>>()
    };
    let of_home = others(browser.get("/").await.header("content-security-policy").expect("a policy"));
    assert!(of_home.len() > 5, "{of_home:?}");
    for (redirect_uri, source) in [
        (CALLBACK, "form-action 'self' http://127.0.0.1:49152;"),
        ("http://[::1]:1/callback", "form-action 'self' http:;"),
    ] {
        let page = browser.get(&authorize_path(redirect_uri)).await;
        let policy = page.header("content-security-policy").expect("a policy");
        assert!(policy.contains(source) && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert_eq!(others(policy), of_home);
        assert_eq!(page.header("x-frame-options"), Some("DENY"));
    }
}

#[tokio::test]
async fn a_user_reads_which_part_of_the_application_access_is_limited_to() {
    const LIMIT: &str = "Its access is limited to http://localhost:4000/mcp.";
    let mcp = "http://localhost:4000/mcp";
    let client = OauthClient::new(CLIENT, "MyApp CLI").redirect_uri("http://127.0.0.1/callback").device_flow(true);
    let server = AuthorizationServer::new("http://localhost:4000").resource(mcp).client(client);
    let host = Host::configured(|config| config.oauth_server(server)).await;
    let (user, browser) = host.authenticated_fixture().await;
    assert!(!browser.get(&authorize_path(CALLBACK)).await.text().contains("Its access is limited"));
    let path = format!("{}&resource={mcp}", authorize_path(CALLBACK));
    assert_contains(&browser.get(&path).await, LIMIT);
    let form = [("client_id", CLIENT), ("resource", mcp)];
    let begun = program(&host).post("/oauth/device_authorization", &form).await;
    let entered = browser.post("/device", &[("user[user_code]", &field(&begun, "user_code"))]).await;
    assert_contains(&entered, LIMIT);

    let allowed = browser.post(&path, &[("user[decision]", "allow")]).await;
    let code = answer(allowed.location().expect("a URL"), "code").expect("a code");
    assert_status(&exchange(&host, &code).await, 200);
    assert_contains(&browser.get("/users/sessions").await, LIMIT);
    let mail = assert_email_sent(host.accounts.mailer(), &user.email, "A program got access to your account").await;
    assert!(mail.text.contains(LIMIT), "{mail:?}");
}

#[tokio::test]
async fn invariant_8_another_site_cannot_give_access_for_the_user() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    for path in [&authorize_path(CALLBACK), "/device", "/device/decision"] {
        let request =
            Request::post(path).header("sec-fetch-site", "cross-site").header("origin", "https://evil.example");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        assert_status(&browser.send(request.body(Body::from("user[decision]=allow")).expect("a request")).await, 403);
    }
}

#[tokio::test]
async fn a_program_that_is_unknown_is_never_redirected_to() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let unknown = browser.get(&authorize_path("https://evil.example/callback")).await;
    assert_status(&unknown, 400);
    assert_eq!(unknown.location(), None);
    assert_contains(&unknown, "It didn't get access.");
    assert!(!unknown.text().contains("evil.example"));
    let posted = browser.post(&authorize_path("https://evil.example/callback"), &[("user[decision]", "allow")]).await;
    assert_status(&posted, 400);
}

/// Another tab has logged the browser in as somebody else since.
#[tokio::test]
async fn invariant_19_a_user_gives_only_what_was_shown_to_them() {
    let host = Host::new().await;
    let (shown_to, browser) = host.authenticated_fixture().await;
    let path = authorize_path(CALLBACK);
    let page = browser.get(&path).await.text();
    let (_, rest) = page.split_once("name=\"user[shown_to]\" value=\"").expect("a field");
    let shown = rest.split_once('"').expect("its end").0.to_owned();
    assert_eq!(shown, shown_to.id.to_string());
    let allow = [("user[decision]", "allow"), ("user[shown_to]", shown.as_str())];
    assert_status(&browser.post(&path, &allow).await, 303);

    let other = host.registered_fixture().await;
    let form = crate::support::login_form(&other.email, sigra::testing::VALID_PASSWORD);
    assert_status(&browser.post("/users/log-in", &form).await, 303);
    let asked_again = browser.post(&path, &allow).await;
    assert_status(&asked_again, 422);
    assert_contains(&asked_again, &other.email);
    assert!(asked_again.header("content-security-policy").is_some_and(|policy| policy.contains("127.0.0.1:49152")));
}

#[tokio::test]
async fn a_request_that_is_too_long_to_return_to_is_refused_before_the_login() {
    let host = Host::new().await;
    let path = authorize_path(CALLBACK).replace("state=xyz", &format!("state={}", "x".repeat(2100)));
    let refused = host.client().get(&path).await;
    assert_status(&refused, 414);
    assert_contains(&refused, "2048 characters");
}

#[tokio::test]
async fn a_user_who_cancels_gives_nothing() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let denied = browser.post(&authorize_path(CALLBACK), &[("user[decision]", "deny")]).await;
    let url = denied.location().expect("a URL").to_owned();
    assert_eq!((answer(&url, "error").as_deref(), answer(&url, "code")), (Some("access_denied"), None));
    assert_status(&browser.post(&authorize_path(CALLBACK), &[]).await, 422);
}

/// Browsers apply the policy of our form to where its redirects lead.
#[tokio::test]
async fn after_a_form_of_ours_a_page_leads_back_to_the_program() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let path = authorize_path(CALLBACK).replace("projects", "x");
    let page = browser.get(&path).await;
    assert_status(&page, 200);
    assert!(page.header("refresh").is_some_and(|refresh| refresh.starts_with("0; url=http://127.0.0.1:49152/")));
    let request = Request::get(&path).header("sec-fetch-site", "cross-site").body(Body::empty());
    let direct = browser.send(request.expect("a request")).await;
    assert_status(&direct, 303);
    assert_eq!(answer(direct.location().expect("a URL"), "error").as_deref(), Some("invalid_scope"));
}

#[tokio::test]
async fn a_device_is_connected_by_its_code_in_the_session_that_entered_it() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let begun = program(&host).post("/oauth/device_authorization", &[("client_id", CLIENT)]).await;
    let (device_code, user_code) = (field(&begun, "device_code"), field(&begun, "user_code"));
    let complete = field(&begun, "verification_uri_complete");
    let path = complete.strip_prefix("http://localhost:4000").expect("our URL");
    assert_contains(&browser.get(path).await, &format!("value=\"{user_code}\""));
    assert_contains(&browser.get(path).await, "they are trying to get into your account");

    let wrong = browser.post("/device", &[("user[user_code]", "BCDF-GHJK")]).await;
    assert_status(&wrong, 422);
    assert_contains(&wrong, "No program is waiting with that code.");
    let entered = browser.post("/device", &[("user[user_code]", &user_code.to_lowercase())]).await;
    for words in ["Give MyApp CLI access?", "on Linux", "127.0.0.1", "Did somebody send you the code?"] {
        assert_contains(&entered, words);
    }
    let allow = [("user[user_code]", user_code.as_str()), ("user[decision]", "allow")];
    let (_, thief) = host.authenticated_fixture().await;
    assert_redirected_to(&thief.post("/device/decision", &allow).await, "/device");
    assert_redirected_to(&browser.post("/device/decision", &allow).await, "/users/sessions");
    assert_contains(
        &browser.get("/users/sessions").await,
        "MyApp CLI can now access your account. Go back to it. Once it has logged in",
    );
    let form = [("grant_type", DEVICE_CODE), ("client_id", CLIENT), ("device_code", &device_code)];
    assert!(is_open(&host, &field(&program(&host).post("/oauth/token", &form).await, "access_token")).await);
}

#[tokio::test]
async fn a_user_who_enters_too_many_codes_must_wait() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    for _ in 0..10 {
        assert_status(&browser.post("/device", &[("user[user_code]", "BCDF-GHJK")]).await, 422);
    }
    let later = browser.post("/device", &[("user[user_code]", "BCDF-GHJK")]).await;
    assert_status(&later, 429);
    assert_contains(&later, "Try again in 30 seconds.");
}

#[tokio::test]
async fn a_user_is_emailed_once_when_a_program_gets_access() {
    const SUBJECT: &str = "A program got access to your account";
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let code = allow(&browser).await;
    assert_no_email_sent(host.accounts.mailer(), &user.email).await;
    let tokens = exchange(&host, &code).await;
    let refresh_token = field(&tokens, "refresh_token");
    let form = [("grant_type", "refresh_token"), ("client_id", CLIENT), ("refresh_token", &refresh_token)];
    assert_status(&program(&host).post("/oauth/token", &form).await, 200);
    let mail = assert_email_sent(host.accounts.mailer(), &user.email, SUBJECT).await;
    let html = mail.html.as_deref().expect("HTML");
    for words in ["MyApp CLI on Linux", "See your projects", "http://localhost:4000/users/sessions", "If this wasn"] {
        assert!(mail.text.contains(words) && html.contains(words), "{words} is missing: {mail:?}");
    }
    assert!(!mail.text.contains("verified"), "it is a program of ours");
    assert_eq!(host.mails_to(&user.email).await.len(), 1);

    assert_status(&connect(&host, &browser).await, 200);
    assert_eq!(host.mails_to(&user.email).await.len(), 2);
}

// <languages>
/// Somebody else may have started the program, and chosen its language.
#[tokio::test]
async fn the_email_about_a_program_is_in_the_language_of_its_user() {
    let host = Host::new().await;
    for (language, subject) in
        [("", "A program got access to your account"), ("de", "Ein Programm hat Zugriff auf Ihr Konto erhalten")]
    {
        let (user, browser) = host.authenticated_fixture().await;
        assert_status(&browser.put("/users/settings/language", &[("user[language]", language)]).await, 303);
        let code = allow(&browser).await;
        let form = [
            ("grant_type", "authorization_code"),
            ("client_id", CLIENT),
            ("code", code.as_str()),
            ("code_verifier", VERIFIER),
        ];
        assert_status(&program(&host).accept_language("de").post("/oauth/token", &form).await, 200);
        let mail = assert_email_sent(host.accounts.mailer(), &user.email, subject).await;
        assert_eq!(mail.text.contains("Ihre Projekte sehen"), language == "de", "{}", mail.text);
    }
}
// </languages>

#[tokio::test]
async fn giving_access_requires_a_recent_login_and_goes_on_after_it() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let path = authorize_path(CALLBACK);
    wait_until_sudo_ends(&host);
    assert_redirected_to(&browser.get(&path).await, "/users/sudo");
    assert_redirected_to(&confirm_password(&browser).await, &path);
    assert_contains(&browser.get(&path).await, "Give MyApp CLI access?");

    // The page was open for long.
    wait_until_sudo_ends(&host);
    assert_redirected_to(&browser.post(&path, &[("user[decision]", "allow")]).await, "/users/sudo");
    assert_redirected_to(&confirm_password(&browser).await, &path);
    let token = give_access(&host, &browser).await;
    assert!(is_open(&host, &token).await);

    wait_until_sudo_ends(&host);
    let denied = browser.post(&path, &[("user[decision]", "deny")]).await;
    let error = answer(denied.location().expect("a URL"), "error");
    assert_eq!(error.as_deref(), Some("access_denied"), "nothing is given, so nothing is asked");
}

/// Somebody who is talked into entering a code has a moment to think about it (RFC 8628 section 5.4).
#[tokio::test]
async fn connecting_a_device_requires_a_recent_login() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    wait_until_sudo_ends(&host);
    let begun = program(&host).post("/oauth/device_authorization", &[("client_id", CLIENT)]).await;
    let (device_code, user_code) = (field(&begun, "device_code"), field(&begun, "user_code"));
    let path = format!("/device?user_code={user_code}");
    assert_redirected_to(&browser.get(&path).await, "/users/sudo");
    let allow = [("user[user_code]", user_code.as_str()), ("user[decision]", "allow")];
    for (path, form) in [("/device", &allow[..1]), ("/device/decision", &allow[..])] {
        assert_redirected_to(&browser.post(path, form).await, "/users/sudo");
    }
    let form = [("grant_type", DEVICE_CODE), ("client_id", CLIENT), ("device_code", &device_code)];
    let polled = program(&host).post("/oauth/token", &form).await;
    assert_eq!(field(&polled, "error"), "authorization_pending");

    assert_redirected_to(&confirm_password(&browser).await, "/device");
    wait_until_sudo_ends(&host);
    assert_redirected_to(&browser.get(&path).await, "/users/sudo");
    assert_redirected_to(&confirm_password(&browser).await, &path);
    assert_status(&connect(&host, &browser).await, 200);
}

#[tokio::test]
async fn a_user_who_gave_access_to_100_programs_must_end_one_first() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let code = allow(&browser).await;
    for _ in 0..100 {
        host.program_client(&user, CLIENT, &["projects:read"]).await;
    }
    assert_eq!(field(&exchange(&host, &code).await, "error"), "invalid_grant");
    let refused = browser.post(&authorize_path(CALLBACK), &[("user[decision]", "allow")]).await;
    assert_redirected_to(&refused, "/users/sessions");
    let devices = browser.follow(&refused).await;
    assert_contains(&devices, "You can give access to at most 100 programs.");
    let text = devices.text();
    let programs: Vec<&str> = text.split("action=\"/users/programs/").skip(1).collect();
    assert_eq!(programs.len(), 100, "all are listed");
    let id = programs[0].split_once('"').expect("the end").0;
    assert_redirected_to(&browser.delete(&format!("/users/programs/{id}")).await, "/users/sessions");
    let token = give_access(&host, &browser).await;
    assert!(is_open(&host, &token).await);
}

#[tokio::test]
async fn a_user_who_gave_access_to_100_programs_connects_no_device() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    for _ in 0..100 {
        host.program_client(&user, CLIENT, &["projects:read"]).await;
    }
    let begun = program(&host).post("/oauth/device_authorization", &[("client_id", CLIENT)]).await;
    let user_code = field(&begun, "user_code");
    browser.post("/device", &[("user[user_code]", &user_code)]).await;
    let allow = [("user[user_code]", user_code.as_str()), ("user[decision]", "allow")];
    let refused = browser.post("/device/decision", &allow).await;
    assert_redirected_to(&refused, "/users/sessions");
    assert_contains(&browser.follow(&refused).await, "You can give access to at most 100 programs.");
}

#[tokio::test]
async fn logging_out_everywhere_can_end_programs_too() {
    let host = Host::new().await;
    for (fields, status) in [(&[][..], 200), (&[("user[revoke_api_tokens]", "true")][..], 401)] {
        let (user, browser) = host.authenticated_fixture().await;
        let program = host.program_client(&user, CLIENT, &["projects:read"]).await;
        browser.post("/users/sessions", &[&[("_method", "delete")], fields].concat()).await;
        assert_status(&program.get("/api/me").await, status);
    }
}

#[tokio::test]
async fn invariant_9_a_new_password_ends_programs() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let program = host.program_client(&user, CLIENT, &["projects:read"]).await;
    assert_status(&program.get("/api/me").await, 200);
    let mut tx = host.sigra().begin().await.expect("a transaction");
    let revoked = host.sigra().sessions().end_all_access_in(&mut tx, &user.id, None).await.expect("deleted");
    tx.commit().await.expect("committed");
    host.sigra().sessions().announce(revoked);
    assert_status(&program.get("/api/me").await, 401);
}

// <mfa>
/// A thief with a copy of the cookies may have given their own program access.
#[tokio::test]
async fn a_first_second_factor_ends_programs_like_all_other_browsers() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    host.confirm(&user).await;
    let token = give_access(&host, &browser).await;
    assert_status(&enroll(&host, &browser).await, 200);
    assert!(!is_open(&host, &token).await);
    let token = give_access(&host, &browser).await;
    host.clock().advance(std::time::Duration::from_secs(60));
    assert_redirected_to(&enroll(&host, &browser).await, "/users/settings/mfa");
    assert!(is_open(&host, &token).await, "another app ends nothing");
}
// </mfa>

#[tokio::test]
async fn pages_of_other_origins_can_call_the_endpoints_and_no_cookie_counts() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    for path in ["/oauth/token", "/oauth/revoke", "/oauth/introspect", "/oauth/device_authorization", "/oauth/register"]
    {
        let foreign = |method: &str| {
            let request = Request::builder().method(method).uri(path).header("sec-fetch-site", "cross-site");
            request.header("origin", "https://spa.example").body(Body::empty()).expect("a request")
        };
        let preflight = browser.send(foreign("OPTIONS")).await;
        assert_status(&preflight, 204);
        assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
        assert_eq!(preflight.header("access-control-allow-credentials"), None);
        let posted = browser.send(foreign("POST")).await;
        assert_eq!(posted.header("access-control-allow-origin"), Some("*"), "{posted:?}");
        assert!(posted.json::<Value>()["error"].is_string());
        assert!(posted.set_cookies().is_empty());
    }
}

/// The page sends them from the IP address of its reader, and of everyone else in their office.
#[tokio::test]
async fn a_page_of_another_origin_cannot_use_up_its_readers_logins() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let mut refused = 0;
    for path in ["/oauth/device_authorization", "/oauth/register"].repeat(120) {
        let request =
            Request::post(path).header("sec-fetch-site", "cross-site").header("origin", "https://evil.example");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.body(Body::from("client_id=x")).expect("a request");
        refused += usize::from(host.client().send(request).await.status() == 429);
    }
    assert!(refused > 0, "the endpoints have a limit of their own");
    assert!(host.can_log_in(&user.email, sigra::testing::VALID_PASSWORD).await);
}

#[tokio::test]
async fn programs_find_the_endpoints() {
    let host = Host::new().await;
    let refused = host.client().json().get("/api/me").await;
    let challenge = refused.header("www-authenticate").expect("a challenge").to_owned();
    let url = "http://localhost:4000/.well-known/oauth-protected-resource";
    assert!(challenge.contains(&format!("resource_metadata=\"{url}\"")), "{challenge}");
    let resource: Value = host.client().get("/.well-known/oauth-protected-resource").await.json();
    assert_eq!(resource["authorization_servers"], json!(["http://localhost:4000"]));
    let server: Value = host.client().get("/.well-known/oauth-authorization-server").await.json();
    assert_eq!(server["authorization_endpoint"], "http://localhost:4000/oauth/authorize");
    assert_eq!(server.get("registration_endpoint"), None, "programs can't register");
    assert_status(&host.client().get("/.well-known/oauth-protected-resource/other").await, 404);
}
