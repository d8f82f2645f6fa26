//! What SQL says: which tables it leaves behind, and what undoes it.

pub mod reversal;
pub mod statements;
pub mod tables;
