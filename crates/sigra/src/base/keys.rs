//! The secret of an application, the keys that are derived from it, and their rotation.

use std::fmt;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use chacha20poly1305::{
    XChaCha20Poly1305, XNonce,
    aead::{Aead, Payload},
};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::base::{error::Error, fingerprint::FingerprintKey, token::random_bytes};

/// The secret that every key is derived from (HKDF-SHA256, RFC 5869).
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
    /// The minimum length of a secret, in characters.
    pub const MIN_LEN: usize = 64;

    /// Creates a secret of at least [`MIN_LEN`](Self::MIN_LEN) characters. White space around it is removed, such as
    /// the line feed at the end of a file.
    ///
    /// # Errors
    ///
    /// [`SecretKeyBaseError`] if the secret is shorter. The message never shows the secret.
    pub fn new(secret: impl Into<String>) -> Result<Self, SecretKeyBaseError> {
        let secret = Zeroizing::new(secret.into());
        let secret = SecretString::from(secret.trim());
        let found = secret.expose_secret().chars().count();
        if found < Self::MIN_LEN {
            return Err(SecretKeyBaseError { found });
        }
        Ok(Self(secret))
    }

    /// Returns whether the secret can be guessed, however long it is: it has fewer than 8 different characters, or
    /// repeats a part that is at most half as long. Random secrets, hexadecimal or Base64, do neither.
    ///
    /// [`Config::check`](crate::Config::check) refuses a predictable secret if cookies are `Secure`.
    ///
    /// ```
    /// use sigra::SecretKeyBase;
    ///
    /// assert!(SecretKeyBase::new("0123456789".repeat(7))?.is_predictable());
    /// assert!(!SecretKeyBase::generate()?.is_predictable());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn is_predictable(&self) -> bool {
        const VARIETY: usize = 8;
        let bytes = self.0.expose_secret().as_bytes();
        let different = (0..=u8::MAX).filter(|byte| bytes.contains(byte)).count();
        let repeats = |period: usize| bytes[period..] == bytes[..bytes.len() - period];
        different < VARIETY || (1..=bytes.len() / 2).any(repeats)
    }

    /// Generates a random secret of 86 characters, for development and tests.
    ///
    /// # Errors
    ///
    /// [`Error::Random`] if the operating system returns no random bytes.
    pub fn generate() -> Result<Self, Error> {
        let bytes = Zeroizing::new(random_bytes::<64>()?);
        Ok(Self(SecretString::from(URL_SAFE_NO_PAD.encode(*bytes))))
    }

    /// Returns the secret itself. Write it only where nobody but the application can read it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Derives the key for one purpose. Two purposes never share a key, so that a value signed for one isn't accepted
    /// for the other.
    fn derive(&self, purpose: &str) -> SigningKey {
        // HMAC pads a key with zeros to the length of a block.
        let mut key = Zeroizing::new([0; 64]);
        self.expand(purpose, &mut key[..KEY]);
        SigningKey::new(&(*key).into())
    }

    fn derive_encryption_key(&self, purpose: &str) -> EncryptionKey {
        let (mut id, mut key) = ([0; KEY_ID], Zeroizing::new([0; KEY]));
        self.expand(&format!("{purpose}, id"), &mut id);
        self.expand(purpose, &mut *key);
        EncryptionKey { id, cipher: XChaCha20Poly1305::new(&(*key).into()) }
    }

    fn expand(&self, purpose: &str, key: &mut [u8]) {
        let derived = Hkdf::<Sha256>::new(None, self.0.expose_secret().as_bytes()).expand(purpose.as_bytes(), key);
        debug_assert!(derived.is_ok(), "HKDF-SHA256 returns up to 8160 bytes");
    }
}

impl fmt::Debug for SecretKeyBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKeyBase([redacted])")
    }
}

/// A secret that is too short. Displays its length, and never the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the secret has {found} characters and needs at least {}: generate one with `openssl rand -base64 48`",
    SecretKeyBase::MIN_LEN
)]
pub struct SecretKeyBaseError {
    found: usize,
}

/// The newest secret, and the older ones that still verify and decrypt.
#[derive(Clone, Debug)]
pub(crate) struct Secrets {
    pub newest: SecretKeyBase,
    pub older: Vec<SecretKeyBase>,
}

impl Secrets {
    /// Derives the key of the fingerprints for one purpose, from the newest secret.
    pub fn fingerprint_key(&self, purpose: &str) -> FingerprintKey {
        let mut key = Zeroizing::new([0; 16]);
        self.newest.expand(purpose, &mut *key);
        FingerprintKey::new(&key)
    }
}

/// HMAC-SHA256 (RFC 2104), ready to sign.
type SigningKey = Hmac<Sha256>;

/// The length of a key in bytes, which is that of a SHA-256 (RFC 2104 section 3).
const KEY: usize = 32;

/// The length of a signature in Base64. It precedes the value that it signs.
const SIGNATURE: usize = 44;

/// The keys of one purpose: the newest signs, all verify.
#[derive(Clone)]
pub(crate) struct SigningKeys {
    newest: SigningKey,
    older: Vec<SigningKey>,
}

