//! Personal access tokens that are created.

use std::{fmt, time::Duration};

use time::OffsetDateTime;

use crate::{
    base::{api_token_problem::ApiTokenProblem, bearer_secret::BearerSecret, clock::later},
    model::{api_token::ApiToken, permission::Permissions},
};

/// The longest name of a token, in characters.
const MAX_NAME: usize = 60;

/// When a new token expires. There is no default: a token that never expires has to be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Expiry {
    /// After a time.
    After(Duration),
    /// At a time.
    At(OffsetDateTime),
    /// Not at all.
    Never,
}

/// A token to create.
///
/// ```
/// use std::time::Duration;
/// use sigra::api_tokens::{Expiry, NewApiToken};
///
/// let in_30_days = Expiry::After(Duration::from_secs(30 * 24 * 60 * 60));
/// let new = NewApiToken::new("Backup script", "projects:read".parse()?, in_30_days);
/// # let _ = new;
/// # Ok::<(), sigra::bearer::PermissionError>(())
/// ```
#[derive(Clone, Debug)]
pub struct NewApiToken {
    pub(crate) name: String,
    pub(crate) permissions: Permissions,
    pub(crate) expiry: Expiry,
}

impl NewApiToken {
    /// Creates it. Spaces around the name are removed.
    #[must_use]
    pub fn new(name: impl AsRef<str>, permissions: Permissions, expiry: Expiry) -> Self {
        Self { name: read_name(name.as_ref()), permissions, expiry }
    }

    /// Returns when it expires, if it can be created.
    pub(crate) fn check(&self, now: OffsetDateTime) -> Result<Option<OffsetDateTime>, ApiTokenProblem> {
        if self.name.is_empty() {
            return Err(ApiTokenProblem::Unnamed);
        }
        if self.name.chars().count() > MAX_NAME {
            return Err(ApiTokenProblem::LongName { max: MAX_NAME });
        }
        let expires_at = match self.expiry {
            Expiry::Never => None,
            Expiry::After(time) => Some(later(now, time)),
            Expiry::At(at) => Some(at),
        };
        match expires_at {
            Some(at) if at <= now => Err(ApiTokenProblem::Expired),
            expires_at => Ok(expires_at),
        }
    }
}

/// Returns a name without control characters, and without superfluous spaces.
fn read_name(name: &str) -> String {
    let words = name.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" ")
}

/// The secret of a token, as the program presents it. It can be read only once, when the token is created: the database
/// has only its SHA-256.
///
/// `Debug` redacts it, and it is wiped when dropped.
#[derive(Clone)]
pub struct ApiTokenSecret(pub(crate) BearerSecret);

impl ApiTokenSecret {
    /// Returns the text, to show it to the user.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl fmt::Debug for ApiTokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiTokenSecret([redacted])")
    }
}

/// A new token.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CreatedApiToken {
    /// The secret. Show it now, because nobody can read it later.
    pub secret: ApiTokenSecret,
    /// The row.
    pub token: ApiToken,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_of_at_most_60_characters() {
        let check = |name: &str| {
            NewApiToken::new(name, Permissions::default(), Expiry::Never).check(OffsetDateTime::UNIX_EPOCH)
        };
        assert_eq!(NewApiToken::new(" A\r\n b\u{0}c ", Permissions::default(), Expiry::Never).name, "A b c");
        for empty in ["", " ", "\u{0}\t"] {
            assert_eq!(check(empty), Err(ApiTokenProblem::Unnamed));
        }
        assert_eq!(check(&"ä".repeat(60)), Ok(None));
        assert_eq!(check(&"ä".repeat(61)), Err(ApiTokenProblem::LongName { max: 60 }));
    }

    #[test]
    fn an_expiry_that_is_not_in_the_future_is_refused() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let check = |expiry| NewApiToken::new("a", Permissions::default(), expiry).check(now);
        assert_eq!(check(Expiry::At(now)), Err(ApiTokenProblem::Expired));
        assert_eq!(check(Expiry::After(Duration::ZERO)), Err(ApiTokenProblem::Expired));
        assert!(check(Expiry::After(Duration::MAX)).is_ok_and(|at| at.is_some()), "it is not `never`");
    }
}
