//! What readers feel of a purge.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bench::{
    Result,
    contender::{Contender, Database, POOL, SIGRA_POSTGRES, SIGRA_SQLITE, log_in},
    cpus::{CpuOptions, Cpus},
    fill::{self, Size},
    http::Connection,
    programs::Program,
    report, runtime,
    stats::{median, millis, percentile, spread, table},
    visit::visit,
};
use clap::Parser;
use sigra::testing::PostgresCluster;
use sqlx::types::time::OffsetDateTime;
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinSet};

/// The target of the design: the p99 during a purge, so many times that before.
const MAX: f64 = 2.0;

/// Longer than any session lives.
const EXPIRED: Duration = Duration::from_secs(100 * 24 * 60 * 60);

/// Times authenticated requests before a purge and during it, with the cache off: each asks the database.
#[derive(Parser)]
struct Args {
    /// How often all is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// How many expired rows are purged each time
    #[arg(long, default_value_t = 1_000_000)]
    expired: u32,
    /// How many sessions are live, and how many users there are
    #[arg(long, default_value_t = 100_000)]
    live: u32,
    /// How many visitors there are, each on a connection of their own
    #[arg(long, default_value_t = 4)]
    visitors: u32,
    /// How often each of them asks in a second, whether the answers are quick or slow
    #[arg(long, default_value_t = 125)]
    requests_per_second: u32,
    /// For how long they ask before the purge, in seconds
    #[arg(long, default_value_t = 15)]
    idle_seconds: u64,
    /// The page to write the figures into, such as docs/performance.md
    #[arg(long)]
    write: Option<PathBuf>,
    #[command(flatten)]
    cpus: CpuOptions,
}

struct Round {
    idle: Vec<Duration>,
    purge: Vec<Duration>,
    took: Duration,
}

fn main() -> Result<()> {
    let args = Args::parse();
    Program::Serve.make()?;
    let cpus = args.cpus.choose();
    cpus.pin_load()?;
    let runtime = runtime()?;
    let mut rows = vec![
        ["database", "idle p50 ms", "idle p99 ms", "purge p50 ms", "purge p99 ms", "p99 ratio", "purge s", "target"]
            .map(String::from)
            .to_vec(),
    ];
    for contender in [SIGRA_SQLITE, SIGRA_POSTGRES] {
        rows.push(describe(contender.title, &rounds(&runtime, contender, &args, &cpus)?));
    }
    let text = format!(
        "{} visitors of an application with {} sessions request a page {} times per second each: first without a \
         purge, then while the application purges {} expired rows with `sigra.housekeeping().purge_expired()`. The cache is off. \
         A late request delays the ones after it, and they are timed from when they were due. Rounds: {}. Median, with \
         the minimum and maximum in parentheses.\n\n{}",
        args.visitors,
        args.live,
        args.requests_per_second,
        args.expired,
        args.rounds.max(1),
        table(&rows)
    );
    report::publish(args.write.as_deref(), "purge", &text)
}

fn rounds(runtime: &Runtime, contender: Contender, args: &Args, cpus: &Cpus) -> Result<Vec<Round>> {
    let folder = TempDir::with_prefix("bench-purge-")?;
    let postgres = contender.database == Database::Postgres;
    let cluster = if postgres { Some(PostgresCluster::start()?) } else { None };
    let database = contender.place(folder.path(), cluster.as_ref())?;
    let size = Size { users: args.live.max(1), sessions: args.live };
    let server = runtime.block_on(contender.start(folder.path(), &database, size, cpus))?;
    let cookies = runtime.block_on(log_in(server.address, args.visitors.clamp(1, size.users)))?;
    let mut rounds = Vec::new();
    for round in 0..args.rounds.max(1) {
        eprintln!("{}: round {} of {}", contender.name, round + 1, args.rounds.max(1));
        let expired = Size { users: size.users, sessions: args.expired };
        runtime.block_on(expire(contender, &database, expired))?;
        rounds.push(self::round(runtime, server.address, &cookies, args)?);
    }
    Ok(rounds)
}

