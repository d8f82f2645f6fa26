//! Changes to files: all of them are made, or none.

mod edit;
mod line_endings;
mod obstacle;
mod transaction;

pub use self::{
    edit::Edit,
    transaction::{EditError, Transaction},
};
