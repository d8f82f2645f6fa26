#![doc = include_str!("../docs/mfa.md")]

pub(crate) mod backup_codes;
pub(crate) mod challenge;
pub(crate) mod enrollment;
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
pub use self::passkeys::{PasskeyLogin, Passkeys};
pub use self::{
    backup_codes::BackupCodes,
    enrollment::Enrolled,
    handle::Mfa,
    totp::TotpEnrollment,
    trusted_browsers::{TrustedBrowser, TrustedBrowsers},
};
#[cfg(feature = "passkeys")]
pub use crate::model::second_factor::Passkey;
pub use crate::model::{
    scope::{MfaChallenge, MfaEnrollment},
    second_factor::{Factor, FactorKind, MfaCode, SecondFactor, SecondFactors, Totp, TrustBrowser},
};
