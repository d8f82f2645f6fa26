//! The cookies that are sent, and the entries in them.

use axum::{
    Router,
    body::Body,
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use http::{Request, StatusCode};
use sigra::{
    CookieSession, Flash, LoginMethod, RememberMe,
    config::{CookieOptions, SameSite},
    testing::{TestClient, TestHost, TestResponse, assert_redirected_to, assert_status},
};

use super::host::{self, DAY, Host, KEY, REMEMBER_ME, SECOND, get_request, login_form, who};

/// Part of the names of cookies with flash messages.
const FLASH: &str = ".flash-";

/// The names of the cookies with flash messages.
fn flashes(browser: &TestClient) -> Vec<String> {
    let names = browser.cookies().into_iter().map(|(name, _)| name);
    names.filter(|name| name.contains(FLASH)).collect()
}

/// `Set-Cookie` headers sorted by name, with `...` for values and for the IDs of flash messages.
fn attributes(response: &TestResponse) -> Vec<String> {
    let shown = |cookie: &cookie::Cookie<'static>| {
        let mut cookie = cookie.clone();
        if let Some((before, id)) = cookie.name().split_once(FLASH) {
            assert_eq!(id.len(), 32, "{id}");
            cookie.set_name(format!("{before}{FLASH}..."));
        }
        if !cookie.value().is_empty() {
            cookie.set_value("...");
        }
        cookie.to_string()
    };
    let mut shown: Vec<String> = response.set_cookies().iter().map(shown).collect();
    shown.sort_unstable();
    shown
}

async fn put(browser: &TestClient, name: &str, value: &str) -> TestResponse {
    browser.post("/put", &[("name", name), ("value", value)]).await
}

async fn entry(browser: &TestClient, name: &str) -> String {
    browser.get(&format!("/get?name={name}")).await.text()
}

#[tokio::test]
async fn cookies_have_exactly_these_attributes_without_tls() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client().origin("http://localhost");
    assert_eq!(
        attributes(&host.post_log_in(&browser, &user, true).await),
        [
            "_my_app_device=...; HttpOnly; SameSite=Lax; Path=/; Max-Age=34560000",
            "_my_app_key.flash-...=...; HttpOnly; SameSite=Lax; Path=/",
            "_my_app_key=...; HttpOnly; SameSite=Lax; Path=/",
            "_my_app_web_user_remember_me=...; HttpOnly; SameSite=Lax; Path=/; Max-Age=5184000",
        ]
    );
    browser.get("/flash").await;
    assert_eq!(
        attributes(&browser.post("/log-out", &[]).await),
        [
            "_my_app_key.flash-...=...; HttpOnly; SameSite=Lax; Path=/",
            "_my_app_key=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "_my_app_web_user_remember_me=; HttpOnly; SameSite=Lax; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ]
    );
    assert_eq!((browser.cookie(KEY), browser.cookie(REMEMBER_ME)), (None, None));
}

