//! Rows with invalid times, or times from a wrong clock, must not be valid forever.

use sigra::{
    Clock, EmailToken,
    audit::Audit,
    telemetry,
    testing::{TestClient, TestHost, assert_status},
    token::Context,
};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use super::{
    authenticator::Authenticator,
    host::{DAY, Host, KEY, User, who},
    passkeys::{challenge, send, user_with_passkey},
};
use crate::database::{INVALID_TIMES, LAST_TIME};

/// Invalid times, and one in the far future.
fn times() -> impl Iterator<Item = &'static str> {
    INVALID_TIMES.iter().copied().chain([LAST_TIME])
}

impl Host {
    /// Sets times in all rows of a context.
    async fn date(&self, context: &str, columns: &[&str], time: &str) {
        let set = columns.iter().map(|column| format!("{column} = {time}")).collect::<Vec<_>>().join(", ");
        let date = format!("UPDATE users_tokens SET {set} WHERE context = '{context}'");
        assert!(sqlx::query(AssertSqlSafe(date)).execute(&self.pool).await.unwrap().rows_affected() > 0);
        self.sigra().catch_up().await;
    }
}

async fn link(host: &Host, user: &User, context: Context<'_>) -> EmailToken {
    let mut tx = host.sigra.begin().await.unwrap();
    let token = host.sigra.email_tokens().create_in(&mut tx, &user.id, context, &user.email).await.unwrap();
    tx.commit().await.unwrap();
    token
}

async fn is_valid(host: &Host, token: &EmailToken, context: Context<'_>) -> bool {
    let found = host.sigra.email_tokens().find(token, context).await.unwrap().is_valid();
    let mut tx = host.sigra.begin().await.unwrap();
    let locked = host.sigra.email_tokens().lock_in(&mut tx, token, context).await.unwrap().is_valid();
    let taken = host.sigra.email_tokens().take_in(&mut tx, token, context).await.unwrap().is_valid();
    tx.rollback().await.unwrap();
    assert_eq!((found, locked), (taken, taken));
    taken
}

#[tokio::test]
async fn a_link_with_an_invalid_or_future_time_is_refused() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for context in [Context::Confirm, Context::ResetPassword, Context::Login, Context::Recovery] {
        for time in times() {
            let token = link(&host, &user, context).await;
            assert!(is_valid(&host, &token, context).await);
            host.date(&context.name(), &["inserted_at"], time).await;
            assert!(!is_valid(&host, &token, context).await, "{context:?} {time}");
            let next = link(&host, &user, context).await;
            assert!(is_valid(&host, &next, context).await, "{context:?} after {time}");
            host.execute("DELETE FROM users_tokens").await;
        }
    }
}

/// The clocks of servers can differ by some minutes.
#[tokio::test]
async fn a_link_and_a_session_of_a_server_whose_clock_is_a_minute_ahead_are_valid() {
    let host = Host::new().await;
    let ahead = host.restart(|config| config.clock(Clock::wrong_by(time::Duration::minutes(1)))).await;
    let user = host.registered_fixture().await;
    assert!(is_valid(&host, &link(&ahead, &user, Context::Login).await, Context::Login).await);
    assert_eq!(who(&host.take_over(&ahead.log_in(&user).await)).await, user.email);
}

/// One node whose clock is wrong must not log out the users of all.
#[tokio::test]
async fn a_server_whose_clock_is_a_year_ahead_purges_nothing_early() {
    let host = Host::new().await;
    let ahead = host.restart(|config| config.clock(Clock::wrong_by(time::Duration::days(365)))).await;
    let (user, browser) = host.authenticated_fixture().await;
    let token = link(&host, &user, Context::ResetPassword).await;
    assert_eq!(ahead.sigra.housekeeping().purge_expired().await.unwrap(), 0);
    let there = ahead.take_over(&browser);
    assert_eq!(who(&there).await, "anonymous", "by this clock, the session has expired");
    assert_eq!(there.cookie(KEY), browser.cookie(KEY), "the clock may be the wrong one");
    assert_eq!(who(&browser).await, user.email);
    assert!(is_valid(&host, &token, Context::ResetPassword).await);
}

#[tokio::test]
async fn a_session_created_in_the_future_is_invalid_until_then() {
    let (right, ahead) = (Clock::stopped(), Clock::stopped());
    ahead.advance(DAY);
    let host = Host::with(|config| config.clock(ahead)).await;
    let (user, browser) = host.logged_in(true).await;
    let host = host.restart(|config| config.clock(right.clone())).await;
    let browser = host.take_over(&browser);
    assert_eq!(who(&browser).await, "anonymous");
    assert!(host.sigra.sessions().list(&user.id).await.unwrap().is_empty());
    assert!(browser.cookie(KEY).is_some(), "the clock of this server may be the wrong one");
    right.advance(DAY);
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn a_session_last_used_in_the_future_counts_as_idle() {
    let host = Host::with(|config| config.session_idle_timeout(DAY)).await;
    let (user, browser) = host.logged_in(false).await;
    host.date("session", &["last_used_at"], LAST_TIME).await;
    assert_eq!(who(&browser).await, "anonymous");
    let (remembered_user, remembered) = host.logged_in(true).await;
    host.date("session", &["last_used_at"], LAST_TIME).await;
    assert_eq!(who(&remembered).await, remembered_user.email, "a remembered session has no idle timeout");
    assert_ne!(user.email, remembered_user.email);
}

#[tokio::test]
async fn a_token_issued_in_the_future_is_reissued() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    host.date("session", &["issued_at"], LAST_TIME).await;
    let before = browser.cookie(KEY);
    assert_eq!((who(&browser).await, who(&browser).await), (user.email.clone(), user.email.clone()));
    assert_ne!(browser.cookie(KEY), before);
}

