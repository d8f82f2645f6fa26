//! Renders an application's files from the template, in memory.

pub mod application;
pub mod cargo_toml;
pub mod files;
pub mod imports;
pub mod module;
pub mod plain;
pub mod rustfmt;
pub mod translations;
