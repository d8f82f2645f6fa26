use std::time::Duration;

use zeroize::Zeroizing;

use crate::base::token::{BrowserToken, TokenHash};

/// How long a browser is known after a login. Browsers keep cookies no longer (RFC 6265bis section 5.6).
pub(crate) const KNOWN_BROWSER_TTL: Duration = Duration::from_secs(400 * 24 * 60 * 60);

/// The tokens of a trusted browser. If there are too many users, the one who trusted it first must present a
/// second factor again.
pub(crate) type TrustTokens = BrowserTokens<4>;

/// The tokens of a known browser.
pub(crate) type KnownTokens = BrowserTokens<8>;

/// Tokens that identify a browser: at most `MAX`, one for each of its users, the latest at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct BrowserTokens<const MAX: usize>(Vec<BrowserToken>);

impl<const MAX: usize> BrowserTokens<MAX> {
    pub fn parse(value: &str) -> Option<Self> {
        value.split('.').map(BrowserToken::parse).collect::<Option<_>>().map(Self)
    }

    /// Joins the tokens of several cookies with the same name.
    pub fn all_of(cookies: Vec<Self>) -> Self {
        Self(cookies.into_iter().flat_map(|cookie| cookie.0).collect())
    }

    pub fn encode(&self) -> Zeroizing<String> {
        let mut encoded = Zeroizing::new(String::new());
        for token in &self.0 {
            if !encoded.is_empty() {
                encoded.push('.');
            }
            encoded.push_str(&token.encode());
        }
        encoded
    }

    pub fn iter(&self) -> impl Iterator<Item = &BrowserToken> {
        self.0.iter()
    }

    pub fn hashes(&self) -> Vec<TokenHash> {
        self.0.iter().map(BrowserToken::hash).collect()
    }

    /// Adds a token, which can replace another one.
    pub fn put(&mut self, token: BrowserToken, in_place_of: Option<TokenHash>) {
        let mut held = Vec::new();
        self.0.retain(|token| {
            let hash = token.hash();
            let is_kept = Some(hash) != in_place_of && !held.contains(&hash);
            held.push(hash);
            is_kept
        });
        self.0.push(token);
        let oldest = self.0.len().saturating_sub(MAX);
        self.0.drain(..oldest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_keeps_the_latest_tokens() {
        let tokens: Vec<BrowserToken> = (0..6).map(|_| BrowserToken::generate().expect("randomness")).collect();
        let mut held = TrustTokens::default();
        tokens.iter().for_each(|token| held.put(token.clone(), None));
        let held = TrustTokens::parse(&held.encode()).expect("what we write, we read");
        let hashes: Vec<_> = held.iter().map(BrowserToken::hash).collect();
        assert_eq!(hashes, tokens[2..].iter().map(BrowserToken::hash).collect::<Vec<_>>());

        let mut held = held;
        let (first, fresh) = (tokens[2].hash(), BrowserToken::generate().expect("randomness"));
        held.put(fresh.clone(), Some(first));
        assert_eq!(held.iter().map(BrowserToken::hash).collect::<Vec<_>>()[1..], [hashes[2], hashes[3], fresh.hash()]);
    }

    #[test]
    fn a_malformed_list_of_tokens_is_refused() {
        let token = BrowserToken::generate().expect("randomness").encode();
        for bad in ["", ".", "AAAA", &format!("{}.", *token), &format!(".{}", *token)] {
            assert!(TrustTokens::parse(bad).is_none(), "{bad:?}");
        }
    }
}
