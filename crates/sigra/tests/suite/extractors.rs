//! The extractors, and the responses to clients that they refuse.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    routing::{get, post},
};
use http::{Method, Request, StatusCode};
use sigra::{
    Config, CookieSession, HashedPassword, LoginMethod, RememberMe, Scope, Sigra, Sudo,
    testing::{TestClient, TestHost, assert_problem, assert_redirected_to, assert_status},
};
use tower::ServiceExt;

use super::host::{self, DAY, Host, KEY, MINUTE, REMEMBER_ME, User, assert_sets_no_cookie, get_request, who};
use crate::database::Database;

#[tokio::test]
async fn a_visitor_is_redirected_to_the_login_page_with_a_message() {
    let host = Host::new().await;
    for method in [Method::GET, Method::HEAD] {
        let browser = host.client();
        let request = Request::builder().method(method).uri("/me").body(Body::empty()).unwrap();
        let response = browser.send(request).await;
        assert_status(&response, StatusCode::SEE_OTHER);
        assert_redirected_to(&response, "/users/log-in");
        browser.get("/me").await;
        assert_eq!(browser.get("/flash").await.text(), "error: You must log in to access this page.\n");
    }
}

#[tokio::test]
async fn a_form_from_a_visitor_is_refused_without_a_redirect() {
    let host = Host::new().await;
    for response in [host.client().post("/me", &[]).await, host.client().delete("/me").await] {
        assert_problem(&response, StatusCode::UNAUTHORIZED);
        assert_eq!(response.location(), None);
        assert_sets_no_cookie(&response);
    }
}

#[tokio::test]
async fn json_clients_get_a_status_instead_of_a_redirect() {
    let host = Host::new().await;
    let program = host.client().json();
    for response in [program.get("/me").await, program.post("/me", &[]).await, program.get("/sudo").await] {
        assert_problem(&response, 401);
        assert_eq!(response.location(), None);
        assert_sets_no_cookie(&response);
    }

    let (_, program) = host.authenticated_fixture().await;
    let program = program.json();
    assert_status(&program.get("/sudo").await, 200);
    host.clock().advance(MINUTE * 20);
    for response in [program.get("/sudo").await, program.post("/sudo", &[]).await] {
        assert_problem(&response, 403);
        assert_sets_no_cookie(&response);
    }
    assert_status(&program.get("/me").await, 200);
}

#[tokio::test]
async fn redirects_depend_on_the_accept_header_and_then_the_fetch_mode() {
    let host = Host::new().await;
    for (accept, mode, redirected) in [
        ("text/html", "cors", true),
        ("*/*", "navigate", true),
        ("*/*", "cors", false),
        ("*/*", "no-cors", false),
        ("application/json", "navigate", false),
        ("application/problem+json", "navigate", false),
        ("application/json, text/html;q=0.5", "cors", true),
    ] {
        let request = Request::get("/me").header("accept", accept).header("sec-fetch-mode", mode);
        let response = host.client().send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(response.status().is_redirection(), redirected, "{accept} {mode}\n{response:?}");
    }
}

#[tokio::test]
async fn a_user_without_a_recent_login_is_redirected_to_the_sudo_page() {
    let host = Host::with(|config| config.sudo_page("/confirm-it-is-you", || "Please confirm.".to_owned())).await;
    let (_, browser) = host.logged_in(false).await;
    host.clock().advance(DAY);
    assert_redirected_to(&browser.get("/sudo?delete=yes").await, "/confirm-it-is-you");
    assert_eq!(browser.get("/flash").await.text(), "error: Please confirm.\n");
    assert_redirected_to(&browser.post("/sudo", &[]).await, "/confirm-it-is-you");
    assert!(
        browser.cookie(&format!("{KEY}.return_to")).is_some(),
        "the page to return to is the one that was opened, not the form"
    );
    assert_redirected_to(&host.client().get("/sudo").await, "/users/log-in");
}

#[tokio::test]
async fn asking_whether_sudo_mode_is_on_leaves_no_message_and_no_page_to_return_to() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    assert_eq!(browser.get("/maybe-sudo").await.text(), user.email);
    host.clock().advance(MINUTE * 20);
    let (_, pending) = host.mfa_pending_fixture().await;
    for browser in [&browser, &pending, &host.client()] {
        let response = browser.get("/maybe-sudo").await;
        assert_eq!((response.status(), response.text()), (StatusCode::OK, "no".to_owned()));
        assert_eq!(browser.cookie(&format!("{KEY}.return_to")), None);
        assert_eq!(browser.get("/flash").await.text(), "");
    }
    browser.post("/confirm", &[]).await;
    assert_eq!(browser.get("/maybe-sudo").await.text(), user.email);
}

