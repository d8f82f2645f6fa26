//! Who sends a request with a bearer token, and what the token allows.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    base::clock::later,
    model::{
        permission::{Permission, Permissions},
        scope::Scope,
        user::AuthUser,
    },
};

/// `last_used_at` is written at most this often.
pub(crate) const TOUCH_INTERVAL: Duration = Duration::from_secs(5 * 60);

/// A request with a bearer token that has the permissions `P`. As an argument of a handler, it requires such a token.
/// Cookies don't count.
///
/// `P` is a [`Permission`], a tuple of them, or `()` for a token with any permissions or none. Without a token, or with
/// one that is invalid, the response is 401; without a permission, it is 403. Both have a header `WWW-Authenticate`
/// (RFC 6750).
///
/// ```
/// # use sigra::doctest::User;
/// # struct ReadProjects;
/// # impl sigra::Permission for ReadProjects {
/// #     const NAME: &'static str = "projects:read"; const DESCRIPTION: &'static str = "See your projects";
/// # }
/// use sigra::Bearer;
///
/// async fn me(bearer: Bearer<User>) -> String {
///     format!("{}: {}", bearer.user().email, bearer.permissions())
/// }
///
/// async fn projects(bearer: Bearer<User, ReadProjects>) -> String {
///     format!("The projects of {}", bearer.user().email)
/// }
/// ```
pub struct Bearer<U: AuthUser, P = ()> {
    found: Arc<FoundBearer<U>>,
    has: PhantomData<fn() -> P>,
}

/// A bearer token's row, and its user.
#[derive(Clone, Debug)]
pub(crate) struct FoundBearer<U> {
    pub user: U,
    pub row: BearerRow,
}

/// What the rows of all kinds of bearer tokens have.
#[derive(Clone, Debug)]
pub(crate) struct BearerRow {
    /// The row's ID, which is announced when the row changes.
    pub id: Uuid,
    pub token: BearerToken,
    pub permissions: Permissions,
    /// Whether the session that it was created in had presented a second factor.
    pub mfa_verified: bool,
    pub expires_at: Option<OffsetDateTime>,
    pub last_used_at: Option<OffsetDateTime>,
}

/// The token of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BearerToken {
    /// A personal access token.
    Personal {
        /// The ID of the row in `api_tokens`.
        id: Uuid,
        /// The name that the user chose.
        name: String,
    },
    /// An access token of a program, from the [OAuth server](crate::oauth_server).
    #[cfg(feature = "oauth-server")]
    Client {
        /// The ID of the row in `oauth_grants`: the program on the user's list of devices.
        grant: Uuid,
        /// The ID of the client.
        client: String,
        /// The resource that the token is for (RFC 8707). A [`Bearer`] is refused elsewhere.
        resource: String,
    },
}

impl BearerRow {
    /// Returns whether it is time to update `last_used_at`.
    pub fn is_due_for_touch(&self, now: OffsetDateTime) -> bool {
        self.last_used_at.is_none_or(|last_used_at| now >= later(last_used_at, TOUCH_INTERVAL))
    }

    /// Returns the time until which the row needs no change.
    pub fn fresh_until(&self) -> Option<OffsetDateTime> {
        let touch_at = later(self.last_used_at?, TOUCH_INTERVAL);
        Some(self.expires_at.map_or(touch_at, |expires_at| expires_at.min(touch_at)))
    }
}

impl<U: AuthUser> FoundBearer<U> {
    pub fn is_valid(&self, now: OffsetDateTime) -> bool {
        is_valid(&self.user, self.row.mfa_verified, self.row.expires_at, now)
    }
}

/// Returns whether a bearer token that exists is valid: it hasn't expired, and its user is active and has the
/// [factor](has_factor) that they need.
pub(crate) fn is_valid<U: AuthUser>(
    user: &U,
    mfa_verified: bool,
    expires_at: Option<OffsetDateTime>,
    now: OffsetDateTime,
) -> bool {
    expires_at.is_none_or(|expires_at| now < expires_at) && user.is_active() && has_factor(user, mfa_verified)
}

