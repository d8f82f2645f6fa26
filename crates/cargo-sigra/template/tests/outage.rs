//! A server that goes away and comes back.
// <template>
#![cfg(feature = "postgres")]
// </template>

mod support;

use sigra::testing::{PostgresCluster, TestHost, assert_contains, assert_status};
use support::{Host, TestDatabase, email_form};

#[tokio::test]
async fn a_server_that_went_away_gives_503_until_it_is_back() {
    let cluster = PostgresCluster::start().unwrap_or_else(|error| panic!("{error}"));
    let database = TestDatabase { url: cluster.create_database().expect("a database") };
    let host = Host::on(database, &[]).await;
    let (user, browser) = host.authenticated_fixture().await;

    cluster.stop().expect("stopped");
    for path in ["/healthz", "/dashboard"] {
        let answer = browser.get(path).await;
        assert_status(&answer, 503);
        assert_eq!(answer.header("retry-after"), Some("1"), "{path}");
    }

    for path in [
        "/users/reset-password",
        // <magic_link>
        "/users/log-in/link",
        // </magic_link>
        "/users/confirm",
    ] {
        assert_status(&host.client().post(path, &email_form(&user.email)).await, 503);
    }

    cluster.restart().expect("started again");
    assert_status(&browser.get("/healthz").await, 200);
    assert_contains(&browser.get("/dashboard").await, &user.email);
}
