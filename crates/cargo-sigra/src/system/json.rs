//! Prints results as JSON, for scripts.

use serde::Serialize;

/// Why a result can't be printed.
#[derive(Debug, thiserror::Error)]
#[error("can't write the result as JSON: {0}")]
pub struct JsonError(#[from] serde_json::Error);

/// Prints a value.
pub fn print(value: &impl Serialize) -> Result<(), JsonError> {
    anstream::println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
