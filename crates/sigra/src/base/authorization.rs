//! The header `Authorization`, as far as it has a bearer token (RFC 6750 section 2.1).

use http::{HeaderMap, HeaderValue, header};

/// What a request has in `Authorization`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "api-tokens"), allow(dead_code, reason = "only its presence counts"))]
pub(crate) enum Authorization<'a> {
    /// Nothing, or another scheme.
    Other,
    /// A bearer token.
    Bearer(&'a str),
    /// A bearer token beside something else, or something that can't be a token.
    Malformed,
}

impl<'a> Authorization<'a> {
    /// Reads the header. Two of them are malformed if one has a bearer token: a proxy could have checked the other one.
    pub fn of(headers: &'a HeaderMap) -> Self {
        let mut values = headers.get_all(header::AUTHORIZATION).iter();
        let Some(first) = values.next() else { return Self::Other };
        if values.next().is_some() {
            let all = headers.get_all(header::AUTHORIZATION);
            return if all.iter().any(|value| token_of(value).is_some()) { Self::Malformed } else { Self::Other };
        }
        match token_of(first) {
            None => Self::Other,
            Some(token) => match std::str::from_utf8(token) {
                Ok(text) if is_b64token(token) => Self::Bearer(text),
                _ => Self::Malformed,
            },
        }
    }

    /// Returns whether it has a bearer token, or tries to.
    pub fn is_bearer(self) -> bool {
        self != Self::Other
    }
}

/// Returns what follows the scheme `Bearer`.
fn token_of(value: &HeaderValue) -> Option<&[u8]> {
    const SCHEME: usize = "bearer".len();
    let (scheme, rest) = value.as_bytes().split_at_checked(SCHEME)?;
    if !scheme.eq_ignore_ascii_case(b"bearer") {
        return None;
    }
    match rest.first() {
        None => Some(rest),
        Some(b' ') => Some(rest.trim_ascii()),
        Some(_) => None,
    }
}

fn is_b64token(token: &[u8]) -> bool {
    let unpadded = token.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let is_character = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/".contains(byte);
    unpadded > 0 && token[..unpadded].iter().all(is_character)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&[u8]]) -> String {
        let values = values.iter().map(|value| HeaderValue::from_bytes(value).expect("a value"));
        let headers: HeaderMap = values.map(|value| (header::AUTHORIZATION, value)).collect();
        format!("{:?}", Authorization::of(&headers))
    }

    #[test]
    fn one_well_formed_token_is_read() {
        for good in [&b"Bearer abc"[..], b"bearer abc", b"BEARER   abc", b"Bearer abc "] {
            assert_eq!(of(&[good]), "Bearer(\"abc\")");
        }
        assert_eq!(of(&[b"Bearer a-._~+/0=="]), "Bearer(\"a-._~+/0==\")");
        for other in [&b"Basic abc"[..], b"", b"Bear", b"Bearerabc", b"Token abc"] {
            assert_eq!(of(&[other]), "Other");
        }
        for bad in [&b"Bearer"[..], b"Bearer ", b"Bearer a b", b"Bearer a, Bearer b", b"Bearer ==", b"Bearer \xff"] {
            assert_eq!(of(&[bad]), "Malformed");
        }
    }

    #[test]
    fn two_headers_are_malformed_if_one_has_a_bearer_token() {
        assert_eq!(of(&[b"Bearer abc", b"Bearer abc"]), "Malformed");
        assert_eq!(of(&[b"Basic abc", b"Bearer abc"]), "Malformed");
        assert_eq!(of(&[b"Basic abc", b"Basic abc"]), "Other");
        assert_eq!(of(&[]), "Other");
    }
}
