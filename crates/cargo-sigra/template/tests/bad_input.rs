//! What nobody's browser sends. Every answer is a 4xx that says what to do: never a panic, never a 5xx.

mod support;

use axum::{
    body::Body,
    http::{Method, Request},
};
use sigra::testing::{TestClient, TestHost, TestResponse, assert_contains, assert_problem, assert_status};
use support::Host;

const FORM: &str = "application/x-www-form-urlencoded";

async fn post(client: &TestClient, content_type: Option<&str>, body: impl Into<Body>) -> TestResponse {
    let mut request = Request::post("/users/log-in");
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    client.send(request.body(body.into()).expect("a request")).await
}

#[tokio::test]
async fn forms_that_cannot_be_read_get_a_page_that_helps() {
    let host = Host::new().await;
    let browser = host.client();
    for body in [
        "",
        "user[email]=a@example.com",
        "user[password]=x",
        "user%5Bemail%5D",
        "&&&===&&",
        "user[email]=a&user[email]=b&user[password]=c",
        "user[email][]=a&user[password][]=c",
        "{\"user\":{}}",
    ] {
        let answer = post(&browser, Some(FORM), body).await;
        assert_status(&answer, 422);
        assert_contains(&answer, "The form could not be read.");
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
    }
    assert_problem(&post(&browser.fork().json(), Some(FORM), "").await, 422);
}

#[tokio::test]
async fn wrong_content_types_are_refused() {
    let host = Host::new().await;
    let browser = host.client();
    for content_type in
        [None, Some("application/json"), Some("multipart/form-data; boundary=x"), Some("text/plain"), Some("")]
    {
        let answer = post(&browser, content_type, "user[email]=a&user[password]=b").await;
        assert_status(&answer, 415);
        assert_contains(&answer, "application/x-www-form-urlencoded");
    }
}

#[tokio::test]
async fn strange_text_is_a_wrong_password() {
    let host = Host::new().await;
    for text in [
        "%00",
        "a%00b@example.com",
        "%ED%A0%80",
        "%FF%FE",
        "%F0%9F%92%A9",
        "%",
        "%zz",
        "%E2%80%AE",
        "'--",
        "%27%3B+DROP+TABLE+users",
    ] {
        let answer = post(&host.client(), Some(FORM), format!("user[email]={text}&user[password]={text}")).await;
        assert_eq!((answer.status().as_u16(), answer.location()), (303, Some("/users/log-in")), "{text}");
    }
}

#[tokio::test]
async fn invariant_15_a_megabyte_of_password_is_refused_cheaply() {
    let host = Host::new().await;
    let body = format!("user[email]=a@example.com&user[password]={}", "x".repeat(1024 * 1024));
    let answer = post(&host.client(), Some(FORM), body.clone()).await;
    assert_status(&answer, 413);
    assert_contains(&answer, "Send less.");
    assert_problem(&post(&host.client().json(), Some(FORM), body).await, 413);

    let long = format!("user[email]=a@example.com&user[password]={}", "x".repeat(60_000));
    assert_status(&post(&host.client(), Some(FORM), long).await, 303);
}

#[tokio::test]
async fn unknown_methods_and_addresses_are_answered() {
    let host = Host::new().await;
    let browser = host.client();
    for (method, path, status) in [
        ("PATCH", "/users/log-in", 405),
        ("BREW", "/users/log-in", 405),
        ("TRACE", "/", 405),
        ("DELETE", "/", 405),
        ("BREW", "/healthz", 405),
        ("GET", "/nothing", 404),
        ("POST", "/nothing", 404),
        ("GET", "/users/../users/log-in/..", 404),
        ("GET", "/%00", 404),
    ] {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let request = Request::builder().method(method.clone()).uri(path).body(Body::empty()).expect("a request");
        let answer = browser.send(request).await;
        assert_eq!(answer.status().as_u16(), status, "{method} {path}");
        assert_contains(&answer, "<h1>");
    }
}

#[tokio::test]
async fn invariant_6_many_and_huge_cookies_log_nobody_in() {
    let host = Host::new().await;
    let many = (0..100).map(|n| format!("c{n}=v{n}")).collect::<Vec<_>>().join("; ");
    let huge = format!("_my_app_key={}", "A".repeat(8 * 1024));
    let entries = (0..100).map(|n| format!("_my_app_key.e{n}=x")).collect::<Vec<_>>().join("; ");
    let twice = "_my_app_key=a; _my_app_key=b".to_owned();
    for cookie in [many, huge, entries, twice, ";;;===".to_owned(), "_my_app_key".to_owned(), String::new()] {
        let request = Request::get("/dashboard").header("cookie", &cookie).body(Body::empty()).expect("a request");
        let answer = host.client().send(request).await;
        assert_eq!(answer.status().as_u16(), 303, "{}", &cookie[..cookie.len().min(40)]);
    }
    let bytes = Request::get("/dashboard").header("cookie", &b"_my_app_key=\xff\xfe; \xc3\x28=x"[..]);
    let answer = host.client().send(bytes.body(Body::empty()).expect("a request")).await;
    assert_eq!(answer.status().as_u16(), 303);
}

#[tokio::test]
async fn invariant_8_other_origins_are_refused_before_anything_is_done() {
    let host = Host::new().await;
    let (_, victim) = host.authenticated_fixture().await;
    host.pool.close().await; // whoever asks the database now gets 503
    for (method, path) in [
        ("POST", "/users/log-in"),
        ("DELETE", "/users/log-out"),
        ("DELETE", "/users/sessions"),
        ("POST", "/users/sudo"),
    ] {
        for (name, value) in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
            ("sec-fetch-site", "same-site"),
        ] {
            let mut request = Request::builder().method(method).uri(path).header("content-type", FORM);
            request = match name {
                "origin" => request.header("origin", value).header("sec-fetch-site", ""),
                _ => request.header("origin", "https://evil.example").header(name, value),
            };
            let answer = victim.send(request.body(Body::from("_method=delete")).expect("a request")).await;
            assert_eq!(answer.status().as_u16(), 403, "{method} {path} {name}: {value}");
            assert_contains(&answer, "one of our own pages");
        }
    }
}

#[tokio::test]
async fn a_database_that_is_gone_gives_503_and_logs_nobody_out() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let cookie = browser.cookie("_my_app_key");
    host.pool.close().await;
    for path in ["/dashboard", "/", "/healthz"] {
        let answer = browser.get(path).await;
        assert_status(&answer, 503);
        assert_eq!(answer.header("retry-after"), Some("1"), "{path}");
        assert_contains(&answer, "try again");
    }
    assert_problem(&browser.fork().json().get("/me").await, 503);
    assert_eq!(browser.cookie("_my_app_key"), cookie, "the cookies are kept");
    assert_status(&host.client().get("/").await, 200);
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let host = Host::new().await;
    for path in ["/", "/users/log-in", "/nothing", "/static/app.css", "/healthz"] {
        let answer = host.client().get(path).await;
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("x-frame-options"), Some("DENY"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("same-origin"), "{path}");
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(policy.contains("default-src 'none'") && !policy.contains("unsafe"), "{path}: {policy}");
    }
}
