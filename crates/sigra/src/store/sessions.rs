//! Sessions: the rows of `users_tokens` whose context is `session`.

use std::{collections::HashMap, marker::PhantomData};

use sqlx::AssertSqlSafe;
use time::OffsetDateTime;

use super::{
    batch::Batch,
    purge::purge_rows,
    query::{Columns as _, InOrder, query},
    reader::{Answers, Lookup},
    row::{read, readable},
    second_factors::has_second_factor,
};
use crate::{
    base::token::{SessionHashes, TokenHash},
    model::{
        binding::{Binding, BindingKey},
        database::{Dialect, Reads as _, Time},
        log_in::LoginMethod,
        scope::{Found, Scope},
        second_factor::FactorKind,
        session::{EndedSession, NewSession, PresentedToken, Renewal, SessionId, SessionRow, Standing},
        user::{AuthUser, Connection, HashedPassword, Row},
        window::{Expired, Window},
    },
};

/// The columns of a session, which [`session_row`] reads by their place: finding each of them by name would take a
/// tenth of the time of a lookup. Their prefix distinguishes them from the user's columns.
const COLUMNS: &str = "t.id AS sigra_id, t.inserted_at AS sigra_inserted_at, t.issued_at AS sigra_issued_at,
    t.authenticated_at AS sigra_authenticated_at, t.last_used_at AS sigra_last_used_at,
    t.authenticated_by AS sigra_authenticated_by, t.mfa_pending AS sigra_mfa_pending,
    t.mfa_verified_at AS sigra_mfa_verified_at, t.mfa_verified_by AS sigra_mfa_verified_by,
    t.remembered AS sigra_remembered, t.ip AS sigra_ip, t.user_agent AS sigra_user_agent,
    t.binding_key AS sigra_binding_key, t.bound_at AS sigra_bound_at, t.confirmed_at AS sigra_confirmed_at,
    t.misused_at AS sigra_misused_at";

/// Finds the sessions that tokens belong to. It runs for every request that the cache can't serve, so the text of its
/// statements is built once.
pub(crate) struct FindByToken<U> {
    current: Batch,
    in_reissue: Batch,
    user: PhantomData<fn() -> U>,
}

impl<U: AuthUser> Lookup<U> for FindByToken<U> {
    type Key = SessionHashes;
    type Found = Found<U>;

    fn new(max: usize) -> Self {
        let users = U::TABLE;
        let current = Batch::new::<U::Database>(max, |asked, matches| {
            format!(
                "SELECT {COLUMNS}, t.token AS sigra_token, u.*
                 FROM {asked} users_tokens t JOIN {users} u ON u.id = t.user_id
                 WHERE t.context = 'session' AND t.token {matches}"
            )
        });
        let in_reissue = Batch::of_sessions::<U::Database>(max, |asked| {
            let select = format!(
                "SELECT {COLUMNS}, asked.token AS sigra_asked, (t.token = asked.token) AS sigra_is_current,
                     (t.next_token = asked.token) AS sigra_is_next,
                     CASE WHEN t.previous_token = asked.token THEN t.previous_until END AS sigra_previous_until, u.*
                 FROM {asked} users_tokens t JOIN {users} u ON u.id = t.user_id"
            );
            // Many logins can have replaced one token, so the subquery returns only one of their sessions. It has no
            // condition on the context: SQLite would search all sessions by that, instead of by the token.
            format!(
                "{select} WHERE t.context = 'session' AND t.series = asked.series
                 UNION ALL
                 {select} WHERE t.context = 'session' AND t.id = (
                     SELECT s.id FROM users_tokens s WHERE s.previous_token = asked.token
                     ORDER BY s.previous_until DESC NULLS LAST LIMIT 1)"
            )
        });
        Self { current, in_reissue, user: PhantomData }
    }

