//! What can go wrong at run time, and what the browser is told of it.

use std::{sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use http::StatusCode;

use crate::base::problem::{Problem, code};

/// Among the extensions of a response: the handler came to an [`Error`], and to nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed {
    /// Whether the database is to blame.
    pub by_database: bool,
}

/// An error of the library. As a response it says what a visitor needs, and nothing of the cause, which
/// goes to the log.
///
/// | error | status |
/// |---|---|
/// | [`Database`](Error::Database), the database can't be reached, or takes nothing for now | 503 with `Retry-After` |
/// | [`Database`](Error::Database), anything else | 500 |
/// | [`PasswordWorkersBusy`](Error::PasswordWorkersBusy) | 503 with `Retry-After` |
/// | [`TooManyAttempts`](Error::TooManyAttempts) | 429 with `Retry-After` |
/// | [`CredentialsChanged`](Error::CredentialsChanged), [`SessionEnded`](Error::SessionEnded) | 401 |
/// | [`SecondFactorRequired`](Error::SecondFactorRequired), [`OtherFactorRequired`](Error::OtherFactorRequired) | 403 |
/// | `TooManyPasskeys` with the feature passkeys | 409 |
/// | [`CookieTooLarge`](Error::CookieTooLarge), [`EntryName`](Error::EntryName), [`Json`](Error::Json), [`Random`](Error::Random), [`PasswordHash`](Error::PasswordHash), [`Encryption`](Error::Encryption), [`IsolationLevel`](Error::IsolationLevel) | 500 |
/// | `NoRelyingParty`, `Passkey` with the feature passkeys | 500 |
///
/// ```
/// use axum::{http::StatusCode, response::IntoResponse};
///
/// let response = sigra::Error::from(sqlx::Error::PoolTimedOut).into_response();
/// assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
/// assert_eq!(response.headers()["retry-after"], "1");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The database failed.
    #[error("the database failed: {0}")]
    Database(#[source] Arc<sqlx::Error>),
    /// The host's own transaction has a level at which a change of password could miss a log-in at the same moment:
    /// 500.
    #[error("the transaction is {0}: begin it with Sigra::begin, or with BEGIN ISOLATION LEVEL READ COMMITTED")]
    IsolationLevel(String),
    /// All password workers stayed busy for as long as a login may wait.
    #[error("all password workers are busy: raise Config::password_workers, or slow the clients down")]
    PasswordWorkersBusy,
    /// It was tried too often: wait so long before the next attempt.
    #[error("too many attempts: try again in {} seconds", retry_after.as_secs() + 1)]
    TooManyAttempts {
        /// How long to wait.
        retry_after: Duration,
    },
    /// The user was deleted, or got another password, between the check of the password and the login.
    #[error("the user's credentials changed while they were being used")]
    CredentialsChanged,
    /// The session ended while it was being renewed.
    #[error("the session ended while it was being renewed")]
    SessionEnded,
    /// The user has a second factor, or must have one, and this was to be done without.
    #[error("a second factor is needed")]
    SecondFactorRequired,
    /// Browsers drop cookies that are larger than 4096 bytes (RFC 6265bis section 5.6), so it was not sent.
    #[error("the cookie `{name}` would have {size} bytes, and browsers keep at most 4096: store less in it")]
    CookieTooLarge {
        /// The cookie's name.
        name: String,
        /// Its name and value together, in bytes.
        size: usize,
    },
    /// An entry of the cookie session with a name that can't be part of a cookie's.
    #[error("`{0}` can't name an entry of the cookie session: use ASCII letters, digits, `-` and `_`")]
    EntryName(String),
    /// A value that can't be written as JSON.
    #[error("an entry of the cookie session can't be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The password could not be hashed.
    #[error("the password could not be hashed: {0}")]
    PasswordHash(argon2::Error),
    /// The user has shown a backup code, where another factor is asked for.
    #[error("a backup code is not enough for this: the user must show a code of their app, or a passkey")]
    OtherFactorRequired,
    /// The user has as many passkeys as they may.
    #[cfg(feature = "passkeys")]
    #[error("a user can have {most} passkeys: one must be removed first, or Config::passkeys_per_user raised")]
    TooManyPasskeys {
        /// How many they may have.
        most: usize,
    },
    /// A secret could not be encrypted.
    #[error("a secret could not be encrypted")]
    Encryption,
    /// Passkeys are used, and the application does not say whose they are.
    #[cfg(feature = "passkeys")]
    #[error("passkeys need to know the application's domain and origin: set Config::relying_party")]
    NoRelyingParty,
    /// A challenge for a passkey could not be made.
    #[cfg(feature = "passkeys")]
    #[error("a challenge for a passkey could not be made: {0}")]
    Passkey(webauthn_rs::prelude::WebauthnError),
    /// The operating system gave no randomness.
    #[error("the operating system gave no random bytes")]
    Random,
}

