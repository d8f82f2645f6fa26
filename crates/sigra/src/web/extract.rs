//! The extractors: a handler's arguments say what it needs.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;

#[cfg(feature = "device-bound")]
use crate::model::scope::BoundSudo;
use crate::{
    base::problem::ClientKind,
    browser::{cookie_session::CookieSession, visit::Visit},
    model::{
        scope::{Clearance, MfaChallenge, MfaEnrollment, Scope, Sudo},
        user::AuthUser,
    },
    web::{
        current::{Current, session_of},
        deferred::{AnyDeferred, current, current_if_any},
        rejection::{
            MfaChallengeRejection, MfaEnrollmentRejection, MissingLayer, ScopeRejection, SessionRejection,
            SudoRejection,
        },
    },
};

impl<S: Sync, U: AuthUser> FromRequestParts<S> for Scope<U> {
    type Rejection = ScopeRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ScopeRejection> {
        match Current::full_scope(&parts.extensions) {
            Some(scope) => Ok(scope),
            None => require(&current(parts, "Scope").await?, parts),
        }
    }
}

/// Returns the scope of a user who is fully logged in, or the rejection for a handler that requires one.
fn require<U: AuthUser>(current: &Current<U>, parts: &Parts) -> Result<Scope<U>, ScopeRejection> {
    current.scope().cloned().ok_or_else(|| ScopeRejection::of(current, parts))
}

impl<S: Sync, U: AuthUser> OptionalFromRequestParts<S> for Scope<U> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, SessionRejection> {
        let current = current_if_any::<U>(parts, "Option<Scope>").await?;
        Ok(current.and_then(|current| current.scope().cloned()))
    }
}

impl<S: Sync, U: AuthUser> FromRequestParts<S> for Sudo<U> {
    type Rejection = SudoRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SudoRejection> {
        let current = current::<U>(parts, "Sudo").await?;
        let scope = require(&current, parts)?;
        if current.is_recent(&scope) { Ok(Self(scope)) } else { Err(SudoRejection::stale(&current, parts)) }
    }
}

impl<S: Sync, U: AuthUser> OptionalFromRequestParts<S> for Sudo<U> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, SessionRejection> {
        let current = current_if_any::<U>(parts, "Option<Sudo>").await?;
        Ok(current.and_then(|current| current.scope().filter(|scope| current.is_recent(scope)).cloned()).map(Self))
    }
}

#[cfg(feature = "device-bound")]
impl<S: Sync, U: AuthUser> FromRequestParts<S> for BoundSudo<U> {
    type Rejection = SudoRejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, SudoRejection> {
        let Sudo(scope) = <Sudo<U> as FromRequestParts<S>>::from_request_parts(parts, state).await?;
        let current = current::<U>(parts, "BoundSudo").await?;
        let session = session_of(&parts.extensions).ok_or_else(|| SessionRejection::from(MissingLayer("BoundSudo")))?;
        if current.sigra.is_device_proven(session, scope.session()) {
            Ok(Self(scope))
        } else {
            Err(SudoRejection::unbound(&current, parts))
        }
    }
}

impl<S: Sync> FromRequestParts<S> for CookieSession {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        let session = match session_of(&parts.extensions) {
            Some(session) => session.clone(),
            None => {
                let deferred = parts.extensions.get::<AnyDeferred>().ok_or(MissingLayer("CookieSession"))?;
                deferred.session(&parts.extensions).await?
            }
        };
        session.note_visit(Visit::of(&parts.method, &parts.headers));
        Ok(session)
    }
}

impl<S: Sync, U: AuthUser> FromRequestParts<S> for MfaChallenge<U> {
    type Rejection = MfaChallengeRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MfaChallengeRejection> {
        let current = &current::<U>(parts, "MfaChallenge").await.map_err(ScopeRejection::from)?;
        match current.with_clearance(Clearance::ChallengePending) {
            Some(scope) => Ok(Self(scope.clone())),
            None if current.found.is_some() => Err(MfaChallengeRejection::NotPending(ClientKind::of(&parts.headers))),
            None => Err(ScopeRejection::of(current, parts).into()),
        }
    }
}

impl<S: Sync, U: AuthUser> OptionalFromRequestParts<S> for MfaChallenge<U> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, SessionRejection> {
        let current = current_if_any::<U>(parts, "Option<MfaChallenge>").await?;
        Ok(current.and_then(|current| current.with_clearance(Clearance::ChallengePending).cloned()).map(Self))
    }
}

impl<S: Sync, U: AuthUser> FromRequestParts<S> for MfaEnrollment<U> {
    type Rejection = MfaEnrollmentRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MfaEnrollmentRejection> {
        let current = &current::<U>(parts, "MfaEnrollment").await.map_err(ScopeRejection::from)?;
        match &current.found {
            Some(scope) if scope.clearance() == Clearance::ChallengePending => {}
            Some(scope) if current.is_recent(scope) => return Ok(Self(scope.clone())),
            Some(scope) if scope.clearance() == Clearance::Full => {
                return Err(SudoRejection::stale(current, parts).into());
            }
            // The sudo page requires a full login, which this session isn't. Logging in again is what helps.
            Some(_) => return Err(ScopeRejection::log_in(current, parts).into()),
            None => {}
        }
        Err(ScopeRejection::of(current, parts).into())
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use http::Request;

    use super::*;
    use crate::HashedPassword;

    #[derive(Clone, sqlx::FromRow)]
    struct User {
        id: i64,
    }

    impl AuthUser for User {
        type Id = i64;
        type Database = sqlx::Sqlite;

        fn id(&self) -> i64 {
            self.id
        }

        fn hashed_password(&self) -> Option<&HashedPassword> {
            None
        }
    }

    /// axum moves a handler's future, with those of its extractors in it, to the heap for each request. The allocator
    /// has fast lists for blocks of up to a kilobyte.
    #[test]
    fn the_futures_of_extractors_are_small() {
        fn size<E: FromRequestParts<()>>() -> usize {
            let (mut parts, ()) = Request::new(()).into_parts();
            size_of_val(&E::from_request_parts(&mut parts, &()))
        }
        fn optional_size<E: OptionalFromRequestParts<()>>() -> usize {
            let (mut parts, ()) = Request::new(()).into_parts();
            size_of_val(&E::from_request_parts(&mut parts, &()))
        }
        let sizes = [
            ("Scope", size::<Scope<User>>()),
            ("Option<Scope>", optional_size::<Scope<User>>()),
            ("CookieSession", size::<CookieSession>()),
            ("Sudo", size::<Sudo<User>>()),
            ("Option<Sudo>", optional_size::<Sudo<User>>()),
            ("MfaChallenge", size::<MfaChallenge<User>>()),
            ("MfaEnrollment", size::<MfaEnrollment<User>>()),
            #[cfg(feature = "api-tokens")]
            ("Bearer", size::<crate::Bearer<User>>()),
            #[cfg(feature = "api-tokens")]
            ("Caller", size::<crate::Caller<User>>()),
        ];
        for (extractor, size) in sizes {
            assert!(size <= 320, "{extractor}: {size} bytes");
        }
    }
}
