use std::{fmt, pin::Pin, sync::Arc, time::Duration};

use sha1::{Digest, Sha1};
use zeroize::Zeroizing;

use crate::{
    base::error::BoxError,
    password::{password::Password, policy::PasswordProblem},
};

type Answer = Pin<Box<dyn Future<Output = Result<bool, BoxError>> + Send>>;

/// The default of [`BreachCheck::timeout`].
const TIMEOUT: Duration = Duration::from_secs(2);

/// Checks with a service whether a new password leaked in a breach (OWASP ASVS 6.2.12). Set it with
/// [`Config::breach_check`](crate::Config::breach_check).
///
/// The library sends nothing by itself: the host brings the HTTP client. While the service doesn't respond, passwords
/// are accepted, unless the check [fails closed](Self::fail_closed).
///
/// ```
/// use std::{io, time::Duration};
/// use sigra::{Password, password::{BreachCheck, PwnedRange}};
///
/// # async fn get(_url: String) -> io::Result<String> { Ok(String::new()) }
/// // `get` is any HTTP client's.
/// let check = BreachCheck::new(|password: Password| async move {
///     let range = PwnedRange::of(&password);
///     let response = get(format!("https://api.pwnedpasswords.com/range/{}", range.prefix())).await?;
///     io::Result::Ok(range.is_in(&response))
/// });
/// let check = check.timeout(Duration::from_secs(1)).fail_closed();
/// # let _ = check;
/// ```
#[derive(Clone)]
pub struct BreachCheck {
    ask: Arc<dyn Fn(Password) -> Answer + Send + Sync>,
    timeout: Duration,
    fails_closed: bool,
}

impl BreachCheck {
    /// Creates a check from a function that returns whether a password leaked.
    pub fn new<F, E>(ask: impl Fn(Password) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<bool, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let ask = move |password| -> Answer {
            let response = ask(password);
            Box::pin(async move { response.await.map_err(Into::into) })
        };
        Self { ask: Arc::new(ask), timeout: TIMEOUT, fails_closed: false }
    }

    /// Sets how long to wait for the service (default: 2 seconds).
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Refuses passwords while the service fails, instead of accepting them.
    #[must_use]
    pub fn fail_closed(mut self) -> Self {
        self.fails_closed = true;
        self
    }

    /// Checks a new password.
    ///
    /// # Errors
    ///
    /// [`PasswordProblem::Breached`]. If the service fails and the check [fails closed](Self::fail_closed),
    /// [`PasswordProblem::Unchecked`].
    pub async fn check(&self, password: &Password) -> Result<(), PasswordProblem> {
        let response = tokio::time::timeout(self.timeout, (self.ask)(password.clone())).await;
        let error = match response {
            Ok(Ok(true)) => return Err(PasswordProblem::Breached),
            Ok(Ok(false)) => return Ok(()),
            // An error of an HTTP client may show the URL, and with it a part of the hash.
            Ok(Err(_)) => "the service failed",
            Err(_) => "the service did not respond in time",
        };
        tracing::warn!(target: "sigra", error, accepted = !self.fails_closed, "a password can't be checked for breaches");
        if self.fails_closed { Err(PasswordProblem::Unchecked) } else { Ok(()) }
    }
}

impl fmt::Debug for BreachCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("BreachCheck");
        debug.field("timeout", &self.timeout).field("fails_closed", &self.fails_closed).finish_non_exhaustive()
    }
}

/// A query of Pwned Passwords, by Have I Been Pwned, or a similar service.
///
/// The query is the first 5 of the 40 hexadecimal digits of the password's SHA-1. The service responds with the other
/// digits of all leaked passwords that begin with these, so it doesn't learn which password is checked (k-anonymity).
///
/// ```
/// use sigra::{Password, password::PwnedRange};
///
/// let range = PwnedRange::of(&Password::new("password"));
/// assert_eq!(range.prefix(), "5BAA6");
/// assert!(range.is_in("1D2DA4053E34E76F6576ED1DA63134B5E2A:2\r\n1E4C9B93F3F0682250B6CF8331B7EE68FD8:52256179"));
/// assert!(!range.is_in("1E4C9B93F3F0682250B6CF8331B7EE68FD8:0"), "such lines are padding");
/// ```
pub struct PwnedRange(Zeroizing<String>);

impl PwnedRange {
    /// Creates the query for a password.
    #[must_use]
    pub fn of(password: &Password) -> Self {
        let mut digits = Zeroizing::new(String::with_capacity(40));
        for byte in Sha1::digest(password.expose().as_bytes()) {
            for digit in [byte >> 4, byte & 0xf] {
                digits.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
            }
        }
        Self(digits)
    }

    /// Returns the first 5 digits, which are sent to the service.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0[..5]
    }

    /// Returns whether a response has the password. Each line has the other 35 digits, a colon, and how often it
    /// leaked.
    #[must_use]
    pub fn is_in(&self, response: &str) -> bool {
        response.lines().filter_map(|line| line.trim().split_once(':')).any(|(suffix, count)| {
            suffix.eq_ignore_ascii_case(&self.0[5..]) && count.trim().parse::<u64>().is_ok_and(|count| count > 0)
        })
    }
}

impl fmt::Debug for PwnedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PwnedRange([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    async fn check(check: BreachCheck) -> Result<(), PasswordProblem> {
        check.check(&Password::new("violet lantern over quiet water")).await
    }

    #[tokio::test]
    async fn a_leaked_password_is_refused() {
        assert_eq!(check(BreachCheck::new(|_| async { io::Result::Ok(true) })).await, Err(PasswordProblem::Breached));
        assert_eq!(check(BreachCheck::new(|_| async { io::Result::Ok(false) })).await, Ok(()));
    }

    #[tokio::test]
    async fn while_the_service_fails_passwords_are_accepted_unless_it_fails_closed() {
        let failing = BreachCheck::new(|_| async { Err::<bool, _>("away") });
        let silent = BreachCheck::new(|_| std::future::pending::<io::Result<bool>>());
        for broken in [failing, silent.timeout(Duration::from_millis(5))] {
            assert_eq!(check(broken.clone()).await, Ok(()));
            assert_eq!(check(broken.fail_closed()).await, Err(PasswordProblem::Unchecked));
        }
    }
}
