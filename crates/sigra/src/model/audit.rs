//! What happened to whose account: the events of the audit trail.

use std::borrow::Cow;

use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::client::Client;

/// What the log tells, and the audit trail keeps.
pub use crate::base::telemetry::{
    LOGIN_FAILURE, LOGIN_SUCCESS, LOGOUT, MFA_CHALLENGED, MFA_FAILURE, REAUTHENTICATION_SUCCESS, SESSION_REVOKED,
    TOKEN_REUSED,
};

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
    /// Ascends with time. The oldest of a page is where the [next page](crate::audit::AuditTrail::list) begins.
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
    /// How often it happened, if it was [repeated](crate::audit::AuditTrail::record_repeatable) within the hour.
    #[must_use]
    pub fn times(&self) -> u64 {
        self.metadata["times"].as_u64().unwrap_or(1)
    }
}
