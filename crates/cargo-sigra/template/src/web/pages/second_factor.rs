//! Showing a second factor: what pages ask for it.

use serde::Deserialize;
use sigra::mfa::SecondFactors;

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
