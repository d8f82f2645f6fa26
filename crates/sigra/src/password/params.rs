//! The cost of a password hash.

use crate::base::config_error::ConfigError;

/// The cost of one Argon2id computation (RFC 9106).
///
/// The default is the first choice of the [OWASP Password Storage Cheat Sheet].
///
/// [OWASP Password Storage Cheat Sheet]: https://cheatsheetseries.owasp.org/cheatsheets/Password_Storage_Cheat_Sheet.html#argon2id
///
/// ```
/// use sigra::config::Argon2Params;
///
/// assert_eq!(Argon2Params::default(), Argon2Params::new(19 * 1024, 2, 1));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Argon2Params {
    /// The memory, in KiB.
    pub memory_kib: u32,
    /// The number of passes over the memory.
    pub iterations: u32,
    /// The number of lanes.
    pub parallelism: u32,
}

impl Argon2Params {
    /// Creates parameters: memory in KiB, passes over it, and lanes. [`Config::check`](crate::Config::check) refuses
    /// those that Argon2 can't run with.
    #[must_use]
    pub const fn new(memory_kib: u32, iterations: u32, parallelism: u32) -> Self {
        Self { memory_kib, iterations, parallelism }
    }

    /// The cheapest possible parameters, for tests that log in often. They protect nothing.
    #[cfg(any(test, feature = "testing"))]
    pub const INSECURE_FOR_TESTS: Self = Self { memory_kib: 8, iterations: 1, parallelism: 1 };

    pub(crate) fn to_argon2(self) -> Result<argon2::Argon2<'static>, ConfigError> {
        const MAX_KIB: u32 = 4 * 1024 * 1024;
        let Self { memory_kib, iterations, parallelism } = self;
        let params = argon2::Params::new(memory_kib, iterations, parallelism, None)
            .ok()
            .filter(|_| memory_kib <= MAX_KIB)
            .ok_or(ConfigError::Argon2 { memory_kib, iterations, parallelism })?;
        Ok(argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params))
    }
}

impl Default for Argon2Params {
    fn default() -> Self {
        Self { memory_kib: 19 * 1024, iterations: 2, parallelism: 1 }
    }
}
