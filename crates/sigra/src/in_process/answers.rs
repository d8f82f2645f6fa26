//! The answers that are kept for a moment, and who waits for one that is still being made.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use http::response::Parts;
use tokio::sync::watch;

/// For how long an answer is kept that a page asked for by a key of its own.
const NAMED: Duration = Duration::from_secs(10);

/// For how long any other is.
const UNNAMED: Duration = Duration::from_secs(5);

/// What comes within this time comes at the same moment.
const MOMENT: Duration = Duration::from_millis(100);

/// More than two presses at the same moment are no double click.
const DOUBLE: usize = 2;

/// The largest body that is kept, in bytes.
pub(crate) const MAX_ANSWER: usize = 64 * 1024;

/// So many bytes of bodies are kept at most.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// So many requests are told apart at most.
const MAX_ENTRIES: usize = 1024;

/// What is the same in both of two requests, as a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub digest: [u8; 32],
    /// Whether it holds an idempotency key.
    pub is_named: bool,
}

/// A `Cookie` header.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SentCookies(pub Vec<u8>);

impl SentCookies {
    fn contain(&self, pair: &[u8]) -> bool {
        self.0.split(|byte| *byte == b';').any(|sent| sent.trim_ascii() == pair)
    }
}

/// What was answered.
pub(crate) struct Answer {
    pub parts: Parts,
    pub body: Bytes,
    /// The cookie with the session token that it gives the browser.
    pub token: Option<Vec<u8>>,
    /// Whether it answers a session whose second factor was still to come.
    pub is_at_challenge: bool,
}

impl Answer {
    fn to_response(&self) -> Response {
        Response::from_parts(self.parts.clone(), Body::from(self.body.clone()))
    }

    /// Whether the browser has the session token by now that it gave.
    fn has_reached(&self, cookies: &SentCookies) -> bool {
        self.token.as_deref().is_some_and(|token| cookies.contain(token))
    }
}

#[derive(Clone)]
enum Progress {
    Working,
    Answered(Arc<Answer>),
    /// There is no answer to share: each does the work.
    Gone,
}

/// One request, and those like it.
struct Entry {
    cookies: SentCookies,
    progress: watch::Sender<Progress>,
    presses: Mutex<Presses>,
}

/// How many there are at this moment.
#[derive(Default)]
struct Presses {
    present: usize,
    are_crowded: bool,
}

impl Entry {
    fn presses(&self) -> MutexGuard<'_, Presses> {
        self.presses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn arrive(&self) {
        let mut presses = self.presses();
        presses.present += 1;
        presses.are_crowded |= presses.present > DOUBLE;
    }

    fn leave(&self) {
        self.presses().present -= 1;
    }
}

/// The answers of this process.
#[derive(Clone, Default)]
pub(crate) struct Answers(Arc<Mutex<Table>>);

struct Table {
    entries: HashMap<Key, Arc<Entry>>,
    bytes: usize,
    /// For how long an answer is kept, with a key and without.
    keep: (Duration, Duration),
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: HashMap::new(), bytes: 0, keep: (NAMED, UNNAMED) }
    }
}

/// Where a request stands among those like it.
pub(crate) enum Place {
    First(First),
    Repeat(Repeat),
    /// Too much is kept already.
    Full,
}

