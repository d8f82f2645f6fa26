//! The errors of the library at run time, and their responses.

use std::{sync::Arc, time::Duration};

use axum::response::{IntoResponse, Response};
use http::StatusCode;

#[cfg(feature = "api-tokens")]
use crate::base::api_token_problem::ApiTokenProblem;
use crate::base::problem::{Problem, code};

/// An error of another crate, whose type is not part of the public API.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// An extension of a response, set if the handler failed with an [`Error`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failed {
    /// Whether the database failed.
    pub by_database: bool,
}

/// An error of the library. As a response, it says what a visitor can do, and nothing of the cause. The cause goes to
/// the log: `Display` names it, so the error has no [`source`](std::error::Error::source).
///
/// | error | status |
/// |---|---|
/// | [`Database`](Error::Database), the database can't be reached, or can't be used right now | 503 with `Retry-After` |
/// | [`Database`](Error::Database), anything else | 500 |
/// | [`PasswordWorkersBusy`](Error::PasswordWorkersBusy) | 503 with `Retry-After` |
/// | `NoUserCode` with the feature oauth-server | 503 with `Retry-After` |
/// | [`TooManyAttempts`](Error::TooManyAttempts) | 429 with `Retry-After` |
/// | [`CredentialsChanged`](Error::CredentialsChanged), [`SessionEnded`](Error::SessionEnded) | 401 |
/// | [`SecondFactorRequired`](Error::SecondFactorRequired), [`OtherFactorRequired`](Error::OtherFactorRequired) | 403 |
/// | [`LastLoginMethod`](Error::LastLoginMethod), `TooManyPasskeys` with the feature passkeys, `TooManyApiTokens` with the feature api-tokens, `TooManyPrograms` with the feature oauth-server | 409 |
/// | `ApiToken` with the feature api-tokens | 422 |
/// | [`CookieTooLarge`](Error::CookieTooLarge), [`EntryName`](Error::EntryName), [`Json`](Error::Json), [`Random`](Error::Random), [`PasswordHash`](Error::PasswordHash), [`Encryption`](Error::Encryption), [`IsolationLevel`](Error::IsolationLevel) | 500 |
/// | `NoRelyingParty`, `Passkey` with the feature passkeys | 500 |
/// | `NoAuthorizationServer` with the feature oauth-server | 500 |
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
    Database(Arc<sqlx::Error>),
    /// The host's own transaction isn't `READ COMMITTED`, so a change of password could miss a simultaneous login.
    #[error("the transaction is {0}: begin it with Sigra::begin, or with BEGIN ISOLATION LEVEL READ COMMITTED")]
    IsolationLevel(String),
    /// No password worker became free within
    /// [`Config::password_worker_timeout`](crate::Config::password_worker_timeout).
    #[error("all password workers are busy: raise Config::password_workers, or slow the clients down")]
    PasswordWorkersBusy,
    /// There were too many attempts.
    #[error("too many attempts: try again in {} seconds", retry_after.as_secs() + 1)]
    TooManyAttempts {
        /// How long to wait before the next attempt.
        retry_after: Duration,
    },
    /// The user [isn't active](crate::AuthUser::is_active), was deleted, or has another password than the one that was
    /// checked for the login.
    #[error("the user is not active, was deleted, or has another password than the one that was checked: log in again")]
    CredentialsChanged,
    /// The session ended, or another request renewed it, before it could be renewed.
    #[error("the session ended, or another request renewed it, before it could be renewed")]
    SessionEnded,
    /// The user has, or must have, a second factor and didn't present it.
    #[error("a second factor is required, and was not presented")]
    SecondFactorRequired,
    /// The cookie would be larger than 4096 bytes, so it wasn't sent: browsers drop such cookies (RFC 6265bis section
    /// 5.6).
    #[error("the cookie `{name}` would have {size} bytes, and browsers keep at most 4096: store less in it")]
    CookieTooLarge {
        /// The cookie's name.
        name: String,
        /// The size of its name and value together, in bytes.
        size: usize,
    },
    /// The name of an entry of the cookie session can't be part of a cookie's name.
    #[error("`{0}` can't name an entry of the cookie session: use ASCII letters, digits, `-` and `_`")]
    EntryName(String),
    /// A value can't be written as JSON.
    #[error("an entry of the cookie session can't be written as JSON: {0}")]
    Json(serde_json::Error),
    /// The password could not be hashed.
    #[error("the password could not be hashed: {0}")]
    PasswordHash(BoxError),
    /// The user presented a backup code where another factor is required.
    #[error("a backup code is not enough: present a code of the authenticator app, or a passkey")]
    OtherFactorRequired,
    /// The user already has the maximum number of passkeys.
    #[cfg(feature = "passkeys")]
    #[error("a user can have at most {max} passkeys: remove one, or raise Config::passkeys_per_user")]
    TooManyPasskeys {
        /// The maximum number of passkeys for each user.
        max: usize,
    },
    /// The user already has the maximum number of personal access tokens.
    #[cfg(feature = "api-tokens")]
    #[error("a user can have at most {max} tokens: revoke one, or raise Config::api_tokens_per_user")]
    TooManyApiTokens {
        /// The maximum number of tokens for each user.
        max: usize,
    },
    /// A token can't be created like this.
    #[cfg(feature = "api-tokens")]
    #[error(transparent)]
    ApiToken(#[from] ApiTokenProblem),
    /// The user has given access to the maximum number of programs.
    #[cfg(feature = "oauth-server")]
    #[error(
        "a user can give access to at most {max} programs: end the access of one, or raise AuthorizationServer::programs_per_user"
    )]
    TooManyPrograms {
        /// The maximum number of programs for each user.
        max: usize,
    },
    /// The OAuth server is used without [settings](crate::Config::oauth_server).
    #[cfg(feature = "oauth-server")]
    #[error("the OAuth server has no settings: set Config::oauth_server")]
    NoAuthorizationServer,
    /// Each code that was drawn for a [program without a browser](crate::oauth_server::UserCode) is in use.
    #[cfg(feature = "oauth-server")]
    #[error("each code that was drawn for the program is in use: try again")]
    NoUserCode,
    /// The user has no other way to log in.
    #[error("it is the user's last way to log in: let them set a password first, or add another way")]
    LastLoginMethod,
    /// A secret could not be encrypted.
    #[error("a secret could not be encrypted")]
    Encryption,
    /// Passkeys are used without a [relying party](crate::Config::relying_party).
    #[cfg(feature = "passkeys")]
    #[error("passkeys need the application's domain and origin: set Config::relying_party")]
    NoRelyingParty,
    /// A challenge for a passkey could not be created.
    #[cfg(feature = "passkeys")]
    #[error("a challenge for a passkey could not be created: {0}")]
    Passkey(BoxError),
    /// The operating system returned no random bytes.
    #[error("the operating system returned no random bytes")]
    Random,
}

