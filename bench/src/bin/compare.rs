//! Requests of a logged-in user a second: Sigra, other libraries, and the same handler without any.

use std::{path::PathBuf, time::Instant};

use bench::{
    Result,
    chart::{self, Bar},
    contender::{Contender, Database, POOL, SIGRA_POSTGRES, SIGRA_SQLITE, contender},
    cpus::{self, CpuOptions, Cpus},
    fill::Size,
    machine,
    programs::{Program, first_line},
    report, runtime,
    server::Server,
    stats::{median, millis, range, spread, table},
    wrk::{CONNECTIONS, Figures, Wrk},
};
use clap::Parser;
use sigra::testing::PostgresCluster;
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// Where the page has the rest.
const DETAILS: &str = "#the-comparison-in-detail";

/// Servers that are compared, and what is hoped of them.
struct Comparison {
    contenders: &'static [Contender],
    /// A server's requests per second, at least so many times another one's.
    min_rates: &'static [(&'static str, f64, &'static str)],
    /// A server's CPU time for a request, at most so many times bare axum's.
    max_costs: &'static [(&'static str, f64)],
}

const COOKIES: Comparison =
    Comparison { contenders: &COOKIE_CONTENDERS, min_rates: &COOKIE_MIN_RATES, max_costs: &COOKIE_MAX_COSTS };

const TOKENS: Comparison = Comparison { contenders: &TOKEN_CONTENDERS, min_rates: &TOKEN_MIN_RATES, max_costs: &[] };

const SIGRA_SQLITE_UNCACHED: Contender =
    Contender { name: "sigra-sqlite-uncached", title: "Sigra, SQLite, cache off", ..SIGRA_SQLITE };
const SIGRA_POSTGRES_UNCACHED: Contender =
    Contender { name: "sigra-postgres-uncached", title: "Sigra, PostgreSQL, cache off", ..SIGRA_POSTGRES };
const BARE: Contender = contender("bare", "axum, no authentication", Program::Serve, &["bare"], Database::None);
const DJANGO: Contender = contender("django", "Django, SQLite", Program::Django, &[], Database::Sqlite);
const BETTER_AUTH: Contender =
    contender("better-auth", "better-auth (Node), SQLite", Program::Node("better-auth.mjs"), &[], Database::Sqlite);

const COOKIE_CONTENDERS: [Contender; 17] = [
    BARE,
    contender("bare-layered", "axum, a layer that does nothing", Program::Serve, &["bare-layered"], Database::None),
    Contender { cache: true, ..SIGRA_SQLITE },
    Contender {
        name: "sigra-sqlite-mmap",
        title: "Sigra, SQLite, feature `mmap`",
        program: Program::ServeMmap,
        cache: true,
        ..SIGRA_SQLITE
    },
    SIGRA_SQLITE_UNCACHED,
    Contender { cache: true, ..SIGRA_POSTGRES },
    SIGRA_POSTGRES_UNCACHED,
    contender(
        "axum-login-sqlite",
        "axum-login + tower-sessions, SQLite",
        Program::Peer("axum_login"),
        &["sqlite"],
        Database::Sqlite,
    ),
    contender(
        "axum-login-postgres",
        "axum-login + tower-sessions, PostgreSQL",
        Program::Peer("axum_login"),
        &["postgres"],
        Database::Postgres,
    ),
    contender("torii", "Torii, SQLite", Program::Peer("torii"), &[], Database::Sqlite),
    contender("torii-indexed", "Torii, SQLite, index added", Program::Peer("torii"), &["indexed"], Database::Sqlite),
    contender("better-auth-rs", "better-auth (Rust), SQLite", Program::Peer("better_auth"), &[], Database::Sqlite),
    contender("authkestra", "authkestra, SQLite", Program::Peer("authkestra"), &["sqlite"], Database::Sqlite),
    contender("authkestra-memory", "authkestra, in memory", Program::Peer("authkestra"), &["memory"], Database::Memory),
    DJANGO,
    contender("express", "Express + Passport, SQLite", Program::Node("express.js"), &[], Database::Sqlite),
    BETTER_AUTH,
];

