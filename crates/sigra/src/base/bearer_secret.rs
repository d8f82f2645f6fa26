//! The text of a bearer token: the application's prefix, the kind, 30 random characters and a checksum.
//!
//! `my_app_pat_` says where a leaked token belongs, so secret scanners find it. The last 6 characters are the CRC-32 of
//! the 30 before them in base62, as in the tokens of [GitHub]. A mistyped or invented token therefore costs no query.
//! The 30 characters have 178 bits of entropy.
//!
//! [GitHub]: https://github.blog/engineering/behind-githubs-new-authentication-token-formats/

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::base::{
    error::Error,
    fingerprint::{Fingerprint, FingerprintKey},
    token::{TokenHash, random_bytes},
};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

const RANDOM: usize = 30;
const CHECKSUM: usize = 6;

/// The kinds of bearer tokens. Each has its own table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum BearerKind {
    /// A personal access token: `api_tokens`.
    Personal,
    /// An access token of the OAuth server: `oauth_tokens`.
    #[cfg(feature = "oauth-server")]
    Client,
}

impl BearerKind {
    const ALL: &'static [Self] = &[
        Self::Personal,
        #[cfg(feature = "oauth-server")]
        Self::Client,
    ];

    /// Returns what is between the application's prefix and the random characters.
    fn tag(self) -> &'static str {
        match self {
            Self::Personal => "_pat_",
            #[cfg(feature = "oauth-server")]
            Self::Client => "_oat_",
        }
    }
}

/// What the database knows a bearer token by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BearerKey {
    pub kind: BearerKind,
    pub hash: TokenHash,
}

/// A new bearer token. It is wiped when dropped.
#[derive(Clone)]
pub(crate) struct BearerSecret(Zeroizing<String>);

impl BearerSecret {
    pub fn generate(prefix: &str, kind: BearerKind) -> Result<Self, Error> {
        let random = random_characters()?;
        // With its whole capacity at once, because a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(prefix.len() + kind.tag().len() + RANDOM + CHECKSUM));
        text.push_str(prefix);
        text.push_str(kind.tag());
        text.extend(random.iter().chain(&checksum(&*random)).map(|digit| char::from(*digit)));
        Ok(Self(text))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn hash(&self) -> TokenHash {
        hash(&self.0)
    }

    /// Returns the last four characters.
    pub fn hint(&self) -> &str {
        &self.0[self.0.len() - 4..]
    }
}

impl fmt::Debug for BearerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerSecret([redacted])")
    }
}

/// A bearer token in a request, whose checksum is right.
#[derive(Clone, Copy)]
pub(crate) struct PresentedBearer<'a> {
    kind: BearerKind,
    text: &'a str,
}

impl<'a> PresentedBearer<'a> {
    /// Parses a token with this application's prefix.
    pub fn parse(text: &'a str, prefix: &str) -> Option<Self> {
        let rest = text.strip_prefix(prefix)?;
        let parse = |kind: &BearerKind| Some((*kind, rest.strip_prefix(kind.tag())?.as_bytes()));
        let (kind, digits) = BearerKind::ALL.iter().find_map(parse)?;
        let (random, sum) = digits.split_at_checked(RANDOM)?;
        (random.iter().all(u8::is_ascii_alphanumeric) && sum == checksum(random)).then_some(Self { kind, text })
    }

    pub fn key(self) -> BearerKey {
        BearerKey { kind: self.kind, hash: hash(self.text) }
    }

    pub fn fingerprint(self, key: &FingerprintKey) -> Fingerprint {
        let mut fingerprint = key.begin();
        fingerprint.add(b'b', self.text.as_bytes());
        fingerprint.finish()
    }
}

impl fmt::Debug for PresentedBearer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresentedBearer([redacted])")
    }
}

fn hash(text: &str) -> TokenHash {
    <[u8; 32]>::from(Sha256::digest(text)).into()
}

/// Returns characters that are all equally likely: a byte above the largest multiple of 62 is drawn again.
fn random_characters() -> Result<Zeroizing<[u8; RANDOM]>, Error> {
    let mut characters = Zeroizing::new([0; RANDOM]);
    let mut filled = 0;
    while filled < RANDOM {
        let drawn = Zeroizing::new(random_bytes::<{ RANDOM + 8 }>()?);
        let fair = drawn.iter().filter(|byte| **byte < 4 * 62);
        for (place, byte) in characters[filled..].iter_mut().zip(fair) {
            *place = BASE62[usize::from(byte % 62)];
            filled += 1;
        }
    }
    Ok(characters)
}

/// Returns the CRC-32 in base62, with leading zeros.
fn checksum(random: &[u8]) -> [u8; CHECKSUM] {
    let mut rest = crc32fast::hash(random);
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn generate() -> BearerSecret {
        BearerSecret::generate("my_app", BearerKind::Personal).expect("randomness")
    }

    #[test]
    fn a_token_is_prefix_kind_30_characters_and_6_of_their_crc_32() {
        let token = generate();
        let digits = token.as_str().strip_prefix("my_app_pat_").expect("the prefix");
        assert_eq!(digits.len(), 36);
        assert!(digits.bytes().all(|digit| BASE62.contains(&digit)), "a double click selects it");
        assert!(token.as_str().ends_with(token.hint()));
        let presented = PresentedBearer::parse(token.as_str(), "my_app").expect("what we generate, we parse");
        assert_eq!(presented.key(), BearerKey { kind: BearerKind::Personal, hash: token.hash() });
        assert!(PresentedBearer::parse(token.as_str(), "other").is_none());
        assert!(PresentedBearer::parse(token.as_str(), "my").is_none());
    }

    /// The check value of CRC-32/ISO-HDLC for `123456789` is cbf43926.
    #[test]
    fn the_checksum_is_that_of_zip_and_png() {
        let value = checksum(b"123456789").iter().fold(0, |value, digit| {
            value * 62 + BASE62.iter().position(|known| known == digit).expect("a digit") as u64
        });
        assert_eq!(value, 0xcbf4_3926);
    }

    #[test]
    fn each_single_wrong_character_is_noticed() {
        let token = generate();
        let good = token.as_str();
        for at in 0..good.len() {
            let wrong = if &good[at..=at] == "x" { "y" } else { "x" };
            let bad = format!("{}{wrong}{}", &good[..at], &good[at + 1..]);
            assert!(PresentedBearer::parse(&bad, "my_app").is_none(), "{at}");
        }
        for bad in ["", "my_app_pat_", &good[1..], &good[..good.len() - 1], &format!("{good}0"), "my_app_pat_ééé"] {
            assert!(PresentedBearer::parse(bad, "my_app").is_none());
        }
    }

    #[test]
    fn all_characters_are_equally_likely() {
        let mut counts = BTreeMap::<u8, usize>::new();
        for _ in 0..2000 {
            random_characters().expect("randomness").iter().for_each(|digit| *counts.entry(*digit).or_default() += 1);
        }
        assert_eq!(counts.len(), 62);
        // 60,000 characters: 968 of each, plus or minus 31. Without drawing again, 8 of them would have 1172.
        assert!(counts.values().all(|count| (800..1140).contains(count)), "{counts:?}");
    }

    #[test]
    fn invariant_1_debug_output_has_no_token() {
        let token = generate();
        assert_eq!(format!("{token:?}"), "BearerSecret([redacted])");
        let presented = PresentedBearer::parse(token.as_str(), "my_app").expect("a token");
        assert_eq!(format!("{presented:?}"), "PresentedBearer([redacted])");
    }
}
