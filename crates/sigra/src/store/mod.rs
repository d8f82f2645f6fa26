//! The one place with SQL. A [`Store`] knows the library's tables and joins the host's users; it knows no HTTP.

mod attempts;
mod audit_log;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod begin;
mod browsers;
mod email_tokens;
mod outgoing_mails;
mod own_pool;
mod passkeys;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod purge;
mod reader;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod row;
mod second_factors;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "postgres", feature = "sqlite"))]
mod statement;

use std::{
    future::Future,
    net::IpAddr,
    ops::{Deref, DerefMut},
    time::Duration,
};

use time::OffsetDateTime;
use uuid::Uuid;

#[doc(hidden)]
pub use self::own_pool::OwnPool;
pub(crate) use self::reader::Reader;
pub use self::{
    attempts::Attempts,
    audit_log::AuditLog,
    browsers::{Browser, BrowserKind, Browsers, NewBrowser, Seen},
    email_tokens::{EmailTokens, NewEmailToken, Sent},
    outgoing_mails::{KeptMail, OutgoingMails},
    passkeys::{PasskeyRow, Passkeys},
    second_factors::{SealedTotp, SecondFactors, TotpRow},
};
use crate::{
    AuthUser, Client, Config, LogInMethod,
    clock::{earlier, later},
    feed::Feed,
    limits::CLOCK_SKEW,
    mfa::FactorKind,
    token::{SessionHashes, TokenHash},
};

/// `last_used_at` is written at most this often.
const TOUCH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// Bytes that are written to see whether there is room: more than any request writes.
#[cfg(any(feature = "postgres", feature = "sqlite"))]
const PROBE_SIZE: usize = 64 * 1024;

/// The library's tables with their indexes, for SQLite. They refer to a table `users` with a column `id`; where yours
/// has [another name](AuthUser::TABLE), replace that.
///
/// The generator writes it into the host's migrations; a host without the generator runs it itself.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> sqlx::Result<()> {
/// let pool = sqlx::SqlitePool::connect("sqlite::memory:").await?;
/// sqlx::raw_sql("CREATE TABLE users (id INTEGER PRIMARY KEY)").execute(&pool).await?;
/// sqlx::raw_sql(sigra::store::SQLITE_SCHEMA).execute(&pool).await?;
/// # Ok(()) }
/// ```
#[cfg(feature = "sqlite")]
pub const SQLITE_SCHEMA: &str = include_str!("sqlite.sql");

/// The library's tables with their indexes, for PostgreSQL. They refer to a table `users` with a column `id` of type
/// `uuid`; where that is `bigint`, replace the type of every `user_id` and `actor_id` too, and where the table has
/// [another name](AuthUser::TABLE), the name.
#[cfg(feature = "postgres")]
pub const POSTGRES_SCHEMA: &str = include_str!("postgres.sql");

/// Names a session: on the devices page, to its live connections, in the log. It is the row's id, and
/// proves nothing.
pub type SessionId = Uuid;

/// A row of `users_tokens` whose context is `session`, without its tokens.
///
/// ```
/// # use sigra::SessionRow;
/// fn describe(session: &SessionRow) -> String {
///     format!("{} since {}", session.device(), session.inserted_at)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionRow {
    /// The row's id.
    pub id: SessionId,
    /// When the user logged in. The session's age counts from here.
    pub inserted_at: OffsetDateTime,
    /// When the current token was issued.
    pub issued_at: OffsetDateTime,
    /// When the user last proved who they are.
    pub authenticated_at: OffsetDateTime,
    /// How they logged in; [`LogInMethod::Password`] too once they have shown it to confirm that it is them. `None`
    /// for a session that was opened without a browser.
    pub authenticated_by: Option<LogInMethod>,
    /// Whether the user has shown their first factor only: such a session leads nowhere but to the
    /// [challenge](crate::mfa).
    pub mfa_pending: bool,
    /// When the user last showed a second factor: in this session, or before the browser was trusted that it was
    /// opened in.
    pub mfa_verified_at: Option<OffsetDateTime>,
    /// Which second factor they showed last. To set one up is not to show it.
    pub mfa_verified_by: Option<FactorKind>,
    /// When the session was last used, to within five minutes.
    pub last_used_at: OffsetDateTime,
    /// Whether the user asked to be remembered.
    pub remembered: bool,
    /// The address it was opened from.
    pub ip: Option<IpAddr>,
    /// The browser it was opened in.
    pub user_agent: Option<String>,
}

