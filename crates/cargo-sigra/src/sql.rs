//! Reads SQL: the tables, indexes and functions that it creates, and the statements that revert it.

mod names;
pub mod objects;
pub mod reversal;
pub mod statements;
pub mod tables;
