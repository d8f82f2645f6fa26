//! A frontend that renders on a server calls the API as `docs/single-page-apps.md` says.

use std::{net::SocketAddr, time::Duration};

use axum::{body::Body, http::Request};
use guides::support::Host;
use my_app::accounts::User;
use sigra::testing::{TestClient, TestHost, VALID_PASSWORD, assert_contains, assert_problem, assert_status};

use super::sources::read;

const FRONTEND: &str = "https://app.example.com";

/// Returns the application, a user, and the frontend's server. Like any program, it sends no headers of a browser by
/// itself.
async fn behind_a_frontend(proxies: &str) -> (Host, User, TestClient) {
    let host = Host::with(&[("PUBLIC_URL", FRONTEND), ("TRUSTED_PROXIES", proxies)]).await;
    let user = host.registered_fixture().await;
    let server = TestClient::new(host.api.clone()).json().peer(SocketAddr::from(([127, 0, 0, 1], 50_000)));
    (host, user, server)
}

/// Returns a login with these headers of the browser.
fn log_in(user: &User, headers: &[(&str, &str)]) -> Request<Body> {
    let body = serde_json::json!({ "email": user.email, "password": VALID_PASSWORD }).to_string();
    let request = Request::post("/users/log-in").header("content-type", "application/json");
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    request.body(Body::from(body)).expect("a request")
}

#[tokio::test]
async fn the_api_refuses_forged_requests_only_if_the_frontend_passes_on_the_headers_of_the_browser() {
    let (_host, user, server) = behind_a_frontend("").await;
    let own = [("origin", FRONTEND), ("sec-fetch-site", "same-origin")];
    assert_status(&server.send(log_in(&user, &own)).await, 200);
    let forged = [("origin", "https://evil.example"), ("sec-fetch-site", "cross-site")];
    assert_problem(&server.send(log_in(&user, &forged)).await, 403);
    assert_status(&server.send(log_in(&user, &[])).await, 200);

    let guide = read("docs/single-page-apps.md");
    assert!(guide.contains("**Pass on `Cookie`, `Origin`, `Sec-Fetch-Site` and `User-Agent`**"));
}

#[tokio::test]
async fn the_api_knows_the_browser_by_the_headers_that_the_frontend_adds() {
    for (proxies, ip) in [("127.0.0.1", "203.0.113.9"), ("", "127.0.0.1")] {
        let (_host, user, server) = behind_a_frontend(proxies).await;
        let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
        let headers = [("x-forwarded-for", "203.0.113.9"), ("user-agent", firefox)];
        assert_status(&server.send(log_in(&user, &headers)).await, 200);
        let devices = server.get("/users/sessions").await;
        assert_contains(&devices, ip);
        assert_contains(&devices, "Firefox");
    }
}

#[tokio::test]
async fn a_get_can_reissue_the_token_and_a_lost_one_is_reissued_again() {
    let (host, user, server) = behind_a_frontend("").await;
    assert_status(&server.send(log_in(&user, &[])).await, 200);
    host.clock().advance(Duration::from_hours(8 * 24));
    for _ in 0..3 {
        // A server component can't set cookies.
        let lost = server.send_without_storing(Request::get("/me").body(Body::empty()).expect("a request")).await;
        assert_contains(&lost, &user.email);
        assert_eq!(lost.header("cache-control"), Some("no-store"));
        assert!(!lost.set_cookies().is_empty());
        host.clock().advance(Duration::from_mins(2));
    }
    assert!(!server.get("/me").await.set_cookies().is_empty());
    assert_contains(&server.get("/me").await, &user.email);
}
