//! How requests per second grow from one worker to two, for Sigra and for the same handler without authentication.
//!
//! The workers call the router themselves: on a machine of two cores, none is left for a client on a network.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Barrier},
    thread,
    time::{Duration, Instant},
};

use axum::Router;
use bench::{
    Result,
    app::{self, Account, PostgresUser, SqliteUser},
    contender::POOL,
    cpus,
    fill::{self, Size},
    in_process::{Repeated, logged_in},
    report, runtime,
    stats::{median, spread, table},
};
use clap::Parser;
use sigra::testing::PostgresCluster;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// How many requests a worker sends before it looks at the clock.
const BATCH: usize = 256;

/// Compares two workers with one: both call the same router in this process, each on a core of its own.
#[derive(Parser)]
struct Args {
    /// How often each server is measured
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// For how long each time, with one worker and with two, in seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How many sessions the requests rotate among
    #[arg(long, default_value_t = 1000)]
    used_sessions: u32,
    /// How many users there are, and sessions besides those that are used
    #[arg(long, default_value_t = 100_000)]
    sessions: u32,
    /// The page to write the figures into, such as docs/performance.md
    #[arg(long)]
    write: Option<PathBuf>,
}

/// A router, what is requested from it, and what was found.
struct Entry {
    title: &'static str,
    router: Router,
    requests: Vec<Repeated>,
    /// Requests per second of one worker, and of both together, in each round.
    one: Vec<f64>,
    two: Vec<f64>,
}

impl Entry {
    fn new(title: &'static str, router: Router, requests: Vec<Repeated>) -> Self {
        Self { title, router, requests, one: Vec::new(), two: Vec::new() }
    }

    /// How many times as much two workers do, in each round.
    fn scaling(&self) -> Vec<f64> {
        self.two.iter().zip(&self.one).map(|(two, one)| two / one).collect()
    }

    fn measure(&mut self, time: Duration) -> Result<()> {
        self.one.push(self.rate(1, time)?);
        self.two.push(self.rate(2, time)?);
        Ok(())
    }

    /// Requests per second of so many workers, each a thread with a runtime and a core of its own.
    fn rate(&self, workers: usize, time: Duration) -> Result<f64> {
        let start = Barrier::new(workers);
        thread::scope(|scope| {
            let work = |worker: usize| {
                let (start, requests) = (&start, &self.requests);
                let router = self.router.clone();
                move || {
                    cpus::pin_thread(worker)?;
                    let runtime = runtime()?;
                    // Each worker begins elsewhere, so that they seldom need the same session at the same time.
                    let first = worker * requests.len() / workers;
                    start.wait();
                    runtime.block_on(send(&router, requests, first, time))
                }
            };
            let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(work(worker))).collect();
            threads.into_iter().map(|thread| thread.join().map_err(|_| "a worker panicked")?).sum()
        })
    }
}

/// Sends requests in turn for some time, and returns how many it sent per second.
async fn send(router: &Router, requests: &[Repeated], first: usize, time: Duration) -> Result<f64> {
    let mut turn = requests.iter().cycle().skip(first);
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < time {
        for request in turn.by_ref().take(BATCH) {
            request.send(router).await?;
        }
        sent += BATCH;
    }
    Ok(sent as f64 / began.elapsed().as_secs_f64())
}

/// What the library does besides requests, such as following changes, on a thread that is always free for it.
struct Background {
    runtime: Arc<tokio::runtime::Runtime>,
    /// Dropped to end the thread.
    _until: oneshot::Sender<()>,
}

impl Background {
    fn start() -> Result<Self> {
        let runtime = Arc::new(runtime()?);
        let (until, over) = oneshot::channel::<()>();
        let on_thread = runtime.clone();
        thread::spawn(move || on_thread.block_on(over));
        Ok(Self { runtime, _until: until })
    }

    /// Runs a task there, and waits for it.
    fn run<T: Send + 'static>(&self, task: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
        let (result, found) = std::sync::mpsc::channel();
        self.runtime.spawn(async move { result.send(task.await) });
        found.recv()?
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let workers = thread::available_parallelism()?.get();
    if workers < 2 {
        return Err("two cores are needed, and this process may use one".into());
    }
    let folder = TempDir::with_prefix("bench-two-cores-")?;
    let cluster = PostgresCluster::start()?;
    let background = Background::start()?;
    let size = Size { users: args.sessions, sessions: args.sessions };
    let (file, url, used) = (folder.path().join("bench.db"), cluster.create_database()?, args.used_sessions);
    let mut entries = vec![
        background.run(async move { bare(used).await })?,
        background.run(async move { sqlite(&file, size, used).await })?,
        background.run(async move { postgres(&url, size, used).await })?,
    ];
    let time = Duration::from_secs_f64(args.seconds);
    for round in 0..args.rounds.max(1) {
        eprintln!("round {} of {}", round + 1, args.rounds.max(1));
        for place in 0..entries.len() {
            let at = (place + round) % entries.len();
            entries[at].measure(time)?;
        }
    }
    report::publish(args.write.as_deref(), "two_cores", &describe(&args, &entries))
}

async fn bare(used_sessions: u32) -> Result<Entry> {
    let router = app::bare();
    let requests = logged_in(&router, used_sessions).await?;
    Ok(Entry::new("axum, no authentication", router, requests))
}

async fn sqlite(file: &Path, size: Size, used_sessions: u32) -> Result<Entry> {
    sigra::<SqliteUser>("Sigra, SQLite", fill::sqlite(file, size, POOL).await?, used_sessions).await
}

async fn postgres(url: &str, size: Size, used_sessions: u32) -> Result<Entry> {
    sigra::<PostgresUser>("Sigra, PostgreSQL", fill::postgres(url, size, POOL).await?, used_sessions).await
}

/// Sigra with its cache on, and every session in it.
async fn sigra<U: Account>(title: &'static str, pool: sqlx::Pool<U::Database>, used_sessions: u32) -> Result<Entry> {
    let sigra = app::sigra::<U>(pool, true)?;
    let router = app::router(sigra.clone());
    let requests = logged_in(&router, used_sessions).await?;
    sigra.catch_up().await;
    for request in &requests {
        request.send(&router).await?;
    }
    if !sigra.is_caching() {
        return Err(format!("{title}: scopes are not cached").into());
    }
    Ok(Entry::new(title, router, requests))
}

fn describe(args: &Args, entries: &[Entry]) -> String {
    let mut rows = vec![
        ["server", "one worker, thousand/s", "two workers, thousand/s", "ratio", "to bare axum's"]
            .map(String::from)
            .to_vec(),
    ];
    let thousands = |rates: &[f64]| spread(&rates.iter().map(|rate| rate / 1e3).collect::<Vec<_>>(), 0);
    for entry in entries {
        let of_bare: Vec<f64> =
            entry.scaling().iter().zip(entries[0].scaling()).map(|(ours, bare)| ours / bare).collect();
        rows.push(vec![
            entry.title.to_owned(),
            thousands(&entry.one),
            thousands(&entry.two),
            spread(&entry.scaling(), 2),
            format!("{:.2}", median(&of_bare)),
        ]);
    }
    format!(
        "One worker, and two workers on a core each, call the router with `GET /me` in this process, without a \
         network, and rotate among {} sessions with the cache on; the databases have {} users and as many other sessions. \
         {} rounds of {} s each: thousands of requests per second, median, with the minimum and maximum in parentheses. \
         Two cores of a virtual machine can be one core of a processor, which bare axum's ratio shows.\n\n{}",
        args.used_sessions,
        args.sessions,
        args.rounds.max(1),
        args.seconds,
        table(&rows)
    )
}
