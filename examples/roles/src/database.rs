//! The database file, with two members.

use std::error::Error;

use sigra::{Config, Password, SecretKeyBase, Sigra};
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};

use super::User;

pub const PASSWORD: &str = "correct horse battery staple";

const USERS: &str = "CREATE TABLE users (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    email           TEXT NOT NULL UNIQUE,
    hashed_password TEXT,
    role            TEXT NOT NULL DEFAULT 'member' CHECK (role IN ('member', 'admin'))
)";

/// Opens the database file, or creates it.
pub async fn open(file: &str) -> Result<Sigra<User>, Box<dyn Error>> {
    let is_new = !std::fs::exists(file)?;
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await?;
    // Store the secret in your own application: with a new one, every restart logs everyone out.
    let sigra = Sigra::new(Config::new("roles", SecretKeyBase::generate()?), pool.clone())?;
    if is_new {
        sqlx::raw_sql(USERS).execute(&pool).await?;
        sqlx::raw_sql(sigra::schema::SQLITE).execute(&pool).await?;
        let hash = sigra.hash_password(&Password::new(PASSWORD)).await?;
        for email in ["ada@example.com", "bob@example.com"] {
            let insert = sqlx::query("INSERT INTO users (email, hashed_password) VALUES ($1, $2)");
            insert.bind(email).bind(&hash).execute(&pool).await?;
        }
    }
    Ok(sigra)
}
