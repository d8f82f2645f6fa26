//! Concurrent transactions, at every default isolation level.

use std::sync::Arc;

use sigra::{
    Error,
    testing::{TestHost, assert_sessions_invalidated},
    token::Context,
};

use super::{
    host::{Host, KEY, REMEMBER_ME},
    races::{race_logins_and_logouts, race_logins_with_a_change_of_password},
};
use crate::database::{ISOLATION_LEVELS, UNSAFE_BEGINS};

const ROUNDS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_9_no_login_with_the_old_password_outlives_its_change_at_any_isolation_level() {
    for level in ISOLATION_LEVELS {
        race_logins_with_a_change_of_password(Arc::new(Host::isolated_by(level).await)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn invariant_11_logging_out_everywhere_misses_no_login_at_any_isolation_level() {
    for level in ISOLATION_LEVELS {
        race_logins_and_logouts(Arc::new(Host::isolated_by(level).await)).await;
    }
}

/// A browser can have the tokens of two sessions: one in its session cookie, another in its remember-me cookie.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn logouts_that_end_several_sessions_do_not_deadlock() {
    for level in ISOLATION_LEVELS {
        let host = Arc::new(Host::isolated_by(level).await);
        let user = host.registered_fixture().await;
        for round in 0..ROUNDS {
            let (first, second, third) = (host.client(), host.client(), host.client());
            for browser in [&first, &second, &third] {
                host.post_log_in(browser, &user, true).await;
            }
            let (one, other) = (first.fork(), second.fork());
            one.set_cookie(REMEMBER_ME, &second.cookie(REMEMBER_ME).unwrap());
            other.set_cookie(REMEMBER_ME, &first.cookie(REMEMBER_ME).unwrap());
            assert_ne!(one.cookie(KEY), other.cookie(KEY));
            let (by_one, by_other, everywhere) = tokio::join!(
                tokio::spawn(async move { one.post("/log-out", &[]).await }),
                tokio::spawn(async move { other.post("/log-out", &[]).await }),
                tokio::spawn({
                    let (host, user) = (host.clone(), user.clone());
                    async move { host.sigra().delete_all_sessions(&user.id).await }
                }),
            );
            for response in [by_one.unwrap(), by_other.unwrap()] {
                assert!(!response.status().is_server_error(), "{level}, round {round}: {response:?}");
            }
            everywhere.unwrap().unwrap();
            assert_sessions_invalidated(host.sigra(), &user).await;
        }
    }
}

/// Each browser logs in as the user of the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn logins_that_replace_sessions_of_each_others_users_do_not_deadlock() {
    for level in ISOLATION_LEVELS {
        let host = Arc::new(Host::isolated_by(level).await);
        let (ada, bea) = (host.registered_fixture().await, host.registered_fixture().await);
        for round in 0..ROUNDS {
            let (of_ada, of_bea) = (host.client(), host.client());
            host.post_log_in(&of_ada, &ada, true).await;
            host.post_log_in(&of_bea, &bea, true).await;
            let (to_bea, to_ada) =
                tokio::join!(host.post_log_in(&of_ada, &bea, true), host.post_log_in(&of_bea, &ada, true));
            assert_eq!((to_bea.status().as_u16(), to_ada.status().as_u16()), (303, 303), "{level}, round {round}");
        }
    }
}

#[tokio::test]
async fn invariant_9_transactions_of_an_unsafe_isolation_level_are_refused() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let mut tx = host.sigra().begin().await.unwrap();
    let token =
        host.sigra().email_tokens().create_in(&mut tx, &user.id, Context::ResetPassword, &user.email).await.unwrap();
    tx.commit().await.unwrap();
    for begin in UNSAFE_BEGINS {
        let sigra = host.sigra();
        let mut tx = host.pool.begin_with(*begin).await.unwrap();
        let refused = [
            sigra.sessions().delete_all_in(&mut tx, &user.id, None).await.map(drop),
            sigra.sessions().end_all_access_in(&mut tx, &user.id, None).await.map(drop),
            sigra.email_tokens().take_in(&mut tx, &token, Context::ResetPassword).await.map(drop),
        ];
        for refused in refused {
            let Err(error @ Error::IsolationLevel(_)) = refused else { panic!("{begin}: {refused:?}") };
            assert!(error.to_string().contains("Sigra::begin"), "{error}");
        }
    }
    let mut tx = host.pool.begin().await.unwrap();
    let revoked = host.sigra().sessions().delete_all_in(&mut tx, &user.id, None).await.unwrap();
    tx.commit().await.unwrap();
    host.sigra().sessions().announce(revoked);
}
