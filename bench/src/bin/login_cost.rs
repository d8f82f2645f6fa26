//! What a login costs beside the password hash that it cannot do without.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use bench::{
    Result,
    argon2id::{ITERATIONS, MEMORY_KIB, PASSWORD, SALT},
    cpus::Cpus,
    http::{Answer, Connection},
    report, runtime,
    server::Site,
    stats::{millis, percentile, table},
};
use clap::Parser;

/// The target of the design: see the README.
const MAX: f64 = 1.03;

/// Times logins and bare Argon2id computations in turn, all on one CPU.
#[derive(Parser)]
struct Args {
    /// The application's release binary
    program: PathBuf,
    /// How often each of them is timed
    #[arg(long, default_value_t = 150)]
    times: usize,
    /// The CPU that all of it runs on (default: the first, if there are two)
    #[arg(long)]
    cpu: Option<String>,
    /// The page to write the figures into, such as docs/performance.md
    #[arg(long)]
    write: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut cpus = Cpus::choose(args.cpu, None);
    cpus.load = cpus.server.clone();
    cpus.pin_load()?;
    let runtime = runtime()?;
    let site = Site::new(&args.program, &cpus)?;
    let server = runtime.block_on(site.start())?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(MEMORY_KIB, ITERATIONS, 1, None)?);
    let mut memory = vec![Block::default(); argon2.params().block_count()];
    let mut output = [0; 32];

    let first = runtime.block_on(async { Connection::open(server.address).await?.log_in().await })?;
    let known = first.device_cookie().ok_or("a login doesn't make the browser known")?;

    let mut samples = Samples::default();
    for _ in 0..args.times.max(1) {
        // Connecting is not counted.
        let mut browser = runtime.block_on(Connection::open(server.address))?;
        let (answer, took) = timed(|| runtime.block_on(browser.log_in_again(known)))?;
        check(answer.is_logged_in(), &answer)?;
        samples.logins.push(took);
        let (answer, took) = timed(|| runtime.block_on(browser.log_in()))?;
        check(answer.is_logged_in(), &answer)?;
        samples.new_browsers.push(took);
        let (answer, took) = timed(|| runtime.block_on(browser.log_in_as_nobody()))?;
        check(answer.is_refused(), &answer)?;
        samples.refused.push(took);

        let ((), took) = timed(|| Ok(argon2.hash_password_into(PASSWORD, SALT, &mut output)?))?;
        samples.fresh.push(took);
        let kept = || Ok(argon2.hash_password_into_with_memory(PASSWORD, SALT, &mut output, &mut memory)?);
        samples.kept.push(timed(kept)?.1);
    }
    let text = format!(
        "The application's login, and only Argon2id with the same parameters, {} times each, alternating on one CPU.\n\n{}",
        args.times.max(1),
        samples.describe()
    );
    report::publish(args.write.as_deref(), "login_cost", &text)
}

fn timed<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Duration)> {
    let began = Instant::now();
    let result = work()?;
    Ok((result, began.elapsed()))
}

fn check(is_expected: bool, answer: &Answer) -> Result<()> {
    if is_expected {
        return Ok(());
    }
    Err(format!("a login was answered with {} to {:?}", answer.status, answer.location).into())
}

#[derive(Default)]
struct Samples {
    kept: Vec<Duration>,
    fresh: Vec<Duration>,
    refused: Vec<Duration>,
    /// In a browser that the user has logged in with before.
    logins: Vec<Duration>,
    /// In a browser that is new to the user, who gets an email about it.
    new_browsers: Vec<Duration>,
}

impl Samples {
    fn describe(&self) -> String {
        let bare = percentile(&self.kept, 50.0).as_secs_f64();
        let ratio = |samples: &[Duration]| percentile(samples, 50.0).as_secs_f64() / bare;
        let mut rows = vec![["what", "p10 ms", "p50 ms", "p90 ms", "p50 to the first"].map(String::from).to_vec()];
        for (name, samples) in [
            ("Argon2id, memory kept", &self.kept),
            ("Argon2id, memory allocated each time", &self.fresh),
            ("POST /users/log-in, unknown address", &self.refused),
            ("POST /users/log-in, logged in, known browser", &self.logins),
            ("POST /users/log-in, logged in, new browser: with an email about it", &self.new_browsers),
        ] {
            let at = |percent| format!("{:.2}", millis(percentile(samples, percent)));
            rows.push(vec![name.to_owned(), at(10.0), at(50.0), at(90.0), format!("{:.3}", ratio(samples))]);
        }
        let verdict = report::verdict(ratio(&self.logins) <= MAX);
        format!("{}\nTarget for a login: at most {MAX:.2} times a bare hash: {verdict}.\n", table(&rows))
    }
}
