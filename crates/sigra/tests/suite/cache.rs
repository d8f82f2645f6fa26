//! The cache of scopes, and who may make it lie: nobody.

use std::time::Duration;

use axum::http::StatusCode;
use sigra::{
    SessionToken, Sigra,
    testing::{TestClient, TestHost},
};
use tokio::{task::JoinSet, time::timeout};

use super::host::{DAY, Host, MINUTE, User, token, who};

const ROUNDS: usize = 20;

/// A host that keeps scopes already, and a browser whose scope it keeps.
async fn remembered() -> (Host, User, TestClient) {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    host.sigra().catch_up().await;
    assert_eq!(who(&browser).await, user.email);
    assert!(host.sigra().is_caching());
    (host, user, browser)
}

#[tokio::test]
async fn a_remembered_scope_is_not_asked_for_again() {
    let (host, user, browser) = remembered().await;
    let stranger = host.log_in(&user).await;
    assert_eq!(who(&browser).await, user.email);
    host.pool.close().await;
    assert_eq!(who(&browser).await, user.email, "nothing has changed, and nobody needs to be asked");
    assert_eq!(stranger.get("/maybe").await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn nothing_is_remembered_where_that_is_turned_off() {
    let host = Host::with(|config| config.cached_scopes(0)).await;
    let (user, browser) = host.authenticated_fixture().await;
    host.sigra().catch_up().await;
    assert_eq!(who(&browser).await, user.email);
    assert!(!host.sigra().is_caching());
    host.pool.close().await;
    assert_eq!(browser.get("/maybe").await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn invariant_2_a_session_ends_before_the_call_that_deletes_it_returns() {
    let (host, user, _) = remembered().await;
    let sigra = host.sigra();
    for round in 0..ROUNDS {
        let browser = host.log_in(&user).await;
        let thief = browser.fork();
        assert_eq!((who(&browser).await, who(&thief).await), (user.email.clone(), user.email.clone()));
        let scope = sigra.fetch_session(&token(&browser)).await.unwrap().unwrap();
        match round % 6 {
            0 => sigra.delete_session(&token(&browser)).await.unwrap(),
            1 => assert!(sigra.sessions().delete(&user.id, scope.session().id).await.unwrap()),
            2 => assert_ne!(sigra.delete_all_sessions(&user.id).await.unwrap(), 0),
            3 => drop(browser.post("/log-out", &[]).await),
            4 => drop(browser.post("/renew", &[]).await),
            _ => {
                let mut tx = host.pool.begin().await.unwrap();
                let revoked = sigra.sessions().delete_all_in(&mut tx, &user.id, None).await.unwrap();
                tx.commit().await.unwrap();
                sigra.sessions().announce(revoked);
            }
        }
        assert_eq!(who(&thief).await, "anonymous", "round {round}");
    }
}

#[tokio::test]
async fn invariant_2_others_are_logged_out_before_the_call_returns() {
    let (host, user, browser) = remembered().await;
    let thief = host.log_in(&user).await;
    assert_eq!(who(&thief).await, user.email);
    let scope = host.sigra().fetch_session(&token(&browser)).await.unwrap().unwrap();
    assert_ne!(host.sigra().sessions().delete_others(&scope).await.unwrap(), 0);
    assert_eq!((who(&thief).await, who(&browser).await), ("anonymous".to_owned(), user.email));
}

#[tokio::test]
async fn invariant_2_a_row_that_is_deleted_by_hand_ends_its_session() {
    let (host, user, browser) = remembered().await;
    host.execute("UPDATE users_tokens SET user_agent = 'edited'").await;
    assert_eq!(who(&browser).await, user.email);
    host.execute("DELETE FROM users_tokens").await;
    assert_eq!(who(&browser).await, "anonymous");
}

#[tokio::test]
async fn invariant_2_a_token_that_is_edited_by_hand_ends_its_session() {
    let (host, _, browser) = remembered().await;
    host.execute("UPDATE users_tokens SET context = 'other'").await;
    assert_eq!(who(&browser).await, "anonymous");
}

#[tokio::test]
async fn invariant_17_a_user_who_is_suspended_or_deleted_by_hand_is_logged_out() {
    for sql in ["UPDATE users SET suspended = true", "DELETE FROM users"] {
        let (host, _, browser) = remembered().await;
        host.execute(sql).await;
        assert_eq!(who(&browser).await, "anonymous", "{sql}");
    }
}

#[tokio::test]
async fn a_user_is_seen_as_they_are_now() {
    let (host, user, browser) = remembered().await;
    host.execute("UPDATE users SET nickname = 'Countess'").await;
    assert!(browser.get("/me").await.text().contains("Countess"));
    let rename = sqlx::query("UPDATE users SET nickname = 'Ada again' WHERE id = $1").bind(user.id);
    rename.execute(&host.pool).await.unwrap();
    host.sigra().sessions().announce_change(&user.id);
    assert!(browser.get("/me").await.text().contains("Ada again"), "a host that says so need not wait");
}

#[tokio::test]
async fn a_remembered_scope_expires_all_the_same() {
    let host = Host::with(|config| config.session_ttl(DAY).session_idle_timeout(MINUTE * 30)).await;
    let (user, browser) = host.authenticated_fixture().await;
    host.sigra().catch_up().await;
    for _ in 0..3 {
        host.clock().advance(MINUTE * 29);
        assert_eq!(who(&browser).await, user.email, "it is used, and that is noted");
    }
    let idle = browser.fork();
    host.clock().advance(MINUTE * 31);
    assert_eq!(who(&idle).await, "anonymous", "idle for too long");

    let browser = host.log_in(&user).await;
    for _ in 0..48 {
        assert_eq!(who(&browser).await, user.email);
        host.clock().advance(MINUTE * 29);
    }
    host.clock().advance(MINUTE * 49);
    assert_eq!(who(&browser).await, "anonymous", "a day is over");
}

#[tokio::test]
async fn invariant_2_another_node_hears_of_it() {
    let (host, user, browser) = remembered().await;
    let other = host.restart(|config| config).await;
    let there = other.take_over(&browser);
    other.sigra().catch_up().await;
    assert_eq!((who(&there).await, who(&there).await), (user.email.clone(), user.email.clone()));

    host.sigra().delete_session(&token(&browser)).await.unwrap();
    other.sigra().catch_up().await;
    assert_eq!(who(&there).await, "anonymous");
}

#[tokio::test]
async fn a_table_that_gets_a_column_meanwhile_disturbs_nobody() {
    let (host, user, browser) = remembered().await;
    host.execute("ALTER TABLE users ADD COLUMN shoe_size integer").await;
    host.execute("UPDATE users SET shoe_size = 38").await;
    for _ in 0..3 {
        assert_eq!(who(&browser).await, user.email);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_2_under_fire_nobody_is_let_in_once_the_delete_has_returned() {
    let host = Host::with(|config| config.session_reissue_age(DAY * 365)).await;
    let user = host.registered_fixture().await;
    host.sigra().catch_up().await;
    let mut readers = JoinSet::new();
    for _ in 0..4 {
        let (sigra, user) = (host.sigra().clone(), user.clone());
        readers.spawn(async move { read_and_revoke(&sigra, &user, trials() / 4).await });
    }
    let let_in: usize = readers.join_all().await.into_iter().sum();
    assert_eq!(let_in, 0, "of {} trials", trials());
}

/// The slow proofs ask for more.
fn trials() -> usize {
    std::env::var("REVOCATION_TRIALS").ok().and_then(|trials| trials.parse().ok()).unwrap_or(400)
}

/// Two readers hold on to a session while it is deleted. Counts those that were let in afterwards.
async fn read_and_revoke(sigra: &Sigra<User>, user: &User, trials: usize) -> usize {
    let mut let_in = 0;
    for _ in 0..trials {
        let (token, row) = sigra.create_session(user, false, &sigra::Client::default()).await.unwrap();
        let mut readers = JoinSet::new();
        for _ in 0..2 {
            readers.spawn(read_until_refused(sigra.clone(), token.clone()));
        }
        tokio::task::yield_now().await;
        sigra.sessions().delete(&user.id, row.id).await.unwrap();
        let_in += usize::from(sigra.fetch_session(&token).await.unwrap().is_some());
        readers.join_all().await;
        let_in += usize::from(sigra.fetch_session(&token).await.unwrap().is_some());
    }
    let_in
}

async fn read_until_refused(sigra: Sigra<User>, token: SessionToken) {
    while sigra.fetch_session(&token).await.unwrap().is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn expired_rows_are_purged_in_the_background_by_every_node_at_once() {
    let often = Duration::from_millis(50);
    let host = Host::with(|config| config.purge_interval(often)).await;
    let (user, _) = host.authenticated_fixture().await;
    for _ in 0..600 {
        host.sigra().create_session(&user, false, &sigra::Client::default()).await.unwrap();
    }
    let other = host.restart(|config| config.purge_interval(often)).await;
    host.clock().advance(DAY * 61);
    let fresh = host.log_in(&user).await;
    for host in [&host, &other] {
        assert_eq!(who(&host.take_over(&fresh)).await, user.email);
    }
    for _ in 0..200 {
        if host.rows().await == 1 {
            return;
        }
        tokio::time::sleep(often).await;
    }
    panic!("{} rows are left", host.rows().await);
}

#[tokio::test]
async fn a_database_that_is_busy_with_something_else_keeps_nobody_waiting_for_long() {
    let (host, user, browser) = remembered().await;
    host.execute("UPDATE users SET nickname = 'Countess'").await;
    // The host's own queries take every connection of its pool.
    let mut hogs = Vec::new();
    for _ in 0..host.pool.options().get_max_connections() {
        hogs.push(host.pool.acquire().await.unwrap());
    }
    assert!(timeout(Duration::from_millis(100), host.pool.acquire()).await.is_err(), "there is none left");
    assert_eq!(who(&browser).await, user.email, "lookups have connections of their own");
    drop(hogs);
}
