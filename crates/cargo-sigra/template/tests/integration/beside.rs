//! Accounts in an application that has routes of its own.

use crate::support::{Host, TestDatabase, log_in_form};
use axum::{Router, routing::get};
use my_app::{
    accounts::User,
    beside,
    database::{self, Connection, Pool},
};
use sigra::{
    Scope,
    testing::{TestClient, TestHost, assert_contains, assert_redirected_to, assert_status},
};

async fn hello(scope: Option<Scope<User>>) -> String {
    scope.map_or_else(|| "hello stranger".to_owned(), |scope| format!("hello {}", scope.user().email))
}

async fn members(scope: Scope<User>) -> String {
    scope.user().email.clone()
}

/// An application with a few routes, and a page of its own for what is not there.
fn beside_own_routes(host: &Host) -> TestClient {
    let own = Router::new()
        .route("/", get(hello))
        .route("/members", get(members))
        .route("/users", get(|| async { "the application's own" }))
        .fallback(|| async { "nothing here" });
    TestClient::new(beside::beside(own, host.router(), host.sigra()))
}

#[tokio::test]
async fn its_own_handlers_know_who_is_logged_in() {
    let host = Host::new().await;
    let user = host.user_fixture().await;
    let browser = beside_own_routes(&host);
    assert_contains(&browser.get("/").await, "hello stranger");
    assert_redirected_to(&browser.get("/members").await, "/users/log-in");

    assert_status(&browser.get("/users/log-in").await, 200);
    let answer = browser.post("/users/log-in", &log_in_form(&user.email, sigra::testing::VALID_PASSWORD)).await;
    assert_redirected_to(&answer, "/members");
    assert_contains(&browser.get("/members").await, &user.email);

    browser.post("/users/log-out", &[("_method", "delete")]).await;
    assert_redirected_to(&browser.get("/members").await, "/users/log-in");
}

#[tokio::test]
async fn its_own_routes_stay_as_they_are() {
    let host = Host::new().await;
    let browser = beside_own_routes(&host);
    assert_contains(&browser.get("/users").await, "the application's own");
    let missing = browser.get("/missing").await;
    assert_contains(&missing, "nothing here");
    assert_eq!(missing.header("content-security-policy"), None);
    assert_status(&browser.get("/users/missing").await, 404);
}

#[tokio::test]
async fn links_with_a_token_arrive() {
    let host = Host::new().await;
    let user = host.user_fixture().await;
    let browser = beside_own_routes(&host);
    browser.post("/users/reset-password", &crate::support::email_form(&user.email)).await;
    assert_status(&browser.get(&host.link_to(&user.email).await).await, 200);
}

#[tokio::test]
async fn a_pool_of_the_applications_own_is_taken_and_migrated() {
    let database = TestDatabase::create();
    let pool = Pool::connect_with(options(&database.url)).await.expect("a pool");
    for _ in 0..2 {
        database::prepare_own(&pool).await.unwrap_or_else(|error| panic!("{error}"));
    }
    let users: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&pool).await.expect("users");
    assert_eq!(users, 0);
}

// <sqlite>
// <template>
#[cfg(not(feature = "postgres"))]
// </template>
#[tokio::test]
async fn a_pool_without_foreign_keys_is_refused() {
    let database = TestDatabase::create();
    let pool = Pool::connect_with(options(&database.url).foreign_keys(false)).await.expect("a pool");
    let refused = database::prepare_own(&pool).await.expect_err("sessions would outlive their users").to_string();
    assert!(refused.contains("leave out `.foreign_keys(false)`"), "{refused}");
}
// </sqlite>

fn options(url: &str) -> <Connection as sqlx::Connection>::Options {
    let options: <Connection as sqlx::Connection>::Options = url.parse().expect("an address");
    // <sqlite>
    // <template>
    #[cfg(not(feature = "postgres"))]
    // </template>
    let options = options.create_if_missing(true);
    // </sqlite>
    options
}
