//! Users and their tokens, without a browser.

use std::collections::BTreeSet;

use crate::support::Host;
use my_app::accounts::{AccountError, FieldErrors, User};
use sigra::{
    Client, Password,
    config::Argon2Params,
    password::PasswordProblem,
    testing::{TestHost, VALID_PASSWORD},
};
use tokio::task::JoinSet;

async fn register(host: &Host, email: &str, password: &str) -> Result<User, FieldErrors> {
    match host.accounts.register_user(email, &Password::new(password), &Client::default()).await {
        Ok(user) => Ok(user),
        Err(AccountError::Invalid(problems)) => Err(problems),
        Err(error) => panic!("{error}"),
    }
}

/// Returns how many sessions ended.
async fn log_out_everywhere(host: &Host, user: &User) -> usize {
    let client = Client::default();
    // <api_tokens>
    let ended = host.accounts.delete_all_user_session_tokens(user, false, &client);
    // </api_tokens>
    // <!api_tokens>
    // let ended = host.accounts.delete_all_user_session_tokens(user, &client);
    // </!api_tokens>
    ended.await.expect("deleted")
}

#[tokio::test]
async fn a_user_is_found_by_email() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let found = host.accounts.get_user_by_email(&user.email.to_uppercase()).await.expect("a result");
    assert_eq!(found.map(|user| user.id), Some(user.id));
    assert!(host.accounts.get_user_by_email("unknown@example.com").await.expect("a result").is_none());
}

#[tokio::test]
async fn registration_requires_a_valid_email_address_and_password() {
    let host = Host::new().await;
    let problems = register(&host, "no address", "short").await.expect_err("must be refused");
    assert_eq!(problems.email, Some("Enter a valid email address."));
    assert_eq!(problems.password, Some(PasswordProblem::TooShort { min: 15 }));

    let long = format!("{}@example.com", "a".repeat(65));
    assert!(register(&host, &long, VALID_PASSWORD).await.expect_err("must be refused").email.is_some());
    let common = register(&host, "a@example.com", "1q2w3e4r5t6y7u8i9o0p").await.expect_err("must be refused");
    assert_eq!(common.password, Some(PasswordProblem::Common));
}

#[tokio::test]
async fn an_email_address_can_be_registered_once_in_any_case() {
    let host = Host::new().await;
    register(&host, "ada@example.com", VALID_PASSWORD).await.expect("a user");
    for again in ["ada@example.com", "ADA@Example.com", " ada@example.com "] {
        let problems = register(&host, again, VALID_PASSWORD).await.expect_err("must be refused");
        assert_eq!(problems.email, Some("This email address has already been taken."));
    }
}

#[tokio::test]
async fn invariant_1_a_user_is_stored_and_shown_without_the_password() {
    let host = Host::new().await;
    let user = register(&host, "ada@example.com", VALID_PASSWORD).await.expect("a user");
    let hash = user.hashed_password.as_ref().expect("a hash").as_str().to_owned();
    assert!(hash.starts_with("$argon2id$"));
    let shown = format!("{user:?}");
    assert!(!shown.contains("argon2") && !shown.contains(VALID_PASSWORD), "{shown}");
}

#[tokio::test]
async fn the_demo_user_is_seeded_once() {
    let host = Host::new().await;
    for _ in 0..2 {
        host.accounts.seed_demo_user().await.expect("seeded");
    }
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(&host.pool).await.expect("a count");
    assert_eq!(count, 1);
}

/// OWASP ASVS 7.2.3: 256 bits as 43 characters, each of which varies.
#[tokio::test]
async fn every_session_token_is_different() {
    const TOKENS: usize = 100;
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let mut tokens = BTreeSet::new();
    for _ in 0..TOKENS {
        let token = host.open_session(&user).await;
        tokens.insert(token.encode().chars().collect::<Vec<char>>());
    }
    assert_eq!(tokens.len(), TOKENS, "a token was generated twice");
    assert!(tokens.iter().all(|token| token.len() == 43));
    for place in 0..43 {
        let seen: BTreeSet<char> = tokens.iter().map(|token| token[place]).collect();
        // The last character has four bits, the others six.
        assert!(seen.len() >= if place == 42 { 8 } else { 30 }, "character {place} is one of {seen:?}");
    }
    log_out_everywhere(&host, &user).await;

    let first = host.open_session(&user).await;
    let second = host.open_session(&user).await;
    assert_eq!(host.count_tokens().await, 2);
    assert_eq!(log_out_everywhere(&host, &user).await, 2);
    for token in [first, second] {
        assert!(host.scope_of(&token).await.is_none());
    }
}