    /// Finds the session that each token belongs to, and its user, in one query if all tokens are current, and
    /// otherwise in two. A row that can't be read is an error only for its own token.
    async fn find(&self, conn: &mut Connection<U>, tokens: &[SessionHashes]) -> Answers<Found<U>> {
        let mut sessions: Vec<sqlx::Result<Option<Found<U>>>> = tokens.iter().map(|_| Ok(None)).collect();
        let current = tokens.iter().map(|token| token.token).collect();
        for row in self.current.rows::<U::Database>(conn, current).await? {
            let Ok(token) = row.value::<&[u8]>("sigra_token") else { continue };
            answer(tokens, &mut sessions, token, || found(&row, Standing::Current));
        }
        // The others belong to no session, are being issued, or were replaced.
        let others = tokens.iter().zip(&sessions).filter(|(_, found)| matches!(found, Ok(None)));
        let others: Vec<SessionHashes> = others.map(|(token, _)| *token).collect();
        if !others.is_empty() {
            let rows = self.in_reissue.rows_of_sessions::<U::Database>(conn, others).await?;
            for (token, row) in best_of(&rows) {
                answer(tokens, &mut sessions, token, || found(row, read(row, standing_in_reissue::<U>)?));
            }
        }
        Ok(sessions)
    }
}

/// Answers all lookups of a token.
fn answer<U: AuthUser>(
    tokens: &[SessionHashes],
    sessions: &mut [sqlx::Result<Option<Found<U>>>],
    token: &[u8],
    found: impl Fn() -> sqlx::Result<Found<U>>,
) {
    let asked = tokens.iter().zip(sessions).filter(|(asked, _)| asked.token.as_bytes() == token);
    let mut asked = asked.map(|(_, answer)| answer);
    let Some(first) = asked.next() else { return };
    let session = found();
    for again in asked {
        *again = session.as_ref().map_or_else(|_| found(), |found| Ok(found.clone())).map(Some);
    }
    *first = session.map(Some);
}

/// Returns the row that decides about each token: of the session whose current token it is, because the next token may
/// have become current since the first query, whose next token it is, or whose previous one it was the longest.
fn best_of<R: sqlx::Row<Database: Dialect>>(rows: &[R]) -> HashMap<&[u8], &R> {
    let rank = |row: &R| {
        let is = |column| matches!(row.value::<Option<bool>>(column), Ok(Some(true)));
        let until = row.optional_time("sigra_previous_until").ok().flatten();
        (is("sigra_is_current"), is("sigra_is_next"), until)
    };
    let mut best = HashMap::new();
    for row in rows {
        let Ok(token) = row.value::<&[u8]>("sigra_asked") else { continue };
        let known = best.entry(token).or_insert(row);
        if rank(row) > rank(known) {
            *known = row;
        }
    }
    best
}

fn standing_in_reissue<U: AuthUser>(row: &Row<U>) -> sqlx::Result<Standing> {
    let is = |column| row.value::<Option<bool>>(column).map(|is| is == Some(true));
    Ok(match (is("sigra_is_current")?, is("sigra_is_next")?) {
        (true, _) => Standing::Current,
        (_, true) => Standing::Next,
        _ => Standing::Previous(row.optional_time("sigra_previous_until")?),
    })
}

fn found<U: AuthUser>(row: &Row<U>, standing: Standing) -> sqlx::Result<Found<U>> {
    read(row, |row| Ok(Found { scope: Scope::new(U::Database::user(row)?, session_row::<U>(row)?), standing }))
}

/// Reads the session in a row that begins with [`COLUMNS`].
fn session_row<U: AuthUser>(row: &Row<U>) -> sqlx::Result<SessionRow> {
    let mut columns = InOrder::of(row);
    // The fields are read in this order, which is that of the columns.
    Ok(SessionRow {
        id: columns.value()?,
        inserted_at: columns.time()?,
        issued_at: columns.time()?,
        authenticated_at: columns.time()?,
        last_used_at: columns.time()?,
        authenticated_by: columns.value::<Option<&str>>()?.map(LoginMethod::from_name),
        mfa_pending: columns.value()?,
        mfa_verified_at: columns.optional_time()?,
        mfa_verified_by: columns.value::<Option<&str>>()?.and_then(FactorKind::from_name),
        remembered: columns.value()?,
        ip: columns.value::<Option<&str>>()?.and_then(|ip| ip.parse().ok()),
        user_agent: columns.value()?,
        binding: binding(&mut columns)?,
    })
}

