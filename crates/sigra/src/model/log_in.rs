//! How users log in, and the result.

use serde::Deserialize;

/// Whether a login is complete.
#[must_use = "the login may not be complete yet: redirect the user to the challenge"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a host must decide what to do about each")]
pub enum LoginOutcome {
    /// The user is logged in.
    Complete,
    /// The user must present their second factor: redirect them to the challenge.
    SecondFactorPending,
}

/// Whether the browser stays logged in after it is closed. In a form or in JSON, it is a boolean.
///
/// ```
/// use sigra::RememberMe;
///
/// #[derive(serde::Deserialize)]
/// struct LogIn { #[serde(default)] remember_me: RememberMe }
///
/// assert_eq!(serde_json::from_str::<LogIn>(r#"{ "remember_me": true }"#)?.remember_me, RememberMe::Yes);
/// assert_eq!(serde_json::from_str::<LogIn>("{}")?.remember_me, RememberMe::No);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(from = "bool")]
#[allow(clippy::exhaustive_enums, reason = "there is no third answer")]
pub enum RememberMe {
    /// The login lasts as long as the [session](crate::Config::session_ttl).
    Yes,
    /// The login ends when the browser is closed.
    #[default]
    No,
}

impl From<bool> for RememberMe {
    fn from(is_checked: bool) -> Self {
        if is_checked { Self::Yes } else { Self::No }
    }
}

/// The login method of a login, which the log and the audit trail record as `method` (OWASP ASVS 16.3.1).
///
/// ```
/// use sigra::LoginMethod;
///
/// assert_eq!(LoginMethod::Password.name(), "password");
/// assert_eq!(LoginMethod::Other("corporate_sso").name(), "corporate_sso");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoginMethod {
    /// A password.
    Password,
    /// A link that was sent by email.
    Link,
    /// A passkey, which [logs in](crate::mfa::Passkeys::log_in) without a password.
    #[cfg(feature = "passkeys")]
    Passkey,
    /// An account at a provider, such as Google, which [logs in](crate::oauth::Identities::log_in).
    #[cfg(feature = "oauth")]
    Provider,
    /// Another method, which the host names.
    Other(&'static str),
}

impl LoginMethod {
    /// Returns the method that a row has, by its name.
    pub(crate) fn from_name(name: &str) -> Self {
        match name {
            "password" => Self::Password,
            "link" => Self::Link,
            #[cfg(feature = "passkeys")]
            "passkey" => Self::Passkey,
            #[cfg(feature = "oauth")]
            "provider" => Self::Provider,
            _ => Self::Other("other"),
        }
    }

    /// Returns the name in the log and in the audit trail.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Link => "link",
            #[cfg(feature = "passkeys")]
            Self::Passkey => "passkey",
            #[cfg(feature = "oauth")]
            Self::Provider => "provider",
            Self::Other(name) => name,
        }
    }
}
