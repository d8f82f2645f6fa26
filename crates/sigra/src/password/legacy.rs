//! Hashes that were migrated from another system. They are verified, and replaced by Argon2id at the first login.

use argon2::{Block, password_hash::phc::PasswordHash};
use sha2::{Sha256, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    base::error::Error,
    model::user::HashedPassword,
    password::{
        hash::{Verification, hash},
        password::Password,
    },
};

/// The maximum work of a stored hash: a few seconds. One with more counts as corrupt.
const MAX_BCRYPT_COST: u32 = 16;
const MAX_PBKDF2_ITERATIONS: u32 = 20_000_000;
const MAX_SCRYPT_BYTES: u64 = 1024 * 1024 * 1024;

/// The maximum length of a password with bcrypt, in bytes. bcrypt ignores the rest, so it can't distinguish longer
/// passwords with different ends (CVE-2025-22228).
const MAX_BCRYPT_PASSWORD: usize = 72;

/// The minimum length of a hash, in bytes. A shorter one was cut off.
const MIN_OUTPUT: usize = 16;

/// A hash by another function than Argon2.
pub(super) enum Legacy {
    Bcrypt(String),
    Scrypt { params: scrypt::Params, salt: Vec<u8>, expected: Vec<u8> },
    Pbkdf2 { function: Pbkdf2, iterations: u32, salt: Vec<u8>, expected: Vec<u8> },
}

/// The hash function of PBKDF2.
#[derive(Clone, Copy)]
pub(super) enum Pbkdf2 {
    Sha256,
    Sha512,
}

impl Legacy {
    /// Parses a hash. Returns `None` if it isn't a supported legacy hash, or if its parameters can't be computed.
    pub fn parse(stored: &HashedPassword) -> Option<Self> {
        let stored = stored.as_str();
        if stored.starts_with("$2") {
            return Self::parse_bcrypt(stored);
        }
        let phc = PasswordHash::new(stored).ok()?;
        let (salt, expected) = (phc.salt?.as_ref().to_vec(), phc.hash?.as_bytes().to_vec());
        if expected.len() < MIN_OUTPUT {
            return None;
        }
        let param = |name: &str| phc.params.get_decimal(name);
        match phc.algorithm.as_str() {
            "scrypt" => {
                let (log_n, r, p) = (u8::try_from(param("ln")?).ok()?, param("r")?, param("p")?);
                let bytes = 1_u64.checked_shl(log_n.into())?.checked_mul(128)?.checked_mul(r.into())?;
                // Check this before computing anything with the parameters: larger ones overflow.
                if bytes.checked_mul(p.into())? > MAX_SCRYPT_BYTES {
                    return None;
                }
                let params = scrypt::Params::new(log_n, r, p).ok()?;
                Some(Self::Scrypt { params, salt, expected })
            }
            "pbkdf2-sha256" => Self::parse_pbkdf2(Pbkdf2::Sha256, param("i")?, salt, expected),
            "pbkdf2-sha512" => Self::parse_pbkdf2(Pbkdf2::Sha512, param("i")?, salt, expected),
            _ => None,
        }
    }

    fn parse_bcrypt(stored: &str) -> Option<Self> {
        let cost: u32 = stored.split('$').nth(2)?.parse().ok()?;
        let is_whole = stored.len() == 60 && stored.is_ascii();
        (is_whole && cost <= MAX_BCRYPT_COST).then(|| Self::Bcrypt(stored.to_owned()))
    }

    fn parse_pbkdf2(function: Pbkdf2, iterations: u32, salt: Vec<u8>, expected: Vec<u8>) -> Option<Self> {
        let is_bounded = (1..=MAX_PBKDF2_ITERATIONS).contains(&iterations);
        is_bounded.then_some(Self::Pbkdf2 { function, iterations, salt, expected })
    }

    /// Verifies a password. If it is right, the result is always `Outdated`.
    pub fn verify(
        &self,
        configured: &argon2::Argon2<'static>,
        password: &Password,
        memory: &mut Vec<Block>,
    ) -> Result<Verification, Error> {
        match self.matches(password) {
            true => hash(configured, password, memory).map(Verification::Outdated),
            false => Ok(Verification::Invalid),
        }
    }

    fn matches(&self, password: &Password) -> bool {
        let typed = password.expose().as_bytes();
        let (found, expected) = match self {
            // Compute first, so that a password that is too long takes the same work.
            Self::Bcrypt(stored) => {
                return bcrypt::verify(typed, stored).unwrap_or(false) && is_all_bcrypt_reads(typed);
            }
            Self::Scrypt { params, salt, expected } => {
                let mut found = Zeroizing::new(vec![0; expected.len()]);
                if scrypt::scrypt(typed, salt, params, &mut found).is_err() {
                    return false;
                }
                (found, expected)
            }
            Self::Pbkdf2 { function, iterations, salt, expected } => {
                let mut found = Zeroizing::new(vec![0; expected.len()]);
                match function {
                    Pbkdf2::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(typed, salt, *iterations, &mut found),
                    Pbkdf2::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(typed, salt, *iterations, &mut found),
                }
                (found, expected)
            }
        };
        found.ct_eq(expected).into()
    }
}