impl Answers {
    /// Takes a place for a request.
    pub(crate) fn place(&self, key: Key, cookies: &SentCookies) -> Place {
        let mut table = self.table();
        if let Some(entry) = table.entries.get(&key) {
            entry.arrive();
            return Place::Repeat(Repeat { is_named: key.is_named, entry: entry.clone() });
        }
        if table.entries.len() >= MAX_ENTRIES {
            return Place::Full;
        }
        let entry = Arc::new(Entry {
            cookies: cookies.clone(),
            progress: watch::Sender::new(Progress::Working),
            presses: Mutex::default(),
        });
        entry.arrive();
        table.entries.insert(key, entry.clone());
        Place::First(First { answers: self.clone(), key, entry, is_published: false })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The request that is to be done.
pub(crate) struct First {
    answers: Answers,
    key: Key,
    entry: Arc<Entry>,
    is_published: bool,
}

impl First {
    /// Gives the answer to all who wait for it, and keeps it for a moment.
    pub fn publish(mut self, answer: Answer) {
        // A token that a log-in or a confirmation has replaced is dead at once. Only at the challenge there is no harm.
        let is_shared = self.key.is_named || (answer.is_at_challenge && answer.token.is_some());
        if !is_shared {
            return;
        }
        let size = answer.body.len();
        let keep = {
            let mut table = self.answers.table();
            if table.bytes + size > MAX_BYTES {
                return;
            }
            table.bytes += size;
            if self.key.is_named { table.keep.0 } else { table.keep.1 }
        };
        self.entry.progress.send_replace(Progress::Answered(Arc::new(answer)));
        self.is_published = true;

        let (answers, key) = (Arc::downgrade(&self.answers.0), self.key);
        tokio::spawn(async move {
            tokio::time::sleep(keep).await;
            let Some(answers) = answers.upgrade().map(Answers) else { return };
            let mut table = answers.table();
            table.entries.remove(&key);
            table.bytes -= size;
        });
    }
}

impl Drop for First {
    fn drop(&mut self) {
        self.entry.leave();
        if !self.is_published {
            self.answers.table().entries.remove(&self.key);
            self.entry.progress.send_replace(Progress::Gone);
        }
    }
}

/// A request like one before.
pub(crate) struct Repeat {
    is_named: bool,
    entry: Arc<Entry>,
}

impl Repeat {
    /// The first one's answer, if it is for this one too.
    pub async fn answer(self, cookies: &SentCookies) -> Option<Response> {
        let mut progress = self.entry.progress.subscribe();
        let progress = progress.wait_for(|progress| !matches!(progress, Progress::Working)).await.ok()?.clone();
        let Progress::Answered(answer) = progress else { return None };
        let is_for_this_one = if self.is_named {
            self.entry.cookies == *cookies || answer.has_reached(cookies)
        } else {
            // Whoever tries one code in many requests at once is no browser.
            tokio::time::sleep(MOMENT).await;
            !self.entry.presses().are_crowded
        };
        is_for_this_one.then(|| answer.to_response())
    }
}

impl Drop for Repeat {
    fn drop(&mut self) {
        self.entry.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: u8) -> Key {
        Key { digest: [name; 32], is_named: true }
    }

    fn cookies() -> SentCookies {
        SentCookies(b"theme=dark".to_vec())
    }

    fn answer(body: usize) -> Answer {
        let (parts, ()) = http::Response::new(()).into_parts();
        Answer { parts, body: vec![b'a'; body].into(), token: None, is_at_challenge: false }
    }

    fn first(answers: &Answers, name: u8) -> Option<First> {
        match answers.place(key(name), &cookies()) {
            Place::First(first) => Some(first),
            Place::Repeat(_) | Place::Full => None,
        }
    }

    #[tokio::test]
    async fn an_answer_is_forgotten_after_a_moment() {
        let answers = Answers::default();
        answers.table().keep.0 = Duration::from_millis(200);
        first(&answers, 1).expect("nothing is kept").publish(answer(3));
        let Place::Repeat(repeat) = answers.place(key(1), &cookies()) else { panic!("it is forgotten") };
        assert!(repeat.answer(&cookies()).await.is_some());
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(answers.table().bytes, 0);
        assert!(first(&answers, 1).is_some());
    }

    #[tokio::test]
    async fn work_that_ends_without_an_answer_is_done_by_who_waits() {
        let answers = Answers::default();
        let working = first(&answers, 1);
        let Place::Repeat(repeat) = answers.place(key(1), &cookies()) else { panic!("it is not known") };
        drop(working);
        assert!(repeat.answer(&cookies()).await.is_none());
        assert!(answers.table().entries.is_empty());
    }

    #[tokio::test]
    async fn what_is_kept_is_bounded() {
        let answers = Answers::default();
        for name in 0..=255 {
            first(&answers, name).expect("a place").publish(answer(MAX_ANSWER));
        }
        assert_eq!(answers.table().bytes, MAX_BYTES);
        let (kept, many) = (answers.table().entries.len(), MAX_ENTRIES as u32);
        assert_eq!(kept * MAX_ANSWER, MAX_BYTES);
        let working: Vec<_> = (0..many)
            .map(|number| {
                let mut digest = [0; 32];
                digest[..4].copy_from_slice(&number.to_be_bytes());
                answers.place(Key { digest, is_named: false }, &cookies())
            })
            .collect();
        assert!(matches!(working.last(), Some(Place::Full)));
        assert_eq!(answers.table().entries.len(), MAX_ENTRIES);
    }
}
