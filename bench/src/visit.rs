//! A visitor who asks for a page at a steady pace.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{Result, http::Connection};

/// A visitor goes away after this, whatever happens.
const LONGEST: Duration = Duration::from_secs(600);

/// How long a page took, each time that it was asked for.
#[derive(Default)]
pub struct Visit {
    pub took: Vec<Duration>,
    pub failures: usize,
}

/// Asks for a page again and again on one connection.
///
/// A page that could not be asked for in time, because the one before was late, is measured from when it
/// should have been: otherwise the slowest moments would be the least often measured.
pub async fn visit(
    address: SocketAddr,
    path: &str,
    cookies: Option<&str>,
    every: Duration,
    is_over: impl Fn(usize) -> bool,
) -> Result<Visit> {
    let mut connection = Connection::open(address).await?;
    let mut visit = Visit::default();
    let began = Instant::now();
    let mut due = began;
    while !is_over(visit.took.len()) && began.elapsed() < LONGEST {
        due += every;
        if Instant::now() < due {
            tokio::time::sleep_until(due.into()).await;
            due = Instant::now();
        } else if every.is_zero() {
            due = Instant::now();
        }
        let answer = connection.get(path, cookies).await?;
        visit.took.push(due.elapsed());
        visit.failures += usize::from(answer.status != 200);
    }
    Ok(visit)
}
