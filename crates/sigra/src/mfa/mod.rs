//! The second factor: authenticator apps, backup codes, passkeys, and browsers that are trusted without.
//!
//! [`Sigra::log_in`](crate::Sigra::log_in) looks by itself whether a user has a second factor. If so, the session that it opens is
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
//!     match sigra.mfa().complete(&session, &challenge, answer, form.trust_browser).await? {
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
//! until [`Housekeeping::reencrypt_secrets`](crate::Housekeeping::reencrypt_secrets) finds nothing more to do.

pub(crate) mod backup_codes;
pub(crate) mod challenge;
pub(crate) mod enrolment;
pub(crate) mod handle;
#[cfg(feature = "passkeys")]
pub(crate) mod passkeys;
pub(crate) mod totp;
pub(crate) mod trusted_browsers;

#[cfg(feature = "passkeys")]
pub use webauthn_rs::prelude::{
    CreationChallengeResponse, PublicKeyCredential, RegisterPublicKeyCredential, RequestChallengeResponse,
};

#[cfg(feature = "passkeys")]
pub use self::passkeys::{PasskeyLogIn, Passkeys};
pub use self::{
    backup_codes::BackupCodes,
    enrolment::Enrolled,
    handle::Mfa,
    totp::TotpEnrolment,
    trusted_browsers::{TrustedBrowser, TrustedBrowsers},
};
pub use crate::model::{
    checked::Checked,
    log_in::{LogInMethod, LogInOutcome},
    scope::{MfaChallenge, MfaEnrolment},
    second_factor::{Factor, FactorKind, MfaCode, SecondFactor, SecondFactors, Totp},
};
#[cfg(feature = "passkeys")]
pub use crate::model::{relying_party::RelyingParty, second_factor::Passkey};