/// Reads the binding of a session. A key that isn't one is an error, so that its session isn't taken for an unbound
/// one.
fn binding<R: sqlx::Row<Database: Dialect>>(columns: &mut InOrder<'_, R>) -> sqlx::Result<Option<Binding>> {
    let Some(key) = columns.value::<Option<&[u8]>>()? else { return Ok(None) };
    let key = key.try_into().map_err(|_| sqlx::Error::Decode("a binding key has the wrong length".into()))?;
    Ok(Some(Binding {
        key: BindingKey::new(key),
        bound_at: columns.time()?,
        confirmed_at: columns.optional_time()?,
        misused_at: columns.optional_time()?,
    }))
}

/// Returns whether a user's session still exists.
pub(crate) async fn exists<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id, id: SessionId) -> sqlx::Result<bool> {
    const FIND: &str = "SELECT 1 FROM users_tokens WHERE context = 'session' AND id = $1 AND user_id = $2";
    let find = query::<U::Database>(FIND).bind(id).bind(user.clone());
    Ok(find.fetch_optional(conn).await?.is_some())
}

/// Returns those of the sessions that exist and can be read, with their users.
pub(crate) async fn find<U: AuthUser>(
    conn: &mut Connection<U>,
    ids: &[SessionId],
) -> sqlx::Result<Vec<(SessionRow, U)>> {
    let find = format!(
        "SELECT {COLUMNS}, u.*
         FROM users_tokens t JOIN {users} u ON u.id = t.user_id
         WHERE t.context = 'session' AND t.id {in_list}",
        users = U::TABLE,
        in_list = U::Database::IN_LIST,
    );
    let rows = query::<U::Database>(AssertSqlSafe(find)).bind_ids(ids).fetch_all(conn).await?;
    Ok(readable(&rows, "sigra_id", |row| Ok((session_row::<U>(row)?, U::Database::user(row)?))))
}

/// Returns up to `limit` readable sessions of a user that were opened within a time and are not pending, the most
/// recently used first.
pub(crate) async fn list<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    opened: Window,
    limit: i64,
) -> sqlx::Result<Vec<SessionRow>> {
    let list = query::<U::Database>(AssertSqlSafe(list_statement())).bind(user.clone());
    let list = list.bind(Time(opened.after)).bind(Time(opened.until)).bind(limit);
    Ok(readable(&list.fetch_all(conn).await?, "sigra_id", session_row::<U>))
}

/// The time has no index in an expression. Otherwise, SQLite would search all sessions by it, instead of the user's.
fn list_statement() -> String {
    const OPENED_AT: &str = "coalesce(t.inserted_at, t.issued_at)";
    format!(
        "SELECT {COLUMNS} FROM users_tokens t
         WHERE t.context = 'session' AND t.user_id = $1 AND NOT t.mfa_pending
           AND {OPENED_AT} > $2 AND {OPENED_AT} <= $3
         ORDER BY t.last_used_at DESC, t.id DESC LIMIT $4"
    )
}

