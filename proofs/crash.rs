//! After a crash, the server must not contradict any response from before it.
//!
//! Several users, each on several devices, log in and out while processes are killed. A journal records the responses,
//! and is compared with the server after each crash.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{number, random, register};
use crate::{
    server::{Browser, Server},
    support::TestDatabase,
};

const ACCOUNTS: usize = 3;
const DEVICES: usize = 3;
const RECOVERY: Duration = Duration::from_secs(30);

/// What the responses say about a session. It only changes to a later variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// The login got a response, and no request has tried to end the session.
    Open,
    /// A request to end it got no response, so it may or may not have ended.
    Unknown,
    /// A response has confirmed its end.
    Ended,
}

struct Session {
    /// The ID on the devices page, once a response had it.
    id: Option<String>,
    standing: Standing,
    /// All cookies that it ever had, the newest last.
    cookies: Vec<String>,
}

struct Account {
    email: String,
    journal: Mutex<Journal>,
}

#[derive(Default)]
struct Journal {
    sessions: Vec<Session>,
    /// The number of requests to log out everywhere, and how many of them are still running.
    sweeps: u64,
    open_sweeps: u64,
    /// The number of responses that opened or ended a session.
    responses: u64,
}

impl Account {
    fn new(email: &str) -> Self {
        Self { email: email.to_owned(), journal: Mutex::default() }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    fn update(&mut self, session: usize, standing: Standing) {
        self.responses += u64::from(standing == Standing::Ended);
        let session = &mut self.sessions[session];
        session.standing = session.standing.max(standing);
    }

    /// Returns a mark, to compare with a later one.
    fn sweep_mark(&self) -> (u64, u64) {
        (self.sweeps, self.open_sweeps)
    }

    /// Returns whether no request to log out everywhere was running since a mark.
    fn is_unswept(&self, since: (u64, u64)) -> bool {
        since == (self.sweeps, 0)
    }

    fn begin_sweep(&mut self) -> Vec<usize> {
        self.sweeps += 1;
        self.open_sweeps += 1;
        let swept: Vec<usize> = (0..self.sessions.len()).collect();
        for session in &swept {
            self.update(*session, Standing::Unknown);
        }
        swept
    }

    /// Returns a random other session that may still be open.
    fn other_than(&self, own: usize) -> Option<(usize, String)> {
        let may_be_open = |session: &Session| session.standing != Standing::Ended;
        let others = self.sessions.iter().enumerate().filter(|(other, session)| *other != own && may_be_open(session));
        let mut others: Vec<_> = others.filter_map(|(other, session)| Some((other, session.id.clone()?))).collect();
        let count = u64::try_from(others.len()).ok().filter(|count| *count > 0)?;
        Some(others.swap_remove(usize::try_from(random(count)).ok()?))
    }
}

/// A browser, and the session that it has.
struct Device<'a> {
    account: &'a Account,
    browser: Browser,
    session: Option<usize>,
}

impl<'a> Device<'a> {
    fn new(account: &'a Account) -> Self {
        Self { account, browser: Browser::new(), session: None }
    }

    fn use_until(&mut self, stop: &AtomicBool, server: &Server) {
        while !stop.load(Ordering::Relaxed) {
            match (self.session, random(64)) {
                (None, _) | (_, 0..4) => self.log_in(server),
                (_, 4..16) => self.leave_logged_in(),
                (Some(session), 16..50) => self.open_devices(server, session),
                (Some(session), 50..57) => self.log_out(server, session),
                (Some(session), 57..63) => self.log_out_of_another(server, session),
                (Some(session), _) => self.log_out_everywhere(server, session),
            }
        }
    }

    /// Changes to a new browser, and leaves the session open.
    fn leave_logged_in(&mut self) {
        self.browser = Browser::new();
        self.session = None;
    }

