//! What a client was told is true, whatever is killed afterwards.
//!
//! Several people, each on several devices, log in and out while processes are killed. A journal keeps what
//! they were told, and after every crash the servers have to agree with it.

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

const PEOPLE: usize = 3;
const DEVICES: usize = 3;
const RECOVERY: Duration = Duration::from_secs(30);

/// What is known of a session. It only ever gets worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// A login was answered, and nobody has asked for its end.
    Open,
    /// Its end was asked for, and not answered: it may have gone either way.
    Doubtful,
    /// Its end was answered, or has been seen.
    Ended,
}

struct Session {
    /// What the page of devices calls it, if that was answered.
    id: Option<String>,
    standing: Standing,
    /// All that it was ever known by, the newest last.
    cookies: Vec<String>,
}

struct Person {
    email: String,
    journal: Mutex<Journal>,
}

#[derive(Default)]
struct Journal {
    sessions: Vec<Session>,
    /// How often the person has asked to be logged out everywhere, and how many of these are not over.
    sweeps: u64,
    open_sweeps: u64,
    /// How often something was learnt.
    told: u64,
}

impl Person {
    fn new(email: &str) -> Self {
        Self { email: email.to_owned(), journal: Mutex::default() }
    }

    fn journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Journal {
    fn worsen(&mut self, session: usize, standing: Standing) {
        self.told += u64::from(standing == Standing::Ended);
        let session = &mut self.sessions[session];
        session.standing = session.standing.max(standing);
    }

    /// A moment, to be compared with a later one.
    fn sweep_mark(&self) -> (u64, u64) {
        (self.sweeps, self.open_sweeps)
    }

    /// Whether nobody was about to end all sessions since.
    fn is_unswept(&self, since: (u64, u64)) -> bool {
        since == (self.sweeps, 0)
    }

    fn begin_sweep(&mut self) -> Vec<usize> {
        self.sweeps += 1;
        self.open_sweeps += 1;
        let swept: Vec<usize> = (0..self.sessions.len()).collect();
        for session in &swept {
            self.worsen(*session, Standing::Doubtful);
        }
        swept
    }

    /// Somebody else's device, of those that may be logged in.
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
    person: &'a Person,
    browser: Browser,
    session: Option<usize>,
}

impl<'a> Device<'a> {
    fn new(person: &'a Person) -> Self {
        Self { person, browser: Browser::new(), session: None }
    }

    fn use_until(&mut self, stop: &AtomicBool, server: &Server) {
        while !stop.load(Ordering::Relaxed) {
            match (self.session, random(64)) {
                (None, _) | (_, 0..4) => self.log_in(server),
                (_, 4..16) => self.leave_logged_in(),
                (Some(session), 16..50) => self.look(server, session),
                (Some(session), 50..57) => self.log_out(server, session),
                (Some(session), 57..63) => self.log_out_of_another(server, session),
                (Some(session), _) => self.log_out_everywhere(server, session),
            }
        }
    }

    /// Takes another device. The session goes on without anybody using it.
    fn leave_logged_in(&mut self) {
        self.browser = Browser::new();
        self.session = None;
    }

    /// Ends the session that the browser had.
    fn log_in(&mut self, server: &Server) {
        let mark = self.person.journal().sweep_mark();
        self.worsen(self.session, Standing::Doubtful);
        let Some(answer) = self.browser.log_in(server, &self.person.email, random(2) == 0) else { return };
        assert!(answer.status == 303 && !answer.asks_to_log_in(), "{} has the right password", self.person.email);
        self.worsen(self.session, Standing::Ended);
        let mut journal = self.person.journal();
        let standing = if journal.is_unswept(mark) { Standing::Open } else { Standing::Doubtful };
        journal.told += 1;
        journal.sessions.push(Session { id: None, standing, cookies: vec![self.browser.session_cookies()] });
        let session = journal.sessions.len() - 1;
        drop(journal);
        self.session = Some(session);
        self.look(server, session);
    }

