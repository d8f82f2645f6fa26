//! Argon2id by RustCrypto, and by the reference in C.

use argon2_kdf::{Algorithm, Hasher};
use bench::{
    Result,
    argon2id::{self, Hash, ITERATIONS, MEMORY_KIB, PASSWORD, SALT},
};

fn main() -> Result<()> {
    argon2id::compare("argon2_c_reference", "the C reference (`argon2-kdf`)", hash)
}

fn hash() -> Result<Hash> {
    let hasher = Hasher::new().algorithm(Algorithm::Argon2id).custom_salt(SALT).hash_length(32);
    let hasher = hasher.iterations(ITERATIONS).memory_cost_kib(MEMORY_KIB).threads(1);
    Ok(hasher.hash(PASSWORD)?.as_bytes().try_into()?)
}
