//! Many logins at once, and what a visitor of another page feels of them.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use bench::{
    Result,
    cpus::{self, CpuOptions, OtherWork},
    http::{Connection, logged_in_cookies},
    report, runtime,
    server::{Server, Site},
    stats::{median, millis, percentile, spread, table},
    visit::{Visit, visit},
};
use clap::Parser;
use tokio::{runtime::Runtime, task::JoinSet};

/// The targets of the design: see the README.
const MEMORY_PER_CORE_MIB: f64 = 19.0;
const MEMORY_BESIDE_MIB: f64 = 64.0;
const PAGE_P99_RATIO: f64 = 3.0;

const WARM_UP: usize = 500;

/// Measures pages and memory of the application while many users log in at once.
#[derive(Parser)]
struct Args {
    /// The application's release binary
    program: PathBuf,
    /// How often all is measured, each time by a fresh process
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How many users log in at once
    #[arg(long, default_value_t = 256)]
    logins: usize,
    /// How often each page is asked for before the storm, to compare with
    #[arg(long, default_value_t = 1500)]
    pages: usize,
    /// How often each page is asked for in a second, whether the application is quick or slow
    #[arg(long, default_value_t = 250)]
    pages_per_second: u32,
    /// The page to write the figures into, such as docs/performance.md
    #[arg(long)]
    write: Option<PathBuf>,
    #[command(flatten)]
    cpus: CpuOptions,
}

struct Round {
    idle: Visits,
    storm: Visits,
    logins: Logins,
    cpus: usize,
    idle_kib: u64,
    peak_kib: u64,
    /// The share of the machine that went to neither the application nor the load.
    other_work: f64,
}

impl Round {
    fn failures(&self) -> usize {
        [&self.idle, &self.storm].iter().map(|visits| visits.home.failures + visits.dashboard.failures).sum()
    }
}

/// What two visitors saw, each on a connection of their own.
struct Visits {
    home: Visit,
    dashboard: Visit,
}

/// How logins were answered.
#[derive(Default)]
struct Logins {
    logged_in: usize,
    busy: usize,
    other: usize,
    took: Vec<Duration>,
    total: Duration,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let cpus = args.cpus.choose();
    cpus.pin_load()?;
    let site = Site::new(&args.program, &cpus)?;
    let rounds: Vec<Round> = (0..args.rounds.max(1)).map(|_| round(&site, &args)).collect::<Result<_>>()?;
    report::publish(args.write.as_deref(), "login_storm", &describe(&args, &rounds))
}

fn round(site: &Site, args: &Args) -> Result<Round> {
    let runtime = runtime()?;
    // The first start in a folder hashes the demo user's password; idle is a process that never did.
    drop(runtime.block_on(site.start())?);
    let server = runtime.block_on(site.start())?;
    let address = server.address;
    let every = Duration::from_secs(1) / args.pages_per_second.max(1);

    runtime.block_on(visit(address, "/", None, Duration::ZERO, |pages| pages == WARM_UP))?;
    let idle_kib = server.rss_kib()?;
    let cookies = runtime.block_on(logged_in_cookies(address))?;
    runtime.block_on(visits(address, &cookies, Duration::ZERO, |pages| pages == WARM_UP))?;

    let before = OtherWork::so_far(&server)?;
    let idle = runtime.block_on(visits(address, &cookies, every, |pages| pages == args.pages))?;
    let (storm, logins) = storm(&runtime, &server, cookies, every, args.logins)?;
    let other_work = OtherWork::so_far(&server)?.share_since(&before);
    let (cpus, peak_kib) = (cpus::allowed(server.pid())?, server.peak_rss_kib()?);
    Ok(Round { idle, storm, logins, cpus, idle_kib, peak_kib, other_work })
}

/// The home page as nobody, and beside it the dashboard as a user.
async fn visits(
    address: SocketAddr,
    cookies: &str,
    every: Duration,
    is_over: impl Fn(usize) -> bool,
) -> Result<Visits> {
    let home = visit(address, "/", None, every, &is_over);
    let dashboard = visit(address, "/dashboard", Some(cookies), every, &is_over);
    let (home, dashboard) = tokio::try_join!(home, dashboard)?;
    Ok(Visits { home, dashboard })
}

/// Lets many users log in at once, each on a connection of their own, while the visitors go on.
fn storm(
    runtime: &Runtime,
    server: &Server,
    cookies: String,
    every: Duration,
    logins: usize,
) -> Result<(Visits, Logins)> {
    let address = server.address;
    let over = Arc::new(AtomicBool::new(false));
    let start = Arc::new(Barrier::new(2));
    // A thread of their own, so that they do not wait for what the logins cost this side.
    let visitors = thread::spawn({
        let (over, start) = (over.clone(), start.clone());
        move || {
            start.wait();
            bench::runtime()?.block_on(visits(address, &cookies, every, |_| over.load(Ordering::Relaxed)))
        }
    });
    let answers = runtime.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..logins {
            connections.push(Connection::open(address).await);
        }
        start.wait();
        log_in_all(connections.into_iter().collect::<Result<_>>()?).await
    });
    over.store(true, Ordering::Relaxed);
    let visits = visitors.join().map_err(|_| "a visitor panicked")?;
    Ok((visits?, answers?))
}

