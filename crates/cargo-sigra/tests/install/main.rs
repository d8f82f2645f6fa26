//! Accounts in existing applications of many kinds.

mod applications;
mod edits;
mod files;
#[path = "../generated/mod.rs"]
mod generated;
mod host;
mod repositories;
mod requirements;
mod shapes;
mod tables;
mod trial;
mod upgrades;
