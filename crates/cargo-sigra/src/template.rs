//! The template: its files, their regions, and the names in them.

pub mod files;
pub mod read;
pub mod regions;
pub mod rename;
pub mod taken;
pub mod texts;