/// Adds sessions that are long over.
async fn expire(contender: Contender, database: &str, size: Size) -> Result<()> {
    let at = OffsetDateTime::now_utc() - EXPIRED;
    if contender.database == Database::Sqlite {
        let pool = fill::open_sqlite(Path::new(database), 1).await?;
        fill::sqlite_sessions(&pool, size, at).await?;
        sqlx::raw_sql("PRAGMA wal_checkpoint(TRUNCATE)").execute(&pool).await?;
        pool.close().await;
    } else {
        let pool = fill::open_postgres(database, POOL).await?;
        fill::postgres_sessions(&pool, size, at).await?;
        sqlx::raw_sql("VACUUM ANALYZE").execute(&pool).await?;
        sqlx::raw_sql("CHECKPOINT").execute(&pool).await?;
        pool.close().await;
    }
    Ok(())
}

fn round(runtime: &Runtime, address: SocketAddr, cookies: &[String], args: &Args) -> Result<Round> {
    let every = Duration::from_secs(1) / args.requests_per_second.max(1);
    let idle_for = Duration::from_secs(args.idle_seconds.max(1));
    let began = Instant::now();
    let idle = runtime.block_on(visits(address, cookies, every, move || began.elapsed() > idle_for))?;

    let over = Arc::new(AtomicBool::new(false));
    let visitors = thread::spawn({
        let (over, cookies) = (over.clone(), cookies.to_vec());
        move || bench::runtime()?.block_on(visits(address, &cookies, every, move || over.load(Ordering::Relaxed)))
    });
    let began = Instant::now();
    let purged = runtime.block_on(async { Connection::open(address).await?.post("/purge").await });
    let took = began.elapsed();
    over.store(true, Ordering::Relaxed);
    let purge = visitors.join().map_err(|_| "a visitor panicked")??;
    let purged = purged?;
    if purged.body != args.expired.to_string() {
        return Err(format!("the purge of {} rows was answered with {purged:?}", args.expired).into());
    }
    Ok(Round { idle, purge, took })
}

/// All visitors at once, until it is over: how long each request took.
async fn visits(
    address: SocketAddr,
    cookies: &[String],
    every: Duration,
    is_over: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> Result<Vec<Duration>> {
    let mut visitors = JoinSet::new();
    for cookies in cookies {
        let (cookies, is_over) = (cookies.clone(), is_over.clone());
        visitors.spawn(async move { visit(address, "/me", Some(&cookies), every, move |_| is_over()).await });
    }
    let mut took = Vec::new();
    while let Some(visit) = visitors.join_next().await {
        let visit = visit??;
        if visit.failures > 0 {
            return Err(format!("{} of {} requests failed", visit.failures, visit.took.len()).into());
        }
        took.extend(visit.took);
    }
    Ok(took)
}

fn describe(title: &str, rounds: &[Round]) -> Vec<String> {
    let of = |figure: &dyn Fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<f64>>();
    let idle = |percent| of(&|round: &Round| millis(percentile(&round.idle, percent)));
    let purge = |percent| of(&|round: &Round| millis(percentile(&round.purge, percent)));
    let ratios: Vec<f64> = purge(99.0).iter().zip(idle(99.0)).map(|(purge, idle)| purge / idle).collect();
    let verdict = report::verdict(median(&ratios) <= MAX);
    vec![
        title.to_owned(),
        spread(&idle(50.0), 2),
        spread(&idle(99.0), 2),
        spread(&purge(50.0), 2),
        spread(&purge(99.0), 2),
        spread(&ratios, 2),
        spread(&of(&|round: &Round| round.took.as_secs_f64()), 1),
        format!("<= {MAX:.0}: {verdict}"),
    ]
}
