//! A password as it was typed.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use unicode_normalization::{UnicodeNormalization, is_nfc};
use zeroize::Zeroizing;

/// A password as somebody typed it, in NFC. It redacts itself in `Debug` and is wiped when dropped.
///
/// ```
/// use sigra::Password;
///
/// let password = Password::new("correct horse battery staple");
/// assert_eq!(format!("{password:?}"), "Password([redacted])");
/// ```
#[derive(Clone)]
pub struct Password(SecretString);

impl Password {
    /// Takes what was typed, and normalises it to NFC.
    #[must_use]
    pub fn new(typed: impl Into<String>) -> Self {
        let typed = Zeroizing::new(typed.into());
        if is_nfc(&typed) {
            return Self(SecretString::from(typed.as_str()));
        }
        Self(SecretString::from(typed.nfc().collect::<String>()))
    }

    /// Whether it is the same, as when it was typed twice. In constant time.
    ///
    /// ```
    /// use sigra::Password;
    ///
    /// assert!(Password::new("correct horse").matches(&Password::new("correct horse")));
    /// assert!(!Password::new("correct horse").matches(&Password::new("correct house")));
    /// ```
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self.expose().as_bytes().ct_eq(other.expose().as_bytes()).into()
    }

    /// Its length in code points, the unit in which NIST SP 800-63B-4 counts.
    #[must_use]
    pub fn code_points(&self) -> usize {
        self.0.expose_secret().chars().count()
    }

    /// The password itself, to be checked against rules. It goes into no log and no message.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password([redacted])")
    }
}

impl<'de> Deserialize<'de> for Password {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}
