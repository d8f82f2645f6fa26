//! Accounts at providers: `user_identities`.

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{
    query::{Columns as _, query},
    row::{read, readable},
    users::{OtherWays, has_another_way_in},
};
use crate::model::{
    database::Time,
    user::{AuthUser, Connection, Row},
};

/// A row of `user_identities`, without its tokens.
#[derive(Clone, Debug)]
pub(crate) struct IdentityRow<Id> {
    /// The ID of the row.
    pub id: Uuid,
    /// The user.
    pub user: Id,
    /// The name of the provider.
    pub provider: String,
    /// The issuer.
    pub issuer: String,
    /// The ID of the account at the issuer.
    pub subject: String,
    /// The email address at the provider, a label.
    pub email: Option<String>,
    /// When the user last logged in with it.
    pub last_used_at: OffsetDateTime,
    /// When it was linked.
    pub inserted_at: OffsetDateTime,
}

/// A user's tokens of a provider, encrypted, or why the row can't be read.
pub(crate) type SealedTokens = sqlx::Result<(Uuid, Vec<u8>)>;

/// Inserts an identity. Returns `false` if one with this issuer and subject exists.
pub(crate) async fn insert<U: AuthUser>(
    conn: &mut Connection<U>,
    identity: &IdentityRow<U::Id>,
    tokens: Option<&[u8]>,
) -> sqlx::Result<bool> {
    const INSERT: &str = "INSERT INTO user_identities
        (id, user_id, provider, issuer, subject, email, tokens, last_used_at, inserted_at)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (issuer, subject) DO NOTHING";
    let inserted = query::<U::Database>(INSERT)
        .bind(identity.id)
        .bind(identity.user.clone())
        .bind(identity.provider.as_str())
        .bind(identity.issuer.as_str())
        .bind(identity.subject.as_str())
        .bind(identity.email.as_deref())
        .bind(tokens)
        .bind(Time(identity.last_used_at))
        .bind(Time(identity.inserted_at))
        .execute(conn)
        .await?;
    Ok(inserted == 1)
}

/// Returns the identity with an issuer and a subject.
pub(crate) async fn find<U: AuthUser>(
    conn: &mut Connection<U>,
    issuer: &str,
    subject: &str,
) -> sqlx::Result<Option<IdentityRow<U::Id>>> {
    let find = query::<U::Database>("SELECT * FROM user_identities WHERE issuer = $1 AND subject = $2");
    let row = find.bind(issuer).bind(subject).fetch_optional(conn).await?;
    row.map(|row| read(&row, identity_row::<U>)).transpose()
}

/// Returns the readable identities of a user, the oldest first.
pub(crate) async fn list<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<Vec<IdentityRow<U::Id>>> {
    const LIST: &str = "SELECT * FROM user_identities WHERE user_id = $1 ORDER BY inserted_at, id";
    let rows = query::<U::Database>(LIST).bind(user.clone()).fetch_all(conn).await?;
    Ok(readable(&rows, "id", identity_row::<U>))
}

/// Returns an identity of a user.
pub(crate) async fn find_of<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    id: Uuid,
) -> sqlx::Result<Option<IdentityRow<U::Id>>> {
    let find = query::<U::Database>("SELECT * FROM user_identities WHERE id = $1 AND user_id = $2");
    let row = find.bind(id).bind(user.clone()).fetch_optional(conn).await?;
    row.map(|row| read(&row, identity_row::<U>)).transpose()
}

/// Returns how many identities a user has.
pub(crate) async fn count<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<i64> {
    let count = query::<U::Database>("SELECT count(*) AS linked FROM user_identities WHERE user_id = $1");
    count.bind(user.clone()).fetch_one(conn).await?.value("linked")
}

fn identity_row<U: AuthUser>(row: &Row<U>) -> sqlx::Result<IdentityRow<U::Id>> {
    Ok(IdentityRow {
        id: row.value("id")?,
        user: row.value("user_id")?,
        provider: row.value("provider")?,
        issuer: row.value("issuer")?,
        subject: row.value("subject")?,
        email: row.value("email")?,
        last_used_at: row.time("last_used_at")?,
        inserted_at: row.time("inserted_at")?,
    })
}