impl Error {
    /// Whether the database chose this transaction to fail so that another can go on: SQLSTATE 40001, a serialization
    /// failure, or 40P01, a deadlock.
    pub(crate) fn is_serialization_failure(&self) -> bool {
        let Self::Database(error) = self else { return false };
        let code = error.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| code == "40001" || code == "40P01")
    }

    /// Whether trying again in a moment may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::PasswordWorkersBusy => true,
            Self::Database(error) => is_unavailable(error),
            _ => false,
        }
    }

    /// What is answered.
    pub(crate) fn to_response(&self) -> Response {
        let failed = Failed { by_database: matches!(self, Self::Database(_)) };
        let mut response = self.problem().into_response();
        response.extensions_mut().insert(failed);
        response
    }

    /// Its status, and what to do. The cause goes to the log.
    fn problem(&self) -> Problem {
        if self.is_temporary() {
            tracing::warn!(target: "sigra", error = %self, "service unavailable");
            return Problem::unavailable(Duration::from_secs(1));
        }
        match self {
            Self::TooManyAttempts { retry_after } => Problem::too_many_requests(*retry_after),
            Self::CredentialsChanged | Self::SessionEnded => Problem::new(StatusCode::UNAUTHORIZED),
            Self::SecondFactorRequired => Problem::new(StatusCode::FORBIDDEN).code(code::SECOND_FACTOR_REQUIRED),
            Self::OtherFactorRequired => Problem::new(StatusCode::FORBIDDEN).code(code::OTHER_FACTOR_REQUIRED),
            #[cfg(feature = "passkeys")]
            Self::TooManyPasskeys { .. } => Problem::new(StatusCode::CONFLICT).code(code::TOO_MANY_PASSKEYS),
            error => {
                tracing::error!(target: "sigra", %error, "internal error");
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Configuration(error) => match error.downcast::<WrongIsolation>() {
                Ok(wrong) => Self::IsolationLevel(wrong.0),
                Err(error) => Self::Database(Arc::new(sqlx::Error::Configuration(error))),
            },
            error => Self::Database(Arc::new(error)),
        }
    }
}

fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::BeginFailed => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|code| is_unavailable_code(&code)),
        _ => false,
    }
}