/// Inserts a session. Returns `None` if the user was deleted or their password has changed.
pub(crate) async fn insert<U: AuthUser>(
    conn: &mut Connection<U>,
    token: SessionHashes,
    new: &NewSession<'_, U>,
) -> sqlx::Result<Option<SessionRow>> {
    let insert = format!(
        "INSERT INTO users_tokens
             (id, user_id, context, token, series, previous_token, remembered, ip, user_agent,
              inserted_at, issued_at, last_used_at, authenticated_at, authenticated_by,
              mfa_verified_at, mfa_verified_by, mfa_pending)
         SELECT $1, u.id, 'session', $2, $13, $3, $4, $5, $6, $7, $7, $7, coalesce($10, $7), $11, $10, $12,
             $10 IS NULL AND {has_second_factor}
         FROM {users} u WHERE u.id = $8 AND u.hashed_password IS NOT DISTINCT FROM $9
         RETURNING mfa_pending",
        has_second_factor = has_second_factor("u.id"),
        users = U::TABLE,
    );
    let mut session = new.to_row();
    let inserted = query::<U::Database>(AssertSqlSafe(insert))
        .bind(session.id)
        .bind(token.token.as_bytes())
        .bind(new.replaces.as_ref().map(TokenHash::as_bytes))
        .bind(session.remembered)
        .bind(session.ip.map(|ip| ip.to_string()))
        .bind(session.user_agent.as_deref())
        .bind(Time(new.now))
        .bind(new.user.id())
        .bind(new.user.hashed_password().map(HashedPassword::as_str))
        .bind(new.mfa_verified_at.map(Time))
        .bind(new.method.map(LoginMethod::name))
        .bind(new.mfa_verified_by.map(FactorKind::name))
        .bind(token.series.as_bytes())
        .fetch_optional(conn)
        .await?;
    let Some(inserted) = inserted else { return Ok(None) };
    session.mfa_pending = inserted.value("mfa_pending")?;
    Ok(Some(session))
}

/// Deletes the session that a presented token belongs to, or belonged to before it was replaced, and the session that
/// authenticated the request.
pub(crate) async fn delete_presented<U: AuthUser>(
    conn: &mut Connection<U>,
    presented: &PresentedToken,
) -> sqlx::Result<Vec<EndedSession<U::Id>>> {
    const DELETE: &str = "DELETE FROM users_tokens
        WHERE context = 'session' AND (series = $2 OR id = $3)
        RETURNING id, user_id,
            (token <> $1 AND (next_token IS NULL OR next_token <> $1) AND issued_at <= $4
             AND (previous_token <> $1 OR previous_until IS NOT NULL)) AS is_reuse";
    let rows = query::<U::Database>(DELETE)
        .bind(presented.token.token.as_bytes())
        .bind(presented.token.series.as_bytes())
        .bind(presented.authenticated)
        .bind(Time(presented.replaced_after))
        .fetch_all(conn)
        .await?;
    let ended = |row: &Row<U>| {
        let id = row.value("id")?;
        let is_reuse = row.value::<Option<bool>>("is_reuse")? == Some(true);
        Ok(EndedSession { id, user: row.value("user_id")?, is_reuse: is_reuse && presented.authenticated != Some(id) })
    };
    rows.iter().map(ended).collect()
}

/// Deletes one session of this user.
pub(crate) async fn delete_by_id<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    id: SessionId,
) -> sqlx::Result<Option<SessionId>> {
    const DELETE: &str = "DELETE FROM users_tokens WHERE context = 'session' AND id = $1 AND user_id = $2 RETURNING id";
    let deleted = query::<U::Database>(DELETE).bind(id).bind(user.clone()).fetch_optional(conn).await?;
    deleted.map(|row| row.value("id")).transpose()
}

/// Deletes all sessions of the user, or all except one. Returns their IDs. A row whose ID can't be read is deleted too:
/// it has never opened a live connection.
pub(crate) async fn delete<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
    except: Option<SessionId>,
) -> sqlx::Result<Vec<SessionId>> {
    const DELETE: &str = "DELETE FROM users_tokens
        WHERE context = 'session' AND user_id = $1 AND id IS DISTINCT FROM $2 RETURNING id";
    let deleted = query::<U::Database>(DELETE).bind(user.clone()).bind(except).fetch_all(conn).await?;
    Ok(readable(&deleted, "id", |row| row.value("id")))
}

