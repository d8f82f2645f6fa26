//! How users log in, and whether they are logged in then.

/// Whether a log-in is complete.
#[must_use = "a log-in may not be complete yet: lead the user to the challenge"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a host must decide what to do about each")]
pub enum LogInOutcome {
    /// The user is logged in.
    Complete,
    /// The user has a second factor, and must show it: lead them to the challenge.
    SecondFactorPending,
}

/// How a user proved who they are when they logged in: the `method` of the event and of its row in the audit trail
/// (OWASP ASVS 16.3.1).
///
/// ```
/// use sigra::LogInMethod;
///
/// assert_eq!(LogInMethod::Password.name(), "password");
/// assert_eq!(LogInMethod::Other("corporate_sso").name(), "corporate_sso");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogInMethod {
    /// By their password.
    Password,
    /// By a link that was mailed to them.
    Link,
    /// By a passkey, which [logs in](crate::mfa::Passkeys::log_in) alone.
    #[cfg(feature = "passkeys")]
    Passkey,
    /// In another way, which the host names.
    Other(&'static str),
}

impl LogInMethod {
    /// What a row says.
    pub(crate) fn from_name(name: &str) -> Self {
        match name {
            "password" => Self::Password,
            "link" => Self::Link,
            #[cfg(feature = "passkeys")]
            "passkey" => Self::Passkey,
            _ => Self::Other("other"),
        }
    }

    /// Its name in the log and in the audit trail.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Password => "password",
            Self::Link => "link",
            #[cfg(feature = "passkeys")]
            Self::Passkey => "passkey",
            Self::Other(name) => name,
        }
    }
}
