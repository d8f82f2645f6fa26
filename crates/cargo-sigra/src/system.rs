//! What this program asks of others: Cargo, git, the terminal and who sits at it, and files.

pub mod cargo;
pub mod git;
pub mod interruption;
pub mod questions;
pub mod terminal;
pub mod text_file;