/// Deletes the sessions of a user whose second factor is pending.
pub(crate) async fn delete_pending<U: AuthUser>(
    conn: &mut Connection<U>,
    user: &U::Id,
) -> sqlx::Result<Vec<SessionId>> {
    const DELETE: &str = "DELETE FROM users_tokens
        WHERE context = 'session' AND user_id = $1 AND mfa_pending RETURNING id";
    let deleted = query::<U::Database>(DELETE).bind(user.clone()).fetch_all(conn).await?;
    Ok(readable(&deleted, "id", |row| row.value("id")))
}

/// Records that a session is in use.
pub(crate) async fn touch<U: AuthUser>(
    conn: &mut Connection<U>,
    id: SessionId,
    now: OffsetDateTime,
) -> sqlx::Result<()> {
    const TOUCH: &str = "UPDATE users_tokens SET last_used_at = $2 WHERE id = $1 AND last_used_at < $2";
    query::<U::Database>(TOUCH).bind(id).bind(Time(now)).execute(conn).await.map(drop)
}

/// Issues `next` next to the current token, unless another was issued after `not_since`. Returns whether it did.
pub(crate) async fn issue_next_token<U: AuthUser>(
    conn: &mut Connection<U>,
    current: TokenHash,
    next: TokenHash,
    now: OffsetDateTime,
    not_since: OffsetDateTime,
) -> sqlx::Result<bool> {
    const ISSUE: &str = "UPDATE users_tokens SET next_token = $2, next_issued_at = $3
        WHERE context = 'session' AND token = $1 AND (next_issued_at IS NULL OR next_issued_at < $4)";
    let issue = query::<U::Database>(ISSUE).bind(current.as_bytes()).bind(next.as_bytes());
    Ok(issue.bind(Time(now)).bind(Time(not_since)).execute(conn).await? == 1)
}

/// Makes the next token the current one. The earlier one stays valid until `previous_until`.
pub(crate) async fn promote_next_token<U: AuthUser>(
    conn: &mut Connection<U>,
    next: TokenHash,
    now: OffsetDateTime,
    previous_until: OffsetDateTime,
) -> sqlx::Result<()> {
    const PROMOTE: &str = "UPDATE users_tokens
        SET token = next_token, issued_at = $2, previous_token = token, previous_until = $3,
            next_token = NULL, next_issued_at = NULL
        WHERE context = 'session' AND next_token = $1";
    let promote = query::<U::Database>(PROMOTE).bind(next.as_bytes()).bind(Time(now)).bind(Time(previous_until));
    promote.execute(conn).await.map(drop)
}

/// Replaces a session's token at once, if `held` is still valid. Returns whether it did.
pub(crate) async fn replace_token<U: AuthUser>(
    conn: &mut Connection<U>,
    id: SessionId,
    held: TokenHash,
    renewal: &Renewal,
) -> sqlx::Result<bool> {
    const REPLACE: &str = "UPDATE users_tokens
        SET token = $2, issued_at = $3, last_used_at = $3,
            authenticated_at = coalesce($4, authenticated_at),
            authenticated_by = coalesce($7, authenticated_by),
            mfa_verified_at = coalesce($6, mfa_verified_at), mfa_pending = mfa_pending AND $6 IS NULL,
            mfa_verified_by = coalesce($8, mfa_verified_by),
            previous_token = token, previous_until = NULL, next_token = NULL, next_issued_at = NULL
        WHERE context = 'session' AND id = $1
          AND (token = $5 OR next_token = $5 OR (previous_token = $5 AND previous_until > $3))";
    let replaced = query::<U::Database>(REPLACE)
        .bind(id)
        .bind(renewal.token.as_bytes())
        .bind(Time(renewal.now))
        .bind(renewal.authenticated_at().map(Time))
        .bind(held.as_bytes())
        .bind(renewal.mfa_verified_at().map(Time))
        .bind(renewal.authenticated_by().map(LoginMethod::name))
        .bind(renewal.mfa_verified_by().map(FactorKind::name))
        .execute(conn)
        .await?;
    Ok(replaced == 1)
}

