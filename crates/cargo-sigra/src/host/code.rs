//! The host's own code, as far as it can be understood without compiling it.

pub mod names;
pub mod tree;
pub mod values;
