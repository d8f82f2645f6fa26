//! What `cargo sigra` does, a module for each command.

pub mod completions;
pub mod doctor;
pub mod install;
pub mod new;
pub mod routes;
pub mod secret;
pub mod upgrade;