/// The targets of the design.
const COOKIE_MIN_RATES: [(&str, f64, &str); 7] = [
    ("sigra-sqlite", 0.9, "bare"),
    ("sigra-sqlite-mmap", 0.9, "bare"),
    ("sigra-postgres", 0.9, "bare"),
    ("sigra-sqlite", 7.0, "axum-login-sqlite"),
    ("sigra-postgres", 7.0, "axum-login-sqlite"),
    ("sigra-sqlite-uncached", 4.0, "axum-login-sqlite"),
    ("sigra-postgres-uncached", 2.0, "axum-login-postgres"),
];

const COOKIE_MAX_COSTS: [(&str, f64); 3] =
    [("sigra-sqlite", 1.1), ("sigra-sqlite-mmap", 1.1), ("sigra-postgres", 1.05)];

const BEARER: Option<&str> = Some("Authorization: Bearer ");

const TOKEN_CONTENDERS: [Contender; 13] = [
    BARE,
    Contender { cache: true, ..SIGRA_SQLITE },
    Contender {
        name: "sigra-sqlite-token",
        title: "Sigra, SQLite, token",
        cache: true,
        token_header: BEARER,
        ..SIGRA_SQLITE
    },
    SIGRA_SQLITE_UNCACHED,
    Contender {
        name: "sigra-sqlite-token-uncached",
        title: "Sigra, SQLite, cache off, token",
        token_header: BEARER,
        ..SIGRA_SQLITE
    },
    Contender { cache: true, ..SIGRA_POSTGRES },
    Contender {
        name: "sigra-postgres-token",
        title: "Sigra, PostgreSQL, token",
        cache: true,
        token_header: BEARER,
        ..SIGRA_POSTGRES
    },
    SIGRA_POSTGRES_UNCACHED,
    Contender {
        name: "sigra-postgres-token-uncached",
        title: "Sigra, PostgreSQL, cache off, token",
        token_header: BEARER,
        ..SIGRA_POSTGRES
    },
    DJANGO,
    Contender {
        name: "django-token",
        title: "Django REST framework, SQLite, token",
        token_header: Some("Authorization: Token "),
        ..DJANGO
    },
    BETTER_AUTH,
    Contender {
        name: "better-auth-token",
        title: "better-auth (Node), SQLite, API key",
        token_header: Some("x-api-key: "),
        ..BETTER_AUTH
    },
];

/// A request with a token costs what one with a cookie does.
const TOKEN_MIN_RATES: [(&str, f64, &str); 4] = [
    ("sigra-sqlite-token", 0.95, "sigra-sqlite"),
    ("sigra-sqlite-token-uncached", 0.95, "sigra-sqlite-uncached"),
    ("sigra-postgres-token", 0.95, "sigra-postgres"),
    ("sigra-postgres-token-uncached", 0.95, "sigra-postgres-uncached"),
];

/// Compares authenticated requests with those of other libraries, in turns.
///
/// Each server answers `GET /me` with the e-mail address of the logged-in user. All are alive throughout; in every
/// round each is loaded once, in an order that rotates, and compared with the others in that round.
#[derive(Parser)]
struct Args {
    /// Compare requests with a token to those with a cookie
    #[arg(long)]
    tokens: bool,
    /// How often each server is loaded
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// For how long each time, in seconds
    #[arg(long, default_value_t = 4)]
    seconds: u32,
    /// Only these servers, by name: bare, bare-layered, sigra-sqlite, sigra-sqlite-uncached, sigra-postgres,
    /// sigra-postgres-uncached, axum-login-sqlite, axum-login-postgres, torii, torii-indexed, better-auth-rs,
    /// authkestra, authkestra-memory, django, express, better-auth. With --tokens: bare, sigra-sqlite,
    /// sigra-sqlite-uncached, sigra-postgres, sigra-postgres-uncached, django, better-auth, and each but bare with
    /// -token, such as sigra-sqlite-token-uncached
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// How many users each database has
    #[arg(long, default_value_t = 100_000)]
    users: u32,
    /// How many sessions, and tokens where there are any, each database has besides those that are used
    #[arg(long, default_value_t = 100_000)]
    sessions: u32,
    /// How many sessions or tokens the requests rotate among
    #[arg(long, default_value_t = 1000)]
    used_sessions: u32,
    /// The page to write the figures into, such as docs/performance.md; a plot goes beside it
    #[arg(long)]
    write: Option<PathBuf>,
    #[command(flatten)]
    cpus: CpuOptions,
}

