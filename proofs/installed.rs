//! Accounts in an application that has its own routes.

use crate::support::{Host, TestDatabase, login_form};
use std::time::Duration;

use axum::{
    Json, Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
    routing::{get, post},
};
use my_app::{
    accounts::User,
    config::{AppEnv, ENV_PREFIX, Settings, Variables, database_url::DEFAULT_URL},
    database::{self, Connection, Pool},
    mount,
};
use serde_json::Value;
use sigra::{
    Bearer, CookieSession, Scope, Sudo,
    testing::{TestClient, TestHost, TestResponse, assert_contains, assert_redirected_to, assert_status},
};
use tower_http::set_header::SetResponseHeaderLayer;

async fn hello(scope: Option<Scope<User>>) -> String {
    scope.map_or_else(|| "hello stranger".to_owned(), |scope| format!("hello {}", scope.user().email))
}

async fn members(scope: Scope<User>) -> String {
    scope.user().email.clone()
}

async fn projects(bearer: Bearer<User>) -> String {
    bearer.user().email.clone()
}

/// An application with a few routes and a fallback, and accounts.
fn beside_own_routes(host: &Host) -> TestClient {
    let own = Router::new()
        .route("/", get(hello))
        .route("/members", get(members))
        .route("/projects", get(projects))
        .route("/users", get(|| async { "the application's own" }))
        .fallback(|| async { "nothing here" });
    TestClient::new(mount::mount(own, host.router(), host.state()))
}

#[tokio::test]
async fn the_applications_own_handlers_know_the_user() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = beside_own_routes(&host);
    assert_contains(&browser.get("/").await, "hello stranger");
    assert_redirected_to(&browser.get("/members").await, "/users/log-in");

    assert_status(&browser.get("/users/log-in").await, 200);
    let response = browser.post("/users/log-in", &login_form(&user.email, sigra::testing::VALID_PASSWORD)).await;
    assert_redirected_to(&response, "/members");
    assert_contains(&browser.get("/members").await, &user.email);

    browser.post("/users/log-out", &[("_method", "delete")]).await;
    assert_redirected_to(&browser.get("/members").await, "/users/log-in");
}

#[tokio::test]
async fn the_applications_own_routes_and_fallback_are_unchanged() {
    let host = Host::new().await;
    let browser = beside_own_routes(&host);
    assert_contains(&browser.get("/users").await, "the application's own");
    let missing = browser.get("/missing").await;
    assert_contains(&missing, "nothing here");
    assert_eq!(missing.header("content-security-policy"), None);
    assert_status(&browser.get("/users/missing").await, 404);
}

#[tokio::test]
async fn links_with_a_token_reach_the_accounts() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = beside_own_routes(&host);
    browser.post("/users/reset-password", &crate::support::email_form(&user.email)).await;
    assert_status(&browser.get(&host.link_to(&user.email).await).await, 200);
}

/// The paths of the router that only the OAuth server has, from its source.
fn paths_of_the_oauth_server() -> Vec<&'static str> {
    let router = include_str!("../crates/cargo-sigra/template/src/web/router.rs");
    let regions = router.split("// <oauth_server>").skip(1).filter_map(|rest| rest.split("// </oauth_server>").next());
    let routes = regions.flat_map(|region| region.split(".route(\"").skip(1)).filter_map(|rest| rest.split('"').next());
    routes.filter(|path| !path.starts_with("/users/")).collect()
}

#[tokio::test]
async fn the_paths_of_the_oauth_server_reach_accounts_and_no_others_beside_them() {
    let host = Host::new().await;
    let browser = beside_own_routes(&host);
    let paths = paths_of_the_oauth_server();
    assert!(paths.contains(&"/oauth/token") && paths.contains(&"/device/decision"), "{paths:?}");
    for path in paths {
        let response = browser.get(&path.replace("{*resource}", "mcp")).await;
        assert!(!response.text().contains("nothing here"), "{path}");
    }
    for path in
        ["/oauth", "/oauth/", "/oauth/callback", "/device/", "/device/1", "/devices", "/.well-known/security.txt"]
    {
        assert_contains(&browser.get(path).await, "nothing here");
    }
}

