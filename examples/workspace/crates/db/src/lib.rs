//! The database: its migrations and its queries.

use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};

pub async fn connect(url: &str) -> sqlx::Result<SqlitePool> {
    let options: SqliteConnectOptions = url.parse()?;
    let pool = SqlitePool::connect_with(options.create_if_missing(true)).await?;
    sqlx::migrate!().run(&pool).await?;
    Ok(pool)
}

pub async fn list_messages(pool: &SqlitePool) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT text FROM messages ORDER BY id")
        .fetch_all(pool)
        .await
}

pub async fn add_message(pool: &SqlitePool, text: &str) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO messages (text) VALUES ($1)")
        .bind(text)
        .execute(pool)
        .await?;
    Ok(())
}
