//! The instructions of one request on each hot path, compared with the table in the repository.
//!
//! The program starts itself under callgrind. Where one thread serves a request, callgrind counts only while it does.
//! Where others take part, there are two starts, one with twice as many requests, and the difference counts.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use axum::{Router, http::Method};
use bench::{
    Error, Result,
    app::{self, Account, PostgresUser, SqliteUser},
    cpus,
    fill::{self, Size},
    in_process::{Repeated, bound, cookies_of, logged_in, with_tokens},
    instruction_counts::{Count, TOLERANCE, TOLERANCE_OF_THREADS, Table},
    machine, runtime,
    stats::{spread, table},
};
use clap::Parser;
use sigra::testing::PostgresCluster;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// What callgrind counts where one thread serves a request: [`send_batch`], and all that it calls.
const COUNTED: &str = "instructions::send_batch";

/// How many requests are sent before the cache may renew what it is sure of: much less than a second's worth.
const BATCH: usize = 200;

/// How often each path is counted.
const COUNTS: usize = 3;

/// How often each path is timed.
const STARTS: usize = 7;

/// How many times as many requests are timed as counted, because the kernel counts CPU time in hundredths of a second.
const TIMED: usize = 100;

/// Enough users that the paths differ from request to request.
const USERS: u32 = 32;

const POOL: u32 = 2;

