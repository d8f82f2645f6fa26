//! Rows that can't be decoded, such as after a column's type changed. They must affect only their own user.

use std::{sync::Arc, time::Duration};

use sigra::{
    audit::{Audit, AuditEvent},
    testing::{TestClient, TestHost, TestResponse, assert_status},
};
use sqlx::AssertSqlSafe;
use tokio::{task::JoinSet, time::timeout};

use super::host::{DAY, Host, PANICS, UNREADABLE, User, get_request, who};
use crate::database::{INVALID_ID, INVALID_TIMES, LAST_TIME};

const TIMES: [&str; 4] = ["inserted_at", "issued_at", "last_used_at", "authenticated_at"];

/// Longer than a sweep takes on a slow machine.
const PATIENCE: Duration = Duration::from_secs(60);

impl Host {
    async fn spoil_user(&self, user: &User, nickname: &str) {
        let spoil = sqlx::query("UPDATE users SET nickname = $1 WHERE id = $2").bind(nickname).bind(user.id);
        spoil.execute(&self.pool).await.unwrap();
        self.sigra().catch_up().await;
    }

    async fn spoil_session(&self, id: sigra::SessionId, column: &str, time: &str) {
        let spoil = format!("UPDATE users_tokens SET {column} = {time} WHERE id = $1");
        sqlx::query(AssertSqlSafe(spoil)).bind(id).execute(&self.pool).await.unwrap();
        self.sigra().catch_up().await;
    }

    async fn session_of(&self, user: &User) -> sigra::SessionId {
        self.sigra().sessions().list(&user.id).await.unwrap()[0].id
    }
}

/// Sends requests of several browsers at once, so that their sessions are looked up in one query.
async fn all_at_once(browsers: &[&Arc<TestClient>]) -> Vec<Vec<TestResponse>> {
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        for (at, browser) in browsers.iter().enumerate() {
            let browser = Arc::clone(browser);
            requests.spawn(async move { (at, browser.send_without_storing(get_request("/maybe")).await) });
        }
    }
    let mut answers: Vec<Vec<TestResponse>> = browsers.iter().map(|_| Vec::new()).collect();
    for (at, answer) in requests.join_all().await {
        answers[at].push(answer);
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_unreadable_user_breaks_no_request_of_other_users() {
    let host = Host::with(|config| config.cached_scopes(0)).await;
    let (good, of_good) = host.authenticated_fixture().await;
    let (bad, of_bad) = host.authenticated_fixture().await;
    let (of_good, of_bad) = (Arc::new(of_good), Arc::new(of_bad));
    for nickname in [UNREADABLE, PANICS] {
        host.spoil_user(&bad, nickname).await;
        let answers = all_at_once(&[&of_good, &of_bad]).await;
        assert!(answers[0].iter().all(|answer| answer.text() == good.email), "{nickname}: {:?}", answers[0]);
        assert!(answers[1].iter().all(|answer| answer.status() == 500), "{nickname}: {:?}", answers[1]);
    }
    host.spoil_user(&bad, "readable").await;
    assert_eq!(who(&of_bad).await, bad.email, "the cookies are kept");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_session_with_unreadable_times_breaks_no_request_of_other_users() {
    for column in TIMES {
        let host = Host::with(|config| config.cached_scopes(0).session_idle_timeout(DAY)).await;
        let (good, of_good) = host.authenticated_fixture().await;
        let of_good = Arc::new(of_good);
        for time in INVALID_TIMES {
            let (bad, of_bad) = host.authenticated_fixture().await;
            host.spoil_session(host.session_of(&bad).await, column, time).await;
            let answers = all_at_once(&[&of_good, &Arc::new(of_bad)]).await;
            assert!(answers[0].iter().all(|answer| answer.text() == good.email), "{column} {time}: {:?}", answers[0]);
            assert!(answers[1].iter().all(|answer| answer.status() == 500), "{column} {time}: {:?}", answers[1]);
        }
    }
}

#[tokio::test]
async fn the_latest_possible_time_causes_no_panic() {
    for column in TIMES {
        let host = Host::with(|config| config.session_idle_timeout(DAY)).await;
        let (user, browser) = host.logged_in(true).await;
        host.spoil_session(host.session_of(&user).await, column, LAST_TIME).await;
        for path in ["/maybe", "/sudo", "/me"] {
            let answer = browser.get(path).await;
            assert!(!answer.status().is_server_error(), "{column} {path}: {answer:?}");
        }
        browser.close_and_reopen();
        // A session that was created in the future isn't valid yet.
        let (seen_as, renewed) = if column == "inserted_at" { ("anonymous", 401) } else { (user.email.as_str(), 204) };
        assert_eq!(who(&browser).await, seen_as, "{column}");
        assert_status(&browser.json().post("/renew", &[]).await, renewed);
    }
}

/// Returns whether a live connection ends in time.
async fn is_ended(connection: &mut tokio::task::JoinHandle<TestResponse>) -> bool {
    timeout(PATIENCE, connection).await.is_ok_and(|answer| answer.unwrap().text() == "ended")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_17_live_connections_end_even_if_other_rows_are_unreadable() {
    for nickname in [UNREADABLE, PANICS] {
        let host = Host::new().await;
        let mut connections = Vec::new();
        let mut users = Vec::new();
        for _ in 0..3 {
            let (user, browser) = host.authenticated_fixture().await;
            connections.push(tokio::spawn(async move { browser.get("/live").await }));
            host.slow.live().await;
            users.push(user);
        }
        host.spoil_user(&users[0], nickname).await;
        assert!(is_ended(&mut connections[0]).await, "{nickname}: its session can't be confirmed");
        assert!(!connections[1].is_finished() && !connections[2].is_finished(), "{nickname}: others stay open");

        let delete = sqlx::query("DELETE FROM users_tokens WHERE user_id = $1").bind(users[1].id);
        delete.execute(&host.pool).await.unwrap();
        assert!(is_ended(&mut connections[1]).await, "{nickname}: its session is still checked");
        assert!(!connections[2].is_finished(), "{nickname}: others stay open");
    }
}

#[tokio::test]
async fn readable_sessions_are_listed_despite_unreadable_ones() {
    let host = Host::new().await;
    let (user, _) = host.authenticated_fixture().await;
    let spoiled = host.session_of(&user).await;
    host.log_in(&user).await;
    for time in INVALID_TIMES {
        host.spoil_session(spoiled, "last_used_at", time).await;
        let listed = host.sigra().sessions().list(&user.id).await.unwrap();
        assert!(listed.len() == 1 && listed[0].id != spoiled, "{time}: {listed:?}");
    }
    assert_eq!(host.sigra().delete_all_sessions(&user.id).await.unwrap(), 2, "all of them can be ended");
}

/// Otherwise a user with such a row could not reset their password.
#[tokio::test]
async fn invariant_9_everything_of_a_user_ends_even_if_an_id_is_unreadable() {
    let Some(invalid) = INVALID_ID else { return };
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let token = |n: u8| format!("x'{}'", format!("{n:02x}").repeat(32));
    let grant = format!(
        "INSERT INTO oauth_grants (id, user_id, client_id, client_name, permissions, resource, series, refresh_token,
             salt, last_used_at, inserted_at)
         VALUES ({invalid}, $1, 'cli', 'CLI', '', '', {}, {}, x'', {LAST_TIME}, {LAST_TIME})",
        token(1),
        token(2),
    );
    let api_token = format!(
        "INSERT INTO api_tokens (id, user_id, token, hint, name, permissions, mfa_verified, inserted_at)
         VALUES ({invalid}, $1, {}, 'hint', 'CI', '', 0, {LAST_TIME})",
        token(3),
    );
    let session = format!("UPDATE users_tokens SET id = {invalid} WHERE user_id = $1 AND context = 'session'");
    for spoil in [grant, api_token, session] {
        sqlx::query(AssertSqlSafe(spoil)).bind(user.id).execute(&host.pool).await.unwrap();
    }
    let mut tx = host.sigra.begin().await.unwrap();
    let revoked = host.sigra.sessions().end_all_access_in(&mut tx, &user.id, None).await.unwrap();
    tx.commit().await.unwrap();
    host.sigra.sessions().announce(revoked);
    for table in ["oauth_grants", "api_tokens", "users_tokens"] {
        let count = format!("SELECT count(*) FROM {table}");
        assert_eq!(sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&host.pool).await.ok(), Some(0_i64), "{table}");
    }
    assert_eq!(who(&browser).await, "anonymous");
}

#[tokio::test]
async fn readable_audit_events_fill_their_pages_despite_unreadable_ones() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for number in 0..9 {
        let event = Audit::new(format!("event.{number}")).of(user.id);
        host.sigra().audit().record_in(&mut *host.pool.acquire().await.unwrap(), &event).await.unwrap();
    }
    let spoil =
        format!("UPDATE audit_events SET inserted_at = {} WHERE action IN ('event.8', 'event.6')", INVALID_TIMES[0]);
    sqlx::query(AssertSqlSafe(spoil)).execute(&host.pool).await.unwrap();
    let mut listed = Vec::new();
    let mut before = None;
    loop {
        let page = host.sigra().audit().list(&user.id, before, 2).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        listed.push(page.iter().map(|event| event.action.trim_start_matches("event.").to_owned()).collect::<String>());
    }
    assert_eq!(listed, ["75", "43", "21", "0"]);
}

