//! Fingerprints: keyed hashes of what a client presented, to find it again in the memory of this process.

use std::hash::{Hash, Hasher};

use siphasher::sip128::{Hasher128, SipHasher24};

/// A 128-bit hash of secret bytes under a secret key. It never leaves the process.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fingerprint(u128);

/// A fingerprint is as good as random, so half of it is the hash.
impl Hash for Fingerprint {
    #[expect(clippy::cast_possible_truncation, reason = "half of the bits are enough")]
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u64(self.0 as u64);
    }
}

/// The hasher of a table of fingerprints: it returns what it is given.
#[derive(Clone, Copy, Default)]
pub(crate) struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

/// The key of all fingerprints of one kind (SipHash-2-4 with 128 bits, <https://www.aumasson.jp/siphash/>).
#[derive(Clone)]
pub(crate) struct FingerprintKey(SipHasher24);

impl FingerprintKey {
    pub fn new(key: &[u8; 16]) -> Self {
        Self(SipHasher24::new_with_key(key))
    }

    /// Begins a fingerprint.
    pub fn begin(&self) -> Fingerprinting {
        Fingerprinting(self.0)
    }
}

/// A fingerprint that is being computed.
pub(crate) struct Fingerprinting(SipHasher24);

impl Fingerprinting {
    /// Adds bytes under a tag, and their length, so that different parts never hash the same bytes.
    pub fn add(&mut self, tag: u8, bytes: &[u8]) {
        self.0.write_u64((bytes.len() as u64) << 8 | u64::from(tag));
        self.0.write(bytes);
    }

    pub fn finish(&self) -> Fingerprint {
        Fingerprint(self.0.finish128().as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fingerprint(key: u8, parts: &[(u8, &[u8])]) -> u128 {
        let mut fingerprint = FingerprintKey::new(&[key; 16]).begin();
        parts.iter().for_each(|(tag, bytes)| fingerprint.add(*tag, bytes));
        fingerprint.finish().0
    }

    #[test]
    fn other_keys_tags_bytes_and_splits_have_other_fingerprints() {
        let all = [
            fingerprint(1, &[(b's', b"token")]),
            fingerprint(2, &[(b's', b"token")]),
            fingerprint(1, &[(b'r', b"token")]),
            fingerprint(1, &[(b's', b"tokem")]),
            fingerprint(1, &[(b's', b"tok"), (b's', b"en")]),
            fingerprint(1, &[(b's', b"token"), (b's', b"")]),
            fingerprint(1, &[(b's', b"token"), (b'r', b"")]),
            fingerprint(1, &[(b'r', b"token"), (b's', b"")]),
            fingerprint(1, &[]),
        ];
        for (at, one) in all.iter().enumerate() {
            assert!(all[at + 1..].iter().all(|other| other != one), "{at}");
        }
        assert_eq!(all[0], fingerprint(1, &[(b's', b"token")]));
    }

    /// The test vector of the authors: the key is 00 to 0f, and the input is empty
    /// (<https://github.com/veorq/SipHash/blob/master/vectors.h>).
    #[test]
    fn the_hash_is_siphash_2_4_with_128_bits() {
        let key: [u8; 16] = std::array::from_fn(|at| at as u8);
        let of_nothing = FingerprintKey::new(&key).begin().finish().0;
        let expected = 0xa3_81_7f_04_ba_25_a8_e6_6d_f6_72_14_c7_55_02_93_u128;
        assert_eq!(of_nothing.to_le_bytes(), expected.to_be_bytes());
    }
}
