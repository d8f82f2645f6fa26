//! What one password hash costs, by this crate's choice and by another implementation.

use std::{fs, path::PathBuf, time::Duration};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use clap::Parser;

use crate::{
    Result,
    cpus::CpuOptions,
    report,
    stats::{median, spread, table},
};

/// The parameters that OWASP names first, and Sigra's defaults.
pub const MEMORY_KIB: u32 = 19 * 1024;
pub const ITERATIONS: u32 = 2;

pub const PASSWORD: &[u8] = b"correct horse battery staple";
pub const SALT: &[u8; 16] = b"sixteen of bytes";

pub type Hash = [u8; 32];

/// Times Argon2id by several implementations in turn, in CPU time of one thread.
#[derive(Parser)]
struct Args {
    /// How often each of them is timed
    #[arg(long, default_value_t = 20)]
    times: usize,
    /// How many hashes are timed together: CPU time is counted in ticks of some milliseconds
    #[arg(long, default_value_t = 10)]
    hashes: u32,
    /// The page to write the figures into, such as docs/performance.md
    #[arg(long)]
    write: Option<PathBuf>,
    #[command(flatten)]
    cpus: CpuOptions,
}

/// An implementation, and what each of its hashes took, in milliseconds.
struct Entry<'a> {
    title: &'static str,
    hash: Box<dyn FnMut() -> Result<Hash> + 'a>,
    took: Vec<f64>,
}

impl<'a> Entry<'a> {
    fn new(title: &'static str, hash: impl FnMut() -> Result<Hash> + 'a) -> Self {
        Self { title, hash: Box::new(hash), took: Vec::new() }
    }
}

/// Compares it with another implementation, for the section of this program.
pub fn compare(program: &str, title: &'static str, other: fn() -> Result<Hash>) -> Result<()> {
    let args = Args::parse();
    let mut cpus = args.cpus.choose();
    cpus.load = cpus.server.clone();
    cpus.pin_load()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(MEMORY_KIB, ITERATIONS, 1, None)?);
    let mut memory = vec![Block::default(); argon2.params().block_count()];
    let mut entries = [
        Entry::new("`argon2` (RustCrypto), its memory kept: what Sigra does", || {
            let mut hash = Hash::default();
            argon2.hash_password_into_with_memory(PASSWORD, SALT, &mut hash, &mut memory)?;
            Ok(hash)
        }),
        Entry::new("`argon2` (RustCrypto), memory allocated each time", || {
            let mut hash = Hash::default();
            argon2.hash_password_into(PASSWORD, SALT, &mut hash)?;
            Ok(hash)
        }),
        Entry::new(title, other),
    ];
    check(&mut entries)?;
    for _ in 0..args.times.max(1) {
        for entry in &mut entries {
            let before = cpu_time()?;
            for _ in 0..args.hashes.max(1) {
                (entry.hash)()?;
            }
            entry.took.push((cpu_time()? - before).as_secs_f64() * 1e3 / f64::from(args.hashes.max(1)));
        }
    }
    let text = format!(
        "Argon2id with {MEMORY_KIB} KiB, t = {ITERATIONS} and p = 1, {} rounds of {} hashes each, alternating: median \
         of the thread's CPU time for one hash, with the minimum and maximum in parentheses. All compute the same hash.\n\n{}",
        args.times.max(1),
        args.hashes.max(1),
        describe(&entries)
    );
    report::publish(args.write.as_deref(), program, &text)
}

/// Whoever finds another hash does something else.
fn check(entries: &mut [Entry]) -> Result<()> {
    let expected = (entries[0].hash)()?;
    for entry in entries {
        if (entry.hash)()? != expected {
            return Err(format!("{} gives another hash", entry.title).into());
        }
    }
    Ok(())
}

/// What this thread has taken of a CPU.
fn cpu_time() -> Result<Duration> {
    let stat = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = stat.split(' ').next().ok_or("schedstat is empty")?;
    Ok(Duration::from_nanos(nanos.parse()?))
}

fn describe(entries: &[Entry]) -> String {
    let ours = median(&entries[0].took);
    let mut rows = vec![["implementation", "CPU ms", "to the first"].map(String::from).to_vec()];
    for entry in entries {
        let ratio = format!("{:.2}", median(&entry.took) / ours);
        rows.push(vec![entry.title.to_owned(), spread(&entry.took, 1), ratio]);
    }
    table(&rows)
}
