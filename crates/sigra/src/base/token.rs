//! Tokens: 32 random bytes in a browser or an email, and their SHA-256 in the database.
//!
//! A token has 256 bits of entropy, four times what [OWASP] requires of a session identifier. A plain hash is enough:
//! nobody can guess a token, and a stolen table has no usable one.
//!
//! All tokens of a session begin with the same 16 bytes, its series. The other 16 bytes are new in each token. A thief
//! with an old token knows the series, and must still guess 128 bits. The series shows that a replaced token belonged
//! to the session, without a list of replaced tokens.
//!
//! [OWASP]: https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html#session-id-entropy

use std::{borrow::Cow, fmt};

use base64::{Engine, display::Base64Display, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::base::{
    error::Error,
    fingerprint::{Fingerprint, FingerprintKey},
};

const TOKEN_LEN: usize = 32;
const ENCODED_LEN: usize = 43;
const COOKIE_SESSION_ID_LEN: usize = 16;
/// How many bytes are the same in all tokens of a session.
const SERIES_LEN: usize = 16;

/// The purpose of a token that is sent by email. A token of one context is never accepted in another.
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
    /// A link that confirms an email address.
    Confirm,
    /// A link that resets a password.
    ResetPassword,
    /// A link that logs in.
    Login,
    /// A link that changes the email address. The value is the current one.
    ChangeEmail(&'a str),
    /// A link that [recovers an account](crate::Recovery::recover_in), for a user who is told of a change that they
    /// didn't make.
    Recovery,
}

impl<'a> Context<'a> {
    /// Returns the value of the column `context`.
    #[must_use]
    pub fn name(self) -> Cow<'a, str> {
        match self {
            Self::Confirm => "confirm".into(),
            Self::ResetPassword => "reset_password".into(),
            Self::Login => "login".into(),
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

/// Defines a kind of token. Each is a type, so that one can't be used as another.
macro_rules! token {
    ($(#[$attributes:meta])* $visibility:vis struct $name:ident;) => {
        $(#[$attributes])*
        #[derive(Clone)]
        $visibility struct $name(RawToken);

        impl $name {
            /// Generates a new token.
            ///
            /// # Errors
            ///
            /// [`Error::Random`] if the operating system returns no random bytes.
            pub fn generate() -> Result<Self, Error> {
                RawToken::generate().map(Self)
            }

            /// Parses a token as a cookie or a link has it: 43 characters of unpadded base64url (RFC 4648 section 5).
            /// Returns `None` for anything else.
            #[must_use]
            pub fn parse(encoded: &str) -> Option<Self> {
                RawToken::parse(encoded).map(Self)
            }

            /// Returns the token as a cookie or a link has it. It is wiped when dropped.
            #[must_use]
            pub fn encode(&self) -> Zeroizing<String> {
                self.0.encode()
            }

            /// Returns the SHA-256 of the token's bytes, as the database has it.
            #[must_use]
            pub fn hash(&self) -> TokenHash {
                self.0.hash()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "([redacted])"))
            }
        }
    };
}

token! {
    /// The secret of a session: 32 bytes from the operating system's random generator.
    ///
    /// `Debug` redacts it, and it is wiped when dropped. It has no `PartialEq`, because the database compares tokens by
    /// their [hash](TokenHash).
    ///
    /// ```
    /// use sigra::SessionToken;
    ///
    /// let token = SessionToken::generate()?;
    /// assert_eq!(format!("{token:?}"), "SessionToken([redacted])");
    ///
    /// let parsed = SessionToken::parse(&token.encode()).expect("what we encode, we parse");
    /// assert_eq!(parsed.hash(), token.hash());
    /// assert!(SessionToken::parse("not a token").is_none());
    /// # Ok::<(), sigra::Error>(())
    /// ```
    pub struct SessionToken;
}

impl SessionToken {
    /// Returns the fingerprint of the token by itself, without a cookie.
    pub(crate) fn fingerprint(&self, key: &FingerprintKey) -> Fingerprint {
        let mut fingerprint = key.begin();
        fingerprint.add(b't', &self.0.0);
        fingerprint.finish()
    }

    /// Generates the next token of the same session.
    pub(crate) fn successor(&self) -> Result<Self, Error> {
        let mut next = RawToken::generate()?;
        next.0[..SERIES_LEN].copy_from_slice(&self.0.0[..SERIES_LEN]);
        Ok(Self(next))
    }

    /// Returns the hashes that the database knows the token by.
    #[must_use]
    pub(crate) fn hashes(&self) -> SessionHashes {
        SessionHashes { token: self.hash(), series: self.series() }
    }

    fn series(&self) -> TokenHash {
        let series = Sha256::new().chain_update("sigra session series").chain_update(&self.0.0[..SERIES_LEN]);
        TokenHash(series.finalize().into())
    }

    /// Returns the id of a cookie session that begins under this token. It is derived from the token, so that
    /// simultaneous requests with a remembered token begin the same cookie session.
    pub(crate) fn cookie_session_id(&self) -> CookieSessionId {
        let digest = Sha256::new().chain_update("sigra cookie session id").chain_update(self.0.0).finalize();
        let mut id = CookieSessionId::default();
        id.0.copy_from_slice(&digest[..COOKIE_SESSION_ID_LEN]);
        id
    }
}

token! {
    /// The secret in a link that is sent by email: 32 bytes from the operating system's random generator. It works
    /// once.
    ///
    /// Like a [`SessionToken`], `Debug` redacts it, it is wiped when dropped, and the database compares it. They are
    /// two types, so that one can't be used as the other.
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
    pub struct EmailToken;
}

/// A valid token's user, and where and when the token was sent.
///
/// ```
/// # use sigra::doctest::User;
/// # use sigra::token::SentToken;
/// /// A token that was sent to one email address proves nothing about another.
/// fn is_still_theirs(sent: &SentToken<User>) -> bool {
///     sent.user.email == sent.to
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SentToken<U> {
    /// The user, as the database has them now.
    pub user: U,
    /// The email address that the token was sent to.
    pub to: String,
    /// When the token was sent.
    pub at: OffsetDateTime,
}

token! {
    /// The secret that identifies a browser, as a trusted or as a known one.
    pub(crate) struct BrowserToken;
}

#[cfg(any(feature = "oauth", feature = "oauth-server"))]
token! {
    /// A secret of a flow at a provider: its state, its nonce, or its PKCE verifier. Also a code of the OAuth server.
    pub(crate) struct FlowToken;
}

/// A refresh token of the OAuth server. Like those of a session, all tokens of a grant begin with the same 16 bytes.
#[cfg(feature = "oauth-server")]
pub(crate) struct RefreshToken(RawToken);

#[cfg(feature = "oauth-server")]
impl RefreshToken {
    /// What is between the application's prefix and the token.
    const TAG: &'static str = "_ort_";

    pub fn generate() -> Result<Self, Error> {
        RawToken::generate().map(Self)
    }

    /// Parses a token with this application's prefix.
    pub fn parse(text: &str, prefix: &str) -> Option<Self> {
        RawToken::parse(text.strip_prefix(prefix)?.strip_prefix(Self::TAG)?).map(Self)
    }

    pub fn encode(&self, prefix: &str) -> Zeroizing<String> {
        // With its whole capacity at once, because a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(prefix.len() + Self::TAG.len() + ENCODED_LEN));
        text.push_str(prefix);
        text.push_str(Self::TAG);
        text.push_str(&self.0.encode());
        text
    }

    pub fn hash(&self) -> TokenHash {
        self.0.hash()
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0.0
    }

    /// Returns the hash of the bytes that all tokens of its grant begin with.
    pub fn series(&self) -> TokenHash {
        let series = Sha256::new().chain_update("sigra refresh series").chain_update(&self.0.0[..SERIES_LEN]);
        TokenHash(series.finalize().into())
    }

    /// Returns the next token of the same grant, with the secret part from a MAC of this one.
    pub fn successor(&self, mac: &[u8; 32]) -> Self {
        let mut next = RawToken(self.0.0);
        next.0[SERIES_LEN..].copy_from_slice(&mac[..TOKEN_LEN - SERIES_LEN]);
        Self(next)
    }
}

#[cfg(feature = "oauth-server")]
impl fmt::Debug for RefreshToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefreshToken([redacted])")
    }
}

/// The id of a cookie session. It isn't secret, and displays as the cookie has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct CookieSessionId([u8; COOKIE_SESSION_ID_LEN]);

impl CookieSessionId {
    pub fn parse(encoded: &str) -> Option<Self> {
        // The decoder needs room for its estimate of the length.
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

/// The SHA-256 of a token. It finds the token's row, but nobody can log in with it.
///
/// ```
/// let token = sigra::SessionToken::generate()?;
/// assert_eq!(token.hash().as_bytes().len(), 32);
/// # Ok::<(), sigra::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Returns the 32 bytes of the column `token`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The hashes that the database knows a session token by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SessionHashes {
    /// The token's own hash, in the column `token`.
    pub token: TokenHash,
    /// The hash of the bytes that all tokens of its session begin with, in the column `series`.
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

/// Returns `N` bytes from the operating system's random generator.
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

    #[cfg(feature = "oauth-server")]
    #[test]
    fn invariant_22_a_refresh_token_has_one_successor_of_the_same_series() {
        let first = RefreshToken::generate().expect("randomness");
        let next = first.successor(&[7; 32]);
        assert_eq!((first.series(), next.hash()), (next.series(), first.successor(&[7; 32]).hash()));
        assert_ne!(first.hash(), next.hash());
        assert_ne!(next.hash(), first.successor(&[8; 32]).hash());
        let encoded = next.encode("my_app");
        assert!(encoded.starts_with("my_app_ort_"));
        assert_eq!(RefreshToken::parse(&encoded, "my_app").map(|parsed| parsed.hash()), Some(next.hash()));
        assert!(
            RefreshToken::parse(&encoded, "my").is_none() && RefreshToken::parse(&encoded[11..], "my_app").is_none()
        );
        assert_eq!(format!("{next:?}"), "RefreshToken([redacted])");
    }

    #[test]
    fn only_the_canonical_encoding_is_a_token() {
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
