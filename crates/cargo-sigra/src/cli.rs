//! The command line: flags, and questions in place of missing flags.

pub mod arguments;
pub mod choices;
