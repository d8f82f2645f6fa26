//! How soon a session that was deleted on one node is gone on another.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use bench::{
    Result,
    app::{self, Account, PostgresUser},
    contender::{Contender, POOL, SIGRA_POSTGRES, log_in_user},
    cpus::CpuOptions,
    fill::{self, Size},
    http::Connection,
    programs::Program,
    report, runtime,
    settings::email,
    stats::{millis, percentile, table},
};
use clap::Parser;
use sigra::{AuthUser, SessionId, Sigra, testing::PostgresCluster};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// The target of the design, for the 99th percentile.
const MAX: Duration = Duration::from_millis(50);

/// A node that has not noticed by then never will.
const LONGEST: Duration = Duration::from_secs(10);

/// Answers that a node gives before its session is deleted, so that it has the scope at hand.
const ANSWERS_BEFORE: usize = 20;

/// The upper ends of the histogram's steps, in milliseconds.
const STEPS: [u64; 8] = [1, 2, 5, 10, 20, 50, 100, 1000];

/// Deletes sessions on one node, and asks another until it knows.
///
/// Two processes with Sigra and its cache on one PostgreSQL. The other process is asked in a tight loop, and is timed
/// from the moment that the deletion returned to the first answer as to nobody.
#[derive(Parser)]
struct Args {
    /// How many sessions are deleted, one after the other
    #[arg(long, default_value_t = 500)]
    trials: u32,
    /// The page to write the figures into, such as docs/performance.md
    #[arg(long)]
    write: Option<PathBuf>,
    #[command(flatten)]
    cpus: CpuOptions,
}

/// What one deletion led to.
struct Trial {
    took: Duration,
    /// Answers as to a logged-in user that were asked for after the deletion had returned.
    stale: usize,
}

/// What the loop saw: when it sent each request that was still answered, and when it was told that nobody asks.
struct Seen {
    answered: Vec<Instant>,
    refused: Instant,
}

fn main() -> Result<()> {
    let args = Args::parse();
    Program::Serve.make()?;
    let cpus = args.cpus.choose();
    cpus.pin_load()?;
    let runtime = runtime()?;
    let folder = TempDir::with_prefix("bench-revocation-")?;
    let cluster = PostgresCluster::start()?;
    let contender = Contender { cache: true, ..SIGRA_POSTGRES };
    let database = contender.place(folder.path(), Some(&cluster))?;
    let size = Size { users: args.trials.max(1), sessions: 10_000 };
    let other = runtime.block_on(contender.start(folder.path(), &database, size, &cpus))?;

    let sigra = runtime.block_on(async {
        let pool = fill::open_postgres(&database, POOL).await?;
        app::sigra::<PostgresUser>(pool, true)
    })?;
    let trials: Vec<Trial> =
        (1..=args.trials.max(1)).map(|user| trial(&runtime, &sigra, other.address, user)).collect::<Result<_>>()?;
    let text = describe(&trials);
    report::publish(args.write.as_deref(), "revocation", &text)
}

/// Logs a user in on the other node, deletes the session on this one, and waits until the other knows.
fn trial(runtime: &Runtime, sigra: &Sigra<PostgresUser>, other: SocketAddr, number: u32) -> Result<Trial> {
    let (cookies, user, session) = runtime.block_on(open_session(sigra, other, number))?;
    let (warm, is_warm) = mpsc::channel();
    let asking = thread::spawn(move || bench::runtime()?.block_on(ask_until_refused(other, &cookies, &warm)));
    // It has ended early, and says why below.
    let _ = is_warm.recv();
    let deleted = runtime.block_on(sigra.sessions().delete(&user, session))?;
    let returned = Instant::now();
    let seen = asking.join().map_err(|_| "the loop panicked")??;
    if !deleted {
        return Err("the session was gone already".into());
    }
    let stale = seen.answered.iter().filter(|sent| **sent > returned).count();
    Ok(Trial { took: seen.refused.saturating_duration_since(returned), stale })
}

/// Logs a user in on the other node: the cookies, and the ids of the user and the session.
async fn open_session(
    sigra: &Sigra<PostgresUser>,
    other: SocketAddr,
    number: u32,
) -> Result<(String, Uuid, SessionId)> {
    let cookies = log_in_user(&mut Connection::open(other).await?, number).await?;
    let user = PostgresUser::find_by_email(sigra.pool(), &email(number)).await?.id();
    let newest = sigra.sessions().list(&user).await?.into_iter().next().ok_or("the log-in left no session")?;
    Ok((cookies, user, newest.id))
}

async fn ask_until_refused(other: SocketAddr, cookies: &str, warm: &mpsc::Sender<()>) -> Result<Seen> {
    let mut connection = Connection::open(other).await?;
    let mut answered = Vec::new();
    let began = Instant::now();
    while began.elapsed() < LONGEST {
        let sent = Instant::now();
        match connection.get("/me", Some(cookies)).await?.status {
            200 => answered.push(sent),
            // A browser is led to the log-in page.
            303 | 401 if answered.len() >= ANSWERS_BEFORE => return Ok(Seen { answered, refused: Instant::now() }),
            status => return Err(format!("answered with {status} after {} good answers", answered.len()).into()),
        }
        if answered.len() == ANSWERS_BEFORE {
            warm.send(())?;
        }
    }
    Err(format!("the other node still answers {LONGEST:?} after the session was deleted").into())
}

fn describe(trials: &[Trial]) -> String {
    let took: Vec<Duration> = trials.iter().map(|trial| trial.took).collect();
    let at = |percent| format!("{:.2}", millis(percentile(&took, percent)));
    let stale: usize = trials.iter().map(|trial| trial.stale).sum();
    let p99 = percentile(&took, 99.0);
    let verdict = report::verdict(p99 < MAX);
    let target = format!("p99 < {} ms: {verdict}", MAX.as_millis());
    let figures = vec![
        ["sessions deleted", "p50 ms", "p99 ms", "max ms", "stale responses", "target"].map(String::from).to_vec(),
        vec![trials.len().to_string(), at(50.0), at(99.0), at(100.0), stale.to_string(), target],
    ];
    format!(
        "Two processes with the cache on and one PostgreSQL server. A session is deleted in one, while the other gets \
         requests with its cookie in a tight loop: the time from when the deletion returned to the first anonymous \
         response. A stale response is an authenticated one to a request that was sent after the deletion had returned.\
         \n\n{}\n{}",
        table(&figures),
        table(&histogram(&took))
    )
}

fn histogram(took: &[Duration]) -> Vec<Vec<String>> {
    let below = |step: u64| took.iter().filter(|took| **took < Duration::from_millis(step)).count();
    let mut rows = vec![["under ms", "sessions"].map(String::from).to_vec()];
    rows.extend(STEPS.map(|step| vec![step.to_string(), below(step).to_string()]));
    rows
}
