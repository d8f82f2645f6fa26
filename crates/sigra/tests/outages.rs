//! PostgreSQL is restarted, stopped, slow or doesn't notify, while users are logged in.
#![cfg(all(feature = "postgres", feature = "testing"))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use axum::{
    Router,
    http::{Request, StatusCode},
    routing::get,
};
use sigra::{
    Client, Clock, Config, HashedPassword, Password, RememberMe, Scope, SecretKeyBase, Sigra,
    config::Argon2Params,
    schema,
    testing::{PostgresCluster, TestClient, TestHost},
};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, PgPool, postgres::PgPoolOptions};
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    time::timeout,
};
use uuid::Uuid;

/// Longer than a node trusts a listening connection that is silent, with time to spare on a slow machine.
const LEASE: Duration = Duration::from_secs(3);

/// Longer than any request waits, also on a slow machine.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, sqlx::FromRow)]
struct User {
    id: Uuid,
    hashed_password: Option<HashedPassword>,
}

impl sigra::AuthUser for User {
    type Id = Uuid;
    type Database = sqlx::Postgres;

    fn id(&self) -> Uuid {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        self.hashed_password.as_ref()
    }
}

struct Host {
    sigra: Sigra<User>,
    pool: PgPool,
    clock: Clock,
}

impl Host {
    async fn on(url: &str) -> Self {
        Self::with(url, schema::POSTGRES).await
    }

    async fn with(url: &str, schema: &'static str) -> Self {
        let options = PgPoolOptions::new().acquire_timeout(Duration::from_secs(2));
        let pool = options.connect(url).await.unwrap();
        sqlx::raw_sql("CREATE TABLE users (id uuid PRIMARY KEY, hashed_password text)").execute(&pool).await.unwrap();
        sqlx::raw_sql(schema).execute(&pool).await.unwrap();
        let clock = Clock::stopped();
        let config = config().clock(clock.clone());
        Self { sigra: Sigra::new(config, pool.clone()).unwrap(), pool, clock }
    }

    /// Acts as another process of the application.
    fn another_node(&self) -> Sigra<User> {
        Sigra::new(config(), self.pool.clone()).unwrap()
    }

    async fn browser_in_cache(&self) -> TestClient {
        let (_, browser) = self.authenticated_fixture().await;
        self.sigra.catch_up().await;
        assert_eq!(who(&browser).await, StatusCode::OK);
        browser
    }

