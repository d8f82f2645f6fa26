//! Tokens: 32 random bytes that a browser or a mail holds, and the SHA-256 that the database holds.
//!
//! A token has 256 bits of entropy, four times what [OWASP] asks of a session identifier, so a plain
//! hash is enough: there is nothing to guess, and a stolen table gives no usable token.
//!
//! All tokens that a session ever has begin with the same 16 bytes, its series. The other 16 are new in each. Whoever
//! knows a token of before knows the series, and has 128 bits left to guess; by the series one can tell that the token
//! was the session's, without a list of those that were replaced.
//!
//! [OWASP]: https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html#session-id-entropy

use std::{borrow::Cow, fmt};

use base64::{Engine, display::Base64Display, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::base::error::Error;

const TOKEN_LEN: usize = 32;
const ENCODED_LEN: usize = 43;
const COOKIE_SESSION_ID_LEN: usize = 16;
/// How much of a session token is the same in all tokens of the session.
const SERIES_LEN: usize = 16;

/// What a row of `users_tokens` is for. A token of one context is never accepted in another.
///
/// ```
/// use sigra::token::Context;
///
/// assert_eq!(Context::ResetPassword.name(), "reset_password");
/// assert_eq!(Context::ChangeEmail("ada@example.com").name(), "change:ada@example.com");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Context<'a> {
    /// A logged-in browser.
    Session,
    /// A link that confirms an email address.
    Confirm,
    /// A link that sets a new password.
    ResetPassword,
    /// A link that logs in.
    LogIn,
    /// A link that changes the email address, which is this one until then.
    ChangeEmail(&'a str),
    /// A link for who did not do what a mail tells of: it [takes the account back](crate::Recovery::recover_in).
    Recovery,
}

impl<'a> Context<'a> {
    /// The value of the column `context`.
    #[must_use]
    pub fn name(self) -> Cow<'a, str> {
        match self {
            Self::Session => "session".into(),
            Self::Confirm => "confirm".into(),
            Self::ResetPassword => "reset_password".into(),
            Self::LogIn => "login".into(),
            Self::ChangeEmail(current) => format!("change:{current}").into(),
            Self::Recovery => "recovery".into(),
        }
    }
}

/// 32 bytes from the operating system's random generator, wiped when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct RawToken([u8; TOKEN_LEN]);

impl RawToken {
    fn generate() -> Result<Self, Error> {
        Ok(Self(random_bytes()?))
    }

    fn parse(encoded: &str) -> Option<Self> {
        if encoded.len() != ENCODED_LEN {
            return None;
        }
        let mut token = Self([0; TOKEN_LEN]);
        match URL_SAFE_NO_PAD.decode_slice(encoded, &mut token.0) {
            Ok(TOKEN_LEN) => Some(token),
            _ => None,
        }
    }

    fn encode(&self) -> Zeroizing<String> {
        Zeroizing::new(URL_SAFE_NO_PAD.encode(self.0))
    }

    fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0).into())
    }
}

/// The raw secret that proves a session: 32 bytes from the operating system's random generator.
///
/// It redacts itself in `Debug`, is wiped when dropped, and has no `PartialEq`: tokens are compared
/// by the database, through their [hash](TokenHash).
///
/// ```
/// use sigra::SessionToken;
///
/// let token = SessionToken::generate()?;
/// assert_eq!(format!("{token:?}"), "SessionToken([redacted])");
///
/// let parsed = SessionToken::parse(&token.encode()).expect("what we encode, we parse");
/// assert_eq!(parsed.hash(), token.hash());
/// # Ok::<(), sigra::Error>(())
/// ```
#[derive(Clone)]
pub struct SessionToken(RawToken);

impl SessionToken {
    /// A fresh token.
    ///
    /// # Errors
    ///
    /// [`Error::Random`] when the operating system has no randomness to give.
    pub fn generate() -> Result<Self, Error> {
        RawToken::generate().map(Self)
    }

    /// Reads a token as the browser sends it: 43 characters of unpadded base64url (RFC 4648 section 5).
    ///
    /// Gives `None` for anything else, which makes the request anonymous.
    ///
    /// ```
    /// assert!(sigra::SessionToken::parse("not a token").is_none());
    /// ```
    #[must_use]
    pub fn parse(encoded: &str) -> Option<Self> {
        RawToken::parse(encoded).map(Self)
    }

    /// The token as the browser holds it; wiped when dropped.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        self.0.encode()
    }

    /// The SHA-256 of the token's bytes, as the database holds it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        self.0.hash()
    }

    /// Another token of the same session.
    pub(crate) fn successor(&self) -> Result<Self, Error> {
        let mut next = RawToken::generate()?;
        next.0[..SERIES_LEN].copy_from_slice(&self.0.0[..SERIES_LEN]);
        Ok(Self(next))
    }

    /// The hashes that the database knows the token by.
    #[must_use]
    pub(crate) fn hashes(&self) -> SessionHashes {
        SessionHashes { token: self.hash(), series: self.series() }
    }

    fn series(&self) -> TokenHash {
        let series = Sha256::new().chain_update("sigra session series").chain_update(&self.0.0[..SERIES_LEN]);
        TokenHash(series.finalize().into())
    }

    /// The id of a cookie session that begins under this token. It follows from the token, so that
    /// requests which take up a remembered token side by side begin the same cookie session.
    pub(crate) fn cookie_session_id(&self) -> CookieSessionId {
        let digest = Sha256::new().chain_update("sigra cookie session id").chain_update(self.0.0).finalize();
        let mut id = CookieSessionId::default();
        id.0.copy_from_slice(&digest[..COOKIE_SESSION_ID_LEN]);
        id
    }
}

