//! Tables get another column while the application runs, as when a newer version of it migrates the database.

use sigra::{
    Client, Config, RememberMe, Sigra, config::Argon2Params, oauth::ProviderIdentity, testing::TestHost, token::Context,
};
use sqlx::AssertSqlSafe;

use super::host::{Host, User, secret};

/// A process that started earlier, with one connection in its pool, and one for each of its two readers.
fn old_process(host: &Host) -> Sigra<User> {
    let one = host.pool.options().clone().max_connections(1);
    let pool = one.connect_lazy_with((*host.pool.connect_options()).clone());
    let config = Config::new("my_app", secret("a")).argon2(Argon2Params::INSECURE_FOR_TESTS);
    Sigra::<User>::new(config, pool).unwrap()
}

async fn add_columns(host: &Host, name: &str) {
    for table in ["users", "users_tokens", "users_passkeys", "user_identities", "audit_events"] {
        let add = format!("ALTER TABLE {table} ADD COLUMN {name} integer");
        sqlx::query(AssertSqlSafe(add)).execute(&host.pool).await.unwrap();
    }
}

/// The number of statements in `use_table`.
const STATEMENTS: usize = 6;

/// Runs a statement that returns all columns of a table. Fails if it doesn't find its row.
async fn use_table(sigra: &Sigra<User>, user: &User, statement: usize) {
    match statement {
        0 => assert!(!sigra.sessions().list(&user.id).await.unwrap().is_empty()),
        1 => assert!(!sigra.identities().list(&user.id).await.unwrap().is_empty()),
        2 => assert!(!sigra.audit().list(&user.id, None, 10).await.unwrap().is_empty()),
        3 => {
            let identity = ProviderIdentity::new("corp", "https://corp.example", "ada");
            let mut tx = sigra.begin().await.unwrap();
            assert!(sigra.identities().is_linked_in(&mut tx, &identity).await.unwrap());
        }
        4 => {
            let mut tx = sigra.begin().await.unwrap();
            let token =
                sigra.email_tokens().create_in(&mut tx, &user.id, Context::Recovery, &user.email).await.unwrap();
            assert!(sigra.email_tokens().take_in(&mut tx, &token, Context::Recovery).await.unwrap().is_valid());
        }
        _ => {
            sigra.mfa().list(&user.id).await.unwrap();
            sigra.trusted_browsers().list(&user.id).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_process_that_started_before_a_column_was_added_keeps_working() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let insert = "INSERT INTO user_identities (id, user_id, provider, issuer, subject, last_used_at, inserted_at)
        SELECT $1, $2, 'corp', 'https://corp.example', 'ada', max(inserted_at), max(inserted_at) FROM users_tokens";
    let old = old_process(&host);
    old.create_session(&user, RememberMe::No, &Client::default()).await.unwrap();
    old.audit().record_in(&mut *host.pool.acquire().await.unwrap(), &of(&user)).await.unwrap();
    sqlx::query(insert).bind(uuid::Uuid::now_v7()).bind(user.id).execute(&host.pool).await.unwrap();
    for statement in 0..STATEMENTS {
        use_table(&old, &user, statement).await;
    }
    for first in 0..STATEMENTS {
        add_columns(&host, &format!("shoe_size_{first}")).await;
        for statement in (0..STATEMENTS).cycle().skip(first).take(STATEMENTS) {
            use_table(&old, &user, statement).await;
        }
    }
}

fn of(user: &User) -> sigra::audit::Audit<uuid::Uuid> {
    sigra::audit::Audit::new(sigra::telemetry::LOGIN_SUCCESS).of(user.id)
}

/// The readers keep their statements. An empty result of a connection that failed would log users out.
#[tokio::test]
async fn invariant_2_sessions_stay_valid_in_a_process_that_started_before_a_column_was_added() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let mut tokens = Vec::new();
    for _ in 0..16 {
        tokens.push(host.sigra.create_session(&user, RememberMe::No, &Client::default()).await.unwrap().0);
    }
    let old = old_process(&host);
    for (number, looked_up) in tokens.chunks(4).enumerate() {
        // Each is looked up for the first time, so that the cache doesn't have it.
        for token in looked_up {
            assert!(old.fetch_session(token).await.unwrap().is_some(), "after {number} columns");
        }
        add_columns(&host, &format!("shoe_size_{number}")).await;
    }
}
