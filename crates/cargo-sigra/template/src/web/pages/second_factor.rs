//! Showing a second factor: what pages ask for it, and what their forms send.

use serde::Deserialize;
use sigra::mfa::{MfaCode, SecondFactor, SecondFactors};
// <passkeys>
use sigra::mfa::PublicKeyCredential;
// </passkeys>

// <passkeys>
use crate::accounts::Accounts;
// </passkeys>

/// What a page's address says.
#[derive(Deserialize)]
pub struct Options {
    /// To show a field for a backup code.
    #[serde(default)]
    pub backup_code: bool,
}

/// What a page offers.
pub struct Prompt {
    pub has_totp: bool,
    /// Whether the field is for a backup code.
    pub backup_code: bool,
    pub has_backup_codes: bool,
    // <passkeys>
    /// The domain of the passkeys, for who has one.
    pub passkey_domain: Option<String>,
    // </passkeys>
}

impl Prompt {
    pub fn new(factors: &SecondFactors, backup_code: bool) -> Self {
        Self {
            has_totp: factors.totp.is_some(),
            backup_code: (backup_code || factors.totp.is_none()) && factors.backup_codes > 0,
            has_backup_codes: factors.backup_codes > 0,
            // <passkeys>
            passkey_domain: None,
            // </passkeys>
        }
    }

    // <passkeys>
    /// For who has passkeys.
    pub fn with_passkeys(mut self, accounts: &Accounts, factors: &SecondFactors) -> Self {
        self.passkey_domain = accounts.policy().passkey_domain.clone().filter(|_| !factors.passkeys.is_empty());
        self
    }
    // </passkeys>
}

/// What a form sends: a code, or what the browser signed with a passkey.
#[derive(Deserialize)]
pub struct Answer {
    #[serde(rename = "user[code]")]
    code: Option<MfaCode>,
    #[serde(rename = "user[trust_browser]", default)]
    pub trust_browser: String,
    // <passkeys>
    #[serde(default, deserialize_with = "super::passkeys::from_json")]
    credential: Option<PublicKeyCredential>,
    // </passkeys>
}

impl Answer {
    pub fn second_factor(&self) -> Option<SecondFactor<'_>> {
        // <passkeys>
        if let Some(credential) = &self.credential {
            return Some(SecondFactor::Passkey(credential));
        }
        // </passkeys>
        self.code.as_ref().map(SecondFactor::Code)
    }

    /// The message for a user whose answer is wrong.
    pub fn problem(&self) -> &'static str {
        // <passkeys>
        if self.credential.is_some() {
            return "We don't recognize that passkey. Try again, or use another method.";
        }
        // </passkeys>
        "That code is wrong or has expired. Try again."
    }
}
