//! Two servers on one database: sessions end at one of them while both are under load.

use std::{
    fmt,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{number, random, register};
use crate::{
    server::{Browser, Server},
    support::TestDatabase,
};

/// The number of concurrent trials.
const LANES: usize = 2;
/// How long the other server may take to notice the end. On SQLite, it checks at each request.
const BOUND: Duration = if cfg!(feature = "postgres") { Duration::from_secs(1) } else { Duration::ZERO };
/// Readers stop after this number of refused reads in a row that began after the end of the session.
const REFUSALS: usize = 5;
/// Longer than any trial takes on a slow machine.
const TIMEOUT: Duration = Duration::from_secs(20);

/// The server at which the session ends, and the other one.
#[derive(Clone, Copy)]
struct Servers<'a> {
    here: &'a Server,
    there: &'a Server,
}

/// The browsers of one user.
struct Lane {
    email: String,
    victim: Browser,
    other: Browser,
    readers: [Browser; 2],
}

struct Read {
    begun: Instant,
    logged_in: bool,
}

/// The reads that began after the response to the end of the session.
struct Trial {
    reads: usize,
    accepted_here: usize,
    accepted_there: usize,
    /// The time until all reads there were refused. Zero if none was accepted.
    delay: Duration,
}

impl Lane {
    fn new(number: usize) -> Self {
        let email = format!("lane{number}@example.com");
        let readers = [Browser::new(), Browser::new()];
        Self { email, victim: Browser::new(), other: Browser::new(), readers }
    }

    /// Two readers use a session while it is ended.
    fn run(&mut self, servers: Servers) -> Trial {
        self.victim.log_in(servers.here, &self.email, false).expect("a response");
        let cookies = self.victim.session_cookies();
        let devices = self.victim.get(servers.here, "/users/sessions").expect("a response");
        let id = devices.own_session_id().expect("a device");
        let (warm, ended) = (AtomicUsize::new(0), OnceLock::new());
        let Self { victim, other, readers: [reader_here, reader_there], email } = self;
        let (here, there) = thread::scope(|scope| {
            let here = scope.spawn(|| read(reader_here, servers.here, &cookies, &warm, &ended));
            let there = scope.spawn(|| read(reader_there, servers.there, &cookies, &warm, &ended));
            wait_until_warm(&warm);
            end_session(servers.here, victim, other, email, id);
            ended.get_or_init(Instant::now);
            (here.join().expect("reads"), there.join().expect("reads"))
        });
        Trial::new(&here, &there, *ended.get().expect("a moment"))
    }
}

impl Trial {
    fn new(here: &[Read], there: &[Read], ended: Instant) -> Self {
        let late = |reads: &[Read]| reads.iter().filter(|read| read.begun > ended).count();
        let accepted = |reads: &[Read]| reads.iter().filter(|read| read.begun > ended && read.logged_in).count();
        let last = there.iter().rposition(|read| read.begun > ended && read.logged_in);
        let then = |last: usize| there.get(last + 1).map_or(TIMEOUT, |read| read.begun - ended);
        let delay = last.map_or(Duration::ZERO, then);
        Self { reads: late(here) + late(there), accepted_here: accepted(here), accepted_there: accepted(there), delay }
    }
}

/// Reads until the session is refused, and some more times.
fn read(browser: &Browser, server: &Server, cookies: &str, warm: &AtomicUsize, ended: &OnceLock<Instant>) -> Vec<Read> {
    let mut reads = Vec::new();
    let mut refused = 0;
    let since = Instant::now();
    while refused < REFUSALS && since.elapsed() < TIMEOUT {
        let begun = Instant::now();
        let logged_in = browser.is_logged_in(server, cookies).expect("a response");
        let is_late = ended.get().is_some_and(|ended| begun > *ended);
        refused = if is_late && !logged_in { refused + 1 } else { 0 };
        reads.push(Read { begun, logged_in });
        if reads.len() == 3 {
            warm.fetch_add(1, Ordering::Relaxed);
        }
    }
    reads
}

/// Waits until both servers can have cached the scope, and for a random time, so that trials differ.
fn wait_until_warm(warm: &AtomicUsize) {
    let begun = Instant::now();
    while warm.load(Ordering::Relaxed) < 2 {
        assert!(begun.elapsed() < TIMEOUT, "the readers get no responses");
        thread::sleep(Duration::from_micros(100));
    }
    thread::sleep(Duration::from_micros(random(2000)));
}

