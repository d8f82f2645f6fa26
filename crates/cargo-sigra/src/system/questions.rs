//! Asks the user at the terminal.

use std::{io, io::IsTerminal};

use inquire::{InquireError, Select};

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
pub enum QuestionError {
    #[error("canceled; nothing was written. Pass `--yes` to accept the defaults")]
    Canceled,
    #[error("can't ask questions here: {0}. Pass the answers as flags, or `--yes`")]
    CannotAsk(InquireError),
}

impl From<InquireError> for QuestionError {
    fn from(error: InquireError) -> Self {
        match error {
            InquireError::OperationCanceled | InquireError::OperationInterrupted => Self::Canceled,
            error => Self::CannotAsk(error),
        }
    }
}

/// Returns whether a user can answer.
pub fn can_ask(yes: bool) -> bool {
    !yes && io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks for one of several answers, and returns its index.
pub fn choose(question: &str, answers: Vec<String>) -> Result<usize, QuestionError> {
    Ok(Select::new(question, answers).raw_prompt()?.index)
}