    /// Opens the page of devices, where this one is the first.
    fn look(&mut self, server: &Server, session: usize) {
        let before = self.person.journal().sessions[session].standing;
        let Some(answer) = self.browser.get(server, "/users/sessions") else { return };
        if answer.asks_to_log_in() {
            return self.see_the_end(session);
        }
        assert_eq!(answer.status, 200);
        assert_ne!(before, Standing::Ended, "{}'s session {session} is over", self.person.email);
        let cookies = self.browser.session_cookies();
        let mut journal = self.person.journal();
        let session = &mut journal.sessions[session];
        session.id = session.id.take().or_else(|| answer.own_session_id().map(str::to_owned));
        if session.cookies.last() != Some(&cookies) {
            session.cookies.push(cookies);
        }
    }

    fn log_out(&mut self, server: &Server, session: usize) {
        self.worsen(Some(session), Standing::Doubtful);
        let Some(answer) = self.browser.delete(server, "/users/log-out") else { return };
        assert_eq!((answer.status.as_u16(), answer.location.as_str()), (303, "/"));
        self.end(session);
    }

    fn log_out_of_another(&mut self, server: &Server, session: usize) {
        let Some((other, id)) = self.person.journal().other_than(session) else { return };
        self.worsen(Some(other), Standing::Doubtful);
        let Some(answer) = self.browser.delete(server, &format!("/users/sessions/{id}")) else { return };
        if answer.asks_to_log_in() {
            return self.see_the_end(session);
        }
        // 404: it was over already.
        assert!(answer.status == 404 || answer.location == "/users/sessions", "{}", answer.status);
        self.worsen(Some(other), Standing::Ended);
    }

    fn log_out_everywhere(&mut self, server: &Server, session: usize) {
        let swept = self.person.journal().begin_sweep();
        let answer = self.browser.delete(server, "/users/sessions");
        self.person.journal().open_sweeps -= 1;
        let Some(answer) = answer else { return };
        if answer.asks_to_log_in() {
            return self.see_the_end(session);
        }
        assert_eq!((answer.status.as_u16(), answer.location.as_str()), (303, "/"));
        for session in swept {
            self.end(session);
        }
    }

    /// The browser is asked to log in.
    fn see_the_end(&mut self, session: usize) {
        let standing = self.person.journal().sessions[session].standing;
        assert_ne!(standing, Standing::Open, "nobody has ended {}'s session {session}", self.person.email);
        self.end(session);
    }

    fn end(&mut self, session: usize) {
        self.worsen(Some(session), Standing::Ended);
        self.session = self.session.filter(|own| *own != session);
    }

    fn worsen(&self, session: Option<usize>, standing: Standing) {
        if let Some(session) = session {
            self.person.journal().worsen(session, standing);
        }
    }
}

/// How many sessions were compared with the journal.
#[derive(Debug, Default)]
struct Compared {
    open: usize,
    doubtful: usize,
    ended: usize,
}

impl Compared {
    fn compare(&mut self, server: &Server, person: &Person) {
        let visitor = Browser::new();
        for (number, session) in person.journal().sessions.iter_mut().enumerate() {
            let named = format!("{}'s session {number}", person.email);
            let newest = session.cookies.last().expect("a cookie");
            match session.standing {
                Standing::Open => {
                    assert!(is_logged_in(&visitor, server, newest), "{named} was open, and is lost");
                    self.open += 1;
                }
                Standing::Doubtful => {
                    self.doubtful += 1;
                    if is_logged_in(&visitor, server, newest) {
                        continue;
                    }
                    // From now on it is over.
                    session.standing = Standing::Ended;
                }
                Standing::Ended => self.ended += 1,
            }
            if session.standing == Standing::Ended {
                let is_over = |cookies: &String| !is_logged_in(&visitor, server, cookies);
                assert!(session.cookies.iter().all(is_over), "{named} was over, and has come back");
            }
        }
    }
}

/// Asks until the server can say.
fn is_logged_in(visitor: &Browser, server: &Server, cookies: &str) -> bool {
    let begun = Instant::now();
    loop {
        if let Some(is_logged_in) = visitor.is_logged_in(server, cookies) {
            return is_logged_in;
        }
        assert!(begun.elapsed() < RECOVERY, "the server does not recover");
        thread::sleep(Duration::from_millis(20));
    }
}

/// People with their devices, and a server that may crash.
struct Story<'a> {
    people: &'a [Person],
    devices: Vec<Device<'a>>,
    compared: Compared,
    crashes: usize,
}

