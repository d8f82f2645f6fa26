//! Many logins at once, and what a visitor of another page feels of them: in the application, and in servers with other
//! libraries.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use bench::{
    Result,
    contender::{Contender, Database, SIGRA_SQLITE, contender},
    cpus::{self, CpuOptions, Cpus},
    fill::Size,
    http::{Connection, logged_in_cookies},
    programs::Program,
    report, runtime,
    server::Site,
    stats::{median, millis, percentile, spread, table},
    storm::{Found, Load, LogIn, Logins, Target, Visits, run},
    visit::visit,
};
use clap::Parser;
use tempfile::TempDir;

/// The targets of the design: see the README.
const MEMORY_PER_CORE_MIB: f64 = 19.0;
const MEMORY_BESIDE_MIB: f64 = 64.0;
const PAGE_P99_RATIO: f64 = 3.0;

const WARM_UP: usize = 500;

/// How the application is chosen.
const APPLICATION: &str = "my_app";

/// The servers beside the application: two pages, and a login by email address and password, with the library's own
/// hash and its own parameters.
const SERVERS: [Contender; 4] = [
    Contender { cache: true, ..SIGRA_SQLITE },
    contender(
        "axum-login-sqlite",
        "axum-login, `password-auth` in `spawn_blocking`",
        Program::Peer("axum_login"),
        &["sqlite"],
        Database::Sqlite,
    ),
    // For one core, gunicorn recommends 3 processes and 2 to 4 threads.
    Contender {
        workers: 3,
        threads: 4,
        ..contender("django", "Django, PBKDF2, gunicorn with 3 processes", Program::Django, &[], Database::Sqlite)
    },
    contender("better-auth", "better-auth (Node), scrypt", Program::Node("better-auth.mjs"), &[], Database::Sqlite),
];

/// The users and sessions of these servers.
const SIZE: Size = Size { users: 1000, sessions: 1000 };

/// Measures pages and memory of the application, and of servers with other libraries, while many users log in at once.
#[derive(Parser)]
struct Args {
    /// The application's release binary
    program: Option<PathBuf>,
    /// Only these, by name: my_app, sigra-sqlite, axum-login-sqlite, django, better-auth
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
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

impl Args {
    fn load(&self) -> Load {
        let every = Duration::from_secs(1) / self.pages_per_second.max(1);
        Load { logins: self.logins, pages: self.pages, every }
    }

    fn is_chosen(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|chosen| chosen == name)
    }
}

struct Round {
    found: Found,
    cpus: usize,
    /// Without a password ever hashed: known of the application only.
    idle_kib: u64,
    peak_kib: u64,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let is_known = |name: &String| name == APPLICATION || SERVERS.iter().any(|server| server.name == *name);
    if let Some(unknown) = args.only.iter().find(|name| !is_known(name)) {
        return Err(format!("no server is named {unknown}; see --help").into());
    }
    let servers: Vec<Contender> = SERVERS.into_iter().filter(|server| args.is_chosen(server.name)).collect();
    for server in &servers {
        server.program.make()?;
    }
    let cpus = args.cpus.choose();
    cpus.pin_load()?;
    let mut sections = Vec::new();
    if args.is_chosen(APPLICATION) {
        let program = args.program.as_ref().ok_or(
            "the application's release binary is needed, such as target/release/my_app; without it, use --only",
        )?;
        let site = Site::new(program, &cpus)?;
        let rounds: Vec<Round> = (0..args.rounds.max(1)).map(|_| application(&site, &args)).collect::<Result<_>>()?;
        sections.push(describe(&args, &rounds));
    }
    if !servers.is_empty() {
        sections.push(compare(&args, &servers, &cpus)?);
    }
    report::publish(args.write.as_deref(), "login_storm", &sections.join("\n"))
}

fn application(site: &Site, args: &Args) -> Result<Round> {
    let runtime = runtime()?;
    // The first start in a folder hashes the demo user's password; idle is a process that never did.
    drop(runtime.block_on(site.start())?);
    let server = runtime.block_on(site.start())?;
    let address = server.address;
    runtime.block_on(visit(address, "/", None, Duration::ZERO, |pages| pages == WARM_UP))?;
    let idle_kib = server.rss_kib()?;
    let cookies = runtime.block_on(logged_in_cookies(address))?;
    let target = Target { address, public_page: "/", private_page: "/dashboard", cookies, log_in: LogIn::Form };
    let found = run(&runtime, &server, &target, args.load())?;
    Ok(Round { found, cpus: cpus::allowed(server.pid())?, idle_kib, peak_kib: server.peak_rss_kib()? })
}

/// A round of another server, with a new database.
fn server(contender: Contender, args: &Args, cpus: &Cpus) -> Result<Round> {
    let runtime = runtime()?;
    let folder = TempDir::with_prefix("bench-login-storm-")?;
    let database = contender.place(folder.path(), None)?;
    let server = runtime.block_on(contender.start(folder.path(), &database, SIZE, cpus))?;
    let idle_kib = server.rss_kib()?;
    let cookies = runtime.block_on(register(contender, server.address))?;
    let target =
        Target { address: server.address, public_page: "/hello", private_page: "/me", cookies, log_in: LogIn::Json };
    let found = run(&runtime, &server, &target, args.load())?;
    Ok(Round { found, cpus: cpus::allowed(server.pid())?, idle_kib, peak_kib: server.peak_rss_kib()? })
}

/// Registers the user who is to log in, and returns the cookies of a first login.
async fn register(contender: Contender, address: SocketAddr) -> Result<String> {
    let mut connection = Connection::open(address).await?;
    let answer = connection.sign_up().await?;
    if answer.status != 200 {
        return Err(format!("{}: a user can't register: {answer:?}", contender.name).into());
    }
    let answer = connection.sign_in().await?;
    let cookies = answer.kept_cookies();
    if answer.status != 200 || cookies.is_empty() {
        return Err(format!("{}: a user can't log in: {answer:?}", contender.name).into());
    }
    Ok(cookies)
}

