//! Argon2id by RustCrypto, and by libsodium.

use bench::{
    Result,
    argon2id::{self, Hash, ITERATIONS, MEMORY_KIB, PASSWORD, SALT},
};
use libsodium_rs::crypto_pwhash::{ALG_ARGON2ID13, pwhash};

fn main() -> Result<()> {
    libsodium_rs::ensure_init()?;
    argon2id::compare("argon2_libsodium", "libsodium (`libsodium-rs`)", hash)
}

fn hash() -> Result<Hash> {
    let memory = usize::try_from(MEMORY_KIB)? * 1024;
    let hash = pwhash(size_of::<Hash>(), PASSWORD, SALT, ITERATIONS.into(), memory, ALG_ARGON2ID13)?;
    Ok(hash.as_slice().try_into()?)
}
