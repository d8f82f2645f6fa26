//! Requests in the log.

use std::{
    io,
    sync::{Arc, Mutex},
};

use crate::server::Server;
use crate::support::{Host, TestDatabase};
use sigra::testing::{TestHost, assert_status};
use tracing_subscriber::EnvFilter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("the log").extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Captures the log of this thread until the guard is dropped.
fn log(filter: &str) -> (Log, tracing::subscriber::DefaultGuard) {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

impl Log {
    /// Returns the lines with all of these words.
    fn lines_with(&self, words: &[&str]) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.0.lock().expect("the log")).into_owned();
        text.lines().filter(|line| words.iter().all(|word| line.contains(word))).map(str::to_owned).collect()
    }
}

/// The URL contains a token, which must not be logged.
const LINK: &str = "/users/reset-password/c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U";

#[tokio::test]
async fn a_failed_response_is_logged_with_its_method_and_route_at_every_level() {
    for filter in ["info,sqlx=warn", "error"] {
        let host = Host::with(&[("APP_ENV", "test")]).await;
        let (_, browser) = host.authenticated_fixture().await;
        host.pool.close().await;
        let (log, _guard) = log(filter);
        assert_status(&browser.get("/users/settings").await, 503);
        assert_status(&host.client().get(LINK).await, 503);
        for route in ["/users/settings", "/users/reset-password/{token}"] {
            let told = log.lines_with(&["ERROR", "response failed", "method=GET", &format!("route=\"{route}\"")]);
            assert_eq!(told.len(), 1, "{filter} {route} {:?}", log.lines_with(&[]));
        }
        assert!(log.lines_with(&["c2VjcmV0"]).is_empty());
    }
}

#[tokio::test]
async fn development_logs_every_response_and_production_only_failures() {
    for (environment, expected) in [("dev", 1), ("test", 0)] {
        let host = Host::with(&[("APP_ENV", environment), ("SECRET_KEY_BASE", crate::support::SECRET)]).await;
        let (log, _guard) = log("info,sqlx=warn");
        assert_status(&host.client().get("/users/log-in").await, 200);
        let told = log.lines_with(&["INFO", "finished processing request", "route=\"/users/log-in\"", "status=200"]);
        assert_eq!(told.len(), expected, "{environment}: {:?}", log.lines_with(&[]));
    }
}

#[tokio::test]
async fn a_cross_origin_request_is_logged_with_how_to_allow_it() {
    let host = Host::new().await;
    let (log, _guard) = log("info,sqlx=warn");
    let browser = host.client();
    let request = axum::http::Request::post("/users/log-in")
        .header("origin", "http://localhost:5173")
        .header("sec-fetch-site", "same-site")
        .body(axum::body::Body::empty());
    assert_status(&browser.send(request.expect("a request")).await, 403);
    let told = log.lines_with(&["INFO", "cross_origin", "http://localhost:5173", "POST", "TRUSTED_ORIGINS"]);
    assert_eq!(told.len(), 1, "{:?}", log.lines_with(&[]));
}

/// Containers and service managers keep the log in files.
#[test]
fn the_log_has_no_colors_outside_of_a_terminal() {
    let database = TestDatabase::create();
    let server = Server::start(&database.url);
    server.wait_for_log("listening");
    assert!(!server.log().contains('\u{1b}'), "{}", server.log());
}
