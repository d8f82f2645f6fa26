//! The audit trail: what happened to whose account, when, and from where (OWASP ASVS 16.2, 16.3).
//!
//! An event is written in the transaction of what it records, so that there is never one without the other.
//! The library writes those of its own functions; a host adds its own with [`AuditTrail::record`](crate::audit::AuditTrail::record), and shows them
//! to the user with [`AuditTrail::list`](crate::audit::AuditTrail::list). No event holds a token, a password, a hash or a code. Events are
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

use std::time::Duration;

use uuid::Uuid;

use crate::{
    base::error::Error,
    model::{
        client::Client,
        user::{AuthUser, Connection},
    },
    sigra::{Sigra, handle},
    store,
};

pub use crate::model::audit::{
    Audit, AuditEvent, BACKUP_CODES_REGENERATED, BROWSER_DISTRUSTED, BROWSER_TRUSTED, CONFIRMED, DELETED,
    DELETION_CANCELLED, DELETION_SCHEDULED, EMAIL_CHANGE_REQUESTED, EMAIL_CHANGED, LOG_IN_LINK_REQUESTED,
    LOGIN_FAILURE, LOGIN_SUCCESS, LOGOUT, MFA_CHALLENGED, MFA_FAILURE, PASSKEY_ADDED, PASSKEY_REMOVED,
    PASSWORD_CHANGED, PASSWORD_RESET, PASSWORD_RESET_REQUESTED, REAUTHENTICATION_SUCCESS, RECOVERED, REGISTERED,
    SESSION_REVOKED, TOKEN_REUSED, TOTP_DISABLED, TOTP_ENABLED,
};

handle! {
    /// The audit trail. From [`Sigra::audit`].
    AuditTrail,
    /// What happened to accounts: the [audit trail](crate::audit).
    audit
}

/// The audit trail.
impl<U: AuthUser> AuditTrail<'_, U> {
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
    ///     sigra.audit().record(&mut tx, &Audit::new("admin.granted").of(user).by(by)).await?;
    ///     tx.commit().await?;
    ///     sigra.sessions().announce_change(&user);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn record(self, conn: &mut Connection<U>, audit: &Audit<U::Id>) -> Result<(), Error> {
        Ok(store::audit_log::insert::<U>(conn, audit, self.sigra.now()).await?)
    }

    /// Writes an event that anybody can cause, as often as they like: a password that was wrong, say. Within an hour of
    /// one like it, of the same account, action and address, that one's `times` is counted up in its metadata. Events
    /// of nobody's account, whose number nothing else bounds, are counted together, whatever their address. Either way
    /// there is one write.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn record_repeatable(self, conn: &mut Connection<U>, audit: &Audit<U::Id>) -> Result<(), Error> {
        let mut audit = audit.clone();
        if audit.user.is_none() {
            audit.client = Client::default();
        }
        let since = self.sigra.now() - REPEATED;
        match store::audit_log::find_like::<U>(&mut *conn, &audit, since).await? {
            Some(mut like) => {
                like.metadata["times"] = like.times().saturating_add(1).into();
                Ok(store::audit_log::update_metadata::<U>(conn, like.id, &like.metadata).await?)
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
    pub async fn list(self, user: &U::Id, before: Option<Uuid>, limit: u32) -> Result<Vec<AuditEvent<U::Id>>, Error> {
        let mut conn = self.sigra.pool().acquire().await?;
        Ok(store::audit_log::list::<U>(&mut conn, user, before, limit.into()).await?)
    }
}

/// For so long an event that is repeated is counted, and not written again.
const REPEATED: Duration = Duration::from_secs(60 * 60);
