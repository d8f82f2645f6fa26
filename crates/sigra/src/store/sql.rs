//! The statements, written once. The databases differ in a few words, which each fills in.

/// Implements [`Store`](super::Store) for a database.
///
/// * `time`: how a time is bound and read;
/// * `ids`, `tokens`: how a list of them is bound, and how it is matched;
/// * `lock_user`: locks the user's row, named `u`;
/// * `isolation`: the level of the transaction, which `check_isolation` looks at, in a row that was locked;
/// * `skip_locked`: leaves rows alone that another purge has taken;
/// * `feed`, `own_pool`: as in the trait.
macro_rules! impl_store {
    (
        database: $db:ty, connection: $connection:ty, row: $row:ty, begin: $begin:literal,
        time: $to_time:path, $from_time:path, $time:ty,
        ids: $bind_ids:path, $among_ids:literal,
        tokens: $bind_tokens:path, $among_tokens:literal,
        lock_user: $lock_user:literal, check_isolation: $check_isolation:path, isolation: $isolation:literal,
        skip_locked: $skip_locked:literal,
        feed: $feed:ty, own_pool: $own_pool:path $(,)?
    ) => {
        /// The session's columns. Their prefix keeps them apart from the user's.
        macro_rules! session_columns {
            () => {
                "t.id AS sigra_id, t.inserted_at AS sigra_inserted_at, t.issued_at AS sigra_issued_at,
                 t.authenticated_at AS sigra_authenticated_at, t.last_used_at AS sigra_last_used_at,
                 t.authenticated_by AS sigra_authenticated_by,
                 t.mfa_pending AS sigra_mfa_pending, t.mfa_verified_at AS sigra_mfa_verified_at,
                 t.mfa_verified_by AS sigra_mfa_verified_by,
                 t.remembered AS sigra_remembered, t.ip AS sigra_ip, t.user_agent AS sigra_user_agent"
            };
        }

        const LIST: &str = concat!(
            "SELECT ",
            session_columns!(),
            " FROM users_tokens t
             WHERE t.context = 'session' AND t.user_id = $1 AND NOT t.mfa_pending
               AND t.inserted_at > $2 AND t.inserted_at <= $3
             ORDER BY t.last_used_at DESC, t.id DESC LIMIT $4"
        );

        const DELETE_PRESENTED: &str = "DELETE FROM users_tokens
            WHERE context = 'session' AND (series = $2 OR id = $3)
            RETURNING id, user_id,
                (token <> $1 AND (next_token IS NULL OR next_token <> $1) AND issued_at <= $4
                 AND (previous_token <> $1 OR previous_until IS NOT NULL)) AS is_reuse";

        const DELETE_BY_ID: &str =
            "DELETE FROM users_tokens WHERE context = 'session' AND id = $1 AND user_id = $2 RETURNING id";

        const DELETE_ALL: &str = "DELETE FROM users_tokens
            WHERE context = 'session' AND user_id = $1 AND id IS DISTINCT FROM $2 RETURNING id";

        const HAS_SESSION: &str = "SELECT 1 FROM users_tokens WHERE context = 'session' AND id = $1 AND user_id = $2";

        const TOUCH: &str = "UPDATE users_tokens SET last_used_at = $2 WHERE id = $1 AND last_used_at < $2";

        const ISSUE_NEXT: &str = "UPDATE users_tokens SET next_token = $2, next_issued_at = $3
            WHERE context = 'session' AND token = $1 AND (next_issued_at IS NULL OR next_issued_at < $4)";

        const PROMOTE_NEXT: &str = "UPDATE users_tokens
            SET token = next_token, issued_at = $2, previous_token = token, previous_until = $3,
                next_token = NULL, next_issued_at = NULL
            WHERE context = 'session' AND next_token = $1";

        const REPLACE: &str = "UPDATE users_tokens
            SET token = $2, issued_at = $3, last_used_at = $3,
                authenticated_at = coalesce($4, authenticated_at),
                authenticated_by = coalesce($7, authenticated_by),
                mfa_verified_at = coalesce($6, mfa_verified_at), mfa_pending = mfa_pending AND $6 IS NULL,
                mfa_verified_by = coalesce($8, mfa_verified_by),
                previous_token = token, previous_until = NULL, next_token = NULL, next_issued_at = NULL
            WHERE context = 'session' AND id = $1
              AND (token = $5 OR next_token = $5 OR (previous_token = $5 AND previous_until > $3))";

        /// Whoever is first deletes it: no process depends on it.
        const PROBE: &str = "INSERT INTO write_probes (id, filler) VALUES (1, $1)
            ON CONFLICT (id) DO UPDATE SET filler = excluded.filler";

        impl<U> Store<U> for $db
        where
            U: AuthUser + for<'r> FromRow<'r, $row>,
            U::Id: for<'q> Encode<'q, $db> + for<'r> sqlx::Decode<'r, $db> + Type<$db>,
        {
            type Feed = $feed;

            fn own_pool(host: &sqlx::Pool<Self>) -> OwnPool<Self> {
                $own_pool(host)
            }

            async fn begin(pool: &sqlx::Pool<Self>) -> sqlx::Result<sqlx::Transaction<'static, Self>> {
                crate::store::begin::begin(pool, $begin).await
            }

            async fn probe(conn: &mut $connection) -> sqlx::Result<()> {
                sqlx::query(PROBE).bind(vec![0_u8; crate::store::PROBE_SIZE]).execute(&mut *conn).await?;
                sqlx::query("DELETE FROM write_probes WHERE id = 1").execute(conn).await.map(drop)
            }

            async fn find_user(conn: &mut $connection, user: &U::Id) -> sqlx::Result<Option<U>> {
                let find = statement!("SELECT u.* FROM ", U::TABLE, " u WHERE u.id = $1");
                let row = sqlx::query(find).bind(user.clone()).fetch_optional(conn).await?;
                row.map(|row| read(&row, |row| U::from_row(row))).transpose()
            }

            async fn lock_user(conn: &mut $connection, user: &U::Id) -> sqlx::Result<Option<U>> {
                let lock = statement!(
                    "SELECT ",
                    $isolation,
                    " AS sigra_isolation, u.* FROM ",
                    U::TABLE,
                    " u WHERE u.id = $1",
                    $lock_user
                );
                let row = sqlx::query(lock).bind(user.clone()).fetch_optional(conn).await?;
                let Some(row) = row else { return Ok(None) };
                $check_isolation(&row)?;
                read(&row, |row| U::from_row(row)).map(Some)
            }

            async fn lock_users_of(
                conn: &mut $connection,
                tokens: &[SessionHashes],
                session: Option<SessionId>,
                user: Option<&U::Id>,
            ) -> sqlx::Result<()> {
                let lock = statement!(
                    "SELECT 1 FROM ",
                    U::TABLE,
                    " u WHERE u.id = $2 OR u.id IN (SELECT t.user_id FROM users_tokens t
                         WHERE t.context = 'session' AND (t.series ",
                    $among_tokens,
                    " OR t.id = $3)) ORDER BY u.id",
                    $lock_user
                );
                let series: Vec<TokenHash> = tokens.iter().map(|token| token.series).collect();
                let lock = sqlx::query(lock).bind($bind_tokens(&series)).bind(user.cloned()).bind(session);
                lock.fetch_all(conn).await.map(drop)
            }

            async fn lock_both_users(conn: &mut $connection, one: &U::Id, other: &U::Id) -> sqlx::Result<()> {
                let lock = statement!(
                    "SELECT 1 FROM ",
                    U::TABLE,
                    " u WHERE u.id = $1 OR u.id = $2 ORDER BY u.id",
                    $lock_user
                );
                sqlx::query(lock).bind(one.clone()).bind(other.clone()).fetch_all(conn).await.map(drop)
            }

            async fn find_sessions_by_token(
                conn: &mut $connection,
                tokens: &[SessionHashes],
            ) -> sqlx::Result<Vec<sqlx::Result<Option<Found<U>>>>> {
                let find = statement!(
                    "SELECT t.token AS sigra_token, ",
                    session_columns!(),
                    ", u.* FROM users_tokens t JOIN ",
                    U::TABLE,
                    " u ON u.id = t.user_id
                     WHERE t.context = 'session' AND t.token ",
                    $among_tokens
                );
                let mut sessions: Vec<sqlx::Result<Option<Found<U>>>> = tokens.iter().map(|_| Ok(None)).collect();
                let current: Vec<TokenHash> = tokens.iter().map(|token| token.token).collect();
                for row in sqlx::query(find).bind($bind_tokens(&current)).fetch_all(&mut *conn).await? {
                    let Ok(token) = row.try_get::<&[u8], _>("sigra_token") else { continue };
                    let asked = current.iter().zip(&mut sessions).filter(|(asked, _)| asked.as_bytes() == token);
                    let mut asked = asked.map(|(_, answer)| answer);
                    let Some(first) = asked.next() else { continue };
                    let session = found(&row, Standing::Current);
                    for again in asked {
                        *again = session
                            .as_ref()
                            .map_or_else(|_| found(&row, Standing::Current), |found| Ok(found.clone()))
                            .map(Some);
                    }
                    *first = session.map(Some);
                }
                for (token, session) in tokens.iter().zip(&mut sessions).filter(|(_, found)| matches!(found, Ok(None)))
                {
                    *session = find_in_reissue(conn, *token).await?.transpose();
                }
                Ok(sessions)
            }

            async fn has_session(conn: &mut $connection, user: &U::Id, id: SessionId) -> sqlx::Result<bool> {
                let has = sqlx::query(HAS_SESSION).bind(id).bind(user.clone());
                Ok(has.fetch_optional(conn).await?.is_some())
            }

            async fn find_sessions(conn: &mut $connection, ids: &[SessionId]) -> sqlx::Result<Vec<(SessionRow, U)>> {
                let find = statement!(
                    "SELECT ",
                    session_columns!(),
                    ", u.* FROM users_tokens t JOIN ",
                    U::TABLE,
                    " u ON u.id = t.user_id
                     WHERE t.context = 'session' AND t.id ",
                    $among_ids
                );
                let rows = sqlx::query(find).bind($bind_ids(ids)).fetch_all(conn).await?;
                Ok(readable(&rows, "sigra_id", |row| Ok((session_row(row)?, U::from_row(row)?))))
            }

            async fn list_sessions(
                conn: &mut $connection,
                user: &U::Id,
                opened: crate::store::Window,
                limit: i64,
            ) -> sqlx::Result<Vec<SessionRow>> {
                let list = sqlx::query(LIST).bind(user.clone());
                let list = list.bind($to_time(opened.after)).bind($to_time(opened.until)).bind(limit);
                Ok(readable(&list.fetch_all(conn).await?, "sigra_id", session_row))
            }

            async fn insert_session(
                conn: &mut $connection,
                token: SessionHashes,
                new: &NewSession<'_, U>,
            ) -> sqlx::Result<Option<SessionRow>> {
                let insert = statement!(
                    "INSERT INTO users_tokens
                         (id, user_id, context, token, series, previous_token, remembered, ip, user_agent,
                          inserted_at, issued_at, last_used_at, authenticated_at, authenticated_by,
                          mfa_verified_at, mfa_verified_by, mfa_pending)
                     SELECT $1, u.id, 'session', $2, $13, $3, $4, $5, $6, $7, $7, $7, coalesce($10, $7), $11, $10, $12,
                         $10 IS NULL AND ",
                    crate::store::second_factors::has_second_factor!("u.id"),
                    " FROM ",
                    U::TABLE,
                    " u WHERE u.id = $8 AND u.hashed_password IS NOT DISTINCT FROM $9
                     RETURNING mfa_pending"
                );
                let mut session = new.to_row();
                let inserted = sqlx::query_scalar(insert)
                    .bind(session.id)
                    .bind(token.token.as_bytes())
                    .bind(new.replaces.as_ref().map(TokenHash::as_bytes))
                    .bind(session.remembered)
                    .bind(session.ip.map(|ip| ip.to_string()))
                    .bind(session.user_agent.as_deref())
                    .bind($to_time(new.now))
                    .bind(new.user.id())
                    .bind(new.user.hashed_password().map(HashedPassword::as_str))
                    .bind(new.mfa_verified_at.map($to_time))
                    .bind(new.method.map(crate::LogInMethod::name))
                    .bind(new.mfa_verified_by.map(crate::model::second_factor::FactorKind::name))
                    .bind(token.series.as_bytes())
                    .fetch_optional(conn)
                    .await?;
                let Some(mfa_pending) = inserted else { return Ok(None) };
                session.mfa_pending = mfa_pending;
                Ok(Some(session))
            }

            async fn delete_presented_session(
                conn: &mut $connection,
                presented: &crate::store::PresentedToken,
            ) -> sqlx::Result<Vec<crate::store::EndedSession<U::Id>>> {
                let rows = sqlx::query(DELETE_PRESENTED)
                    .bind(presented.token.token.as_bytes())
                    .bind(presented.token.series.as_bytes())
                    .bind(presented.let_in)
                    .bind($to_time(presented.replaced_after))
                    .fetch_all(conn)
                    .await?;
                let ended = |row: &$row| {
                    let id = row.try_get("id")?;
                    let is_reuse = row.try_get::<Option<bool>, _>("is_reuse")? == Some(true);
                    Ok(crate::store::EndedSession {
                        id,
                        user: row.try_get("user_id")?,
                        is_reuse: is_reuse && presented.let_in != Some(id),
                    })
                };
                rows.iter().map(ended).collect()
            }

            async fn delete_session_by_id(
                conn: &mut $connection,
                user: &U::Id,
                id: SessionId,
            ) -> sqlx::Result<Option<SessionId>> {
                sqlx::query_scalar(DELETE_BY_ID).bind(id).bind(user.clone()).fetch_optional(conn).await
            }

            async fn delete_sessions(
                conn: &mut $connection,
                user: &U::Id,
                except: Option<SessionId>,
            ) -> sqlx::Result<Vec<SessionId>> {
                sqlx::query_scalar(DELETE_ALL).bind(user.clone()).bind(except).fetch_all(conn).await
            }

            async fn touch_session(conn: &mut $connection, id: SessionId, now: OffsetDateTime) -> sqlx::Result<()> {
                sqlx::query(TOUCH).bind(id).bind($to_time(now)).execute(conn).await.map(drop)
            }

            async fn issue_next_token(
                conn: &mut $connection,
                current: TokenHash,
                next: TokenHash,
                now: OffsetDateTime,
                not_since: OffsetDateTime,
            ) -> sqlx::Result<bool> {
                let issued = sqlx::query(ISSUE_NEXT)
                    .bind(current.as_bytes())
                    .bind(next.as_bytes())
                    .bind($to_time(now))
                    .bind($to_time(not_since))
                    .execute(conn)
                    .await?;
                Ok(issued.rows_affected() == 1)
            }

            async fn promote_next_token(
                conn: &mut $connection,
                next: TokenHash,
                now: OffsetDateTime,
                previous_until: OffsetDateTime,
            ) -> sqlx::Result<()> {
                sqlx::query(PROMOTE_NEXT)
                    .bind(next.as_bytes())
                    .bind($to_time(now))
                    .bind($to_time(previous_until))
                    .execute(conn)
                    .await
                    .map(drop)
            }

            async fn replace_token(
                conn: &mut $connection,
                id: SessionId,
                held: TokenHash,
                renewal: &crate::store::Renewal,
            ) -> sqlx::Result<bool> {
                let replaced = sqlx::query(REPLACE)
                    .bind(id)
                    .bind(renewal.token.as_bytes())
                    .bind($to_time(renewal.now))
                    .bind(renewal.authenticated_at().map($to_time))
                    .bind(held.as_bytes())
                    .bind(renewal.mfa_verified_at().map($to_time))
                    .bind(renewal.authenticated_by().map(crate::LogInMethod::name))
                    .bind(renewal.mfa_verified_by().map(crate::model::second_factor::FactorKind::name))
                    .execute(conn)
                    .await?;
                Ok(replaced.rows_affected() == 1)
            }

            async fn purge_sessions(conn: &mut $connection, expired: crate::store::Expired) -> sqlx::Result<u64> {
                crate::store::purge::purge!(
                    conn,
                    expired,
                    $to_time,
                    "users_tokens",
                    "id",
                    "context = 'session' AND inserted_at",
                    $skip_locked
                )
            }
        }

        /// Asked only when a token is the current one of no session: it is on its way in or out, or was replaced long
        /// ago. It asks for the current token once more, for the next one may have become it in between.
        async fn find_in_reissue<U>(
            conn: &mut $connection,
            token: SessionHashes,
        ) -> sqlx::Result<Option<sqlx::Result<Found<U>>>>
        where
            U: AuthUser + for<'r> FromRow<'r, $row>,
        {
            let find = statement!(
                "SELECT ",
                session_columns!(),
                ", (t.token = $1) AS sigra_is_current, (t.next_token = $1) AS sigra_is_next,
                     CASE WHEN t.previous_token = $1 THEN t.previous_until END AS sigra_previous_until, u.*
                 FROM users_tokens t JOIN ",
                U::TABLE,
                " u ON u.id = t.user_id
                 WHERE t.context = 'session' AND (t.series = $2 OR t.previous_token = $1)
                 ORDER BY sigra_is_current DESC, sigra_is_next DESC NULLS LAST, sigra_previous_until DESC NULLS LAST
                 LIMIT 1"
            );
            let find = sqlx::query(find).bind(token.token.as_bytes()).bind(token.series.as_bytes());
            let row = find.fetch_optional(conn).await?;
            Ok(row.map(|row| found(&row, read(&row, standing_in_reissue)?)))
        }

        fn standing_in_reissue(row: &$row) -> sqlx::Result<Standing> {
            let is = |column| row.try_get::<Option<bool>, _>(column).map(|is| is == Some(true));
            Ok(match (is("sigra_is_current")?, is("sigra_is_next")?) {
                (true, _) => Standing::Current,
                (_, true) => Standing::Next,
                _ => {
                    let until: Option<$time> = row.try_get("sigra_previous_until")?;
                    Standing::Previous(until.map($from_time).transpose()?)
                }
            })
        }

        fn found<U: for<'r> FromRow<'r, $row>>(row: &$row, standing: Standing) -> sqlx::Result<Found<U>> {
            read(row, |row| Ok(Found { session: session_row(row)?, user: U::from_row(row)?, standing }))
        }

        fn session_row(row: &$row) -> sqlx::Result<SessionRow> {
            let time = |column| row.try_get::<$time, _>(column).and_then($from_time);
            let verified_at: Option<$time> = row.try_get("sigra_mfa_verified_at")?;
            Ok(SessionRow {
                id: row.try_get("sigra_id")?,
                inserted_at: time("sigra_inserted_at")?,
                issued_at: time("sigra_issued_at")?,
                authenticated_at: time("sigra_authenticated_at")?,
                last_used_at: time("sigra_last_used_at")?,
                authenticated_by: row
                    .try_get::<Option<&str>, _>("sigra_authenticated_by")?
                    .map(crate::LogInMethod::from_name),
                mfa_pending: row.try_get("sigra_mfa_pending")?,
                mfa_verified_at: verified_at.map($from_time).transpose()?,
                mfa_verified_by: row
                    .try_get::<Option<&str>, _>("sigra_mfa_verified_by")?
                    .and_then(crate::model::second_factor::FactorKind::from_name),
                remembered: row.try_get("sigra_remembered")?,
                ip: row.try_get::<Option<&str>, _>("sigra_ip")?.and_then(|ip| ip.parse().ok()),
                user_agent: row.try_get("sigra_user_agent")?,
            })
        }
    };
}

pub(super) use impl_store;
