//! `cargo sigra`: authentication that you own, generated into axum applications.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

mod cli;
mod commands;
mod host;
mod manifest;
mod plan;
mod render;
mod sql;
mod system;
mod template;

use std::{env, error::Error, process::ExitCode};

use clap::Parser;

use self::{
    cli::arguments::{Cli, Command, Gen},
    commands::{completions, doctor, install, migration, new, routes, secret, upgrade},
    system::terminal::{BAD, styled},
};

fn main() -> ExitCode {
    match run(&Cli::parse_from(arguments())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            anstream::eprintln!("{} {error}", styled(BAD, "error:"));
            ExitCode::FAILURE
        }
    }
}

/// Returns the arguments. Cargo runs `cargo-sigra sigra new`, and users can run `cargo-sigra new`.
fn arguments() -> impl Iterator<Item = std::ffi::OsString> {
    let by_cargo = env::args_os().nth(1).is_some_and(|first| first == "sigra");
    env::args_os().enumerate().filter(move |(place, _)| !by_cargo || *place != 1).map(|(_, argument)| argument)
}

fn run(cli: &Cli) -> Result<(), Box<dyn Error>> {
    match &cli.command {
        Command::New(args) => new::run(args)?,
        Command::Gen(Gen::Secret(args)) => secret::run(args)?,
        Command::Gen(Gen::Migration(args)) => migration::run(args)?,
        Command::Install(args) => install::run(args)?,
        Command::Upgrade(args) => upgrade::run(args)?,
        Command::Doctor(args) => doctor::run(args)?,
        Command::Routes(args) => routes::run(args)?,
        Command::Completions(args) => completions::run(args)?,
    }
    Ok(())
}