impl<'a> Story<'a> {
    fn new(people: &'a [Person]) -> Self {
        let devices = people.iter().flat_map(|person| (0..DEVICES).map(|_| Device::new(person))).collect();
        Self { people, devices, compared: Compared::default(), crashes: 0 }
    }

    /// On a slow machine the first crashes may leave nothing to compare.
    fn is_over(&self) -> bool {
        let least = number("KILLS", 5);
        let is_compared = self.compared.open > 0 && self.compared.ended > 0;
        self.crashes >= least && (is_compared || self.crashes >= 10 * least)
    }

    /// Uses the server from all devices until something has happened to it.
    fn use_until(&mut self, server: &Server, happened: impl FnOnce()) {
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let _stop = StopOnDrop(&stop);
            for device in &mut self.devices {
                scope.spawn(|| device.use_until(&stop, server));
            }
            thread::sleep(Duration::from_millis(200 + random(700)));
            wait_for_an_answer(self.people);
            happened();
        });
        self.crashes += 1;
    }

    fn compare(&mut self, server: &Server) {
        for person in self.people {
            self.compared.compare(server, person);
        }
    }

    fn end(self) {
        let Compared { open, doubtful, ended } = self.compared;
        eprintln!("after {} crashes: {open} times open, {ended} times over, {doubtful} times not known", self.crashes);
        assert!(open > 0 && ended > 0, "nothing was compared");
    }
}

/// What was answered last is what a crash could take back.
fn wait_for_an_answer(people: &[Person]) {
    let told = || people.iter().map(|person| person.journal().told).sum::<u64>();
    let (begun, before) = (Instant::now(), told());
    while told() == before && begun.elapsed() < RECOVERY {
        thread::sleep(Duration::from_micros(50));
    }
}

/// Ends the use of a server, also when what happens to it fails.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn people(database: &TestDatabase) -> Vec<Person> {
    let emails: Vec<String> = (0..PEOPLE).map(|number| format!("person{number}@example.com")).collect();
    register(&database.url, &emails);
    emails.iter().map(|email| Person::new(email)).collect()
}

#[test]
fn what_a_client_was_told_is_true_after_the_server_was_killed() {
    let database = TestDatabase::create();
    let people = people(&database);
    let mut story = Story::new(&people);
    let mut server = Server::start(&database.url);
    while !story.is_over() {
        story.use_until(&server, || server.kill());
        server = Server::start(&database.url);
        story.compare(&server);
    }
    story.end();
}

#[cfg(feature = "postgres")]
#[test]
fn what_a_client_was_told_is_true_after_the_database_crashed() {
    let cluster = sigra::testing::PostgresCluster::start().unwrap_or_else(|error| panic!("{error}"));
    let database = TestDatabase { url: cluster.create_database().expect("a database") };
    let people = people(&database);
    let mut story = Story::new(&people);
    let mut server = Server::start(&database.url);
    while !story.is_over() {
        // Every other time the server goes down with it.
        let both = story.crashes % 2 == 1;
        story.use_until(&server, || {
            cluster.stop().expect("stopped");
            if both {
                server.kill();
            }
            cluster.restart().expect("started again");
        });
        if both {
            server = Server::start(&database.url);
        }
        story.compare(&server);
    }
    story.end();
}
