//! A login with the library, and no generated code. Run `cargo run --package example-library`, open
//! <http://localhost:3000/dashboard>, and log in as `ada@example.com` with `correct horse battery staple`.

use std::{error::Error, net::SocketAddr};

use axum::{
    Form, Router,
    extract::State,
    response::{Html, Redirect},
    routing::{get, post},
};
use sigra::{
    Config, CookieSession, HashedPassword, LoginMethod, LoginOutcome, Password, RememberMe, Scope, SecretKeyBase,
    Sigra, Verification,
};
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};
use tokio::net::TcpListener;

#[derive(Clone, sqlx::FromRow)]
struct User {
    id: i64,
    hashed_password: Option<HashedPassword>,
}

impl sigra::AuthUser for User {
    type Id = i64;
    type Database = sqlx::Sqlite;

    fn id(&self) -> i64 {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        self.hashed_password.as_ref()
    }
}

#[derive(serde::Deserialize)]
struct LogIn {
    email: String,
    password: Password,
}

async fn log_in(
    State(sigra): State<Sigra<User>>,
    session: CookieSession,
    Form(form): Form<LogIn>,
) -> sigra::Result<Redirect> {
    sigra.limits().check_address(&session.client())?;
    let by_email = sqlx::query_as("SELECT * FROM users WHERE email = $1").bind(&form.email);
    let user: Option<User> = by_email.fetch_optional(sigra.pool()).await?;
    let id = user.as_ref().map(|user| user.id);
    let check = sigra.verify_password(user.as_ref(), &form.password);
    let user = match (sigra.limits().attempt_log_in(&session, &form.email, id.as_ref(), check).await?, user) {
        (Verification::Valid, user) => user,
        (Verification::Outdated(new), Some(user)) => {
            // Unless the password was changed in the meantime.
            let update = "UPDATE users SET hashed_password = $1 WHERE id = $2 AND hashed_password = $3 RETURNING *";
            let update = sqlx::query_as(update).bind(new).bind(user.id).bind(user.hashed_password);
            update.fetch_optional(sigra.pool()).await?
        }
        _ => None,
    };
    let Some(user) = user else { return Ok(Redirect::to("/users/log-in")) };
    sigra.limits().forget_logins(&session, &form.email, &user.id).await?;
    Ok(match sigra.log_in(&session, &user, LoginMethod::Password, RememberMe::No).await? {
        LoginOutcome::Complete => Redirect::to("/dashboard"),
        // This can't happen here, because users can't add a second factor.
        LoginOutcome::SecondFactorPending => Redirect::to("/users/log-in"),
    })
}

async fn log_out(State(sigra): State<Sigra<User>>, session: CookieSession) -> sigra::Result<Redirect> {
    sigra.log_out(&session).await?;
    Ok(Redirect::to("/users/log-in"))
}

async fn dashboard(_: Scope<User>) -> Html<&'static str> {
    Html(include_str!("dashboard.html"))
}

fn app(sigra: Sigra<User>) -> Router {
    Router::new()
        .route("/users/log-in", get(Html(include_str!("log_in.html"))).post(log_in))
        .route("/users/log-out", post(log_out))
        .route("/dashboard", get(dashboard))
        .layer(sigra.fetch_current_scope())
        .with_state(sigra)
}

/// Opens the database file, or creates it with the tables and one user.
async fn database(file: &str) -> Result<Sigra<User>, Box<dyn Error>> {
    let is_new = !std::fs::exists(file)?;
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await?;
    // Store the secret in your own application: with a new one, every restart logs everyone out.
    let sigra = Sigra::new(Config::new("example", SecretKeyBase::generate()?), pool.clone())?;
    if is_new {
        let users = "CREATE TABLE users (
            id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE, hashed_password TEXT
        )";
        sqlx::raw_sql(users).execute(&pool).await?;
        sqlx::raw_sql(sigra::schema::SQLITE).execute(&pool).await?;
        let password = sigra.hash_password(&Password::new("correct horse battery staple")).await?;
        let ada = "INSERT INTO users (email, hashed_password) VALUES ('ada@example.com', $1)";
        sqlx::query(ada).bind(password).execute(&pool).await?;
    }
    Ok(sigra)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let app = app(database("example.db").await?);
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("Listening on http://localhost:3000/dashboard");
    // With the IP address of each client, for `check_address` and the list of sessions.
    axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sigra::{
        config::Argon2Params,
        password::Passwords,
        testing::{TestClient, assert_redirected_to, assert_status},
    };

    use super::*;

    #[tokio::test]
    async fn the_right_password_logs_in_and_logging_out_ends_the_session() {
        let folder = tempfile::tempdir().unwrap();
        let sigra = database(folder.path().join("example.db").to_str().unwrap()).await.unwrap();
        let browser = TestClient::new(app(sigra));
        assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");

        let form = |password| [("email", "ada@example.com"), ("password", password)];
        assert_redirected_to(&browser.post("/users/log-in", &form("wrong")).await, "/users/log-in");
        assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");
        let right = form("correct horse battery staple");
        assert_redirected_to(&browser.post("/users/log-in", &right).await, "/dashboard");
        assert_status(&browser.get("/dashboard").await, 200);

        browser.post("/users/log-out", &[]).await;
        assert_redirected_to(&browser.get("/dashboard").await, "/users/log-in");
    }

    #[tokio::test]
    async fn a_login_replaces_an_outdated_hash() {
        let folder = tempfile::tempdir().unwrap();
        let sigra = database(folder.path().join("example.db").to_str().unwrap()).await.unwrap();
        let old = Passwords::new(Argon2Params::new(8, 1, 1), 1, Duration::from_secs(5)).unwrap();
        let old = old.hash(&Password::new("correct horse battery staple")).await.unwrap();
        sqlx::query("UPDATE users SET hashed_password = $1").bind(&old).execute(sigra.pool()).await.unwrap();

        let browser = TestClient::new(app(sigra.clone()));
        let form = |password| [("email", "ada@example.com"), ("password", password)];
        for (password, leads_to, is_replaced) in
            [("wrong", "/users/log-in", false), ("correct horse battery staple", "/dashboard", true)]
        {
            assert_redirected_to(&browser.post("/users/log-in", &form(password)).await, leads_to);
            let user: User = sqlx::query_as("SELECT * FROM users").fetch_one(sigra.pool()).await.unwrap();
            assert_eq!(user.hashed_password.as_ref() != Some(&old), is_replaced, "{password}");
        }
        assert_status(&browser.get("/dashboard").await, 200);
    }

    #[tokio::test]
    async fn after_five_wrong_passwords_a_login_must_wait() {
        let folder = tempfile::tempdir().unwrap();
        let sigra = database(folder.path().join("example.db").to_str().unwrap()).await.unwrap();
        let browser = TestClient::new(app(sigra));
        let wrong = [("email", "ada@example.com"), ("password", "wrong")];
        for _ in 0..5 {
            assert_redirected_to(&browser.post("/users/log-in", &wrong).await, "/users/log-in");
        }
        let response = browser.post("/users/log-in", &wrong).await;
        assert_status(&response, 429);
        assert_eq!(response.header("retry-after"), Some("1"));
    }
}
