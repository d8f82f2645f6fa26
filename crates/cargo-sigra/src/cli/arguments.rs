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
  cargo sigra new my_app                  Create an application, after a few questions
  cargo sigra new my_app --yes            Create one with the defaults
  cargo sigra help new                    Show all options of a command")]
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

/// Upgrades generated code to this version, and keeps your changes
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo install cargo-sigra && cargo sigra upgrade
  cargo sigra upgrade --dry-run                   Shows what it would do

Conflicts are listed, and marked as git does. Migrations are only added, never changed.")]
pub struct Upgrade {
    /// Show what would be done, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Continue even if there are uncommitted changes
    #[arg(long)]
    pub force: bool,
    /// Don't check first that Cargo can resolve all dependencies
    #[arg(long)]
    pub no_resolve: bool,
    /// Use the library of a checkout of Sigra: the path of its folder `crates/sigra`
    #[arg(long, value_name = "PATH", env = "SIGRA_PATH", hide_env = true, value_hint = ValueHint::DirPath)]
    pub sigra_path: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Checks the settings, database, email and clock of the application in this folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo sigra doctor                              Checks the settings of this shell and of `.env`
  cargo sigra doctor --env-file /etc/my_app.env   Checks the settings of a service
  cargo sigra doctor --json                       Prints JSON, for scripts

The exit code is 1 if there are problems, and 0 if there are only warnings.")]
pub struct Doctor {
    /// Read settings from this file instead of `.env`. Environment variables override it
    #[arg(long, value_name = "FILE")]
    pub env_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Lists the routes, and what each requires of a client
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo sigra routes                              Lists all routes
  cargo sigra routes | grep POST                  Lists some of them
  cargo sigra routes --json                       Prints JSON, for scripts")]
pub struct Routes {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Creates an application whose users register, log in and manage their accounts
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo sigra new my_app                          Asks a few questions
  cargo sigra new my_app --yes                    Uses SQLite and all features
  cargo sigra new my_app --db postgres --id bigint
  cargo sigra new shop --no-magic-link --no-live  Leaves two features out
  cargo sigra new club --user Member --table members
  cargo sigra new backend --api-only              Has a JSON API instead of pages")]
pub struct New {
    /// The folder to create. Its last part is the application's name
    #[arg(value_hint = ValueHint::DirPath)]
    pub path: PathBuf,
    #[command(flatten)]
    pub parts: Parts,
    /// Generate a JSON API instead of pages, for a separate frontend or a mobile app
    #[arg(long)]
    pub api_only: bool,
    /// Commit what was generated, in its new repository
    #[arg(long)]
    pub commit: bool,
    /// Ask no questions, and use the defaults
    #[arg(long, short)]
    pub yes: bool,
    /// Print JSON, and ask no questions
    #[arg(long)]
    pub json: bool,
}

/// Adds accounts to the axum application in this folder
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo sigra install --dry-run                   Shows what it would change
  cargo sigra install --check                     Compiles a changed copy first
  cargo sigra install                             Asks a few questions
  cargo sigra install --user Member --table members

All code goes into one module. Your own files get a few lines: dependencies, `mod auth;`, and a call
that adds accounts to your router. You can run it again: it never overwrites a file that it didn't
write.")]
pub struct Install {
    #[command(flatten)]
    pub parts: Parts,
    /// The module to create [default: auth]
    #[arg(long, value_name = "NAME")]
    pub module: Option<String>,
    /// The folder for migrations [default: where yours are]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub migrations: Option<PathBuf>,
    /// The binary that serves your routes, if there are several
    #[arg(long, value_name = "NAME")]
    pub bin: Option<String>,
    /// List the new files, show the changes of your own as a diff, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Compile a changed copy first, and change nothing if that fails
    #[arg(long)]
    pub check: bool,
    /// Don't check first that Cargo can resolve all dependencies
    #[arg(long, conflicts_with = "check")]
    pub no_resolve: bool,
    /// Continue even if there are uncommitted changes, or accounts take the place of your routes
    #[arg(long)]
    pub force: bool,
    /// Ask no questions, and use the defaults
    #[arg(long, short)]
    pub yes: bool,
    /// Print JSON, and ask no questions
    #[arg(long)]
    pub json: bool,
}

/// The features and names of the application.
#[derive(Clone, Debug, Args)]
pub struct Parts {
    /// The database [default: sqlite]
    #[arg(long, value_name = "DATABASE")]
    pub db: Option<Database>,
    /// The type of user IDs in the database [default: uuid]
    #[arg(long, value_name = "TYPE")]
    pub id: Option<Id>,
    /// Leave out two-factor authentication, and with it passkeys
    #[arg(long)]
    pub no_mfa: bool,
    /// Leave out passkeys
    #[arg(long)]
    pub no_passkeys: bool,
    /// Leave out login by a link in an email
    #[arg(long)]
    pub no_magic_link: bool,
    /// Leave out login at providers, such as Google
    #[arg(long)]
    pub no_oauth: bool,
    /// Leave out access tokens, for scripts and other programs
    #[arg(long)]
    pub no_api_tokens: bool,
    /// Leave out OAuth for native apps, command lines and clients for MCP
    #[arg(long)]
    pub no_oauth_server: bool,
    /// Leave out sessions that are bound to their device
    #[arg(long)]
    pub no_device_bound: bool,
    /// Leave out WebSockets that close when their session ends
    #[arg(long)]
    pub no_live: bool,
    /// Leave out languages other than English
    #[arg(long)]
    pub no_languages: bool,
    /// The name of the user type
    #[arg(long, value_name = "TYPE", default_value = "User")]
    pub user: String,
    /// The table of users, and the start of their paths [default: the plural of the type]
    #[arg(long, value_name = "TABLE")]
    pub table: Option<String>,
    /// Use the library of a checkout of Sigra: the path of its folder `crates/sigra`
    #[arg(long, value_name = "PATH", env = "SIGRA_PATH", hide_env = true, value_hint = ValueHint::DirPath)]
    pub sigra_path: Option<PathBuf>,
}

impl Parts {
    /// Returns whether flags leave out features, so that there is no need to ask.
    pub fn leave_out_any(&self) -> bool {
        self.no_mfa
            || self.no_passkeys
            || self.no_magic_link
            || self.no_oauth
            || self.no_api_tokens
            || self.no_oauth_server
            || self.no_device_bound
            || self.no_live
            || self.no_languages
    }

