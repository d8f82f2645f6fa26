//! `cargo sigra completions`.

use std::io::{self, Write};

use clap::CommandFactory;

use crate::cli::arguments::{Cli, Completions};

/// An error while printing completions.
#[derive(Debug, thiserror::Error)]
#[error("can't print the completions: {0}")]
pub struct CompletionsError(#[from] io::Error);

pub fn run(args: &Completions) -> Result<(), CompletionsError> {
    let mut script = Vec::new();
    // Shells complete the program's own name. Cargo's completions call those of `cargo-sigra`.
    let mut command = Cli::command().name("cargo-sigra").bin_name("cargo-sigra");
    clap_complete::generate(args.shell, &mut command, "cargo-sigra", &mut script);
    Ok(io::stdout().write_all(&script)?)
}
