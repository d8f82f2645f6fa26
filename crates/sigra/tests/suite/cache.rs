//! The cache of scopes: it must never return a scope that is no longer valid.

use std::time::Duration;

use axum::http::StatusCode;
use sigra::{
    RememberMe, SessionToken, Sigra,
    testing::{TestClient, TestHost},
};
use tokio::{task::JoinSet, time::timeout};

use super::host::{DAY, Host, KEY, MINUTE, REMEMBER_ME, User, token, who, who_sends};

const ROUNDS: usize = 20;

/// A host that is caching, and a browser whose scope is cached.
async fn host_with_cached_scope() -> (Host, User, TestClient) {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    host.sigra().catch_up().await;
    assert_eq!(who(&browser).await, user.email);
    assert!(host.sigra().is_caching());
    (host, user, browser)
}

#[tokio::test]
async fn a_cached_scope_needs_no_query() {
    let (host, user, browser) = host_with_cached_scope().await;
    let stranger = host.log_in(&user).await;
    assert_eq!(who(&browser).await, user.email);
    host.pool.close().await;
    assert_eq!(who(&browser).await, user.email, "nothing has changed, so the cache responds");
    assert_eq!(stranger.get("/maybe").await.status(), StatusCode::SERVICE_UNAVAILABLE);
}

/// The pool is closed, so that a response with the user's email address can only be a cached one.
#[tokio::test]
async fn invariant_6_only_the_exact_cookies_that_were_verified_are_answered_from_the_cache() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    host.sigra().catch_up().await;
    let (key, remember_me) = (browser.cookie(KEY).unwrap(), browser.cookie(REMEMBER_ME).unwrap());
    let client = host.client();
    let header = |key: &str, remember_me: &str| format!("{KEY}={key}; {REMEMBER_ME}={remember_me}");
    assert_eq!(who_sends(&client, header(&key, &remember_me)).await.text(), user.email);
    host.pool.close().await;
    assert_eq!(who_sends(&client, header(&key, &remember_me)).await.text(), user.email);
    let others = who_sends(&client, format!("theme=dark; {}; lang=de", header(&key, &remember_me))).await;
    assert_eq!(others.text(), user.email, "cookies of other names don't matter");

    for (name, value) in [(KEY, &key), (REMEMBER_ME, &remember_me)] {
        for at in 0..value.len() {
            let mut changed = value.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            let sent = if name == KEY { header(&changed, &remember_me) } else { header(&key, &changed) };
            assert_ne!(who_sends(&client, &sent).await.text(), user.email, "{sent}");
        }
    }
    for other in [
        format!("{KEY}={key}"),
        format!("{REMEMBER_ME}={remember_me}"),
        header(&remember_me, &key),
        format!("{KEY}={key}; {}", header(&key, &remember_me)),
        format!("{}; {REMEMBER_ME}={remember_me}", header(&key, &remember_me)),
        header(&key[1..], &remember_me),
        header(&key, ""),
        format!("{KEY}={key}{REMEMBER_ME}={remember_me}"),
    ] {
        assert_ne!(who_sends(&client, &other).await.text(), user.email, "{other}");
    }
}

