//! Passwords: Argon2id on a bounded number of workers, with constant work for unknown users.
//!
//! Passwords are normalised to Unicode NFC before they are hashed (NIST SP 800-63B-4 section 3.1.1.2),
//! and are otherwise taken as they are: not trimmed, not truncated, in any characters.
//!
//! With the feature `legacy-hashes`, hashes that users bring along from another system are verified too: bcrypt
//! (`$2a$`, `$2b$`, `$2y$`), and scrypt and PBKDF2 as PHC strings (`$scrypt$`, `$pbkdf2-sha256$`, `$pbkdf2-sha512$`).
//! They count as [outdated](Verification::Outdated), so that the first log-in replaces them by Argon2id. Until then a
//! log-in takes the time of the old function: whoever measures it can tell that the address has an account. A password
//! of more than 72 bytes is refused where bcrypt's hash is stored, for bcrypt has left the rest out: its owner sets a
//! new one.

pub(crate) mod breach;
mod common;
mod hash;
#[cfg(feature = "legacy-hashes")]
mod legacy;
pub(crate) mod params;
#[allow(clippy::module_inception, reason = "it holds `Password`")]
mod password;
pub(crate) mod policy;
mod workers;

pub use self::{
    breach::{BreachCheck, PwnedRange},
    hash::Verification,
    password::Password,
    policy::{PasswordPolicy, PasswordProblem},
    workers::Passwords,
};
