//! The cookies of a request, as the browser sent them.

use std::{cell::OnceCell, collections::HashMap};

use http::{HeaderMap, HeaderValue, header};
use memchr::memchr;

/// How many cookies with the same name are tried at most. A browser sends one for each domain that the name was set
/// for.
pub(crate) const MAX_OF_A_NAME: usize = 8;

/// How many entries are read, and expired at a login, at most.
pub(crate) const MAX_ENTRIES: usize = 32;

/// The cookies of a request, unparsed. Each search takes time in proportion to their length.
#[derive(Clone, Default)]
pub(crate) struct RequestCookies {
    /// Browsers send one header on HTTP/1 (RFC 6265 section 5.4), and can send several on HTTP/2.
    first: Option<HeaderValue>,
    others: Vec<HeaderValue>,
}

impl RequestCookies {
    pub fn of(headers: &HeaderMap) -> Self {
        let mut values = headers.get_all(header::COOKIE).iter().cloned();
        Self { first: values.next(), others: values.collect() }
    }

    /// Returns the cookies, in the browser's order: each a name, `=`, and a value.
    pub fn cookies(&self) -> impl Iterator<Item = &[u8]> {
        let cookies = self.first.iter().chain(&self.others).flat_map(|header| split(header.as_bytes()));
        #[cfg(test)]
        let cookies = cookies.inspect(|_| tests::SEEN.set(tests::SEEN.get() + 1));
        cookies
    }

    /// Returns names and values.
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.cookies().map(pair)
    }
}

/// The cookies of a request whose entries are read or written. All names that come from the request itself are looked up
/// in one search together, or a client could cause a hundred.
#[derive(Default)]
pub(crate) struct IndexedCookies {
    pub all: RequestCookies,
    own: OnceCell<OwnCookies>,
}

/// The cookies of a request with names of the library: at most [`MAX_OF_A_NAME`] of each name, and [`MAX_ENTRIES`]
/// names of entries.
#[derive(Default)]
pub(crate) struct OwnCookies {
    /// In the browser's order.
    cookies: Vec<Vec<u8>>,
    /// Whether there are entries of further names.
    is_cut: bool,
}

impl OwnCookies {
    pub fn pairs(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.cookies.iter().map(|cookie| pair(cookie))
    }
}

impl IndexedCookies {
    pub fn new(all: RequestCookies) -> Self {
        Self { all, own: OnceCell::new() }
    }

    /// Finds the library's own cookies, in one search: those that these functions know by their names.
    pub fn own(&self, is_entry: impl Fn(&[u8]) -> bool, is_other: impl Fn(&[u8]) -> bool) -> &OwnCookies {
        self.own.get_or_init(|| {
            let (mut own, mut counts, mut entries) = (OwnCookies::default(), HashMap::new(), 0);
            for cookie in self.all.cookies() {
                let (name, _) = pair(cookie);
                let is_entry = is_entry(name);
                if !is_entry && !is_other(name) {
                    continue;
                }
                if is_entry && !counts.contains_key(name) {
                    if entries == MAX_ENTRIES {
                        own.is_cut = true;
                        continue;
                    }
                    entries += 1;
                }
                let count = counts.entry(name).or_insert(0);
                if *count < MAX_OF_A_NAME {
                    *count += 1;
                    own.cookies.push(cookie.to_vec());
                }
            }
            own
        })
    }

    /// Returns the values of a name of the library, in the browser's order.
    pub fn values(&self, is_name: impl Fn(&[u8]) -> bool + Copy) -> impl Iterator<Item = &[u8]> {
        let is_found = |own: &&OwnCookies| !own.is_cut || own.pairs().any(|(name, _)| is_name(name));
        let own = self.own.get().filter(is_found);
        let all = own.is_none().then(|| self.all.pairs());
        let pairs = own.map(OwnCookies::pairs).into_iter().flatten().chain(all.into_iter().flatten());
        pairs.filter(move |(name, _)| is_name(name)).map(|(_, value)| value)
    }
}

/// Splits a header into its cookies.
fn split(header: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(header);
    std::iter::from_fn(move || {
        let (cookie, after) = match split_at_byte(rest?, b';') {
            Some((cookie, after)) => (cookie, Some(after)),
            None => (rest?, None),
        };
        rest = after;
        Some(cookie.trim_ascii())
    })
}

/// Returns the name and the value of a cookie.
fn pair(cookie: &[u8]) -> (&[u8], &[u8]) {
    split_at_byte(cookie, b'=').unwrap_or((cookie, &[]))
}

fn split_at_byte(bytes: &[u8], byte: u8) -> Option<(&[u8], &[u8])> {
    let at = memchr(byte, bytes)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// How many cookies all searches of this thread have seen.
        pub static SEEN: Cell<usize> = const { Cell::new(0) };
    }
}
