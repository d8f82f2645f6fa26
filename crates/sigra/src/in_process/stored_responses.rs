//! The responses that are kept for repeated requests, and the requests that wait for them.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use http::response::Parts;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::addresses::network;

/// How long a response to a request with an idempotency key is kept.
const NAMED: Duration = Duration::from_secs(10);

/// How long any other response is kept.
const UNNAMED: Duration = Duration::from_secs(5);

/// Requests within this time count as simultaneous.
const MOMENT: Duration = Duration::from_millis(100);

/// More simultaneous requests than this aren't a double click.
const DOUBLE: usize = 2;

/// The largest body that is kept, in bytes.
pub(crate) const MAX_BODY: usize = 64 * 1024;

/// The maximum total size of stored responses, with their headers, in bytes.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The maximum number of different requests.
const MAX_ENTRIES: usize = 1024;

/// The maximum number of different requests from one network, so that no client takes the places of all.
const MAX_OF_NETWORK: usize = 32;

/// The maximum number of different requests from clients without a known IP address.
const MAX_OF_UNKNOWN: usize = 512;

/// A digest of what two requests must have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub digest: [u8; 32],
    /// Whether the request has an idempotency key.
    pub is_named: bool,
}

/// A `Cookie` header.
#[derive(Clone)]
pub(crate) struct SentCookies(pub Vec<u8>);

impl SentCookies {
    /// Returns what is kept of the header, which can have hundreds of kilobytes, to recognize the same one.
    fn digest(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }

    fn contain(&self, pair: &[u8]) -> bool {
        self.0.split(|byte| *byte == b';').any(|sent| sent.trim_ascii() == pair)
    }
}

/// A stored response.
pub(crate) struct StoredResponse {
    pub parts: Parts,
    pub body: Bytes,
    /// The cookie with the session token that the response sets.
    pub token: Option<Vec<u8>>,
    /// Whether the second factor of the request's session was pending.
    pub is_at_challenge: bool,
}

impl StoredResponse {
    /// Returns how many bytes it takes, or a little more.
    fn size(&self) -> usize {
        /// For a header's place in the map, and the extensions.
        const EACH: usize = 64;
        let headers = self.parts.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + EACH);
        headers.sum::<usize>() + self.body.len() + self.token.as_ref().map_or(0, Vec::len)
    }

    fn to_response(&self) -> Response {
        Response::from_parts(self.parts.clone(), Body::from(self.body.clone()))
    }

    /// Returns whether the browser already presents the session token of this response.
    fn has_reached(&self, cookies: &SentCookies) -> bool {
        self.token.as_deref().is_some_and(|token| cookies.contain(token))
    }
}

#[derive(Clone)]
enum Progress {
    Working,
    Responded(Arc<StoredResponse>),
    /// There is no response to share, so each request does the work.
    Gone,
}

/// A request and its repetitions.
struct Entry {
    /// Where the client is, as rate limits of IP addresses count it.
    network: Option<IpAddr>,
    /// The digest of the first request's cookies.
    cookies: [u8; 32],
    progress: watch::Sender<Progress>,
    presses: Mutex<Presses>,
}

/// How many of the requests are here now.
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

/// The stored responses of this process.
#[derive(Clone, Default)]
pub(crate) struct StoredResponses(Arc<Mutex<Table>>);

struct Table {
    entries: HashMap<Key, Arc<Entry>>,
    /// The number of entries of each network.
    of_network: HashMap<Option<IpAddr>, usize>,
    bytes: usize,
    /// How long a response is kept, with an idempotency key and without.
    keep: (Duration, Duration),
}

impl Default for Table {
    fn default() -> Self {
        Self { entries: HashMap::new(), of_network: HashMap::new(), bytes: 0, keep: (NAMED, UNNAMED) }
    }
}

impl Table {
    fn has_place_for(&self, network: Option<IpAddr>) -> bool {
        let max = if network.is_some() { MAX_OF_NETWORK } else { MAX_OF_UNKNOWN };
        let of_network = self.of_network.get(&network).copied().unwrap_or_default();
        self.entries.len() < MAX_ENTRIES && of_network < max
    }

