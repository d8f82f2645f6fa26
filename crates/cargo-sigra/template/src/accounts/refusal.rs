//! The reasons to refuse a request. Pages show them beside a field or as a message, the JSON API as a problem.

use super::user::Problems;

/// Why a request was refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Some of the fields are invalid.
    #[error("not valid: {0:?}")]
    Invalid(Problems),
    /// The link was used, has expired, never existed, or belongs to another user.
    #[error("the link is invalid or has expired")]
    Link,
    /// Another account now has the email address that a recovery would give back.
    #[error(
        "Another account now uses this email address. Delete that account or change its email address, then open the link again."
    )]
    AddressTaken,
    /// This browser isn't the one that registered.
    #[error("the account's password is required")]
    PasswordRequired,
    #[error("That isn't the account's password.")]
    WrongPassword,
    #[error(transparent)]
    Sigra(#[from] sigra::Error),
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        Self::Sigra(error.into())
    }
}

impl From<Problems> for Refusal {
    fn from(problems: Problems) -> Self {
        Self::Invalid(problems)
    }
}
