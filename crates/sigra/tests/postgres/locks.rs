//! Whatever ends a user's access waits for the lock of their row, as logins do.

use std::{sync::Arc, time::Duration};

use sigra::{Client, Scope, testing::TestHost};
use tokio::time::timeout;

use crate::suite::host::{Host, SECOND, User, token};

/// What ends the access of a user.
#[derive(Clone, Copy, Debug)]
enum End {
    Session,
    TrustedBrowser,
    TrustedBrowsers,
    OtherTrustedBrowsers,
    KnownBrowsers,
}

impl End {
    const ALL: [Self; 5] =
        [Self::Session, Self::TrustedBrowser, Self::TrustedBrowsers, Self::OtherTrustedBrowsers, Self::KnownBrowsers];

    async fn run(self, host: Arc<Host>, scope: Scope<User>) -> sigra::Result<()> {
        let (sigra, user, id) = (host.sigra(), scope.user(), scope.session().id);
        let mut tx = sigra.begin().await?;
        match self {
            Self::Session => sigra.sessions().delete_in(&mut tx, &user.id, id).await.map(drop)?,
            Self::TrustedBrowser => {
                drop(tx);
                return sigra.trusted_browsers().delete(&user.id, id, &Client::default()).await.map(drop);
            }
            Self::TrustedBrowsers => sigra.trusted_browsers().delete_all_in(&mut tx, &user.id).await.map(drop)?,
            Self::OtherTrustedBrowsers => sigra.trusted_browsers().delete_others_in(&mut tx, &scope).await.map(drop)?,
            Self::KnownBrowsers => sigra.known_browsers().delete_all_in(&mut tx, &user.id).await.map(drop)?,
        }
        tx.commit().await
    }
}

/// Otherwise a login that has found a trusted browser could open a session after the trust has ended.
#[tokio::test]
async fn what_ends_access_waits_for_a_login_that_is_running() {
    for end in End::ALL {
        let host = Arc::new(Host::new().await);
        let (user, browser) = host.authenticated_fixture().await;
        let scope = host.sigra().fetch_session(&token(&browser)).await.unwrap().unwrap();
        let mut running = host.pool.begin().await.unwrap();
        let lock = sqlx::query("SELECT 1 FROM users WHERE id = $1 FOR UPDATE").bind(user.id);
        lock.execute(&mut *running).await.unwrap();
        let ending = tokio::spawn(end.run(host.clone(), scope));
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!ending.is_finished(), "{end:?}");
        running.rollback().await.unwrap();
        timeout(SECOND * 60, ending).await.expect("it goes on").unwrap().unwrap();
    }
}