impl Error {
    /// Returns whether the database rolled this transaction back so that another can continue: SQLSTATE 40001, a
    /// serialization failure, or 40P01, a deadlock.
    pub(crate) fn is_serialization_failure(&self) -> bool {
        let Self::Database(error) = self else { return false };
        let code = error.as_database_error().and_then(|error| error.code());
        code.is_some_and(|code| code == "40001" || code == "40P01")
    }

    /// Returns whether the same call may succeed in a moment. The response to such an error is 503.
    ///
    /// ```
    /// assert!(sigra::Error::from(sqlx::Error::PoolTimedOut).is_temporary());
    /// assert!(!sigra::Error::from(sqlx::Error::RowNotFound).is_temporary());
    /// ```
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::PasswordWorkersBusy => true,
            #[cfg(feature = "oauth-server")]
            Self::NoUserCode => true,
            Self::Database(error) => is_unavailable(error),
            _ => false,
        }
    }

    /// Returns the response.
    pub(crate) fn to_response(&self) -> Response {
        let failed = Failed { by_database: matches!(self, Self::Database(_)) };
        let mut response = self.problem().into_response();
        response.extensions_mut().insert(failed);
        response
    }

    /// Returns the status, and what a client can do. The cause goes to the log.
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
            Self::LastLoginMethod => Problem::new(StatusCode::CONFLICT).code(code::LAST_LOGIN_METHOD),
            #[cfg(feature = "passkeys")]
            Self::TooManyPasskeys { .. } => Problem::new(StatusCode::CONFLICT).code(code::TOO_MANY_PASSKEYS),
            #[cfg(feature = "api-tokens")]
            Self::TooManyApiTokens { .. } => Problem::new(StatusCode::CONFLICT).code(code::TOO_MANY_API_TOKENS),
            #[cfg(feature = "oauth-server")]
            Self::TooManyPrograms { .. } => Problem::new(StatusCode::CONFLICT).code(code::TOO_MANY_PROGRAMS),
            #[cfg(feature = "api-tokens")]
            Self::ApiToken(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY),
            error => {
                tracing::error!(target: "sigra", %error, "internal error");
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }
}