/// Returns the MAC of a value that has parts. It contains their lengths, so that no two lists of parts have the same.
fn mac(key: &SigningKey, parts: &[&[u8]]) -> [u8; KEY] {
    let mac = parts
        .iter()
        .fold(key.clone(), |mac, part| mac.chain_update((part.len() as u64).to_be_bytes()).chain_update(part));
    mac.finalize().into_bytes().into()
}

/// A value with a valid signature.
pub(crate) struct Verified<'a> {
    pub value: &'a str,
    /// Whether a key that is being rotated out signed it. If so, sign it again.
    pub outdated: bool,
}

impl SigningKeys {
    pub fn derive(secrets: &Secrets, purpose: &str) -> Self {
        let Secrets { newest, older } = secrets;
        Self { newest: newest.derive(purpose), older: older.iter().map(|secret| secret.derive(purpose)).collect() }
    }

    pub fn sign(&self, value: &str) -> String {
        let mac = self.newest.clone().chain_update(value).finalize();
        STANDARD.encode(mac.into_bytes()) + value
    }

    /// Returns the MAC of a value that has parts, by the newest key.
    pub fn mac(&self, parts: &[&[u8]]) -> [u8; KEY] {
        mac(&self.newest, parts)
    }

    /// Returns the MACs of a value that has parts: that of the newest key first.
    #[cfg(feature = "oauth-server")]
    pub fn macs(&self, parts: &[&[u8]]) -> Vec<Zeroizing<[u8; KEY]>> {
        std::iter::once(&self.newest).chain(&self.older).map(|key| Zeroizing::new(mac(key, parts))).collect()
    }

    pub fn verify<'a>(&self, signed: &'a str) -> Option<Verified<'a>> {
        let (signature, value) = signed.split_at_checked(SIGNATURE)?;
        // The decoder needs room for its estimate of the length.
        let mut mac = [0; SIGNATURE / 4 * 3];
        let len = STANDARD.decode_slice(signature, &mut mac).ok()?;
        let holds = |key: &SigningKey| key.clone().chain_update(value).verify_slice(&mac[..len]).is_ok();
        if holds(&self.newest) {
            return Some(Verified { value, outdated: false });
        }
        self.older.iter().any(holds).then_some(Verified { value, outdated: true })
    }
}

/// The length of a key's id in bytes. The id precedes what the key encrypts. It is derived from the secret, and isn't
/// secret itself.
const KEY_ID: usize = 8;

/// The length of a nonce in bytes: long enough to be random (draft-irtf-cfrg-xchacha section 3.1).
const NONCE: usize = 24;

#[derive(Clone)]
struct EncryptionKey {
    id: [u8; KEY_ID],
    cipher: XChaCha20Poly1305,
}

/// The keys of one purpose: the newest encrypts, all decrypt (XChaCha20-Poly1305).
#[derive(Clone)]
pub(crate) struct EncryptionKeys {
    newest: EncryptionKey,
    older: Vec<EncryptionKey>,
}

impl EncryptionKeys {
    pub fn derive(secrets: &Secrets, purpose: &str) -> Self {
        let Secrets { newest, older } = secrets;
        let older = older.iter().map(|secret| secret.derive_encryption_key(purpose)).collect();
        Self { newest: newest.derive_encryption_key(purpose), older }
    }

    /// Returns the id that everything encrypted with the newest key begins with.
    pub fn newest_id(&self) -> &[u8] {
        &self.newest.id
    }

    /// Encrypts a secret for one context, such as a user. It can't be decrypted in another.
    pub fn encrypt(&self, secret: &[u8], context: &str) -> Result<Vec<u8>, Error> {
        let nonce = random_bytes::<NONCE>()?;
        let payload = Payload { msg: secret, aad: context.as_bytes() };
        let encrypted = self.newest.cipher.encrypt(&XNonce::from(nonce), payload);
        let encrypted = encrypted.map_err(|_| Error::Encryption)?;
        Ok([self.newest.id.as_slice(), &nonce, &encrypted].concat())
    }

