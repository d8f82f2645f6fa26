//! Finding bearer tokens of all kinds, each in its table.

use std::marker::PhantomData;

use super::{
    batch::Batch,
    query::Columns as _,
    reader::{Answers, Lookup},
    row::read,
};
use crate::{
    base::{
        bearer_secret::{BearerKey, BearerKind},
        token::TokenHash,
    },
    model::{
        bearer::{BearerRow, BearerToken, FoundBearer},
        database::Reads as _,
        permission::PermissionList,
        user::{AuthUser, Connection, Row},
    },
};

/// A bearer token as its row has it. Its permissions are text: which of them are registered, only the settings know.
#[derive(Clone, Debug)]
pub(crate) struct StoredBearer<U> {
    user: U,
    row: BearerRow,
    permissions: String,
}

impl<U> StoredBearer<U> {
    /// Returns what was found, with those of its permissions that are registered.
    pub fn with_registered(self, registered: &PermissionList) -> FoundBearer<U> {
        let permissions = registered.known_in(&self.permissions);
        FoundBearer { user: self.user, row: BearerRow { permissions, ..self.row } }
    }
}

/// Finds the rows of bearer tokens, and their users: one query for each kind of token.
pub(crate) struct FindBearer<U> {
    personal: Batch,
    #[cfg(feature = "oauth-server")]
    client: Batch,
    user: PhantomData<fn() -> U>,
}

/// The columns that all kinds of tokens have, with a prefix to distinguish them from the user's columns.
const COLUMNS: &str = "t.token AS sigra_token, t.id AS sigra_id, t.permissions AS sigra_permissions,
    t.mfa_verified AS sigra_mfa_verified, t.expires_at AS sigra_expires_at, t.last_used_at AS sigra_last_used_at";

impl<U: AuthUser> Lookup<U> for FindBearer<U> {
    type Key = BearerKey;
    type Found = StoredBearer<U>;

    fn new(max: usize) -> Self {
        let users = U::TABLE;
        let personal = Batch::new::<U::Database>(max, |asked, matches| {
            format!(
                "SELECT {COLUMNS}, t.name AS sigra_name, u.*
                 FROM {asked} api_tokens t JOIN {users} u ON u.id = t.user_id
                 WHERE t.token {matches}"
            )
        });
        #[cfg(feature = "oauth-server")]
        let client = Batch::new::<U::Database>(max, |asked, matches| {
            format!(
                "SELECT t.token AS sigra_token, g.id AS sigra_id, t.permissions AS sigra_permissions,
                     g.mfa_verified AS sigra_mfa_verified, t.expires_at AS sigra_expires_at,
                     g.last_used_at AS sigra_last_used_at, g.client_id AS sigra_client, g.resource AS sigra_resource,
                     u.*
                 FROM {asked} oauth_tokens t JOIN oauth_grants g ON g.id = t.grant_id JOIN {users} u ON u.id = g.user_id
                 WHERE t.token {matches}"
            )
        });
        Self {
            personal,
            #[cfg(feature = "oauth-server")]
            client,
            user: PhantomData,
        }
    }

    async fn find(&self, conn: &mut Connection<U>, tokens: &[BearerKey]) -> Answers<StoredBearer<U>> {
        let mut answers: Vec<_> = tokens.iter().map(|_| Ok(None)).collect();
        find_kind::<U>(conn, tokens, BearerKind::Personal, &self.personal, personal::<U>, &mut answers).await?;
        #[cfg(feature = "oauth-server")]
        find_kind::<U>(conn, tokens, BearerKind::Client, &self.client, client::<U>, &mut answers).await?;
        Ok(answers)
    }
}

/// Finds the tokens of one kind. A row that can't be read is an error only for its own token.
async fn find_kind<U: AuthUser>(
    conn: &mut Connection<U>,
    tokens: &[BearerKey],
    kind: BearerKind,
    batch: &Batch,
    token: impl Fn(&Row<U>) -> sqlx::Result<BearerToken> + Send + Sync,
    answers: &mut [sqlx::Result<Option<StoredBearer<U>>>],
) -> sqlx::Result<()> {
    let hashes: Vec<TokenHash> = tokens.iter().filter(|key| key.kind == kind).map(|key| key.hash).collect();
    if hashes.is_empty() {
        return Ok(());
    }
    for row in batch.rows::<U::Database>(conn, hashes).await? {
        let Ok(hash) = row.value::<&[u8]>("sigra_token") else { continue };
        let asked = |key: &BearerKey| key.kind == kind && key.hash.as_bytes() == hash;
        for (_, answer) in tokens.iter().zip(answers.iter_mut()).filter(|(key, _)| asked(key)) {
            *answer = read(&row, |row| stored::<U>(row, &token)).map(Some);
        }
    }
    Ok(())
}

fn stored<U: AuthUser>(
    row: &Row<U>,
    token: impl Fn(&Row<U>) -> sqlx::Result<BearerToken>,
) -> sqlx::Result<StoredBearer<U>> {
    let bearer = BearerRow {
        id: row.value("sigra_id")?,
        token: token(row)?,
        permissions: Default::default(),
        mfa_verified: row.value("sigra_mfa_verified")?,
        expires_at: row.optional_time("sigra_expires_at")?,
        last_used_at: row.optional_time("sigra_last_used_at")?,
    };
    Ok(StoredBearer { user: U::Database::user(row)?, row: bearer, permissions: row.value("sigra_permissions")? })
}

fn personal<U: AuthUser>(row: &Row<U>) -> sqlx::Result<BearerToken> {
    Ok(BearerToken::Personal { id: row.value("sigra_id")?, name: row.value("sigra_name")? })
}

#[cfg(feature = "oauth-server")]
fn client<U: AuthUser>(row: &Row<U>) -> sqlx::Result<BearerToken> {
    Ok(BearerToken::Client {
        grant: row.value("sigra_id")?,
        client: row.value("sigra_client")?,
        resource: row.value("sigra_resource")?,
    })
}
