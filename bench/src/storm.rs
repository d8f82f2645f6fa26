//! Many logins at once, and two visitors who request pages meanwhile.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{runtime::Runtime, task::JoinSet};

use crate::{
    Result,
    cpus::OtherWork,
    http::{Answer, Connection},
    server::Server,
    visit::{Visit, visit},
};

const WARM_UP: usize = 500;

/// How much is requested.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// How many users log in at once.
    pub logins: usize,
    /// How often each page is requested before.
    pub pages: usize,
    /// The time between two requests for a page.
    pub every: Duration,
}

/// What a server is asked for.
#[derive(Clone, Debug)]
pub struct Target {
    pub address: SocketAddr,
    /// For a visitor who isn't logged in.
    pub public_page: &'static str,
    /// For the user of the cookies.
    pub private_page: &'static str,
    pub cookies: String,
    pub log_in: LogIn,
}

/// How a user logs in.
#[derive(Clone, Copy, Debug)]
pub enum LogIn {
    /// By the application's form.
    Form,
    /// By JSON, at the servers of the comparison.
    Json,
}

/// What two visitors saw, each on a connection of their own.
#[derive(Default)]
pub struct Visits {
    pub public: Visit,
    pub private: Visit,
}

/// How logins were answered.
#[derive(Default)]
pub struct Logins {
    pub logged_in: usize,
    pub busy: usize,
    pub other: usize,
    pub took: Vec<Duration>,
    pub total: Duration,
}

/// What was found before and during a storm.
pub struct Found {
    pub idle: Visits,
    pub storm: Visits,
    pub logins: Logins,
    /// The share of the machine that went to neither the server nor the load.
    pub other_work: f64,
}

impl Visits {
    pub fn failures(&self) -> usize {
        self.public.failures + self.private.failures
    }
}

impl LogIn {
    async fn submit(self, connection: &mut Connection) -> Result<Answer> {
        match self {
            Self::Form => connection.log_in().await,
            Self::Json => connection.sign_in().await,
        }
    }

    fn has_succeeded(self, answer: &Answer) -> bool {
        match self {
            Self::Form => answer.is_logged_in(),
            Self::Json => answer.status == 200,
        }
    }
}

/// Requests the pages, and again while many users log in.
pub fn run(runtime: &Runtime, server: &Server, target: &Target, load: Load) -> Result<Found> {
    runtime.block_on(visits(target, Duration::ZERO, |pages| pages == WARM_UP))?;
    let before = OtherWork::so_far(server.pid())?;
    let idle = runtime.block_on(visits(target, load.every, |pages| pages == load.pages))?;
    let (storm, logins) = storm(runtime, target, load)?;
    let other_work = OtherWork::so_far(server.pid())?.share_since(&before);
    Ok(Found { idle, storm, logins, other_work })
}

async fn visits(target: &Target, every: Duration, is_over: impl Fn(usize) -> bool) -> Result<Visits> {
    let public = visit(target.address, target.public_page, None, every, &is_over);
    let private = visit(target.address, target.private_page, Some(&target.cookies), every, &is_over);
    let (public, private) = tokio::try_join!(public, private)?;
    Ok(Visits { public, private })
}

/// Lets many users log in at once, each on a connection of their own, while the visitors go on.
fn storm(runtime: &Runtime, target: &Target, load: Load) -> Result<(Visits, Logins)> {
    let over = Arc::new(AtomicBool::new(false));
    let start = Arc::new(Barrier::new(2));
    // A thread of their own, so that they don't wait for what the logins cost this side.
    let visitors = thread::spawn({
        let (over, start, target) = (over.clone(), start.clone(), target.clone());
        move || {
            start.wait();
            crate::runtime()?.block_on(visits(&target, load.every, |_| over.load(Ordering::Relaxed)))
        }
    });
    let answers = runtime.block_on(async {
        let mut connections = Vec::new();
        for _ in 0..load.logins {
            connections.push(Connection::open(target.address).await);
        }
        start.wait();
        log_in_all(target.log_in, connections.into_iter().collect::<Result<_>>()?).await
    });
    over.store(true, Ordering::Relaxed);
    let visits = visitors.join().map_err(|_| "a visitor panicked")?;
    Ok((visits?, answers?))
}

async fn log_in_all(log_in: LogIn, connections: Vec<Connection>) -> Result<Logins> {
    let began = Instant::now();
    let mut answers: JoinSet<Result<_>> = connections
        .into_iter()
        .map(|mut connection| async move { Ok((log_in.submit(&mut connection).await?, began.elapsed())) })
        .collect();
    let mut logins = Logins::default();
    while let Some(answer) = answers.join_next().await {
        let (answer, took) = answer??;
        logins.took.push(took);
        match answer.status {
            _ if log_in.has_succeeded(&answer) => logins.logged_in += 1,
            503 => logins.busy += 1,
            _ => logins.other += 1,
        }
    }
    logins.total = began.elapsed();
    Ok(logins)
}
