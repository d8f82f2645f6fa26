//! The user of the examples in the documentation.

use crate::model::user::{AuthUser, HashedPassword};

#[derive(Clone, Debug, sqlx::FromRow)]
#[allow(clippy::exhaustive_structs, reason = "it is not part of the public API")]
pub struct User {
    pub id: i64,
    pub email: String,
}

impl AuthUser for User {
    type Id = i64;
    type Database = sqlx::Sqlite;

    fn id(&self) -> i64 {
        self.id
    }

    fn hashed_password(&self) -> Option<&HashedPassword> {
        None
    }
}