    async fn eventually(&self, condition: impl AsyncFn(&Self) -> bool) {
        let begun = Instant::now();
        while !condition(self).await {
            assert!(begun.elapsed() < PATIENCE, "the condition was not met in time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.pool).await.unwrap();
    }
}

fn config() -> Config {
    Config::new("my_app", SecretKeyBase::generate().unwrap()).argon2(Argon2Params::INSECURE_FOR_TESTS)
}

impl TestHost for Host {
    type User = User;

    fn router(&self) -> Router {
        Router::new().route("/me", get(async |_: Scope<User>| "me")).layer(self.sigra.fetch_current_scope())
    }

    fn sigra(&self) -> &Sigra<User> {
        &self.sigra
    }

    fn clock(&self) -> &Clock {
        &self.clock
    }

    async fn register(&self, _: &str, _: &Password) -> User {
        sqlx::query_as("INSERT INTO users VALUES ($1, NULL) RETURNING *")
            .bind(Uuid::now_v7())
            .fetch_one(&self.pool)
            .await
            .unwrap()
    }
}

/// The status: 200 if the browser is logged in, 401 if it isn't.
async fn who(browser: &TestClient) -> StatusCode {
    let request = Request::get("/me").header("accept", "application/json").body(axum::body::Body::empty());
    let response = browser.send(request.unwrap()).await;
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        assert_eq!(response.header("retry-after"), Some("1"));
    }
    response.status()
}

#[tokio::test]
async fn sessions_survive_a_restart_of_the_database_server() {
    let cluster = PostgresCluster::start().unwrap_or_else(|error| panic!("{error}"));
    let host = Host::on(&cluster.create_database().unwrap()).await;
    let (first, second) = (host.browser_in_cache().await, host.browser_in_cache().await);

    cluster.stop().unwrap();
    host.eventually(async |host| !host.sigra.is_caching()).await;
    let begun = Instant::now();
    assert_eq!(who(&first).await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(who(&first).await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(!first.cookies().is_empty(), "its cookies are kept");

    cluster.restart().unwrap();
    host.eventually(async |_| who(&first).await == StatusCode::OK).await;
    assert_eq!(who(&second).await, StatusCode::OK);
    host.eventually(async |host| host.sigra.is_caching()).await;
}

#[tokio::test]
async fn stale_connections_after_a_restart_cause_no_error() {
    let cluster = PostgresCluster::start().unwrap_or_else(|error| panic!("{error}"));
    let host = Host::on(&cluster.create_database().unwrap()).await;
    let browser = host.browser_in_cache().await;
    cluster.stop().unwrap();
    cluster.restart().unwrap();
    host.eventually(async |host| !host.sigra.is_caching() || who(&browser).await == StatusCode::OK).await;
    assert_eq!(who(&browser).await, StatusCode::OK, "a stale connection is replaced");
}

#[tokio::test]
async fn invariant_2_the_cache_is_not_used_after_the_listening_connection_is_cut() {
    let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
    let host = Host::on(&cluster.create_database().unwrap()).await;
    for _ in 0..3 {
        let browser = host.browser_in_cache().await;
        // In one statement, so that the deletion can't be announced.
        host.execute(
            "WITH cut AS (SELECT pg_terminate_backend(pid, 1000) AS done FROM pg_stat_activity
                          WHERE query LIKE 'LISTEN%' AND datname = current_database())
             DELETE FROM users_tokens WHERE (SELECT bool_and(done) FROM cut)",
        )
        .await;
        host.eventually(async |_| who(&browser).await == StatusCode::UNAUTHORIZED).await;
        host.eventually(async |host| host.sigra.is_caching()).await;
        assert_eq!(who(&browser).await, StatusCode::UNAUTHORIZED, "the entry from before is not used again");
    }
}

/// Ends the listening connections of all nodes.
const CUT: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()";

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_2_under_load_deleted_sessions_end_while_listening_connections_are_cut() {
    let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
    let host = Host::on(&cluster.create_database().unwrap()).await;
    let user = host.registered_fixture().await;
    let other = host.another_node();
    let cuts = Cell::new(0_u32);
    let revoke = async {
        let mut let_in = (0, Duration::ZERO);
        while cuts.get() < 10 {
            let (token, row) = host.sigra.create_session(&user, RememberMe::No, &Client::default()).await.unwrap();
            for node in [&host.sigra, &other] {
                node.fetch_session(&token).await.unwrap().expect("the session exists");
            }
            host.sigra.sessions().delete(&user.id, row.id).await.unwrap();
            let deleted = Instant::now();
            let_in.0 += usize::from(host.sigra.fetch_session(&token).await.unwrap().is_some());
            // A slow machine may pause between the check and its result.
            let mut asked = deleted.elapsed();
            while other.fetch_session(&token).await.unwrap().is_some() {
                let_in.1 = let_in.1.max(asked);
                tokio::task::yield_now().await;
                asked = deleted.elapsed();
            }
        }
        let_in
    };
    let cut = async {
        for _ in 0..10 {
            host.sigra.catch_up().await;
            other.catch_up().await;
            host.execute(CUT).await;
            cuts.set(cuts.get() + 1);
        }
    };
    let ((on_this_node, longest_on_the_other), ()) = tokio::join!(revoke, cut);
    assert_eq!(on_this_node, 0);
    assert!(longest_on_the_other < LEASE, "{longest_on_the_other:?}");
}

#[tokio::test]
async fn invariant_2_nothing_is_cached_without_the_triggers() {
    let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
    let tables_only = schema::POSTGRES.split_once("-- Announces every change of a session").unwrap().0;
    let host = Host::with(&cluster.create_database().unwrap(), tables_only).await;
    let (_, browser) = host.authenticated_fixture().await;
    host.sigra.catch_up().await;
    assert_eq!(who(&browser).await, StatusCode::OK);
    assert!(!host.sigra.is_caching());
    host.execute("DELETE FROM users_tokens").await;
    assert_eq!(who(&browser).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn invariant_2_nothing_is_cached_while_a_trigger_is_disabled() {
    let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
    let host = Host::on(&cluster.create_database().unwrap()).await;
    let browser = host.browser_in_cache().await;
    host.execute("ALTER TABLE users_tokens DISABLE TRIGGER sigra_announce").await;
    host.eventually(async |host| !host.sigra.is_caching()).await;
    host.execute("DELETE FROM users_tokens").await;
    assert_eq!(who(&browser).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn truncating_the_table_ends_all_sessions() {
    let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
    let host = Host::on(&cluster.create_database().unwrap()).await;
    let browser = host.browser_in_cache().await;
    host.execute("TRUNCATE users_tokens").await;
    host.sigra.catch_up().await;
    assert_eq!(who(&browser).await, StatusCode::UNAUTHORIZED);
}

/// Makes the first statements that delete tokens fail with `deadlock_detected`, as many as `refused` says.
const DEADLOCKS: &str = "
    CREATE SEQUENCE tries;
    CREATE TABLE refused (tries bigint NOT NULL);
    CREATE FUNCTION report_deadlock() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF nextval('tries') <= (SELECT tries FROM refused) THEN RAISE 'go' USING ERRCODE = '40P01'; END IF;
        RETURN NULL;
    END $$;
    CREATE TRIGGER report_deadlock BEFORE DELETE ON users_tokens EXECUTE FUNCTION report_deadlock()";

#[tokio::test]
async fn a_transaction_is_tried_again_once_after_a_deadlock() {
    for (tries, is_done) in [("INSERT INTO refused VALUES (1)", true), ("INSERT INTO refused VALUES (2)", false)] {
        let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
        let host = Host::on(&cluster.create_database().unwrap()).await;
        let (user, _) = host.authenticated_fixture().await;
        host.execute(DEADLOCKS).await;
        host.execute(tries).await;
        let deleted = host.sigra.delete_all_sessions(&user.id).await;
        assert_eq!(deleted.is_ok(), is_done, "{deleted:?}");
        assert_eq!(host.sigra.sessions().list(&user.id).await.unwrap().is_empty(), is_done);
    }
}

/// A node purges what others still accept if its `session_ttl` is shorter, as during a rollout, or its clock is ahead.
#[tokio::test]
async fn invariant_2_a_session_that_another_node_purges_leaves_the_cache() {
    let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
    let host = Host::on(&cluster.create_database().unwrap()).await;
    let browser = host.browser_in_cache().await;
    let ahead = Clock::system();
    ahead.advance(Duration::from_secs(2 * 24 * 60 * 60));
    let stricter = config().session_ttl(Duration::from_secs(24 * 60 * 60)).clock(ahead);
    let stricter = Sigra::<User>::new(stricter, host.pool.clone()).unwrap();
    assert_eq!(stricter.housekeeping().purge_expired().await.unwrap(), 1);
    host.sigra.catch_up().await;
    assert_eq!(who(&browser).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn requests_fail_soon_while_the_database_is_blocked_and_succeed_later() {
    let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
    let host = Host::on(&cluster.create_database().unwrap()).await;
    let (user, browser) = host.authenticated_fixture().await;
    assert_eq!(who(&browser).await, StatusCode::OK);
    host.sigra.sessions().announce_change(&user.id);
    let mut migration = host.pool.begin().await.unwrap();
    sqlx::query("LOCK TABLE users IN ACCESS EXCLUSIVE MODE").execute(&mut *migration).await.unwrap();
    let begun = Instant::now();
    assert_eq!(who(&browser).await, StatusCode::SERVICE_UNAVAILABLE);
    assert!(begun.elapsed() < PATIENCE);
    migration.rollback().await.unwrap();
    host.eventually(async |_| who(&browser).await == StatusCode::OK).await;
}

#[tokio::test]
async fn no_request_fails_after_the_server_ended_its_connections() {
    let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
    let url = cluster.create_database().unwrap();
    let host = Host::on(&url).await;
    let admin = PgPool::connect(&url).await.unwrap();
    let (user, browser) = host.authenticated_fixture().await;
    for round in 0..10 {
        let requests = (0..12).map(|_| async {
            host.sigra.sessions().announce_change(&user.id);
            who(&browser).await
        });
        assert!(futures_util::future::join_all(requests).await.iter().all(|status| *status == StatusCode::OK));
        let ended = "SELECT count(pg_terminate_backend(pid, 1000)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let ended: i64 = sqlx::query_scalar(ended).fetch_one(&admin).await.unwrap();
        assert!(ended > 1, "{ended}");
        host.sigra.sessions().announce_change(&user.id);
        assert_eq!(who(&browser).await, StatusCode::OK, "in round {round}");
    }
}

/// Ends all other connections, because a changed default applies only to new ones.
const END_OTHERS: &str = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// Changes the default of the database, and ends all other connections.
async fn set_read_only(admin: &mut PgConnection, change: &str) {
    let change = format!("DO $$ BEGIN EXECUTE format('ALTER DATABASE %I {change}', current_database()); END $$");
    admin.execute("SET default_transaction_read_only = off").await.unwrap();
    admin.execute(AssertSqlSafe(change)).await.unwrap();
    admin.execute(END_OTHERS).await.unwrap();
}

#[tokio::test]
async fn logged_in_users_are_served_while_the_database_is_read_only() {
    let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
    let url = cluster.create_database().unwrap();
    let host = Host::on(&url).await;
    let (user, browser) = host.authenticated_fixture().await;
    let mut admin = PgConnection::connect(&url).await.unwrap();
    host.sigra.check_health().await.unwrap();

    set_read_only(&mut admin, "SET default_transaction_read_only = on").await;
    // The token is due for a reissue, which can't be written.
    host.clock().advance(Duration::from_secs(8 * 24 * 60 * 60));
    assert_eq!(who(&browser).await, StatusCode::OK);
    let refused = host.sigra.create_session(&user, RememberMe::No, &Client::default()).await.unwrap_err();
    assert!(refused.is_temporary(), "{refused}");

    set_read_only(&mut admin, "RESET default_transaction_read_only").await;
    assert_eq!(who(&browser).await, StatusCode::OK);
    host.sigra.create_session(&user, RememberMe::No, &Client::default()).await.unwrap();
}

#[tokio::test]
async fn waiting_for_a_locked_user_ends_with_a_temporary_error() {
    let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
    let host = Host::on(&cluster.create_database().unwrap()).await;
    let user = host.registered_fixture().await;
    let mut elsewhere = host.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM users FOR UPDATE").execute(&mut *elsewhere).await.unwrap();
    let begun = Instant::now();
    let refused = host.sigra.create_session(&user, RememberMe::No, &Client::default()).await.unwrap_err();
    assert!(refused.is_temporary() && begun.elapsed() < PATIENCE, "{refused} after {:?}", begun.elapsed());
    elsewhere.rollback().await.unwrap();
    host.sigra.create_session(&user, RememberMe::No, &Client::default()).await.unwrap();
}

/// Forwards connections to PostgreSQL.
struct Relay {
    url: String,
    vanished: watch::Sender<()>,
}

impl Relay {
    async fn to(url: &str) -> Self {
        let (server, database) = url.rsplit_once('@').unwrap().1.split_once('/').unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://postgres@{}/{database}", listener.local_addr().unwrap());
        let (vanished, _) = watch::channel(());
        let (server, sender) = (server.to_owned(), vanished.clone());
        tokio::spawn(async move {
            loop {
                let (mut client, _) = listener.accept().await.unwrap();
                let (server, mut vanished) = (server.clone(), sender.subscribe());
                tokio::spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        _ = copy_bidirectional(&mut client, &mut server) => {}
                        // Both connections stay open.
                        _ = vanished.changed() => std::future::pending().await,
                    }
                });
            }
        });
        Self { url, vanished }
    }

    /// Stops forwarding on all connections that are open, without closing them, as when the server's machine dies and
    /// another takes its address over.
    fn vanish(&self) {
        self.vanished.send_replace(());
    }
}

/// As the generated application has it, in `src/database/postgres.rs`.
async fn responds(conn: &mut PgConnection) -> sqlx::Result<bool> {
    let silent = |_| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    timeout(Duration::from_secs(2), conn.ping()).await.map_err(silent)?.map(|()| true)
}

#[tokio::test]
async fn a_server_that_vanishes_without_a_word_takes_no_connection_with_it() {
    let cluster = PostgresCluster::shared().unwrap_or_else(|error| panic!("{error}"));
    let direct = Host::on(&cluster.create_database().unwrap()).await;
    let options = direct.pool.connect_options();
    let database = options.get_database().unwrap();
    let relay = Relay::to(&cluster.url(database)).await;
    let options = PgPoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(3));
    let options = options.after_release(|conn, _| Box::pin(responds(conn)));
    let pool = options.connect(&relay.url).await.unwrap();
    let sigra = Sigra::<User>::new(config(), pool).unwrap();
    let user = direct.registered_fixture().await;
    let log_in = async || sigra.create_session(&user, RememberMe::No, &Client::default()).await;
    let (token, _) = log_in().await.unwrap();
    assert!(sigra.fetch_session(&token).await.unwrap().is_some());
    sigra.catch_up().await;

    // Logins wait for a lock while the server vanishes.
    let mut elsewhere = direct.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM users FOR UPDATE").execute(&mut *elsewhere).await.unwrap();
    let begun = Instant::now();
    let vanish = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        relay.vanish();
        // What the server held is gone with it.
        let mut admin = PgConnection::connect(&cluster.url(database)).await.unwrap();
        admin.execute(END_OTHERS).await.unwrap();
    };
    let (one, other, ()) = tokio::join!(log_in(), log_in(), vanish);
    for failed in [one, other] {
        let error = failed.expect_err("nobody has responded");
        assert!(error.is_temporary(), "{error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());

    // Both connections leave the pool.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for _ in 0..3 {
        log_in().await.unwrap();
    }
    assert!(sigra.fetch_session(&token).await.unwrap().is_some());
    let begun = Instant::now();
    while !sigra.is_caching() {
        assert!(begun.elapsed() < PATIENCE, "the process listens again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
