//! The host's migrations: where they are, how far they go, and whether they make a table of users that is to be kept.

mod adoption;
mod error;
mod existing;
mod folder;
mod paths;
mod rehearsal;
mod rows;
mod runs;
pub mod sqlx_toml;
mod workspace;

pub use self::{error::MigrationError, existing::Existing};