#[tokio::test]
async fn cookies_have_the_host_prefix_with_tls() {
    let host = Host::with(|config| config.secure_cookies(true)).await;
    let (user, browser) = host.logged_in(true).await;
    assert_eq!(who(&browser).await, user.email);
    browser.get("/flash").await;
    assert_eq!(
        attributes(&host.post_log_in(&host.client(), &user, true).await),
        [
            "__Host-_my_app_device=...; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=34560000",
            "__Host-_my_app_key.flash-...=...; HttpOnly; SameSite=Lax; Secure; Path=/",
            "__Host-_my_app_key=...; HttpOnly; SameSite=Lax; Secure; Path=/",
            "__Host-_my_app_web_user_remember_me=...; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=5184000",
        ]
    );
    assert_eq!(
        attributes(&browser.post("/log-out", &[]).await),
        [
            "__Host-_my_app_key.flash-...=...; HttpOnly; SameSite=Lax; Secure; Path=/",
            "__Host-_my_app_key=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
            "__Host-_my_app_web_user_remember_me=; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ]
    );
}

#[tokio::test]
async fn cookies_with_a_domain_are_shared_by_subdomains_and_expired_for_it() {
    let host = Host::with(|config| config.secure_cookies(true).cookie_domain("example.com".to_owned())).await;
    let user = host.registered_fixture().await;
    let browser = host.client().origin("https://app.example.com");
    assert_eq!(
        attributes(&host.post_log_in(&browser, &user, true).await),
        [
            "__Secure-_my_app_device=...; HttpOnly; SameSite=Lax; Secure; Path=/; Domain=example.com; Max-Age=34560000",
            "__Secure-_my_app_key.flash-...=...; HttpOnly; SameSite=Lax; Secure; Path=/; Domain=example.com",
            "__Secure-_my_app_key=...; HttpOnly; SameSite=Lax; Secure; Path=/; Domain=example.com",
            "__Secure-_my_app_web_user_remember_me=...; HttpOnly; SameSite=Lax; Secure; Path=/; Domain=example.com; Max-Age=5184000",
        ]
    );
    assert_eq!(who(&browser).await, user.email);
    let browser = browser.origin("https://admin.example.com");
    assert_eq!(who(&browser).await, user.email);
    assert_eq!(who(&browser.fork().origin("https://example.org")).await, "anonymous");

    browser.get("/flash").await;
    let logged_out = attributes(&browser.post("/log-out", &[]).await);
    let expired = logged_out.iter().filter(|cookie| cookie.contains("; Domain=example.com;"));
    assert_eq!(expired.count(), 2, "{logged_out:?}");
    assert!(
        browser
            .cookies()
            .iter()
            .all(|(name, _)| name == "__Secure-_my_app_device" || name.starts_with("__Secure-_my_app_key.flash-")),
        "{browser:?}"
    );

    // A browser that a fixture logged in has the domain too.
    assert_eq!(who(&host.log_in(&user).await).await, user.email);
}

#[tokio::test]
async fn cookie_name_path_and_same_site_can_be_configured() {
    let host = Host::with(|config| {
        let session = CookieOptions::named("sid").path("/app");
        let remember_me = CookieOptions::named("keep").same_site(SameSite::Strict);
        config.secure_cookies(true).session_cookie(session).remember_me_cookie(remember_me)
    })
    .await;
    let user = host.registered_fixture().await;
    assert_eq!(
        attributes(&host.post_log_in(&host.client(), &user, true).await),
        [
            "__Host-_my_app_device=...; HttpOnly; SameSite=Lax; Secure; Path=/; Max-Age=34560000",
            "__Host-keep=...; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=5184000",
            "__Secure-sid.flash-...=...; HttpOnly; SameSite=Lax; Secure; Path=/app",
            "__Secure-sid=...; HttpOnly; SameSite=Lax; Secure; Path=/app",
        ]
    );
}

#[tokio::test]
async fn only_a_remembered_browser_stays_logged_in_after_it_was_closed() {
    for remembered in [true, false] {
        let host = Host::new().await;
        let (user, browser) = host.logged_in(remembered).await;
        let id = browser.get("/session-id").await.text();
        browser.close_and_reopen();
        assert_eq!(browser.cookie(KEY), None);
        assert_eq!(who(&browser).await, if remembered { user.email.as_str() } else { "anonymous" });
        assert_eq!(browser.cookie(KEY).is_some(), remembered, "the token is put back into the cookie session");
        assert_eq!(browser.get("/session-id").await.text() == id, remembered);
        assert_eq!(host.rows().await, 1);
    }
}

#[tokio::test]
async fn a_remember_me_cookie_expires_with_its_session() {
    let host = Host::new().await;
    let (_, browser) = host.logged_in(true).await;
    host.clock().advance(DAY * 2);
    let response = browser.post("/renew", &[]).await;
    let cookies = response.set_cookies();
    let remember_me = cookies.iter().find(|cookie| cookie.name() == REMEMBER_ME).expect("renewed too");
    assert_eq!(remember_me.max_age().unwrap().whole_days(), 58);
}

#[tokio::test]
async fn entries_are_kept_until_the_browser_is_closed() {
    let host = Host::new().await;
    let browser = host.client();
    assert_status(&put(&browser, "cart", "three apples").await, 204);
    put(&browser, "theme", "dark").await;
    assert_eq!((entry(&browser, "cart").await, entry(&browser, "theme").await), ("three apples".into(), "dark".into()));
    browser.close_and_reopen();
    assert_eq!(entry(&browser, "cart").await, "nothing");
}

#[tokio::test]
async fn an_entry_too_large_for_a_cookie_is_an_error() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    let before = browser.cookies();
    let response = put(&browser, "cart", &"x".repeat(4000)).await;
    assert_status(&response, 500);
    host::assert_sets_no_cookie(&response);
    assert_eq!(browser.cookies(), before);

    // A browser keeps the largest entry that is accepted, logged in or not.
    for browser in [host.client(), browser] {
        let mut longest = 0;
        for len in 2900..3100 {
            if put(&browser, "cart", &"x".repeat(len)).await.status() == StatusCode::NO_CONTENT {
                longest = len;
            }
        }
        assert_eq!(entry(&browser, "cart").await, "x".repeat(longest));
        assert!(longest > 2900, "{longest}");
    }
    assert_eq!(host.rows().await, 1, "{}", user.email);
}

