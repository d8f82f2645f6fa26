//! Two-factor authentication: authenticator apps, backup codes, passkeys and trusted browsers.
//!
//! [`Sigra::log_in`](crate::Sigra::log_in) checks whether the user has a second factor. If so, it opens a session whose
//! second factor is pending: [`Scope`](crate::Scope), `Option<Scope>`, [`Sudo`](crate::Sudo) and
//! [`Live`](crate::live::Live) treat it as not logged in, and it can only answer the [`MfaChallenge`] or log out. A
//! host therefore can't forget to ask for the second factor: not after a password, a login link or a password reset
//! (OWASP ASVS 6.4.3).
//!
//! | argument | the handler is called only for |
//! |---|---|
//! | [`MfaChallenge<User>`](MfaChallenge) | a user whose second factor is pending |
//! | [`MfaEnrolment<User>`](MfaEnrolment) | a user who authenticated recently and can set up a second factor, including one who [must](crate::AuthUser::requires_second_factor) |
//!
//! ```
//! # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
//! # impl sigra::AuthUser for User {
//! #     type Id = i64; type Database = sqlx::Sqlite;
//! #     fn id(&self) -> i64 { self.id }
//! #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
//! # }
//! use axum::{Form, extract::State, response::Redirect};
//! use sigra::{CookieSession, Sigra, mfa::{Checked, MfaChallenge, MfaCode, SecondFactor, TrustBrowser}};
//!
//! #[derive(serde::Deserialize)]
//! struct Answer { code: MfaCode, #[serde(default)] trust_browser: TrustBrowser }
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
//! # Second factors
//!
//! - **A code of an authenticator app** (TOTP, RFC 6238): the code of the current 30 seconds or of the 30 seconds before,
//!   once. The earlier step allows for the time that typing takes; no step allows for wrong clocks (OWASP ASVS 6.5.5).
//! - **A backup code**: 120 random bits, so a plain hash is enough (OWASP ASVS 6.5.2). Users get ten with their first
//!   factor, and each works once.
//! - **A passkey** (WebAuthn), with the feature `passkeys`.
//!
//! Attempts to enter codes are [limited](crate::limits::Limit::SECOND_FACTOR) for each account, across all its
//! sessions.
//!
//! # Trusted browsers
//!
//! A user can trust a browser for [30 days](crate::Config::mfa_trust_ttl): logging in there then takes only the
//! password. The trust is a row, and a cookie holds its token. It ends when the user changes or resets their password
//! or changes their second factors. For [sudo mode](crate::Sudo), a session opened in a trusted browser counts as
//! authenticated when the user trusted the browser. A user can have at most 16 trusted browsers.
//!
//! # Secrets at rest
//!
//! Checking codes takes the authenticator app's secret, so it is encrypted rather than hashed: XChaCha20-Poly1305, with
//! a key derived from the [`SecretKeyBase`](crate::SecretKeyBase), bound to its user. After you rotate that secret, a
//! background task encrypts again what an older secret encrypted. Keep the older secret in
//! [`Config::older_secrets`](crate::Config::older_secrets) until
//! [`Housekeeping::reencrypt_secrets`](crate::Housekeeping::reencrypt_secrets) finds none.

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
    log_in::{LogInMethod, LogInOutcome, RememberMe},
    scope::{MfaChallenge, MfaEnrolment},
    second_factor::{Factor, FactorKind, MfaCode, SecondFactor, SecondFactors, Totp, TrustBrowser},
};
#[cfg(feature = "passkeys")]
pub use crate::model::{relying_party::RelyingParty, second_factor::Passkey};
