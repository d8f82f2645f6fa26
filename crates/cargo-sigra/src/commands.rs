//! The commands of `cargo sigra`, one module for each.

pub mod completions;
pub mod doctor;
pub mod install;
pub mod migration;
pub mod new;
pub mod routes;
pub mod secret;
pub mod upgrade;
