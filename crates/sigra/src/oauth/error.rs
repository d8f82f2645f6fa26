//! Why a login at a provider fails.

/// Why a login at a provider failed. No message has a code, a token, or a text of the provider.
///
/// Show visitors only two cases, because they can't fix the others: the provider
/// [can't be reached](Self::is_unreachable), or the login failed. [`reason`](Self::reason) is for telemetry.
///
/// ```
/// use sigra::oauth::OauthError;
///
/// assert!(OauthError::TimedOut.is_unreachable());
/// assert!(!OauthError::Nonce.is_unreachable());
/// assert_eq!(OauthError::Nonce.reason(), "nonce");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OauthError {
    /// There is no provider with this name.
    #[error("there is no such provider")]
    UnknownProvider,
    /// The redirect URI isn't a URL.
    #[error(
        "the redirect URI is not a URL: use the address of the callback, such as https://example.com/users/auth/google/callback"
    )]
    RedirectUri,
    /// The provider can't be asked to authenticate the user again.
    #[error("the provider can't be asked to authenticate the user again")]
    CannotReauthenticate,

    /// No connection, or no TLS.
    #[error("the provider can't be reached")]
    Connect,
    /// No complete response in time.
    #[error("the provider didn't respond in time")]
    TimedOut,
    /// An unexpected status.
    #[error("the provider responded with {0}")]
    Status(u16),

    /// A redirect, which is never followed.
    #[error("the provider responded with a redirect, which isn't followed")]
    Redirected,
    /// A response that is too large.
    #[error("the provider's response is too large")]
    TooLarge,
    /// A response that isn't JSON, by its content type.
    #[error("the provider's response isn't JSON")]
    ContentType,
    /// A response that can't be read.
    #[error("the provider's response is malformed")]
    Malformed,
    /// A URL without TLS.
    #[error("the provider's URL isn't https")]
    Insecure,
    /// The metadata is of another issuer.
    #[error("the provider's metadata names another issuer")]
    MetadataIssuer,
    /// The token endpoint accepts no client secret.
    #[error("the provider accepts neither client_secret_basic nor client_secret_post")]
    ClientAuthentication,
    /// The client secret can't be signed.
    #[error("the client secret can't be signed")]
    Signing,

    /// The token endpoint refused the code: `invalid_grant` for a code that expired or was used, `invalid_client` for a
    /// wrong client secret.
    #[error("the provider refused the code: {0}")]
    Refused(&'static str),

    /// The callback has no `iss`, which the provider promises to send (RFC 9207).
    #[error("the callback has no issuer")]
    CallbackIssuerMissing,
    /// The callback comes from another issuer (RFC 9207).
    #[error("the callback names another issuer")]
    CallbackIssuer,

    /// The provider sent no ID token.
    #[error("the provider sent no ID token")]
    IdTokenMissing,
    /// The ID token can't be read.
    #[error("the ID token is malformed")]
    IdToken,
    /// The ID token has no signature, or one of an algorithm that isn't accepted.
    #[error("the ID token isn't signed with an accepted algorithm")]
    Algorithm,
    /// The provider doesn't publish the key of the ID token.
    #[error("the ID token is signed with a key that the provider doesn't publish")]
    UnknownKey,
    /// The ID token's signature is invalid.
    #[error("the ID token's signature is invalid")]
    Signature,
    /// The ID token names another issuer.
    #[error("the ID token names another issuer")]
    Issuer,
    /// The ID token is for another client.
    #[error("the ID token is for another client")]
    Audience,
    /// The ID token was issued to another client.
    #[error("the ID token was issued to another client")]
    AuthorizedParty,
    /// The ID token expired.
    #[error("the ID token expired")]
    Expired,
    /// The ID token is from the future.
    #[error("the ID token was issued in the future")]
    IssuedAt,
    /// The ID token belongs to another flow.
    #[error("the ID token's nonce is wrong")]
    Nonce,
    /// The user didn't authenticate again.
    #[error("the user didn't authenticate again at the provider")]
    AuthTime,

    /// The user's profile belongs to a different account than the ID token.
    #[error("the user's profile belongs to a different account than the ID token")]
    ProfileSubject,
    /// The user's account has no ID, or one that is too long.
    #[error("the user's account has no ID")]
    Subject,
}

impl OauthError {
    /// Returns whether the provider can't be reached right now, so that a visitor may try again later.
    #[must_use]
    pub fn is_unreachable(&self) -> bool {
        match self {
            Self::Connect | Self::TimedOut => true,
            Self::Status(status) => *status == 429 || *status >= 500,
            _ => false,
        }
    }

    /// Returns the reason in one word, for telemetry.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::UnknownProvider => "unknown_provider",
            Self::RedirectUri => "redirect_uri",
            Self::CannotReauthenticate => "cannot_reauthenticate",
            Self::Connect => "connect",
            Self::TimedOut => "timed_out",
            Self::Status(_) => "status",
            Self::Redirected => "redirected",
            Self::TooLarge => "too_large",
            Self::ContentType => "content_type",
            Self::Malformed => "malformed",
            Self::Insecure => "insecure",
            Self::MetadataIssuer => "metadata_issuer",
            Self::ClientAuthentication => "client_authentication",
            Self::Signing => "signing",
            Self::Refused(code) => code,
            Self::CallbackIssuerMissing => "callback_issuer_missing",
            Self::CallbackIssuer => "callback_issuer",
            Self::IdTokenMissing => "id_token_missing",
            Self::IdToken => "id_token",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::AuthorizedParty => "authorized_party",
            Self::Expired => "expired",
            Self::IssuedAt => "issued_at",
            Self::Nonce => "nonce",
            Self::AuthTime => "auth_time",
            Self::ProfileSubject => "profile_subject",
            Self::Subject => "subject",
        }
    }
}