    /// Decrypts a secret. Returns `None` if it was changed, belongs to another context, or its key is no longer known.
    pub fn decrypt(&self, encrypted: &[u8], context: &str) -> Option<Zeroizing<Vec<u8>>> {
        let (id, rest) = encrypted.split_first_chunk::<KEY_ID>()?;
        let (nonce, ciphertext) = rest.split_first_chunk::<NONCE>()?;
        let mut keys = std::iter::once(&self.newest).chain(&self.older);
        let key = keys.find(|key| key.id == *id)?;
        let payload = Payload { msg: ciphertext, aad: context.as_bytes() };
        key.cipher.decrypt(&XNonce::from(*nonce), payload).ok().map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn white_space_around_a_secret_is_removed() {
        let of_file = SecretKeyBase::new(format!(" {}\r\n", "k".repeat(64))).expect("long enough");
        assert_eq!(of_file.expose(), "k".repeat(64));
        assert!(SecretKeyBase::new(" ".repeat(64)).is_err());
    }

    #[test]
    fn random_secrets_are_not_predictable_and_repeated_ones_are() {
        for _ in 0..1000 {
            let bytes = random_bytes::<32>().expect("randomness");
            let hexadecimal: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert!(!SecretKeyBase::new(hexadecimal).expect("64 characters").is_predictable());
        }
        let uneven = "k".repeat(32) + &"0123456789abcdef".repeat(4);
        assert!(!SecretKeyBase::new(uneven).expect("96 characters").is_predictable());
        for repeated in ["a".repeat(64), "\u{e9}".repeat(64), "ab".repeat(32), "0123456789".repeat(10) + "0123"] {
            assert!(SecretKeyBase::new(repeated).expect("64 characters").is_predictable());
        }
    }

    #[test]
    fn a_secret_encrypted_before_a_rotation_is_decrypted_after_it() {
        let old = EncryptionKeys::derive(&secrets(secret("a"), &[]), "p");
        let rotated = EncryptionKeys::derive(&secrets(secret("b"), &[secret("a")]), "p");
        let finished = EncryptionKeys::derive(&secrets(secret("b"), &[]), "p");

        let encrypted = old.encrypt(b"seed", "ada").expect("encrypted");
        assert_eq!(rotated.decrypt(&encrypted, "ada").expect("decrypted").as_slice(), b"seed");
        assert!(finished.decrypt(&encrypted, "ada").is_none());
        assert!(!encrypted.starts_with(rotated.newest_id()));
        assert!(rotated.encrypt(b"seed", "ada").expect("encrypted").starts_with(finished.newest_id()));
    }

    #[test]
    fn a_secret_encrypted_for_one_context_cannot_be_decrypted_in_another() {
        let keys = EncryptionKeys::derive(&secrets(secret("a"), &[]), "p");
        let encrypted = keys.encrypt(b"seed", "ada").expect("encrypted");
        assert!(keys.decrypt(&encrypted, "eve").is_none());
        assert!(EncryptionKeys::derive(&secrets(secret("a"), &[]), "q").decrypt(&encrypted, "ada").is_none());
        assert_ne!(encrypted, keys.encrypt(b"seed", "ada").expect("encrypted"), "nonces differ");
        for at in 0..encrypted.len() {
            let mut tampered = encrypted.clone();
            tampered[at] ^= 1;
            assert!(keys.decrypt(&tampered, "ada").is_none(), "byte {at}");
            assert!(keys.decrypt(&encrypted[..at], "ada").is_none(), "cut to {at}");
        }
    }

    fn secrets(newest: SecretKeyBase, older: &[SecretKeyBase]) -> Secrets {
        Secrets { newest, older: older.to_vec() }
    }

    fn secret(letter: &str) -> SecretKeyBase {
        SecretKeyBase::new(letter.repeat(64)).expect("long enough")
    }

    #[test]
    fn the_newest_key_signs_and_all_verify() {
        let old = SigningKeys::derive(&secrets(secret("a"), &[]), "p");
        let rotated = SigningKeys::derive(&secrets(secret("b"), &[secret("a")]), "p");
        let finished = SigningKeys::derive(&secrets(secret("b"), &[]), "p");

        let signed = old.sign("value");
        assert!(rotated.verify(&signed).is_some_and(|v| v.outdated && v.value == "value"));
        assert!(finished.verify(&signed).is_none());
        assert!(finished.verify(&rotated.sign("value")).is_some_and(|v| !v.outdated));
    }

    #[test]
    fn a_value_signed_for_one_purpose_is_refused_for_another() {
        let session = SigningKeys::derive(&secrets(secret("a"), &[]), "session");
        let remember = SigningKeys::derive(&secrets(secret("a"), &[]), "remember");
        assert!(remember.verify(&session.sign("value")).is_none());
    }

    #[test]
    fn macs_of_different_parts_or_keys_differ() {
        let keys = SigningKeys::derive(&secrets(secret("a"), &[]), "p");
        let mac = |parts: &[&str]| keys.mac(&parts.iter().map(|part| part.as_bytes()).collect::<Vec<_>>());
        assert_ne!(mac(&["ab", "c", ""]), mac(&["a", "bc", ""]));
        assert_ne!(mac(&["a", "c", "b"]), mac(&["a", "b", "c"]));
        assert_ne!(mac(&["log in", "ada"]), mac(&["log in", "", "ada"]));
        let rotated = SigningKeys::derive(&secrets(secret("b"), &[secret("a")]), "p");
        assert_ne!(rotated.mac(&[b"ada"]), mac(&["ada"]));
    }

    #[test]
    fn every_changed_byte_breaks_the_signature() {
        let keys = SigningKeys::derive(&secrets(secret("a"), &[]), "p");
        let signed = keys.sign("value");
        for at in 0..signed.len() {
            let mut bytes = signed.clone().into_bytes();
            bytes[at] ^= 1;
            let tampered = String::from_utf8(bytes).expect("ascii");
            assert!(keys.verify(&tampered).is_none(), "byte {at}");
        }
        for len in 0..signed.len() {
            assert!(keys.verify(&signed[..len]).is_none(), "cut to {len}");
        }
    }
}