/// The raw secret in a link that is sent by mail: 32 bytes from the operating system's random generator. It
/// works once.
///
/// Like a [`SessionToken`] it redacts itself, is wiped when dropped and is compared by the database; that
/// they are two types keeps one from being taken for the other.
///
/// ```
/// use sigra::EmailToken;
///
/// let token = EmailToken::generate()?;
/// assert_eq!(format!("{token:?}"), "EmailToken([redacted])");
/// assert!(EmailToken::parse(&token.encode()).is_some());
/// assert!(EmailToken::parse("not a token").is_none());
/// # Ok::<(), sigra::Error>(())
/// ```
#[derive(Clone)]
pub struct EmailToken(RawToken);

impl EmailToken {
    /// A fresh token.
    ///
    /// # Errors
    ///
    /// [`Error::Random`] when the operating system has no randomness to give.
    pub fn generate() -> Result<Self, Error> {
        RawToken::generate().map(Self)
    }

    /// Reads a token as the link has it. Gives `None` for anything else.
    #[must_use]
    pub fn parse(encoded: &str) -> Option<Self> {
        RawToken::parse(encoded).map(Self)
    }

    /// The token as the link has it; wiped when dropped.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<String> {
        self.0.encode()
    }

    /// The SHA-256 of the token's bytes, as the database holds it.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        self.0.hash()
    }
}

/// The raw secret by which a browser is told from others: trusted without a second factor, or known.
#[derive(Clone)]
pub(crate) struct BrowserToken(RawToken);

impl BrowserToken {
    pub fn generate() -> Result<Self, Error> {
        RawToken::generate().map(Self)
    }

    pub fn parse(encoded: &str) -> Option<Self> {
        RawToken::parse(encoded).map(Self)
    }

    pub fn encode(&self) -> Zeroizing<String> {
        self.0.encode()
    }

    pub fn hash(&self) -> TokenHash {
        self.0.hash()
    }
}

impl fmt::Debug for BrowserToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BrowserToken([redacted])")
    }
}

impl fmt::Debug for EmailToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EmailToken([redacted])")
    }
}

/// Names a cookie session. It is no secret, and shown as the cookie has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CookieSessionId([u8; COOKIE_SESSION_ID_LEN]);

impl CookieSessionId {
    pub fn parse(encoded: &str) -> Option<Self> {
        // The decoder wants room for an estimate.
        let mut decoded = [0; COOKIE_SESSION_ID_LEN + 2];
        let len = URL_SAFE_NO_PAD.decode_slice(encoded, &mut decoded).ok()?;
        decoded[..len].try_into().ok().map(Self)
    }
}

impl fmt::Display for CookieSessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::new(&self.0, &URL_SAFE_NO_PAD).fmt(f)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken([redacted])")
    }
}

/// The SHA-256 of a token. It finds the token's row, and proves nothing.
///
/// ```
/// let token = sigra::SessionToken::generate()?;
/// assert_eq!(token.hash().as_bytes().len(), 32);
/// # Ok::<(), sigra::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The 32 bytes that stand in the column `token`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What the database knows a session token by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionHashes {
    /// The token's own hash, in the column `token`.
    pub token: TokenHash,
    /// The hash of what all tokens of its session begin with, in the column `series`.
    pub series: TokenHash,
}

impl From<[u8; 32]> for TokenHash {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl AsRef<[u8]> for TokenHash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// `N` bytes from the operating system's random generator.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256_of_the_decoded_bytes() {
        let token = SessionToken::parse("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").expect("32 zeros");
        let hash: String = token.hash().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, "66687aadf862bd776c8fc18b8e9f8e20089714856ee233b3902a591d0d5f2925");
    }

    #[test]
    fn the_tokens_of_a_session_share_their_series_and_nothing_else() {
        let first = SessionToken::generate().expect("randomness");
        let second = first.successor().expect("randomness");
        assert_eq!(first.hashes().series, second.hashes().series);
        assert_ne!(first.hash(), second.hash());
        assert_ne!(first.0.0[SERIES_LEN..], second.0.0[SERIES_LEN..]);
        let other = SessionToken::generate().expect("randomness");
        assert_ne!(other.hashes().series, first.hashes().series);
        assert_ne!(first.hashes().series, first.hash());
    }

    #[test]
    fn only_the_one_canonical_spelling_is_a_token() {
        let token = SessionToken::generate().expect("randomness");
        let good = token.encode();
        for bad in [
            String::new(),
            good[..42].to_owned(),
            format!("{}=", *good),
            format!("{}A", *good),
            good.replace(|_| true, "+"),
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB".to_owned(), // stray bits after the last byte
            "é".repeat(22),
        ] {
            assert!(SessionToken::parse(&bad).is_none(), "{bad:?}");
        }
    }
}
