//! my_app: people register, log in and use it.
//!
//! `accounts` knows the users and the database, `web` knows HTTP and calls `accounts`. Sessions, cookies and
//! passwords are the `sigra` crate's.

pub mod accounts;
pub mod config;
pub mod database;
pub mod web;