/// Returns whether bcrypt reads all of a password. It reads at most 72 bytes, and reads a password with zero bytes like
/// others that repeat its parts.
fn is_all_bcrypt_reads(typed: &[u8]) -> bool {
    typed.len() <= MAX_BCRYPT_PASSWORD && !typed.contains(&0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{config::Argon2Params, password::Passwords};

    /// Hashes of other programs: the first is from the test vectors of crypt_blowfish, the others are from Python's
    /// hashlib.
    const HASHES: [(&str, &str); 6] = [
        ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        ("U*U", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        ("U*U", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
        (CORRECT, "$scrypt$ln=10,r=8,p=1$MDEyMzQ1Njc4OWFiY2RlZg$7AnzIswxwEinpwz+ntydndYfVHPvOACmX9Vvo8hO1qM"),
        (CORRECT, "$pbkdf2-sha256$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$yqSq2SygY1sB4EcH9f2FG0JTMES+wqLsOT5YmiRBplI"),
        (CORRECT, "$pbkdf2-sha512$i=1000,l=32$MDEyMzQ1Njc4OWFiY2RlZg$5bTW2oeyDJyGJPcmEr+mRDE11ghpozWrDGnSNhRXo2Y"),
    ];
    const CORRECT: &str = "correct horse battery staple";

    fn passwords() -> Passwords {
        Passwords::new(Argon2Params::INSECURE_FOR_TESTS, 1, Duration::from_secs(60)).expect("valid parameters")
    }

    #[tokio::test]
    async fn hashes_from_elsewhere_are_verified_and_replaced() {
        for (password, stored) in HASHES {
            let (password, stored) = (Password::new(password), HashedPassword::from(stored.to_owned()));
            let verify = async |stored: &HashedPassword, password: &Password| {
                passwords().verify(Some(stored), password).await.expect("a worker")
            };
            let Verification::Outdated(new) = verify(&stored, &password).await else {
                panic!("{} must ask to be replaced", stored.as_str());
            };
            assert!(new.as_str().starts_with("$argon2id$"));
            assert_eq!(verify(&new, &password).await, Verification::Valid);
            assert_eq!(verify(&stored, &Password::new("wrong")).await, Verification::Invalid);
            assert_eq!(verify(&stored, &Password::new("")).await, Verification::Invalid);
        }
    }

    /// CVE-2025-22228. If it were accepted, what was typed would be hashed again, and its end would become part of the
    /// password.
    #[tokio::test]
    async fn invariant_15_a_password_that_bcrypt_would_cut_off_is_refused() {
        for version in ["2a", "2b", "2y"] {
            for (length, is_good) in [(71, true), (72, true), (73, false), (100, false)] {
                let right = Password::new("a".repeat(length));
                let salt = *b"0123456789abcdef";
                let hash = bcrypt::hash_with_salt(right.expose(), 4, salt).expect("a valid cost").to_string();
                let stored = HashedPassword::from(hash.replacen("$2b$", &format!("${version}$"), 1));
                let verify =
                    async |password: &Password| passwords().verify(Some(&stored), password).await.expect("a worker");
                let found = verify(&right).await;
                assert_eq!(matches!(found, Verification::Outdated(_)), is_good, "{version}, {length} bytes: {found:?}");
                let another_end = Password::new(format!("{}b", "a".repeat(length.max(72))));
                assert_eq!(verify(&another_end).await, Verification::Invalid, "{version}, {length} bytes");
            }
        }
    }

    #[tokio::test]
    async fn invariant_15_a_password_that_bcrypt_confuses_with_another_is_refused() {
        let (_, stored) = HASHES[0];
        assert!(bcrypt::verify("U*U\0U*U", stored).expect("a hash"), "bcrypt takes them for one");
        let stored = HashedPassword::from(stored.to_owned());
        let found = passwords().verify(Some(&stored), &Password::new("U*U\0U*U")).await.expect("a worker");
        assert_eq!(found, Verification::Invalid);
    }

    #[tokio::test]
    async fn a_corrupt_legacy_hash_is_a_wrong_password() {
        for (password, stored) in HASHES {
            let password = Password::new(password);
            // What is left of a longer hash when it is cut off is a shorter one, of the same password.
            let whole = if stored.starts_with("$2") { stored.len() } else { stored.len() - MIN_OUTPUT * 8 / 6 };
            let mut corrupt: Vec<String> = (0..whole).map(|len| stored[..len].to_owned()).collect();
            corrupt.extend([
                stored.replace("$05$", "$31$"),
                stored.replace("$05$", "$99$"),
                stored.replace("ln=10", "ln=63"),
                stored.replace("ln=10", "ln=0"),
                stored.replace("r=8", "r=4294967295"),
                stored.replace("p=1", "p=4294967295"),
                stored.replace("i=1000", "i=4294967295"),
                stored.replace("i=1000", "i=0"),
                stored.replace("pbkdf2-sha256", "pbkdf2-md5"),
            ]);
            for corrupt in corrupt.into_iter().filter(|corrupt| corrupt != stored) {
                let corrupt = HashedPassword::from(corrupt);
                let found = passwords().verify(Some(&corrupt), &password).await.expect("a worker");
                assert_eq!(found, Verification::Invalid, "{}", corrupt.as_str());
            }
        }
    }
}
