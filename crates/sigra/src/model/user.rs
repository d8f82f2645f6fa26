//! What the library needs to know about the host's user.

use std::{fmt, hash::Hash};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::model::database::{Dialect, Reads, Stores};

/// The host's user: a row of [its table](Self::TABLE), with any columns.
///
/// An authenticated request reads the session and the user in one query, and the user is built by [`sqlx::FromRow`]. To
/// add a column, add a field.
///
/// ```
/// use sigra::HashedPassword;
///
/// #[derive(Clone, sqlx::FromRow)]
/// struct User {
///     id: uuid::Uuid,
///     email: String,
///     hashed_password: Option<HashedPassword>,
///     theme: String,          // the host's own
///     suspended: bool,        // the host's own
/// }
///
/// impl sigra::AuthUser for User {
///     type Id = uuid::Uuid;
///     type Database = sqlx::Sqlite;
///
///     fn id(&self) -> Self::Id { self.id }
///     fn hashed_password(&self) -> Option<&HashedPassword> { self.hashed_password.as_ref() }
///     fn is_active(&self) -> bool { !self.suspended }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a user that sigra knows",
    label = "implement `sigra::AuthUser` for `{Self}`",
    note = "extractors name the host's own user type: `Scope<User>`, `Sudo<User>`, `Live<User>`"
)]
pub trait AuthUser: Clone + Send + Sync + Unpin + 'static {
    /// The type of the column `id`: a UUID or a 64-bit integer. Its `Display` must match the database's text for the
    /// id, because the database announces changes of a user with it.
    type Id: Clone + Eq + Hash + fmt::Debug + fmt::Display + Send + Sync + Unpin + 'static;

    /// The database of the users: `sqlx::Sqlite` or `sqlx::Postgres`.
    type Database: AuthDatabase<Self>;

    /// The table of the users, as it is written in a statement. It needs the columns `id` and `hashed_password`.
    ///
    /// ```
    /// #[derive(Clone, sqlx::FromRow)]
    /// struct Member {
    ///     id: i64,
    /// }
    ///
    /// impl sigra::AuthUser for Member {
    ///     const TABLE: &'static str = "members";
    ///     type Id = i64;
    ///     type Database = sqlx::Sqlite;
    ///
    ///     fn id(&self) -> i64 { self.id }
    ///     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
    /// }
    /// ```
    const TABLE: &'static str = "users";

    /// Returns the column `id`.
    fn id(&self) -> Self::Id;

    /// Returns the column `hashed_password`. `None` if the user has no password.
    fn hashed_password(&self) -> Option<&HashedPassword>;

    /// Returns whether the user can be logged in (default: true).
    ///
    /// It is checked at every login and at every request. When a user becomes inactive, their sessions end at the next
    /// request, and their live connections within a second. A session or an access token that isn't used meanwhile is
    /// valid again once the user is active. To prevent that, call
    /// [`end_all_access_in`](crate::session::Sessions::end_all_access_in) in the transaction that makes the user
    /// inactive.
    fn is_active(&self) -> bool {
        true
    }

    /// Returns whether the user must have a second factor, as administrators should (OWASP ASVS 6.3.3; default: false).
    ///
    /// It is checked at every request: until the user has set one up, they can do nothing else. See
    /// [`MfaEnrollment`](crate::mfa::MfaEnrollment).
    fn requires_second_factor(&self) -> bool {
        false
    }

    /// Returns whether the user's sessions must be [bound to a device](crate::Config::device_bound), as those of
    /// administrators can be (default: false). It has no effect while device-bound sessions are off.
    ///
    /// It is checked at every request: a session that isn't bound five minutes after the user logged in, or last
    /// authenticated, is anonymous. A second factor that is pending or must be set up comes first. Such a user needs a
    /// browser that supports device-bound sessions.
    fn requires_binding(&self) -> bool {
        false
    }
}

/// A database that can store the sessions of a type of users: [`sqlx::Sqlite`] or [`sqlx::Postgres`], for users that
/// derive [`sqlx::FromRow`] and have an id that can be a column.
///
/// It is only a bound, without functions to call. Writes go through [`Sigra`](crate::Sigra), which also audits and
/// announces them, and ends what they must end. The trait is implemented for every database that the library supports,
/// and can't be implemented for others.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't store the sessions of `{U}`",
    note = "`{U}` must implement `sqlx::FromRow` (derive it), and `AuthUser::Id` must be a type that `{Self}` can store"
)]
pub trait AuthDatabase<U: AuthUser>: Dialect + Reads<U> + Stores<U::Id> {}

impl<DB, U: AuthUser> AuthDatabase<U> for DB where DB: Dialect + Reads<U> + Stores<U::Id> {}

/// The hash of a password in PHC string format, as the database has it. `Debug` redacts it.
///
/// ```
/// let hash = sigra::HashedPassword::from("$argon2id$v=19$...".to_owned());
/// assert_eq!(format!("{hash:?}"), "HashedPassword([redacted])");
/// ```
#[derive(Clone, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct HashedPassword(String);

impl HashedPassword {
    /// Returns the hash in PHC string format.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns a name of this hash that doesn't reveal it. A browser can keep it, to show later that an account still
    /// has the same password. The salt is random, so hashing the same password again changes the name.
    ///
    /// ```
    /// let hash = sigra::HashedPassword::from("$argon2id$v=19$...".to_owned());
    /// assert_eq!(hash.fingerprint(), hash.clone().fingerprint());
    /// assert_eq!(hash.fingerprint().len(), 43);
    /// ```
    #[must_use]
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::new().chain_update("sigra password fingerprint").chain_update(&self.0).finalize();
        URL_SAFE_NO_PAD.encode(digest)
    }
}

impl From<String> for HashedPassword {
    fn from(phc: String) -> Self {
        Self(phc)
    }
}

impl fmt::Debug for HashedPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashedPassword([redacted])")
    }
}

pub(crate) type Pool<U> = sqlx::Pool<<U as AuthUser>::Database>;

pub(crate) type Connection<U> = <<U as AuthUser>::Database as sqlx::Database>::Connection;

pub(crate) type Row<U> = <<U as AuthUser>::Database as sqlx::Database>::Row;
