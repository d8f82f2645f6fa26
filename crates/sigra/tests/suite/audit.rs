//! The audit trail.

use serde_json::json;
use sigra::{
    Client,
    audit::{Audit, AuditEvent},
    telemetry,
    testing::{TestHost, assert_status},
};

use super::host::{DAY, Host, SECOND, User};

async fn actions(host: &Host, user: &User) -> Vec<String> {
    let events = host.sigra.audit().list(&user.id, None, 100).await.unwrap();
    events.into_iter().map(|event| event.action).collect()
}

#[tokio::test]
async fn each_action_is_recorded_once() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    assert_eq!(actions(&host, &user).await, [telemetry::LOGIN_SUCCESS]);
    browser.post("/confirm", &[]).await;
    browser.post("/log-out", &[]).await;
    browser.post("/log-out", &[]).await;
    let expected = [telemetry::LOGOUT, telemetry::REAUTHENTICATION_SUCCESS, telemetry::LOGIN_SUCCESS];
    assert_eq!(actions(&host, &user).await, expected);
}

/// OWASP ASVS 16.3.1.
#[tokio::test]
async fn a_login_event_names_the_sign_in_method_or_the_second_factor() {
    let host = Host::new().await;
    let logged_in = async |user: &User| {
        let events = host.sigra.audit().list(&user.id, None, 100).await.unwrap();
        let log_in = events.into_iter().find(|event| event.action == telemetry::LOGIN_SUCCESS).unwrap();
        log_in.metadata
    };
    let (user, _) = host.logged_in(false).await;
    assert_eq!(logged_in(&user).await, json!({ "method": "password" }));

    let (user, _) = host.mfa_fixture().await;
    let browser = host.client();
    host.post_log_in(&browser, &user, false).await;
    let events = host.sigra.audit().list(&user.id, None, 100).await.unwrap();
    assert_eq!(events[0].action, telemetry::MFA_CHALLENGED);
    assert_eq!(events[0].metadata, json!({ "method": "password" }));
    let code = host.totp_code(&user).await;
    assert_status(&browser.post("/mfa-challenge", &[("code", &code)]).await, 200);
    assert_eq!(logged_in(&user).await, json!({ "second_factor": "totp" }));
}

#[tokio::test]
async fn an_event_is_rolled_back_with_its_transaction() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let mut tx = host.sigra.begin().await.unwrap();
    host.sigra.audit().record_in(&mut tx, &Audit::new("test").of(user.id)).await.unwrap();
    tx.rollback().await.unwrap();
    assert!(actions(&host, &user).await.is_empty());
}

#[tokio::test]
async fn an_event_has_the_user_the_actor_and_the_client() {
    let host = Host::new().await;
    let (user, admin) = (host.registered_fixture().await, host.registered_fixture().await);
    let client = Client::new([203, 0, 113, 7], "a browser");
    let metadata = serde_json::json!({ "plan": "team" });
    let audit = Audit::new("plan.changed").of(user.id).by(admin.id).from(&client).with(metadata.clone());
    host.sigra.audit().record_in(&mut *host.pool.acquire().await.unwrap(), &audit).await.unwrap();
    let events = host.sigra.audit().list(&user.id, None, 1).await.unwrap();
    let event = &events[0];
    assert_eq!((event.action.as_str(), event.user, event.actor), ("plan.changed", Some(user.id), Some(admin.id)));
    assert_eq!((&event.client, &event.metadata), (&client, &metadata));
    assert_eq!(event.inserted_at.unix_timestamp(), host.clock().now().unix_timestamp());
    assert!(host.sigra.audit().list(&admin.id, None, 1).await.unwrap().is_empty());
}

