//! Outages of the database server.

use std::time::{Duration, Instant};

use crate::support::{Host, TestDatabase, email_form, login_form};
use sigra::testing::{PostgresCluster, TestHost, VALID_PASSWORD, assert_contains, assert_status};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

#[tokio::test]
async fn a_database_outage_gives_503_until_the_database_is_back() {
    let cluster = PostgresCluster::start().unwrap_or_else(|error| panic!("{error}"));
    let database = TestDatabase { url: cluster.create_database().expect("a database") };
    let host = Host::on(database, &[]).await;
    let (user, browser) = host.authenticated_fixture().await;

    cluster.stop().expect("stopped");
    for path in ["/healthz", "/dashboard"] {
        let response = browser.get(path).await;
        assert_status(&response, 503);
        assert_eq!(response.header("retry-after"), Some("1"), "{path}");
    }

    for path in ["/users/reset-password", "/users/log-in/link", "/users/confirm"] {
        assert_status(&host.client().post(path, &email_form(&user.email)).await, 503);
    }

    cluster.restart().expect("started again");
    assert_status(&browser.get("/healthz").await, 200);
    assert_contains(&browser.get("/dashboard").await, &user.email);
}

/// Ends all other connections, because a changed default applies only to new ones.
const END_OTHERS: &str = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

#[tokio::test]
async fn connections_closed_by_the_database_fail_no_request() {
    let database = TestDatabase::create();
    let admin = my_app::database::Pool::connect(&database.url).await.expect("a connection");
    let host = Host::on(database, &[]).await;
    let (user, browser) = host.authenticated_fixture().await;
    for _ in 0..5 {
        let pages = (0..12).map(|_| browser.get("/dashboard"));
        futures_util::future::join_all(pages).await;
        sqlx::raw_sql(END_OTHERS).execute(&admin).await.expect("ended");
        assert_contains(&browser.get("/dashboard").await, &user.email);
        assert_status(&browser.get("/healthz").await, 200);
        assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
    }
}

/// Changes the default of the database, and ends all other connections.
async fn set_read_only(admin: &mut PgConnection, change: &str) {
    let change = format!("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {change}', current_database()); END $$");
    admin.execute("SET default_transaction_read_only = off").await.expect("done");
    admin.execute(AssertSqlSafe(change)).await.expect("done");
    admin.execute(END_OTHERS).await.expect("done");
}

#[tokio::test]
async fn a_read_only_database_still_shows_pages_and_fails_the_health_check() {
    let database = TestDatabase::create();
    let mut admin = PgConnection::connect(&database.url).await.expect("a connection");
    let host = Host::on(database, &[]).await;
    let (user, browser) = host.authenticated_fixture().await;
    set_read_only(&mut admin, "SET default_transaction_read_only = on").await;
    host.clock().advance(Duration::from_secs(8 * 24 * 60 * 60));
    assert_contains(&browser.get("/dashboard").await, &user.email);
    let log_in = login_form(&user.email, VALID_PASSWORD);
    assert_status(&host.client().post("/users/log-in", &log_in).await, 503);
    assert_status(&browser.delete("/users/log-out").await, 503);
    assert_status(&browser.get("/healthz").await, 503);
    assert_contains(&browser.get("/dashboard").await, &user.email);

    set_read_only(&mut admin, "RESET default_transaction_read_only").await;
    assert_status(&browser.get("/healthz").await, 200);
    assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
}

#[tokio::test]
async fn waiting_for_a_locked_row_ends_with_503() {
    let database = TestDatabase::create();
    let admin = my_app::database::Pool::connect(&database.url).await.expect("a connection");
    let host = Host::on(database, &[]).await;
    let user = host.registered_fixture().await;
    for lock in ["SELECT 1 FROM users FOR UPDATE", "LOCK TABLE users", "LOCK TABLE auth_attempts"] {
        let mut elsewhere = admin.begin().await.expect("a transaction");
        sqlx::query(lock).execute(&mut *elsewhere).await.expect("locked");
        let begun = Instant::now();
        let log_in = login_form(&user.email, VALID_PASSWORD);
        assert_status(&host.client().post("/users/log-in", &log_in).await, 503);
        assert!(begun.elapsed() < Duration::from_secs(30), "{lock}: {:?}", begun.elapsed());
        elsewhere.rollback().await.expect("unlocked");
        assert!(host.can_log_in(&user.email, VALID_PASSWORD).await);
    }
}

#[tokio::test]
async fn a_start_waits_for_a_database_server_that_is_starting() {
    let cluster = PostgresCluster::start().unwrap_or_else(|error| panic!("{error}"));
    let url = cluster.create_database().expect("a database");
    cluster.stop().expect("stopped");
    let (opened, ()) = tokio::join!(my_app::database::open(&url), async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        cluster.restart().expect("started again");
    });
    opened.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test]
async fn a_wrong_password_is_reported_at_once() {
    let database = TestDatabase::create();
    let mut admin = PgConnection::connect(&database.url).await.expect("a connection");
    admin.execute("CREATE ROLE nobody_logs_in NOLOGIN").await.expect("created");
    let begun = Instant::now();
    let url = database.url.replace("postgres@", "nobody_logs_in@");
    let error = my_app::database::open(&url).await.expect_err("refused").to_string();
    assert!(error.contains("not permitted to log in") && begun.elapsed() < Duration::from_secs(5), "{error}");
    admin.execute("DROP ROLE nobody_logs_in").await.expect("dropped");
}
