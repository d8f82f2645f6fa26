//! Encrypting secrets again after a rotation, with unreadable rows among them.

use std::fmt;

use axum::Router;
use sigra::{AuthUser, Config, HashedPassword, Password, Sigra, config::Argon2Params, testing::TestHost};
use sqlx::{Decode, Encode, Pool, Type, encode::IsNull, error::BoxDynError};

use super::host::secret;
use crate::database::{Database, TestDatabase};

/// An ID that can be read only if it is odd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Odd(i64);

impl fmt::Display for Odd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Type<Database> for Odd {
    fn type_info() -> <Database as sqlx::Database>::TypeInfo {
        <i64 as Type<Database>>::type_info()
    }
}

impl<'q> Encode<'q, Database> for Odd {
    fn encode_by_ref(&self, to: &mut <Database as sqlx::Database>::ArgumentBuffer) -> Result<IsNull, BoxDynError> {
        <i64 as Encode<'q, Database>>::encode_by_ref(&self.0, to)
    }
}

impl<'r> Decode<'r, Database> for Odd {
    fn decode(value: <Database as sqlx::Database>::ValueRef<'r>) -> Result<Self, BoxDynError> {
        match <i64 as Decode<'r, Database>>::decode(value)? {
            id if id % 2 == 0 => Err(format!("{id} is even").into()),
            id => Ok(Self(id)),
        }
    }
}

#[derive(Clone, sqlx::FromRow)]
struct User {
    id: Odd,
    hashed_password: Option<HashedPassword>,
}

impl AuthUser for User {
    type Id = Odd;
    type Database = Database;

    fn id(&self) -> Odd {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        self.hashed_password.as_ref()
    }
}

struct Host {
    pool: Pool<Database>,
    sigra: Sigra<User>,
}

impl Host {
    fn new(pool: &Pool<Database>, newest: &str, older: &[&str]) -> Self {
        let config = Config::new("app", secret(newest)).argon2(Argon2Params::INSECURE_FOR_TESTS);
        let config = config.older_secrets(older.iter().map(|letter| secret(letter)));
        Self { pool: pool.clone(), sigra: Sigra::new(config, pool.clone()).unwrap() }
    }
}

impl TestHost for Host {
    type User = User;

    fn router(&self) -> Router {
        Router::new()
    }

    fn sigra(&self) -> &Sigra<User> {
        &self.sigra
    }

    async fn register(&self, _: &str, _: &Password) -> User {
        let insert = "INSERT INTO users (id) SELECT 1 + 500 * count(*) FROM users RETURNING id, hashed_password";
        sqlx::query_as(insert).fetch_one(&self.pool).await.unwrap()
    }
}

/// More rows than fit in one batch are unreadable: some come first, others are between readable ones.
#[tokio::test]
async fn unreadable_rows_are_counted_and_do_not_stop_the_reencryption_of_others() {
    let database = TestDatabase::with_bigints().await;
    let pool = database.connect().await;
    let before = Host::new(&pool, "a", &[]);
    let users = [before.mfa_fixture().await.0, before.mfa_fixture().await.0];
    assert_eq!(users.each_ref().map(|user| user.id), [Odd(1), Odd(501)]);
    for even in (-120..=120_i64).step_by(2).filter(|id| *id != 0) {
        sqlx::query("INSERT INTO users (id) VALUES ($1)").bind(even).execute(&pool).await.unwrap();
        let insert = "INSERT INTO users_totp (user_id, secret, last_step, last_used_at, inserted_at)
            SELECT $1, secret, last_step, last_used_at, inserted_at FROM users_totp WHERE user_id = 1";
        sqlx::query(insert).bind(even).execute(&pool).await.unwrap();
    }

    let rotated = Host::new(&pool, "b", &["a"]);
    let done = rotated.sigra.housekeeping().reencrypt_secrets().await.unwrap();
    assert_eq!((done.secrets, done.unreadable), (2, 120));
    let again = rotated.sigra.housekeeping().reencrypt_secrets().await.unwrap();
    assert_eq!((again.secrets, again.unreadable), (0, 120));

    let after = Host::new(&pool, "b", &[]);
    for user in users {
        assert_eq!(after.totp_code(&user).await.len(), 6, "the newest secret decrypts it");
    }
}