#[tokio::test]
async fn an_entry_with_an_invalid_name_is_an_error() {
    let host = Host::new().await;
    for name in ["", "a b", "a;b", "a=b", "a.b", "é", "a\r\nb"] {
        let response = put(&host.client(), name, "x").await;
        assert_status(&response, 500);
        host::assert_sets_no_cookie(&response);
    }
}

#[tokio::test]
async fn a_flash_message_is_shown_once_and_survives_a_login_in_its_request() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    assert_eq!(browser.get("/flash").await.text(), "info: Welcome back!\n");
    assert_eq!(browser.get("/flash").await.text(), "");

    browser.post("/log-out", &[]).await;
    assert_eq!(browser.get("/flash").await.text(), "info: Logged out successfully.\n");

    for _ in 0..3 {
        browser.post("/log-in", &[("email", &user.email), ("password", "wrong")]).await;
    }
    assert_eq!(
        browser.get("/flash").await.text(),
        "error: Invalid email or password\n",
        "three failed logins show one message"
    );
}

/// Each response sets its own cookie, so that none replaces or removes the message of another.
#[tokio::test]
async fn flash_messages_of_concurrent_requests_are_all_shown() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    browser.get("/flash").await;
    let post = |path: &str, fields: &str| {
        let form = ("content-type", "application/x-www-form-urlencoded");
        Request::post(path).header(form.0, form.1).body(Body::from(fields.to_owned())).unwrap()
    };
    let failed = post("/log-in", &format!("email={}&password=wrong", user.email));
    let (first, second) = (browser.fork(), browser.fork());
    let failed = first.send_without_storing(failed).await;
    let saved = second.send_without_storing(post("/flash", "text=Saved.")).await;
    browser.store(&failed);
    browser.store(&saved);
    assert_eq!(flashes(&browser).len(), 2);

    // A page doesn't remove messages that come after its request was sent.
    let page = browser.fork();
    let later = browser.fork().send_without_storing(post("/flash", "text=Sent.")).await;
    let shown = page.send_without_storing(get_request("/flash")).await;
    assert_eq!(shown.text(), "error: Invalid email or password\ninfo: Saved.\n");
    browser.store(&later);
    browser.store(&shown);
    assert_eq!(browser.get("/flash").await.text(), "info: Sent.\n");
    assert_eq!(flashes(&browser), [""; 0]);
}

/// Different names would distinguish responses that must look the same.
#[tokio::test]
async fn the_same_flash_message_has_the_same_cookie_name_in_every_browser() {
    let host = Host::new().await;
    let mut names = std::collections::BTreeSet::new();
    for text in ["Saved.", "Saved.", "Sent."] {
        let browser = host.client();
        browser.post("/flash", &[("text", text)]).await;
        names.extend(browser.cookies().into_iter().map(|(name, _)| name).filter(|name| name.contains(FLASH)));
    }
    assert_eq!(names.len(), 2, "{names:?}");
}

/// Messages that no page shows, as with JSON clients, are combined.
#[tokio::test]
async fn waiting_flash_messages_use_at_most_four_cookies() {
    let host = Host::new().await;
    let browser = host.client();
    let mut expected = String::new();
    for number in 0..20 {
        browser.post("/flash", &[("text", &format!("Message {number}."))]).await;
        expected.push_str(&format!("info: Message {number}.\n"));
        assert!(flashes(&browser).len() <= 4, "{browser:?}");
    }
    assert_eq!(browser.get("/flash").await.text(), expected);
    assert_eq!(flashes(&browser), [""; 0]);
}