/// The storm in the other servers, in turns.
fn compare(args: &Args, servers: &[Contender], cpus: &Cpus) -> Result<String> {
    let mut rounds: Vec<Vec<Round>> = servers.iter().map(|_| Vec::new()).collect();
    for round in 0..args.rounds.max(1) {
        for (contender, rounds) in servers.iter().zip(&mut rounds) {
            eprintln!("round {} of {}: {}", round + 1, args.rounds.max(1), contender.name);
            rounds.push(server(*contender, args, cpus)?);
        }
    }
    let mut rows = vec![
        [
            "server",
            "page",
            "idle p99 ms",
            "storm p99 ms",
            "storm worst ms",
            "p99 ratio",
            "logged in",
            "all s",
            "peak MiB",
        ]
        .map(String::from)
        .to_vec(),
    ];
    for (contender, rounds) in servers.iter().zip(&rounds) {
        let of = |figure: &dyn Fn(&Round) -> f64| rounds.iter().map(figure).collect::<Vec<f64>>();
        for (name, samples) in [("`GET /hello`", PAGES[0].1), ("`GET /me`, logged in", PAGES[1].1)] {
            let [_, idle, _, storm, worst, ratio] = page_figures(rounds, samples);
            rows.push(vec![
                contender.title.to_owned(),
                name.to_owned(),
                spread(&idle, 2),
                spread(&storm, 2),
                spread(&worst, 1),
                spread(&ratio, 1),
                spread(&of(&|round| round.found.logins.logged_in as f64), 0),
                spread(&of(&|round| round.found.logins.total.as_secs_f64()), 2),
                spread(&of(&|round| mib(round.peak_kib)), 0),
            ]);
        }
    }
    let failures: usize =
        rounds.iter().flatten().map(|round| round.found.idle.failures() + round.found.storm.failures()).sum();
    let other_work: Vec<f64> = rounds.iter().flatten().map(|round| round.found.other_work * 100.0).collect();
    Ok(format!(
        "The same storm in small servers, each with one library: `GET /hello` for a visitor, `GET /me` for a user, and a \
         login by email address and password, hashed as the library does by default. They take turns, with a new \
         process and database in each of {} rounds.\n\n{}\n{failures} pages were not answered with 200. During the run, \
         other processes used {} % of the CPUs.\n",
        args.rounds.max(1),
        table(&rows),
        spread(&other_work, 0)
    ))
}

type Samples = fn(&Visits) -> &[Duration];

/// The pages of the application, and what is known of them.
const PAGES: [(&str, Samples); 2] =
    [("GET /", |visits| &visits.public.took), ("GET /dashboard, logged in", |visits| &visits.private.took)];

/// Milliseconds in each round: idle p50 and p99, and in the storm p50, p99 and the worst; then the ratio of the p99s.
fn page_figures(rounds: &[Round], samples: Samples) -> [Vec<f64>; 6] {
    let idle = |percent| millis_of(rounds, percent, |found| samples(&found.idle));
    let storm = |percent| millis_of(rounds, percent, |found| samples(&found.storm));
    let ratios = storm(99.0).iter().zip(idle(99.0)).map(|(storm, idle)| storm / idle).collect();
    [idle(50.0), idle(99.0), storm(50.0), storm(99.0), storm(100.0), ratios]
}

fn millis_of(rounds: &[Round], percent: f64, samples: impl Fn(&Found) -> &[Duration]) -> Vec<f64> {
    rounds.iter().map(|round| millis(percentile(samples(&round.found), percent))).collect()
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
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
    for (name, samples) in PAGES {
        let [idle_p50, idle_p99, storm_p50, storm_p99, worst, ratios] = page_figures(rounds, samples);
        pages.push(vec![
            name.to_owned(),
            spread(&idle_p50, 2),
            spread(&idle_p99, 2),
            spread(&storm_p50, 2),
            spread(&storm_p99, 2),
            spread(&worst, 1),
            spread(&ratios, 1),
            verdict(median(&ratios), PAGE_P99_RATIO),
        ]);
    }
    text += &format!("{}\n", table(&pages));

    let over_idle = of(&|round| mib(round.peak_kib - round.idle_kib));
    let max = cores as f64 * MEMORY_PER_CORE_MIB + MEMORY_BESIDE_MIB;
    let memory = vec![
        ["memory MiB", "idle", "peak", "peak over idle", "target"].map(String::from).to_vec(),
        vec![
            "resident".to_owned(),
            spread(&of(&|round| mib(round.idle_kib)), 1),
            spread(&of(&|round| mib(round.peak_kib)), 1),
            spread(&over_idle, 1),
            verdict(median(&over_idle), max),
        ],
    ];
    text += &format!("{}\n", table(&memory));

    let count = |figure: fn(&Logins) -> usize| spread(&of(&|round| figure(&round.found.logins) as f64), 0);
    let seconds = |percent| spread(&of(&|round| percentile(&round.found.logins.took, percent).as_secs_f64()), 2);
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
            spread(&of(&|round| round.found.logins.total.as_secs_f64()), 2),
            spread(&of(&|round| (round.found.idle.failures() + round.found.storm.failures()) as f64), 0),
        ],
    ];
    let other_work = of(&|round| round.found.other_work * 100.0);
    text + &format!(
        "{}\nDuring the run, other processes used {} % of the CPUs.\n",
        table(&logins),
        spread(&other_work, 0)
    )
}

fn verdict(found: f64, max: f64) -> String {
    format!("<= {max:.0}: {}", report::verdict(found <= max))
}