/// Returns whether a token has the second factor that its user needs. A user who must have one can't go around it with
/// a token from before: the token must have been created in a session with one.
pub(crate) fn has_factor<U: AuthUser>(user: &U, mfa_verified: bool) -> bool {
    mfa_verified || !user.requires_second_factor()
}

impl<U: AuthUser> Bearer<U> {
    pub(crate) fn new(found: FoundBearer<U>) -> Self {
        Self { found: Arc::new(found), has: PhantomData }
    }

    /// Changes the type parameter. The caller has checked the permissions.
    pub(crate) fn with<P>(self) -> Bearer<U, P> {
        Bearer { found: self.found, has: PhantomData }
    }
}

impl<U: AuthUser, P> Bearer<U, P> {
    /// Returns the user who created the token, as the database has them at this request.
    #[must_use]
    pub fn user(&self) -> &U {
        &self.found.user
    }

    /// Returns what the token allows.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.found.row.permissions
    }

    /// Returns whether the token has a permission, besides those that the handler requires.
    #[must_use]
    pub fn has_permission<Q: Permission>(&self) -> bool {
        self.permissions().contains(Q::NAME)
    }

    /// Returns when the token expires. `None` if it never does.
    #[must_use]
    pub fn expires_at(&self) -> Option<OffsetDateTime> {
        self.found.row.expires_at
    }

    /// Returns which token it is, such as for your own log.
    #[must_use]
    pub fn token(&self) -> &BearerToken {
        &self.found.row.token
    }

    pub(crate) fn row(&self) -> &BearerRow {
        &self.found.row
    }
}

impl<U: AuthUser, P> Clone for Bearer<U, P> {
    fn clone(&self) -> Self {
        Self { found: self.found.clone(), has: PhantomData }
    }
}

/// Shows which token it is, and nothing of the user.
impl<U: AuthUser, P> fmt::Debug for Bearer<U, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bearer").field("token", self.token()).finish_non_exhaustive()
    }
}

/// A request of a logged-in user, or one with a bearer token that has the permissions `P`. Use it for routes that serve
/// both your pages and other programs.
///
/// If the request has a bearer token, the token decides, and cookies don't count. Otherwise it is as with
/// [`Scope`], which has every permission: the user themself sends the request.
///
/// ```
/// # use sigra::doctest::User;
/// # struct ReadProjects;
/// # impl sigra::Permission for ReadProjects {
/// #     const NAME: &'static str = "projects:read"; const DESCRIPTION: &'static str = "See your projects";
/// # }
/// use sigra::Caller;
///
/// async fn projects(caller: Caller<User, ReadProjects>) -> String {
///     let by = match &caller {
///         Caller::Session(_) => "in a browser",
///         Caller::Bearer(_) => "with a token",
///     };
///     format!("The projects of {}, {by}", caller.user().email)
/// }
/// ```
#[allow(clippy::exhaustive_enums, reason = "a request has a session or a token")]
pub enum Caller<U: AuthUser, P = ()> {
    /// A logged-in user.
    Session(Scope<U>),
    /// A program with a bearer token.
    Bearer(Bearer<U, P>),
}

impl<U: AuthUser, P> Caller<U, P> {
    /// Returns the user.
    #[must_use]
    pub fn user(&self) -> &U {
        match self {
            Self::Session(scope) => scope.user(),
            Self::Bearer(bearer) => bearer.user(),
        }
    }

    /// Returns whether the request has a permission, besides those that the handler requires. A logged-in user has all.
    #[must_use]
    pub fn has_permission<Q: Permission>(&self) -> bool {
        match self {
            Self::Session(_) => true,
            Self::Bearer(bearer) => bearer.has_permission::<Q>(),
        }
    }
}

impl<U: AuthUser, P> Clone for Caller<U, P> {
    fn clone(&self) -> Self {
        match self {
            Self::Session(scope) => Self::Session(scope.clone()),
            Self::Bearer(bearer) => Self::Bearer(bearer.clone()),
        }
    }
}

impl<U: AuthUser, P> fmt::Debug for Caller<U, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(scope) => f.debug_tuple("Session").field(scope).finish(),
            Self::Bearer(bearer) => f.debug_tuple("Bearer").field(bearer).finish(),
        }
    }
}
