//! Requests that no browser sends. Every response is a 4xx that says what to do: never a panic, never a 5xx.

use std::collections::BTreeSet;

use crate::support::{Host, PROD};
use axum::{
    body::Body,
    http::{Method, Request},
};
use my_app::web::user_auth::AFTER_LOGIN_PATH;
use sigra::testing::{
    TestClient, TestHost, TestResponse, VALID_PASSWORD, assert_contains, assert_problem, assert_status,
};

const FORM: &str = "application/x-www-form-urlencoded";

async fn post(client: &TestClient, content_type: Option<&str>, body: impl Into<Body>) -> TestResponse {
    let mut request = Request::post("/users/log-in");
    if let Some(content_type) = content_type {
        request = request.header("content-type", content_type);
    }
    client.send(request.body(body.into()).expect("a request")).await
}

#[tokio::test]
async fn an_unreadable_form_gets_a_helpful_error_page() {
    let host = Host::new().await;
    let browser = host.client();
    for body in [
        "",
        "user[email]=a@example.com",
        "user[password]=x",
        "user%5Bemail%5D",
        "&&&===&&",
        "user[email]=a&user[email]=b&user[password]=c",
        "user[email]=a&passkey[email]=b&user[password]=c",
        "email=a&password=c",
        "user[email][]=a&user[password][]=c",
        "{\"user\":{}}",
    ] {
        let response = post(&browser, Some(FORM), body).await;
        assert_status(&response, 422);
        assert_contains(&response, "We couldn&#39;t read the form");
        assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
    }
    assert_problem(&post(&browser.fork().json(), Some(FORM), "").await, 422);
}

#[tokio::test]
async fn a_field_that_no_form_has_is_ignored_even_twice() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let form = format!("user[email]={}&user[password]={}", user.email, VALID_PASSWORD.replace(' ', "+"));
    for extra in ["email=b", "utm=1&utm=2", "user[theme]=dark&user[theme]=light"] {
        let answer = post(&host.client(), Some(FORM), format!("{extra}&{form}")).await;
        assert_eq!((answer.status().as_u16(), answer.location()), (303, Some(AFTER_LOGIN_PATH)), "{extra}");
    }
}

#[tokio::test]
async fn wrong_content_types_are_refused() {
    let host = Host::new().await;
    let browser = host.client();
    for content_type in
        [None, Some("application/json"), Some("multipart/form-data; boundary=x"), Some("text/plain"), Some("")]
    {
        let response = post(&browser, content_type, "user[email]=a&user[password]=b").await;
        assert_status(&response, 415);
        assert_contains(&response, "application/x-www-form-urlencoded");
    }
}

#[tokio::test]
async fn strange_text_is_a_wrong_password() {
    // Without rate limits, which would refuse some of these requests.
    let host = Host::with(&[("RATE_LIMITS", "off")]).await;
    let user = host.registered_fixture().await;
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
        "%27%3B+DROP+TABLE+users%3B+--",
        "%27+OR+%271%27%3D%271",
        "%22+OR+1%3D1+--",
        "%27+UNION+SELECT+*+FROM+users+--",
    ] {
        let response = post(&host.client(), Some(FORM), format!("user[email]={text}&user[password]={text}")).await;
        assert_eq!((response.status().as_u16(), response.location()), (303, Some("/users/log-in")), "{text}");
        let form = format!("user[email]={}&user[password]={text}", user.email);
        let response = post(&host.client(), Some(FORM), form).await;
        assert_eq!((response.status().as_u16(), response.location()), (303, Some("/users/log-in")), "{text}");
    }
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await, "the table is unchanged");
}

#[tokio::test]
async fn invariant_15_a_megabyte_of_password_is_refused_cheaply() {
    let host = Host::new().await;
    let body = format!("user[email]=a@example.com&user[password]={}", "x".repeat(1024 * 1024));
    let response = post(&host.client(), Some(FORM), body.clone()).await;
    assert_status(&response, 413);
    assert_contains(&response, "Send less.");
    assert_problem(&post(&host.client().json(), Some(FORM), body).await, 413);

    let long = format!("user[email]=a@example.com&user[password]={}", "x".repeat(60_000));
    assert_status(&post(&host.client(), Some(FORM), long).await, 303);
}

#[tokio::test]
async fn unknown_methods_and_paths_get_an_error_page() {
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
        let response = browser.send(request).await;
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        assert_contains(&response, "<h1>");
    }
}

#[tokio::test]
async fn invariant_6_many_and_huge_cookies_log_no_user_in() {
    let host = Host::new().await;
    let many = (0..100).map(|n| format!("c{n}=v{n}")).collect::<Vec<_>>().join("; ");
    let huge = format!("_my_app_key={}", "A".repeat(8 * 1024));
    let entries = (0..100).map(|n| format!("_my_app_key.e{n}=x")).collect::<Vec<_>>().join("; ");
    let twice = "_my_app_key=a; _my_app_key=b".to_owned();
    for cookie in [many, huge, entries, twice, ";;;===".to_owned(), "_my_app_key".to_owned(), String::new()] {
        let request = Request::get("/dashboard").header("cookie", &cookie).body(Body::empty()).expect("a request");
        let response = host.client().send(request).await;
        assert_eq!(response.status().as_u16(), 303, "{}", &cookie[..cookie.len().min(40)]);
    }
    let bytes = Request::get("/dashboard").header("cookie", &b"_my_app_key=\xff\xfe; \xc3\x28=x"[..]);
    let response = host.client().send(bytes.body(Body::empty()).expect("a request")).await;
    assert_eq!(response.status().as_u16(), 303);
}

