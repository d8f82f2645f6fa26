//! The database: the library's tables, and every statement that reads or writes them.
//!
//! Statements are written once, in functions that are generic over the user's type or over the `Dialect` of the
//! database. Only the library can call them, because what they write must also be audited and announced, and must end
//! sessions: [`Sigra`](crate::Sigra) does that.

#[cfg_attr(
    not(feature = "api-tokens"),
    allow(dead_code, reason = "without the feature, existing tokens are still deleted, and still expire")
)]
pub(crate) mod api_tokens;
pub(crate) mod attempts;
pub(crate) mod audit_log;
pub(crate) mod backup_codes;
mod batch;
#[cfg(feature = "api-tokens")]
mod bearers;
mod begin;
pub(crate) mod browsers;
mod checkpoint;
pub(crate) mod clock;
pub(crate) mod email_tokens;
#[cfg_attr(
    not(feature = "oauth"),
    allow(dead_code, reason = "without the feature, existing identities are still deleted")
)]
pub(crate) mod identities;
#[cfg_attr(
    not(feature = "oauth-server"),
    allow(dead_code, reason = "without the feature, existing rows are still deleted, and still expire")
)]
pub(crate) mod oauth_clients;
#[cfg_attr(
    not(feature = "oauth-server"),
    allow(dead_code, reason = "without the feature, existing rows are still deleted, and still expire")
)]
pub(crate) mod oauth_codes;
#[cfg_attr(
    not(feature = "oauth-server"),
    allow(dead_code, reason = "without the feature, existing rows are still deleted, and still expire")
)]
pub(crate) mod oauth_device_codes;
#[cfg_attr(not(feature = "oauth"), allow(dead_code, reason = "without the feature, existing flows still expire"))]
pub(crate) mod oauth_flows;
#[cfg_attr(
    not(feature = "oauth-server"),
    allow(dead_code, reason = "without the feature, existing rows are still deleted, and still expire")
)]
pub(crate) mod oauth_grants;
#[cfg(feature = "mail")]
pub(crate) mod outgoing_mails;
mod own_pool;
#[cfg_attr(
    not(feature = "passkeys"),
    allow(dead_code, reason = "without the feature, existing passkeys are still deleted, and challenges still expire")
)]
pub(crate) mod passkeys;
#[cfg(feature = "postgres")]
mod postgres;
mod probe;
mod purge;
mod query;
mod reader;
mod row;
pub(crate) mod second_factors;
pub(crate) mod sessions;
#[cfg(feature = "sqlite")]
mod sqlite;
pub(crate) mod totp;
pub(crate) mod users;

pub use self::email_tokens::Sent;
#[cfg(feature = "mail")]
pub(crate) use self::outgoing_mails::KeptMail;
#[cfg(feature = "passkeys")]
pub(crate) use self::passkeys::PasskeyRow;
pub(crate) use self::{
    begin::begin,
    browsers::{Browser, BrowserKind, NewBrowser, Seen},
    checkpoint::checkpoint,
    email_tokens::NewEmailToken,
    own_pool::OwnPool,
    probe::probe,
    users::OtherWays,
};
#[cfg(feature = "oauth-server")]
pub(crate) use self::{
    oauth_clients::RegisteredClientRow,
    oauth_codes::CodeRow,
    oauth_device_codes::{DeviceCodeRow, NewDeviceCode},
    oauth_grants::{FoundGrant, GrantRow, NewAccessToken, Rotation},
};

/// Looks up session tokens.
pub(crate) type SessionReader<U> = reader::Reader<U, sessions::FindByToken<U>>;

/// Looks up bearer tokens.
#[cfg(feature = "api-tokens")]
pub(crate) type BearerReader<U> = reader::Reader<U, bearers::FindBearer<U>>;

#[cfg(feature = "oauth")]
pub(crate) use self::{
    identities::IdentityRow,
    oauth_flows::{FlowRow, NewFlow},
};

/// The library's tables, indexes and trigger, for SQLite. They refer to a table `users` with a column `id`. If your table
/// has [another name](crate::AuthUser::TABLE), replace it. The trigger deletes all of a deleted user's rows, even where
/// foreign keys are off. If you recreate the table of users, create the trigger again.
///
/// The generator writes the schema into the host's migrations. A host without the generator runs it itself.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> sqlx::Result<()> {
/// let pool = sqlx::SqlitePool::connect("sqlite::memory:").await?;
/// sqlx::raw_sql("CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT)").execute(&pool).await?;
/// sqlx::raw_sql(sigra::store::SQLITE_SCHEMA).execute(&pool).await?;
/// # Ok(()) }
/// ```
#[cfg(feature = "sqlite")]
pub const SQLITE_SCHEMA: &str = include_str!("sqlite.sql");

/// The library's tables, indexes and triggers, for PostgreSQL. They refer to a table `users` with a column `id` of type
/// `uuid`. If that column is a `bigint`, replace the type of every `user_id` and `actor_id` too. If your table has
/// [another name](crate::AuthUser::TABLE), replace it.
#[cfg(feature = "postgres")]
pub const POSTGRES_SCHEMA: &str = include_str!("postgres.sql");