#[tokio::test]
async fn a_program_logs_in_by_the_addresses_in_the_metadata() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = beside_own_routes(&host);
    let program = beside_own_routes(&host).json();
    let metadata: Value = program.get("/.well-known/oauth-authorization-server").await.json();
    let at = |url: &Value| {
        url.as_str().and_then(|url| url.strip_prefix("http://localhost:4000")).expect("a path").to_owned()
    };
    let client = ("client_id", "my_app_cli");
    let begun: Value = program.post(&at(&metadata["device_authorization_endpoint"]), &[client]).await.json();
    let (page, code) = (at(&begun["verification_uri"]), begun["user_code"].as_str().expect("a code"));

    assert_redirected_to(&browser.get(&page).await, "/users/log-in");
    let log_in = login_form(&user.email, sigra::testing::VALID_PASSWORD);
    assert_redirected_to(&browser.post("/users/log-in", &log_in).await, &page);
    assert_contains(&browser.get(&page).await, "action=\"/device\"");
    assert_contains(&browser.post(&page, &[("user[user_code]", code)]).await, "action=\"/device/decision\"");
    let allow = [("user[user_code]", code), ("user[decision]", "allow")];
    assert_redirected_to(&browser.post("/device/decision", &allow).await, "/users/sessions");

    let device_code = begun["device_code"].as_str().expect("a code");
    let grant = ("grant_type", "urn:ietf:params:oauth:grant-type:device_code");
    let form = [grant, client, ("device_code", device_code)];
    let tokens: Value = program.post(&at(&metadata["token_endpoint"]), &form).await.json();
    assert!(tokens["access_token"].is_string(), "{tokens}");

    // A program without a token is told where to get one.
    let refused = program.get("/projects").await;
    let challenge = refused.header("www-authenticate").expect("a challenge");
    let (_, url) = challenge.split_once("resource_metadata=\"").expect("a URL");
    let resource: Value = program.get(&at(&url.split('"').next().into())).await.json();
    assert_eq!(resource["authorization_servers"][0], metadata["issuer"]);
}

/// A public API for any origin, and routes with extractors.
fn own_api() -> Router {
    let for_all =
        SetResponseHeaderLayer::overriding(header::ACCESS_CONTROL_ALLOW_ORIGIN, header::HeaderValue::from_static("*"));
    Router::new()
        .route("/api/todos", post(async |Json(title): Json<String>| (StatusCode::CREATED, Json(title))).get("[]"))
        .layer(for_all)
        .route("/page", get("a page"))
        .route("/mine", post(async |scope: Scope<User>| scope.user().email.clone()))
        .route("/ours", post(hello))
        .route("/dangerous", post(async |Sudo(scope): Sudo<User>| scope.user().email.clone()))
        .route("/cart", post(async |session: CookieSession| session.put("cart", &1).map(|()| "added")))
}

/// Sends a request as a browser does from a page at another port, such as of a development server.
async fn send_from_elsewhere(browser: &TestClient, method: &Method, path: &str, accept: &str) -> TestResponse {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("origin", "http://localhost:5173")
        .header("sec-fetch-site", "same-site")
        .header("accept", accept)
        .header("content-type", "application/json")
        .body(Body::from("\"Water the plants\""));
    browser.send(request.expect("a request")).await
}

/// A client with the cookies of another browser.
fn with_cookies_of(browser: &TestClient, router: Router) -> TestClient {
    let client = TestClient::new(router);
    for (name, value) in browser.cookies() {
        client.set_cookie(&name, &value);
    }
    client
}

#[tokio::test]
async fn the_applications_own_routes_respond_to_every_origin_as_before() {
    let host = Host::new().await;
    let (_, logged_in) = host.authenticated_fixture().await;
    let installed = || mount::mount(own_api(), host.router(), host.state());
    let comparable = |response: &TestResponse| -> (StatusCode, HeaderMap, String) {
        (response.status(), response.headers().clone(), response.text())
    };
    let before = TestClient::new(own_api());
    for browser in [TestClient::new(installed()), with_cookies_of(&logged_in, installed())] {
        for method in [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::OPTIONS, Method::TRACE] {
            for path in ["/api/todos", "/page", "/missing"] {
                let was = send_from_elsewhere(&before, &method, path, "application/json").await;
                let is = send_from_elsewhere(&browser, &method, path, "application/json").await;
                assert_eq!(comparable(&is), comparable(&was), "{method} {path}");
            }
        }
        let created = send_from_elsewhere(&browser, &Method::POST, "/api/todos", "application/json").await;
        assert_eq!((created.status(), created.header("access-control-allow-origin")), (StatusCode::CREATED, Some("*")));
    }
}