    /// Logs in, which ends the session that the browser had.
    fn log_in(&mut self, server: &Server) {
        let mark = self.account.journal().sweep_mark();
        self.update(self.session, Standing::Unknown);
        let Some(response) = self.browser.log_in(server, &self.account.email, random(2) == 0) else { return };
        assert!(response.status == 303 && !response.asks_to_log_in(), "{} has the right password", self.account.email);
        self.update(self.session, Standing::Ended);
        let mut journal = self.account.journal();
        let standing = if journal.is_unswept(mark) { Standing::Open } else { Standing::Unknown };
        journal.responses += 1;
        journal.sessions.push(Session { id: None, standing, cookies: vec![self.browser.session_cookies()] });
        let session = journal.sessions.len() - 1;
        drop(journal);
        self.session = Some(session);
        self.open_devices(server, session);
    }

    /// Opens the devices page, which lists this session first.
    fn open_devices(&mut self, server: &Server, session: usize) {
        let before = self.account.journal().sessions[session].standing;
        let Some(response) = self.browser.get(server, "/users/sessions") else { return };
        if response.asks_to_log_in() {
            return self.record_end(session);
        }
        assert_eq!(response.status, 200);
        assert_ne!(before, Standing::Ended, "{}'s session {session} had ended", self.account.email);
        let cookies = self.browser.session_cookies();
        let mut journal = self.account.journal();
        let session = &mut journal.sessions[session];
        session.id = session.id.take().or_else(|| response.own_session_id().map(str::to_owned));
        if session.cookies.last() != Some(&cookies) {
            session.cookies.push(cookies);
        }
    }

    fn log_out(&mut self, server: &Server, session: usize) {
        self.update(Some(session), Standing::Unknown);
        let Some(response) = self.browser.delete(server, "/users/log-out") else { return };
        assert_eq!((response.status.as_u16(), response.location.as_str()), (303, "/"));
        self.end(session);
    }

    fn log_out_of_another(&mut self, server: &Server, session: usize) {
        let Some((other, id)) = self.account.journal().other_than(session) else { return };
        self.update(Some(other), Standing::Unknown);
        let Some(response) = self.browser.delete(server, &format!("/users/sessions/{id}")) else { return };
        if response.asks_to_log_in() {
            return self.record_end(session);
        }
        // The response is 404 if the session had already ended.
        assert!(response.status == 404 || response.location == "/users/sessions", "{}", response.status);
        self.update(Some(other), Standing::Ended);
    }

    fn log_out_everywhere(&mut self, server: &Server, session: usize) {
        let swept = self.account.journal().begin_sweep();
        let response = self.browser.delete(server, "/users/sessions");
        self.account.journal().open_sweeps -= 1;
        let Some(response) = response else { return };
        if response.asks_to_log_in() {
            return self.record_end(session);
        }
        assert_eq!((response.status.as_u16(), response.location.as_str()), (303, "/"));
        for session in swept {
            self.end(session);
        }
    }

    /// Records that the server asked the browser to log in.
    fn record_end(&mut self, session: usize) {
        let standing = self.account.journal().sessions[session].standing;
        assert_ne!(standing, Standing::Open, "no request ended {}'s session {session}", self.account.email);
        self.end(session);
    }

    fn end(&mut self, session: usize) {
        self.update(Some(session), Standing::Ended);
        self.session = self.session.filter(|own| *own != session);
    }

    fn update(&self, session: Option<usize>, standing: Standing) {
        if let Some(session) = session {
            self.account.journal().update(session, standing);
        }
    }
}

/// The number of sessions that were compared with the journal.
#[derive(Debug, Default)]
struct Compared {
    open: usize,
    unknown: usize,
    ended: usize,
}

impl Compared {
    fn compare(&mut self, server: &Server, account: &Account) {
        let visitor = Browser::new();
        for (number, session) in account.journal().sessions.iter_mut().enumerate() {
            let named = format!("{}'s session {number}", account.email);
            let newest = session.cookies.last().expect("a cookie");
            match session.standing {
                Standing::Open => {
                    assert!(is_logged_in(&visitor, server, newest), "{named} was open, and was lost");
                    self.open += 1;
                }
                Standing::Unknown => {
                    self.unknown += 1;
                    if is_logged_in(&visitor, server, newest) {
                        continue;
                    }
                    // From now on, it must stay ended.
                    session.standing = Standing::Ended;
                }
                Standing::Ended => self.ended += 1,
            }
            if session.standing == Standing::Ended {
                let is_ended = |cookies: &String| !is_logged_in(&visitor, server, cookies);
                assert!(session.cookies.iter().all(is_ended), "{named} had ended, and is open again");
            }
        }
    }
}