    fn insert(&mut self, key: Key, entry: Arc<Entry>) {
        *self.of_network.entry(entry.network).or_default() += 1;
        self.entries.insert(key, entry);
    }

    fn remove(&mut self, key: &Key) {
        let Some(entry) = self.entries.remove(key) else { return };
        if let Some(left) = self.of_network.get_mut(&entry.network) {
            *left -= 1;
            if *left == 0 {
                self.of_network.remove(&entry.network);
            }
        }
    }
}

/// The place of a request among its repetitions.
pub(crate) enum Place {
    First(First),
    Repeat(Repeat),
    /// The table has no place for another request of this client.
    Full,
}

impl StoredResponses {
    /// Returns the place of a request of a client.
    pub(crate) fn place(&self, key: Key, cookies: &SentCookies, client: Option<IpAddr>) -> Place {
        let cookies = cookies.digest();
        let mut table = self.table();
        if let Some(entry) = table.entries.get(&key) {
            entry.arrive();
            return Place::Repeat(Repeat { is_named: key.is_named, entry: entry.clone() });
        }
        let network = client.map(network);
        if !table.has_place_for(network) {
            return Place::Full;
        }
        let entry = Arc::new(Entry {
            network,
            cookies,
            progress: watch::Sender::new(Progress::Working),
            presses: Mutex::default(),
        });
        entry.arrive();
        table.insert(key, entry.clone());
        Place::First(First { stored: self.clone(), key, entry, is_published: false })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first request, which does the work.
pub(crate) struct First {
    stored: StoredResponses,
    key: Key,
    entry: Arc<Entry>,
    is_published: bool,
}

impl First {
    /// Sends the response to all requests that wait for it, and keeps it for later ones.
    pub fn publish(mut self, response: StoredResponse) {
        // Without a key, only a response to the second-factor challenge is shared: a token that a login or a
        // confirmation has replaced is invalid at once.
        let is_shared = self.key.is_named || (response.is_at_challenge && response.token.is_some());
        if !is_shared {
            return;
        }
        let size = response.size();
        let keep = {
            let mut table = self.stored.table();
            if table.bytes + size > MAX_BYTES {
                return;
            }
            table.bytes += size;
            if self.key.is_named { table.keep.0 } else { table.keep.1 }
        };
        self.entry.progress.send_replace(Progress::Responded(Arc::new(response)));
        self.is_published = true;

        let (stored, key) = (Arc::downgrade(&self.stored.0), self.key);
        tokio::spawn(async move {
            tokio::time::sleep(keep).await;
            let Some(stored) = stored.upgrade().map(StoredResponses) else { return };
            let mut table = stored.table();
            table.remove(&key);
            table.bytes -= size;
        });
    }
}

impl Drop for First {
    fn drop(&mut self) {
        self.entry.leave();
        if !self.is_published {
            self.stored.table().remove(&self.key);
            self.entry.progress.send_replace(Progress::Gone);
        }
    }
}

/// A repetition of an earlier request.
pub(crate) struct Repeat {
    is_named: bool,
    entry: Arc<Entry>,
}

impl Repeat {
    /// Waits for the first request's response, and returns it if this request can have it too.
    pub async fn response(self, cookies: &SentCookies) -> Option<Response> {
        let mut progress = self.entry.progress.subscribe();
        let progress = progress.wait_for(|progress| !matches!(progress, Progress::Working)).await.ok()?.clone();
        let Progress::Responded(response) = progress else { return None };
        let is_for_this_one = if self.is_named {
            self.entry.cookies == cookies.digest() || response.has_reached(cookies)
        } else {
            // A client that tries one code in many requests at once isn't a browser.
            tokio::time::sleep(MOMENT).await;
            !self.entry.presses().are_crowded
        };
        is_for_this_one.then(|| response.to_response())
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

    fn stored_response(body: usize) -> StoredResponse {
        let (parts, ()) = http::Response::new(()).into_parts();
        StoredResponse { parts, body: vec![b'a'; body].into(), token: None, is_at_challenge: false }
    }

    fn first(stored: &StoredResponses, name: u8) -> Option<First> {
        match stored.place(key(name), &cookies(), Some([192, 0, 2, name].into())) {
            Place::First(first) => Some(first),
            Place::Repeat(_) | Place::Full => None,
        }
    }

    #[tokio::test]
    async fn a_response_is_forgotten_after_its_time() {
        let stored = StoredResponses::default();
        stored.table().keep.0 = Duration::from_millis(200);
        first(&stored, 1).expect("nothing is kept").publish(stored_response(3));
        let Place::Repeat(repeat) = stored.place(key(1), &cookies(), None) else { panic!("it is forgotten") };
        assert!(repeat.response(&cookies()).await.is_some());
        let forgotten = async {
            while stored.table().bytes > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), forgotten).await.expect("it is forgotten");
        assert!(first(&stored, 1).is_some());
    }

    #[tokio::test]
    async fn a_large_header_of_a_response_counts_and_one_of_a_request_is_not_kept() {
        let (stored, large) = (StoredResponses::default(), SentCookies(vec![b'c'; 300 * 1024]));
        for name in 0..10 {
            let Place::First(first) = stored.place(key(name), &large, Some([192, 0, 2, name].into())) else {
                panic!("it is known")
            };
            let _: [u8; 32] = first.entry.cookies;
            first.publish(stored_response(100));
        }
        let bytes = stored.table().bytes;
        assert!((1000..3000).contains(&bytes), "{bytes}");
        let Place::Repeat(repeat) = stored.place(key(1), &large, None) else { panic!("it is not known") };
        assert!(repeat.response(&large).await.is_some());
        let Place::Repeat(repeat) = stored.place(key(1), &cookies(), None) else { panic!("it is not known") };
        assert!(repeat.response(&cookies()).await.is_none(), "it is for other cookies");

        let mut response = stored_response(100);
        let value = http::HeaderValue::try_from("v".repeat(50_000)).expect("a value");
        response.parts.headers.insert("x-large", value);
        first(&stored, 200).expect("a place").publish(response);
        assert!(stored.table().bytes > bytes + 50_000);
    }

    #[tokio::test]
    async fn a_repeat_does_the_work_if_the_first_request_ends_without_a_response() {
        let stored = StoredResponses::default();
        let working = first(&stored, 1);
        let Place::Repeat(repeat) = stored.place(key(1), &cookies(), None) else { panic!("it is not known") };
        drop(working);
        assert!(repeat.response(&cookies()).await.is_none());
        assert!(stored.table().entries.is_empty());
    }

    #[tokio::test]
    async fn stored_responses_are_bounded() {
        let stored = StoredResponses::default();
        for name in 0..=255 {
            first(&stored, name).expect("a place").publish(stored_response(MAX_BODY));
        }
        assert_eq!(stored.table().bytes, MAX_BYTES);
        assert_eq!(stored.table().entries.len() * MAX_BODY, MAX_BYTES);
        let working: Vec<_> = (0..MAX_ENTRIES as u32).map(|number| place(&stored, number, number)).collect();
        assert!(matches!(working.last(), Some(Place::Full)));
        assert_eq!(stored.table().entries.len(), MAX_ENTRIES);
    }

    /// Returns the place of a request of a client.
    fn place(stored: &StoredResponses, number: u32, client: u32) -> Place {
        let mut digest = [0xff; 32];
        digest[..4].copy_from_slice(&number.to_be_bytes());
        let client = Some(std::net::Ipv4Addr::from_bits(client).into());
        stored.place(Key { digest, is_named: true }, &cookies(), client)
    }

    #[tokio::test]
    async fn a_client_with_many_requests_leaves_places_to_others() {
        let stored = StoredResponses::default();
        let many: Vec<Place> = (0..2000).map(|number| place(&stored, number, 1)).collect();
        let taken = many.iter().filter(|place| matches!(place, Place::First(_))).count();
        assert_eq!(taken, MAX_OF_NETWORK);
        assert!(matches!(place(&stored, 5000, 2), Place::First(_)));
        drop(many);
        assert!(matches!(place(&stored, 6000, 1), Place::First(_)), "its places are free again");
        assert!(stored.table().of_network.is_empty());
    }
}
