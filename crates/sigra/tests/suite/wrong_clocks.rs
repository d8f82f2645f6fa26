//! Times that a wrong clock has written, or that are none: what was made then is not good for ever.

use sigra::{
    Clock, EmailToken,
    testing::{TestClient, TestHost, assert_status},
    token::Context,
};
use sqlx::AssertSqlSafe;

use super::{
    authenticator::Authenticator,
    host::{DAY, Host, KEY, User, who},
    passkeys::{challenge, send, user_with_passkey},
};
use crate::database::{LAST_TIME, NO_TIMES};

/// Times that nobody can have been at.
fn times() -> impl Iterator<Item = &'static str> {
    NO_TIMES.iter().copied().chain([LAST_TIME])
}

impl Host {
    /// Gives the rows of a context another time.
    async fn date(&self, context: &str, columns: &[&str], time: &str) {
        let set = columns.iter().map(|column| format!("{column} = {time}")).collect::<Vec<_>>().join(", ");
        let date = format!("UPDATE users_tokens SET {set} WHERE context = '{context}'");
        assert!(sqlx::query(AssertSqlSafe(date)).execute(&self.pool).await.unwrap().rows_affected() > 0);
        self.sigra().catch_up().await;
    }
}

async fn link(host: &Host, user: &User, context: Context<'_>) -> EmailToken {
    let mut tx = host.sigra.begin().await.unwrap();
    let token = host.sigra.email_tokens().create(&mut tx, &user.id, context, &user.email).await.unwrap();
    tx.commit().await.unwrap();
    token
}

async fn is_good(host: &Host, token: &EmailToken, context: Context<'_>) -> bool {
    let found = host.sigra.email_tokens().find(token, context).await.unwrap().is_some();
    let mut tx = host.sigra.begin().await.unwrap();
    let locked = host.sigra.email_tokens().lock(&mut tx, token, context).await.unwrap().is_some();
    let taken = host.sigra.email_tokens().take(&mut tx, token, context).await.unwrap().is_some();
    tx.rollback().await.unwrap();
    assert_eq!((found, locked), (taken, taken));
    taken
}

#[tokio::test]
async fn a_link_from_no_time_or_far_ahead_is_good_for_nothing() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for context in [Context::Confirm, Context::ResetPassword, Context::LogIn, Context::Recovery] {
        for time in times() {
            let token = link(&host, &user, context).await;
            assert!(is_good(&host, &token, context).await);
            host.date(&context.name(), &["inserted_at"], time).await;
            assert!(!is_good(&host, &token, context).await, "{context:?} {time}");
            let next = link(&host, &user, context).await;
            assert!(is_good(&host, &next, context).await, "{context:?} after {time}");
            host.execute("DELETE FROM users_tokens").await;
        }
    }
}

/// Clocks may differ by some minutes.
#[tokio::test]
async fn a_link_and_a_session_of_a_server_whose_clock_is_ahead_by_a_minute_are_good() {
    let host = Host::new().await;
    let ahead = host.restart(|config| config.clock(Clock::wrong_by(time::Duration::minutes(1)))).await;
    let user = host.registered_fixture().await;
    assert!(is_good(&host, &link(&ahead, &user, Context::LogIn).await, Context::LogIn).await);
    assert_eq!(who(&host.take_over(&ahead.log_in(&user).await)).await, user.email);
}

#[tokio::test]
async fn a_session_of_a_clock_that_was_far_ahead_lets_nobody_in_until_its_time_has_come() {
    let (right, ahead) = (Clock::stopped(), Clock::stopped());
    ahead.advance(DAY);
    let host = Host::with(|config| config.clock(ahead)).await;
    let (user, browser) = host.logged_in(true).await;
    let host = host.restart(|config| config.clock(right.clone())).await;
    let browser = host.take_over(&browser);
    assert_eq!(who(&browser).await, "anonymous");
    assert!(host.sigra.sessions().list(&user.id).await.unwrap().is_empty());
    assert!(browser.cookie(KEY).is_some(), "it may be the clock here that is wrong");
    right.advance(DAY);
    assert_eq!(who(&browser).await, user.email);
}

#[tokio::test]
async fn a_session_that_was_last_used_far_ahead_is_idle() {
    let host = Host::with(|config| config.session_idle_timeout(DAY)).await;
    let (user, browser) = host.logged_in(false).await;
    host.date("session", &["last_used_at"], LAST_TIME).await;
    assert_eq!(who(&browser).await, "anonymous");
    let (remembered_user, remembered) = host.logged_in(true).await;
    host.date("session", &["last_used_at"], LAST_TIME).await;
    assert_eq!(who(&remembered).await, remembered_user.email, "no idle time counts for it");
    assert_ne!(user.email, remembered_user.email);
}

#[tokio::test]
async fn a_token_that_is_as_old_as_from_the_future_is_replaced() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    host.date("session", &["issued_at"], LAST_TIME).await;
    let before = browser.cookie(KEY);
    assert_eq!((who(&browser).await, who(&browser).await), (user.email.clone(), user.email.clone()));
    assert_ne!(browser.cookie(KEY), before);
}

#[tokio::test]
async fn invariant_3_a_replaced_token_is_not_good_until_the_end_of_time() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    let old = browser.fork();
    host.clock().advance(DAY * 7);
    assert_eq!((who(&browser).await, who(&browser).await), (user.email.clone(), user.email.clone()));
    host.date("session", &["previous_until"], LAST_TIME).await;
    assert_eq!((who(&old).await, who(&browser).await), ("anonymous".to_owned(), user.email));
}

#[tokio::test]
async fn what_was_proved_far_ahead_is_not_recent() {
    let host = Host::new().await;
    let (_, browser) = host.logged_in(false).await;
    assert_status(&browser.get("/sudo").await, 200);
    host.date("session", &["authenticated_at"], LAST_TIME).await;
    assert_status(&browser.get("/me").await, 200);
    assert_status(&browser.get("/sudo").await, 303);
}

#[tokio::test]
async fn a_browser_that_was_trusted_at_no_time_or_far_ahead_is_not_trusted() {
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

/// How many browsers of the user are known.
async fn known(host: &Host) -> i64 {
    let known = "SELECT count(*) FROM users_tokens WHERE context = 'known_browser'";
    sqlx::query_scalar(known).fetch_one(&host.pool).await.unwrap()
}

#[tokio::test]
async fn a_browser_that_was_known_at_no_time_or_far_ahead_is_new() {
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
async fn a_passkeys_challenge_from_no_time_or_far_ahead_is_not_answered() {
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
