//! A password as a user typed it.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer};
use subtle::ConstantTimeEq;
use unicode_normalization::{UnicodeNormalization, is_nfc};
use zeroize::Zeroizing;

/// A password as a user typed it, in NFC. `Debug` redacts it, and it is wiped when dropped.
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
    /// Creates a password from what the user typed, which is normalized to NFC.
    #[must_use]
    pub fn new(typed: impl Into<String>) -> Self {
        let typed = Zeroizing::new(typed.into());
        if is_nfc(&typed) {
            return Self(SecretString::from(typed.as_str()));
        }
        Self(SecretString::from(typed.nfc().collect::<String>()))
    }

    /// Returns whether two passwords are the same, in constant time. Use it for a password that must be typed twice.
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

    /// Returns the length in code points, the unit of NIST SP 800-63B-4.
    #[must_use]
    pub fn code_points(&self) -> usize {
        self.0.expose_secret().chars().count()
    }

    /// Returns the password itself, to check it against rules. Never put it into a log or a message.
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