/// Binds a session to a key by a challenge that was offered at a time. Returns whether it did. It doesn't if the
/// session is bound to another key, unless no browser ever presented its bound cookie and the offer is newer.
#[cfg(feature = "device-bound")]
pub(crate) async fn bind<U: AuthUser>(
    conn: &mut Connection<U>,
    id: SessionId,
    binding: &Binding,
    offered_at: OffsetDateTime,
) -> sqlx::Result<bool> {
    const BIND: &str = "UPDATE users_tokens SET binding_key = $2, bound_at = $3
        WHERE context = 'session' AND id = $1 AND NOT mfa_pending
          AND (binding_key IS NULL OR (confirmed_at IS NULL AND (binding_key = $2 OR bound_at < $4)))";
    let bind = query::<U::Database>(BIND).bind(id).bind(binding.key.point().as_slice());
    Ok(bind.bind(Time(binding.bound_at)).bind(Time(offered_at)).execute(conn).await? == 1)
}

/// Records that a browser presented the bound cookie of a session and its key. Returns whether it is the first time.
#[cfg(feature = "device-bound")]
pub(crate) async fn confirm_binding<U: AuthUser>(
    conn: &mut Connection<U>,
    id: SessionId,
    key: &BindingKey,
    now: OffsetDateTime,
) -> sqlx::Result<bool> {
    const CONFIRM: &str = "UPDATE users_tokens SET confirmed_at = $3
        WHERE context = 'session' AND id = $1 AND binding_key = $2 AND confirmed_at IS NULL";
    let confirm = query::<U::Database>(CONFIRM).bind(id).bind(key.point().as_slice());
    Ok(confirm.bind(Time(now)).execute(conn).await? == 1)
}

/// Records that a bound session's token was used without the key. Returns whether it is the first time.
#[cfg(feature = "device-bound")]
pub(crate) async fn note_misuse<U: AuthUser>(
    conn: &mut Connection<U>,
    id: SessionId,
    now: OffsetDateTime,
) -> sqlx::Result<bool> {
    const NOTE: &str = "UPDATE users_tokens SET misused_at = $2
        WHERE context = 'session' AND id = $1 AND binding_key IS NOT NULL AND misused_at IS NULL";
    Ok(query::<U::Database>(NOTE).bind(id).bind(Time(now)).execute(conn).await? == 1)
}

/// Removes the second factor from the sessions of a user who has none anymore.
pub(crate) async fn forget_second_factor<U: AuthUser>(conn: &mut Connection<U>, user: &U::Id) -> sqlx::Result<()> {
    const FORGET: &str = "UPDATE users_tokens SET mfa_verified_at = NULL, mfa_verified_by = NULL
        WHERE context = 'session' AND user_id = $1 AND mfa_verified_at IS NOT NULL";
    query::<U::Database>(FORGET).bind(user.clone()).execute(conn).await.map(drop)
}

/// Deletes a batch of sessions that were opened before a time.
pub(crate) async fn purge<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    purge_rows::<DB>(conn, "users_tokens", "id", "context = 'session' AND inserted_at <= $1", expired).await
}

