//! Accounts in applications that were there before, each of another shape.

mod applications;
mod edits;
#[path = "../generated/mod.rs"]
mod generated;
mod host;
mod server;
