//! The ways from a token to its user in a SQLite file, with the database asked every time.

use std::{
    path::{Path, PathBuf},
    rc::Rc,
    time::Instant,
};

use bench::{
    Result,
    app::{self, SqliteUser},
    contender::POOL,
    cpus::CpuOptions,
    fill::{self, Size},
    report, runtime,
    stats::{median, spread, table},
};
use clap::Parser;
use rusqlite::OptionalExtension;
use sigra::{SessionToken, Sigra};
use sqlx::{Connection, SqliteConnection, SqlitePool};
use tempfile::TempDir;
use tokio::task::{JoinSet, LocalSet};

/// What all of them ask. Times and strings are read too, as a scope needs them.
const FIND: &str = "SELECT t.*, u.* FROM users_tokens t JOIN users u ON u.id = t.user_id
    WHERE t.context = 'session' AND t.token = ?1";

/// Times look-ups by several ways in turn, on one thread, asked for by one task and by many at once.
#[derive(Parser)]
struct Args {
    /// How often each way is timed
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// How many tokens are looked up each time
    #[arg(long, default_value_t = 20_000)]
    look_ups: usize,
    /// How many tasks ask at once
    #[arg(long, default_value_t = 32)]
    tasks: usize,
    /// How many sessions there are besides those that are looked up, and how many users
    #[arg(long, default_value_t = 100_000)]
    sessions: u32,
    /// The page to write the figures into, such as docs/performance.md
    #[arg(long)]
    write: Option<PathBuf>,
    #[command(flatten)]
    cpus: CpuOptions,
}

/// What the ways ask with.
struct Database {
    pool: SqlitePool,
    connection: tokio::sync::Mutex<SqliteConnection>,
    rusqlite: rusqlite::Connection,
    sigra: Sigra<SqliteUser>,
    caching: Sigra<SqliteUser>,
    tokens: Vec<SessionToken>,
}

#[derive(Clone, Copy)]
enum Way {
    Pool,
    Connection,
    Sigra,
    Rusqlite,
    Cached,
}

impl Way {
    const ALL: [Self; 5] = [Self::Pool, Self::Connection, Self::Sigra, Self::Rusqlite, Self::Cached];

    fn title(self) -> &'static str {
        match self {
            Self::Pool => "sqlx's pool",
            Self::Connection => "one connection of sqlx, shared",
            Self::Sigra => "Sigra, cache off: two connections, waiting lookups share a query",
            Self::Rusqlite => "`rusqlite` on the calling thread, prepared once",
            Self::Cached => "Sigra, cache on: reads the WAL index every time",
        }
    }

    /// Whether the token's session is there.
    async fn find(self, database: &Database, token: &SessionToken) -> Result<bool> {
        let hash = token.hash();
        Ok(match self {
            Self::Pool => sqlx::query(FIND).bind(hash.as_bytes()).fetch_optional(&database.pool).await?.is_some(),
            Self::Connection => {
                let mut connection = database.connection.lock().await;
                sqlx::query(FIND).bind(hash.as_bytes()).fetch_optional(&mut *connection).await?.is_some()
            }
            Self::Sigra => database.sigra.fetch_session(token).await?.is_some(),
            Self::Rusqlite => {
                let mut statement = database.rusqlite.prepare_cached(FIND)?;
                let read = |row: &rusqlite::Row| {
                    let columns = row.as_ref().column_count();
                    (0..columns)
                        .map(|column| row.get(column))
                        .collect::<rusqlite::Result<Vec<rusqlite::types::Value>>>()
                };
                let row = statement.query_row([hash.as_bytes()], read).optional()?;
                // So that others get their turn, as they do where there is something to wait for.
                tokio::task::yield_now().await;
                row.is_some()
            }
            Self::Cached => {
                tokio::task::yield_now().await;
                database.caching.fetch_session(token).await?.is_some()
            }
        })
    }
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut cpus = args.cpus.choose();
    cpus.load = cpus.server.clone();
    cpus.pin_load()?;
    let folder = TempDir::with_prefix("bench-sqlite-reads-")?;
    let rows = LocalSet::new().block_on(&runtime()?, measure(&args, &folder.path().join("bench.db")))?;
    let text = format!(
        "A row and its user by the hash of a token, among {} sessions, all on one CPU: {} lookups by one task in a row, \
         and by {} tasks at once. {} rounds, all ways alternating: thousands of lookups per second, median, with the \
         minimum and maximum in parentheses.\n\n{}\n\
         `rusqlite` has the shortest path, but it blocks the thread that serves all requests while a page is read from the \
         disk or another process holds a lock, and it can't read a user through `sqlx::FromRow`.\n",
        args.sessions,
        args.look_ups,
        args.tasks,
        args.rounds.max(1),
        table(&rows)
    );
    report::publish(args.write.as_deref(), "sqlite_reads", &text)
}

async fn measure(args: &Args, path: &Path) -> Result<Vec<Vec<String>>> {
    let database = Rc::new(open(args, path).await?);
    let mut rates = vec![(Vec::new(), Vec::new()); Way::ALL.len()];
    for _ in 0..args.rounds.max(1) {
        for (way, (alone, together)) in Way::ALL.into_iter().zip(&mut rates) {
            alone.push(rate(&database, way, 1, args.look_ups).await?);
            together.push(rate(&database, way, args.tasks.max(1), args.look_ups).await?);
        }
    }
    let pool = rates[0].clone();
    let mut rows = vec![["way", "one task", "to the pool", "many tasks", "to the pool"].map(String::from).to_vec()];
    for (way, (alone, together)) in Way::ALL.into_iter().zip(&rates) {
        let to = |ours: &[f64], pools: &[f64]| format!("{:.1}", median(ours) / median(pools));
        let cells = [spread(alone, 1), to(alone, &pool.0), spread(together, 1), to(together, &pool.1)];
        rows.push([vec![way.title().to_owned()], cells.to_vec()].concat());
    }
    Ok(rows)
}

async fn open(args: &Args, path: &Path) -> Result<Database> {
    let pool = fill::sqlite(path, Size { users: args.sessions, sessions: args.sessions }, POOL).await?;
    let (sigra, caching) =
        (app::sigra::<SqliteUser>(pool.clone(), false)?, app::sigra::<SqliteUser>(pool.clone(), true)?);
    let user: SqliteUser = sqlx::query_as("SELECT * FROM users LIMIT 1").fetch_one(&pool).await?;
    let mut tokens = Vec::new();
    for _ in 0..1000 {
        tokens.push(sigra.create_session(&user, sigra::RememberMe::No, &sigra::Client::default()).await?.0);
    }
    caching.catch_up().await;
    let connection = SqliteConnection::connect_with(&pool.connect_options()).await?.into();
    Ok(Database { connection, rusqlite: rusqlite::Connection::open(path)?, pool, sigra, caching, tokens })
}

/// Thousands of look-ups a second.
async fn rate(database: &Rc<Database>, way: Way, tasks: usize, look_ups: usize) -> Result<f64> {
    let each = look_ups.div_ceil(tasks);
    let began = Instant::now();
    let mut asking: JoinSet<Result<()>> = JoinSet::new();
    for task in 0..tasks {
        let database = database.clone();
        asking.spawn_local(async move {
            for token in database.tokens.iter().cycle().skip(task * each % database.tokens.len()).take(each) {
                if !way.find(&database, token).await? {
                    return Err("a token was not found".into());
                }
            }
            Ok(())
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    Ok((tasks * each) as f64 / began.elapsed().as_secs_f64() / 1e3)
}
