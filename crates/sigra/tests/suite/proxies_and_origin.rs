//! Requests that other sites forge, and headers that any client can set.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use sigra::testing::{TestClient, TestHost, TestResponse, assert_redirected_to, assert_status};
use tower::ServiceExt;

use super::host::{Host, KEY, assert_sets_no_cookie, who};

/// Headers that browsers send when a page of another site submits a form.
const FORGED: [&[(&str, &str)]; 6] = [
    &[("sec-fetch-site", "cross-site"), ("origin", "https://evil.example")],
    &[("sec-fetch-site", "same-site"), ("origin", "https://sub.localhost")],
    &[("sec-fetch-site", "cross-site"), ("origin", "null")],
    &[("sec-fetch-site", "cross-site")],
    &[
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://localhost.evil.example"),
        ("referer", "https://localhost/"),
    ],
    &[
        ("sec-fetch-site", "cross-site"),
        ("origin", "https://evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example"),
        ("x-http-method-override", "GET"),
    ],
];

async fn forge(browser: &TestClient, method: &Method, path: &str, headers: &[(&str, &str)]) -> TestResponse {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    browser.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn invariant_8_unsafe_requests_of_other_sites_are_refused() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let before = browser.cookies();
    for headers in FORGED {
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            for path in ["/log-in", "/log-out", "/put", "/renew", "/me", "/nowhere"] {
                let response = forge(&browser, &method, path, headers).await;
                assert_status(&response, StatusCode::FORBIDDEN);
                assert_sets_no_cookie(&response);
            }
        }
    }
    assert_eq!(browser.cookies(), before);
    assert_eq!(who(&browser).await, user.email);
    assert_eq!(host.rows().await, 1);
}

/// Old browsers send only `Origin`.
#[tokio::test]
async fn invariant_8_a_foreign_origin_is_refused_without_sec_fetch_site() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    for (origin, expected) in [
        ("https://evil.example", 403),
        ("null", 403),
        ("https://localhost:8443", 403),
        ("https://localhost.evil.example", 403),
        ("https://localhost", 303),
    ] {
        let request = Request::post("/log-out")
            .header("host", "localhost")
            .header("origin", origin)
            .header("cookie", format!("{KEY}={}", browser.cookie(KEY).unwrap()));
        let response = host.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status().as_u16(), expected, "{origin}");
        assert_eq!(who(&browser).await, if expected == 403 { user.email.as_str() } else { "anonymous" });
    }
}

/// The pool is closed, so a request that queries the database gets a 503.
#[tokio::test]
async fn invariant_8_a_forged_request_does_not_query_the_database() {
    let host = Host::new().await;
    let (_, browser) = host.logged_in(true).await;
    host.pool.close().await;
    for headers in FORGED {
        assert_status(&forge(&browser, &Method::POST, "/log-out", headers).await, StatusCode::FORBIDDEN);
    }
    assert_status(&browser.post("/log-out", &[]).await, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_link_from_another_site_opens_a_page_as_the_user() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    let headers = [("sec-fetch-site", "cross-site"), ("referer", "https://news.example/")];
    assert_eq!(forge(&browser, &Method::GET, "/maybe", &headers).await.text(), user.email);
}

#[tokio::test]
async fn clients_that_send_no_origin_are_accepted() {
    let host = Host::new().await;
    let request = Request::post("/log-out").header("host", "localhost").body(Body::empty()).unwrap();
    assert_eq!(host.router().oneshot(request).await.unwrap().status(), StatusCode::SEE_OTHER);
}

/// Some browsers send neither `Origin` nor `Sec-Fetch-Site` with a form, and some proxies remove both.
#[tokio::test]
async fn invariant_8_a_foreign_referer_is_refused_without_origin_and_sec_fetch_site() {
    let trusted = ["https://admin.example.com", "capacitor://localhost"];
    let host = Host::with(|config| config.trusted_origins(trusted)).await;
    for (referer, expected) in [
        ("https://evil.example/form", 403),
        ("https://evil.example", 403),
        ("http://evil.example/?https://localhost/", 403),
        ("https://localhost@evil.example/", 403),
        ("https://localhost.evil.example/", 403),
        ("https://localhost:8443/", 403),
        ("about:blank", 403),
        ("https://localhost/users/log-in", 303),
        ("http://LOCALHOST/users/log-in", 303),
        ("https://admin.example.com/form", 303),
        ("capacitor://localhost/index.html", 303),
        ("/users/log-in", 303),
    ] {
        for absent in ["", "origin", "sec-fetch-site"] {
            let mut request = Request::post("/log-out").header("host", "localhost").header("referer", referer);
            if !absent.is_empty() {
                request = request.header(absent, "");
            }
            let response = host.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            assert_eq!(response.status().as_u16(), expected, "{referer}");
        }
    }
    let request = Request::post("/log-out").header("host", "localhost").header("referer", &b"\xff"[..]);
    let response = host.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    let request = Request::get("/maybe").header("host", "localhost").header("referer", "https://evil.example/");
    let response = host.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK, "any site can link here");
}

/// The web views of apps have origins with their own schemes.
#[tokio::test]
async fn origins_of_mobile_and_desktop_apps_can_be_trusted() {
    let trusted = ["capacitor://localhost", "tauri://localhost", "ionic://app.example.com"];
    let host = Host::with(|config| config.trusted_origins(trusted)).await;
    for (origin, expected) in [
        ("capacitor://localhost", 303),
        ("tauri://localhost", 303),
        ("ionic://app.example.com", 303),
        ("ionic://localhost", 403),
        ("capacitor://localhost.evil.example", 403),
        ("electron://localhost", 403),
        ("file://", 403),
    ] {
        let headers = [("sec-fetch-site", "cross-site"), ("origin", origin)];
        let response = forge(&host.client(), &Method::POST, "/log-out", &headers).await;
        assert_status(&response, StatusCode::from_u16(expected).unwrap());
    }
    for no_origin in [
        "file://",
        "file://localhost",
        "capacitor://",
        "capacitor://localhost/",
        "Capacitor://localhost",
        "://x",
        "data://x",
    ] {
        let config = sigra::Config::new("my_app", super::host::secret("a")).trusted_origins([no_origin]);
        assert!(config.check().is_err(), "{no_origin}");
    }
}