#[tokio::test]
async fn invariant_6_invalid_and_doubled_cookies_are_never_cached() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(true).await;
    host.sigra().catch_up().await;
    let key = browser.cookie(KEY).unwrap();
    let (doubled, forged) = (format!("{KEY}={key}; {KEY}={key}"), format!("{KEY}={key}; {KEY}=A{}", &key[1..]));
    let client = host.client();
    for cookies in [&doubled, &forged] {
        for _ in 0..3 {
            assert_eq!(who_sends(&client, cookies).await.text(), user.email);
        }
    }
    host.pool.close().await;
    for cookies in [&doubled, &forged] {
        assert_eq!(who_sends(&client, cookies).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}

/// Otherwise, one session could fill the cache.
#[tokio::test]
async fn invariant_6_an_invalid_or_foreign_remember_me_cookie_takes_no_place_in_the_cache() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    let (_, other) = host.logged_in(true).await;
    host.sigra().catch_up().await;
    let (key, client) = (browser.cookie(KEY).unwrap(), host.client());
    let foreign = other.cookie(REMEMBER_ME).unwrap();
    let sent = ["1", "2", &foreign].map(|remember_me| format!("{KEY}={key}; {REMEMBER_ME}={remember_me}"));
    for cookies in &sent {
        assert_eq!(who_sends(&client, cookies).await.text(), user.email);
    }
    host.pool.close().await;
    for cookies in &sent {
        assert_eq!(who_sends(&client, cookies).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    }
}

#[tokio::test]
async fn invariant_6_a_session_cookie_without_a_value_is_not_overlooked() {
    let host = Host::new().await;
    let (user, browser) = host.logged_in(false).await;
    host.sigra().catch_up().await;
    let (client, plain) = (host.client(), format!("{KEY}={}", browser.cookie(KEY).unwrap()));
    assert_eq!(who_sends(&client, &plain).await.text(), user.email);
    for hidden in
        [format!("{}{plain}", format!("{KEY}; ").repeat(8)), format!("{}{plain}", format!("{KEY}=; ").repeat(8))]
    {
        assert_eq!(who_sends(&client, &hidden).await.text(), "anonymous", "as without a cache");
    }
}

#[tokio::test]
async fn nothing_is_cached_if_caching_is_turned_off() {
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
    let (host, user, _) = host_with_cached_scope().await;
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
async fn invariant_2_other_sessions_end_before_the_call_that_deletes_them_returns() {
    let (host, user, browser) = host_with_cached_scope().await;
    let thief = host.log_in(&user).await;
    assert_eq!(who(&thief).await, user.email);
    let scope = host.sigra().fetch_session(&token(&browser)).await.unwrap().unwrap();
    assert_ne!(host.sigra().sessions().delete_others(&scope).await.unwrap(), 0);
    assert_eq!((who(&thief).await, who(&browser).await), ("anonymous".to_owned(), user.email));
}

#[tokio::test]
async fn invariant_2_deleting_a_row_by_hand_ends_its_session() {
    let (host, user, browser) = host_with_cached_scope().await;
    host.execute("UPDATE users_tokens SET user_agent = 'edited'").await;
    assert_eq!(who(&browser).await, user.email);
    host.execute("DELETE FROM users_tokens").await;
    assert_eq!(who(&browser).await, "anonymous");
}

#[tokio::test]
async fn invariant_2_changing_a_tokens_context_by_hand_ends_its_session() {
    let (host, _, browser) = host_with_cached_scope().await;
    host.execute("UPDATE users_tokens SET context = 'other'").await;
    assert_eq!(who(&browser).await, "anonymous");
}

#[tokio::test]
async fn invariant_17_a_user_who_is_suspended_or_deleted_by_hand_is_logged_out() {
    for sql in ["UPDATE users SET suspended = true", "DELETE FROM users"] {
        let (host, _, browser) = host_with_cached_scope().await;
        host.execute(sql).await;
        assert_eq!(who(&browser).await, "anonymous", "{sql}");
    }
}

#[tokio::test]
async fn a_cached_user_follows_changes_in_the_database() {
    let (host, user, browser) = host_with_cached_scope().await;
    host.execute("UPDATE users SET nickname = 'Countess'").await;
    assert!(browser.get("/me").await.text().contains("Countess"));
    let rename = sqlx::query("UPDATE users SET nickname = 'Ada again' WHERE id = $1").bind(user.id);
    rename.execute(&host.pool).await.unwrap();
    host.sigra().sessions().announce_change(&user.id);
    assert!(browser.get("/me").await.text().contains("Ada again"), "a change that the host announces is seen at once");
}

#[tokio::test]
async fn a_cached_scope_expires_with_its_session() {
    let host = Host::with(|config| config.session_ttl(DAY).session_idle_timeout(MINUTE * 30)).await;
    let (user, browser) = host.authenticated_fixture().await;
    host.sigra().catch_up().await;
    for _ in 0..3 {
        host.clock().advance(MINUTE * 29);
        assert_eq!(who(&browser).await, user.email, "activity extends the session");
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
    assert_eq!(who(&browser).await, "anonymous", "a day has passed");
}

#[tokio::test]
async fn invariant_2_a_session_deleted_on_one_node_ends_on_another() {
    let (host, user, browser) = host_with_cached_scope().await;
    let other = host.restart(|config| config).await;
    let there = other.take_over(&browser);
    other.sigra().catch_up().await;
    assert_eq!((who(&there).await, who(&there).await), (user.email.clone(), user.email.clone()));

    host.sigra().delete_session(&token(&browser)).await.unwrap();
    other.sigra().catch_up().await;
    assert_eq!(who(&there).await, "anonymous");
}

#[tokio::test]
async fn a_column_added_while_running_causes_no_error() {
    let (host, user, browser) = host_with_cached_scope().await;
    host.execute("ALTER TABLE users ADD COLUMN shoe_size integer").await;
    host.execute("UPDATE users SET shoe_size = 38").await;
    for _ in 0..3 {
        assert_eq!(who(&browser).await, user.email);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_2_under_load_a_deleted_session_is_refused_once_the_call_has_returned() {
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

/// `./test --long` asks for more.
fn trials() -> usize {
    std::env::var("REVOCATION_TRIALS").ok().and_then(|trials| trials.parse().ok()).unwrap_or(400)
}

/// Two readers use a session while it is deleted. Returns how many lookups succeeded afterward.
async fn read_and_revoke(sigra: &Sigra<User>, user: &User, trials: usize) -> usize {
    let mut let_in = 0;
    for _ in 0..trials {
        let (token, row) = sigra.create_session(user, RememberMe::No, &sigra::Client::default()).await.unwrap();
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
async fn several_nodes_purge_expired_rows_in_the_background() {
    let often = Duration::from_millis(50);
    let host = Host::with(|config| config.purge_interval(often)).await;
    let (user, _) = host.authenticated_fixture().await;
    for _ in 0..600 {
        host.sigra().create_session(&user, RememberMe::No, &sigra::Client::default()).await.unwrap();
    }
    let other = host.restart(|config| config.purge_interval(often)).await;
    host.clock().advance(DAY * 61);
    let fresh = host.log_in(&user).await;
    for host in [&host, &other] {
        assert_eq!(who(&host.take_over(&fresh)).await, user.email);
    }
    for _ in 0..1200 {
        if host.rows().await == 1 {
            return;
        }
        tokio::time::sleep(often).await;
    }
    panic!("{} rows are left", host.rows().await);
}

#[tokio::test]
async fn lookups_succeed_while_the_host_uses_its_whole_pool() {
    let (host, user, browser) = host_with_cached_scope().await;
    host.execute("UPDATE users SET nickname = 'Countess'").await;
    // The host's own queries use all connections of its pool.
    let mut hogs = Vec::new();
    for _ in 0..host.pool.options().get_max_connections() {
        hogs.push(host.pool.acquire().await.unwrap());
    }
    assert!(timeout(Duration::from_millis(100), host.pool.acquire()).await.is_err(), "all connections are in use");
    assert_eq!(who(&browser).await, user.email, "lookups have their own connections");
    drop(hogs);
}
