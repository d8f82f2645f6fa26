//! The extractors: what a handler needs stands in its arguments.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::request::Parts;

use crate::{
    base::problem::Audience,
    browser::{cookie_session::CookieSession, visit::Visit},
    model::{
        scope::{Clearance, MfaChallenge, MfaEnrolment, Scope, Sudo},
        user::AuthUser,
    },
    web::{
        current::Current,
        deferred::AnyDeferred,
        rejection::{
            MfaChallengeRejection, MfaEnrolmentRejection, MissingLayer, ScopeRejection, SessionRejection, SudoRejection,
        },
    },
};

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

impl<S: Sync> FromRequestParts<S> for CookieSession {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, SessionRejection> {
        let session = match parts.extensions.get::<Self>() {
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
        let current = &Current::<U>::of(parts, "MfaChallenge").await.map_err(ScopeRejection::from)?;
        match current.with_clearance(Clearance::ChallengePending) {
            Some(scope) => Ok(Self(scope.clone())),
            None if current.found.is_some() => Err(MfaChallengeRejection::NotPending(Audience::of(&parts.headers))),
            None => Err(ScopeRejection::of(current, parts).into()),
        }
    }
}

impl<S: Sync, U: AuthUser> OptionalFromRequestParts<S> for MfaChallenge<U> {
    type Rejection = SessionRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, SessionRejection> {
        let current = Current::<U>::if_any(parts, "Option<MfaChallenge>").await?;
        Ok(current.and_then(|current| current.with_clearance(Clearance::ChallengePending).cloned()).map(Self))
    }
}

impl<S: Sync, U: AuthUser> FromRequestParts<S> for MfaEnrolment<U> {
    type Rejection = MfaEnrolmentRejection;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, MfaEnrolmentRejection> {
        let current = &Current::<U>::of(parts, "MfaEnrolment").await.map_err(ScopeRejection::from)?;
        match &current.found {
            Some(scope) if scope.clearance() == Clearance::ChallengePending => {}
            Some(scope) if current.is_recent(scope) => return Ok(Self(scope.clone())),
            Some(scope) if scope.clearance() == Clearance::Full => {
                return Err(SudoRejection::stale(current, parts).into());
            }
            // The sudo page is for who is logged in. This one logs in once more.
            Some(_) => return Err(ScopeRejection::log_in(current, parts).into()),
            None => {}
        }
        Err(ScopeRejection::of(current, parts).into())
    }
}
