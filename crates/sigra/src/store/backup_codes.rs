//! Backup codes: `users_backup_codes`.

use super::query::{Columns as _, query};
use crate::{
    base::token::TokenHash,
    model::user::{AuthUser, Connection},
};

/// Writes a backup code.
pub(crate) async fn insert<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id, code: TokenHash) -> sqlx::Result<()> {
    let insert = query::<U::Database>("INSERT INTO users_backup_codes (user_id, code) VALUES ($1, $2)");
    insert.bind(user.clone()).bind(code.as_bytes()).execute(conn).await.map(drop)
}

/// Uses a backup code up. Returns whether it existed.
pub(crate) async fn take<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id, code: TokenHash) -> sqlx::Result<bool> {
    let delete = query::<U::Database>("DELETE FROM users_backup_codes WHERE user_id = $1 AND code = $2");
    Ok(delete.bind(user.clone()).bind(code.as_bytes()).execute(conn).await? == 1)
}

/// Returns how many backup codes are left.
pub(crate) async fn count<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<u32> {
    let count = query::<U::Database>("SELECT count(*) AS number FROM users_backup_codes WHERE user_id = $1");
    let number: i64 = count.bind(user.clone()).fetch_one(conn).await?.value("number")?;
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Deletes all backup codes of a user.
pub(crate) async fn delete<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<()> {
    let delete = query::<U::Database>("DELETE FROM users_backup_codes WHERE user_id = $1").bind(user.clone());
    delete.execute(conn).await.map(drop)
}
