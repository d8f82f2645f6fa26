//! The host's own code, read without compiling it.

pub mod names;
pub mod tree;
pub mod values;
