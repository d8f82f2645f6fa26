//! The database file, with one user.

use std::error::Error;

use sigra::{Config, Password, SecretKeyBase, Sigra};
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};

use super::User;

pub const PASSWORD: &str = "correct horse battery staple";

const TABLES: &str = "
    CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL UNIQUE, hashed_password TEXT);
    CREATE TABLE notes (text TEXT NOT NULL, user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE);
";

/// Opens the database file, or creates it.
pub async fn open(file: &str) -> Result<Sigra<User>, Box<dyn Error>> {
    let is_new = !std::fs::exists(file)?;
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let pool = SqlitePool::connect_with(options).await?;
    // Store the secret in your own application: with a new one, every restart logs everyone out.
    let sigra = Sigra::new(Config::new("htmx", SecretKeyBase::generate()?), pool.clone())?;
    if is_new {
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        sqlx::raw_sql(sigra::schema::SQLITE).execute(&pool).await?;
        let hash = sigra.hash_password(&Password::new(PASSWORD)).await?;
        let insert = "INSERT INTO users (email, hashed_password) VALUES ('ada@example.com', $1)";
        sqlx::query(insert).bind(hash).execute(&pool).await?;
    }
    Ok(sigra)
}