async fn log_in_all(connections: Vec<Connection>) -> Result<Logins> {
    let began = Instant::now();
    let mut answers: JoinSet<Result<_>> = connections
        .into_iter()
        .map(|mut connection| async move { Ok((connection.log_in().await?, began.elapsed())) })
        .collect();
    let mut logins = Logins::default();
    while let Some(answer) = answers.join_next().await {
        let (answer, took) = answer??;
        logins.took.push(took);
        match answer.status {
            _ if answer.is_logged_in() => logins.logged_in += 1,
            503 => logins.busy += 1,
            _ => logins.other += 1,
        }
    }
    logins.total = began.elapsed();
    Ok(logins)
}

fn describe(args: &Args, rounds: &[Round]) -> String {
    let of = |figure: &dyn Fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<f64>>();
    let cores = rounds.first().map_or(1, |round| round.cpus);
    let mut text = format!(
        "{} logins at once, the application on {cores} CPU(s) and the load on another; {} rounds, each with a new \
         process: median, with the minimum and maximum in parentheses. During the logins, each of two pages is requested \
         {} times per second. Idle memory is that of a process that has never hashed a password.\n\n",
        args.logins,
        rounds.len(),
        args.pages_per_second
    );

    let mut pages = vec![
        ["page", "idle p50 ms", "idle p99 ms", "storm p50 ms", "storm p99 ms", "storm worst ms", "p99 ratio", "target"]
            .map(String::from)
            .to_vec(),
    ];
    type Samples = fn(&Visits) -> &[Duration];
    let pages_of: [(&str, Samples); 2] =
        [("GET /", |visits| &visits.home.took), ("GET /dashboard, logged in", |visits| &visits.dashboard.took)];
    for (name, samples) in pages_of {
        let idle = |percent| of(&|round: &Round| millis(percentile(samples(&round.idle), percent)));
        let storm = |percent| of(&|round: &Round| millis(percentile(samples(&round.storm), percent)));
        let ratios = storm(99.0).iter().zip(idle(99.0)).map(|(storm, idle)| storm / idle).collect::<Vec<_>>();
        pages.push(vec![
            name.to_owned(),
            spread(&idle(50.0), 2),
            spread(&idle(99.0), 2),
            spread(&storm(50.0), 2),
            spread(&storm(99.0), 2),
            spread(&storm(100.0), 1),
            spread(&ratios, 1),
            verdict(median(&ratios), PAGE_P99_RATIO),
        ]);
    }
    text += &format!("{}\n", table(&pages));

    let mib = |kib: u64| kib as f64 / 1024.0;
    let over_idle = of(&|round| mib(round.peak_kib - round.idle_kib));
    let most = cores as f64 * MEMORY_PER_CORE_MIB + MEMORY_BESIDE_MIB;
    let memory = vec![
        ["memory MiB", "idle", "peak", "peak over idle", "target"].map(String::from).to_vec(),
        vec![
            "resident".to_owned(),
            spread(&of(&|round| mib(round.idle_kib)), 1),
            spread(&of(&|round| mib(round.peak_kib)), 1),
            spread(&over_idle, 1),
            verdict(median(&over_idle), most),
        ],
    ];
    text += &format!("{}\n", table(&memory));

    let count = |figure: fn(&Logins) -> usize| spread(&of(&|round| figure(&round.logins) as f64), 0);
    let seconds = |percent| spread(&of(&|round| percentile(&round.logins.took, percent).as_secs_f64()), 2);
    let logins = vec![
        ["logins", "303 logged in", "503 busy", "other", "p50 s", "p99 s", "all s", "pages not 200"]
            .map(String::from)
            .to_vec(),
        vec![
            args.logins.to_string(),
            count(|logins| logins.logged_in),
            count(|logins| logins.busy),
            count(|logins| logins.other),
            seconds(50.0),
            seconds(99.0),
            spread(&of(&|round| round.logins.total.as_secs_f64()), 2),
            spread(&of(&|round| round.failures() as f64), 0),
        ],
    ];
    let other_work = of(&|round| round.other_work * 100.0);
    text + &format!("{}\nDuring the run, other processes used {} % of the CPUs.\n", table(&logins), spread(&other_work, 0))
}

fn verdict(found: f64, most: f64) -> String {
    format!("<= {most:.0}: {}", report::verdict(found <= most))
}
