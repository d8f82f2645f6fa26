//! Lists in the guides match the code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod arrows;
mod asvs;
mod contributing;
mod dependencies;
mod deployment;
mod docker;
mod examples;
mod floors;
mod foreign_types;
mod frontends;
mod interface;
mod invariants;
mod links;
mod names;
mod packages;
mod readmes;
mod repository;
mod schema;
mod sources;
mod tables;
