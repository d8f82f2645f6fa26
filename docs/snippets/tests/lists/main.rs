//! What the guides list is what the code has: neither more nor less.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod asvs;
mod interface;
mod invariants;
mod sources;
mod tables;
