//! Personal access tokens, as their users see them.

use std::{net::IpAddr, time::Duration};

use time::OffsetDateTime;
use uuid::Uuid;

use crate::model::permission::Permissions;

/// How long an expired token stays in the list, so that its user sees why a program stopped.
pub(crate) const EXPIRED_KEPT: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A row of `api_tokens`, without its token.
///
/// ```
/// # use sigra::api_tokens::ApiToken;
/// fn describe(token: &ApiToken) -> String {
///     format!("{} (ends with {})", token.name, token.hint)
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ApiToken {
    /// The row's ID. It isn't secret: nobody can authenticate with it.
    pub id: Uuid,
    /// The name that the user chose.
    pub name: String,
    /// The token's last four characters.
    pub hint: String,
    /// What the token allows, of the permissions that are registered.
    pub permissions: Permissions,
    /// When it expires. `None` if the user chose that it never does.
    pub expires_at: Option<OffsetDateTime>,
    /// When it was last used, to within five minutes. `None` if it never was.
    pub last_used_at: Option<OffsetDateTime>,
    /// The IP address that it was last used from.
    pub last_used_ip: Option<IpAddr>,
    /// When it was created.
    pub inserted_at: OffsetDateTime,
}

impl ApiToken {
    /// Returns whether it has expired. An expired token stays in the list for 30 days.
    #[must_use]
    pub fn is_expired(&self, now: OffsetDateTime) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}
