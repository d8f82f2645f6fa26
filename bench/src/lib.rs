//! What the benchmarks share: programs under test as child processes, load, figures, and how they are shown.

pub mod app;
pub mod argon2id;
pub mod chart;
pub mod contender;
pub mod cpus;
pub mod fill;
pub mod http;
pub mod in_process;
pub mod instruction_counts;
pub mod machine;
pub mod programs;
pub mod report;
pub mod server;
pub mod settings;
pub mod stats;
pub mod storm;
pub mod visit;
pub mod wrk;

/// Any failure: a benchmark can only say what it was, and stop.
pub type Error = Box<dyn std::error::Error + Send + Sync>;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A runtime on the thread that asks for it: a CPU of its own is all that a part of a benchmark gets.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}
