//! Who is acting: the scope of a request, and the extractors by which a handler asks for it.
//!
//! | argument | the handler is called |
//! |---|---|
//! | [`Scope<User>`] | only for a logged-in user |
//! | `Option<Scope<User>>` | for everybody |
//! | [`Sudo<User>`] | only for a user who authenticated recently |
//! | [`SameOrigin`] | for everybody, but no unsafe request of another origin |
//!
//! # The cache
//!
//! Up to [`Config::cached_scopes`](crate::Config::cached_scopes) scopes are kept in memory, and answered from
//! there as long as a query is known to find the same. A cache that only expires would keep a revoked session
//! alive for as long; this one asks, at every request, whether anything may have changed:
//!
//! | database | how | a session that ended is refused |
//! |---|---|---|
//! | SQLite file in WAL mode, on Unix | the header of the WAL index, which every commit of every process changes | at the next request, whoever ended it |
//! | PostgreSQL | `LISTEN`, triggers of `POSTGRES_SCHEMA`, a heartbeat | in this process when the call returns that ends it; elsewhere, or ended with `psql`, milliseconds later, and at most 1.5 seconds should the network fail silently |
//! | anything else | | the cache is not used |
//!
//! While PostgreSQL's announcements are not known to arrive, the cache is bypassed. Expiry, idle time and
//! [`AuthUser::is_active`] are checked at every request.

mod cache;
mod clearance;
mod deferred;
mod layer;
mod rejection;
mod same_origin;

use std::{fmt, sync::Arc};

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::{Extensions, request::Parts};

#[cfg(feature = "live")]
pub(crate) use self::rejection::tell;
pub(crate) use self::{
    cache::{ScopeCache, Stamp},
    clearance::Clearance,
    deferred::{AnyDeferred, Deferred},
    layer::{AtChallenge, impatient},
};
pub use self::{
    layer::{FetchCurrentScope, FetchCurrentScopeLayer},
    rejection::{FormPage, ScopeRejection, SudoRejection},
    same_origin::SameOrigin,
};
use crate::{
    AuthUser, SessionRow, Sigra,
    session::{MissingLayer, SessionRejection},
};

/// A logged-in user and the session they are acting under.
///
/// As an argument it is a requirement: a person who is not logged in is led to the log-in page and back,
/// a program gets 401. As `Option<Scope<User>>` it is a question.
///
/// ```
/// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64, email: String }
/// # impl sigra::AuthUser for User {
/// #     type Id = i64; type Database = sqlx::Sqlite;
/// #     fn id(&self) -> i64 { self.id }
/// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
/// # }
/// use sigra::Scope;
///
/// async fn dashboard(scope: Scope<User>) -> String {
///     format!("Hello {}", scope.user().email)
/// }
///
/// async fn home(scope: Option<Scope<User>>) -> &'static str {
///     if scope.is_some() { "Welcome back" } else { "Welcome" }
/// }
/// ```
pub struct Scope<U: AuthUser>(Arc<Inner<U>>);

struct Inner<U> {
    user: U,
    session: SessionRow,
}

impl<U: AuthUser> Scope<U> {
    pub(crate) fn new(user: U, session: SessionRow) -> Self {
        Self(Arc::new(Inner { user, session }))
    }

    /// The user, as the database has them at this request.
    #[must_use]
    pub fn user(&self) -> &U {
        &self.0.user
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &SessionRow {
        &self.0.session
    }
}

impl<U: AuthUser> Clone for Scope<U> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Names the session, and says nothing of the user.
impl<U: AuthUser> fmt::Debug for Scope<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("session", &self.0.session.id).finish_non_exhaustive()
    }
}

/// A user who authenticated within [`sudo_ttl`](crate::Config::sudo_ttl), as OWASP ASVS 7.5.1 asks before a
/// sensitive change: with their second factor, if they have one. Others are led to the sudo page.
///
/// ```
/// # #[derive(Clone, sqlx::FromRow)] struct User { id: i64 }
/// # impl sigra::AuthUser for User {
/// #     type Id = i64; type Database = sqlx::Sqlite;
/// #     fn id(&self) -> i64 { self.id }
/// #     fn hashed_password(&self) -> Option<&sigra::HashedPassword> { None }
/// # }
/// use sigra::Sudo;
///
/// async fn delete_account(Sudo(scope): Sudo<User>) -> String {
///     format!("Deleted {}", scope.user().id)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Sudo<U: AuthUser>(pub Scope<U>);

/// What the layer found out, for the extractors.
pub(crate) struct Current<U: AuthUser> {
    pub sigra: Sigra<U>,
    /// Whose session it is, however far it goes.
    pub found: Option<Scope<U>>,
}

impl<U: AuthUser> Clone for Current<U> {
    fn clone(&self) -> Self {
        Self { sigra: self.sigra.clone(), found: self.found.clone() }
    }
}

impl<U: AuthUser> Current<U> {
    /// Who it is, for an argument that the handler is not called without.
    pub(crate) async fn of(parts: &mut Parts, argument: &'static str) -> Result<Self, SessionRejection> {
        if let Some(current) = parts.extensions.get::<Self>() {
            return Ok(current.clone());
        }
        Self::deferred(parts, argument)?.ask(parts).await
    }

    /// The same for an argument that may be nobody.
    pub(crate) async fn if_any(parts: &mut Parts, argument: &'static str) -> Result<Option<Self>, SessionRejection> {
        if let Some(current) = parts.extensions.get::<Self>() {
            return Ok(Some(current.clone()));
        }
        Self::deferred(parts, argument)?.ask_if_any(parts).await
    }

    fn deferred(parts: &Parts, argument: &'static str) -> Result<Deferred<U>, MissingLayer> {
        parts.extensions.get::<Deferred<U>>().cloned().ok_or(MissingLayer(argument))
    }

    /// Whether an outer layer has found out.
    pub fn is_known(extensions: &Extensions) -> bool {
        extensions.get::<Self>().is_some()
    }

    /// Who is logged in, with all factors that are asked of them.
    pub fn scope(&self) -> Option<&Scope<U>> {
        self.with_clearance(Clearance::Full)
    }

    pub fn with_clearance(&self, clearance: Clearance) -> Option<&Scope<U>> {
        self.found.as_ref().filter(|scope| scope.clearance() == clearance)
    }

    /// The same, or why a handler that asks for it is not called.
    pub fn require(&self, parts: &Parts) -> Result<Scope<U>, ScopeRejection> {
        self.scope().cloned().ok_or_else(|| ScopeRejection::of(self, parts))
    }

    pub fn is_recent(&self, scope: &Scope<U>) -> bool {
        scope.session().authenticated_within(self.sigra.config().sudo_ttl, self.sigra.now())
    }
}

impl<S: Sync, U: AuthUser> FromRequestParts<S> for Scope<U> {
    type Rejection = ScopeRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ScopeRejection> {
        Current::<U>::of(parts, "Scope").await?.require(parts)
    }
}

impl<S: Sync, U: AuthUser> OptionalFromRequestParts<S> for Scope<U> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, SessionRejection> {
        let current = Current::<U>::if_any(parts, "Option<Scope>").await?;
        Ok(current.and_then(|current| current.scope().cloned()))
    }
}

impl<S: Sync, U: AuthUser> FromRequestParts<S> for Sudo<U> {
    type Rejection = SudoRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SudoRejection> {
        let current = Current::<U>::of(parts, "Sudo").await?;
        let scope = current.require(parts)?;
        if current.is_recent(&scope) { Ok(Self(scope)) } else { Err(SudoRejection::stale(&current, parts)) }
    }
}