/// Asks the server until it can respond.
fn is_logged_in(visitor: &Browser, server: &Server, cookies: &str) -> bool {
    let begun = Instant::now();
    loop {
        if let Some(is_logged_in) = visitor.is_logged_in(server, cookies) {
            return is_logged_in;
        }
        assert!(begun.elapsed() < RECOVERY, "the server did not recover");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Users with their devices, and a server that crashes.
struct Scenario<'a> {
    accounts: &'a [Account],
    devices: Vec<Device<'a>>,
    compared: Compared,
    crashes: usize,
}

impl<'a> Scenario<'a> {
    fn new(accounts: &'a [Account]) -> Self {
        let devices = accounts.iter().flat_map(|account| (0..DEVICES).map(|_| Device::new(account))).collect();
        Self { accounts, devices, compared: Compared::default(), crashes: 0 }
    }

    /// On a slow machine, there may be nothing to compare after the first crashes.
    fn is_done(&self) -> bool {
        let least = number("KILLS", 5);
        let is_compared = self.compared.open > 0 && self.compared.ended > 0;
        self.crashes >= least && (is_compared || self.crashes >= 10 * least)
    }

    /// Uses the server from all devices until it has crashed.
    fn use_until(&mut self, server: &Server, crash: impl FnOnce()) {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stop = StopOnDrop(&stop);
            for device in &mut self.devices {
                scope.spawn(|| device.use_until(&stop, server));
            }
            thread::sleep(Duration::from_millis(200 + random(700)));
            wait_for_a_response(self.accounts);
            crash();
        });
        self.crashes += 1;
    }

    fn compare(&mut self, server: &Server) {
        for account in self.accounts {
            self.compared.compare(server, account);
        }
    }

    fn end(self) {
        let Compared { open, unknown, ended } = self.compared;
        eprintln!("after {} crashes: {open} times open, {ended} times ended, {unknown} times unknown", self.crashes);
        assert!(open > 0 && ended > 0, "nothing was compared");
    }
}

/// Waits for a response, because a crash is most likely to undo the latest one.
fn wait_for_a_response(accounts: &[Account]) {
    let responses = || accounts.iter().map(|account| account.journal().responses).sum::<u64>();
    let (begun, before) = (Instant::now(), responses());
    while responses() == before && begun.elapsed() < RECOVERY {
        thread::sleep(Duration::from_micros(50));
    }
}

/// Ends the use of a server, even if the crash panics.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn accounts(database: &TestDatabase) -> Vec<Account> {
    let emails: Vec<String> = (0..ACCOUNTS).map(|number| format!("account{number}@example.com")).collect();
    register(&database.url, &emails);
    emails.iter().map(|email| Account::new(email)).collect()
}

#[test]
fn no_response_is_contradicted_after_the_server_was_killed() {
    let database = TestDatabase::create();
    let accounts = accounts(&database);
    let mut scenario = Scenario::new(&accounts);
    let mut server = Server::start(&database.url);
    while !scenario.is_done() {
        scenario.use_until(&server, || server.kill());
        server = Server::start(&database.url);
        scenario.compare(&server);
    }
    scenario.end();
}

#[cfg(feature = "postgres")]
#[test]
fn no_response_is_contradicted_after_the_database_crashed() {
    let cluster = sigra::testing::PostgresCluster::start().unwrap_or_else(|error| panic!("{error}"));
    let database = TestDatabase { url: cluster.create_database().expect("a database") };
    let accounts = accounts(&database);
    let mut scenario = Scenario::new(&accounts);
    let mut server = Server::start(&database.url);
    while !scenario.is_done() {
        // Every other time, the server crashes too.
        let both = scenario.crashes % 2 == 1;
        scenario.use_until(&server, || {
            cluster.stop().expect("stopped");
            if both {
                server.kill();
            }
            cluster.restart().expect("started again");
        });
        if both {
            server = Server::start(&database.url);
        }
        scenario.compare(&server);
    }
    scenario.end();
}