impl SessionRow {
    /// The browser and system in words: `Firefox on Linux`.
    #[must_use]
    pub fn device(&self) -> String {
        crate::client::Device::from_user_agent(self.user_agent.as_deref().unwrap_or_default()).to_string()
    }

    /// Whether the user may set a new password without showing the one before (OWASP ASVS 6.2.3): they have shown
    /// it in this session, or two other proofs. A link alone proves a mailbox, and a passkey alone a device; neither is
    /// the password. For who is in [sudo mode](crate::Sudo).
    #[must_use]
    pub fn may_set_password(&self) -> bool {
        let is_passkey = |method: LogInMethod| method.name() == "passkey";
        match (self.authenticated_by, self.mfa_verified_by) {
            (Some(LogInMethod::Password), _) => true,
            (Some(method), Some(FactorKind::Passkey)) if is_passkey(method) => false,
            (_, factor) => factor.is_some(),
        }
    }

    /// When the session ends by itself if it is not used again.
    pub(crate) fn expires_at(&self, config: &Config) -> OffsetDateTime {
        if self.mfa_pending {
            return later(self.inserted_at, config.mfa_challenge_ttl.min(config.session_ttl));
        }
        let absolute = later(self.inserted_at, config.session_ttl);
        match config.session_idle_timeout {
            Some(idle) if !self.remembered => absolute.min(later(self.last_used_at, idle)),
            _ => absolute,
        }
    }

    pub(crate) fn is_live(&self, config: &Config, now: OffsetDateTime) -> bool {
        now < self.expires_at(config) && !self.is_ahead(config, now)
    }

    /// Whether a wrong clock has written what its life is counted from. It may also be the clock here, so the row is not
    /// to be deleted for that.
    pub(crate) fn is_ahead(&self, config: &Config, now: OffsetDateTime) -> bool {
        let counts_idle_time = config.session_idle_timeout.is_some() && !self.remembered && !self.mfa_pending;
        self.inserted_at > latest(now) || (counts_idle_time && self.last_used_at > latest(now))
    }

    /// Until when there is nothing to do about it.
    pub(crate) fn fresh_until(&self, config: &Config) -> OffsetDateTime {
        self.expires_at(config).min(self.reissue_at(config)).min(self.touch_at(config))
    }

    /// Whether its token is so old that a fresh one should take its place.
    pub(crate) fn is_due_for_reissue(&self, config: &Config, now: OffsetDateTime) -> bool {
        now >= self.reissue_at(config) || self.issued_at > latest(now)
    }

    /// Whether it is time to note that it is in use.
    pub(crate) fn is_due_for_touch(&self, config: &Config, now: OffsetDateTime) -> bool {
        now >= self.touch_at(config)
    }

    fn reissue_at(&self, config: &Config) -> OffsetDateTime {
        later(self.issued_at, config.session_reissue_age)
    }

    fn touch_at(&self, config: &Config) -> OffsetDateTime {
        let interval = config.session_idle_timeout.map_or(TOUCH_INTERVAL, |idle| TOUCH_INTERVAL.min(idle / 4));
        later(self.last_used_at, interval)
    }

    /// What a clock that was ahead has noted is not recent.
    pub(crate) fn authenticated_within(&self, age: Duration, now: OffsetDateTime) -> bool {
        self.authenticated_at <= latest(now) && now < later(self.authenticated_at, age)
    }
}

/// Sessions of a user: the first hundred, and whether there are more.
///
/// ```
/// # use sigra::store::Sessions;
/// fn note(sessions: &Sessions) -> &'static str {
///     if sessions.has_more { "These are the devices that you used last." } else { "These are all of your devices." }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sessions {
    sessions: Vec<SessionRow>,
    /// Whether there are more than these.
    pub has_more: bool,
}

impl Sessions {
    /// As many as anybody reads. A user may have any number.
    pub const MOST: usize = 100;

    pub(crate) fn first_of(mut sessions: Vec<SessionRow>) -> Self {
        let has_more = sessions.len() > Self::MOST;
        sessions.truncate(Self::MOST);
        Self { sessions, has_more }
    }
}

impl Deref for Sessions {
    type Target = Vec<SessionRow>;

    fn deref(&self) -> &Vec<SessionRow> {
        &self.sessions
    }
}

impl DerefMut for Sessions {
    fn deref_mut(&mut self) -> &mut Vec<SessionRow> {
        &mut self.sessions
    }
}