#[tokio::test]
async fn invariant_3_a_replaced_token_is_invalid_even_if_its_grace_time_never_ends() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let old = browser.fork();
    host.clock().advance(DAY * 7);
    assert_eq!((who(&browser).await, who(&browser).await), (user.email.clone(), user.email.clone()));
    host.date("session", &["previous_until"], LAST_TIME).await;
    assert_eq!((who(&old).await, who(&browser).await), ("anonymous".to_owned(), user.email));
}

#[tokio::test]
async fn a_login_in_the_future_is_not_recent() {
    let host = Host::new().await;
    let (_, browser) = host.logged_in(false).await;
    assert_status(&browser.get("/sudo").await, 200);
    host.date("session", &["authenticated_at"], LAST_TIME).await;
    assert_status(&browser.get("/me").await, 200);
    assert_status(&browser.get("/sudo").await, 303);
}

#[tokio::test]
async fn a_browser_trusted_at_an_invalid_or_future_time_is_not_trusted() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    for time in times() {
        let browser = host.client();
        host.trust_browser(&browser, &user).await;
        host.date("mfa_trust", &["inserted_at", "last_used_at"], time).await;
        let pending = host.post_log_in(&browser, &user, false).await;
        assert_eq!(pending.location(), Some("/mfa-challenge"), "{time}");
        assert!(host.sigra.trusted_browsers().list(&user.id).await.unwrap().is_empty(), "{time}");
    }
}

/// The number of known browsers.
async fn known(host: &Host) -> i64 {
    let known = "SELECT count(*) FROM users_tokens WHERE context = 'known_browser'";
    sqlx::query_scalar(known).fetch_one(&host.pool).await.unwrap()
}

#[tokio::test]
async fn a_browser_known_at_an_invalid_or_future_time_counts_as_new() {
    for time in times() {
        let host = Host::new().await;
        let (user, browser) = host.logged_in(false).await;
        host.post_log_in(&browser, &user, false).await;
        assert_eq!(known(&host).await, 1);
        host.date("known_browser", &["last_used_at"], time).await;
        host.post_log_in(&browser, &user, false).await;
        assert_eq!(known(&host).await, 2, "{time}");
    }
}

#[tokio::test]
async fn a_passkey_challenge_with_an_invalid_or_future_time_is_refused() {
    let host = Host::new().await;
    let (_, _, mut authenticator): (User, TestClient, Authenticator) = user_with_passkey(&host).await;
    for time in times() {
        let browser = host.client();
        let answer = authenticator.sign(&challenge(&browser, "/passkeys/log-in").await);
        let date = format!("UPDATE passkey_ceremonies SET inserted_at = {time}");
        sqlx::query(AssertSqlSafe(date)).execute(&host.pool).await.unwrap();
        assert_status(&send(&browser, "/passkeys/log-in", &answer).await, 422);
    }
}

/// Records events, and gives them a time and the highest IDs, as a process whose clock is ahead does.
async fn record_at(host: &Host, audit: &Audit<Uuid>, events: u128, time: &str) {
    for number in 0..events {
        host.sigra.audit().record_in(&mut *host.pool.acquire().await.unwrap(), audit).await.unwrap();
        let date = format!(
            "UPDATE audit_events SET id = $1, inserted_at = {time}
             WHERE id = (SELECT id FROM audit_events ORDER BY id LIMIT 1)"
        );
        let id = Uuid::from_u128(u128::MAX - number);
        sqlx::query(AssertSqlSafe(date)).bind(id).execute(&host.pool).await.unwrap();
    }
}

#[tokio::test]
async fn repeated_events_are_counted_although_earlier_ones_have_an_invalid_or_future_time() {
    for time in times() {
        let host = Host::new().await;
        let user = host.registered_fixture().await;
        // As many as are searched, if they could come from a clock.
        let earlier = if time == LAST_TIME { 25 } else { 5 };
        let of_nobody = Audit::new(telemetry::LOGIN_FAILURE);
        for audit in [of_nobody.clone(), of_nobody.of(user.id)] {
            host.execute("DELETE FROM audit_events").await;
            record_at(&host, &audit, earlier, time).await;
            for _ in 0..3 {
                host.sigra
                    .audit()
                    .record_repeatable_in(&mut *host.pool.acquire().await.unwrap(), &audit)
                    .await
                    .unwrap();
            }
            let counted = "SELECT metadata FROM audit_events ORDER BY id LIMIT 1";
            let counted: String = sqlx::query_scalar(counted).fetch_one(&host.pool).await.unwrap();
            assert_eq!(counted, r#"{"times":3}"#, "{time}");
            let events = "SELECT count(*) FROM audit_events";
            let events: i64 = sqlx::query_scalar(events).fetch_one(&host.pool).await.unwrap();
            assert_eq!(u128::try_from(events), Ok(earlier + 1), "{time}");
        }
    }
}
