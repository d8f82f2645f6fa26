//! Presenting a second factor: what pages offer.

use serde::Deserialize;
use sigra::mfa::SecondFactors;

// <passkeys>
use crate::accounts::Accounts;
// </passkeys>

/// The query of the page.
#[derive(Default, Deserialize)]
pub struct Options {
    /// Whether to show a field for a backup code.
    #[serde(default)]
    pub backup_code: bool,
}

/// The second factors that a page offers.
pub struct Prompt {
    pub has_totp: bool,
    /// Whether the field is for a backup code.
    pub backup_code: bool,
    pub has_backup_codes: bool,
    // <passkeys>
    /// The domain of the user's passkeys, if they have any.
    pub passkey_domain: Option<String>,
    // </passkeys>
}

impl Prompt {
    /// A user who has neither an app nor a passkey here enters a backup code, even if they didn't ask to.
    pub fn new(factors: &SecondFactors, options: &Options) -> Self {
        Self {
            has_totp: factors.totp.is_some(),
            backup_code: (options.backup_code || factors.totp.is_none()) && factors.backup_codes > 0,
            has_backup_codes: factors.backup_codes > 0,
            // <passkeys>
            passkey_domain: None,
            // </passkeys>
        }
    }

    /// Whether the page has a field for a code.
    pub fn asks_code(&self) -> bool {
        self.has_totp || self.backup_code
    }

    // <passkeys>
    /// Offers passkeys to a user who has some.
    pub fn with_passkeys(mut self, accounts: &Accounts, factors: &SecondFactors, options: &Options) -> Self {
        self.passkey_domain = accounts.policy().passkey_domain.clone().filter(|_| !factors.passkeys.is_empty());
        self.backup_code &= options.backup_code || self.passkey_domain.is_none();
        self
    }
    // </passkeys>
}