impl IntoIterator for Sessions {
    type Item = SessionRow;
    type IntoIter = std::vec::IntoIter<SessionRow>;

    fn into_iter(self) -> Self::IntoIter {
        self.sessions.into_iter()
    }
}

/// How a token relates to the row it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the row's token.
    Current,
    /// It was issued to replace the row's token, and is seen for the first time.
    Next,
    /// It was the session's token, whenever that was, or one that a login took the place of. After a reissue it is good
    /// until the given time; after a login, a privilege change or a second reissue, never.
    Previous(Option<OffsetDateTime>),
}

/// A session's row, its user, and how the token stands to it.
#[derive(Clone, Debug)]
pub struct Found<U> {
    /// The session.
    pub session: SessionRow,
    /// Its user.
    pub user: U,
    /// How the token stands to the session.
    pub standing: Standing,
}

/// A session to be stored.
#[derive(Clone, Debug)]
pub struct NewSession<'a, U: AuthUser> {
    /// Whose it is. The row is written only if the user still has this password hash.
    pub user: &'a U,
    /// Whether the user asked to be remembered.
    pub remembered: bool,
    /// From where.
    pub client: &'a Client,
    /// When.
    pub now: OffsetDateTime,
    /// A token that this login takes the place of.
    pub replaces: Option<TokenHash>,
    /// How the user proved who they are.
    pub method: Option<LogInMethod>,
    /// When the user showed a second factor, if they did. If not, and they have one, it is pending.
    pub mfa_verified_at: Option<OffsetDateTime>,
    /// Which it was.
    pub mfa_verified_by: Option<FactorKind>,
}

impl<'a, U: AuthUser> NewSession<'a, U> {
    pub(crate) fn of(user: &'a U, remembered: bool, client: &'a Client, now: OffsetDateTime) -> Self {
        Self {
            user,
            remembered,
            client,
            now,
            replaces: None,
            method: None,
            mfa_verified_at: None,
            mfa_verified_by: None,
        }
    }

    /// The row that it becomes, under an id of its own.
    pub(crate) fn to_row(&self) -> SessionRow {
        SessionRow {
            id: Uuid::now_v7(),
            inserted_at: self.now,
            issued_at: self.now,
            authenticated_at: self.mfa_verified_at.unwrap_or(self.now),
            authenticated_by: self.method,
            mfa_pending: false,
            mfa_verified_at: self.mfa_verified_at,
            mfa_verified_by: self.mfa_verified_by,
            last_used_at: self.now,
            remembered: self.remembered,
            ip: self.client.ip,
            user_agent: self.client.user_agent.clone(),
        }
    }
}

/// What becomes of a session that gets a new token at once.
#[derive(Clone, Copy, Debug)]
pub struct Renewal {
    /// The hash of the new token.
    pub token: TokenHash,
    /// When.
    pub now: OffsetDateTime,
    /// What the user has proved with it.
    pub proof: Option<Proof>,
}

/// What a user proves in a session that they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Once more who they are, by their password.
    Password,
    /// Who they are, by a second factor: it is no longer pending.
    SecondFactor(FactorKind),
    /// That they have set a second factor up.
    Enrolment,
}

impl Renewal {
    /// When the user proved once more who they are, if they did.
    pub(crate) fn authenticated_at(&self) -> Option<OffsetDateTime> {
        matches!(self.proof, Some(Proof::Password | Proof::SecondFactor(_))).then_some(self.now)
    }

    /// When the user has had a second factor, if they did not before.
    pub(crate) fn mfa_verified_at(&self) -> Option<OffsetDateTime> {
        matches!(self.proof, Some(Proof::SecondFactor(_) | Proof::Enrolment)).then_some(self.now)
    }

    pub(crate) fn authenticated_by(&self) -> Option<LogInMethod> {
        (self.proof == Some(Proof::Password)).then_some(LogInMethod::Password)
    }

    pub(crate) fn mfa_verified_by(&self) -> Option<FactorKind> {
        match self.proof {
            Some(Proof::SecondFactor(kind)) => Some(kind),
            _ => None,
        }
    }
}

/// A token that a browser presents while it logs out, or logs in again: its session is to end.
#[derive(Clone, Copy, Debug)]
pub struct PresentedToken {
    /// Its hashes.
    pub token: SessionHashes,
    /// The session that the request was let in under, whatever has become of its token since.
    pub let_in: Option<SessionId>,
    /// What was replaced after this moment may have crossed the request on its way: nobody has a copy for that.
    pub replaced_after: OffsetDateTime,
}

