//! Passwords: Argon2id on a bounded number of workers, with constant work for unknown users.
//!
//! Passwords are normalized to Unicode NFC before they are hashed (NIST SP 800-63B-4 section 3.1.1.2). Otherwise they
//! are used as typed: not trimmed, not truncated, with any characters.
//!
//! With the feature `legacy-hashes`, hashes from another system are verified too: bcrypt (`$2a$`, `$2b$`, `$2y$`), and
//! scrypt and PBKDF2 as PHC strings (`$scrypt$`, `$pbkdf2-sha256$`, `$pbkdf2-sha512$`). They count as
//! [outdated](Verification::Outdated): the first login returns an Argon2id hash, and your code stores it. Until then, a
//! login takes the time of the old function, so an attacker who measures it learns that the email address has an
//! account. With a bcrypt hash, a password of more than 72 bytes is refused, because bcrypt has ignored the rest: the
//! user must set a new one.

pub(crate) mod breach;
mod common;
mod hash;
#[cfg(feature = "legacy-hashes")]
mod legacy;
pub(crate) mod params;
#[allow(clippy::module_inception, reason = "it has `Password`")]
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
