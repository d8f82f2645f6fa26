//! The audit trail: what happened to whose account, when, and from where (OWASP ASVS 16.2, 16.3).
//!
//! An event is written in the transaction of what it records, so that there is never one without the other.
//! The library writes those of its own functions; a host adds its own with [`Sigra::record`], and shows them
//! to the user with [`Sigra::list_audit_events`]. No event holds a token, a password, a hash or a code. Events are
//! deleted after [a year](crate::Config::audit_retention), unless said otherwise.
//!
//! | action | when |
//! |---|---|
//! | [`LOGIN_SUCCESS`], [`LOGIN_FAILURE`], [`LOGOUT`], [`MFA_CHALLENGED`], [`MFA_FAILURE`], [`REAUTHENTICATION_SUCCESS`], [`SESSION_REVOKED`], [`TOKEN_REUSED`] | as in [`telemetry`](crate::telemetry) |
//! | [`REGISTERED`] | an account was made |
//! | [`CONFIRMED`] | an email address was confirmed |
//! | [`PASSWORD_CHANGED`], [`PASSWORD_RESET`] | a password was changed, or reset by a link |
//! | [`PASSWORD_RESET_REQUESTED`], [`LOG_IN_LINK_REQUESTED`] | a link was sent |
//! | [`EMAIL_CHANGE_REQUESTED`], [`EMAIL_CHANGED`] | an address is to be changed, and was |
//! | [`TOTP_ENABLED`], [`TOTP_DISABLED`], [`PASSKEY_ADDED`], [`PASSKEY_REMOVED`], [`BACKUP_CODES_REGENERATED`] | a second factor was set up or given up: written by the library |
//! | [`BROWSER_TRUSTED`], [`BROWSER_DISTRUSTED`] | a browser needs no second factor, or does again: written by the library |
//! | [`RECOVERED`] | an account was taken back by the link of a mail about what its owner had not done: written by the library |
//! | [`DELETION_SCHEDULED`], [`DELETION_CANCELLED`], [`DELETED`] | an account is to be deleted, or not after all, or was |

use std::{borrow::Cow, time::Duration};

use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

/// What the log tells, and the audit trail keeps.
pub use crate::telemetry::{
    LOGIN_FAILURE, LOGIN_SUCCESS, LOGOUT, MFA_CHALLENGED, MFA_FAILURE, REAUTHENTICATION_SUCCESS, SESSION_REVOKED,
    TOKEN_REUSED,
};
use crate::{AuthUser, Client, Error, Sigra, sigra::Connection, store::AuditLog};

/// An account was made.
pub const REGISTERED: &str = "auth.account.registered";
/// An email address was confirmed.
pub const CONFIRMED: &str = "auth.account.confirmed";
/// A password was changed by its owner.
pub const PASSWORD_CHANGED: &str = "auth.password.changed";
/// A password was reset by a link.
pub const PASSWORD_RESET: &str = "auth.password.reset";
/// A link to reset a password was sent.
pub const PASSWORD_RESET_REQUESTED: &str = "auth.password.reset_requested";
/// A link to log in was sent.
pub const LOG_IN_LINK_REQUESTED: &str = "auth.login.link_requested";
/// A link to change an email address was sent.
pub const EMAIL_CHANGE_REQUESTED: &str = "auth.email.change_requested";
/// An email address was changed.
pub const EMAIL_CHANGED: &str = "auth.email.changed";
/// An account was taken back by a link that was sent to its owner.
pub const RECOVERED: &str = "auth.account.recovered";
/// An account will be deleted.
pub const DELETION_SCHEDULED: &str = "auth.account.deletion_scheduled";
/// An account will not be deleted after all.
pub const DELETION_CANCELLED: &str = "auth.account.deletion_cancelled";
/// An account was deleted.
pub const DELETED: &str = "auth.account.deleted";

/// An authenticator app was set up.
pub const TOTP_ENABLED: &str = "auth.mfa.totp_enabled";
/// An authenticator app was given up.
pub const TOTP_DISABLED: &str = "auth.mfa.totp_disabled";
/// A passkey was added.
pub const PASSKEY_ADDED: &str = "auth.mfa.passkey_added";
/// A passkey was removed.
pub const PASSKEY_REMOVED: &str = "auth.mfa.passkey_removed";
/// New backup codes took the place of the old ones.
pub const BACKUP_CODES_REGENERATED: &str = "auth.mfa.backup_codes_regenerated";
/// A browser is trusted without a second factor.
pub const BROWSER_TRUSTED: &str = "auth.mfa.browser_trusted";
/// A browser is trusted no longer.
pub const BROWSER_DISTRUSTED: &str = "auth.mfa.browser_distrusted";

/// For so long an event that is repeated is counted, and not written again.
const REPEATED: Duration = Duration::from_secs(60 * 60);

