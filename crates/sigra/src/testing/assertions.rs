use std::{fmt::Display, panic::Location};

use http::{StatusCode, header};

use crate::{
    base::error::Error,
    model::{session::SessionId, user::AuthUser},
    sigra::Sigra,
    store,
    testing::response::TestResponse,
};

/// Asserts that a response has this status.
///
/// ```
/// # use sigra::testing::{TestClient, assert_status};
/// use axum::http::StatusCode;
///
/// async fn is_served(browser: &TestClient) {
///     assert_status(&browser.get("/").await, StatusCode::OK);
///     assert_status(&browser.get("/").await, 200);
/// }
/// ```
///
/// # Panics
///
/// If it has another status.
#[track_caller]
pub fn assert_status(response: &TestResponse, status: impl PartialEq<StatusCode> + Display) {
    assert!(status == response.status(), "expected {status}\n{response:?}");
}

/// Asserts that a response redirects to exactly this path or URL.
///
/// ```
/// # use sigra::testing::{TestClient, assert_redirected_to};
/// async fn asks_to_log_in(browser: &TestClient) {
///     assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");
/// }
/// ```
///
/// # Panics
///
/// If it isn't a redirect, or redirects elsewhere.
#[track_caller]
pub fn assert_redirected_to(response: &TestResponse, path: &str) {
    let redirected = response.status().is_redirection() && response.location() == Some(path);
    assert!(redirected, "expected a redirect to `{path}`\n{response:?}");
}

/// Asserts that the body contains this text. An apostrophe in it can be escaped in the body, as templates do.
///
/// ```
/// # use sigra::testing::{TestClient, assert_contains};
/// async fn greets(browser: &TestClient) {
///     assert_contains(&browser.get("/").await, "Welcome back!");
/// }
/// ```
///
/// # Panics
///
/// If it doesn't.
#[track_caller]
pub fn assert_contains(response: &TestResponse, text: &str) {
    let body = response.text();
    let is_there = body.contains(text) || body.replace("&#39;", "'").contains(text);
    assert!(is_there, "expected `{text}` in the body\n{response:?}");
}

/// Asserts that a response is a [problem](crate::Problem) of this status: neither a redirect nor a page. The host can
/// render it as it likes, but as `application/problem+json` the body must have the same status.
///
/// ```
/// # use sigra::testing::{TestHost, assert_problem};
/// async fn programs_get_401<H: TestHost>(host: &H) {
///     assert_problem(&host.client().json().get("/me").await, 401);
/// }
/// ```
///
/// # Panics
///
/// If it isn't a problem, or has another status.
#[track_caller]
pub fn assert_problem(response: &TestResponse, status: impl PartialEq<StatusCode> + Display) {
    assert!(status == response.status(), "expected a problem of status {status}\n{response:?}");
    let is_json = response.header(header::CONTENT_TYPE.as_str()) == Some("application/problem+json");
    if is_json {
        let problem: serde_json::Value = response.json();
        assert!(
            problem["status"] == response.status().as_u16(),
            "expected the status {status} in the body of the problem\n{response:?}"
        );
    }
    assert!(
        is_json || response.problem().is_some(),
        "expected a problem, but this is a page of status {status}\n{response:?}"
    );
}

/// Asserts that no session of a user can be used any more.
///
/// ```
/// # use sigra::testing::{TestHost, assert_sessions_invalidated};
/// async fn logging_out_everywhere<H: TestHost>(host: &H) {
///     let (user, browser) = host.authenticated_fixture().await;
///     browser.delete("/users/sessions").await;
///     assert_sessions_invalidated(host.sigra(), &user).await;
/// }
/// ```
///
/// # Panics
///
/// If one can: the message lists those that are left.
#[track_caller]
pub fn assert_sessions_invalidated<U: AuthUser>(sigra: &Sigra<U>, user: &U) -> impl Future<Output = ()> + Send {
    let asserted_at = Location::caller();
    let user = user.id();
    async move {
        let left = match usable_sessions(sigra, &user).await {
            Ok(left) => left,
            Err(error) => panic!("{asserted_at}: can't list the sessions of user {user:?}: {error}"),
        };
        assert!(
            left.is_empty(),
            "{asserted_at}: user {user:?} still has {} usable session(s):\n{}",
            left.len(),
            left.join("\n")
        );
    }
}

/// Asserts that the audit trail of a user has an event with this action. Searches the newest 1,000.
///
/// ```
/// # use sigra::testing::{TestHost, assert_audit_event};
/// use sigra::telemetry;
///
/// async fn logging_in_is_recorded<H: TestHost>(host: &H, user: &H::User) {
///     assert_audit_event(host.sigra(), user, telemetry::LOGIN_SUCCESS).await;
/// }
/// ```
///
/// # Panics
///
/// If it has none: the message lists the actions that it has.
#[track_caller]
pub fn assert_audit_event<U: AuthUser>(sigra: &Sigra<U>, user: &U, action: &str) -> impl Future<Output = ()> + Send {
    let asserted_at = Location::caller();
    let user = user.id();
    async move {
        let events = match sigra.audit().list(&user, None, 1000).await {
            Ok(events) => events,
            Err(error) => panic!("{asserted_at}: can't list the audit events of user {user:?}: {error}"),
        };
        let actions: Vec<&str> = events.iter().map(|event| &*event.action).collect();
        assert!(
            actions.contains(&action),
            "{asserted_at}: user {user:?} has no audit event `{action}`; their events: {actions:?}"
        );
    }
}

/// Returns descriptions of the sessions that a request can still use.
async fn usable_sessions<U: AuthUser>(sigra: &Sigra<U>, user: &U::Id) -> Result<Vec<String>, Error> {
    let listed = sigra.sessions().list(user).await?;
    let ids: Vec<SessionId> = listed.iter().map(|session| session.id).collect();
    let mut conn = sigra.pool().acquire().await?;
    let found = store::sessions::find::<U>(&mut conn, &ids).await?;
    let active = found.iter().filter(|(_, user)| user.is_active());
    Ok(active
        .map(|(session, _)| format!("  {} ({}, since {})", session.id, session.device(), session.inserted_at))
        .collect())
}
