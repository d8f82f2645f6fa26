//! A shop.

mod api;
pub mod server;