/// HTTP/2 has the host in the URI, and no header `Host`.
#[tokio::test]
async fn the_page_of_a_form_is_returned_to_whatever_the_version_of_http() {
    let host = Host::new().await;
    let (_, browser) = host.logged_in(false).await;
    host.clock().advance(DAY);
    let cookies = format!("{KEY}={}", browser.cookie(KEY).unwrap());
    for (uri, own, referer, is_kept) in [
        ("/sudo", Some("localhost"), "https://localhost/settings", true),
        ("https://localhost/sudo", None, "https://localhost/settings", true),
        ("https://localhost/sudo", None, "https://LOCALHOST/settings", true),
        ("https://localhost/sudo", None, "https://elsewhere.example/settings", false),
        ("/sudo", Some("localhost"), "https://elsewhere.example/settings", false),
        ("/sudo", None, "https://localhost/settings", false),
    ] {
        let request = Request::post(uri).header("accept", "text/html").header("sec-fetch-site", "same-origin");
        let request = request.header("cookie", &cookies).header("referer", referer);
        let request = own.into_iter().fold(request, |request, own| request.header("host", own));
        let response = host.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), StatusCode::SEE_OTHER, "{uri}");
        let set: Vec<_> = response.headers().get_all("set-cookie").iter().map(|set| set.to_str().unwrap()).collect();
        let sets_page = set.iter().any(|set| set.starts_with(&format!("{KEY}.return_to=")));
        assert_eq!(sets_page, is_kept, "{uri} from {referer}: {set:?}");
    }
}

#[tokio::test]
async fn an_optional_scope_accepts_visitors() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    assert_eq!(who(&browser).await, user.email);
    assert_eq!(who(&host.client()).await, "anonymous");
    assert_eq!(host.client().json().get("/maybe").await.text(), "anonymous");
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns what is logged while a browser opens a page. Works only in a test with one thread.
async fn open_and_log(browser: &TestClient, path: &str) -> (sigra::testing::TestResponse, String) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let response = browser.get(path).await;
    drop(guard);
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (response, log)
}

#[tokio::test]
async fn a_missing_layer_is_named_only_in_the_log() {
    let app = Router::new()
        .route("/Scope", get(|_: Scope<User>| async {}))
        .route("/Option", get(|_: Option<Scope<User>>| async {}))
        .route("/Sudo", get(|_: Sudo<User>| async {}))
        .route("/CookieSession", get(|_: CookieSession| async {}));
    let browser = TestClient::new(app);
    for (path, argument) in
        [("/Scope", "Scope"), ("/Option", "Option<Scope>"), ("/Sudo", "Sudo"), ("/CookieSession", "CookieSession")]
    {
        let (response, log) = open_and_log(&browser, path).await;
        assert_status(&response, StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(response.text(), "Internal Server Error");
        let fix = format!(
            "`{argument}` was extracted on a route without the layer that provides it: add `.layer(sigra.fetch_current_scope())`"
        );
        assert!(log.contains("ERROR") && log.contains(&fix), "{log}");
    }
}

/// The user of another application on the same database.
#[derive(Clone, sqlx::FromRow)]
struct Admin {
    id: uuid::Uuid,
}

impl sigra::AuthUser for Admin {
    type Id = uuid::Uuid;
    type Database = Database;

    fn id(&self) -> uuid::Uuid {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        None
    }
}

#[tokio::test]
async fn a_layer_for_another_user_type_counts_as_missing() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let admins: Sigra<Admin> = Sigra::new(Config::new("my_app", host::secret("a")), host.pool.clone()).unwrap();
    let app = Router::new().route("/me", get(|_: Scope<User>| async {})).layer(admins.fetch_current_scope());
    let client = TestClient::new(app);
    client.set_cookie(KEY, &browser.cookie(KEY).unwrap());
    let (response, log) = open_and_log(&client, "/me").await;
    assert_status(&response, 500);
    assert!(log.contains("for the same user type"), "{log}");
}