/// Counts the instructions of one request on each hot path, under callgrind.
///
/// Fails if a path takes over 2 % more instructions than the table in the repository has, or over 10 % if several
/// threads share its work. If the table was written with another version of rustc or valgrind, the counts are only
/// printed.
#[derive(Parser)]
struct Args {
    /// Write the counts into the table, and why they have changed
    #[arg(long, value_name = "REASON")]
    write: Option<String>,
    /// Print the CPU time of one request instead, without callgrind
    #[arg(long)]
    time: bool,
    /// Only these paths, by name: see the first column
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The table (default: bench/instructions.toml)
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.toml"), hide_default_value = true)]
    table: PathBuf,
    /// The requests to send on one path instead, in a database: `<path> <requests> <database>`
    #[arg(long, hide = true, num_args = 3)]
    send: Option<Vec<String>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Database {
    None,
    Sqlite,
    Postgres,
}

/// What is requested.
#[derive(Clone, Copy)]
enum Page {
    /// `GET /me`, logged in.
    Me,
    /// The same, for a program with a token.
    Bearer,
    /// The same, in a session that is bound to a device.
    Bound,
    /// A page that reads the cookie session of a visitor who isn't logged in.
    Basket,
    /// A login, without a password to hash.
    LogIn,
}

/// A path through the library that is worth a count.
#[derive(Clone, Copy)]
struct HotPath {
    name: &'static str,
    database: Database,
    is_cached: bool,
    page: Page,
    /// Whether threads of the database's driver take part.
    has_helpers: bool,
    /// How many requests are counted: so many that the difference between two starts is theirs.
    requests: usize,
}

/// `GET /me` on SQLite with the cache on.
const CACHED: HotPath = HotPath {
    name: "sqlite-cached",
    database: Database::Sqlite,
    is_cached: true,
    page: Page::Me,
    has_helpers: false,
    requests: 2000,
};

const HOT_PATHS: [HotPath; 9] = [
    HotPath { name: "bare", database: Database::None, is_cached: false, ..CACHED },
    CACHED,
    HotPath { name: "sqlite-bound", page: Page::Bound, ..CACHED },
    HotPath { name: "postgres-cached", database: Database::Postgres, ..CACHED },
    HotPath { name: "sqlite-uncached", is_cached: false, has_helpers: true, ..CACHED },
    HotPath { name: "bearer-cached", page: Page::Bearer, ..CACHED },
    HotPath { name: "bearer-uncached", page: Page::Bearer, is_cached: false, has_helpers: true, ..CACHED },
    HotPath { name: "cookie-session", page: Page::Basket, ..CACHED },
    HotPath { name: "log-in", page: Page::LogIn, has_helpers: true, requests: 500, ..CACHED },
];

fn main() -> Result<()> {
    let args = Args::parse();
    if let Some(send) = args.send {
        return send_requests(&send);
    }
    let chosen = choose(&args.only)?;
    if args.time {
        return time(&chosen);
    }
    let valgrind = machine::version("valgrind");
    if valgrind.is_empty() {
        return Err("valgrind is not installed: install the package `valgrind`".into());
    }
    let rustc = machine::version("rustc");
    let profiles = profiles()?;
    let cluster = cluster_for(&chosen)?;
    let mut counts = Vec::new();
    for path in chosen {
        eprintln!("{}: counting", path.name);
        let instructions = path.count(cluster.as_ref(), &profiles)?;
        let tolerance = if path.has_helpers { TOLERANCE_OF_THREADS } else { TOLERANCE };
        counts.push(Count { name: path.name, instructions, tolerance });
    }
    let kept = Table::read(&args.table)?;
    println!("{}", describe(&counts, kept.as_ref()));
    println!("Read where they are spent with: callgrind_annotate {}/NAME.callgrind", profiles.display());
    match (args.write, kept) {
        (Some(reason), kept) => {
            let mut table =
                kept.unwrap_or_else(|| Table { rustc: rustc.clone(), valgrind: valgrind.clone(), rows: Vec::new() });
            table.update(&counts, &rustc, &valgrind, &reason);
            table.write(&args.table)
        }
        (None, None) => Err(format!("there is no table {}: write it with --write REASON", args.table.display()).into()),
        (None, Some(table)) => check(&table, &counts, &rustc, &valgrind),
    }
}

/// Prints the CPU time of one request on each path, from several starts, in turns.
fn time(paths: &[HotPath]) -> Result<()> {
    let cluster = cluster_for(paths)?;
    let mut times = vec![Vec::new(); paths.len()];
    for _ in 0..STARTS {
        for (path, times) in paths.iter().zip(&mut times) {
            times.push(path.time_once(cluster.as_ref())?);
        }
    }
    let mut rows = vec![["path", "CPU µs of a request"].map(String::from).to_vec()];
    rows.extend(paths.iter().zip(&times).map(|(path, times)| vec![path.name.to_owned(), spread(times, 2)]));
    println!("{}", table(&rows));
    Ok(())
}

/// A cluster, if a path needs one.
fn cluster_for(paths: &[HotPath]) -> Result<Option<PostgresCluster>> {
    let is_needed = paths.iter().any(|path| path.database == Database::Postgres);
    Ok(if is_needed { Some(PostgresCluster::start()?) } else { None })
}

fn check(table: &Table, counts: &[Count], rustc: &str, valgrind: &str) -> Result<()> {
    if !table.is_comparable(rustc, valgrind) {
        println!(
            "Not compared: the table was written with {} and {}, and this is {rustc} and {valgrind}. To compare two \
             commits, run this on the first with `--table FILE --write REASON`, and on the second with `--table FILE`.",
            table.rustc, table.valgrind
        );
        return Ok(());
    }
    match table.unexplained(counts) {
        unexplained if unexplained.is_empty() => Ok(()),
        unexplained => Err(format!(
            "too far above the table: {}; if that is worth it, run `instructions --write REASON` and commit \
             the table",
            unexplained.join(", ")
        )
        .into()),
    }
}

fn choose(only: &[String]) -> Result<Vec<HotPath>> {
    if let Some(unknown) = only.iter().find(|name| !HOT_PATHS.iter().any(|path| path.name == **name)) {
        let names = HOT_PATHS.map(|path| path.name).join(", ");
        return Err(format!("no path is named {unknown}: use {names}").into());
    }
    let is_chosen = |path: &HotPath| only.is_empty() || only.iter().any(|name| name == path.name);
    Ok(HOT_PATHS.into_iter().filter(is_chosen).collect())
}

/// The folder for what callgrind found, next to the programs.
fn profiles() -> Result<PathBuf> {
    let folder = std::env::current_exe()?.with_file_name("instructions-profiles");
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn describe(counts: &[Count], kept: Option<&Table>) -> String {
    let mut rows = vec![["path", "instructions", "to the table"].map(String::from).to_vec()];
    for count in counts {
        let growth = kept.and_then(|table| table.growth(count));
        let growth = growth.map_or("new".to_owned(), |growth| format!("{:+.1} %", growth * 100.0));
        rows.push(vec![count.name.to_owned(), count.instructions.to_string(), growth]);
    }
    table(&rows)
}

impl HotPath {
    /// Counts the instructions of one request. With helpers, they are those that twice as many requests take more: what
    /// the start takes isn't counted.
    fn count(self, cluster: Option<&PostgresCluster>, profiles: &Path) -> Result<u64> {
        let once = self.least(self.requests, cluster, profiles)?;
        let counted = match self.has_helpers {
            true => self.least(2 * self.requests, cluster, profiles)?.saturating_sub(once),
            false => once,
        };
        Ok(counted / self.requests as u64)
    }

    /// Returns the smallest count of several runs: threads that wait for each other add instructions, and never spare
    /// any.
    fn least(self, requests: usize, cluster: Option<&PostgresCluster>, profiles: &Path) -> Result<u64> {
        let profile = profiles.join(format!("{}.callgrind", self.name));
        let counts = (0..COUNTS).map(|_| self.run(requests, cluster, &profile)).collect::<Result<Vec<u64>>>()?;
        Ok(counts.into_iter().min().unwrap_or_default())
    }

    /// Runs this program under callgrind with a new database, and returns what callgrind has counted.
    fn run(self, requests: usize, cluster: Option<&PostgresCluster>, profile: &Path) -> Result<u64> {
        let folder = TempDir::with_prefix("bench-instructions-")?;
        let database = runtime()?.block_on(self.fill(folder.path(), cluster))?;
        let mut valgrind = Command::new("valgrind");
        // Fair scheduling, so that threads take turns in the same way each time.
        valgrind.args(["--tool=callgrind", "--fair-sched=yes", &format!("--callgrind-out-file={}", profile.display())]);
        if !self.has_helpers {
            valgrind.arg(format!("--toggle-collect={COUNTED}"));
        }
        valgrind.arg(std::env::current_exe()?).args(["--send", self.name, &requests.to_string(), &database]);
        let output = valgrind.stdin(Stdio::null()).output()?;
        if !output.status.success() {
            return Err(format!("{}: {}", self.name, String::from_utf8_lossy(&output.stderr)).into());
        }
        match total(&fs::read_to_string(profile)?) {
            Some(total) if total > 0 => Ok(total),
            _ => Err(format!("{}: callgrind has counted nothing", profile.display()).into()),
        }
    }

    /// The CPU time of one request, in microseconds, in a new process with a new database.
    fn time_once(self, cluster: Option<&PostgresCluster>) -> Result<f64> {
        let folder = TempDir::with_prefix("bench-instructions-")?;
        let database = runtime()?.block_on(self.fill(folder.path(), cluster))?;
        let requests = self.requests * TIMED;
        let mut program = Command::new(std::env::current_exe()?);
        let output = program.args(["--send", self.name, &requests.to_string(), &database]).output()?;
        if !output.status.success() {
            return Err(format!("{}: {}", self.name, String::from_utf8_lossy(&output.stderr)).into());
        }
        let seconds: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
        Ok(seconds * 1e6 / requests as f64)
    }

    /// Makes its database outside of callgrind.
    async fn fill(self, folder: &Path, cluster: Option<&PostgresCluster>) -> Result<String> {
        let size = Size { users: USERS, sessions: USERS };
        match (self.database, cluster) {
            (Database::None, _) => Ok(String::new()),
            (Database::Sqlite, _) => {
                let file = folder.join("bench.db");
                fill::sqlite(&file, size, POOL).await?.close().await;
                Ok(file.display().to_string())
            }
            (Database::Postgres, Some(cluster)) => {
                let url = cluster.create_database()?;
                fill::postgres(&url, size, POOL).await?.close().await;
                Ok(url)
            }
            (Database::Postgres, None) => Err("there is no PostgreSQL cluster".into()),
        }
    }

    /// Sends requests in batches, with something to do after each, and prints the CPU time in seconds.
    fn send(
        self,
        runtime: &Runtime,
        router: &Router,
        repeated: &[Repeated],
        requests: usize,
        after_batch: impl Fn() -> Result<()>,
    ) -> Result<()> {
        let turn: Vec<&Repeated> = repeated.iter().cycle().take(requests).collect();
        let spent_before = cpus::seconds_of(std::process::id())?;
        // With two starts, everything counts, and so nothing else happens in between.
        for batch in turn.chunks(if self.has_helpers { requests } else { BATCH }) {
            send_batch(runtime, router, batch)?;
            after_batch()?;
        }
        println!("{}", cpus::seconds_of(std::process::id())? - spent_before);
        Ok(())
    }

    async fn requests(self, router: &Router) -> Result<Vec<Repeated>> {
        match self.page {
            Page::Me => logged_in(router, USERS).await,
            Page::Bearer => with_tokens(router, USERS).await,
            Page::Bound => bound(router, USERS).await,
            Page::Basket => {
                let cookies = cookies_of(router, "/basket/a-book").await?;
                Ok(vec![Repeated::new(Method::GET, "/basket")?.with_cookies(cookies)])
            }
            Page::LogIn => {
                (1..=USERS).map(|number| Repeated::new(Method::POST, &format!("/log-in/{number}"))).collect()
            }
        }
    }
}

/// The total in what callgrind has written.
fn total(profile: &str) -> Option<u64> {
    profile.lines().find_map(|line| line.strip_prefix("summary: "))?.trim().parse().ok()
}

/// What runs under callgrind.
fn send_requests(arguments: &[String]) -> Result<()> {
    let [name, requests, database] = arguments else { return Err("three arguments are needed".into()) };
    let path = *choose(std::slice::from_ref(name))?.first().ok_or("a path is needed")?;
    let requests: usize = requests.parse()?;
    let runtime = runtime()?;
    match path.database {
        Database::None => {
            let router = app::bare();
            let repeated = runtime.block_on(path.requests(&router))?;
            path.send(&runtime, &router, &repeated, requests, || Ok(()))
        }
        Database::Sqlite => {
            let pool = runtime.block_on(fill::open_sqlite(Path::new(database), POOL))?;
            send_to_sigra::<SqliteUser>(path, &runtime, pool, requests)
        }
        Database::Postgres => {
            let pool = runtime.block_on(fill::open_postgres(database, POOL))?;
            send_to_sigra::<PostgresUser>(path, &runtime, pool, requests)
        }
    }
}

fn send_to_sigra<U: Account>(
    path: HotPath,
    runtime: &Runtime,
    pool: sqlx::Pool<U::Database>,
    requests: usize,
) -> Result<()> {
    let (sigra, router) = match path.page {
        Page::Bound => {
            let sigra = app::bound_sigra::<U>(pool)?;
            (sigra.clone(), app::bound_router(sigra))
        }
        _ => {
            let sigra = app::sigra::<U>(pool, path.is_cached)?;
            (sigra.clone(), app::router(sigra))
        }
    };
    let repeated = runtime.block_on(async {
        let repeated = path.requests(&router).await?;
        sigra.catch_up().await;
        // The first request of each session asks the database.
        for request in &repeated {
            request.send(&router).await?;
        }
        sigra.catch_up().await;
        Ok::<_, Error>(repeated)
    })?;
    path.send(runtime, &router, &repeated, requests, || {
        if sigra.is_caching() != path.is_cached {
            let expected = if path.is_cached { "on" } else { "off" };
            return Err(format!("{}: the cache must be {expected}; repeat this when less is running", path.name).into());
        }
        runtime.block_on(sigra.catch_up());
        Ok(())
    })
}

/// The function that callgrind counts.
#[inline(never)]
fn send_batch(runtime: &Runtime, router: &Router, requests: &[&Repeated]) -> Result<()> {
    runtime.block_on(async {
        for request in requests {
            request.send(router).await?;
        }
        Ok(())
    })
}
