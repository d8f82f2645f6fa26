//! What the benchmarks share: the application as a child process, HTTP connections to it, and figures.

pub mod cpus;
pub mod http;
pub mod server;
pub mod stats;

/// Any failure: a benchmark can only say what it was, and stop.
pub type Result<T, E = Box<dyn std::error::Error + Send + Sync>> = std::result::Result<T, E>;
