//! Whether a user has a second factor: an authenticator app or a passkey. Code that changes a user's factors locks the
//! user's row first.

use sqlx::AssertSqlSafe;

use super::query::{Columns as _, query};
use crate::model::user::{AuthUser, Connection};

/// Returns whether the user has a second factor.
pub(crate) async fn exist<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<bool> {
    let select = format!("SELECT {} AS has", has_second_factor("$1"));
    query::<U::Database>(AssertSqlSafe(select)).bind(user.clone()).fetch_one(conn).await?.value("has")
}

/// Returns the same as an SQL condition, for a user's ID.
pub(super) fn has_second_factor(user: &'static str) -> String {
    format!(
        "(EXISTS (SELECT 1 FROM users_totp f WHERE f.user_id = {user})
          OR EXISTS (SELECT 1 FROM users_passkeys f WHERE f.user_id = {user}))"
    )
}
