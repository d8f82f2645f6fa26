//! `SECRET_KEY_BASE`, the keys derived from it, and their rotation.

use std::fmt;

use cookie::{Cookie, CookieJar, Key};
use hkdf::Hkdf;
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The shortest secret that is accepted, in characters.
pub const MIN_SECRET_LEN: usize = 64;

/// The secret that every signing key is derived from (HKDF-SHA256, RFC 5869).
///
/// ```
/// use sigra::SecretKeyBase;
///
/// let secret = SecretKeyBase::new("k".repeat(64))?;
/// assert_eq!(format!("{secret:?}"), "SecretKeyBase([redacted])");
/// assert!(SecretKeyBase::new("too short").is_err());
/// # Ok::<(), sigra::SecretKeyBaseError>(())
/// ```
#[derive(Clone)]
pub struct SecretKeyBase(SecretString);

impl SecretKeyBase {
    /// Takes a secret of at least [`MIN_SECRET_LEN`] characters.
    ///
    /// # Errors
    ///
    /// [`SecretKeyBaseError`] when the secret is shorter; the message never shows the secret.
    pub fn new(secret: impl Into<String>) -> Result<Self, SecretKeyBaseError> {
        let secret = SecretString::from(secret.into());
        let found = secret.expose_secret().chars().count();
        if found < MIN_SECRET_LEN {
            return Err(SecretKeyBaseError { found });
        }
        Ok(Self(secret))
    }

    /// A fresh random secret of 86 characters, for development and tests.
    ///
    /// # Errors
    ///
    /// [`crate::Error::Random`] when the operating system has no randomness to give.
    pub fn generate() -> Result<Self, crate::Error> {
        use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
        let bytes = Zeroizing::new(crate::token::random_bytes::<64>()?);
        Ok(Self(SecretString::from(URL_SAFE_NO_PAD.encode(*bytes))))
    }

    /// The secret itself, to be written where only the application can read it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// A key for one purpose. Two purposes never share a key, so a value that was signed for one is
    /// not accepted for another.
    fn derive(&self, purpose: &str) -> Key {
        let mut bytes = Zeroizing::new([0; 64]);
        let derived = Hkdf::<Sha256>::new(None, self.0.expose_secret().as_bytes())
            .expand(purpose.as_bytes(), bytes.as_mut_slice());
        debug_assert!(derived.is_ok(), "HKDF-SHA256 gives up to 8160 bytes");
        Key::from(bytes.as_slice())
    }
}

impl fmt::Debug for SecretKeyBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKeyBase([redacted])")
    }
}

/// A secret that is too short to be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "SECRET_KEY_BASE has {found} characters and needs at least {MIN_SECRET_LEN}: generate one with `openssl rand -base64 48`"
)]
pub struct SecretKeyBaseError {
    found: usize,
}

/// The keys of one purpose: the newest signs, all verify.
#[derive(Clone)]
pub(crate) struct SigningKeys {
    newest: Key,
    older: Vec<Key>,
}

/// A value whose signature held.
pub(crate) struct Verified {
    cookie: Cookie<'static>,
    /// Signed by a key that is being rotated out: sign it again.
    pub outdated: bool,
}

impl SigningKeys {
    pub fn derive(newest: &SecretKeyBase, older: &[SecretKeyBase], purpose: &str) -> Self {
        Self { newest: newest.derive(purpose), older: older.iter().map(|secret| secret.derive(purpose)).collect() }
    }

    pub fn sign(&self, value: &str) -> String {
        let mut jar = CookieJar::new();
        jar.signed_mut(&self.newest).add(("", value.to_owned()));
        jar.get("").map(|signed| signed.value().to_owned()).unwrap_or_default()
    }

    pub fn verify(&self, signed: String) -> Option<Verified> {
        let jar = CookieJar::new();
        let signed = Cookie::new("", signed);
        // The clone is for the rare case that there is another key to try.
        let retry = (!self.older.is_empty()).then(|| signed.clone());
        if let Some(cookie) = jar.signed(&self.newest).verify(signed) {
            return Some(Verified { cookie, outdated: false });
        }
        let retry = retry?;
        let cookie = self.older.iter().find_map(|key| jar.signed(key).verify(retry.clone()))?;
        Some(Verified { cookie, outdated: true })
    }
}

impl Verified {
    pub fn value(&self) -> &str {
        self.cookie.value()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(letter: &str) -> SecretKeyBase {
        SecretKeyBase::new(letter.repeat(64)).expect("long enough")
    }

    #[test]
    fn the_newest_key_signs_and_all_verify() {
        let old = SigningKeys::derive(&secret("a"), &[], "p");
        let rotated = SigningKeys::derive(&secret("b"), &[secret("a")], "p");
        let finished = SigningKeys::derive(&secret("b"), &[], "p");

        let signed = old.sign("value");
        assert!(rotated.verify(signed.clone()).is_some_and(|v| v.outdated && v.value() == "value"));
        assert!(finished.verify(signed).is_none());
        assert!(finished.verify(rotated.sign("value")).is_some_and(|v| !v.outdated));
    }

    #[test]
    fn a_value_signed_for_one_purpose_is_refused_for_another() {
        let session = SigningKeys::derive(&secret("a"), &[], "session");
        let remember = SigningKeys::derive(&secret("a"), &[], "remember");
        assert!(remember.verify(session.sign("value")).is_none());
    }

    #[test]
    fn every_changed_byte_breaks_the_signature() {
        let keys = SigningKeys::derive(&secret("a"), &[], "p");
        let signed = keys.sign("value");
        for at in 0..signed.len() {
            let mut bytes = signed.clone().into_bytes();
            bytes[at] ^= 1;
            let tampered = String::from_utf8(bytes).expect("ascii");
            assert!(keys.verify(tampered).is_none(), "byte {at}");
        }
        for len in 0..signed.len() {
            assert!(keys.verify(signed[..len].to_owned()).is_none(), "cut to {len}");
        }
    }
}