/// Deletes a batch of sessions whose second factor is pending, and that were opened before a time.
pub(crate) async fn purge_pending<DB: Dialect>(conn: &mut DB::Connection, expired: Expired) -> sqlx::Result<u64> {
    purge_rows::<DB>(conn, "users_tokens", "id", "mfa_pending AND inserted_at <= $1", expired).await
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use sqlx::{Row as _, SqlitePool};

    use super::*;
    use crate::{
        base::token::SessionToken,
        store::{query::tests::STATEMENTS, schema, users::lock_owners_statement},
    };

    #[derive(Clone, sqlx::FromRow)]
    struct User {
        id: i64,
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

    async fn explained(conn: &mut sqlx::SqliteConnection, column: &'static str, statement: String) -> Vec<String> {
        let plan = sqlx::query(AssertSqlSafe(statement)).fetch_all(conn).await.expect("a plan");
        plan.iter().map(|row| row.get(column)).collect()
    }

    async fn database() -> sqlx::pool::PoolConnection<sqlx::Sqlite> {
        let pool = SqlitePool::connect("sqlite::memory:").await.expect("a database");
        let mut conn = pool.acquire().await.expect("a connection");
        sqlx::raw_sql("CREATE TABLE users (id INTEGER PRIMARY KEY)").execute(&mut *conn).await.expect("a table");
        sqlx::raw_sql(schema::SQLITE).execute(&mut *conn).await.expect("tables");
        conn
    }

    /// Every visitor with an old cookie presents one.
    #[tokio::test]
    async fn any_number_of_dead_tokens_takes_two_statements() {
        let mut conn = database().await;
        let find = FindByToken::<User>::new(64);
        let dead: Vec<SessionHashes> =
            (0..64).map(|_| SessionToken::generate().expect("randomness").hashes()).collect();
        for tokens in [dead.clone(), vec![dead[0]; 64], vec![dead[0]]] {
            STATEMENTS.set(0);
            let found = find.find(&mut conn, &tokens).await.expect("answers");
            assert!(found.len() == tokens.len() && found.iter().all(|found| matches!(found, Ok(None))));
            assert_eq!(STATEMENTS.get(), 2);
        }
    }

    #[tokio::test]
    async fn on_sqlite_a_lookup_of_replaced_tokens_seeks_each_in_the_indexes() {
        let mut conn = database().await;
        for statement in FindByToken::<User>::new(64).in_reissue.statements {
            let plan = explained(&mut conn, "detail", format!("EXPLAIN QUERY PLAN {statement}")).await;
            for seek in [
                "SEARCH t USING INDEX users_tokens_series (series=?)",
                "SEARCH t USING INDEX sqlite_autoindex_users_tokens_1 (id=?)",
                "SEARCH s USING INDEX users_tokens_previous_token (previous_token=?)",
            ] {
                assert!(plan.iter().any(|step| step == seek), "{seek}: {plan:?}");
            }
        }
    }

    #[tokio::test]
    async fn on_sqlite_no_statement_searches_the_sessions_of_all_users() {
        let mut conn = database().await;
        for (statement, seeks) in [
            (list_statement(), &["SEARCH t USING INDEX users_tokens_user_id_context (user_id=? AND context=?)"][..]),
            (
                lock_owners_statement::<User>(),
                &[
                    "SEARCH t USING INDEX users_tokens_series (series=?)",
                    "SEARCH t USING INDEX sqlite_autoindex_users_tokens_1 (id=?)",
                ],
            ),
        ] {
            let plan = explained(&mut conn, "detail", format!("EXPLAIN QUERY PLAN {statement}")).await;
            assert!(seeks.iter().all(|seek| plan.iter().any(|step| step == seek)), "{plan:?}");
            assert!(!plan.iter().any(|step| step.contains("(context=?")), "{plan:?}");
        }
    }

    #[tokio::test]
    async fn on_sqlite_a_lookup_seeks_each_token_in_the_index_without_a_temporary_table() {
        let mut conn = database().await;
        let statements = FindByToken::<User>::new(64).current.statements;
        assert_eq!(statements.len(), 7, "for 1, 2, 4, ... 64 tokens");
        for statement in statements {
            let plan = explained(&mut conn, "detail", format!("EXPLAIN QUERY PLAN {statement}")).await;
            let seek = "SEARCH t USING INDEX users_tokens_context_token (context=? AND token=?)";
            assert!(plan.iter().any(|step| step == seek), "{plan:?}");
            assert!(plan.iter().any(|step| step.starts_with("SEARCH u USING INTEGER PRIMARY KEY")), "{plan:?}");
            let program = explained(&mut conn, "opcode", format!("EXPLAIN {statement}")).await;
            assert!(!program.iter().any(|opcode| opcode == "OpenEphemeral"), "{program:?}");
        }
    }
}
