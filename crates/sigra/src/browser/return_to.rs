use std::fmt;

use http::{Uri, uri::PathAndQuery};

/// The maximum length of a path, in bytes.
pub(crate) const MAX_LEN: usize = 2048;

/// A path of this application to return to after the login.
///
/// It can only be a path. Anything that a browser could interpret as another host, a scheme or a header is refused
/// (OWASP "Unvalidated Redirects and Forwards", CWE-601).
///
/// ```
/// use sigra::session::ReturnTo;
///
/// assert_eq!(ReturnTo::parse("/reports?year=2026").expect("a path").as_str(), "/reports?year=2026");
/// for elsewhere in ["https://evil.example", "//evil.example", "/\\evil.example", "/\t/evil.example", ""] {
///     assert!(ReturnTo::parse(elsewhere).is_none(), "{elsewhere}");
/// }
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ReturnTo(String);

impl ReturnTo {
    /// Parses a path with its query, of at most 2048 bytes. Returns `None` for anything else.
    #[must_use]
    pub fn parse(path: &str) -> Option<Self> {
        let mut bytes = path.bytes();
        let local = bytes.next() == Some(b'/') && bytes.next() != Some(b'/');
        let printable = path.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
        let is_path = path.parse::<PathAndQuery>().is_ok_and(|parsed| parsed.as_str() == path);
        (local && printable && is_path && path.len() <= MAX_LEN).then(|| Self(path.to_owned()))
    }

    /// Returns the path and query of a request. `None` if they can't be returned to.
    #[must_use]
    pub fn from_uri(uri: &Uri) -> Option<Self> {
        Self::parse(uri.path_and_query()?.as_str())
    }

    /// Returns the path and query.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Shows the path without the query, which may have something in it that must not be logged.
impl fmt::Debug for ReturnTo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.0.split('?').next().unwrap_or_default();
        f.debug_tuple("ReturnTo").field(&path).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// CVE-2025-27143 and similar: what was accepted as a local path elsewhere.
    #[test]
    fn invariant_7_return_to_is_a_path_on_the_same_origin() {
        for attack in [
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/\\/evil.example",
            "https://evil.example",
            "https:/evil.example",
            "javascript:alert(1)",
            "data:text/html,x",
            "evil.example",
            "@evil.example",
            "user@evil.example/",
            ".evil.example",
            "",
            " /dashboard",
            "/dashboard ",
            "/\t/evil.example",
            "/\n/evil.example",
            "/dash\r\nSet-Cookie: a=b",
            "/\u{0}",
            "/\u{7f}",
            "/\u{a0}",
            "/\u{2028}",
            "/caf\u{e9}",
            "/\u{ff0f}evil.example",
            "/path#fragment",
            "/path?a#b",
            "?query",
            "#fragment",
            "*",
        ] {
            assert_eq!(ReturnTo::parse(attack), None, "{attack:?}");
        }
        assert_eq!(ReturnTo::parse(&format!("/{}", "a".repeat(2048))), None);
        for path in ["/", "/a", "/a/b?c=d&e=%2F%2Fevil", "/a//b", "/@evil", "/a?next=https://evil.example", "/%5Cevil"]
        {
            assert_eq!(ReturnTo::parse(path).map(|path| path.0), Some(path.to_owned()));
        }
    }
}
