//! The second factor: authenticator apps, backup codes, passkeys, and browsers that are trusted without.
//!
//! [`Sigra::log_in_user`](crate::Sigra::log_in_user) looks by itself whether a user has a second factor. If so, the session that it opens is
//! pending: [`Scope`](crate::Scope), `Option<Scope>`, [`Sudo`](crate::Sudo) and [`Live`](crate::live::Live) treat it as
//! nobody's, and only [`MfaChallenge`] and logging out are left. So there is no way in that a host could forget to
//! close: not by a password, not by a link that was mailed, not after a reset (OWASP ASVS 6.4.3).
//!
//! | argument | the handler is called |
//! |---|---|
//! | [`MfaChallenge<User>`](MfaChallenge) | only for a user whose second factor is pending |
//! | [`MfaEnrolment<User>`](MfaEnrolment) | only for a user who authenticated recently, and may set up a second factor: also for one who [must](crate::AuthUser::requires_second_factor) |
//!
//! ```
//! # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
//! # impl sigra::AuthUser for User {
//! #     type Id = i64; type Database = sqlx::Sqlite;
//! #     fn id(&self) -> i64 { self.id }
//! #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
//! # }
//! use axum::{Form, extract::State, response::Redirect};
//! use sigra::{CookieSession, Sigra, mfa::{Checked, MfaChallenge, MfaCode, SecondFactor}};
//!
//! #[derive(serde::Deserialize)]
//! struct Answer { code: MfaCode, #[serde(default)] trust_browser: bool }
//!
//! async fn create(
//!     State(sigra): State<Sigra<User>>,
//!     session: CookieSession,
//!     challenge: MfaChallenge<User>,
//!     Form(form): Form<Answer>,
//! ) -> sigra::Result<Redirect> {
//!     let answer = SecondFactor::Code(&form.code);
//!     match sigra.complete_mfa_challenge(&session, &challenge, answer, form.trust_browser).await? {
//!         Checked::Valid(_) => Ok(Redirect::to("/dashboard")),
//!         Checked::Invalid => Ok(Redirect::to("/users/mfa-challenge")),
//!     }
//! }
//! ```
//!
//! # What can be answered with
//!
//! - **A code of an authenticator app** (TOTP, RFC 6238): of the present thirty seconds or the thirty before, and once.
//!   That is one step for the time that typing takes, and none for clocks that are wrong (OWASP ASVS 6.5.5).
//! - **A backup code**: 120 random bits, so that a plain hash is enough (OWASP ASVS 6.5.2). There are ten, each is
//!   good once. Users get them with their first factor.
//! - **A passkey** (WebAuthn), with the feature `passkeys`.
//!
//! Codes are [limited](crate::limits::Limit::SECOND_FACTOR) by account, over all its sessions.
//!
//! # Trusted browsers
//!
//! A user can trust a browser for [30 days](crate::Config::mfa_trust_ttl): the next log-in there takes the password
//! alone. The trust is a row, and the cookie holds its token; it ends with a change of password, a reset, or any
//! change of the second factors. What a session of a trusted browser may do in [sudo mode](crate::Sudo) is as if the
//! user had last authenticated when they trusted it. There are at most 16 of a user.
//!
//! # Secrets at rest
//!
//! An authenticator app's secret has to be known to check its codes, so it is encrypted: XChaCha20-Poly1305 under a
//! key that is derived from `SECRET_KEY_BASE`, bound to its user. When that secret is rotated, what the older one has
//! encrypted is encrypted anew in the background; keep it in [`Config::older_secrets`](crate::Config::older_secrets)
//! until [`Sigra::reencrypt_secrets`](crate::Sigra::reencrypt_secrets) finds nothing more to do.

mod backup_codes;
mod challenge;
mod checked;
mod enrolment;
#[cfg(feature = "passkeys")]
mod passkeys;
pub(crate) mod totp;
mod trusted_browsers;

use std::{fmt, time::Duration};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use time::OffsetDateTime;

#[cfg(feature = "passkeys")]
pub use self::passkeys::{Passkey, PasskeyLogIn, RelyingParty};
pub(crate) use self::trusted_browsers::ShownFactor;
pub use self::{
    backup_codes::BackupCodes,
    challenge::{MfaChallenge, MfaChallengeRejection},
    checked::Checked,
    enrolment::{Enrolled, MfaEnrolment, MfaEnrolmentRejection},
    totp::TotpEnrolment,
    trusted_browsers::TrustedBrowser,
};
#[cfg(feature = "passkeys")]
pub use webauthn_rs::prelude::{
    CreationChallengeResponse, PublicKeyCredential, RegisterPublicKeyCredential, RequestChallengeResponse,
};

/// How long a browser may take to sign a challenge with a passkey.
pub(crate) const CEREMONY_TTL: Duration = Duration::from_secs(5 * 60);

/// Whether a log-in is complete.
#[must_use = "a log-in may not be complete yet: lead the user to the challenge"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    /// By a passkey, which [logs in](crate::Sigra::log_in_user_with_passkey) alone.
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

/// A code as somebody typed it: of an authenticator app, or a backup code. Spaces and dashes don't matter. It redacts
/// itself in `Debug` and is wiped when dropped.
///
/// ```
/// let code = sigra::mfa::MfaCode::new("123 456");
/// assert_eq!(format!("{code:?}"), "MfaCode([redacted])");
/// ```
#[derive(Clone)]
pub struct MfaCode(SecretString);

impl MfaCode {
    /// Takes what was typed.
    #[must_use]
    pub fn new(typed: impl AsRef<str>) -> Self {
        let is_sense = |c: &char| !c.is_whitespace() && *c != '-';
        Self(SecretString::from(typed.as_ref().chars().filter(is_sense).take(MAX_CODE).collect::<String>()))
    }

    fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

/// More than the longest code has.
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

/// What a user shows as their second factor.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum SecondFactor<'a> {
    /// A code that they typed.
    Code(&'a MfaCode),
    /// What their browser signed with a passkey.
    #[cfg(feature = "passkeys")]
    Passkey(&'a PublicKeyCredential),
}

/// What a second factor turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Factor {
    /// A code of an authenticator app.
    Totp,
    /// A backup code. It is used up.
    BackupCode {
        /// How many are left. With two or fewer it is time for new ones.
        left: u32,
    },
    /// A passkey.
    Passkey,
}

impl Factor {
    /// Which of them it is.
    #[must_use]
    pub const fn kind(self) -> FactorKind {
        match self {
            Self::Totp => FactorKind::Totp,
            Self::BackupCode { .. } => FactorKind::BackupCode,
            Self::Passkey => FactorKind::Passkey,
        }
    }

    fn name(self) -> &'static str {
        self.kind().name()
    }
}

/// The second factors that there are.
///
/// ```
/// assert_eq!(sigra::mfa::FactorKind::BackupCode.name(), "backup_code");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FactorKind {
    /// A code of an authenticator app.
    Totp,
    /// A backup code.
    BackupCode,
    /// A passkey.
    Passkey,
}

impl FactorKind {
    /// Its name in the database, in the log and in the audit trail.
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

/// What a user has to log in with besides their password.
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
    /// The passkeys, the first added first.
    #[cfg(feature = "passkeys")]
    pub passkeys: Vec<Passkey>,
    /// How many backup codes are left.
    pub backup_codes: u32,
}

impl SecondFactors {
    /// Whether the user is asked for one.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.count() > 0
    }

    /// How many there are, backup codes aside.
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
    /// When.
    pub inserted_at: OffsetDateTime,
    /// When its last code was used.
    pub last_used_at: OffsetDateTime,
}
