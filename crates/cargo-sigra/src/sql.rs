//! Reads SQL: the tables that it creates, and the statements that revert it.

pub mod reversal;
pub mod statements;
pub mod tables;