#[tokio::test]
async fn invariant_8_other_origins_are_refused_before_anything_is_done() {
    let host = Host::new().await;
    let (_, victim) = host.authenticated_fixture().await;
    host.pool.close().await; // From now on, every request that needs the database gets a 503.
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
            let response = victim.send(request.body(Body::from("_method=delete")).expect("a request")).await;
            assert_eq!(response.status().as_u16(), 403, "{method} {path} {name}: {value}");
            assert_contains(&response, "one of our own pages");
        }
    }
}

#[tokio::test]
async fn an_unreachable_database_gives_503_and_logs_no_user_out() {
    let host = Host::new().await;
    let (_, browser) = host.authenticated_fixture().await;
    let cookie = browser.cookie("_my_app_key");
    host.pool.close().await;
    for path in ["/dashboard", "/", "/healthz"] {
        let response = browser.get(path).await;
        assert_status(&response, 503);
        assert_eq!(response.header("retry-after"), Some("1"), "{path}");
        assert_contains(&response, "Try again in a few seconds.");
    }
    assert_problem(&browser.fork().json().get("/me").await, 503);
    assert_eq!(browser.cookie("_my_app_key"), cookie, "the cookies are kept");
    assert_status(&host.client().get("/").await, 200);
}

/// Checks every status, for browsers and JSON clients, in production.
#[tokio::test]
async fn every_response_has_the_security_headers() {
    let host = Host::with(&PROD).await;
    let (_, user) = host.authenticated_fixture().await;
    let visitor = host.client();
    let request = |method: &str, path: &str, header: (&'static str, &'static str)| {
        let request = Request::builder().method(method).uri(path).header(header.0, header.1);
        request.body(Body::empty()).expect("a request")
    };
    let html = ("accept", "text/html");
    let mut responses = Vec::new();
    for path in [
        "/",
        "/users/log-in",
        "/users/register",
        "/nothing",
        "/static/app.css",
        "/robots.txt",
        "/healthz",
        "/dashboard",
    ] {
        responses.push((200, user.get(path).await));
        responses.push((200, visitor.get(path).await));
    }
    responses.push((303, visitor.get("/dashboard").await));
    responses.push((401, visitor.send(request("GET", "/me", ("accept", "application/json"))).await));
    responses.push((401, visitor.send(request("POST", "/users/sudo", html)).await));
    responses.push((403, user.send(request("DELETE", "/users/log-out", ("sec-fetch-site", "cross-site"))).await));
    responses.push((404, visitor.get("/nothing").await));
    responses.push((405, visitor.send(request("PATCH", "/users/log-in", html)).await));
    responses.push((413, post(&visitor, Some(FORM), "x".repeat(1024 * 1024)).await));
    responses.push((415, post(&visitor, Some("text/plain"), "").await));
    responses.push((422, post(&visitor, Some(FORM), "").await));
    responses.push((422, post(&visitor.fork().json(), Some(FORM), "").await));
    sqlx::raw_sql("ALTER TABLE audit_events RENAME TO elsewhere").execute(&host.pool).await.expect("broken");
    responses.push((500, user.delete("/users/log-out").await));
    responses.push((500, user.fork().json().delete("/users/log-out").await));
    host.pool.close().await;
    responses.push((503, visitor.get("/healthz").await));

    let seen: BTreeSet<u16> = responses.iter().map(|(_, response)| response.status().as_u16()).collect();
    let wanted: BTreeSet<u16> = responses.iter().map(|(status, _)| *status).collect();
    assert_eq!(wanted.difference(&seen).collect::<Vec<_>>(), Vec::<&u16>::new(), "no request caused these statuses");
    for (_, response) in responses {
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "strict-origin"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(response.header(name), Some(value), "{name}\n{response:?}");
        }
        let transport = response.header("strict-transport-security").unwrap_or_default();
        assert!(transport.starts_with("max-age=31536000"), "{response:?}");
        let policy = response.header("content-security-policy").unwrap_or_default();
        for directive in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"] {
            assert!(policy.contains(directive), "{directive}\n{response:?}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*') && !policy.contains("http"), "{response:?}");
        assert!(!response.headers().keys().any(|name| name.as_str().starts_with("access-control-")), "{response:?}");
        if !response.text().is_empty() {
            let content_type = response.header("content-type").unwrap_or_default();
            assert!(content_type.contains("utf-8") || content_type.ends_with("json"), "{response:?}");
        }
    }
}

#[tokio::test]
async fn browsers_are_told_to_use_https_in_production() {
    for (env, policy) in [
        (&[][..], "max-age=31536000"),
        (&[("HSTS_INCLUDE_SUBDOMAINS", "false")], "max-age=31536000"),
        (&[("HSTS_INCLUDE_SUBDOMAINS", "true")], "max-age=31536000; includeSubDomains"),
    ] {
        let host = Host::with(&[&PROD[..], env].concat()).await;
        for path in ["/", "/nothing", "/static/app.css"] {
            assert_eq!(host.client().get(path).await.header("strict-transport-security"), Some(policy), "{path}");
        }
    }
}
