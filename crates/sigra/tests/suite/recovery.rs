//! Taking over an account that someone else registered, and recovering one from a thief.

use std::time::Duration;

use sigra::{
    Checked, Client, Clock, EmailToken, Sigra,
    testing::{TestHost, assert_redirected_to},
    token::Context,
};
use tokio::task::JoinSet;

use super::host::{DAY, Host, User, who};

pub async fn link(sigra: &Sigra<User>, user: &User) -> EmailToken {
    link_to(sigra, user, &user.email).await
}

async fn link_to(sigra: &Sigra<User>, user: &User, email: &str) -> EmailToken {
    let mut tx = sigra.begin().await.unwrap();
    let token = sigra.email_tokens().create_in(&mut tx, &user.id, Context::Recovery, email).await.unwrap();
    tx.commit().await.unwrap();
    token
}

pub async fn recover(sigra: &Sigra<User>, token: &EmailToken) -> bool {
    let mut tx = sigra.begin().await.unwrap();
    let recovered = sigra.recovery().recover_in(&mut tx, token, &Client::default()).await.unwrap();
    let Checked::Valid(recovered) = recovered else {
        return false;
    };
    tx.commit().await.unwrap();
    sigra.sessions().announce(recovered.revoked);
    true
}

async fn factors(sigra: &Sigra<User>, user: &User) -> (usize, u32) {
    let factors = sigra.mfa().list(&user.id).await.unwrap();
    (factors.count(), factors.backup_codes)
}

#[tokio::test]
async fn taking_an_account_over_ends_sessions_trusted_browsers_and_second_factors() {
    let host = Host::new().await;
    let (user, browser) = host.mfa_complete_fixture().await;
    let (stranger, theirs) = host.authenticated_fixture().await;
    host.trust_browser(&browser, &user).await;
    let mut tx = host.sigra.begin().await.unwrap();
    host.sigra.email_tokens().create_in(&mut tx, &user.id, Context::ResetPassword, &user.email).await.unwrap();
    let revoked = host.sigra.recovery().take_over_in(&mut tx, &user.id, &Client::default()).await.unwrap();
    tx.commit().await.unwrap();
    host.sigra.sessions().announce(revoked);

    assert_eq!(factors(&host.sigra, &user).await, (0, 0));
    assert!(host.sigra.trusted_browsers().list(&user.id).await.unwrap().is_empty());
    assert_eq!((who(&browser).await, who(&theirs).await), ("anonymous".to_owned(), stranger.email));
    assert_eq!(host.rows().await, 1, "the stranger's session");
}

#[tokio::test]
async fn recovery_keeps_factors_older_than_the_link_and_deletes_backup_codes() {
    let host = Host::new().await;
    let (before, browser) = host.mfa_complete_fixture().await;
    host.clock().advance(DAY);
    let token = link(&host.sigra, &before).await;
    assert!(recover(&host.sigra, &token).await);
    assert_eq!(factors(&host.sigra, &before).await, (1, 0), "a thief may have created new backup codes");
    assert_eq!(who(&browser).await, "anonymous");
}

/// A server whose clock is behind may have added the factor after the link, with an earlier time.
#[tokio::test]
async fn recovery_deletes_a_factor_added_a_minute_before_the_link() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    host.clock().advance(Duration::from_secs(60));
    let token = link(&host.sigra, &user).await;
    assert!(recover(&host.sigra, &token).await);
    assert_eq!(factors(&host.sigra, &user).await, (0, 0));
}

/// Otherwise a thief could revoke the owner's link by changing the password.
#[tokio::test]
async fn a_recovery_link_is_valid_for_seven_days_even_if_the_password_changes() {
    let host = Host::new().await;
    let (user, browser) = host.authenticated_fixture().await;
    let token = link(&host.sigra, &user).await;
    let mut tx = host.sigra.begin().await.unwrap();
    let revoked = host.sigra.sessions().end_all_access_in(&mut tx, &user.id, None).await.unwrap();
    tx.commit().await.unwrap();
    host.sigra.sessions().announce(revoked);
    assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");
    assert!(host.sigra.email_tokens().find(&token, Context::Recovery).await.unwrap().is_valid());

    host.clock().advance(7 * DAY - Duration::from_millis(1));
    assert_eq!(host.sigra.housekeeping().purge_expired().await.unwrap(), 0);
    assert!(host.sigra.email_tokens().find(&token, Context::Recovery).await.unwrap().is_valid());
    host.clock().advance(Duration::from_millis(2));
    assert!(!recover(&host.sigra, &token).await);
    assert_eq!(host.sigra.housekeeping().purge_expired().await.unwrap(), 1);
}

/// An owner who gets two links opens any of them. The thief's factor would lock them out if it stayed.
#[tokio::test]
async fn recovery_undoes_what_happened_since_the_earliest_link_to_the_same_address() {
    let host = Host::new().await;
    let (user, _) = host.mfa_fixture().await;
    let first = link(&host.sigra, &user).await;
    host.clock().advance(DAY);
    let second = link(&host.sigra, &user).await;
    assert!(recover(&host.sigra, &second).await);
    assert_eq!(factors(&host.sigra, &user).await, (0, 0));
    assert!(!recover(&host.sigra, &first).await, "both links are used up");

    let (user, _) = host.mfa_fixture().await;
    link(&host.sigra, &user).await;
    host.clock().advance(7 * DAY);
    let second = link(&host.sigra, &user).await;
    assert!(recover(&host.sigra, &second).await);
    assert_eq!(factors(&host.sigra, &user).await.0, 1, "the first link has expired");

    link_to(&host.sigra, &user, "another@example.com").await;
    host.clock().advance(DAY);
    assert!(recover(&host.sigra, &link(&host.sigra, &user).await).await);
    assert_eq!(factors(&host.sigra, &user).await.0, 1, "the earlier link went elsewhere");
}

/// The thief's links are later ones, even if a server whose clock is behind created them.
#[tokio::test]
async fn recovery_revokes_later_links_but_not_earlier_ones() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let owners = link(&host.sigra, &user).await;
    let thiefs = link_to(&host.sigra, &user, "thief@example.com").await;
    assert!(recover(&host.sigra, &thiefs).await);
    assert!(recover(&host.sigra, &owners).await, "an earlier link stays valid");

    let behind = host.restart(|config| config.clock(Clock::wrong_by(time::Duration::minutes(-1)))).await;
    let owners = link(&host.sigra, &user).await;
    let thiefs = link_to(&behind.sigra, &user, "thief@example.com").await;
    assert!(recover(&host.sigra, &owners).await);
    assert!(!recover(&host.sigra, &thiefs).await, "a later link is revoked");
}

#[tokio::test]
async fn invariant_10_only_one_of_many_concurrent_recoveries_succeeds() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let token = link(&host.sigra, &user).await;
    let mut tries = JoinSet::new();
    for _ in 0..16 {
        let (sigra, token) = (host.sigra.clone(), token.clone());
        tries.spawn(async move { recover(&sigra, &token).await });
    }
    assert_eq!(tries.join_all().await.into_iter().filter(|recovered| *recovered).count(), 1);
}
