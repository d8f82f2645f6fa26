//! The audit trail: which events happened to which account, when, and from where (OWASP ASVS 16.2, 16.3).
//!
//! An event is written in the transaction of the change that it records, so that neither exists without the other. The
//! library writes the events of its own functions. A host adds its own with
//! [`AuditTrail::record_in`](crate::audit::AuditTrail::record_in), and shows events to the user with
//! [`AuditTrail::list`](crate::audit::AuditTrail::list). No event has a token, a password, a hash or a code. Events are
//! deleted after [365 days](crate::Config::audit_retention) by default.
//!
//! | action | when |
//! |---|---|
//! | [`LOGIN_SUCCESS`], [`LOGIN_FAILURE`], [`LOGOUT`], [`MFA_CHALLENGED`], [`MFA_FAILURE`], [`REAUTHENTICATION_SUCCESS`], [`SESSION_REVOKED`], [`TOKEN_REUSED`], [`USED_WITHOUT_KEY`] | as in [`telemetry`](crate::telemetry) |
//! | [`ACCOUNT_REGISTERED`] | an account was created |
//! | [`ACCOUNT_CONFIRMED`] | an email address was confirmed |
//! | [`PASSWORD_CHANGED`], [`PASSWORD_RESET`] | a password was changed, or reset by a link |
//! | [`PASSWORD_RESET_REQUESTED`], [`LOGIN_LINK_REQUESTED`] | a link was sent |
//! | [`EMAIL_CHANGE_REQUESTED`], [`EMAIL_CHANGED`] | a new email address was requested, or took effect |
//! | [`TOTP_ENABLED`], [`TOTP_DISABLED`], [`PASSKEY_ADDED`], [`PASSKEY_REMOVED`], [`BACKUP_CODES_REGENERATED`] | a second factor was set up, removed or replaced: written by the library |
//! | [`IDENTITY_LINKED`], [`IDENTITY_UNLINKED`] | an account at a provider was linked or unlinked: written by the library |
//! | [`API_TOKEN_CREATED`], [`API_TOKEN_REVOKED`] | a personal access token was created or revoked, or all of an account were revoked: written by the library |
//! | [`PROGRAM_AUTHORIZED`], [`PROGRAM_REVOKED`] | a program got access by OAuth, or its access was ended: written by the library |
//! | [`PROGRAM_REFUSED`] | a program presented an authorization code that was issued for something else, so somebody has a copy of it: written by the library |
//! | [`PROGRAM_TOKEN_REUSED`] | somebody has a copy of a program's token, so its access was ended: written by the library |
//! | [`BROWSER_TRUSTED`], [`BROWSER_DISTRUSTED`] | a browser was trusted to skip the second factor, or no longer is: written by the library |
//! | [`ACCOUNT_RECOVERED`] | an account was taken back with the recovery link of an email: written by the library |
//! | [`ACCOUNT_DELETION_SCHEDULED`], [`ACCOUNT_DELETION_CANCELED`], [`ACCOUNT_DELETED`] | a deletion was scheduled, canceled or carried out |

use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    base::error::Error,
    model::{
        client::Client,
        log_in::LoginMethod,
        user::{AuthUser, Connection},
        window::Window,
    },
    sigra::{Sigra, handle},
    store,
};

pub use crate::model::audit::{
    ACCOUNT_CONFIRMED, ACCOUNT_DELETED, ACCOUNT_DELETION_CANCELED, ACCOUNT_DELETION_SCHEDULED, ACCOUNT_RECOVERED,
    ACCOUNT_REGISTERED, API_TOKEN_CREATED, API_TOKEN_REVOKED, Audit, AuditEvent, BACKUP_CODES_REGENERATED,
    BROWSER_DISTRUSTED, BROWSER_TRUSTED, EMAIL_CHANGE_REQUESTED, EMAIL_CHANGED, IDENTITY_LINKED, IDENTITY_UNLINKED,
    LOGIN_FAILURE, LOGIN_LINK_REQUESTED, LOGIN_SUCCESS, LOGOUT, MFA_CHALLENGED, MFA_FAILURE, PASSKEY_ADDED,
    PASSKEY_REMOVED, PASSWORD_CHANGED, PASSWORD_RESET, PASSWORD_RESET_REQUESTED, PROGRAM_AUTHORIZED, PROGRAM_REFUSED,
    PROGRAM_REVOKED, PROGRAM_TOKEN_REUSED, REAUTHENTICATION_SUCCESS, SESSION_REVOKED, TOKEN_REUSED, TOTP_DISABLED,
    TOTP_ENABLED, USED_WITHOUT_KEY,
};

