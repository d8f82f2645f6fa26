//! Secrets in the cookie session: encrypted, so that a copy of the cookies doesn't show them.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::{
    base::{error::Error, keys::EncryptionKeys},
    browser::cookie_session::CookieSession,
};

/// Puts secrets into entries of the cookie session, and opens them again.
pub(crate) struct SealedEntries<'a> {
    keys: &'a EncryptionKeys,
    context: String,
    lifetime: Option<Lifetime>,
}

struct Lifetime {
    max_age: Duration,
    now: OffsetDateTime,
}

impl<'a> SealedEntries<'a> {
    /// Binds the entries to a context, such as a user. They can't be opened in another.
    pub fn of(keys: &'a EncryptionKeys, context: String) -> Self {
        Self { keys, context, lifetime: None }
    }

    /// Limits the age from which an entry is no longer opened.
    pub fn max_age(self, max_age: Duration, now: OffsetDateTime) -> Self {
        Self { lifetime: Some(Lifetime { max_age, now }), ..self }
    }

    pub fn put(&self, session: &CookieSession, name: &str, secret: &[u8]) -> Result<(), Error> {
        let sealed = match &self.lifetime {
            Some(lifetime) => self.keys.encrypt(&lifetime.stamp(secret), &self.context)?,
            None => self.keys.encrypt(secret, &self.context)?,
        };
        session.put(name, &URL_SAFE_NO_PAD.encode(sealed))
    }

    pub fn get(&self, session: &CookieSession, name: &str) -> Option<Zeroizing<Vec<u8>>> {
        self.open(&session.get::<String>(name)?)
    }

    /// Returns the secret, and removes its entry.
    #[cfg(feature = "api-tokens")]
    pub fn take(&self, session: &CookieSession, name: &str) -> Option<Zeroizing<Vec<u8>>> {
        self.open(&session.take::<String>(name)?)
    }

    fn open(&self, entry: &str) -> Option<Zeroizing<Vec<u8>>> {
        let opened = self.keys.decrypt(&URL_SAFE_NO_PAD.decode(entry).ok()?, &self.context)?;
        match &self.lifetime {
            Some(lifetime) => lifetime.unstamp(&opened),
            None => Some(opened),
        }
    }
}

impl Lifetime {
    /// Puts the time before a secret.
    fn stamp(&self, secret: &[u8]) -> Zeroizing<Vec<u8>> {
        let made_at = self.now.unix_timestamp().to_be_bytes();
        Zeroizing::new([made_at.as_slice(), secret].concat())
    }

    /// Returns the secret, unless it is too old.
    fn unstamp(&self, stamped: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (made_at, secret) = stamped.split_first_chunk()?;
        let age = self.now.unix_timestamp().checked_sub(i64::from_be_bytes(*made_at))?;
        let is_valid = u64::try_from(age).is_ok_and(|age| age < self.max_age.as_secs());
        is_valid.then(|| Zeroizing::new(secret.to_vec()))
    }
}
