//! One computation of Argon2id: a new hash, or the verification of a stored one.

use argon2::{
    Algorithm, Argon2, Block, Params, Version,
    password_hash::phc::{Output, PasswordHash, Salt},
};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    base::{
        error::{BoxError, Error},
        token::random_bytes,
    },
    model::user::HashedPassword,
    password::password::Password,
};

const OUTPUT_LEN: usize = 32;

/// The maximum memory of a stored hash. One with more counts as corrupt.
const MAX_STORED_MEMORY_KIB: u32 = 1024 * 1024;

/// The maximum work of a stored hash, which is memory times passes: a few seconds. One with more counts as corrupt.
const MAX_STORED_WORK_KIB: u64 = 4 * 1024 * 1024;

/// The result of verifying a password.
///
/// The library never writes your users table, so your login stores a new hash before it logs the user in:
///
/// ```
/// # use sigra::doctest::User;
/// use sigra::{AuthUser, Sigra, Verification};
///
/// /// Returns the user to log in, or `None` if the password is wrong.
/// async fn verified(
///     sigra: &Sigra<User>, user: Option<User>, verification: Verification,
/// ) -> sigra::Result<Option<User>> {
///     match (verification, user) {
///         (Verification::Valid, user) => Ok(user),
///         (Verification::Outdated(new), Some(user)) => {
///             // Another request may have changed the password since, so compare the old hash.
///             let update = "UPDATE users SET hashed_password = $1 WHERE id = $2 AND hashed_password = $3 RETURNING *";
///             let update = sqlx::query_as(update).bind(new).bind(user.id).bind(user.hashed_password().cloned());
///             Ok(update.fetch_optional(sigra.pool()).await?)
///         }
///         _ => Ok(None),
///     }
/// }
/// ```
#[must_use = "the password may be wrong: check it before you log anybody in"]
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "a host must decide what to do about each")]
pub enum Verification {
    /// There is no such user, the user has no password, or the password is wrong. Callers can't tell which.
    Invalid,
    /// The password is right.
    Valid,
    /// The password is right, but its hash doesn't have the configured parameters. Store this hash, and log in the user
    /// as the database has them afterwards: with the old hash, [`log_in`](crate::Sigra::log_in) fails with
    /// [`Error::CredentialsChanged`].
    Outdated(HashedPassword),
}

pub(crate) fn hash(argon2: &Argon2<'_>, password: &Password, memory: &mut Vec<Block>) -> Result<HashedPassword, Error> {
    let salt = random_bytes::<16>()?;
    let output = derive(argon2, password, &salt, OUTPUT_LEN, memory).map_err(failed)?;
    let phc = PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: argon2.params().try_into().map_err(failed)?,
        salt: Some(Salt::new(&salt).map_err(failed)?),
        hash: Some(Output::new(output.as_slice()).map_err(failed)?),
    };
    Ok(HashedPassword::from(phc.to_string()))
}

fn failed(error: impl Into<BoxError>) -> Error {
    Error::PasswordHash(error.into())
}

fn derive(
    argon2: &Argon2<'_>,
    password: &Password,
    salt: &[u8],
    output_len: usize,
    memory: &mut Vec<Block>,
) -> Result<Zeroizing<Vec<u8>>, argon2::Error> {
    let blocks = argon2.params().block_count();
    if memory.len() < blocks {
        memory.resize(blocks, Block::default());
    }
    let mut output = Zeroizing::new(vec![0; output_len]);
    argon2.hash_password_into_with_memory(
        password.expose().as_bytes(),
        salt,
        output.as_mut_slice(),
        &mut memory[..blocks],
    )?;
    Ok(output)
}

/// A parsed hash, to verify passwords against.
pub(crate) struct Stored {
    argon2: Argon2<'static>,
    salt: Vec<u8>,
    expected: Vec<u8>,
}

impl Stored {
    pub fn parse(hash: &HashedPassword) -> Option<Self> {
        let stored = Self::parse_phc(hash.as_str());
        if stored.is_none() {
            tracing::error!(target: "sigra", "a stored password hash can't be read; its user can't log in");
        }
        stored
    }

    fn parse_phc(phc: &str) -> Option<Self> {
        let phc = PasswordHash::new(phc).ok()?;
        let algorithm = Algorithm::try_from(phc.algorithm.as_str()).ok()?;
        let version = phc.version.map_or(Ok(Version::V0x13), Version::try_from).ok()?;
        let params = Params::try_from(&phc).ok()?;
        let work = u64::from(params.m_cost()) * u64::from(params.t_cost());
        if params.m_cost() > MAX_STORED_MEMORY_KIB || work > MAX_STORED_WORK_KIB {
            return None;
        }
        let (salt, expected) = (phc.salt?, phc.hash?);
        Some(Self {
            argon2: Argon2::new(algorithm, version, params),
            salt: salt.as_ref().to_vec(),
            expected: expected.as_bytes().to_vec(),
        })
    }

    /// Returns a hash for a user who doesn't exist. It takes the same work, and no password matches.
    pub fn nobody(argon2: &Argon2<'static>) -> Self {
        Self { argon2: argon2.clone(), salt: vec![0; 16], expected: vec![0; OUTPUT_LEN] }
    }

    pub fn verify(
        &self,
        configured: &Argon2<'static>,
        password: &Password,
        memory: &mut Vec<Block>,
    ) -> Result<Verification, Error> {
        let Ok(found) = derive(&self.argon2, password, &self.salt, self.expected.len(), memory) else {
            return Ok(Verification::Invalid);
        };
        if !bool::from(found.as_slice().ct_eq(&self.expected)) {
            return Ok(Verification::Invalid);
        }
        if self.is_outdated(configured) {
            return hash(configured, password, memory).map(Verification::Outdated);
        }
        Ok(Verification::Valid)
    }

    fn is_outdated(&self, configured: &Argon2<'_>) -> bool {
        let cost = |argon2: &Argon2<'_>| {
            let params = argon2.params();
            (params.m_cost(), params.t_cost(), params.p_cost())
        };
        cost(&self.argon2) != cost(configured)
    }
}