/// SQLite's primary result codes (<https://www.sqlite.org/rescode.html>) for a file that is busy, locked, unreadable, full
/// or gone, for memory that ran out and for an interruption; and what PostgreSQL says
/// (<https://www.postgresql.org/docs/current/errcodes-appendix.html>) while it is started, stopped, taken over or short of
/// something:
///
/// * classes 08 (connection), 40 (rolled back: a deadlock), 53 (resources), 57 (operator intervention);
/// * 25006: it only reads, for it is a standby by now;
/// * 55000 and 55P03: it takes no connections, or a lock was not to be had in time.
fn is_unavailable_code(code: &str) -> bool {
    match code.parse::<u32>() {
        Ok(sqlite) if code.len() < 5 => matches!(sqlite & 0xff, 5..=10 | 13..=15 | 23 | 26),
        _ => ["08", "25006", "40", "53", "55000", "55P03", "57"].iter().any(|class| code.starts_with(class)),
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        self.to_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passes_by_itself_is_told_from_a_fault() {
        // Busy, out of memory, an interruption, a failing and a full disk; the same in detail.
        for code in ["5", "7", "9", "10", "13", "517", "778", "3338"] {
            assert!(is_unavailable_code(code), "SQLite {code}");
        }
        // An error in a statement, a constraint.
        for code in ["1", "19", "787", "2067"] {
            assert!(!is_unavailable_code(code), "SQLite {code}");
        }
        for code in ["08006", "25006", "40001", "40P01", "53100", "53300", "55000", "55P03", "57014", "57P01", "57P05"]
        {
            assert!(is_unavailable_code(code), "PostgreSQL {code}");
        }
        for code in ["22001", "23505", "25001", "42601", "42P01", "42501"] {
            assert!(!is_unavailable_code(code), "PostgreSQL {code}");
        }
    }

    /// The rows of the table above, as (status, cell of errors).
    fn documented() -> Vec<(u16, &'static str)> {
        let rows = include_str!("error.rs").lines().filter_map(|line| line.strip_prefix("/// | "));
        let row = |row: &'static str| {
            let (errors, status) = row.split_once(" | ")?;
            Some((status.split(' ').next()?.parse().ok()?, errors))
        };
        rows.filter_map(row).collect()
    }

    #[test]
    fn every_error_is_answered_with_its_documented_status() {
        let duration = Duration::from_secs(1);
        let json = serde_json::from_str::<u8>("no number").expect_err("no JSON");
        let errors = [
            (Error::from(sqlx::Error::PoolTimedOut), "`Database`](Error::Database), the database can't be reached"),
            (Error::from(sqlx::Error::RowNotFound), "`Database`](Error::Database), anything else"),
            (Error::PasswordWorkersBusy, "`PasswordWorkersBusy`"),
            (Error::TooManyAttempts { retry_after: duration }, "`TooManyAttempts`"),
            (Error::CredentialsChanged, "`CredentialsChanged`"),
            (Error::SessionEnded, "`SessionEnded`"),
            (Error::SecondFactorRequired, "`SecondFactorRequired`"),
            (Error::OtherFactorRequired, "`OtherFactorRequired`"),
            (Error::CookieTooLarge { name: "cart".to_owned(), size: 5000 }, "`CookieTooLarge`"),
            (Error::EntryName("a b".to_owned()), "`EntryName`"),
            (Error::Json(json), "`Json`"),
            (Error::PasswordHash(argon2::Error::SaltTooShort), "`PasswordHash`"),
            (Error::Encryption, "`Encryption`"),
            (Error::Random, "`Random`"),
            #[cfg(feature = "passkeys")]
            (Error::NoRelyingParty, "`NoRelyingParty`"),
            #[cfg(feature = "passkeys")]
            (Error::TooManyPasskeys { most: 10 }, "`TooManyPasskeys`"),
        ];
        let documented = documented();
        for (error, name) in errors {
            let row = documented.iter().find(|(_, errors)| errors.contains(name));
            let (status, _) = row.unwrap_or_else(|| panic!("{name} is not documented"));
            assert_eq!(error.into_response().status().as_u16(), *status, "{name}");
        }
    }
}

/// A row was locked in a transaction whose next statement does not see what its lock has waited for.
#[derive(Debug, thiserror::Error)]
#[error("the transaction is {0}, and locks need READ COMMITTED")]
#[cfg_attr(not(feature = "postgres"), allow(dead_code, reason = "SQLite has one level"))]
pub(crate) struct WrongIsolation(pub String);

impl From<WrongIsolation> for sqlx::Error {
    fn from(wrong: WrongIsolation) -> Self {
        Self::Configuration(Box::new(wrong))
    }
}

/// A result with the library's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;
