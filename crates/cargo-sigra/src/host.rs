//! The existing application that accounts are installed into: what it has, and how its files are edited.

pub mod cargo_toml;
pub mod code;
pub mod database;
pub mod dependency;
pub mod edits;
pub mod migrations;
pub mod module;
pub mod package;
pub mod pool;
pub mod requirements;
pub mod routes;
pub mod serve;
pub mod shadowed;
pub mod target;
pub mod trial;
pub mod workspace;
