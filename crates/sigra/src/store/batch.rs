//! Finding the rows of several tokens in one query.

use std::sync::Arc;

use sqlx::AssertSqlSafe;

use super::query::query;
use crate::{base::token::TokenHash, model::database::Dialect};

/// A statement that finds rows by the hashes of tokens. Its texts are built once, because it runs for every request that
/// the cache can't serve.
pub(super) struct Batch {
    /// For up to 1, 2, 4, ... tokens: the database prepares each of these statements once.
    pub(super) statements: Vec<Arc<str>>,
}

impl Batch {
    /// Creates the statements for up to `most` tokens in one query. `statement` gets the two results of
    /// [`Dialect::lookup`].
    pub fn new<DB: Dialect>(max: usize, statement: impl Fn(&str, &str) -> String) -> Self {
        let of_power = |power: u32| {
            let (asked, matches) = DB::lookup(1_usize << power);
            statement(&asked, matches).into()
        };
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
        let find = self.statements.get(tokens.len().next_power_of_two().ilog2() as usize).cloned();
        let find = find.ok_or_else(|| sqlx::Error::Protocol("too many tokens in one lookup".to_owned()))?;
        query::<DB>(AssertSqlSafe(find)).bind_lookup(&tokens).fetch_all(conn).await
    }
}
