/// Why a token can't be created, as a sentence to show next to the field.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ApiTokenProblem {
    /// It has no name.
    #[error("a token needs a name")]
    Unnamed,
    /// Its name is too long.
    #[error("a token's name has at most {max} characters")]
    LongName {
        /// The maximum number of characters.
        max: usize,
    },
    /// It would have expired already.
    #[error("a token must expire in the future")]
    Expired,
    /// It has a permission that isn't [registered](crate::Config::permissions).
    #[error("`{0}` is not a permission of this application")]
    Unregistered(String),
}
