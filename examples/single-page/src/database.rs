//! The database file, with one user.

use std::error::Error;

use sigra::{Config, Password, SecretKeyBase, Sigra};
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};

use super::{FRONTEND, User};

pub const PASSWORD: &str = "correct horse battery staple";

const USERS: &str =
    "CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE, hashed_password TEXT)";

/// Opens the database file, or creates it.
pub async fn open(file: &str) -> Result<Sigra<User>, Box<dyn Error>> {
    let is_new = !std::fs::exists(file)?;
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await?;
    // Store the secret in your own application: with a new one, every restart logs everyone out.
    let config = Config::new("single_page", SecretKeyBase::generate()?).trusted_origins([FRONTEND]);
    let sigra = Sigra::new(config, pool.clone())?;
    if is_new {
        sqlx::raw_sql(USERS).execute(&pool).await?;
        sqlx::raw_sql(sigra::schema::SQLITE).execute(&pool).await?;
        let hash = sigra.hash_password(&Password::new(PASSWORD)).await?;
        let insert = "INSERT INTO users (email, hashed_password) VALUES ('ada@example.com', $1)";
        sqlx::query(insert).bind(hash).execute(&pool).await?;
    }
    Ok(sigra)
}
