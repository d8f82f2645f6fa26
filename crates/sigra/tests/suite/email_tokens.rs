//! Links in emails: for one purpose, valid once, and only for a limited time.

use std::time::Duration;

use sigra::{Checked, EmailToken, RememberMe, Sigra, testing::TestHost, token::Context};
use tokio::task::JoinSet;

use super::host::{DAY, Host, User};

const CONTEXTS: [(Context<'static>, Duration); 4] = [
    (Context::Confirm, DAY),
    (Context::ResetPassword, Duration::from_secs(60 * 60)),
    (Context::Login, Duration::from_secs(15 * 60)),
    (Context::ChangeEmail("old@example.com"), DAY),
];

async fn create(sigra: &Sigra<User>, user: &User, context: Context<'_>) -> EmailToken {
    let mut conn = sigra.pool().acquire().await.unwrap();
    sigra.email_tokens().create_in(&mut conn, &user.id, context, &user.email).await.unwrap()
}

async fn take(sigra: &Sigra<User>, token: &EmailToken, context: Context<'_>) -> Option<User> {
    let mut tx = sigra.begin().await.unwrap();
    let sent = sigra.email_tokens().take_in(&mut tx, token, context).await.unwrap();
    tx.commit().await.unwrap();
    let taken = sent.map(|sent| {
        assert_eq!(sent.to, sent.user.email);
        sent.user
    });
    taken.valid()
}

#[tokio::test]
async fn a_token_can_be_looked_up_many_times_and_used_once() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for (context, _) in CONTEXTS {
        let token = create(&host.sigra, &user, context).await;
        for _ in 0..3 {
            let found = host.sigra.email_tokens().find(&token, context).await.unwrap();
            assert_eq!(found.map(|sent| sent.user.id), Checked::Valid(user.id));
        }
        assert_eq!(take(&host.sigra, &token, context).await.map(|user| user.id), Some(user.id));
        assert!(take(&host.sigra, &token, context).await.is_none());
        assert!(!host.sigra.email_tokens().find(&token, context).await.unwrap().is_valid());
    }
}

#[tokio::test]
async fn invariant_4_a_token_of_one_context_is_not_accepted_in_another() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let others = [Context::Recovery, Context::ChangeEmail("other@example.com")];
    for (context, _) in CONTEXTS {
        let token = create(&host.sigra, &user, context).await;
        for other in CONTEXTS.map(|(context, _)| context).into_iter().chain(others).filter(|other| *other != context) {
            assert!(
                !host.sigra.email_tokens().find(&token, other).await.unwrap().is_valid(),
                "{context:?} as {other:?}"
            );
            assert!(take(&host.sigra, &token, other).await.is_none(), "{context:?} as {other:?}");
        }
        let session = sigra::SessionToken::parse(&token.encode()).unwrap();
        assert!(host.sigra.fetch_session(&session).await.unwrap().is_none(), "{context:?} as a session");
        assert!(take(&host.sigra, &token, context).await.is_some(), "a wrong context does not use it up");
    }
    let (session, _) = host.sigra.create_session(&user, RememberMe::No, &sigra::Client::default()).await.unwrap();
    let session = EmailToken::parse(&session.encode()).unwrap();
    for (context, _) in CONTEXTS {
        assert!(take(&host.sigra, &session, context).await.is_none());
    }
}

#[tokio::test]
async fn each_token_expires_after_its_ttl() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for (context, ttl) in CONTEXTS {
        let (young, old) = (create(&host.sigra, &user, context).await, create(&host.sigra, &user, context).await);
        host.clock().advance(ttl - Duration::from_millis(1));
        assert!(take(&host.sigra, &young, context).await.is_some(), "{context:?}");
        host.clock().advance(Duration::from_millis(1));
        assert!(take(&host.sigra, &old, context).await.is_none(), "{context:?}");
    }
}

#[tokio::test]
async fn invariant_10_only_one_of_many_concurrent_uses_of_a_token_succeeds() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    for _ in 0..20 {
        let token = create(&host.sigra, &user, Context::ResetPassword).await;
        let mut takers = JoinSet::new();
        for _ in 0..16 {
            let (sigra, token) = (host.sigra.clone(), token.clone());
            takers.spawn(async move { take(&sigra, &token, Context::ResetPassword).await.is_some() });
        }
        assert_eq!(takers.join_all().await.into_iter().filter(|taken| *taken).count(), 1);
    }
}

