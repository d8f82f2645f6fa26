//! The library's tables, to create in a migration.

/// The library's tables, indexes and trigger, for SQLite. They refer to a table `users` with a column `id`. If your
/// table has [another name](crate::AuthUser::TABLE), replace it. The trigger deletes all of a deleted user's rows, even
/// where foreign keys are off. If you recreate the table of users, create the trigger again.
///
/// The generator writes the schema into the host's migrations. A host without the generator runs it itself.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> sqlx::Result<()> {
/// let pool = sqlx::SqlitePool::connect("sqlite::memory:").await?;
/// sqlx::raw_sql("CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT)").execute(&pool).await?;
/// sqlx::raw_sql(sigra::schema::SQLITE).execute(&pool).await?;
/// # Ok(()) }
/// ```
#[cfg(feature = "sqlite")]
pub const SQLITE: &str = include_str!("sqlite.sql");

/// The library's tables, indexes and triggers, for PostgreSQL. They refer to a table `users` with a column `id` of type
/// `uuid`. If that column is a `bigint`, replace the type of every `user_id` and `actor_id` too. If your table has
/// [another name](crate::AuthUser::TABLE), replace it.
#[cfg(feature = "postgres")]
pub const POSTGRES: &str = include_str!("postgres.sql");
