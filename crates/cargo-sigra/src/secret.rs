//! `cargo sigra gen secret`.

use base64::{Engine, engine::general_purpose::STANDARD};

/// As many bytes as make 64 characters.
const BYTES: usize = 48;

/// Why there is no secret.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes: {0}")]
pub struct SecretError(getrandom::Error);

/// Prints a new secret, and nothing else.
pub fn run() -> Result<(), SecretError> {
    anstream::println!("{}", generate()?);
    Ok(())
}

fn generate() -> Result<String, SecretError> {
    let mut bytes = [0; BYTES];
    getrandom::fill(&mut bytes).map_err(SecretError)?;
    Ok(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_long_and_new() {
        let (one, two) = (generate().expect("a secret"), generate().expect("a secret"));
        assert_eq!(one.len(), 64);
        assert_ne!(one, two);
    }
}
