//! Whether the time of an answer tells who has an account.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use bench::{
    Result,
    cpus::CpuOptions,
    http::{Answer, Connection},
    report, runtime,
    server::Site,
    stats::{millis, percentile, table, welch_t},
};
use clap::Parser;

/// What is found only by chance once in a hundred thousand times (Reparaz et al., "Dude, is my code constant time?").
const SIGNIFICANT: f64 = 4.5;

/// The slowest samples are other processes' doing.
const KEPT_PERCENT: f64 = 90.0;

/// A pause after each request, in which the server does what it puts off.
const PAUSE: Duration = Duration::from_millis(3);

const KNOWN: &str = "demo@example.com";
const PASSWORD: &str = "not+the+password+of+anybody";

/// Sends forms with a known and an unknown address in random order, and compares the times of their answers.
#[derive(Parser)]
struct Args {
    /// The application's release binary
    program: PathBuf,
    /// How often each form is sent with each kind of address
    #[arg(long, default_value_t = 1000)]
    times: usize,
    /// The page to write the figures into, such as docs/performance.md
    #[arg(long)]
    write: Option<PathBuf>,
    #[command(flatten)]
    cpus: CpuOptions,
}

/// A form that an address is typed into.
struct Form {
    title: &'static str,
    path: &'static str,
    has_password: bool,
}

const FORMS: [Form; 5] = [
    Form { title: "Log in, wrong password", path: "/users/log-in", has_password: true },
    Form { title: "Register", path: "/users/register", has_password: true },
    Form { title: "Request a reset link", path: "/users/reset-password", has_password: false },
    Form { title: "Request a login link", path: "/users/log-in/link", has_password: false },
    Form { title: "Request a confirmation link", path: "/users/confirm", has_password: false },
];

/// What each kind of address took.
#[derive(Default)]
struct Samples {
    known: Vec<Duration>,
    unknown: Vec<Duration>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let cpus = args.cpus.choose();
    cpus.pin_load()?;
    let runtime = runtime()?;
    let site = Site::new(&args.program, &cpus)?;
    let server = runtime.block_on(site.start())?;
    let header = ["form", "known p50 ms", "unknown p50 ms", "t", "target"];
    let mut rows = vec![header.map(String::from).to_vec()];
    for form in FORMS {
        eprintln!("{}", form.title);
        let mut connection = runtime.block_on(Connection::open(server.address))?;
        let samples = runtime.block_on(measure(&mut connection, &form, args.times.max(2)))?;
        rows.push(samples.describe(form.title));
    }
    let text = format!(
        "Each form is submitted {} times with an email address that has an account and as often with one that hasn't, in \
         random order over one connection. Both get the same response. Welch's t-test on the fastest {KEPT_PERCENT} % of \
         each: beyond ±{SIGNIFICANT}, the times would differ by more than chance.\n\n{}",
        args.times.max(2),
        table(&rows)
    );
    report::publish(args.write.as_deref(), "timing", &text)
}

async fn measure(connection: &mut Connection, form: &Form, times: usize) -> Result<Samples> {
    let mut samples = Samples::default();
    let mut expected: Option<Answer> = None;
    for number in 0..2 * times + 20 {
        let is_known = random_bit()?;
        let address = if is_known { KNOWN.to_owned() } else { format!("n{number:04}@example.com") };
        let password = if form.has_password { PASSWORD } else { "" };
        let began = Instant::now();
        let answer = connection.submit(form.path, &address, password).await?;
        let took = began.elapsed();
        let same = expected.get_or_insert_with(|| answer.clone());
        if (answer.status, &answer.location) != (same.status, &same.location) {
            return Err(format!("{}: {} to {:?}", form.title, answer.status, answer.location).into());
        }
        // The first ones warm up.
        if number >= 20 {
            if is_known { &mut samples.known } else { &mut samples.unknown }.push(took);
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(samples)
}

fn random_bit() -> Result<bool> {
    Ok(sigra::SessionToken::generate()?.hash().as_bytes()[0] & 1 == 1)
}

impl Samples {
    fn describe(&self, title: &str) -> Vec<String> {
        let limit = percentile(&[&self.known[..], &self.unknown[..]].concat(), KEPT_PERCENT);
        let kept = |samples: &[Duration]| {
            samples.iter().filter(|took| **took <= limit).map(|took| millis(*took)).collect::<Vec<f64>>()
        };
        let t = welch_t(&kept(&self.known), &kept(&self.unknown));
        let median = |samples: &[Duration]| format!("{:.3}", millis(percentile(samples, 50.0)));
        let verdict = format!("|t| < {SIGNIFICANT}: {}", report::verdict(t.abs() < SIGNIFICANT));
        vec![title.to_owned(), median(&self.known), median(&self.unknown), format!("{t:.1}"), verdict]
    }
}