/// Records that a user proved an identity, with what the provider says now. Returns whether it is still theirs. Tokens
/// stay if there are no new ones.
pub(crate) async fn note_use<U: AuthUser>(
    conn: &mut Connection<U>,
    identity: &IdentityRow<U::Id>,
    tokens: Option<&[u8]>,
) -> sqlx::Result<bool> {
    const USE: &str = "UPDATE user_identities
        SET provider = $3, email = $4, tokens = coalesce($5, tokens), last_used_at = $6
        WHERE id = $1 AND user_id = $2";
    let used = query::<U::Database>(USE)
        .bind(identity.id)
        .bind(identity.user.clone())
        .bind(identity.provider.as_str())
        .bind(identity.email.as_deref())
        .bind(tokens)
        .bind(Time(identity.last_used_at))
        .execute(conn)
        .await?;
    Ok(used == 1)
}

/// Deletes an identity of a user who has another way to log in: a password, a passkey, another identity of a provider
/// that the host still has, or links. Returns whether it was deleted. The user's row must be locked, or another way
/// could be removed at the same moment.
pub(crate) async fn delete_unless_last<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    id: Uuid,
    ways: OtherWays<'_>,
) -> sqlx::Result<bool> {
    let delete =
        format!("DELETE FROM user_identities WHERE id = $1 AND user_id = $2 AND {}", has_another_way_in::<U>());
    let delete = query::<U::Database>(AssertSqlSafe(delete)).bind(id).bind(user.clone());
    Ok(delete.bind(ways.links).bind(ways.passkeys).bind(ways.provider_list()).execute(conn).await? == 1)
}

/// Deletes the identities of a user. Returns how many there were.
pub(crate) async fn delete_all<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<u64> {
    let delete = query::<U::Database>("DELETE FROM user_identities WHERE user_id = $1").bind(user.clone());
    delete.execute(conn).await
}

/// Returns the encrypted tokens of a user's identity.
pub(crate) async fn find_tokens<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    id: Uuid,
) -> sqlx::Result<Option<Vec<u8>>> {
    let find = query::<U::Database>("SELECT tokens FROM user_identities WHERE id = $1 AND user_id = $2");
    let row = find.bind(id).bind(user.clone()).fetch_optional(conn).await?;
    row.map_or(Ok(None), |row| row.value("tokens"))
}

/// Returns up to `limit` identities and tokens that don't start with `unlike`, ordered by ID: those that follow
/// `after`, without the first `skip` of them. A row that can't be read is an error only for itself.
pub(crate) async fn find_sealed<U: AuthUser>(
    conn: &mut Connection<U>,
    unlike: &[u8],
    after: Option<&Uuid>,
    skip: i64,
    limit: i64,
) -> sqlx::Result<Vec<SealedTokens>> {
    const FIND: &str = "SELECT id, tokens FROM user_identities
        WHERE tokens IS NOT NULL AND substr(tokens, 1, length($1)) <> $1 AND ($3 IS NULL OR id > $3)
        ORDER BY id LIMIT $2 OFFSET $4";
    let find = query::<U::Database>(FIND).bind(unlike).bind(limit).bind(after.copied()).bind(skip);
    let rows = find.fetch_all(conn).await?;
    let sealed = |row: &Row<U>| Ok((row.value("id")?, row.value("tokens")?));
    Ok(rows.iter().map(|row| read(row, sealed)).collect())
}

/// Replaces encrypted tokens with others.
pub(crate) async fn replace_tokens<U: AuthUser>(
    conn: &mut Connection<U>,
    id: Uuid,
    old: &[u8],
    new: &[u8],
) -> sqlx::Result<()> {
    let replace = query::<U::Database>("UPDATE user_identities SET tokens = $3 WHERE id = $1 AND tokens = $2");
    replace.bind(id).bind(old).bind(new).execute(conn).await.map(drop)
}