/// The host can choose any name for an entry.
#[tokio::test]
async fn an_entry_whose_name_starts_with_flash_is_not_a_message() {
    let host = Host::new().await;
    let browser = host.client();
    put(&browser, "flash-sale", "today").await;
    assert_eq!(browser.get("/flash").await.text(), "");
    assert_eq!(entry(&browser, "flash-sale").await, "today");
}

#[tokio::test]
async fn a_login_returns_to_the_page_that_the_visitor_opened() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    assert_redirected_to(&browser.get("/me?year=2026&next=//evil.example").await, "/users/log-in");
    browser.post("/log-in", &[("email", &user.email), ("password", "wrong")]).await;
    let response = host.post_log_in(&browser, &user, false).await;
    assert_redirected_to(&response, "/me?year=2026&next=//evil.example");
    assert_status(&browser.follow(&response).await, 200);
    assert_redirected_to(&host.post_log_in(&browser, &user, false).await, "/");
}

#[tokio::test]
async fn invariant_7_no_request_makes_a_login_redirect_to_another_site() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for attack in ["//evil.example/me", "//evil.example", "///evil.example", "https://evil.example//evil.example/me"] {
        let browser = host.client();
        let request = Request::get(attack).body(Body::empty()).unwrap();
        assert_redirected_to(&browser.send(request).await, "/users/log-in");
        let response = host.post_log_in(&browser, &user, false).await;
        assert_redirected_to(&response, "/");
    }
}

/// A neighboring subdomain can set the cookie, but can't sign it under this name.
#[tokio::test]
async fn invariant_7_a_planted_return_to_cookie_is_not_followed() {
    let host = Host::new().await;
    let (user, attacker) = host.logged_in(false).await;
    put(&attacker, "cart", "https://evil.example").await;
    let other_entry = attacker.cookie("_my_app_key.cart").unwrap();
    for planted in ["https://evil.example", "Imh0dHBzOi8vZXZpbC5leGFtcGxlIg", &other_entry] {
        let browser = host.client();
        browser.set_cookie("_my_app_key.return_to", planted);
        assert_redirected_to(&host.post_log_in(&browser, &user, false).await, "/");
    }
}

#[tokio::test]
async fn invariant_3_only_return_to_and_listed_entries_survive_a_login() {
    let host = Host::with(|config| config.survives_renewal(["locale"])).await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    for name in ["cart", "is_admin", "locale"] {
        put(&browser, name, "mine").await;
    }
    browser.get("/me").await;
    let fixated = browser.fork();
    // The handler takes `return_to` itself.
    assert_redirected_to(&host.post_log_in(&browser, &user, false).await, "/me");

    for name in ["cart", "is_admin"] {
        assert_eq!(entry(&browser, name).await, "nothing", "{name}");
        assert_eq!(browser.cookie(&format!("{KEY}.{name}")), None, "{name}: its cookie is expired");
        // Setting the old cookies again doesn't help either.
        let planted = fixated.cookie(&format!("{KEY}.{name}")).unwrap();
        browser.set_cookie(&format!("{KEY}.{name}"), &planted);
        assert_eq!(entry(&browser, name).await, "nothing", "{name}");
    }
    assert_eq!(entry(&browser, "locale").await, "mine");
    assert_eq!(who(&fixated).await, "anonymous");
}

#[tokio::test]
async fn invariant_3_every_renewal_and_logout_deletes_entries() {
    for path in ["/log-in", "/renew", "/confirm", "/log-out"] {
        let host = Host::with(|config| config.survives_renewal(["locale"])).await;
        let (user, browser) = host.logged_in(true).await;
        put(&browser, "cart", "mine").await;
        put(&browser, "locale", "de").await;
        let before = browser.fork();
        browser.post(path, &login_form(&user, true)).await;
        assert_eq!(entry(&browser, "cart").await, "nothing", "{path}");
        browser.set_cookie("_my_app_key.cart", &before.cookie("_my_app_key.cart").unwrap());
        assert_eq!(entry(&browser, "cart").await, "nothing", "{path}: replayed");
        let locale = if path == "/log-out" { "nothing" } else { "de" };
        assert_eq!(entry(&browser, "locale").await, locale, "{path}");
    }
}

