//! The entries of a cookie session: those that the browser sent, and what the request changes.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use uuid::Uuid;

use crate::{
    base::{error::Error, token::CookieSessionId},
    browser::{
        cookies::{Cookies, SetCookies},
        flash::{FlashMessage, WaitingFlash, name_of},
        request_cookies::{IndexedCookies, RequestCookies},
    },
};

/// The prefix of entries with flash messages. The rest of their names is derived from the messages.
const FLASH: &str = "flash-";

/// With this many entries of messages, the next request joins them into one.
const MAX_FLASHES: usize = 4;

/// The entries of a request. An entry that was written in another cookie session isn't one of them.
pub(crate) struct Entries {
    cookies: Cookies,
    /// The cookies of the request.
    pub request: IndexedCookies,
    /// The cookie session. `None` while nobody is logged in.
    pub id: Option<CookieSessionId>,
    /// Whether the entries of the request were discarded.
    is_cleared: bool,
    /// Entries put (`Some`) or removed (`None`) by this request.
    outgoing: BTreeMap<String, Option<Vec<u8>>>,
    /// The messages of this request, which no renewal discards.
    flash: Vec<WaitingFlash>,
}

impl Entries {
    pub fn new(cookies: Cookies, request: RequestCookies, id: Option<CookieSessionId>) -> Self {
        let request = IndexedCookies::new(request);
        Self { cookies, request, id, is_cleared: false, outgoing: BTreeMap::new(), flash: Vec::new() }
    }

    /// Returns the JSON of an entry.
    pub fn get(&self, name: &str) -> Option<Vec<u8>> {
        match self.outgoing.get(name) {
            Some(outgoing) => outgoing.clone(),
            None if self.is_cleared => None,
            None => self.cookies.read_entry(name, &self.request, self.id),
        }
    }

    pub fn put(&mut self, name: &str, json: Vec<u8>) -> Result<(), Error> {
        self.cookies.check_entry(name, &json)?;
        self.outgoing.insert(name.to_owned(), Some(json));
        Ok(())
    }

    pub fn remove(&mut self, name: &str) {
        if self.cookies.has_entry(name, &self.request) {
            self.outgoing.insert(name.to_owned(), None);
        } else {
            self.outgoing.remove(name);
        }
    }

    /// Removes all entries, except for the flash messages of this request.
    pub fn clear(&mut self) {
        self.outgoing = self.cookies.entry_names(&self.request).into_iter().map(|name| (name, None)).collect();
        self.is_cleared = true;
    }

    /// Removes all entries, except for the flash messages of this request and those with these names.
    pub fn clear_except<'n>(&mut self, names: impl Iterator<Item = &'n str>) {
        let kept: Vec<_> = names.filter_map(|name| Some((name.to_owned(), Some(self.get(name)?)))).collect();
        self.clear();
        self.outgoing.extend(kept);
    }

    /// Leaves the entries as they were, because the request failed. If they are cleared, they are gone already, and
    /// only the messages of this request are taken back.
    pub fn take_back(&mut self) {
        self.flash.clear();
        if !self.is_cleared {
            self.outgoing.clear();
        }
    }

    /// Returns the names of all entries `<prefix><UUID>`, in their order.
    pub fn names_of(&self, prefix: &str) -> Vec<String> {
        let came = self.cookies.entry_names(&self.request);
        let names: BTreeSet<String> = came.into_iter().chain(self.outgoing.keys().cloned()).collect();
        names.into_iter().filter(|name| is_of(prefix, name)).collect()
    }

    /// Puts a flash message, unless the same one is waiting.
    pub fn put_flash(&mut self, message: FlashMessage) -> Result<(), Error> {
        let mut waiting = self.waiting_flash();
        if waiting.iter().any(|waiting| waiting.message == message) {
            return Ok(());
        }
        let message = WaitingFlash::new(message, self.cookies.now());
        waiting.push(message.clone());
        self.cookies.check_entry(&new_name(FLASH), &serde_json::to_vec(&waiting)?)?;
        self.flash.push(message);
        Ok(())
    }

    /// Returns the waiting flash messages, and removes them.
    pub fn take_flash(&mut self) -> Vec<FlashMessage> {
        let waiting = self.waiting_flash();
        self.flash.clear();
        // Remove only those of this request, because another tab may be putting one right now.
        self.names_of(FLASH).iter().for_each(|name| self.remove(name));
        waiting.into_iter().map(|waiting| waiting.message).collect()
    }

    fn waiting_flash(&self) -> Vec<WaitingFlash> {
        let now = self.cookies.now();
        let read = |name: String| serde_json::from_slice::<Vec<WaitingFlash>>(&self.get(&name)?).ok();
        let kept = self.names_of(FLASH).into_iter().filter_map(read).flatten();
        let mut waiting: Vec<WaitingFlash> = Vec::new();
        for flash in kept.filter(|flash| flash.is_current(now)).chain(self.flash.iter().cloned()) {
            if waiting.iter().all(|known| known.message != flash.message) {
                waiting.push(flash);
            }
        }
        waiting.sort_by_key(WaitingFlash::order);
        waiting
    }

    /// Gives the flash messages of this request an entry.
    pub fn settle_flash(&mut self) {
        if self.flash.is_empty() {
            return;
        }
        let before = self.names_of(FLASH);
        let messages = match before.len() < MAX_FLASHES {
            true => self.flash.clone(),
            false => {
                let waiting = self.waiting_flash();
                before.iter().for_each(|name| self.remove(name));
                waiting
            }
        };
        self.flash.clear();
        match serde_json::to_vec(&messages) {
            Ok(json) => drop(self.outgoing.insert(name_of(FLASH, &messages), Some(json))),
            Err(error) => tracing::error!(target: "sigra", %error, "a flash can't be written"),
        }
    }

    /// Writes what changed to the response.
    pub fn write(&mut self, headers: &mut HeaderMap) {
        let mut jar = SetCookies { headers, request: &self.request };
        for (name, json) in std::mem::take(&mut self.outgoing) {
            match json {
                Some(json) => self.cookies.set_entry(&mut jar, &name, self.id, &json),
                None => self.cookies.expire_entry(&mut jar, &name),
            }
        }
    }
}

/// Returns a new name `<prefix><UUID>` for an entry, so that requests don't overwrite each other's. Names sort by time.
pub(crate) fn new_name(prefix: &str) -> String {
    format!("{prefix}{}", Uuid::now_v7().simple())
}

/// Returns whether an entry has such a name. It checks the UUID too, because a host's entry can have the same prefix.
fn is_of(prefix: &str, name: &str) -> bool {
    name.strip_prefix(prefix).is_some_and(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
}
