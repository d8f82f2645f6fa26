//! Edits of files, made all together or not at all.

mod edit;
mod line_endings;
mod obstacle;
mod transaction;

pub use self::{
    edit::Edit,
    transaction::{EditError, Transaction},
};
