//! my_app: people register, log in and use it.
//!
//! `accounts` knows the users and the database, `web` knows HTTP and calls `accounts`. Sessions, cookies and
//! passwords are the `sigra` crate's.

// <app>
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]
// </app>

pub mod accounts;
// <install>
pub mod beside;
// </install>
pub mod config;
pub mod database;
// <app>
pub mod server;
// </app>
pub mod web;

// <install>
pub use self::beside::{with_accounts, with_accounts_in};
// </install>