#[tokio::test]
async fn refused_and_failed_responses_vary_by_cookie() {
    let host = Host::new().await;
    let (_, browser) = host.logged_in(true).await;
    let refused = forge(&browser, &Method::POST, "/log-out", FORGED[0]).await;
    assert_eq!((refused.status(), refused.header("vary")), (StatusCode::FORBIDDEN, Some("cookie")));
    host.pool.close().await;
    let failed = browser.get("/maybe").await;
    assert_eq!((failed.status(), failed.header("vary")), (StatusCode::SERVICE_UNAVAILABLE, Some("cookie")));
}

#[tokio::test]
async fn only_trusted_origins_can_send_unsafe_cross_site_requests() {
    let host = Host::with(|config| config.trusted_origins(["https://admin.example.com"])).await;
    for (origin, expected) in [
        ("https://admin.example.com", 303),
        ("http://admin.example.com", 403),
        ("https://admin.example.com.evil.example", 403),
        ("https://admin.example.com:8443", 403),
        ("https://example.com", 403),
    ] {
        let headers = [("sec-fetch-site", "cross-site"), ("origin", origin)];
        let response = forge(&host.client(), &Method::POST, "/log-out", &headers).await;
        assert_status(&response, StatusCode::from_u16(expected).unwrap());
    }
}

#[tokio::test]
async fn invariant_14_redirects_ignore_the_host_header() {
    let host = Host::new().await;
    let (user, browser) = (host.registered_fixture().await, host.client());
    for (name, value) in [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "host=evil.example;proto=https"),
        ("x-forwarded-proto", "http"),
        ("x-original-url", "//evil.example/"),
        ("x-rewrite-url", "//evil.example/"),
        ("x-forwarded-prefix", "//evil.example"),
    ] {
        let response = forge(&browser, &Method::GET, "/me", &[(name, value)]).await;
        assert_redirected_to(&response, "/users/log-in");
        assert!(!format!("{response:?}").contains("evil.example"), "{response:?}");
    }
    assert_redirected_to(&host.post_log_in(&browser, &user, false).await, "/me");
}

/// A forged `X-Forwarded-Host` that matches a forged `Origin` is ignored.
#[tokio::test]
async fn invariant_14_a_forwarded_host_does_not_make_a_foreign_origin_trusted() {
    let host = Host::new().await;
    let request = Request::post("/log-out")
        .header("host", "localhost")
        .header("x-forwarded-host", "evil.example")
        .header("origin", "https://evil.example");
    let response = host.router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
}

const SPOOFED: [(&str, &str); 5] = [
    ("x-forwarded-for", "10.0.0.1"),
    ("x-real-ip", "10.0.0.1"),
    ("forwarded", "for=10.0.0.1"),
    ("cf-connecting-ip", "10.0.0.1"),
    ("true-client-ip", "10.0.0.1"),
];

#[tokio::test]
async fn invariant_14_ip_addresses_in_headers_are_ignored_unless_a_trusted_proxy_sent_them() {
    let peer = "203.0.113.7:443".parse().unwrap();
    let host = Host::new().await;
    let browser = host.client().peer(peer);
    assert_eq!(forge(&browser, &Method::GET, "/client", &SPOOFED).await.text(), "203.0.113.7");

    let host = Host::with(|config| config.trusted_proxies(["192.0.2.0/24".parse().unwrap()])).await;
    let browser = host.client().peer(peer);
    assert_eq!(forge(&browser, &Method::GET, "/client", &SPOOFED).await.text(), "203.0.113.7");

    let behind = host.client().peer("192.0.2.1:443".parse().unwrap());
    let headers = [("x-forwarded-for", "10.0.0.1, 203.0.113.9"), ("x-real-ip", "10.0.0.1")];
    assert_eq!(forge(&behind, &Method::GET, "/client", &headers).await.text(), "203.0.113.9");
    assert_eq!(forge(&behind, &Method::GET, "/client", &[("x-forwarded-for", "é, x")]).await.text(), "192.0.2.1");
}

#[tokio::test]
async fn invariant_14_a_session_has_the_ip_address_of_the_connection() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let browser = host.client().peer("203.0.113.7:443".parse().unwrap());
    let mut request = Request::post("/log-in").header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in SPOOFED {
        request = request.header(name, value);
    }
    let form = format!("email={}&password={}", user.email, sigra::testing::VALID_PASSWORD.replace(' ', "+"));
    assert_status(&browser.send(request.body(form.into()).unwrap()).await, StatusCode::SEE_OTHER);
    let sessions = host.sigra().sessions().list(&user.id).await.unwrap();
    assert_eq!(sessions[0].ip.unwrap().to_string(), "203.0.113.7");
}

#[tokio::test]
async fn a_request_without_ip_address_and_with_an_odd_user_agent_is_served() {
    let host = Host::new().await;
    let request =
        |user_agent: &[u8]| Request::get("/client").header("user-agent", user_agent).body(Body::empty()).unwrap();
    for user_agent in [&b"\xff\xfe"[..], &[b'x'; 8192], "é".repeat(4000).as_bytes(), b""] {
        let response = host.router().oneshot(request(user_agent)).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}