/// An application can have two types of user, each with cookies of its own.
#[tokio::test]
async fn layers_for_two_types_of_user_find_both() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let admin = Admin { id: host.registered_fixture().await.id };
    host.execute("UPDATE users SET hashed_password = NULL").await;
    let admins: Sigra<Admin> = Sigra::new(Config::new("admins", host::secret("b")), host.pool.clone()).unwrap();
    let log_in = async |State(sigra): State<Sigra<Admin>>, session: CookieSession, Path(id): Path<uuid::Uuid>| {
        sigra.log_in(&session, &Admin { id }, LoginMethod::Passkey, RememberMe::No).await.map(drop)
    };
    let both = async |user: Scope<User>, admin: Scope<Admin>| format!("{} {}", user.user().email, admin.user().id);
    let app = Router::new()
        .route("/log-in/{id}", post(log_in))
        .route("/both", get(both))
        .layer(admins.fetch_current_scope())
        .layer(host.sigra().fetch_current_scope())
        .with_state(admins.clone());
    let client = TestClient::new(app);
    client.set_cookie(KEY, &browser.cookie(KEY).unwrap());
    assert_status(&client.get("/both").await, StatusCode::SEE_OTHER);
    assert_status(&client.post(&format!("/log-in/{}", admin.id), &[]).await, StatusCode::OK);
    host.sigra().catch_up().await;
    admins.catch_up().await;
    for _ in 0..3 {
        assert_eq!(client.get("/both").await.text(), format!("{} {}", user.email, admin.id));
    }
}

/// A nested router can have the layer again: only the outermost one acts.
#[tokio::test]
async fn the_layer_can_be_added_twice() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    host.clock().advance(DAY * 7);
    let client = TestClient::new(host.router().layer(host.sigra().fetch_current_scope()));
    for (name, value) in browser.cookies() {
        client.set_cookie(&name, &value);
    }
    let response = client.get("/maybe").await;
    assert_eq!(response.text(), user.email);
    assert_eq!(response.set_cookies().len(), 2, "the reissued token, once\n{response:?}");
    assert_eq!(response.headers().get_all("vary").iter().count(), 1);
}

#[tokio::test]
async fn requests_with_a_token_are_503_without_a_database() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let remembering = browser.fork();
    remembering.close_and_reopen();
    let before = (browser.cookies(), remembering.cookies());
    let restarted = host.restart(|config| config).await;
    host.pool.close().await;

    for browser in [&browser, &remembering] {
        for path in ["/maybe", "/me", "/get?name=x"] {
            let response = browser.get(path).await;
            assert_problem(&response, StatusCode::SERVICE_UNAVAILABLE);
            assert_eq!(response.header("retry-after"), Some("1"));
            assert_sets_no_cookie(&response);
            assert!(!response.text().contains("pool"), "the response does not name the cause");
        }
        assert_status(&browser.post("/log-out", &[]).await, StatusCode::SERVICE_UNAVAILABLE);
    }
    assert_eq!((browser.cookies(), remembering.cookies()), before);
    assert_eq!(who(&restarted.take_over(&browser)).await, user.email, "the user is still logged in");
    assert!(remembering.cookie(REMEMBER_ME).is_some());
}

#[tokio::test]
async fn anonymous_pages_are_served_without_a_database() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    host.pool.close().await;
    assert_eq!(who(&host.client()).await, "anonymous");
    assert_redirected_to(&host.client().get("/me").await, "/users/log-in");
    assert_redirected_to(&host.client().post("/log-out", &[]).await, "/");
    assert_eq!(host::who_sends(&host.client(), format!("{KEY}=forged")).await.text(), "anonymous");
    let response = host.post_log_in(&host.client(), &user, true).await;
    assert_problem(&response, 503);
    assert_sets_no_cookie(&response);
}

/// The response is sent, and no cookie is expired.
#[tokio::test]
async fn cookies_are_kept_if_the_database_fails_during_a_request() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let (_, dead) = host.logged_in(true).await;
    host.sigra().delete_session(&host::token(&dead)).await.unwrap();
    host.clock().advance(DAY * 7);
    let slow = async |browser: &TestClient| browser.send(get_request("/slow")).await;
    let (one, two, ()) = tokio::join!(slow(&browser), slow(&dead), async {
        host.slow.begun(2).await;
        host.pool.close().await;
        host.slow.release(2);
    });
    assert_eq!((one.text(), two.text()), (user.email, "anonymous".to_owned()));
    assert_sets_no_cookie(&one);
    assert_sets_no_cookie(&two);
}
