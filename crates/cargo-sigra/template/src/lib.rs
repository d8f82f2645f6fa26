//! my_app: people register, log in and use it.
//!
//! `accounts` knows the users and the database, `web` knows HTTP and calls `accounts`. Sessions, cookies and
//! passwords are the `sigra` crate's.

#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]

pub mod accounts;
pub mod config;
pub mod database;
pub mod web;
