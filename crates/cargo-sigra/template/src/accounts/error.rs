//! Why a request was refused. Pages show the error beside a field or as a message, the JSON API as a problem.

use super::user::FieldErrors;

/// Why a request was refused. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// Some of the fields are invalid.
    #[error("not valid: {0:?}")]
    Invalid(FieldErrors),
    /// The policy lets no visitor register.
    #[error("the registration is closed")]
    RegistrationClosed,
    /// The link was used, has expired, never existed, or belongs to another user.
    #[error("the link is invalid or has expired")]
    InvalidLink,
    /// Another account now has the email address that a recovery would give back.
    #[error("another account now has the email address")]
    AddressTaken,
    /// This browser isn't the one that registered.
    #[error("the account's password is required")]
    PasswordRequired,
    /// The password isn't the account's.
    #[error("the password isn't the account's")]
    WrongPassword,
    #[error(transparent)]
    Sigra(#[from] sigra::Error),
}

// <pages>
impl AccountError {
    /// Returns the message for the user, to show beside a field.
    pub fn message(&self) -> String {
        match self {
            Self::AddressTaken => t!(
                "Another account now uses this email address. Delete that account or change its email address, then open the link again."
            )
            .to_owned(),
            Self::WrongPassword => t!("That isn't the account's password.").to_owned(),
            error => error.to_string(),
        }
    }
}
// </pages>

impl From<sqlx::Error> for AccountError {
    fn from(error: sqlx::Error) -> Self {
        Self::Sigra(error.into())
    }
}

impl From<FieldErrors> for AccountError {
    fn from(problems: FieldErrors) -> Self {
        Self::Invalid(problems)
    }
}
