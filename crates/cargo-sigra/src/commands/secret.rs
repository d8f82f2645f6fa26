//! `cargo sigra gen secret`.

use std::error::Error;

use serde::Serialize;
use sigra::SecretKeyBase;

use crate::{cli::arguments::Secret, system::json};

/// The result as JSON.
#[derive(Serialize)]
struct Report<'a> {
    secret: &'a str,
}

/// Prints a new secret, and nothing else.
pub fn run(args: &Secret) -> Result<(), Box<dyn Error>> {
    let secret = SecretKeyBase::generate()?;
    if args.json {
        json::print(&Report { secret: secret.expose() })?;
    } else {
        anstream::println!("{}", secret.expose());
    }
    Ok(())
}