#[tokio::test]
async fn pages_of_events_have_no_gaps() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for number in 0..25 {
        let audit = Audit::new(format!("event {number}")).of(user.id);
        host.sigra.audit().record_in(&mut *host.pool.acquire().await.unwrap(), &audit).await.unwrap();
    }
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = host.sigra.audit().list(&user.id, before, 10).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some(last.id);
        seen.extend(page.into_iter().map(|event| event.action));
    }
    let expected: Vec<String> = (0..25).rev().map(|number| format!("event {number}")).collect();
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn the_audit_trail_is_kept_after_the_account_is_deleted() {
    let host = Host::new().await;
    let (user, _) = host.logged_in(false).await;
    host.execute("DELETE FROM users").await;
    assert_eq!(actions(&host, &user).await, [telemetry::LOGIN_SUCCESS]);
}

#[tokio::test]
async fn a_login_fails_if_its_event_cannot_be_written() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    host.execute("DROP TABLE audit_events").await;
    let response = host.post_log_in(&host.client(), &user, false).await;
    assert_eq!(response.status(), 500);
    assert_eq!(host.rows().await, 0);
}

#[tokio::test]
async fn events_are_purged_after_the_configured_retention() {
    for (retention, days, kept) in [(None, 4000, 1), (Some(DAY * 365), 365, 0), (Some(DAY * 365), 364, 1)] {
        let host = Host::with(|config| config.audit_retention(retention)).await;
        let mut conn = host.pool.acquire().await.unwrap();
        host.sigra.audit().record_in(&mut conn, &Audit::new("tests.ran")).await.unwrap();
        drop(conn);
        host.clock().advance(DAY * days);
        host.sigra.housekeeping().purge_expired().await.unwrap();
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_events").fetch_one(&host.pool).await.unwrap();
        assert_eq!(left, kept, "{retention:?}, {days} days");
    }
}

/// Otherwise an account could seem to be unused, because its logins are gone and its registration isn't.
#[tokio::test]
async fn the_oldest_events_are_purged_first() {
    let host = Host::with(|config| config.audit_retention(DAY)).await;
    let mut conn = host.pool.acquire().await.unwrap();
    for event in 0..30 {
        host.sigra.audit().record_in(&mut conn, &Audit::new(format!("{event:02}"))).await.unwrap();
        host.clock().advance(SECOND);
    }
    drop(conn);
    // PostgreSQL moves rows that are updated.
    host.execute("UPDATE audit_events SET metadata = metadata WHERE action < '15'").await;
    // One event can't be deleted, so neither can the rest of its batch.
    host.execute("CREATE TABLE kept (event UUID REFERENCES audit_events (id))").await;
    host.execute("INSERT INTO kept SELECT id FROM audit_events WHERE action = '15'").await;
    host.clock().advance(DAY * 2);
    assert!(host.sigra.housekeeping().purge_expired().await.is_err());
    let left = "SELECT action FROM audit_events ORDER BY action";
    let left: Vec<String> = sqlx::query_scalar(left).fetch_all(&host.pool).await.unwrap();
    assert_eq!(left, (10..30).map(|event| format!("{event:02}")).collect::<Vec<_>>());
}

/// Otherwise guesses at email addresses without an account would fill the table.
#[tokio::test]
async fn repeated_events_of_unknown_users_are_counted_in_one_row() {
    let host = Host::new().await;
    let client = |last: u8| Client::new([192, 0, 2, last], "");
    let (user, mut conn) = (host.registered_fixture().await, host.pool.acquire().await.unwrap());
    for last in 0..20 {
        let failure = Audit::new(telemetry::LOGIN_FAILURE).from(&client(last));
        host.sigra.audit().record_repeatable_in(&mut conn, &failure).await.unwrap();
        host.sigra.audit().record_repeatable_in(&mut conn, &failure.of(user.id).from(&client(last % 2))).await.unwrap();
    }
    drop(conn);
    let events: i64 = sqlx::query_scalar("SELECT count(*) FROM audit_events").fetch_one(&host.pool).await.unwrap();
    assert_eq!(events, 3, "one without a user, and one for each IP address with the user");
    let events = host.sigra.audit().list(&user.id, None, 100).await.unwrap();
    assert_eq!(events.iter().map(AuditEvent::times).collect::<Vec<_>>(), [10, 10]);
}
