//! A newer version of the application adds a column while this one runs.

use my_app::database;
use sigra::testing::{TestHost, VALID_PASSWORD, assert_status};

use crate::support::{Host, TestDatabase};

#[tokio::test]
async fn a_column_that_another_process_adds_fails_no_request() {
    let database = TestDatabase::create();
    let other_process = database::open(&database.url).await.unwrap_or_else(|error| panic!("{error}"));
    let host = Host::on(database, &[]).await;
    let (user, browser) = host.authenticated_fixture().await;
    // On one connection after another.
    let log_in_everywhere = async || {
        for _ in 0..host.pool.size() + 2 {
            assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
            host.confirm(&user).await;
        }
    };
    for column in ["shoe_size", "hat_size"] {
        log_in_everywhere().await;
        let add = format!("ALTER TABLE users ADD COLUMN {column} integer");
        sqlx::raw_sql(sqlx::AssertSqlSafe(add)).execute(&other_process).await.expect("added");
    }
    log_in_everywhere().await;
    assert_status(&browser.get("/dashboard").await, 200);
}
