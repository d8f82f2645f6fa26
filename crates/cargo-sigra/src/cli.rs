//! The command line: its flags, and the questions in place of those that were not given.

pub mod arguments;
pub mod choices;
