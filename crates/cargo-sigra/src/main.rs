//! `cargo sigra`: authentication that you own, generated into axum applications.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

mod beside;
mod cargo;
mod cargo_toml;
mod choices;
mod cli;
mod completions;
mod dependency;
mod doctor;
mod edits;
mod error;
mod files;
mod generate;
mod git;
mod host;
mod install;
mod interruption;
mod line_endings;
mod manifest;
mod migrations;
mod names;
mod new;
mod questions;
mod regions;
mod routes;
mod rustfmt;
mod secret;
mod sigra_source;
mod sql_words;
mod taken;
mod template;
mod terminal;
mod text_file;
mod trial;
mod upgrade;
mod users;
mod workspace;

use std::{env, process::ExitCode};

use clap::Parser;

use self::{
    cli::{Cli, Command, Gen},
    error::Error,
    terminal::{BAD, styled},
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

/// Cargo calls `cargo-sigra sigra new`, and people may call `cargo-sigra new`.
fn arguments() -> impl Iterator<Item = std::ffi::OsString> {
    let by_cargo = env::args_os().nth(1).is_some_and(|first| first == "sigra");
    env::args_os().enumerate().filter(move |(place, _)| !by_cargo || *place != 1).map(|(_, argument)| argument)
}

fn run(cli: &Cli) -> Result<(), Error> {
    match &cli.command {
        Command::New(args) => new::run(args),
        Command::Gen(Gen::Secret) => Ok(secret::run()?),
        Command::Install(args) => install::run(args),
        Command::Upgrade(args) => upgrade::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Routes(_) => Ok(routes::run()?),
        Command::Completions(args) => Ok(completions::run(args)?),
    }
}