/// A server that is alive, and what was found of it in each round.
struct Entry {
    contender: Contender,
    server: Server,
    headers: PathBuf,
    figures: Vec<Figures>,
    /// The share of a CPU that it took.
    busy: Vec<f64>,
    /// The CPU time that it took for a request, in microseconds.
    cost: Vec<f64>,
}

impl Entry {
    fn rates(&self) -> Vec<f64> {
        self.figures.iter().map(|figures| figures.requests_per_second).collect()
    }

    /// How many times the other's rate this one's is, in each round.
    fn ratios_to(&self, other: &Self) -> Vec<f64> {
        ratios(&self.rates(), &other.rates())
    }
}

fn ratios(ours: &[f64], theirs: &[f64]) -> Vec<f64> {
    ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect()
}

fn main() -> Result<()> {
    let args = Args::parse();
    let comparison = if args.tokens { TOKENS } else { COOKIES };
    let chosen = choose(&comparison, &args.only)?;
    for contender in &chosen {
        contender.program.make()?;
    }
    // From here on, what this process starts inherits its CPU: wrk and PostgreSQL.
    let cpus = args.cpus.choose();
    cpus.pin_load()?;
    let wrk = Wrk::new()?;
    let folder = TempDir::with_prefix("bench-compare-")?;
    let postgres = chosen.iter().any(|contender| contender.database == Database::Postgres);
    let cluster = if postgres { Some(PostgresCluster::start()?) } else { None };
    let runtime = runtime()?;

    let mut entries = Vec::new();
    for contender in chosen {
        eprintln!("{}: starting", contender.name);
        entries.push(runtime.block_on(prepare(contender, &args, &folder, cluster.as_ref(), &cpus, &wrk))?);
    }
    let load_before = machine::load();
    for round in 0..args.rounds.max(1) {
        eprintln!("round {} of {}", round + 1, args.rounds.max(1));
        for place in 0..entries.len() {
            let at = (place + round) % entries.len();
            measure(&mut entries[at], &wrk, args.seconds.max(1))?;
        }
    }
    check_again(&runtime, &entries)?;
    let details = describe(&comparison, &entries, &cpus, &wrk, &load_before)?;
    if args.tokens {
        let section = format!("{}\n\n{details}", explanation(&args));
        println!("{section}");
        return args.write.map_or(Ok(()), |page| report::write(&page, "compare_tokens", &section));
    }
    let summary = format!("{}\n{} [Details]({DETAILS})\n", table(&summary(&entries)), explanation(&args));
    println!("{summary}\n{details}");
    if let Some(page) = &args.write {
        let plot = page.with_extension("svg");
        let name = plot.file_name().unwrap_or_default().display();
        std::fs::write(&plot, plot_of(&entries))?;
        report::write(page, "compare", &format!("![Authenticated requests per second]({name})\n\n{summary}"))?;
        report::write(page, "compare_details", &details)?;
    }
    Ok(())
}

fn choose(comparison: &Comparison, only: &[String]) -> Result<Vec<Contender>> {
    let all = comparison.contenders;
    if let Some(unknown) = only.iter().find(|name| !all.iter().any(|contender| contender.name == **name)) {
        return Err(format!("no server is named {unknown}; see --help").into());
    }
    let is_chosen = |name: &str| only.is_empty() || name == "bare" || only.iter().any(|chosen| chosen == name);
    Ok(all.iter().copied().filter(|contender| is_chosen(contender.name)).collect())
}

