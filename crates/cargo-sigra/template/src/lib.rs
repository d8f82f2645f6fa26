//! my_app: users register, log in and use it.
//!
//! From the bottom to the top: `config` reads the settings, `database` opens the database, `accounts` has the functions
//! on users, `web` has the routes that call them, and `app` puts all of it together. Sessions, cookies and passwords
//! are the `sigra` crate's.

// <app>
#![cfg_attr(not(test), warn(clippy::expect_used, clippy::panic, clippy::unwrap_used))]
// </app>

// <install>
#![allow(
    clippy::cargo,
    clippy::nursery,
    clippy::pedantic,
    clippy::restriction,
    missing_copy_implementations,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    unused_results,
    variant_size_differences,
    reason = "what this application's own code is held to says nothing of code that was generated"
)]
// </install>

// <languages>
// Before the others, which use its macros.
#[macro_use]
pub mod languages;
// </languages>

pub mod accounts;
pub mod app;
// <install>
pub mod mount;
// </install>
pub mod config;
pub mod database;
mod dates;
mod devices;
// <app>
pub mod server;
// </app>
pub mod web;

// <install>
pub use self::mount::{with_accounts, with_accounts_in};
// </install>
