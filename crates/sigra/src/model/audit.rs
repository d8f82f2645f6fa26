//! The events of the audit trail.

use std::borrow::Cow;

use serde_json::{Value, json};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::{client::Client, log_in::LoginMethod};

/// Events that are both logged and kept in the audit trail.
pub use crate::base::telemetry::{
    LOGIN_FAILURE, LOGIN_SUCCESS, LOGOUT, MFA_CHALLENGED, MFA_FAILURE, PROGRAM_AUTHORIZED, PROGRAM_REFUSED,
    PROGRAM_REVOKED, REAUTHENTICATION_SUCCESS, SESSION_REVOKED, TOKEN_REUSED, USED_WITHOUT_KEY,
};

/// An account was registered.
pub const ACCOUNT_REGISTERED: &str = "auth.account.registered";
/// An email address was confirmed.
pub const ACCOUNT_CONFIRMED: &str = "auth.account.confirmed";
/// A user changed their password.
pub const PASSWORD_CHANGED: &str = "auth.password.changed";
/// A password was reset with a link.
pub const PASSWORD_RESET: &str = "auth.password.reset";
/// A link to reset a password was sent.
pub const PASSWORD_RESET_REQUESTED: &str = "auth.password.reset_requested";
/// A login link was sent.
pub const LOGIN_LINK_REQUESTED: &str = "auth.login.link_requested";
/// A link to change an email address was sent.
pub const EMAIL_CHANGE_REQUESTED: &str = "auth.email.change_requested";
/// An email address was changed.
pub const EMAIL_CHANGED: &str = "auth.email.changed";
/// An account was recovered with a link that was sent to its user.
pub const ACCOUNT_RECOVERED: &str = "auth.account.recovered";
/// The deletion of an account was scheduled.
pub const ACCOUNT_DELETION_SCHEDULED: &str = "auth.account.deletion_scheduled";
/// The deletion of an account was canceled.
pub const ACCOUNT_DELETION_CANCELED: &str = "auth.account.deletion_canceled";
/// An account was deleted.
pub const ACCOUNT_DELETED: &str = "auth.account.deleted";

/// An authenticator app was set up.
pub const TOTP_ENABLED: &str = "auth.mfa.totp_enabled";
/// An authenticator app was removed.
pub const TOTP_DISABLED: &str = "auth.mfa.totp_disabled";
/// A passkey was added.
pub const PASSKEY_ADDED: &str = "auth.mfa.passkey_added";
/// A passkey was removed.
pub const PASSKEY_REMOVED: &str = "auth.mfa.passkey_removed";
/// New backup codes replaced the old ones.
pub const BACKUP_CODES_REGENERATED: &str = "auth.mfa.backup_codes_regenerated";
/// An account at a provider was linked.
pub const IDENTITY_LINKED: &str = "auth.identity.linked";
/// An account at a provider was unlinked.
pub const IDENTITY_UNLINKED: &str = "auth.identity.unlinked";
/// A personal access token was created.
pub const API_TOKEN_CREATED: &str = "auth.api_token.created";
/// A personal access token was revoked, or all of an account were.
pub const API_TOKEN_REVOKED: &str = "auth.api_token.revoked";
/// A refresh token that was replaced long before, or a used code, was presented, so the access of its program was
/// ended.
pub const PROGRAM_TOKEN_REUSED: &str = "auth.program.token_reused";
/// A browser became a trusted one, which skips the second factor.
pub const BROWSER_TRUSTED: &str = "auth.mfa.browser_trusted";
/// A browser is no longer trusted.
pub const BROWSER_DISTRUSTED: &str = "auth.mfa.browser_distrusted";

/// An event to record in the audit trail.
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
    /// The login method, of a login.
    pub(crate) method: Option<LoginMethod>,
}

impl<Id> Audit<Id> {
    /// Creates an event without a user, an actor, a client or metadata.
    #[must_use]
    pub fn new(action: impl Into<Cow<'static, str>>) -> Self {
        let metadata = Value::Object(serde_json::Map::new());
        Self { action: action.into(), user: None, actor: None, client: Client::default(), metadata, method: None }
    }

    /// Sets the user whose account the event concerns.
    #[must_use]
    pub fn of(mut self, user: impl Into<Option<Id>>) -> Self {
        self.user = user.into();
        self
    }

    /// Sets the actor, if known: the user themself, or somebody else, such as a member of the host's staff.
    #[must_use]
    pub fn by(mut self, actor: impl Into<Option<Id>>) -> Self {
        self.actor = actor.into();
        self
    }

    /// Sets the client that it came from.
    #[must_use]
    pub fn from(mut self, client: &Client) -> Self {
        self.client = client.clone();
        self
    }

    /// Sets what else to keep, as a JSON object. It must not have secrets.
    #[must_use]
    pub fn with(mut self, metadata: Value) -> Self {
        self.metadata = metadata;
        self
    }

    /// Sets the login method of a login, and the provider that it was at.
    pub(crate) fn by_method(mut self, method: LoginMethod, provider: Option<&str>) -> Self {
        self.metadata = match provider {
            Some(provider) => json!({ "method": method.name(), "provider": provider }),
            None => json!({ "method": method.name() }),
        };
        self.method = Some(method);
        self
    }
}

/// Creates an event of a user who changes their own account.
pub(crate) fn own_event<Id: Clone>(action: &'static str, user: &Id, client: &Client) -> Audit<Id> {
    Audit::new(action).of(user.clone()).by(user.clone()).from(client)
}

/// A row of `audit_events`.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AuditEvent<Id> {
    /// The row's id, which ascends with time. Pass the oldest of a page to get the [next
    /// page](crate::audit::AuditTrail::list).
    pub id: Uuid,
    /// What happened, such as `auth.login.success`.
    pub action: String,
    /// The user whose account it concerns.
    pub user: Option<Id>,
    /// The user who did it, if known.
    pub actor: Option<Id>,
    /// The client that it came from.
    pub client: Client,
    /// What else was kept, as a JSON object.
    pub metadata: Value,
    /// When it happened.
    pub inserted_at: OffsetDateTime,
}

impl<Id> AuditEvent<Id> {
    /// Returns how many times it happened: more than once if it was
    /// [repeated](crate::audit::AuditTrail::record_repeatable_in) within the hour.
    #[must_use]
    pub fn times(&self) -> u64 {
        self.metadata["times"].as_u64().unwrap_or(1)
    }
}