#[tokio::test]
async fn a_token_used_in_a_rolled_back_transaction_stays_valid() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let token = create(&host.sigra, &user, Context::Confirm).await;
    let mut tx = host.sigra.begin().await.unwrap();
    assert!(host.sigra.email_tokens().take_in(&mut tx, &token, Context::Confirm).await.unwrap().is_valid());
    tx.rollback().await.unwrap();
    assert!(take(&host.sigra, &token, Context::Confirm).await.is_some());
}

#[tokio::test]
async fn invariant_17_a_token_of_a_suspended_user_is_refused() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let token = create(&host.sigra, &user, Context::Login).await;
    host.execute("UPDATE users SET suspended = true").await;
    assert!(!host.sigra.email_tokens().find(&token, Context::Login).await.unwrap().is_valid());
    assert!(take(&host.sigra, &token, Context::Login).await.is_none());
}

#[tokio::test]
async fn invariant_9_all_tokens_of_one_user_can_be_deleted_at_once() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let (stranger, _) = host.authenticated_fixture().await;
    for user in [&user, &stranger] {
        for (context, _) in CONTEXTS {
            create(&host.sigra, user, context).await;
        }
    }
    let kept = host.sigra.fetch_session(&super::host::token(&browser)).await.unwrap().unwrap();
    let other = host.log_in(&user).await;
    let mut tx = host.sigra.begin().await.unwrap();
    let revoked = host.sigra.sessions().end_all_access_in(&mut tx, &user.id, Some(kept.session().id)).await.unwrap();
    tx.commit().await.unwrap();
    host.sigra.sessions().announce(revoked);
    assert_eq!(host.rows().await, 1 + 5);
    assert_eq!(super::host::who(&browser).await, user.email);
    assert_eq!(super::host::who(&other).await, "anonymous");
}

#[tokio::test]
async fn the_tokens_of_a_context_can_be_deleted_and_others_stay() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let contexts: Vec<Context<'_>> =
        CONTEXTS.map(|(context, _)| context).into_iter().chain([Context::Recovery]).collect();
    for deleted in contexts.iter().copied() {
        let mut sent = Vec::new();
        for context in contexts.iter().copied() {
            sent.push((context, create(&host.sigra, &user, context).await));
        }
        let mut tx = host.sigra.begin().await.unwrap();
        host.sigra.email_tokens().delete_in(&mut tx, &user.id, deleted).await.unwrap();
        tx.commit().await.unwrap();
        for (context, token) in sent {
            let is_kept = host.sigra.email_tokens().find(&token, context).await.unwrap().is_valid();
            assert_eq!(is_kept, context != deleted, "{context:?}, when {deleted:?} was deleted");
        }
    }
    assert_eq!(super::host::who(&browser).await, user.email);
}

/// A thief in an account can schedule its deletion.
#[tokio::test]
async fn a_scheduled_deletion_leaves_the_links_that_were_sent_to_the_users_address() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let mut sent = Vec::new();
    for (context, _) in CONTEXTS {
        sent.push((context, create(&host.sigra, &user, context).await));
    }
    let mut tx = host.sigra.begin().await.unwrap();
    let revoked = host.sigra.sessions().end_access_before_deletion_in(&mut tx, &user.id, None).await.unwrap();
    tx.commit().await.unwrap();
    host.sigra.sessions().announce(revoked);
    assert_eq!(super::host::who(&browser).await, "anonymous");
    for (context, token) in sent {
        let is_kept = host.sigra.email_tokens().find(&token, context).await.unwrap().is_valid();
        assert_eq!(is_kept, !matches!(context, Context::ChangeEmail(_)), "{context:?}");
    }
    assert_eq!(host.execute("DELETE FROM users_tokens WHERE context = 'known_browser'").await, 0);
}

#[tokio::test]
async fn expired_tokens_are_purged_and_others_are_kept() {
    let host = Host::new().await;
    let (user, _) = host.authenticated_fixture().await;
    for (context, _) in CONTEXTS {
        create(&host.sigra, &user, context).await;
    }
    host.clock().advance(DAY);
    let fresh = create(&host.sigra, &user, Context::Confirm).await;
    assert_eq!(host.sigra.housekeeping().purge_expired().await.unwrap(), 4);
    assert_eq!(host.rows().await, 2, "the session and the fresh one");
    assert!(take(&host.sigra, &fresh, Context::Confirm).await.is_some());
}

#[tokio::test]
async fn invariant_1_the_database_contains_no_raw_token() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let token = create(&host.sigra, &user, Context::ResetPassword).await;
    let encoded = token.encode();
    for file in host.database_files().await {
        assert!(!file.windows(encoded.len()).any(|bytes| bytes == encoded.as_bytes()));
    }
    assert_eq!(format!("{token:?}"), "EmailToken([redacted])");
}