/// A session that was ended by who presented a token of it.
#[derive(Clone, Copy, Debug)]
pub struct EndedSession<Id> {
    /// Which.
    pub id: SessionId,
    /// Whose.
    pub user: Id,
    /// Whether the token had been replaced so long ago that nobody should hold it: either who sent it, or who goes on
    /// with the token that replaced it, has a copy (RFC 9700 section 4.14). Not if a renewal has replaced it, and nothing
    /// since: the answer may have been lost.
    pub is_reuse: bool,
}

/// Milliseconds since the Unix epoch, where a column holds no time.
pub(crate) fn to_ms(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
}

#[cfg(feature = "sqlite")]
fn from_ms(ms: i64) -> sqlx::Result<OffsetDateTime> {
    row::in_range(OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000).ok())
}

/// A row was locked in a transaction whose next statement does not see what its lock has waited for.
#[derive(Debug, thiserror::Error)]
#[error("the transaction is {0}, and locks need READ COMMITTED")]
#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "SQLite has one level"))]
pub(crate) struct WrongIsolation(pub String);

impl From<WrongIsolation> for sqlx::Error {
    fn from(wrong: WrongIsolation) -> Self {
        Self::Configuration(Box::new(wrong))
    }
}

/// When a row must be from to be good now: not so long ago that its time is over, and no further ahead than clocks that
/// are right may differ. What a wrong clock has written, or a time such as `infinity`, would be good for ever.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    /// Those from after this time.
    pub after: OffsetDateTime,
    /// Those from no later than this.
    pub until: OffsetDateTime,
}

impl Window {
    pub(crate) fn of(ttl: Duration, now: OffsetDateTime) -> Self {
        Self { after: earlier(now, ttl), until: latest(now) }
    }
}

/// The latest time that a clock which is right may show by now.
pub(crate) fn latest(now: OffsetDateTime) -> OffsetDateTime {
    later(now, CLOCK_SKEW)
}

/// What is to be deleted of rows that are over.
#[derive(Clone, Copy, Debug)]
pub struct Expired {
    /// Those from before.
    pub before: OffsetDateTime,
    /// At most so many.
    pub limit: i64,
}

