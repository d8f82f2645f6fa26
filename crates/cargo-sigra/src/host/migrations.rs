//! The host's migrations: their folder, the newest one, and whether they create a users table to keep.

pub mod addresses;
mod adoption;
mod error;
mod existing;
mod folder;
mod paths;
mod rehearsal;
mod rows;
mod runs;
pub mod sqlx_toml;
mod warnings;
mod workspace;

pub use self::{
    error::MigrationError,
    existing::Existing,
    folder::{newest, with_version_of},
};