#[tokio::test]
async fn an_event_that_can_not_be_read_is_not_counted_on() {
    let Some(invalid) = INVALID_ID else { return };
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let failure = Audit::new("failure").of(user.id);
    let mut conn = host.pool.acquire().await.unwrap();
    host.sigra().audit().record_in(&mut conn, &failure).await.unwrap();
    sqlx::query(AssertSqlSafe(format!("UPDATE audit_events SET id = {invalid}"))).execute(&mut *conn).await.unwrap();
    for _ in 0..2 {
        host.sigra().audit().record_repeatable_in(&mut conn, &failure).await.unwrap();
    }
    let listed = host.sigra().audit().list(&user.id, None, 10).await.unwrap();
    assert_eq!(listed.iter().map(AuditEvent::times).collect::<Vec<_>>(), [2]);
}

#[tokio::test]
async fn readable_passkeys_are_listed_despite_unreadable_ones() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for (number, time) in [LAST_TIME, INVALID_TIMES[0]].into_iter().enumerate() {
        let insert = format!(
            "INSERT INTO users_passkeys (id, user_id, credential_id, user_handle, credential, name, last_used_at, inserted_at)
             VALUES ($1, $2, $3, $1, '{{}}', 'a passkey', {time}, {LAST_TIME})"
        );
        let insert = sqlx::query(AssertSqlSafe(insert)).bind(uuid::Uuid::now_v7()).bind(user.id);
        insert.bind(vec![u8::try_from(number).unwrap()]).execute(&host.pool).await.unwrap();
    }
    let factors = host.sigra().mfa().list(&user.id).await.unwrap();
    assert_eq!(factors.passkeys.len(), 1);
}
