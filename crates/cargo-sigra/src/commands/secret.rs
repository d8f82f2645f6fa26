//! `cargo sigra gen secret`.

use sigra::SecretKeyBase;

/// Prints a new secret, and nothing else.
pub fn run() -> sigra::Result<()> {
    anstream::println!("{}", SecretKeyBase::generate()?.expose());
    Ok(())
}
