//! What a provider says about a user, after everything was verified.

use std::fmt;

use time::OffsetDateTime;
use zeroize::Zeroizing;

/// A user's account at a provider, after the provider's responses were verified.
///
/// [`issuer`](Self::issuer) and [`subject`](Self::subject) together name the account, and nothing else does (OpenID
/// Connect Core section 5.7): email addresses and user names change hands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProviderIdentity {
    /// The name of the provider, such as `google`.
    pub provider: String,
    /// The issuer, such as `https://accounts.google.com`. For Microsoft, it contains the tenant.
    pub issuer: String,
    /// The ID of the account at the issuer. Never empty, and at most 255 bytes long.
    pub subject: String,
    /// The email address that the provider has for the account. It is a label, unless it is
    /// [proven](Self::email_proven).
    pub email: Option<String>,
    /// Whether the provider has proven that the user owns the email address: the provider is authoritative for it, or
    /// the host [trusts](crate::oauth::Provider::trust_verified_emails) the provider's verification.
    pub email_proven: bool,
    /// When the user last authenticated at the provider, if the provider says so.
    pub auth_time: Option<OffsetDateTime>,
    /// The provider's tokens, if the host [keeps](crate::oauth::Provider::keep_tokens) them.
    pub tokens: Option<ProviderTokens>,
}

/// The tokens for a provider's own API. `Debug` shows none of them, and they are wiped from memory when dropped.
#[derive(Clone)]
#[non_exhaustive]
pub struct ProviderTokens {
    /// The access token.
    pub access_token: Zeroizing<String>,
    /// The refresh token, if there is one.
    pub refresh_token: Option<Zeroizing<String>>,
    /// When the access token expires, if the provider says so.
    pub expires_at: Option<OffsetDateTime>,
}

impl fmt::Debug for ProviderTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProviderTokens").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}