#[tokio::test]
async fn invariant_8_other_origins_cannot_act_as_a_user_at_the_applications_own_routes() {
    let host = Host::new().await;
    let (user, logged_in) = host.authenticated_fixture().await;
    let browser = with_cookies_of(&logged_in, mount::mount(own_api(), host.router(), host.state()));
    let before = browser.cookies();
    for path in ["/mine", "/ours", "/dangerous", "/cart", "/users/log-out", "/users/settings/password"] {
        for accept in ["text/html", "application/json"] {
            assert_status(&send_from_elsewhere(&browser, &Method::POST, path, accept).await, 403);
        }
    }
    assert_eq!(browser.cookies(), before);
    assert_eq!(browser.post("/mine", &[]).await.text(), user.email);
}

#[tokio::test]
async fn flash_messages_of_accounts_are_shown_by_the_applications_own_pages() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let shown = async |session: CookieSession| {
        session.take_flash().into_iter().map(|flash| flash.text + "\n").collect::<String>()
    };
    let own = Router::new().route("/", get(shown)).route("/silent", get("nothing"));
    let browser = TestClient::new(mount::mount(own, host.router(), host.state()));
    let log_in = login_form(&user.email, sigra::testing::VALID_PASSWORD);
    browser.post("/users/log-in", &log_in).await;
    assert_eq!(browser.get("/silent").await.text(), "nothing");
    assert_eq!(browser.get("/").await.text(), "Welcome back!\n");

    browser.post("/users/log-out", &[("_method", "delete")]).await;
    assert_eq!(browser.get("/silent").await.text(), "nothing");
    host.clock().advance(Duration::from_secs(61));
    let page = browser.get("/users/log-in").await;
    assert!(!page.text().contains("Logged out successfully."), "the message has expired");
    assert_eq!(browser.get("/").await.text(), "");
}

/// Reads the settings of accounts from the environment of an application. `APP_ENV` is `dev` unless they set it.
fn settings_of_host(env: &[(&str, &str)]) -> Result<Settings, String> {
    let env = [("SECRET_KEY_BASE", crate::support::SECRET), ("APP_ENV", "dev")].into_iter().chain(env.iter().copied());
    let env = env.collect::<Variables>().prefer_prefixed(ENV_PREFIX);
    Settings::for_accounts(&env).map_err(|error| error.to_string())
}

#[test]
fn unusual_host_and_port_settings_of_the_application_are_accepted() {
    for (host, port) in [("localhost", "http"), ("app.internal", "/run/app.sock"), ("127.0.0.1", "70000"), ("", "")] {
        let settings = settings_of_host(&[("HOST", host), ("PORT", port)]).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(settings.public_url.as_str(), "http://localhost:4000/", "{host} {port}");
    }
    let settings = settings_of_host(&[("HOST", "localhost"), ("PORT", "5000")]).expect("settings");
    assert_eq!(settings.public_url.as_str(), "http://localhost:5000/");
}