/// Ends a session in one of three ways, and waits for the response.
fn end_session(server: &Server, victim: &mut Browser, other: &mut Browser, email: &str, id: &str) {
    let (browser, path, location) = match random(8) {
        0 => (other, "/users/sessions".to_owned(), "/"),
        1..4 => (other, format!("/users/sessions/{id}"), "/users/sessions"),
        _ => (victim, "/users/log-out".to_owned(), "/"),
    };
    let mut response = browser.delete(server, &path).expect("a response");
    if response.asks_to_log_in() {
        browser.log_in(server, email, false).expect("a response");
        response = browser.delete(server, &path).expect("a response");
    }
    assert_eq!((response.status.as_u16(), response.location.as_str()), (303, location));
}

struct Report(Vec<Trial>);

impl Report {
    fn sum(&self, count: impl Fn(&Trial) -> usize) -> usize {
        self.0.iter().map(count).sum()
    }

    fn delays(&self) -> Vec<Duration> {
        let mut delays: Vec<Duration> = self.0.iter().map(|trial| trial.delay).collect();
        delays.sort_unstable();
        delays
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let delays = self.delays();
        let percentile = |percent: usize| delays[(delays.len() - 1) * percent / 100];
        write!(
            f,
            "{} trials, {} reads after the end: accepted here {}, there {} (in {} trials), delay there p50 {:?} p99 {:?} max {:?}",
            self.0.len(),
            self.sum(|trial| trial.reads),
            self.sum(|trial| trial.accepted_here),
            self.sum(|trial| trial.accepted_there),
            self.sum(|trial| usize::from(trial.accepted_there > 0)),
            percentile(50),
            percentile(99),
            percentile(100),
        )
    }
}

/// Returns the longest time that this machine kept a runnable thread waiting.
fn longest_stall(until: &AtomicBool) -> Duration {
    const NAP: Duration = Duration::from_millis(10);
    let mut longest = Duration::ZERO;
    while !until.load(Ordering::Relaxed) {
        let begun = Instant::now();
        thread::sleep(NAP);
        longest = longest.max(begun.elapsed().saturating_sub(NAP));
    }
    longest
}

/// Starts both servers, and waits until both cache scopes.
fn start(database_url: &str, email: &str) -> [Server; 2] {
    let servers = [Server::start(database_url), Server::start(database_url)];
    for server in &servers {
        let mut browser = Browser::new();
        browser.log_in(server, email, false).expect("a response");
        browser.get(server, "/").expect("a response");
        server.wait_for_log("auth.cache.resumed");
    }
    servers
}

fn run_lane(mut lane: Lane, servers: &[Server; 2], trials: usize) -> Vec<Trial> {
    let run = |trial| {
        let [here, there] = [trial % 2, (trial + 1) % 2].map(|server| &servers[server]);
        lane.run(Servers { here, there })
    };
    (0..trials).map(run).collect()
}

#[test]
fn invariant_2_a_deleted_session_is_refused_at_once_and_soon_by_the_other_server() {
    let trials = number("REVOCATION_TRIALS", 60);
    let database = TestDatabase::create();
    let lanes: Vec<Lane> = (0..LANES).map(Lane::new).collect();
    register(&database.url, &lanes.iter().map(|lane| lane.email.clone()).collect::<Vec<_>>());
    let servers = start(&database.url, &lanes[0].email);
    let is_done = AtomicBool::new(false);
    let (report, stall) = thread::scope(|scope| {
        let servers = &servers;
        let stall = scope.spawn(|| longest_stall(&is_done));
        let run = |lane| scope.spawn(move || run_lane(lane, servers, trials.div_ceil(LANES)));
        let running: Vec<_> = lanes.into_iter().map(run).collect();
        let trials: Vec<_> = running.into_iter().map(|lane| lane.join()).collect();
        is_done.store(true, Ordering::Relaxed);
        let report = Report(trials.into_iter().flat_map(|lane| lane.expect("trials")).collect());
        (report, stall.join().expect("a stall"))
    });
    eprintln!("{report}, the machine stalled for {stall:?}");
    let bound = if BOUND.is_zero() { BOUND } else { BOUND + stall };
    assert_eq!(report.sum(|trial| trial.accepted_here), 0, "{report}");
    assert!(report.delays().iter().all(|delay| *delay <= bound), "{report}");
}
