//! The template: its files, the regions in them, and the names that they have.

pub mod files;
pub mod read;
pub mod regions;
pub mod rename;
pub mod taken;