#[tokio::test]
async fn an_expired_token_is_rejected() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let token = host.open_session(&user).await;
    host.clock().advance(std::time::Duration::from_secs(60 * 24 * 60 * 60));
    assert!(host.scope_of(&token).await.is_none());
}

/// The address may have been inserted by an existing application.
#[tokio::test]
async fn an_address_that_was_stored_in_capitals_is_found_and_taken() {
    let host = Host::new().await;
    let user = register(&host, "ada@example.com", VALID_PASSWORD).await.expect("a user");
    sqlx::query("UPDATE users SET email = 'Ada@Example.COM'").execute(&host.pool).await.expect("updated");

    let found = host.accounts.get_user_by_email("ada@EXAMPLE.com").await.expect("a result");
    assert_eq!(found.map(|user| user.id), Some(user.id));
    let problems = register(&host, "ada@example.com", VALID_PASSWORD).await.expect_err("must be refused");
    assert_eq!(problems.email, Some("This email address has already been taken."));
}

/// After the hash parameters are raised, several devices of one user log in concurrently, and each upgrades the hash.
#[tokio::test(flavor = "multi_thread")]
async fn logins_that_upgrade_the_same_hash_at_once_all_succeed() {
    let host = Host::new().await;
    let user = register(&host, "ada@example.com", VALID_PASSWORD).await.expect("a user");
    let stronger = host.with_argon2(Argon2Params::new(64, 1, 1));
    let mut logins = JoinSet::new();
    for _ in 0..8 {
        let (accounts, email) = (stronger.clone(), user.email.clone());
        logins.spawn(async move {
            accounts.get_user_by_email_and_password(&email, &Password::new(VALID_PASSWORD), &Client::default()).await
        });
    }
    for found in logins.join_all().await {
        assert_eq!(found.expect("a result").map(|found| found.id), Some(user.id));
    }
    let wrong = stronger
        .get_user_by_email_and_password(&user.email, &Password::new("not the password"), &Client::default())
        .await;
    assert!(wrong.expect("a result").is_none());
}

/// CVE-2019-19844: the Kelvin sign is not a K, and the dotless i is not an i.
#[tokio::test]
async fn the_database_keeps_lookalike_addresses_apart() {
    let host = Host::new().await;
    register(&host, "mike@example.com", VALID_PASSWORD).await.expect("a user");
    for other in ["mi\u{212a}e@example.com", "m\u{131}ke@example.com"] {
        assert!(host.accounts.get_user_by_email(other).await.expect("a result").is_none());
        let registered = register(&host, other, VALID_PASSWORD).await.expect("another user");
        assert_eq!(registered.email, other);
    }
}

// <sqlite>
// <users_table>
/// Later migrations must not change these tables.
// <template>
#[cfg(not(feature = "postgres"))]
// </template>
#[tokio::test]
async fn the_migration_and_the_library_agree_on_users_tokens() {
    const SCHEMA: &str = "SELECT sql FROM sqlite_master
        WHERE (tbl_name = 'users_tokens' AND sql IS NOT NULL) OR name = 'sigra_cascade' ORDER BY name";
    let host = Host::new().await;
    let fresh = sqlx::SqlitePool::connect("sqlite::memory:").await.expect("a database");
    sqlx::raw_sql("CREATE TABLE users (id BLOB PRIMARY KEY)").execute(&fresh).await.expect("created");
    sqlx::raw_sql(sigra::schema::SQLITE).execute(&fresh).await.expect("created");
    let migrated: Vec<String> = sqlx::query_scalar(SCHEMA).fetch_all(&host.pool).await.expect("a schema");
    let library: Vec<String> = sqlx::query_scalar(SCHEMA).fetch_all(&fresh).await.expect("a schema");
    assert_eq!(migrated, library);
}
// </users_table>
// </sqlite>