/// The browser still has the cookies, but is anonymous.
#[tokio::test]
async fn entries_are_invalid_after_their_session_is_revoked() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    put(&browser, "cart", "mine").await;
    host.sigra().delete_all_sessions(&user.id).await.unwrap();

    let stale = browser.fork();
    assert_eq!(entry(&stale, "cart").await, "nothing");
    assert_eq!(browser.fork().get("/session-id").await.text(), "none");
    assert_redirected_to(&browser.get("/me").await, "/users/log-in");
    assert_eq!(browser.get("/flash").await.text(), "error: You must log in to access this page.\n");
    assert_redirected_to(&host.post_log_in(&browser, &user, false).await, "/me");
}

#[tokio::test]
async fn entries_survive_a_reissue() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    put(&browser, "cart", "mine").await;
    host.clock().advance(DAY * 7);
    let before = browser.cookie(KEY);
    assert_eq!(who(&browser).await, user.email);
    assert_ne!(browser.cookie(KEY), before);
    assert_eq!(entry(&browser, "cart").await, "mine");
}

#[tokio::test]
async fn a_flash_message_expires_after_a_minute() {
    let host = Host::new().await;
    let (_, browser) = host.logged_in(false).await;
    host.clock().advance(SECOND * 60);
    assert_eq!(browser.fork().get("/flash").await.text(), "info: Welcome back!\n");
    host.clock().advance(SECOND);
    assert_eq!(browser.fork().get("/flash").await.text(), "");
    browser.get("/sudo?again").await;
    browser.post("/log-out", &[]).await;
    assert_eq!(browser.get("/flash").await.text(), "info: Logged out successfully.\n", "a newer message is shown");
    assert_eq!(flashes(&browser), [""; 0]);
}

#[tokio::test]
async fn two_concurrent_requests_keep_all_their_entries() {
    let host = Host::new().await;
    let (_, browser) = host.logged_in(false).await;
    tokio::join!(put(&browser, "one", "1"), put(&browser, "two", "2"), browser.get("/flash"));
    assert_eq!((entry(&browser, "one").await, entry(&browser, "two").await), ("1".into(), "2".into()));
    assert_eq!(browser.get("/flash").await.text(), "");
}

#[tokio::test]
async fn pages_of_users_are_not_cached_and_responses_vary_by_cookie() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let page = browser.get("/maybe").await;
    assert_eq!((page.header("cache-control"), page.header("vary")), (Some("no-store"), Some("cookie")));
    let page = host.client().get("/maybe").await;
    assert_eq!((page.header("cache-control"), page.header("vary")), (None, Some("cookie")));

    for private in [host.client().get("/me").await, put(&host.client(), "theme", "dark").await] {
        assert_eq!(private.header("cache-control"), Some("no-store"), "it sets a cookie\n{private:?}");
    }
    let cached = browser.get("/cached").await;
    assert_eq!(cached.header("cache-control"), Some("private, max-age=60"), "the host's own header is kept");
}

#[tokio::test]
async fn ordinary_requests_set_no_cookie() {
    let host = Host::new().await;
    let (_, browser) = host.logged_in(true).await;
    host::assert_sets_no_cookie(&browser.get("/maybe").await);
    host::assert_sets_no_cookie(&host.client().send(get_request("/maybe")).await);
}

/// How a handler ends after it put a message and an entry.
#[derive(Clone, Copy, Debug)]
enum End {
    Database,
    SessionEnded,
    Status(StatusCode),
    Redirect,
}

async fn put_and_end(session: CookieSession, end: End) -> sigra::Result<Response> {
    session.put_flash(Flash::Info, "Done.")?;
    session.put("cart", "a book")?;
    match end {
        End::Database => Err(sqlx::Error::PoolTimedOut.into()),
        End::SessionEnded => Err(sigra::Error::SessionEnded),
        End::Status(status) => Ok(status.into_response()),
        End::Redirect => Ok(Redirect::to("/").into_response()),
    }
}

