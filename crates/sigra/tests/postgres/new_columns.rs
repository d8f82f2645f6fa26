//! Tables get another column while the application runs, as when a newer version of it migrates the database.

use sigra::{
    Client, Config, RememberMe, Sigra, config::Argon2Params, oauth::ProviderIdentity, testing::TestHost, token::Context,
};

use crate::suite::host::{Host, User, secret};

const NEW_COLUMNS: &str = "
    ALTER TABLE users ADD COLUMN shoe_size integer;
    ALTER TABLE users_tokens ADD COLUMN shoe_size integer;
    ALTER TABLE users_passkeys ADD COLUMN shoe_size integer;
    ALTER TABLE user_identities ADD COLUMN shoe_size integer;
    ALTER TABLE audit_events ADD COLUMN shoe_size integer";

/// Runs statements that return all columns of a table, each on the only connection of the pool.
async fn use_tables(sigra: &Sigra<User>, user: &User) {
    let identity = ProviderIdentity::new("corp", "https://corp.example", "ada");
    let (token, _) = sigra.create_session(user, RememberMe::No, &Client::default()).await.unwrap();
    assert!(sigra.fetch_session(&token).await.unwrap().is_some());
    sigra.sessions().list(&user.id).await.unwrap();
    sigra.trusted_browsers().list(&user.id).await.unwrap();
    sigra.mfa().list(&user.id).await.unwrap();
    sigra.identities().list(&user.id).await.unwrap();
    sigra.audit().list(&user.id, None, 10).await.unwrap();

    let mut tx = sigra.begin().await.unwrap();
    assert!(!sigra.identities().is_linked_in(&mut tx, &identity).await.unwrap());
    let token = sigra.email_tokens().create_in(&mut tx, &user.id, Context::Login, &user.email).await.unwrap();
    assert!(sigra.email_tokens().take_in(&mut tx, &token, Context::Login).await.unwrap().is_valid());
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_process_that_started_before_a_column_was_added_keeps_working() {
    let host = Host::new().await;
    let user = host.registered_fixture().await;
    let one = host.pool.options().clone().max_connections(1);
    let pool = one.connect_lazy_with((*host.pool.connect_options()).clone());
    let config = Config::new("my_app", secret("a")).argon2(Argon2Params::INSECURE_FOR_TESTS);
    let old = Sigra::<User>::new(config, pool).unwrap();
    use_tables(&old, &user).await;
    host.execute(NEW_COLUMNS).await;
    for _ in 0..2 {
        use_tables(&old, &user).await;
    }
}
