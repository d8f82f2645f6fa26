//! Users in a table of another name, in a database whose table `users` has another purpose.

use sigra::{
    Client, Config, EmailToken, HashedPassword, Password, RememberMe, SecretKeyBase, Sigra, config::Argon2Params,
    testing::VALID_PASSWORD, token::Context,
};
use sqlx::Row;

use crate::database::{Database, TestDatabase};

#[derive(Clone, Debug, sqlx::FromRow)]
struct Member {
    id: i64,
    email: String,
    hashed_password: Option<HashedPassword>,
}

impl sigra::AuthUser for Member {
    const TABLE: &'static str = "members";
    type Id = i64;
    type Database = Database;

    fn id(&self) -> i64 {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        self.hashed_password.as_ref()
    }
}

/// Ada is a member. The row in `users` has the same ID, but isn't a user.
async fn sigra_and_ada(database: &TestDatabase) -> (Sigra<Member>, Member) {
    let pool = database.connect().await;
    for sql in [
        "ALTER TABLE users RENAME TO members",
        "CREATE TABLE users (id bigint PRIMARY KEY, uploads text)",
        "INSERT INTO users (id, uploads) VALUES (1, 'many')",
    ] {
        sqlx::raw_sql(sql).execute(&pool).await.unwrap();
    }
    let config = Config::new("app", SecretKeyBase::generate().unwrap()).argon2(Argon2Params::INSECURE_FOR_TESTS);
    let sigra: Sigra<Member> = Sigra::new(config, pool.clone()).unwrap();
    let hash = sigra.hash_password(&Password::new(VALID_PASSWORD)).await.unwrap();
    let insert = sqlx::query("INSERT INTO members (id, email, hashed_password) VALUES (1, 'ada@example.com', $1)");
    insert.bind(hash).execute(&pool).await.unwrap();
    let ada = sqlx::query_as("SELECT * FROM members").fetch_one(&pool).await.unwrap();
    (sigra, ada)
}

#[tokio::test]
async fn sessions_and_links_work_with_a_users_table_of_another_name() {
    let database = TestDatabase::with_bigints().await;
    let (sigra, ada) = sigra_and_ada(&database).await;
    let (token, row) = sigra.create_session(&ada, RememberMe::Yes, &Client::default()).await.unwrap();
    assert_eq!(sigra.fetch_session(&token).await.unwrap().unwrap().user().email, "ada@example.com");
    assert_eq!(sigra.sessions().list(&1).await.unwrap().first().map(|session| session.id), Some(row.id));

    let mut tx = sigra.begin().await.unwrap();
    let link: EmailToken = sigra.email_tokens().create_in(&mut tx, &1, Context::Login, &ada.email).await.unwrap();
    assert_eq!(sigra.email_tokens().take_in(&mut tx, &link, Context::Login).await.unwrap().valid().unwrap().user.id, 1);
    let revoked = sigra.sessions().delete_all_in(&mut tx, &1, None).await.unwrap();
    tx.commit().await.unwrap();
    sigra.sessions().announce(revoked);
    assert!(sigra.fetch_session(&token).await.unwrap().is_none());
}

#[tokio::test]
async fn a_member_whose_password_changed_is_not_logged_in() {
    let database = TestDatabase::with_bigints().await;
    let (sigra, ada) = sigra_and_ada(&database).await;
    let update = sqlx::query("UPDATE members SET hashed_password = 'another'");
    update.execute(sigra.pool()).await.unwrap();
    let created = sigra.create_session(&ada, RememberMe::Yes, &Client::default()).await;
    assert!(matches!(created, Err(sigra::Error::CredentialsChanged)), "{created:?}");
}

#[tokio::test]
async fn scopes_of_members_are_cached_and_follow_changes() {
    let database = TestDatabase::with_bigints().await;
    let (sigra, ada) = sigra_and_ada(&database).await;
    let (token, _) = sigra.create_session(&ada, RememberMe::Yes, &Client::default()).await.unwrap();
    sigra.fetch_session(&token).await.unwrap().unwrap();
    sigra.catch_up().await;
    assert!(sigra.is_caching());
    sigra.fetch_session(&token).await.unwrap().unwrap();
    sqlx::query("UPDATE members SET email = 'ada@example.org'").execute(sigra.pool()).await.unwrap();
    sigra.catch_up().await;
    assert_eq!(sigra.fetch_session(&token).await.unwrap().unwrap().user().email, "ada@example.org");

    sqlx::query("DELETE FROM members").execute(sigra.pool()).await.unwrap();
    sigra.catch_up().await;
    assert!(sigra.fetch_session(&token).await.unwrap().is_none());
    let left = sqlx::query("SELECT count(*) FROM users_tokens").fetch_one(sigra.pool()).await.unwrap();
    assert_eq!(left.get::<i64, _>(0), 0);
}