#[tokio::test]
async fn invariant_17_an_error_leaves_the_entries_unchanged() {
    let host = Host::new().await;
    let (_, known) = host.logged_in(false).await;
    for (end, status, is_set) in [
        (End::Database, 503, false),
        (End::SessionEnded, 401, false),
        (End::Status(StatusCode::BAD_GATEWAY), 502, false),
        (End::Status(StatusCode::UNPROCESSABLE_ENTITY), 422, true),
        (End::Status(StatusCode::NOT_FOUND), 404, true),
        (End::Redirect, 303, true),
    ] {
        let route = get(async move |session: CookieSession| put_and_end(session, end).await)
            .post(async move |session: CookieSession| put_and_end(session, end).await);
        let router = Router::new().route("/", route).layer(host.sigra.fetch_current_scope());
        for method in ["GET", "POST"] {
            for browser in [&host.client(), &known] {
                let client = TestClient::new(router.clone());
                browser.cookies().iter().for_each(|(name, value)| client.set_cookie(name, value));
                let entries = || client.cookies().iter().filter(|(name, _)| name.contains('.')).count();
                let before = entries();
                let request = Request::builder().method(method).uri("/").body(Body::empty()).expect("a request");
                let response = client.send(request).await;
                assert_eq!(response.status(), status);
                assert_eq!(entries() - before, if is_set { 2 } else { 0 }, "{method} {end:?}: {response:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_flash_message_taken_by_a_failed_request_is_shown_by_the_next() {
    let host = Host::new().await;
    let take_and_fail = async |session: CookieSession| -> sigra::Result<()> {
        assert_eq!(session.take_flash().len(), 1);
        Err(sqlx::Error::PoolTimedOut.into())
    };
    let put = async |session: CookieSession| session.put_flash(Flash::Info, "Hello!");
    let show = async |session: CookieSession| session.take_flash().remove(0).text;
    let router = Router::new().route("/put", get(put)).route("/fail", get(take_and_fail)).route("/show", get(show));
    let browser = TestClient::new(router.layer(host.sigra.fetch_current_scope()));
    browser.get("/put").await;
    assert_eq!(browser.get("/fail").await.status(), 503);
    assert_eq!(browser.get("/show").await.text(), "Hello!");
}

#[tokio::test]
async fn a_login_stays_valid_if_its_handler_fails_afterward() {
    let host = Host::new().await;
    let (user, _) = host.logged_in(false).await;
    let (sigra, who) = (host.sigra.clone(), user.clone());
    let log_in = async move |session: CookieSession| -> sigra::Result<()> {
        let _ = sigra.log_in(&session, &who, LoginMethod::Password, RememberMe::No).await?;
        session.put_flash(Flash::Info, "Welcome back!")?;
        Err(sqlx::Error::PoolTimedOut.into())
    };
    let browser = TestClient::new(Router::new().route("/", post(log_in)).layer(host.sigra.fetch_current_scope()));
    assert_eq!(browser.post("/", &[]).await.status(), 503);
    let names: Vec<String> = browser.cookies().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["_my_app_device", KEY], "the session is set, the message is not");
}

async fn get_with(browser: &TestClient, path: &str, headers: &[(&str, &str)]) -> TestResponse {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    browser.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn only_page_loads_set_return_to_and_show_flash_messages() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client();
    browser.get("/me?page=1").await;
    for headers in [
        &[("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "image"), ("accept", "image/webp,*/*")][..],
        &[("sec-fetch-mode", ""), ("accept", "image/webp,*/*")],
        &[("sec-fetch-mode", ""), ("accept", "*/*")],
        &[("sec-fetch-dest", "iframe")],
        &[("sec-purpose", "prefetch")],
        &[("hx-request", "true")],
    ] {
        let part = get_with(&browser, "/me?part=1", headers).await;
        assert!(part.status().is_redirection() || part.status().is_client_error(), "{part:?}");
        assert_eq!(get_with(&browser, "/flash", headers).await.text(), "", "{headers:?}");
    }
    let head = Request::head("/me?head=1").body(Body::empty()).unwrap();
    assert_redirected_to(&browser.send(head).await, "/users/log-in");
    assert_eq!(browser.get("/flash").await.text(), "error: You must log in to access this page.\n");
    assert_redirected_to(&host.post_log_in(&browser, &user, false).await, "/me?page=1");
}
