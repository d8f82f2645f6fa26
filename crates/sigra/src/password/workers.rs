//! The password workers: a bounded number of threads that hash passwords.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use argon2::{Argon2, Block};
use tokio::sync::{Semaphore, oneshot};

#[cfg(feature = "legacy-hashes")]
use crate::password::legacy::Legacy;
use crate::{
    base::{config_error::ConfigError, error::Error},
    model::user::HashedPassword,
    password::{
        hash::{Stored, Verification, hash},
        params::Argon2Params,
        password::Password,
    },
};

/// The niceness of password workers (`nice(2)`): the lowest priority.
#[cfg(target_os = "linux")]
const WORKER_NICENESS: i32 = 19;

/// Hashes and verifies passwords, a bounded number at the same time.
///
/// [`Sigra`](crate::Sigra) has one. A host that hashes passwords without it can create its own.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use sigra::{Password, config::Argon2Params, password::{Passwords, Verification}};
///
/// let passwords = Passwords::new(Argon2Params::default(), 2, Duration::from_secs(5))?;
/// let password = Password::new("correct horse battery staple");
/// let stored = passwords.hash(&password).await?;
///
/// assert_eq!(passwords.verify(Some(&stored), &password).await?, Verification::Valid);
/// assert_eq!(passwords.verify(None, &password).await?, Verification::Invalid);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Passwords {
    argon2: Argon2<'static>,
    workers: Arc<Semaphore>,
    wait: Duration,
    /// Argon2's memory, kept between computations: at most one buffer for each worker.
    memory: Arc<Mutex<Vec<Vec<Block>>>>,
}

impl Passwords {
    /// Creates it with at most `workers` computations at the same time. Others wait for at most `wait`.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Argon2`] if Argon2 can't run with these parameters.
    pub fn new(params: Argon2Params, workers: usize, wait: Duration) -> Result<Self, ConfigError> {
        Ok(Self {
            argon2: params.to_argon2()?,
            workers: Arc::new(Semaphore::new(workers)),
            wait,
            memory: Arc::default(),
        })
    }

    /// Hashes a new password with a random salt.
    ///
    /// # Errors
    ///
    /// [`Error::PasswordWorkersBusy`] if no worker becomes free in time, and [`Error::Random`].
    pub async fn hash(&self, password: &Password) -> Result<HashedPassword, Error> {
        let (argon2, password) = (self.argon2.clone(), password.clone());
        self.compute(move |memory| hash(&argon2, &password, memory)).await?
    }

    /// Verifies a password against a stored hash. Without one, the work is the same (OWASP Authentication Cheat Sheet,
    /// "Authentication and Error Messages").
    ///
    /// A stored hash that can't be read doesn't match.
    ///
    /// # Errors
    ///
    /// [`Error::PasswordWorkersBusy`] if no worker becomes free in time.
    pub async fn verify(&self, stored: Option<&HashedPassword>, password: &Password) -> Result<Verification, Error> {
        let (argon2, password) = (self.argon2.clone(), password.clone());
        let stored = stored.cloned();
        self.compute(move |memory| {
            #[cfg(feature = "legacy-hashes")]
            if let Some(legacy) = stored.as_ref().and_then(Legacy::parse) {
                return legacy.verify(&argon2, &password, memory);
            }
            match stored.as_ref().and_then(Stored::parse) {
                Some(stored) => stored.verify(&argon2, &password, memory),
                None => Stored::nobody(&argon2).verify(&argon2, &password, memory).map(|_| Verification::Invalid),
            }
        })
        .await?
    }

    /// Runs a computation on a worker. The worker holds the permit, so that a dropped request doesn't let another one
    /// in before its work has ended.
    async fn compute<T, F>(&self, work: F) -> Result<T, Error>
    where
        T: Send + 'static,
        F: FnOnce(&mut Vec<Block>) -> T + Send + 'static,
    {
        let permit = tokio::time::timeout(self.wait, self.workers.clone().acquire_owned())
            .await
            .map_err(|_| Error::PasswordWorkersBusy)?
            .map_err(|_| Error::PasswordWorkersBusy)?;
        let buffers = self.memory.clone();
        let blocks = self.argon2.params().block_count();
        let (done, result) = oneshot::channel();
        let worker = move || {
            let _permit = permit;
            lower_priority();
            let mut memory = lock(&buffers).pop().unwrap_or_default();
            let result = work(&mut memory);
            memory.truncate(blocks); // a stored hash may have asked for more
            memory.shrink_to_fit();
            lock(&buffers).push(memory);
            // Nobody receives the result if the request was dropped.
            drop(done.send(result));
        };
        // Use a new thread, because a thread of the runtime's pool would keep the low priority.
        thread::Builder::new()
            .name("sigra-password".to_owned())
            .spawn(worker)
            .map_err(|_| Error::PasswordWorkersBusy)?;
        result.await.map_err(|_| Error::PasswordWorkersBusy)
    }
}

/// Lowers the priority of this thread, so that requests are served without delay while passwords are hashed on the same
/// cores.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, WORKER_NICENESS) {
        tracing::debug!(target: "sigra", %error, "the priority of password workers can't be lowered");
    }
}

impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords").field("params", self.argon2.params()).finish_non_exhaustive()
    }
}

fn lock(buffers: &Mutex<Vec<Vec<Block>>>) -> MutexGuard<'_, Vec<Vec<Block>>> {
    buffers.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn passwords() -> Passwords {
        Passwords::new(Argon2Params::INSECURE_FOR_TESTS, 1, Duration::from_secs(60)).expect("valid parameters")
    }

    #[tokio::test]
    async fn a_hash_verifies_only_its_own_password() {
        let passwords = passwords();
        let stored = passwords.hash(&Password::new("sesame open")).await.expect("a hash");
        assert!(stored.as_str().starts_with("$argon2id$v=19$m=8,t=1,p=1$"));
        let verify =
            async |typed: &str| passwords.verify(Some(&stored), &Password::new(typed)).await.expect("a worker");
        assert_eq!(verify("sesame open").await, Verification::Valid);
        for wrong in ["sesame ope", "sesame open ", " sesame open", "Sesame open", "", "sesame open\0"] {
            assert_eq!(verify(wrong).await, Verification::Invalid, "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn invariant_15_passwords_are_normalized_to_nfc_and_never_truncated() {
        let passwords = passwords();
        let composed = passwords.hash(&Password::new("caf\u{e9}")).await.expect("a hash");
        let decomposed = Password::new("cafe\u{301}");
        assert_eq!(passwords.verify(Some(&composed), &decomposed).await.expect("a worker"), Verification::Valid);

        // CVE-2025-22228: bcrypt ignored everything past byte 72.
        let long = "x".repeat(72);
        let stored = passwords.hash(&Password::new(format!("{long}a"))).await.expect("a hash");
        let other = Password::new(format!("{long}b"));
        assert_eq!(passwords.verify(Some(&stored), &other).await.expect("a worker"), Verification::Invalid);
    }

    #[tokio::test]
    async fn outdated_parameters_are_verified_and_replaced() {
        let old = Argon2Params { memory_kib: 16, iterations: 2, parallelism: 1 };
        let old = Passwords::new(old, 1, Duration::from_secs(60)).expect("valid parameters");
        let password = Password::new("correct horse");
        let stored = old.hash(&password).await.expect("a hash");

        let Verification::Outdated(new) = passwords().verify(Some(&stored), &password).await.expect("a worker") else {
            panic!("must ask to be replaced");
        };
        assert_eq!(passwords().verify(Some(&new), &password).await.expect("a worker"), Verification::Valid);
        let wrong = passwords().verify(Some(&stored), &Password::new("wrong")).await.expect("a worker");
        assert_eq!(wrong, Verification::Invalid);
    }

    /// RUSTSEC-2026-0199: a corrupt stored hash must be a wrong password, not a panic, and must not make
    /// the server allocate what it says.
    #[tokio::test]
    async fn corrupt_stored_hashes_are_wrong_passwords() {
        let passwords = passwords();
        let password = Password::new("correct horse");
        let good = passwords.hash(&password).await.expect("a hash");
        let mut corrupt: Vec<String> = (0..good.as_str().len()).map(|len| good.as_str()[..len].to_owned()).collect();
        corrupt.extend([
            good.as_str().replace("m=8", "m=4294967295"),
            good.as_str().replace("m=8", "m=1"),
            good.as_str().replace("t=1", "t=4294967295"),
            good.as_str().replace("t=1", "t=0"),
            good.as_str().replace("p=1", "p=16777216"),
            good.as_str().replace("argon2id", "argon2x"),
            good.as_str().replace("v=19", "v=99"),
            "$2b$12$saltsaltsaltsaltsaltse".to_owned(),
            "\u{0}é$$$".to_owned(),
        ]);
        for stored in corrupt {
            let stored = HashedPassword::from(stored);
            let found = passwords.verify(Some(&stored), &password).await.expect("a worker");
            assert_eq!(found, Verification::Invalid, "{}", stored.as_str());
        }
    }

    #[tokio::test]
    async fn invariant_13_above_the_limit_a_password_check_waits_briefly_and_then_fails() {
        let passwords = Passwords::new(Argon2Params::INSECURE_FOR_TESTS, 1, Duration::from_millis(20)).expect("good");
        let permit = passwords.workers.clone().acquire_owned().await.expect("open");
        let begun = Instant::now();
        let refused = passwords.verify(None, &Password::new("x")).await;
        assert!(matches!(refused, Err(Error::PasswordWorkersBusy)), "{refused:?}");
        assert!(begun.elapsed() >= Duration::from_millis(20), "it gave up after {:?}", begun.elapsed());
        drop(permit);
        assert!(passwords.verify(None, &Password::new("x")).await.is_ok());

        let patient = Passwords { wait: Duration::from_secs(60), ..passwords };
        let permit = patient.workers.clone().acquire_owned().await.expect("open");
        let waiting = tokio::spawn({
            let patient = patient.clone();
            async move { patient.verify(None, &Password::new("x")).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(permit);
        assert!(waiting.await.expect("it ends").is_ok(), "a waiting password gets the worker that becomes free");
    }
}