/// An event to be recorded.
///
/// ```
/// use sigra::{Client, audit::{self, Audit}};
///
/// let client = Client::default();
/// let audit = Audit::new(audit::PASSWORD_CHANGED).of(7_i64).by(7).from(&client);
/// # let _ = audit;
/// ```
#[derive(Clone, Debug)]
pub struct Audit<Id> {
    pub(crate) action: Cow<'static, str>,
    pub(crate) user: Option<Id>,
    pub(crate) actor: Option<Id>,
    pub(crate) client: Client,
    pub(crate) metadata: Value,
}

impl<Id> Audit<Id> {
    /// An event of nobody's.
    #[must_use]
    pub fn new(action: impl Into<Cow<'static, str>>) -> Self {
        let metadata = Value::Object(serde_json::Map::new());
        Self { action: action.into(), user: None, actor: None, client: Client::default(), metadata }
    }

    /// Whose account it concerns.
    #[must_use]
    pub fn of(mut self, user: impl Into<Option<Id>>) -> Self {
        self.user = user.into();
        self
    }

    /// Who did it, where that is known: a user, or someone of the host's staff.
    #[must_use]
    pub fn by(mut self, actor: impl Into<Option<Id>>) -> Self {
        self.actor = actor.into();
        self
    }

    /// From where.
    #[must_use]
    pub fn from(mut self, client: &Client) -> Self {
        self.client = client.clone();
        self
    }

    /// What else is to be kept, as a JSON object. No secrets.
    #[must_use]
    pub fn with(mut self, metadata: Value) -> Self {
        self.metadata = metadata;
        self
    }
}

/// What a user did to their own account.
pub(crate) fn own_event<Id: Clone>(action: &'static str, user: &Id, client: &Client) -> Audit<Id> {
    Audit::new(action).of(user.clone()).by(user.clone()).from(client)
}

/// A row of `audit_events`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AuditEvent<Id> {
    /// Ascends with time. The oldest of a page is where the [next page](Sigra::list_audit_events) begins.
    pub id: Uuid,
    /// What happened, such as `auth.login.success`.
    pub action: String,
    /// Whose account it concerns.
    pub user: Option<Id>,
    /// Who did it, where that is known.
    pub actor: Option<Id>,
    /// From where.
    pub client: Client,
    /// What else was kept.
    pub metadata: Value,
    /// When.
    pub inserted_at: OffsetDateTime,
}

impl<Id> AuditEvent<Id> {
    /// How often it happened, if it was [repeated](Sigra::record_repeatable) within the hour.
    #[must_use]
    pub fn times(&self) -> u64 {
        self.metadata["times"].as_u64().unwrap_or(1)
    }
}

/// The audit trail.
impl<U: AuthUser> Sigra<U> {
    /// Writes an event, in the transaction of what it records.
    ///
    /// ```
    /// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
    /// # impl sigra::AuthUser for User {
    /// #     type Id = i64; type Database = sqlx::Sqlite;
    /// #     fn id(&self) -> i64 { self.id }
    /// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// # }
    /// use sigra::audit::Audit;
    ///
    /// async fn make_admin(sigra: &sigra::Sigra<User>, user: i64, by: i64) -> sigra::Result<()> {
    ///     let mut tx = sigra.begin().await?;
    ///     sqlx::query("UPDATE users SET admin = true WHERE id = $1").bind(user).execute(&mut *tx).await?;
    ///     sigra.record(&mut tx, &Audit::new("admin.granted").of(user).by(by)).await?;
    ///     tx.commit().await?;
    ///     sigra.announce_user(&user);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn record(&self, conn: &mut Connection<U>, audit: &Audit<U::Id>) -> Result<(), Error> {
        Ok(<U::Database as AuditLog<U>>::insert_audit_event(conn, audit, self.now()).await?)
    }

    /// Writes an event that anybody can cause, as often as they like: a password that was wrong, say. Within an hour of
    /// one like it, of the same account, action and address, that one's `times` is counted up in its metadata. Events
    /// of nobody's account, whose number nothing else bounds, are counted together, whatever their address. Either way
    /// there is one write.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn record_repeatable(&self, conn: &mut Connection<U>, audit: &Audit<U::Id>) -> Result<(), Error> {
        let mut audit = audit.clone();
        if audit.user.is_none() {
            audit.client = Client::default();
        }
        let since = self.now() - REPEATED;
        match <U::Database as AuditLog<U>>::find_audit_event_like(&mut *conn, &audit, since).await? {
            Some(mut like) => {
                like.metadata["times"] = like.times().saturating_add(1).into();
                Ok(<U::Database as AuditLog<U>>::update_audit_metadata(conn, like.id, &like.metadata).await?)
            }
            None => self.record(conn, &audit).await,
        }
    }

    /// The events of a user's account, the newest first, at most so many. Pages go on before the last event of
    /// the one before.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn list_audit_events(
        &self,
        user: &U::Id,
        before: Option<Uuid>,
        limit: u32,
    ) -> Result<Vec<AuditEvent<U::Id>>, Error> {
        let mut conn = self.pool().acquire().await?;
        Ok(<U::Database as AuditLog<U>>::list_audit_events(&mut conn, user, before, limit.into()).await?)
    }
}