async fn prepare(
    contender: Contender,
    args: &Args,
    folder: &TempDir,
    cluster: Option<&PostgresCluster>,
    cpus: &Cpus,
    wrk: &Wrk,
) -> Result<Entry> {
    let size = Size { users: args.users, sessions: args.sessions };
    let database = contender.place(folder.path(), cluster)?;
    let server = contender.start(folder.path(), &database, size, cpus).await?;
    let headers = contender.headers(server.address, args.used_sessions).await?;
    contender.check(server.address, &headers).await?;
    let headers = wrk.save_headers(contender.name, &headers)?;
    Ok(Entry { contender, server, headers, figures: Vec::new(), busy: Vec::new(), cost: Vec::new() })
}

fn measure(entry: &mut Entry, wrk: &Wrk, seconds: u32) -> Result<()> {
    let failed = |error| format!("{}: {error}", entry.contender.name);
    wrk.warm_up(entry.server.address, &entry.headers)?;
    let (began, spent_before) = (Instant::now(), cpus::seconds_of(entry.server.pid())?);
    let figures = wrk.run(entry.server.address, &entry.headers, seconds).map_err(failed)?;
    let spent = cpus::seconds_of(entry.server.pid())? - spent_before;
    entry.busy.push(spent / began.elapsed().as_secs_f64());
    entry.cost.push(spent * 1e6 / figures.requests.max(1) as f64);
    entry.figures.push(figures);
    Ok(())
}

/// A server that lost its sessions on the way would have been quick.
fn check_again(runtime: &Runtime, entries: &[Entry]) -> Result<()> {
    for entry in entries {
        let headers: Vec<String> = std::fs::read_to_string(&entry.headers)?.lines().map(str::to_owned).collect();
        runtime.block_on(entry.contender.check(entry.server.address, &headers))?;
    }
    Ok(())
}

/// What the figures are of.
fn explanation(args: &Args) -> String {
    let (whose, rows, used) = if args.tokens {
        (
            "the user whose session's cookie, or whose token, it has",
            "sessions and, if it is asked with tokens, as many of them",
            "sessions or tokens",
        )
    } else {
        ("the logged-in user", "sessions", "sessions")
    };
    format!(
        "`GET /me` returns the email address of {whose}. Each database has {} users and {} {rows}; requests rotate among \
         {} further {used}. Medians of {} rounds of {} s, all servers alternating.",
        args.users,
        args.sessions,
        args.used_sessions,
        args.rounds.max(1),
        args.seconds.max(1)
    )
}

/// Each server in a few figures.
fn summary(entries: &[Entry]) -> Vec<Vec<String>> {
    let mut rows = vec![["server", "requests/s", "to bare axum", "CPU µs/request"].map(String::from).to_vec()];
    rows.extend(entries.iter().map(|entry| {
        vec![
            entry.contender.title.to_owned(),
            format!("{:.0}", median(&entry.rates())),
            format!("{:.3}", median(&entry.ratios_to(&entries[0]))),
            format!("{:.1}", median(&entry.cost)),
        ]
    }));
    rows
}