handle! {
    /// Records and lists audit events. Returned by [`Sigra::audit`].
    AuditTrail,
    /// Returns the handle for the [audit trail](crate::audit).
    audit
}

/// The audit trail.
impl<U: AuthUser> AuditTrail<'_, U> {
    /// Writes an event, in the transaction of the change that it records.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// use sigra::audit::Audit;
    ///
    /// async fn make_admin(sigra: &sigra::Sigra<User>, user: i64, by: i64) -> sigra::Result<()> {
    ///     let mut tx = sigra.begin().await?;
    ///     sqlx::query("UPDATE users SET admin = true WHERE id = $1").bind(user).execute(&mut *tx).await?;
    ///     sigra.audit().record_in(&mut tx, &Audit::new("admin.granted").of(user).by(by)).await?;
    ///     tx.commit().await?;
    ///     sigra.sessions().announce_change(&user);
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn record_in(self, conn: &mut Connection<U>, audit: &Audit<U::Id>) -> Result<(), Error> {
        Ok(store::audit_log::insert::<U>(conn, audit, self.sigra.now()).await?)
    }

    /// Writes an event that anyone can cause any number of times, such as a wrong password. If the last hour has an
    /// event of the same account, action and IP address, this adds 1 to that event's `times` in its metadata instead.
    /// Events without an account, which nothing else bounds, are counted together for all IP addresses. Either way,
    /// there is one write.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn record_repeatable_in(self, conn: &mut Connection<U>, audit: &Audit<U::Id>) -> Result<(), Error> {
        let mut audit = audit.clone();
        if audit.user.is_none() {
            audit.client = Client::default();
        }
        let lately = Window::of(REPEATED, self.sigra.now());
        match store::audit_log::find_like::<U>(&mut *conn, &audit, lately).await? {
            Some(mut like) => {
                like.metadata["times"] = like.times().saturating_add(1).into();
                Ok(store::audit_log::update_metadata::<U>(conn, like.id, &like.metadata).await?)
            }
            None => self.record_in(conn, &audit).await,
        }
    }

    /// Returns up to `limit` events of a user's account, the newest first. For the next page, pass the ID of the last
    /// event as `before`.
    ///
    /// ```
    /// # use sigra::doctest::User;
    /// async fn latest_actions(sigra: &sigra::Sigra<User>, user: i64) -> sigra::Result<Vec<String>> {
    ///     let events = sigra.audit().list(&user, None, 20).await?;
    ///     Ok(events.into_iter().map(|event| event.action).collect())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn list(self, user: &U::Id, before: Option<Uuid>, limit: u32) -> Result<Vec<AuditEvent<U::Id>>, Error> {
        let mut conn = self.sigra.pool().acquire().await?;
        Ok(store::audit_log::list::<U>(&mut conn, user, before, limit.into()).await?)
    }

    /// Returns when a user last logged in with a method, as far back as [events are
    /// kept](crate::Config::audit_retention). A login counts even if its second factor was not presented. Reads one row
    /// by an index.
    ///
    /// # Errors
    ///
    /// [`Error::Database`].
    pub async fn last_login(self, user: &U::Id, method: LoginMethod) -> Result<Option<OffsetDateTime>, Error> {
        let mut conn = self.sigra.pool().acquire().await?;
        Ok(store::audit_log::last_login::<U>(&mut conn, user, method).await?)
    }
}

/// How long repetitions of an event are counted instead of written.
const REPEATED: Duration = Duration::from_secs(60 * 60);
