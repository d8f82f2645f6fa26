use std::fmt;

use base64::{Engine, display::Base64Display, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::Error;

/// How many accounts a browser is known for: each by its address, and by its id for the second factor. The one that was used longest ago is forgotten first.
const MOST: usize = 16;

/// Names a browser that somebody has logged in with. It proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceId([u8; 16]);

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Base64Display::new(&self.0, &URL_SAFE_NO_PAD).fmt(f)
    }
}

/// A browser, and the accounts that were logged in to with it: as hashes, the one used last at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownDevice {
    pub id: DeviceId,
    accounts: Vec<[u8; 16]>,
}

impl KnownDevice {
    pub fn generate() -> Result<Self, Error> {
        Ok(Self { id: DeviceId(crate::token::random_bytes()?), accounts: Vec::new() })
    }

    pub fn parse(value: &str) -> Option<Self> {
        let mut parts = value.split('.').map(decode);
        let id = DeviceId(parts.next()??);
        Some(Self { id, accounts: parts.collect::<Option<_>>()? })
    }

    pub fn knows(&self, account: &str) -> bool {
        self.accounts.contains(&self.hash(account))
    }

    pub fn learn(&mut self, account: &str) {
        let account = self.hash(account);
        self.accounts.retain(|known| *known != account);
        self.accounts.push(account);
        let oldest = self.accounts.len().saturating_sub(MOST);
        self.accounts.drain(..oldest);
    }

    /// Another one in every browser, so that a cookie doesn't tell whose account it is.
    fn hash(&self, account: &str) -> [u8; 16] {
        let digest: [u8; 32] =
            Sha256::new().chain_update("sigra device").chain_update(self.id.0).chain_update(account).finalize().into();
        let mut hash = [0; 16];
        hash.copy_from_slice(&digest[..16]);
        hash
    }
}

impl fmt::Display for KnownDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.id.fmt(f)?;
        self.accounts.iter().try_for_each(|account| write!(f, ".{}", Base64Display::new(account, &URL_SAFE_NO_PAD)))
    }
}

fn decode(encoded: &str) -> Option<[u8; 16]> {
    // The decoder wants room for an estimate.
    let mut decoded = [0; 18];
    let len = URL_SAFE_NO_PAD.decode_slice(encoded, &mut decoded).ok()?;
    decoded[..len].try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_knows_the_accounts_that_were_used_last() {
        let mut device = KnownDevice::generate().expect("randomness");
        for number in 0..18 {
            device.learn(&format!("user{number}@example.com"));
        }
        let device = KnownDevice::parse(&device.to_string()).expect("what we write, we read");
        assert!(!device.knows("user1@example.com") && device.knows("user2@example.com"));
        assert!(device.knows("user17@example.com") && !device.knows("nobody@example.com"));
    }

    #[test]
    fn what_is_no_device_is_none() {
        for bad in ["", ".", "AAAA", "AAAAAAAAAAAAAAAAAAAAAA.", "AAAAAAAAAAAAAAAAAAAAAA.A", "\u{e9}"] {
            assert_eq!(KnownDevice::parse(bad), None, "{bad:?}");
        }
    }
}