fn describe(comparison: &Comparison, entries: &[Entry], cpus: &Cpus, wrk: &Wrk, load_before: &str) -> Result<String> {
    let mut text = "Medians, with the minimum and maximum in parentheses. Each ratio is to bare axum in the same \
                    round.\n\n"
        .to_owned();
    text += &table(&figures(entries));
    text += "\nThe last column is how much of its CPU the server used. If it is well under 100 %, the server waited for \
             PostgreSQL, for the load, or for other processes on the machine.\n\n";
    let targets = targets(comparison, entries);
    if targets.len() > 1 {
        text += &format!("{}\n", table(&targets));
    }
    text += &report::circumstances(&report::command("compare"));
    let pinned = match (&cpus.server, &cpus.load) {
        (Some(server), Some(load)) => format!("on CPU {server}; wrk and PostgreSQL on CPU {load}"),
        _ => "on any CPU, as are wrk and PostgreSQL".to_owned(),
    };
    text += &format!(
        "\nThe servers run {pinned}. Each has one worker: a current-thread runtime, one process of Node, or one \
         thread of gunicorn; at most {POOL} connections to PostgreSQL or through an sqlx pool. SQLite is in WAL mode, \
         `synchronous` is `NORMAL`. Load: {}, one thread, {CONNECTIONS} connections, after a warm-up of half a \
         second. The machine's load average was {load_before} before the rounds and {} after.\n\n",
        wrk.version()?,
        machine::load()
    );
    text += &versions(entries)?;
    Ok(text)
}

fn figures(entries: &[Entry]) -> Vec<Vec<String>> {
    let mut rows = vec![
        ["server", "requests/s", "to bare axum", "p50 ms", "p99 ms", "server CPU µs/request", "server CPU %"]
            .map(String::from)
            .to_vec(),
    ];
    for entry in entries {
        let latency = |of: fn(&Figures) -> f64| median(&entry.figures.iter().map(of).collect::<Vec<f64>>());
        let busy: Vec<f64> = entry.busy.iter().map(|share| share * 100.0).collect();
        rows.push(vec![
            entry.contender.title.to_owned(),
            spread(&entry.rates(), 0),
            spread(&entry.ratios_to(&entries[0]), 3),
            format!("{:.2}", latency(|figures| millis(figures.p50))),
            format!("{:.2}", latency(|figures| millis(figures.p99))),
            spread(&entry.cost, 1),
            format!("{:.0}", median(&busy)),
        ]);
    }
    rows
}

/// The targets whose servers were all measured.
fn targets(comparison: &Comparison, entries: &[Entry]) -> Vec<Vec<String>> {
    let find = |name: &str| entries.iter().find(|entry| entry.contender.name == name);
    let mut rows = vec![["target", "", "found", ""].map(String::from).to_vec()];
    let mut add = |what: &str, entry: &Entry, other: &Entry, target: String, ratios: &[f64], is_met: bool| {
        let compared = format!("{what}: {} / {}", entry.contender.title, other.contender.title);
        rows.push(vec![compared, target, spread(ratios, 2), report::verdict(is_met).to_owned()]);
    };
    for &(name, least, other) in comparison.min_rates {
        if let (Some(entry), Some(other)) = (find(name), find(other)) {
            let ratios = entry.ratios_to(other);
            add("requests/s", entry, other, format!("≥ {least}"), &ratios, median(&ratios) >= least);
        }
    }
    for &(name, max) in comparison.max_costs {
        if let (Some(entry), Some(bare)) = (find(name), find("bare")) {
            let ratios = ratios(&entry.cost, &bare.cost);
            add("CPU", entry, bare, format!("≤ {max}"), &ratios, median(&ratios) <= max);
        }
    }
    rows
}

fn versions(entries: &[Entry]) -> Result<String> {
    let mut lines: Vec<String> = Vec::new();
    for entry in entries {
        let line = format!("- {}\n", entry.contender.program.versions()?);
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    if entries.iter().any(|entry| entry.contender.database == Database::Postgres) {
        lines.push(format!("- {}\n", first_line(std::process::Command::new("psql").arg("--version"))?));
    }
    Ok(lines.concat())
}

fn plot_of(entries: &[Entry]) -> String {
    let bars: Vec<Bar> = entries
        .iter()
        .map(|entry| {
            let rates = entry.rates();
            let (least, greatest) = range(&rates);
            Bar {
                label: entry.contender.title.to_owned(),
                least,
                median: median(&rates),
                greatest,
                text: format!("{:.0}", median(&rates)),
                ours: entry.contender.name.starts_with("sigra"),
            }
        })
        .collect();
    chart::bars("Authenticated requests per second, one worker on one CPU", &bars)
}
