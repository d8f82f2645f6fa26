//! Users of other systems keep their passwords.

use sigra::{HashedPassword, Password, Verification, testing::TestHost};
use sqlx::AssertSqlSafe;

use crate::suite::{
    guides::statements,
    host::{Host, User},
};

const PASSWORD: &str = "correct horse battery staple";

async fn verify(host: &Host, hash: &str, password: &str) -> Verification {
    let user = User { hashed_password: Some(HashedPassword::from(hash.to_owned())), ..host.registered_fixture().await };
    host.sigra.verify_password(Some(&user), &Password::new(password)).await.unwrap()
}

async fn assert_is_read(host: &Host, hash: &str) {
    let found = verify(host, hash, PASSWORD).await;
    assert!(matches!(found, Verification::Outdated(_)), "{hash}: {found:?}");
    assert_eq!(verify(host, hash, "wrong").await, Verification::Invalid, "{hash}");
}

/// The hashes are by Django 5.2.
#[tokio::test]
async fn the_statement_for_users_of_django_keeps_their_passwords() {
    let host = Host::new().await;
    let old = "CREATE TABLE old_users (email text, password_hash varchar(128));
        INSERT INTO old_users VALUES
        ('a', 'pbkdf2_sha256$1000$uQIqDSmgjKbSxSAsmEZHSg$CnSRDvUJfyk9j5fdQsF2YfaqIoCD7ACU5wFV3PaGnkI='),
        ('b', 'argon2$argon2id$v=19$m=102400,t=2,p=8$VWZkOW9ZVEhxVmJYYXl0M0pWUDU4MA$kqg5cpWg7sNFvFCIcUgpDLsR8xcnVTGy729lJHjtYm4'),
        ('c', 'bcrypt$$2b$12$XaGUziG4psoeAmHP9zUxXuuD7gCfI3SAG9wE7HAlxB2MGNcdyDjri'),
        ('d', 'bcrypt_sha256$$2b$12$9aM..5TSppvTD9x/d/.nHO9s7ktlHSj6mS9dku8hLuVll5YZIxGHe'),
        ('e', '!of a user without a password')";
    sqlx::raw_sql(old).execute(&host.pool).await.unwrap();
    let statement = statements("migrating-users.md", "Django");
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&host.pool).await.unwrap();
    let hashes = sqlx::query_scalar("SELECT password_hash FROM old_users ORDER BY email");
    let hashes: Vec<Option<String>> = hashes.fetch_all(&host.pool).await.unwrap();
    assert_eq!(hashes.len(), 5);
    for hash in hashes[..3].iter().flatten() {
        assert_is_read(&host, hash).await;
    }
    assert_eq!(hashes.iter().map(Option::is_some).collect::<Vec<_>>(), [true, true, true, false, false]);
}

#[tokio::test]
async fn hashes_that_need_no_change_are_read_as_they_are() {
    let host = Host::new().await;
    for hash in [
        // Devise, Auth0 and phx.gen.auth, and Laravel.
        "$2a$05$85ZN9Zowr7.ueHUBLK4hOuExlfHt3RMBptQfqLK4FRQBx/NzjVUV6",
        "$2b$05$85ZN9Zowr7.ueHUBLK4hOuExlfHt3RMBptQfqLK4FRQBx/NzjVUV6",
        "$2y$05$85ZN9Zowr7.ueHUBLK4hOuExlfHt3RMBptQfqLK4FRQBx/NzjVUV6",
        "$argon2i$v=19$m=64,t=2,p=1$+hgRLLKndgm1Sav4w8/upw$MaR2e3O/FNKBeH4/LfOEpg+F3gw397x72VU+AKb2xE0",
        "$argon2id$v=19$m=65536,t=4,p=1$WQfZnzn+AtJCx8z3l8jraw$8EEaf1WvQDx/MvlJCPKzIsCDYzoC9ra1k+5B+xjYs2M",
    ] {
        assert_is_read(&host, hash).await;
    }
}