    pub fn user_names(&self) -> Result<UserNames, NameError> {
        UserNames::parse(&self.user, self.table.as_deref())
    }

    /// Returns where the library comes from.
    pub fn sigra(&self, application: &Path) -> Result<SigraSource, SigraSourceError> {
        SigraSource::of(self.sigra_path.as_deref(), application)
    }
}

/// Generates a secret or a migration
#[derive(Debug, Subcommand)]
pub enum Gen {
    /// Prints a new secret for SECRET_KEY_BASE
    #[command(after_help = "Examples:
  cargo sigra gen secret                          Prints one
  export SECRET_KEY_BASE=$(cargo sigra gen secret)")]
    Secret(Secret),
    /// Creates an empty migration that runs after all others
    #[command(after_help = "Examples:
  cargo sigra gen migration add_name_to_users     Creates migrations/20260131120000_add_name_to_users.sql")]
    Migration(Migration),
}

#[derive(Debug, Args)]
pub struct Secret {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub struct Migration {
    /// What it does, in lowercase letters, digits and `_`
    pub name: String,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Prints completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  cargo sigra completions bash >> ~/.bashrc
  cargo sigra completions fish > ~/.config/fish/conf.d/cargo-sigra.fish
  cargo sigra completions zsh > \"${fpath[1]}/_cargo-sigra\"

In bash, fish and zsh, `cargo sigra` is completed, and in others only `cargo-sigra`.")]
pub struct Completions {
    pub shell: Shell,
}
