//! Second factors: the kinds, those of a user, and what a user presents.

use std::{fmt, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;
#[cfg(feature = "passkeys")]
use uuid::Uuid;
#[cfg(feature = "passkeys")]
use webauthn_rs::prelude::PublicKeyCredential;

/// A code as a user typed it: of an authenticator app, or a backup code. Spaces and dashes are ignored.
///
/// `Debug` redacts it, and it is wiped when dropped.
///
/// ```
/// let code = sigra::mfa::MfaCode::new("123 456");
/// assert_eq!(format!("{code:?}"), "MfaCode([redacted])");
/// ```
#[derive(Clone)]
pub struct MfaCode(SecretString);

impl MfaCode {
    /// Creates a code from what the user typed.
    #[must_use]
    pub fn new(typed: impl AsRef<str>) -> Self {
        let is_sense = |c: &char| !c.is_whitespace() && *c != '-';
        Self(SecretString::from(typed.as_ref().chars().filter(is_sense).take(MAX_CODE).collect::<String>()))
    }

    pub(crate) fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// How many characters are kept. The longest code is shorter.
const MAX_CODE: usize = 64;

impl fmt::Debug for MfaCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MfaCode([redacted])")
    }
}

impl<'de> Deserialize<'de> for MfaCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let typed = zeroize::Zeroizing::new(String::deserialize(deserializer)?);
        Ok(Self::new(typed.as_str()))
    }
}

/// Whether logins in this browser skip the second factor from now on, for [30
/// days](crate::Config::mfa_trust_ttl) by default. In a form or in JSON, it is a boolean.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(from = "bool")]
#[allow(clippy::exhaustive_enums, reason = "there is no third answer")]
pub enum TrustBrowser {
    /// The next login in this browser needs no second factor.
    Yes,
    /// The next login in this browser needs a second factor too.
    #[default]
    No,
}

impl From<bool> for TrustBrowser {
    fn from(is_checked: bool) -> Self {
        if is_checked { Self::Yes } else { Self::No }
    }
}

/// What a user presents as their second factor.
///
/// ```
/// use sigra::mfa::{MfaCode, SecondFactor};
///
/// let code = MfaCode::new("123 456");
/// let presented = SecondFactor::Code(&code);
/// # let _ = presented;
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SecondFactor<'a> {
    /// A code that they typed.
    Code(&'a MfaCode),
    /// What the browser signed with a passkey.
    #[cfg(feature = "passkeys")]
    Passkey(&'a PublicKeyCredential),
}

/// The second factor that a user presented, once it was found valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Factor {
    /// A code of an authenticator app.
    Totp,
    /// A backup code, which is now used up.
    BackupCode {
        /// How many are left. With two or fewer, the user should generate new ones.
        left: u32,
    },
    /// A passkey.
    Passkey,
}

impl Factor {
    /// Returns the kind of the factor.
    #[must_use]
    pub const fn kind(self) -> FactorKind {
        match self {
            Self::Totp => FactorKind::Totp,
            Self::BackupCode { .. } => FactorKind::BackupCode,
            Self::Passkey => FactorKind::Passkey,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        self.kind().name()
    }
}

/// The kinds of second factors.
///
/// ```
/// assert_eq!(sigra::mfa::FactorKind::BackupCode.name(), "backup_code");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FactorKind {
    /// A code of an authenticator app.
    Totp,
    /// A backup code.
    BackupCode,
    /// A passkey.
    Passkey,
}

impl FactorKind {
    /// Returns the name in the database, in the log and in the audit trail.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::BackupCode => "backup_code",
            Self::Passkey => "passkey",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Totp, Self::BackupCode, Self::Passkey].into_iter().find(|kind| kind.name() == name)
    }
}

/// The second factors of a user.
///
/// ```
/// # use sigra::mfa::SecondFactors;
/// fn advice(factors: &SecondFactors) -> Option<&'static str> {
///     (factors.is_any() && factors.backup_codes <= 2).then_some("You have few backup codes left: make new ones.")
/// }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SecondFactors {
    /// The authenticator app, if there is one.
    pub totp: Option<Totp>,
    /// The passkeys, oldest first.
    #[cfg(feature = "passkeys")]
    pub passkeys: Vec<Passkey>,
    /// How many backup codes are left.
    pub backup_codes: u32,
}

impl SecondFactors {
    /// Returns whether there is one, so that the user must present it at a login.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.count() > 0
    }

    /// Returns how many there are, without backup codes.
    #[must_use]
    pub fn count(&self) -> usize {
        #[cfg(feature = "passkeys")]
        let passkeys = self.passkeys.len();
        #[cfg(not(feature = "passkeys"))]
        let passkeys = 0;
        usize::from(self.totp.is_some()) + passkeys
    }
}

/// An authenticator app that was set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totp {
    /// When it was set up.
    pub inserted_at: OffsetDateTime,
    /// When one of its codes was last used.
    pub last_used_at: OffsetDateTime,
}

/// How long a browser can take to sign a challenge with a passkey.
pub(crate) const CEREMONY_TTL: Duration = Duration::from_secs(5 * 60);

/// A passkey of a user.
#[cfg(feature = "passkeys")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Passkey {
    /// The row's id.
    pub id: Uuid,
    /// The name that the user gave it.
    pub name: String,
    /// When it was last used.
    pub last_used_at: OffsetDateTime,
    /// When it was added.
    pub inserted_at: OffsetDateTime,
}
