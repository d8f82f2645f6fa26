//! `cargo sigra completions`.

use std::io::{self, Write};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::arguments::{Cli, Completions};

/// Completes `cargo sigra` in bash, and everything else after `cargo` as before.
const IN_BASH: &str = r#"
_cargo_or_sigra() {
    if [[ $COMP_CWORD -gt 1 && ${COMP_WORDS[1]} == sigra ]]; then
        COMP_WORDS=(cargo-sigra "${COMP_WORDS[@]:2}")
        COMP_CWORD=$((COMP_CWORD - 1))
        _cargo_sigra cargo-sigra "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        return
    fi
    if ! declare -F _cargo >/dev/null; then
        source "$(rustc --print sysroot 2>/dev/null)/etc/bash_completion.d/cargo" 2>/dev/null
        complete -F _cargo_or_sigra -o bashdefault -o default cargo
    fi
    declare -F _cargo >/dev/null && _cargo "$@"
}
complete -F _cargo_or_sigra -o bashdefault -o default cargo
complete -F _cargo_sigra -o bashdefault -o default cargo-sigra
"#;

/// Completes `cargo sigra` in fish.
const IN_FISH: &str = r#"
complete --command cargo --no-files --condition '__fish_seen_subcommand_from sigra' --arguments \
    '(complete -C(commandline --cut-at-cursor --current-process | string replace --regex "^\s*cargo\s+sigra" cargo-sigra))'
"#;

/// An error while printing completions.
#[derive(Debug, thiserror::Error)]
#[error("can't print the completions: {0}")]
pub struct CompletionsError(#[from] io::Error);

pub fn run(args: &Completions) -> Result<(), CompletionsError> {
    let mut script = Vec::new();
    // In zsh, Cargo's completions call those of `cargo-sigra`. For bash, clap_complete can't handle a name with a
    // hyphen.
    let name = if args.shell == Shell::Bash { "cargo_sigra" } else { "cargo-sigra" };
    let mut command = Cli::command().name(name).bin_name(name);
    clap_complete::generate(args.shell, &mut command, name, &mut script);
    match args.shell {
        Shell::Bash => script.extend(IN_BASH.as_bytes()),
        Shell::Fish => script.extend(IN_FISH.as_bytes()),
        _ => {}
    }
    Ok(io::stdout().write_all(&script)?)
}
