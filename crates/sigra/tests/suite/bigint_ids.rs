//! An existing users table, with bigint IDs.

use axum::{
    Router,
    extract::{Path, State},
    http::StatusCode,
    routing::{get, post},
};
use sigra::{
    Config, CookieSession, HashedPassword, LoginMethod, Password, RememberMe, Scope, SecretKeyBase, Sigra,
    Verification,
    config::Argon2Params,
    testing::{TestClient, VALID_PASSWORD, assert_redirected_to, assert_status},
};

use crate::database::{Database, FOREIGN_KEYS_OFF, TestDatabase};

#[derive(Clone, sqlx::FromRow)]
pub struct User {
    pub id: i64,
    email: String,
    hashed_password: Option<HashedPassword>,
}

impl sigra::AuthUser for User {
    type Id = i64;
    type Database = Database;

    fn id(&self) -> i64 {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        self.hashed_password.as_ref()
    }
}

async fn log_in(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    Path(id): Path<i64>,
    password: String,
) -> sigra::Result<StatusCode> {
    let user: User = sqlx::query_as("SELECT * FROM users WHERE id = $1").bind(id).fetch_one(sigra.pool()).await?;
    if sigra.verify_password(Some(&user), &Password::new(password)).await? == Verification::Invalid {
        return Ok(StatusCode::UNAUTHORIZED);
    }
    let _ = sigra.log_in(&session, &user, LoginMethod::Password, RememberMe::No).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn log_out(State(sigra): State<Sigra<User>>, session: CookieSession) -> sigra::Result<StatusCode> {
    sigra.log_out(&session).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn me(scope: Scope<User>) -> String {
    format!("{} {}", scope.user().id, scope.user().email)
}

fn app(sigra: Sigra<User>) -> Router {
    Router::new()
        .route("/log-in/{id}", post(log_in))
        .route("/log-out", post(log_out))
        .route("/me", get(me))
        .layer(sigra.fetch_current_scope())
        .with_state(sigra)
}

async fn post_log_in(browser: &TestClient, id: i64, password: &'static str) -> StatusCode {
    let request = http::Request::post(format!("/log-in/{id}")).body(password.into());
    browser.send(request.unwrap()).await.status()
}

#[tokio::test]
async fn users_with_bigint_ids_can_log_in_and_out() {
    const ADA: i64 = 1;
    const GRACE: i64 = i64::MAX;
    let database = TestDatabase::with_bigints().await;
    let pool = database.connect().await;
    let config = Config::new("app", SecretKeyBase::generate().unwrap()).argon2(Argon2Params::INSECURE_FOR_TESTS);
    let sigra: Sigra<User> = Sigra::new(config, pool.clone()).unwrap();
    for (id, email) in [(ADA, "ada@example.com"), (GRACE, "grace@example.com")] {
        let hash = sigra.hash_password(&Password::new(VALID_PASSWORD)).await.unwrap();
        let insert = sqlx::query("INSERT INTO users (id, email, hashed_password) VALUES ($1, $2, $3)");
        insert.bind(id).bind(email).bind(hash).execute(&pool).await.unwrap();
    }

    let router = app(sigra.clone());
    let (adas, graces) = (TestClient::new(router.clone()), TestClient::new(router));
    assert_eq!(post_log_in(&adas, ADA, "wrong").await, 401);
    assert_eq!(post_log_in(&adas, ADA, VALID_PASSWORD).await, 204);
    assert_eq!(post_log_in(&graces, GRACE, VALID_PASSWORD).await, 204);
    assert_eq!(adas.get("/me").await.text(), "1 ada@example.com");
    assert_eq!(graces.get("/me").await.text(), "9223372036854775807 grace@example.com");

    assert_status(&adas.post("/log-out", &[]).await, 204);
    assert_redirected_to(&adas.get("/me").await, "/users/log-in");
    assert_eq!(sigra.sessions().list(&GRACE).await.unwrap().len(), 1);
    assert_eq!(sigra.delete_all_sessions(&GRACE).await.unwrap(), 1);
    assert_redirected_to(&graces.get("/me").await, "/users/log-in");
}

/// SQLite gives the ID of the last user, once deleted, to the next one, unless the column is `AUTOINCREMENT`. Where
/// foreign keys are off, as in the program `sqlite3`, deleting the user deletes none of their rows.
#[tokio::test]
async fn invariant_17_a_user_with_the_id_of_one_who_was_deleted_by_hand_inherits_no_access() {
    let database = TestDatabase::with_bigints().await;
    let pool = database.connect().await;
    let config = Config::new("app", SecretKeyBase::generate().unwrap()).argon2(Argon2Params::INSECURE_FOR_TESTS);
    let sigra: Sigra<User> = Sigra::new(config, pool.clone()).unwrap();
    let register = async |email: &str| {
        let hash = sigra.hash_password(&Password::new(VALID_PASSWORD)).await.unwrap();
        let insert = sqlx::query("INSERT INTO users (id, email, hashed_password) VALUES (57, $1, $2)");
        insert.bind(email).bind(hash).execute(&pool).await.unwrap();
    };
    register("spammer@example.com").await;
    let browser = TestClient::new(app(sigra.clone()));
    assert_eq!(post_log_in(&browser, 57, VALID_PASSWORD).await, 204);
    assert_eq!(browser.get("/me").await.text(), "57 spammer@example.com");

    let mut by_hand = pool.acquire().await.unwrap().detach();
    sqlx::raw_sql(FOREIGN_KEYS_OFF).execute(&mut by_hand).await.unwrap();
    sqlx::raw_sql("DELETE FROM users WHERE id = 57").execute(&mut by_hand).await.unwrap();
    register("ada@example.com").await;
    sigra.catch_up().await;
    assert_redirected_to(&browser.get("/me").await, "/users/log-in");
    assert!(sigra.sessions().list(&57).await.unwrap().is_empty());
}
