//! The command line.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, Subcommand, ValueHint, builder::Styles, builder::styling::AnsiColor};
use clap_complete::Shell;

use crate::plan::{
    choices::{Database, Id},
    names::NameError,
    sigra_source::{SigraSource, SigraSourceError},
    users::UserNames,
};

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Green.on_default().bold())
    .usage(AnsiColor::Green.on_default().bold())
    .literal(AnsiColor::Cyan.on_default().bold())
    .placeholder(AnsiColor::Cyan.on_default());

/// Authentication that you own, for axum.
#[derive(Debug, Parser)]
#[command(name = "cargo sigra", bin_name = "cargo sigra", version, styles = STYLES, propagate_version = true)]
#[command(after_help = "Examples:
  cargo sigra new my_app                  A new application, by a few questions
  cargo sigra new my_app --yes            The same, without questions
  cargo sigra help new                    What else there is to choose")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    New(New),
    #[command(subcommand)]
    Gen(Gen),
    Install(Install),
    Upgrade(Upgrade),
    Doctor(Doctor),
    Routes(Routes),
    Completions(Completions),
}

/// Merges what this version would generate into what you have made of it
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo install cargo-sigra && cargo sigra upgrade
  cargo sigra upgrade --dry-run                   Says what it would do

What both have changed in the same place is marked as git does, and listed. Migrations are only ever added.")]
pub struct Upgrade {
    /// Say what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Go on with changes that are not committed
    #[arg(long)]
    pub force: bool,
    /// Don't ask cargo first whether all dependencies fit together
    #[arg(long)]
    pub no_resolve: bool,
    /// Take the library from a checkout of Sigra: its folder `crates/sigra`
    #[arg(long, value_name = "PATH", env = "SIGRA_PATH", hide_env = true, value_hint = ValueHint::DirPath)]
    pub sigra_path: Option<PathBuf>,
}

/// Checks the settings, database, mail and clock of the application in this folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo sigra doctor                              With the settings of this shell, and of `.env`
  cargo sigra doctor --env-file /etc/my_app.env   With those of a service
  cargo sigra doctor --json                       For programs

It exits with 1 if something is wrong, and with 0 if there are only warnings.")]
pub struct Doctor {
    /// Read what the environment doesn't say from this file, in place of `.env`
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Lists the routes, and what each requires of who asks
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo sigra routes                              All of them
  cargo sigra routes | grep POST                  Some of them")]
pub struct Routes {}

/// Makes a new application whose users register, log in and manage their accounts
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo sigra new my_app                          Asks for what is not said here
  cargo sigra new my_app --yes                    SQLite, and everything there is
  cargo sigra new my_app --db postgres --id bigint
  cargo sigra new shop --no-magic-link --no-live  Without two of the parts
  cargo sigra new club --user Member --table members
  cargo sigra new backend --api-only              JSON in place of pages")]
pub struct New {
    /// The folder to make. Its last part is the application's name
    #[arg(value_hint = ValueHint::DirPath)]
    pub path: PathBuf,
    #[command(flatten)]
    pub parts: Parts,
    /// JSON in place of pages, for a frontend of its own or an app on a phone
    #[arg(long)]
    pub api_only: bool,
    /// Ask nothing: what is not said here is the default
    #[arg(long, short)]
    pub yes: bool,
}

/// Adds accounts to the axum application in this folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo sigra install --dry-run                   Shows what it would change
  cargo sigra install --check                     Compiles it in a copy before it changes anything
  cargo sigra install                             Asks for what is not said here
  cargo sigra install --user Member --table members

All code goes into one module. Your own files get a few lines: dependencies, `mod auth;`, and accounts around your
router. It can be run again, and never overwrites a file that it did not write.")]
pub struct Install {
    #[command(flatten)]
    pub parts: Parts,
    /// The module to make [default: auth]
    #[arg(long, value_name = "NAME")]
    pub module: Option<String>,
    /// The folder for migrations [default: where yours are]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub migrations: Option<PathBuf>,
    /// The program that serves your routes, if there are several
    #[arg(long, value_name = "NAME")]
    pub bin: Option<String>,
    /// Show the changes as a diff, and make none
    #[arg(long)]
    pub dry_run: bool,
    /// Compile a copy with the changes first, and make none if that fails
    #[arg(long)]
    pub check: bool,
    /// Don't ask cargo first whether all dependencies fit together
    #[arg(long, conflicts_with = "check")]
    pub no_resolve: bool,
    /// Go on with changes that are not committed
    #[arg(long)]
    pub force: bool,
    /// Ask nothing: what is not said here is the default
    #[arg(long, short)]
    pub yes: bool,
}

/// What the application is to have.
#[derive(Clone, Debug, Args)]
pub struct Parts {
    /// The database [default: sqlite]
    #[arg(long, value_name = "DATABASE")]
    pub db: Option<Database>,
    /// What users are known by in the database [default: uuid]
    #[arg(long, value_name = "TYPE")]
    pub id: Option<Id>,
    /// No second factor, and so no passkeys
    #[arg(long)]
    pub no_mfa: bool,
    /// No passkeys
    #[arg(long)]
    pub no_passkeys: bool,
    /// No logging in by a link in a mail
    #[arg(long)]
    pub no_magic_link: bool,
    /// No WebSockets that end with their session
    #[arg(long)]
    pub no_live: bool,
    /// The type of a user
    #[arg(long, value_name = "TYPE", default_value = "User")]
    pub user: String,
    /// The table of users, which their paths begin with too [default: the plural of the type]
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Take the library from a checkout of Sigra: its folder `crates/sigra`
    #[arg(long, value_name = "PATH", env = "SIGRA_PATH", hide_env = true, value_hint = ValueHint::DirPath)]
    pub sigra_path: Option<PathBuf>,
}

impl Parts {
    /// Whether parts were left out by flags, so that nobody need be asked.
    pub fn leave_out_any(&self) -> bool {
        self.no_mfa || self.no_passkeys || self.no_magic_link || self.no_live
    }

    pub fn user_names(&self) -> Result<UserNames, NameError> {
        UserNames::parse(&self.user, self.table.as_deref())
    }

    /// Where the library is taken from.
    pub fn sigra(&self, application: &Path) -> Result<SigraSource, SigraSourceError> {
        SigraSource::of(self.sigra_path.as_deref(), application)
    }
}

/// Generates single things
#[derive(Debug, Subcommand)]
pub enum Gen {
    /// Prints a new secret for SECRET_KEY_BASE
    #[command(after_help = "Examples:
  cargo sigra gen secret                          Prints one
  export SECRET_KEY_BASE=$(cargo sigra gen secret)")]
    Secret,
}

/// Prints completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo sigra completions bash > ~/.local/share/bash-completion/completions/cargo-sigra
  cargo sigra completions fish > ~/.config/fish/completions/cargo-sigra.fish
  cargo sigra completions zsh > \"${fpath[1]}/_cargo-sigra\"")]
pub struct Completions {
    pub shell: Shell,
}