/// A database that can hold sessions. Implemented for `sqlx::Sqlite` and `sqlx::Postgres`; not meant to be implemented
/// elsewhere.
///
/// Every function is one statement, or runs in the caller's transaction.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't store the sessions of `{U}`",
    note = "`{U}` must implement `sqlx::FromRow` (derive it), and `AuthUser::Id` must be a type that `{Self}` can store"
)]
pub trait Store<U: AuthUser>:
    EmailTokens<U> + AuditLog<U> + SecondFactors<U> + Passkeys<U> + Browsers<U> + Attempts + OutgoingMails
{
    /// What tells of changes.
    #[doc(hidden)]
    type Feed: Feed<Database = Self>;

    /// A pool for the library's own use, that connects as the host's does.
    #[doc(hidden)]
    fn own_pool(host: &sqlx::Pool<Self>) -> OwnPool<Self>;

    /// Writes as much as a request may, and deletes it again: whether there is room, and the database takes it.
    fn probe(conn: &mut Self::Connection) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Starts a transaction that may write.
    fn begin(pool: &sqlx::Pool<Self>) -> impl Future<Output = sqlx::Result<sqlx::Transaction<'static, Self>>> + Send;

    /// The user as they are now.
    fn find_user(conn: &mut Self::Connection, user: &U::Id) -> impl Future<Output = sqlx::Result<Option<U>>> + Send;

    /// The same, and until the end of the transaction nobody else logs them in, answers a challenge of theirs, ends
    /// their sessions, or changes what they log in with. An error in a transaction of another isolation level than
    /// that relies on.
    fn lock_user(conn: &mut Self::Connection, user: &U::Id) -> impl Future<Output = sqlx::Result<Option<U>>> + Send;

    /// Locks the users whose session a token is of, or was, or that has an id, and one more, in the order of their
    /// ids. Who is to end sessions of several users does so first, lest two wait for each other.
    fn lock_users_of(
        conn: &mut Self::Connection,
        tokens: &[SessionHashes],
        session: Option<SessionId>,
        user: Option<&U::Id>,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Locks two users, in the order of their ids.
    fn lock_both_users(
        conn: &mut Self::Connection,
        one: &U::Id,
        other: &U::Id,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Finds the session that each token belongs to, and its user. One query, if all of them are current. A row that
    /// can't be read is the error of its own token.
    fn find_sessions_by_token(
        conn: &mut Self::Connection,
        tokens: &[SessionHashes],
    ) -> impl Future<Output = sqlx::Result<Vec<sqlx::Result<Option<Found<U>>>>>> + Send;

    /// Whether a user's session still exists.
    fn has_session(
        conn: &mut Self::Connection,
        user: &U::Id,
        id: SessionId,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Finds which of these sessions still exist and can be read, and their users.
    fn find_sessions(
        conn: &mut Self::Connection,
        ids: &[SessionId],
    ) -> impl Future<Output = sqlx::Result<Vec<(SessionRow, U)>>> + Send;

    /// The user's sessions that can be read, were opened within a time and are not pending, the last used first: at most
    /// so many.
    fn list_sessions(
        conn: &mut Self::Connection,
        user: &U::Id,
        opened: Window,
        limit: i64,
    ) -> impl Future<Output = sqlx::Result<Vec<SessionRow>>> + Send;

    /// Writes a session. `None` if the user is gone or has another password by now.
    fn insert_session(
        conn: &mut Self::Connection,
        token: SessionHashes,
        new: &NewSession<'_, U>,
    ) -> impl Future<Output = sqlx::Result<Option<SessionRow>>> + Send;

    /// Deletes the session that a presented token belongs to, or belonged to before it was replaced, and the one that
    /// the request was let in under.
    fn delete_presented_session(
        conn: &mut Self::Connection,
        presented: &PresentedToken,
    ) -> impl Future<Output = sqlx::Result<Vec<EndedSession<U::Id>>>> + Send;

    /// Deletes one session of this user.
    fn delete_session_by_id(
        conn: &mut Self::Connection,
        user: &U::Id,
        id: SessionId,
    ) -> impl Future<Output = sqlx::Result<Option<SessionId>>> + Send;

    /// Deletes the user's sessions, all or all but one.
    fn delete_sessions(
        conn: &mut Self::Connection,
        user: &U::Id,
        except: Option<SessionId>,
    ) -> impl Future<Output = sqlx::Result<Vec<SessionId>>> + Send;

    /// Notes that a session is in use.
    fn touch_session(
        conn: &mut Self::Connection,
        id: SessionId,
        now: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Issues `next` beside the current token, unless another was issued after `not_since`. Tells
    /// whether it did.
    fn issue_next_token(
        conn: &mut Self::Connection,
        current: TokenHash,
        next: TokenHash,
        now: OffsetDateTime,
        not_since: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Makes the next token the current one; the one before stays good until `previous_until`.
    fn promote_next_token(
        conn: &mut Self::Connection,
        next: TokenHash,
        now: OffsetDateTime,
        previous_until: OffsetDateTime,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;

    /// Replaces a session's token at once, for one who still holds a good one. Tells whether it did.
    fn replace_token(
        conn: &mut Self::Connection,
        id: SessionId,
        held: TokenHash,
        renewal: &Renewal,
    ) -> impl Future<Output = sqlx::Result<bool>> + Send;

    /// Deletes at most so many sessions that were opened before a time.
    fn purge_sessions(conn: &mut Self::Connection, expired: Expired) -> impl Future<Output = sqlx::Result<u64>> + Send;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_password_takes_the_one_before_or_two_other_proofs() {
        let may = |method, factor| {
            let client = Client::default();
            let now = OffsetDateTime::UNIX_EPOCH;
            SessionRow {
                id: Uuid::nil(),
                inserted_at: now,
                issued_at: now,
                authenticated_at: now,
                authenticated_by: method,
                mfa_pending: false,
                mfa_verified_at: None,
                mfa_verified_by: factor,
                last_used_at: now,
                remembered: false,
                ip: client.ip,
                user_agent: None,
            }
            .may_set_password()
        };
        let [password, link, passkey, other] =
            ["password", "link", "passkey", "corporate_sso"].map(|name| Some(LogInMethod::from_name(name)));
        assert!(may(password, None) && may(password, Some(FactorKind::Passkey)));
        for method in [None, link, passkey, other] {
            assert!(!may(method, None), "{method:?}");
            assert!(may(method, Some(FactorKind::Totp)), "{method:?}");
        }
        assert!(may(link, Some(FactorKind::Passkey)));
        #[cfg(feature = "passkeys")]
        assert!(!may(passkey, Some(FactorKind::Passkey)), "that is one thing, shown twice");
    }
}
