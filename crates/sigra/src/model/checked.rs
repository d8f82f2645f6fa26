/// What came of checking what somebody showed: a code, what a passkey signed.
///
/// ```
/// use sigra::mfa::Checked;
///
/// fn answer(code: Checked<&str>) -> &str {
///     match code {
///         Checked::Valid(name) => name,
///         Checked::Invalid => "That code isn't valid.",
///     }
/// }
/// assert_eq!(answer(Checked::Valid("Ada")), "Ada");
/// ```
#[must_use = "it may be invalid: nothing is proven until you have looked"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a check passes or fails")]
pub enum Checked<T = ()> {
    /// It is good, and used up.
    Valid(T),
    /// It is wrong, was used before, or comes too late. Which of them, nobody is told.
    Invalid,
}

impl<T> Checked<T> {
    /// Whether it was good.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Valid(_))
    }

    /// What it turned out to be, if it was good.
    #[must_use = "it may be invalid: nothing is proven until you have looked"]
    pub fn valid(self) -> Option<T> {
        match self {
            Self::Valid(value) => Some(value),
            Self::Invalid => None,
        }
    }

    /// The same answer about something else.
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
