//! What a look-up costs among ten million sessions, and among ten thousand.

use std::{
    collections::HashMap,
    path::PathBuf,
    time::{Duration, Instant},
};

use bench::{
    Result,
    app::{self, Account, PostgresUser, SqliteUser},
    contender::POOL,
    cpus::CpuOptions,
    fill::{self, Size},
    report, runtime,
    stats::{median, spread, table},
};
use clap::Parser;
use sigra::{SessionToken, Sigra, testing::PostgresCluster};
use sqlx::{PgPool, SqlitePool};
use tempfile::TempDir;
use uuid::Uuid;

/// The target of the design: a look-up among many, so many times one among few.
const MAX: f64 = 1.3;

/// Times look-ups of random tokens with the cache off, in databases with few sessions and with many, in turn.
///
/// It needs about 10 GB in the folder for temporary files, one database after the other.
#[derive(Parser)]
struct Args {
    /// How often each database is asked
    #[arg(long, default_value_t = 100)]
    rounds: usize,
    /// How many tokens are looked up each time
    #[arg(long, default_value_t = 500)]
    look_ups: usize,
    /// The rows of the small table
    #[arg(long, default_value_t = 10_000)]
    few: u32,
    /// The rows of the large table
    #[arg(long, default_value_t = 10_000_000)]
    many: u32,
    /// How many users there are
    #[arg(long, default_value_t = 100_000)]
    users: u32,
    /// How many different tokens are looked up
    #[arg(long, default_value_t = 5000)]
    tokens: usize,
    /// The page to write the figures into, such as docs/performance.md
    #[arg(long)]
    write: Option<PathBuf>,
    #[command(flatten)]
    cpus: CpuOptions,
}

/// A database, and tokens of sessions at random places in it.
struct Table<U: Account> {
    sigra: Sigra<U>,
    tokens: Vec<SessionToken>,
}

/// How long a look-up took on average, in microseconds, in each round.
#[derive(Default)]
struct Figures {
    few: Vec<f64>,
    many: Vec<f64>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut cpus = args.cpus.choose();
    let mut rows = vec![["database", "few µs", "many µs", "ratio", "target"].map(String::from).to_vec()];
    let runtime = runtime()?;
    cpus.pin_load()?;
    let cluster = PostgresCluster::start()?;
    // PostgreSQL stays where it was started; from here on it is this process that is measured.
    cpus.load.clone_from(&cpus.server);
    cpus.pin_load()?;
    rows.push(describe("SQLite", &runtime.block_on(sqlite(&args))?));
    rows.push(describe("PostgreSQL", &runtime.block_on(postgres(&args, &cluster))?));
    let text = format!(
        "`Sigra::fetch_session` with the cache off, for random tokens out of {}: in a table of {} rows and in one of {}, \
         with {} users each. {} rounds of {} lookups, alternating: median, with the minimum and maximum in \
         parentheses.\n\n{}",
        args.tokens,
        args.few,
        args.many,
        args.users,
        args.rounds.max(1),
        args.look_ups.max(1),
        table(&rows)
    );
    report::publish(args.write.as_deref(), "scaling", &text)
}

async fn sqlite(args: &Args) -> Result<Figures> {
    let folder = TempDir::with_prefix("bench-scaling-")?;
    let mut tables = Vec::new();
    for sessions in [args.few, args.many] {
        eprintln!("SQLite: writing {sessions} rows");
        let size = Size { users: args.users, sessions };
        let pool = fill::sqlite(&folder.path().join(format!("{sessions}.db")), size, POOL).await?;
        let tokens = put_sqlite_tokens(&pool, sessions, args.tokens).await?;
        tables.push(Table { sigra: app::sigra::<SqliteUser>(pool, false)?, tokens });
    }
    compare(args, &tables[0], &tables[1]).await
}

async fn postgres(args: &Args, cluster: &PostgresCluster) -> Result<Figures> {
    let mut tables = Vec::new();
    for sessions in [args.few, args.many] {
        eprintln!("PostgreSQL: writing {sessions} rows");
        let size = Size { users: args.users, sessions };
        let pool = fill::postgres(&cluster.create_database()?, size, POOL).await?;
        let tokens = put_postgres_tokens(&pool, sessions, args.tokens).await?;
        sqlx::raw_sql("VACUUM ANALYZE users_tokens").execute(&pool).await?;
        tables.push(Table { sigra: app::sigra::<PostgresUser>(pool, false)?, tokens });
    }
    compare(args, &tables[0], &tables[1]).await
}

macro_rules! put_tokens {
    ($name:ident, $pool:ty) => {
        /// Gives sessions at random places in the table tokens that we know.
        async fn $name(pool: &$pool, rows: u32, count: usize) -> Result<Vec<SessionToken>> {
            let first: Uuid =
                sqlx::query_scalar("SELECT id FROM users_tokens ORDER BY id LIMIT 1").fetch_one(pool).await?;
            let tokens = at_random_places(rows, count)?;
            let mut tx = pool.begin().await?;
            for (place, token) in &tokens {
                // The ids are consecutive.
                let id = Uuid::from_u128(first.as_u128() + u128::from(*place));
                let put = sqlx::query("UPDATE users_tokens SET token = $1 WHERE id = $2");
                let put = put.bind(token.hash().as_bytes().to_vec()).bind(id).execute(&mut *tx).await?;
                if put.rows_affected() != 1 {
                    return Err(format!("there is no session {id}").into());
                }
            }
            tx.commit().await?;
            Ok(tokens.into_values().collect())
        }
    };
}

put_tokens!(put_sqlite_tokens, SqlitePool);
put_tokens!(put_postgres_tokens, PgPool);

/// Tokens for different rows, in no order.
fn at_random_places(rows: u32, count: usize) -> Result<HashMap<u32, SessionToken>> {
    let mut tokens = HashMap::new();
    while tokens.len() < count.min(rows.try_into()?) {
        let token = SessionToken::generate()?;
        let hash = token.hash();
        let random = hash.as_bytes().iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        tokens.insert(u32::try_from(random % u64::from(rows))?, token);
    }
    Ok(tokens)
}

async fn compare<U: Account>(args: &Args, few: &Table<U>, many: &Table<U>) -> Result<Figures> {
    for table in [few, many] {
        look_up(table, 0, table.tokens.len()).await?;
    }
    let mut figures = Figures::default();
    let look_ups = args.look_ups.max(1);
    for round in 0..args.rounds.max(1) {
        let micros = |took: Duration| took.as_secs_f64() * 1e6 / look_ups as f64;
        figures.few.push(micros(look_up(few, round * look_ups, look_ups).await?));
        figures.many.push(micros(look_up(many, round * look_ups, look_ups).await?));
    }
    Ok(figures)
}

/// Looks up the next tokens of a table, one after the other.
async fn look_up<U: Account>(table: &Table<U>, from: usize, count: usize) -> Result<Duration> {
    let began = Instant::now();
    for token in table.tokens.iter().cycle().skip(from % table.tokens.len()).take(count) {
        if table.sigra.fetch_session(token).await?.is_none() {
            return Err("a token was not found".into());
        }
    }
    Ok(began.elapsed())
}

fn describe(database: &str, figures: &Figures) -> Vec<String> {
    let ratios: Vec<f64> = figures.many.iter().zip(&figures.few).map(|(many, few)| many / few).collect();
    let verdict = report::verdict(median(&ratios) <= MAX);
    vec![
        database.to_owned(),
        spread(&figures.few, 1),
        spread(&figures.many, 1),
        spread(&ratios, 2),
        format!("<= {MAX}: {verdict}"),
    ]
}
