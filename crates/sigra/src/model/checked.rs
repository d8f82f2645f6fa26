/// The result of checking what a user presented, such as a code, the token of a link, or the signature of a passkey.
///
/// ```
/// use sigra::Checked;
///
/// fn answer(code: Checked<&str>) -> &str {
///     match code {
///         Checked::Valid(name) => name,
///         Checked::Invalid => "That code isn't valid.",
///     }
/// }
/// assert_eq!(answer(Checked::Valid("Ada")), "Ada");
/// ```
#[must_use = "it may be invalid: check it before you rely on it"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a check passes or fails")]
pub enum Checked<T = ()> {
    /// It was valid. It is used up, unless the function says that it stays valid.
    Valid(T),
    /// It was wrong, used before, or expired. Callers can't tell which.
    Invalid,
}

impl<T> Checked<T> {
    /// Returns whether it was valid.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Valid(_))
    }

    /// Returns what it was found to be, if it was valid.
    #[must_use = "it may be invalid: check it before you rely on it"]
    pub fn valid(self) -> Option<T> {
        match self {
            Self::Valid(value) => Some(value),
            Self::Invalid => None,
        }
    }

    /// Returns what it was found to be, or the error if it wasn't valid.
    ///
    /// # Errors
    ///
    /// The given error.
    pub fn ok_or<E>(self, error: E) -> Result<T, E> {
        self.valid().ok_or(error)
    }

    /// Makes it invalid, unless a condition holds too.
    pub fn filter(self, condition: impl FnOnce(&T) -> bool) -> Self {
        self.valid().filter(condition).into()
    }

    /// Maps the value, if it was valid.
    pub fn map<V>(self, change: impl FnOnce(T) -> V) -> Checked<V> {
        match self {
            Self::Valid(value) => Checked::Valid(change(value)),
            Self::Invalid => Checked::Invalid,
        }
    }
}

impl<T> From<Option<T>> for Checked<T> {
    fn from(found: Option<T>) -> Self {
        found.map_or(Self::Invalid, Self::Valid)
    }
}