#[test]
fn a_setting_with_the_prefix_overrides_one_that_the_application_uses_itself() {
    let others = [
        ("APP_ENV", "staging"),
        ("SECRET_KEY_BASE", "hunter2"),
        ("SMTP_URL", "mail.internal"),
        ("MAIL_FROM", "noreply"),
        ("SESSION_TTL", "2 weeks"),
        ("DATABASE_URL", "mysql://ada:hunter2@localhost/app"),
    ];
    for (name, value) in [("APP_ENV", "staging"), ("SECRET_KEY_BASE", "hunter2"), ("SESSION_TTL", "2 weeks")] {
        let message = settings_of_host(&[(name, value)]).err().expect("must be refused");
        assert!(message.starts_with(name) && !message.contains("hunter2"), "{message}");
    }
    let own = [
        ("AUTH_APP_ENV", "dev"),
        ("AUTH_SECRET_KEY_BASE", crate::support::SECRET),
        ("AUTH_SMTP_URL", ""),
        ("AUTH_MAIL_FROM", "Shop <shop@example.com>"),
        ("AUTH_SESSION_TTL", "60"),
        ("AUTH_DATABASE_URL", " "),
    ];
    let settings = settings_of_host(&[&others[..], &own[..]].concat()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((&*settings.smtp_url, &*settings.mail_from), ("memory:", "Shop <shop@example.com>"));
    assert_eq!(settings.database_url, DEFAULT_URL, "an empty value counts as not set");
    assert_eq!(settings.app_env, AppEnv::Dev);
}

#[test]
fn without_app_env_accounts_in_an_application_do_not_start() {
    // The application's own code decides where it listens: no setting shows that only this machine can reach it.
    for (name, value) in [
        ("PORT", "4000"),
        ("HOST", "127.0.0.1"),
        ("HOST", "0.0.0.0"),
        ("AUTH_HOST", "192.0.2.1"),
        ("PUBLIC_URL", "http://localhost:4000"),
        ("PUBLIC_URL", "https://app.example.com"),
        ("AUTH_APP_ENV", " "),
    ] {
        let message = settings_of_host(&[("APP_ENV", ""), (name, value)]).err().expect("must be refused");
        assert!(message.starts_with("APP_ENV is not set: start with `APP_ENV=dev cargo run`"), "{message}");
        for app_env in ["development", "test"] {
            assert!(settings_of_host(&[(name, value), ("AUTH_APP_ENV", app_env)]).is_ok(), "{value}");
        }
    }
}

#[test]
fn settings_of_accounts_for_production_are_checked() {
    let short = [("APP_ENV", "production"), ("PUBLIC_URL", "https://a.com"), ("SECRET_KEY_BASE", "hunter2")];
    let message = settings_of_host(&short).err().expect("must be refused");
    assert!(
        message.starts_with("SECRET_KEY_BASE is too short: the secret has 7 characters and needs at least 64"),
        "{message}"
    );
}

#[test]
fn an_error_says_how_to_set_a_value_only_for_accounts() {
    let error = settings_of_host_error("APP_ENV", "staging");
    assert_eq!(
        error,
        "APP_ENV is `staging`: it must be dev, test or prod (to set it only for accounts, put AUTH_ before its name, as in AUTH_APP_ENV)"
    );
    assert!(!error.contains('\n'));
}

fn settings_of_host_error(name: &str, value: &str) -> String {
    let settings = Settings::for_accounts(&[(name, value)].into_iter().collect::<Variables>());
    let error = mount::StartError::from(settings.err().expect("must be refused"));
    assert_eq!(format!("{error:?}"), error.to_string(), "a program whose `main` returns it says the same");
    error.to_string()
}

#[test]
fn accounts_can_be_started_in_a_task() {
    fn can_be_spawned(_: impl Future<Output = Result<Router, mount::StartError>> + Send + 'static) {}
    can_be_spawned(mount::with_accounts(Router::new()));
    can_be_spawned(async {
        let pool = Pool::connect(DEFAULT_URL).await.expect("a pool");
        mount::with_accounts_in(Router::new(), &pool).await
    });
}

#[tokio::test]
async fn a_pool_of_the_application_is_used_and_migrated() {
    let database = TestDatabase::create();
    let pool = Pool::connect_with(options(&database.url)).await.expect("a pool");
    for _ in 0..2 {
        database::prepare_pool(&pool).await.unwrap_or_else(|error| panic!("{error}"));
    }
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&pool).await.expect("users");
    assert_eq!(users, 0);
}

#[cfg(not(feature = "postgres"))]
#[tokio::test]
async fn a_pool_without_foreign_keys_is_refused() {
    let database = TestDatabase::create();
    let pool = Pool::connect_with(options(&database.url).foreign_keys(false)).await.expect("a pool");
    let refused = database::prepare_pool(&pool).await.expect_err("sessions would outlive their users").to_string();
    assert!(refused.contains("remove `.foreign_keys(false)`"), "{refused}");
}

fn options(url: &str) -> <Connection as sqlx::Connection>::Options {
    let options: <Connection as sqlx::Connection>::Options = url.parse().expect("an address");
    #[cfg(not(feature = "postgres"))]
    let options = options.create_if_missing(true);
    options
}
