//! Finding the rows of several tokens in one query.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

use super::query::{Query, kept_query};
use crate::{
    base::token::{SessionHashes, TokenHash},
    model::database::Dialect,
};

/// A statement that finds rows by the hashes of tokens. Its texts are built once, because it runs for every request
/// that the cache can't serve.
pub(super) struct Batch {
    /// For up to 1, 2, 4, ... tokens: the database prepares each of these statements once.
    pub(super) statements: Vec<Arc<str>>,
}

impl Batch {
    /// Creates the statements for up to `max` tokens in one query. `statement` gets the two results of
    /// [`Dialect::lookup`].
    pub fn new<DB: Dialect>(max: usize, statement: impl Fn(&str, &str) -> String) -> Self {
        Self::for_up_to(max, |places| {
            let (asked, matches) = DB::lookup(places);
            statement(&asked, matches)
        })
    }

    /// Creates the statements for up to `max` session tokens in one query. `statement` gets the result of
    /// [`Dialect::lookup_sessions`].
    pub fn of_sessions<DB: Dialect>(max: usize, statement: impl Fn(&str) -> String) -> Self {
        Self::for_up_to(max, |places| statement(&DB::lookup_sessions(places)))
    }

    fn for_up_to(max: usize, statement: impl Fn(usize) -> String) -> Self {
        let of_power = |power: u32| statement(1_usize << power).into();
        Self { statements: (0..=max.next_power_of_two().ilog2()).map(of_power).collect() }
    }

    /// Returns the rows of these tokens, in any order.
    pub async fn rows<DB: Dialect>(
        &self,
        conn: &mut DB::Connection,
        mut tokens: Vec<TokenHash>,
    ) -> sqlx::Result<Vec<DB::Row>> {
        tokens.sort_unstable_by(|one, other| one.as_bytes().cmp(other.as_bytes()));
        tokens.dedup();
        self.find::<DB>(tokens.len())?.bind_lookup(&tokens).fetch_all(conn).await
    }

    /// Returns the rows of these session tokens, in any order.
    pub async fn rows_of_sessions<DB: Dialect>(
        &self,
        conn: &mut DB::Connection,
        mut tokens: Vec<SessionHashes>,
    ) -> sqlx::Result<Vec<DB::Row>> {
        tokens.sort_unstable_by(|one, other| one.token.as_bytes().cmp(other.token.as_bytes()));
        tokens.dedup_by_key(|hashes| hashes.token);
        self.find::<DB>(tokens.len())?.bind_sessions(&tokens).fetch_all(conn).await
    }

    fn find<DB: Dialect>(&self, tokens: usize) -> sqlx::Result<Query<DB>> {
        let find = self.statements.get(tokens.next_power_of_two().ilog2() as usize).cloned();
        let find = find.ok_or_else(|| sqlx::Error::Protocol("too many tokens in one lookup".to_owned()))?;
        // Readers replace a connection that fails.
        Ok(kept_query::<DB>(AssertSqlSafe(find)))
    }
}
