//! Backup codes: how they are generated, entered and stored.

use std::{fmt, time::Duration};

use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    base::{
        error::Error,
        token::{TokenHash, random_bytes},
    },
    browser::{cookie_session::CookieSession, sealed_entry::SealedEntries},
    mfa::{handle::Mfa, totp::grouped},
    model::{second_factor::MfaCode, user::AuthUser},
};

/// How many codes a user gets.
const CODES: usize = 10;

/// The entry of the cookie session that keeps the codes for a reload of their page, and how long.
const ENTRY: &str = "backup_codes";
const KEPT: Duration = Duration::from_mins(10);

/// The bytes of a code: 120 bits, more than the 112 from which a plain hash is enough (OWASP ASVS 6.5.2).
const CODE: usize = 15;

/// Has no letters that look like digits, and decodes them as those digits.
const ALPHABET: base32::Alphabet = base32::Alphabet::Crockford;

/// A backup code, wiped from memory when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(crate) struct BackupCode([u8; CODE]);

impl BackupCode {
    fn generate() -> Result<Self, Error> {
        random_bytes().map(Self)
    }

    pub fn parse(code: &MfaCode) -> Option<Self> {
        let code = Some(code.expose()).filter(|code| code.len() == CODE * 8 / 5)?;
        let bytes = Zeroizing::new(base32::decode(ALPHABET, code)?);
        bytes.as_slice().try_into().ok().map(Self)
    }

    pub fn hash(&self) -> TokenHash {
        TokenHash::from(<[u8; 32]>::from(
            Sha256::new().chain_update("sigra backup code").chain_update(self.0).finalize(),
        ))
    }

    fn encode(&self) -> Zeroizing<String> {
        let code = Zeroizing::new(base32::encode(ALPHABET, &self.0).to_ascii_lowercase());
        Zeroizing::new(grouped(&code, '-'))
    }
}

/// A user's new backup codes, in plain text: only their hashes are stored. `Debug` redacts them.
///
/// ```
/// # use sigra::mfa::BackupCodes;
/// fn as_text(codes: &BackupCodes) -> String {
///     codes.iter().map(|code| format!("{}\n", *code)).collect()
/// }
/// ```
#[derive(Clone)]
pub struct BackupCodes(Vec<BackupCode>);

impl BackupCodes {
    pub(crate) fn generate() -> Result<Self, Error> {
        (0..CODES).map(|_| BackupCode::generate()).collect::<Result<_, _>>().map(Self)
    }

    /// Returns each code as the user writes it down: groups of letters and digits, such as
    /// `k7qm-2hxd-9rvt-c4np-w8sz-j5ga`.
    pub fn iter(&self) -> impl Iterator<Item = Zeroizing<String>> {
        self.0.iter().map(BackupCode::encode)
    }

    fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(self.0.iter().flat_map(|code| code.0).collect())
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (codes, rest) = bytes.as_chunks::<CODE>();
        (codes.len() == CODES && rest.is_empty()).then(|| Self(codes.iter().copied().map(BackupCode).collect()))
    }

    pub(crate) fn hashes(&self) -> impl Iterator<Item = TokenHash> {
        self.0.iter().map(BackupCode::hash)
    }
}

impl fmt::Debug for BackupCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BackupCodes([redacted])")
    }
}

/// Reloading the page that shows the codes.
impl<U: AuthUser> Mfa<'_, U> {
    /// Keeps backup codes in the cookie session for 10 minutes, encrypted, so that the page that shows them can be
    /// reloaded. They are bound to this user, and to the form that was sent with this [idempotency
    /// key](crate::IdempotencyKey). Without a key, the codes are not kept.
    ///
    /// # Errors
    ///
    /// [`Error::Encryption`], [`Error::Random`].
    pub fn keep_backup_codes(
        self,
        session: &CookieSession,
        user: &U,
        form: &str,
        codes: &BackupCodes,
    ) -> Result<(), Error> {
        if form.is_empty() {
            return Ok(());
        }
        self.page_entry(user, form).put(session, ENTRY, &codes.to_bytes())
    }

    /// Returns the backup codes that [`keep_backup_codes`](Self::keep_backup_codes) kept for this user and form.
    #[must_use]
    pub fn kept_backup_codes(self, session: &CookieSession, user: &U, form: &str) -> Option<BackupCodes> {
        BackupCodes::from_bytes(&self.page_entry(user, form).get(session, ENTRY)?)
    }
}

impl<'a, U: AuthUser> Mfa<'a, U> {
    /// Binds the codes to the user and the form.
    fn page_entry(self, user: &U, form: &str) -> SealedEntries<'a> {
        let context = format!("backup codes {} {form}", user.id());
        SealedEntries::of(&self.sigra.parts.encryption_keys, context).max_age(KEPT, self.sigra.now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_parsed_in_any_spelling_that_users_type() {
        let codes = BackupCodes::generate().expect("randomness");
        assert_eq!(codes.iter().count(), 10);
        for (code, hash) in codes.iter().zip(codes.hashes()) {
            assert_eq!(code.len(), 29);
            let variants = [code.to_string(), code.to_uppercase(), code.replace('-', " "), code.replace('0', "o")];
            for typed in variants.iter().chain([&code.replace('1', "I"), &format!(" {} ", *code)]) {
                let parsed = BackupCode::parse(&MfaCode::new(typed)).expect("a code");
                assert!(parsed.hash() == hash, "{typed}");
            }
        }
    }

    #[test]
    fn text_that_is_not_a_code_is_not_parsed() {
        let code = BackupCodes::generate().expect("randomness").iter().next().expect("one");
        for bad in ["", "123456", &code[1..], &format!("{}0", *code), &"u".repeat(24), &"\u{e9}".repeat(24)] {
            assert!(BackupCode::parse(&MfaCode::new(bad)).is_none(), "{bad:?}");
        }
    }
}