impl From<serde_json::Error> for Error {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
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

/// Returns whether a code of SQLite or PostgreSQL means that the database can't be used right now.
///
/// SQLite's [primary result codes](https://www.sqlite.org/rescode.html) say so of a file that is busy, locked,
/// unreadable, full or gone, of exhausted memory and of an interruption. PostgreSQL's
/// [codes](https://www.postgresql.org/docs/current/errcodes-appendix.html) say so while it starts, stops, fails over or
/// lacks resources:
///
/// * classes 08 (connection), 40 (rolled back: a deadlock), 53 (resources), 57 (operator intervention);
/// * 25006: it is read-only, because it has become a standby;
/// * 55000 and 55P03: it accepts no connections, or a lock was not available in time.
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
    fn temporary_failures_are_distinguished_from_faults() {
        // Busy, out of memory, an interruption, a failing and a full disk, and extended codes of these.
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

    #[test]
    fn an_error_names_its_cause_once() {
        let json = serde_json::from_str::<u8>("no number").expect_err("no JSON");
        for error in [Error::Json(json), Error::from(sqlx::Error::RowNotFound)] {
            assert!(error.to_string().split_once(": ").is_some_and(|(_, cause)| !cause.is_empty()), "{error}");
            assert!(std::error::Error::source(&error).is_none(), "logs that show the sources would repeat it");
        }
    }

    /// Returns the rows of the table above, as (status, cell of errors).
    fn documented() -> Vec<(u16, &'static str)> {
        let rows = include_str!("error.rs").lines().filter_map(|line| line.strip_prefix("/// | "));
        let row = |row: &'static str| {
            let (errors, status) = row.split_once(" | ")?;
            Some((status.split(' ').next()?.parse().ok()?, errors))
        };
        rows.filter_map(row).collect()
    }

    #[test]
    fn every_error_has_its_documented_status() {
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
            (Error::PasswordHash(argon2::Error::SaltTooShort.into()), "`PasswordHash`"),
            (Error::LastLoginMethod, "`LastLoginMethod`"),
            (Error::Encryption, "`Encryption`"),
            (Error::Random, "`Random`"),
            #[cfg(feature = "oauth-server")]
            (Error::NoAuthorizationServer, "`NoAuthorizationServer`"),
            #[cfg(feature = "oauth-server")]
            (Error::NoUserCode, "`NoUserCode`"),
            #[cfg(feature = "passkeys")]
            (Error::NoRelyingParty, "`NoRelyingParty`"),
            #[cfg(feature = "passkeys")]
            (Error::TooManyPasskeys { max: 10 }, "`TooManyPasskeys`"),
            #[cfg(feature = "api-tokens")]
            (Error::TooManyApiTokens { max: 50 }, "`TooManyApiTokens`"),
            #[cfg(feature = "oauth-server")]
            (Error::TooManyPrograms { max: 100 }, "`TooManyPrograms`"),
            #[cfg(feature = "api-tokens")]
            (Error::ApiToken(ApiTokenProblem::Unnamed), "`ApiToken`"),
        ];
        let documented = documented();
        for (error, name) in errors {
            let row = documented.iter().find(|(_, errors)| errors.contains(name));
            let (status, _) = row.unwrap_or_else(|| panic!("{name} is not documented"));
            assert_eq!(error.into_response().status().as_u16(), *status, "{name}");
        }
    }
}

/// A row was locked in a transaction whose next statement doesn't see the changes that the lock waited for.
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
