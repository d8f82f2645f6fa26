//! The outside world: Cargo, git, the terminal, the user's answers, and files.

pub mod cargo;
pub mod git;
pub mod interruption;
pub mod json;
pub mod questions;
pub mod terminal;
pub mod text_file;
